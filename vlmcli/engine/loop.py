"""The engine's loop: any number of requests, answered together, in one thread.

Each turn reads messages, gives sequences to requests, then runs at most one picture through the encoder, one batch of
picture rows and one batch of text through the language model, so that no request waits long for another. A single
request is a batch of one.

The scheduler decides what comes next; the KV cache, each request's pictures and its answer do it. The loop knows who is
who: it counts time, sends events, and lets what goes wrong with one request fail only that one. It knows no pixels.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from vlmcli.engine.answering import Answering
from vlmcli.engine.desk import Close, Desk, Submit, internal
from vlmcli.engine.job import Job, check
from vlmcli.engine.kv_cache import KVCache
from vlmcli.engine.ledger import Ledger, Spent
from vlmcli.engine.loading import Loaded
from vlmcli.engine.native import Decoded, Float32, Watch
from vlmcli.engine.observer import Observer
from vlmcli.engine.plan import PictureSegment
from vlmcli.engine.planning import Planned
from vlmcli.engine.prefixes import Prefixes
from vlmcli.engine.scheduler import Scheduler
from vlmcli.engine.seats import RowStep, Ticket, TokenStep
from vlmcli.engine.vision import Pictures
from vlmcli.errors import Cancelled, ContextFull, NativeError, VlmError
from vlmcli.values import Delta, Done, Failed, FinishReason, Measured, Progress, Request, Started, Usage

log = logging.getLogger("vlmcli.engine")


class Loop:
    """Answers requests with what is loaded. All of it runs in the engine's thread.

    Attributes:
        loaded: the model.
        observer: is shown what happens.
    """

    def __init__(self, loaded: Loaded, desk: Desk, observer: Observer | None, began: float | None = None) -> None:
        """`began`: when the command did, as `Engine` takes it."""
        context, model = loaded.context, loaded.model
        self.loaded = loaded
        self.observer = observer
        self._desk = desk
        self._scheduler = Scheduler(
            context.n_ctx,
            context.n_batch,
            context.n_seq,
            loaded.fit.n_parallel,
            model.can_roll_back,
            model.first_rows_only,
            loaded.crowd,
        )
        self._cache = KVCache(model, context, self._scheduler)
        self._prefixes = Prefixes(loaded, self._scheduler, self._cache)
        self._jobs: dict[int, Job] = {}
        stores = loaded.stores
        self._ledger = Ledger(lambda: 0.0 if stores is None else stores.reading)
        start = 0.0 if began is None else max(0.0, loaded.began - began)
        self._first = Spent(start, loaded.seconds, loaded.waited)  # until the first request has waited for it
        self._loaded_at = loaded.began + loaded.seconds + loaded.waited

    def turn(self) -> bool:
        """One turn; False when the engine is to close. A call that was aborted ends the turn."""
        if not self._read():
            return False
        for admission in self._scheduler.admit():
            ticket = admission.ticket
            # An earlier one's failure may have taken its seat back.
            if ticket.seat is not None and self._cache.seat(admission):
                self._seated(self._jobs[ticket.id])
        if not self._encode_one():
            return True
        row_step = self._scheduler.row_step(lambda ticket: self._jobs[ticket.id].ready is not None)
        if row_step is not None and not self._decode(row_step):
            return True
        token_step = self._scheduler.token_step()
        if token_step is not None and not self._decode(token_step):
            return True
        for job in [job for job in self._jobs.values() if job.choosing]:
            self._guard(job.id, self._choose, job)
        return True

    def close(self) -> None:
        """Free what requests hold outside the cache. Their last events are the desk's matter."""
        for job in list(self._jobs.values()):
            self._drop(job)

    # ------------------------------------------------------------------------------------------ requests in and out

    def _read(self) -> bool:
        """Read the messages; wait for one when there is nothing to do. False to close."""
        if self._desk.closing:
            return False
        if self._jobs:
            message = self._desk.read(wait=False)
        else:
            self._ledger.lap()  # tidying up, which was nobody's
            message = self._desk.read(wait=True)
            self._ledger.book_idle()
        while message is not None:
            if isinstance(message, Close):
                return False
            if isinstance(message, Submit):
                if self._desk.is_open(message.id):
                    self._guard(message.id, self._take, message)
            elif message.id in self._jobs:
                self._drop(self._jobs[message.id])
            message = self._desk.read(wait=False)
        return True

    def _guard(self, id: int, work: Callable[..., None], *arguments: object) -> None:
        """Do something for one request: whatever goes wrong fails that request, and no other."""
        try:
            work(*arguments)
        except Exception as error:  # a bug in one request's way must not end the others
            if not isinstance(error, VlmError):
                log.exception("request %d failed", id)
            self._desk.end(Failed(id, error if isinstance(error, VlmError) else internal(error)))
            if id in self._jobs:
                self._drop(self._jobs[id])

    def _take(self, message: Submit) -> None:
        """Plan a request and queue it; or only say how much it would take."""
        loaded, id, request = self.loaded, message.id, message.request
        spent, before = self._spent_before(message)
        was_loaded = loaded.lazy.is_loaded
        planned = self._plan(id, request)
        self._ledger.book(spent, "other" if was_loaded or not loaded.lazy.is_loaded else "load")
        plan = planned.plan
        if request.measure:
            self._desk.end(self._measured(id, planned))
            return
        check(loaded, planned)
        if self.observer is not None:
            self.observer.planned(id, plan)
        answering = Answering(loaded, request, planned.begun)
        self._first = Spent()
        on_disk = functools.partial(self._prefixes.kept_rows, planned)
        ticket = self._scheduler.enqueue(id, plan, planned.room, request.continues, on_disk)
        pictures = Pictures(loaded.vision, planned.prompt)
        usage = Usage(plan.picture_rows, plan.rows)
        self._jobs[id] = Job(ticket, planned, pictures, answering, usage, spent, message.at, before, loaded.unit)

    def _spent_before(self, message: Submit) -> tuple[Spent, float]:
        """What has been spent on a request that is new; and how much of that was before it came."""
        idle, self._ledger.idle = self._ledger.idle, 0.0
        spent = replace(self._first)
        if message.request.since is not None:
            spent.picture += max(0.0, min(idle, message.at - message.request.since))
        after = max(0.0, min(spent.load, self._loaded_at - message.at))
        return spent, spent.timings().all - after

    def _measured(self, id: int, planned: Planned) -> Measured:
        """How much a planned request would take, and how much of it earlier commands have kept."""
        loaded, plan = self.loaded, planned.plan
        inputs = [segment for segment in plan.segments if isinstance(segment, PictureSegment)]
        return Measured(
            id, loaded.context.n_ctx, plan.rows, planned.rows_of_pictures(), len(inputs),
            sum(map(loaded.vision.has, inputs)), self._prefixes.kept_rows(planned),
        )  # fmt: skip

    def _plan(self, id: int, request: Request) -> Planned:
        """Plan a request, for which the projector may have to be loaded. Raises as that does."""
        if self.loaded.lazy.is_loaded:
            return self.loaded.planner.plan(request)
        if not self._desk.enter([id]):
            raise Cancelled()
        try:
            return self.loaded.planner.plan(request)
        finally:
            self._desk.leave()

    def _has_projector(self, job: Job) -> bool:
        """Load the projector if it is not there yet. False if that was aborted, or failed, and the request with it."""
        if self.loaded.lazy.is_loaded:
            return True
        if not self._desk.enter([job.id]):
            return False
        self._ledger.book(job.spent, "other")
        try:
            self.loaded.lazy.get()
            self._ledger.book(job.spent, "load")
        except Cancelled:
            return False
        except VlmError as error:
            self._fail(job, error)
            return False
        finally:
            self._desk.leave()
        return True

    def _seated(self, job: Job) -> None:
        """A request has got its sequence, which holds the beginning of its prompt, perhaps."""
        if not job.started:
            job.started = True
            if self.observer is not None and self._desk.enter([job.id]):
                try:
                    self.observer.starting(job.id, job.request)
                finally:
                    self._desk.leave()
            self._ledger.book(job.spent, "other")
            restored = self._prefixes.restore(job)
            self._ledger.book(job.spent, "restore")
            job.usage = replace(job.usage, reused_tokens=job.ticket.row, restored_tokens=restored)
            self._desk.send(Started(job.id, job.spent.timings(), job.usage.prompt_tokens))
        if not job.needs_encoder or self._has_projector(job):
            job.seated()
        self._ledger.book(job.spent, "other")

    def _fail(self, job: Job, error: VlmError) -> None:
        self._desk.end(Failed(job.id, error))
        self._drop(job)

    def _finish(self, job: Job, reason: FinishReason) -> None:
        self._show(job, job.answering.finish())
        self._ledger.book(job.spent, "generate")
        self._desk.end(Done(job.id, job.answer(reason, self.loaded.files.name, time.monotonic())))
        self._drop(job)

    def _drop(self, job: Job) -> None:
        """Forget a request that has ended. Its rows stay in the cache, for others."""
        self._ledger.lap()  # what an aborted call took is nobody's
        job.close()
        self._scheduler.leave(job.ticket)
        self._jobs.pop(job.id, None)

    # ------------------------------------------------------------------------------------------ the encoder

    def _encode_one(self) -> bool:
        """Get the rows of every picture that is next in its prompt; at most one from the encoder. False if aborted."""
        waiting = self._scheduler.pictures()
        others = len(waiting) < len(self._scheduler.active)  # who can go on while pixels are being prepared
        encoded = False
        for ticket, segment in waiting:
            job = self._jobs[ticket.id]
            if job.ready is not None:
                continue
            rows = job.pictures.known(segment)
            if rows is not None:
                job.pictures.remembered += 1
                job.encoded(segment, rows)
                continue
            if not self._has_projector(job):
                return False
            job.pictures.prepare(segment)
            if encoded or (others and not job.pictures.prepared(segment)):
                continue
            encoded = True
            if not self._encode(job, segment):
                return False
        return True

    def _encode(self, job: Job, segment: PictureSegment) -> bool:
        """Run one picture through the encoder. False if it was aborted; where it fails, its request does."""
        if not self._desk.enter([job.id]):
            return False
        watch = Watch() if self.observer is not None and self.observer.watches else None
        self._ledger.book(job.spent, "other")
        try:
            chunks = job.pictures.wait(segment)
            self._ledger.book(job.spent, "picture")
            rows = job.pictures.encode(segment, chunks, self._on_layer(job, segment), watch)
            self._ledger.book(job.spent, "encode")
            self._show_prefill(job)
        except Cancelled:
            return False  # the inbox says who
        except VlmError as error:
            self._fail(job, error)
            return True
        finally:
            self._desk.leave()
        if self.observer is not None and watch is not None:
            self.observer.encoded(job.id, segment, watch, rows)
        job.encoded(segment, rows)
        return True

    def _on_layer(self, job: Job, segment: PictureSegment) -> Callable[[int], None]:
        """Shows progress over all of a prompt's encoder inputs, layer by layer."""
        layers = self.loaded.files.encoder_layers

        def on_layer(layer: int) -> None:
            self._desk.beat()
            if layers and self._desk.is_due(job.id, "encode"):
                done, inputs = job.encoded_share(segment, layer / layers)
                so_far = replace(job.spent, encode=job.spent.encode + self._ledger.running).timings()
                self._desk.send(Progress(job.id, "encode", done, so_far, inputs))

        return on_layer

    # ------------------------------------------------------------------------------------------ the language model

    def _decode(self, step: RowStep | TokenStep) -> bool:
        """Run one batch, and take what came of it. False if it was aborted."""
        jobs = [self._jobs[take[0].id] for take in step.takes]
        if not self._desk.enter(job.id for job in jobs):
            return False
        try:
            result = self._cache.decode(step, self._ready_rows)
        except NativeError as error:
            for job in jobs:
                self._cache.restart(job.ticket)
                self._fail(job, error)
            return True
        finally:
            self._desk.leave()
        if result is not Decoded.OK:
            self._go_back(jobs, result)
            return False
        self._count(step)
        self._cache.commit(step)
        self._go_on(step, jobs)
        return True

    def _ready_rows(self, ticket: Ticket, segment: PictureSegment) -> Float32:
        ready = self._jobs[ticket.id].ready
        assert ready is not None
        key, rows = ready
        assert key == segment.key
        return rows

    def _go_back(self, jobs: Sequence[Job], result: Decoded) -> None:
        """A batch was not computed to its end."""
        for job in jobs:
            self._cache.go_back(job.ticket)
        if result is Decoded.FULL:  # the scheduler counts cells, so this is its error; end one, not all
            self._fail(jobs[-1], ContextFull("the context is full", "use a larger one: --ctx N"))

    def _count(self, step: RowStep | TokenStep) -> None:
        """Share a step's time out by rows."""
        seconds = sum(self._ledger.lap())
        total = sum(take[1] for take in step.takes)
        for take in step.takes:
            self._jobs[take[0].id].spend(seconds * take[1] / total)

    def _go_on(self, step: RowStep | TokenStep, jobs: Sequence[Job]) -> None:
        """A step's rows are in the cache: show how far its prompts are, and pick the tokens that it gives."""
        for job in jobs:
            self._show_prefill(job)
        if isinstance(step, RowStep):
            for job, (_, rows, segment, offset) in zip(jobs, step.takes, strict=True):
                if offset + rows == segment.rows:
                    job.ready = None
                    self._prefixes.keep(job)
                    self._ledger.book(job.spent, "other")
        else:
            for job, (_, _, output) in zip(jobs, step.takes, strict=True):
                if output is not None:
                    self._guard(job.id, self._pick, job, output)

    def _show_prefill(self, job: Job) -> None:
        row, rows = job.ticket.row, job.ticket.plan.rows
        if row < rows and self._desk.is_due(job.id, "prefill"):
            self._desk.send(Progress(job.id, "prefill", row / rows, job.spent.timings()))

    def _choose(self, job: Job) -> None:
        """Decode some of a job's choices, or end it when all is known of them."""
        choices = job.planned.choices
        assert choices is not None
        wave = choices.wave(self._cache.branches(job.ticket)) if choices.rows else None
        if wave is None:
            self._finish(job, "stop")
            return
        if not self._desk.enter([job.id]):
            return
        try:
            result = self._cache.decode_wave(job.ticket, wave)
        finally:
            self._desk.leave()
        if result is Decoded.OK:
            for index, path in enumerate(wave.rows):
                choices.take(path, self.loaded.context.logits(index))
        self._cache.forget_wave(job.ticket)
        self._ledger.book(job.spent, "generate")
        if result is Decoded.FULL:
            raise ContextFull("the context is full", "use a larger one: --ctx N")

    def _pick(self, job: Job, index: int) -> None:
        """Pick a token from row `index` of the batch, show the text that is certain, and notice the answer's end."""
        if job.planned.choices is not None:
            job.planned.choices.take((), self.loaded.context.logits(index))
            self._ledger.book(job.spent, "prefill")
            return
        if self.observer is not None:
            self.observer.picking(job.id, job.answering.tokens, self.loaded.context.logits(index))
        token = job.answering.pick(index)
        if not job.answering.tokens:
            self._ledger.book(job.spent, "prefill")
        text, reason = job.answering.take(token, job.ticket.full)
        self._show(job, text)
        if reason is not None:
            self._finish(job, reason)
        else:
            self._scheduler.picked(job.ticket, token)

    def _show(self, job: Job, text: str) -> None:
        if text and job.request.stream:
            self._desk.send(Delta(job.id, text, job.answering.fresh()))
