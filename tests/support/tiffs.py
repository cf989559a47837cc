"""A small writer of TIFF: every layout that a test wants, from numbers as numpy has them."""

import io
import lzma
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

SIZES = {1: ("B", 1), 2: ("c", 1), 3: ("H", 2), 4: ("I", 4), 5: ("I", 8), 7: ("B", 1), 12: ("d", 8), 16: ("Q", 8)}


@dataclass
class Page:
    """What a directory is made of: its tags, a kind and values for each, and the data of its segments."""

    tags: dict
    segments: list = field(default_factory=list)
    below: list = field(default_factory=list)


def page(pixels, photometric, bits=8, *, kind="u", order="<", planar=False, tile=None, rows=None, compression=1,
         predictor=1, fill=1, tags=None, below=(), subsampling=None):  # fmt: skip
    """A directory of numbers (height, width, samples), in strips of so many rows or in tiles (width, height)."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, samples = pixels.shape
    across, down = tile or (width, rows or height)
    planes = [pixels[..., n : n + 1] for n in range(samples)] if planar else [pixels]
    segments = []
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                part = plane[top : top + down, left : left + across]
                if tile:
                    missing = [(0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)]
                    part = np.pad(part, missing, "edge")
                if subsampling:
                    raw = units(part, *subsampling)
                else:
                    raw = packed(part, bits, kind, order, predictor if compression != 1 else 1)
                segments.append(compressed(raw, compression, fill, part))
    offsets, counts = (324, 325) if tile else (273, 279)
    found = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples), 259: (3, [compression]),
        262: (3, [photometric]), 266: (3, [fill]), 277: (3, [samples]), 284: (3, [2 if planar else 1]),
        317: (3, [predictor]), 339: (3, [{"u": 1, "i": 2, "f": 3}[kind]] * samples),
        offsets: (4, [0] * len(segments)), counts: (4, [len(segment) for segment in segments]),
    }  # fmt: skip
    found.update({322: (4, [across]), 323: (4, [down])} if tile else {278: (4, [down])})
    if subsampling:
        found[530] = 3, list(subsampling)
    found.update(tags or {})
    return Page({tag: value for tag, value in found.items() if value is not None}, segments, list(below))


def file(*pages, order="<", big=False, before=b"", after=b"", end=0):
    """A TIFF of these directories, each behind its data; `end` is where the chain goes on after the last one."""
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    data = bytearray(head + before)
    link = 8 if big else 4
    for one in pages:
        below = [_directory(data, sub, order, big)[0] for sub in one.below]
        at, after_it = _directory(data, one, order, big, below)
        struct.pack_into(order + ("Q" if big else "I"), data, link, at)
        link = after_it
    struct.pack_into(order + ("Q" if big else "I"), data, link, end)
    return bytes(data + after)


def _directory(data, one, order, big, below=()):
    """Writes a directory; where it is, and where the place of the next one is."""
    places = []
    for segment in one.segments:
        places.append(len(data))
        data += segment
    tags = dict(one.tags)
    for tag in (273, 324):
        if tag in tags and not any(tags[tag][1]):
            tags[tag] = tags[tag][0], places
    if below:
        tags[330] = 4, list(below)
    width, number, inline = (20, "Q", 8) if big else (12, "I", 4)
    rows = b""
    for tag, (kind, values) in sorted(tags.items()):
        if kind == 2:
            raw, count = values, len(values)
        elif kind == 5:
            raw = b"".join(struct.pack(order + "II", round(value * 10000), 10000) for value in values)
            count = len(values)
        else:
            raw, count = struct.pack(f"{order}{len(values)}{SIZES[kind][0]}", *values), len(values)
        if len(raw) > inline:
            at = len(data)
            data += raw
            raw = struct.pack(order + number, at)
        rows += struct.pack(order + "HH" + number, tag, kind, count) + raw.ljust(inline, b"\0")
    data += bytes(len(data) % 2)
    at = len(data)
    data += struct.pack(order + ("Q" if big else "H"), len(rows) // width) + rows
    data += bytes(inline)
    return at, len(data) - inline


def tiff(pixels, photometric, bits=8, *, order="<", big=False, **how):
    """A TIFF of one directory."""
    return file(page(pixels, photometric, bits, order=order, **how), order=order, big=big)


def packed(part, bits, kind, order, predictor=1):
    """Numbers as the bytes of rows, each of which begins with a byte of its own."""
    rows = part.reshape(len(part), -1)
    samples = part.shape[-1]
    if kind == "f" and predictor == 3:
        raw = rows.astype(f">f{bits // 8}").view(np.uint8).reshape(*rows.shape, bits // 8)
        raw = raw.transpose(0, 2, 1).reshape(len(rows), -1)
        before = np.pad(raw, [(0, 0), (samples, 0)])[:, :-samples]
        return (raw - before).tobytes()
    if predictor == 2:
        whole = part.astype(f"{kind}{bits // 8}").view(f"u{bits // 8}")
        part = whole - np.pad(whole, [(0, 0), (1, 0), (0, 0)])[:, :-1]
        return part.astype(f"{order}u{bits // 8}").tobytes()
    if bits == 24:
        raw = rows.astype(order + "u4").view(np.uint8).reshape(*rows.shape, 4)
        return (raw[..., :3] if order == "<" else raw[..., 1:]).tobytes()
    if bits in (8, 16, 32, 64):
        return rows.astype(f"{order}{kind}{bits // 8}").tobytes()
    ones = (rows[..., None].astype(np.uint64) >> np.arange(bits - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(ones.astype(np.uint8).reshape(len(rows), -1), axis=1).tobytes()


def units(part, across, down):
    """YCbCr whose chroma is that of the first pixel of each unit."""
    height, width = -(-part.shape[0] // down) * down, -(-part.shape[1] // across) * across
    part = np.pad(part, [(0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0)], "edge").astype(np.uint8)
    luma = part[..., 0].reshape(height // down, down, width // across, across).transpose(0, 2, 1, 3)
    luma = luma.reshape(height // down, width // across, -1)
    return np.concatenate([luma, part[::down, ::across, 1:]], -1).tobytes()


def compressed(raw, compression, fill, part):
    """The bytes of a segment."""
    if compression == 7:
        return jpeg(part)
    if compression in (2, 3, 4):
        return fax(part[..., 0], compression)
    data = {
        1: lambda: raw, 5: lambda: lzw(raw), 8: lambda: zlib.compress(raw), 32946: lambda: zlib.compress(raw),
        32773: lambda: packbits(raw), 34925: lambda: lzma.compress(raw, lzma.FORMAT_XZ),
    }[compression]()  # fmt: skip
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data) if fill == 2 else data


def packbits(raw):
    """Runs where there are some, and literal pieces."""
    found = b""
    at = 0
    while at < len(raw):
        run = 1
        while run < 128 and raw[at + run : at + run + 1] == raw[at : at + 1]:
            run += 1
        if run > 2:
            found += bytes([257 - run, raw[at]])
            at += run
        else:
            piece = raw[at : at + 100]
            found += bytes([len(piece) - 1]) + piece
            at += len(piece)
    return found


def lzw(raw):
    """Strings of the table are used, codes grow from 9 bits to 12 (TIFF 6.0, section 13)."""
    table, bits, width = {}, [], 9

    def put(code):
        bits.append(f"{code:0{width}b}")

    def clear():
        nonlocal width
        put(256)
        table.clear()
        table.update({bytes([byte]): byte for byte in range(256)})
        width = 9

    clear()
    known = b""
    for at in range(len(raw)):
        longer = known + raw[at : at + 1]
        if longer in table:
            known = longer
            continue
        put(table[known])
        table[longer] = len(table) + 2
        width = next(width for width in (9, 10, 11, 12) if len(table) + 2 < (1 << width))
        if len(table) + 2 == 4094:
            clear()
        known = raw[at : at + 1]
    if known:
        put(table[known])
        width = next(width for width in (9, 10, 11, 12) if len(table) + 3 < (1 << width))
    put(257)
    whole = "".join(bits)
    whole += "0" * (-len(whole) % 8)
    return int(whole, 2).to_bytes(len(whole) // 8, "big")


def jpeg(part):
    """A JPEG of grey, or of the channels as they are."""
    if part.shape[-1] == 4:  # which Pillow inverts, as Adobe's programs do, but TIFF does not
        image = Image.frombytes("CMYK", part.shape[1::-1], (255 - part).tobytes())
    else:
        image = Image.fromarray(part[..., 0] if part.shape[-1] == 1 else part)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=98, **({"keep_rgb": True} if image.mode == "RGB" else {}))
    return data.getvalue()


def fax(ones, compression):
    """Bits as libtiff compresses them."""
    data = io.BytesIO()
    name = {2: "tiff_ccitt", 3: "group3", 4: "group4"}[compression]
    Image.fromarray(ones.astype(bool)).save(data, "TIFF", compression=name, strip_size=1 << 30)
    with Image.open(data) as image:
        tags = image.tag_v2
        return data.getvalue()[tags[273][0] : tags[273][0] + tags[279][0]]
