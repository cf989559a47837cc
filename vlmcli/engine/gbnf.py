"""The reader of GBNF: a grammar's text becomes numbered rules over characters, or a RequestError.

GBNF is llama.cpp's notation (grammars/README.md): rules `name ::= …`, of which `root` is the answer; "literals",
[sets], [^sets] and `.`; (groups), alternatives with |; * + ? {m} {m,} {m,n}; # comments. A line's end ends a rule,
except inside a group and after `::=` or |. Its extension for single tokens, <…>, is not supported.

The language is llama.cpp's, the reader is not: llama.cpp's recurses without a bound (long chains of rules and deep
groups overflow the stack), and its search for left recursion misses what hides behind a rule that may be empty, and
takes 2**n steps for n rules of two equal alternatives. Each of them ends or hangs the process, and a grammar may be a
stranger's. Here everything has a bound, and a grammar beyond it is a RequestError. What an answer does with the rules
is in `grammar`; this module knows no tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from vlmcli.errors import RequestError

MAX_TEXT = 1 << 16  # characters of a grammar
MAX_DEPTH = 50  # groups in groups
MAX_REPEAT = 2000  # llama.cpp's, too
MAX_ITEMS = 50_000  # characters, sets and references, when repetitions are written out

LAST = 0x10FFFF
"""The last code point."""

Chars = tuple[tuple[int, int], ...]
"""A set of characters: ranges of code points, ascending, apart, both ends included."""

Item = Chars | int
"""What stands at a place of a rule: a set, or another rule by number."""

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX = {"x": 2, "u": 4, "U": 8}


@dataclass
class Rule:
    """A rule by its name, "(…)" for a group or a repetition, and the sequences of items that it may be."""

    name: str
    alternatives: list[list[Item]] = field(default_factory=list)
    defined: bool = False


def read(text: str) -> tuple[list[Rule], int]:
    """A grammar's rules, all of them defined, and the number of `root` among them. Raises RequestError."""
    if len(text) > MAX_TEXT:
        raise RequestError(f"the grammar has {len(text)} characters", f"use at most {MAX_TEXT}")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise RequestError("the grammar contains NUL characters or bytes that are not text", r"write them as \x00")
    parser = _Parser(text)
    rules = parser.parse()
    _refuse_left_recursion(rules)
    return rules, parser.by_name["root"]


class _Parser:
    """Reads a grammar once, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.n_items = 0
        self.rules: list[Rule] = []
        self.by_name: dict[str, int] = {}

    def wrong(self, what: str) -> RequestError:
        line = self.text.count("\n", 0, self.at) + 1
        return RequestError(
            f"line {line} of the grammar: {what}", "see grammars/README.md of llama.cpp for how GBNF is written"
        )

    def parse(self) -> list[Rule]:
        self.space(newlines=True)
        while self.at < len(self.text):
            self.rule()
        if not self.by_name or not any(rule.name == "root" and rule.defined for rule in self.rules):
            raise RequestError("the grammar has no rule named root", "add root ::= … for the whole answer")
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
            raise self.wrong(f"expected a name at {self.here}")
        return self.text[start : self.at]

    @property
    def here(self) -> str:
        return repr(self.text[self.at : self.at + 12]) if self.next else "the end"

    def number_of(self, name: str) -> int:
        if name not in self.by_name:
            self.by_name[name] = self.new_rule(name)
        return self.by_name[name]

    def new_rule(self, name: str) -> int:
        self.rules.append(Rule(name))
        return len(self.rules) - 1

    def rule(self) -> None:
        name = self.name()
        self.space(newlines=False)
        if not self.text.startswith("::=", self.at):
            raise self.wrong(f"expected ::= at {self.here}")
        self.at += 3
        self.space(newlines=True)
        rule = self.rules[self.number_of(name)]
        if rule.defined:
            raise self.wrong(f"there is already a rule {name!r}")
        rule.alternatives, rule.defined = self.alternatives(nested=False), True
        if self.next and self.next not in "\r\n":
            raise self.wrong(f"unexpected {self.here}")
        self.space(newlines=True)

    def alternatives(self, nested: bool) -> list[list[Item]]:
        alternatives = [self.sequence(nested)]
        while self.next == "|":
            self.at += 1
            self.space(newlines=True)
            alternatives.append(self.sequence(nested))
        return alternatives

    def sequence(self, nested: bool) -> list[Item]:
        done: list[Item] = []
        last: list[Item] | None = None  # what a repetition would repeat
        while self.next:
            if self.next in "*+?{":
                if last is None:
                    raise self.wrong(f"nothing to repeat before {self.here}")
                last = self.repeated(last, *self.bounds(nested))
            else:
                following = self.element(nested)
                if following is None:
                    break
                done += last or ()
                last = following
            self.space(newlines=nested)
        return done + (last or [])

    def element(self, nested: bool) -> list[Item] | None:
        """A literal, a set, a group or a name; None at the sequence's end."""
        if self.next == '"':
            return self.counted(self.literal())
        if self.next == "[":
            return self.counted([self.set()])
        if self.next == ".":
            self.at += 1
            return self.counted([((0, LAST),)])
        if self.next == "(":
            return self.counted([self.group()])
        if self.next in ("<", "!"):
            raise self.wrong("tokens (<…>) are not supported; write their text")
        if self.next in _NAME:
            return self.counted([self.number_of(self.name())])
        return None

    def counted(self, items: list[Item]) -> list[Item]:
        self.n_items += max(1, len(items))
        if self.n_items > MAX_ITEMS:
            raise RequestError(
                f"the grammar has more than {MAX_ITEMS} items", "use fewer repetitions, or an open one: +"
            )
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
                raise self.wrong(f"the range from {chr(low)!r} to {chr(high)!r} runs backwards")
            ranges.append((low, high))
        self.at += 1
        if not ranges:
            raise self.wrong("an empty set")
        return _merged(ranges, negated)

    def char(self) -> int:
        if not self.next or self.next in "\r\n":
            raise self.wrong("a literal or a set is not closed")
        self.at += 1
        if self.text[self.at - 1] != "\\":
            return ord(self.text[self.at - 1])
        kind = self.next
        self.at += 1
        if kind in _HEX:
            digits = self.text[self.at : self.at + _HEX[kind]]
            if len(digits) < _HEX[kind] or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise self.wrong(f"\\{kind} needs {_HEX[kind]} hexadecimal digits")
            self.at += _HEX[kind]
            if int(digits, 16) > LAST:
                raise self.wrong(f"\\{kind}{digits} is not a character")
            return int(digits, 16)
        if not kind or kind not in _ESCAPES:
            raise self.wrong(f"unknown escape \\{kind}")
        return ord(_ESCAPES[kind])

    def group(self) -> int:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong(f"groups nested more than {MAX_DEPTH} deep")
        self.at += 1
        self.space(newlines=True)
        number = self.new_rule("(…)")
        alternatives = self.alternatives(nested=True)
        if self.next != ")":
            raise self.wrong(f"expected ) at {self.here}")
        self.at += 1
        self.depth -= 1
        self.rules[number].alternatives, self.rules[number].defined = alternatives, True
        return number

    def bounds(self, nested: bool) -> tuple[int, int | None]:
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
            raise self.wrong(f"expected }} at {self.here}")
        self.at += 1
        if most is not None and most < least:
            raise self.wrong(f"the repetition from {least} to {most} runs backwards")
        return least, most

    def integer(self) -> int:
        start = self.at
        while self.next and self.next in "0123456789":
            self.at += 1
        digits = self.text[start : self.at]
        if not digits:
            raise self.wrong(f"expected a number at {self.here}")
        if len(digits) > 9 or int(digits) > MAX_REPEAT:
            raise self.wrong(f"more than {MAX_REPEAT} repetitions")
        return int(digits)

    def repeated(self, items: list[Item], least: int, most: int | None) -> list[Item]:
        """S{m,n} as llama.cpp writes it out: S S S … R, R ::= S R' | (n - m times), or R ::= S R | without a bound."""
        optional = 1 if most is None else most - least
        self.n_items += (max(0, least - 1) + optional) * max(1, len(items))
        self.counted([])
        done = items * least
        rest: int | None = None
        for _ in range(optional):
            number = self.new_rule("(…)")
            following = number if most is None else rest
            some = [*items] if following is None else [*items, following]
            self.rules[number].alternatives, self.rules[number].defined = [some, []], True
            rest = number
        return done if rest is None else [*done, rest]


def _merged(ranges: list[tuple[int, int]], negated: bool) -> Chars:
    """The characters in any of these ranges, or in none of them."""
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


def _refuse_left_recursion(rules: list[Rule]) -> None:
    """Raise RequestError where a rule begins with itself, and more follows: its stacks would grow without end.

    With nothing to follow (`x ::= y x |` with an empty y) they do not.
    """
    empty = _may_be_empty(rules)
    edges: list[list[tuple[int, bool]]] = [[] for _ in rules]  # rules that one may begin with, and if more follows
    for number, rule in enumerate(rules):
        for alternative in rule.alternatives:
            for place, item in enumerate(alternative):
                if not isinstance(item, int):
                    break
                edges[number].append((item, place + 1 < len(alternative)))
                if not empty[item]:
                    break
    component = _components([[target for target, _ in targets] for targets in edges])
    for number, targets in enumerate(edges):
        for target, more in targets:
            if more and component[number] == component[target]:
                raise RequestError(
                    f"the grammar's rule {rules[number].name!r} begins with itself", "write the repetition as x+"
                )


def _may_be_empty(rules: list[Rule]) -> list[bool]:
    """Of each rule, whether nothing at all is one of its alternatives."""
    empty = [False] * len(rules)
    # Of each rule, the alternatives that use it: [their rule, how many items in them may not be empty yet].
    users: list[list[list[int]]] = [[] for _ in rules]
    todo = []
    for number, rule in enumerate(rules):
        for alternative in rule.alternatives:
            if all(isinstance(item, int) for item in alternative):
                waiting = [number, len(alternative)]
                for item in alternative:
                    if isinstance(item, int):
                        users[item].append(waiting)
                if not alternative:
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
