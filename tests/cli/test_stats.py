"""`--stats` and `--json` say where the time of a command went, so that it adds up, and what came from which cache."""

import json
import re
import subprocess
import sys
import time

import pytest

from tests.support import folders
from tests.support.program import ANSWER, SCENE, VLM, own_environment, vlm
from vlmcli.cli import beginning
from vlmcli.terminal import stats, ui
from vlmcli.values import Progress, Timings, Usage

NAMES = ["start", "load", "picture", "cache", "encode", "prefill", "answer", "other"]
WHOLE = re.compile(r"the command took ([0-9.]+) s \((.*)\)$", re.MULTILINE)


@pytest.fixture
def kept(tmp_path):
    """The environment of commands that keep everything, in a folder of their own."""
    return {"VLM_CACHE_DIR": str(tmp_path / "cache"), "VLM_CACHE_SECONDS": "0"}


def said(done):
    """What a command said on stderr, each sentence on one line again."""
    return done.stderr.replace("\n     ", " ")


def figures(done):
    """How long a command took by its own last line, and its stages."""
    whole, stages = WHOLE.search(said(done)).groups()
    found = dict(one.rsplit(" ", 1) for one in stages.split(", "))
    return float(whole), {name: float(seconds) for name, seconds in found.items()}


def timed(*words, env):
    began = time.monotonic()
    done = subprocess.run(
        [VLM, "ask", "-m", "demo", "--stats", "--json", *words],
        env=own_environment(env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done, time.monotonic() - began


@pytest.mark.parametrize(
    "words",
    [
        (SCENE, "what is this?"),
        (SCENE, "what is this?", "--worker"),
        (SCENE, "-q", "what is this?", "-q", "what color is the circle?", "-q", "is there a star?"),
    ],
    ids=["one", "worker", "several"],
)
def test_all_stages_together_are_the_time_of_the_command(words, kept):
    for _ in range(3):
        done, wall = timed(*words, env=kept)  # at first with empty caches, then not
        whole, stages = figures(done)
        assert list(stages) == [name for name in NAMES if name in stages]
        assert sum(stages.values()) == pytest.approx(whole, abs=0.06), "the figures do not add up"
        assert whole < wall + 0.05
        records = [json.loads(line)["timings"] for line in done.stdout.splitlines()]
        work = sum(sum(one.values()) - one["wait"] for one in records)
        assert whole - stages["other"] - 0.06 < work < whole + 0.06, "records and stderr differ"
        assert records[0]["start"] > 0.02
        assert [one["start"] for one in records[1:]] == [0.0] * (len(records) - 1)
        unsaid = wall - whole
        if unsaid < 0.2 * wall + 0.3 and stages["other"] < 0.3 * wall + 0.3:
            return
    raise AssertionError(f"{unsaid:.2f} s of {wall:.2f} s are not accounted for: {done.stderr}")


def test_a_record_alone_is_the_time_of_its_answer(kept):
    done, wall = timed(SCENE, "-q", "what is this?", "-q", "what color is the circle?", env=kept)
    first, second = (json.loads(line)["timings"] for line in done.stdout.splitlines())
    assert 0.5 * wall < sum(first.values()) < wall
    assert first["load"] > 0
    assert second["load"] == second["start"] == 0
    assert second["wait"] > 0, "it was asked while the other one was computed"


def test_what_came_from_which_cache_is_said(kept):
    def asked(*words):
        done = vlm("ask", "-m", "demo", "--stats", SCENE, *words, env=kept)
        assert done.returncode == 0
        return said(done)

    assert "vlm: nothing known before; 1 picture encoded\n" in asked("what is this?")
    again = asked("is there a star?")
    found = re.search(r"known from earlier commands: (\d+) of (\d+) prompt tokens; nothing encoded\n", again)
    assert 64 < int(found[1]) < int(found[2])
    other = asked("what is this?", "-s", "You see drawings.")
    assert "vlm: known from earlier commands: the embedding of 1 picture; nothing encoded\n" in other
    two = asked("-q", "what is this?", "-q", "is it blue?", "-s", "You see shapes.")
    assert "known from earlier questions: " in two
    assert "nothing known before; 1 picture encoded" in asked("what is this?", "--no-cache")


def test_a_record_says_what_came_from_which_cache(kept):
    used = []
    for more in ((), (), ("-s", "You see drawings.")):
        done = vlm("ask", "-m", "demo", "--json", SCENE, "what is this?", *more, env=kept)
        used.append(json.loads(done.stdout)["usage"])
    cold, prefix, embedding = used
    assert (cold["encoded"], cold["remembered"], cold["restored_tokens"], cold["reused_tokens"]) == (1, 0, 0, 0)
    assert prefix["restored_tokens"] == prefix["reused_tokens"] >= 64
    assert (prefix["encoded"], prefix["remembered"]) == (0, 0)
    assert (embedding["encoded"], embedding["remembered"], embedding["from_disk"]) == (0, 1, 1)
    assert embedding["restored_tokens"] == 0


def test_figures_are_short_lines_without_codes(kept):
    for env in (kept, kept | {"NO_COLOR": "1"}):
        done = vlm("ask", "-m", "demo", "--stats", SCENE, "what is this?", env=env)
        assert done.stdout == ANSWER
        assert "\x1b" not in done.stderr
        assert max(map(len, done.stderr.splitlines())) <= 80
        assert all(line.startswith(("vlm: ", "     ")) for line in done.stderr.splitlines())
        assert done.stderr.count("first token after ") == done.stderr.count("the command took ") == 1


def test_each_answer_of_a_run_has_its_figures_and_the_command_those_of_all(tmp_path, kept):
    folders.drawn(tmp_path, 3)
    done = vlm("ask", "-m", "demo", "--stats", "pics", "what is this?", env=kept, cwd=tmp_path)
    assert said(done).count("first token after ") == said(done).count("; in all ") == 3
    whole, stages = figures(done)
    assert sum(stages.values()) == pytest.approx(whole, abs=0.06)


def test_a_pipe_is_told_before_the_answer_what_took_long(slow, kept, monkeypatch):
    assert ui.WAIT_SECONDS == 1.0
    monkeypatch.setattr(ui, "WAIT_SECONDS", 0.4)  # a fast machine needs less than the second that is long to a person
    words = ("ask", "-m", slow, "--stats", "--max-tokens", "2", "--threads", "1", SCENE, "what is this?")
    done = vlm(*words, env=kept)
    assert done.returncode == 0
    told = said(done)
    stage = re.search(
        r"^vlm: (?:looking at the picture|reading).* \((?:start .* s, )?load [0-9.]+ s", told, re.MULTILINE
    )
    assert stage is not None, told
    assert stage.start() < told.index("first token after")


def test_a_terminal_shows_before_the_answer_what_took_how_long(slow, kept):
    pytest.importorskip("pty", reason="POSIX terminals")
    from tests.support.terminal import Terminal

    words = ("ask", "-m", slow, "--stats", "--max-tokens", "2", SCENE, "what is this?")
    with Terminal(*words, columns=120, **kept) as shown:
        shown.wait(r"looking at the picture [0-9]+% \(start [0-9.]+ s, load [0-9.]+ s, .*encode [0-9.]+ s[,)]")
        assert shown.end() == 0
        assert "looking at" not in shown.text
        assert "the command took " in shown.text


# ---------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("usage", "says"),
    [
        (Usage(64, 78, 0, 8, encoded=1), "nothing known before; 1 picture encoded"),
        (Usage(64, 78, 68, 8, 68), "known from earlier commands: 68 of 78 prompt tokens; nothing encoded"),
        (
            Usage(1024, 1100, 0, 8, encoded=9, remembered=8, from_disk=7),
            "known from earlier commands: the embeddings of 7 pictures or tiles; "
            "known from earlier questions: the embedding of 1 picture; 9 pictures or tiles encoded",
        ),
        (Usage(64, 78, 20, 8, encoded=1), "known from earlier questions: 20 of 78 prompt tokens; 1 picture encoded"),
    ],
)
def test_words_for_what_was_known(usage, says):
    assert stats.known(usage) == says


def test_several_pictures_are_counted_while_they_are_encoded():
    event = Progress(1, "encode", 0.5, Timings(load=1.2, encode=3.44, picture=0.04), inputs=3)
    assert stats.so_far(event) == "load 1.2 s, encode 3.4 s (2 of 3)"


def aged(before, code=""):
    """How old a process is by its own reckoning, with what processor time, when a shell has done something before."""
    code = (
        f"import time; from vlmcli.cli import beginning; {code}"
        "print(time.monotonic() - beginning.of_process(), time.process_time())"
    )
    command = f'{before}exec "$0" -c "$1"'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, code], capture_output=True, text=True, check=True, env=own_environment()
    )
    return map(float, done.stdout.split())


def test_a_command_begins_with_its_process():
    began = time.monotonic()
    age, used = aged("", "time.sleep(0.5);")
    assert used - 0.02 < age < time.monotonic() - began + 0.02
    if beginning._age() is not None:
        assert age > 0.5


def test_what_a_shell_has_waited_for_before_is_not_the_commands():
    age, used = aged("sleep 1; ", "beginning.LONGEST = 0.5;")
    assert used - 0.02 < age < 1
