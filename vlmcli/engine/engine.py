"""The engine's door: requests in, events out.

One thread owns everything native. `submit` and `cancel` only leave a message and return; what is under way in C is
ended through the native abort flag. How a pair is loaded, how requests are answered and how threads speak to each
other is in `loading`, `loop` and `desk`; this module only puts them together.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from vlmcli.engine.desk import Desk, internal
from vlmcli.engine.guided import Guides
from vlmcli.engine.loading import Loaded, Loader
from vlmcli.engine.loop import Loop
from vlmcli.engine.native import Model, Projector
from vlmcli.engine.observer import Observer
from vlmcli.engine.vision import Vision
from vlmcli.errors import Cancelled, RequestError, VlmError
from vlmcli.placement import Caching, Fit
from vlmcli.values import Answer, Done, Event, Failed, ModelFiles, Request, run

log = logging.getLogger("vlmcli.engine")


class Engine:
    """A language model and its projector, answering requests. A `values.Runner`.

    Opening returns at once: the weights load in the engine's thread while the caller reads pictures. When they
    cannot be loaded, `ready` raises and every request fails with the same ModelError.
    """

    def __init__(
        self,
        files: ModelFiles,
        fit: Fit | None = None,
        observer: Observer | None = None,
        caching: Caching | None = None,
        began: float | None = None,
        on_loaded: Callable[[], None] | None = None,
    ) -> None:
        """Open a model.

        Args:
            files: the weights, and what is known of them.
            fit: how to put them onto the machine; the default suits a small model.
            observer: is shown what happens on the way.
            caching: where results are kept for later processes, and found; None for nowhere.
            began: when the command began whose requests it answers, as `time.monotonic` counts: the first one's timings
                begin there. None for an engine that is opened without one, or before anybody waits for an answer.
            on_loaded: called once, in the engine's thread, when the model is loaded and before anything is computed for
                a request. Should the process die from then on, a request is to blame, not the model's files.
        """
        self.files = files
        self._observer = observer
        self._desk = Desk()
        self._began = began
        self._on_loaded = on_loaded
        self._guides = Guides(files.model)
        self._loader = Loader(files, fit or Fit(), self._desk, observer, caching, self._guides, began)
        self._loop: Loop | None = None
        self._is_loaded = threading.Event()
        self._thread = threading.Thread(target=self._main, name="vlm-engine", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------ any thread

    def ready(self) -> None:
        """Wait until the model is loaded; raises what kept it from that."""
        self._desk.is_awaited = True
        while not self._is_loaded.wait(0.2):  # in pieces: an untimed wait hides Ctrl-C on Windows
            pass
        if self._desk.broken is not None:
            raise self._desk.broken

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned."""
        if request.schema or request.regex:
            self._guides.begin()
        return self._desk.submit(request)

    def cancel(self, id: int) -> None:
        """End a request: `Failed(id, Cancelled())` is sent at once, and what it has in C is aborted."""
        self._desk.cancel(id)

    def events(self) -> Iterator[Event]:
        """All events as they come; ends when the engine is closed."""
        return self._desk.events()

    def settle(self, seconds: float) -> None:
        """Wait at most so long until what is kept for later processes is written."""
        loop = self._loop
        if loop is not None and loop.loaded.stores is not None:
            loop.loaded.stores.settle(seconds)

    def close(self) -> None:
        """Abort what runs, fail what waits, free everything."""
        self._desk.close()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, requests: Iterable[Request]) -> list[Answer | VlmError]:
        """Answer requests and return the outcomes in their order; for code that wants no events."""
        outcomes: dict[int, Answer | VlmError] = {}
        for number, event in run(self, requests):
            if isinstance(event, Done):
                outcomes[number] = event.answer
            elif isinstance(event, Failed):
                outcomes[number] = event.error
        return [outcomes[number] for number in sorted(outcomes)]

    @property
    def pulse(self) -> int:
        """Counts up whenever a native call begins, ends or reports: what stands still for long is stuck."""
        return self._desk.pulse

    @property
    def fit(self) -> Fit:
        """How the model is put onto the machine: as asked for or, where a GPU had no room, as it was tried last."""
        return self._loader.fit

    @property
    def loaded(self) -> Loaded:
        """What is loaded; waits for it, and raises as `ready`. Only for an engine that is idle, or in its thread."""
        return self._running().loaded

    @property
    def model(self) -> Model:
        """The language model with its vocabulary, as in `loaded`."""
        return self.loaded.model

    @property
    def projector(self) -> Projector:
        """The vision encoder and its projection, as in `loaded`."""
        return self.loaded.projector

    @property
    def vision(self) -> Vision:
        """The projector behind its memory of embeddings, as in `loaded`."""
        return self.loaded.vision

    @property
    def observer(self) -> Observer | None:
        """What is shown what happens; while the engine is idle it may be set to another one, or to none."""
        return self._running().observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._running().observer = observer

    def _running(self) -> Loop:
        self.ready()
        if self._loop is None:
            raise RequestError("the engine is closed")
        return self._loop

    # ------------------------------------------------------------------------------------------ engine's thread

    def _main(self) -> None:
        error: VlmError = Cancelled("the engine was closed")
        try:
            try:
                with ExitStack() as stack:
                    loop = Loop(self._loader.load(stack), self._desk, self._observer, self._began)
                    stack.callback(loop.close)
                    self._loop = loop
                    if self._on_loaded is not None:
                        self._on_loaded()
                    self._is_loaded.set()
                    while loop.turn():
                        pass
            except VlmError as reason:
                error = self._desk.broken = reason
                self._is_loaded.set()
                self._desk.refuse(reason)
        except Exception as bug:  # whoever waits for an event must not wait for ever
            log.exception("the engine's thread failed")
            error = self._desk.broken = internal(bug)
        finally:
            self._is_loaded.set()
            self._desk.shut(error)
