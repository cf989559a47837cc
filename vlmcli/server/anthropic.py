"""Anthropic's messages: a body becomes `Asked`, an answer becomes a message or its events.

Source: anthropic-sdk-python, types/message_create_params.py, message.py and raw_message_stream_event.py. The model
calls no tools. What an agent has done with tools before is shown to it as text and pictures, so that a conversation
goes on. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vlmcli.server.asked import Asked, Turn, own_wishes, sampling, schema
from vlmcli.server.body import Body
from vlmcli.server.chat import MOST, STOPS, new_id, own_figures
from vlmcli.server.seen import Given
from vlmcli.server.wrong import Wrong, as_anthropic
from vlmcli.tasks.thinking import Thinking, split
from vlmcli.values import Answer, Delta, Request, Role

HARMLESS: dict[str, Sequence[Any]] = {"container": (), "mcp_servers": ([],)}
"""Fields that this server cannot do, and their values that ask for nothing."""
ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
THINKING = {"enabled": True, "disabled": False, "adaptive": False, "between_tools": False}
"""Types of `thinking`, and whether the model is told to think. "adaptive" leaves it to the model."""
KEPT_APART = ("thinking", "redacted_thinking")
"""Blocks that clients send back, and that the model is not shown again."""
BREAK = "\n\n"
"""Between two texts of a message that follow one another."""
PING = {"type": "ping"}


def read(body: Body) -> Asked:
    """What a body asks for. Raises Wrong, which names the field."""
    if not body.has("max_tokens"):
        raise body.wrong("max_tokens", "is missing", "say how many tokens an answer may have")
    return _read(body, min(body.whole("max_tokens", 1, 1, 1 << 53), MOST))


def counted(body: Body) -> Asked:
    """What is to be counted of a body, which says nothing of the answer. Raises Wrong, which names the field."""
    return _read(body, 1)


def _read(body: Body, most: int) -> Asked:
    body.refuse(HARMLESS)
    _no_tools(body)
    turns = tuple(_turns(body))
    if turns[-1].role == "assistant":  # whose beginning of an answer is not continued
        raise body.wrong("messages", "ends with the assistant's turn", "end with a user's message")
    wishes, own = own_wishes(body)
    form = _form(body)
    if form and (wishes.get("regex") or wishes.get("grammar")):
        raise body.wrong("output_config.format", "cannot be used with a regular expression or a grammar")
    wishes["think"] = wishes.get("think") or _thinks(body)
    stream = body.flag("stream")
    request = Request(
        (), sampling(body), most, stop=body.texts("stop_sequences", STOPS), stream=stream, schema=form, **wishes
    )
    return Asked(body.text("model"), turns, request, stream, own=own)


def _no_tools(body: Body) -> None:
    """Raise Wrong where the model may call a tool. A request that has tools, but lets it call none, can be answered."""
    choice = body.object("tool_choice")
    kind = choice.text("type") if choice else ""
    if choice and kind not in ("none", "auto"):
        raise choice.wrong("type", f"is {kind!r}, which is not supported", "leave tool_choice out")
    if body.list("tools") and kind != "none":
        raise Wrong(
            "tools is not supported", 'leave tools out, or send tool_choice {"type": "none"}',
            param="tools", code="unsupported_parameter",
        )  # fmt: skip


def _thinks(body: Body) -> bool:
    thinking = body.object("thinking")
    if thinking is None:
        return False
    kind = thinking.text("type")
    if kind not in THINKING:
        raise thinking.wrong("type", "is not known", f"use {' or '.join(THINKING)}")
    return THINKING[kind]


def _form(body: Body) -> str:
    """The schema that the answer follows; empty for an answer in words."""
    config = body.object("output_config")
    form = config.object("format") if config else None
    if form is None:
        return ""
    if form.text("type") != "json_schema":
        raise form.wrong("type", "is not known", "use json_schema")
    return schema(form.values.get("schema"), "schema", form)


def _turns(body: Body) -> Iterator[Turn]:
    if body.has("system"):
        yield Turn("system", _joined(_content(body, "system", "system")))
    if not body.list("messages"):
        raise body.wrong("messages", "has no message", "send at least one")
    for message in body.objects("messages"):
        role = ROLES.get(message.text("role"))
        if role is None:
            raise message.wrong("role", "is not supported", "use user, assistant and system")
        yield Turn(role, _joined(_content(message, "content", role)))


def _joined(parts: Iterable[str | Given]) -> tuple[str | Given, ...]:
    """Parts of which texts that follow one another are one: a tool's result must not run into the question."""
    found: list[str | Given] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(before := found[-1], str):
            found[-1] = BREAK.join(filter(None, (before, part)))
        else:
            found.append(part)
    return tuple(found)


def _content(holder: Body, name: str, role: Role) -> Iterator[str | Given]:
    """A text, or the blocks of a list. Raises Wrong for a block that the model cannot be shown in this role."""
    content = holder.values.get(name)
    if content is None or isinstance(content, str):
        yield content or ""
        return
    for block in holder.objects(name):
        kind = block.text("type")
        if kind == "text":
            yield block.text("text")
        elif kind == "image" and role == "user":
            yield _picture(block)
        elif kind == "image":
            raise block.wrong("type", "is 'image', but only a user's message may have pictures")
        elif kind == "tool_result" and role == "user":
            if block.flag("is_error"):
                yield "Error:"
            yield from _content(block, "content", role)
        elif kind == "tool_use" and role == "assistant":
            yield _call(block)
        elif kind == "document":
            raise block.wrong("type", "is 'document', which is not supported", "send its pages as images")
        elif kind not in KEPT_APART:
            raise block.wrong("type", f"is {kind!r}, which is not supported", "use text and image")


def _call(block: Body) -> str:
    """What an assistant has asked a tool for, in words."""
    given = block.object("input")
    return f"[{block.text('name')} {json.dumps(given.values if given else {}, ensure_ascii=False)}]"


def _picture(block: Body) -> Given:
    """The picture of a block. Its `media_type` does not matter: what a file is, its bytes say. Raises Wrong."""
    source = block.object("source")
    if source is None:
        raise block.wrong("source", "is missing", "send base64 or a url")
    kind = source.text("type")
    if kind not in ("base64", "url"):
        raise source.wrong("type", f"is {kind!r}, which is not supported", "use base64 or url")
    name = "data" if kind == "base64" else "url"
    text = source.text(name)
    if not text.strip():
        raise source.wrong(name, "is empty", "send the picture's bytes in base64")
    if kind == "base64" and "://" in text[:16]:
        raise source.wrong(name, "is not base64", "use a source of the type url for an address")
    return Given(text, source.path(name))


# --- answers ---


def message(answer: Answer, asked: Asked, model: str, think: tuple[str, str]) -> dict[str, Any]:
    """A whole answer."""
    thought, text = split(answer.text, think)
    content: list[dict[str, Any]] = [_thinking(thought)] if thought else []
    if text or not thought:
        content.append(_text(text))
    own = {"vlm": own_figures(answer)} if asked.own is not None else {}
    return _head(model) | {"content": content, "usage": usage(answer)} | _end(answer, asked) | own


def usage(answer: Answer) -> dict[str, Any]:
    """What was used. The prompt's rows are all in `input_tokens`, also those whose state was kept."""
    return _used(answer.usage.prompt_tokens, answer.usage.answer_tokens)


def _used(prompt: int, answer: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": answer,
    }


def _end(answer: Answer, asked: Asked) -> dict[str, Any]:
    """Why the answer ends, in Anthropic's words. What the model's own card stops at is the end of its turn."""
    if answer.finish_reason == "length":
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    if answer.stopped_by in asked.request.stop:
        return {"stop_reason": "stop_sequence", "stop_sequence": answer.stopped_by}
    return {"stop_reason": "end_turn", "stop_sequence": None}


def _head(model: str) -> dict[str, Any]:
    return {"id": new_id("msg"), "type": "message", "role": "assistant", "model": model}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": ""}


class Events:
    """An answer as the events of a stream: a message, the blocks in it one after the other, and its end."""

    def __init__(self, asked: Asked, model: str, think: tuple[str, str]) -> None:
        self._asked, self._tags = asked, think
        self._head = _head(model)
        self._thinking = Thinking(think)
        self._open = ""  # the block under way: thinking, text, or none
        self._index = -1  # of it, or of the last one
        self._has_text = False  # whether it has any

    def first(self, rows: int = 0, /) -> Iterator[dict[str, Any]]:
        """The message has begun."""
        nothing: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": _used(rows, 0)}
        yield {"type": "message_start", "message": self._head | nothing}
        yield PING

    def more(self, delta: Delta) -> Iterator[dict[str, Any]]:
        """The next piece of the answer."""
        yield from self._pieces(*self._thinking.feed(delta.text))

    def last(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """The end of the block that is under way and of the message, and what was used."""
        yield from self._pieces(*self._thinking.finish())
        if self._index < 0:
            yield from self._opened("text")
        yield from self._closed()
        own = {"vlm": own_figures(answer)} if self._asked.own is not None else {}
        yield {"type": "message_delta", "delta": _end(answer, self._asked), "usage": usage(answer)} | own
        yield {"type": "message_stop"}

    def failed(self, wrong: Wrong) -> Iterator[dict[str, Any]]:
        """Why the answer ends here."""
        yield as_anthropic(wrong)

    def _pieces(self, thought: str, text: str) -> Iterator[dict[str, Any]]:
        for tag in self._tags if thought else ():
            thought = thought.replace(tag, "")
        yield from self._piece("thinking", thought)
        yield from self._piece("text", text)

    def _piece(self, kind: str, text: str) -> Iterator[dict[str, Any]]:
        if not (self._open == kind and self._has_text):
            text = text.lstrip()  # before and between thoughts and answer
        if text:
            yield from self._opened(kind)
            self._has_text = True
            delta = {"type": f"{kind}_delta", kind: text}
            yield {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _opened(self, kind: str) -> Iterator[dict[str, Any]]:
        """Begin a block, unless it is under way."""
        if self._open == kind:
            return
        yield from self._closed()
        self._open, self._has_text = kind, False
        self._index += 1
        block = _thinking("") if kind == "thinking" else _text("")
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _closed(self) -> Iterator[dict[str, Any]]:
        """End the block that is under way, if there is one."""
        if self._open:
            self._open = ""
            yield {"type": "content_block_stop", "index": self._index}
