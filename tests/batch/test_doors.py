"""What somebody else has put beside pictures: answers go into files of the folder that was named, and nowhere else."""

import json
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from tests.support.folders import QUESTION, SCENE, vlm
from tests.test_files import SPECIAL
from vlmcli import atomic, files
from vlmcli.pictures import xmp

ANSWER = "A red circle and a blue square.\n"


@pytest.fixture
def pics(tmp_path):
    """A folder with two pictures."""
    (tmp_path / "pics").mkdir()
    for name in "ab":
        shutil.copy(SCENE, tmp_path / "pics" / f"{name}.png")
    return tmp_path / "pics"


def everything(folder):
    """All that is in a folder: of each name what is there, where a link leads, and what is in a file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        there = path.lstat()
        inside = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder).as_posix()] = stat.S_IFMT(there.st_mode), there.st_ino, inside
    return found


def captioned(pics, *words, named="pics"):
    begun = time.monotonic()
    done = vlm(pics.parent, "ask", "-m", "demo", named, "-q", QUESTION, *words)
    assert time.monotonic() - begun < 20
    return done


WAYS = [
    ("skip", "a.txt", ["--sidecar", "txt"]),
    ("replace", "a.txt", ["--sidecar", "txt"]),
    ("append", "a.xmp", ["--sidecar", "xmp"]),
    ("prepend", "a.png.txt", ["--sidecar", "txt", "--sidecar-name", "full"]),
    ("replace", "a.XMP", ["--sidecar", "xmp"]),
    ("skip", "a.png.xmp", ["--write-metadata"]),
]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("kind", "existing", "name", "more"),
    [(kind, *way) for a, kind in enumerate(SPECIAL) for b, way in enumerate(WAYS) if (a + b) % 2 or kind == "fifo"],
)
def test_what_is_no_file_beside_a_picture_is_an_error_of_it_and_stays(pics, kind, existing, name, more):
    words, make = SPECIAL[kind]
    make(pics / name)
    before = everything(pics)
    done = captioned(pics, *more, "--existing", existing, "--json")
    assert done.returncode == 3
    assert f"pics/{name}: {words}, so no text can be written there" in done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["sources"], words in first["error"]["message"]) == (["pics/a.png"], True)
    assert "timings" not in first, "it was asked"
    assert second["answer"]
    after = everything(pics)
    assert {one: after[one] for one in before if one != "b.png"} == {
        one: before[one] for one in before if one != "b.png"
    }


@pytest.mark.parametrize("more", [["--sidecar", "txt"], ["--sidecar", "xmp"]])
@pytest.mark.parametrize("existing", ["replace", "append", "prepend"])
def test_a_link_out_of_the_folder_is_not_written_through(pics, more, existing):
    kind = more[-1]
    outside = pics.parent / f"mine.{kind}"
    outside.write_bytes(b"mine\n" if kind == "txt" else xmp.described(None, "mine", "a"))
    (pics / f"a.{kind}").symlink_to(outside)
    (pics / f"b.{kind}").symlink_to(f"../gone.{kind}")
    before = everything(pics.parent)
    done = captioned(pics, *more, "--existing", existing)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"pics/a.{kind}: a link that leads out of pics, so no text can be written there" in done.stderr
    assert f"pics/b.{kind}: a broken link to ../gone.{kind}" in done.stderr
    assert everything(pics.parent) == before


def test_a_text_that_a_link_leads_to_is_a_text_and_is_left_alone(pics):
    (pics.parent / "mine.txt").write_text("mine\n", "utf-8")
    (pics / "a.txt").symlink_to("../mine.txt")
    done = captioned(pics, "--sidecar", "txt")
    assert (done.returncode, done.stdout) == (0, f"pics/b.png\t{ANSWER}")
    assert (pics.parent / "mine.txt").read_text("utf-8") == "mine\n"


def test_a_link_within_the_folder_is_written_through_and_stays(pics):
    (pics / "texts").mkdir()
    (pics / "texts" / "1.txt").write_text("old\n", "utf-8")
    (pics / "a.txt").symlink_to("texts/1.txt")
    assert captioned(pics, "--sidecar", "txt", "--existing", "append").returncode == 0
    assert (pics / "texts" / "1.txt").read_text("utf-8") == f"old\n{ANSWER}"
    assert (pics / "a.txt").is_symlink()


@pytest.mark.parametrize("more", [["--sidecar", "txt"], ["--sidecar", "xmp"], ["--write-metadata"]])
def test_nothing_is_written_in_a_folder_that_a_link_leads_to_unless_it_is_named(pics, more):
    other = pics.parent / "other"
    other.mkdir()
    shutil.copy(SCENE, other / "c.png")
    (pics / "in").symlink_to("../other")
    before = everything(other)
    (other / ".vlm-0123456789abcdef.part").write_bytes(b"not of this run's folder")
    for named in ("pics", "pics/**/*.png", "pics/*"):
        done = captioned(pics, *more, "--existing", "replace", named=named)
        if named != "pics/*":
            assert done.returncode == 3
            assert "in/c.png: a link leads out of pics, and vlm does not write there" in done.stderr
        assert everything(other).keys() - before.keys() == {".vlm-0123456789abcdef.part"}
        assert everything(other)["c.png"] == before["c.png"]
    for named in ("pics/in", "pics/in/c.png"):
        assert captioned(pics, *more, "--existing", "replace", named=named).returncode == 0
    assert everything(other) != before


def test_what_is_put_in_a_texts_place_while_the_model_is_asked_stays(pics, monkeypatch):
    """The last look is right before the move."""
    move = Path.replace
    made = []

    def swapped(part, path):
        if path.name == "a.txt" and not made:
            made.append(path)
        return move(part, path)

    check = atomic._check_place
    looks = []

    def look(path):
        looks.append(path.name)
        if path.name == "a.txt" and looks.count("a.txt") == 2:
            os.mkfifo(path)
        check(path)

    monkeypatch.setattr(atomic, "_check_place", look)
    monkeypatch.setattr(Path, "replace", swapped)
    done = captioned(pics, "--sidecar", "txt")
    assert (done.returncode, "pics/a.txt: cannot be written (a pipe)" in done.stderr) == (3, True)
    assert (pics / "a.txt").is_fifo()
    assert sorted(path.name for path in pics.iterdir()) == ["a.png", "a.txt", "b.png", "b.txt"]
    assert not made


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "lost", "folder"])
def test_in_place_a_backup_that_is_no_file_is_an_error_and_stays(pics, kind):
    SPECIAL[kind][1](pics / ".a.png.vlm-backup")
    before = everything(pics)
    done = captioned(pics, "--write-metadata", "--in-place")
    assert done.returncode == 3
    assert "its backup .a.png.vlm-backup cannot be made: " in done.stderr
    after = everything(pics)
    assert {one: after[one] for one in before if one != "b.png"} == {
        one: before[one] for one in before if one != "b.png"
    }


def test_a_backup_is_not_put_back_through_a_link(pics):
    """Whoever packs a folder may put a backup into it, and a link to a file of the user's."""
    mine = pics.parent / "mine"
    mine.write_bytes(b"mine")
    (pics / ".c.png.vlm-backup").write_bytes(b"planted")
    (pics / "c.png").symlink_to(mine)
    captioned(pics, "--write-metadata")
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("planted", [b"", b"text", bytes(5000), b"\xff\xd8\xff"])
def test_a_backup_that_is_no_picture_is_not_put_back(pics, planted):
    (pics / ".a.png.vlm-backup").write_bytes(planted)
    was = (pics / "a.png").read_bytes()
    for more in ([], ["--in-place"]):
        done = captioned(pics, "--write-metadata", *more)
        assert (done.returncode, "was not made by vlm" in done.stderr) == (3, True)
        assert (pics / "a.png").read_bytes() == was


def test_what_a_killed_run_left_is_removed_by_a_run_that_writes_nothing(pics):
    for name in "ab":
        (pics / f"{name}.txt").write_text("by hand\n", "utf-8")
    left, held = pics / ".vlm-0123456789abcdef.part", pics / ".vlm-0123456789abcde0.part"
    for part in (left, held):
        part.write_bytes(b"half")
    with held.open("rb") as file:
        assert atomic.lock(file)
        assert captioned(pics, "--sidecar", "txt", "--dry-run").returncode == 0
        assert left.exists()
        done = captioned(pics, "--sidecar", "txt")
    assert (done.returncode, done.stdout) == (0, "")
    assert (left.exists(), held.exists()) == (False, True)


def test_what_another_users_process_left_stays(pics):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root gives files away")
    part = pics / ".vlm-0123456789abcdef.part"
    part.write_bytes(b"half")
    os.chown(part, 12345, 12345)
    assert captioned(pics, "--sidecar", "txt").returncode == 0
    assert part.exists()


def test_a_pipe_in_a_texts_place_is_not_read_even_where_somebody_writes_to_it(pics):
    os.mkfifo(pics / "a.txt")

    def write():
        with (pics / "a.txt").open("r+b", buffering=0) as held:
            held.write(b"from the pipe")
            stop.wait(30)

    stop = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = captioned(pics, "--sidecar", "txt", "--existing", "append")
    finally:
        stop.set()
        writer.join()
    assert (done.returncode, "from the pipe" in done.stdout) == (3, False)
    assert files.what(pics / "a.txt") == "a pipe"
