"""What a server sends becomes an answer: whole, or in chunks; and what it says when it sends none. Pure.

Nothing that comes is trusted to have the form that it should have.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

from vlmcli.errors import ContextFull, NoServer, RequestError, VlmError
from vlmcli.runners import likelihood
from vlmcli.values import Answer, FinishReason, Request, Score, Seen, Server, Timings, Token, Usage

LONGEST = 300
"""Letters of a server's own words in an error."""
_ENDS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "max_tokens": "length", "loop": "loop"}
_Figures = TypeVar("_Figures", Usage, Timings)


def value_of(data: bytes, where: str) -> dict[str, Any]:
    """An object of JSON. Raises RequestError for anything else."""
    try:
        found = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RequestError(f"{where} sent something that is not the protocol of a chat", "check the address")
    return found


async def lines(blocks: AsyncIterator[bytes], most: int, where: str) -> AsyncIterator[bytes]:
    """The lines of a body as they come, without their ends. Raises RequestError where it has more than `most` bytes."""
    held, count = bytearray(), 0
    async for block in blocks:
        count += len(block)
        if count > most:
            raise RequestError(f"{where} sent more than an answer can be", "see the server's log")
        held += block
        if b"\n" in block:
            *whole, held = held.split(b"\n")
            for line in whole:
                yield bytes(line.removesuffix(b"\r"))
    if held:
        yield bytes(held)


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


class Hearing:
    """Takes what a server sends for a request, and makes its answer of it.

    Attributes:
        text: of the answer so far, thoughts in their tags.
        ended: whether the server has said that the answer is over.
    """

    def __init__(self, request: Request, server: Server, think: tuple[str, str]) -> None:
        """`think`: the tags around thoughts."""
        self.text = ""
        self.ended = False
        self._request, self._server, self._think = request, server, think
        self._reason: FinishReason = "stop"
        self._heard = self._thoughts = self._said = False  # whether any of it has come
        self._tokens: list[Token] = []
        self._usage, self._timings = Usage(), Timings()
        self._own: Mapping[str, Any] = {}

    def take(self, data: Mapping[str, Any]) -> tuple[str, tuple[Token, ...]]:
        """A whole answer, or a chunk of it. Returns the text and the tokens that are new. Raises VlmError."""
        if data.get("error"):
            raise RequestError(f"{self._server.url}: {said(data)}", "see the server's log")
        self._figures(data)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return "", ()
        self._heard = True
        message = choice.get("delta") if "delta" in choice else choice.get("message")
        text = self._text(message if isinstance(message, dict) else {})
        tokens = _tokens(choice.get("logprobs"))
        self._tokens += tokens
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.ended = True
            if reason == "content_filter":
                raise RequestError(f"{self._server.url} withheld the answer (content_filter)", "ask in other words")
            self._reason = _ENDS.get(reason, "stop")
        self.text += text
        return text, tuple(tokens)

    def _text(self, message: Mapping[str, Any]) -> str:
        """What is new of the answer; what was thought comes before, in its tags."""
        thought = next(
            (_clean(message.get(name)) for name in ("reasoning_content", "reasoning") if message.get(name)), ""
        )
        answer, text = _clean(message.get("content")), ""
        if thought and not self._said:
            text += thought if self._thoughts else self._think[0] + thought
            self._thoughts = True
        if answer:
            if self._thoughts and not self._said:
                text += self._think[1]
            self._said = True
        elif (refusal := _clean(message.get("refusal"))) and not self._said:
            raise RequestError(f"the model refuses to answer: {_line(refusal)}", "ask in other words")
        return text + answer

    def _figures(self, data: Mapping[str, Any]) -> None:
        """What it took, as far as it is told."""
        if isinstance(usage := data.get("usage"), dict):
            details = usage.get("prompt_tokens_details")
            known = details.get("cached_tokens") if isinstance(details, dict) else 0
            self._usage = Usage(
                prompt_tokens=_count(usage.get("prompt_tokens")), reused_tokens=_count(known),
                answer_tokens=_count(usage.get("completion_tokens")),
            )  # fmt: skip
        if isinstance(times := data.get("timings"), dict):
            self._timings = Timings(
                prefill=_number(times.get("prompt_ms")) / 1e3, generate=_number(times.get("predicted_ms")) / 1e3
            )
        if isinstance(own := data.get("vlm"), dict):
            self._own = own

    def answer(self, model: str, seconds: float) -> Answer:
        """The answer, when all has come.

        Args:
            model: its name.
            seconds: since it was asked. What the server does not tell of them is `Timings.other`.

        Raises RequestError where something is missing that was asked for.
        """
        own, request = self._own, self._request
        if not self._heard:
            raise RequestError(f"{self._server.url} sent no answer", "check the address")
        usage, timings = _made(Usage, own.get("usage"), self._usage), _made(Timings, own.get("timings"), self._timings)
        timings += Timings(other=max(0.0, seconds - timings.all))
        reason = _ENDS.get(str(own.get("finish_reason")), self._reason)
        scores: tuple[Score, ...] = ()
        if request.choices:
            scores, reason = self._scores(), "stop"
        text = "" if request.choices else self.text
        tokens = () if request.choices or request.logprobs is None else tuple(self._tokens)
        return Answer(text, reason, usage, timings, model, scores, self._seen(), tokens)

    def _scores(self) -> tuple[Score, ...]:
        if self._server.kind == "vlm":
            scores = self._own.get("scores")
            found = [one for one in scores if isinstance(one, dict)] if isinstance(scores, list) else []
            if len(found) == len(self._request.choices):
                return tuple(
                    Score(min(0.0, _number(one.get("logprob"), -math.inf)), max(1, _count(one.get("tokens"))))
                    for one in found
                )
        elif self._tokens and self._tokens[0].others:
            return likelihood.scores(self._request, self._tokens[0], self._server.url)
        raise RequestError(
            f"{self._server.url} does not tell how likely its tokens are (logprobs)",
            "use vlm serve there, or llama-server or vLLM",
        )

    def _seen(self) -> tuple[Seen, ...]:
        """The sizes of the pictures: as they were sent, and as the encoder got them where that is told."""
        pictures, told = self._request.pictures, self._own.get("seen")
        each = told if isinstance(told, list) and len(told) == len(pictures) else [None] * len(pictures)
        return tuple(
            Seen(picture.size, _size(one.get("scaled")) if isinstance(one, dict) else None)
            for picture, one in zip(pictures, each, strict=True)
        )


def refused(status: int, data: bytes, server: Server, model: str, key: str) -> VlmError:
    """The error for an answer that is none, in the server's own words; the key is not among them."""
    url = server.url
    if status in (401, 403):
        what = "does not accept the key" if key else "needs a key"
        return NoServer(f"{url} {what} ({status})", "set the variable VLM_API_KEY to the server's key")
    try:
        words = said(value_of(data, url))
    except RequestError:
        words = ""
    words = words.replace(key, "…") if key else words
    told = f"{url}: {words or f'the server answered {status}'}"
    if status == 404:
        return NoServer(told, f"check the address, and that it has the model {model[:60]}")
    if status == 413:
        return RequestError(told, "send smaller pictures: --detail low, or --detail 1024")
    if "exceed_context_size" in words or "context length" in words or "context size" in words:
        return ContextFull(told, "ask about fewer or smaller pictures, or give the server a larger context")
    return RequestError(told, "see the server's log" if status >= 500 else "change the question or the options")


def said(data: Mapping[str, Any]) -> str:
    """A server's own words for what went wrong, in a line; empty where it has none."""
    error = data.get("error", data)
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("error")
    return _line(_clean(error))


def _line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:LONGEST]


def _clean(text: object) -> str:
    """A text without halves of surrogate pairs; empty for what is none."""
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else ""


def _tokens(logprobs: object) -> list[Token]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = []
    for one in content if isinstance(content, list) else ():
        if isinstance(one, dict):
            listed = one.get("top_logprobs")
            others = [_likely(other) for other in listed if isinstance(other, dict)] if isinstance(listed, list) else []
            found.append(Token(*_likely(one), tuple(others)))
    return found


def _likely(one: Mapping[str, Any]) -> tuple[bytes, float]:
    """A token's bytes, and the logarithm of its probability."""
    raw = one.get("bytes")
    if isinstance(raw, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in raw):
        piece = bytes(raw)
    else:
        piece = _clean(one.get("token")).encode("utf-8")
    return piece, min(0.0, _number(one.get("logprob"), -math.inf))


def _number(value: object, otherwise: float = 0.0) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if good and isinstance(value, int | float) else otherwise


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def _size(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(map(_count, value)):
        return _count(value[0]), _count(value[1])
    return None


def _made(kind: type[_Figures], told: object, otherwise: _Figures) -> _Figures:
    """Figures of another `vlm serve`, by the names of their fields; others where it tells of none."""
    if not isinstance(told, dict):
        return otherwise
    read: Any = _count if kind is Usage else lambda value: max(0.0, _number(value))
    return kind(**{one.name: read(told[one.name]) for one in fields(kind) if one.name in told})
