"""Who has which sequence, what is computed next, and what need not be computed at all.

It decides only: pure Python over small objects. The engine does what it says and reports back with `commit`,
`rewind` or `requeue`. One sequence belongs to one request at a time; afterwards its rows stay, to be extended or
forked by a request that begins alike, until their cells are needed.

Rows are KV cache cells, counted once where sequences share them (each has a serial number).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from vlmcli.engine.plan import Identities, PictureSegment, Plan, TextSegment, common_prefix
from vlmcli.engine.seats import Admission, RowStep, Seat, Ticket, TokenStep
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

WORTH_WAITING = 64  # rows of text another request is about to compute
SOON = 64
"""Tokens of an answer. One with fewer is expected to end soon, and what has no room beside it waits for that."""
LATELY = 64
"""Prompts with pictures; what one of the last ones had is had again."""
AGAIN = 3
"""Times as many cells as make a crowd are kept of pictures that are asked about again and again."""


class Scheduler:
    """Seats, the queue before them, and the next step.

    `first_rows_only`: logits can only be had for the first rows of a batch. `crowd`: cells above which no request
    begins beside others that end soon, as all would be slower together than one after the other; 0 for any number. On
    a CPU, attention looks at all cells up to the last one that is used, so that each one slows all others down
    (llama-kv-cache.cpp, get_n_kv). Half as many are kept for whoever may come.
    """

    def __init__(
        self,
        n_ctx: int,
        n_batch: int,
        n_seq: int,
        n_parallel: int,
        can_roll_back: bool,
        first_rows_only: bool = False,
        crowd: int = 0,
    ) -> None:
        self.n_ctx = n_ctx
        self.n_batch = n_batch
        self.n_parallel = min(n_parallel, n_seq)
        self.can_roll_back = can_roll_back
        self.first_rows_only = first_rows_only
        self.crowd = crowd or n_ctx
        self.seats = [Seat(seq) for seq in range(n_seq)]
        self.waiting: list[Ticket] = []
        self._clock = 0
        self._serial = 0
        self._lately: dict[int, None] = {}  # of the last prompts, the last row of a picture

    @property
    def active(self) -> list[Ticket]:
        """Tickets with a seat, oldest first."""
        return sorted((seat.ticket for seat in self.seats if seat.ticket is not None), key=lambda ticket: ticket.id)

    @property
    def spare(self) -> int | None:
        """A sequence that is empty and nobody's; None where there is none."""
        return next((seat.seq for seat in self.seats if seat.ticket is None and not seat.rows), None)

    def enqueue(
        self, id: int, plan: Plan, max_tokens: int, continues: bool = False, on_disk: Callable[[], int] = lambda: 0
    ) -> Ticket:
        """A new ticket at the end of the queue; its plan must leave a cell for a token.

        Where the conversation continues, the next prompt begins like this one but for its last tokens, perhaps: those
        with which a template opens the answer.
        """
        keep = plan.rows - min(6, plan.rows // 25) if continues and not self.can_roll_back else 0
        reserve = min(plan.rows + max_tokens, self.n_ctx)
        ticket = Ticket(id, plan, reserve, keep if keep > plan.anchor else 0, continues, on_disk=on_disk)
        self.waiting.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The request has ended; its rows stay for others."""
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        if ticket.seat is not None:
            self._touch(ticket.seat)
            ticket.seat.ticket = None
            ticket.seat = None

    # ------------------------------------------------------------------------------------------ admission

    def admit(self) -> list[Admission]:
        """Give seats to waiting tickets, in order, as far as seats and cells go.

        One whose prefix another ticket is just computing waits for it, and lets later ones pass.
        """
        admitted = []
        for ticket in list(self.waiting):
            if len(self.active) >= self.n_parallel:
                break
            if self._worth_waiting(ticket):
                continue
            if self._is_crowded(ticket):
                break
            admission = self._admit(ticket)
            if admission is None:
                break
            self.waiting.remove(ticket)
            admitted.append(admission)
        return admitted

    def _usable(self, seat: Seat, plan: Plan) -> int:
        """How many rows of the seat a plan can take over."""
        common = _common(seat.rows, plan.identities)
        if self.can_roll_back:
            return plan.safe_cut(common)
        return common if common == len(seat.rows) and plan.safe_cut(common) == common else 0

    def _best(self, plan: Plan) -> tuple[Seat | None, int]:
        best: tuple[Seat | None, int] = (None, 0)
        for seat in self.seats:
            rows = self._usable(seat, plan)
            if rows > best[1]:
                best = (seat, rows)
        return best

    def _worth_waiting(self, ticket: Ticket) -> bool:
        now = self._best(ticket.plan)[1]
        for other in self.active:
            common = ticket.plan.safe_cut(common_prefix(other.plan.identities, ticket.plan.identities))
            if not self.can_roll_back:
                common = other.plan.anchor if common >= other.plan.anchor else 0
            if other.row < common and common > now and _is_much(ticket.plan.identities[now:common]):
                return True
        return False

    def _is_crowded(self, ticket: Ticket) -> bool:
        """Whether a ticket had better wait until one of those that end soon has ended."""
        soon = [other for other in self.active if len(other.answered) < SOON]
        if not soon:
            return False
        held = {serial for other in soon if other.seat is not None for serial in other.seat.serials}
        growth = sum(max(0, other.plan.rows - other.row) for other in soon)
        known = self._best(ticket.plan)[1]
        if len(held) + growth + ticket.plan.rows - known <= self.crowd:
            return False
        # One that has little to compute before it answers gains more by sharing each token's batch than it loses.
        return _is_much(ticket.plan.identities[max(known, ticket.kept) :])

    def _admit(self, ticket: Ticket) -> Admission | None:
        source, keep = self._best(ticket.plan)
        seat = self._seat_for(source, keep)
        if seat is None:
            return None
        forget = [] if seat is source or not seat.rows else [seat]
        idle = sorted((one for one in self.seats if one.ticket is None and one.rows), key=lambda one: one.touched)
        spare = [one for one in idle if one is not seat and one is not source]
        while not self._fits(ticket, seat, source, keep, forget):
            if spare:
                forget.append(spare.pop(0))
            elif source is not None and source is not seat and source.ticket is None:
                # Its tail is in the way. Extend it in place where that can be, or start cold.
                if self.can_roll_back or keep == len(source.rows):
                    forget = [one for one in forget if one is not seat] + ([seat] if seat.rows else [])
                    seat = source
                else:
                    forget.append(source)
                    source, keep = None, 0
            elif not self.active:
                raise AssertionError("a ticket alone always fits")
            else:
                return None
        forget += self._stale([one for one in idle if one is not seat and one is not source and one not in forget])
        for one in forget:
            one.truncate(0)
            one.checkpoint = one.lasting = one.stored = one.is_asked_again = False
        again = self._has_come_again(ticket.plan)
        if source is not None and _is_of_use(source, keep):
            source.is_asked_again |= again
        stored = source is not None and source.stored and _is_of_use(source, keep)
        if seat is source:
            seat.truncate(keep)
        elif source is not None:
            seat.rows, seat.serials = source.rows[:keep], source.serials[:keep]
            self._touch(source)
        else:
            seat.truncate(0)
        seat.checkpoint, seat.lasting, seat.stored, seat.is_asked_again = False, ticket.continues, stored, again
        seat.ticket, ticket.seat = ticket, seat
        ticket.row = keep
        self._touch(seat)
        forked = source.seq if source is not None and source is not seat else None
        return Admission(ticket, tuple(one.seq for one in forget), forked, ticket.plan.position(keep) if keep else 0)

    def _has_come_again(self, plan: Plan) -> bool:
        """Whether one of the last prompts had the same pictures. From now on, this is one of them."""
        if not plan.anchor:
            return False
        last = int(plan.identities[plan.anchor - 1])
        found = last in self._lately
        self._lately.pop(last, None)
        self._lately[last] = None
        if len(self._lately) > LATELY:
            del self._lately[next(iter(self._lately))]
        return found

    def _stale(self, idle: Sequence[Seat]) -> list[Seat]:
        """Of idle sequences, from the oldest to the newest, those that are not worth their cells.

        Kept are those of conversations, those that somebody waits for, the newest as far as there is room, of which
        more is for pictures that are asked about again, and the last one unless the disk has it, too.
        """
        others = [
            seat
            for seat in idle
            if not seat.lasting
            and not any(_is_of_use(seat, self._usable(seat, ticket.plan)) for ticket in self.waiting)
        ]
        stale, kept = [], set[int]()
        for number, seat in enumerate(reversed(others)):
            cells = kept.union(seat.serials)
            if len(cells) <= (self.crowd * AGAIN if self._is_asked_again(seat) else self.crowd // 2):
                kept = cells
            elif number or seat.stored:
                stale.append(seat)
        return stale[::-1]

    def _is_asked_again(self, seat: Seat) -> bool:
        """Whether a sequence's pictures are asked about again and again, and lately, too."""
        last = next((row for row in reversed(seat.rows) if row < 0), 0)
        return seat.is_asked_again and last in self._lately

    def _seat_for(self, source: Seat | None, keep: int) -> Seat | None:
        """An idle seat: the source itself when nothing of worth is lost by it, else an empty one, else the oldest."""
        idle = [seat for seat in self.seats if seat.ticket is None]
        if not idle:
            return None
        in_place = source is not None and source.ticket is None and not source.checkpoint
        if source is not None and in_place and keep == len(source.rows):
            return source
        if source is not None and in_place and self.can_roll_back and not _is_of_use(source, keep):
            idle.sort(key=lambda seat: seat.touched)
            if source in self._stale(idle):
                return source  # it would be forgotten in any case
        empty = next((seat for seat in idle if not seat.rows), None)
        if empty is not None:
            return empty
        if source is not None and in_place and self.can_roll_back and min(source.rows[keep:]) >= 0:
            return source  # only an old question and its answer go
        others = [seat for seat in idle if seat is not source]
        if not others:
            return source if source is not None and self.can_roll_back and in_place else None
        return min(others, key=lambda seat: seat.touched)

    def _fits(self, ticket: Ticket, seat: Seat, source: Seat | None, keep: int, forget: list[Seat]) -> bool:
        """Whether all tickets could take what they have reserved."""
        held: set[int] = set()
        for one in self.seats:
            if one in forget or (one is seat and one is not source):
                continue
            held.update(one.serials[:keep] if one is seat else one.serials)
        growth = sum(other.reserve - other.row for other in self.active)
        return len(held) + growth + ticket.reserve - keep <= self.n_ctx

    def may_restore(self, ticket: Ticket) -> bool:
        """Whether there is room for all of a ticket's rows in cells of their own, shared with no other sequence."""
        held = {serial for one in self.seats if one is not ticket.seat for serial in one.serials}
        growth = sum(other.reserve - other.row for other in self.active if other is not ticket)
        return len(held) + growth + ticket.reserve <= self.n_ctx

    # ------------------------------------------------------------------------------------------ steps

    def pictures(self) -> list[tuple[Ticket, PictureSegment]]:
        """The picture each ticket waits for, oldest ticket first."""
        found = []
        for ticket in self.active:
            segment = ticket.segment
            if isinstance(segment, PictureSegment):
                found.append((ticket, segment))
        return found

    def row_step(self, ready: Callable[[Ticket], bool]) -> RowStep | None:
        """As many ready picture rows as one batch holds; a bidirectional picture whole or not at all."""
        takes: list[tuple[Ticket, int, PictureSegment, int]] = []
        room = self.n_batch
        causal = True
        for ticket, segment in self.pictures():
            if not ready(ticket):
                continue
            if takes and segment.bidirectional == causal:
                continue  # the other kind; next time
            offset = ticket.plan.at(ticket.row)[1]
            rows = min(segment.rows - offset, room)
            if rows <= 0 or (segment.bidirectional and rows < segment.rows):
                continue
            causal = not segment.bidirectional
            takes.append((ticket, rows, segment, offset))
            room -= rows
        return RowStep(tuple(takes), causal) if takes else None

    def token_step(self) -> TokenStep | None:
        """A token of each answer under way, and as much text of prompts as the batch still holds."""
        tokens: list[int] = []
        positions: list[int] = []
        seqs: list[int] = []
        takes: list[tuple[Ticket, int, int | None]] = []
        outputs: list[int] = []
        for ticket in sorted(self.active, key=lambda ticket: not ticket.last):
            assert ticket.seat is not None
            room = self.n_batch - len(tokens)
            if room <= 0:
                break
            if ticket.pending is None and ticket.row == ticket.plan.rows:
                continue  # its choices are being decoded
            if ticket.pending is not None:
                new = [ticket.pending]
                start = ticket.plan.positions + ticket.row - ticket.plan.rows
            else:
                index, offset = ticket.plan.at(ticket.row)
                segment = ticket.plan.segments[index]
                if not isinstance(segment, TextSegment):
                    continue
                if ticket.row < ticket.keep:
                    room = min(room, ticket.keep - ticket.row)
                if self.first_rows_only and not ticket.last:
                    room = min(room, ticket.plan.rows - 1 - ticket.row)
                new = list(segment.tokens[offset : offset + room])
                start = ticket.plan.position_starts[index] + offset
            tokens += new
            positions += range(start, start + len(new))
            seqs += [ticket.seat.seq] * len(new)
            output = None
            if ticket.row + len(new) >= ticket.plan.rows:
                output = len(tokens) - 1
                outputs.append(output)
            takes.append((ticket, len(new), output))
        if not tokens:
            return None
        logits = np.zeros(len(tokens), np.bool_)
        logits[outputs] = True
        t, p, s = (np.array(values, np.int32) for values in (tokens, positions, seqs))
        return TokenStep(t, p, s, logits, tuple(takes))

    def commit(self, taken: Iterable[tuple[Ticket, int]]) -> list[tuple[int, int]]:
        """These many rows of these tickets are in the cache now. Returns sequences to fork whole: (source, target)."""
        forks = []
        for ticket, count in taken:
            seat = ticket.seat
            assert seat is not None
            if ticket.pending is not None:
                seat.rows.append(ticket.pending)
            else:
                seat.rows.extend(ticket.plan.identities[ticket.row : ticket.row + count].tolist())
            seat.serials.extend(range(self._serial, self._serial + count))
            self._serial += count
            ticket.row += count
            if not self.can_roll_back and ticket.row in (ticket.plan.anchor, ticket.keep):
                target = self._checkpoint(seat)
                if target is not None:
                    forks.append((seat.seq, target))
        return forks

    def _checkpoint(self, seat: Seat) -> int | None:
        """Keep a copy of a sequence as it stands, for models that cannot go back to it."""
        idle = [one for one in self.seats if one.ticket is None and one.rows != seat.rows]
        if not idle or any(one.rows == seat.rows for one in self.seats if one is not seat):
            return None
        target = min(idle, key=lambda one: (bool(one.rows), one.touched))
        target.rows, target.serials, target.checkpoint = seat.rows[:], seat.serials[:], True
        target.is_asked_again = seat.is_asked_again
        self._touch(target)
        return target.seq

    def picked(self, ticket: Ticket, token: int) -> None:
        """The next token of the ticket's answer."""
        ticket.pending = token
        ticket.answered.append(token)

    def rewind(self, ticket: Ticket, row: int) -> None:
        """The ticket's rows from `row` on, all of its prompt, are lost: compute them again."""
        assert ticket.seat is not None
        ticket.seat.truncate(row)
        ticket.row = row

    def requeue(self, ticket: Ticket) -> None:
        """All rows of the ticket's sequence are lost: it waits for a seat again, its answer so far part of its plan."""
        assert ticket.seat is not None
        ticket.seat.truncate(0)
        ticket.seat.ticket = None
        ticket.seat = None
        ticket.plan = ticket.plan.extended(ticket.answered)
        ticket.answered, ticket.pending, ticket.row = [], None, 0
        self.waiting.append(ticket)
        self.waiting.sort(key=lambda one: one.id)

    def distrust(self, seq: int) -> None:
        """The sequence does not hold what it should: nobody may take anything over from it."""
        seat = self.seats[seq]
        if seat.ticket is not None:
            self.requeue(seat.ticket)
        seat.truncate(0)
        seat.checkpoint = seat.stored = False

    def _touch(self, seat: Seat) -> None:
        self._clock += 1
        seat.touched = self._clock


def _is_of_use(seat: Seat, rows: int) -> bool:
    """Whether a sequence's first rows are worth a detour: a picture is among them, or much text."""
    return rows >= WORTH_WAITING or (rows > 0 and min(seat.rows[:rows]) < 0)


def _is_much(rows: Identities) -> bool:
    """Whether rows take long to compute: one of a picture is among them, or they are many."""
    return len(rows) >= WORTH_WAITING or bool((rows < 0).any())


def _common(rows: array[int], identities: Identities) -> int:
    return common_prefix(np.frombuffer(rows, np.int64), identities) if rows else 0
