"""OpenAI's chat completions: a body becomes `Asked`, an answer becomes a completion or its chunks.

Source: openai-python, types/chat/completion_create_params.py and chat_completion*.py. What clients send beside it is
taken, too: a bare text for `image_url`, base64 without `data:`, and llama-server's names for sampling. Pure.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from vlmcli.server.asked import ANY_OBJECT, Asked, Turn, own_wishes, penalties, sampling, schema
from vlmcli.server.body import Body
from vlmcli.server.seen import LOW, Given
from vlmcli.server.wrong import Wrong, as_openai
from vlmcli.tasks.thinking import Thinking, split
from vlmcli.values import Answer, Delta, Request, Role, Token

USUAL, MOST = 1024, 1 << 20
"""Tokens of an answer, where the client does not say, and at most."""
STOPS = 16
TEXTS = ("text", "input_text", "output_text", "refusal")
PICTURES = ("image_url", "input_image")
"""Types of a message's parts, of all protocols."""
TYPED = "use input_text and input_image"
"""What to do about another type, in the protocols whose parts are called so."""
HARMLESS: dict[str, Sequence[Any]] = {
    "n": (1,), "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],), "function_call": ("none", "auto"),
    "audio": (), "modalities": (["text"],), "logit_bias": ({},), "prediction": (), "web_search_options": (),
}  # fmt: skip
"""Fields that this server cannot do, and their values that ask for nothing."""
ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
ENDS = {"stop": "stop", "length": "length", "loop": "stop"}
"""Reasons for an answer's end, as OpenAI calls them."""
NOT_THINKING = ("", "none", "minimal")
"""Of `reasoning_effort`."""


def read(body: Body) -> Asked:
    """What a body asks for. Raises Wrong, which names the field."""
    body.refuse(HARMLESS)
    turns = tuple(_turns(body))
    if not turns:
        raise body.wrong("messages", "has no message", "send at least one")
    wishes, own = own_wishes(body)
    form = _form(body)
    if form and (wishes.get("regex") or wishes.get("grammar")):
        raise body.wrong("response_format", "cannot be used with a regular expression or a grammar")
    wishes["think"] = wishes.get("think") or body.text("reasoning_effort") not in NOT_THINKING
    request = Request(
        (), sampling(body), most_tokens(body, "max_completion_tokens", "max_tokens"),
        stop=body.texts("stop", STOPS), stream=body.flag("stream"), schema=form,
        logprobs=_logprobs(body), **penalties(body), **wishes,
    )  # fmt: skip
    options = body.object("stream_options")
    usage = options is not None and options.flag("include_usage")
    return Asked(body.text("model"), turns, request, body.flag("stream"), usage, own)


def most_tokens(body: Body, *names: str) -> int:
    """Tokens of an answer at most, by the first of these fields that is there; -1 is for as many as there is room."""
    for name in names:
        if body.has(name):
            number = body.whole(name, USUAL, -1, 1 << 53)
            return MOST if number < 0 else max(1, min(number, MOST))
    return USUAL


def _logprobs(body: Body) -> int | None:
    others = body.whole("top_logprobs", 0, 0, 20)
    if not body.flag("logprobs"):
        if others:
            raise body.wrong("top_logprobs", "does nothing without logprobs", "set logprobs to true")
        return None
    return others


def _form(body: Body) -> str:
    """The schema that the answer follows; empty for an answer in words."""
    form = body.object("response_format")
    if form is None or form.text("type") in ("", "text"):
        return ""
    if form.text("type") == "json_object":
        inner = form.values.get("schema")  # llama-server's
        return ANY_OBJECT if inner is None else schema(inner, "schema", form)
    if form.text("type") == "json_schema":
        described = form.object("json_schema")
        if described is None:
            raise form.wrong("json_schema", "is missing")
        return schema(described.values.get("schema"), "schema", described)
    raise form.wrong("type", "is not known", "use text, json_object or json_schema")


def _turns(body: Body) -> Iterator[Turn]:
    for message in body.objects("messages"):
        if message.values.get("tool_calls"):
            raise message.wrong("tool_calls", "is not supported", "send what was said, without calls")
        yield turn(message, "use text and image_url")


def turn(message: Body, hint: str) -> Turn:
    """A message, which may be a text or a list of parts, of any of OpenAI's protocols.

    `hint`: what to do about a part of another type. Raises Wrong for such a part or another role, or where a message
    has a picture and is not the user's.
    """
    role = ROLES.get(message.text("role"))
    if role is None:
        raise message.wrong("role", "is not supported", "use system, developer, user and assistant")
    content = tuple(_content(message, hint))
    if role != "user" and any(isinstance(part, Given) for part in content):
        raise message.wrong("content", "has a picture, but only a user's message may")
    return Turn(role, content)


def _content(message: Body, hint: str) -> Iterator[str | Given]:
    content = message.values.get("content")
    if content is None or isinstance(content, str):
        yield content or ""
        return
    for part in message.objects("content"):
        kind = part.text("type")
        if kind in TEXTS:
            yield part.text("refusal" if kind == "refusal" else "text")
        elif kind == "input_json":
            yield json.dumps(part.values.get("data"), ensure_ascii=False)
        elif kind in PICTURES:
            yield _picture(part)
        else:
            raise part.wrong("type", f"is {kind!r}, which is not supported", hint)


def _picture(part: Body) -> Given:
    """The picture of a part: an object with `url` and `detail`, or a bare text. Raises Wrong."""
    if part.has("file_id"):
        raise part.wrong("file_id", "is not supported", "send the picture as image_url")
    value = part.values.get("image_url")
    if isinstance(value, str):
        return given(value, part.path("image_url"), part)
    url = part.object("image_url")
    if url is None:
        raise part.wrong("image_url", "is missing")
    return given(url.text("url"), url.path("url"), url)


def given(text: str, path: str, where: Body) -> Given:
    """A picture by its text, and the detail that is wished beside it. Raises Wrong."""
    if not text.strip():
        raise Wrong(f"{path} is empty", "send a data URI", param=path)
    detail = where.text("detail") or "auto"
    if detail not in ("auto", "low", "high", "original"):
        raise where.wrong("detail", f"is {detail!r}", "use auto, low, high or original")
    return Given(text, path, LOW if detail == "low" else 0)


# --- answers ---


def new_id(kind: str) -> str:
    """An id for an answer: "chatcmpl-…"."""
    return f"{kind}-{uuid.uuid4().hex}"


def usage(answer: Answer) -> dict[str, Any]:
    """What was used, in OpenAI's shape; `image_tokens` is beside it as llama.cpp and others have it."""
    used = answer.usage
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.answer_tokens,
        "total_tokens": used.prompt_tokens + used.answer_tokens,
        "prompt_tokens_details": {"cached_tokens": used.reused_tokens, "image_tokens": used.picture_tokens},
    }


def own_figures(answer: Answer) -> dict[str, Any]:
    """What another `vlm` is told beside."""
    return {
        "scores": [asdict(score) for score in answer.scores],
        "usage": asdict(answer.usage),
        "timings": asdict(answer.timings),
        "seen": [asdict(one) for one in answer.seen],
        "finish_reason": answer.finish_reason,
    }


def completion(answer: Answer, asked: Asked, model: str, think: tuple[str, str]) -> dict[str, Any]:
    """A whole answer."""
    thought, text = split(answer.text, think)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if thought:
        message["reasoning_content"] = thought
    choice = {
        "index": 0,
        "message": message,
        "logprobs": logprobs(answer.tokens) if asked.request.logprobs is not None else None,
        "finish_reason": ENDS[answer.finish_reason],
    }
    own = {"vlm": own_figures(answer)} if asked.own is not None else {}
    return _head("chat.completion", new_id("chatcmpl"), model) | {"choices": [choice], "usage": usage(answer)} | own


def logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    """Tokens and their likelihoods (types/chat/chat_completion_token_logprob.py)."""
    return {
        "content": [
            _likely(token.piece, token.logprob)
            | {"top_logprobs": [_likely(piece, logprob) for piece, logprob in token.others]}
            for token in tokens
        ],
        "refusal": None,
    }


def _likely(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": piece.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(piece)}


def _head(kind: str, id: str, model: str) -> dict[str, Any]:
    return {"id": id, "object": kind, "created": int(time.time()), "model": model}


class Chunks:
    """An answer as the chunks of a stream (types/chat/chat_completion_chunk.py)."""

    def __init__(self, asked: Asked, model: str, think: tuple[str, str]) -> None:
        self._asked = asked
        self._thinking = Thinking(think)
        self._head = _head("chat.completion.chunk", new_id("chatcmpl"), model)
        self._tags = think
        self._told = 0  # tokens

    def first(self, rows: int = 0, /) -> Iterator[dict[str, Any]]:
        """Who speaks."""
        yield self._chunk({"role": "assistant", "content": ""})

    def more(self, delta: Delta) -> Iterator[dict[str, Any]]:
        """The next piece of the answer."""
        yield from self._pieces(*self._thinking.feed(delta.text), delta.tokens)

    def last(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """The end of the answer, and what was used."""
        yield from self._pieces(*self._thinking.finish(), answer.tokens[self._told :])
        yield self._chunk({}, ENDS[answer.finish_reason])
        if self._asked.usage or self._asked.own is not None:
            own = {"vlm": own_figures(answer)} if self._asked.own is not None else {}
            yield self._head | {"choices": [], "usage": usage(answer)} | own

    def failed(self, wrong: Wrong) -> Iterator[dict[str, Any]]:
        """Why the answer ends here."""
        yield as_openai(wrong)

    def _pieces(self, thought: str, text: str, tokens: Sequence[Token]) -> Iterator[dict[str, Any]]:
        self._told += len(tokens)
        thought = thought.replace(self._tags[0], "").replace(self._tags[1], "") if thought else ""
        if thought:
            yield self._chunk({"reasoning_content": thought})
        if text or tokens:
            yield self._chunk({"content": text}, tokens=tokens)

    def _chunk(self, delta: dict[str, Any], end: str | None = None, tokens: Sequence[Token] = ()) -> dict[str, Any]:
        wished = self._asked.request.logprobs is not None
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": logprobs(tokens) if wished and tokens else None,
            "finish_reason": end,
        }
        return self._head | {"choices": [choice]} | ({"usage": None} if self._asked.usage else {})
