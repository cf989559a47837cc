"""The engine: requests in, events out, any number of them through one loop.

One thread owns everything native. `submit` and `cancel` only leave a message and return; what is under way in C is
ended through the native abort flag. Each turn of the loop admits requests, then runs at most one picture through the
encoder, one batch of picture rows and one batch of text through the language model, so that no request waits long
for another. A single request is a batch of one.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from vlmcli.engine import sampling
from vlmcli.engine.chat_template import (
    ChatTemplate,
    begins_with,
    opened,
    parts,
)
from vlmcli.engine.grammar import Follower, Grammars, Pieces
from vlmcli.engine.native import (
    AbortFlag,
    Bitmap,
    Context,
    Decoded,
    Float32,
    Model,
    Projector,
    Sampler,
    Text,
    Watch,
)
from vlmcli.engine.plan import Int32, PictureSegment, Plan
from vlmcli.engine.scheduler import Admission, RowStep, Scheduler, Ticket, TokenStep
from vlmcli.engine.stream import TextStream, loops
from vlmcli.engine.vision import Pictures, Prompt, Vision, plan
from vlmcli.errors import Cancelled, ContextFull, NativeError, NoPicture, NoRoom, RequestError, TimedOut, VlmError
from vlmcli.machine.fit import step_back
from vlmcli.models import gguf, pairing
from vlmcli.values import (
    Answer,
    Delta,
    Done,
    Event,
    Failed,
    FinishReason,
    Fit,
    Last,
    Measured,
    ModelFiles,
    Notice,
    Progress,
    Request,
    Started,
    Timings,
    Usage,
    events_of,
    run,
)

log = logging.getLogger("vlmcli.engine")

PROBE_SIZES = ((64, 64), (4096, 4096), (8192, 1024), (1024, 8192))  # what makes families tile differently


class Observer:
    """Looks on while requests are answered: for explanations and tests. Called in the engine's thread; does nothing.

    An engine that has one copies what it shows.

    Attributes:
        watches: whether it wants `encoded`, which is slower: the encoder is looked into node by node.
    """

    watches = False

    def loading(self) -> None:
        """The weights are about to be loaded."""

    def planned(self, id: int, plan: Plan) -> None:
        """The request's prompt as rows."""

    def starting(self, id: int, request: Request) -> None:
        """The request has got its sequence: what it needs is computed next."""

    def encoded(self, id: int, segment: PictureSegment, watch: Watch, rows: Float32) -> None:
        """A picture went through the encoder and the projector: float32 [rows, n_embd_inp]."""

    def picking(self, id: int, number: int, logits: Float32) -> None:
        """Token `number` of the answer is about to be picked from these: float32 [n_vocab]."""


@dataclass
class _Job:
    """A request under way."""

    ticket: Ticket
    request: Request
    pictures: Pictures
    sampler: Sampler
    stream: TextStream
    load: float
    grammar: Follower | None = None
    prefill: float = 0.0
    generate: float = 0.0
    answered: int = 0
    started: bool = False
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class _Submit:
    id: int
    request: Request


@dataclass(frozen=True)
class _Cancel:
    id: int


class Engine:
    """A language model and its projector, answering requests. A `values.Runner`.

    Opening returns at once: the weights load in the engine's thread while the caller reads pictures. When they
    cannot be loaded, `ready` raises and every request fails with the same ModelError.
    """

    def __init__(self, files: ModelFiles, fit: Fit | None = None, observer: Observer | None = None) -> None:
        """Open a model.

        Args:
            files: the weights, and what is known of them.
            fit: how to put them onto the machine; the default suits a small model.
            observer: is shown what happens on the way.
        """
        self.files = files
        self.fit = fit or Fit()
        self._observer = observer
        self._flag = AbortFlag()
        self._inbox: queue.SimpleQueue[_Submit | _Cancel | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open: set[int] = set()  # ids that have not ended
        self._next_id = 0
        self._busy: frozenset[int] = frozenset()  # ids in the native call that runs now
        self._busy_since = 0.0
        self._left: dict[int, float] = {}  # seconds that requests with a timeout have left
        self._watcher: threading.Thread | None = None
        self._closing = False
        self._loaded = threading.Event()
        self._load_error: VlmError | None = None
        self._jobs: dict[int, _Job] = {}
        self._ready_rows: dict[int, tuple[str, Float32]] = {}
        self._load_seconds = 0.0
        self.pulse = 0
        """Counts up whenever a native call begins, ends or reports: what stands still for long is stuck."""
        self._thread = threading.Thread(target=self._main, name="vlm-engine", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------ any thread

    def ready(self) -> None:
        """Wait until the model is loaded; raises what kept it from that."""
        while not self._loaded.wait(0.2):  # in pieces: an untimed wait hides Ctrl-C on Windows
            pass
        if self._load_error is not None:
            raise self._load_error

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned."""
        with self._lock:
            if self._closing:
                raise self._load_error or RequestError("the engine is closed")
            id = self._next_id
            self._next_id += 1
            self._open.add(id)
            if request.timeout is not None:
                self._left[id] = request.timeout
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="vlm-watcher", daemon=True)
                    self._watcher.start()
            self._inbox.put(_Submit(id, request))
        return id

    def cancel(self, id: int) -> None:
        """End a request: `Failed(id, Cancelled())` is sent at once, and what it has in C is aborted."""
        self._stop(id, Cancelled())

    def _stop(self, id: int, error: VlmError) -> None:
        with self._lock:
            if id not in self._open:
                return
            self._open.discard(id)
            self._left.pop(id, None)
            self._outbox.put(Failed(id, error))
            self._inbox.put(_Cancel(id))
            if id in self._busy:
                self._flag.set()

    def _watch(self) -> None:
        """End what a long native call has no time left for; short calls are added up in `_leave`."""
        while not self._closing:
            time.sleep(0.05)
            with self._lock:
                now = time.monotonic() - self._busy_since
                late = [id for id in self._busy if now > self._left.get(id, now)]
            for id in late:
                self._stop(id, _too_late())

    def events(self) -> Iterator[Event]:
        """All events as they come; ends when the engine is closed."""
        return events_of(self._outbox)

    def close(self) -> None:
        """Abort what runs, fail what waits, free everything."""
        with self._lock:
            self._closing = True
            self._inbox.put(None)
            self._flag.set()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, event: Last) -> bool:
        """Send a request's last event, unless it has had one."""
        with self._lock:
            if event.id not in self._open:
                return False
            self._open.discard(event.id)
            self._left.pop(event.id, None)
            self._outbox.put(event)
            return True

    def _send(self, event: Started | Progress | Notice | Delta) -> None:
        with self._lock:
            if event.id is None or event.id in self._open:
                self._outbox.put(event)

    # ------------------------------------------------------------------------------------------ engine thread

    def _main(self) -> None:
        error: VlmError = Cancelled("the engine was closed")
        try:
            try:
                with ExitStack() as stack:
                    self._load(stack)
                    stack.callback(self._drop_all)
                    self._loaded.set()
                    while self._turn():
                        pass
            except VlmError as reason:
                error = self._load_error = reason
                self._loaded.set()
                self._refuse(reason)
        except Exception as bug:  # whoever waits for an event must not wait for ever
            log.exception("the engine's thread failed")
            error = self._load_error = _internal(bug)
        finally:
            with self._lock:
                self._closing = True
                left = sorted(self._open)
                self._loaded.set()
            self._fail_all(left, error)
            self._outbox.put(None)

    def _fail_all(self, ids: Iterable[int], error: VlmError) -> None:
        for id in ids:
            self._end(Failed(id, error))

    def _refuse(self, error: VlmError) -> None:
        """Fail every request there is, and every one that comes until the engine is closed."""
        with self._lock:
            left = sorted(self._open)
        self._fail_all(left, error)
        while (message := self._inbox.get()) is not None:
            if isinstance(message, _Submit):
                self._end(Failed(message.id, error))

    def _enter(self, tickets: Iterable[Ticket]) -> bool:
        """Before a call into C for these requests: from here on a cancel of one aborts it. False if one has ended."""
        ids = frozenset(ticket.id for ticket in tickets)
        with self._lock:
            self.pulse += 1
            if self._closing or not ids <= self._open:
                return False
            self._busy, self._busy_since = ids, time.monotonic()
            self._flag.clear()
            return True

    def _leave(self) -> bool:
        """After that call: whether it was aborted."""
        with self._lock:
            self.pulse += 1
            seconds = time.monotonic() - self._busy_since
            for id in self._busy & self._left.keys():
                self._left[id] -= seconds
            late = [id for id in self._busy if self._left.get(id, 1.0) <= 0]
            self._busy = frozenset()
            aborted = self._flag.is_set()
        for id in late:
            self._stop(id, _too_late())
        return aborted

    def _load(self, stack: ExitStack) -> None:
        started = time.monotonic()
        shares = (0.0, 0.8)  # of the bar; projectors are the smaller file
        last = -1.0

        def report(part: int) -> Callable[[float], None]:
            def on_progress(done: float) -> None:
                nonlocal last
                self.pulse += 1
                total = shares[part] + done * (shares[1] if part == 0 else 1 - shares[1])
                if total - last >= 0.01:
                    last = total
                    self._send(Progress(None, "load", total))

            return on_progress

        pairing.check(gguf.read(self.files.model), gguf.read(self.files.projector))  # C would end the process
        while True:
            attempt = stack.enter_context(ExitStack())
            try:
                self._load_as_fitted(attempt, report)
                break
            except NoRoom as error:
                attempt.close()
                back = step_back(self.fit)
                if back is None:
                    raise
                self._send(Notice(f"{error.message}; once more, with {back.reason}"))
                self.fit, last = back, -1.0
        if self._flag.is_set():
            raise Cancelled("the model's loading was cancelled")
        self._send(Progress(None, "load", 1.0))
        self._load_seconds = time.monotonic() - started

    def _load_as_fitted(self, stack: ExitStack, report: Callable[[int], Callable[[float], None]]) -> None:
        """Load everything as `self.fit` says. Raises NoRoom where a device has none."""
        fit, files = self.fit, self.files
        if self._observer is not None:
            self._observer.loading()
        self.model = stack.enter_context(Model(files.model, fit.n_gpu_layers, report(0), self._flag, fit.repack))
        self._template = ChatTemplate(
            files.card.chat_template or self.model.chat_template, self.model.bos, self.model.eos, str(files.model)
        )
        self._grammars = Grammars(self._pieces)
        self.projector = stack.enter_context(
            Projector(files.projector, self.model, fit.projector_on_gpu, fit.threads, report(1), self._flag)
        )
        n_batch = max(fit.n_batch, self._bidirectional_rows())
        # A recurrent state can only be kept by a copy of its sequence, so such models get more of them.
        n_seq = 2 * fit.n_parallel if not self.model.can_roll_back else fit.n_parallel + 2
        n_ctx = max(fit.n_ctx, 256)
        self._context = stack.enter_context(Context(self.model, n_ctx, n_batch, n_seq, fit.threads, self._flag))
        self._scheduler = Scheduler(
            self._context.n_ctx, self._context.n_batch, self._context.n_seq, fit.n_parallel, self.model.can_roll_back
        )
        self.vision = Vision(self.projector, self._flag)
        stack.callback(self.vision.close)

    def _pieces(self) -> Pieces:
        tokens = range(self.model.n_vocab)
        return Pieces([self.model.piece(token) for token in tokens], filter(self.model.ends, tokens))

    def _bidirectional_rows(self) -> int:
        """The most rows one picture takes in a model that must decode it in one batch; 0 in others."""
        most = 0
        for size in PROBE_SIZES:
            with self.projector.chunks([Bitmap("probe#0", size), Text("\n", False)], False) as chunks:
                most = max(most, *(chunk.rows for chunk in chunks.read() if chunk.bidirectional), 0)
        return most

    def _turn(self) -> bool:
        """One turn of the loop; False when the engine is to close. A call that was aborted ends the turn."""
        if not self._drain():
            return False
        for admission in self._scheduler.admit():
            if admission.ticket.seat is not None:  # an earlier one's failure may have taken it back
                self._seat(admission)
        if not self._encode_one():
            return True
        row_step = self._scheduler.row_step(lambda ticket: ticket.id in self._ready_rows)
        if row_step is not None and not self._decode(row_step):
            return True
        token_step = self._scheduler.token_step()
        if token_step is not None:
            self._decode(token_step)
        return True

    def _drain(self) -> bool:
        """Read the inbox; wait for a message when there is nothing to do. False to close."""
        if self._closing:
            return False
        while True:
            try:
                message = self._inbox.get(block=not self._jobs)
            except queue.Empty:
                return True
            if message is None:
                return False
            if isinstance(message, _Submit):
                if message.id in self._open:
                    self._guard(message.id, self._take, message.id, message.request)
            elif message.id in self._jobs:
                self._drop(self._jobs[message.id])
            if self._inbox.empty():
                return True

    def _guard(self, id: int, work: Callable[..., None], *arguments: object) -> None:
        """Do something for one request: whatever goes wrong fails that request, and no other."""
        try:
            work(*arguments)
        except Exception as error:  # a bug in one request's way must not end the others
            if not isinstance(error, VlmError):
                log.exception("request %d failed", id)
            self._end(Failed(id, error if isinstance(error, VlmError) else _internal(error)))
            if id in self._jobs:
                self._drop(self._jobs[id])

    def _take(self, id: int, request: Request) -> None:
        """Plan a request and queue it."""
        if not request.pictures:
            raise NoPicture("there is no picture in the question", "name at least one")
        if request.max_tokens < 1:
            raise RequestError("an answer needs at least one token", "ask for more")
        pieces = self._template.render(request.messages)
        prompt = Prompt(
            tuple(parts(pieces, self.model)),
            request.pictures,
            add_bos=not begins_with(pieces, self._template.bos),
        )
        planned = plan(self.projector, prompt)
        if request.measure:
            rows = Counter(dict.fromkeys(range(len(request.pictures)), 0))
            for segment in planned.segments:
                if isinstance(segment, PictureSegment):
                    rows[segment.picture] += segment.rows
            self._end(Measured(id, self._scheduler.n_ctx, planned.rows, tuple(rows.values())))
            return
        self._check(planned, request)
        if self._observer is not None:
            self._observer.planned(id, planned)
        grammar = self._grammars.follower(request.grammar) if request.grammar else None
        sampler = sampling.make(self.model, request.sampling)
        load, self._load_seconds = self._load_seconds, 0.0
        self._jobs[id] = _Job(
            self._scheduler.enqueue(id, planned, request.max_tokens, request.continues),
            request,
            Pictures(self.vision, prompt),
            sampler,
            TextStream((*request.stop, *self.files.card.stop), opened(pieces, self.files.card.think[0])),
            load,
            grammar,
            usage=Usage(planned.picture_rows, planned.rows),
        )

    def _check(self, planned: Plan, request: Request) -> None:
        """Raise what keeps a plan from being answered."""
        rows = planned.rows
        if rows >= self._scheduler.n_ctx:
            count = len(request.pictures)
            enough = -(-(rows + request.max_tokens) // 1024) * 1024
            raise ContextFull(
                f"{count} picture{'s' * (count > 1)} and the question take {rows} tokens, "
                f"and the context has {self._scheduler.n_ctx}",
                f"give it more, --ctx {enough}, or ask about fewer pictures at a time",
            )
        counted = {segment.picture for segment in planned.segments if isinstance(segment, PictureSegment)}
        for number, picture in enumerate(request.pictures):
            if number not in counted:
                raise NoPicture(f"{picture.source} would not reach the model", "please report this")
        for segment in planned.segments:
            if isinstance(segment, PictureSegment):
                if segment.bidirectional and segment.rows > self._scheduler.n_batch:
                    raise RequestError(f"a picture of {segment.rows} rows is larger than a batch", "try it smaller")
            elif min(segment.tokens) < 0 or max(segment.tokens) >= self.model.n_vocab:
                raise RequestError(
                    f"{self.files.projector.name} needs tokens that {self.files.model.name} does not have",
                    "use the mmproj file that was published with this model",
                )
        if isinstance(planned.segments[-1], PictureSegment):
            raise RequestError("the prompt ends with a picture", "use another --chat-template")

    def _drop(self, job: _Job) -> None:
        """Free what a request holds outside the cache."""
        job.pictures.close()
        job.sampler.close()
        self._scheduler.leave(job.ticket)
        self._jobs.pop(job.ticket.id, None)
        self._ready_rows.pop(job.ticket.id, None)

    def _drop_all(self) -> None:
        for job in list(self._jobs.values()):
            self._drop(job)

    def _fail(self, job: _Job, error: VlmError) -> None:
        self._end(Failed(job.ticket.id, error))
        self._drop(job)

    def _seat(self, admission: Admission) -> None:
        """Make the cache as the scheduler has decided."""
        ticket = admission.ticket
        assert ticket.seat is not None
        for seq in admission.forget:
            self._context.forget(seq)
        seq = ticket.seat.seq
        kept = True
        if admission.source is not None:
            self._context.fork(admission.source, seq, admission.end)
        elif admission.end:
            kept = self._context.roll_back(seq, admission.end)
        else:
            self._context.forget(seq)
        last = self._context.last_position(seq)
        if not kept or last >= max(admission.end, 1) or (admission.end and last < 0):
            log.warning("sequence %d does not hold what it should; computing it again", seq)
            for doubtful in {seq, seq if admission.source is None else admission.source}:
                self._context.forget(doubtful)
                self._scheduler.distrust(doubtful)
            return
        job = self._jobs[ticket.id]
        if not job.started:
            job.started = True
            if self._observer is not None and self._enter([ticket]):
                try:
                    self._observer.starting(ticket.id, job.request)
                finally:
                    self._leave()
            job.usage = replace(job.usage, reused_tokens=ticket.row)
            self._send(Started(ticket.id))
        segment = next(
            (
                one
                for one, row in zip(ticket.plan.segments, ticket.plan.row_starts, strict=True)
                if isinstance(one, PictureSegment) and row >= ticket.row
            ),
            None,
        )
        if segment is not None:
            job.pictures.prepare(segment)

    def _encode_one(self) -> bool:
        """Get the rows of every picture that is next in its prompt; at most one from the encoder. False if aborted."""
        waiting = self._scheduler.pictures()
        others = len(waiting) < len(self._scheduler.active)  # who can go on while pixels are being prepared
        encoded = False
        for ticket, segment in waiting:
            if ticket.id in self._ready_rows:
                continue
            job = self._jobs[ticket.id]
            rows = job.pictures.known(segment)
            if rows is None:
                job.pictures.prepare(segment)
                if encoded or (others and not job.pictures.prepared(segment)):
                    continue
                encoded = True
                if not self._enter([ticket]):
                    return False
                watch = Watch() if self._observer is not None and self._observer.watches else None
                try:
                    rows = job.pictures.encode(segment, self._on_layer(ticket, segment), watch)
                except Cancelled:
                    return False  # the inbox says who
                except VlmError as error:
                    self._fail(job, error)
                    continue
                finally:
                    self._leave()
                if self._observer is not None and watch is not None:
                    self._observer.encoded(ticket.id, segment, watch, rows)
            self._ready_rows[ticket.id] = (segment.key, rows)
            self._prepare_next(job, ticket, segment)
        return True

    def _prepare_next(self, job: _Job, ticket: Ticket, segment: PictureSegment) -> None:
        """Free a picture whose last tile is done, and begin with the next one."""
        index = ticket.plan.segments.index(segment)
        later = [one for one in ticket.plan.segments[index + 1 :] if isinstance(one, PictureSegment)]
        if all(one.picture != segment.picture for one in later):
            job.pictures.release(segment.picture)
        if later:
            job.pictures.prepare(later[0])

    def _on_layer(self, ticket: Ticket, segment: PictureSegment) -> Callable[[int], None]:
        """Progress over all of a prompt's encoder inputs, layer by layer."""
        inputs = [one for one in ticket.plan.segments if isinstance(one, PictureSegment)]
        before, layers = inputs.index(segment), self.files.encoder_layers

        def on_layer(layer: int) -> None:
            self.pulse += 1
            if layers:
                done = (before + min(1.0, layer / layers)) / len(inputs)
                self._send(Progress(ticket.id, "encode", done))

        return on_layer

    # ------------------------------------------------------------------------------------------ the language model

    def _decode(self, step: RowStep | TokenStep) -> bool:
        """Run one batch, and take what came of it. False if it was aborted."""
        tickets = [take[0] for take in step.takes]
        if not self._enter(tickets):
            return False
        started = time.monotonic()
        try:
            if isinstance(step, RowStep):
                result = self._context.decode_rows(*self._gather(step), step.causal)
            else:
                result = self._context.decode_tokens(step.tokens, step.positions, step.seqs, step.logits)
        except NativeError as error:
            for ticket in tickets:
                self._restart(ticket)
                self._fail(self._jobs[ticket.id], error)
            return True
        finally:
            self._leave()
        if result is not Decoded.OK:
            for ticket in tickets:
                self._lost(ticket)
            if result is Decoded.FULL:  # the scheduler counts cells, so this is its error; end one, not all
                self._fail(self._jobs[tickets[-1].id], ContextFull("the context is full", "give it more with --ctx"))
            return False
        self._share(step, time.monotonic() - started)
        for source, target in self._scheduler.commit((take[0], take[1]) for take in step.takes):
            self._context.fork(source, target, self._context.last_position(source) + 1)
        for ticket in tickets:
            if ticket.row < ticket.plan.rows:
                self._send(Progress(ticket.id, "prefill", ticket.row / ticket.plan.rows))
        if isinstance(step, RowStep):
            for ticket, rows, segment, offset in step.takes:
                if offset + rows == segment.rows:
                    del self._ready_rows[ticket.id]
        else:
            for ticket, _, output in step.takes:
                if output is not None:
                    job = self._jobs[ticket.id]
                    self._guard(ticket.id, self._pick, job, output)
        return True

    def _gather(self, step: RowStep) -> tuple[Float32, Int32, Int32]:
        """The rows of a step, their positions and their sequences."""
        rows, positions, seqs = [], [], []
        for ticket, count, segment, offset in step.takes:
            assert ticket.seat is not None
            key, embedding = self._ready_rows[ticket.id]
            assert key == segment.key
            start = ticket.plan.position(ticket.row - offset)
            rows.append(embedding[offset : offset + count])
            positions.append(segment.position_rows(start, self.model.n_pos)[:, offset : offset + count])
            seqs.append(np.full(count, ticket.seat.seq, np.int32))
        return np.concatenate(rows), np.concatenate(positions, axis=1), np.concatenate(seqs)

    def _lost(self, ticket: Ticket) -> None:
        """An aborted batch may have left rows in the cache: go back to what is known."""
        assert ticket.seat is not None
        row = ticket.row
        index, offset = ticket.plan.at(row)
        if offset and isinstance(ticket.plan.segments[index], PictureSegment):
            row -= offset  # under M-RoPE a picture's rows cannot be told apart by position
        after = max(0, row - ticket.plan.rows)  # tokens of the answer
        end = ticket.plan.position(row) + after
        if not self.model.can_roll_back or not self._context.roll_back(ticket.seat.seq, end):
            self._restart(ticket)  # a recurrent state may have been half overwritten
        elif row < ticket.row:
            self._scheduler.rewind(ticket, row)

    def _restart(self, ticket: Ticket) -> None:
        """What the cache holds of a request is of no use: queue it again."""
        assert ticket.seat is not None
        self._context.forget(ticket.seat.seq)
        self._scheduler.requeue(ticket)
        self._ready_rows.pop(ticket.id, None)

    def _share(self, step: RowStep | TokenStep, seconds: float) -> None:
        """Share a step's time out by rows."""
        total = sum(take[1] for take in step.takes)
        for ticket, rows, *_ in step.takes:
            job = self._jobs[ticket.id]
            if ticket.pending is None:
                job.prefill += seconds * rows / total
            else:
                job.generate += seconds * rows / total

    def _pick(self, job: _Job, index: int) -> None:
        """Pick a token, show what is certain of the text, end the answer where it ends."""
        id = job.ticket.id
        if self._observer is not None:
            self._observer.picking(id, job.answered, self._context.logits(index))
        token = self._next(job, index)
        if self.model.ends(token):
            self._finish(job, "stop")
            return
        job.answered += 1
        piece = self.model.piece(token)
        if not piece and (name := self.model.text(token)) in self.files.card.think:
            piece = name.encode()  # in some vocabularies the tags are special tokens
        text = job.stream.feed(piece)
        if text and job.request.stream:
            self._send(Delta(id, text))
        if job.stream.stopped or (job.grammar is not None and job.grammar.ended):
            self._finish(job, "stop")
        elif job.answered >= job.request.max_tokens or job.ticket.full:
            self._finish(job, "length")
        elif job.request.end_loops and job.answered % 16 == 0 and loops(job.stream.text):
            self._finish(job, "loop")
        else:
            self._scheduler.picked(job.ticket, token)

    def _next(self, job: _Job, index: int) -> int:
        """The answer's next token. Where a grammar does not allow what comes first, one of those it allows.

        llama.cpp's order (common/sampling.cpp): the mask of a whole vocabulary is made only where it is needed.
        """
        if job.grammar is None:
            free: int = self._context.sample(job.sampler, index)
            return free
        token: int = self._context.pick(job.sampler, index)
        if not job.grammar.allows(token):
            token = self._context.pick(job.sampler, index, job.grammar.mask())
        job.sampler.accept(token)
        if not self.model.ends(token):
            job.grammar.take(token)
        return token

    def _finish(self, job: _Job, reason: FinishReason) -> None:
        text = job.stream.finish()
        if text and job.request.stream:
            self._send(Delta(job.ticket.id, text))
        spent = job.pictures.spent
        answer = Answer(
            job.stream.text,
            reason,
            replace(job.usage, answer_tokens=job.answered),
            Timings(job.load, spent.picture, spent.encode, job.prefill, job.generate),
            self.files.name,
        )
        self._end(Done(job.ticket.id, answer))
        self._drop(job)

    # ------------------------------------------------------------------------------------------ for one caller

    def run(self, requests: Iterable[Request]) -> list[Answer | VlmError]:
        """Answer requests and return the outcomes in their order; for code that wants no events."""
        outcomes: dict[int, Answer | VlmError] = {}
        for number, event in run(self, requests):
            if isinstance(event, Done):
                outcomes[number] = event.answer
            elif isinstance(event, Failed):
                outcomes[number] = event.error
        return [outcomes[number] for number in sorted(outcomes)]


def _too_late() -> TimedOut:
    return TimedOut("there was no answer in the time that it may take", "--timeout gives it more")


def _internal(bug: Exception) -> NativeError:
    return NativeError(f"the engine failed ({type(bug).__name__}: {bug})", "please report this")
