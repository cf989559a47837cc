"""`open_model`: what is given, the environment and the settings file become a model that can be asked."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from typing import Any

from vlmcli import demo, memo, settings
from vlmcli.engine import place
from vlmcli.entries import Entries
from vlmcli.errors import NotHere, UsageError
from vlmcli.machine.budget import budgeted
from vlmcli.models import store
from vlmcli.pictures import known
from vlmcli.pictures.sources import expand
from vlmcli.placement import Wanted
from vlmcli.python.model import Model
from vlmcli.runners import nearby
from vlmcli.settings import BOUNDS, Settings
from vlmcli.values import ModelFiles, Runner

log = logging.getLogger("vlmcli")
log.addHandler(logging.NullHandler())  # silent until the program sets up logging; Python's own would write to stderr

_opening = threading.Lock()
"""Where what is found out about files is kept is said for the whole process."""


def open_model(
    name: str | os.PathLike[str] | None = None,
    *,
    mmproj: str | os.PathLike[str] | None = None,
    chat_template: str = "",
    download: bool = False,
    in_process: bool = False,
    reading: bool = False,
    server: str | None = None,
    allow_upload: bool | None = None,
    concurrency: int | None = None,
    picture_tokens: int | None = None,
    ctx: int | None = None,
    threads: int | None = None,
    gpu_layers: int | None = None,
    gpus: str | None = None,
    cache: bool | None = None,
    cache_dir: str | None = None,
) -> Model:
    """Open a model, which loads in the background. Use it in a `with` block, or close it.

    What is not given is as the environment and the settings file have it (docs/settings.md).

    Args:
        name: a name of `vlm models` or `vlm ls`, "demo", owner/repository, a GGUF file or folder; None for the default.
        mmproj: the projector's file, when it is not beside the model's.
        chat_template: instead of the model's own: a file with a Jinja template, or a name that `--chat-template` takes.
        download: download the model if it is not here. Without it, NotHere is raised.
        in_process: run llama.cpp in this process. It starts sooner, and a crash in it ends the program.
        reading: let a picture have as many tokens as suits text, for `ocr` and `extract`, where the model has a choice.
        server: the address of a server that has the model, several with spaces between them, or "@FILE"; "" for none.
        allow_upload: whether pictures may be sent to servers on other machines.
        concurrency: requests that each server gets at once at most; without it, as many as are found to be of use.
        picture_tokens: image tokens that a picture takes at most.
        ctx: cells of the context.
        threads: of the CPU.
        gpu_layers: layers on a GPU; -1 for all.
        gpus: "all", or numbers of GPUs with commas between them, for a separate process on each.
        cache: whether results are kept for later, and found.
        cache_dir: where.

    Raises ModelError for a model that is missing or damaged; UsageError for values that make no sense; NativeError
    where llama.cpp cannot be used. What goes wrong while it loads is raised when it is asked.
    """
    chosen = _settings(
        {
            "model": _path(name), "mmproj": _path(mmproj), "gpus": gpus, "cache": cache, "cache_dir": cache_dir,
            "server": server, "allow_upload": allow_upload, "concurrency": concurrency, "ctx": ctx, "threads": threads,
            "picture_tokens": picture_tokens, "gpu_layers": gpu_layers,
        }
    )  # fmt: skip
    if chosen.server.strip():
        if in_process:
            raise UsageError("in_process=True does nothing with a server", 'leave it out, or add server=""')
        files = _at_servers(chosen, _path(name) or "")
    else:
        files = _here(chosen, chat_template, download=download)
    if reading and any(files.card.reading_budget):
        files = replace(files, card=replace(files.card, budget=files.card.reading_budget))
    return Model(files, chosen, _runner(files, chosen, in_process=in_process), _known(chosen))


def _path(name: str | os.PathLike[str] | None) -> str | None:
    return None if name is None else os.fspath(name)


def _known(chosen: Settings) -> known.Known | None:
    """The files of pictures that were read before, unless nothing is to be kept."""
    if not chosen.cache:
        return None
    return known.Known(Entries(settings.cache_folder(chosen) / known.FOLDER, known.LIMIT))


def _settings(given: dict[str, Any]) -> Settings:
    """The user's settings, with what the program has given. Raises UsageError."""
    for name, value in given.items():
        if name in BOUNDS and value is not None:
            low, high = BOUNDS[name]
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UsageError(f"{name}={value!r}: out of range", f"give a whole number from {low} to {high}")
    return settings.load(given)


def _here(chosen: Settings, chat_template: str, *, download: bool) -> ModelFiles:
    """The files of a model on this machine, downloaded if that is wished. Raises ModelError, NativeError."""
    place.require()
    name, folder = expand(chosen.model), settings.cache_folder(chosen) / "pairs" if chosen.cache else None

    def found() -> ModelFiles:
        return store.resolve(name, expand(chosen.mmproj), expand(chat_template), demo.FILES, log.warning)

    with _opening, memo.kept_in(folder):
        try:
            return budgeted(found(), chosen)
        except NotHere as error:
            if not download:
                raise NotHere(error.message, f"{error.hint}, or open_model(…, download=True)") from None
        _download(name)
        return budgeted(found(), chosen)


def _download(name: str) -> None:
    """Download a model. Raises HubError; UsageError where its licence has to be accepted first."""
    from vlmcli.models.pull import bring, check_room, order  # with a client of the Hub

    wanted = store.published(name)
    assert wanted is not None
    found = order(wanted, log.info, "", place.prefers_bf16())
    if found.missing and found.entry and found.entry.accept:
        raise UsageError(f"{wanted.name}: its licence has to be accepted", f"accept it: vlm pull {wanted.name}")
    check_room(found)
    bring(found, lambda file, count: None, log.info)


def _at_servers(chosen: Settings, name: str) -> ModelFiles:
    """The model that the settings' servers have. Raises as `runners.chosen.model_of`."""
    from vlmcli.runners.chosen import model_of  # with a client of HTTP

    return model_of(chosen, name, log.warning, log.info)


def _runner(files: ModelFiles, chosen: Settings, *, in_process: bool) -> Runner:
    """What answers."""
    if files.servers:
        from vlmcli.runners.remote import Remote

        return Remote(files, settings.api_key, concurrency=chosen.concurrency, patience=chosen.patience)
    wanted, caching = Wanted(chosen.ctx, chosen.threads, chosen.gpu_layers, 0, choices=True), settings.caching(chosen)
    if chosen.gpus:
        from vlmcli.runners import pool

        if in_process:
            raise UsageError("in_process=True does nothing with gpus", "leave one of them out")
        return pool.opened(files, chosen.gpus, wanted, patience=chosen.patience, caching=caching)
    if in_process:
        from vlmcli.engine import Engine

        return Engine(files, place.place(files, wanted), caching=caching)
    from vlmcli.runners.worker import Worker

    return Worker(files, wanted, patience=chosen.patience, caching=caching, attached=nearby.attached(files, chosen))
