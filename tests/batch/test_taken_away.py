"""What a run writes to is removed, moved, replaced or shortened by somebody else meanwhile."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from tests.support import faulty
from tests.support.folders import drawn, lines, vlm
from tests.support.program import VLM
from vlmcli.errors import VlmError
from vlmcli.terminal.streams import OutputFile

COUNT = 24


def disturbed(folder, mischief, *words, watched="out/o.jsonl", stdout=subprocess.DEVNULL):
    """Run a command, and do something to what it writes after a few records, while it stands still.

    Returns its exit code and stderr.
    """
    running = subprocess.Popen(
        [VLM, "caption", "-m", "demo", "pics", *words], cwd=folder, env=faulty.environment(), stdout=stdout,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    path, ends = folder / watched, time.monotonic() + 60
    while not (path.exists() and path.read_bytes().count(b"\n") >= 5):
        assert running.poll() is None and time.monotonic() < ends, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGSTOP)
    mischief()
    running.send_signal(signal.SIGCONT)
    said = running.communicate(timeout=120)[1]
    assert "Traceback" not in said
    return running.returncode, said


@pytest.fixture
def pics(tmp_path):
    drawn(tmp_path, COUNT)
    (tmp_path / "out").mkdir()
    return tmp_path


def records(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def editor(path):
    """Save as many editors do: a new file in the place of the old one."""
    (path.parent / ".swap").write_text(path.read_text("utf-8"), "utf-8")
    (path.parent / ".swap").replace(path)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def link(path):
    path.unlink()
    (path.parent / "other").write_text("mine\n")
    path.symlink_to("other")


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("mischief", "says", "saved"),
    [
        (lambda path: path.unlink(), "removed while it was being written", "out/o.rescued.jsonl"),
        (lambda path: shutil.rmtree(path.parent), "removed while it was being written", "o.rescued.jsonl"),
        (editor, "replaced by another file", "out/o.rescued.jsonl"),
        (pipe, "replaced by another file", "out/o.rescued.jsonl"),
        (link, "replaced by another file", "out/o.rescued.jsonl"),
    ],
    ids=["removed", "its folder removed", "an editor", "a pipe", "a link"],
)
def test_records_that_would_be_lost_are_saved(pics, mischief, says, saved):
    code, said = disturbed(pics, lambda: mischief(pics / "out" / "o.jsonl"), "--output", "out/o.jsonl")
    kept = records(pics / saved)
    assert code == 1
    assert "answered" not in said
    assert f"{pics}/out/o.jsonl: {says}" in said
    assert f"its records ({len(kept)}) are saved in {pics / saved}" in said
    assert 5 <= len(kept) < COUNT


def test_what_was_saved_is_gone_on_with(pics):
    disturbed(pics, lambda: shutil.rmtree(pics / "out"), "--output", "out/o.jsonl")
    saved = pics / "o.rescued.jsonl"
    count = len(records(saved))
    (pics / "out").mkdir()
    saved.rename(pics / "out" / "o.jsonl")
    done = vlm(pics, "caption", "-m", "demo", "pics", "--output", "out/o.jsonl")
    assert (done.returncode, f"{count} were done before" in done.stderr) == (0, True)
    assert len({one["sources"][0] for one in lines(pics, "out/o.jsonl")}) == COUNT


def moved_folder(path):
    path.parent.rename(path.parent.with_name("elsewhere"))
    return path.parent.with_name("elsewhere") / path.name


def rotated(path):
    """As logrotate does: moved, and a new one made."""
    path.rename(path.with_suffix(".jsonl.1"))
    path.touch()
    return path.with_suffix(".jsonl.1")


@pytest.mark.sample(2)
@pytest.mark.parametrize("mischief", [lambda path: path.rename(path.with_name("b")), moved_folder, rotated])
def test_records_that_were_moved_are_named(pics, mischief):
    places = []
    code, said = disturbed(pics, lambda: places.append(mischief(pics / "out" / "o.jsonl")), "--output", "out/o.jsonl")
    kept = records(places[0])
    assert code == 1
    assert f"o.jsonl: moved to {places[0]} while it was being written; its records ({len(kept)}) are there" in said
    assert not list(pics.rglob("*rescued*"))


def test_a_link_that_leads_to_the_file_is_as_good_as_its_name(pics):
    def move_and_link():
        (pics / "out" / "o.jsonl").rename(pics / "real")
        (pics / "out" / "o.jsonl").symlink_to(pics / "real")

    code, said = disturbed(pics, move_and_link, "--output", "out/o.jsonl")
    assert (code, len(records(pics / "real"))) == (0, COUNT), said


@pytest.mark.parametrize("size", [0, 700])
def test_a_file_that_was_shortened_says_how_much_is_left(pics, size):
    code, said = disturbed(pics, lambda: os.truncate(pics / "out" / "o.jsonl", size), "--output", "out/o.jsonl")
    left = (pics / "out" / "o.jsonl").read_bytes()
    assert (code, len(left)) == (1, size)
    assert "o.jsonl: shortened by another program while it was being written; " in said
    whole = left.count(b"\n")
    assert re.search(rf"; {whole} of its \d+ records are left$", said, re.MULTILINE)
    again = vlm(pics, "caption", "-m", "demo", "pics", "--output", "out/o.jsonl")
    assert (again.returncode, len(lines(pics, "out/o.jsonl"))) == (0, COUNT)


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_file_that_stdout_goes_to_is_saved_when_it_is_removed(pics, mode):
    """With a journal, too, which would say that all is done."""
    with (pics / "out" / "all.csv").open(mode) as file:
        code, said = disturbed(
            pics, (pics / "out" / "all.csv").unlink, "--format", "csv", "--journal", "j.jsonl", stdout=file,
            watched="out/all.csv",
        )  # fmt: skip
    assert (code, "answered" in said) == (1, False)
    assert f"all.csv: removed while it was being written; its contents are saved in {pics}" in said
    kept = (pics / "out" / "all.rescued.csv").read_text("utf-8").splitlines()
    assert len(kept) == 1 + len(lines(pics, "j.jsonl"))


def test_a_file_that_stdout_goes_to_and_that_is_shortened_is_an_error(pics):
    with (pics / "out" / "all.txt").open("w") as file:
        code, said = disturbed(
            pics, lambda: os.truncate(pics / "out" / "all.txt", 3), stdout=file, watched="out/all.txt"
        )
    assert (code, "all.txt: shortened by another program" in said) == (1, True)


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_a_file_that_is_shortened_just_behind_a_write_is_an_error(tmp_path, monkeypatch, flags):
    """However soon it happens: the size that a file must have is not asked of the file."""
    file = os.open(tmp_path / "all.txt", os.O_RDWR | os.O_CREAT | flags)
    write = os.write

    def soon(number, data):
        count = write(number, data)
        if number == file:
            os.truncate(tmp_path / "all.txt", 3)
        return count

    output = OutputFile(file)
    output.write(b"a first line\n")
    monkeypatch.setattr(os, "write", soon)
    output.write(b"a second line\n")
    monkeypatch.undo()
    with pytest.raises(VlmError, match=r"all\.txt: shortened by another program"):
        output.check()
    os.close(file)


def test_a_file_that_is_written_over_from_its_start_is_no_error(tmp_path):
    file = os.open(tmp_path / "all.txt", os.O_RDWR | os.O_CREAT)
    os.write(file, b"what was there before, and is longer\n")
    os.lseek(file, 0, os.SEEK_SET)
    output = OutputFile(file)
    for _ in range(4):
        output.write(b"a line of ours\n")
        output.check()
    os.close(file)


def test_a_temporary_file_that_never_had_a_name_and_one_that_is_moved_are_good_enough(pics):
    with tempfile.TemporaryFile() as file:
        subprocess.run([VLM, "caption", "-m", "demo", "pics"], cwd=pics, stdout=file, stderr=-3, check=True)
        file.seek(0)
        assert len(file.readlines()) == COUNT
    with (pics / "out" / "all.txt").open("w") as file:
        code, said = disturbed(
            pics, lambda: (pics / "out" / "all.txt").rename(pics / "b.txt"), stdout=file, watched="out/all.txt"
        )
    assert (code, len((pics / "b.txt").read_text("utf-8").splitlines())) == (0, COUNT), said


def test_where_no_folder_is_left_records_are_saved_in_the_state_folder(pics):
    """The disk is taken away from under its folder."""
    disk = pics / "out"
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    state, places = pics / "state", []

    def take_away():
        places.append(subprocess.run(["umount", "-l", disk], check=False).returncode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state))
        code, said = disturbed(pics, take_away, "--output", "out/o.jsonl")
    assert (code, places) == (1, [0])
    kept = state / "vlm" / "o.rescued.jsonl"
    assert f"are saved in {kept}" in said
    assert len(records(kept)) >= 5


def test_sidecars_whose_folder_is_gone_are_errors_of_their_pictures(pics):
    drawn(pics / "out", 3)
    (pics / "out" / "pics").rename(pics / "pics" / "zz")

    def remove():
        shutil.rmtree(pics / "pics" / "zz")

    code, said = disturbed(pics, remove, "--sidecar", "txt", "--output", "out/o.jsonl")
    found = records(pics / "out" / "o.jsonl")
    gone = [one for one in found if "/zz/" in one["sources"][0]]
    assert (code, len(found), len(gone)) == (3, COUNT + 3, 3), said
    assert all("error" in one for one in gone)
