"""What is in an archive or a table, on this machine or in a store, becomes names and pictures that are not yet read.

    for name, picture, frame in find("x.tar", Here.of(Path("x.tar")), "", left_out): ...

A picture's name is that of its archive or table, a "#", and the member's name or the row's number: `x.tar#0001.jpg`,
`photos.parquet#0`. Behind it may be the number of a frame or page. The formats are `shards`' and `columns`'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from vlmcli.errors import SourceError
from vlmcli.pictures import shards
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.kept import Broken, Container, Kept

_AGAIN = "copy or download it again"
_FRAME = re.compile(r"(.+)#([1-9][0-9]{0,5})", re.DOTALL)
_CELL = re.compile(
    r"(?:(?P<column>.*?[^0-9#].*?)(?:#|\Z))?(?:(?P<row>[0-9]{1,18})(?:#(?P<frame>[1-9][0-9]{0,5}))?)?", re.DOTALL
)
"""What is behind a table's name: a column, a row, both, or with a frame."""

Found = tuple[str, Kept, int]
"""The name of a picture, itself, and a frame of it, from 1; 0 for the first or only one."""


def is_one(head: bytes) -> bool:
    """Whether a file is an archive or a table that is read here, by its first 512 bytes."""
    return head.startswith(b"PAR1") or shards.is_shard(head)


def find(
    name: str, container: Container, inner: str, left_out: LeftOut, *, allow_local: bool = False
) -> Iterator[Found]:
    """The pictures in an archive or a table, in order.

    What cannot be read of it is one more, which says so when it is loaded.

    Args:
        name: of the archive or the table; the last part tells which of them it is.
        container: what it is read from.
        inner: what is named in it; empty for all.
        left_out: takes up members that are no pictures, where all are meant.
        allow_local: whether addresses in a table may lead to this machine or its network.
    """
    version, named = container.mark().version, f"{name}#{inner}" if inner else name
    try:
        if name.lower().endswith(".parquet"):
            yield from _rows(name, container, inner, allow_local)
        elif inner:
            yield _member(name, container, inner)
        else:
            yield from _members(name, container, left_out)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield named, Broken(f"cannot be read ({reason})", "check the file", version), 0
    except SourceError as error:
        yield named, Broken(error.message.removeprefix(f"{name}: "), error.hint, version), 0


def _rows(name: str, table: Container, inner: str, allow_local: bool) -> Iterator[Found]:
    """The pictures in a table: all, those of a column, or one row, and perhaps a frame of that."""
    from vlmcli.pictures import columns  # which few need

    parts = _CELL.fullmatch(inner)
    if parts is None:
        raise SourceError(f"{name}: no row {inner[:80]}", "the first row has the number 0")
    row = None if parts["row"] is None else int(parts["row"])
    for cell, picture in columns.find(table, name, parts["column"] or "", row, allow_local=allow_local):
        yield (f"{name}#{inner}", picture, int(parts["frame"])) if parts["frame"] else (cell, picture, 0)


def _members(name: str, archive: Container, left_out: LeftOut) -> Iterator[Found]:
    """All pictures in an archive, and what is wrong with it."""
    shard, version = shards.listed(archive), archive.mark().version
    for inner, member in shard.pictures.items():
        yield f"{name}#{inner}", member, 0
    if shard.cut:
        yield f"{name}#{shard.cut}", Broken("the archive ends in the middle of this file", _AGAIN, version), 0
    elif shard.broken:
        yield name, Broken(shard.broken, _AGAIN, version), 0
    elif not shard.pictures:
        has = LeftOut(shard.left_out).kinds()
        said = f"no pictures in it that vlm can read{f' ({has})' if has else ''}"
        yield name, Broken(said, "choose another archive", version), 0
        return
    left_out.files += [(f"{name}#{inner}", kind) for inner, kind in shard.left_out]


@lru_cache(maxsize=2)  # a list names many members of one archive
def _shard(archive: Container) -> shards.Shard:
    return shards.listed(archive)


def _member(name: str, archive: Container, inner: str) -> Found:
    """One picture in an archive, or a frame of it."""
    pictures = _shard(archive).pictures
    numbered = _FRAME.fullmatch(inner)
    if inner not in pictures and numbered and numbered[1] in pictures:
        return f"{name}#{inner}", pictures[numbered[1]], int(numbered[2])
    broken = Broken("there is no such picture in the archive", "check the name", archive.mark().version)
    return f"{name}#{inner}", pictures.get(inner, broken), 0
