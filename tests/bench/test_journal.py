"""The benchmark of the journal on a small one, and the page of many pictures."""

import json
import re
import subprocess
import sys

import pytest

from tests.support import ROOT
from vlmcli.bench import journal, scale
from vlmcli.bench.scale import Costs
from vlmcli.records.journal import Journal


def output(module, *words):
    command = [sys.executable, "-m", f"vlmcli.bench.{module}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_step_is_timed_and_nothing_is_left(tmp_path):
    shown = output("journal", "--records", "10000", "--folder", str(tmp_path))
    assert re.match(r"10,000 records, \d MB, \d{3} bytes each\n", shown)
    rows = [line.rsplit(maxsplit=4) for line in shown.splitlines()[2:]]
    assert [row[0] for row in rows] == list(journal.STEPS)
    for _, seconds, busy, each, memory in rows:
        assert 0 < float(busy) < 60
        assert float(each) == pytest.approx(float(seconds) / 10_000 * 1e6, abs=6), "it is shown to a tenth of a second"
        assert 20 < int(memory) < 1000
    assert list(tmp_path.iterdir()) == []


def test_its_records_are_as_a_run_writes_them_out_of_order(tmp_path):
    size = journal.write(tmp_path, 2500)
    lines = (tmp_path / "run.jsonl").read_text("utf-8").splitlines()
    assert sum(len(line.encode()) + 1 for line in lines) == size
    records = [json.loads(line) for line in lines]
    numbers = [int(one["sources"][0][-12:-4]) for one in records]
    assert sorted(numbers) == list(range(2500)) != numbers
    assert [one["work"] for one in records] == [journal.work(number) for number in numbers]
    assert all(abs(at - number) < journal.SHUFFLED for at, number in enumerate(numbers))
    with Journal(tmp_path / "run.jsonl") as opened:
        assert opened.known(journal.name(7)) == {
            (500_007, 1_796_042_056_912_626_926): records[numbers.index(7)]["sha256"][0]
        }


def test_hours_and_reads_are_those_of_the_given_pace():
    shown = scale.about_nodes(1_000_000, [1.0, 10.0], 0.36, 2.0)
    assert "1 s" not in shown
    rows = [line.split() for line in shown.splitlines()[3:]]
    assert rows == [["1", "2.8", "100.0", "5.6", "5.6"], ["10", "27.8", "10.0", "5.6", "55.6"]]
    assert "2,000 GB to read" in shown


def test_what_the_journal_takes_is_in_proportion():
    shown = scale.about_journal(6_000_000, Costs(size=500, opening=1e-5, order=2e-5, table=1e-4), 1000)
    assert re.findall(r"[\d.]+ (?:GB|minutes)", shown) == ["3.0 GB", "1.0 minutes", "2.0 minutes", "10.0 minutes"]


def test_the_page_is_made_by_its_command():
    shown = output(
        "scale", "--pictures", "1000000", "--nodes", "1,4", "--seconds-per-picture", "0.5,2", "--records", "5000"
    )
    assert shown.startswith("journal of 1,000,000 records, on one processor, from 5,000 measured here\n")
    assert 0.5 < float(re.search(r"size +([\d.]+) GB", shown)[1]) < 1.5
    assert 0.3 < float(re.search(r"names and work +([\d.]+) GB", shown)[1]) < 1.2
    assert re.findall(r"^ +4 .*", shown, re.MULTILINE) == [
        "      4         8.0      34.7            1.0          4.0",
        "      4         2.0     138.9            0.2          1.0",
    ]
