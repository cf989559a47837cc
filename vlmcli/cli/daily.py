"""What is said at most once a day on a machine: the notice of a model that is only for first steps.

The day on which it was last said is kept in a file in the state folder. A file that cannot be read or written is no
error: the notice is then said each time.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from pathlib import Path

from vlmcli import atomic, files
from vlmcli.settings import state_folder
from vlmcli.terminal.ui import Ui
from vlmcli.values import Card

NAME = "notice-shown"
"""The file in the state folder; it holds a date, as in 2026-11-29."""


def tell(ui: Ui, card: Card) -> None:
    """Say a model's notice, if it has one. A notice that is meant for once a day is not said again on the same day."""
    if not card.notice:
        return
    if not card.notice_daily:
        ui.notice(card.notice)
    elif not was_told(state_folder()):
        ui.notice(card.notice)
        remember(state_folder())


def was_told(folder: Path) -> bool:
    """Whether the notice has been said today, by the file in this folder."""
    try:
        return files.read(folder / NAME, 100).decode().strip() == _today()
    except (OSError, ValueError):
        return False


def remember(folder: Path) -> None:
    """Write into this folder that the notice has been said today."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        atomic.replace(folder / NAME, f"{_today()}\n".encode())


def _today() -> str:
    return date.today().isoformat()
