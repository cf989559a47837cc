"""The model that is asked where the user's settings name servers; what may be sent to these, and what they tell of it.

Nothing is sent before it is clear that it may be: not even the question which models there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmcli.errors import UsageError
from vlmcli.runners import servers
from vlmcli.settings import Settings, api_key, is_offline
from vlmcli.tasks.ask import fitting
from vlmcli.tasks.boxes import CONVENTIONS
from vlmcli.values import THINK, Card, ModelFiles

LONGEST = 500
"""Letters of a text of a model's card, which is shown to a person."""


def model_of(
    settings: Settings,
    name: str,
    notice: Callable[[str], object],
    say: Callable[[str], None],
    begin: Callable[[], None] = lambda: None,
) -> ModelFiles:
    """The model of a name at the servers that the settings name; without a name, the first that they have.

    Args:
        settings: which servers, and whether pictures may be sent to other machines.
        name: of the model; empty for any.
        notice: told where pictures will be sent, if that is another machine.
        say: told of a server that is left out.
        begin: called before anything is sent.

    Raises UsageError for what may not be; ModelError where there is no such model, or no server answers.
    """
    urls = servers.addresses(settings.server)
    if not urls:
        raise UsageError("no server is named", "for example --server http://localhost:8080")
    away = [url for url in urls if not servers.is_loopback(url)]
    _may_leave(away, settings)
    keys = {url: api_key(url) for url in urls}
    if away:
        notice(f"pictures are sent to {', '.join(map(servers.host_of, away))}")
    begin()
    found = servers.look(urls, name, settings.model, keys.__getitem__, say)
    return ModelFiles(found.model, Path(), Path(), card_of(found.card), servers=found.servers, away=found.away)


def _may_leave(away: Sequence[str], settings: Settings) -> None:
    """Raise UsageError where pictures would leave the machine for these addresses, and may not."""
    if not away:
        return
    host = servers.host_of(away[0])
    if is_offline():
        raise UsageError(f"{host} is another machine, and VLM_OFFLINE is set", "unset it to send pictures there")
    if not settings.allow_upload:
        raise UsageError(f"{host} is another machine", "allow pictures to be sent there: --allow-upload")


def card_of(told: Mapping[str, Any]) -> Card:
    """What another `vlm serve` tells of its model; what has not the form of it, or is unknown, is left out."""

    def text(name: str) -> str:
        value = told.get(name)
        return value[:LONGEST] if isinstance(value, str) else ""

    think, prompts, about = told.get("think"), told.get("prompts"), told.get("about")
    tags = isinstance(think, list) and len(think) == 2 and all(isinstance(one, str) and one for one in think)
    return Card(
        about=tuple(one[:LONGEST] for one in about[:3] if isinstance(one, str)) if isinstance(about, list) else (),
        notice=text("notice"),
        notice_daily=told.get("notice_daily") is True,
        unsure=text("unsure"),
        unsure_hint=text("unsure_hint"),
        prompts=fitting(prompts) if isinstance(prompts, dict) else {},
        think=(think[0], think[1]) if tags and isinstance(think, list) else THINK,
        thinks=told.get("thinks") is True,
        licence=text("licence"),
        boxes=text("boxes") if text("boxes") in CONVENTIONS else "",
    )
