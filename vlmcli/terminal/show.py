"""A command's questions on their way: what is asked of a runner, and how each outcome is shown and recorded."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from vlmcli.amounts import duration
from vlmcli.batch.course import (
    ONCE,
    Before,
    Course,
    Job,
    Memory,
    Work,
    count,
)
from vlmcli.batch.sidecars import Sidecars
from vlmcli.errors import Cancelled, Exit, ModelError, NativeError, SourceError, UsageError, VlmError
from vlmcli.pictures.sources import Source
from vlmcli.records import lines
from vlmcli.records.journal import Print, print_of
from vlmcli.records.target import begins_with, ends_with_line, length_of_stdout
from vlmcli.settings import debugging
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.thinking import Thinking
from vlmcli.terminal.ui import Ui
from vlmcli.values import (
    Answer,
    Delta,
    Done,
    Failed,
    ModelFiles,
    Picture,
    Request,
    Result,
    Runner,
    run,
)

WINDOW = 16
"""Requests that are under way or wait, with their pictures in memory."""

REMEMBERED = 1024
"""Answers that are given again when the same is asked about the same pixels."""
LONGEST_HEAD = 1 << 20
"""Bytes of a table's first line that are looked at."""
Same = tuple[Ask, tuple[str, ...]]


@dataclass
class _Row:
    """A row of a table on its way: one group's answers.

    Attributes:
        missing: how many are to come.
        cells: what has come, by question.
        error: the first that has come.
        unwritten: what the journal has to be told when the row has been shown.
    """

    missing: int
    cells: dict[str, str] = field(default_factory=dict)
    error: str = ""
    unwritten: list[tuple[Work, Result]] = field(default_factory=list)


class Show:
    """The jobs of a command on their way: what is asked, and what is shown of it, in the jobs' order or as it comes."""

    def __init__(
        self,
        ui: Ui,
        jobs: Sequence[Job],
        files: ModelFiles,
        *,
        json: bool = False,
        stats: bool = False,
        think: bool = False,
        table: str = "",
        everything: Sequence[Job] = (),
        memory: Memory | None = None,
        sidecars: Sidecars | None = None,
        course: Course = ONCE,
    ) -> None:
        """Make ready.

        Args:
            ui: where it is shown.
            jobs: that are to be done.
            files: the model.
            json: a record for each.
            stats: tokens and times of each.
            think: what the model thinks, too.
            table: the separator of a table's columns, of which each is a question; empty for no table.
            everything: all jobs of the command, also those that were done before; `jobs` where there are no others.
            memory: the journal.
            sidecars: where else the answers go.
            course: how it goes through its pictures.
        """
        self._ui, self._jobs, self._files, self._course = ui, jobs, files, course
        self._memory, self._sidecars = memory, sidecars
        self._json, self._stats, self._think = json, stats, think
        everything = everything or jobs
        self._groups = len({job.pictures for job in everything}) > 1 or any(
            job.pictures[0].expanded for job in everything
        )
        self._questions = len({job.task.question for job in everything}) > 1
        self._streaming = len(everything) == 1 and not (self._groups or json or table or memory)
        self._table = table
        self._columns = list(dict.fromkeys(job.task.question for job in everything))
        self._rows = {group: _Row(missing) for group, missing in Counter(job.group for job in jobs).items()}
        if table:
            self._begin_table()
        elif memory is not None and course.output is None and not ends_with_line(ui.stdout):
            ui.line("")  # of a run that was killed
        self._thinking = Thinking(files.card.think)
        self._submitted: list[int] = []  # jobs by the number of their request
        self._outcomes: dict[int, Answer | VlmError] = {}  # of jobs that have ended and are not shown yet
        self._answers: dict[Same, Answer] = {}  # the last ones
        self._sames: dict[int, Same] = {}  # of jobs that are asked
        self._twins: dict[Same, list[int]] = {}  # jobs that wait for the answer of another
        self._works: dict[int, Work] = {}  # of jobs that are not written yet
        self._prints: dict[int, Print] = {}  # of pictures that are to be written into
        self._shown = 0
        self._errors: list[VlmError] = []
        self._unsure = False
        self._stopping = False
        self._began = time.monotonic()

    def _begin_table(self) -> None:
        """The names of the columns, unless they are there; and what is known of rows that are there in part."""
        head = lines.table_row(("picture", *self._columns, "error"), self._table)
        there = length_of_stdout() if self._memory is not None else 0
        first = begins_with(self._ui.stdout, LONGEST_HEAD) if there else ""
        ends = f"picture{self._table}", f"{self._table}error"
        if first.startswith(ends[0]) and first.endswith(ends[1]) and first != head:
            raise UsageError(
                "the table that is appended to has other columns", "ask the same questions, or write to another file"
            )
        if there and not ends_with_line(self._ui.stdout):
            self._ui.line("")  # of a run that was killed
        if not there or (self._memory is not None and not self._memory.has_any and there != len(head.encode()) + 1):
            self._ui.line(head)
        for job, work in self._memory.done if self._memory is not None else ():
            row = self._rows.get(job.group)
            if row is not None and self._memory is not None:
                row.cells[job.task.question], error = self._memory.past(work)
                row.error = row.error or error

    def all(self, runner: Runner) -> Exit | None:
        """Run the jobs and show each outcome. Returns an exit code when some failed."""
        with self._interruptible():
            for number, event in run(runner, self._requests(), window=WINDOW):
                if isinstance(event, Delta):
                    self._piece(event.text)
                elif isinstance(event, Done | Failed):
                    self._ended(number, event.answer if isinstance(event, Done) else event.error)
                else:
                    self._ui.progress(event)
        return self._finish()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
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

    def _requests(self) -> Iterator[Request]:
        """Pictures are read when there is room for their request; one that cannot be read is an outcome."""
        last: tuple[Source, ...] = ()
        pictures: list[Picture] | SourceError = []
        for number, job in enumerate(self._jobs):
            if self._stopping:
                return
            if self._memory is not None:
                self._works[number] = self._memory.work(job)  # before they are read
            if self._sidecars is not None and job in self._sidecars.wrong:
                self._outcomes[number] = self._sidecars.wrong[job]
                self._show_next()
                continue
            if self._sidecars is not None and self._sidecars.inside:
                self._prints[number] = print_of(job.pictures[0].file)
            if job.pictures != last:
                last = job.pictures
                try:
                    pictures = job.load()
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
            yield replace(job.task.request(pictures), stream=self._streaming, timeout=self._course.timeout)

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

    def _piece(self, text: str) -> None:
        """The next piece of an answer; shown at once if it is the only one."""
        if self._streaming:
            self._stream(*self._thinking.feed(text))

    def _ended(self, request: int, outcome: Answer | VlmError) -> None:
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

    def _finish(self) -> Exit | None:
        """Show the rest. Returns an exit code when some failed; raises Cancelled when the user stopped it."""
        self._show_next()
        if self._unsure:
            self._ui.say(self._files.card.unsure_hint)
        before = Before() if self._memory is None else self._memory.before
        if self._memory is not None:
            self._ui.say(self._summary(before))
        left = len(self._jobs) - self._shown
        if self._stopping and left and not (self._errors and self._course.fail_fast):
            raise Cancelled(f"stopped, {count(left, 'question')} left", "the same command goes on from there")
        if not self._errors:
            return Exit.SOME_FAILED if before.failed else None
        if len(self._errors) < self._shown or before.failed or before.done:
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
        """Show what has ended and is next."""
        while self._outcomes:
            number = next(iter(self._outcomes)) if self._course.unordered else self._shown
            if number not in self._outcomes:
                return
            self._show_one(number, self._outcomes.pop(number))

    def _show_one(self, number: int, outcome: Answer | VlmError) -> None:
        job = self._jobs[number]
        if self._sidecars is not None and isinstance(outcome, Answer):
            text = job.task.result(job.names, outcome, self._files.name).text
            try:
                self._sidecars.write(job, text, self._prints.pop(number, None))
            except VlmError as error:
                outcome = error
        result = job.task.result(job.names, outcome, self._files.name)
        if isinstance(outcome, VlmError):
            self._show_error(result, outcome)
            self._stopping |= self._course.fail_fast
        self._record(job, result, self._works.pop(number, None))
        if isinstance(outcome, Answer):
            self._show_remarks(job, result, outcome)
        self._unsure |= bool(self._files.card.unsure) and result.text == self._files.card.unsure
        self._shown += 1
        if self._memory is not None and self._shown < len(self._jobs):
            self._ui.status(self._so_far(job))

    @property
    def _prints_change(self) -> bool:
        return self._sidecars is not None and self._sidecars.inside

    def _record(self, job: Job, result: Result, work: Work | None) -> None:
        """Write a result to stdout, and then, so that it is not lost, into the memory."""
        kept = result if self._think else replace(result, thinking="")
        if self._memory is not None and work is not None and result.answer is not None and self._prints_change:
            work = self._memory.work(job)  # the file is another now
        written = [(work, kept)] if work is not None else []
        if self._course.output is None:
            if self._json:
                self._ui.line(lines.json_line(kept))
            elif self._table:
                written = self._show_cell(job, kept, written)
            elif result.answer is not None:
                self._show_answer(job, result, result.answer)
        if self._memory is not None:
            for one, said in written:
                self._memory.write(one, said)

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

    def _show_cell(self, job: Job, result: Result, written: list[tuple[Work, Result]]) -> list[tuple[Work, Result]]:
        """One more answer of a group's row, which is shown when it is whole. Returns what is written by that."""
        row = self._rows[job.group]
        row.cells[result.question] = result.text
        row.error = row.error or (result.error.message if result.error else "")
        row.unwritten += written
        row.missing -= 1
        if row.missing:
            return []
        cells = (row.cells.get(question, "") for question in self._columns)
        self._ui.line(lines.table_row((" ".join(job.names), *cells, row.error), self._table))
        return row.unwritten

    def _show_answer(self, job: Job, result: Result, answer: Answer) -> None:
        if self._streaming:
            self._stream(*self._thinking.finish())
            self._ui.end_stream()
            return
        lined = replace(result, text=answer.text.strip()) if self._think else result
        question = (result.question,) if self._questions or not self._groups else ()
        self._ui.line(lines.line(lined, (" ".join(job.names), *question)))

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
