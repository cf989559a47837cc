r"""What an answer may look like: a grammar in GBNF, as a machine over characters.

GBNF is llama.cpp's notation (grammars/README.md): rules `name ::= …`, of which `root` is the answer; "literals",
[sets], [^sets] and `.`; (groups), alternatives with |; * + ? {m} {m,} {m,n}; # comments. A line's end ends a rule,
but inside a group and after `::=` or |. Its extension for single tokens, <…>, is not taken.

The language is llama.cpp's, the machine is not: its parser recurses without a bound (long chains of rules and deep
groups overflow the stack), its search for left recursion misses what hides behind a rule that may be empty, and takes
2**n steps for n rules of two equal alternatives, and its set of stacks has no limit. Each of them ends or hangs the
process, and a grammar may be a stranger's. Here everything has a bound, and a grammar beyond it is a RequestError.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vlmcli.errors import RequestError

MAX_TEXT = 1 << 16  # characters of a grammar
MAX_DEPTH = 50  # groups in groups
MAX_REPEAT = 2000  # llama.cpp's, too
MAX_ITEMS = 50_000  # characters, sets and references, when repetitions are written out
MAX_STACKS = 250  # ways in which an answer so far may be read
MAX_HEIGHT = 2000  # of a stack: how deep an answer may be nested
MAX_WORK = 2_000_000  # stacks looked at for one picked token; about two seconds
MAX_KEPT = 2_000_000  # what a machine remembers: stacks, steps, and the stacks in states; about 100 bytes each
KEPT_MASKS = 32  # of a machine
KEPT_MACHINES = 8

LAST = 0x10FFFF

Bool = npt.NDArray[np.bool_]
Chars = tuple[tuple[int, int], ...]
"""A set of characters: ranges of code points, ascending, apart, both ends included."""

Item = Chars | int
"""What stands at a place of a rule: a set, or another rule by number."""

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX = {"x": 2, "u": 4, "U": 8}


@dataclass
class _Rule:
    name: str
    ways: list[list[Item]] = field(default_factory=list)
    defined: bool = False


class _Parser:
    """Reads a grammar once, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.items = 0
        self.rules: list[_Rule] = []
        self.by_name: dict[str, int] = {}

    def wrong(self, what: str) -> RequestError:
        line = self.text.count("\n", 0, self.at) + 1
        return RequestError(f"the grammar is wrong in line {line}: {what}", "GBNF is described in llama.cpp, grammars/")

    def parse(self) -> list[_Rule]:
        self.space(newlines=True)
        while self.at < len(self.text):
            self.rule()
        if not self.by_name or not any(rule.name == "root" and rule.defined for rule in self.rules):
            raise RequestError("the grammar has no rule named root", "write root ::= … for the whole answer")
        for rule in self.rules:
            if not rule.defined:
                raise RequestError(f"the grammar uses {rule.name!r}, which has no rule", f"add {rule.name} ::= …")
        return self.rules

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def space(self, newlines: bool) -> None:
        while self.next and (self.next in " \t#" or (newlines and self.next in "\r\n")):
            if self.next == "#":
                while self.next and self.next not in "\r\n":
                    self.at += 1
            else:
                self.at += 1

    def name(self) -> str:
        start = self.at
        while self.next in _NAME:
            self.at += 1
        if start == self.at:
            raise self.wrong(f"a name should be at {self.here}")
        return self.text[start : self.at]

    @property
    def here(self) -> str:
        return repr(self.text[self.at : self.at + 12]) if self.next else "its end"

    def number_of(self, name: str) -> int:
        if name not in self.by_name:
            self.by_name[name] = self.new(name)
        return self.by_name[name]

    def new(self, name: str) -> int:
        self.rules.append(_Rule(name))
        return len(self.rules) - 1

    def rule(self) -> None:
        name = self.name()
        self.space(newlines=False)
        if not self.text.startswith("::=", self.at):
            raise self.wrong(f"::= should be at {self.here}")
        self.at += 3
        self.space(newlines=True)
        rule = self.rules[self.number_of(name)]
        if rule.defined:
            raise self.wrong(f"{name!r} has a rule already")
        rule.ways, rule.defined = self.ways(nested=False), True
        if self.next and self.next not in "\r\n":
            raise self.wrong(f"{self.here} cannot be here")
        self.space(newlines=True)

    def ways(self, nested: bool) -> list[list[Item]]:
        ways = [self.sequence(nested)]
        while self.next == "|":
            self.at += 1
            self.space(newlines=True)
            ways.append(self.sequence(nested))
        return ways

    def sequence(self, nested: bool) -> list[Item]:
        done: list[Item] = []
        last: list[Item] | None = None  # what a repetition would repeat
        while self.next:
            if self.next in "*+?{":
                if last is None:
                    raise self.wrong(f"there is nothing to repeat before {self.here}")
                last = self.repeated(last, *self.times(nested))
            else:
                following = self.one(nested)
                if following is None:
                    break
                done += last or ()
                last = following
            self.space(newlines=nested)
        return done + (last or [])

    def one(self, nested: bool) -> list[Item] | None:
        """A literal, a set, a group or a name; None at the sequence's end."""
        if self.next == '"':
            return self.count(self.literal())
        if self.next == "[":
            return self.count([self.set()])
        if self.next == ".":
            self.at += 1
            return self.count([((0, LAST),)])
        if self.next == "(":
            return self.count([self.group()])
        if self.next in ("<", "!"):
            raise self.wrong("tokens (<…>) are not taken here; write their text")
        if self.next in _NAME:
            return self.count([self.number_of(self.name())])
        return None

    def count(self, items: list[Item]) -> list[Item]:
        self.items += max(1, len(items))
        if self.items > MAX_ITEMS:
            raise RequestError(f"the grammar has more than {MAX_ITEMS} items", "repeat less in it, or leave it open: +")
        return items

    def literal(self) -> list[Item]:
        self.at += 1
        found: list[Item] = []
        while self.next != '"':
            char = self.char()
            found.append(((char, char),))
        self.at += 1
        return found

    def set(self) -> Chars:
        self.at += 1
        negated = self.next == "^"
        self.at += negated
        ranges = []
        while self.next != "]":
            low = high = self.char()
            if self.next == "-" and self.text[self.at + 1 : self.at + 2] != "]":
                self.at += 1
                high = self.char()
            if high < low:
                raise self.wrong(f"a range from {chr(low)!r} down to {chr(high)!r}")
            ranges.append((low, high))
        self.at += 1
        if not ranges:
            raise self.wrong("an empty set")
        return _merged(ranges, negated)

    def char(self) -> int:
        if not self.next or self.next in "\r\n":
            raise self.wrong("a literal or a set does not end")
        self.at += 1
        if self.text[self.at - 1] != "\\":
            return ord(self.text[self.at - 1])
        kind = self.next
        self.at += 1
        if kind in _HEX:
            digits = self.text[self.at : self.at + _HEX[kind]]
            if len(digits) < _HEX[kind] or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise self.wrong(f"\\{kind} wants {_HEX[kind]} hexadecimal digits")
            self.at += _HEX[kind]
            if int(digits, 16) > LAST:
                raise self.wrong(f"\\{kind}{digits} is no character")
            return int(digits, 16)
        if not kind or kind not in _ESCAPES:
            raise self.wrong(f"\\{kind} means nothing here")
        return ord(_ESCAPES[kind])

    def group(self) -> int:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong(f"more than {MAX_DEPTH} groups inside each other")
        self.at += 1
        self.space(newlines=True)
        number = self.new("(…)")
        ways = self.ways(nested=True)
        if self.next != ")":
            raise self.wrong(f") should be at {self.here}")
        self.at += 1
        self.depth -= 1
        self.rules[number].ways, self.rules[number].defined = ways, True
        return number

    def times(self, nested: bool) -> tuple[int, int | None]:
        """How often: least and most, None for no bound."""
        sign = self.next
        self.at += 1
        if sign != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        self.space(newlines=nested)
        least = self.integer()
        most: int | None = least
        self.space(newlines=nested)
        if self.next == ",":
            self.at += 1
            self.space(newlines=nested)
            most = None if self.next == "}" else self.integer()
            self.space(newlines=nested)
        if self.next != "}":
            raise self.wrong(f"}} should be at {self.here}")
        self.at += 1
        if most is not None and most < least:
            raise self.wrong(f"a repetition from {least} to {most}")
        return least, most

    def integer(self) -> int:
        start = self.at
        while self.next and self.next in "0123456789":
            self.at += 1
        digits = self.text[start : self.at]
        if not digits:
            raise self.wrong(f"a number should be at {self.here}")
        if len(digits) > 9 or int(digits) > MAX_REPEAT:
            raise self.wrong(f"more than {MAX_REPEAT} repetitions")
        return int(digits)

    def repeated(self, items: list[Item], least: int, most: int | None) -> list[Item]:
        """S{m,n} as llama.cpp writes it out: S S S … R, R ::= S R' | (n - m times), or R ::= S R | without a bound."""
        optional = 1 if most is None else most - least
        self.items += (max(0, least - 1) + optional) * max(1, len(items))
        self.count([])
        done = items * least
        rest: int | None = None
        for _ in range(optional):
            number = self.new("(…)")
            following = number if most is None else rest
            way = [*items] if following is None else [*items, following]
            self.rules[number].ways, self.rules[number].defined = [way, []], True
            rest = number
        return done if rest is None else [*done, rest]


def _merged(ranges: list[tuple[int, int]], negated: bool) -> Chars:
    done: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if done and low <= done[-1][1] + 1:
            done[-1] = done[-1][0], max(high, done[-1][1])
        else:
            done.append((low, high))
    if negated:
        edges = [(-1, -1), *done, (LAST + 1, LAST + 1)]
        done = [(one[1] + 1, two[0] - 1) for one, two in pairwise(edges) if one[1] + 1 < two[0]]
    return tuple(done)


def _has(chars: Chars, low: int, high: int) -> bool:
    """Whether a set has a character from low to high."""
    index = bisect_right(chars, (high, LAST))
    return index > 0 and chars[index - 1][1] >= low


def _refuse_left_recursion(rules: list[_Rule]) -> None:
    """Raise RequestError where a rule begins with itself, and more follows: its stacks would grow without end.

    With nothing to follow (`x ::= y x |` with an empty y) they do not.
    """
    empty = _may_be_empty(rules)
    edges: list[list[tuple[int, bool]]] = [[] for _ in rules]  # rules that one may begin with, and if more follows
    for number, rule in enumerate(rules):
        for way in rule.ways:
            for place, item in enumerate(way):
                if not isinstance(item, int):
                    break
                edges[number].append((item, place + 1 < len(way)))
                if not empty[item]:
                    break
    component = _components([[target for target, _ in targets] for targets in edges])
    for number, targets in enumerate(edges):
        for target, more in targets:
            if more and component[number] == component[target]:
                raise RequestError(
                    f"the grammar's rule {rules[number].name!r} begins with itself", "put what repeats behind it: x+"
                )


def _may_be_empty(rules: list[_Rule]) -> list[bool]:
    """Of each rule, whether nothing at all is one of its ways."""
    empty = [False] * len(rules)
    users: list[list[list[int]]] = [[] for _ in rules]  # [rule, how many in this way of it may not be empty yet]
    todo = []
    for number, rule in enumerate(rules):
        for way in rule.ways:
            if all(isinstance(item, int) for item in way):
                waiting = [number, len(way)]
                for item in way:
                    if isinstance(item, int):
                        users[item].append(waiting)
                if not way:
                    todo.append(number)
    while todo:
        number = todo.pop()
        if empty[number]:
            continue
        empty[number] = True
        for waiting in users[number]:
            waiting[1] -= 1
            if not waiting[1]:
                todo.append(waiting[0])
    return empty


def _components(edges: list[list[int]]) -> list[int]:
    """A number for each node: equal where each can be reached from the other (Kosaraju's algorithm, unrolled)."""
    order: list[int] = []
    seen = [False] * len(edges)
    back: list[list[int]] = [[] for _ in edges]
    for start in range(len(edges)):
        trail = [] if seen[start] else [(start, iter(edges[start]))]
        seen[start] = True
        while trail:
            node, targets = trail[-1]
            for target in targets:
                back[target].append(node)
                if not seen[target]:
                    seen[target] = True
                    trail.append((target, iter(edges[target])))
                    break
            else:
                order.append(node)
                trail.pop()
    component = [-1] * len(edges)
    for start in reversed(order):
        todo = [start] if component[start] < 0 else []
        while todo:
            node = todo.pop()
            if component[node] < 0:
                component[node] = start
                todo += [source for source in back[node] if component[source] < 0]
    return component


class _Beyond(Exception):
    """More stacks, or higher ones, than a machine keeps."""


class Pieces:
    """A vocabulary's bytes, so ordered that a machine reads what tokens have in common once."""

    def __init__(self, pieces: Sequence[bytes], ends: Iterable[int]) -> None:
        """Take them.

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


class Machine:
    """A grammar, ready to be followed; shared by all answers it governs.

    A stack is a number: 0 for the empty one, where the grammar ends, else a place and the stack below it. A state is
    a number, too, for a set of stacks whose places are all sets of characters.
    """

    def __init__(self, text: str) -> None:
        """Read a grammar. Raises RequestError."""
        if len(text) > MAX_TEXT:
            raise RequestError(f"the grammar has {len(text)} characters", f"{MAX_TEXT} are the most")
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise RequestError("the grammar is not text: it has NULs or bytes in it", r"write them as \x00")
        parser = _Parser(text)
        rules = parser.parse()
        _refuse_left_recursion(rules)
        self._items: list[Item | None] = []  # all ways of all rules, None behind each
        self._starts: list[list[int]] = []  # of each rule
        for rule in rules:
            self._starts.append([])
            for way in rule.ways:
                self._starts[-1].append(len(self._items))
                self._items += [*way, None]
        self._stacks: list[tuple[int, int, int]] = [(-1, -1, 0)]  # place, the stack below, height
        self._stack_ids: dict[tuple[int, int], int] = {}
        self._states: list[tuple[int, ...]] = []
        self._state_ids: dict[tuple[int, ...], int] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._masks: OrderedDict[tuple[int, bytes], Bool] = OrderedDict()
        self._work = self._kept = 0
        try:
            ready: set[int] = set()
            for start in self._starts[parser.by_name["root"]]:
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
        return RequestError(
            "the grammar can be read in too many ways at once", "make its alternatives differ in how they begin"
        )

    def _push(self, place: int, below: int) -> int:
        if self._items[place] is None:  # nothing more of this way
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
        """Replace the rule on top by its ways until there are characters on top."""
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
                    if stack and _has(self._set(place), char, char):
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
            if not any(_has(self._set(self._stacks[one][0]), low, high) for one in self._states[state] if one):
                return None
        return state, left

    def may_end(self, state: int) -> bool:
        """Whether the answer may end here."""
        return self._states[state][0] == 0

    def must_end(self, state: int) -> bool:
        """Whether nothing may follow."""
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
        """Count anew: another token is to be picked."""
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
    """One answer's way through a machine."""

    def __init__(self, machine: Machine, pieces: Pieces) -> None:
        self._machine, self._pieces = machine, pieces
        self._state, self._pending = machine.start, b""

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        self._machine.begin()
        if not self._pieces.pieces[token] or token in self._ends:
            return token in self._ends and not self._pending and self._machine.may_end(self._state)
        return self._machine.feed(self._state, self._pending, self._pieces.pieces[token]) is not None

    @cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset(self._pieces.ends.tolist())

    def mask(self) -> Bool:
        """Which tokens may come next: bool [n_vocab]. Raises RequestError when none may."""
        mask = self._machine.mask(self._state, self._pending, self._pieces)
        if not mask.any():
            raise RequestError(
                "the grammar asks for characters that this model cannot write", "leave the answer another way"
            )
        return mask

    def take(self, token: int) -> None:
        """A token that may come has come; not one that ends the answer."""
        self._machine.begin()
        after = self._machine.feed(self._state, self._pending, self._pieces.pieces[token])
        if after is None:
            raise RequestError("the grammar does not allow what the model has written", "please report this")
        self._state, self._pending = after

    @property
    def ended(self) -> bool:
        """Whether nothing may follow."""
        return not self._pending and self._machine.must_end(self._state)


class Grammars:
    """The machines of the grammars that were asked for last, over one vocabulary."""

    def __init__(self, pieces: Callable[[], Pieces]) -> None:
        self._make = pieces
        self._machines: OrderedDict[str, Machine] = OrderedDict()

    @cached_property
    def _pieces(self) -> Pieces:
        return self._make()

    def follower(self, text: str) -> Follower:
        """The way of an answer through a grammar. Raises RequestError."""
        machine = self._machines.pop(text, None)
        if machine is None or machine.full:
            machine = Machine(text)
        self._machines[text] = machine
        if len(self._machines) > KEPT_MACHINES:
            self._machines.popitem(last=False)
        return Follower(machine, self._pieces)
