"""A command's questions about its pictures: find the model, see what is left to do, run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from math import ceil

import typer

from vlmcli.amounts import duration
from vlmcli.batch.course import (
    Before,
    Course,
    Job,
    Memory,
    count,
    plan,
)
from vlmcli.batch.sidecars import Sidecars
from vlmcli.cli.flags import Flags
from vlmcli.cli.pull import find_model
from vlmcli.cli.running import runner_of
from vlmcli.cli.words import Named, grouped, named_pictures
from vlmcli.errors import Exit, ModelError, SourceError, VlmError
from vlmcli.records import lines
from vlmcli.records.target import length_of_stdout
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.templates import Template
from vlmcli.terminal.show import Show
from vlmcli.terminal.ui import Ui
from vlmcli.values import (
    Card,
    Done,
    Failed,
    ModelFiles,
    Request,
    run,
)

SAMPLE = 3
"""Jobs that are done to know how long all of them take."""


def answer(
    questions: Callable[[Card], Sequence[str]],
    named: Named,
    flags: Flags,
    *,
    system: str = "",
    template: Template | None = None,
    plain: bool = False,
    end_loops: bool = False,
) -> None:
    """Ask a model's questions about the pictures that were named, and show what comes of it.

    One question is answered in this process, which starts sooner; several in a worker's, unless --worker says which.

    Args:
        questions: by the model's card, which may have prompts of its own.
        named: the pictures.
        flags: of the command.
        system: what the model is told before, where the flags say nothing.
        template: of the question, which may say how tokens are chosen.
        plain: show the answer as it was written.
        end_loops: end an answer that only repeats itself.

    Raises typer.Exit with the code of some or all failing.
    """
    settings, sampling, course, side = flags.settings(), flags.sampling(template), flags.course(), flags.side
    json, table = flags.as_json, flags.table
    with Ui(markdown=not (plain or flags.plain)) as ui, ExitStack() as stack:
        files = None
        jobs = [Job(Ask(question), ()) for question in questions(Card())]
        try:
            found, context = named_pictures(named)
            files = find_model(ui, settings, flags.chat_template or "")
            tasks = [
                Ask(question, context, flags.system or system, *sampling, end_loops, files.card.think, side)
                for question in questions(files.card)
            ]
            groups = grouped(found, each=named.each, together=named.together)
            jobs = everything = [Job(task, group, number) for number, group in enumerate(groups) for task in tasks]
            sidecars = Sidecars(course, jobs, flags.lists) if course.sidecar else None
            memory = stack.enter_context(Memory.of(course, files, found)) if course.remembers else None
            jobs, before = (memory.left(jobs), memory.before) if memory else (jobs, Before())
            unwritten = False
            if sidecars is not None and memory is not None and not course.dry_run:
                unwritten = _write_missing(ui, sidecars, memory, fail_fast=course.fail_fast)
            elif sidecars is not None and memory is None:
                jobs, there = sidecars.left(jobs)
                if there:
                    ui.say(f"{count(there, 'picture')} with a text not asked about; --existing replace writes anew")
            patient = replace(settings, patience=_patience(settings, course))
            if not jobs or course.dry_run:
                said = plan(jobs, before)
                ui.say(f"{said}; {_estimate(ui, files, patient, jobs, course)}" if jobs else said)
                failed = Exit.SOME_FAILED if before.failed and not course.dry_run else None
            else:
                if json and memory is None and len(jobs) > 1 and length_of_stdout():
                    ui.say("what is appended to has no memory; --output FILE goes on where a run stopped")
                ui.notice(files.card.notice)
                with runner_of(ui, files, patient, [job.names for job in jobs], flags.worker) as runner:
                    show = Show(
                        ui, jobs, files, json=json, stats=flags.stats, think=flags.think, table=table,
                        everything=everything, memory=memory, sidecars=sidecars, course=course,
                    )  # fmt: skip
                    failed = show.all(runner)
            if unwritten and failed is None:
                failed = Exit.SOME_FAILED
        except (ModelError, SourceError) as error:
            for job in jobs if json and course.output is None else ():
                name = files.name if files else settings.model
                ui.line(lines.json_line(job.task.result(job.names or list(named.names), error, name)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


def _patience(settings: Settings, course: Course) -> int:
    """Seconds in which something must move: more than a picture may take is of no use."""
    return settings.patience if course.timeout is None else min(settings.patience, 5 + ceil(course.timeout))


def _write_missing(ui: Ui, sidecars: Sidecars, memory: Memory, *, fail_fast: bool) -> bool:
    """Write what was answered before, and is not beside its picture: it was removed, or a run was killed.

    Returns whether one cannot be written, which has been said; raises VlmError instead where a run is to fail fast.
    """
    failed = False
    for job, work in memory.done if not sidecars.inside else ():
        text, error = memory.past(work)
        if error or job in sidecars.wrong or sidecars.has(job):
            continue
        try:
            sidecars.write(job, text)
        except VlmError as unwritable:
            if fail_fast:
                raise
            ui.error(unwritable)
            failed = True
    return failed


def _estimate(ui: Ui, files: ModelFiles, settings: Settings, jobs: Sequence[Job], course: Course) -> str:
    """How long the jobs take, by the first of them; their answers go nowhere."""
    began, ends = 0.0, []
    with runner_of(ui, files, settings, [job.names for job in jobs], None) as runner:
        for _, event in run(runner, _loadable(jobs[:SAMPLE], course.timeout)):
            if event.id is not None and not began:
                began = time.monotonic()
            if isinstance(event, Done | Failed):
                ends.append(time.monotonic())
    if not ends:
        return "how long it takes is not known: none of the first can be read"
    each = (ends[-1] - began) / len(ends)
    first = f"the first {len(ends)}" if len(ends) > 1 else "the first"
    return f"about {duration(each * len(jobs))}, by {first} ({each:.2g} s each)"


def _loadable(jobs: Sequence[Job], timeout: float | None) -> Iterator[Request]:
    for job in jobs:
        with suppress(SourceError):
            yield replace(job.task.request(job.load()), timeout=timeout)
