"""What words mean: files, frames, folders, globs, lists, URIs and stdin; and together or each."""

import base64
import json
import os
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.files import BLUE, GREEN, RED, UNDO, pdf
from tests.support.program import SCENE, vlm
from vlmcli.errors import SourceError, VlmError
from vlmcli.pictures import sources


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures with odd names, some below, some hidden, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    picture = Path(SCENE).read_bytes()
    for name in ("b.png", "a picture.PNG", "sub/c.png", "sub/.hidden.png", ".git/d.png", "sub/[x].png", "-dash.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def names(*words, listed=()):
    return [(source.name, source.expanded) for source in sources.find(words, listed)]


def test_a_folder_is_its_pictures_by_name_without_what_is_hidden(folder):
    found = ["-dash.png", "a picture.PNG", "b.png", "sub/[x].png", "sub/c.png"]
    assert names(".") == [(f"./{name}", True) for name in found]
    assert names(str(folder / "sub")) == [(str(folder / "sub" / name), True) for name in ("[x].png", "c.png")]
    with pytest.raises(SourceError, match="no pictures in this folder"):
        names(str(ROOT / "tests" / "demo"))


def test_a_glob_is_expanded_unless_a_file_has_that_name(folder):
    assert names("*.png") == [("-dash.png", True), ("a picture.PNG", True), ("b.png", True)]
    assert names("**/c.png") == [("sub/c.png", True)]
    assert names("sub/[x].png") == [("sub/[x].png", False)]
    with pytest.raises(SourceError, match="no file matches this pattern"):
        names("*.jpeg")


def test_a_list_is_taken_as_it_is(folder):
    assert names(listed=["*.png", "sub/[x].png"]) == [("*.png", True), ("sub/[x].png", True)]
    assert sources.split_list(b"a b.png\r\n\n-c.png\n", null=False) == ["a b.png", "-c.png"]
    assert sources.split_list(b"two\nlines.png\0b\xff.png\0", null=True) == ["two\nlines.png", "b\udcff.png"]


def test_other_spellings_of_a_file(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    for word in ("~/b.png", f"file://{folder}/a%20picture.PNG", "b.png"):
        (source,) = sources.find([word])
        assert source.load().size == Image.open(SCENE).size
        assert source.name == word
    data = Path(SCENE).read_bytes()
    (source,) = sources.find(["data:image/png;base64," + base64.b64encode(data).decode()])
    assert source.load() == next(iter(sources.find([SCENE]))).load()
    assert len(source.name) < 50
    for bad in ("data:image/png;base64,@@@", "data:image/png"):
        with pytest.raises(SourceError, match="not a data URI"):
            list(sources.find([bad]))


def test_frames_and_pages_have_numbers(tmp_path):
    path = tmp_path / "three.gif"
    frames = [Image.new("RGB", (20, 20), color) for color in (RED, GREEN, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    (source,) = sources.find([f"{path}#2"])
    assert source.load().pixels()[:3] == bytes(GREEN)
    assert names(str(path)) == [(str(path), False)]
    document = tmp_path / "two.pdf"
    pdf(document, ((100, 100), RED), ((100, 100), BLUE))
    assert names(str(document)) == [(f"{document}#1", True), (f"{document}#2", True)]
    assert names(f"{document}#2") == [(f"{document}#2", False)]
    odd = tmp_path / "a#2"
    odd.write_bytes(Path(SCENE).read_bytes())
    assert names(str(odd)) == [(str(odd), False)]
    assert next(iter(sources.find([str(odd)]))).frame == 0


def test_a_name_that_is_nearly_another_is_suggested(folder):
    (source,) = sources.find(["sub/cc.png"])
    with pytest.raises(SourceError) as caught:
        source.load()
    assert caught.value.hint == "did you mean sub/c.png?"


# --- through the command ---


def ask(*words, stdin=None, **how):
    return vlm("ask", "-m", "demo", *words, input=stdin or b"", text=False, **how)


def test_a_folder_is_asked_about_one_by_one(folder):
    done = ask(".", "what is this?")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "./-dash.png\tA red circle and a blue square."
    assert len(lines) == 5
    assert done.returncode == 0


def test_typed_pictures_are_one_question_unless_each(folder):
    together = ask("b.png", "a picture.PNG", "what is in the second image?", "--json").stdout.splitlines()
    assert [json.loads(line)["sources"] for line in together] == [["b.png", "a picture.PNG"]]
    each = ask("b.png", "a picture.PNG", "-q", "what is this?", "-q", "What color is the circle?", "--each")
    assert each.stdout.decode().splitlines() == [
        "b.png\twhat is this?\tA red circle and a blue square.",
        "b.png\tWhat color is the circle?\tThe circle is red.",
        "a picture.PNG\twhat is this?\tA red circle and a blue square.",
        "a picture.PNG\tWhat color is the circle?\tThe circle is red.",
    ]


def test_one_broken_picture_among_many_does_not_end_the_others(folder):
    (folder / "broken.png").write_bytes(b"nothing")
    done = ask("--each", "b.png", "broken.png", "missing.png", "sub/c.png", "what is this?", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["sources"][0] for record in records] == ["b.png", "broken.png", "missing.png", "sub/c.png"]
    assert ["error" in record for record in records] == [False, True, True, False]
    assert done.returncode == 3
    assert done.stderr.count(b"broken.png") == 1


def test_every_picture_broken_is_failure(folder):
    done = ask("--each", "no.png", "none.png", "what is this?")
    assert (done.stdout, done.returncode) == (b"", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_odd_names_come_back_as_they_were(tmp_path):
    data = Path(SCENE).read_bytes()
    odd = [b"two words.png", b"two\nlines.png", b"tab\t.png", b"-x.png", b"bad\xff\xfe.png", "größe.png".encode()]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes(data)
    done = ask("--files-from", "-", "-0", "--json", "what is this?", stdin=b"\0".join(odd), cwd=tmp_path)
    assert done.returncode == 0
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [os.fsencode(record["sources"][0]) for record in records] == odd


def test_a_picture_on_stdin():
    done = ask("-", "what is this?", stdin=Path(SCENE).read_bytes())
    assert (done.stdout, done.returncode) == (b"A red circle and a blue square.\n", 0)


def test_text_on_stdin_goes_before_the_question():
    alone = ask(SCENE, "What color is the circle?", "--json")
    done = ask("-", SCENE, "What color is the circle?", "--json", stdin=b"Be brief.\n")
    record, shorter = json.loads(done.stdout), json.loads(alone.stdout)
    assert record["question"] == "What color is the circle?"
    assert record["sources"] == [SCENE]
    assert record["usage"]["prompt_tokens"] > shorter["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("words", "stdin", "code", "says"),
    [
        (["-", "-", "?"], b"", 2, "read only once"),
        (["-", "--files-from", "-", "?"], b"", 2, "read only once"),
        (["-", "?"], b"", 1, "stdin is empty"),
        (["-", "?"], b"only text", 2, "no picture"),
        (["-", "?"], b"\x00\x01\x02 not a picture", 1, "-: not a picture"),
        ([SCENE, "?", "-0"], b"", 2, "-0 does nothing without a list"),
        (["--files-from", "-", "?"], b"\n\n", 1, "the list is empty"),
        (["--files-from", "nowhere.txt", "?"], b"", 1, "the list cannot be read"),
        ([SCENE, "?", "--each", "--together"], b"", 2, "cannot be used together"),
        ([*[SCENE] * 9, "?"], b"", 2, "one question about 9 pictures at once"),
        (["*.nothing", "?"], b"", 1, "no file matches this pattern"),
        (["data:,", "?"], b"", 1, "is empty"),
    ],
)
def test_errors_of_sources_say_what_and_what_to_do(words, stdin, code, says):
    done = ask(*words, stdin=stdin)
    assert done.returncode == code
    assert done.stdout == b""
    assert says in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_all_orientations_get_the_same_right_answer(tmp_path):
    pillow_heif.register_heif_opener()
    scene = np.asarray(Image.open(SCENE).convert("RGB"))
    names = []
    for kind in ("jpg", "heic", "webp", "tif"):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            how = {"tiffinfo": {0x0112: orientation}} if kind == "tif" else {"exif": exif.tobytes(), "quality": 95}
            names.append(str(tmp_path / f"{orientation}.{kind}"))
            Image.fromarray(np.ascontiguousarray(UNDO[orientation](scene))).save(names[-1], **how)
    done = vlm("ask", "-m", "demo", str(tmp_path), "what is on the left?")
    assert done.stdout.splitlines() == [f"{name}\tA red circle." for name in sorted(names)]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names that are not UTF-8")
def test_a_file_address_means_its_frame_and_this_machine(tmp_path):
    name = tmp_path / "a b\udcff.gif"
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "plain.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "plain.gif").rename(name)
    address = f"FILE://localhost{tmp_path}/a%20b%FF.gif"
    assert [source.file for source in sources.find([address])] == [name]
    (second,) = sources.find([f"{address}#2"])
    assert (second.file, second.frame) == (name, 2)
    blue = second.load().pixels()[:3]
    assert blue[2] > 200 > 60 > blue[0]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("file://[", "file://[: not an address"),
        ("file://elsewhere/a.png", "file://elsewhere/a.png: a file on another machine"),
        ("", "the name of a picture is empty"),
    ],
)
def test_a_word_that_means_no_picture_is_an_error(word, said):
    with pytest.raises(VlmError) as caught:
        list(sources.find([word]))
    assert caught.value.message == said


def test_a_data_address_may_be_wrapped_and_in_capitals():
    data = base64.encodebytes(Path(SCENE).read_bytes()).decode()
    (source,) = sources.find([f"DATA:image/png;BASE64,{data}"])
    assert source.load().size == (640, 480)


def test_a_list_may_begin_with_a_mark_of_its_encoding():
    assert sources.split_list(b"\xef\xbb\xbfa.png\n", null=False) == ["a.png"]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"a.png\0b.png\0", "its names end with NULs"), (None, "the list cannot be read (more than 268 MB)")],
)
def test_a_list_that_is_none_is_an_error(tmp_path, data, said):
    name = tmp_path / "list"
    if data is None:
        with name.open("wb") as file:
            file.truncate((256 << 20) + 1)
    else:
        name.write_bytes(data)
    done = vlm("ask", "-m", "demo", "--files-from", str(name), "-q", "what?")
    assert done.returncode in (1, 2)
    assert f"{name}: {said}" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------------- lists in UTF-16

CODES = {"UTF-16LE": b"\xff\xfe", "UTF-16BE": b"\xfe\xff", "UTF-8": b"\xef\xbb\xbf"}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
@pytest.mark.parametrize("piped", [False, True])
def test_a_list_is_read_by_its_mark(folder, code, end, piped):
    (folder / "größe 寸.png").write_bytes(Path(SCENE).read_bytes())
    data = CODES[code] + f"größe 寸.png{end}b.png{end}".encode(code)
    (folder / "list.txt").write_bytes(data)
    words = ["--files-from", "-" if piped else "list.txt", *(["-0"] if end == "\0" else [])]
    done = vlm("ask", "-m", "demo", *words, "what is this?", cwd=folder, input=data if piped else b"")
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == ["größe 寸.png", "b.png"], done.stderr


@pytest.mark.parametrize("code", CODES)
def test_questions_are_read_by_their_mark(folder, code):
    (folder / "q.txt").write_bytes(CODES[code] + "what is this?\r\nis it red?\r\n".encode(code))
    done = vlm("ask", "-m", "demo", "--questions", "q.txt", "b.png", "--json", cwd=folder)
    asked = [json.loads(line)["question"] for line in done.stdout.splitlines()]
    assert asked == ["what is this?", "is it red?"], done.stderr


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("b.png\n".encode("utf-16-le"), "a UTF-16 list without a byte order mark"),
        ("b.png\n".encode("utf-16-be"), "a UTF-16 list without a byte order mark"),
        ("b.png\n".encode("utf-16")[:-1], "incomplete UTF-16 text"),
        (b"b.png\0", "its names end with NULs"),
    ],
)
def test_a_list_that_is_not_read_is_named(folder, data, says):
    (folder / "list.txt").write_bytes(data)
    done = vlm("ask", "-m", "demo", "--files-from", "list.txt", "what is this?", cwd=folder)
    assert (done.returncode, f"list.txt: {says}" in done.stderr) == (2, True), done.stderr
