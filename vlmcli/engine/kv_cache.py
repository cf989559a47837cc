"""The KV cache, made to hold what the scheduler has decided.

The scheduler decides, this performs: it forks, rolls back and decodes sequences, and tells the scheduler what came of
it. It knows tickets and rows, but no requests, answers or events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from vlmcli.engine.choices import WAVE, Wave
from vlmcli.engine.native import Context, Decoded, Float32, Model
from vlmcli.engine.plan import Int32, PictureSegment
from vlmcli.engine.scheduler import Scheduler
from vlmcli.engine.seats import Admission, RowStep, Ticket, TokenStep
from vlmcli.errors import RequestError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

log = logging.getLogger("vlmcli.engine")

RowsOf = Callable[[Ticket, PictureSegment], Float32]
"""Gives a ticket's encoded picture: float32 [rows, n_embd_inp]."""


class KVCache:
    """Performs on a context what its scheduler says."""

    def __init__(self, model: Model, context: Context, scheduler: Scheduler) -> None:
        self._model = model
        self._context = context
        self._scheduler = scheduler

    def seat(self, admission: Admission) -> bool:
        """Let the ticket's sequence hold what it begins with. False when it does not; then the ticket is queued again.

        llama.cpp may have overwritten rows that the scheduler believes in, so what is there is compared with that.
        """
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
            log.warning("the cache of sequence %d is not as expected; computing it again", seq)
            for doubtful in {seq, seq if admission.source is None else admission.source}:
                self._context.forget(doubtful)
                self._scheduler.distrust(doubtful)
            return False
        return True

    def restore(self, ticket: Ticket, pieces: Sequence[memoryview], row: int, last: int) -> bool:
        """Put back what another process computed: the ticket's first rows, up to `row`. False if nothing is there then.

        Args:
            ticket: with a seat, whose rows are given up.
            pieces: the state of exactly those rows, as `state` gives it.
            row: how many they are.
            last: the highest position in it.
        """
        assert ticket.seat is not None
        seq = ticket.seat.seq
        self._scheduler.rewind(ticket, 0)
        if not self._context.restore(seq, pieces, self._scheduler.spare):
            return False
        if self._context.last_position(seq) != last:
            log.warning("a kept state is not of this prompt; computing it")
            self._context.forget(seq)
            return False
        self._fork(self._scheduler.commit([(ticket, row)]))
        return True

    def state(self, ticket: Ticket, takes: Callable[[int], bool]) -> list[memoryview]:
        """What a ticket's sequence holds now, for `restore`; empty where nobody takes so many bytes."""
        assert ticket.seat is not None
        if not takes(self._context.state_size(ticket.seat.seq)):
            return []
        return self._context.state(ticket.seat.seq, self._scheduler.spare)

    def decode(self, step: RowStep | TokenStep, rows_of: RowsOf) -> Decoded:
        """Run one batch through the language model. Raises NativeError."""
        if isinstance(step, RowStep):
            return self._context.decode_rows(*self._gather(step, rows_of), step.causal)
        return self._context.decode_tokens(step.tokens, step.positions, step.seqs, step.logits)

    def _gather(self, step: RowStep, rows_of: RowsOf) -> tuple[Float32, Int32, Int32]:
        """The rows of a step, their positions [n_pos, rows], and their sequences [rows]."""
        rows, positions, seqs = [], [], []
        for ticket, count, segment, offset in step.takes:
            assert ticket.seat is not None
            start = ticket.plan.position(ticket.row - offset)
            rows.append(rows_of(ticket, segment)[offset : offset + count])
            positions.append(segment.position_rows(start, self._model.n_pos)[:, offset : offset + count])
            seqs.append(np.full(count, ticket.seat.seq, np.int32))
        return np.concatenate(rows), np.concatenate(positions, axis=1), np.concatenate(seqs)

    def decode_wave(self, ticket: Ticket, wave: Wave) -> Decoded:
        """Decode choices behind a ticket's prompt; what it adds to the cache is taken away again at the next one.

        Raises NativeError; RequestError where the context has no sequence for it.
        """
        assert ticket.seat is not None
        seq, end = ticket.seat.seq, ticket.plan.positions
        branches = self._branches(ticket)
        for branch in branches[: wave.branches]:
            if branch != seq:
                self._context.fork(seq, branch, end)
        owners = [[branches[number] for number in row] for row in wave.owners]
        positions = np.array(wave.depths, np.int32) + end
        return self._context.decode_branches(np.array(wave.tokens, np.int32), positions, owners)

    def forget_wave(self, ticket: Ticket) -> None:
        """Take away what a wave has added to the cache."""
        assert ticket.seat is not None
        seq = ticket.seat.seq
        for branch in self._branches(ticket):
            if branch != seq:
                self._context.forget(branch)
            elif not self._context.roll_back(seq, ticket.plan.positions):
                self.restart(ticket)

    def branches(self, ticket: Ticket) -> int:
        """How many paths of choices a wave behind a ticket's prompt may have. Raises RequestError where it is none."""
        return len(self._branches(ticket))

    def _branches(self, ticket: Ticket) -> Sequence[int]:
        """The sequences of a wave; the ticket's own where there are no others, and it can be cut behind the prompt."""
        assert ticket.seat is not None
        if self._context.branches:
            return self._context.branches
        if not self._model.can_roll_back or self._context.n_outputs < WAVE:
            raise RequestError("this engine was not opened for requests with choices", "please report this")
        return (ticket.seat.seq,)

    def commit(self, step: RowStep | TokenStep) -> None:
        """The step's rows are in the cache: move its tickets on, and keep copies where the scheduler wants them."""
        self._fork(self._scheduler.commit((take[0], take[1]) for take in step.takes))

    def _fork(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Keep copies of whole sequences: (source, target)."""
        for source, target in pairs:
            self._context.fork(source, target, self._context.last_position(source) + 1)

    def go_back(self, ticket: Ticket) -> None:
        """An aborted batch may have left rows in the cache: go back to those that are known."""
        assert ticket.seat is not None
        row = ticket.row
        index, offset = ticket.plan.at(row)
        if offset and isinstance(ticket.plan.segments[index], PictureSegment):
            row -= offset  # under M-RoPE a picture's rows cannot be told apart by position
        after = max(0, row - ticket.plan.rows)  # tokens of the answer
        end = ticket.plan.position(row) + after
        if not self._model.can_roll_back or not self._context.roll_back(ticket.seat.seq, end):
            self.restart(ticket)  # a recurrent state may have been half overwritten
        elif row < ticket.row:
            self._scheduler.rewind(ticket, row)

    def restart(self, ticket: Ticket) -> None:
        """What the cache holds of a ticket is of no use: forget it, and queue the ticket again."""
        assert ticket.seat is not None
        self._context.forget(ticket.seat.seq)
        self._scheduler.requeue(ticket)
