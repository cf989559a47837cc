"""What the user has decided, from flags, the environment and defaults: the only reader of os.environ.

It also knows where the user's own files are.

Settings stop at the command line; the engine gets plain values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmcli.errors import UsageError

PREFIX = "VLM_"

# The smallest and the largest value of each number; the command line's options have the same.
BOUNDS = {"ctx": (256, 1 << 22), "threads": (1, 512), "gpu_layers": (-1, 10_000), "patience": (1, 86_400)}


@dataclass(frozen=True)
class Settings:
    """Every setting there is, with its default; `sources` says where the others came from.

    Attributes:
        model: what `-m` takes; the variable VLM_MODEL.
        mmproj: the projector's file, when it is not beside the model's.
        ctx: KV cache cells; 0 lets the model and the machine decide. VLM_CTX.
        threads: CPU threads; 0 for one a physical core. VLM_THREADS.
        gpu_layers: layers on a GPU, -1 for all. VLM_GPU_LAYERS.
        patience: seconds in which something must move in a process with an engine, else it is ended. VLM_PATIENCE.
        debug: show tracebacks. VLM_DEBUG.
    """

    model: str = ""
    mmproj: str = ""
    ctx: int = 0
    threads: int = 0
    gpu_layers: int = -1
    patience: int = 300
    debug: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)


def load(flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings: flags that are not None go before the environment, that before the defaults."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    defaults = Settings()
    for name in ("model", "ctx", "threads", "gpu_layers", "patience", "debug"):
        variable = PREFIX + name.upper()
        if text := environment.get(variable, ""):
            values[name] = _parse(name, variable, text, type(getattr(defaults, name)))
            sources[name] = variable
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = value
            sources[name] = "--" + name.replace("_", "-")
    return Settings(**values, sources=sources)


def config_folder() -> Path:
    """Where the user's own files for `vlm` are, as the system has it; it may not be there."""
    import platformdirs  # needed by few commands

    return platformdirs.user_config_path("vlm", appauthor=False)


def state_folder() -> Path:
    """Where `vlm` keeps what it needs from one command to the next; it may not be there."""
    import platformdirs

    return platformdirs.user_state_path("vlm", appauthor=False)


def debugging(environment: Mapping[str, str] | None = None) -> bool:
    """Whether VLM_DEBUG asks for tracebacks; never fails, so that it can be asked when something else has."""
    return _flag((os.environ if environment is None else environment).get(PREFIX + "DEBUG", ""))


def _flag(text: str) -> bool:
    return text.lower() not in ("", "0", "no", "false", "off")


def _parse(name: str, variable: str, text: str, kind: type) -> Any:
    if kind is bool:
        return _flag(text)
    if kind is str:
        return text
    low, high = BOUNDS[name]
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{variable}={text}: not a whole number", f"unset {variable} or give it one") from None
    if not low <= number <= high:
        raise UsageError(f"{variable}={text}: out of range", f"give it {low} to {high}, or unset it")
    return number
