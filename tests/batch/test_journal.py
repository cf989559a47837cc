"""A run that remembers: resumed, killed, interrupted; its file spoilt, full, or somebody else's."""

import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.support.fakes import ScriptedRunner
from tests.support.folders import QUESTION, SCENE, ask, drawn, lines, started, vlm
from tests.support.program import VLM
from vlmcli.demo import scenes


def test_the_same_command_again_does_the_rest(folder):
    done = ask(folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert "5 answered, 1 failed, in " in done.stderr
    found = lines(folder)
    assert [one["sources"] for one in found] == [[f"pics/{name}.png"] for name in "abcdef"]
    assert [one.get("answer") for one in found] == ["A red circle and a blue square."] * 3 + [None] + [
        "A red circle and a blue square."
    ] * 2
    assert found[3]["error"]["type"] == "SourceError"
    for one in found:
        assert one["bytes"] == [(folder / one["sources"][0]).stat().st_size]
        assert len(one["work"]) == 32
        assert len(one["sha256"][0]) == 64
        assert (one["revision"], one["projector"], one["quantisation"]) == ("", "mmproj-demo.gguf", "F16")
        assert set(one["versions"]) == {"vlm", "llama-cpp-python"}

    again = ask(folder)
    assert (again.returncode, lines(folder)) == (3, found)
    assert "nothing left to do; 5 were done before, 1 failed before (--retry-errors asks again)\n" in again.stderr

    shutil.copy(SCENE, folder / "pics" / "g.png")
    assert ask(folder).returncode == 3
    assert [one["sources"][0] for one in lines(folder)[6:]] == ["pics/g.png"]


def test_equal_pixels_are_asked_about_once(folder):
    """Six files, two pictures: the answers of the others are copies, times and all."""
    scenes.draw(scenes.make(random.Random(3), size=(192, 160))).save(folder / "pics" / "d.png")
    assert ask(folder, "-q", "is there a star?").returncode == 0
    found = lines(folder)
    assert len(found) == 12
    kinds = {}
    for one in found:
        kinds.setdefault((one["question"], "d.png" in one["sources"][0]), []).append(one)
    assert len(kinds) == 4
    for same in kinds.values():
        assert len({json.dumps([one["answer"], one["timings"]]) for one in same}) == 1
    drawn_ones = ask(folder, "--temperature", "1", "--seed", "7")
    assert drawn_ones.returncode == 0
    assert len({json.dumps(one["timings"]) for one in lines(folder)[12:]}) > 2


def test_what_failed_is_asked_again_when_that_is_wished_or_it_has_changed(folder):
    ask(folder)
    assert ask(folder, "--retry-errors").returncode == 3  # of all of its work, some
    assert [one["sources"][0] for one in lines(folder)[6:]] == ["pics/d.png"]
    shutil.copy(SCENE, folder / "pics" / "d.png")
    assert ask(folder).returncode == 0
    assert lines(folder)[-1]["answer"] == "A red circle and a blue square."
    assert len(lines(folder)) == 8
    assert ask(folder).returncode == 0
    assert len(lines(folder)) == 8


def test_another_picture_question_or_option_is_other_work(folder):
    (folder / "pics" / "d.png").unlink()
    ask(folder)
    scenes.draw(scenes.make(random.Random(3))).save(folder / "pics" / "b.png")
    assert ask(folder).returncode == 0
    assert [one["sources"][0] for one in lines(folder)[5:]] == ["pics/b.png"]
    os.utime(folder / "pics" / "c.png")  # another time, and the same content
    ask(folder)
    assert len(lines(folder)) == 6
    for more in (["--max-tokens", "3"], ["-s", "be brief"], ["-q", "is there a star?"]):
        before = len(lines(folder))
        assert ask(folder, *more).returncode == 0
        assert len(lines(folder)) == before + 5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"v": 1, "sources": ["a.png"], "answer": "A cat."}\n',
            "line 1 is not a record that vlm can resume from",
        ),
        ("hello\n", "line 1 is not a record"),
        ("[]\n", "line 1 is not a record"),
        ("\xff\n", "line 1 is not a record"),
    ],
)
def test_a_file_with_something_else_in_it_is_left_alone(folder, content, says):
    (folder / "out.jsonl").write_text(content, "latin-1")
    done = ask(folder)
    assert (done.returncode, says in done.stderr) == (2, True)
    assert (folder / "out.jsonl").read_text("latin-1") == content


def test_half_a_line_is_cut_off_and_its_work_done(folder):
    ask(folder)
    whole = (folder / "out.jsonl").read_bytes()
    for cut in (1, 30, len(whole.splitlines(keepends=True)[-1]) - 1):
        (folder / "out.jsonl").write_bytes(whole[:-cut])
        ask(folder)
        found = lines(folder)
        assert [one["sources"][0] for one in found] == [f"pics/{name}.png" for name in "abcdef"]


def test_how_large_pictures_are_shown_is_recorded_and_another_detail_is_other_work(folder):
    for detail, sides in (("high", [0] * 6), ("low", [0] * 6 + [512] * 6), ("512", [0] * 6 + [512] * 6)):
        for more in (["--detail", detail], [] if detail == "high" else ["--detail", detail]):
            assert ask(folder, *more).returncode == 3
            assert [one["detail"] for one in lines(folder)] == sides
    shown = vlm(folder, "show", "pics/a.png", "--detail", "200").stdout
    assert "upright, RGB: 200×150" in shown
    told = vlm(folder, "explain", "-m", "demo", "pics/a.png", QUESTION, "--detail", "200").stdout
    assert "200×150" in told


def test_other_names_than_of_json_lines_are_refused(folder):
    done = vlm(folder, "caption", "-m", "demo", "pics", "--output", "out.txt")
    assert (done.returncode, "use out.jsonl" in done.stderr) == (2, True)
    for kind in ("csv", "tsv"):
        done = vlm(folder, "caption", "-m", "demo", "nowhere", "--output", f"my out.{kind}")
        assert done.returncode == 2
        assert done.stderr == (
            f"vlm: my out.{kind}: the name must end in .jsonl, for JSON lines\n"
            f'     use "my out.jsonl", or for a table: --format {kind} --journal "my out.jsonl" >> "my out.{kind}"\n'
        )
    done = vlm(folder, "caption", "-m", "demo", "pics", "--output", "nowhere/out.jsonl")
    assert (done.returncode, "nowhere/out.jsonl: its folder does not exist" in done.stderr) == (
        2,
        True,
    )


def test_killed_at_any_moment_nothing_is_lost_or_done_twice(tmp_path):
    names = drawn(tmp_path, 100)
    chance, kills = random.Random(8), 0
    command = ("ask", "-m", "demo", "pics", "-q", "Is there a shape?", "--output", "out.jsonl")
    while kills < 5:
        running = started(tmp_path, *command)
        time.sleep(chance.uniform(0.4, 1.2))
        if running.poll() is not None:
            break
        running.kill()
        running.communicate()
        kills += 1
    assert kills >= 3
    assert vlm(tmp_path, *command).returncode == 0
    found = lines(tmp_path)
    assert [one["sources"][0] for one in found] == names
    alone = vlm(tmp_path, *command[:-2], "--json")
    single = [json.loads(line) for line in alone.stdout.splitlines()]
    same = sum(one["answer"] == other["answer"] for one, other in zip(found, single, strict=True))
    assert same >= 98  # the batches are others, and with them the last digits


def test_ctrl_c_finishes_what_is_under_way_and_the_same_command_goes_on(tmp_path):
    drawn(tmp_path, 50)
    command = ("caption", "-m", "demo", "pics", "--output", "out.jsonl")
    running = started(tmp_path, *command)
    while not (tmp_path / "out.jsonl").exists() or len((tmp_path / "out.jsonl").read_bytes().splitlines()) < 5:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.search(r"vlm: (finishing \d pictures? under way|stopping); Ctrl-C again stops at once\n", said)
    assert "run the same command again to continue" in said
    count = len(lines(tmp_path))
    assert 5 <= count < 50
    assert f"vlm: stopped after {count} of 50\n" in said
    assert vlm(tmp_path, *command).returncode == 0
    assert Counter(one["sources"][0] for one in lines(tmp_path)) == Counter(f"pics/{n:04}.png" for n in range(50))


def test_ctrl_c_finishes_what_is_under_way_where_only_sidecars_remember(tmp_path):
    drawn(tmp_path, 40)
    command = ("caption", "-m", "demo", "pics", "--sidecar", "txt")
    running = started(tmp_path, *command)
    while len(list(tmp_path.glob("pics/*.txt"))) < 5:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    shown, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.search(r"vlm: (finishing \d pictures? under way|stopping); Ctrl-C again stops at once\n", said)
    written = len(list(tmp_path.glob("pics/*.txt")))
    assert 5 <= written < 40
    assert len(shown.splitlines()) == written
    assert f"vlm: stopped after {written} of 40\n" in said
    assert "run the same command again to continue" in said
    assert vlm(tmp_path, *command).returncode == 0
    assert len(list(tmp_path.glob("pics/*.txt"))) == 40


def test_ctrl_c_twice_stops_at_once_and_what_was_shown_is_remembered(tmp_path):
    drawn(tmp_path, 50)
    running = started(tmp_path, "describe", "-m", "demo", "pics", "--json", "--journal", "run.jsonl")
    while not (tmp_path / "run.jsonl").exists() or not (tmp_path / "run.jsonl").stat().st_size:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    while "Ctrl-C again stops at once" not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    shown, said = running.communicate(timeout=60)
    assert (running.returncode, "stopped after" in said) == (130, True)
    kept = [one["sources"] for one in lines(tmp_path, "run.jsonl")]
    written = [json.loads(line)["sources"] for line in shown.splitlines()]
    assert kept == written[: len(kept)]
    assert len(written) - len(kept) in (0, 1)  # it may come between the two


class InterruptedOnce(ScriptedRunner):
    """Ctrl-C comes with its first event."""

    def events(self):
        for number, event in enumerate(super().events()):
            if not number:
                signal.raise_signal(signal.SIGINT)
            yield event


def test_ctrl_c_again_while_the_model_is_closed_says_how_far_it_came_too(tmp_path, monkeypatch):
    drawn(tmp_path, 20)

    @contextmanager
    def runner_of(*_, **__):
        try:
            yield InterruptedOnce(["yes"] * 20)
        finally:
            raise KeyboardInterrupt

    monkeypatch.setattr("vlmcli.cli.answer.runner_of", runner_of)
    done = vlm(tmp_path, "describe", "-m", "demo", "pics", "--output", "out.jsonl")
    assert done.returncode == 130
    assert done.stderr.endswith("vlm: stopped after 16 of 20\n     run the same command again to continue\n")


def test_one_run_at_a_time_writes_a_file(tmp_path):
    drawn(tmp_path, 40)
    command = ("caption", "-m", "demo", "pics", "--output", "out.jsonl")
    first = started(tmp_path, *command)
    while not (tmp_path / "out.jsonl").exists() or not (tmp_path / "out.jsonl").stat().st_size:
        time.sleep(0.02)
    second = vlm(tmp_path, *command)
    assert (second.returncode, "another run is writing it" in second.stderr) == (2, True)
    first.communicate(timeout=120)
    assert len(lines(tmp_path)) == 40


def test_a_full_disk_leaves_whole_lines_and_says_how_to_go_on(tmp_path):
    """On a file system of 32 KiB, where one may be mounted."""
    drawn(tmp_path, 60)
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    command = ("caption", "-m", "demo", "pics", "--output", "disk/out.jsonl")
    try:
        done = vlm(tmp_path, *command)
        assert done.returncode == 1
        assert "disk/out.jsonl: cannot be written (No space left on device)" in done.stderr
        assert "run the same command again to continue" in done.stderr
        count = len(lines(tmp_path, "disk/out.jsonl"))
        assert 10 < count < 60
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert vlm(tmp_path, *command).returncode == 0
        assert len({one["sources"][0] for one in lines(tmp_path, "disk/out.jsonl")}) == 60
        assert len(lines(tmp_path, "disk/out.jsonl")) == 60
    finally:
        subprocess.run(["umount", disk], check=True)


def test_what_goes_to_stdout_is_remembered_by_a_journal(folder):
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "-q", "is there a star?", "--journal", "run.jsonl")
    (folder / "pics" / "f.png").rename(folder / "f.png")
    done = vlm(folder, *command, "--format", "csv")
    assert done.returncode == 3
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert [row[0] for row in rows] == ["picture", *(f"pics/{name}.png" for name in "abcde")]
    assert len(lines(folder, "run.jsonl")) == 10
    (folder / "f.png").rename(folder / "pics" / "f.png")
    with (folder / "table.csv").open("w") as file:
        file.write(done.stdout)
    with (folder / "table.csv").open("a") as file:
        subprocess.run([VLM, *command, "--format", "csv"], cwd=folder, stdout=file, check=False, capture_output=False)
    rows = list(csv.reader(io.StringIO((folder / "table.csv").read_text("utf-8"))))
    assert [row[0] for row in rows] == ["picture", *(f"pics/{name}.png" for name in "abcdef")]
    text = vlm(folder, *command)
    assert (text.returncode, text.stdout) == (3, "")
    done = vlm(folder, *command, "--output", "out.jsonl")
    assert (done.returncode, "leave out --output or --journal" in done.stderr) == (2, True)


def test_a_journal_is_not_ahead_of_stdout(tmp_path, everything):
    """Killed at any moment, each picture that the journal has is in the output."""
    names = drawn(tmp_path, 100)
    command = [VLM, "caption", "-m", "demo", "pics", "--json", "--journal", "run.jsonl"]
    chance, kills = random.Random(9), 6 if everything else 4
    for _ in range(kills):
        with (tmp_path / "out.jsonl").open("ab") as file:
            running = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.3, 0.9))
            running.kill()
            running.wait()
        whole = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
        shown = {json.loads(line)["sources"][0] for line in whole}
        kept = (tmp_path / "run.jsonl").read_bytes() if (tmp_path / "run.jsonl").exists() else b""
        done = {json.loads(line)["sources"][0] for line in kept.splitlines(keepends=True) if line.endswith(b"\n")}
        assert done <= shown
    with (tmp_path / "out.jsonl").open("ab") as file:
        subprocess.run(command, cwd=tmp_path, stdout=file, stderr=subprocess.DEVNULL, check=True)
    found = [json.loads(line)["sources"][0] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert set(found) == set(names)
    assert len(found) <= len(names) + kills  # one that was being written when it was killed may come twice


def into(folder, name, *command, mode="ab"):
    """What a command says whose stdout goes to a file."""
    with (folder / name).open(mode) as file:
        done = subprocess.run([VLM, *command], cwd=folder, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    return done.stderr


@pytest.mark.parametrize(
    ("how", "option"),
    [(["--json"], "--output"), ([], "--journal"), (["--format", "csv"], "--journal"), (["--sidecar", "txt"], "")],
)
def test_what_is_appended_to_has_no_memory_and_that_is_said(folder, how, option):
    command = ("caption", "-m", "demo", "pics", "--exclude", "d.png", *how)
    again = "vlm: stdout goes to a file that already has content, and everything is asked again; "
    first, second = into(folder, "all", *command), into(folder, "all", *command)
    assert again not in first
    assert (f"{again}{option} FILE remembers what is done\n" in second) == bool(option)
    if option:
        heads = how == ["--format", "csv"]
        found = (folder / "all").read_text("utf-8").splitlines()
        assert len(found) == 10 + heads
        assert sum(line.startswith("picture,") for line in found) == heads


def test_one_answer_is_appended_without_a_word(folder):
    (folder / "notes.txt").write_text("mine\n", "utf-8")
    assert "output file" not in into(folder, "notes.txt", "caption", "-m", "demo", "pics/a.png")


def test_an_output_that_has_lost_what_the_journal_knows_is_told_of(folder):
    command = ("caption", "-m", "demo", "pics", "--exclude", "d.png", "--journal", "run.jsonl")
    said = "vlm: run.jsonl has 5 answers, but the output file is empty; use >> to keep them together\n"
    assert "output file" not in into(folder, "out.txt", *command, mode="wb")
    assert "output file" not in into(folder, "out.txt", *command)
    assert "output file" not in into(folder, "new.txt", *command, "--dry-run", mode="wb")
    assert said in into(folder, "out.txt", *command, mode="wb")
    shutil.copy(SCENE, folder / "pics" / "g.png")
    assert said in into(folder, "out.txt", *command, mode="wb")
    assert "output file" not in vlm(folder, *command).stderr


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_file_of_something_else_without_an_end_of_line_is_left_alone(folder, more):
    (folder / "out.jsonl").write_text('{"precious": 1}', "utf-8")
    assert ask(folder, *more).returncode == 2
    assert (folder / "out.jsonl").read_text("utf-8") == '{"precious": 1}'


def test_a_record_whose_end_of_line_an_editor_took_away_counts(folder):
    ask(folder)
    found = lines(folder)
    (folder / "out.jsonl").write_bytes((folder / "out.jsonl").read_bytes().rstrip(b"\n"))
    ask(folder, "--dry-run")
    assert not (folder / "out.jsonl").read_bytes().endswith(b"\n")
    shutil.copy(SCENE, folder / "pics" / "g.png")
    ask(folder)
    assert lines(folder)[:-1] == found
    assert lines(folder)[-1]["sources"] == ["pics/g.png"]


def test_a_journal_is_not_stdout(folder):
    with (folder / "j.jsonl").open("ab") as file:
        done = subprocess.run(
            [VLM, "caption", "-m", "demo", "pics", "--journal", "j.jsonl"], cwd=folder, stdout=file,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, "--journal and stdout are the same file" in done.stderr) == (2, True)
