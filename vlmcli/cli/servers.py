"""`--server`: the model that a command asks, where servers have it; what may be sent to them, and what is said of that.

Nothing is sent before it is clear that it may be: not even the question which models there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmcli.cli.pull import find_model
from vlmcli.cli.signals import interruptible
from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Form
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles

if TYPE_CHECKING:
    from vlmcli.cli.flags import Flags
    from vlmcli.runners import chat_body, chosen
else:  # a command that asks the engine on this machine needs none of them
    chat_body, chosen = Later("vlmcli.runners.chat_body"), Later("vlmcli.runners.chosen")


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
        if settings.gpus and flags.worker is False:
            raise UsageError("--in-process and --gpus cannot be used together", "leave out --in-process")
        return find_model(ui, settings, flags.chat_template or "")
    _refuse(
        ("--mmproj", flags.mmproj), ("--chat-template", flags.chat_template), ("--ctx", flags.ctx),
        ("--threads", flags.threads), ("--gpu-layers", flags.gpu_layers), ("--gpus", flags.gpus),
        ("--picture-tokens", flags.picture_tokens),
        ("--in-process" if flags.worker is False else "--worker", flags.worker is not None),
        what="with --server",
    )  # fmt: skip
    return named_model(ui, settings, flags.model or "")


def named_model(ui: Ui, settings: Settings, name: str) -> ModelFiles:
    """The model of a name at the servers that the settings name; without a name, the first that they have.

    Raises as `model_of`.
    """
    return chosen.model_of(settings, name, ui.notice, ui.say, interruptible)


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
