"""How the outcomes of a run appear: lines, a table, JSON, or an answer as it comes; remarks, progress and errors.

Knows how a terminal or a pipe is written to, and that an outcome is remembered once it has been written there. Does
not know what is asked next, or what is told next: that is `batch.run`'s.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from vlmcli.batch.course import Job, count
from vlmcli.batch.run import Fragment, Outcome, Run, Stage, Step
from vlmcli.errors import Exit, ModelError, RequestError, SourceError, UsageError, VlmError
from vlmcli.records import lines
from vlmcli.records.target import ends_with_line, first_line, length, name_of
from vlmcli.settings import debugging
from vlmcli.tasks.thinking import Thinking
from vlmcli.terminal import stats
from vlmcli.terminal.pace import Pace
from vlmcli.terminal.ui import Ui, stage_of
from vlmcli.values import Answer, Notice, Progress, Result, Runner, Started

LONGEST_HEAD = 1 << 20
"""Bytes of a table's first line that are looked at."""


class Show:
    """The outcomes of a run on stdout, in their order, and what a person should know of them on stderr."""

    def __init__(
        self,
        ui: Ui,
        run: Run,
        *,
        everything: Sequence[Job] = (),
        json: bool = False,
        with_stats: bool = False,
        table: str = "",
        left_out: str = "",
        on_answer: Callable[[], None] = lambda: None,
        lined: Callable[[Outcome, int], str] | None = None,
    ) -> None:
        """Write the head of a table.

        Args:
            ui: where it is shown.
            run: what is shown; with what the model thinks, if its results have that.
            everything: all jobs of the command, also those that were done before; the run's where there are no others.
            json: a record for each outcome.
            with_stats: tokens and times of each.
            table: the separator of a table's columns, of which each is a question; empty for no table.
            left_out: what folders have that is no picture, in words, for the summary, or before a run that has none.
            on_answer: called once, when the first answer has been shown.
            lined: called with each outcome that has an answer, and the terminal's columns, 0 where stdout is none; what
                is written of it where that is no record, the line's end included. Without it, that is the pictures'
                names and the answer.

        Raises UsageError for a table that is appended to one with other columns.
        """
        self._ui, self._run = ui, run
        self._json, self._stats, self._left_out = json, with_stats, left_out
        self._on_answer: Callable[[], None] | None = on_answer
        self._lined = lined
        everything = everything or run.jobs
        self._groups = len({job.pictures for job in everything}) > 1 or any(
            job.pictures[0].expanded for job in everything
        )
        self._questions = len({job.task.question for job in everything}) > 1
        self._is_long = len(everything) > 1
        self._sums_up = run.memory is not None or len({job.group for job in everything}) > 1
        self._pace = Pace(run)
        self._streaming = run.streams and len(everything) == 1 and not (self._groups or json or table or run.memory)
        self._streaming &= everything[0].task.streams
        self._table = _Table(ui, run, everything, table) if table else None
        if not table and run.memory is not None and run.course.output is None and not ends_with_line(ui.stdout):
            ui.line("")  # of a run that was killed
        self._thinking = Thinking(run.files.card.think)
        self._error: VlmError | None = None  # the last one
        self._unsure = False

    def all(self, runner: Runner) -> Exit | None:
        """Let the run ask a runner, and show what comes. Returns an exit code when some failed.

        Raises as `these`.
        """
        return self.these(self._run.steps(runner, stream=self._streaming))

    def these(self, steps: Generator[Step, None, None]) -> Exit | None:
        """Show what comes of the run, in these steps of it. Returns an exit code when some failed.

        Raises Cancelled when the user stopped it, and VlmError where an outcome cannot be written or remembered.
        """
        if not self._sums_up and self._left_out:
            self._ui.say(self._left_out)
        try:
            with self._interruptible(), self._ui.showing(self._pace.line) if self._is_long else nullcontext():
                self._ask(steps)
        except KeyboardInterrupt:
            if not self._is_long:
                raise
            raise self._run.stopped() from None
        self._ui.check()
        if self._run.memory is not None:
            self._run.memory.check()  # or the summary would count what is not there
        if self._unsure:
            self._ui.say(self._run.files.card.unsure_hint)
        for remark in self._run.remarks():
            self._ui.say(remark)
        if self._sums_up:
            self._ui.say(self._pace.summary(self._left_out))
        elif self._run.wrote:
            self._ui.say(self._run.wrote)
        return self._run.exit_code()

    def _ask(self, steps: Generator[Step, None, None]) -> None:
        """Take the run's steps to their end."""
        with closing(steps):
            for step in steps:
                if isinstance(step, Fragment):
                    self._stream(*self._thinking.feed(step.text))
                elif isinstance(step, Outcome):
                    self._show(step)
                elif isinstance(step, Stage):
                    self._pace.stage(step.text, "") if step.begun else self._pace.loading(step.text)
                else:
                    self._show_stage(step)

    def _show_stage(self, step: Started | Progress | Notice) -> None:
        """Show what the runner is at: behind the count, where there is one."""
        if not self._is_long or isinstance(step, Notice):
            taken = stats.so_far(step) if self._stats and not isinstance(step, Notice) else ""
            self._ui.progress(step, taken)
        elif step.id is None:
            self._pace.loading(stage_of(step))
        else:
            self._pace.stage(stage_of(step), self._run.about(step))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """In a run that can be continued, the first Ctrl-C ends it in order, and the second at once."""
        if not self._run.course.goes_on or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_: object) -> None:
            if self._run.stopping:
                raise KeyboardInterrupt
            self._run.stop()
            under_way = self._run.under_way
            what = f"finishing {count(under_way, 'picture')} under way" if under_way else "stopping"
            self._ui.aside(f"{what}; Ctrl-C again stops at once")

        old = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, old)

    def _show(self, outcome: Outcome) -> None:
        """Show an outcome. It is remembered once it is on stdout, so that it is not lost."""
        job, result = outcome.job, outcome.result
        if result.error is not None:
            self._show_error(result, result.error)
        for written in self._write(outcome):
            self._run.remember(written)
        if result.answer is not None:
            self._show_remarks(job, result, result.answer)
            if self._on_answer is not None:
                self._on_answer()
                self._on_answer = None
        unsure = self._run.files.card.unsure
        self._unsure |= bool(unsure) and result.text == unsure and not outcome.drawn
        self._pace.ended(" ".join(job.names))

    def _write(self, outcome: Outcome) -> Sequence[Outcome]:
        """Write an outcome to stdout, if it goes there. Returns the outcomes that are where they belong by that."""
        line = None
        if self._lined is not None and outcome.result.answer is not None:
            line = self._lined(outcome, self._ui.width if self._ui.stdout.isatty() else 0)
        if self._run.course.output is not None:
            return [outcome]
        if self._table is not None:
            return self._table.add(outcome)
        if self._json:
            self._ui.line(lines.json_line(outcome.result))
        elif line is not None:
            self._ui.line(line, end="")
        elif outcome.result.answer is not None:
            self._show_answer(outcome.job, outcome.result, outcome.result.answer)
        return [outcome]

    def _show_answer(self, job: Job, result: Result, answer: Answer) -> None:
        if self._streaming:
            self._stream(*self._thinking.finish())
            self._ui.end_stream()
            return
        lined = replace(result, text=answer.text.strip()) if self._run.thinking else result
        question = (result.question,) if self._questions or not self._groups else ()
        self._ui.line(lines.line(lined, (" ".join(job.names), *question)))

    def _show_error(self, result: Result, error: VlmError) -> None:
        if self._ui.streaming:
            self._ui.end_stream()
        whole = isinstance(error, ModelError | SourceError)  # a picture's or a model's, not one a question
        last, self._error = self._error, error
        if last is not error and not (whole and str(last) == str(error)):  # from a worker they come as copies
            if debugging():
                self._ui.trace(error)
            if self._questions and not whole:
                self._ui.say(f"{result.question}:")
            names = " ".join(result.sources)
            if self._groups and isinstance(error, RequestError) and names not in error.message:
                error = VlmError(f"{names}: {error.message}", error.hint)
            self._ui.error(error)

    def _show_remarks(self, job: Job, result: Result, answer: Answer) -> None:
        """What a person should know of how the answer ended."""
        about = f"{_called(job.names)}: " if self._groups else ""
        if answer.finish_reason == "loop":
            self._ui.say(f"{about}stopped the answer, which only repeated itself")
        only_thought = bool(answer.text.strip()) and not result.text
        if answer.finish_reason == "length":
            tokens = answer.usage.answer_tokens
            unit = "token" if tokens == 1 else "tokens"
            what = "the answer is empty: the model was still thinking" if only_thought else "the answer is cut off"
            more = "--max-tokens" if tokens >= job.task.max_tokens else "--ctx"
            self._ui.say(f"{about}{what} after {tokens} {unit}; for more, use {more}")
        elif only_thought:
            self._ui.say(f"{about}the answer is empty: the model only thought")
        if self._stats:
            self._ui.figures(stats.of_answer(answer, whole=self._is_long))

    def _stream(self, thought: str, text: str) -> None:
        if self._run.thinking:
            self._ui.stream(thought, plain=True)
        elif self._thinking.inside:
            self._ui.thinking()
        self._ui.stream(text)


def _called(names: Sequence[str]) -> str:
    """The pictures of a question, for a message: the first and how many more, where they are many."""
    return " ".join(names) if len(names) <= 3 else f"{names[0]} and {count(len(names) - 1, 'more picture')}"


@dataclass
class _Row:
    """A row of a table on its way: one group's answers.

    Attributes:
        missing: how many outcomes are to come.
        cells: what has come, by the names of the columns.
        error: the first that has come.
        outcomes: those that have come, and are on stdout once the row is.
    """

    missing: int
    cells: dict[str, str] = field(default_factory=dict)
    error: str = ""
    outcomes: list[Outcome] = field(default_factory=list)


class _Table:
    """Outcomes as a table on stdout: a row for each group of pictures, columns for what is asked, and the error."""

    def __init__(self, ui: Ui, run: Run, everything: Sequence[Job], separator: str) -> None:
        """Write the names of the columns, unless they are there; take up what is known of rows that are there in part.

        Raises UsageError for a table that is appended to one with other columns.
        """
        self._ui, self._separator = ui, separator
        self._columns = list(dict.fromkeys(name for job in everything for name in job.task.columns))
        self._rows = {group: _Row(missing) for group, missing in Counter(job.group for job in run.jobs).items()}
        head = lines.table_row(("picture", *self._columns, "error"), separator)
        memory = run.memory
        there = length(ui.stdout)
        first = first_line(ui.stdout, LONGEST_HEAD) if there else ""
        ends = f"picture{separator}", f"{separator}error"
        if memory is not None and first.startswith(ends[0]) and first.endswith(ends[1]) and first != head:
            raise UsageError(
                f"{name_of(ui.stdout)}: the table in this file has other columns",
                "ask the same questions, or write to another file",
            )
        if there and not ends_with_line(ui.stdout):
            ui.line("")  # of a run that was killed
        unread = not first and there == len(head.encode()) + 1  # it cannot be read back everywhere
        has_head = first == head or unread
        if not there or not (has_head or (memory is not None and memory.has_any)):
            ui.line(head)
        for job, work in memory.done if memory is not None else ():
            row = self._rows.get(job.group)
            if row is not None and memory is not None:
                row.cells |= memory.cells(job, work)
                row.error = row.error or memory.past(work)[1]

    def add(self, outcome: Outcome) -> Sequence[Outcome]:
        """Take an outcome into its row, which is written when it is whole. Returns the outcomes that are on stdout."""
        job, result = outcome.job, outcome.result
        row = self._rows[job.group]
        row.cells |= job.task.cells(lines.record(result))
        row.error = row.error or (result.error.message if result.error else "")
        row.outcomes.append(outcome)
        row.missing -= 1
        if row.missing:
            return ()
        cells = (row.cells.get(question, "") for question in self._columns)
        self._ui.line(lines.table_row((" ".join(job.names), *cells, row.error), self._separator))
        return row.outcomes
