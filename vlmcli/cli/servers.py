"""`--server`: the model that a command asks, where servers have it; what may be sent to them, and what is said of that.

Nothing is sent before it is clear that it may be: not even the question which models there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli.cli.pull import find_model
from vlmcli.cli.signals import interruptible
from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.settings import Settings, api_key, is_offline
from vlmcli.tasks.ask import Form, fitting
from vlmcli.tasks.boxes import CONVENTIONS
from vlmcli.terminal.ui import Ui
from vlmcli.values import THINK, Card, ModelFiles

if TYPE_CHECKING:
    from vlmcli.cli.flags import Flags
    from vlmcli.runners import chat_body, servers
else:  # a command that asks the engine on this machine needs none of them
    chat_body, servers = Later("vlmcli.runners.chat_body"), Later("vlmcli.runners.servers")

LONGEST = 500
"""Letters of a text of a model's card, which is shown to a person."""


def model_of(ui: Ui, settings: Settings, flags: Flags) -> ModelFiles:
    """The model that a command asks: a server's where one is named, else one on this machine.

    Args:
        ui: where to ask, and to say what is to be known.
        settings: which model, and which servers.
        flags: of the command; those that have nothing to do with the place that is asked are errors.

    Raises UsageError for what may not or cannot be; ModelError where there is no model, or no server answers.
    """
    if not settings.server.strip():
        _refuse(("--concurrency", flags.concurrency), ("--allow-upload", flags.allow_upload), what="without --server")
        return find_model(ui, settings, flags.chat_template or "")
    _refuse(
        ("--mmproj", flags.mmproj), ("--chat-template", flags.chat_template), ("--ctx", flags.ctx),
        ("--threads", flags.threads), ("--gpu-layers", flags.gpu_layers), ("--picture-tokens", flags.picture_tokens),
        ("--in-process" if flags.worker is False else "--worker", flags.worker is not None),
        what="with --server",
    )  # fmt: skip
    return named_model(ui, settings, flags.model or "")


def named_model(ui: Ui, settings: Settings, name: str) -> ModelFiles:
    """The model of a name at the servers that the settings name; without a name, the first that they have.

    Raises as `model_of`.
    """
    urls = servers.addresses(settings.server)
    if not urls:
        raise UsageError("no server is named", "for example --server http://localhost:8080")
    away = [url for url in urls if not servers.is_loopback(url)]
    _may_leave(away, settings)
    keys = {url: api_key(url) for url in urls}
    if away:
        ui.notice(f"pictures are sent to {', '.join(map(servers.host_of, away))}")
    interruptible()
    found = servers.look(urls, name, settings.model, keys.__getitem__, ui.say)
    return ModelFiles(found.model, Path(), Path(), card_of(found.card), servers=found.servers)


def _may_leave(away: Sequence[str], settings: Settings) -> None:
    """Raise UsageError where pictures would leave the machine for these addresses, and may not."""
    if not away:
        return
    host = servers.host_of(away[0])
    if is_offline():
        raise UsageError(f"{host} is another machine, and VLM_OFFLINE is set", "unset it to send pictures there")
    if not settings.allow_upload:
        raise UsageError(f"{host} is another machine", "allow pictures to be sent there: --allow-upload")


def _refuse(*given: tuple[str, object], what: str) -> None:
    """Raise UsageError for the first option that is given, and does nothing with a server, or without one."""
    for option, value in given:
        if value is not None and value is not False:
            raise UsageError(f"{option} does nothing {what}", "leave it out")


def check_form(form: Form, files: ModelFiles) -> None:
    """Raise UsageError where a server cannot hold its answers to a form."""
    for server in files.servers:
        able = ("vlm", "llama") if form.grammar else ("vlm",)
        if (form.grammar or form.regex) and server.kind not in able:
            error = chat_body.cannot(form.option or ("--grammar" if form.grammar else "--regex"), server)
            raise UsageError(error.message, error.hint)


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
