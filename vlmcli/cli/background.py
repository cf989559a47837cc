"""`vlm serve --background`, `--status` and `--stop`: a server that goes on when its command has ended.

The command starts another process of the same program with the same words, and waits until that one has the model in
memory. What goes wrong there is in its log, and is told here.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import vlmcli
from vlmcli import atomic, files
from vlmcli.errors import Exit, UsageError, VlmError
from vlmcli.placement import Wanted
from vlmcli.runners import warm, wire
from vlmcli.settings import Settings, caching, state_folder
from vlmcli.terminal.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmcli.server.service import Service
    from vlmcli.server.warm import Warm
    from vlmcli.values import ModelFiles

STOP_SECONDS = 3600.0
"""In which a server must have finished what is under way."""
TICK = 0.05
LONGEST = 1 << 20
"""Bytes of the log."""
_BOOT = """
import sys
sys.path[:] = {path!r}
sys.argv[:] = {words!r}
from vlmcli.__main__ import main
from vlmcli.cli import background
background.is_process = True
sys.exit(main())
"""

is_process = False
"""Whether this process is the one that goes on."""


def start(ui: Ui, names: str) -> None:
    """Start this command once more, as a process of its own, and wait until it has the model in memory.

    Raises UsageError where one is running already; typer.Exit where it ends, and its reason has been shown.
    """
    folder = state_folder()
    running = warm.talk(folder)
    if running is not None:
        running[1].close()
        raise _already(running[0])
    log = _log(folder)
    process = _spawned(log)
    try:
        while process.poll() is None:
            place = warm.known(folder)
            if place is not None and place.pid == process.pid:
                break
            ui.status(f"loading {names}")
            time.sleep(TICK)
        else:
            place = None
    except BaseException:
        process.terminate()
        raise
    ui.end_line()
    if place is None:
        _tell(ui, log)
        raise typer.Exit(int(process.returncode if process.returncode > 0 else Exit.FAILED))
    ui.say(f"{names} stays in memory; commands like vlm ask now use it")
    ui.say(f"HTTP: {place.url}/v1; vlm serve --status shows the key, and vlm serve --stop ends it")


def _spawned(log: Path) -> subprocess.Popen[bytes]:
    """The process, which neither a closed terminal nor Ctrl-C reaches. Raises VlmError."""
    code = _BOOT.format(path=[str(Path(one).absolute()) for one in sys.path], words=sys.argv)
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    with suppress(FileNotFoundError):
        log.unlink()
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            return subprocess.Popen(
                [sys.executable, *(["-X", "utf8"] if sys.flags.utf8_mode else []), "-c", code],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
                start_new_session=sys.platform != "win32", creationflags=flags,
            )  # fmt: skip
    except OSError as error:
        raise VlmError(f"the server cannot be started ({error})", "try vlm serve without --background") from error


def _log(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VlmError(
            f"{folder}: cannot be made ({error.strerror})", "set XDG_STATE_HOME to a folder of yours"
        ) from None
    return folder / "serve.log"


def _tell(ui: Ui, log: Path) -> None:
    """Show what the process has said at its end."""
    try:
        lines = files.read(log, LONGEST).decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines[-10:] or [f"the server has ended without a word; see {log}"]:
        ui.say(line, prefix="")


def _already(place: warm.Place) -> UsageError:
    return UsageError(
        f"a server is running in the background already (process {place.pid})", "stop it: vlm serve --stop"
    )


@contextmanager
def alone() -> Iterator[Path]:
    """The state folder, while no other server of this user is in the background. Raises UsageError, VlmError."""
    folder = state_folder()
    _log(folder)
    with (folder / "serve.lock").open("ab") as file:
        if not atomic.lock(file):
            place = warm.known(folder)
            raise _already(place) if place else UsageError("a server is being started already", "try again in a moment")
        try:
            yield folder
        finally:
            warm.forget(folder, os.getpid())


@dataclass(frozen=True)
class Url:
    """Where a server speaks HTTP, and the key that clients send there; empty for none."""

    url: str
    key: str


@contextmanager
def commands(
    folder: Path, url: Url, models: Mapping[str, ModelFiles], settings: Settings, service: Service
) -> Iterator[Warm]:
    """What answers the user's commands, which learn of it by a file as long as this lasts. Raises VlmError.

    Args:
        folder: the state folder.
        url: of the server.
        models: that are served.
        settings: how they are placed.
        service: answers.
    """
    from vlmcli.server.warm import Offer, Warm

    secret = secrets.token_bytes(32)
    try:
        listens, address = warm.listening(folder)
    except OSError as error:
        raise VlmError(
            f"{folder}: no socket can be made there ({error})", "set XDG_STATE_HOME to another folder"
        ) from None

    def ready() -> None:
        place = warm.Place(vlmcli.__version__, os.getpid(), address, secret.hex(), url.url, url.key, time.time())
        try:
            warm.remember(folder, place)
        except OSError as error:
            raise VlmError(f"{folder}: cannot be written ({error.strerror})", "free some disk space") from error

    wanted = Wanted(settings.ctx, settings.threads, settings.gpu_layers)
    with listens:
        try:
            yield Warm(Offer(models, wanted, caching(settings), secret), service, listens, ready)
        finally:
            with suppress(OSError):
                Path(address).unlink()
                Path(address).parent.rmdir()  # if it was made for the socket alone: the state folder is not empty


def only(*, background: bool, status: bool, stop: bool) -> None:
    """Show how the server stands, or stop it, as is asked. Raises VlmError."""
    if sum((background, status, stop)) > 1:
        raise UsageError("--background, --status and --stop cannot be used together", "use one of them")
    if status:
        _show()
    else:
        _stop()


def _show() -> None:
    """Print how the server stands. Raises VlmError where there is none."""
    with Ui() as ui:
        found = warm.talk(state_folder())
        standing = _asked(found, wire.Look()) if found else None
        if found is None or standing is None:
            raise VlmError("no server is running in the background", "start one: vlm serve --background")
        place, talk = found
        talk.close()
        since = datetime.fromtimestamp(place.since).astimezone()
        shown = [f"{name} (in memory)" if name in standing.loaded else name for name in standing.models]
        rows = [("models", ", ".join(shown)), ("address", f"{place.url}/v1"), ("key", place.key or "none is needed")]
        rows += [("requests", f"{standing.under_way} under way, {standing.answered} answered")]
        version = "" if place.version == vlmcli.__version__ else f", vlm {place.version}"
        rows += [("process", f"{place.pid}, since {since:%Y-%m-%d %H:%M}{version}")]
        for name, value in rows:
            ui.line(f"{name:<10}{value}")


def _stop() -> None:
    """Let the server finish what is under way, and wait until it is gone. No error where there is none."""
    with Ui() as ui:
        found = warm.talk(state_folder())
        standing = _asked(found, wire.Leave()) if found else None
        if found is None or standing is None:
            ui.say("no server is running in the background")
            return
        place, talk = found
        if standing.under_way:
            ui.say(f"waiting for {standing.under_way} request{'s' * (standing.under_way > 1)} to finish")
        if not talk.wait(STOP_SECONDS):
            raise VlmError(f"the server (process {place.pid}) does not stop", f"end it: kill {place.pid}")
        ui.say(f"the server has stopped ({standing.answered} answered)")


def _asked(found: tuple[warm.Place, warm.Talk], message: wire.Look | wire.Leave) -> wire.Standing | None:
    try:
        answer = found[1].ask(message)
    except OSError:
        return None
    return answer if isinstance(answer, wire.Standing) else None
