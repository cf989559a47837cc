"""What the user has decided, from flags, the environment, a file and defaults: the only reader of os.environ.

It also knows where the user's own files are.

Settings stop at the command line; the engine gets plain values.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli import files
from vlmcli.errors import UsageError

if TYPE_CHECKING:
    from vlmcli.placement import Caching

PREFIX = "VLM_"
LONGEST = 1 << 20  # bytes of the user's file

# The smallest and the largest value of each number; the command line's options have the same.
BOUNDS = {
    "ctx": (256, 1 << 22), "threads": (1, 512), "gpu_layers": (-1, 10_000), "patience": (1, 86_400),
    "max_tokens": (1, 2**31 - 1), "picture_tokens": (16, 65_536),
    "cache_seconds": (0, 86_400), "embeddings_mb": (1, 1 << 20), "prefixes_mb": (1, 1 << 20),
    "concurrency": (1, 1024),
}  # fmt: skip
OPENAI = "https://api.openai.com"
"""The only address that gets the key OPENAI_API_KEY."""
SERVER_FILE = "serve.json"
"""In the state folder: where the server in the background is (runners/warm.py)."""
DETAILS = "low|high|parts|1[6-9]|[2-9][0-9]|[1-9][0-9]{2,4}"
"""What the setting `detail` may be, as a pattern: the names that --detail takes, or pixels."""

# What the user's file of settings may have, beside what comes on the command line only.
_FILE_KINDS: Mapping[str, type] = {
    "model": str, "mmproj": str, "system": str, "detail": str, "picture_tokens": int, "max_tokens": int, "ctx": int,
    "threads": int, "gpu_layers": int, "patience": int, "cache": bool, "cache_dir": str, "cache_seconds": int,
    "embeddings_mb": int, "prefixes_mb": int, "server": str, "allow_upload": bool, "concurrency": int,
    "gpus": str,
}  # fmt: skip

_SHOWN = {
    str: ("a string", "text in quotes"),
    int: ("a whole number", "digits without quotes"),
    bool: ("true or false", "true or false, without quotes"),
}


@dataclass(frozen=True)
class Settings:
    """Every setting there is, with its default; `sources` says where the others came from.

    Attributes:
        model: what `-m` takes; the variable VLM_MODEL, and what `vlm default` writes into the file.
        mmproj: the projector's file, when it is not beside the model's.
        system: what the model is told before each question, as with `-s`. VLM_SYSTEM.
        detail: how large pictures go to the model, as with `--detail`; empty for as they are. VLM_DETAIL.
        picture_tokens: image tokens that a picture takes at most, as with `--picture-tokens`; 0 for the model's own.
            VLM_PICTURE_TOKENS.
        max_tokens: of an answer at most, as with `--max-tokens`; 0 for the default. VLM_MAX_TOKENS.
        ctx: KV cache cells; 0 lets the model and the machine decide. VLM_CTX.
        threads: CPU threads; 0 for one a physical core. VLM_THREADS.
        gpu_layers: layers on a GPU, -1 for all. VLM_GPU_LAYERS.
        patience: seconds in which something must move in a process with an engine, else it is ended; and in which a
            server must send something. VLM_PATIENCE.
        cache: whether results are kept for later commands, and found. `--no-cache`, VLM_CACHE=0.
        cache_dir: where; empty for `cache_folder`. VLM_CACHE_DIR.
        cache_seconds: what the model has read of a prompt is kept if that took as long. VLM_CACHE_SECONDS.
        embeddings_mb: MB (of 10**6 bytes) of embeddings at most. VLM_EMBEDDINGS_MB.
        prefixes_mb: MB of prompts' beginnings at most. VLM_PREFIXES_MB.
        gpus: which GPUs have a process of their own each, as `--gpus` takes them; empty for one process that has all.
            VLM_GPUS.
        server: addresses of servers that are asked instead of an engine on this machine, or files of them, with spaces,
            commas or ends of lines between them; empty for none. VLM_SERVER.
        allow_upload: whether pictures may be sent to servers on other machines. VLM_ALLOW_UPLOAD.
        concurrency: requests that each server gets at once at most; 0 for as many as are found to be of use.
            VLM_CONCURRENCY.
        yes: download a model that is missing, without asking.
        debug: show tracebacks. VLM_DEBUG.
    """

    model: str = ""
    mmproj: str = ""
    system: str = ""
    detail: str = ""
    picture_tokens: int = 0
    max_tokens: int = 0
    ctx: int = 0
    threads: int = 0
    gpu_layers: int = -1
    gpus: str = ""
    patience: int = 300
    cache: bool = True
    cache_dir: str = ""
    cache_seconds: int = 1
    embeddings_mb: int = 2000
    prefixes_mb: int = 4000
    server: str = ""
    allow_upload: bool = False
    concurrency: int = 0
    yes: bool = False
    debug: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)


def load(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Settings: flags that are not None go before the environment, that before the file, that before the defaults."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    defaults = Settings()
    for name, value in _from_file(file or settings_file()).items():
        values[name] = value
        sources[name] = str(file or settings_file())
    for name in (*(one for one in _FILE_KINDS if one != "mmproj"), "debug"):
        variable = PREFIX + name.upper()
        if text := environment.get(variable, ""):
            values[name] = _parse(name, variable, text, type(getattr(defaults, name)))
            sources[name] = variable
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = value
            sources[name] = "--" + name.replace("_", "-")
    if sources.get("mmproj") != sources.get("model") and sources.get("mmproj") != "--mmproj":
        values.pop("mmproj", None)  # the file's belongs to the file's model
    return Settings(**values, sources=sources)


def variables() -> Mapping[str, str]:
    """The environment's variables, for what asks which terminal or desktop this is."""
    return os.environ


def settings_file() -> Path:
    """The user's own file of settings; it may not be there."""
    return config_folder() / "settings.toml"


def remember_model(name: str, mmproj: str = "") -> Path:
    """Write the default model into the settings file, whole or not at all; an empty name takes it out.

    The other lines of the file stay as they are. Returns the file. Raises UsageError when it cannot be written, or is
    no file of settings.
    """
    import json  # few commands write anything here

    from vlmcli import atomic

    path = settings_file()
    others = {key: value for key, value in _from_file(path).items() if key not in ("model", "mmproj")}
    whole = Path(os.path.realpath(path))  # it may be a link, to where somebody keeps all such files
    try:
        lines = _text(path).split("\n")
        lines = [line for line in lines if not re.match(r"\s*(model|mmproj|\"model\"|\"mmproj\")\s*=", line)]
        named = {key: value for key, value in (("model", name), ("mmproj", mmproj)) if value}
        new = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in named.items()]
        text = "\n".join((*new, *lines)).rstrip("\n") + "\n"
        if not _says(text, others | named):  # a text over several lines has been cut
            hint = f"edit it yourself: {', '.join(new)}" if new else "edit it yourself: remove model and mmproj"
            raise UsageError(f"{path}: vlm cannot edit this file safely", hint)
        whole.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(whole, text.replace("\n", os.linesep).encode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is not UTF-8"
        raise UsageError(
            f"{path}: the default cannot be saved ({reason})", "set the variable VLM_MODEL instead"
        ) from error
    return path


def _says(text: str, values: Mapping[str, Any]) -> bool:
    """Whether a file of this text would have these values."""
    try:
        return _toml(Path(), text) == values
    except UsageError:
        return False


def _from_file(path: Path) -> dict[str, Any]:
    """What the user's file says. Raises UsageError, which names the file and the key."""
    try:
        text = _text(path)
        values = _toml(path, text) if text else {}
    except OSError as error:
        raise UsageError(
            f"{path}: the settings cannot be read ({error.strerror})", "make it readable, or remove it"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {files.not_toml(error)}", "save it as UTF-8, or remove it") from error
    for name, value in values.items():
        if name not in _FILE_KINDS:
            raise UsageError(f"{path}: there is no setting {name[:60]}", f"the settings are {', '.join(_FILE_KINDS)}")
        if name == "detail" and type(value) is int:
            values[name] = value = str(value)
        if type(value) is not _FILE_KINDS[name]:
            kind, shown = _SHOWN[_FILE_KINDS[name]]
            raise UsageError(f"{path}: {name} is not {kind}", f"set {name} to {shown}, or remove that line")
        if type(value) is int:
            _check_bounds(f"{path}: {name} = {value}", name, value)
        elif name == "detail":
            _check_detail(f"{path}: detail = {str(value)[:60]}", str(value))
    return values


def _text(path: Path) -> str:
    """What is in the user's file; nothing where there is none. Raises OSError, UnicodeDecodeError."""
    try:
        return files.read(path, LONGEST).decode("utf-8-sig").replace("\r\n", "\n")
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise files.Unfit(f"a broken link to {os.readlink(path)}", path) from None  # noqa: PTH115 - as it is
        return ""


def _toml(path: Path, text: str) -> dict[str, Any]:
    """A file's content. Raises UsageError, which names the file."""
    if sys.version_info >= (3, 11):  # here, because most commands find no file
        import tomllib
    else:
        import tomli as tomllib
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {files.not_toml(error)}", _hint_for(text, error)) from error
    return values


def _hint_for(text: str, error: BaseException) -> str:
    """What to do about a file that is not TOML: most often the quotes around a text are missing."""
    place = re.search(r"at line ([0-9]+)", str(error))
    line = text.split("\n")[int(place[1]) - 1] if place else ""
    bare = re.fullmatch(r"\s*(\w{1,60})\s*=\s*([^\s\"'#\[{][^\"'#]{0,200}?)\s*", line)
    if bare and _FILE_KINDS.get(bare[1]) is str:
        value = bare[2].replace("\\", "\\\\")
        return f'put the value in quotes: {bare[1]} = "{value}"'
    return "correct that line, or remove it" if line.strip() else "correct the file, or remove it"


def config_folder() -> Path:
    """Where the user's own files for `vlm` are, as the system has it; it may not be there."""
    import platformdirs  # needed by few commands

    return platformdirs.user_config_path("vlm", appauthor=False)


def state_folder() -> Path:
    """Where `vlm` keeps what it needs from one command to the next; it may not be there."""
    import platformdirs

    return platformdirs.user_state_path("vlm", appauthor=False)


def cache_folder(chosen: Settings | None = None) -> Path:
    """Where `vlm` keeps what can be computed again; it may not be there.

    Args:
        chosen: the settings, which may say where; as `load` has them without any. Raises UsageError, as that does.
    """
    named = (load() if chosen is None else chosen).cache_dir
    if named:
        return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111 - Path's raises when there is no such user
    import platformdirs

    return platformdirs.user_cache_path("vlm", appauthor=False)


def caching(chosen: Settings) -> Caching | None:
    """Where results are kept for later processes, as the user has set it; None for nowhere."""
    from vlmcli.placement import Caching

    if not chosen.cache:
        return None
    return Caching(
        cache_folder(chosen), chosen.embeddings_mb * 10**6, chosen.prefixes_mb * 10**6, float(chosen.cache_seconds)
    )


def debugging(environment: Mapping[str, str] | None = None) -> bool:
    """Whether VLM_DEBUG asks for tracebacks; never fails, so that it can be asked when something else has."""
    return _flag((os.environ if environment is None else environment).get(PREFIX + "DEBUG", ""))


def is_offline(environment: Mapping[str, str] | None = None) -> bool:
    """Whether VLM_OFFLINE says that nothing is downloaded, and no picture is sent to another machine."""
    return _flag((os.environ if environment is None else environment).get(PREFIX + "OFFLINE", ""))


def api_key(url: str, environment: Mapping[str, str] | None = None) -> str:
    """The key for the server at an address: VLM_API_KEY, else for OpenAI's own OPENAI_API_KEY; empty for none.

    Raises UsageError, which does not show it, for what cannot be one.
    """
    environment = os.environ if environment is None else environment
    name = PREFIX + "API_KEY"
    if not environment.get(name) and url == OPENAI:
        name = "OPENAI_API_KEY"
    key = environment.get(name, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{name} contains characters that no key has", f"copy it again, or unset {name}")
    return key


def wants_colours(environment: Mapping[str, str] | None = None) -> bool:
    """Whether text on a terminal may have colours: not with NO_COLOR (no-color.org), nor on one that has none."""
    environment = os.environ if environment is None else environment
    return not environment.get("NO_COLOR") and environment.get("TERM", "").lower() not in ("dumb", "unknown")


def _flag(text: str) -> bool:
    return text.lower() not in ("", "0", "no", "false", "off")


def _parse(name: str, variable: str, text: str, kind: type) -> Any:
    if kind is bool:
        return _flag(text)
    if kind is str:
        if name == "detail":
            _check_detail(f"{variable}={text[:60]}", text)
        return text
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{variable}={text}: not a whole number", f"set {variable} to a number, or unset it") from None
    _check_bounds(f"{variable}={text}", name, number)
    return number


def _check_detail(where: str, value: str) -> None:
    if not re.fullmatch(DETAILS, value):
        raise UsageError(f"{where}: not low, high, parts or a number of pixels", "use low, high, parts or 768")


def _check_bounds(where: str, name: str, number: int) -> None:
    low, high = BOUNDS[name]
    if not low <= number <= high:
        raise UsageError(f"{where}: out of range", f"set it to {low} to {high}, or remove it")
