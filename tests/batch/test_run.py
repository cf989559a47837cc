"""What a run decides, without a terminal: order, twins, errors, stopping, sidecars, and what is remembered when."""

import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from tests.support.fakes import ScriptedRunner
from vlmcli.batch.course import Course, Job, grouped, jobs_of
from vlmcli.batch.estimate import estimate
from vlmcli.batch.remaining import remaining
from vlmcli.batch.run import WINDOW, Fragment, Outcome, Run
from vlmcli.batch.sidecars import Sidecars
from vlmcli.decisions import Question
from vlmcli.demo import FILES
from vlmcli.errors import Cancelled, Exit, NativeError, RequestError, SourceError
from vlmcli.pictures import images
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.decide import Decide
from vlmcli.values import Answer, Done, Failed, Notice, Sampling, Score, Started, Timings, Usage

ASK = Ask("what is this?")
BAD = Source("bad.png", b"no picture")


def picture(shade, name=None):
    """A picture of one grey."""
    return Source(name or f"{shade}.png", images.png(bytes([shade]) * 12, (2, 2)))


def jobs_for(*pictures, tasks=(ASK,)):
    return jobs_of([(one,) for one in pictures], tasks)


def outcomes(run, runner, **options):
    return [step for step in run.steps(runner, **options) if isinstance(step, Outcome)]


def told(run, runner):
    """Names and texts, or errors' messages, in the order in which they are told."""
    return [
        (outcome.job.names[0], outcome.result.error.message if outcome.result.error else outcome.result.text)
        for outcome in outcomes(run, runner)
    ]


class Backwards(ScriptedRunner):
    """Ends what it has been asked last first."""

    def events(self):
        while not self.queue.empty():
            waiting = []
            while not self.queue.empty():
                waiting.append(self.queue.get())
            yield from reversed(waiting)


def test_outcomes_come_in_the_order_of_the_jobs_or_as_they_end():
    jobs = jobs_for(*map(picture, range(5)))
    texts = [f"answer {number}" for number in range(5)]
    assert [text for _, text in told(Run(jobs, FILES), Backwards(texts))] == texts
    assert [text for _, text in told(Run(jobs, FILES, course=Course(unordered=True)), Backwards(texts))] == texts[::-1]


def test_pictures_and_questions_go_in_turn():
    groups = grouped([picture(1), picture(2)], each=True, together=False)
    jobs = jobs_of(groups, [Ask("a?"), Ask("b?")])
    assert [(job.group, job.names, job.task.question) for job in jobs] == [
        (0, ["1.png"], "a?"), (0, ["1.png"], "b?"), (1, ["2.png"], "a?"), (1, ["2.png"], "b?"),
    ]  # fmt: skip


@pytest.mark.parametrize("runner", [ScriptedRunner, Backwards])
def test_equal_pixels_are_asked_about_once(runner):
    """Whether the other comes while the first is under way, or after it has ended."""
    pictures = [picture(number % 3, f"{number}.png") for number in range(2 * WINDOW)]
    asked = runner(["zero", "one", "two"])
    found = told(Run(jobs_for(*pictures), FILES), asked)
    assert len(asked.requests) == 3
    assert found == [(f"{number}.png", ("zero", "one", "two")[number % 3]) for number in range(2 * WINDOW)]


def test_a_failure_is_of_the_twins_that_waited_for_it_and_of_no_later_one():
    """The window is full before the first has ended, so that c.png comes after that."""
    pictures = [picture(0, "a.png"), picture(0, "b.png"), *map(picture, range(1, WINDOW)), picture(0, "c.png")]
    runner = ScriptedRunner([RequestError("no"), *(f"answer {number}" for number in range(1, WINDOW)), "yes"])
    found = dict(told(Run(jobs_for(*pictures), FILES), runner))
    assert (found["a.png"], found["b.png"], found["c.png"]) == ("no", "no", "yes")


def test_drawn_answers_are_drawn_each():
    drawn = replace(ASK, sampling=Sampling(temperature=1.0))
    runner = ScriptedRunner(["one", "two"])
    run = Run(jobs_for(picture(0, "a.png"), picture(0, "b.png"), tasks=[drawn]), FILES)
    assert [text for _, text in told(run, runner)] == ["one", "two"]


def test_a_picture_that_cannot_be_read_waits_for_no_runner():
    run, runner = Run(jobs_for(BAD, picture(1)), FILES), ScriptedRunner(["yes"])
    with closing(run.steps(runner)) as steps:
        first = next(steps)
        assert isinstance(first.result.error, SourceError)
        assert runner.requests == []
        assert [step.result.text for step in steps if isinstance(step, Outcome)] == ["yes"]
    assert run.exit_code() == Exit.SOME_FAILED
    assert (run.ended, run.left, len(run.errors)) == (2, 0, 1)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["yes", "yes"], None),
        ([RequestError("no"), "yes"], Exit.SOME_FAILED),
        ([RequestError("no"), RequestError("no")], Exit.FAILED),
        ([RequestError("no"), NativeError("gone")], Exit.NATIVE),
    ],
)
def test_what_a_run_came_to_is_an_exit_code(texts, code):
    run = Run(jobs_for(picture(1), picture(2)), FILES)
    outcomes(run, ScriptedRunner(texts))
    assert run.exit_code() == code


def test_stopped_it_finishes_what_is_under_way_and_asks_nothing_more():
    run = Run(jobs_for(*map(picture, range(3 * WINDOW))), FILES)
    runner = ScriptedRunner([f"answer {number}" for number in range(3 * WINDOW)])
    found = []
    for step in run.steps(runner):
        if isinstance(step, Outcome):
            found.append(step)
            stopper = threading.Thread(target=run.stop)
            stopper.start()
            stopper.join()
    assert len(found) == len(runner.requests) == WINDOW  # they were answered before they could be taken back
    assert runner.cancelled == list(range(1, WINDOW))
    with pytest.raises(Cancelled, match=f"stopped after {WINDOW} of {3 * WINDOW}"):
        run.exit_code()


class Seats(ScriptedRunner):
    """Begins what it has been given from the last to the first, two at a time, and can take back the rest."""

    def submit(self, request):
        self.requests.append(request)
        return len(self.requests) - 1

    def cancel(self, id):
        self.cancelled.append(id)
        self.queue.put(Failed(id, Cancelled()))

    def events(self):
        while waiting := [id for id in range(len(self.requests)) if id not in self.cancelled][-2:][::-1]:
            yield from map(Started, waiting)
            for id in waiting:
                yield Done(id, Answer(self.outcomes[id], "stop", Usage(1, 2, 0, 3), Timings(), "scripted"))
            while not self.queue.empty():
                yield self.queue.get()


def test_stopped_it_takes_back_what_the_runner_has_not_begun():
    jobs = jobs_for(*map(picture, range(3 * WINDOW)))
    run = Run(jobs, FILES)
    runner = Seats([f"answer {number}" for number in range(3 * WINDOW)])
    found, under_way = [], []
    for step in run.steps(runner):
        if isinstance(step, Outcome):
            found.append(step.job.names[0])
        elif isinstance(step, Started) and step.id == WINDOW - 2:
            run.stop()
            under_way.append(run.under_way)
    assert under_way == [2]
    assert found == [f"{WINDOW - 2}.png", f"{WINDOW - 1}.png"]
    assert runner.cancelled == list(range(WINDOW - 2))
    assert len(runner.requests) == WINDOW
    with pytest.raises(Cancelled, match=f"stopped after 2 of {3 * WINDOW}"):
        run.exit_code()


def test_stopped_when_all_is_done_it_is_done():
    run = Run(jobs_for(picture(1)), FILES)
    assert len(outcomes(run, ScriptedRunner(["yes"]))) == 1
    run.stop()
    assert run.exit_code() is None


@pytest.mark.parametrize("fails", ["picture", "answer"])
def test_the_first_error_ends_a_run_that_is_to_fail_fast(fails):
    pictures = [*map(picture, range(2 * WINDOW))]
    texts = [f"answer {number}" for number in range(2 * WINDOW)]
    if fails == "picture":
        pictures[2] = BAD
    else:
        texts[2] = RequestError("no")
    run, runner = Run(jobs_for(*pictures), FILES, course=Course(fail_fast=True)), ScriptedRunner(texts)
    found = outcomes(run, runner)
    assert [outcome.result.error is None for outcome in found[:3]] == [True, True, False]
    assert len(found) == (3 if fails == "picture" else WINDOW + 2)
    assert run.exit_code() == Exit.SOME_FAILED


def test_left_early_it_cancels_what_is_under_way():
    run, runner = Run(jobs_for(*map(picture, range(5))), FILES), ScriptedRunner(["yes"] * 5)
    with closing(run.steps(runner)) as steps:
        next(step for step in steps if isinstance(step, Outcome))
    assert runner.cancelled == [1, 2, 3, 4]


def test_an_answer_comes_in_fragments_where_that_is_wished():
    job = jobs_for(picture(1))
    steps = list(Run(job, FILES).steps(ScriptedRunner(["a red circle"]), stream=True))
    assert "".join(step.text for step in steps if isinstance(step, Fragment)) == " a red circle"
    assert isinstance(steps[-1], Outcome)
    steps = list(Run(job, FILES).steps(ScriptedRunner(["a red circle"])))
    assert not [step for step in steps if isinstance(step, Fragment)]


def test_what_the_model_thought_is_in_the_result_where_that_is_wished():
    job, text = jobs_for(picture(1)), "<think>hm</think> yes"
    for thinking, thought in ((False, ""), (True, "hm")):
        (outcome,) = outcomes(Run(job, FILES, thinking=thinking), ScriptedRunner([text]))
        assert (outcome.result.text, outcome.result.thinking) == ("yes", thought)


def test_what_must_be_known_of_a_picture_is_told_before_it_is_asked_about():
    class Cut(Source):
        def load(self, detail=0, known=None):
            return replace(super().load(detail, known), notices=("cut.png: only half of it",))

    runner = ScriptedRunner(["yes"])
    with closing(Run([Job(ASK, (Cut("cut.png", picture(1).file),))], FILES).steps(runner)) as steps:
        assert next(steps) == Notice("cut.png: only half of it")
        assert runner.requests == []


def test_an_answer_is_in_its_sidecar_before_it_is_told(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(picture(ord(name)).file)
    (tmp_path / "b.txt").mkdir()
    jobs = jobs_for(*(Source(f"{name}.png", tmp_path / f"{name}.png") for name in "ab"))
    course = Course(sidecar="txt", existing="replace")
    run = Run(jobs, FILES, course=course, sidecars=Sidecars(course, jobs))
    found = []
    for step in run.steps(ScriptedRunner(["one", "two"])):
        if isinstance(step, Outcome):
            if not found:
                assert (tmp_path / "a.txt").read_text("utf-8") == "one\n"
            found.append(step.result)
    assert (found[0].text, "a folder, so no text can be written there" in found[1].error.message) == ("one", True)


def test_only_what_was_delivered_is_remembered(tmp_path):
    """A driver that dies between an outcome and `remember` is told that outcome again by the next run."""
    jobs, course = jobs_for(*map(picture, range(4))), Course(journal=str(tmp_path / "run.jsonl"))
    with remaining(course, jobs, FILES) as left:
        run = Run(left.jobs, FILES, course=course, memory=left.memory)
        for number, outcome in enumerate(outcomes(run, ScriptedRunner(["yes"] * 4))):
            assert len((tmp_path / "run.jsonl").read_bytes().splitlines()) == min(number, 2)
            if number < 2:
                run.remember(outcome)
    with remaining(course, jobs, FILES) as left:
        assert [job.names for job in left.jobs] == [["2.png"], ["3.png"]]
        assert (left.before.done, left.before.failed, left.everything) == (2, 0, jobs)


def test_a_run_after_one_that_failed_has_failed_in_part(tmp_path):
    jobs, course = jobs_for(BAD, picture(1)), Course(journal=str(tmp_path / "run.jsonl"))
    for text, code in ((RequestError("no"), Exit.FAILED), ("yes", Exit.SOME_FAILED)):
        with remaining(replace(course, retry_errors=True), jobs, FILES) as left:
            run = Run(left.jobs, FILES, course=course, memory=left.memory)
            for outcome in outcomes(run, ScriptedRunner([text])):
                run.remember(outcome)
            assert run.exit_code() == code
    with remaining(course, jobs, FILES) as left:
        assert (list(left.jobs), left.before.done, left.before.failed) == ([], 1, 1)
        assert Run(left.jobs, FILES, course=course, memory=left.memory).exit_code() == Exit.SOME_FAILED


def test_how_long_it_takes_is_said_by_the_first():
    runner = ScriptedRunner(["yes"] * 3)
    assert "(the first 3 took " in estimate(runner, jobs_for(*map(picture, range(5))))
    assert len(runner.requests) == 3
    assert "(the first took " in estimate(ScriptedRunner(["yes"]), jobs_for(BAD, picture(1)))
    assert estimate(ScriptedRunner(["yes"]), jobs_for(picture(1))) == "the question takes less than 1 s"
    assert "time unknown" in estimate(ScriptedRunner([]), jobs_for(BAD))


def test_no_terminal_and_no_command_line_are_needed():
    code = (
        "import sys, vlmcli.batch.run, vlmcli.batch.remaining, vlmcli.batch.estimate;"
        "sys.exit(' '.join(m for m in sys.modules if m.startswith(('vlmcli.terminal', 'vlmcli.cli', 'typer', 'rich'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_an_outcome_is_an_answer_or_an_error():
    found = outcomes(Run(jobs_for(BAD, picture(1)), FILES), ScriptedRunner(["yes"]))
    assert [isinstance(one.result.answer, Answer) for one in found] == [False, True]
    assert [one.work for one in found] == [None, None]


# -------------------------------------------------------------------------------------------- several requests a job


THREE = Decide(tuple(Question("predicate", f"{letter}?") for letter in "abc"))


class Deciding(ScriptedRunner):
    """Begins and ends one request after the other; each says yes, but those that are to fail."""

    def __init__(self, failing=()):
        super().__init__([])
        self.failing = failing

    def submit(self, request):
        self.requests.append(request)
        return len(self.requests) - 1

    def events(self):
        ended = set()
        while waiting := [id for id in range(len(self.requests)) if id not in ended and id not in self.cancelled]:
            id = waiting[0]
            ended.add(id)
            yield Started(id)
            scores = (Score(-0.1, 1), Score(-3.0, 1))
            done = Done(id, Answer("", "stop", Usage(1, 2, 0, 0), Timings(prefill=1.0), "scripted", scores))
            yield Failed(id, RequestError("no")) if id in self.failing else done
            while not self.queue.empty():
                yield self.queue.get()


def test_a_job_of_several_requests_is_one_outcome():
    run = Run(jobs_for(picture(1), picture(2), tasks=[THREE]), FILES)
    assert told(run, Deciding()) == [(f"{number}.png", "a?: yes; b?: yes; c?: yes") for number in (1, 2)]
    assert run.spent.prefill == 6.0


def test_where_one_request_fails_its_job_does_and_the_others_go_on():
    run, runner = Run(jobs_for(picture(1), picture(2), tasks=[THREE]), FILES), Deciding(failing={1})
    assert told(run, runner) == [("1.png", "no"), ("2.png", "a?: yes; b?: yes; c?: yes")]
    assert runner.cancelled == [2]
    assert len(run.errors) == 1


def test_a_job_that_fails_while_its_requests_are_still_to_come_asks_no_more():
    many = Decide(tuple(Question("predicate", f"{number}?") for number in range(WINDOW + 10)))
    runner = Deciding(failing={0})
    run = Run(jobs_for(picture(1), picture(2), tasks=[many]), FILES)
    assert [name for name, _ in told(run, runner)] == ["1.png", "2.png"]
    assert len(runner.requests) == WINDOW + len(many.questions)


def test_stopped_it_finishes_all_questions_about_the_picture_that_is_under_way():
    run, runner, found = Run(jobs_for(*map(picture, range(9)), tasks=[THREE]), FILES), Deciding(), []
    for step in run.steps(runner):
        if isinstance(step, Outcome):
            found.append(step.result.text)
        elif isinstance(step, Started) and step.id == 1:
            run.stop()
    assert found == ["a?: yes; b?: yes; c?: yes"]
    assert runner.cancelled == list(range(3, len(runner.requests)))
