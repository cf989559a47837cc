"""A command's questions about its pictures: find the model, see what is left to do, run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TypeVar

import typer

from vlmcli.batch.course import Course, Job, count, grouped, jobs_of, skipped
from vlmcli.batch.estimate import estimate
from vlmcli.batch.memory import plan
from vlmcli.batch.remaining import Remaining, remaining
from vlmcli.batch.run import Outcome, Run
from vlmcli.cli import clusters, daily
from vlmcli.cli.beginning import BEGAN
from vlmcli.cli.flags import Flags
from vlmcli.cli.running import runner_of
from vlmcli.cli.servers import check_form
from vlmcli.cli.words import Named, named_pictures
from vlmcli.errors import Exit, ModelError, SourceError, UsageError
from vlmcli.pictures.folders import LeftOut
from vlmcli.records import lines
from vlmcli.records.target import is_empty_file, length
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask, Form
from vlmcli.tasks.task import Task
from vlmcli.tasks.templates import Template
from vlmcli.terminal import stats
from vlmcli.terminal.show import Show
from vlmcli.terminal.ui import Ui
from vlmcli.values import Card, ModelFiles, Share, shares_of

_Run = TypeVar("_Run", bound=Run)


@dataclass(frozen=True)
class Manner:
    """How a command's outcomes are shown, where they are no text to be read.

    Attributes:
        lined: as `Show` takes it.
        ended: makes the command's exit code of the run, when it has ended, and of that for what has failed.
    """

    lined: Callable[[Outcome, int], str] | None = None
    ended: Callable[[Ui, Exit | None], Exit | None] = lambda _, failed: failed


def answer(
    questions: Callable[[Card], Sequence[str]],
    named: Named,
    flags: Flags,
    *,
    system: str = "",
    template: Template | None = None,
    plain: bool = False,
    reading: bool = False,
    form: Form | None = None,
) -> None:
    """Ask a model's questions about the pictures that were named, and show what comes of it.

    One question is answered in this process, which starts sooner; several in a worker's, unless --worker says which.

    Args:
        questions: by the model's card, which may have prompts of its own.
        named: the pictures.
        flags: of the command.
        system: what the model is told before, where the flags say nothing; without it, what the settings say.
        template: of the question, which may say how tokens are chosen.
        plain: show the answer as it was written.
        reading: the answer is the text in the picture: end one that only repeats itself, and let a picture have as
            many tokens as the model's card says for that.
        form: of the answers; None for any.

    Raises typer.Exit with the code of some or all failing.
    """
    sampling, side, parts = flags.sampling(template), flags.side, flags.parts
    grammar, regex = (form.grammar, form.regex) if form is not None else ("", "")

    def tasks(files: ModelFiles, settings: Settings, context: str) -> list[Ask]:
        card, told = files.card, flags.system or system or settings.system
        if form is not None:
            check_form(form, files)
        return [
            Ask(
                question,
                context,
                told,
                *sampling,
                reading,
                card.think,
                side,
                parts,
                flags.think or card.thinks,
                grammar,
                regex,
            )
            for question in questions(card)
        ]

    do(tasks, [Ask(question) for question in questions(Card())], named, flags, plain=plain, reading=reading)


def do(
    tasks: Callable[[ModelFiles, Settings, str], Sequence[Task]],
    first: Sequence[Task],
    named: Named,
    flags: Flags,
    *,
    plain: bool = False,
    reading: bool = False,
    manner: Manner = Manner(),
    course: Course | None = None,
) -> None:
    """Do a model's tasks with the pictures that were named, and show what comes of it.

    Args:
        tasks: by the model, the user's settings, and the text that is piped in beside pictures.
        first: the same as far as they are known without a model, for the records of an error before there is one.
        named: the pictures.
        flags: of the command.
        plain: show text as it was written.
        reading: let a picture have as many tokens as the model's card says for text.
        manner: how outcomes are shown.
        course: how the command goes through its pictures; without one, as the flags say.

    Raises typer.Exit with the code of some or all failing.
    """
    settings, course = flags.settings(), flags.course() if course is None else course
    course = clusters.checked(flags, settings, course)
    as_records = flags.as_json and course.output is None
    with Ui(markdown=not (plain or flags.plain)) as ui:
        model = settings.model
        jobs: Sequence[Job] = jobs_of([()], first)
        left_out = LeftOut()
        try:
            found, context = named_pictures(named, left_out, flags.known)
            files = clusters.model_of(ui, settings, flags)
            if reading and any(files.card.reading_budget):
                files = replace(files, card=replace(files.card, budget=files.card.reading_budget))
            model, todo = files.name, tasks(files, settings, context)
            jobs = jobs_of(grouped(found, each=named.each, together=named.together), todo)
            if flags.limit is not None and len(found) > 1 and jobs[-1].group == 0:
                raise UsageError("--limit does nothing where all pictures are asked about together", "add --each")
            if len(found) > 1 and jobs[-1].group == 0 and not (named.together or flags.as_json):
                _tell_of_together(ui, len(todo), len(found))
            with remaining(course, jobs, files, lists=flags.lists, stdout=ui.stdout) as all_left:
                left = replace(all_left, left_out=str(left_out)).first(flags.limit)
                jobs = left.jobs
                failed = _do(ui, files, settings, course, left, flags, manner)
        except (ModelError, SourceError) as error:
            for job in jobs if as_records else ():
                ui.line(lines.json_line(job.task.result(job.names or list(named.names), error, model)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


def _do(
    ui: Ui, files: ModelFiles, settings: Settings, course: Course, left: Remaining, flags: Flags, manner: Manner
) -> Exit | None:
    """Do what is left, or say what there is to do. Returns an exit code when some failed."""
    settings = replace(settings, patience=_patience(settings, course))
    failed = None
    if not course.dry_run:
        _tell_of_output(ui, course, left, as_json=flags.as_json)
    for told in left.sidecars.told if left.sidecars else ():
        ui.say(told)
    written = 0
    for error in left.write_missing(dry_run=course.dry_run):
        if error is None:
            written += 1
            continue
        if course.fail_fast:
            raise error
        ui.error(error)
        failed = Exit.SOME_FAILED
    did = "would write" if course.dry_run else "wrote"
    texts = f"{did} {count(written, 'text')} from {course.remembers}" if written else ""
    if left.skipped:
        ui.say(f"{skipped(left.skipped)}; --existing replace writes new ones")
    if left.jobs and not course.dry_run:
        if texts:
            ui.say(texts)
        failed = _run(ui, files, settings, course, left, flags, manner) or failed
        _make_table(ui, course, left)
        return failed
    if not course.dry_run:
        _make_table(ui, course, left)
    said = plan(left.jobs, left.before, texts)
    if left.jobs:
        said += f"; {_estimate(ui, files, settings, course, left, flags)}"
    ui.say("; ".join(filter(None, (said, left.left_out))))
    return Exit.SOME_FAILED if left.before.failed and not course.dry_run else failed


def _estimate(ui: Ui, files: ModelFiles, settings: Settings, course: Course, left: Remaining, flags: Flags) -> str:
    """How long what is left takes, in words, by doing some of it."""
    if flags.ray:
        return clusters.estimate(ui, files, settings, course, left.jobs, flags)
    with runner_of(ui, files, settings, _asked(left.jobs), None, choices=_choose(left.jobs)) as runner:
        cached = settings.cache and not files.servers  # these do not tell what they have kept
        return estimate(runner, left.jobs, course.timeout, ui.progress, known=flags.known, cached=cached)


def _make_table(ui: Ui, course: Course, left: Remaining) -> None:
    """Make the table that the command writes, if it is one, of all that is recorded."""
    if course.table and left.memory is not None:
        rows = left.memory.make_table(Path(course.table))
        ui.say(f"{course.table} has {count(rows, 'row')}")


def _run(
    ui: Ui, files: ModelFiles, settings: Settings, course: Course, left: Remaining, flags: Flags, manner: Manner
) -> Exit | None:
    """Ask what is left, and show what comes of it. Returns an exit code when some failed."""
    runs: list[Run] = []
    failed = None
    shares: tuple[Share, ...] = ()

    def started(kind: type[_Run]) -> tuple[_Run, Show]:
        made = kind(
            left.jobs, files, course=course, memory=left.memory, sidecars=left.sidecars, skipped=left.skipped,
            thinking=flags.think, known=flags.known,
        )  # fmt: skip
        runs.append(made)
        return made, Show(
            ui, made, everything=left.everything, json=flags.as_json, with_stats=flags.stats, table=flags.table,
            left_out=left.left_out, on_answer=lambda: daily.tell(ui, files.card), lined=manner.lined,
        )  # fmt: skip

    try:
        if flags.ray:
            failed = manner.ended(ui, clusters.shown(ui, files, settings, course, left, flags, started))
        else:
            asked, choices = _asked(left.jobs), _choose(left.jobs)
            with runner_of(ui, files, settings, asked, flags.worker, BEGAN.get(), choices=choices) as runner:
                _, show = started(Run)
                failed = manner.ended(ui, show.all(runner))
                shares = shares_of(runner)
    except KeyboardInterrupt:  # the second, when all that was under way is finished
        if not runs or not (runs[0].stopping and runs[0].left):
            raise
        raise runs[0].stopped() from None
    if flags.stats:  # when all is written that is kept, and the model is freed
        ui.figures([*stats.of_shares(shares), stats.of_command(runs[0].spent, time.monotonic() - BEGAN.get())])
    return failed


def _tell_of_together(ui: Ui, questions: int, pictures: int) -> None:
    """Tell whoever sits at a terminal that pictures are not asked about one by one, which they may have meant."""
    if ui.stderr.isatty():
        asked = "one question" if questions == 1 else f"{questions} questions"
        ui.say(f"{asked} about {pictures} pictures together; --each asks about each")


def _tell_of_output(ui: Ui, course: Course, left: Remaining, *, as_json: bool) -> None:
    """Say where the file that stdout goes to will have some answers twice, or not those of earlier runs."""
    if left.memory is None:
        skips = left.sidecars is not None and course.existing == "skip"
        if len({job.group for job in left.jobs}) > 1 and not skips and length(ui.stdout):
            option = "--output" if as_json else "--journal"
            ui.say(
                "stdout goes to a file that already has content, and everything is asked again; "
                f"{option} FILE remembers what is done"
            )
    elif course.journal and left.before.done and is_empty_file(ui.stdout):
        known = f"{course.journal} has {count(left.before.done, 'answer')}"
        ui.say(f"{known}, but the output file is empty; use >> to keep them together")


def _asked(jobs: Sequence[Job]) -> list[list[str]]:
    """The names of the pictures of each request that there will be."""
    return [job.names for job in jobs for _ in range(job.task.count)]


def _choose(jobs: Sequence[Job]) -> bool:
    """Whether there are choices to be compared."""
    return any(job.task.chooses for job in jobs)


def _patience(settings: Settings, course: Course) -> int:
    """Seconds in which something must move: more than a picture may take is of no use."""
    return settings.patience if course.timeout is None else min(settings.patience, 5 + ceil(course.timeout))
