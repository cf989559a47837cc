"""`--ray`: a command's pictures are asked about on a Ray cluster. What may go together with it, and what is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import __version__
from vlmcli.batch.course import Course, Job
from vlmcli.cli import servers
from vlmcli.cli.signals import interruptible
from vlmcli.errors import Exit, UsageError, VlmError
from vlmcli.later import Later
from vlmcli.settings import Settings
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles, Server

if TYPE_CHECKING:
    from vlmcli.batch.remaining import Remaining
    from vlmcli.cli.flags import Flags
    from vlmcli.cluster import cluster as clusters
    from vlmcli.cluster import estimate as estimates
    from vlmcli.cluster import messages, model, spread
    from vlmcli.terminal.show import Show
else:  # a command that asks on this machine needs none of them
    clusters, estimates = Later("vlmcli.cluster.cluster"), Later("vlmcli.cluster.estimate")
    messages, model, spread = (Later(f"vlmcli.cluster.{name}") for name in ("messages", "model", "spread"))

Started = Callable[[type["spread.Spread"]], tuple["spread.Spread", "Show"]]


def checked(flags: Flags, settings: Settings, course: Course) -> Course:
    """How a command goes through its pictures, on a cluster if the flags say so.

    A file of records takes them as they come, and is put in order at the end: a picture that takes long would keep all
    that come after it out of the file. Raises UsageError for flags that exclude one another.
    """
    if flags.ray is None:
        for option, value in (
            ("--actors", flags.actors), ("--ship-model", flags.ship_model), ("--engine", flags.engine),
        ):  # fmt: skip
            if value:
                raise UsageError(f"{option} does nothing without --ray", "add --ray local, or leave it out")
        return course
    if not flags.ray.strip():
        raise UsageError("--ray needs the address of a cluster", "use --ray auto, --ray local, or --ray HOST:PORT")
    if settings.server.strip():
        raise UsageError("--ray and --server cannot be used together", "leave out one of them")
    if _is_vllm(flags):
        given = (
            ("--ship-model", flags.ship_model), ("--mmproj", flags.mmproj), ("--chat-template", flags.chat_template),
            ("--ctx", flags.ctx), ("--threads", flags.threads), ("--gpu-layers", flags.gpu_layers),
            ("--picture-tokens", flags.picture_tokens),
        )  # fmt: skip
        for name, useless in given:
            if useless:
                raise UsageError(f"{name} does nothing with --engine vllm", "leave it out")
    if flags.worker is not None:
        where = "--worker" if flags.worker else "--in-process"
        raise UsageError(f"{where} does nothing with --ray", "leave it out")
    return replace(course, unordered=True) if course.output is not None else course


def _is_vllm(flags: Flags) -> bool:
    return flags.engine is not None and flags.engine.value == "vllm"


def model_of(ui: Ui, settings: Settings, flags: Flags) -> ModelFiles:
    """The model that the command asks. Raises as `servers.model_of`.

    One that vLLM loads is known by its name on the Hub alone, as a server's is.
    """
    if not flags.ray or not _is_vllm(flags):
        return servers.model_of(ui, settings, flags)
    if not flags.model:
        raise UsageError("--engine vllm needs the name of a model", "for example -m Qwen/Qwen3-VL-8B-Instruct")
    return ModelFiles(flags.model, Path(), Path(), servers=(Server("vllm"),))


@contextmanager
def _opened(
    files: ModelFiles, settings: Settings, course: Course, jobs: Sequence[Job], flags: Flags
) -> Iterator[clusters.Cluster]:
    """The cluster that the flags name, with a model and what is asked."""
    interruptible()
    ship = flags.ship_model
    plan = messages.Plan(
        files, model.copies(files, ship=ship), spread.tasks_of(jobs), settings, __version__, course.timeout,
        any(job.task.chooses for job in jobs), messages.ENGINES["vllm" if _is_vllm(flags) else "llama"],
    )  # fmt: skip
    cluster = clusters.Cluster((flags.ray or "").strip(), messages.Open(flags.actors or 0, plan, ship))
    try:
        yield cluster
    finally:
        cluster.close()


def shown(
    ui: Ui, files: ModelFiles, settings: Settings, course: Course, left: Remaining, flags: Flags, started: Started
) -> Exit | None:
    """Ask what is left on a cluster, and show what comes of it. Returns an exit code when some failed.

    Args:
        ui: for what has to be said.
        files: the model.
        settings: of the command.
        course: how it goes through its pictures.
        left: what is left to do.
        flags: of the command.
        started: makes the run, and what shows it.
    """
    with _opened(files, settings, course, left.jobs, flags) as cluster:
        run, show = started(spread.Spread)
        failed = show.these(run.gathered(cluster))
    if course.output is not None and left.memory is not None:
        try:
            left.memory.restore_order(run.works)
        except VlmError as error:
            ui.error(error)
            failed = failed or Exit.SOME_FAILED
    return failed


def estimate(ui: Ui, files: ModelFiles, settings: Settings, course: Course, jobs: Sequence[Job], flags: Flags) -> str:
    """How long jobs take on a cluster, in words, of a sample that each of its actors does."""
    with _opened(files, settings, course, jobs, flags) as cluster:
        return estimates.estimate(cluster, jobs, ui.say if flags.verbose else lambda _: None)
