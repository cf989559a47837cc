"""A file is written whole or not at all."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from vlmcli import atomic
from vlmcli.atomic import write
from vlmcli.errors import VlmError


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.txt"
    write(path, b"one")
    path.chmod(0o640)
    write(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("name", "says"), [("no/a.txt", "No such file"), ("a\0b", "not a valid file name")])
def test_one_that_cannot_be_written_is_named(tmp_path, name, says):
    with pytest.raises(VlmError, match=says):
        write(tmp_path / name, b"one")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_one_leaves_what_was_there(tmp_path, monkeypatch, error):
    path = tmp_path / "a.txt"
    write(path, b"one")

    def fails(_):
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(VlmError if isinstance(error, OSError) else KeyboardInterrupt):
        write(path, b"two")
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_no_file_is_not_replaced_and_what_a_link_leads_to_is_not_written(tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("mine")
    for name, what in (("pipe", "a pipe"), ("folder", "a folder")):
        with pytest.raises(VlmError, match=what):
            write(tmp_path / name, b"new")
    write(tmp_path / "link", b"new")
    assert (mine.read_bytes(), (tmp_path / "link").read_bytes()) == (b"mine", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert {one.name for one in tmp_path.iterdir()} == {"mine", "pipe", "folder", "link"}


def test_what_a_killed_process_left_is_removed_and_a_live_one_keeps_its_own(tmp_path):
    left, mine, other = (tmp_path / f".vlm-{letter * 16}.part" for letter in "abc")
    for one in (left, mine, other.with_suffix(".txt")):
        one.write_bytes(b"half")
    other.symlink_to("b.txt")
    with mine.open("rb") as file:
        assert atomic.lock(file)
        write(tmp_path / "b.txt", b"one")
        assert {one.name for one in tmp_path.iterdir()} == {mine.name, other.name, f".vlm-{'c' * 16}.txt", "b.txt"}
    assert (tmp_path / "b.txt").read_bytes() == b"one"


def test_a_process_that_is_killed_while_it_writes_leaves_what_the_next_removes(tmp_path):
    code = "import os, sys; os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
    code += "from pathlib import Path; from vlmcli.atomic import write; write(Path(sys.argv[1]), b'two')"
    path = tmp_path / "a.txt"
    path.write_bytes(b"one")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
        assert (done.returncode, path.read_bytes(), len(list(tmp_path.iterdir()))) == (-9, b"one", 2)
    write(path, b"three")
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
