"""A request becomes the body of `POST /v1/chat/completions`, as the server that it goes to understands it. Pure.

All servers get OpenAI's fields. What these cannot say goes to another `vlm serve` in an object "vlm", to llama-server
in fields of its own, and is an error for the others, before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from vlmcli.errors import RequestError
from vlmcli.values import Message, Picture, Request, Sampling, Server

STRICT = ("openai", "strict")
"""Kinds of servers that may refuse a field which is not of OpenAI's API."""
TOP = 20
"""Likeliest tokens that are asked for where choices are compared: as many as OpenAI's API allows."""


def body(request: Request, model: str, server: Server, shown: Callable[[Picture], str]) -> bytes:
    """The body, as JSON.

    Args:
        request: what is asked.
        model: its name at the server.
        server: where it goes.
        shown: makes a data URI of a picture.

    Raises RequestError for what this server cannot do; what `shown` raises.
    """
    fields: dict[str, Any] = {"model": model, "messages": [_message(one, shown) for one in request.messages]}
    fields |= _length(request, server) | _sampling(request, server)
    if request.stop:
        fields["stop"] = list(request.stop)
    if streams(request, server):
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    fields |= _form(request, server)
    if server.kind == "vlm":
        fields["vlm"] = _own(request)
    elif server.kind not in STRICT:
        fields["chat_template_kwargs"] = {"enable_thinking": request.think}
    if request.choices and server.kind != "vlm":
        fields |= {"logprobs": True, "top_logprobs": TOP}
    elif request.logprobs is not None:
        fields |= {"logprobs": True} | ({"top_logprobs": request.logprobs} if request.logprobs else {})
    return json.dumps(fields).encode("ascii")


def streams(request: Request, server: Server) -> bool:
    """Whether the answer shall come piece by piece: where somebody reads it so, or it is ended here in a loop."""
    return (request.stream and not request.choices) or (request.end_loops and server.kind != "vlm")


def _message(message: Message, shown: Callable[[Picture], str]) -> dict[str, Any]:
    if not message.pictures:
        return {"role": message.role, "content": "".join(part for part in message.content if isinstance(part, str))}
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": shown(part)}}
        if isinstance(part, Picture)
        else {"type": "text", "text": part}
        for part in message.content
    ]
    return {"role": message.role, "content": parts}


def _length(request: Request, server: Server) -> dict[str, Any]:
    most = 1 if request.choices else request.max_tokens
    return {"max_completion_tokens" if server.kind == "openai" else "max_tokens": most}


def _sampling(request: Request, server: Server) -> dict[str, Any]:
    """How tokens are picked; what OpenAI's API has no field for is left out there."""
    sampling = request.sampling
    fields: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.seed is not None:
        fields["seed"] = sampling.seed
    if sampling.temperature > 0:
        if server.kind not in STRICT or sampling.top_p != Sampling().top_p:  # models that reason refuse it there
            fields["top_p"] = sampling.top_p
        if server.kind not in STRICT:
            fields |= {"top_k": sampling.top_k, "min_p": sampling.min_p}
    if sampling.repeat_penalty != 1 and server.kind not in STRICT:
        penalty = sampling.repeat_penalty
        fields |= {"repeat_penalty": penalty, "repetition_penalty": penalty}  # llama-server's name, and vLLM's
    return fields


def _form(request: Request, server: Server) -> dict[str, Any]:
    """What the answer has to follow. Raises RequestError where the server cannot hold it to that."""
    if request.schema:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if request.regex and server.kind != "vlm":
        raise cannot("--regex", server)
    if request.grammar and server.kind not in ("vlm", "llama"):
        raise cannot("--grammar", server)
    return {"grammar": request.grammar} if request.grammar and server.kind == "llama" else {}


def cannot(option: str, server: Server) -> RequestError:
    """The error that a server has no way to do what an option asks for."""
    able = "vlm serve or llama-server" if option in ("--grammar", "--choices") else "vlm serve"
    return RequestError(f"{server.url} does not support {option}", f"leave it out, or use {able} there")


def _own(request: Request) -> dict[str, Any]:
    """What only another `vlm serve` understands."""
    own: dict[str, Any] = {"think": request.think}
    if request.choices:
        own |= {"choices": [list(ways) for ways in request.choices], "whole": request.whole}
    own |= {name: getattr(request, name) for name in ("regex", "grammar") if getattr(request, name)}
    if request.end_loops:
        own["end_loops"] = True
    return own
