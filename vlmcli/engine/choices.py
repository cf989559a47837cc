"""What a request lets the model choose from, as a tree of tokens, and how likely each choice turns out to be.

A choice is written in one or several ways (`yes`, `Yes`), each of them a run of tokens behind the prompt. What choices
have in common at their beginnings is one path of the tree, which is decoded once; many paths are decoded in one batch
(`Wave`). Pure: it knows tokens and logits, neither llama.cpp nor sequences.

The likelihood of a way to write it is the product of its tokens' probabilities, each behind those before it, and where
the answer has to end there, of the probability that it does. A choice's likelihood is the sum over its ways.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmcli.later import Later
from vlmcli.values import Score

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Later("numpy")

Path = tuple[int, ...]
"""Tokens behind the prompt."""

LONGEST = 31
"""Tokens of a choice at most: a path has to fit into a wave."""
WAVE = 32
"""Rows of a wave at most, each of which has logits of the whole vocabulary."""


@dataclass(frozen=True)
class Wave:
    """One batch: the rows of some paths, those that they share once.

    Attributes:
        rows: the path up to each row and with it; a row comes behind the one before it on its path.
        owners: for each row the branches, from 0, whose path it is on.
        branches: how many there are.
    """

    rows: tuple[Path, ...]
    owners: tuple[tuple[int, ...], ...]
    branches: int

    @property
    def tokens(self) -> list[int]:
        """Of each row."""
        return [path[-1] for path in self.rows]

    @property
    def depths(self) -> list[int]:
        """How many rows of its path are before each row."""
        return [len(path) - 1 for path in self.rows]


class Choices:
    """The choices of one request, and what is known of their likelihood so far.

    Attributes:
        ways: of each choice, as tokens.
    """

    def __init__(self, choices: Sequence[Iterable[Path]], ends: Sequence[int] = ()) -> None:
        """Nothing is known yet.

        Args:
            choices: the ways to write each, as tokens; none of them empty, none longer than `LONGEST`.
            ends: the tokens of which one has to come behind a choice; none where anything may.
        """
        self.ways = [tuple(dict.fromkeys(ways)) for ways in choices]
        self._ends = np.array(sorted(ends), np.int64)
        self._next: dict[Path, set[int]] = {}
        self._last: set[Path] = set()
        for way in (way for ways in self.ways for way in ways):
            for depth in range(len(way)):
                self._next.setdefault(way[:depth], set()).add(way[depth])
            if len(self._ends):
                self._last.add(way)
        self._known: dict[Path, float] = {}
        self._ended: dict[Path, float] = {}
        self._seen: set[Path] = set()

    @property
    def rows(self) -> int:
        """Rows that a wave of them takes at most, of which 0 are needed where the first token says it all."""
        return min(WAVE, len(self._needed()))

    def _needed(self) -> set[Path]:
        return {path for path in self._next.keys() | self._last if path} - self._seen

    def take(self, path: Path, logits: npt.NDArray[np.float32]) -> None:
        """Learn what comes behind a path: float32 [n_vocab], the logits of its last row; for () those of the prompt."""
        values = logits.astype(np.float64)
        whole = _log_sum(values)
        for token in self._next.get(path, ()):
            longer = (*path, token)
            self._known[longer] = float(values[token]) - whole
        if path in self._last:
            self._ended[path] = _log_sum(values[self._ends]) - whole
        self._seen.add(path)

    def wave(self, branches: int) -> Wave | None:
        """The next rows to decode, for so many sequences that begin behind the prompt; None when all is known."""
        needed = self._needed()
        inner = {path[:depth] for path in needed for depth in range(len(path))}
        owners: dict[Path, list[int]] = {}
        count = 0
        for leaf in sorted(needed - inner):
            path = [leaf[: depth + 1] for depth in range(len(leaf))]
            if count == branches or (owners and len(owners.keys() | set(path)) > WAVE):
                break
            for row in path:
                owners.setdefault(row, []).append(count)
            count += 1
        if not owners:
            return None
        rows = sorted(owners)  # a path before those that go on from it
        return Wave(tuple(rows), tuple(tuple(owners[row]) for row in rows), count)

    def scores(self) -> tuple[Score, ...]:
        """How likely each choice is, when all is known."""
        return tuple(self._score(ways) for ways in self.ways)

    def _score(self, ways: Sequence[Path]) -> Score:
        each = [self._likelihood(way) for way in ways]
        best = ways[each.index(max(each))]
        return Score(_log_sum(np.array(each)), len(best) + bool(self._last))

    def _likelihood(self, way: Path) -> float:
        """The logarithm of the likelihood of one way to write it."""
        known = sum(self._known[way[: depth + 1]] for depth in range(len(way)))
        return known + (self._ended[way] if self._last else 0.0)


def _log_sum(values: npt.NDArray[np.float64]) -> float:
    """The logarithm of the sum of the exponentials."""
    if not len(values):
        return -math.inf
    top = float(values.max())
    return top if math.isinf(top) else top + float(np.log(np.exp(values - top).sum()))
