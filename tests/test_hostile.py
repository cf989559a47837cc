"""What is no picture, or a dangerous one: an error that names it, soon, in bounded memory, never a traceback."""

import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_formats import FIELDS, GRAY, NOISE, cmyk, of, palette, pdf

from vlmcli import images
from vlmcli.errors import SourceError

SECONDS, MEMORY = 5, 1 << 30


def refused(path, says=""):
    with pytest.raises(SourceError) as caught:
        images.load(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert says in caught.value.message
    return caught.value.message


def write(path, data):
    path.write_bytes(data)
    return path


WHOLE = {
    "a.jpg": (of(FIELDS), {}), "progressive.jpg": (of(FIELDS), {"progressive": True}), "cmyk.jpg": (cmyk(FIELDS), {}),
    "a.png": (of(NOISE), {}), "palette.png": (palette(), {}), "a.gif": (palette(), {}), "a.bmp": (of(NOISE), {}),
    "a.tif": (of(NOISE), {}), "lzw.tif": (of(NOISE), {"compression": "tiff_lzw"}), "a.webp": (of(NOISE), {}),
    "lossless.webp": (of(NOISE), {"lossless": True}), "a.avif": (of(NOISE), {}), "a.heic": (of(NOISE), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", [*WHOLE, "a.pdf"])
def test_a_file_that_is_cut_off_is_never_taken_for_a_picture(tmp_path, name):
    path = tmp_path / name
    if name == "a.pdf":
        pdf(path, ((100, 100), (255, 0, 0)))
    else:
        image, how = WHOLE[name]
        if name.endswith("heic"):
            import pillow_heif

            pillow_heif.register_heif_opener()
        image.save(path, **how)
    data = path.read_bytes()
    assert images.load(path).size[0] > 0
    for tenth in range(10):
        refused(write(path, data[: len(data) * tenth // 10]))


def png(width, height, data, depth=1, color=0, interlaced=0):
    """A PNG of that size, whatever its data is."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(width, height):
    """A TIFF that says it is so large, with a strip of four bytes."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height),
            (279, 4, 4)]  # fmt: skip
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
        refused(write(tmp_path / "b.jpg", with_end(data, share)), "JPEG data is cut short")
        with pytest.raises(SourceError, match="JPEG data is cut short"):
            images.load(with_end(data, share))


def test_a_progressive_jpeg_that_lacks_scans_is_an_error(tmp_path):
    of(LARGE).save(tmp_path / "a.jpg", progressive=True, optimize=True)
    data = (tmp_path / "a.jpg").read_bytes()
    assert images.load(tmp_path / "a.jpg").size == (256, 192)
    for share in (0.2, 0.4, 0.6):
        refused(write(tmp_path / "b.jpg", with_end(data, share)), "JPEG data is cut short")


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 9), (200, 130), (3000, 5000)])
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


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("color", "pixels"), [(0, GRAY), (2, NOISE), (2, NOISE * 0), (2, NOISE[:3, :2])])
def test_a_png_has_all_its_rows_or_is_an_error(tmp_path, color, pixels, interlaced):
    height, width = pixels.shape[:2]
    rows = scanlines(pixels, ADAM7) if interlaced else scanlines(pixels)
    for missing in (0, 1, len(rows) // 3, len(rows)):
        data = zlib.compress(rows[: len(rows) - missing])
        path = write(tmp_path / "a.png", png(width, height, data, 8, color, interlaced))
        if missing:
            assert "cut short" in (said := refused(path)) or "truncated" in said
        else:
            found = np.frombuffer(images.load(path).pixels(), np.uint8).reshape(height, width, 3)
            assert (found == pixels.reshape(height, width, -1)).all()


BOMBS = {
    "png.png": png(60_000, 60_000, zlib.compress(bytes(1 << 20))),
    "wide.png": png(2**31 - 1, 1, zlib.compress(b"\0")),
    "flat.png": png(10_001, 10_000, zlib.compress(bytes(10_000 * 1252))),
    "gif.gif": gif(65_535, 65_535),
    "tiff.tif": tiff(2**31 - 1, 2**31 - 1),
    "strip.tif": tiff(9_000, 9_000),
    "webp.webp": webp(16_383, 16_383),
    "bmp.bmp": bmp(2**31 - 1, 2**31 - 1),
    "top.bmp": bmp(10_000, -10_001),
    "zero.bmp": bmp(0, 0),
    "strip.png": png(20_000, 1, zlib.compress(bytes(2501))),
    "time.pdf": linked_pdf(9),
    "memory.pdf": linked_pdf(6),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_error(tmp_path, name):
    """In a process of its own, with a bound on its memory and its time."""
    path = write(tmp_path / name, BOMBS[name])
    code = (
        "import resource, sys; from pathlib import Path; from vlmcli import images\n"
        "from vlmcli.errors import SourceError\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))\n"
        "try: images.load(Path(sys.argv[1])); print('a picture')\n"
        "except SourceError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout.startswith(f"{path}: "), done.stderr


def test_pages_that_draw_a_little_are_drawn(tmp_path):
    assert images.load(write(tmp_path / "a.pdf", linked_pdf(3))).size == (275, 275)


def test_a_strip_has_a_message_of_its_own(tmp_path):
    assert "strip of 20000x1" in refused(write(tmp_path / "a.png", BOMBS["strip.png"]))


OTHERS = {
    "missing": (lambda at: at / "none.png", "no such file"),
    "folder": (lambda at: at, "a folder"),
    "empty": (lambda at: write(at / "a.png", b""), "empty"),
    "text": (lambda at: write(at / "a.jpg", b"hello"), "not a picture"),
    "page": (lambda at: write(at / "a.jpg", b"<!DOCTYPE html><html>log in</html>"), "not a picture"),
    "drawing": (lambda at: write(at / "a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not a picture"),
    "PostScript": (lambda at: write(at / "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not a pict"),
    "zeros": (lambda at: write(at / "a.png", bytes(4096)), "not a picture"),
    "video": (lambda at: write(at / "a.heic", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99)), ""),
    "no PDF": (lambda at: write(at / "a.pdf", b"%PDF-1.4\n%%EOF"), "not a PDF"),
    "no DICOM": (lambda at: write(at / "a.dcm", bytes(128) + b"DICM" + bytes(99)), "DICOM"),
    "numbers": (lambda at: floats(at / "a.tif"), "32-bit numbers"),
    "loop": (lambda at: link(at / "a.png"), ""),
    "FIFO": (lambda at: fifo(at / "a.png"), "not a regular file"),
    "device": (lambda at: Path("/dev/zero"), "not a regular file"),
    "long name": (lambda at: at / ("x" * 300), ""),
    "NUL": (lambda at: Path("a\0b"), ""),
}


def floats(path):
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(path)
    return path


def link(path):
    path.symlink_to(path)
    return path


def fifo(path):
    os.mkfifo(path)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs, devices, links")
@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_picture_is_named_and_explained(tmp_path, what):
    make, says = OTHERS[what]
    refused(make(tmp_path), says)


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


def test_damaged_files_are_pictures_or_named_errors():
    done = subprocess.run(
        [sys.executable, "-m", "vlmcli.bench.fuzz", "--files", "500", "--seed", "2"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "500 files" in done.stdout
