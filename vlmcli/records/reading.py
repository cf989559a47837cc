"""How a file of records is read: in large pieces, by one pattern where a record looks as they usually do, else as JSON.

A record that looks as usual is about one picture, and is written as `lines.object_line` writes it. The pattern finds
its picture's name and its work several times as fast as a parser of JSON; whether it is whole inside is seen when it
is read for itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.records.past import WORK, Past

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

LONGEST = 64 << 20
"""Bytes of a record."""
PIECE = 1 << 18
"""Bytes that are read at a time; what fits into a processor's own cache is searched fastest."""
BEGIN = b'{"v": 1, "sources": ['
"""How each record begins."""
_USUAL = re.compile(
    rb'\{"v": 1, "sources": \["([^"\\\n]*(?:\\[^\n][^"\\\n]*)*)"\], "question": [^\n]*, "work": "([0-9a-f]{32})", '
    rb'"sha256": \["[0-9a-f]*"\], "bytes": \[[0-9]+\], "modified": \[-?[0-9]+\]\}\n'
    rb"|([^\n]*\n)"
)
"""Each line: its picture's name as JSON writes it, and its work; or all of it where it does not look as usual."""
_ERROR, _ANSWER = b', "error": {"type": "', b', "answer": "'


class End(NamedTuple):
    """Where the records of a file end.

    Attributes:
        place: behind the last record, in bytes; what is left of one that was being written is behind that.
        whole: whether the last record ends with its line.
    """

    place: int
    whole: bool = True


def read(file: BinaryIO, path: Path, past: Past, start: int = 0) -> End:
    """Take all records of a file into `past`.

    Args:
        file: to read from, without a buffer of its own.
        path: its name, for errors.
        past: what takes them.
        start: of the first that is to be read.

    Raises UsageError for a file that has something else in it.
    """
    file.seek(start)
    buffer, have, place, lines = bytearray(PIECE), 0, start, 0
    while count := file.readinto(memoryview(buffer)[have:]):  # type: ignore[attr-defined]
        end = have + count
        cut = buffer.rfind(b"\n", have, end) + 1
        if cut:
            lines += _take(past, buffer, cut, place, path, lines)
            place += cut
        have = end - cut
        if have == len(buffer):  # and no line has ended
            if have >= LONGEST:
                raise _no_record(path, lines + 1)
            buffer = buffer + bytes(len(buffer))
        else:
            buffer[:have] = buffer[cut:end]
    rest = bytes(buffer[:have])
    if not rest or _is_broken(rest):
        return End(place)
    _take_one(past, rest, place, path, lines + 1)
    return End(place + have, whole=False)


def _take(past: Past, buffer: bytearray, size: int, place: int, path: Path, before: int) -> int:
    """Take whole lines, which begin at a place of the file, behind so many others. Returns how many they are."""
    piece = memoryview(buffer)[:size]
    names, works, others = zip(*_USUAL.findall(piece), strict=True)
    ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n")) + 1
    begins = np.append(0, ends[:-1])
    bounds = zip(begins.tolist(), ends.tolist(), strict=True)
    said = None if any(others) else _names(names)
    if said is None:
        for number, (begin, end) in enumerate(bounds):
            line = bytes(piece[begin:end])
            if others[number] or b"\\" in names[number]:
                _take_one(past, line, place + begin, path, before + number + 1)
            else:
                work = bytes.fromhex(works[number].decode())
                past.add(work, place + begin, (names[number],), failed=_failed(line))
        return len(ends)
    some = buffer.find(_ERROR, 0, size) >= 0
    failed = bytes(_failed(bytes(piece[begin:end])) for begin, end in bounds) if some else bytes(len(ends))
    past.extend(bytes.fromhex(b"".join(works).decode()), (begins + place).astype(np.uint64), said, failed)
    return len(ends)


def _failed(line: bytes) -> bool:
    """Whether a record that looks as usual is an error; `fields` of an answer may have keys that look like one."""
    return _ERROR in line and _ANSWER not in line


def _names(written: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
    """Names as a file system has them, of how JSON writes them; None where one of them is no JSON."""
    if b"\\" not in b"".join(written):
        return written
    try:
        return tuple(utf8(json.loads(b'"' + one + b'"')) if b"\\" in one else one for one in written)
    except ValueError:
        return None


def _take_one(past: Past, line: bytes, place: int, path: Path, number: int) -> None:
    if not line.strip():
        return
    try:
        record = json.loads(line)
        work = bytes.fromhex(record["work"])
        names = [utf8(name) for name, _, _ in files_of(record)]
        if len(work) != WORK:
            raise ValueError(record["work"])
        past.add(work, place, names, failed="error" in record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _no_record(path, number) from None


def _no_record(path: Path, number: int) -> UsageError:
    return UsageError(
        f"{path}: line {number} is not a record that vlm can resume from",
        "name another file; output redirected with `>>` cannot be resumed",
    )


def parsed(line: bytes, path: Path, place: int) -> dict[str, Any]:
    """The record of a line that begins at a place of a file. Raises UsageError where it is damaged."""
    try:
        found: dict[str, Any] = json.loads(line)
        files_of(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UsageError(f"{path}: the record at byte {place:,} is damaged", "name another file") from None
    return found


def files_of(record: Mapping[str, Any]) -> list[tuple[str, str, tuple[int, int]]]:
    """The names of a record's pictures, the hashes of their files, and the files' size and time.

    Raises TypeError, KeyError, ValueError or AttributeError for what is no record.
    """
    sizes = record["bytes"] if "bytes" in record else record["size"]
    parts = zip(record["sources"], record["sha256"], sizes, record["modified"], strict=True)
    return [(name, sha256, (size, modified)) for name, sha256, size, modified in parts]


def utf8(name: str) -> bytes:
    """A picture's name as bytes, also one that has halves of letters."""
    return name.encode("utf-8", "surrogatepass")


def _is_broken(line: bytes) -> bool:
    """Whether a line without an end is the beginning of a record, or what a file system leaves of it after a crash."""
    if not line.strip(b"\0"):
        return True
    try:
        json.loads(line)
        return False
    except (ValueError, RecursionError):
        return line.startswith(BEGIN) or BEGIN.startswith(line)
