"""`python -m tests.corpus`, which compares vlm with other programs: with a stand-in here, and with the real ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.corpus import compare, references
from tests.corpus.reader import Reader
from tests.support import ROOT

posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for ImageMagick is a script with a #! line")

STAND_IN = f"""#!{sys.executable}
import os, sys
from PIL import Image
file = next(word for word in sys.argv[1:] if os.path.basename(word).startswith("file")).removesuffix("[0]")
name = os.path.basename(os.path.realpath(file))
if "identify" in sys.argv[0]:
    print("1 1\\n" * (3 if name == "pages.tif" else 1), end="")
elif name == "refused.png":
    sys.exit("cannot read this")
else:
    size = (48, 36) if name == "large.png" else (24, 18)
    color = (250, 200, 100) if name == "wrong.png" else (10, 200, 100)
    pixels = bytearray(bytes(color) * (size[0] * size[1]))
    if name == "spot.png":
        pixels[:6] = bytes(6)
    sys.stdout.buffer.write(b"P6\\n%d %d\\n255\\n" % size + pixels)
"""


def ran(folder, path, *words):
    """The exit code, stdout, and records by name of a run that finds programs in `path` only."""
    target = folder.with_name("records.jsonl")
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpus", str(folder), "--json", str(target), *words],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False, env=os.environ | {"PATH": str(path)},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    records = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    return done.returncode, done.stdout, {record["path"]: record for record in records}


@pytest.fixture
def folder(tmp_path):
    """A folder for pictures, beside which is room for records."""
    found = tmp_path / "pictures"
    found.mkdir()
    return found


@pytest.fixture
def stand_in(tmp_path):
    """A folder with a `convert` and an `identify` that show everything in one colour."""
    found = tmp_path / "programs"
    found.mkdir()
    (found / "sh").symlink_to(shutil.which("sh"))
    for name in ("convert", "identify"):
        (found / name).write_text(STAND_IN)
        (found / name).chmod(0o755)
    return found


def made(path, color=(10, 200, 100)):
    Image.new("RGB", (24, 18), color).save(path)


@posix
def test_each_file_gets_a_verdict(folder, stand_in):
    for name in ("alike.png", "wrong.png", "large.png", "refused.png", "pages.tif", "spot.png", "named [0] %d.png"):
        made(folder / name)
    (folder / "sub").mkdir()
    made(folder / "sub" / "no-suffix.png")
    (folder / "sub" / "no-suffix.png").rename(folder / "sub" / "no-suffix")
    (folder / "broken.png").write_bytes((folder / "alike.png").read_bytes()[:50])
    (folder / "notes.txt").write_text("not a picture")
    before = sorted(folder.rglob("*"))
    code, said, found = ran(folder, stand_in)
    assert code == 1
    assert {name: record["verdict"] for name, record in found.items()} == {
        "alike.png": "alike", "broken.png": "refused", "large.png": "differs", "named [0] %d.png": "alike",
        "pages.tif": "differs", "refused.png": "only vlm", "spot.png": "differs", "sub/no-suffix": "alike",
        "wrong.png": "differs",
    }  # fmt: skip
    assert found["wrong.png"]["mean"] == 80  # red is 240 away, the other channels are equal
    assert found["wrong.png"]["pages"][0]["full"] == [240, 0, 0]
    assert found["large.png"]["why"] == "the size"
    assert found["pages.tif"]["why"].startswith("3 pages, of which vlm has ")
    assert "wrong.png: the colours (vlm: 24x18; convert: 24x18, mean difference 80)" in said
    assert found["spot.png"]["why"] == "a spot"
    assert found["spot.png"]["mean"] < 1
    assert "alike.png" not in said
    assert said.splitlines()[-1].split() == ["all", "9", "3", "4", "1", "1", "0", "0", "0"]
    assert sorted(folder.rglob("*")) == before


@posix
def test_names_a_threshold_and_a_limit_narrow_it(folder, stand_in):
    for number in range(6):
        made(folder / f"{number}.png", (22, 200, 100))
    made(folder / "0.bmp")
    code, _, found = ran(folder, stand_in, "--only", "*.png", "--limit", "3", "--threshold", "3.9")
    assert (code, list(found)) == (1, ["0.png", "2.png", "4.png"])
    code, _, found = ran(folder, stand_in, "--only", "*.png", "--threshold", "4")  # red is 12 away: 4 on average
    assert (code, len(found)) == (0, 6)


def test_without_programs_it_still_says_what_vlm_reads(folder, tmp_path):
    made(folder / "good.png")
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 and no more")
    code, _, found = ran(folder, tmp_path)
    assert code == 0
    assert {name: record["verdict"] for name, record in found.items()} == {
        "good.png": "not compared", "bad.jpg": "neither", "bad.pdf": "neither",
    }  # fmt: skip
    assert found["good.png"]["vlm"] == {"pages": 1, "size": [24, 18], "error": ""}
    assert found["bad.pdf"]["vlm"]["error"]


def test_records_are_not_written_among_the_pictures(folder):
    command = [sys.executable, "-m", "tests.corpus", str(folder), "--json", str(folder / "records.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "nothing is written into" in done.stderr
    assert list(folder.iterdir()) == []


def test_a_reader_that_takes_too_long_is_a_fault_and_the_next_file_is_read(tmp_path):
    made(tmp_path / "a.png")
    reader = Reader(tmp_path, pages=1, seconds=0.001, memory=4 << 30)
    try:
        slow = reader.read(tmp_path / "a.png")
        assert (slow.fault, slow.error) == (True, "not read within 0.001 s")
        reader._seconds = 60
        again = reader.read(tmp_path / "a.png")
        assert (again.fault, again.error, again.pages) == (False, "", 1)
        assert (again.pictures[0][1] == (10, 200, 100)).all()
    finally:
        reader.close()


@pytest.mark.skipif(os.name != "posix", reason="memory can be bounded there only")
def test_a_reader_that_dies_is_a_fault(tmp_path):
    made(tmp_path / "a.png")
    reader = Reader(tmp_path, pages=1, seconds=60, memory=1 << 20)  # too little to import anything
    try:
        found = reader.read(tmp_path / "a.png")
        assert found.fault
        assert "ended with" in found.error or "MemoryError" in found.error or "ImportError" in found.error
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("ours", "theirs", "small", "full"),
    [
        ((9, 9, 9), (9, 9, 9), (0, 0, 0), (0, 0, 0)),
        ((0, 0, 0), (255, 255, 255), (255, 255, 255), (255, 255, 255)),
        ((200, 9, 9), (0, 9, 19), (200, 0, 10), (200, 0, 10)),
    ],
)
def test_differences_are_means_of_each_channel(ours, theirs, small, full):
    shape = (300, 200, 3)
    found = compare.difference(*(np.broadcast_to(np.array(color, np.uint8), shape) for color in (ours, theirs)))
    assert (found.small, found.full) == (small, full)
    assert found.mean() == sum(small) / 3


def test_a_difference_of_one_place_and_one_of_fine_noise():
    ours = np.full((640, 640, 3), 255, np.uint8)
    spot, noise = ours.copy(), ours.copy()
    spot[100:110, 200:210] = 0  # one pixel of the small picture
    noise[::2] = 155
    assert compare.difference(ours, spot).worst == 255
    assert compare.difference(ours, spot).mean() < 0.1
    assert compare.difference(ours, noise).full == (50, 50, 50)
    other = compare.difference(ours, np.full((320, 320, 3), 155, np.uint8))
    assert (other.small, other.full) == ((100, 100, 100), None)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ((100, 50), (100, 50), True),
        ((100, 50), (50, 100), False),
        ((4096, 2048), (8192, 4096), True),
        ((4096, 2048), (4096, 2060), False),
        ((100, 50), (101, 50), True),
        ((100, 50), (102, 50), False),
    ],
)
def test_sizes_are_compared_after_scaling_to_the_bound(ours, theirs, same):
    assert compare.same_size(ours, theirs, 4096) is same


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a", b"\xff\xd8\xff\xe1", "JPEG"),
        ("a.png", b"GIF89a", "GIF"),
        ("a.dng", b"II*\0", "TIFF"),
        ("a.bin", bytes(4) + b"ftypavif", "AVIF"),
        ("IM0001", bytes(128) + b"DICM", "DICOM"),
        ("a.dcm", b"II*\0" + bytes(124) + b"DICM", "DICOM"),
        ("a.txt", b"junk\n%PDF-1.4", "PDF"),
        ("a.webp", b"broken", "WEBP"),
        ("a.txt", b"text", ""),
    ],
)
def test_kinds_are_known_by_content_before_suffix(tmp_path, name, start, kind):
    (tmp_path / name).write_bytes(start)
    assert references.kind(tmp_path / name) == kind


def is_imagemagick(name):
    """Whether a program is ImageMagick's: other programs are called convert, too."""
    done = subprocess.run([name, "-version"], capture_output=True, text=True, check=False) if name else None
    return done is not None and "Version: ImageMagick" in done.stdout


@pytest.mark.skipif(
    not is_imagemagick(references.program("magick", "convert-im6.q16", "convert")),
    reason="ImageMagick is not installed",
)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".jpg"])
def test_imagemagick_reads_alike(folder, suffix):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20], pixels[:, :30, 2] = (200, 100, 0), 80
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {".jpg": {"exif": exif, "quality": 95}, ".png": {}, ".gif": {}, ".bmp": {}}
    image.save(folder / f"a{suffix}", **options.get(suffix, {"description": "a comment"}))
    _, said, found = ran(folder, os.environ["PATH"])
    assert found[f"a{suffix}"]["verdict"] == "alike", said


@pytest.mark.skipif(not references.program("pdftoppm"), reason="pdftoppm is not installed")
def test_pdftoppm_draws_alike(folder):
    pages = [Image.new("RGB", (300, 200), color) for color in ("white", "navy")]
    pages[0].save(folder / "a.pdf", save_all=True, append_images=pages[1:])
    code, said, found = ran(folder, os.environ["PATH"])
    assert (code, found["a.pdf"]["verdict"]) == (0, "alike"), said
    assert [page["page"] for page in found["a.pdf"]["pages"]] == [1, 2]


@pytest.mark.skipif(
    not references.program("dcm2pnm", "dcmj2pnm", "dcml2pnm"), reason="DCMTK's dcm2pnm is not installed"
)
def test_dcmtk_shows_alike(folder):
    data = pytest.importorskip("pydicom.data")
    shutil.copyfile(data.get_testdata_file("CT_small.dcm", download=False), folder / "a.dcm")
    _, said, found = ran(folder, os.environ["PATH"])
    assert found["a.dcm"]["verdict"] == "alike", said


@pytest.mark.skipif(not references.program("exiftool"), reason="exiftool is not installed")
def test_exiftool_says_the_size_after_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (40, 30)).save(tmp_path / "upright.png")
    assert references.sizes([tmp_path / "turned.jpg", tmp_path / "upright.png"]) == {
        Path(tmp_path, "turned.jpg"): (30, 40),
        Path(tmp_path, "upright.png"): (40, 30),
    }
