"""How long a run takes where earlier commands have kept something of its pictures; and a look that leaves no trace."""

import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support import folders
from tests.support.engines import ask, opened, outcomes
from tests.support.fakes import ScriptedRunner
from tests.support.program import SCENE, vlm
from vlmcli import demo, entries
from vlmcli.batch import estimate as estimating
from vlmcli.batch.course import jobs_of
from vlmcli.batch.estimate import estimate
from vlmcli.entries import Entries, key_of
from vlmcli.pictures import images
from vlmcli.pictures.sources import Source
from vlmcli.placement import Caching
from vlmcli.tasks.ask import Ask
from vlmcli.values import Done, Measured, run

NEW, EMBEDDED, READ = (0, 0), (1, 0), (1, 70)
"""Of a picture with one input: how many are kept, and the rows of the state that is kept."""
ASK = Ask("what is this?")
SECONDS = {NEW: 4.0, EMBEDDED: 1.0, READ: 0.5}


class Knowing(ScriptedRunner):
    """Knows some pictures; what it knows less of takes it longer, by a clock of its own."""

    def __init__(self, known, clock):
        super().__init__(["yes"] * 200)
        self.known, self.clock, self.took = known, clock, {}

    def submit(self, request):
        kept = self.known.get(request.pictures[0].source, NEW)
        if not request.measure:
            id = super().submit(request)
            self.took[id] = SECONDS[kept]
            return id
        self.requests.append(request)
        self.queue.put(Measured(len(self.requests) - 1, 4096, 80, (64,), 1, *kept))
        return len(self.requests) - 1

    def events(self):
        for event in super().events():
            if isinstance(event, Done):
                self.clock.seconds += self.took[event.id]
            yield event


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(estimating, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def jobs_for(count, tasks=(ASK,)):
    pictures = [Source(f"{n}.png", images.png(bytes([n]) * 12, (2, 2))) for n in range(count)]
    return jobs_of([(one,) for one in pictures], tasks)


def test_what_is_known_is_not_computed_in_the_estimate_either(clock):
    known = {f"{n}.png": READ for n in range(40)}
    said = estimate(Knowing(known, clock), jobs_for(120), cached=True)
    assert said == (
        "the questions take about 6 min (a new picture takes 4 s, a known one 0.5 s); "
        "40 of 120 pictures are known from earlier commands"
    )
    without = estimate(Knowing(known, clock), jobs_for(120))
    assert without == "the questions take about 60 s (the first 3 took 0.5 s each)"


def test_an_embedding_and_a_state_do_not_take_the_same(clock):
    known = {f"{n}.png": (READ, EMBEDDED)[n % 2] for n in range(100)}
    said = estimate(Knowing(known, clock), jobs_for(100), cached=True)
    assert said.startswith("the questions take about 75 s (")
    assert said.endswith("; 100 of 100 pictures are known from earlier commands")


def test_nothing_is_said_of_what_is_not_known(clock):
    said = estimate(Knowing({}, clock), jobs_for(5), cached=True)
    assert said == "the questions take about 20 s (the first 3 took 4 s each)"
    one = estimate(Knowing({"0.png": READ}, clock), jobs_for(1), cached=True)
    assert one == "the question takes less than 1 s; the picture is known from an earlier command"
    two = estimate(Knowing({"0.png": READ}, clock), jobs_for(2), cached=True)
    assert two.endswith("; 1 of 2 pictures is known from earlier commands")


def test_questions_about_a_picture_are_of_one_kind(clock):
    tasks = (Ask("a?"), Ask("b?"), Ask("c?"))
    runner = Knowing({f"{n}.png": READ for n in range(10)}, clock)
    said = estimate(runner, jobs_for(20, tasks), cached=True)
    assert said.startswith("the questions take about 2 min (")  # 30 of 0.5 s, 30 of 4 s
    assert said.endswith("10 of 20 pictures are known from earlier commands")
    assert sum(request.measure for request in runner.requests) == 20


def test_not_all_pictures_are_looked_at_where_that_takes_long(clock, monkeypatch):
    runner = Knowing({f"{n}.png": READ for n in range(100)}, clock)  # the first half, as of a run that was stopped
    load = Source.load

    def slowly(self, *more):
        clock.seconds += 0.2
        return load(self, *more)

    monkeypatch.setattr(Source, "load", slowly)
    said = estimate(runner, jobs_for(200), cached=True)
    looked = sum(request.measure for request in runner.requests)
    assert 50 <= looked <= 80
    number = int(re.search(r"; about (\d+) of 200 pictures are known", said)[1])
    assert 80 <= number <= 120


def test_pictures_that_cannot_be_read_take_no_time(clock):
    bad = [(Source(f"bad{n}.png", b"no picture"),) for n in range(4)]
    good = [job.pictures for job in jobs_for(4)]
    said = estimate(Knowing({}, clock), jobs_of([*bad, *good], [Ask("a?")]), cached=True)
    assert said == "the questions take about 16 s (the first 3 took 4 s each)"
    assert "time unknown" in estimate(Knowing({}, clock), jobs_of(bad, [Ask("a?")]), cached=True)


# ---------------------------------------------------------------------------------------------- the real engine


def test_an_engine_says_what_is_kept_of_a_request(tmp_path, scene):
    caching = Caching(tmp_path / "cache", seconds=0.0)
    question = ask("What is this?", scene)

    def measured(caching=caching):
        with opened(demo.FILES, caching=caching) as engine:
            return list(run(engine, [replace(question, measure=True)]))[-1][1]

    before = measured()
    assert (before.inputs, before.kept_inputs, before.kept_rows) == (1, 0, 0)
    with opened(demo.FILES, caching=caching) as engine:
        (answer,) = outcomes(engine, [question])
    found = measured()
    assert (found.rows, found.pictures) == (answer.usage.prompt_tokens, (64,))
    assert (found.inputs, found.kept_inputs) == (1, 1)
    assert 64 < found.kept_rows < found.rows
    with opened(demo.FILES, caching=caching) as engine:
        (again,) = outcomes(engine, [question])
    assert again.usage.restored_tokens == found.kept_rows
    without = measured(caching=None)
    assert (without.inputs, without.kept_inputs, without.kept_rows) == (1, 0, 0)


def test_a_dry_run_says_how_many_are_known(tmp_path):
    names = folders.drawn(tmp_path, 5)
    env = {"VLM_CACHE_DIR": str(tmp_path / "cache"), "VLM_CACHE_SECONDS": "0"}
    for name in names[:2]:
        assert vlm("ask", "-m", "demo", name, "what is this?", cwd=tmp_path, env=env).returncode == 0
    done = vlm("ask", "-m", "demo", "pics", "is there a star?", "--dry-run", cwd=tmp_path, env=env)
    assert "would ask 5 questions about 5 pictures; the questions take " in done.stderr
    assert "a known one" in done.stderr
    assert "2 of 5 pictures are known from earlier commands" in done.stderr.replace("\n     ", " ")
    without = vlm("ask", "-m", "demo", "pics", "is there a star?", "--dry-run", "--no-cache", cwd=tmp_path, env=env)
    assert "known" not in without.stderr
    one = vlm("ask", "-m", "demo", SCENE, "what is this?", "--dry-run", cwd=tmp_path, env=env)
    assert "known" not in one.stderr


# ---------------------------------------------------------------------------------------------- a look


def test_a_look_reads_what_is_said_and_leaves_no_trace(tmp_path):
    some = Entries(tmp_path / "some", 1 << 20)
    key = key_of("a")
    assert some.put(key, b"about it", memoryview(bytes(1000)))
    path = tmp_path / "some" / key
    os.utime(path, (1, 1))
    assert some.look(key) == b"about it"
    assert path.stat().st_mtime == 1
    assert not (path.parent / entries.HITS).exists()
    assert some.get(key).about == b"about it"
    assert path.stat().st_mtime > 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:40],
        lambda data: b"x" + data[1:],
        lambda data: data[:8] + bytes(32) + data[40:],
        lambda data: data[:40] + b"\xff" * 12 + data[52:],
    ],
    ids=["empty", "cut", "longer", "head", "first bytes", "another key", "sizes"],
)
def test_a_look_finds_nothing_in_a_file_that_is_no_entry(tmp_path, spoil):
    some = Entries(tmp_path / "some", 1 << 20)
    key = key_of("a")
    assert some.put(key, b"about it", memoryview(bytes(1000)))
    path = tmp_path / "some" / key
    path.write_bytes(spoil(path.read_bytes()))
    assert some.look(key) is None
    assert some.look(key_of("b")) is None
