"""What is no picture, or a dangerous one: an error that names it, soon, in bounded memory, never a traceback."""

import gzip
import io
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.files import FIELDS, GRAY, NOISE, cmyk, of, palette, pdf, write
from tests.support.limits import BOUNDS, SECONDS, assert_refused, outcomes, refused
from tests.support.zeros import packed_zeros
from vlmcli.errors import SourceError
from vlmcli.pictures import images

WHOLE = {
    "a.jpg": (of(FIELDS), {}), "progressive.jpg": (of(FIELDS), {"progressive": True}), "cmyk.jpg": (cmyk(FIELDS), {}),
    "a.png": (of(NOISE), {}), "palette.png": (palette(), {}), "a.gif": (palette(), {}), "a.bmp": (of(NOISE), {}),
    "a.tif": (of(NOISE), {}), "lzw.tif": (of(NOISE), {"compression": "tiff_lzw"}), "a.webp": (of(NOISE), {}),
    "lossless.webp": (of(NOISE), {"lossless": True}), "a.avif": (of(NOISE), {}), "a.heic": (of(NOISE), {}),
}  # fmt: skip


def png(width, height, data, depth=1, color=0, interlaced=0):
    """A PNG of that size, whatever its data is."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(width, height, packing=1):
    """A TIFF that says it is so large, with a strip of four bytes."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, packing), (262, 3, 1), (273, 4, 8),
            (278, 4, height), (279, 4, 4)]  # fmt: skip
    return b"II*\0" + struct.pack("<I", 12) + b"\0" * 4 + struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags
    ) + b"\0" * 4  # fmt: skip


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf0\0\0" + b"\0\0\0\xff\xff\xff" + (
        b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x02\x02\x44\x01\0;"
    )  # fmt: skip


def webp(width, height):
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<I", 5) + b"\x2f" + struct.pack("<I", bits) + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def bmp(width, height):
    return b"BM" + struct.pack("<IHHIIiiHHIIIIII", 58, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + b"\0" * 4


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def many_scans(width, height, scans):
    """A progressive JPEG of that size, each of whose scans is another way over all of its blocks."""
    data = jpeg(Image.new("L", (16, 16)), progressive=True)
    frame, first = data.index(b"\xff\xc2"), data.index(b"\xff\xda")
    sized = data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 : first]
    plain = jpeg(Image.new("L", (16, 16)))
    tables = plain[plain.index(b"\xff\xc4") : plain.index(b"\xff\xda")]
    head = b"\xff\xda\0\x08\x01\x01\0"
    return sized + tables + head + b"\0\0\0" + bytes(4) + (head + b"\x01\x3f\0") * scans + b"\xff\xd9"


def jpeg(image, **how):
    data = io.BytesIO()
    image.save(data, "JPEG", **how)
    return data.getvalue()


def linked_pdf(pages):
    """A PDF whose one page is a form drawn ten times, of a form drawn ten times, and so on."""
    forms = "".join(
        f"{n + 4} 0 obj <</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F {n + 5} 0 R>>>>"
        f"/Length 60>> stream\n{'/F Do ' * 10}\nendstream endobj\n"
        for n in range(pages)
    )
    form = "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 12>>"
    last = f"{pages + 4} 0 obj {form} stream\n0 0 1 1 re f\nendstream endobj\n"
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 99 0 R/Resources<</XObject<</F 4 0 R>>>>>>"
    return (
        "%PDF-1.4\n1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj\n2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj\n"
        f"3 0 obj {page} endobj\n"
        f"{forms}{last}99 0 obj <</Length 6>> stream\n/F Do \nendstream endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"
    ).encode()


def with_end(jpeg, share):
    """A JPEG that is cut, and given an end marker."""
    return jpeg[: int(len(jpeg) * share)] + b"\xff\xd9"


LARGE = np.tile(NOISE, (4, 4, 1))
JPEGS = {
    "plain": (of(LARGE), {}), "gray": (Image.fromarray(LARGE[..., 0]), {}), "cmyk": (of(LARGE).convert("CMYK"), {}),
    "full colour": (of(LARGE), {"subsampling": 0}), "restarts": (of(LARGE), {"restart_marker_blocks": 3}),
    "own tables": (of(LARGE), {"optimize": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_is_cut_before_its_end_marker_is_an_error(tmp_path, name):
    image, how = JPEGS[name]
    image.save(tmp_path / "a.jpg", **how)
    data = (tmp_path / "a.jpg").read_bytes()
    for share in (0.5, 0.7, 0.9, 0.95):
        refused(write(tmp_path / "b.jpg", with_end(data, share)), "JPEG data is incomplete")
        at = int(len(data) * share)
        with pytest.raises(SourceError, match="JPEG data is incomplete"):
            images.load(data[:at] + b"\xff\xe5" + data[at:])  # another marker, which the rest follows


def test_a_progressive_jpeg_that_lacks_scans_is_an_error(tmp_path):
    of(LARGE).save(tmp_path / "a.jpg", progressive=True, optimize=True)
    data = (tmp_path / "a.jpg").read_bytes()
    assert images.load(tmp_path / "a.jpg").size == (256, 192)
    for share in (0.2, 0.4, 0.6):
        refused(write(tmp_path / "b.jpg", with_end(data, share)), "JPEG data is incomplete")


def test_the_later_pictures_of_an_mpo_file_are_looked_at_too(tmp_path):
    path = tmp_path / "a.mpo"
    of(LARGE).save(path, "MPO", save_all=True, append_images=[of(LARGE)])
    data = path.read_bytes()
    assert images.load(path, frame=2).size == (256, 192)
    write(path, data[:-9999] + b"\xff\xd9" + bytes(9997))
    assert images.load(path, frame=1).size == (256, 192)
    with pytest.raises(SourceError, match="JPEG data is incomplete"):
        images.load(path, frame=2)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 9), (200, 130), (700, 900)])
@pytest.mark.parametrize("quality", [10, 75, 100])
@pytest.mark.parametrize("how", [{}, {"restart_marker_blocks": 2}, {"progressive": True}, {"subsampling": 0}])
def test_a_whole_jpeg_may_end_in_the_colour_of_one_that_is_cut(tmp_path, size, quality, how):
    gray = Image.new("RGB", size, (128, 128, 128))
    gray.paste((9, 99, 200), (0, 0, size[0] // 2, size[1] // 2))
    gray.save(tmp_path / "a.jpg", quality=quality, **how)
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"what a camera leaves after the end")
    assert max(images.load(tmp_path / "a.jpg").size) == min(max(size), images.BOUND)


def scanlines(image, passes=((0, 0, 1, 1),)):
    """A PNG's rows, without a filter, and pass by pass where it is interlaced."""
    pixels = np.asarray(image)
    parts = (pixels[top::down, left::across] for left, top, across, down in passes)
    return b"".join(b"\0" + row.tobytes() for part in parts for row in part if row.size)


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.95, 0.5])
def test_a_file_that_is_cut_ends_too_early(format, share):
    kept = io.BytesIO()
    Image.effect_noise((60, 40), 50).convert("RGB").save(kept, format)
    data = kept.getvalue()
    with pytest.raises(SourceError) as raised:
        images.load(data[: int(len(data) * share)], "half")
    assert (raised.value.message, raised.value.hint) == ("half: the file ends too early", "copy or download it again")


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("color", "pixels"), [(0, GRAY), (2, NOISE), (2, NOISE * 0), (2, NOISE[:3, :2])])
def test_a_png_has_all_its_rows_or_is_an_error(tmp_path, color, pixels, interlaced):
    height, width = pixels.shape[:2]
    rows = scanlines(pixels, ADAM7) if interlaced else scanlines(pixels)
    for missing in (0, 1, len(rows) // 3, len(rows)):
        data = zlib.compress(rows[: len(rows) - missing])
        path = write(tmp_path / "a.png", png(width, height, data, 8, color, interlaced))
        if missing:
            assert "incomplete" in (said := refused(path)) or "ends too early" in said
        else:
            found = np.frombuffer(images.load(path).pixels(), np.uint8).reshape(height, width, 3)
            assert (found == pixels.reshape(height, width, -1)).all()


STRIP = png(20_000, 1, zlib.compress(bytes(2501)))


def big_text():
    """A PNG with a text that is large unpacked."""
    data = png(8, 8, zlib.compress(bytes(16)))
    return data[:33] + chunk(b"zTXt", b"a\0\0" + packed_zeros(256)) + data[33:]


def bombs():
    """Name → the bytes."""
    return {
        "png.png": png(60_000, 60_000, zlib.compress(bytes(1 << 20))),
        "wide.png": png(2**31 - 1, 1, zlib.compress(b"\0")),
        "flat.png": png(20_001, 20_000, packed_zeros(48)),
        "gif.gif": gif(65_535, 65_535),
        "tiff.tif": tiff(2**31 - 1, 2**31 - 1),
        "strip.tif": tiff(9_000, 9_000),
        "webp.webp": webp(16_383, 16_383),
        "bmp.bmp": bmp(2**31 - 1, 2**31 - 1),
        "top.bmp": bmp(10_000, -10_001),
        "zero.bmp": bmp(0, 0),
        "strip.png": STRIP,
        "time.pdf": linked_pdf(9),
        "memory.pdf": linked_pdf(6),
        "fax.tif": tiff(60_000, 60_000, 4),
        "deflate.tif": tiff(10_001, 10_000, 8),
        "still.webp": webp(16_383, 9_000),
        "frame.gif": gif(10_001, 10_000),
        "page.pdf": linked_pdf(0).replace(b"[0 0 99 99]", b"[0 0 9000000 9000000]"),
        "thin.pdf": linked_pdf(0).replace(b"[0 0 99 99]", b"[0 0 9999 1]"),
        "scans.jpg": many_scans(9000, 9000, 50),
        "many scans.jpg": many_scans(900, 900, 50_000),
    }


def test_what_needs_all_the_time_there_is_is_said_soon():
    assert max(BOUNDS) < SECONDS


def test_pages_that_draw_a_little_are_drawn(tmp_path):
    assert images.load(write(tmp_path / "a.pdf", linked_pdf(3))).size == (275, 275)


def test_a_strip_has_a_message_of_its_own(tmp_path):
    assert "strip of 20000x1" in refused(write(tmp_path / "a.png", STRIP))


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", bytes(99))
    return path


def folder(path, *names):
    path.mkdir()
    for name in names:
        write(path / name, b"x")
    return path


def flicker(width, height, frames):
    """A GIF of many frames, each of which is a point."""
    point = b"\x21\xf9\x04\x04\0\0\0\0," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    return gif(width, height)[:19] + point * frames + b";"


# name → (what makes it in a folder, what the error says)
OTHERS = {
    "missing": (lambda at: at / "none.png", "no such file"),
    "0 bytes": (lambda at: write(at / "a.png", b""), "empty"),
    "one byte": (lambda at: write(at / "a.png", b"x"), "not a picture"),
    "zeros": (lambda at: write(at / "a.png", bytes(4096)), "not a picture: it begins with zeros"),
    "zeros, many": (lambda at: write(at / "a.png", bytes(64 << 20)), "not a picture"),
    "text": (lambda at: write(at / "a.jpg", b"hello"), "a text file, not a picture"),
    "page": (lambda at: write(at / "a.jpg", b"<!DOCTYPE html><html>log in</html>"), "a web page (HTML), not a picture"),
    "drawing": (lambda at: write(at / "a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "a vector drawing (SVG)"),
    "drawing as PNG": (lambda at: write(at / "a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "drawing (SVG)"),
    "PostScript": (lambda at: write(at / "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "PostScript"),
    "archive": (lambda at: zipped(at / "a.pdf"), "an archive (ZIP), not a picture"),
    "packed PNG": (lambda at: write(at / "a.png", gzip.compress(png(8, 8, zlib.compress(bytes(16))))), "(gzip), not"),
    "program": (lambda at: write(at / "a.gif", Path(sys.executable).read_bytes()[:9999]), "a program, not a picture"),
    "video": (lambda at: write(at / "a.heic", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99)), "a video (MP4)"),
    "no PDF": (lambda at: write(at / "a.pdf", b"%PDF-1.4\n%%EOF"), "the PDF cannot be opened"),
    "text as PDF": (lambda at: write(at / "a.pdf", b"hello"), "not a picture"),
    "no DICOM": (lambda at: write(at / "a.dcm", bytes(128) + b"DICM" + bytes(99)), "DICOM"),
    "DICOM as PNG": (lambda at: write(at / "a.png", bytes(128) + b"DICM" + bytes(99)), "DICOM"),
    "cut JPEG": (lambda at: write(at / "a.jpg", with_end(saved(at / "b.jpg", of(LARGE)), 0.6)), "incomplete"),
    "PNG with a text that is large unpacked": (lambda at: write(at / "a.png", big_text()), None),
    "short PNG": (lambda at: write(at / "a.png", png(64, 48, zlib.compress(bytes(65 * 40)), 8)), "incomplete"),
    "PNG without data": (lambda at: write(at / "a.png", png(64, 48, b"", 8)), ""),
    "PNG of another checksum": (lambda at: write(at / "a.png", flipped(saved(at / "b.png", of(NOISE)), 60)), ""),
    "frame": (lambda at: Path(f"{write(at / 'a.gif', saved(at / 'b.gif', palette()))}#2"), "no number 2"),
    "far frame": (lambda at: Path(f"{write(at / 'a.gif', flicker(6000, 6000, 999))}#900"), "reading up to number"),
    "last of millions": (lambda at: Path(f"{write(at / 'a.gif', flicker(9, 9, 1 << 20))}#999999"), "reading up"),
    "loop of links": (lambda at: link(at / "a.png"), ""),
    "FIFO": (lambda at: fifo(at / "a.png"), "not a regular file"),
    "link to a FIFO": (lambda at: link(at / "b.png", fifo(at / "a.png")), "not a regular file"),
    "device": (lambda at: Path("/dev/zero"), "not a regular file"),
    "link to a device": (lambda at: link(at / "a.png", "/dev/zero"), "not a regular file"),
    "long name": (lambda at: at / ("x" * 300), ""),
    "NUL": (lambda at: Path("a\0b"), ""),
    "empty folder": (lambda at: folder(at / "empty"), "no pictures in this folder"),
    "folder of other things": (lambda at: folder(at / "texts", "a.txt", "b.py"), "no pictures in this folder"),
    "folder of what is hidden": (lambda at: folder(at / "hidden", ".a.png"), "no pictures in this folder"),
    "pattern": (lambda at: at / "*.none", "no file matches this pattern"),
}  # fmt: skip


def saved(path, image, **how):
    image.save(path, **how)
    return path.read_bytes()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def link(path, to=None):
    path.symlink_to(to or path)
    return path


def fifo(path):
    os.mkfifo(path)
    return path


# Formats by where a flipped bit makes another format of them, or none.
MAGIC = {"a.jpg": 1, "a.png": 1, "a.gif": 1, "a.bmp": 0, "a.tif": 2, "a.webp": 9, "a.avif": 5, "a.heic": 5, "a.pdf": 1}


def whole(path):
    """The bytes of a file that can be read."""
    if path.suffix == ".pdf":
        pdf(path, ((100, 100), (255, 0, 0)))
        return path.read_bytes()
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    image, how = WHOLE[path.name]
    return saved(path, image, **how)


def hostile(at):
    """Name → (a word, what the error says): all there is, made in a folder."""
    found = {}

    def place(name):
        here = at / str(len(found))
        here.mkdir()
        return here / name

    for name in (*WHOLE, "a.pdf"):
        data = whole(place(name))
        found[f"{name}, whole"] = at / str(len(found)) / name, None
        for tenth in range(10):
            found[f"{name}, {tenth} tenths"] = write(place(name), data[: len(data) * tenth // 10]), ""
        if name in MAGIC:
            found[f"{name}, a bit"] = write(place(name), flipped(data, MAGIC[name])), ""
    for name, data in bombs().items():
        found[name] = write(place(name), data), ""
    for name, (make, says) in OTHERS.items():
        found[name] = make(place("x").parent), says
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs, devices, links")
def test_what_is_hostile_is_an_error_that_names_it_in_little_time_and_memory(tmp_path):
    """In one process: what one leaves behind must not harm the next."""
    words = hostile(tmp_path)
    refused = [name for name, (_, says) in words.items() if says is not None]
    assert len(refused) >= 200
    quick = [words[name][0] for name in ("time.pdf", "far frame", "last of millions")]  # others need memory, too
    found = outcomes([word for word, _ in words.values()], quick=quick)
    for (name, (word, says)), outcome in zip(words.items(), found, strict=True):
        if says is None:
            assert outcome.error == "", f"{name}: {outcome}"
        else:
            assert_refused(outcome, word, says)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_file_one_may_not_read():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = write(Path(folder, "a.png"), b"x")
        path.chmod(0)
        root = os.geteuid() == 0
        try:
            if root:  # who may read everything
                os.seteuid(65534)
            refused(path, "cannot be read (Permission denied)")
        finally:
            if root:
                os.seteuid(0)


def test_damaged_files_are_pictures_or_named_errors(everything):
    count = "500" if everything else "150"
    done = subprocess.run(
        [sys.executable, "-m", "vlmcli.bench.fuzz", "--files", count, "--seed", "2", "--seconds", "20"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"{count} files" in done.stdout
