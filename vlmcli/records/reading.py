"""How a file of records is read: in large pieces, of which numpy finds what is asked for, or else as JSON.

Most records are about one picture, and are written as `lines.object_line` writes them: how they begin and how they end
is always the same but for a name and some numbers. Where these are is found for all lines of a piece at once, several
times as fast as a parser of JSON; that a record is whole inside is seen when it is read for itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.records.past import WORK, Past

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Later("numpy")

LONGEST = 64 << 20
"""Bytes of a record."""
PIECE = 1 << 20
"""Bytes that are read at a time."""
BEGIN = b'{"v": 1, "sources": ['
"""How each record begins."""
_ERROR, _ANSWER = b', "error": {"type": "', b', "answer": "'
_HEAD, _BEHIND_NAME = BEGIN + b'"', b'"], "question": '
_BEFORE_WORK, _BEHIND_WORK, _TAIL = b', "work": "', b'", "sha256": ["', b"]}\n"
_NAME, _END = 256, 208
"""Bytes behind the beginning and before the end of a record in which its picture's name and its work are looked for."""


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
    buffer, have, place, lines = _Piece(PIECE), 0, start, 0
    while count := file.readinto(memoryview(buffer.data)[_END + have : _END + buffer.size]):  # type: ignore[attr-defined]
        end = have + count
        cut = buffer.data.rfind(b"\n", _END + have, _END + end) + 1 - _END
        if cut > 0:
            lines += _take(past, buffer, cut, place, path, lines)
            place += cut
        cut = max(cut, 0)
        rest, have = bytes(buffer.data[_END + cut : _END + end]), end - cut
        if have == buffer.size:  # and no line has ended
            if have >= LONGEST:
                raise _no_record(path, lines + 1)
            buffer = _Piece(2 * have)
        buffer.data[_END : _END + have] = rest
    rest = bytes(buffer.data[_END : _END + have])
    if not rest or _is_broken(rest):
        return End(place)
    _take_one(past, rest, place, path, lines + 1)
    return End(place + have, whole=False)


class _Piece:
    """A piece of a file, with room before and behind it for what is looked at together with it."""

    def __init__(self, size: int) -> None:
        """`size` is that of the piece, in bytes."""
        self.size = size
        self.data = bytearray(_END + size + len(_HEAD) + _NAME + 2 * WORK)

    def found(self, size: int) -> _Found:
        """Look at all its lines; `size` bytes are read, and end with a line."""
        data = np.frombuffer(self.data, np.uint8)
        ends = np.flatnonzero(data[_END : _END + size] == ord("\n")) + 1 + _END
        begins = np.append(_END, ends[:-1])
        works = ends - (_windows(data, _END)[ends - _END][:, ::-1] == ord("k")).argmax(axis=1) + len(b'": "')
        works = np.minimum(works, ends)  # they begin so far behind the k of "work"
        names = begins + len(_HEAD)
        behind = names + (_windows(data, _NAME)[names] == ord('"')).argmax(axis=1)
        usual = (works - len(_BEFORE_WORK) > behind) & (works + 2 * WORK + len(_BEHIND_WORK) < ends)
        for places, text in (
            (begins, _HEAD), (behind, _BEHIND_NAME), (works - len(_BEFORE_WORK), _BEFORE_WORK),
            (works + 2 * WORK, _BEHIND_WORK), (ends - len(_TAIL), _TAIL),
        ):  # fmt: skip
            there = _windows(data, len(text))[places]
            if there.tobytes() != text * len(ends):
                usual &= (there == np.frombuffer(text, np.uint8)).all(axis=1)
        hexadecimal = _windows(data, 2 * WORK)[works].tobytes()
        view = memoryview(self.data)
        written = [bytes(view[begin:end]) for begin, end in zip(names.tolist(), behind.tolist(), strict=True)]
        return _Found(begins, ends, usual, hexadecimal, written)


def _windows(data: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """All runs of so many bytes, by where they begin; nothing is copied."""
    return np.lib.stride_tricks.as_strided(data, (len(data) - width + 1, width), (1, 1), writeable=False)


class _Found(NamedTuple):
    """What was found of a piece's lines.

    Attributes:
        begins: where each begins in the piece, behind the room before it.
        ends: where it ends, with its line.
        usual: whether it looks as usual; the others are not what follows.
        works: the names of their works in hex, one behind the other.
        names: of their pictures, as JSON writes them.
    """

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    usual: NDArray[np.bool_]
    works: bytes
    names: list[bytes]


def _take(past: Past, piece: _Piece, size: int, place: int, path: Path, before: int) -> int:
    """Take whole lines, which begin at a place of the file, behind so many others. Returns how many they are."""
    found = piece.found(size)
    places = found.begins + (place - _END)
    if found.usual.all() and (names := _names(found.names)) and (works := _works(found.works)):
        if piece.data.find(_ERROR[: -len(b'"type": "')], _END, _END + size) >= 0:  # found fast, as it ends with {
            bounds = zip(found.begins.tolist(), found.ends.tolist(), strict=True)
            failed = bytes(_failed(bytes(piece.data[begin:end])) for begin, end in bounds)
        else:
            failed = bytes(len(names))
        past.extend(works, places.astype(np.uint64), names, failed)
        return len(names)
    for number, (begin, end) in enumerate(zip(found.begins.tolist(), found.ends.tolist(), strict=True)):
        line = bytes(piece.data[begin:end])
        work = _works(found.works[2 * WORK * number : 2 * WORK * (number + 1)]) if found.usual[number] else b""
        if work and b"\\" not in found.names[number]:
            past.add(work, place + begin - _END, (found.names[number],), failed=_failed(line))
        else:
            _take_one(past, line, place + begin - _END, path, before + number + 1)
    return len(found.names)


def _works(hexadecimal: bytes) -> bytes:
    """The names of works; empty where one of them is none."""
    try:
        works = bytes.fromhex(hexadecimal.decode("ascii"))
    except ValueError:
        return b""
    return works if 2 * len(works) == len(hexadecimal) else b""  # there may be white space in it


def _failed(line: bytes) -> bool:
    """Whether a record that looks as usual is an error; `fields` of an answer may have keys that look like one."""
    return _ERROR in line and _ANSWER not in line


def _names(written: list[bytes]) -> list[bytes]:
    """Names as a file system has them, of how JSON writes them; none where one of them is no JSON."""
    if b"\\" not in b"".join(written):
        return written
    try:
        return [utf8(json.loads(b'"' + one + b'"')) if b"\\" in one else one for one in written]
    except ValueError:
        return []


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
