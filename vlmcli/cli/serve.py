"""`vlm serve`: which models are served where, and by whose leave."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.flags import Flags, with_flags
from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.settings import variables

if TYPE_CHECKING:
    from dataclasses import replace

    from vlmcli.cli import pull, running
    from vlmcli.values import ModelFiles, Runner
else:  # a page of help needs none of them
    from dataclasses import replace

    pull, running = Later("vlmcli.cli.pull"), Later("vlmcli.cli.running")

log = logging.getLogger("vlmcli")

PORT = 8080
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(-?\d+)([smh]?)")
INSTALL = "install its packages: pip install 'vlmcli[serve]'"


@with_flags("yes", "ctx", "threads", "gpu_layers", "no_cache", "verbose")
def serve(
    models: Annotated[
        str | None, typer.Option("--models", metavar="A,B", help="The models to serve; by default the default model.")
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = PORT,
    api_key: Annotated[
        str | None, typer.Option("--api-key", metavar="KEY", help="The key clients must send (or VLM_API_KEY).")
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Let everybody on the network use the server, without a key.")
    ] = False,
    keep_alive: Annotated[
        str,
        typer.Option("--keep-alive", metavar="TIME", help="Free a model unused for so long: 90s, 5m, 1h, or -1."),
    ] = "5m",
    max_loaded: Annotated[
        int, typer.Option("--max-loaded", metavar="N", min=1, help="Keep at most N models in memory.")
    ] = 1,
    queue: Annotated[
        int, typer.Option("--queue", metavar="N", min=1, help="Take at most N requests at a time; others get 429.")
    ] = 64,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, help="Let an answer have at most N tokens.")
    ] = 8192,
    max_body: Annotated[
        int, typer.Option("--max-body", metavar="MB", min=1, help="Take requests of at most so many megabytes.")
    ] = 64,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch pictures from web addresses in requests.")
    ] = False,
    allow_local_urls: options.AllowLocalUrls = False,
    cors: Annotated[
        list[str] | None,
        typer.Option("--cors", metavar="ORIGIN", help="Let web pages of this origin use the server; repeatable."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another name clients may call the server by; repeatable."),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Serve models to other programs over HTTP.

    Programs that speak the OpenAI API can use the models: http://127.0.0.1:8080/v1 is the address to give them.
    Only this machine can connect, unless --host says otherwise, which needs a key.

    vlm serve

    vlm serve --models qwen3.5-0.8b,demo --keep-alive 1h

    vlm serve --host 0.0.0.0 --api-key KEY
    """
    try:
        from vlmcli.server.app import application
        from vlmcli.server.figures import Figures
        from vlmcli.server.guard import Guard
        from vlmcli.server.pool import Pool
        from vlmcli.server.running import is_loopback, listening
        from vlmcli.server.running import serve as run
        from vlmcli.server.seen import Reader
        from vlmcli.server.service import Limits, Service
    except ModuleNotFoundError as error:
        raise UsageError(f"vlm serve needs a package that is not there ({error.name})", INSTALL) from None
    from vlmcli.terminal.ui import Ui

    key = api_key if api_key is not None else variables().get("VLM_API_KEY", "")
    loopback = is_loopback(host)
    if not loopback and not key and not no_auth:
        raise UsageError(
            f"--host {host}: everybody on the network could use the server",
            "set a key with --api-key or VLM_API_KEY, or say --no-auth",
        )
    kept, settings = _seconds(keep_alive), flags.settings()
    with Ui() as ui, listening(host, port) as server:
        names = [one.strip() for one in (models or settings.model or "").split(",") if one.strip()] or [""]
        found: dict[str, ModelFiles] = {}
        for name in names:
            files = pull.find_model(ui, replace(settings, model=name or settings.model))
            found[files.name] = files

        def opened(files: ModelFiles) -> Runner:
            return running.worker_of(files, settings, choices=True)

        limits = Limits(body=max_body * 10**6, queue=queue, tokens=max_tokens)
        pool = Pool(found, opened, most=max_loaded, keep_alive=kept)
        reader = Reader(
            allow_urls=allow_urls or allow_local_urls, allow_local=allow_local_urls, most=limits.pictures,
            megapixels=limits.megapixels, threads=2,
        )  # fmt: skip
        service = Service(pool, reader, limits, Figures())
        guard = Guard(
            application(service), loopback=loopback, hosts=allow_host or (), key=key, origins=cors or (),
            seconds=limits.body_seconds,
        )  # fmt: skip
        where = server.getsockname()
        shown = f"[{where[0]}]" if ":" in where[0] else where[0]
        ui.say(f"serving {', '.join(found)} at http://{shown}:{where[1]}/v1; Ctrl-C stops")
        run(guard, service, [server], ui.say)


def _seconds(text: str) -> float:
    """Seconds of a duration; below zero for ever. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--keep-alive {text}: not a duration", "write it as 90s, 5m or 1h; -1 is for ever")
    return float(int(found[1]) * UNITS[found[2]])
