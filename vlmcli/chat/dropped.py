"""Which words of a line that somebody typed are pictures: files that were dropped on the terminal, paths, addresses.

A terminal writes a dropped file in quotes, with backslashes, as an address or as it is, beside whatever was typed.
Nothing is read: whether a file is there is asked at most MAX_STATS times a line, and addresses are told by their looks.
No line is an error.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

from vlmcli.pictures import signatures, sources

WINDOWS = sys.platform == "win32"
"""Whether a backslash parts folders; elsewhere it is before a letter that a shell would not take as it is."""

MAX_STATS = 200
KEPT_STATS = 50
"""Of them, those that no run of several words may use up."""
MAX_TRIES = 5_000
"""Paths of a line that are thought of at all."""
MAX_SHELL = 200_000
"""Letters that are read as a shell would."""
MAX_PATH, MAX_NAME = 4096, 255
MAX_WORDS = {True: 40, False: 10}
"""Of a path with spaces in it, where it says that it is one (begins with a folder), and where it does not."""
MAX_ENDS = {True: 40, False: 4}
MAX_QUOTED = 8

_SUFFIX = rf"(?<=[^\s/\\])\.(?:{'|'.join(sorted(suffix[1:] for suffix in signatures.SUFFIXES))})"
_PAGE = r"#[1-9][0-9]{0,5}"
_FLAGS = re.ASCII | re.IGNORECASE
_PICTURE = re.compile(rf"{_SUFFIX}(?:{_PAGE})?\Z", _FLAGS)
_PICTURE_END = re.compile(
    rf"{_SUFFIX}(?:\\?{_PAGE})?(?=\Z|[\s,;:!?)\]}}>\"'`]|\.{{1,3}}(?:\s|\Z)|[^\x00-\x7f])", _FLAGS
)
_GLUED = re.compile(rf"{_SUFFIX}(?=[^\x00-\x7f])", _FLAGS)
_PAGE_END = re.compile(rf"{_PAGE}\Z")

_SPACE = " \t\r\n\v\f"  # of a shell: others are letters of names
_WORD_END = re.compile(rf"(?<=[^{_SPACE}])(?=[{_SPACE}]|\Z)")
# A word begins behind a space, or an opening mark behind one. Behind the end of a sentence (a file was dropped where
# the question ended), or a letter of a script without spaces, only a path or an address does.
_START = re.compile(
    r"""(?P<word>(?:(?<!\S)|(?<=\s["'`(\[{<])|(?<=\A["'`(\[{<])|(?<=[“‘„«「『（【]))(?=\S))"""
    r"""|(?<=[?!,;]|[^\x00-\x7f])(?=\S)"""
)

_ADDRESS = re.compile(r"https?://[^\s\"<>]+", _FLAGS)
_DRIVE = re.compile(r"[a-z]:[/\\]", _FLAGS)
_ABSOLUTE = {
    False: r"(?:/|~[^\s/\\]{0,32}/|file:/|[a-z]:[/\\])",
    True: r"(?:[/\\]|~[^\s/\\]{0,32}[/\\]|file:/|[a-z]:[/\\])",
}
_ROOTED = {False: rf"(?:{_ABSOLUTE[False]}|\.\.?/)", True: rf"(?:{_ABSOLUTE[True]}|\.\.?[/\\])"}
_IS_ABSOLUTE = {windows: re.compile(pattern, _FLAGS) for windows, pattern in _ABSOLUTE.items()}
_IS_ROOTED = {windows: re.compile(pattern, _FLAGS) for windows, pattern in _ROOTED.items()}
_BARRIER = {
    windows: re.compile(rf"[\r\n]|(?<=[ \t])[\"']?(?:{pattern}|https?://)", _FLAGS)
    for windows, pattern in _ROOTED.items()
}
# What a shell would take for a word, piece by piece: in single quotes, in double quotes, escaped, plain.
_PIECE = {
    False: re.compile(rf"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^{_SPACE}'"\\]+)""", re.DOTALL),
    True: re.compile(rf"""'((?:[^']|'')*)'|"([^"]*)"|(?!)(.)|([^{_SPACE}'"]+)""", re.DOTALL),
}
_OPENING = "`([{<“‘„«「『（【"
_PAIRS = frozenset(['""', "''", "()", "[]", "{}", "<>", "``", "“”", "‘’", "„“", "«»", "「」", "『』", "（）", "【】"])

_ONLY_MARKS = re.compile(r"[^\w/]*\Z")
"""Between the beginning or the end of what somebody typed and a word: nothing that is read."""
_BELOW_ROOT = re.compile(r"/[^/]+/")

PathKind = Literal["file", "other", "none", "unknown"]


@dataclass(frozen=True)
class Found:
    """What is in a line.

    Attributes:
        words: the pictures, as `sources.find` takes them.
        text: the line without them.
        missing: names of pictures that are not there; they are in the text, too.
    """

    words: tuple[str, ...]
    text: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Span:
    """A part of the line, and what it means; not sure of an address or a name that may be anything."""

    start: int
    end: int
    word: str
    sure: bool = True


def find(line: str, *, anywhere: bool = False) -> Found:
    """The pictures of a line, what is asked about them, and the paths that lead nowhere.

    A path that leads nowhere is missing wherever it is. A name without a folder is missing only at the beginning or
    the end: in the middle ("is it photo.png or a scan?"), a sentence may be about the name.

    Args:
        line: what somebody typed.
        anywhere: in a line without pictures, a name in the middle is missing, too.
    """
    if not any(mark in line for mark in "/\\."):
        return Found((), line)
    spans, missing = _Line(line).read()
    if any(not span.sure for span in spans) and _without(line, spans).strip():
        spans = [span for span in spans if span.sure]
    lost = [span for span in missing if not _overlaps(span, spans)]
    if not anywhere or spans:
        lost = _at_ends(line, spans, lost)
    told = dict.fromkeys(span.word for span in lost)
    return Found(tuple(span.word for span in spans), _without(line, spans), tuple(told))


def without(line: str, words: Iterable[str]) -> str:
    """A line without these of its pictures, and of those that are missing, as `find` names them."""
    gone = set(words)
    spans, missing = _Line(line).read()
    spans = [span for span in spans if span.word in gone]
    lost = [span for span in missing if span.word in gone and not _overlaps(span, spans)]
    return _without(line, sorted([*spans, *lost], key=lambda span: span.start))


def _at_ends(line: str, spans: Sequence[_Span], missing: Sequence[_Span]) -> list[_Span]:
    """What is missing for certain, and the names alone that only marks and other pictures part from an end."""
    kept: set[_Span] = set()
    inner = sorted([*spans, *missing], key=lambda span: span.start)
    if line.lstrip().startswith("/"):  # a command that is mistyped, perhaps
        inner = []
    here = 0
    for span in inner:
        if not _ONLY_MARKS.match(line, here, span.start):
            break
        here = max(here, span.end)
        kept.add(span)
    here = len(line)
    for span in reversed(inner):
        if not _ONLY_MARKS.match(line, span.end, here):
            break
        here = min(here, span.start)
        kept.add(span)
    return [span for span in missing if span.sure or span in kept]


class _Disk:
    """What is at a path, until it has been asked for too often."""

    def __init__(self) -> None:
        self.left = MAX_STATS
        self._tries = MAX_TRIES
        self._seen: dict[str, PathKind] = {}

    def kind(self, word: str) -> PathKind:
        """Of a path, a page of one, or a file:// address."""
        self._tries -= 1
        if self._tries < 0:
            self.left = 0
            return "unknown"
        path = _local(word)
        if path is None:
            return "none"
        kind = self._kind(path)
        return self._kind(document) if kind == "none" and (document := _document(path)) else kind

    def _kind(self, path: str) -> PathKind:
        if path not in self._seen:
            if max(map(len, re.split(r"[/\\]" if WINDOWS else "/", path))) > MAX_NAME or len(path) > MAX_PATH:
                return "none"
            if not self.left:
                return "unknown"
            self.left -= 1
            self._seen[path] = _stat(path)
        return self._seen[path]

    def as_source(self, word: str) -> str:
        """A word that means a file, so that `sources` takes it for one."""
        path = _local(word) or word
        document = _document(path)
        if document and re.search(r"[*?[]", path) and self._kind(path) == "none":  # there it would be a pattern
            return Path(sources.expand(document)).absolute().as_uri() + path[len(document) :]
        return f"./{path}" if path[:5].lower() in ("data:", "file:") else path


def _stat(path: str) -> PathKind:
    try:
        mode = Path(sources.expand(path)).stat().st_mode
    except (OSError, ValueError):  # not there, or no name of a file at all
        return "none"
    return "file" if stat.S_ISREG(mode) else "other"


def _is_picture(name: str) -> bool:
    return _PICTURE.search(name, max(0, len(name) - 20)) is not None  # no suffix and page are longer


def _document(path: str) -> str:
    """What `#2` at the end of a path is a page of; nothing if there is none."""
    page = _PAGE_END.search(path, max(1, len(path) - 7))
    return path[: page.start()] if page else ""


def _local(word: str) -> str | None:
    """The path that a word means, `~` and page as they are; None if it is on another machine."""
    if word[:6].lower() != "file:/":
        return word
    try:
        parts = urlsplit(word)
        if parts.netloc.lower() not in ("", "localhost"):
            return None
        path = os.fsdecode(unquote_to_bytes(parts.path))
    except ValueError:
        return None
    path = path[1:] if WINDOWS and _DRIVE.match(path, 1) else path
    return f"{path}#{parts.fragment}" if parts.fragment else path


class _Line:
    """A line that is read once, from left to right."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._disk = _Disk()
        self._unparsed = MAX_SHELL
        self._picture_ends = [match.end() for match in _PICTURE_END.finditer(line)]

    @cached_property
    def _word_ends(self) -> list[int]:
        return [match.start() for match in _WORD_END.finditer(self._line)]

    @cached_property
    def _barriers(self) -> list[int]:
        """What no path goes over: the ends of lines, and where another one begins."""
        return [match.start() for match in _BARRIER[WINDOWS].finditer(self._line)]

    def read(self) -> tuple[list[_Span], list[_Span]]:
        """The pictures, and what would be one if it were there."""
        spans: list[_Span] = []
        missing: list[_Span] = []
        at = 0
        while begun := self._next(at, bool(spans) and spans[-1].end == at):
            here, whole = begun
            at = here + 1
            if address := self._address(here):
                spans.append(self._widened(address, spans))
                at = spans[-1].end
                continue
            choices = self._choices(here, whole)
            if picture := self._picture(here, choices):
                spans.append(self._widened(picture, spans))
                at = spans[-1].end
            elif whole and (lost := self._lost(here, choices)):
                if lost.sure or not missing or missing[-1].end <= lost.start:
                    missing.append(lost)
                if lost.sure:  # else a picture may begin in it: 看/home/ada/cat.jpg
                    at = max(at, min(lost.end, self._word_end(here)))
        return spans, missing

    def _next(self, at: int, behind: bool) -> tuple[int, bool] | None:
        """Where the next word begins, right behind a picture perhaps; and whether it may be a name alone."""
        if behind and at < len(self._line) and not self._line[at].isspace():
            return at, True
        start = _START.search(self._line, at)
        return (start.start(), start["word"] is not None) if start else None

    def _address(self, at: int) -> _Span | None:
        found = _ADDRESS.match(self._line, at)
        if not found:
            return None
        word = found[0].rstrip(".,;:!?'`")
        if word.endswith(")") and "(" not in word:
            word = word.rstrip(".,;:!?'`)")
        host, _, path = re.split("[?#]", word.partition("://")[2], maxsplit=1)[0].partition("/")
        if not host:
            return None
        if (glued := _GLUED.search(path)) and not _is_picture(path):  # cat.png是什么
            word = word[: word.index("/", 8) + 1 + glued.end()]
            path = path[: glued.end()]
        return _Span(at, at + len(word), word, _is_picture(path))

    def _choices(self, at: int, whole: bool) -> list[tuple[int, str]]:
        """Where a path that begins here may end, and what it would be; the likeliest first."""
        quoted = self._line[at] in "\"'"
        rooted = _IS_ROOTED[WINDOWS].match(self._line, at + quoted) is not None
        if not self._disk.left or not (rooted or (whole and self._suffixes(at, at + MAX_PATH, 1))):
            return []
        return [*reversed(self._as_shell(at)), *(() if quoted else reversed(list(self._as_it_is(at, rooted))))]

    def _picture(self, at: int, choices: Iterable[tuple[int, str]]) -> _Span | None:
        for end, word in choices:
            if _ADDRESS.match(word) or not (_IS_ROOTED[WINDOWS].match(word) or _is_picture(word)):
                continue
            if self._disk.kind(word) == "file":
                return _Span(at, end, self._disk.as_source(word))
        return None

    def _lost(self, at: int, choices: Sequence[tuple[int, str]]) -> _Span | None:
        """The shortest of what could be a picture, if nothing is there. It is not sure of a name without a folder."""
        first = self._word_end(at)
        if self._line[at] in _OPENING:  # the name begins behind it
            return None
        for end, word in sorted(choices, key=lambda choice: choice[0]):
            if not _is_picture(word):
                continue
            root = _IS_ABSOLUTE[WINDOWS].match(word)
            if root and root[0] == "/" and end > first and not _BELOW_ROOT.match(self._line, at, first):
                continue  # "/help me with a.png" names no path
            sure = root is not None or self._is_in_folder(word)
            if not sure and end > first and self._line[at] not in "\"'" and "\\" not in self._line[at:end]:
                continue  # "and what of a.png" is no name
            return _Span(at, end, word, sure) if self._disk.kind(word) == "none" else None
        return None

    def _is_in_folder(self, word: str) -> bool:
        """Whether a path begins with a folder that is there."""
        folder, name = os.path.split(word)
        return bool(folder) and not name[:1].isspace() and self._disk.kind(folder) == "other"

    def _as_shell(self, at: int) -> list[tuple[int, str]]:
        """The word without its quotes and backslashes, if it has some: behind each quote, and as a whole."""
        line, stop = self._line, self._word_end(at)
        marks = "'\"" if WINDOWS or _DRIVE.match(line, at) else "'\"\\"
        if self._unparsed <= 0 or not any(mark in line[at:stop] for mark in marks):
            return []
        found: list[tuple[int, str]] = []
        read, here, limit = "", at, min(len(line), at + MAX_PATH)
        while here < limit and (piece := _PIECE["\\" not in marks].match(line, here, limit)):
            single, double, escaped, plain = piece.groups()
            if plain is not None:
                ends = self._suffixes(here, piece.end(), MAX_QUOTED)
                found += [(end, read + line[here:end]) for end in ends]
            read += plain or escaped or _unquoted(single, double)
            self._unparsed -= piece.end() - here
            here = piece.end()
            if plain is None and escaped is None:
                found.append((here, read))
        if here == len(line) or line[here] in _SPACE:
            return [*found[:MAX_QUOTED], (here, read)]
        return found[:MAX_QUOTED]

    def _as_it_is(self, at: int, rooted: bool) -> Iterator[tuple[int, str]]:
        """The line from here to the end of each of the next words, or each picture's suffix."""
        first = bisect_right(self._word_ends, at)
        few = self._disk.left <= KEPT_STATS
        words = self._word_ends[first : first + (1 if few else MAX_WORDS[rooted])]
        barrier = bisect_right(self._barriers, at)
        stop = min([at + MAX_PATH, *words[-1:], *self._barriers[barrier : barrier + 1]])
        ends = set(self._suffixes(at, stop, MAX_ENDS[rooted]))
        if rooted:
            ends.update(end for end in words if end <= stop)
        for end in sorted(ends)[: MAX_ENDS[rooted]]:
            yield end, self._line[at:end]

    def _word_end(self, at: int) -> int:
        found = bisect_right(self._word_ends, at)
        end = self._word_ends[found] if found < len(self._word_ends) else len(self._line)
        return min(end, at + MAX_PATH)

    def _widened(self, span: _Span, before: Sequence[_Span]) -> _Span:
        """With the marks around it, a comma behind it, and PowerShell's `&` before it."""
        line, start, end = self._line, span.start, span.end
        least = before[-1].end if before else 0
        if start > least and line[start - 1 : start] + line[end : end + 1] in _PAIRS:
            start, end = start - 1, end + 1
        if line[end : end + 1] in tuple(",;:") and not line[end + 1 : end + 2].strip():
            end += 1
        if line[start] in "\"'" and line[max(least, start - 2) : start] == "& ":
            left = line[least : start - 2].rstrip(" \t")
            start = start if left and left[-1] not in "\r\n" else start - 2
        return _Span(start, end, span.word, span.sure)

    def _suffixes(self, at: int, stop: int, most: int) -> list[int]:
        """Where the next suffixes of pictures end."""
        first = bisect_right(self._picture_ends, at)
        return [end for end in self._picture_ends[first : first + most] if end <= stop]


def _unquoted(single: str | None, double: str | None) -> str:
    if WINDOWS:
        return double or (single or "").replace("''", "'")
    return re.sub(r"\\([$`\"\\])", r"\1", double) if double else single or ""


def _overlaps(span: _Span, others: Sequence[_Span]) -> bool:
    after = bisect_left([other.end for other in others], span.start + 1)
    return after < len(others) and others[after].start < span.end


def _without(line: str, spans: Sequence[_Span]) -> str:
    """The line without some parts of it, and the space around each closed up."""
    starts, ends = [span.start for span in spans], [span.end for span in spans]
    last = len(spans)
    kept: list[str] = []
    before = ""
    for number, (start, end) in enumerate(zip([0, *ends], [*starts, len(line)], strict=True)):
        piece = line[start:end]
        if not piece.strip() and spans:
            continue
        core = piece.lstrip() if number else piece
        after = piece[: len(piece) - len(core)]
        if kept:
            kept.append(_gap(before, after, core[0]))
        bare = core.rstrip() if number < last else core
        before = core[len(bare) :]
        kept.append(bare)
    return "".join(kept)


def _gap(before: str, after: str, letter: str) -> str:
    """What is left of the space before and after a picture."""
    if not after and not letter.isalnum():  # in cat.jpg?
        return ""
    longest = max(before, after, key=lambda space: space.count("\n"))
    return longest if "\n" in longest else " " if longest or before or after else ""
