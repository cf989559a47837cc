"""Ollama's protocol: bodies become `Asked`, answers become objects or lines.

Source: ollama, docs/api.md and api/types.go; ollama-python, _types.py. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from vlmcli.server import chat
from vlmcli.server.asked import ANY_OBJECT, Asked, Turn, penalties, sampling, schema
from vlmcli.server.body import Body
from vlmcli.server.seen import Given
from vlmcli.server.wrong import Wrong, as_ollama
from vlmcli.tasks.thinking import Thinking, split
from vlmcli.values import Answer, Delta, Request, Token

VERSION = "0.35.0"
"""Of Ollama, whose protocol this is; clients look which fields they may send."""
HARMLESS: dict[str, Sequence[Any]] = {
    "raw": (False,), "suffix": ("",), "template": ("",), "context": ([],), "tools": ([],),
    "width": (0,), "height": (0,), "steps": (0,),
}  # fmt: skip
"""Fields that this server cannot do, and their values that ask for nothing."""
HARMLESS_OPTIONS: dict[str, Sequence[Any]] = {
    "mirostat": (0,), "typical_p": (1, 1.0), "tfs_z": (1, 1.0),
}  # fmt: skip
"""The same of `options`. Those about loading (num_ctx, num_gpu, num_thread and others) are the server owner's."""
LAST_TOKENS = 64
"""Of an answer, which penalties are about."""
NANOSECONDS = 10**9
FOR_EVER = 100 * 365 * 86400.0
"""Seconds at which a model's time is up that has no end."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|m|s|us|µs|ns)")


def kept(body: Body) -> float | None:
    """Seconds of `keep_alive`, below zero for ever; None where there is none. Raises Wrong."""
    value = body.values.get("keep_alive")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        seconds = _seconds(value.strip())
        if seconds is None:
            raise body.wrong("keep_alive", f"is {value[:40]!r}, not a duration", "write it as 5m, 90s, 1h30m, 0 or -1")
    else:
        seconds = body.number("keep_alive", 0, -math.inf, math.inf)
    return min(seconds, FOR_EVER)


def _seconds(text: str) -> float | None:
    """Seconds of a duration as Go writes it ("1h30m"), or of a number; None for something else."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", rest):
        return sign * float(rest)
    found = _DURATION.findall(rest)
    if not found or "".join(found) != rest or len(rest) > 60:
        return None
    each = (re.fullmatch(r"([\d.]+)(\D+)", one) for one in found)
    return sign * math.fsum(float(one[1]) * _UNITS[one[2]] for one in each if one is not None)


def named(name: str) -> str:
    """A model's name as Ollama lists it: with a tag."""
    return name if ":" in name else f"{name}:latest"


def model(body: Body) -> str:
    """The name of the model that a body asks for; `name` is what it was once called. Raises Wrong."""
    found = body.text("model") or body.text("name")
    if not found:
        raise body.wrong("model", "is missing", "name a model of /api/tags")
    return found


def images(body: Body) -> tuple[Given, ...]:
    """The pictures beside a text. Raises Wrong."""
    found = []
    for number, image in enumerate(body.list("images")):
        path = body.path(f"images[{number}]")
        if not isinstance(image, str) or not image.strip():
            raise Wrong(f"{path} is not a text of base64", "send the picture's file as base64", param=path)
        found.append(Given(image, path))
    return tuple(found)


def read_chat(body: Body) -> Asked:
    """What a body of /api/chat asks for; without messages, to load or to free the model. Raises Wrong."""
    return _asked(body, tuple(_turns(body)))


def read_generate(body: Body) -> Asked:
    """What a body of /api/generate asks for; without a prompt, to load or to free the model. Raises Wrong."""
    prompt, pictures = body.text("prompt"), images(body)
    if pictures and not prompt.strip():
        raise body.wrong("prompt", "is empty, but there are images", "ask something about them")
    if not prompt.strip():
        return _asked(body, ())
    system = body.text("system")
    turns = (Turn("user", (*pictures, prompt)),)
    return _asked(body, (Turn("system", (system,)), *turns) if system else turns)


def _turns(body: Body) -> Iterator[Turn]:
    for message in body.objects("messages"):
        role = message.text("role")
        if role not in chat.ROLES or message.list("tool_calls"):
            name = "tool_calls" if role in chat.ROLES else "role"
            raise message.wrong(name, "is not supported", "use system, user and assistant")
        pictures = images(message)
        if chat.ROLES[role] != "user" and pictures:
            raise message.wrong("images", "has a picture, but only a user's message may")
        yield Turn(chat.ROLES[role], (*pictures, message.text("content")))


def _asked(body: Body, turns: tuple[Turn, ...]) -> Asked:
    name = model(body)
    body.refuse(HARMLESS)
    options = body.object("options") or Body({}, body.path("options"))
    options.refuse(HARMLESS_OPTIONS)
    picked, less = sampling(options), penalties(options)
    is_penal = picked.repeat_penalty != 1 or any(less.values())
    if is_penal and options.whole("repeat_last_n", LAST_TOKENS, -1, 1 << 31) != LAST_TOKENS:
        raise options.wrong("repeat_last_n", "is not supported", f"leave it out: it is {LAST_TOKENS}")
    stream = body.flag("stream", True)
    request = Request(
        (), picked, _most_tokens(options), options.texts("stop", chat.STOPS), end_loops=not options.has("num_predict"),
        stream=stream, schema=_form(body), think=_think(body), logprobs=_logprobs(body),
        **less,
    )  # fmt: skip
    return Asked(name, turns, request, stream, keep=kept(body))


def _most_tokens(options: Body) -> int:
    """Tokens of an answer at most; without a word, or below zero, as many as the server's owner lets it have."""
    number = options.whole("num_predict", -1, -2, 1 << 53)
    return chat.MOST if number < 0 else max(1, min(number, chat.MOST))


def _form(body: Body) -> str:
    """The schema that the answer follows; empty for an answer in words."""
    form = body.values.get("format")
    if form is None or form == "":
        return ""
    if form == "json":
        return ANY_OBJECT
    if not isinstance(form, dict):
        raise body.wrong("format", "is neither json nor a JSON Schema", 'use "json", or a schema')
    return schema(form, "format", body)


def _think(body: Body) -> bool:
    value = body.values.get("think")
    if isinstance(value, str):
        return value not in chat.NOT_THINKING
    return body.flag("think")


def _logprobs(body: Body) -> int | None:
    others = body.whole("top_logprobs", 0, 0, 20)
    return others if body.flag("logprobs") or others else None


# --- answers ---


def moment(seconds: float | None = None) -> str:
    """A time as RFC 3339 has it; now, where none is given."""
    at = datetime.now(timezone.utc) if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Reply:
    """Answers of one request, whole or line by line: of /api/chat with a message, of /api/generate with a text."""

    def __init__(self, asked: Asked, think: tuple[str, str], *, is_chat: bool) -> None:
        self._asked, self._think, self._is_chat = asked, think, is_chat
        self._thinking = Thinking(think)
        self._is_begun = self._has_thought = False

    def _line(
        self, text: str, thought: str = "", tokens: Sequence[Token] = (), *, done: bool = False
    ) -> dict[str, Any]:
        said: dict[str, Any] = {"thinking": thought} if thought else {}
        if self._is_chat:
            said = {"message": {"role": "assistant", "content": text} | said}
        else:
            said = {"response": text} | said
        if self._asked.request.logprobs is not None and tokens:
            said["logprobs"] = [_likely(token) for token in tokens]
        return {"model": self._asked.model, "created_at": moment()} | said | {"done": done}

    def only(self, reason: str) -> dict[str, Any]:
        """The answer where nothing was asked: a model was loaded, or freed."""
        return self._line("", done=True) | {"done_reason": reason}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer at once."""
        thought, text = split(answer.text, self._think)
        return self._line(text, thought, answer.tokens, done=True) | _figures(answer)

    def first(self, rows: int = 0, /) -> Iterator[dict[str, Any]]:
        """Nothing: the first line has text."""
        yield from ()

    def more(self, delta: Delta) -> Iterator[dict[str, Any]]:
        """The next piece of the answer."""
        yield from self._pieces(*self._thinking.feed(delta.text), delta.tokens)

    def last(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """The end of the answer, and what was used."""
        yield from self._pieces(*self._thinking.finish(), ())
        yield self._line("", done=True) | _figures(answer)

    def failed(self, wrong: Wrong) -> Iterator[dict[str, Any]]:
        """Why the answer ends here."""
        yield as_ollama(wrong)

    def _pieces(self, thought: str, text: str, tokens: Sequence[Token]) -> Iterator[dict[str, Any]]:
        for tag in self._think if thought else ():
            thought = thought.replace(tag, "")
        if not self._has_thought:
            thought = thought.lstrip()
        self._has_thought = self._has_thought or bool(thought)
        if self._has_thought and not self._is_begun:
            text = text.lstrip()  # between thoughts and answer
        self._is_begun = self._is_begun or bool(text)
        if thought or text or tokens:
            yield self._line(text, thought, tokens)


def _likely(token: Token) -> dict[str, Any]:
    each = [_piece(piece, logprob) for piece, logprob in token.others]
    return _piece(token.piece, token.logprob) | {"top_logprobs": each}


def _piece(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": piece.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(piece)}


def _figures(answer: Answer) -> dict[str, Any]:
    """Why an answer has ended, and what it took."""
    took = answer.timings
    before = took.picture + took.encode + took.prefill + took.restore
    return {
        "done_reason": "length" if answer.finish_reason == "length" else "stop",
        "total_duration": round((took.all - took.start) * NANOSECONDS),
        "load_duration": round(took.load * NANOSECONDS),
        "prompt_eval_count": answer.usage.prompt_tokens,
        "prompt_eval_duration": round(before * NANOSECONDS),
        "eval_count": answer.usage.answer_tokens,
        "eval_duration": max(1, round(took.generate * NANOSECONDS)),
    }
