"""A person's caption is seen wherever it is, and not overwritten: XMP, IPTC, EXIF, and sidecars of both names."""

import shutil
import struct
import subprocess

import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from tests.support.folders import QUESTION, SCENE, vlm
from vlmcli.pictures import captions, xmp

ANSWER = "A red circle and a blue square."


def iptc(records):
    """A Photoshop resource of IPTC data sets: [((record, number), bytes)]."""
    data = b"".join(b"\x1c" + bytes(key) + struct.pack(">H", len(value)) + value for key, value in records)
    block = b"8BIM" + struct.pack(">H", 0x0404) + b"\0\0" + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)
    body = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", 2 + len(body)) + body


def jpeg(path, *, segments=b"", **how):
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(path, quality=95, **how)
    data = path.read_bytes()
    path.write_bytes(data[:2] + segments + data[2:])
    return path


def exif(tags=(), comment=None):
    found = Image.Exif()
    for tag, value in dict(tags).items():
        found[tag] = value
    if comment is not None:
        found.get_ifd(0x8769)[0x9286] = comment
    return found.tobytes()


def png(path, **texts):
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    with Image.open(SCENE) as scene:
        scene.save(path, pnginfo=info)
    return path


SAID = "Mum, 1987, in Łódź"
WIDE = SAID.encode("utf-16-le") + b"\0\0"
PLACES = {
    "XMP": lambda at: jpeg(at / "p.jpg", xmp=xmp.described(None, SAID, "")),
    "IPTC, in UTF-8": lambda at: jpeg(
        at / "p.jpg", segments=iptc([((1, 90), b"\x1b%G"), ((2, 120), SAID.encode())])
    ),
    "IPTC, that does not say which letters": lambda at: jpeg(at / "p.jpg", segments=iptc([((2, 120), SAID.encode())])),
    "EXIF's description": lambda at: jpeg(at / "p.jpg", exif=exif({0x010E: SAID.encode()})),
    "EXIF's comment, in UTF-16": lambda at: jpeg(
        at / "p.jpg", exif=exif(comment=b"UNICODE\0" + SAID.encode("utf-16-le"))
    ),
    "EXIF's comment, in UTF-16 the other way round": lambda at: jpeg(
        at / "p.jpg", exif=exif(comment=b"UNICODE\0" + SAID.encode("utf-16-be"))
    ),
    "EXIF's comment, of no known letters": lambda at: jpeg(at / "p.jpg", exif=exif(comment=bytes(8) + SAID.encode())),
    "Windows' comment": lambda at: jpeg(at / "p.jpg", exif=exif({0x9C9C: WIDE})),
    "a PNG's description": lambda at: png(at / "p.png", Description=SAID),
    "a PNG's comment": lambda at: png(at / "p.png", Comment=SAID),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_a_caption_is_found_in_each_place(tmp_path, name):
    found = captions.description(PLACES[name](tmp_path))
    place = next((one for one in ("XMP", "IPTC", "PNG") if one in name), "EXIF")
    assert (found.text, found.place) == (SAID, place)


def test_a_caption_in_a_tiff_is_found(tmp_path):
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[0x010E], directory.tagtype[0x010E] = SAID.encode(), TiffImagePlugin.TiffTags.ASCII
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(tmp_path / "p.tif", tiffinfo=directory)
    assert captions.description(tmp_path / "p.tif") == captions.Written(SAID, (), "EXIF")
    done = vlm(tmp_path, "ask", "-m", "demo", "p.tif", "-q", QUESTION, "--sidecar", "xmp")
    assert (done.returncode, done.stdout) == (0, "")


MACHINES = [
    "OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "MINOLTA DIGITAL CAMERA", "SAMSUNG", "DSC01234",
    "dcf 1.0", "   ", "\0\0\0",     "Created with GIMP", "Screenshot", "Exif_JPEG_PICTURE", "default", "Lavc58.54.100",
    '{"mirror":false,"sensor_type":"rear"}',
    "filter: 0; fileterIntensity: 0.0; filterMask: 0; module: photo;hw-remosaic: 0;",
]  # fmt: skip


@pytest.mark.parametrize("text", MACHINES)
def test_what_cameras_and_programs_write_is_no_caption(tmp_path, text):
    path = jpeg(tmp_path / "p.jpg", exif=exif({0x010E: text.encode()}, b"ASCII\0\0\0" + text.encode()))
    assert captions.description(path) == captions.Written()
    assert captions.description(png(tmp_path / "p.png", Comment=text.strip(" \0") or " ")) == captions.Written()


def test_keywords_are_found_in_each_place(tmp_path):
    words = ("Oma", "Garten", "Łódź")
    packed = [((1, 90), b"\x1b%G"), *(((2, 25), word.encode()) for word in words)]
    wide = ";".join(words).encode("utf-16-le") + b"\0\0"
    for path in (
        jpeg(tmp_path / "a.jpg", segments=iptc(packed)),
        jpeg(tmp_path / "b.jpg", exif=exif({0x9C9E: wide})),
        jpeg(tmp_path / "c.jpg", xmp=xmp.with_subjects(None, words, "")),
    ):
        assert captions.keywords(path).words == words
    assert captions.keywords(jpeg(tmp_path / "d.jpg", segments=iptc(packed[:2]))).words == ("Oma",)
    assert captions.description(tmp_path / "a.jpg") == captions.Written()


@pytest.mark.parametrize("data", [b"", b"junk", b"\xff\xd8\xff\xe1\0\4Exif", b"%PDF-1.4", b"\0" * 2000])
def test_what_cannot_be_read_has_no_caption(tmp_path, data):
    (tmp_path / "p.jpg").write_bytes(data)
    assert captions.description(tmp_path / "p.jpg") == captions.Written()


@pytest.mark.parametrize("way", [["--write-metadata"], ["--sidecar", "xmp"]])
@pytest.mark.parametrize("name", PLACES)
def test_a_picture_with_a_caption_is_not_asked_about(tmp_path, name, way):
    path = PLACES[name](tmp_path)
    before = path.read_bytes()
    done = vlm(tmp_path, "ask", "-m", "demo", path.name, "-q", QUESTION, *way)
    assert (done.returncode, done.stdout) == (0, "")
    assert "skipped 1 picture that already has text" in done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_xmp_is_not_written_beside_unless_a_sidecar_is_meant(tmp_path):
    path = PLACES["IPTC, in UTF-8"](tmp_path)
    before = path.read_bytes()
    for existing in ("replace", "append", "prepend"):
        done = vlm(tmp_path, "ask", "-m", "demo", "p.jpg", "-q", QUESTION, "--write-metadata", "--existing", existing)
        assert (done.returncode, "its description is in IPTC, which vlm cannot write" in done.stderr) == (
            1,
            True,
        )
        assert "--sidecar xmp" in done.stderr
    assert path.read_bytes() == before
    for existing, text in (("append", f"{SAID}\n{ANSWER}"), ("replace", ANSWER)):
        done = vlm(tmp_path, "ask", "-m", "demo", "p.jpg", "-q", QUESTION, "--sidecar", "xmp", "--existing", existing)
        assert done.returncode == 0
        assert xmp.description((tmp_path / "p.xmp").read_bytes(), "p") == text
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["p.jpg.xmp", "p.xmp", "p.jpg.XMP", "p.XMP"])
@pytest.mark.parametrize("wanted", ["stem", "full"])
def test_a_sidecar_of_either_name_is_seen_and_is_the_one_that_is_changed(tmp_path, name, wanted):
    jpeg(tmp_path / "p.jpg")
    (tmp_path / name).write_bytes(xmp.described(None, SAID, ""))
    command = ("ask", "-m", "demo", "p.jpg", "-q", QUESTION, "--sidecar", "xmp", "--sidecar-name", wanted)
    done = vlm(tmp_path, *command)
    assert (done.returncode, done.stdout) == (0, "")
    done = vlm(tmp_path, *command, "--existing", "append")
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"p.jpg", name}
    assert xmp.description((tmp_path / name).read_bytes(), name) == f"{SAID}\n{ANSWER}"


def test_a_text_of_either_name_is_seen(tmp_path):
    jpeg(tmp_path / "p.jpg")
    (tmp_path / "p.jpg.txt").write_text("by hand\n", "utf-8")
    command = ("ask", "-m", "demo", "p.jpg", "-q", QUESTION, "--sidecar", "txt")
    assert vlm(tmp_path, *command).stdout == ""
    assert vlm(tmp_path, *command, "--existing", "replace").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"p.jpg", "p.jpg.txt"}
    assert (tmp_path / "p.jpg.txt").read_text("utf-8") == f"{ANSWER}\n"


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_what_exiftool_writes_is_seen(tmp_path):
    tags = {
        "-IPTC:Caption-Abstract=Mum 1987": "IPTC", "-EXIF:ImageDescription=Mum 1987": "EXIF",
        "-EXIF:UserComment=Mum 1987": "EXIF", "-XMP-dc:Description=Mum 1987": "XMP", "-EXIF:XPComment=Mum 1987": "EXIF",
    }  # fmt: skip
    for tag, place in tags.items():
        path = jpeg(tmp_path / "p.jpg")
        subprocess.run(["exiftool", "-q", "-overwrite_original", tag, path], check=True)
        assert captions.description(path) == captions.Written("Mum 1987", (), place)
