"""How far a run is: on a terminal a line that stays, on a pipe a line now and then, and at the end what was done."""

import io
import re
import threading
import time
from types import SimpleNamespace

import pytest

from tests.support import folders
from tests.support.fakes import ScriptedRunner
from tests.support.program import SCENE, VLM
from vlmcli.batch import run as running
from vlmcli.batch.course import Course, jobs_of
from vlmcli.batch.run import Outcome, Run
from vlmcli.demo import FILES
from vlmcli.errors import RequestError
from vlmcli.pictures import images
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask
from vlmcli.terminal import live, pace
from vlmcli.terminal.live import cells, cut
from vlmcli.terminal.pace import Pace
from vlmcli.terminal.show import Show
from vlmcli.terminal.streams import are_one_terminal
from vlmcli.terminal.ui import Ui
from vlmcli.values import Progress, Started

pty = pytest.importorskip("pty", reason="POSIX terminals")

from tests.support.terminal import CTRL_C, Terminal  # noqa: E402

ASK = Ask("what is this?")


def jobs_for(*names, tasks=(ASK,)):
    """Jobs about different pictures with these names."""
    pictures = [
        Source(name, images.png(bytes([number % 251, 255, 0]) + bytes(9), (2, 2)), expanded=True)
        for number, name in enumerate(names)
    ]
    return jobs_of([(one,) for one in pictures], tasks)


# ---------------------------------------------------------------------------------------------- what the line says


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(seconds=1000.0)
    for module in (pace, running):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def halfway(clock, names, ended, errors=(), seconds=2.0, tasks=(ASK,)):
    """The pace of a run in which so many have ended, one each so many seconds."""
    run = Run(jobs_for(*names, tasks=tasks), FILES)
    outcomes = [RequestError("no") if number in errors else "yes" for number in range(len(run.jobs))]
    found = Pace(run)
    clock.seconds += 30  # the model is loaded
    found.stage("reading", names[0])
    steps = (step for step in run.steps(ScriptedRunner(outcomes)) if isinstance(step, Outcome))
    for _ in range(ended):
        outcome = next(steps)
        clock.seconds += seconds
        found.ended(outcome.job.names[0])
    return found


def test_the_count_comes_first_then_pace_time_left_errors_and_the_picture(clock):
    names = [f"pics/{number:04}.png" for number in range(60)]
    found = halfway(clock, names, 12, errors=[3])
    assert found.line() == "12 of 60, 30 a minute, ~96 s left, 1 error: pics/0011.png"
    found.stage("looking at the picture 17%", "pics/0012.png")
    assert found.line().endswith(", 1 error: pics/0012.png (looking at the picture 17%)")
    clock.seconds += 40  # the next one takes longer
    assert found.line().startswith("12 of 60, 30 a minute, ~56 s left, 1 error: ")


def test_before_the_first_answer_there_is_no_pace(clock):
    run = Run(jobs_for("a.png", "b.png"), FILES)
    found = Pace(run)
    assert found.line() == "0 of 2: loading the model"
    found.loading("loading the model 40%")
    assert found.line() == "0 of 2: loading the model 40%"
    found.stage("looking at the picture 17%", "a.png")
    assert found.line() == "0 of 2: a.png (looking at the picture 17%)"
    failed = halfway(clock, ["a.png", "b.png", "c.png"], 1, errors=[0], seconds=0.001)
    assert failed.line() == "1 of 3, 1 error: a.png"


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.12, "500 a minute"), (20, "3 a minute"), (25, "2.4 a minute"), (420, "8.6 an hour")]
)
def test_a_pace_is_by_the_minute_or_by_the_hour(clock, seconds, says):
    assert f"2 of 4, {says}, ~" in halfway(clock, list("abcd"), 2, seconds=seconds).line()


def test_several_questions_are_counted_in_answers(clock):
    assert halfway(clock, ["a", "b"], 3, tasks=(ASK, Ask("is it red?"))).line().startswith("3 of 4 answers, ")


@pytest.mark.parametrize("columns", [30, 40, 57, 77])
@pytest.mark.parametrize(
    "name",
    ["a.png", "a/long/path/of/folders/2019-06-12-a-long-name-0001.png", "\u732b" * 40 + ".png", "e\u0301" * 60, "a\nb"],
)
def test_in_few_columns_the_name_is_cut_and_the_count_is_whole(clock, columns, name):
    found = halfway(clock, [name, *(f"{number}.png" for number in range(119))], 12, errors=[3])
    for stage in ("looking at the picture 17%", "reading", ""):
        found.stage(stage, name)
        line = found.line(columns)
        assert cells(line) <= columns
        assert "\n" not in line
        assert line.startswith("12 of 120, 30 a minute, ~")
    found.stage("reading", name)
    if columns >= 57:
        assert ", 1 error: " in found.line(columns)
        assert found.line(77).endswith(" (reading)")


def test_what_is_cut_keeps_its_ends():
    assert cut("0123456789", 10) == "0123456789"
    assert cut("0123456789", 8) == "01234..."
    assert cut("2019-06-12-picture-0001.png", 16, middle=True) == "2019-...0001.png"
    assert cut("\u732b\u732b\u732b\u732b", 6) == "\u732b..."
    assert [cut("0123456789", columns) for columns in range(5)] == ["", ".", "..", "...", "0..."]


def test_the_summary_says_how_long_it_took_and_what_was_left_out(clock):
    run = Run(jobs_for(*"abc"), FILES, skipped=8)
    for _ in run.steps(ScriptedRunner(["yes", RequestError("no"), "yes"])):
        pass
    clock.seconds += 184
    assert Pace(run).summary() == "2 answered, 1 failed, in 3 min 4 s; skipped 8 pictures that already have text"


# --------------------------------------------------------------------------------- where there is no terminal


class Waiting(ScriptedRunner):
    """Answers, and then nothing happens for a while."""

    def __init__(self, outcomes, seconds):
        super().__init__(outcomes)
        self.seconds = seconds

    def events(self):
        yield Progress(None, "load", 0.5)
        for event in super().events():
            yield event
            if isinstance(event, Started) and event.id == 1:
                time.sleep(self.seconds)


def shown(runner, names="abc", **course):
    """What a run says on pipes: stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with Ui(out, err) as ui:
        Show(ui, Run(jobs_for(*names), FILES, course=Course(**course))).all(runner)
    return out.getvalue(), err.getvalue()


def test_without_a_terminal_the_count_is_said_now_and_then_also_while_nothing_ends(monkeypatch):
    monkeypatch.setattr(live, "RUN_SECONDS", 0.25)
    out, err = shown(Waiting(["yes"] * 3, 1.2))
    said = [line for line in err.splitlines() if " of 3" in line]
    assert 2 <= len(said) <= 5
    assert all(re.fullmatch(r"vlm: 1 of 3, \S+ a minute, ~\S+ s left: b \(reading\)", line) for line in said)
    assert out.splitlines() == ["a\tyes", "b\tyes", "c\tyes"]
    assert err.splitlines()[-1].startswith("vlm: 3 answered, in ")


def test_a_short_run_is_quiet_but_for_its_summary():
    assert live.RUN_SECONDS == 10
    _, err = shown(Waiting(["yes"] * 3, 0.3))
    assert re.fullmatch(r"vlm: 3 answered, in [0-9.]+ s\n", err)


def test_nothing_is_written_when_the_output_has_ended(monkeypatch):
    monkeypatch.setattr(live, "RUN_SECONDS", 0.0)
    err = io.StringIO()
    with Ui(io.StringIO(), err) as ui, ui.showing(lambda _: "1 of 2"):
        time.sleep(0.5)
    ended = err.getvalue()
    assert ended.count("vlm: 1 of 2\n") >= 1
    time.sleep(0.5)
    assert err.getvalue() == ended
    assert not [one for one in threading.enumerate() if one.name == "vlm-live-line" and one.is_alive()]


def test_lines_of_a_command_are_whole_and_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "RUN_SECONDS", 0.1)
    names = folders.drawn(tmp_path, 12)
    done = folders.vlm(tmp_path, "caption", "-m", "demo", "pics")
    assert done.returncode == 0
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == names
    said = [line for line in done.stderr.splitlines() if " of 12" in line]
    assert said
    assert all(re.match(r"vlm: \d+ of 12(, .* left)?: ", line) for line in said)
    assert re.fullmatch(r"vlm: 12 answered, in .* s", done.stderr.splitlines()[-1])
    assert "\x1b" not in done.stderr


# ---------------------------------------------------------------------------------------------- on a terminal


def looks(terminal):
    """What is on the screen each time that something was written to it, until the command ends."""
    found = []
    while terminal.process.poll() is None:
        if terminal._pump(0.05):  # it may have torn in two what was written at once: then the rest is about to come
            terminal._pump(0.002)
        found.append(terminal.text)
    terminal.end()
    return found


def counts(screen, total):
    """The lines of a screen that have the count."""
    return [line for line in screen.splitlines() if re.match(rf"\d+ of {total}\b", line)]


@pytest.mark.parametrize(
    ("columns", "more"), [(60, []), (80, []), (60, ["--output", "out.jsonl"]), (80, ["--sidecar", "txt", "--json"])]
)
def test_the_count_is_there_at_every_look(tmp_path, columns, more):
    for number, name in enumerate(folders.drawn(tmp_path, 16)):
        path = tmp_path / name
        path.rename(path.with_name(f"a-picture-of-a-summer-that-was-long-and-warm-{number:04}.png"))
    with Terminal("ask", "-m", "demo", "pics", "-q", "what is this?", *more, cwd=tmp_path, columns=columns) as terminal:
        seen = looks(terminal)
        last = terminal.text
    begun = next(number for number, screen in enumerate(seen) if counts(screen, 16))
    during = [screen for screen in seen[begun:] if "16 answered, in" not in screen]
    assert len(during) > 5
    there = [bool(counts(screen, 16)) for screen in during]
    assert all(map(max, there, there[1:])), "the reader may tear a line in two, but then the next look has it"
    assert sum(there) >= 0.9 * len(there)
    assert max(len(counts(screen, 16)) for screen in seen) == 1
    lines = {counts(screen, 16)[0] for screen in during if counts(screen, 16)}
    assert any(line.startswith("0 of 16: ") for line in lines)
    assert any(re.match(r"\d+ of 16(, .* left)?: a.*\.\.\..*\d\.png", line) for line in lines)
    assert not counts(last, 16)
    assert re.search(r"vlm: 16 answered, in [\d.]+ s(; wrote 16 texts)?\Z", last)


def test_the_line_goes_below_what_is_written(tmp_path):
    """Errors, remarks and results are above it, each whole."""
    folders.drawn(tmp_path, 20)
    (tmp_path / "pics" / "0001.png").write_bytes(b"no picture")
    with Terminal("caption", "-m", "demo", "pics", cwd=tmp_path, columns=100) as terminal:
        seen = looks(terminal)
        assert terminal.process.returncode == 3
    for screen in seen:
        if found := counts(screen, 20):
            assert screen.splitlines()[-1] == found[0]
    assert any(", 1 error: " in screen for screen in seen)
    lines = terminal.text.splitlines()
    assert [line.partition(" ")[0] for line in lines if line.startswith("pics/")] == [
        f"pics/{number:04}.png" for number in (0, *range(2, 20))
    ]
    assert any(line.startswith("vlm: pics/0001.png: ") for line in lines)
    assert lines[-1].startswith("vlm: 19 answered, 1 failed, in ")


@pytest.mark.parametrize(("reader", "whole"), [("head -c 150", False), ("cat", True)])
def test_what_a_pipe_brings_back_to_the_terminal_is_not_behind_the_line(tmp_path, monkeypatch, reader, whole):
    folders.drawn(tmp_path, 12)
    script = tmp_path / "piped"
    script.write_text(f'#!/bin/sh\n"{VLM}" "$@" | {reader}\n', "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("tests.support.terminal.VLM", str(script))
    with Terminal("describe", "-m", "demo", "pics", "--json", cwd=tmp_path, columns=3000) as terminal:
        seen = looks(terminal)
        for _ in range(5):  # the last program may have ended before all was read
            terminal._pump(0.1)
        lines = terminal.text.splitlines()
    assert any(counts(screen, 12) for screen in seen)
    assert all(line.startswith(('{"v": 1', "vlm: ")) for line in lines)
    assert [len(line) for line in lines] == [150] if not whole else len(lines) == 13


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ([], "add --output FILE next time, to continue where it stopped"),
        (["--sidecar", "txt"], "run the same command again to continue"),
        (["--output", "out.jsonl"], "run the same command again to continue"),
    ],
)
def test_ctrl_c_says_how_far_it_came_and_how_to_go_on(tmp_path, more, hint):
    folders.drawn(tmp_path, 12)
    words = ("caption", "-m", "demo", "pics", *more)
    with Terminal(*words, cwd=tmp_path, columns=100, fault="hang 0003.png") as terminal:
        terminal.wait(r"(?m)^\d+ of 12")
        terminal.type(CTRL_C)
        if more:  # it can be gone on with: then what is under way is finished, and that never ends here
            terminal.wait(r"vlm: (finishing \d pictures? under way|stopping); Ctrl-C again stops at once")
            if "finishing" in terminal.text:
                assert counts(terminal.wait(r"(?m)^\d+ of 12"), 12)
                terminal.type(CTRL_C)
        assert terminal.end() == 130
    lines = terminal.text.splitlines()
    assert re.fullmatch(r"vlm: stopped after \d of 12", lines[-2])
    assert lines[-1] == f"     {hint}"
    assert terminal.screen.cursor.x == 0
    assert not counts(terminal.text, 12)
    assert not terminal.screen.cursor.hidden


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "one question about 3 pictures together"),
        (["-q", "is there a star?"], "2 questions about 3 pictures together"),
        (["--together"], ""),
        (["--each"], ""),
        (["--json"], ""),
    ],
)
def test_pictures_that_are_asked_about_together_are_told_of(tmp_path, more, said):
    names = folders.drawn(tmp_path, 3)
    with Terminal("ask", "-m", "demo", *names, "-q", "what is this?", *more, cwd=tmp_path, columns=100) as terminal:
        assert terminal.end(60) == 0
        told = [line for line in terminal.text.splitlines() if "together" in line]
    assert told == ([f"vlm: {said}; --each asks about each"] if said else [])
    if not more:
        assert "together" not in folders.vlm(tmp_path, "ask", "-m", "demo", *names, "what is this?").stderr


def test_ctrl_c_at_one_question_leaves_a_clean_line():
    with Terminal("ask", "-m", "demo", "--worker", SCENE, "what is this?", fault="hang scene.png") as terminal:
        terminal.wait("loading|looking|reading")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
        assert terminal.screen.cursor.x == 0
        assert "stopped" not in terminal.text


def test_a_process_that_llama_cpp_ends_leaves_the_terminal_as_it_was(tmp_path):
    folders.drawn(tmp_path, 4)
    words = ("caption", "-m", "demo", "pics", "--in-process")
    with Terminal(*words, cwd=tmp_path, columns=100, fault="abort 0003.png") as terminal:
        assert terminal.end(60) == 70
        assert not terminal.screen.cursor.hidden
        assert terminal.screen.cursor.x == 0
        assert not counts(terminal.text, 4)
        assert "GGML_ASSERT(fault)" in terminal.text


def test_a_terminal_that_obeys_no_codes_has_lines(tmp_path):
    folders.drawn(tmp_path, 3)
    with Terminal("caption", "-m", "demo", "pics", cwd=tmp_path, TERM="dumb") as terminal:
        assert terminal.end(60) == 0
        assert b"\x1b" not in terminal.raw
        assert "vlm: 3 answered, in " in terminal.text


def test_which_streams_are_one_terminal(tmp_path):
    ends = [pty.openpty() for _ in range(2)]
    first, again, other = (open(fd, "w", closefd=False) for fd in (ends[0][1], ends[0][1], ends[1][1]))  # noqa: SIM115
    with (tmp_path / "file").open("w") as file:
        assert are_one_terminal(first, again)
        assert not are_one_terminal(first, other)
        assert not are_one_terminal(first, file)
        assert not are_one_terminal(io.StringIO(), first)


def test_one_picture_has_no_summary(tmp_path):
    done = folders.vlm(tmp_path, "ask", "-m", "demo", SCENE, "-q", "what is this?", "-q", "is it red?")
    assert done.returncode == 0
    assert "answered" not in done.stderr
