"""A command's questions about its pictures: find the model, run, show what comes."""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from vlmcli import records
from vlmcli.cli.naming import Named, grouped, named_pictures
from vlmcli.errors import Exit, ModelError, NativeError, SourceError, VlmError
from vlmcli.settings import Settings, debugging
from vlmcli.sources import Source, expand
from vlmcli.tasks import Ask
from vlmcli.thinking import Thinking
from vlmcli.ui import Ui
from vlmcli.values import Answer, Card, Delta, Done, Failed, ModelFiles, Picture, Request, Result, Runner, Sampling, run

if TYPE_CHECKING:
    from vlmcli.engine import Engine, Observer

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
    end_loops: bool = False,
) -> None:
    """Ask a model's questions about the pictures that were named, and show what comes of it.

    Raises typer.Exit with the code of some or all failing.
    """
    with Ui(markdown=not plain) as ui:
        files = None
        jobs = [Job(Ask(question), ()) for question in questions(Card())]
        try:
            found, context = named_pictures(named)
            files = find_model(settings, chat_template)
            tasks = [Ask(q, context, system, *sampling, end_loops, files.card.think) for q in questions(files.card)]
            groups = grouped(found, each=named.each, together=named.together)
            jobs = [Job(task, group) for group in groups for task in tasks]
            if files.card.notice:
                ui.say(files.card.notice)
            with opened(files, settings, ui) as engine:
                failed = answer_all(ui, engine, jobs, files, json=json, stats=stats, think=think)
        except (ModelError, SourceError) as error:
            for job in jobs if json else ():
                name = files.name if files else settings.model
                ui.line(records.json_line(job.task.result(job.names or list(named.names), error, name)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


def find_model(settings: Settings, chat_template: str = "") -> ModelFiles:
    """The files of the model the user has named."""
    from vlmcli import demo, store

    return store.resolve(expand(settings.model), expand(settings.mmproj), expand(chat_template), demo.FILES)


@contextmanager
def opened(files: ModelFiles, settings: Settings, ui: Ui, observer: Observer | None = None) -> Iterator[Engine]:
    """An engine that loads in the background, closed afterwards."""
    from vlmcli import fit, gguf
    from vlmcli.engine import Engine, native

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # from here on there is something to end in order
        signal.signal(signal.SIGINT, signal.default_int_handler)
    machine = fit.this_machine(native.devices())
    chosen = fit.fit(gguf.read(files.model), machine, settings.ctx, settings.threads, settings.gpu_layers)
    log.info("%s", chosen.reason)
    native.on_abort(lambda text: _give_up(ui, files, text))
    engine = Engine(files, chosen, observer)
    try:
        yield engine
    finally:
        engine.close()


def _give_up(ui: Ui, files: ModelFiles, text: str) -> None:
    """llama.cpp has failed an assertion and will not return: say so, and end with our own exit code."""
    error = NativeError(
        f"llama.cpp gave up on {files.model} with {files.projector} ({text.strip()})",
        "check that the two were published together, and that the picture opens elsewhere",
    )
    ui.error(error)
    os._exit(error.exit_code)


def answer_all(
    ui: Ui, runner: Runner, jobs: Sequence[Job], files: ModelFiles, *, json: bool, stats: bool, think: bool = False
) -> Exit | None:
    """Run the jobs and show each outcome in order. Returns an exit code when some failed."""
    several_groups = len({job.pictures for job in jobs}) > 1 or any(job.pictures[0].expanded for job in jobs)
    streaming = len(jobs) == 1 and not several_groups and not json
    several_questions = len({job.task.question for job in jobs}) > 1
    outcomes: dict[int, Answer | VlmError] = {}
    submitted: list[int] = []
    errors: list[VlmError] = []
    said: set[str] = set()
    unsure = False
    shown = 0
    thinking = Thinking(files.card.think)

    def stream(thought: str, text: str) -> None:
        """Show what is certain of the one answer."""
        if think:
            ui.stream(thought, plain=True)
        elif thinking.inside:
            ui.thinking()
        ui.stream(text)

    def requests() -> Iterator[Request]:
        """Pictures are read when there is room for their request; one that cannot be read is an outcome."""
        last: tuple[Source, ...] = ()
        pictures: list[Picture] | SourceError = []
        for number, job in enumerate(jobs):
            if job.pictures != last:
                last = job.pictures
                try:
                    pictures = [source.load() for source in job.pictures]
                    for notice in dict.fromkeys(picture.notice for picture in pictures):
                        if notice and notice not in said:
                            ui.say(notice)
                            said.add(notice)
                except SourceError as error:
                    pictures = error
            if isinstance(pictures, SourceError):
                outcomes[number] = pictures
            else:
                submitted.append(number)
                yield job.task.request(pictures)

    def show(job: Job, outcome: Answer | VlmError) -> Result:
        result = job.task.result(job.names, outcome, files.name)
        if isinstance(outcome, VlmError):
            if ui.streaming:
                ui.end_stream()
            if not errors or errors[-1] is not outcome:  # one picture that fails is one error, not one a question
                if debugging():
                    traceback.print_exception(outcome)
                if several_questions and not isinstance(outcome, ModelError | SourceError):
                    ui.say(f"{result.question}:")
                ui.error(outcome)
            errors.append(outcome)
        if json:
            ui.line(records.json_line(result if think else replace(result, thinking="")))
        elif isinstance(outcome, Answer):
            if streaming:
                stream(*thinking.finish())
                ui.end_stream()
            else:
                lined = replace(result, text=outcome.text.strip()) if think else result
                fields = (" ".join(job.names), *((result.question,) if several_questions or not several_groups else ()))
                ui.line(records.line(lined, fields))
        if isinstance(outcome, Answer):
            about = f"{' '.join(job.names)}: " if several_groups else ""
            if outcome.finish_reason == "loop":
                ui.say(f"{about}the answer only repeated itself, and was ended")
            only_thought = bool(outcome.text.strip()) and not result.text
            if outcome.finish_reason == "length":
                count = outcome.usage.answer_tokens
                tokens = "token" if count == 1 else "tokens"
                what = "the answer is empty: the model was still thinking" if only_thought else "the answer is cut off"
                ui.say(f"{about}{what} after {count} {tokens}; --max-tokens or --ctx gives it more")
            elif only_thought:
                hint = "" if think else "; --think shows it"
                ui.say(f"{about}the answer is empty: the model thought, and said nothing{hint}")
            if stats:
                ui.stats(outcome)
        return result

    def show_next() -> None:
        nonlocal shown, unsure
        while shown in outcomes:
            outcome = outcomes.pop(shown)
            result = show(jobs[shown], outcome)
            unsure |= bool(files.card.unsure) and result.text == files.card.unsure
            shown += 1

    for number, event in run(runner, requests(), window=WINDOW):
        if isinstance(event, Delta):
            if streaming:
                stream(*thinking.feed(event.text))
        elif isinstance(event, Done | Failed):
            outcomes[submitted[number]] = event.answer if isinstance(event, Done) else event.error
            show_next()
        else:
            ui.progress(event)
    show_next()
    if unsure:
        ui.say(files.card.unsure_hint)
    if not errors:
        return None
    if len(errors) < len(jobs):
        return Exit.SOME_FAILED
    return next((error.exit_code for error in errors if isinstance(error, NativeError)), errors[0].exit_code)
