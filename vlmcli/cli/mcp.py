"""`vlm mcp`: eyes for agents. Which files they may have read, and which model looks at these."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.cli.flags import Flags, with_flags
from vlmcli.errors import UsageError
from vlmcli.later import Later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmcli.cli import running, servers
    from vlmcli.values import ModelFiles, Runner
else:  # a page of help needs none of them
    running, servers = Later("vlmcli.cli.running"), Later("vlmcli.cli.servers")

Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="DIR", help="Let agents see pictures in this folder; repeatable; default: ."),
]
AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="Fetch pictures from web addresses.")]
KeepAlive = Annotated[
    str, typer.Option("--keep-alive", metavar="TIME", help="Free the model if unused for so long: 90s, 5m, 1h, or -1.")
]
INSTALL = "install its package: pip install 'vlmcli[mcp]'"


@with_flags(
    "allow", "allow_urls", "allow_local_urls", "model", "server", "allow_upload", "mmproj", "chat_template",
    "picture_tokens", "system", "keep_alive", "ctx", "threads", "gpu_layers", "no_cache", "verbose",
)  # fmt: skip
def mcp(
    allow: Allow = None,
    allow_urls: AllowUrls = False,
    keep_alive: KeepAlive = "5m",
    *,
    flags: Flags,
) -> None:
    """Let agents look at pictures, over MCP.

    Agents such as Claude Code, Cursor and Codex start this command themselves; see docs/agents.md.
    They can only see pictures in the current folder, or in those of --allow.

    vlm mcp --allow ~/Pictures

    vlm mcp -m qwen3.5-0.8b --allow . --allow /tmp
    """
    try:
        import_module("mcp.server.stdio")
    except ModuleNotFoundError as error:
        raise UsageError(f"vlm mcp needs the package {error.name}", INSTALL) from None
    from vlmcli.cli.serve import seconds

    _serve(allow or (), flags, seconds(keep_alive), allow_urls=allow_urls or flags.allow_local_urls)


def _serve(folders: Sequence[str], flags: Flags, keep: float, *, allow_urls: bool) -> None:
    """Answer calls until the client goes away."""
    import asyncio

    from vlmcli.mcp.allowed import Allowed
    from vlmcli.mcp.model import Model
    from vlmcli.mcp.seen import Eyes
    from vlmcli.mcp.service import Served, serve
    from vlmcli.records import calibrations, journal
    from vlmcli.runners import nearby
    from vlmcli.settings import api_key, config_folder
    from vlmcli.terminal.ui import Ui

    settings = flags.settings()
    with Ui() as ui:

        def find() -> ModelFiles:
            return servers.model_of(ui, settings, flags)

        def opened(files: ModelFiles) -> Runner:
            if files.servers:
                from vlmcli.runners.remote import Remote

                return Remote(files, api_key, concurrency=settings.concurrency, patience=settings.patience)
            return running.worker_of(files, settings, choices=True, attached=nearby.attached(files, settings))

        def fetched(address: str) -> bytes:
            from vlmcli.pictures import fetch  # with a client of HTTP

            return fetch.get(address, flags.allow_local_urls)

        eyes = Eyes(Allowed(folders), fetched if allow_urls else None, flags.known)
        served = Served(
            eyes, Model(find, opened, keep), settings.system,
            lambda files: calibrations.read(config_folder(), journal.model_id(files)),
        )  # fmt: skip
        asyncio.run(serve(served))
