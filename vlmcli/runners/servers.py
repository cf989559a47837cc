"""Servers by their addresses: what may be one, whether it is on this machine, and what can be learnt of it.

It is asked which models it has (`GET /v1/models`) and what it is (`/health`, `/props`) before a picture is read. No
redirect is followed, and a proxy of the environment is only used on the way to other machines.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from vlmcli import __version__, files
from vlmcli.errors import ModelError, RequestError, UsageError, VlmError
from vlmcli.later import Later
from vlmcli.runners.chat_answer import refused, value_of
from vlmcli.settings import OPENAI
from vlmcli.values import Server

if TYPE_CHECKING:
    import httpx2
else:  # it takes as long to import as all of a command's other modules
    httpx2 = Later("httpx2")

CONNECT_SECONDS = 10.0
LOOK_SECONDS = 30.0
"""For an answer about the server itself."""
LARGEST = 4 << 20
"""Bytes of such an answer."""
TRIES = 5
"""So often a request is sent, at most, to a server that is busy or cannot be reached."""
BUSY = (429, 502, 503, 504)
"""Answers after which the same may be asked again."""
MOST = 64
"""Servers of a command."""
LOOKS = 16
"""Servers that are looked at together."""

LENIENT = ("vllm", "sglang")
"""Who owns the models of servers that know more fields than OpenAI's API has."""

Kind = Literal["vlm", "llama", "openai", "strict", "other"]


@dataclass(frozen=True)
class Found:
    """Servers that answer, and the model that is asked there.

    Attributes:
        servers: at least one.
        model: its name there.
        card: what another `vlm serve` tells of it, as it came; empty from others.
        away: addresses at which none answers yet.
    """

    servers: tuple[Server, ...]
    model: str
    card: Mapping[str, Any] = field(default_factory=dict)
    away: tuple[str, ...] = ()


class _Away(Exception):
    """A server does not answer yet, or says that it cannot; `error` is what to say of it."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error)
        self.error = error


def addresses(text: str) -> list[str]:
    """The addresses in a text, with spaces, commas or ends of lines between them; a "/v1" at their ends is left out.

    Instead of an address there can be a file of them: its name, or "@" and its name, which may have spaces in it if it
    is alone in its line. Raises UsageError, which names the file and the line.
    """
    found: dict[str, None] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        words = [line] if _file(line) else filter(None, re.split(r"[\s,]+", line))
        for word in words:
            found |= dict.fromkeys(_listed(path) if (path := _file(word)) else [_address(word)])
    if len(found) > MOST:
        raise UsageError(f"{len(found)} servers, and at most {MOST} are used at once", "name fewer")
    return list(found)


def _file(word: str) -> Path | None:
    """The file of addresses that a word names; None for another word."""
    path = Path(os.path.expanduser(word.removeprefix("@")))  # noqa: PTH111 - Path's raises when there is no such user
    try:
        there = "://" not in word and path.is_file()
    except (OSError, ValueError):
        there = False
    return path if there or (word.startswith("@") and not re.search(r"[\s,]@|[\s,]\w+://", word)) else None


def _listed(path: Path) -> Iterator[str]:
    """The addresses in a file: one per line, without empty lines and what follows a #. Raises UsageError."""
    try:
        text = files.read(path, LARGEST, pipes=True).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not text in UTF-8", "save it as UTF-8, with one address per line") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "an invalid file name"
        raise UsageError(f"{path}: the addresses cannot be read ({reason})", "check the name of the file") from None
    count = 0
    for number, line in enumerate(text.splitlines(), 1):
        word = re.sub(r"(^|\s)#.*", "", line).strip()
        if not word:
            continue
        count += 1
        try:
            yield _address(word)
        except UsageError as error:
            hint = "write one address per line, for example http://localhost:8080"
            raise UsageError(f"{path}, line {number}: {error.message}", hint) from None
    if not count:
        raise UsageError(f"{path}: no address in it", "write one address per line, for example http://localhost:8080")


def _address(text: str) -> str:
    shown, example = text[:100], "for example --server http://localhost:8080"
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise UsageError(f"{shown}: not an address ({error})", example) from None
    if parts.username is not None:
        raise UsageError(
            "the address of a server contains a user name", "set the variable VLM_API_KEY to a key instead"
        )
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise UsageError(f"{shown}: not the address of a server", example)
    if parts.query or parts.fragment or not re.fullmatch(r"[\w.:-]+", host):
        raise UsageError(f"{shown}: not the address of a server", "leave out what follows ? or #")
    bare = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    where = f"{parts.scheme}://{bare}{f':{port}' if port and port != default else ''}"
    return where + parts.path.rstrip("/").removesuffix("/v1").rstrip("/")


def host_of(url: str) -> str:
    """The host of an address, with its port, for people."""
    return urlsplit(url).netloc


def is_loopback(url: str) -> bool:
    """Whether an address can only be this machine's: its own name, or one of its own numbers as they are written."""
    host = urlsplit(url).hostname or ""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return host in ("localhost", "localhost.")
    return number.is_loopback and (number.version == 4 or number == ipaddress.IPv6Address("::1"))


def arguments(url: str, key: str, silence: float) -> dict[str, Any]:
    """How httpx2's clients speak to a server.

    Args:
        url: its address.
        key: what it wants to see; empty for none.
        silence: seconds in which something must come or go.
    """
    headers = {"User-Agent": f"vlm/{__version__}", "Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = httpx2.Timeout(silence, connect=CONNECT_SECONDS)
    return {
        "headers": headers, "timeout": timeout, "follow_redirects": False, "trust_env": not is_loopback(url),
    }  # fmt: skip


def why(error: Exception) -> str:
    """Why a server cannot be reached, in few words."""
    if isinstance(error, httpx2.TimeoutException):
        return "no answer"
    if isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError | httpx2.CloseError):
        return "it closed the connection"
    text = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    return "connection refused" if "connection attempts failed" in text or "refused" in text else text[:120]


def pause(tries: int, base: float) -> float:
    """Seconds before the next try, after so many: longer each time, and by chance, so that not all come at once."""
    return min(60.0, base * 2.0 ** (tries - 1)) * random.uniform(0.75, 1.25)


def after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait for (Retry-After, in seconds or as a date); None where it does not."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def look(
    urls: Sequence[str],
    named: str,
    usual: str,
    key_of: Callable[[str], str],
    tell: Callable[[str], None],
    base: float = 1.0,
) -> Found:
    """What can be learnt of servers. One that does not answer is left out, if another does, and `tell` says so.

    Args:
        urls: their addresses.
        named: the model that is asked for; empty for the first that the first server has.
        usual: the name that is taken instead, where the first server has it.
        key_of: a server's key.
        tell: is given a line for the person.
        base: seconds before the second try at one that is busy.

    Raises VlmError where none answers, or there is no model.
    """
    found, away = list[Server](), list[str]()
    model, card, trouble = named, dict[str, Any](), None
    keys = {url: key_of(url) for url in urls}
    with ThreadPoolExecutor(LOOKS) as pool:  # one that is away takes long
        looks = [(url, pool.submit(_look_at, url, keys[url], named, base)) for url in urls]
    for url, looked in looks:
        try:
            kind, models = looked.result()
        except (_Away, VlmError) as met:
            error, until = (met.error, " until it answers") if isinstance(met, _Away) else (met, "")
            away += [url] if until else []
            trouble = trouble or error
            if len(urls) > 1:
                tell(f"{error.message}; it is left out{until}")
            continue
        if not model:
            model = usual if usual in models else next(iter(models))
        elif not named and model not in models:
            tell(f"{url} does not have the model {model}; it is left out")
            continue
        found.append(Server(url, kind))
        card = card or dict(models.get(model, {}))
    if not found:
        raise trouble or ModelError("no server is named", "name one: --server URL")
    return Found(tuple(found), model, card, tuple(away))


def wait_for(url: str, key: str, model: str, ended: threading.Event, base: float = 1.0) -> Server | None:
    """Wait until a server answers that did not when the command began, and has the model.

    Args:
        url: its address.
        key: what it wants to see; empty for none.
        model: the model's name there.
        ended: set when nobody waits any more.
        base: seconds before the first look; each further time it is about twice as long, up to a minute.

    Returns it; None once `ended` is set.
    """
    tries = 1
    while not ended.wait(pause(tries, base)):
        tries += 1
        with suppress(_Away, VlmError):
            kind, models = _look_at(url, key, model, base)
            if model in models:
                return Server(url, kind)
    return None


def _look_at(url: str, key: str, named: str, base: float) -> tuple[Kind, dict[str, dict[str, Any]]]:
    """What a server is, and its models by name, with their cards. Raises VlmError, and _Away."""
    with httpx2.Client(**arguments(url, key, LOOK_SECONDS)) as client:
        status, data = _get(client, f"{url}/v1/models", base)
        models: dict[str, dict[str, Any]] = {}
        lenient = not url.startswith("https:") or is_loopback(url)
        if status == 200:
            listed = value_of(data, url).get("data")
            for one in listed if isinstance(listed, list) else ():
                if isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"]:
                    lenient |= one.get("owned_by") in LENIENT
                    models[one["id"]] = one["vlm"] if isinstance(one.get("vlm"), dict) else {}
        elif status in (401, 403) or (status not in (404, 405, 501) or not named):
            error = refused(status, data, Server(url), named, key)
            reason = ModelError(error.message, error.hint)
            raise _Away(reason) if status in BUSY else reason
        if not models and not named:
            raise ModelError(f"{url} lists no model", "load a model there, or name one with -m")
        if url == OPENAI:
            return "openai", models
        if "vlm" in _object(*_get(client, f"{url}/health", base)):
            return "vlm", models
        if _object(*_get(client, f"{url}/props", base)):
            return "llama", models
        return ("other" if lenient else "strict"), models


def _object(status: int, data: bytes) -> dict[str, Any]:
    """The object that an answer is; empty for any other."""
    try:
        return value_of(data, "") if status == 200 else {}
    except RequestError:
        return {}


def _get(client: httpx2.Client, url: str, base: float) -> tuple[int, bytes]:
    """An answer's number and its body; of a server that is busy, after some tries. Raises ModelError, and _Away."""
    for tries in range(1, TRIES + 1):
        try:
            with client.stream("GET", url) as response:
                data = b""
                for block in response.iter_bytes():
                    data += block
                    if len(data) > LARGEST:
                        raise ModelError(f"{url}: the answer is too long", "check the address")
                status, wait = response.status_code, after(response.headers)
        except httpx2.TransportError as error:
            where = url.rpartition("/v1")[0] or url
            reason = ModelError(f"{where} cannot be reached ({why(error)})", "check the address, and start the server")
            raise _Away(reason) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise ModelError(f"{url}: {str(error)[:120]}", "check the address") from None
        if status not in BUSY or tries == TRIES or (wait or 0.0) > LOOK_SECONDS:
            break
        time.sleep(pause(tries, base) if wait is None else wait)
    if 300 <= status < 400:
        leads = response.headers.get("location", "").partition("?")[0][:200]
        raise ModelError(f"{url} redirects to {leads or 'no address'}", "name the server's own address")
    return status, data
