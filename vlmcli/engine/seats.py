"""What the scheduler moves: sequences, the requests that have them, and the steps that are computed next."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmcli.engine.plan import Int32, PictureSegment, Plan, TextSegment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass
class Seat:
    """A sequence: the identities and serial numbers of the rows it holds."""

    seq: int
    rows: array[int] = field(default_factory=lambda: array("q"))
    serials: array[int] = field(default_factory=lambda: array("q"))
    ticket: Ticket | None = None
    checkpoint: bool = False  # kept for others to fork, never extended
    lasting: bool = False  # of a conversation that will go on
    stored: bool = False  # what it holds of pictures is on the disk, too
    is_asked_again: bool = False  # its pictures have been asked about more than once lately
    touched: int = 0

    def truncate(self, rows: int) -> None:
        """Hold only the first rows."""
        del self.rows[rows:]
        del self.serials[rows:]


@dataclass
class Ticket:
    """A request on its way: which of its plan's rows are in the cache, which token comes after them.

    Attributes:
        id: the request's.
        plan: its prompt; once it had to start again, also what it had already answered.
        reserve: cells it may take in all.
        continues: whether another turn of the conversation will follow.
        keep: a row before which the sequence is kept as it stands, for models that cannot go back to it; 0 for none.
        row: rows in the cache, generated ones among them.
        pending: the token to decode next, once the plan is computed.
        answered: the tokens picked since the plan was made.
        on_disk: finds out how many of its first rows need not be computed, as their state is on the disk.
    """

    id: int
    plan: Plan
    reserve: int
    keep: int = 0
    continues: bool = False
    seat: Seat | None = None
    row: int = 0
    pending: int | None = None
    answered: list[int] = field(default_factory=list)
    on_disk: Callable[[], int] = lambda: 0

    @functools.cached_property
    def kept(self) -> int:
        """How many that is."""
        return self.on_disk()

    @property
    def segment(self) -> TextSegment | PictureSegment | None:
        """The segment its next row is in; None when the plan is computed."""
        index, _ = self.plan.at(self.row)
        return self.plan.segments[index] if index < len(self.plan.segments) else None

    @property
    def last(self) -> bool:
        """Whether its next row is one to pick a token after."""
        return self.row >= self.plan.rows - 1

    @property
    def full(self) -> bool:
        """Whether there is no cell for another token."""
        return self.row >= self.reserve


@dataclass(frozen=True)
class Admission:
    """What to do so that a ticket can begin: forget these sequences, then fork or roll back, then compute.

    `source` is the sequence to fork from (None: extend `ticket.seat` itself), `end` the position to keep up to;
    0 for a cold start.
    """

    ticket: Ticket
    forget: tuple[int, ...]
    source: int | None
    end: int


@dataclass(frozen=True)
class TokenStep:
    """One batch of text: int32 arrays of one length, and takes of (ticket, rows, index of its logits or None)."""

    tokens: Int32
    positions: Int32
    seqs: Int32
    logits: npt.NDArray[np.bool_]
    takes: tuple[tuple[Ticket, int, int | None], ...]


@dataclass(frozen=True)
class RowStep:
    """One batch of picture rows: takes of (ticket, rows, segment, first row in it)."""

    takes: tuple[tuple[Ticket, int, PictureSegment, int], ...]
    causal: bool
