"""Offsets of a JPEG's Exif and maker note that lead behind them: a packet that moves what they point at moves them."""

import io
import json
import shutil
import struct
import subprocess
import time
from random import Random

import pytest
from PIL import Image

from vlmcli.errors import VlmError
from vlmcli.pictures import embedded, xmp

PACKET = xmp.described(None, "A cat.", "a")
LONG, UNDEFINED, ASCII = 4, 7, 2


def saved(kind="JPEG", size=(45, 31), **options):
    out = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 40).convert("RGB").save(out, kind, **options)
    return out.getvalue()


PREVIEW = saved(size=(16, 12))


def directory(order, entries, at, following=0):
    """An IFD at an offset, with what its entries hold right after it: (tag, type, bytes, or offset and length)."""
    body, more = b"", b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        size = {LONG: 4, 13: 4, UNDEFINED: 1, ASCII: 1}[kind]
        if isinstance(value, tuple):
            offset, length = value
            body += struct.pack(order + "HHII", tag, kind, length, offset)
        elif len(value) <= 4:
            body += struct.pack(order + "HHI", tag, kind, len(value) // size) + value.ljust(4, b"\0")
        else:
            body += struct.pack(order + "HHII", tag, kind, len(value) // size, start + len(more))
            more += value
    return struct.pack(order + "H", len(entries)) + body + struct.pack(order + "I", following) + more


def camera(order, make, note, ifd0=(), jpeg=None):
    """A JPEG with Exif, a maker note made by `note(where, preview)`, and a preview behind its end.

    `where` is the note's offset from the TIFF header, and `preview` the preview's.
    """
    jpeg = jpeg or saved()

    def exif(preview):
        head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
        entries = [(0x010F, ASCII, make.ljust(8, b"\0")), *(one(preview) for one in ifd0), (0x8769, LONG, b"0000")]
        sub = 8 + len(directory(order, entries, 8))
        entries[-1] = (0x8769, LONG, struct.pack(order + "I", sub))
        first = directory(order, entries, 8)
        inner = note(sub + 2 + 12 + 4, preview)
        return head + first + directory(order, [(0x927C, UNDEFINED, inner)], sub)

    size = len(exif(1 << 20)) + 6
    at = 20  # after JFIF
    tiff = at + 4 + 6
    whole = len(jpeg) + 4 + size
    contents = b"Exif\0\0" + exif(whole - tiff)
    return jpeg[:at] + struct.pack(">HH", 0xFFE1, 2 + size) + contents + jpeg[at:] + PREVIEW


def start(order, preview):
    return struct.pack(order + "I", preview)


def notes(order):
    """Name: the make and its maker note; each points at the preview in its own way."""
    info = struct.pack(order + "IIIII", 24, 2, len(PREVIEW), 16, 12)
    reverse = ">" if order == "<" else "<"
    return {
        "Canon": (b"Canon", lambda at, to: directory(order, [(0xB6, LONG, info + start(order, to))], at)),
        "Sony": (
            b"SONY",
            lambda at, to: (
                b"SONY DSC \0\0\0"
                + directory(
                    order,
                    [(0x2001, UNDEFINED, (to, len(PREVIEW))), (0xB020, ASCII, b"Standard".ljust(16, b"\0"))],
                    at + 12,
                )
            ),
        ),
        "Nikon": (
            b"NIKON",
            lambda at, to: (
                b"Nikon\0\2\x10\0\0"
                + (b"MM\0*" if reverse == ">" else b"II*\0")
                + start(reverse, 8)
                + directory(reverse, [(0x0011, LONG, start(reverse, 8 + 18))], 8)
                + directory(reverse, [(0x0201, LONG, start(reverse, to - at - 10))], 26)
            ),
        ),
        "Casio": (b"CASIO", lambda at, to: b"QVC\0\0\0" + directory(order, [(4, LONG, start(order, to))], at + 6)),
        "Olympus settings": (
            b"OLYMPUS",
            lambda at, to: (
                b"OLYMPUS\0II\3\0"
                + directory(order, [(0x2020, 13, start(order, 30))], 12)
                + directory(order, [(0x0101, LONG, start(order, to - at))], 30)
            ),
        ),
        "Olympus": (
            b"OLYMPUS",
            lambda at, to: b"OLYMPUS\0" + b"II\3\0" + directory(order, [(0x0088, LONG, start(order, to - at))], 12),
        ),
        "Minolta": (
            b"Minolta",
            lambda at, to: directory(
                order, [(0x0088, LONG, start(order, to)), (0x0089, LONG, start(order, len(PREVIEW)))], at
            ),
        ),
    }


def leads_to(data, old):
    """Where a file's only number leads that has been changed, by what stands before the packet."""
    inserted = data.index(PACKET) - 4 - len(b"http://ns.adobe.com/xap/1.0/\0")
    changed = [at for at in range(inserted) if data[at] != old[at]]
    assert changed
    assert changed[-1] - changed[0] < 4
    return changed, len(data) - len(old)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("maker", notes("<"))
def test_a_maker_note_points_at_its_preview_after_as_before(maker, order):
    make, note = notes(order)[maker]
    data = camera(order, make, note)
    new = embedded.with_packet(data, PACKET, "a.jpg")
    changed, by = leads_to(new, data)
    known = "<" if (order == "<") != (maker == "Nikon") else ">"
    field = next(at for at in range(changed[0] - 3, changed[0] + 1) if _moves(data, new, at, by, known))
    assert new[:field] + new[field + 4 : 20] == data[:field] + data[field + 4 : 20]
    assert new.endswith(PREVIEW)
    again = embedded.with_packet(new, xmp.described(None, "A", "a"), "a.jpg")  # a shorter one moves it back
    (before,), (after,) = (struct.unpack_from(known + "I", one, field) for one in (data, again))
    assert after - before == len(again) - len(data)


def _moves(data, new, at, by, order):
    return struct.unpack_from(order + "I", new, at)[0] - struct.unpack_from(order + "I", data, at)[0] == by


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tag", [0x0201, 0x0111])
def test_a_directory_points_at_its_picture_after_as_before(order, tag):
    data = camera(order, b"Any", lambda *_: b"no note at all", [lambda to: (tag, LONG, start(order, to))])
    new = embedded.with_packet(data, PACKET, "a.jpg")
    changed, by = leads_to(new, data)
    assert any(_moves(data, new, at, by, order) for at in range(changed[0] - 3, changed[0] + 1))


@pytest.mark.parametrize(
    ("note", "ifd0"),
    [
        (lambda at, to: b"SONY DSC \0\0\0" + directory("<", [(0x2001, UNDEFINED, (to - 30, 40))], at + 12), []),
        (lambda at, to: directory("<", [(0x0010, ASCII, (to - 90, 40))], at), []),
        (lambda *_: b"no note", [lambda to: (0x0111, LONG, start("<", to - 40))]),
        (lambda *_: b"no note", [lambda to: (0x010E, ASCII, (to - 40, 20))]),
        (lambda *_: b"no note", [lambda to: (0x8825, LONG, start("<", to - 40))]),
    ],
)
def test_a_file_is_refused_that_points_at_what_nobody_knows(note, ifd0):
    data = camera("<", b"Any", note, ifd0)
    with pytest.raises(VlmError) as caught:
        embedded.with_packet(data, PACKET, "a.jpg")
    what = "its Exif or maker note points to data after the metadata, which would move"
    assert (caught.value.message, caught.value.hint) == (f"a.jpg: {what}", "use --sidecar xmp")


@pytest.mark.parametrize("to", [1 << 31, 0xFFFFFFF0])
def test_what_points_beyond_the_file_stays_as_it_is(to):
    data = camera("<", b"Any", lambda *_: b"no note", [lambda _: (0x010E, ASCII, (to, 20))])
    new = embedded.with_packet(data, PACKET, "a.jpg")
    assert new[: new.index(PACKET) - 33] == data[: new.index(PACKET) - 33]


def exiftool(path):
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-G1", "-j", "-b"]
    command += ["-PreviewImage", "-ThumbnailImage", "-Make", path]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)[0]
    return {key: value for key, value in said.items() if key != "SourceFile"}


@pytest.mark.parametrize("maker", [*notes("<"), "JPEG", "PNG", "WEBP"])
def test_exiftool_says_of_it_what_it_said_before(maker, tmp_path):
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    if maker in notes("<"):
        data = camera("<", *notes("<")[maker])
    else:
        whole = camera("<", *notes("<")["Canon"])
        note = whole[30 : 20 + 2 + int.from_bytes(whole[22:24], "big")]
        data = saved(maker, exif=b"Exif\0\0" + note)
    path = tmp_path / "a"
    path.write_bytes(data)
    before = exiftool(path)
    path.write_bytes(embedded.with_packet(data, PACKET, "a"))
    assert exiftool(path) == before
    if maker == "Minolta":
        assert any(key.endswith("PreviewImage") for key in before)


def test_damaged_directories_are_written_or_named_in_time():
    random, began = Random(5), time.monotonic()
    files = [camera(order, *note) for order in "<>" for note in notes(order).values()]
    for _ in range(600):
        data = bytearray(random.choice(files))
        for _ in range(random.randint(1, 6)):
            data[random.randrange(30, 170)] = random.choice([0, 1, 4, 8, 255, random.randrange(256)])
        try:
            new = embedded.with_packet(bytes(data), PACKET, "a.jpg")
        except VlmError as error:
            assert error.message.startswith("a.jpg: ")
        else:
            assert embedded.packet_of(new, "a.jpg") == PACKET
    assert time.monotonic() - began < 30
