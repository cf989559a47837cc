"""A file that is no picture vlm reads is called what it is, with what to do; nothing that is read is taken for one."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.pictures.test_tiff_pages import REDUCED, plain
from tests.support import ROOT, tiffs
from tests.support.files import GREEN, RED
from tests.support.hints import message_and_hint
from tests.support.program import SCENE, vlm
from vlmcli.errors import SourceError
from vlmcli.pictures import images, other_files, signatures


def ftyp(major, *others):
    return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + b"".join(others) + bytes(40)


def zipped(*names, text="x"):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, text)
    return data.getvalue()


def tarred():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(SCENE, "scene.png")
    return data.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n<html><head><title>404</title></head><body><svg/></body></html>"
# name → (bytes, what it is called, a part of the hint)
KINDS = {
    "page.jpg": (PAGE, "a web page (HTML)", "download the picture itself"),
    "pointer.png": (LFS, "a Git LFS pointer", "git lfs pull"),
    "annex.jpg": (b"../.git/annex/objects/aB/SHA256E-s9--00.jpg\n", "a git-annex pointer", "git annex get a"),
    "clip.jpg": (ftyp(b"mp42", b"mp42", b"isom"), "a video (MP4)", "ffmpeg -i clip.jpg -frames:v 1 frame.png"),
    "a clip.heic": (ftyp(b"qt  ", b"qt  "), "a video (QuickTime MOV)", 'ffmpeg -i "a clip.heic" -frames'),
    "old.mov": (bytes(4) + b"moov" + bytes(90), "a video (QuickTime)", "ffmpeg"),
    "clip.mkv": (b"\x1aE\xdf\xa3" + bytes(90), "a video (Matroska or WebM)", "ffmpeg"),
    "clip.avi": (b"RIFF\0\0\1\0AVI LIST" + bytes(90), "a video (AVI)", "ffmpeg"),
    "clip.3gp": (ftyp(b"3gp5"), "a video (3GP)", "ffmpeg"),
    "clip.ts": ((b"G" + bytes(187)) * 4, "a video (MPEG transport stream)", "ffmpeg"),
    "song.wav": (b"RIFF\0\0\1\0WAVEfmt " + bytes(90), "sound (WAV)", "name a picture"),
    "a.jxl": (b"\xff\x0a" + bytes(20), "a JPEG XL picture", "convert it"),
    "b.jpg": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "a JPEG XL picture", "convert it"),
    "a.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "a JPEG 2000 picture", "convert it"),
    "a.j2k": (b"\xff\x4f\xff\x51" + bytes(20), "a JPEG 2000 picture", "convert it"),
    "a.ppm": (b"P6\n2 2\n255\n" + bytes(12), "a PNM picture", "convert it"),
    "a.psd": (b"8BPS\0\1" + bytes(90), "a Photoshop file (PSD)", "export it"),
    "a.svg": (b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg/>", "a vector drawing (SVG)", "rsvg-convert a.svg"),
    "a.cr3": (ftyp(b"crx ", b"crx ", b"isom"), "a camera's raw file (Canon CR3)", "export it as JPEG"),
    "a.rw2": (b"IIU\0" + bytes(90), "a camera's raw file (Panasonic RW2)", "export it as JPEG"),
    "a.orf": (b"IIRO" + bytes(90), "a camera's raw file (Olympus ORF)", "export it as JPEG"),
    "a.raf": (b"FUJIFILMCCD-RAW 0201" + bytes(90), "a camera's raw file (Fujifilm RAF)", "export it as JPEG"),
    "a.zip": (zipped("a.txt"), "an archive (ZIP)", "unpack it"),
    "a.ustar": (tarred(), "an archive (tar)", "unpack it"),
    "a.gz": (b"\x1f\x8b\x08" + bytes(90), "a packed file (gzip)", "gunzip"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(90), "an archive (7-Zip)", "unpack it"),
    "a.rar": (b"Rar!\x1a\x07\1\0" + bytes(90), "an archive (RAR)", "unpack it"),
    "a.docx": (zipped("[Content_Types].xml", "word/document.xml"), "an Office document", "save it as PDF"),
    "a.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "an Office document", "save it as PDF"),
    "a.odt": (zipped("mimetype", text="application/vnd.oasis.opendocument"), "a document of LibreOffice", "as PDF"),
    "a.gguf": (b"GGUF\3\0\0\0" + bytes(90), "a model (GGUF)", "-m a.gguf"),
    "notes.txt": ("größe, 寸法\n".encode(), "a text file", "--files-from notes.txt"),
    "wide.txt": ("a.png\r\n".encode("utf-16"), "a text file", "--files-from wide.txt"),
    "a.xmp": (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>', "an XMP sidecar", "name the picture that it belongs to"),
    "b.xmp": (b'<?xml version="1.0"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/"/>', "an XMP sidecar", "name the picture"),
    "c.xmp": (b'<?xpacket begin="\xef\xbb\xbf"?>\n', "an XMP sidecar", "name the picture"),
    "error.png": (b'{"error": "not found"}', "a text file", "copy or download the picture again"),
    "zeros.jpg": (bytes(5000), "begins with zeros", "copy or download the picture again"),
    "empty.jpg": (b"", "the file is empty", "copy or download the picture again"),
    "._a.jpg": (b"\x00\x05\x16\x07\0\2" + bytes(90), "AppleDouble", "does not begin with ._"),
    "any.bin": (bytes(range(7, 256)), "not a picture in a format that vlm reads", "convert it"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_it_is_called_what_it_is(tmp_path, monkeypatch, name):
    data, what, hint = KINDS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(data)
    done = vlm("ask", "-m", "demo", name, "what is this?")
    assert (done.returncode, done.stdout) == (1, "")
    error, said = done.stderr.splitlines()[-2:]
    assert error.startswith(f"vlm: {name}: ") and what in error
    assert ("not a picture" in error) + ("vlm cannot read" in error) + ("is empty" in error) == 1
    assert hint in said
    with pytest.raises(SourceError, match=re.escape(what)):  # the bytes of an address, or of a pipe
        images.load(data, name)


def test_a_file_that_is_read_is_none_of_these():
    seen = 0
    for path in filter(Path.is_file, (ROOT / "docs" / "images").iterdir()):
        head = path.read_bytes()[: signatures.HEAD]
        if signatures.kind(head):
            assert other_files.recognised(head, path.name) is None
            seen += 1
    assert seen > 2
    for brand in (b"heic", b"mif1", b"avif", b"abcd"):
        assert other_files.recognised(ftyp(brand, b"mif1", b"isom")) is None


@pytest.mark.parametrize("size", range(1, 12))
def test_a_letter_that_is_cut_is_still_text(size):
    head = ("x" * (signatures.HEAD - size) + "寸法寸法").encode()[: signatures.HEAD]
    assert other_files.recognised(head).what.startswith("a text file")


def test_a_list_that_is_named_as_a_picture_is_read_as_the_hint_says(tmp_path):
    (tmp_path / "my list.txt").write_text(f"{SCENE}\n")
    done = vlm("ask", "-m", "demo", "my list.txt", "what is this?", cwd=tmp_path)
    assert '--files-from "my list.txt"' in done.stderr
    done = vlm("ask", "-m", "demo", "--files-from", "my list.txt", "what is this?", cwd=tmp_path)
    assert (done.returncode, "a red circle and a blue square" in done.stdout.lower()) == (0, True)


# ---------------------------------------------------------------------------------------------- cameras' own


def camera_file(size):
    raw = tiffs.page(np.zeros((600, 800), np.uint16), 32803, 16)
    return tiffs.file(plain(RED, (40, 30), REDUCED, [raw, plain(GREEN, size, REDUCED)]))


def test_a_raw_file_that_is_a_tiff_is_shown_by_a_preview_and_it_is_said_once():
    said = "a.nef: its raw picture of 800x600 cannot be read; the one of 400x300 in the same file is used"
    notices = images.load(camera_file((400, 300)), "a.nef").notices
    assert [text for text in notices if "raw" in text] == [said]
    said = "a.cr2: a camera's raw file; its preview of 400x300 is used"
    assert said in images.load(tiffs.file(plain(GREEN, (400, 300), {})), "a.cr2").notices


def test_a_raw_file_that_has_only_a_thumbnail_is_refused(tmp_path):
    (tmp_path / "a.nef").write_bytes(camera_file((160, 120)))
    done = vlm("ask", "-m", "demo", "a.nef", "what is this?", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a.nef: a camera's raw file; vlm can read only its thumbnail of 160x120" in done.stderr
    assert "export it as JPEG" in done.stderr
    (tmp_path / "a.nef").rename(tmp_path / "a.tif")
    assert images.load(tmp_path / "a.tif").size == (160, 120)


def test_a_folder_of_raw_files_only_says_how_their_previews_are_asked_about(tmp_path):
    (tmp_path / "my raws" / "sub").mkdir(parents=True)
    (tmp_path / "my raws" / "a.NEF").write_bytes(camera_file((400, 300)))
    done = vlm("caption", "-m", "demo", "my raws", cwd=tmp_path)
    message, hint = message_and_hint(done)
    assert (done.returncode, message) == (1, "my raws: no pictures in this folder that vlm can read (1 .NEF)")
    assert hint.endswith(': "my raws/*.NEF"')
    done = vlm("caption", "-m", "demo", "my raws/*.NEF", cwd=tmp_path)
    assert (done.returncode, "400x300" in done.stderr) == (0, True)
    (tmp_path / "my raws" / "a.NEF").rename(tmp_path / "my raws" / "sub" / "a.NEF")
    hint = message_and_hint(vlm("caption", "-m", "demo", "my raws", cwd=tmp_path))[1]
    assert hint.endswith(': "my raws/**/*.NEF"')
    assert vlm("caption", "-m", "demo", "my raws/**/*.NEF", cwd=tmp_path).returncode == 0
    (tmp_path / "my raws" / "sub" / "a.NEF").rename(tmp_path / "my raws" / "a.raf")
    assert message_and_hint(vlm("caption", "-m", "demo", "my raws", cwd=tmp_path))[1].startswith("export the raw files")


def test_a_preview_that_is_scaled_down_is_no_thumbnail():
    assert images.load(camera_file((400, 300)), "a.nef", bound=100).size == (100, 75)
