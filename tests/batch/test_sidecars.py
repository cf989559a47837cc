"""Answers beside their pictures, and inside them: texts, XMP packets, metadata."""

import os
import re
import shutil
import subprocess

import pytest
from PIL import Image

from tests.support.folders import QUESTION, SCENE, ask, lines, vlm
from tests.support.program import VLM
from vlmcli.pictures import embedded, xmp


def sidecars(folder, stems="*"):
    """The texts beside the pictures, by their files' names."""
    return {path.name: path.read_text("utf-8") for path in sorted((folder / "pics").glob(f"{stems}.txt"))}


def test_an_answer_is_written_beside_its_picture(folder):
    (folder / "pics" / "a.txt").write_text("by hand\n", "utf-8")
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "--sidecar", "txt")
    done = vlm(folder, *command)
    assert done.returncode == 3
    assert "skipped 1 picture that already has text" in done.stderr
    answer = "A red circle and a blue square.\n"
    assert sidecars(folder) == {"a.txt": "by hand\n"} | {f"{name}.txt": answer for name in "bcef"}
    assert done.stdout == "".join(f"pics/{name}.png\t{answer}" for name in "bcef")
    assert not [path for path in (folder / "pics").iterdir() if path.suffix == ".part"]
    (folder / "pics" / "d.png").unlink()
    for existing, text in (
        ("append", f"by hand\n{answer}"),
        ("prepend", f"{answer}by hand\n{answer}"),
        ("replace", answer),
    ):
        assert vlm(folder, *command, "--existing", existing).returncode == 0
        assert sidecars(folder)["a.txt"] == text
    done = vlm(folder, *command)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_answer_is_a_description_in_an_xmp_file_that_keeps_the_rest(folder):
    (folder / "pics" / "d.png").unlink()
    more = b'about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
    rated = xmp.described(None, "", "a").replace(b'about=""', more)
    (folder / "pics" / "a.xmp").write_bytes(rated)
    (folder / "pics" / "b.xmp").write_bytes(xmp.described(None, "by hand", "b"))
    (folder / "pics" / "c.xmp").write_bytes(b"no packet")
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "--sidecar", "xmp")
    pixels = (folder / "pics" / "a.png").read_bytes()
    assert vlm(folder, *command).returncode == 0
    answer = "A red circle and a blue square."

    def said(name):
        return xmp.description((folder / "pics" / f"{name}.xmp").read_bytes(), name)

    assert [said(name) for name in "abef"] == [answer, "by hand", answer, answer]
    assert b'Rating="4"' in (folder / "pics" / "a.xmp").read_bytes()
    assert (folder / "pics" / "c.xmp").read_bytes() == b"no packet"
    assert (folder / "pics" / "a.png").read_bytes() == pixels
    done = vlm(folder, *command, "--existing", "append")
    assert (done.returncode, "pics/c.xmp: not an XMP file" in done.stderr) == (3, True)
    assert said("b") == f"by hand\n{answer}"
    assert (folder / "pics" / "c.xmp").read_bytes() == b"no packet"


def test_an_answer_is_written_into_its_picture_and_not_into_its_pixels(folder):
    (folder / "pics" / "d.png").unlink()
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(folder / "pics" / "d.jpg")
        scene.save(folder / "pics" / "g.bmp")
        scene.resize((300, 300)).save(folder / "pics" / "h.webp")
    (folder / "pics" / "link.png").symlink_to(folder / "elsewhere.png")
    shutil.copy(SCENE, folder / "elsewhere.png")
    names = ("a.png", "d.jpg", "h.webp", "link.png")
    pixels = {name: Image.open(folder / "pics" / name).convert("RGB").tobytes() for name in names}
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "--write-metadata", "--journal", "run.jsonl")
    done = vlm(folder, *command)
    assert done.returncode == 3
    assert "pics/g.bmp: " in done.stderr
    assert "pics/link.png: a link leads out of pics, and vlm does not write there" in done.stderr
    named = vlm(folder, *("pics/link.png" if word == "pics" else word for word in command), "--retry-errors")
    assert named.returncode == 0
    answer = "A red circle and a blue square."

    def packet(name):
        return embedded.packet_of((folder / "pics" / name).read_bytes(), name)

    for name in names:
        assert xmp.description(packet(name), name) == answer
        assert Image.open(folder / "pics" / name).convert("RGB").tobytes() == pixels[name]
    assert (folder / "pics" / "link.png").is_symlink()
    was = {path.name: path.read_bytes() for path in (folder / "pics").iterdir()}
    for more in ([], ["--existing", "replace"]):  # the journal knows them as they are now
        again = vlm(folder, *command, *more)
        assert (again.returncode, again.stdout) == (3, "")
    keyed = vlm(folder, "ask", "-m", "demo", "pics/a.png", "-q", "a circle?", "--write-metadata", "--keywords")
    assert keyed.returncode == 0
    assert xmp.description(packet("a.png"), "a") == answer
    assert xmp.subjects(packet("a.png"), "a")
    assert {path.name for path in (folder / "pics").iterdir() if path.read_bytes() != was[path.name]} == {"a.png"}


def test_two_answers_for_one_sidecar_are_errors_of_theirs_and_the_others_are_done(folder):
    shutil.copy(folder / "pics" / "a.png", folder / "pics" / "a.webp")
    shutil.copy(folder / "pics" / "a.png", folder / "pics" / "a.gif")
    (folder / "pics" / "d.png").unlink()
    done = vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "--sidecar", "txt")
    assert done.returncode == 3
    for one, other in (("a.gif", "a.png"), ("a.png", "a.gif"), ("a.webp", "a.gif")):
        assert f"pics/{one}: its answer and that of pics/{other} would both go into a.txt" in done.stderr
    assert "--sidecar-name full" in done.stderr
    assert list(sidecars(folder)) == [f"{name}.txt" for name in "bcef"]
    done = vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "--sidecar", "txt", "--sidecar-name", "full")
    assert done.returncode == 0
    assert [name for name in sidecars(folder) if name.startswith("a.")] == ["a.gif.txt", "a.png.txt", "a.webp.txt"]
    assert "b.png.txt" not in sidecars(folder), "it has a text, under its other name"


def test_two_questions_for_one_sidecar_are_refused_before_anything_is_asked(folder):
    done = vlm(folder, "ask", "-m", "demo", "pics", "-q", "a?", "-q", "b?", "--sidecar", "txt")
    assert (done.returncode, "several questions would write to this one file" in done.stderr) == (2, True)
    assert sidecars(folder) == {}


def test_a_sidecar_that_cannot_be_written_is_an_error_of_its_picture(folder):
    (folder / "pics" / "a.txt").mkdir()
    done = vlm(
        folder, "caption", "-m", "demo", "pics", "--exclude", "d.png", "--sidecar", "txt", "--existing", "replace"
    )
    assert done.returncode == 3
    assert "pics/a.txt: a folder, so no text can be written there" in done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("pics/")]) == 4


def test_a_sidecar_is_never_a_picture_or_a_list_of_the_command(folder):
    shutil.copy(SCENE, folder / "pic.txt")
    shutil.copy(SCENE, folder / "list.png")
    (folder / "list.txt").write_text("list.png\n", "utf-8")
    was = {name: (folder / name).read_bytes() for name in ("pic.txt", "list.txt")}
    for words in (["pic.txt"], ["--files-from", "list.txt"]):
        done = vlm(folder, "caption", "-m", "demo", *words, "--sidecar", "txt", "--existing", "replace")
        assert (done.returncode, "this file is an input of the command itself" in done.stderr) == (2, True)
    assert was == {name: (folder / name).read_bytes() for name in was}


def test_a_sidecar_beside_a_journal_loses_no_record_and_is_written_from_it(folder):
    (folder / "pics" / "d.png").unlink()
    (folder / "pics" / "a.txt").write_text("by hand\n", "utf-8")
    command = ("--sidecar", "txt")
    assert ask(folder, *command).returncode == 0
    assert len(lines(folder)) == 5
    answer = "A red circle and a blue square.\n"
    assert sidecars(folder) == {"a.txt": "by hand\n"} | {f"{name}.txt": answer for name in "bcef"}
    (folder / "pics" / "c.txt").unlink()
    assert ask(folder, *command).returncode == 0
    assert len(lines(folder)) == 5
    assert sidecars(folder)["c.txt"] == answer


def test_texts_written_from_the_records_are_counted(folder):
    (folder / "pics" / "d.png").unlink()
    ask(folder)
    done = ask(folder, "--sidecar", "txt", "--dry-run")
    assert done.stderr == "vlm: would write 5 texts from out.jsonl; 5 were done before\n"
    assert sidecars(folder) == {}
    shutil.copy(SCENE, folder / "pics" / "g.png")
    done = ask(folder, "--sidecar", "txt")
    assert done.stderr.startswith("vlm: wrote 5 texts from out.jsonl\n")
    assert re.search(r"vlm: 1 answered, in [0-9.]+ s; wrote 1 text; 5 were done before\n\Z", done.stderr)
    (folder / "pics" / "a.txt").unlink()
    assert ask(folder, "--sidecar", "txt").stderr == "vlm: wrote 1 text from out.jsonl; 6 were done before\n"
    assert ask(folder, "--sidecar", "txt").stderr == "vlm: nothing left to do; 6 were done before\n"


def test_a_sidecar_that_cannot_be_written_from_the_journal_costs_the_others_nothing(folder):
    """The text of one that was answered before has no place now: it is said, and the others get theirs."""
    (folder / "pics" / "d.png").unlink()
    command = ("--sidecar", "txt")
    assert ask(folder, *command).returncode == 0
    for name in "abc":
        (folder / "pics" / f"{name}.txt").unlink()
    (folder / "pics" / "b.txt").symlink_to("nowhere/none/b.txt")
    shutil.copy(SCENE, folder / "pics" / "g.png")
    answer = "A red circle and a blue square.\n"
    done = ask(folder, *command, "--fail-fast")
    assert (done.returncode, "b.txt: a broken link" in done.stderr) == (1, True)
    assert sidecars(folder, "[acg]") == {"a.txt": answer}
    for _ in range(2):  # with a picture left to ask about, and with none
        done = ask(folder, *command)
        assert (done.returncode, "b.txt: a broken link" in done.stderr) == (3, True)
        assert sidecars(folder, "[acg]") == {f"{name}.txt": answer for name in "acg"}
    (folder / "pics" / "b.txt").unlink()
    assert ask(folder, *command).returncode == 0
    assert sidecars(folder, "[abc]") == {f"{name}.txt": answer for name in "abc"}
    assert len(lines(folder)) == 6


def test_what_has_no_place_for_its_text_is_an_error_of_its_own(folder):
    (folder / "pics" / "d.png").unlink()
    (folder / "pics" / "ring.png").symlink_to("ring.png")
    (folder / "pics" / "same.png").symlink_to("a.png")
    done = vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "--write-metadata")
    assert done.returncode == 3
    assert "pics/same.png: the same file as pics/a.png" in done.stderr
    assert done.stdout.count("A red circle") == 5
    long = f"{'x' * 300}.png"
    done = vlm(folder, "ask", "-m", "demo", "--each", "pics/b.png", long, "-q", QUESTION, "--sidecar", "txt")
    assert (done.returncode, "File name too long" in done.stderr) == (3, True)
    assert (folder / "pics" / "b.txt").exists()


def test_a_picture_that_is_write_protected_is_not_written(folder):
    picture = folder / "pics" / "a.png"
    picture.chmod(0o444)
    as_others = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    if as_others and shutil.which("setpriv") is None:
        pytest.skip("root may write everything, and setpriv is not here")
    was = picture.read_bytes()
    command = [*as_others, VLM, "caption", "-m", "demo", "pics/a.png", "--write-metadata"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "write-protected" in done.stderr, picture.read_bytes() == was) == (1, True, True)
