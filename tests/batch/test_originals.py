"""Pictures' own files that are written into: what belongs to them stays, and a kill at any moment loses nothing."""

import os
import shutil
import struct
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.folders import QUESTION, SCENE, vlm
from vlmcli.batch import originals
from vlmcli.pictures import embedded, xmp

WRITE = ("ask", "-m", "demo", "-q", QUESTION, "--write-metadata")
ANSWER = "A red circle and a blue square."
LONG_AGO = 1_000_000_000
PACKET = xmp.described(None, "A cat.", "a")

_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from vlmcli import atomic
from vlmcli.batch import originals
root, in_place, packet = Path(sys.argv[1]), sys.argv[2] == "in", Path(sys.argv[3]).read_bytes()
ours = {originals.__file__, atomic.__file__}
def line(frame, event, _):
    global left
    if frame.f_code.co_filename not in ours:
        return None
    left -= event == "line"
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return line
for number in range(1000):
    left, path = number, root / str(number) / "a.png"
    path.parent.mkdir()
    shutil.copy2(root / "a.png", path)
    pid = os.fork()
    if not pid:
        sys.settrace(line)
        originals.change(path, path.name, path.read_bytes(), packet, touch=False, in_place=in_place)
        os._exit(0)
    if not os.waitpid(pid, 0)[1]:
        break
"""
"""Changes a file in folder after folder, each time killed a line of the code later, until that is done."""


def described(path):
    return xmp.description(embedded.packet_of(path.read_bytes(), path.name) or xmp.described(None, "", "a"), "a")


def pixels(path):
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


@pytest.fixture
def picture(tmp_path):
    """A picture, alone in a folder, of long ago."""
    folder = tmp_path / "pics"
    folder.mkdir()
    path = folder / "a.png"
    shutil.copy(SCENE, path)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def with_attribute(path, name="user.tag", value=b"holiday"):
    if not hasattr(os, "setxattr"):
        pytest.skip("this platform has no os.setxattr")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no {name} on this file system ({error.strerror})")


def acl(*users):
    """The access control list that gives users and groups bits; as Linux stores it (posix_acl_xattr.h)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in users)


@pytest.mark.parametrize("more", [[], ["--in-place"]])
def test_what_belongs_to_a_file_stays(picture, more):
    with_attribute(picture)
    with_attribute(picture, "user.xdg.tags", b"a,b\0\xff")
    picture.chmod(0o604)
    done = vlm(picture.parent, *WRITE, "a.png", *more)
    assert (done.returncode, "changed 1 file\n" in done.stderr) == (0, True)
    assert described(picture) == ANSWER
    there = picture.stat()
    assert (there.st_mtime, there.st_mode & 0o7777) == (LONG_AGO, 0o604)
    assert {name: os.getxattr(picture, name) for name in os.listxattr(picture) if name.startswith("user.")} == {
        "user.tag": b"holiday",
        "user.xdg.tags": b"a,b\0\xff",
    }
    assert [one.name for one in picture.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("more", [[], ["--in-place"]])
def test_touch_gives_the_time_of_now(picture, more):
    began = time.time() - 3
    assert vlm(picture.parent, *WRITE, "a.png", "--touch", *more).returncode == 0
    assert picture.stat().st_mtime >= began


def test_an_access_control_list_stays_and_one_that_new_files_get_is_not_added(picture):
    mine, every = 0xFFFFFFFF, 6
    listed = acl((1, every, mine), (2, 4, 12345), (4, 4, mine), (16, 4, mine), (32, 0, mine))
    with_attribute(picture, "system.posix_acl_access", listed)
    other = picture.with_name("b.png")
    shutil.copy(SCENE, other)
    was = other.stat().st_mode
    with_attribute(picture.parent, "system.posix_acl_default", listed)
    done = vlm(picture.parent, *WRITE, "--each", "a.png", "b.png")
    assert (done.returncode, "changed 2 files\n" in done.stderr) == (0, True)
    assert os.getxattr(picture, "system.posix_acl_access") == listed
    assert (os.listxattr(other), other.stat().st_mode) == ([], was)


def test_an_owner_stays_and_one_that_cannot_be_given_is_an_error(picture):
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can give a file to another user, and setpriv takes that right away")
    os.chown(picture, 12345, 54321)
    picture.chmod(0o666)
    was = picture.read_bytes()
    command = [sys.executable, "-m", "vlmcli", *WRITE, "a.png"]
    run = {"cwd": picture.parent, "capture_output": True, "text": True, "check": False, "timeout": 120}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["setpriv", "--bounding-set", "-chown", *command], env=environment, **run)
    assert done.returncode == 1
    assert "a.png: belongs to user 12345, group 54321; a new file in its place would not" in done.stderr
    assert "--in-place changes the file itself" in done.stderr
    assert picture.read_bytes() == was
    assert subprocess.run(command, env=environment, **run).returncode == 0
    assert (picture.stat().st_uid, picture.stat().st_gid, described(picture)) == (12345, 54321, ANSWER)
    assert [one.name for one in picture.parent.iterdir()] == ["a.png"]


def test_an_attribute_that_cannot_be_set_is_an_error_before_anything_is_replaced(picture, monkeypatch):
    """As on a disk whose room for attributes is full: chance, so it is acted."""
    with_attribute(picture)
    was, inode = picture.read_bytes(), picture.stat().st_ino

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "setxattr", full)
    done = vlm(picture.parent, *WRITE, "a.png")
    assert done.returncode == 1
    assert "a.png: a new file cannot keep its extended attribute user.tag (No space left on device)" in done.stderr
    assert (picture.read_bytes(), picture.stat().st_ino) == (was, inode)
    assert [one.name for one in picture.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("where", ["twin.png", "../twin.png"])
def test_hard_links_are_not_split(picture, where):
    twin = picture.parent / where
    os.link(picture, twin)
    was = picture.read_bytes()
    done = vlm(picture.parent, *WRITE, "a.png")
    assert done.returncode == 1
    assert "a.png: has 2 hard links, which a new file in its place would break" in done.stderr
    assert "--in-place changes the file itself" in done.stderr
    assert (picture.read_bytes(), picture.stat().st_mtime) == (was, LONG_AGO)
    done = vlm(picture.parent, *WRITE, "a.png", "--in-place")
    assert done.returncode == 0
    assert picture.samefile(twin)
    assert (described(twin), twin.stat().st_mtime) == (ANSWER, LONG_AGO)


@pytest.mark.parametrize("more", [[], ["--in-place"]])
def test_a_link_to_a_picture_stays_a_link(picture, more):
    link = picture.with_name("link.png")
    link.symlink_to("a.png")
    assert vlm(picture.parent, *WRITE, "link.png", *more).returncode == 0
    assert link.is_symlink()
    assert (described(picture), picture.stat().st_mtime) == (ANSWER, LONG_AGO)


@pytest.mark.parametrize("option", ["--touch", "--in-place"])
def test_options_of_pictures_own_files_need_them(picture, option):
    done = vlm(picture.parent, "caption", "-m", "demo", "a.png", option)
    assert (done.returncode, f"{option} does nothing without --write-metadata" in done.stderr) == (2, True)


def test_its_size_changes_where_its_time_does_not(picture):
    """What copies by size and time, rsync and backups, would else miss it."""
    for existing in ("skip", "replace"):
        before = picture.stat().st_size
        packet = xmp.described(None, "A cat." if existing == "skip" else "A dog.", "a")
        assert originals.change(picture, "a", picture.read_bytes(), packet, touch=False, in_place=False)
        assert picture.stat().st_size != before
    assert described(picture) == "A dog."
    assert not originals.change(
        picture, "a", picture.read_bytes(), embedded.packet_of(picture.read_bytes(), "a"), touch=False, in_place=False
    )


# --- a kill, a full disk ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork a process, which this test does to kill it")
@pytest.mark.parametrize("how", ["in", "anew"])
def test_a_kill_at_any_line_loses_nothing_and_leaves_nothing_for_longer_than_the_next_run(picture, how):
    root = picture.parent
    (root.parent / "packet").write_bytes(PACKET)
    command = [sys.executable, "-c", _KILLED, *map(str, (root, how, root.parent / "packet"))]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, env=os.environ | {"PYTHONPATH": str(ROOT)})
    old, new = picture.read_bytes(), embedded.with_packet(picture.read_bytes(), PACKET, "a")
    folders = [one for one in root.iterdir() if one.is_dir()]
    left = [one for one in folders if len(list(one.iterdir())) > 1]
    assert len(folders) > 40
    assert len(left) > 5
    halves = 0
    for folder in folders:
        half = (folder / "a.png").read_bytes() not in (old, new)
        halves += half
        said = [what for _, what in originals.restore(folder)]
        assert all(isinstance(what, str) for what in said)
        assert said or not half
        assert [one.name for one in folder.iterdir()] == ["a.png"]
        assert (folder / "a.png").read_bytes() in (old, new)
    assert bool(halves) == (how == "in")


@pytest.mark.parametrize("cut", [0, 101, 1000, "new", "old"])
def test_a_half_written_picture_is_restored_by_the_next_run_which_says_so(picture, cut):
    old = picture.read_bytes()
    new = embedded.with_packet(old, PACKET, "a")
    backup = picture.with_name(".a.png.vlm-backup")
    backup.write_bytes(old)
    os.utime(backup, (LONG_AGO, LONG_AGO))
    cut = {"new": len(new) - 1, "old": len(old)}.get(cut, cut)
    picture.write_bytes(new[:cut] + (old[cut:] if cut % 2 else b""))
    part = picture.with_name(".vlm-0123456789abcdef.part")
    part.write_bytes(b"left")
    done = vlm(picture.parent, *WRITE, ".")
    assert done.returncode == 0
    assert "a.png: restored from its backup: the last run was killed while writing\n" in done.stderr
    assert (described(picture), picture.stat().st_mtime) == (ANSWER, LONG_AGO)
    picture.write_bytes(embedded.with_packet(picture.read_bytes(), xmp.described(None, "", "a"), "a"))
    assert pixels(picture) == pixels(SCENE)
    assert [one.name for one in picture.parent.iterdir()] == ["a.png"]


def test_a_picture_that_somebody_has_changed_since_is_not_overwritten_with_its_backup(picture):
    old = picture.read_bytes()
    backup = picture.with_name(".a.png.vlm-backup")
    backup.write_bytes(embedded.with_packet(old, PACKET, "a"))
    os.utime(picture, (time.time() + 3600, time.time() + 3600))
    for more in ([], ["--in-place"]):
        done = vlm(picture.parent, *WRITE, "a.png", *more)
        assert done.returncode == 1
        assert "a.png: has changed since its backup .a.png.vlm-backup was made" in done.stderr
        assert (picture.read_bytes(), backup.exists()) == (old, True)
    picture.unlink()
    shutil.copy(SCENE, picture.with_name("b.png"))
    assert vlm(picture.parent, *WRITE, "b.png").returncode == 0
    assert backup.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_what_has_a_backups_name_and_is_none_is_left_alone(picture):
    was = picture.read_bytes()
    fake = picture.with_name(".a.png.vlm-backup")
    os.mkfifo(fake)
    assert vlm(picture.parent, *WRITE, "a.png").returncode == 0
    assert fake.is_fifo()
    picture.write_bytes(was)
    fake.unlink()
    fake.symlink_to(SCENE.with_name("none"))
    assert vlm(picture.parent, *WRITE, "a.png").returncode == 0
    assert fake.is_symlink()
    picture.write_bytes(was)
    if os.geteuid() == 0:
        fake.unlink()
        fake.write_bytes(b"planted")
        os.chown(fake, 12345, 12345)
        done = vlm(picture.parent, *WRITE, "a.png")
        assert (done.returncode, "its backup .a.png.vlm-backup belongs to another user" in done.stderr) == (1, True)
        assert picture.read_bytes() == was


def test_a_dry_run_restores_nothing(picture):
    backup = picture.with_name(".a.png.vlm-backup")
    backup.write_bytes(picture.read_bytes())
    assert vlm(picture.parent, *WRITE, "a.png", "--dry-run").returncode == 0
    assert backup.exists()


@pytest.mark.parametrize("how", ["in", "anew"])
def test_a_full_disk_leaves_a_picture_as_it_was(picture, how):
    resource = pytest.importorskip("resource")
    was = picture.read_bytes()
    room = len(was) + 10  # for a copy, and not for what has a packet, too
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    words = [sys.executable, "-m", "vlmcli", *WRITE, "a.png", *(["--in-place"] if how == "in" else [])]
    done = subprocess.run(
        words, cwd=picture.parent, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "a.png: cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert (picture.read_bytes(), picture.stat().st_mtime) == (was, LONG_AGO)
    assert [one.name for one in picture.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("more", [[], ["--in-place"]])
def test_a_folder_that_is_read_only_is_an_error_of_its_picture(picture, more):
    if not hasattr(os, "geteuid") or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("root may write everything, and setpriv is not here")
    as_others = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    was = picture.read_bytes()
    picture.parent.chmod(0o555)
    try:
        done = subprocess.run(
            [*as_others, sys.executable, "-m", "vlmcli", *WRITE, "a.png", *more], cwd=picture.parent,
            capture_output=True, text=True, check=False, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    finally:
        picture.parent.chmod(0o755)
    assert (done.returncode, "a.png: cannot be written (Permission denied)" in done.stderr) == (1, True)
    assert (picture.read_bytes(), [one.name for one in picture.parent.iterdir()]) == (was, ["a.png"])


@pytest.mark.parametrize("more", [[], ["--in-place"]])
def test_two_runs_at_once_leave_a_whole_picture(picture, more):
    command = [sys.executable, "-m", "vlmcli", *WRITE, "a.png", "--existing", "append", *more]
    run = {"cwd": picture.parent, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True, **run) for _ in range(2)]
    said = [one.communicate(timeout=120)[1] for one in both]
    codes = [one.returncode for one in both]
    assert 0 in codes
    assert all(
        code == 0 or "changed while the question was being answered" in text
        for code, text in zip(codes, said, strict=True)
    )
    assert described(picture) == "\n".join([ANSWER] * codes.count(0))
    assert pixels(picture) == pixels(SCENE)
    assert [one.name for one in picture.parent.iterdir()] == ["a.png"]


# --- answers that say nothing ---


@pytest.mark.parametrize("words", [["--write-metadata"], ["--sidecar", "txt"], ["--sidecar", "xmp", "--keywords"]])
def test_an_answer_that_the_model_does_not_know_is_not_written(picture, words):
    shutil.copy(SCENE, picture.with_name("b.png"))
    was = {one.name: one.read_bytes() for one in picture.parent.iterdir()}
    command = ("ask", "-m", "demo", ".", "-q", "who painted it, and when?", *words)
    for more in ([], ["--journal", "../run.jsonl"], ["--journal", "../run.jsonl"]):
        done = vlm(picture.parent, *command, *more)
        assert done.returncode == 0
        assert {one.name: one.read_bytes() for one in picture.parent.iterdir()} == was
        if done.stdout:
            assert "2 answers were not written: the model does not know\n" in done.stderr
    done = vlm(picture.parent, *command[:3], "a.png", *command[4:])
    assert "1 answer was not written: the model does not know\n" in done.stderr
