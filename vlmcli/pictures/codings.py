"""What a server has packed a body in, unpacked piece by piece and within bounds: HTTP's Content-Encoding.

Nothing packed is asked for, but some servers and caches send it all the same. gzip and deflate are unpacked, also one
in the other; br, zstd and others are refused by name. Source: RFC 9110, section 8.4; RFC 1950 and 1952. Does not know
where the pieces come from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator

from vlmcli.amounts import size
from vlmcli.errors import SourceError

MOST = 5
"""Codings one in the other; curl takes as many."""
MEMBERS = 10_000
"""Parts of one gzip stream, each of which may be empty."""

_PIECE = 1 << 18
_GZIP = zlib.MAX_WBITS | 16

_Decoder = Callable[[Iterator[bytes], str], Iterator[bytes]]


def names(headers: Iterable[str]) -> list[str]:
    """The codings that the values of all Content-Encoding headers name, in lower case, in the order they were applied.

    Left out is "identity", which means none.
    """
    found = [one.strip().lower() for value in headers for one in value.split(",")]
    return [one for one in found if one not in ("", "identity")]


def unpacked(pieces: Iterable[bytes], codings: list[str], name: str, max_bytes: int) -> Iterator[bytes]:
    """The body behind packed pieces; the pieces as they are, where there are no codings.

    Args:
        pieces: of the body, as they come.
        codings: as `names` returns them.
        name: of the body, for errors.
        max_bytes: that each coding may become; no more than a quarter of a megabyte beyond is ever unpacked.

    Raises:
        SourceError: where a coding is not known here, the data is damaged or cut short, or becomes too much.
    """
    unknown = [one for one in codings if one not in _DECODERS]
    if unknown or len(codings) > MOST:
        what = f"as {unknown[0][:40]}" if unknown else f"{len(codings)} times"
        raise SourceError(f"{name}: the server sent it compressed {what}, which is not supported", "download it first")
    found = iter(pieces)
    for coding in reversed(codings):
        found = _bounded(_DECODERS[coding](found, name), name, max_bytes)
    return found


def _bounded(pieces: Iterator[bytes], name: str, max_bytes: int) -> Iterator[bytes]:
    """The same pieces. Raises SourceError once they are too much."""
    whole = 0
    for piece in pieces:
        whole += len(piece)
        if whole > max_bytes:
            raise SourceError(f"{name}: unpacks to more than {size(max_bytes)}", "download the file and check it first")
        yield piece


def _gzip(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """All members of a gzip stream; what is behind them and begins no other is left out, as gzip(1) does."""
    members, rest = 0, b""
    while rest := _some(rest, pieces, 2):
        if members and not rest.startswith(b"\x1f\x8b"):
            for _ in pieces:  # whether all has come is known at the end
                pass
            return
        members += 1
        if members > MEMBERS:
            raise SourceError(
                f"{name}: its gzip data has more than {MEMBERS:,} parts", "download the file and check it first"
            )
        rest = yield from _inflated(rest, pieces, _GZIP, name, "gzip")


def _deflate(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """A zlib stream, which is what HTTP calls deflate; or a bare one, which some servers take it for."""
    head = _some(b"", pieces, 2)
    if not head:
        return
    wrapped = len(head) > 1 and head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0  # RFC 1950, 2.2
    yield from _inflated(head, pieces, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, name, "deflate")
    for _ in pieces:
        pass


def _some(data: bytes, pieces: Iterator[bytes], least: int) -> bytes:
    """The data with as many pieces behind it as make up some bytes, if there are so many."""
    while len(data) < least and (piece := next(pieces, None)) is not None:
        data += piece
    return data


def _inflated(data: bytes, pieces: Iterator[bytes], bits: int, name: str, coding: str) -> Generator[bytes, None, bytes]:
    """One compressed stream, of which the data is the beginning. Returns what came behind its end."""
    decoder = zlib.decompressobj(bits)
    try:
        while not decoder.eof:
            if piece := decoder.decompress(data, _PIECE):
                yield piece
            data = decoder.unconsumed_tail
            if not (data or piece or decoder.eof):
                more = next(pieces, None)
                if more is None:
                    raise SourceError(f"{name}: its {coding} data is incomplete", "try again, or download it first")
                data = more
    except zlib.error as error:
        raise SourceError(
            f"{name}: the server says that it is {coding} data, but it is not, or it is damaged ({_reason(error)})",
            "download it first",
        ) from None
    return decoder.unused_data


def _reason(error: zlib.error) -> str:
    """What zlib found, without its words for what it was doing."""
    return str(error).partition(": ")[2] or str(error)


_DECODERS: dict[str, _Decoder] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate}
