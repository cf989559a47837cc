"""The jobs of a command on their way through a runner: what is asked next, and what is told next.

Jobs that ask the same about equal pixels are asked once; outcomes come in the jobs' order, or as they end. Answers go
into their sidecars here, and records into the journal when whoever takes the outcomes says so. Knows jobs, the runner,
the memory and the sidecars. Does not know who takes the outcomes: a terminal, a server, a test.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from vlmcli.batch.ahead import Ahead
from vlmcli.batch.course import ONCE, Course, Job, count, skipped
from vlmcli.batch.memory import Before, Memory, Work
from vlmcli.batch.sidecars import Sidecars
from vlmcli.errors import Cancelled, Exit, NativeError, NoServer, SourceError, TimedOut, VlmError
from vlmcli.pictures.sources import Source
from vlmcli.records.journal import Fingerprint, fingerprint
from vlmcli.tasks.task import Task, joined
from vlmcli.values import (
    Answer,
    Delta,
    Done,
    Failed,
    ModelFiles,
    Notice,
    Picture,
    Progress,
    Request,
    Result,
    Runner,
    Started,
    Timings,
    no_more,
    room_of,
)

if TYPE_CHECKING:
    from vlmcli.pictures.known import Known

WINDOW = 16
"""Requests that are under way or wait, with their pictures in memory, unless the runner wants more."""
KEPT = 1024
"""Answers that are given again when the same is asked about the same pixels."""

_SLOWER = "allow more with --timeout, or make it faster with --detail low or a smaller --max-tokens"


@dataclass(frozen=True)
class Fragment:
    """The next piece of a job's answer, in a run that streams."""

    job: Job
    text: str


@dataclass(frozen=True)
class Outcome:
    """What came of a job, when its turn has come.

    Attributes:
        job: which has ended.
        result: its answer, or its error.
        work: what it is called in the journal; None in a run that is not remembered.
        drawn: whether its pictures all look like drawings; looked at only where the model answers it does not know.
    """

    job: Job
    result: Result
    work: Work | None = None
    drawn: bool = False


@dataclass(frozen=True)
class Stage:
    """What a run is at that has no runner on this machine; `begun` where its pictures are being asked about."""

    text: str
    begun: bool = False


Step = Started | Progress | Notice | Fragment | Outcome | Stage
"""What a run tells: how far the runner has come, what a person must know, and what came of the jobs."""


class Run:
    """The jobs of a command on their way.

    Attributes:
        jobs: that are to be done.
        files: the model.
        course: how the run goes through its pictures.
        memory: the journal, if the run has one.
        thinking: whether results have what the model thought.
        ended: how many jobs have had their outcome.
        errors: of the jobs that failed, in the order of the outcomes.
        changed: how many files beside the pictures, or of them, have an answer written to them.
        stayed: how many have a text that was there before, and stays.
        unwritten: how many answers were not written there, by the reason.
        spent: where the time of all answers went that were asked for; an answer that is given again took none.
        stopping: whether nothing more is asked.
        dropping: whether what the runner has not begun yet is taken back, too.
    """

    streams: ClassVar[bool] = True
    """Whether an answer can be had as it comes."""

    def __init__(
        self,
        jobs: Sequence[Job],
        files: ModelFiles,
        *,
        course: Course = ONCE,
        memory: Memory | None = None,
        sidecars: Sidecars | None = None,
        skipped: int = 0,
        thinking: bool = False,
        known: Known | None = None,
        window: int = WINDOW,
    ) -> None:
        """The run's clock starts; nothing is asked before `steps`.

        `sidecars` are where else the answers go, `skipped` pictures were left out because they have a text there,
        `known` files were read before, and `window` requests are under way or wait, or more if the runner wants more.
        """
        self.jobs, self.files, self.course, self.memory, self.thinking = jobs, files, course, memory, thinking
        self.ended = 0
        self.errors: list[VlmError] = []
        self.changed = self.stayed = 0
        self.unwritten: Counter[str] = Counter()
        self.spent = Timings()
        self.stopping = self.dropping = False
        self._window = window
        self._sidecars, self._skipped, self._known = sidecars, skipped, known
        self._ahead = Ahead(jobs)
        self._asked: dict[int, int] = {}  # jobs by the ids of their requests
        self._answers: dict[int, dict[int, Answer | None]] = {}  # those to a job's requests, by their ids; None yet
        self._begun: set[int] = set()  # ids of requests that the runner has begun
        self._requests: dict[int, int] = {}  # how many a job has
        self._failed: set[int] = set()  # jobs of which a request has failed
        self._twins = _Twins()
        self._waiting: dict[int, Answer | VlmError] = {}  # jobs that have ended, and whose turn has not come
        self._works: dict[int, Work] = {}  # of jobs that have no outcome yet
        self._unwritten: dict[int, Fingerprint] = {}  # pictures as they were asked about, to be written into
        self._notices: dict[int, tuple[str, ...]] = {}  # of the pictures of jobs that have no outcome yet
        self._shown: dict[int, Sequence[Picture]] = {}  # by job, while it is asked; for a model that may not know
        self._drawn: set[int] = set()  # jobs without an outcome, not answered by the model, about drawings only
        self._began = time.monotonic()

    @property
    def left(self) -> int:
        """How many jobs have had no outcome yet."""
        return len(self.jobs) - self.ended

    @property
    def seconds(self) -> float:
        """How long the run has been going on."""
        return time.monotonic() - self._began

    @property
    def before(self) -> Before:
        """What earlier runs have done, by the memory."""
        return self.memory.before if self.memory is not None else Before()

    @property
    def so_far(self) -> str:
        """How many of how many: pictures, or answers where each picture has several questions."""
        several = len(self.jobs) > 1 and self.jobs[0].group == self.jobs[1].group
        return f"{self.ended:,} of {len(self.jobs):,}{' answers' if several else ''}"

    @property
    def skipped(self) -> str:
        """What was left out because it has a text already, in words; empty for nothing."""
        return skipped(self._skipped) if self._skipped else ""

    @property
    def wrote(self) -> str:
        """What this run has written beside its pictures or into them, in words; empty for nothing."""
        if self._sidecars is None:
            return ""
        said = []
        if self.changed:
            what = count(self.changed, "file") if self._sidecars.inside else count(self.changed, "text")
            said.append(f"{'changed' if self._sidecars.inside else 'wrote'} {what}")
        if self.stayed:
            said.append(f"kept {count(self.stayed, 'text')} that {'was' if self.stayed == 1 else 'were'} there")
        return ", ".join(said)

    def about(self, event: Started | Progress) -> str:
        """The names of the pictures that an event of the runner's is about."""
        number = self._asked.get(event.id) if event.id is not None else None
        return "" if number is None else " ".join(self.jobs[number].names)

    def stop(self) -> None:
        """Ask nothing more; what the runner has begun is finished, and what it has only been given is taken back.

        Safe in a signal handler, and from another thread.
        """
        self.stopping = self.dropping = True

    @property
    def under_way(self) -> int:
        """How many pictures the runner has begun and not ended. Safe in a signal handler, too."""
        begun = [number for id, number in list(self._asked.items()) if id in self._begun]
        return sum(map(len, {self.jobs[number].group: self.jobs[number].pictures for number in begun}.values()))

    def steps(self, runner: Runner, *, stream: bool = False) -> Generator[Step, None, None]:
        """Ask the runner, and yield what comes of it until all jobs have ended, or those it has begun after a `stop`.

        An outcome that needs no runner (a picture that cannot be read) comes at once, and waits for no event of it.
        The runner's events are taken: one caller at a time. Left early, it cancels what it has submitted.

        Args:
            runner: what answers.
            stream: whether answers come in fragments, too, before their outcomes.
        """
        asked, feed, events = self._asked, self._feed(stream), runner.events()
        dropped: set[int] = set()
        try:
            while True:
                while len(asked) < max(self._window, room_of(runner)):
                    if (fed := next(feed, None)) is None:
                        no_more(runner)
                        break
                    if isinstance(fed, tuple):
                        number, request = fed
                        id = runner.submit(request)
                        asked[id] = number
                        self._answers.setdefault(number, {})[id] = None
                    else:
                        yield fed
                if self.dropping:
                    dropped |= self._drop(runner, dropped)
                event = next(events, None) if asked else None
                if event is None:
                    break
                if event.id is not None and event.id not in asked:
                    continue
                if event.id is not None:
                    self._begun.add(event.id)
                if isinstance(event, Failed) and event.id in dropped:
                    del asked[event.id]
                elif isinstance(event, Failed) and isinstance(event.error, NoServer):
                    yield from self._out_of_turn()
                    raise self._gone(event.error)
                elif isinstance(event, Done | Failed):
                    number, outcome = self._take(runner, event)
                    if outcome is None:
                        continue
                    ended = self._twins.ended(number, outcome)
                    self._waiting |= dict.fromkeys(ended, outcome)
                    if self._is_about_drawings(number, outcome, self._shown.pop(number, ())):
                        self._drawn.update(ended)
                    yield from self._ready()
                elif isinstance(event, Started | Progress | Notice):
                    yield event
                elif isinstance(event, Delta) and stream:
                    yield Fragment(self.jobs[asked[event.id]], event.text)
            yield from self._out_of_turn()
        finally:
            for id in asked:
                runner.cancel(id)

    def _take(self, runner: Runner, event: Done | Failed) -> tuple[int, Answer | VlmError | None]:
        """The end of a request: its job, and the job's outcome, which is None while others of its requests go on."""
        id = event.id
        self._begun.discard(id)
        number = self._asked.pop(id)
        answers = self._answers[number]
        if isinstance(event, Failed):
            for other in [other for other, answer in answers.items() if answer is None and other in self._asked]:
                runner.cancel(other)
                del self._asked[other]
                self._begun.discard(other)
            self._failed.add(number)
            del self._answers[number]
            return number, event.error
        self.spent += event.answer.timings
        answers[id] = event.answer
        there = [answer for answer in answers.values() if answer is not None]
        if len(there) < self._requests[number]:
            return number, None
        del self._answers[number]
        return number, joined(there)

    def _drop(self, runner: Runner, dropped: set[int]) -> set[int]:
        """Take back what the runner has not begun; of that it sends `Failed`, or `Done` where it was quicker."""
        begun = {self._asked[id] for id in self._begun if id in self._asked}
        begun |= {number for number, answers in self._answers.items() if any(answers.values())}
        back = {id for id, number in self._asked.items() if number not in begun} - dropped
        for id in sorted(back):
            runner.cancel(id)
        return back

    def _out_of_turn(self) -> Iterator[Outcome]:
        """The answers that wait for the turn of a job that was taken back."""
        for number in sorted(self._waiting):
            if isinstance(self._waiting[number], Answer):
                yield self._outcome(number, self._waiting.pop(number))

    def remember(self, outcome: Outcome) -> None:
        """Record an outcome in the journal, if there is one. To be called when the outcome has been delivered.

        Not before: what has a record is never asked again, so that a run that is killed between the two delivers an
        outcome twice, and loses none. Raises VlmError where the journal cannot be written.
        """
        if self.memory is not None and outcome.work is not None:
            self.memory.write(outcome.work, outcome.result)

    def remarks(self) -> list[str]:
        """What has become of the answers that go into files, in lines."""
        return [
            f"{count(number, 'answer')} {'was' if number == 1 else 'were'} not written: {reason}"
            for reason, number in self.unwritten.items()
        ]

    def exit_code(self) -> Exit | None:
        """What the run came to, when its steps have ended: None where nothing failed, in earlier runs either.

        Raises Cancelled where it was stopped before all was done.
        """
        if self.stopping and self.left and not (self.errors and self.course.fail_fast):
            raise self.stopped()
        before = self.before
        if not self.errors:
            return Exit.SOME_FAILED if before.failed else None
        if len(self.errors) < self.ended or before.failed or before.done or self._skipped:
            return Exit.SOME_FAILED
        native = (error.exit_code for error in self.errors if isinstance(error, NativeError))
        return next(native, self.errors[0].exit_code)

    def stopped(self) -> Cancelled:
        """Why the run has ended, where somebody stopped it: how far it has come, and how to go on."""
        hint = "add --output FILE next time, to continue where it stopped"
        if self.course.goes_on:
            hint = "run the same command again to continue"
        return Cancelled(f"stopped after {self.so_far}", hint)

    def _gone(self, error: NoServer) -> NoServer:
        """No server answers any more. What is left gets no records that say so, so that a later run asks it."""
        if not self.course.goes_on or not self.ended:
            return error
        return NoServer(f"{error.message}; stopped after {self.so_far}", "run the same command again to continue")

    def _feed(self, stream: bool) -> Iterator[tuple[int, Request] | Step]:
        """A request, with its job's number, for each job that must be asked; in between, what is known without asking.

        Pictures are read when there is room for their request; one that cannot be read is an outcome.
        """
        last: tuple[Source, ...] = ()
        pictures: list[Picture] | SourceError = []
        for number, job in enumerate(self.jobs):
            if self.stopping:
                return
            if self.memory is not None:
                self._works[number] = self.memory.work(job)  # before they are read
            if self._sidecars is not None and (refused := self._sidecars.refusal(job)):
                self._waiting[number] = refused
                yield from self._ready()
                continue
            if self._sidecars is not None and self._sidecars.inside:
                self._unwritten[number] = fingerprint(job.pictures[0].file)
            since = time.monotonic()
            if job.pictures != last:
                last = job.pictures
                try:
                    pictures = self._ahead.near(number).load(self._known)
                except SourceError as error:
                    pictures = error
            if isinstance(pictures, SourceError):
                self._waiting[number] = pictures
                yield from self._ready()
                self.stopping |= self.course.fail_fast
                continue
            self._notices[number] = tuple(text for picture in pictures for text in picture.notices)
            yield from map(Notice, self._notices[number])
            if self._is_twin(number, job, pictures):
                yield from self._ready()
                continue
            if self.files.card.unsure:
                self._shown[number] = pictures
            requests = job.task.requests(pictures)
            self._requests[number] = len(requests)
            for request in requests:
                if number not in self._failed:
                    yield number, replace(request, stream=stream, timeout=self.course.timeout, since=since)

    def _is_twin(self, number: int, job: Job, pictures: Sequence[Picture]) -> bool:
        """Whether the same was asked before about equal pixels; then that answer is or will be this job's, too."""
        if len(self.jobs) == 1 or job.task.sampling.temperature > 0:
            return False
        same = job.task, tuple(picture.identity for picture in pictures)
        answer = self._twins.answer(same)
        if answer is not None:
            self._waiting[number] = answer
            if self._is_about_drawings(number, answer, pictures):
                self._drawn.add(number)
            return True
        return not self._twins.is_first(number, same)

    def _is_about_drawings(self, number: int, ended: Answer | VlmError, pictures: Sequence[Picture]) -> bool:
        """Whether the model does not know what to answer, though all it was shown are drawings."""
        job, unsure = self.jobs[number], self.files.card.unsure
        if not unsure or job.task.result(job.names, ended, self.files.name).text != unsure:
            return False
        from vlmcli.pictures.drawings import is_drawn  # a page of help needs no numpy

        try:
            return all(map(is_drawn, pictures))
        except SourceError:  # a known file that is read only now, and has changed
            return False

    def _ready(self) -> Iterator[Outcome]:
        """The outcomes of jobs that have ended and whose turn has come."""
        while self._waiting:
            number = next(iter(self._waiting)) if self.course.unordered else self.ended
            if number not in self._waiting:
                return
            yield self._outcome(number, self._waiting.pop(number))

    def _outcome(self, number: int, ended: Answer | VlmError) -> Outcome:
        """A job's outcome, its answer in its sidecar; where it cannot be written there, that error is the outcome."""
        job, work, unwritten = self.jobs[number], self._works.pop(number, None), self._unwritten.pop(number, None)
        if isinstance(ended, TimedOut):
            ended = TimedOut(f"{' '.join(job.names)}: no answer within {self.course.timeout or 0:g} s", _SLOWER)
        result = job.task.result(job.names, ended, self.files.name)
        if not self.thinking and (error := job.task.only_thought(result)) is not None:
            result = job.task.result(job.names, error, self.files.name)
        result = replace(result, notices=self._notices.pop(number, ()))
        if self._sidecars is not None and result.answer is not None:
            try:
                self._write(self._sidecars, job, result.text, unwritten)
            except VlmError as error:
                result = replace(job.task.result(job.names, error, self.files.name), notices=result.notices)
            else:
                if self.memory is not None and self._sidecars.inside:
                    work = self.memory.work(job)  # the file is another now
        if result.error is not None:
            self.errors.append(result.error)
            self.stopping |= self.course.fail_fast
        self.ended += 1
        drawn = number in self._drawn
        self._drawn.discard(number)
        return Outcome(job, result if self.thinking else replace(result, thinking=""), work, drawn)

    def _write(self, sidecars: Sidecars, job: Job, text: str, before: Fingerprint | None) -> None:
        """Write an answer where else it goes, if it says something. Raises VlmError where that cannot be."""
        if reason := sidecars.unsaid(text, self.files.card):
            self.unwritten[reason] += 1
        elif sidecars.keeps(job):
            self.stayed += 1
        else:
            self.changed += sidecars.write(job, text, before)


_Same = tuple[Task, tuple[str, ...]]
"""What is asked, and the identities of the pictures it is asked about."""


class _Twins:
    """Jobs, by their numbers, that ask the same about equal pixels: the first is asked, the others take its answer."""

    def __init__(self) -> None:
        self._answers: dict[_Same, Answer] = {}  # the last ones
        self._asked: dict[int, _Same] = {}
        self._others: dict[_Same, list[int]] = {}  # jobs that wait for the answer of one that is asked

    def answer(self, same: _Same) -> Answer | None:
        """The answer of one that has ended."""
        return self._answers.get(same)

    def is_first(self, number: int, same: _Same) -> bool:
        """Whether this job is to be asked; another one waits for the first."""
        if same in self._others:
            self._others[same].append(number)
            return False
        self._others[same] = []
        self._asked[number] = same
        return True

    def ended(self, number: int, outcome: Answer | VlmError) -> list[int]:
        """The jobs that an outcome is of: the one that was asked, and those that waited for it."""
        same = self._asked.pop(number, None)
        if same is None:
            return [number]
        if isinstance(outcome, Answer):
            self._answers[same] = outcome
            while len(self._answers) > KEPT:
                del self._answers[next(iter(self._answers))]
        return [number, *self._others.pop(same)]
