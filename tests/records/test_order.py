"""The order of a journal's records is restored: whole or not at all, and the run that did it goes on."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest

from tests.support import ROOT, disks
from tests.support.folders import drawn, lines, vlm
from vlmcli import atomic, demo
from vlmcli.batch.course import Course, jobs_of
from vlmcli.batch.memory import Memory, Works
from vlmcli.errors import UsageError, VlmError
from vlmcli.pictures.sources import find
from vlmcli.records.journal import Journal
from vlmcli.records.target import target_of
from vlmcli.tasks.ask import Ask
from vlmcli.values import Result


def work(number):
    return f"{number % 3:016x}{number:016x}"  # many begin alike


def record(number, turn=0):
    """The turn-th record of a piece of work, of a length that is its own."""
    value = {
        "v": 1,
        "sources": [f"{number}.png"],
        "question": "?",
        "model": "demo",
        "answer": f"{turn}" * (number % 40),
    }
    value |= {"work": work(number), "sha256": [f"{number:064x}"], "bytes": [number], "modified": [turn]}
    return json.dumps(value) + "\n"


def works(text):
    return [int(json.loads(line)["work"][16:], 16) for line in text.splitlines()]


@pytest.fixture
def mixed(tmp_path):
    """Records of works 0 to 299 as they came, some twice, among 100 of another command. Returns the file."""
    order = [(number, 0) for number in range(400)] + [(number, 1) for number in range(50)]
    random.Random(4).shuffle(order)
    turns = {}
    for number, _ in order:
        turns[number] = turns.get(number, -1) + 1
    counted, seen = [], {}
    for number, _ in order:
        seen[number] = seen.get(number, -1) + 1
        counted.append(record(number, seen[number]))
    (tmp_path / "run.jsonl").write_text("".join(counted), "utf-8")
    return tmp_path / "run.jsonl"


WANTED = [*range(299, -1, -1), 7, 1000]
"""The order of the command: one is named twice, one has no record."""


def restored(text):
    """What is expected of the order: a plain sort."""
    rank = {number: place for place, number in enumerate(range(299, -1, -1))}
    return "".join(sorted(text.splitlines(keepends=True), key=lambda line: rank.get(works(line)[0], -1)))


def test_records_come_in_the_order_of_their_works_and_those_of_others_first(mixed):
    mixed.chmod(0o640)
    before = mixed.read_text("utf-8")
    with Journal(mixed) as journal:
        last = record(299, turn=2)
        journal.write(last.rstrip("\n"))
        assert journal.restore_order(map(work, WANTED)) is True
        text = mixed.read_text("utf-8")
        assert text == restored(before + last)
        assert works(text)[:150] != sorted(works(text)[:150]), "those of others stay as they came"
        assert stat.S_IMODE(mixed.stat().st_mode) == 0o640
        assert len(journal) == 451
        assert (journal.record(work(299))["modified"], journal.record(work(350))["sources"]) == ([2], ["350.png"])
        assert journal.known("5.png") == {(5, turn): f"{5:064x}" for turn in range(2)}
        assert len(list(journal.records())) == 400
        there = mixed.stat().st_ino
        assert journal.restore_order(map(work, WANTED)) is False
        assert mixed.stat().st_ino == there, "what is in order is not written again"
        journal.write(record(1000).rstrip("\n"))
        assert mixed.read_text("utf-8") == text + record(1000)
        assert [one["sources"] for one in journal.records()][-1] == ["1000.png"]
        with pytest.raises(UsageError, match="another run is writing it"):
            Journal(mixed)
    with Journal(mixed) as journal:
        assert len(journal) == 452
    assert list(mixed.parent.iterdir()) == [mixed]


def test_a_link_leads_to_the_same_file_as_before(mixed, tmp_path_factory):
    link = tmp_path_factory.mktemp("other") / "link.jsonl"
    link.symlink_to(mixed)
    before = mixed.read_text("utf-8")
    with Journal(target_of(str(link), ())) as journal:
        assert journal.restore_order(map(work, WANTED))
    assert link.is_symlink()
    assert link.read_text("utf-8") == mixed.read_text("utf-8") == restored(before)


def test_attributes_of_the_file_stay(mixed):
    try:
        os.setxattr(mixed, "user.tag", b"keep")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    with Journal(mixed) as journal:
        assert journal.restore_order(map(work, WANTED))
    assert os.getxattr(mixed, "user.tag") == b"keep"


def test_where_there_is_no_room_the_file_stays_and_is_gone_on_with(mixed):
    before = mixed.read_text("utf-8")
    with Journal(mixed) as journal:
        with (
            disks.full(len(before) - 100),
            pytest.raises(VlmError, match="stay in the order in which") as said,
        ):
            journal.restore_order(map(work, WANTED))
        assert "\n" not in said.value.message
        assert mixed.read_text("utf-8") == before
        assert list(mixed.parent.iterdir()) == [mixed]
        journal.write(record(1000).rstrip("\n"))
        assert mixed.read_text("utf-8") == before + record(1000)
        assert journal.restore_order(map(work, WANTED)), "when there is room again"


def test_a_file_with_two_names_stays_as_it_is(mixed):
    os.link(mixed, mixed.parent / "other.jsonl")
    before = mixed.read_text("utf-8")
    with Journal(mixed) as journal, pytest.raises(VlmError, match=r"the file has another name"):
        journal.restore_order(map(work, WANTED))
    assert mixed.read_text("utf-8") == (mixed.parent / "other.jsonl").read_text("utf-8") == before


def test_a_file_that_somebody_has_put_in_its_place_stays_there(mixed):
    with Journal(mixed) as journal:
        (mixed.parent / "new").write_text("somebody's\n")
        (mixed.parent / "new").replace(mixed)
        with pytest.raises(VlmError, match="replaced by another file"):
            journal.restore_order(map(work, WANTED))
    assert mixed.read_text() == "somebody's\n"


RESTORE = """
import sys
from pathlib import Path
from vlmcli.records.journal import Journal
count = int(sys.argv[2])
with Journal(Path(sys.argv[1])) as journal:
    print("open", flush=True)
    journal.restore_order(f"{number % 3:016x}{number:016x}" for number in range(count))
"""


def test_killed_in_the_middle_the_old_file_is_whole(tmp_path):
    count, file = 30_000, tmp_path / "run.jsonl"
    numbers = list(range(count))
    random.Random(5).shuffle(numbers)
    old = "".join(map(record, numbers)).encode()
    new = "".join(map(record, range(count))).encode()
    kept = 0
    for _ in range(3):
        file.write_bytes(old)
        running = subprocess.Popen([sys.executable, "-c", RESTORE, file, str(count)], cwd=ROOT, stdout=subprocess.PIPE)
        running.stdout.readline()
        while not any(part.stat().st_size for part in tmp_path.glob(".vlm-*.part")) and running.poll() is None:
            time.sleep(0.0005)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        found = file.read_bytes()
        assert found in (old, new)
        kept += found == old
    assert kept, "all had ended before they were killed"
    atomic.sweep(tmp_path, again=True)
    assert list(tmp_path.iterdir()) == [file], "what was left is removed by the next run"
    with Journal(file) as journal:
        journal.restore_order(f"{number % 3:016x}{number:016x}" for number in range(count))
    assert file.read_bytes() == new


def test_a_run_that_is_gone_on_with_restores_the_order_of_its_command(tmp_path):
    """Records of the installed command, as they might have come; one is missing, and comes in this run."""
    names = drawn(tmp_path, 8)
    command = ("ask", "-m", "demo", "pics", "-q", "what is this?", "--output", "run.jsonl")
    assert vlm(tmp_path, *command).returncode == 0
    file = tmp_path / "run.jsonl"
    came = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(came[number] for number in (3, 0, 7, 1, 6, 2, 4)), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        jobs = jobs_of([(source,) for source in find(["pics"])], [Ask("what is this?")])
        with Memory.of(Course(output="run.jsonl"), demo.FILES, []) as memory:
            left = memory.left(jobs)
            assert [job.names for job in left] == [["pics/0005.png"]]
            missing = memory.work(left[0])
            works = Works(2)
            works[0] = missing.id
            assert (works[0], works[1]) == (missing.id, "")
            memory.write(missing, Result(("pics/0005.png",), "what is this?", "demo", error=VlmError("no", "no")))
            assert memory.restore_order(works)
            assert not memory.restore_order(works)
    assert [one["sources"][0] for one in lines(tmp_path, "run.jsonl")] == names
    assert vlm(tmp_path, *command).returncode == 3, "the same command finds all of them"
    assert len(lines(tmp_path, "run.jsonl")) == 8
