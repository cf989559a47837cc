"""Answers that follow a grammar: which tokens may come next, as an automaton over characters.

The rules are those of `gbnf`. The automaton is not llama.cpp's, which puts no limit on its stacks: here everything has
a bound, and a grammar beyond it is a RequestError. It knows a vocabulary only as bytes, and no syntax of grammars.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from vlmcli.engine import gbnf
from vlmcli.engine.gbnf import LAST, Chars, Item
from vlmcli.errors import RequestError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Later("numpy")

MAX_STACKS = 250  # ways in which an answer so far may be read
MAX_HEIGHT = 2000  # of a stack: how deep an answer may be nested
MAX_WORK = 2_000_000  # stacks looked at for one picked token; about two seconds
MAX_KEPT = 2_000_000  # what an automaton remembers: stacks, steps, and the stacks in states; about 100 bytes each
KEPT_MASKS = 32  # of an automaton
KEPT_AUTOMATA = 8

Bool: TypeAlias = "npt.NDArray[np.bool_]"


def _contains(chars: Chars, low: int, high: int) -> bool:
    """Whether a set has a character from `low` to `high`, both included."""
    index = bisect_right(chars, (high, LAST))
    return index > 0 and chars[index - 1][1] >= low


class _Beyond(Exception):
    """More stacks, or higher ones, than an automaton keeps."""


class Pieces:
    """A vocabulary's bytes, so ordered that an automaton reads what tokens have in common once."""

    def __init__(self, pieces: Sequence[bytes], ends: Iterable[int]) -> None:
        """Sort a vocabulary.

        Args:
            pieces: each token's bytes; none for a token that writes nothing.
            ends: the tokens that end an answer.
        """
        last = frozenset(ends)
        pieces = [b"" if piece[:1] == b"\0" else piece for piece in pieces]  # as in llama.cpp; no answer has NULs
        self.pieces = pieces
        self.ends = np.array(sorted(last), np.intp)
        texts = []
        self.odd = []  # parts of characters
        for token, piece in enumerate(pieces):
            try:
                if piece and token not in last:
                    texts.append((piece.decode("utf-8"), token))
            except UnicodeDecodeError:
                if token not in last:
                    self.odd.append(token)
        self.texts = sorted(texts)
        self.shared = [0]  # how many characters a text has in common with the one before
        for (one, _), (two, _) in pairwise(self.texts):
            length, most = 0, min(len(one), len(two))
            while length < most and one[length] == two[length]:
                length += 1
            self.shared.append(length)


class Automaton:
    """A grammar, ready to be followed; shared by all answers it governs.

    A stack is a number: 0 for the empty one, where the grammar ends, else a place and the stack below it. A state is
    a number, too, for a set of stacks whose places are all sets of characters.
    """

    def __init__(self, text: str) -> None:
        """Read a grammar. Raises RequestError."""
        rules, root = gbnf.read(text)
        self._items: list[Item | None] = []  # all alternatives of all rules, None behind each
        self._starts: list[list[int]] = []  # of each rule
        for rule in rules:
            self._starts.append([])
            for alternative in rule.alternatives:
                self._starts[-1].append(len(self._items))
                self._items += [*alternative, None]
        self._stacks: list[tuple[int, int, int]] = [(-1, -1, 0)]  # place, the stack below, height
        self._stack_ids: dict[tuple[int, int], int] = {}
        self._states: list[tuple[int, ...]] = []
        self._state_ids: dict[tuple[int, ...], int] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._masks: OrderedDict[tuple[int, bytes], Bool] = OrderedDict()
        self._work = self._kept = 0
        try:
            ready: set[int] = set()
            for start in self._starts[root]:
                self._ready(self._push(start, 0), ready)
            self.start = self._state(ready)
        except _Beyond:
            raise self._too_wide() from None

    @property
    def full(self) -> bool:
        """Whether it remembers so much that the next answer should get a new one."""
        return self._kept > MAX_KEPT // 4

    def _keep(self, count: int) -> None:
        self._kept += count
        if self._kept > MAX_KEPT:
            raise self._too_wide()

    @staticmethod
    def _too_wide() -> RequestError:
        return RequestError("the grammar is too ambiguous", "make its alternatives begin differently")

    def _push(self, place: int, below: int) -> int:
        if self._items[place] is None:  # the end of this alternative
            return below
        found = self._stack_ids.get((place, below))
        if found is None:
            height = self._stacks[below][2] + 1
            if height > MAX_HEIGHT:
                raise _Beyond
            self._keep(1)
            found = self._stack_ids[place, below] = len(self._stacks)
            self._stacks.append((place, below, height))
        return found

    def _ready(self, stack: int, ready: set[int]) -> None:
        """Replace the rule on top by its alternatives until there are characters on top."""
        seen, todo = {stack}, [stack]
        while todo:
            one = todo.pop()
            place, below, _ = self._stacks[one]
            item = self._items[place] if one else ()
            if not isinstance(item, int):
                ready.add(one)
                continue
            rest = self._push(place + 1, below)
            for start in self._starts[item]:
                following = self._push(start, rest)
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
            if len(seen) > 40 * MAX_STACKS:
                raise _Beyond
        self._work += len(seen)
        if len(ready) > MAX_STACKS:
            raise _Beyond

    def _state(self, ready: set[int]) -> int:
        """The number of a set of stacks; -1 for none."""
        if not ready:
            return -1
        key = tuple(sorted(ready))
        found = self._state_ids.get(key)
        if found is None:
            self._keep(len(key))
            found = self._state_ids[key] = len(self._states)
            self._states.append(key)
        return found

    def step(self, state: int, char: int) -> int:
        """The state after a character; -1 where it may not come, or would lead beyond what is kept."""
        found = self._steps.get((state, char))
        if found is None:
            self._work += len(self._states[state])
            if self._work > MAX_WORK:
                raise self._too_wide()
            ready: set[int] = set()
            try:
                for stack in self._states[state]:
                    place, below, _ = self._stacks[stack]
                    if stack and _contains(self._set(place), char, char):
                        self._ready(self._push(place + 1, below), ready)
                found = self._state(ready)
            except _Beyond:
                found = -1
            self._keep(1)
            self._steps[state, char] = found
        return found

    def _set(self, place: int) -> Chars:
        item = self._items[place]
        assert isinstance(item, tuple)
        return item

    def feed(self, state: int, pending: bytes, piece: bytes) -> tuple[int, bytes] | None:
        """The state after a token's bytes, and those of a character that is not whole; None where they may not come."""
        data = pending + piece
        try:
            text, left = data.decode("utf-8"), b""
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                return None
            text, left = data[: error.start].decode("utf-8"), data[error.start :]
        for char in text:
            state = self.step(state, ord(char))
            if state < 0:
                return None
        if left:
            low, high = _completions(left)
            if not any(_contains(self._set(self._stacks[one][0]), low, high) for one in self._states[state] if one):
                return None
        return state, left

    def may_end(self, state: int) -> bool:
        """Whether the answer may end here."""
        return self._states[state][0] == 0

    def must_end(self, state: int) -> bool:
        """Whether the grammar ends here, so that nothing may follow."""
        return self._states[state] == (0,)

    def mask(self, state: int, pending: bytes, pieces: Pieces) -> Bool:
        """Which tokens may come next: bool [n_vocab]."""
        if (state, pending) in self._masks:
            self._masks.move_to_end((state, pending))
            return self._masks[state, pending]
        self._work = 0
        allowed = np.zeros(len(pieces.pieces), np.bool_)
        if not pending:
            allowed[pieces.ends] = self.may_end(state)
            self._mark(state, pieces, allowed)
        for token in pieces.odd:
            allowed[token] = self.feed(state, pending, pieces.pieces[token]) is not None
        self._masks[state, pending] = allowed
        if len(self._masks) > KEPT_MASKS:
            self._masks.popitem(last=False)
        return allowed

    def _mark(self, state: int, pieces: Pieces, allowed: Bool) -> None:
        states = [state]  # after each character of the last text that was looked at
        failed = False
        for (text, token), shared in zip(pieces.texts, pieces.shared, strict=True):
            if failed and shared >= len(states):
                continue  # it begins like one that may not come
            del states[shared + 1 :]
            failed = False
            for char in text[shared:]:
                after = self.step(states[-1], ord(char))
                if after < 0:
                    failed = True
                    break
                states.append(after)
            allowed[token] = not failed

    def begin(self) -> None:
        """Set the bound on work back, since another token is to be picked."""
        self._work = 0


def _completions(part: bytes) -> tuple[int, int]:
    """The code points that the first bytes of a character can become: lowest and highest."""
    length = 2 if part[0] < 0xE0 else 3 if part[0] < 0xF0 else 4
    value = part[0] & (0xFF >> (length + 1))
    for byte in part[1:]:
        value = value << 6 | byte & 0x3F
    bits = 6 * (length - len(part))
    low, high = value << bits, (value + 1 << bits) - 1
    return max(low, (0x80, 0x800, 0x10000)[length - 2]), min(high, LAST)


class Follower:
    """Follows one answer through an automaton, token by token."""

    def __init__(self, automaton: Automaton, pieces: Pieces) -> None:
        self._automaton, self._pieces = automaton, pieces
        self._state, self._pending = automaton.start, b""

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        self._automaton.begin()
        if not self._pieces.pieces[token] or token in self._ends:
            return token in self._ends and not self._pending and self._automaton.may_end(self._state)
        return self._automaton.feed(self._state, self._pending, self._pieces.pieces[token]) is not None

    @cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset(self._pieces.ends.tolist())

    def mask(self) -> Bool:
        """Which tokens may come next: bool [n_vocab]. Raises RequestError when none may."""
        mask = self._automaton.mask(self._state, self._pending, self._pieces)
        if not mask.any():
            raise RequestError(
                "the grammar asks for characters that this model cannot write", "allow other characters as well"
            )
        return mask

    def take(self, token: int) -> None:
        """Go on behind a token, which must not end the answer. Raises RequestError where it may not come."""
        self._automaton.begin()
        after = self._automaton.feed(self._state, self._pending, self._pieces.pieces[token])
        if after is None:
            raise RequestError("the grammar does not allow what the model has written", "please report this")
        self._state, self._pending = after

    @property
    def ended(self) -> bool:
        """Whether the grammar ends here, so that nothing may follow."""
        return not self._pending and self._automaton.must_end(self._state)


class Grammars:
    """The automata of the grammars that were asked for last, over one vocabulary."""

    def __init__(self, pieces: Callable[[], Pieces]) -> None:
        self._make = pieces
        self._automata: OrderedDict[str, Automaton] = OrderedDict()

    @cached_property
    def pieces(self) -> Pieces:
        """The vocabulary, sorted when the first grammar comes."""
        return self._make()

    def follower(self, text: str) -> Follower:
        """What follows an answer through this grammar. Raises RequestError where the grammar is wrong."""
        automaton = self._automata.pop(text, None)
        if automaton is None or automaton.full:
            automaton = Automaton(text)
        self._automata[text] = automaton
        if len(self._automata) > KEPT_AUTOMATA:
            self._automata.popitem(last=False)
        return Follower(automaton, self.pieces)
