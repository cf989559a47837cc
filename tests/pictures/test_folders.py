"""What is in a folder: known by name or content, links followed once, and what is left out counted and told."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from tests.support.files import BLUE, RED, pdf
from tests.support.program import SCENE, vlm
from vlmcli.errors import SourceError
from vlmcli.pictures import folders, images, signatures, sources
from vlmcli.pictures.folders import LeftOut

PICTURE = Path(SCENE).read_bytes()
no_links = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names, data=PICTURE):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


def found(*words):
    """The names of pictures, and what is said of the others."""
    left_out = LeftOut()
    return [source.name for source in sources.find(words, left_out=left_out)], str(left_out)


def saved(format, **options):
    return lambda path: Image.new("RGB", (64, 48), RED).save(path, format, **options)


def heic(path):
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), RED)).save(path)


def dicom(path):
    """Of 8 bits, explicit little endian, with nothing but what is needed."""
    pydicom = pytest.importorskip("pydicom", reason="the reader of DICOM is not installed")
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 48, 64, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = bytes(range(64)) * 48
    data.save_as(path, enforce_file_format=True)


MAKERS = {
    "JPEG": saved("JPEG"), "PNG": saved("PNG"), "WEBP": saved("WEBP"), "GIF": saved("GIF"), "BMP": saved("BMP"),
    "TIFF": saved("TIFF"), "AVIF": saved("AVIF"), "HEIC": heic, "DICOM": dicom,
    "PDF": lambda path: pdf(path, ((64, 48), RED)),
}  # fmt: skip


@pytest.mark.parametrize("format", MAKERS)
@pytest.mark.parametrize(
    "name", ["noext", "IM000001", "1.2.840.113619.2.55", "photo.jpg_large", "photo.jpg?w=200", "x.unheard-of"]
)
def test_a_picture_is_known_by_its_content_where_its_name_says_nothing(here, format, name):
    MAKERS[format](here / "made")
    shutil.move(here / "made", here / name)
    assert found(".") == ([f"./{name}"], "")
    assert images.load(here / name).size[0] > 0


@pytest.mark.parametrize(
    "name", ["a.jfif", "a.JIF", "a.mpo", "a.apng", "a.hif", "a.heics", "a.avifs", "a.dib", "a.jfi", "a.heifs"]
)
def test_less_usual_suffixes_are_of_pictures(here, name):
    put(name)
    assert found(".") == ([f"./{name}"], "")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_large_tiff_is_one_and_so_is_one_whose_directory_is_at_the_end(order):
    mark = b"II" if order == "<" else b"MM"
    assert signatures.kind(mark + struct.pack(order + "HI", 42, 1 << 20)) == "TIFF"
    assert signatures.kind(mark + struct.pack(order + "HHHQ", 43, 8, 0, 16)) == "TIFF"


def tiff(order, *tags):
    """The beginning of a TIFF file with such tags in its first directory."""
    mark = b"II" if order == "<" else b"MM"
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, 0) for tag in sorted(tags))
    return mark + struct.pack(order + "HIH", 42, 8, len(tags)) + entries + bytes(64)


NOT_PICTURES = {
    "empty": b"",
    "text": b"BMW is a maker of cars. " * 30,
    "a page about PDF": b"<p>A file begins with %PDF-1.7</p>",
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "film": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99),
    "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99),
    "cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
    "dng": tiff("<", 0xFE, 0x100, 0x10F, 0xC612),
    "nef": tiff(">", 0xFE, 0x100, 0x10F, 0x110, 0x14A),
    "rw2": b"IIU\0\x18\0\0\0" + bytes(99),
    "orf": b"IIRO\x08\0\0\0" + bytes(99),
    "zip": b"PK\3\4" + bytes(99),
    "sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(99),
    "jpeg xl": b"\xff\x0a" + bytes(99),
    "psd": b"8BPS\0\1" + bytes(99),
    "noise": bytes(range(256)) * 4,
    "half a head": b"\x89PNG\r\n",
}


@pytest.mark.parametrize("what", NOT_PICTURES)
def test_what_is_no_picture_is_left_out_and_counted(here, what):
    put("a.png")
    put("strange", "b.odd", data=NOT_PICTURES[what])
    assert found(".") == (
        ["./a.png"],
        "skipped 2 files that vlm cannot read as pictures (1 .odd, 1 without a suffix)",
    )


@pytest.mark.parametrize(
    "name", ["x.NEF", "x.dng", "x.Cr2", "x.arw", "x.orf", "x.rw2", "x.RAF", "x.iiq", "x.3fr", "x.pef"]
)
def test_a_cameras_own_file_is_not_taken_for_a_tiff(here, name):
    put("a.png")
    saved("TIFF")(here / name)
    assert found(".") == (
        ["./a.png"],
        f"skipped 1 file that vlm cannot read as a picture (1 {Path(name).suffix})",
    )


@pytest.mark.parametrize("name", ["a.png~", "a.png_original", "a.png.bak", "a.png.part", "a.png.crdownload"])
def test_a_copy_of_a_picture_is_not_a_second_one(here, name):
    put("a.png", name)
    names, said = found(".")
    assert names == ["./a.png"]
    assert said == f"skipped 1 file that vlm cannot read as a picture (1 {Path(name).suffix})"


def test_a_plain_tiff_without_a_suffix_may_name_its_camera():
    assert signatures.kind(tiff("<", 0x100, 0x101, 0x10F, 0x110)) == "TIFF"
    assert signatures.kind(tiff(">", 0x100, 0x14A)) == "TIFF"


def test_the_most_frequent_kinds_are_named(here):
    put("a.png")
    for number, suffix in enumerate((".txt", ".MOV", ".mp4", ".csv", ".zip", ".py"), 1):
        put(*(f"{at}{suffix}" for at in range(number)), data=b"x")
    put("b.py", "c.PY", data=b"x")
    assert found(".")[1] == (
        "skipped 23 files that vlm cannot read as pictures (8 .py, 5 .zip, 4 .csv, 3 .mp4, 2 .MOV, …)"
    )
    put("none/x." + "y" * 100, "none/y.1234", data=b"x")
    with pytest.raises(SourceError) as caught:
        found("none")
    assert caught.value.message == (
        "none: no pictures in this folder that vlm can read (1 .yyyyyyyyyyyyyy…, 1 without a suffix)"
    )


def test_sidecars_of_pictures_are_not_counted_and_others_are(here):
    put("a.jpg", "b.tar.png", "deep/c.webp", "scan")
    pdf(here / "two.pdf", ((64, 48), RED), ((64, 48), BLUE))
    put(
        "a.txt", "a.jpg.txt", "a.xmp", "a.jpg.XMP", "a.json", "a.jpg.json", "b.tar.txt", "deep/c.txt", "two-1.txt",
        "two-2.xmp", "scan.txt", data=b"x",
    )  # fmt: skip
    assert found(".")[1] == ""
    put("deep/a.txt", "c.txt", "a-b.txt", "a.csv", "raw.NEF", "raw.xmp", data=b"x")
    assert found(".")[1] == "skipped 6 files that vlm cannot read as pictures (3 .txt, 1 .csv, 1 .NEF, 1 .xmp)"


def test_what_is_hidden_is_neither_asked_about_nor_counted(here):
    put("a.png", ".b.png", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".git/x", ".git/y.png")
    assert found(".") == (["./a.png"], "")


def test_folders_in_the_middle_of_other_words_are_counted_together(here):
    put("one/a.png", "two/b.png", "three/c.png", "alone.png")
    put("one/x.txt", "two/y.TXT", "two/z.mov", data=b"x")
    assert found("alone.png", "one", "three", "two") == (
        ["alone.png", "one/a.png", "three/c.png", "two/b.png"],
        "skipped 3 files that vlm cannot read as pictures (2 .txt, 1 .mov)",
    )


# --- Links, pipes, and what cannot be read ---


@no_links
@pytest.mark.parametrize(
    ("links", "names"),
    [
        ({"top/link": "../real"}, ["top/b.png", "top/sub/c.png", "top/link/a.png"]),
        ({"top/x": "../real", "top/a": "../real"}, ["top/b.png", "top/sub/c.png", "top/a/a.png"]),
        ({"top/a": "sub"}, ["top/b.png", "top/sub/c.png"]),
        ({"top/a": "."}, ["top/b.png", "top/sub/c.png"]),
        ({"top/sub/a": ".."}, ["top/b.png", "top/sub/c.png"]),
        ({"top/a": "../real", "real/back": "../top"}, ["top/b.png", "top/sub/c.png", "top/a/a.png"]),
        ({"top/a": "../real", "real/own": "."}, ["top/b.png", "top/sub/c.png", "top/a/a.png"]),
        ({"top/a": "b", "top/b": "../real"}, ["top/b.png", "top/sub/c.png", "top/a/a.png"]),
        ({"top/l.png": "../real/a.png"}, ["top/b.png", "top/l.png", "top/sub/c.png"]),
        ({"top/.hidden": "../real"}, ["top/b.png", "top/sub/c.png"]),
    ],
)
def test_a_linked_folder_is_gone_through_once(here, links, names):
    put("top/b.png", "top/sub/c.png", "real/a.png")
    for link, leads in links.items():
        Path(link).symlink_to(leads)
    assert found("top") == (names, "")
    assert sorted(found("top/**/*.png")[0]) == sorted(names)


@no_links
def test_a_link_to_a_folder_around_it_is_told_of_and_not_followed(here):
    put("top/in/b.png", "top/a.png", "elsewhere/deep/d.png", "elsewhere/e.png")
    Path("top/in/up").symlink_to("..")
    Path("top/in/deep").symlink_to(here / "elsewhere" / "deep")
    Path("elsewhere/deep/up").symlink_to("..")
    said = "skipped 2 files that vlm cannot read as pictures (2 links to parent folders)"
    assert found("top/in") == (["top/in/b.png", "top/in/deep/d.png"], said)
    assert found("top/in/**/*")[1] == said


@no_links
@pytest.mark.parametrize("pattern", [".", "**/*.png", "**/*", "**/a/**/*.png"])
def test_many_links_in_rings_cost_nothing(here, pattern):
    put("a/x.png", "b/y.png")
    for number in range(40):
        Path(f"a/{number}").symlink_to("..")
        Path(f"b/{number}").symlink_to("../a")
        Path(f"c{number}").symlink_to(f"c{(number + 1) % 40}")
    started = time.monotonic()
    assert {Path(name).name for name in found(pattern)[0]} <= {"x.png", "y.png"}
    assert time.monotonic() - started < 5


@no_links
def test_broken_links_pipes_and_closed_files_are_counted_and_not_opened(here):
    put("a.png", "closed")
    Path("closed").chmod(0)
    for name, leads in (("b", "gone.png"), ("c.odd", "gone"), ("d", "d")):
        Path(name).symlink_to(leads)
    os.mkfifo("pipe")
    Path("null").symlink_to("/dev/null")
    Path("zero.raw").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        names, said = found(".")
        assert found("*")[1] == said
    closed = "" if os.geteuid() == 0 else ", 1 unreadable file"  # root reads all
    count = 7 + bool(closed)
    assert (
        said == f"skipped {count} files that vlm cannot read as pictures (4 pipes or devices, 3 broken links{closed})"
    )
    assert names == ["./a.png"] if closed else ["./a.png", "./closed"]


@no_links
def test_a_broken_link_with_a_pictures_name_is_an_error_with_its_name(here):
    Path("b.png").symlink_to("gone.png")
    Path("c.jpg").symlink_to("c.jpg")
    os.mkfifo("pipe.png")
    put("a.png", "d.png")
    done = vlm("caption", "-m", "demo", ".")
    assert (done.returncode, done.stdout.count("circle")) == (3, 2)
    for name in ("b.png", "c.jpg", "pipe.png"):
        assert f"vlm: ./{name}: " in done.stderr
    assert "skipped" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions, which root does not have")
def test_a_folder_behind_a_link_that_cannot_be_read_is_an_error_of_its_own(here):
    put("top/a.png", "shut/b.png")
    Path("top/link").symlink_to(here / "shut")
    Path("shut").chmod(0)
    try:
        assert found("top")[0] == ["top/a.png", "top/link"]
        assert found("**/*.png")[1].endswith("(1 unreadable folder)")
    finally:
        Path("shut").chmod(0o700)


# --- Patterns ---


def test_a_pattern_that_names_no_suffix_means_pictures(here):
    put("2024-a.png", "2024-scan", "2024-b.jpg", "2025.png")
    put("2024-a.txt", "2024-notes.txt", "2024.NEF", data=b"x")
    pictures = ["2024-a.png", "2024-b.jpg", "2024-scan"]
    said = "skipped 2 files that vlm cannot read as pictures (1 .NEF, 1 .txt)"
    assert found("2024*") == found("**/2024*") == (pictures, said)
    assert found("2024*.*") == (pictures[:2], said)
    assert found("2024*.txt") == (["2024-a.txt", "2024-notes.txt"], "")
    with pytest.raises(
        SourceError, match=re.escape("2024.*: no picture that vlm can read matches this pattern (1 .NEF)")
    ):
        found("2024.*")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/*.png", ["a/b/c/z.png", "a/b/y.png", "a/x.png", "top.png"]),
        ("a/**/*.png", ["a/b/c/z.png", "a/b/y.png", "a/x.png"]),
        ("**/b/**/*.png", ["a/b/c/z.png", "a/b/y.png"]),
        ("*/**/z.png", ["a/b/c/z.png"]),
        ("**/.h/*.png", ["a/.h/h.png"]),
        ("./**/c/*", ["./a/b/c/z.png"]),
        ("a//**//z.*", ["a//b/c/z.png"]),
        ("**/**/x.png", ["a/x.png"]),
    ],
)
def test_two_stars_stand_for_folders(here, pattern, names):
    put("top.png", "a/x.png", "a/b/y.png", "a/b/c/z.png", "a/.h/h.png", "a/b/.z.png")
    assert found(pattern)[0] == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("P2/i*.jpg", ["P2/IMG_1.JPG", "P2/img_2.jpg"]),
        ("P2/[h-j]MG_?.jpg", ["P2/IMG_1.JPG", "P2/img_2.jpg"]),
        ("P2/[!I]*.JPG", ["P2/[x].Jpg"]),
        ("P2/[[]X].*", ["P2/[x].Jpg"]),
        ("p?/*.jpg", ["P2/IMG_1.JPG", "P2/[x].Jpg", "P2/img_2.jpg", "p3/A.JPG"]),
        ("**/*.jpg", ["P2/IMG_1.JPG", "P2/[x].Jpg", "P2/img_2.jpg", "p3/A.JPG"]),
        ("**/p2/I*", ["P2/IMG_1.JPG", "P2/img_2.jpg"]),
    ],
)
def test_patterns_ignore_case_as_cameras_write_capitals(here, pattern, names):
    put("P2/IMG_1.JPG", "P2/img_2.jpg", "P2/[x].Jpg", "p3/A.JPG", "P2/other.png")
    assert found(pattern)[0] == names


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file systems that know no case")
def test_a_folder_before_the_pattern_is_named_as_it_is(here):
    put("P2/a.jpg", "p2/b.jpg")
    assert found("p2/*.JPG")[0] == ["p2/b.jpg"]


# --- Through the command ---

SKIPPED = "skipped 2 files that vlm cannot read as pictures (1 .NEF, 1 .txt)"


@pytest.fixture
def pics(here):
    put("pics/a.png", "pics/scan", "pics/b.jfif")
    put("pics/raw.NEF", data=b"MM\0*" + bytes(64))
    put("pics/notes.txt", data=b"x")
    return here


@pytest.mark.parametrize("how", [(), ("--json",), ("--format", "csv"), ("--sidecar", "txt")])
def test_what_is_left_out_is_told_once_in_the_summary(pics, how):
    done = vlm("caption", "-m", "demo", "pics", *how)
    assert done.returncode == 0
    (said,) = (line for line in done.stderr.splitlines() if "skipped" in line)
    wrote = "; wrote 3 texts" if "txt" in how else ""
    assert re.fullmatch(f"vlm: 3 answered, in [0-9.]+ s{wrote}; {re.escape(SKIPPED)}", said)
    assert "skipped" not in done.stdout
    assert done.stdout.count("circle") == 3


def test_a_second_run_with_sidecars_does_not_count_its_own_files(pics):
    for _ in range(2):
        done = vlm("caption", "-m", "demo", "pics", "--sidecar", "txt", "--existing", "replace")
        assert (done.returncode, done.stderr.count(f"; {SKIPPED}\n"), done.stderr.count("skipped")) == (0, 1, 1)


def test_the_summary_of_a_run_says_it(pics):
    for summary in ("3 answered, in", "3 were done before"):
        done = vlm("caption", "-m", "demo", "pics", "--output", "out.jsonl")
        assert done.returncode == 0
        (said,) = (line for line in done.stderr.splitlines() if "skipped" in line)
        assert summary in said
        assert said.endswith(f"; {SKIPPED}")
    done = vlm("caption", "-m", "demo", "pics", "--dry-run")
    assert done.stderr.splitlines()[-1].endswith(f"; {SKIPPED}")
    assert done.stderr.count("skipped") == 1


def test_a_run_without_a_summary_says_it_before(pics):
    for name in ("scan", "b.jfif"):
        (pics / "pics" / name).unlink()
    done = vlm("caption", "-m", "demo", "pics")
    assert (done.returncode, done.stderr) == (0, f"vlm: {SKIPPED}\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--include", "*.png"], ""),
        (["--include", "*.PNG", "--exclude", "PICS/SCAN*"], ""),
        (["--exclude", "*.NEF", "--exclude", "*.txt"], ""),
        (["--exclude", "*.NEF"], "skipped 1 file that vlm cannot read as a picture (1 .txt)"),
        (["--include", "pics/*a*"], "skipped 1 file that vlm cannot read as a picture (1 .NEF)"),
    ],
)
def test_what_the_user_leaves_out_is_not_counted(pics, options, said):
    done = vlm("caption", "-m", "demo", "pics", *options)
    assert done.returncode == 0
    found = [line for line in done.stderr.splitlines() if "skipped" in line]
    assert len(found) == bool(said)
    assert all(line == f"vlm: {said}" or line.endswith(f"; {said}") for line in found)


def test_a_folder_of_other_files_says_what_it_has(pics):
    for name in ("a.png", "scan", "b.jfif"):
        (pics / "pics" / name).unlink()
    done = vlm("caption", "-m", "demo", "pics")
    assert (done.returncode, done.stdout) == (1, "")
    assert "vlm: pics: no pictures in this folder that vlm can read (1 .NEF, 1 .txt)\n" in done.stderr
    (record,) = map(json.loads, vlm("caption", "-m", "demo", "pics", "--json").stdout.splitlines())
    assert record["error"]["message"] == "pics: no pictures in this folder that vlm can read (1 .NEF, 1 .txt)"


def test_show_and_chat_tell_of_it_too(pics):
    shown = vlm("show", "pics")
    assert (shown.returncode, f"vlm: {SKIPPED}\n" in shown.stderr, shown.stdout.count("upright")) == (0, True, 3)
    talked = vlm("chat", "-m", "demo", input="/image pics\n")
    assert SKIPPED in talked.stderr


@pytest.mark.parametrize("name", ["letter", "scan.2024", "paper.pdf_1", "letter.PDF"])
def test_a_pdf_is_all_its_pages_whatever_it_is_called(here, name):
    pdf(here / "made.pdf", ((64, 48), RED), ((64, 48), BLUE))
    put(f"in/{name}", data=(here / "made.pdf").read_bytes())
    pages = [f"in/{name}#1", f"in/{name}#2"]
    assert found("in")[0] == found(f"in/{name}")[0] == found("in/*")[0] == pages
    assert [source.name for source in sources.find((), [f"in/{name}"])] == pages


@no_links
def test_a_pipe_is_not_opened_while_names_are_read(here):
    put("a.png")
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: os.close(os.open("pipe", os.O_WRONLY)))  # until somebody reads
    writer.start()
    for word, names in (("pipe", ["pipe"]), (".", ["./a.png"]), ("*", ["a.png"]), ("**/*", ["a.png"])):
        assert found(word)[0] == names
    writer.join(0.2)
    assert writer.is_alive()
    os.close(os.open("pipe", os.O_RDONLY))
    writer.join()


def test_listing_a_folder_loads_no_decoder(here):
    put("a.png", "scan")
    code = (
        "import sys; from vlmcli.pictures import sources; n = len(list(sources.find(['.'])));"
        "print(n, {'PIL', 'numpy', 'pypdfium2', 'pydicom', 'pillow_heif'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here)
    assert done.stdout == "2 set()\n"


def test_a_name_is_of_a_picture_or_of_something_else():
    assert not signatures.SUFFIXES & signatures.OTHERS
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in signatures.SUFFIXES | signatures.OTHERS)
    assert set(folders.SIDECARS) <= signatures.OTHERS


def test_an_imagefolder_is_a_folder_and_its_metadata_no_file_left_out(here):
    put("set/cat/1.png", "set/cat/2.png", "set/dog/1.png")
    put("set/metadata.jsonl", "set/metadata.csv", "set/dog/metadata.parquet", "set/metadata.jsonl.jsonl", data=b"{}")
    assert found("set") == (["set/cat/1.png", "set/cat/2.png", "set/dog/1.png"], "")
    put("set/other.csv", data=b"")
    assert found("set")[1] == "skipped 1 file that vlm cannot read as a picture (1 .csv)"
