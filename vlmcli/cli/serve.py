"""`vlm serve`: which models are served where, and by whose leave."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.flags import Flags, with_flags
from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.settings import variables

if TYPE_CHECKING:
    from socket import socket

    from vlmcli.cli import background as back
    from vlmcli.cli import pull, running
    from vlmcli.runners import gpus
    from vlmcli.settings import Settings
    from vlmcli.terminal.ui import Ui
    from vlmcli.values import ModelFiles, Runner
else:  # a page of help needs none of them
    pull, running = Later("vlmcli.cli.pull"), Later("vlmcli.cli.running")
    back, gpus = Later("vlmcli.cli.background"), Later("vlmcli.runners.gpus")

log = logging.getLogger("vlmcli")

PORT, OLLAMA_PORT = 8080, 11434
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(-?\d+)([smh]?)")
INSTALL = "install its packages: pip install 'vlmcli[serve]'"


Models = Annotated[
    str | None, typer.Option("--models", "-m", metavar="A,B", help="The models to serve; by default the default model.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")]
Port = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")]
Ollama = Annotated[bool, typer.Option("--ollama", help="Also listen where programs look for Ollama: 127.0.0.1:11434.")]
OllamaPort = Annotated[
    int, typer.Option("--ollama-port", metavar="N", min=1, max=65535, help="Listen there instead, with --ollama.")
]
ApiKey = Annotated[
    str | None, typer.Option("--api-key", metavar="KEY", help="The key clients must send (or VLM_API_KEY).")
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Let everybody on the network use the server, without a key.")]
KeepAlive = Annotated[
    str, typer.Option("--keep-alive", metavar="TIME", help="Free a model unused for so long: 90s, 5m, 1h, or -1.")
]
MaxLoaded = Annotated[int, typer.Option("--max-loaded", metavar="N", min=1, help="Keep at most N models in memory.")]
Queue = Annotated[
    int, typer.Option("--queue", metavar="N", min=1, help="Take at most N requests at a time; others get 429.")
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", metavar="N", min=1, help="Let an answer have at most N tokens.")
]
MaxBody = Annotated[
    int, typer.Option("--max-body", metavar="MB", min=1, help="Take requests of at most so many megabytes.")
]
AllowPull = Annotated[bool, typer.Option("--allow-pull", help="Let clients download models (/api/pull).")]
AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="Fetch pictures from web addresses in requests.")]
Cors = Annotated[
    list[str] | None,
    typer.Option("--cors", metavar="ORIGIN", help="Let web pages of this origin use the server; repeatable."),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="Another name clients may call the server by; repeatable."),
]
Background = Annotated[
    bool, typer.Option("--background", help="Go on in the background, with the model in memory for other commands.")
]
Status = Annotated[bool, typer.Option("--status", help="Show how the server in the background stands.")]
Stop = Annotated[bool, typer.Option("--stop", help="Stop the server in the background.")]


@dataclass(frozen=True)
class _Wished:
    """What the options say, but for the models."""

    host: str
    port: int
    ollama_port: int
    key: str
    no_auth: bool
    kept: float
    max_loaded: int
    limits: Mapping[str, int]
    allow_pull: bool
    allow_urls: bool
    allow_local_urls: bool
    cors: Sequence[str]
    allow_host: Sequence[str]


@with_flags("yes", "ctx", "threads", "gpu_layers", "gpus", "no_cache", "verbose")
def serve(
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    ollama: Ollama = False,
    ollama_port: OllamaPort = OLLAMA_PORT,
    api_key: ApiKey = None,
    no_auth: NoAuth = False,
    keep_alive: KeepAlive = "5m",
    max_loaded: MaxLoaded = 1,
    queue: Queue = 64,
    max_tokens: MaxTokens = 8192,
    max_body: MaxBody = 64,
    allow_pull: AllowPull = False,
    allow_urls: AllowUrls = False,
    allow_local_urls: options.AllowLocalUrls = False,
    cors: Cors = None,
    allow_host: AllowHost = None,
    background: Background = False,
    status: Status = False,
    stop: Stop = False,
    *,
    flags: Flags,
) -> None:
    """Serve models to other programs over HTTP.

    Programs that speak the OpenAI API can use the models: http://127.0.0.1:8080/v1 is the address to give them.
    With --ollama, programs that use Ollama find them without any setting.
    Only this machine can connect, unless --host says otherwise, which needs a key.

    vlm serve

    vlm serve -m qwen3.5-0.8b,demo --keep-alive 1h

    vlm serve --ollama

    vlm serve --host 0.0.0.0 --api-key KEY

    With --background, the model stays in memory, and commands such as vlm ask answer at once. Only you can use it.

    vlm serve --background
    """
    if status or stop:
        back.only(background=background, status=status, stop=stop)
        return
    settings = flags.settings()
    _check(settings, host, has_key=bool(key := _key(api_key)) or no_auth)
    limits = {"body": max_body * 10**6, "queue": queue, "tokens": max_tokens}
    wished = _Wished(
        host, port, ollama_port if ollama else 0, key, no_auth, seconds(keep_alive), max_loaded, limits, allow_pull,
        allow_urls or allow_local_urls, allow_local_urls, cors or (), allow_host or (),
    )  # fmt: skip
    names = [one.strip() for one in (models or "").split(",") if one.strip()]
    if not background:
        _serve(names, wished, settings)
    elif back.is_process:
        with back.alone() as folder:
            _serve(names, wished, settings, folder)
    else:
        _start(names, wished, settings)


def _check(settings: Settings, host: str, *, has_key: bool) -> None:
    """Raise UsageError where packages or GPUs are missing, or where everybody could use the server."""
    try:
        import_module("vlmcli.server.app")
        import_module("vlmcli.server.figures")
        from vlmcli.server.running import is_loopback
    except ModuleNotFoundError as error:
        raise UsageError(f"vlm serve needs the package {error.name}", INSTALL) from None
    if not is_loopback(host) and not has_key:
        raise UsageError(
            f"--host {host}: everybody on the network could use the server",
            "set a key with --api-key or VLM_API_KEY, or say --no-auth",
        )
    if settings.gpus:
        gpus.chosen(settings.gpus)


def _start(names: Sequence[str], wished: _Wished, settings: Settings) -> None:
    """Find the models, which may have to be downloaded, and let a server go on in the background."""
    from vlmcli.server.running import listening
    from vlmcli.terminal.ui import Ui

    with Ui() as ui:
        found = _found(ui, names, settings)
        for host, port in ((wished.host, wished.port), ("127.0.0.1", wished.ollama_port)):
            if port:
                listening(host, port).close()
        back.start(ui, ", ".join(found))


def _found(ui: Ui, names: Sequence[str], settings: Settings) -> dict[str, ModelFiles]:
    """The models to be served, by the names that clients use."""
    found: dict[str, ModelFiles] = {}
    for name in names or [settings.model or ""]:
        files = pull.find_model(ui, replace(settings, model=name or settings.model))
        files = replace(files, name=_served(files.name, found))
        found[files.name] = files
    return found


def _serve(names: Sequence[str], wished: _Wished, settings: Settings, state: Path | None = None) -> None:
    """Listen, find the models, and answer until a signal ends it.

    Args:
        names: of the models.
        wished: what the options say.
        settings: the user's.
        state: where other commands learn of the server, if it is in the background.
    """
    from vlmcli.server import page
    from vlmcli.server.app import application
    from vlmcli.server.figures import Figures
    from vlmcli.server.guard import BODIES, Guard
    from vlmcli.server.pool import Pool
    from vlmcli.server.running import is_loopback, listening
    from vlmcli.server.running import serve as run
    from vlmcli.server.seen import Reader
    from vlmcli.server.service import Limits, Service
    from vlmcli.terminal.ui import Ui

    def opened(files: ModelFiles) -> Runner:
        return running.worker_of(files, settings, choices=True)

    with ExitStack() as stack:
        ui = stack.enter_context(Ui())
        sockets = [stack.enter_context(listening(wished.host, wished.port))]
        if wished.ollama_port:
            hint = "stop Ollama, or choose another --ollama-port"
            sockets.append(stack.enter_context(listening("127.0.0.1", wished.ollama_port, hint)))
        found = _found(ui, names, settings)
        limits = Limits(**wished.limits)
        reader = Reader(
            allow_urls=wished.allow_urls, allow_local=wished.allow_local_urls, most=limits.pictures,
            megapixels=limits.megapixels, threads=2,
        )  # fmt: skip
        pool = Pool(found, opened, most=wished.max_loaded, keep_alive=wished.kept)
        service = Service(pool, reader, limits, Figures())
        fetch = pull.fetch_unasked if wished.allow_pull else None
        own, key = _host(sockets[0]), wished.key
        if state is not None and not key and not wished.no_auth:  # other users of the machine share the address
            key = secrets.token_urlsafe(24)
        guard = Guard(
            application(service, page.routes(), ollama_port=wished.ollama_port, pull=fetch),
            loopback=is_loopback(wished.host), hosts=(own, *wished.allow_host), key=key, origins=wished.cors,
            seconds=limits.body_seconds, bodies=max(BODIES, 4 * limits.body),
        )  # fmt: skip
        address = f"http://{own}:{sockets[0].getsockname()[1]}"
        ui.say(f"serving {', '.join(found)} at {address}/v1; Ctrl-C stops")
        ui.say(f"to ask in a browser, open {address}/")
        if wished.ollama_port:
            ui.say(f"also as Ollama, at http://{_host(sockets[1])}:{sockets[1].getsockname()[1]}")
        beside = None
        if state is not None:
            url = back.Url(address, key)
            beside = stack.enter_context(back.commands(state, url, found, settings, service)).run
        run(guard, service, sockets, ui.say, beside)


def _host(listens: socket) -> str:
    """The address of a socket without its port, as clients write it."""
    host = str(listens.getsockname()[0])
    return f"[{host}]" if ":" in host else host


def _served(name: str, others: Container[str]) -> str:
    """The name that clients use: that of a file or folder without those above it, which are nobody's business."""
    path = Path(name)
    bare = (path.stem if path.suffix == ".gguf" else path.name) if path.exists() else name
    return name if bare in others else bare


def _key(option: str | None) -> str:
    """The key that clients must send; empty for none. Raises UsageError for one that nobody could send."""
    key = variables().get("VLM_API_KEY", "") if option is None else option
    if (option is not None and not option) or key != key.strip() or not key.isprintable():
        raise UsageError("the API key is empty, or has spaces around it", "check --api-key and VLM_API_KEY")
    return key


def seconds(text: str) -> float:
    """Seconds of a duration; below zero for ever. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--keep-alive {text}: not a duration", "write it as 90s, 5m or 1h; -1 is for ever")
    return float(int(found[1]) * UNITS[found[2]])
