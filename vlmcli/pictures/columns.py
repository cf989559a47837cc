"""The pictures in a column of a Parquet file, row by row: bytes, Hugging Face's image struct, or paths and addresses.

Only the file's footer is read to know how many rows it has. A row is read when its picture is loaded: the batches of
its row group go on from where they were last, so that rows in order are read once, and never a whole file.

A table on this machine may name other files on it: beside it, or from the current folder, as datasets does. One that is
elsewhere may name only addresses: what a stranger has written into it is no reason to open a file here.

pyarrow is imported when a table is read.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli.amounts import size as in_words
from vlmcli.errors import SourceError
from vlmcli.later import Later
from vlmcli.pictures import stores
from vlmcli.pictures.kept import MAX_BYTES, Container, Here, Kept, Mark, is_stored, is_url

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet
else:
    pa, parquet = Later("pyarrow"), Later("pyarrow.parquet")

USUAL = (
    "image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "url", "image_url", "image_path",
    "file_name", "path",
)  # fmt: skip
"""Names of columns that are taken for the pictures', in this order, in capitals or not."""
ROWS = 16
"""That are read at once."""
OPEN = 4
"""Tables that are open at once in a process."""
_BUFFER = 1 << 20
"""Bytes that are read of a column at once."""


@dataclass(frozen=True, slots=True)
class Cell(Kept):
    """A picture in a table.

    Attributes:
        table: that it is in.
        column: by its name.
        row: from 0.
        allow_local: whether an address in it may lead to this machine or its network.
    """

    table: Container
    column: str
    row: int
    allow_local: bool = False

    def mark(self) -> Mark:
        """It has the version of its table; how many bytes it has is not known."""
        mark = self.table.mark()
        return Mark(mark.version, 0, mark.modified)

    def read(self, name: str) -> Path | bytes:
        """Its bytes, or the file that it names. Raises SourceError."""
        with _errors(name):
            value = _table(self.table, self.column).value(self.row)
        if isinstance(value, Mapping):  # Hugging Face's: {"bytes": …, "path": …}
            value = value.get("bytes") or value.get("path")
        if value is None or len(value) == 0:
            raise SourceError(f"{name}: there is no picture in this row", "leave the row out")
        if isinstance(value, str):
            return self._named(value, name)
        if len(value) > MAX_BYTES:
            raise SourceError(f"{name}: {in_words(len(value))} is more than a picture has", "check the table")
        return bytes(value)

    def _named(self, text: str, name: str) -> Path | bytes:
        """What a path or an address in a table leads to. Raises SourceError."""
        if is_url(text):
            from vlmcli.pictures import fetch  # with a client of HTTP

            return fetch.get(text.partition("#")[0], self.allow_local)
        if is_stored(text):
            return stores.Stored(text).read(name)
        if not isinstance(self.table, Here):
            raise SourceError(
                f"{name}: names a file on this machine, which only a table on this machine may do",
                "download the table first, if you trust it",
            )
        if "\0" in text or "://" in text:
            raise SourceError(f"{name}: neither a path nor an address of http, https or a store", "check the table")
        beside = self.table.path.parent / text
        return beside if os.path.lexists(beside) else Path(text)


def find(
    table: Container, name: str, column: str = "", row: int | None = None, *, allow_local: bool = False
) -> Iterator[tuple[str, Cell]]:
    """The pictures in a table, with their names.

    Args:
        table: that they are in.
        name: of the table.
        column: that they are in; empty for the likeliest.
        row: the number of the only one that is meant, from 0; None for all.
        allow_local: whether addresses in it may lead to this machine or its network.

    Raises SourceError where it cannot be read, or has no such column or row, or several that could be meant.
    """
    with _errors(name), _opened(table) as file:
        rows = file.metadata.num_rows
        columns = {field.name: field.type for field in file.schema_arrow}
        if not column:
            column, begin = _likeliest(columns, name), f"{name}#"
        elif column in columns:
            begin = f"{name}#{column}#"
        else:
            raise SourceError(
                f"{name}: has no column {column[:80]!r}", f"name one of these: {', '.join(columns)[:400]}"
            )
    if row is not None and row >= rows:
        raise SourceError(f"{name}: has {rows:,} rows, and no row {row}", "the first row has the number 0")
    if not rows:
        raise SourceError(f"{name}: has no rows", "choose another table")
    for number in range(rows) if row is None else (row,):
        yield f"{begin}{number}", Cell(table, column, number, allow_local)


def _likeliest(columns: Mapping[str, Any], name: str) -> str:
    """The column with the pictures: one with a usual name, or the only one that may have some. Raises SourceError."""
    may_be = [column for column, kind in columns.items() if _has_bytes(kind)]
    named = {column.lower(): column for column, kind in columns.items() if column in may_be or _has_text(kind)}
    for usual in USUAL:
        if usual in named and (named[usual] in may_be or not may_be):
            return named[usual]
    if len(may_be) == 1:
        return may_be[0]
    if may_be:
        raise SourceError(
            f"{name}: pictures may be in the columns {', '.join(may_be)[:400]}", f"name one of them: {name}#{may_be[0]}"
        )
    raise SourceError(
        f"{name}: no column of pictures (it has {', '.join(columns)[:400]})",
        f"if one has paths or addresses, name it: {name}#COLUMN",
    )


def _has_bytes(kind: Any) -> bool:
    """Whether a column of this type may have the bytes of pictures, or is Hugging Face's image struct."""
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return "bytes" in fields and ("path" in fields or _is_binary(fields["bytes"]))
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _has_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


class _Table:
    """A table that is read row by row. Threads may share it."""

    def __init__(self, table: Container, column: str) -> None:
        self._table, self._column = table, column
        self._lock = threading.Lock()
        self._stream: Any = None
        self._file: Any = None
        self._ends: list[int] = []  # of the row groups, as numbers of rows
        self._batches: Iterator[Any] = iter(())
        self._group, self._first, self._batch = -1, 0, None

    def value(self, row: int) -> Any:
        """What is in a row. Raises SourceError, OSError, ValueError and what else pyarrow does."""
        with self._lock:
            try:
                return self._value(row)
            except BaseException:
                self._close()  # it may stand anywhere in the file
                raise

    def close(self) -> None:
        """Close the file, which is opened again if somebody still needs it."""
        with self._lock:
            self._close()

    def _value(self, row: int) -> Any:
        if self._file is None:
            self._stream = self._table.stream()
            self._file = parquet.ParquetFile(self._stream, buffer_size=_BUFFER, pre_buffer=False)
            about = self._file.metadata
            self._ends = list(accumulate(about.row_group(number).num_rows for number in range(about.num_row_groups)))
        group = bisect_right(self._ends, row)
        if group >= len(self._ends):
            raise ValueError("the table has fewer rows than its footer says")
        if group != self._group or row < self._first:
            self._batch, self._group, self._first = None, group, self._ends[group - 1] if group else 0
            self._batches = self._file.iter_batches(ROWS, [group], [self._column], use_threads=False)
        while self._batch is None or row >= self._first + self._batch.num_rows:
            if self._batch is not None:
                self._first += self._batch.num_rows
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise ValueError("a row group has fewer rows than its footer says")
        return self._batch.column(0)[row - self._first].as_py()

    def _close(self) -> None:
        self._batches, self._batch, self._group = iter(()), None, -1
        for one in (self._file, self._stream):
            if one is not None:
                with suppress(OSError, ValueError):
                    one.close()
        self._file = self._stream = None


_tables: OrderedDict[tuple[int, Container, str], _Table] = OrderedDict()
"""Those that are open, by process, table and column; the last used is the last."""
_lock = threading.Lock()


def _table(table: Container, column: str) -> _Table:
    """A table, open if it was used recently."""
    key = os.getpid(), table, column
    with _lock:
        found = _tables.setdefault(key, _Table(table, column))
        _tables.move_to_end(key)
        old = [_tables.popitem(last=False)[1] for _ in range(len(_tables) - OPEN)]
    for one in old:
        one.close()
    return found


@contextmanager
def _opened(table: Container) -> Iterator[Any]:
    """A table, open as long as the context lasts."""
    with table.stream() as stream, parquet.ParquetFile(stream) as file:
        yield file


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """What goes wrong with a table is a SourceError that begins with the name."""
    try:
        yield
    except ModuleNotFoundError:
        raise SourceError(f"{name}: needs the package pyarrow", "install it: pip install 'vlmcli[parquet]'") from None
    except (OSError, ValueError, LookupError, NotImplementedError, TypeError, MemoryError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0][:200]
        raise SourceError(f"{name}: the table cannot be read ({reason})", "check the file") from None
