"""What answers a command's requests: the engine in this process, or in one of its own; or servers.

Does not know what is asked, nor what becomes of the answers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import room
from vlmcli.cli.signals import interruptible
from vlmcli.errors import NativeError
from vlmcli.placement import Wanted
from vlmcli.runners import last_death, nearby
from vlmcli.settings import Settings, api_key, caching, state_folder
from vlmcli.terminal import door
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles, Runner

if TYPE_CHECKING:
    from vlmcli.engine import Engine, Observer
    from vlmcli.runners.attached import Attached
    from vlmcli.runners.pool import Pool
    from vlmcli.runners.worker import Worker

log = logging.getLogger("vlmcli")


def runner_of(
    ui: Ui,
    files: ModelFiles,
    settings: Settings,
    asked: Sequence[Sequence[str]],
    worker: bool | None,
    began: float | None = None,
    *,
    choices: bool = False,
) -> AbstractContextManager[Runner]:
    """The engine in this process for one question, which starts sooner, else in one of its own; or the model's servers.

    Where the model is in memory already, it is asked there, unless it is said which process is to have the engine.

    Args:
        ui: for what has to be said.
        files: the model.
        settings: where it goes.
        asked: the pictures' names of each request.
        worker: whether it shall be in one of its own; None leaves it open.
        began: when the command began, as `Engine` takes it.
        choices: whether requests have choices.
    """
    if files.servers:
        return serving(files, settings)
    if settings.gpus:
        return working(files, settings, began, len(asked), choices=choices)
    attached = nearby.attached(files, settings) if worker is None else None
    if attached is not None:
        return working(files, settings, began, len(asked), choices=choices, attached=attached)
    died = tell_of_death(ui, files, lonely=worker is None and len(asked) == 1)
    if worker is None:
        worker = len(asked) > 1 or died
    if worker:
        return working(files, settings, began, len(asked), choices=choices)
    names = [name for names in asked for name in names]
    return opened(ui, files, settings, names, began=began, requests=len(asked), choices=choices)


@contextmanager
def serving(files: ModelFiles, settings: Settings) -> Iterator[Runner]:
    """The servers that have a model, as a runner."""
    from vlmcli.runners.remote import Remote

    interruptible()
    remote = None
    try:
        remote = Remote(files, api_key, concurrency=settings.concurrency, patience=settings.patience)
        yield remote
    finally:
        if remote is not None:
            remote.close()


def _marks() -> Path:
    return state_folder() / "running"


def tell_of_death(ui: Ui, files: ModelFiles, lonely: bool = False) -> bool:
    """Explain how the last command died, if it did; whether it had this model."""
    death = last_death.take(_marks())
    if death is None:
        return False
    names = ", ".join(death.pictures) or "no picture"
    ui.say(f"the last command crashed in llama.cpp ({death.reason}): {names}, with {death.model}")
    again = death.model == str(files.model)
    if again and lonely:
        ui.say("this command runs llama.cpp in a separate process, as with --worker")
    return again


@contextmanager
def working(
    files: ModelFiles,
    settings: Settings,
    began: float | None = None,
    requests: int = 0,
    *,
    choices: bool = False,
    attached: Attached | None = None,
) -> Iterator[Runner]:
    """The engine in a process of its own, for so many requests, zero for any number, perhaps with choices.

    Where GPUs are named, there is a process for each. Where servers have the model, it is they that answer; and what is
    attached, as long as it is there.
    """
    if files.servers:
        with serving(files, settings) as runner:
            yield runner
        return
    interruptible()
    worker = None
    try:
        worker = worker_of(files, settings, began, requests, choices=choices, attached=attached)
        yield worker
    finally:
        if worker is not None:
            worker.close()


def conversing(files: ModelFiles, settings: Settings) -> AbstractContextManager[Runner]:
    """The model in memory if it is alike, else the engine in a process of its own; for any number of requests."""
    return working(files, settings, attached=nearby.attached(files, settings))


def worker_of(
    files: ModelFiles,
    settings: Settings,
    began: float | None = None,
    requests: int = 0,
    *,
    choices: bool = False,
    attached: Attached | None = None,
) -> Worker | Pool:
    """The same, to be closed by whoever asks for it. Raises UsageError for GPUs that are not there."""
    wanted, kept, patience = _wanted(settings, requests, choices), caching(settings), settings.patience
    if settings.gpus:
        from vlmcli.runners import pool

        return pool.opened(files, settings.gpus, wanted, began=began, patience=patience, caching=kept)
    from vlmcli.runners.worker import Worker

    return Worker(files, wanted, patience=patience, caching=kept, began=began, attached=attached)


@contextmanager
def opened(
    ui: Ui,
    files: ModelFiles,
    settings: Settings,
    names: Sequence[str],
    observer: Observer | None = None,
    requests: int = 0,
    began: float | None = None,
    choices: bool = False,
) -> Iterator[Engine]:
    """An engine that loads in the background, closed afterwards. Should it kill the process, the next command says so.

    Args:
        ui: for what has to be said.
        files: the model.
        settings: where it goes.
        names: of the pictures it is asked about.
        observer: as `Engine`'s.
        requests: how many there will be; zero for any number.
        began: as `Engine`'s.
        choices: whether requests have choices.
    """
    from vlmcli.engine import Engine, native
    from vlmcli.engine.place import place

    interruptible()
    chosen = place(files, _wanted(settings, requests, choices))
    log.info("%s", chosen.reason)
    with last_death.marked(_marks(), files.model, names):
        native.on_abort(lambda text: _give_up(ui, files, text))
        engine = Engine(files, chosen, observer, caching(settings), began)
        import_module("vlmcli.engine.template_sandbox")  # Jinja, which the engine needs when the weights are loaded
        try:
            yield engine
        finally:
            engine.close()
            native.on_abort(door.last_words)  # the next command's failure is not this one's


def _wanted(settings: Settings, requests: int, choices: bool) -> Wanted:
    return Wanted(settings.ctx, settings.threads, settings.gpu_layers, requests, choices)


def _give_up(ui: Ui, files: ModelFiles, text: str) -> None:
    """llama.cpp has failed an assertion and will not return: say so, and end with our own exit code."""
    hint = "check that the two files were published together, and that the picture is not damaged"
    error = NativeError(
        f"llama.cpp crashed on {files.model} with {files.projector} ({text.strip()})",
        room.HINT if room.said(text) else hint,
    )
    ui.end_line()  # nothing else will, as the process ends here
    ui.error(error)
    last_death.clear(_marks())
    os._exit(error.exit_code)
