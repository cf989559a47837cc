"""What a chat template makes is measured here, before it is made.

A template is a stranger's program. Python can stop it between two of its instructions, but not inside one call in C,
and a single such call can fill the memory. So nothing is made before its size is known: a text, a list, a number, and
everything together have a bound, and a value is looked through before anything recursive in C is done with it. Each
call in C ends within a fraction of a second that way, and `Meter.limited` stops the rest after its time.

A second net lies below: after a while it looks at how much memory the whole process has gained.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType, NoneType
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined
from markupsafe import Markup

from vlmcli import amounts

MAX_TEXT = 1_000_000  # characters of one text
MAX_ITEMS = 100_000  # of one list, tuple or dict, and values inside one value
MAX_BITS = 4096  # of one number
MAX_DEPTH = 100  # of values inside values; beyond, hashing and comparing in C overflow the stack
MAX_BYTES = 256 << 20  # made in one run, all together, whether or not they are still needed
MAX_GROWTH = 256 << 20  # bytes that the process may gain while a template runs
MAX_SCANNED = 100_000_000  # comparisons of characters in one search; about a tenth of a second
LOOK_AFTER = 0.05  # seconds until time and memory are looked at, and between two looks
WAITED = 10  # times as long may it take by the clock, on a machine that is busy
CODE = "<template>"  # the file name that Jinja gives to compiled templates

NUMBERS = (int, float, bool)
SCALARS = frozenset([str, int, float, bool, NoneType, Markup])
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
INSIDE = frozenset([list, tuple, dict, *VIEWS])


class Exceeded(BaseException):
    """A template went beyond a bound: says what it does, as in "makes a text of more than 1,000,000 characters".

    No `Exception`, so that nothing between a template and whoever runs it takes it for an error of the template's.
    """


class Meter:
    """Counts what one template makes. For one thread at a time."""

    def __init__(self) -> None:
        self._left = MAX_BYTES
        self._exceeded = ""
        self._trace: Any = None

    def begin(self) -> None:
        """Begin to count for another run, which is looked at even if the last one ended while it was looked at."""
        self._left = MAX_BYTES
        if self._trace is not None:
            sys.settrace(self._trace)

    def spend(self, size: int) -> None:
        """Count bytes that are about to be made. Raises Exceeded."""
        if self._exceeded or sys.gettrace() is not self._trace:  # Python drops a trace function in which anything fails
            raise Exceeded(self._exceeded or "runs where its time cannot be measured")
        self._left -= size
        if self._left < 0:
            raise Exceeded(f"makes more than {amounts.size(MAX_BYTES)} of texts and lists")

    def text(self, length: int, *given: str) -> None:
        """Count a text that is about to be made.

        Args:
            length: how many characters it has at most.
            given: what it is made from; where all are ASCII, a character takes one byte.
        """
        if length > MAX_TEXT:
            raise Exceeded(f"makes a text of more than {MAX_TEXT:,} characters")
        wide = not given or not all(map(str.isascii, given))
        self.spend(64 + (4 * length if wide else length))

    def items(self, count: int, each: int = 8) -> None:
        """Count a list, tuple or dict that is about to be made, at so many bytes an element."""
        if count > MAX_ITEMS:
            raise Exceeded(f"makes a list of more than {MAX_ITEMS:,} elements")
        self.spend(64 + each * count)

    def number(self, value: Any) -> Any:
        """The number, unless it is too large to go on with."""
        if type(value) is int and value.bit_length() > 64:
            if value.bit_length() > MAX_BITS:
                raise Exceeded(f"makes a number of more than {MAX_BITS:,} bits")
            self.spend(32 + value.bit_length() // 7)
        return value

    def scan(self, text: str, sought: object) -> None:
        """Refuse a search that compares each character of one text with each of another."""
        if isinstance(sought, str) and len(text) * len(sought) > MAX_SCANNED:
            raise Exceeded("searches for one long text in another")

    def listed(self, values: Iterable[Any]) -> list[Any]:
        """The values as a list. Raises Exceeded before it is longer than a list may be."""
        found = list(islice(values, MAX_ITEMS + 1))
        self.items(len(found), 48)
        return found

    def key(self, value: object) -> Any:
        """The value, where it may be a key: its hash cannot be chosen, and takes no recursion."""
        if type(value) is tuple or (type(value) is int and value.bit_length() > 60):
            raise SecurityError(f"a {'tuple' if type(value) is tuple else 'large number'} is not allowed as a key")
        return value

    def weigh(self, value: object, written: bool = False) -> tuple[int, int, int]:
        """Look through a value: how many characters it has inside, how many values, and how deep they are nested.

        A value that occurs in several places counts as often, as it does for whoever writes or compares it.

        Args:
            value: any.
            written: whether it is to be written as a text, which only plain values may.
        """
        characters, count, level = 0, 1, [value]
        for depth in range(MAX_DEPTH):
            below: list[object] = []
            for one in level:
                kind = type(one)
                if kind is str or kind is Markup:
                    characters += len(one)  # type: ignore[arg-type]
                elif kind in INSIDE:
                    more: Any = one
                    count += 2 * len(more)
                    if characters > MAX_TEXT or count > MAX_ITEMS:
                        break
                    below += more
                    if kind is dict:
                        below += more.values()
                elif kind in NUMBERS:
                    characters += one.bit_length() // 3 + 2 if isinstance(one, int) else 32
                elif written and not (one is None or kind is range or isinstance(one, Undefined)):
                    raise SecurityError(f"it writes a {kind.__name__}")
                else:
                    characters += 64
            if characters > MAX_TEXT or count > MAX_ITEMS:
                raise Exceeded(f"works on a value of more than {MAX_ITEMS:,} elements or {MAX_TEXT:,} characters")
            if not below:
                return characters, count, depth
            level = below
        raise Exceeded(f"nests values more than {MAX_DEPTH} deep")

    def written(self, value: Any) -> str:
        """The value as text, as `str` writes it."""
        kind = type(value)
        if kind is str:
            return value  # type: ignore[no-any-return]
        if kind is Markup:
            self.text(len(value), value)
        elif kind in INSIDE:
            characters, count, _ = self.weigh(value, True)
            self.text(10 * characters + 8 * count)  # \U0001f600 is what a character takes at most
        else:
            self.spend(64 + self.weigh(value, True)[0])
        return str(value)

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Raise Exceeded in this thread when what runs inside has run for longer, or gained too much memory.

        Counted is this thread's time on a processor, so that a busy machine refuses no template; only much more time
        than that by the clock is too long, too. A template is Python code once compiled: its lines are looked at one
        by one, everything else at each call. A debugger or a measurement of coverage that was there before sees
        nothing of what runs inside.
        """
        started, look = time.thread_time(), time.monotonic() + LOOK_AFTER
        last = time.monotonic() + WAITED * seconds
        resident = _resident()
        self._exceeded = ""

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal look
            now = time.monotonic()
            if now > look:
                look = now + LOOK_AFTER
                if now > last or time.thread_time() - started > seconds:
                    self._exceeded = f"runs for more than {seconds:g} s"
                elif _resident() - resident > MAX_GROWTH:
                    self._exceeded = f"takes more than {amounts.size(MAX_GROWTH)} of memory"
            if self._exceeded:
                raise Exceeded(self._exceeded)
            return trace if frame.f_code.co_filename == CODE else None

        before, outer = sys.gettrace(), self._trace
        self._trace = trace
        sys.settrace(trace)
        try:
            yield
        finally:
            self._trace = outer
            sys.settrace(before)


def _resident() -> int:
    """Bytes of memory that this process has now, or the most that it ever had; 0 where the system does not tell."""
    try:
        import resource

        try:
            return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
        except (OSError, ValueError, IndexError):
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return most if sys.platform == "darwin" else most << 10
    except ImportError:  # Windows
        return 0
