"""A command's questions about its pictures: find the model, run, show what comes."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import typer

from vlmcli import records
from vlmcli.cli.naming import Named, grouped, named_pictures
from vlmcli.cli.pulling import find_model
from vlmcli.cli.running import runner_of
from vlmcli.errors import Exit, ModelError, NativeError, SourceError, VlmError
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

log = logging.getLogger("vlmcli")


@dataclass(frozen=True)
class Job:
    """One question about one group of pictures."""

    task: Ask
    pictures: tuple[Source, ...]

    @property
    def names(self) -> list[str]:
        """What the pictures are called."""
        return [source.name for source in self.pictures]


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
    think: bool = False,
    plain: bool = False,
    worker: bool | None = None,
    end_loops: bool = False,
) -> None:
    """Ask a model's questions about the pictures that were named, and show what comes of it.

    One question is answered in this process, which starts sooner; several in a worker's, unless `worker` says which.
    Raises typer.Exit with the code of some or all failing.
    """
    with Ui(markdown=not plain) as ui:
        files = None
        jobs = [Job(Ask(question), ()) for question in questions(Card())]
        try:
            found, context = named_pictures(named)
            files = find_model(ui, settings, chat_template)
            tasks = [Ask(q, context, system, *sampling, end_loops, files.card.think) for q in questions(files.card)]
            groups = grouped(found, each=named.each, together=named.together)
            jobs = [Job(task, group) for group in groups for task in tasks]
            ui.notice(files.card.notice)
            with runner_of(ui, files, settings, [job.names for job in jobs], worker) as runner:
                failed = answer_all(ui, runner, jobs, files, json=json, stats=stats, think=think)
        except (ModelError, SourceError) as error:
            for job in jobs if json else ():
                name = files.name if files else settings.model
                ui.line(records.json_line(job.task.result(job.names or list(named.names), error, name)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


def answer_all(
    ui: Ui, runner: Runner, jobs: Sequence[Job], files: ModelFiles, *, json: bool, stats: bool, think: bool = False
) -> Exit | None:
    """Run the jobs and show each outcome in order. Returns an exit code when some failed."""
    show = _Show(ui, jobs, files, json=json, stats=stats, think=think)
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

    def __init__(self, ui: Ui, jobs: Sequence[Job], files: ModelFiles, *, json: bool, stats: bool, think: bool) -> None:
        self._ui, self._jobs, self._files = ui, jobs, files
        self._json, self._stats, self._think = json, stats, think
        self._groups = len({job.pictures for job in jobs}) > 1 or any(job.pictures[0].expanded for job in jobs)
        self._questions = len({job.task.question for job in jobs}) > 1
        self._streaming = len(jobs) == 1 and not self._groups and not json
        self._thinking = Thinking(files.card.think)
        self._submitted: list[int] = []  # jobs by the number of their request
        self._outcomes: dict[int, Answer | VlmError] = {}  # of jobs that have ended and are not shown yet
        self._shown = 0
        self._errors: list[VlmError] = []
        self._unsure = False

    def requests(self) -> Iterator[Request]:
        """Pictures are read when there is room for their request; one that cannot be read is an outcome."""
        last: tuple[Source, ...] = ()
        pictures: list[Picture] | SourceError = []
        for number, job in enumerate(self._jobs):
            if job.pictures != last:
                last = job.pictures
                try:
                    pictures = [source.load() for source in job.pictures]
                except SourceError as error:
                    pictures = error
            if isinstance(pictures, SourceError):
                self._outcomes[number] = pictures
                continue
            for picture in pictures:
                self._ui.notice(picture.notice)
            self._submitted.append(number)
            yield replace(job.task.request(pictures), stream=self._streaming)

    def piece(self, text: str) -> None:
        """The next piece of an answer; shown at once if it is the only one."""
        if self._streaming:
            self._stream(*self._thinking.feed(text))

    def ended(self, request: int, outcome: Answer | VlmError) -> None:
        """A request has ended: show it, and what waited for it."""
        self._outcomes[self._submitted[request]] = outcome
        self._show_next()

    def finish(self) -> Exit | None:
        """Show the rest. Returns an exit code when some failed."""
        self._show_next()
        if self._unsure:
            self._ui.say(self._files.card.unsure_hint)
        if not self._errors:
            return None
        if len(self._errors) < len(self._jobs):
            return Exit.SOME_FAILED
        native = (error.exit_code for error in self._errors if isinstance(error, NativeError))
        return next(native, self._errors[0].exit_code)

    def _stream(self, thought: str, text: str) -> None:
        if self._think:
            self._ui.stream(thought, plain=True)
        elif self._thinking.inside:
            self._ui.thinking()
        self._ui.stream(text)

    def _show_next(self) -> None:
        while self._shown in self._outcomes:
            job, outcome = self._jobs[self._shown], self._outcomes.pop(self._shown)
            result = job.task.result(job.names, outcome, self._files.name)
            if isinstance(outcome, VlmError):
                self._show_error(result, outcome)
            if self._json:
                self._ui.line(records.json_line(result if self._think else replace(result, thinking="")))
            elif isinstance(outcome, Answer):
                self._show_answer(job, result, outcome)
            if isinstance(outcome, Answer):
                self._show_remarks(job, result, outcome)
            self._unsure |= bool(self._files.card.unsure) and result.text == self._files.card.unsure
            self._shown += 1

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
