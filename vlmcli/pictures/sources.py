"""Words of the command line become `Source`s: each names one picture, not yet read.

    path · path#N (a frame, a page) · folder · glob · file:// · http:// · https:// · data: · the bytes of stdin
    shard.tar · shard.tar#NAME · table.parquet · table.parquet#ROW · s3:// · gs:// · hf:// · shard-{000..127}.tar

Nothing is decoded or fetched here; the pages of a PDF or TIFF are counted, archives and stores are listed. What is in a
folder is judged in `folders`, and what is in an archive or a table in `containers`.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from vlmcli import typed
from vlmcli.errors import SourceError, UsageError
from vlmcli.later import Later
from vlmcli.pictures import braces, folders, kept, names, signatures
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.kept import Broken, Here, Kept
from vlmcli.values import Picture

if TYPE_CHECKING:  # it hashes files, which a page of help does not need
    from vlmcli.pictures import containers, stores
    from vlmcli.pictures.known import Known
else:  # few commands need these
    containers, stores = Later("vlmcli.pictures.containers"), Later("vlmcli.pictures.stores")


_PACKED = Broken("a compressed archive, in which pictures cannot be found", "decompress it to a plain .tar first")


@dataclass(frozen=True, slots=True)
class Url:
    """Where a picture is to be fetched, perhaps from this machine or network."""

    address: str
    allow_local: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One picture somebody has named. It can be sent to another process, as nothing in it is open.

    Attributes:
        name: for messages and records: the word itself, or what it was expanded to.
        file: where it is, or its bytes; `Kept` is what is in an archive, a table or a store.
        frame: of an animation, a PDF or a TIFF, from 1; 0 for the first or only one.
        expanded: by this module, from a folder, a glob, a list or a file of several pages; such pictures are asked
            about one by one.
        root: the folder that it was found in or below, by the name of that folder or by a pattern; None for one that
            somebody has named.
    """

    name: str
    file: Path | bytes | Url | Kept
    frame: int = 0
    expanded: bool = False
    root: Path | None = None

    @property
    def far(self) -> bool:
        """Whether it comes through a network, and may be fetched before its turn, beside others.

        Not so the rows of a table, also of one in a store: they are read once if they are read in order.
        """
        return isinstance(self.file, Url) or (isinstance(self.file, Kept) and self.file.far)

    def load(self, bound: int = 0, known: Known | None = None) -> Picture:
        """Its pixels, scaled down as `images.load` does; those of a `known` file are read later. Raises SourceError."""
        if known is not None:
            return known.load(self.fetched(), self.name, self.frame, bound)
        from vlmcli.pictures import images  # not needed for a page of help

        return images.load(self.fetched(), self.name, self.frame, bound)

    def load_parts(self, known: Known | None = None) -> list[Picture]:
        """Its pixels as `load` has them; those of a long picture in parts, as `images.load_parts` cuts it."""
        if known is not None:
            return known.load_parts(self.fetched(), self.name, self.frame)
        from vlmcli.pictures import images

        return images.load_parts(self.fetched(), self.name, self.frame)

    def fetched(self) -> Path | bytes:
        """Its file, or the bytes of one that came from elsewhere. Raises SourceError."""
        if isinstance(self.file, Kept):
            return self.file.read(self.name)
        if not isinstance(self.file, Url):
            return self.file
        from vlmcli.pictures import fetch  # with a client of HTTP, which only an address needs

        return fetch.get(self.file.address, self.file.allow_local)


def find(
    words: Iterable[str],
    listed: Iterable[str] = (),
    allow_local: bool = False,
    left_out: LeftOut | None = None,
    known: Known | None = None,
    *,
    only_addresses: bool = False,
) -> Iterator[Source]:
    """What words of the command line mean, and then the names of a list, which are files or addresses.

    Args:
        words: of the command line.
        listed: names of a list.
        allow_local: whether addresses may lead to this machine or its network.
        left_out: takes up what is in folders and is no picture.
        known: files that were read before, whose pages need not be counted.
        only_addresses: the list came from elsewhere, and may not name files on this machine.

    Raises SourceError where a folder has no pictures, or a glob no matches. A file that is not there is an error when
    it is loaded, so that the others are not lost.
    """
    left_out = LeftOut() if left_out is None else left_out
    for word in words:
        yield from _word(word, allow_local, left_out, known)
    asked: dict[str, stores.Stored] = {}
    for name in listed:
        for source in _listed(name, allow_local, left_out, known, asked, only_addresses=only_addresses):
            yield replace(source, expanded=True)


def _listed(
    name: str,
    allow_local: bool,
    left_out: LeftOut,
    known: Known | None,
    asked: dict[str, stores.Stored],
    *,
    only_addresses: bool,
) -> Iterator[Source]:
    """What a name in a list means.

    A store is asked about an archive or a table once, as `asked` remembers, and about other objects not at all: a list
    may be long.
    """
    if kept.is_url(name):
        yield from _url(name, allow_local)
    elif kept.is_stored(name):
        yield from _stored(name, allow_local, left_out, asked)
    elif only_addresses:
        hint = "download the list first, if you trust it"
        yield Source(name, Broken("a list from elsewhere may name only addresses of http, https and stores", hint))
    else:
        yield from _named(name, names.same(Path(name)), allow_local, left_out, known)


def expand(word: str) -> str:
    """A word with the `~` before it replaced, where a shell has not."""
    return os.path.expanduser(word)  # noqa: PTH111 - Path's raises when there is no such user


def _url(word: str, allow_local: bool) -> Iterator[Source]:
    """An address, and perhaps the frame or page that is meant after a `#`."""
    address, _, frame = word.partition("#")
    number = int(frame) if re.fullmatch("[1-9][0-9]{0,5}", frame) else 0
    yield Source(word, Url(address, allow_local), number)


def _word(word: str, allow_local: bool, left_out: LeftOut, known: Known | None) -> Iterator[Source]:
    """What one word names: of all its readings, the first that fits."""
    if kept.is_url(word):
        yield from _url(word, allow_local)
        return
    if word[:5].lower() == "data:":
        yield from of_bytes(word[:40] + ("…" if len(word) > 40 else ""), data(word), known)
        return
    if word[:5].lower() == "file:":
        yield from _file(word, _local_path(word), known)
        return
    if kept.is_stored(word):
        yield from _stored(word, allow_local, left_out)
        return
    if not word:  # or an unset variable would be the current folder
        raise UsageError("the name of a picture is empty", "check the command")
    path = names.same(Path(expand(word)))
    if _is_dir(path):
        yield from _folder(word, path, left_out, known)
    elif not _exists(path) and (several := braces.expand(word)):
        for one in several:
            for source in _word(one, allow_local, left_out, known):
                yield replace(source, expanded=True)
    elif re.search(r"[*?[]", word) and not _exists(path) and not _exists(_container(path)):
        yield from _glob(word, allow_local, left_out, known)
    else:
        yield from _named(word, path, allow_local, left_out, known)


def _container(path: Path) -> Path:
    """The archive or the table that a path names a part of; the path itself where it names none."""
    parts = kept.parted(str(path))
    return Path(parts[0]) if parts else path


def _named(
    name: str, path: Path, allow_local: bool, left_out: LeftOut, known: Known | None, kind: str = ""
) -> Iterator[Source]:
    """A file, as `_file` has it, or what is in an archive or a table, if it is one by its name and its first bytes."""
    parts = kept.parted(name)
    container, inner = parts if parts and not (parts[1] and _exists(path)) else (name, "")
    if kept.is_packed(name) and _exists(path):
        yield Source(name, _PACKED)
    elif parts and (here := _archive(names.same(_container(path)) if inner else path)):
        yield from _within(container, here, inner, allow_local, left_out)
    else:
        yield from _file(name, path, known, kind)


def _archive(path: Path) -> Here | None:
    """The archive or the table at a path; None where something else is there."""
    try:
        return Here.of(path) if containers.is_one(folders.head(str(path)) or b"") else None
    except (OSError, ValueError):
        return None


def _within(name: str, container: kept.Container, inner: str, allow_local: bool, left_out: LeftOut) -> Iterator[Source]:
    """What is in an archive or a table: all, or what is named in it."""
    for one, picture, frame in containers.find(name, container, inner, left_out, allow_local=allow_local):
        yield Source(one, picture, frame, expanded=not inner)


def _stored(
    word: str, allow_local: bool, left_out: LeftOut, asked: dict[str, stores.Stored] | None = None
) -> Iterator[Source]:
    """What an address of a store means: an object, a prefix, a pattern, or what is in an archive or a table there.

    With `asked`, it is of a list: one object, which is not looked for, or an archive or a table.
    """
    if asked is None and (several := braces.expand(word)):
        for found in stores.ahead(several, lambda one: _gathered(lambda own: _stored(one, allow_local, own))):
            left_out.files += found[1].files
            yield from (replace(source, expanded=True) for source in found[0])
        return
    parts = kept.parted(word)
    numbered = None if parts else re.fullmatch(r"(.+)#([1-9][0-9]{0,5})", word, re.DOTALL)
    address, inner = parts or (numbered[1] if numbered else word, "")
    frame, behind = (int(numbered[2]), f"#{numbered[2]}") if numbered else (0, f"#{inner}" if inner else "")
    try:
        objects = list(_objects(address, left_out, asked, alone=parts is None))
        within = [(name, one) for name, one in objects if kept.parted(name) == (name, "") and one.size >= 0]
        gathered = stores.ahead(within, lambda one: _gathered(lambda own: _within(*one, inner, allow_local, own)))
        for name, one in objects:
            if kept.is_packed(name):
                yield Source(name, _PACKED, expanded=name != address)
            elif kept.parted(name) == (name, "") and one.size >= 0:
                found = next(gathered)
                left_out.files += found[1].files
                yield from found[0]
            else:
                yield Source(name + behind, one, frame, expanded=name != address)
    except SourceError as error:
        if asked is None:
            raise
        yield Source(word, Broken(error.message.removeprefix(f"{address}: "), error.hint))


def _gathered(find: Callable[[LeftOut], Iterable[Source]]) -> tuple[list[Source], LeftOut]:
    """All that is found at once, and what it leaves out."""
    own = LeftOut()
    return list(find(own)), own


def _objects(
    address: str, left_out: LeftOut, asked: dict[str, stores.Stored] | None, *, alone: bool
) -> Iterable[tuple[str, stores.Stored]]:
    """The objects that an address means, as `_stored` has it. Raises SourceError."""
    if asked is None:
        return stores.find(address, left_out)
    if alone:
        return [(address, stores.Stored(address))]
    if address not in asked:
        asked.clear()
        asked[address] = stores.one(address)
    return [(address, asked[address])]


def _local_path(address: str) -> Path:
    """The file of a file:// address (RFC 8089), with the frame behind it after a `#`."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise SourceError(f"{address}: not an address", "write file:///path") from None
    if parts.netloc.lower() not in ("", "localhost"):
        raise SourceError(f"{address}: a file on another machine", "for a file on this machine, write file:///path")
    path = os.fsdecode(unquote_to_bytes(parts.path))
    return Path(f"{path}#{parts.fragment}" if parts.fragment else path)


def _is_dir(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path's raises for what is too long to be a name


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - as above


def _file(name: str, path: Path, known: Known | None, kind: str = "") -> Iterator[Source]:
    """A file, or one frame of it; a PDF or TIFF of several pages as its pages.

    The kind is the file's format, where it has been looked into already.
    """
    numbered = re.fullmatch(r"(.+)#([1-9][0-9]{0,5})", str(path))
    if numbered and not _exists(path):
        yield Source(name, names.same(Path(numbered[1])), int(numbered[2]))
        return
    pages = _pages(name, path, known) if (kind in ("PDF", "TIFF") if kind else folders.has_pages(path)) else ()
    if not pages:
        yield Source(name, path)
    for page in pages:
        yield Source(f"{name}#{page}", path, page, expanded=True)


def _pages(name: str, file: Path | bytes, known: Known | None) -> tuple[int, ...]:
    """The numbers of the pages of a PDF or TIFF that has several."""
    if isinstance(file, Path) and not _exists(file):
        return ()
    try:
        if known is not None:
            return known.pages(file, name)
        from vlmcli.pictures import images

        return images.pages(file, name)
    except SourceError:  # it is said when it is loaded
        return ()


def of_bytes(name: str, data: bytes, known: Known | None = None) -> Iterator[Source]:
    """A picture in memory; a PDF or TIFF of several pages as its pages."""
    pages = _pages(name, data, known) if signatures.kind(data[: signatures.HEAD]) in ("PDF", "TIFF") else ()
    if not pages:
        yield Source(name, data)
    for page in pages:
        yield Source(f"{name}#{page}", data, page, expanded=True)


def _folder(word: str, path: Path, left_out: LeftOut, known: Known | None) -> Iterator[Source]:
    """The pictures below a folder, by name. A folder that cannot be read is one, too.

    It fails when it is loaded, so that it is told of, and the others are not lost.
    """
    folder = folders.Folder(word, path)
    found = False
    for file in folder.pictures():
        found = True
        for source in _file(file.name, file.path, known, file.kind):
            yield replace(source, expanded=True, root=path)
    for name, closed in folder.closed:
        yield Source(name, closed)
    if not found and not folder.closed:
        has = folder.left_out.kinds()
        raise SourceError(
            f"{word}: no pictures in this folder that vlm can read{f' ({has})' if has else ''}",
            _of_raw_files(word, folder.left_out)
            or folders.of_containers(word, folder.left_out)
            or "choose another folder",
        )
    left_out.files += folder.left_out.files


def _of_raw_files(word: str, left_out: LeftOut) -> str:
    """What to do with a folder of cameras' raw files; empty where it has none."""
    found = [Path(name) for name, _ in left_out.files if Path(name).suffix.lower() in signatures.RAW]
    readable = [path for path in found if path.suffix.lower() in signatures.TIFF_RAW]
    if readable:
        below = "" if all(path.parent == Path(word) for path in readable) else "**"
        pattern = typed.word(str(Path(glob.escape(word), below, f"*{readable[0].suffix}")))
        return f"to ask about the previews in the raw files, name them by a pattern in quotes: {pattern}"
    return "export the raw files as JPEG first, with darktable or the camera maker's program" if found else ""


def _glob(word: str, allow_local: bool, left_out: LeftOut, known: Known | None) -> Iterator[Source]:
    """The files that a pattern matches in any case, by name; if it says nothing of a suffix, the pictures."""
    own, pattern = LeftOut(), expand(word).replace(os.altsep or os.sep, os.sep)
    if "**" in pattern.split(os.sep):  # noqa: PTH206 - keeps what the user has written
        files = folders.matching(pattern, own)
    else:
        wide = folders.any_case(pattern)
        found = sorted(glob.glob(wide))  # noqa: PTH207 - Path's takes no absolute patterns
        files = [name for name in found if not _is_dir(Path(name))]
    if not files:
        raise SourceError(f"{word}: no file matches this pattern", "check the pattern")
    if re.search(r"\.[^./\\*?\[\]]+\Z", word):
        chosen = [folders.File(name, Path(name)) for name in files]
    else:
        chosen = folders.sorted_out(files, own)
        if not chosen:
            raise SourceError(
                f"{word}: no picture that vlm can read matches this pattern ({own.kinds()})", "check the pattern"
            )
    left_out.files += own.files
    root = Path(re.split(r"[*?[]", pattern, maxsplit=1)[0] + "_").parent  # what is written before the pattern begins
    for file in chosen:
        for source in _named(file.name, file.path, allow_local, left_out, known, file.kind):
            yield replace(source, expanded=True, root=root)


def data(uri: str) -> bytes:
    """The bytes of a data URI (RFC 2397)."""
    head, comma, body = uri.partition(",")
    try:
        if not comma:
            raise ValueError("it has no comma")
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(body)
        return base64.b64decode("".join(unquote(body).split()), validate=True)  # some tools wrap their lines
    except (ValueError, binascii.Error) as error:
        raise SourceError(f"{uri[:40]}…: not a data URI ({error})", "check how it was made") from None


def split_list(data: bytes, null: bool) -> list[str]:
    """The names of a list: one per line, or one before each NUL; bytes that are not UTF-8 are kept."""
    text = os.fsdecode(utf8(data))
    found = text.split("\0") if null else [line.removesuffix("\r") for line in text.split("\n")]
    return [name for name in found if name]


def utf8(data: bytes) -> bytes:
    """A text without the mark that some editors put before it; what a mark says is UTF-16 becomes UTF-8.

    PowerShell and the editors of Windows write that. Raises ValueError where it is not whole.
    """
    if data.startswith(codecs.BOM_UTF8):
        return data.removeprefix(codecs.BOM_UTF8)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16").encode()
    return data


def is_utf16(data: bytes) -> bool:
    """Whether a text is in UTF-16 as it seems, without a mark that says so: every second byte is NUL."""
    begin = data[: 1 << 10]
    return len(begin) > 3 and any(
        not begin[at::2].strip(b"\0") and 0 not in begin[1 - at : len(begin) // 2 * 2 : 2] for at in (0, 1)
    )
