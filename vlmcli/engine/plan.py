"""A prompt as the KV cache sees it: segments of rows, each row with an identity.

Two prompts share their computation as far as their identities are equal. A row is one KV cache cell; a position is
what rotary embedding counts. Under M-RoPE a picture of 1,000 rows may take only 40 positions, so the two are never
mixed up here. Pure: it knows neither llama.cpp nor sequences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Later("numpy")

Identities: TypeAlias = "npt.NDArray[np.int64]"
Int32: TypeAlias = "npt.NDArray[np.int32]"


@dataclass(frozen=True)
class TextSegment:
    """Tokens, one row and one position each."""

    tokens: tuple[int, ...]

    @property
    def rows(self) -> int:
        """KV cache cells that it takes."""
        return len(self.tokens)

    @property
    def positions(self) -> int:
        """How far the position moves over it."""
        return len(self.tokens)

    @cached_property
    def identities(self) -> Identities:
        """Token ids, which are not negative."""
        return np.array(self.tokens, np.int64)


@dataclass(frozen=True)
class PictureSegment:
    """The rows of one encoder input: a picture, or one tile of it.

    Attributes:
        picture: index of the picture in its request.
        tile: which of the picture's encoder inputs this is.
        key: names the embedding: equal keys have equal rows.
        rows: KV cache cells.
        positions: how far the position moves.
        grid: int32 [4, rows] (time, y, x, spare) where the first position is 0, under M-RoPE; else None.
        bidirectional: the rows must be decoded in one batch.
        moved: int32 [4, rows], how far each place in `grid` moves with the first position; None for all but the spare.
            (HunyuanVL counts a picture's lines and columns from 0 wherever the picture is.)
    """

    picture: int
    tile: int
    key: str
    rows: int
    positions: int
    grid: Int32 | None = field(compare=False)  # the key has it
    bidirectional: bool
    moved: Int32 | None = field(default=None, compare=False)

    @cached_property
    def identities(self) -> Identities:
        """Negative numbers drawn from the key: equal only for the same row of the same embedding."""
        first = int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "big") >> 2
        return -1 - first - np.arange(self.rows, dtype=np.int64)

    def position_rows(self, start: int, n_pos: int) -> Int32:
        """int32 [n_pos, rows]: the rows' positions when the segment begins at position `start`."""
        if self.grid is not None:
            moved = np.array([[1], [1], [1], [0]], np.int32) if self.moved is None else self.moved
            absolute: Int32 = self.grid + np.int32(start) * moved
            return absolute
        steps: Int32 = np.arange(start, start + self.rows, dtype=np.int32)
        return np.tile(steps, (n_pos, 1))


Segment = TextSegment | PictureSegment


def picture_key(identity: str, tile: int, rows: int, grid: Int32 | None) -> str:
    """The key of one encoder input of the picture with this identity."""
    shape = b"" if grid is None else grid.tobytes()
    return f"{identity}/{tile}/{rows}/{hashlib.sha256(shape).hexdigest()[:16]}"


class Plan:
    """Segments in order, and where each begins."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self.row_starts: list[int] = []
        self.position_starts: list[int] = []
        row = position = 0
        for segment in self.segments:
            self.row_starts.append(row)
            self.position_starts.append(position)
            row += segment.rows
            position += segment.positions
        self.rows = row
        self.positions = position
        parts = [segment.identities for segment in self.segments]
        self.identities: Identities = np.concatenate(parts) if parts else np.zeros(0, np.int64)

    @property
    def picture_rows(self) -> int:
        """Rows that come from pictures."""
        return sum(segment.rows for segment in self.segments if isinstance(segment, PictureSegment))

    @property
    def anchor(self) -> int:
        """The row after the last picture: what another question about the same pictures shares. 0 without one."""
        for index in range(len(self.segments) - 1, -1, -1):
            if isinstance(self.segments[index], PictureSegment):
                return self.row_starts[index] + self.segments[index].rows
        return 0

    def at(self, row: int) -> tuple[int, int]:
        """The segment that holds a row, and the row's offset in it; past the end: (number of segments, 0)."""
        for index, segment in enumerate(self.segments):
            if row < self.row_starts[index] + segment.rows:
                return index, row - self.row_starts[index]
        return len(self.segments), 0

    def position(self, row: int) -> int:
        """The position a row of text has, or where the picture that begins at this row begins."""
        index, offset = self.at(row)
        return self.positions if index == len(self.segments) else self.position_starts[index] + offset

    def safe_cut(self, row: int) -> int:
        """The largest row, at most this one, before which a prefix may end.

        Not inside a picture, whose rows belong together; and the last row of all is always computed, for its logits.
        """
        row = min(row, self.rows - 1)
        index, offset = self.at(row)
        if offset and isinstance(self.segments[index], PictureSegment):
            return self.row_starts[index]
        return max(row, 0)

    def extended(self, tokens: Sequence[int]) -> Plan:
        """This plan with text after it."""
        return Plan((*self.segments, TextSegment(tuple(tokens)))) if tokens else self


def common_prefix(a: Identities, b: Identities) -> int:
    """How many rows two lists of identities share from the start."""
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n
