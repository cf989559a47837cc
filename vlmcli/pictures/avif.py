"""What libavif, or Pillow, leaves undone in AVIF files that other viewers show.

`mended` changes a file that libavif refuses for something that its picture does not need, in memory, without moving the
picture's data, whose places the file gives as offsets: items that have an ItemPropertyAssociationBox (`ipma`) each,
where there is to be one (ISO/IEC 23008-12, 9.3.1); an alpha without a size of its own, which old encoders wrote; a
still picture's references to no item, beside a sequence; and a gain map that cannot be used, which is then left out.

`cropped` cuts out the clean aperture (`clap`; ISO/IEC 14496-12, 12.1.4), which Pillow does not apply, and does not tell
of. It comes before the turning and the mirroring (`irot`, `imir`), which Pillow gives as an orientation. Knows boxes,
and how to cut a part out of a picture.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

MOST = 1 << 20
"""Bytes of a `meta` box that are looked at."""


class _Box(NamedTuple):
    """A box (ISO/IEC 14496-12, 4.2): its kind, and where it, its contents and its end are."""

    kind: bytes
    start: int
    body: int
    end: int


class _Entry(NamedTuple):
    """An item's entry of an `ipma` box: its number, all its bytes, and where its properties are, each of a size."""

    item: int
    whole: bytes
    places: range

    def properties(self, data: bytes) -> list[int]:
        """The numbers of its properties, from 1 on, in the order of `ipco`; the bit for essential ones is left out."""
        size = self.places.step
        mask = (1 << (8 * size - 1)) - 1
        return [int.from_bytes(data[at : at + size], "big") & mask for at in self.places]


def mended(data: bytes) -> bytes | None:
    """A file without what libavif refuses it for, as long as it was; None where that is not what is wrong with it."""
    try:
        found = _without_gain_map(_with_sizes(_without_references(_with_one_ipma(data))))
    except (struct.error, IndexError):
        return None
    return found if found != data else None


def without_exif(data: bytes) -> bytes | None:
    """A file whose EXIF, which may be damaged, is no longer an item that counts, as long as it was; None without one.

    How the picture is turned is not in there, but in `irot` and `imir`.
    """
    found = (_meta(data) or {}).get("iinf")
    if found is None or b"Exif" not in data[found.start : found.end]:
        return None
    return data[: found.start] + data[found.start : found.end].replace(b"Exif", b"free") + data[found.end :]


def cropped(image: Image.Image, data: bytes) -> Image.Image:
    """The part of a decoded picture that is to be shown: all of it, where the file says nothing, or nothing sensible.

    Args:
        image: as it is stored, neither turned nor mirrored.
        data: its file.
    """
    try:
        said = _aperture(data)
    except (struct.error, IndexError):
        return image
    if said is None or getattr(image, "n_frames", 1) > 1:  # a sequence has one of its own, which nobody writes
        return image
    wide, high, right, down = said
    left = math.floor((image.width - wide) / 2 + right)  # as libheif rounds
    top = math.floor((image.height - high) / 2 + down)
    box = left, top, left + round(wide), top + round(high)
    if not (0 <= box[0] < box[2] <= image.width and 0 <= box[1] < box[3] <= image.height):
        return image
    return image.crop(box)


def _aperture(data: bytes) -> tuple[float, float, float, float] | None:
    """The primary item's clean aperture: its width and height, and how far its middle is right of and below theirs."""
    meta = _meta(data)
    if meta is None or "pitm" not in meta or "ipco" not in meta:
        return None
    main = meta["pitm"]
    (item,) = struct.unpack_from(">I" if data[main.body] else ">H", data, main.body + 4)
    known = list(_boxes(data, meta["ipco"].body, meta["ipco"].end))
    for entry in _all_entries(data, meta):
        for number in entry.properties(data) if entry.item == item else ():
            if 0 < number <= len(known) and known[number - 1].kind == b"clap":
                numbers = struct.unpack_from(">4I4i", data, known[number - 1].body)
                if not all(numbers[1::2]):
                    return None
                wide, high, right, down = (numbers[at] / numbers[at + 1] for at in range(0, 8, 2))
                return wide, high, right, down
    return None


# --- What is mended ---


def _with_one_ipma(data: bytes) -> bytes:
    """The file with its `ipma` boxes as one, if they are of one form; as it is, if there are not several."""
    meta = _meta(data)
    if meta is None or "iprp" not in meta:
        return data
    iprp = meta["iprp"]
    inside = list(_boxes(data, iprp.body, iprp.end))
    many = [box for box in inside if box.kind == b"ipma"]
    heads = {data[box.body : box.body + 4] for box in many}
    if len(many) < 2 or len(heads) > 1:
        return data
    (head,) = heads
    entries = sorted((entry.item, entry.whole) for box in many for entry in _entries(data, box))
    merged = head + struct.pack(">I", len(entries)) + b"".join(whole for _, whole in entries)
    others = b"".join(data[box.start : box.end] for box in inside if box.kind != b"ipma")
    contents = others + struct.pack(">I4s", 8 + len(merged), b"ipma") + merged
    rest = data[iprp.end : meta["meta"].end]
    spare = (iprp.end - iprp.body) - len(contents)  # 16 bytes for each box that is gone
    return b"".join(
        (data[: iprp.start], struct.pack(">I4s", 8 + len(contents), b"iprp"), contents, rest,
         struct.pack(">I4s", spare, b"free"), bytes(spare - 8), data[meta["meta"].end :])
    )  # fmt: skip


def _without_references(data: bytes) -> bytes:
    """The file without its `iref` box, if that refers to the item 0, which there cannot be."""
    meta = _meta(data)
    if meta is None or "iref" not in meta or all(to for _, _, to in _references(data, meta["iref"])):
        return data
    at = meta["iref"].start + 4
    return data[:at] + b"free" + data[at + 4 :]


def _with_sizes(data: bytes) -> bytes:
    """The file whose alphas have the size (`ispe`) of their pictures, in the place of a depth that nobody needs."""
    meta = _meta(data)
    if meta is None or "iref" not in meta or "ipco" not in meta:
        return data
    kinds = [b"", *(box.kind for box in _boxes(data, meta["ipco"].body, meta["ipco"].end))]
    entries = {entry.item: entry for entry in _all_entries(data, meta)}
    named = {item: [(kinds[number], number) for number in entry.properties(data)] for item, entry in entries.items()}
    for kind, alpha, to in _references(data, meta["iref"]):
        sizes = [number for name, number in named.get(to, ()) if name == b"ispe"]
        own = [name for name, _ in named.get(alpha, ())]
        if kind == b"auxl" and sizes and b"pixi" in own and b"ispe" not in own:
            places = entries[alpha].places
            at = places[own.index(b"pixi")]
            data = data[:at] + sizes[0].to_bytes(places.step, "big") + data[at + places.step :]
    return data


def _without_gain_map(data: bytes) -> bytes:
    """The file without the brand that says its gain map can be used."""
    end = min(struct.unpack_from(">I", data)[0], 512)
    at = next((at for at in range(16, end - 3, 4) if data[at : at + 4] == b"tmap"), 0)
    return data[:at] + b"miaf" + data[at + 4 :] if at else data


# --- Boxes ---


def _meta(data: bytes) -> dict[str, _Box] | None:
    """The `meta` box of a file, and by name those in it, and in its `iprp`, each the first of its kind; or None."""
    meta = next((box for box in _boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    if meta is None or meta.end - meta.body > MOST:
        return None
    found = {"meta": meta}
    for box in _boxes(data, meta.body + 4, meta.end):
        found.setdefault(box.kind.decode("latin-1"), box)
    for box in _boxes(data, found["iprp"].body, found["iprp"].end) if "iprp" in found else ():
        found.setdefault(box.kind.decode("latin-1"), box)
    return found


def _boxes(data: bytes, at: int, end: int) -> Iterator[_Box]:
    """The boxes between two places of a file, up to the first that is none."""
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            body = at + 16
        stop = end if length == 0 else at + length
        if not body <= stop <= end:
            return
        yield _Box(kind, at, body, stop)
        at = stop


def _all_entries(data: bytes, meta: dict[str, _Box]) -> Iterator[_Entry]:
    """What the `ipma` boxes say of each item."""
    if "iprp" in meta:
        for box in _boxes(data, meta["iprp"].body, meta["iprp"].end):
            if box.kind == b"ipma":
                yield from _entries(data, box)


def _entries(data: bytes, box: _Box) -> Iterator[_Entry]:
    """The entries of an `ipma` box: items have two bytes in version 0, and properties two if a flag says so."""
    wide, each = data[box.body] > 0, 2 if data[box.body + 3] & 1 else 1
    (count,) = struct.unpack_from(">I", data, box.body + 4)
    at = box.body + 8
    for _ in range(min(count, MOST)):
        (item,) = struct.unpack_from(">I" if wide else ">H", data, at)
        begin = at + (4 if wide else 2) + 1
        end = begin + data[begin - 1] * each
        if end > box.end:
            raise IndexError("an entry is longer than its box")
        yield _Entry(item, data[at:end], range(begin, end, each))
        at = end


def _references(data: bytes, box: _Box) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each reference of an `iref` box (ISO/IEC 14496-12, 8.11.12), and from which item to which it is."""
    size = 4 if data[box.body] else 2
    for one in _boxes(data, box.body + 4, box.end):
        item = int.from_bytes(data[one.body : one.body + size], "big")
        count = int.from_bytes(data[one.body + size : one.body + size + 2], "big")
        begin = one.body + size + 2
        for at in range(begin, min(begin + count * size, one.end), size):
            yield one.kind, item, int.from_bytes(data[at : at + size], "big")
