"""A command's questions about its pictures: find the model, run, show what comes."""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import typer

from vlmcli import records
from vlmcli.amounts import duration
from vlmcli.cli.course import ONCE, Before, Course, Job, Memory, Sidecars, Work, count, plan
from vlmcli.cli.naming import Named, grouped, named_pictures
from vlmcli.cli.pulling import find_model
from vlmcli.cli.running import runner_of
from vlmcli.errors import Cancelled, Exit, ModelError, NativeError, SourceError, VlmError
from vlmcli.settings import Settings, debugging
from vlmcli.sources import Source
from vlmcli.tasks import Ask
from vlmcli.thinking import Thinking
from vlmcli.ui import Ui
from vlmcli.values import (
    Answer,
    Card,
    Delta,
    Done,
    Failed,
    ModelFiles,
    Picture,
    Request,
    Result,
    Runner,
    Sampling,
    run,
)

WINDOW = 16
"""Requests that are under way or wait, with their pictures in memory."""

REMEMBERED = 1024
"""Answers that are given again when the same is asked about the same pixels."""
Same = tuple[Ask, tuple[str, ...]]

log = logging.getLogger("vlmcli")


def answer(
    questions: Callable[[Card], Sequence[str]],
    named: Named,
    settings: Settings,
    chat_template: str,
    system: str,
    sampling: tuple[Sampling, int],
    *,
    json: bool,
    stats: bool,
    table: str = "",
    think: bool = False,
    plain: bool = False,
    worker: bool | None = None,
    end_loops: bool = False,
    course: Course = ONCE,
) -> None:
    """Ask a model's questions about the pictures that were named, and show what comes of it.

    One question is answered in this process, which starts sooner; several in a worker's, unless `worker` says which.
    Raises typer.Exit with the code of some or all failing.
    """
    with Ui(markdown=not plain) as ui, ExitStack() as stack:
        files = None
        jobs = [Job(Ask(question), ()) for question in questions(Card())]
        json |= course.output is not None
        try:
            found, context = named_pictures(named)
            files = find_model(ui, settings, chat_template)
            tasks = [Ask(q, context, system, *sampling, end_loops, files.card.think) for q in questions(files.card)]
            groups = grouped(found, each=named.each, together=named.together)
            jobs = [Job(task, group) for group in groups for task in tasks]
            sidecars = Sidecars(course, jobs) if course.sidecar else None
            if sidecars is not None:
                jobs, there = sidecars.left(jobs)
                if there:
                    ui.say(f"{count(there, 'picture')} with a sidecar not asked about; --existing replace writes anew")
            memory = stack.enter_context(Memory.of(course, files, found)) if course.output else None
            jobs, before = (memory.left(jobs), memory.before) if memory else (jobs, Before())
            if course.dry_run or not jobs:
                ui.say(plan(jobs, before))
                failed = Exit.SOME_FAILED if before.failed and not course.dry_run else None
            else:
                ui.notice(files.card.notice)
                with runner_of(ui, files, settings, [job.names for job in jobs], worker) as runner:
                    failed = answer_all(
                        ui, runner, jobs, files, json=json, stats=stats, think=think, table=table,
                        memory=memory, sidecars=sidecars, course=course,
                    )  # fmt: skip
        except (ModelError, SourceError) as error:
            for job in jobs if json and course.output is None else ():
                name = files.name if files else settings.model
                ui.line(records.json_line(job.task.result(job.names or list(named.names), error, name)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


def answer_all(
    ui: Ui,
    runner: Runner,
    jobs: Sequence[Job],
    files: ModelFiles,
    *,
    json: bool,
    stats: bool,
    think: bool = False,
    table: str = "",
    memory: Memory | None = None,
    sidecars: Sidecars | None = None,
    course: Course = ONCE,
) -> Exit | None:
    """Run the jobs and show each outcome in order. Returns an exit code when some failed."""
    show = _Show(ui, jobs, files, memory, sidecars, course, json=json, stats=stats, think=think, table=table)
    with show.interruptible():
        for number, event in run(runner, show.requests(), window=WINDOW):
            if isinstance(event, Delta):
                show.piece(event.text)
            elif isinstance(event, Done | Failed):
                show.ended(number, event.answer if isinstance(event, Done) else event.error)
            else:
                ui.progress(event)
    return show.finish()


class _Show:
    """The jobs of a command on their way: what is asked, and what is shown of it, in the jobs' order."""

    def __init__(
        self,
        ui: Ui,
        jobs: Sequence[Job],
        files: ModelFiles,
        memory: Memory | None,
        sidecars: Sidecars | None,
        course: Course,
        *,
        json: bool,
        stats: bool,
        think: bool,
        table: str,
    ) -> None:
        """The separator of a table's columns is `table`; empty for none."""
        self._ui, self._jobs, self._files, self._course = ui, jobs, files, course
        self._memory, self._sidecars = memory, sidecars
        self._json, self._stats, self._think = json, stats, think
        self._groups = len({job.pictures for job in jobs}) > 1 or any(job.pictures[0].expanded for job in jobs)
        self._questions = len({job.task.question for job in jobs}) > 1
        self._streaming = len(jobs) == 1 and not self._groups and not json and not table
        self._table = table
        self._row: list[str] = []  # of a table, as far as it is known
        self._row_error = ""
        if table:
            asked = dict.fromkeys(job.task.question for job in jobs)
            ui.line(records.table_row(("picture", *asked, "error"), table))
        self._thinking = Thinking(files.card.think)
        self._submitted: list[int] = []  # jobs by the number of their request
        self._outcomes: dict[int, Answer | VlmError] = {}  # of jobs that have ended and are not shown yet
        self._answers: dict[Same, Answer] = {}  # the last ones
        self._sames: dict[int, Same] = {}  # of jobs that are asked
        self._twins: dict[Same, list[int]] = {}  # jobs that wait for the answer of another
        self._works: dict[int, Work] = {}  # of jobs that are not written yet
        self._shown = 0
        self._errors: list[VlmError] = []
        self._unsure = False
        self._stopping = False
        self._began = time.monotonic()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """In a run that is remembered, the first Ctrl-C ends it in order, and the second at once."""
        if self._memory is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_: object) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True
            self._ui.say("finishing what is under way; Ctrl-C again stops at once")

        old = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, old)

    def requests(self) -> Iterator[Request]:
        """Pictures are read when there is room for their request; one that cannot be read is an outcome."""
        last: tuple[Source, ...] = ()
        pictures: list[Picture] | SourceError = []
        for number, job in enumerate(self._jobs):
            if self._stopping:
                return
            if self._memory is not None:
                self._works[number] = self._memory.work(job)  # before they are read
            if job.pictures != last:
                last = job.pictures
                try:
                    pictures = [source.load() for source in job.pictures]
                except SourceError as error:
                    pictures = error
            if isinstance(pictures, SourceError):
                self._outcomes[number] = pictures
                self._show_next()  # the next event may be long in coming
                self._stopping |= self._course.fail_fast
                continue
            for picture in pictures:
                self._ui.notice(picture.notice)
            if self._is_twin(number, (job.task, tuple(picture.identity for picture in pictures))):
                self._show_next()
                continue
            self._submitted.append(number)
            yield replace(job.task.request(pictures), stream=self._streaming)

    def _is_twin(self, number: int, same: Same) -> bool:
        """Whether this was asked before about equal pixels; then that answer is or will be this one's, too."""
        if len(self._jobs) == 1 or self._jobs[number].task.sampling.temperature > 0:
            return False
        if same in self._answers:
            self._outcomes[number] = self._answers[same]
        elif same in self._twins:
            self._twins[same].append(number)
        else:
            self._twins[same] = []
            self._sames[number] = same
            return False
        return True

    def piece(self, text: str) -> None:
        """The next piece of an answer; shown at once if it is the only one."""
        if self._streaming:
            self._stream(*self._thinking.feed(text))

    def ended(self, request: int, outcome: Answer | VlmError) -> None:
        """A request has ended: show it, and what waited for it."""
        number = self._submitted[request]
        self._outcomes[number] = outcome
        same = self._sames.pop(number, None)
        if same is not None:
            for twin in self._twins.pop(same):
                self._outcomes[twin] = outcome
            if isinstance(outcome, Answer):
                self._answers[same] = outcome
                while len(self._answers) > REMEMBERED:
                    del self._answers[next(iter(self._answers))]
        self._show_next()

    def finish(self) -> Exit | None:
        """Show the rest. Returns an exit code when some failed; raises Cancelled when the user stopped it."""
        self._show_next()
        if self._unsure:
            self._ui.say(self._files.card.unsure_hint)
        failed_before = 0
        if self._memory is not None:
            failed_before = self._memory.before.failed
            self._ui.say(self._summary(self._memory.before))
        if self._stopping and not (self._errors and self._course.fail_fast):
            left = len(self._jobs) - self._shown
            raise Cancelled(f"stopped, {count(left, 'question')} left", "the same command goes on from there")
        if not self._errors:
            return Exit.SOME_FAILED if failed_before else None
        if len(self._errors) < self._shown or failed_before:
            return Exit.SOME_FAILED
        native = (error.exit_code for error in self._errors if isinstance(error, NativeError))
        return next(native, self._errors[0].exit_code)

    def _summary(self, before: Before) -> str:
        """What has been done, in a line."""
        failed, seconds = len(self._errors), time.monotonic() - self._began
        said = f"{self._shown - failed:,} answered"
        said += f", {failed:,} failed" if failed else ""
        left = len(self._jobs) - self._shown
        said += f", {count(left, 'question')} not asked" if left else ""
        said += f", in {duration(seconds)}"
        return f"{said}; {before}" if before.done or before.failed else said

    def _stream(self, thought: str, text: str) -> None:
        if self._think:
            self._ui.stream(thought, plain=True)
        elif self._thinking.inside:
            self._ui.thinking()
        self._ui.stream(text)

    def _show_next(self) -> None:
        while self._shown in self._outcomes:
            job, outcome = self._jobs[self._shown], self._outcomes.pop(self._shown)
            if self._sidecars is not None and isinstance(outcome, Answer):
                try:
                    self._sidecars.write(job, job.task.result(job.names, outcome, self._files.name).text)
                except VlmError as error:
                    outcome = error
            result = job.task.result(job.names, outcome, self._files.name)
            if isinstance(outcome, VlmError):
                self._show_error(result, outcome)
                self._stopping |= self._course.fail_fast
            kept = result if self._think else replace(result, thinking="")
            if self._memory is not None:
                self._memory.write(self._works.pop(self._shown), kept)
            elif self._json:
                self._ui.line(records.json_line(kept))
            elif self._table:
                self._show_cell(job, kept)
            elif isinstance(outcome, Answer):
                self._show_answer(job, result, outcome)
            if isinstance(outcome, Answer):
                self._show_remarks(job, result, outcome)
            self._unsure |= bool(self._files.card.unsure) and result.text == self._files.card.unsure
            self._shown += 1
            if self._memory is not None and self._shown < len(self._jobs):
                self._ui.status(self._so_far(job))

    def _so_far(self, job: Job) -> str:
        """How far a run is: count, pace, time left, errors, and the picture."""
        pace = self._shown / max(1e-3, time.monotonic() - self._began)
        left = duration((len(self._jobs) - self._shown) / pace)
        errors = f", {count(len(self._errors), 'error')}" if self._errors else ""
        done = f"{self._shown:,} of {len(self._jobs):,}, {pace * 60:.0f} a minute"
        return f"{done}, {left} left{errors}: {' '.join(job.names)}"

    def _show_error(self, result: Result, error: VlmError) -> None:
        if self._ui.streaming:
            self._ui.end_stream()
        whole = isinstance(error, ModelError | SourceError)  # a picture's or a model's, not one a question
        last = self._errors[-1] if self._errors else None
        if last is not error and not (whole and str(last) == str(error)):  # from a worker they come as copies
            if debugging():
                traceback.print_exception(error)
            if self._questions and not whole:
                self._ui.say(f"{result.question}:")
            self._ui.error(error)
        self._errors.append(error)

    def _show_cell(self, job: Job, result: Result) -> None:
        """One more answer of a group's row, which is shown when it is whole."""
        self._row.append(result.text)
        self._row_error = self._row_error or (result.error.message if result.error else "")
        following = self._jobs[self._shown + 1 : self._shown + 2]
        if not following or following[0].pictures != job.pictures:
            self._ui.line(records.table_row((" ".join(job.names), *self._row, self._row_error), self._table))
            self._row, self._row_error = [], ""

    def _show_answer(self, job: Job, result: Result, answer: Answer) -> None:
        if self._streaming:
            self._stream(*self._thinking.finish())
            self._ui.end_stream()
            return
        lined = replace(result, text=answer.text.strip()) if self._think else result
        question = (result.question,) if self._questions or not self._groups else ()
        self._ui.line(records.line(lined, (" ".join(job.names), *question)))

    def _show_remarks(self, job: Job, result: Result, answer: Answer) -> None:
        """What a person should know of how the answer ended."""
        about = f"{' '.join(job.names)}: " if self._groups else ""
        if answer.finish_reason == "loop":
            self._ui.say(f"{about}the answer only repeated itself, and was ended")
        only_thought = bool(answer.text.strip()) and not result.text
        if answer.finish_reason == "length":
            count = answer.usage.answer_tokens
            tokens = "token" if count == 1 else "tokens"
            what = "the answer is empty: the model was still thinking" if only_thought else "the answer is cut off"
            self._ui.say(f"{about}{what} after {count} {tokens}; --max-tokens or --ctx gives it more")
        elif only_thought:
            hint = "" if self._think else "; --think shows it"
            self._ui.say(f"{about}the answer is empty: the model thought, and said nothing{hint}")
        if self._stats:
            self._ui.stats(answer)
