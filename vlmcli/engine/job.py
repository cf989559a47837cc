"""A request inside the engine: its prompt, checked before anything is computed, and how far it has come.

It computes nothing and sends nothing: the loop does, and keeps its books here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vlmcli.engine.answering import Answering
from vlmcli.engine.ledger import Spent
from vlmcli.engine.loading import Loaded
from vlmcli.engine.native import Float32
from vlmcli.engine.plan import PictureSegment
from vlmcli.engine.planning import Planned
from vlmcli.engine.seats import Ticket
from vlmcli.engine.vision import Pictures
from vlmcli.errors import ContextFull, NoPicture, RequestError
from vlmcli.values import Answer, FinishReason, Request, Usage


def check(loaded: Loaded, planned: Planned) -> None:
    """Raise what keeps a plan from being answered: ContextFull, NoPicture or RequestError."""
    plan, request, n_ctx = planned.plan, planned.request, loaded.context.n_ctx
    if plan.rows >= n_ctx:
        count = len(request.pictures)
        enough = -(-(plan.rows + request.max_tokens) // 1024) * 1024
        raise ContextFull(
            f"{count} picture{'s' * (count > 1)} and the question take {plan.rows} tokens, and the context has {n_ctx}",
            f"use a larger context, --ctx {enough}, or fewer pictures at a time",
        )
    counted = {segment.picture for segment in plan.segments if isinstance(segment, PictureSegment)}
    for number, picture in enumerate(request.pictures):
        if number not in counted:
            raise NoPicture(f"{picture.source}: the picture would not reach the model", "please report this")
    for segment in plan.segments:
        if isinstance(segment, PictureSegment):
            if segment.bidirectional and segment.rows > loaded.context.n_batch:
                raise RequestError(
                    f"a picture of {segment.rows} tokens is larger than a batch", "use a smaller picture: --detail low"
                )
        elif min(segment.tokens) < 0 or max(segment.tokens) >= loaded.model.n_vocab:
            raise RequestError(
                f"{loaded.files.projector.name} needs tokens that {loaded.files.model.name} does not have",
                "use the mmproj file that was published with this model",
            )
    if isinstance(plan.segments[-1], PictureSegment):
        raise RequestError(
            "the prompt ends with a picture", "choose another chat template: --chat-template vicuna, or a file"
        )


@dataclass
class Job:
    """A request that is queued or being answered.

    Attributes:
        ticket: what the scheduler knows of it.
        planned: as it came, with its prompt.
        pictures: on their way to rows.
        answering: the answer so far.
        usage: rows, as far as they are known.
        spent: where its time went.
        came: when, as `time.monotonic` counts.
        before: how much of `spent` was before that.
        unit: pixels of the side of a picture's row, where it has a place in the picture.
        started: whether it has had a sequence.
        stored: whether the disk has the state of its prompt's beginning.
        known: whether the disk has that beginning, with or without its state.
        ready: an encoder input's rows that are to be decoded next, by its key: float32 [rows, n_embd_inp].
    """

    ticket: Ticket
    planned: Planned
    pictures: Pictures
    answering: Answering
    usage: Usage
    spent: Spent
    came: float
    before: float
    unit: int
    started: bool = False
    stored: bool = False
    known: bool = False
    ready: tuple[str, Float32] | None = field(default=None, repr=False)

    @property
    def id(self) -> int:
        """The request's id, as its events carry it."""
        return self.ticket.id

    @property
    def request(self) -> Request:
        """As it came."""
        return self.planned.request

    @property
    def needs_encoder(self) -> bool:
        """Whether a picture that is not in its sequence has to be encoded, too."""
        return any(self.pictures.known(segment) is None for segment in self._missing())

    def seated(self) -> None:
        """It has got a sequence, for the first time or again: begin with the next picture that is not in the cache."""
        self.ready = None
        for segment in self._missing():
            self.pictures.prepare(segment)
            return

    def _missing(self) -> Iterator[PictureSegment]:
        """The encoder inputs whose rows are not in its sequence."""
        plan = self.ticket.plan
        for segment, row in zip(plan.segments, plan.row_starts, strict=True):
            if isinstance(segment, PictureSegment) and row >= self.ticket.row:
                yield segment

    def encoded(self, segment: PictureSegment, rows: Float32) -> None:
        """Keep a segment's rows for decoding, free its picture after the last tile, and begin with the next one."""
        self.ready = (segment.key, rows)
        inputs = self._inputs()
        later = inputs[inputs.index(segment) + 1 :]
        if all(one.picture != segment.picture for one in later):
            self.pictures.release(segment.picture)
        if later:
            self.pictures.prepare(later[0])

    def encoded_share(self, segment: PictureSegment, share: float) -> tuple[float, int]:
        """The share of the prompt's encoder inputs that are done, given the share of this one; and their number."""
        inputs = self._inputs()
        return (inputs.index(segment) + min(1.0, share)) / len(inputs), len(inputs)

    def _inputs(self) -> list[PictureSegment]:
        return [segment for segment in self.ticket.plan.segments if isinstance(segment, PictureSegment)]

    @property
    def computing(self) -> float:
        """Seconds that its prompt has taken so far."""
        return self.spent.picture + self.spent.encode + self.spent.prefill

    def spend(self, seconds: float) -> None:
        """Count time that the language model spent on it; to be called before the ticket moves on."""
        if self.ticket.pending is None:
            self.spent.prefill += seconds
        else:
            self.spent.generate += seconds

    @property
    def choosing(self) -> bool:
        """Whether its prompt is computed, and its choices are what is left."""
        return self.planned.choices is not None and self.ticket.seat is not None and self.ticket.segment is None

    def answer(self, reason: FinishReason, model: str, now: float) -> Answer:
        """The finished answer, by the name of the model that gave it; it is finished `now`."""
        own = self.spent.timings().all - self.before
        pictures = self.pictures
        return Answer(
            self.answering.text,
            reason,
            replace(
                self.usage,
                answer_tokens=self.answering.tokens,
                encoded=pictures.encoded,
                remembered=pictures.remembered,
                from_disk=min(pictures.from_disk, pictures.remembered),
            ),
            self.spent.timings(max(0.0, now - self.came - own)),
            model,
            self.planned.choices.scores() if self.planned.choices is not None else (),
            self.planned.seen(self.unit),
            tuple(self.answering.noted),
            self.answering.stopped_by,
        )

    def close(self) -> None:
        """Free what it holds outside the cache."""
        self.pictures.close()
        self.answering.close()
