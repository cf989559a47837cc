"""A pair of files becomes a `Loaded`: everything in memory that answering needs.

Where a GPU has no room, it is tried again with less on the GPU. It knows no requests.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from vlmcli.engine import vocabulary
from vlmcli.engine.chat_template import ChatTemplate
from vlmcli.engine.choices import WAVE
from vlmcli.engine.desk import Desk
from vlmcli.engine.grammar import Grammars, Pieces
from vlmcli.engine.guided import Guides
from vlmcli.engine.native import Bitmap, Context, Model, Projector, Text
from vlmcli.engine.observer import Observer
from vlmcli.engine.planning import Planner
from vlmcli.engine.stores import Stores
from vlmcli.engine.vision import LazyProjector, Vision
from vlmcli.errors import Cancelled, NoRoom, VlmError
from vlmcli.machine.fit import step_back
from vlmcli.models import gguf, pairing
from vlmcli.models.families import ENDS_LINE
from vlmcli.placement import Caching, Fit
from vlmcli.values import ModelFiles, Notice, Progress, Request, Timings

PROBE_SIZES = ((64, 64), (4096, 4096), (8192, 1024), (1024, 8192))  # what makes families tile differently
AHEAD_SECONDS = 0.1
"""What the first request needs is found out before everything is loaded, where it comes so soon: perhaps no projector,
and a small context. The pixels of a known picture are not read, so that its request is there early."""
CROWD, CROWD_HEADS = 1024, 600
"""For `Loaded.crowd`: its least, and how many weights of a head are worth a cell of all others."""
MODEL_SHARE = 0.8  # of the progress bar; projectors are the smaller files


@dataclass(frozen=True)
class Loaded:
    """A language model and its projector in memory, and what is made of them once.

    Attributes:
        files: where they came from.
        fit: how they were put onto the machine.
        model: the weights and the vocabulary.
        lazy: the projector, which may not be loaded yet.
        context: the KV cache.
        template: the chat template.
        grammars: those that answers followed last.
        guides: the schemas and regular expressions that they did.
        planner: plans requests.
        vision: the projector behind a memory of embeddings.
        stores: what other processes have computed; None without.
        began: when loading began, as `time.monotonic` counts.
        seconds: how long it took, without the wait.
        waited: seconds for the first request, whose picture was read meanwhile.
    """

    files: ModelFiles
    fit: Fit
    model: Model
    lazy: LazyProjector
    context: Context
    template: ChatTemplate
    grammars: Grammars
    guides: Guides
    planner: Planner
    vision: Vision
    stores: Stores | None
    began: float
    seconds: float
    waited: float

    @property
    def crowd(self) -> int:
        """Cells above which requests are better answered one after the other; 0 for any number.

        On a CPU, attention looks at each other cell, too, whose time is that of the heads; what is gained by common
        batches is that of the weights. A rule of thumb: with 360 million weights in 480 heads, two pictures of 600
        cells are about as fast together as alone, and four are slower.
        """
        if self.fit.n_gpu_layers:
            return 0
        return max(CROWD, self.model.n_params // (CROWD_HEADS * max(1, self.model.heads)))

    @cached_property
    def unit(self) -> int:
        """Pixels of the side of a row of a picture: that of a patch, times how many of them are merged."""
        header = gguf.read(self.files.projector)
        merged = header.metadata.get("clip.vision.spatial_merge_size", 2)  # clip.cpp's own default for these families
        return header.number("vision.patch_size") * (merged if isinstance(merged, int) else 2)

    @property
    def projector(self) -> Projector:
        """The vision encoder and its projection into the language model's space; loaded now if it is not yet."""
        return self.lazy.get()


class Loader:
    """Loads one pair, once.

    Attributes:
        fit: how the pair is put onto the machine, as far as is known: what was asked for or, after a step back, what
            was tried last.
    """

    def __init__(
        self,
        files: ModelFiles,
        fit: Fit,
        desk: Desk,
        observer: Observer | None,
        caching: Caching | None,
        guides: Guides,
        began: float | None = None,
    ) -> None:
        """`guides`: of this model. `began`: when the command did, as `time.monotonic` counts; None: not to be shown."""
        self.fit = fit
        self._began = began
        self._files = files
        self._caching = caching
        self._guides = guides
        self._desk = desk
        self._observer = observer
        self._waited = 0.0

    def load(self, stack: ExitStack) -> Loaded:
        """Load everything; `stack` frees it. Raises ModelError, and Cancelled when the desk is closed meanwhile."""
        started = time.monotonic()
        files = self._files
        projector = gguf.read(files.projector)
        pairing.check(gguf.read(files.model), projector)  # C would end the process
        lined = projector.projector_type in ENDS_LINE
        while True:
            attempt = stack.enter_context(ExitStack())
            try:
                loaded = self._attempt(attempt, started, lined)
                break
            except NoRoom as error:
                attempt.close()
                back = step_back(self.fit)
                if back is None:
                    raise
                self._desk.send(Notice(f"{error.message}; retrying with {back.reason}"))
                self.fit = back
        if self._desk.flag.is_set():
            raise Cancelled("the model's loading was cancelled")
        start = 0.0 if self._began is None else started - self._began
        self._desk.send(Progress(None, "load", 1.0, Timings(start=start, load=loaded.seconds)))
        return loaded

    def _attempt(self, stack: ExitStack, started: float, lined: bool) -> Loaded:
        """Load everything as `self.fit` says. Raises NoRoom where a device has none."""
        fit, files, flag = self.fit, self._files, self._desk.flag
        if self._observer is not None:
            self._observer.loading()
        bar = _Bar(self._desk, started, started if self._began is None else self._began)
        model = stack.enter_context(Model(files.model, fit.n_gpu_layers, bar.model, flag, fit.repack))
        source = files.card.chat_template or model.chat_template
        template = ChatTemplate(source, model.bos, model.eos, str(files.model), lined=lined)
        grammars = Grammars(lambda: _pieces(model))
        stack.callback(self._guides.close)
        self._guides.learn(lambda: vocabulary.read(model))
        stores = None
        if self._caching is not None and not (self._observer is not None and self._observer.watches):
            stores = Stores(self._caching, files, model, fit)
            stack.callback(stores.close)
        budget = files.card.budget
        lazy = LazyProjector(
            lambda: Projector(files.projector, model, fit.projector_on_gpu, fit.threads, bar.projector, flag, budget)
        )
        stack.callback(lazy.close)
        planner = Planner(files.card, model, template, lazy, stores)
        context = stack.enter_context(self._context(model, planner, lazy, stores))
        if not lazy.is_loaded and self._first() is None:
            lazy.get()
        vision = Vision(lazy, flag, stores)
        stack.callback(vision.close)
        seconds = time.monotonic() - started - self._waited
        return Loaded(
            files, fit, model, lazy, context, template, grammars, self._guides, planner, vision, stores, started,
            seconds, self._waited,
        )  # fmt: skip

    def _context(self, model: Model, planner: Planner, lazy: LazyProjector, stores: Stores | None) -> Context:
        """The KV cache; of no more cells than the one request needs, where there will be one. Raises NoRoom."""
        fit = self.fit
        rows = None if stores is None or stores.on_gpu else stores.bidirectional_rows()
        if rows is None:  # on a GPU it must come while there is still something to be moved out of its way
            rows = _bidirectional_rows(lazy.get())
            if stores is not None:
                stores.keep_bidirectional_rows(rows)
        n_batch = max(fit.n_batch, rows)
        n_seq = 1 if model.one_sequence else fit.sequences(model.can_roll_back)
        n_ctx = max(fit.n_ctx, 256)
        if fit.snug:
            n_ctx = min(n_ctx, max(256, self._needed(planner, lazy) or n_ctx))
        branches = 0
        if fit.choices and not model.one_sequence:
            branches = WAVE if model.can_branch else 1
        outputs = WAVE if fit.choices else 0
        return Context(model, n_ctx, n_batch, n_seq, fit.threads, self._desk.flag, branches, outputs)

    def _needed(self, planner: Planner, lazy: LazyProjector) -> int:
        """Cells that the first request needs, in blocks of 256; 0 where it does not come, or cannot be planned."""
        request = self._first()
        if request is None and not lazy.is_loaded:
            lazy.get()  # while its picture is read
        while request is None and not (self._desk.is_awaited or self._desk.closing):
            request = self._first()
        if request is None:
            return 0
        try:
            planned = planner.look_ahead(request)
        except VlmError:  # it will be told when its turn comes
            return 0
        return -(-(planned.plan.rows + planned.room) // 256) * 256

    def _first(self) -> Request | None:
        """The first request, if it comes soon; the wait for it is not the loading's."""
        started = time.monotonic()
        request = self._desk.first(AHEAD_SECONDS)
        self._waited += time.monotonic() - started
        return request


class _Bar:
    """One progress bar over both files, which moves in steps of a hundredth."""

    def __init__(self, desk: Desk, began: float, command_began: float) -> None:
        """When loading began, and the command, as `time.monotonic` counts."""
        self._desk = desk
        self._began, self._before = began, began - command_began
        self._last = -1.0

    def model(self, done: float) -> None:
        self._show(done * MODEL_SHARE)

    def projector(self, done: float) -> None:
        self._show(MODEL_SHARE + done * (1 - MODEL_SHARE))

    def _show(self, total: float) -> None:
        self._desk.beat()
        if total - self._last >= 0.01:
            self._last = total
            so_far = Timings(start=self._before, load=time.monotonic() - self._began)
            self._desk.send(Progress(None, "load", total, so_far))


def _pieces(model: Model) -> Pieces:
    """The bytes of all of the model's tokens."""
    words = vocabulary.read(model)
    return Pieces(words.pieces, words.ends)


def _bidirectional_rows(projector: Projector) -> int:
    """The most rows one picture takes in a model that must decode it in one batch; 0 in others."""
    most = 0
    for size in PROBE_SIZES:
        with projector.chunks([Bitmap("probe#0", size), Text("\n", False)], False) as chunks:
            most = max(most, *(chunk.rows for chunk in chunks.read() if chunk.bidirectional), 0)
    return most
