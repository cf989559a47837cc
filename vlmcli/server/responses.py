"""OpenAI's Responses: a body becomes `Asked`, an answer becomes a response or its events.

Source: openai-python, types/responses/response_create_params.py, response.py and response_*_event.py. No response is
kept, so that whatever refers to an earlier one is refused. Pure.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from vlmcli.server import chat
from vlmcli.server.asked import ANY_OBJECT, Asked, Turn, own_wishes, sampling, schema
from vlmcli.server.body import Body
from vlmcli.server.wrong import Wrong, in_words
from vlmcli.tasks.thinking import Thinking, split
from vlmcli.values import Answer, Delta, Request, Token

HARMLESS: dict[str, Sequence[Any]] = {
    "previous_response_id": ("",), "conversation": (), "tools": ([],), "tool_choice": ("none", "auto"),
    "background": (False,), "prompt": (), "context_management": ([],), "moderation": (),
    "truncation": ("disabled", "auto"),
}  # fmt: skip
"""Fields that this server cannot do, and their values that ask for nothing. A prompt that is too long is refused."""
LOGPROBS = "message.output_text.logprobs"
"""Of `include`."""
KEPT_APART = ("reasoning",)
"""Items that clients send back, and that the model is not shown again."""


def read(body: Body) -> Asked:
    """What a body asks for. Raises Wrong, which names the field."""
    body.refuse(HARMLESS)
    turns = tuple(_turns(body))
    wishes, own = own_wishes(body)
    form = _form(body)
    if form and (wishes.get("regex") or wishes.get("grammar")):
        raise body.wrong("text.format", "cannot be used with a regular expression or a grammar")
    reasoning = body.object("reasoning")
    effort = reasoning.text("effort") if reasoning else ""
    wishes["think"] = wishes.get("think") or effort not in chat.NOT_THINKING
    stream = body.flag("stream")
    request = Request(
        (), sampling(body), chat.most_tokens(body, "max_output_tokens"), stream=stream, schema=form,
        logprobs=_logprobs(body), **wishes,
    )  # fmt: skip
    return Asked(body.text("model"), turns, request, stream, own=own)


def _logprobs(body: Body) -> int | None:
    others = body.whole("top_logprobs", 0, 0, 20)
    return others if others or LOGPROBS in body.texts("include", 64) else None


def _form(body: Body) -> str:
    """The schema that the answer follows; empty for an answer in words."""
    text = body.object("text")
    form = text.object("format") if text else None
    if form is None or form.text("type") in ("", "text"):
        return ""
    if form.text("type") == "json_object":
        return ANY_OBJECT
    if form.text("type") == "json_schema":
        return schema(form.values.get("schema"), "schema", form)
    raise form.wrong("type", "is not known", "use text, json_object or json_schema")


def _turns(body: Body) -> Iterator[Turn]:
    if body.has("instructions"):
        yield Turn("system", (body.text("instructions"),))
    given = body.values.get("input")
    if isinstance(given, str):
        yield Turn("user", (given,))
        return
    if not isinstance(given, list) or not given:
        raise body.wrong("input", "is neither a text nor a list of items", "send a message with a picture")
    for item in body.objects("input"):
        kind = item.text("type") or "message"
        if kind not in KEPT_APART:
            if kind != "message":
                raise item.wrong("type", f"is {kind!r}, which is not supported", "use message")
            yield chat.turn(item, chat.TYPED)


# --- answers ---


class Reply:
    """A response, without what comes of it: its ids, and what the client has asked for."""

    def __init__(self, body: Body, asked: Asked, model: str, think: tuple[str, str]) -> None:
        self.asked, self.think = asked, think
        self.message_id, self.thought_id = chat.new_id("msg"), chat.new_id("rs")
        used = asked.request.sampling
        text, reasoning = body.values.get("text") or {}, body.values.get("reasoning") or {}
        self.head: dict[str, Any] = {
            "id": chat.new_id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.values.get("instructions"),
            "max_output_tokens": body.values.get("max_output_tokens"),
            "metadata": body.values.get("metadata") or {},
            "model": model,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": reasoning.get("effort"), "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": used.temperature,
            "text": {"format": text.get("format") or {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "top_logprobs": asked.request.logprobs or 0,
            "top_p": used.top_p,
            "truncation": "disabled",
        }

    def begun(self) -> dict[str, Any]:
        """The response before anything has come."""
        return self.head | {"status": "in_progress", "output": [], "usage": None}

    def ended(self, answer: Answer, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The response with all that has come."""
        is_whole = answer.finish_reason != "length"
        end: dict[str, Any] = {"status": "completed", "completed_at": int(time.time())}
        if not is_whole:
            end = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        own = {"vlm": chat.own_figures(answer)} if self.asked.own is not None else {}
        return self.head | end | {"output": output, "usage": usage(answer)} | own

    def failed(self, wrong: Wrong, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The response with what had come, and why no more does."""
        code = "rate_limit_exceeded" if wrong.status == 429 else "server_error"
        code = "invalid_prompt" if 400 <= wrong.status < 429 else code
        error = {"code": code, "message": in_words(wrong), "param": wrong.param or None}
        return self.head | {"status": "failed", "error": error, "output": output, "usage": None}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The response to an answer that has come at once."""
        thought, text = split(answer.text, self.think)
        status = "incomplete" if answer.finish_reason == "length" else "completed"
        output = [self.thought(thought, status if not text else "completed")] if thought else []
        if text or not thought:
            output.append(self.message([self.part(text, answer.tokens)], status))
        return self.ended(answer, output)

    def message(self, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
        """The answer."""
        head = {"id": self.message_id, "type": "message", "role": "assistant"}
        return head | {"status": status, "content": content}

    def part(self, text: str, tokens: Sequence[Token]) -> dict[str, Any]:
        """The text of the answer."""
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": self.logprobs(tokens)}

    def thought(self, text: str, status: str) -> dict[str, Any]:
        """What the model thought before."""
        content = [{"type": "reasoning_text", "text": text}] if text else []
        return {"id": self.thought_id, "type": "reasoning", "summary": [], "status": status, "content": content}

    def logprobs(self, tokens: Sequence[Token]) -> list[dict[str, Any]]:
        """Tokens and their likelihoods, where they are wished."""
        if self.asked.request.logprobs is None:
            return []
        found: list[dict[str, Any]] = chat.logprobs(tokens)["content"]
        return found


def usage(answer: Answer) -> dict[str, Any]:
    """What was used. The tokens of thoughts are not counted apart; `image_tokens` is beside OpenAI's fields."""
    used = answer.usage
    details = {
        "cached_tokens": used.reused_tokens, "cache_write_tokens": 0, "image_tokens": used.picture_tokens,
    }  # fmt: skip
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": used.answer_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.prompt_tokens + used.answer_tokens,
    }


class Events:
    """A response as the events of a stream, each with its number."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._thinking = Thinking(reply.think)
        self._number = 0
        self._output: list[dict[str, Any]] = []  # items that are done
        self._has_thought = False
        self._open = ""  # the item under way: reasoning, message, or none
        self._text = ""  # of it
        self._tokens: list[Token] = []  # of it
        self._waiting: list[Token] = []  # for the text that they are of

    def first(self, rows: int = 0, /) -> Iterator[dict[str, Any]]:
        """The response has begun."""
        yield self._event("response.created", response=self._reply.begun())
        yield self._event("response.in_progress", response=self._reply.begun())

    def more(self, delta: Delta) -> Iterator[dict[str, Any]]:
        """The next piece of the answer."""
        yield from self._pieces(*self._thinking.feed(delta.text), delta.tokens)

    def last(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """The end of all that is under way, and what was used."""
        yield from self._pieces(*self._thinking.finish(), ())
        if not self._open and not self._output:
            yield from self._opened("message")
        is_cut = answer.finish_reason == "length"
        yield from self._closed("incomplete" if is_cut else "completed")
        kind = "response.incomplete" if is_cut else "response.completed"
        yield self._event(kind, response=self._reply.ended(answer, self._output))

    def failed(self, wrong: Wrong) -> Iterator[dict[str, Any]]:
        """Why the answer ends here."""
        yield self._event("error", code=wrong.code, message=in_words(wrong), param=wrong.param or None)
        yield self._event("response.failed", response=self._reply.failed(wrong, self._output))

    def _pieces(self, thought: str, text: str, tokens: Sequence[Token]) -> Iterator[dict[str, Any]]:
        for tag in self._reply.think if thought else ():
            thought = thought.replace(tag, "")
        if self._open != "reasoning":
            thought = thought.lstrip()
        self._waiting += tokens
        if thought:
            self._has_thought, self._waiting = True, []
            yield from self._opened("reasoning")
            self._text += thought
            yield self._placed("response.reasoning_text.delta", delta=thought)
        if self._has_thought and not (self._open == "message" and self._text):
            text = text.lstrip()  # between thoughts and answer
        if text or (self._waiting and self._open == "message"):
            yield from self._opened("message")
            tokens, self._waiting = self._waiting, []
            self._text += text
            self._tokens += tokens
            yield self._placed("response.output_text.delta", delta=text, logprobs=self._reply.logprobs(tokens))

    def _opened(self, kind: str) -> Iterator[dict[str, Any]]:
        """Begin an item, unless it is under way."""
        if self._open == kind:
            return
        yield from self._closed("completed")
        self._open, self._text, self._tokens = kind, "", []
        place = len(self._output)
        yield self._event("response.output_item.added", output_index=place, item=self._item(None, "in_progress"))
        yield self._placed("response.content_part.added", part=self._part())

    def _closed(self, status: str) -> Iterator[dict[str, Any]]:
        """End the item that is under way, if there is one."""
        if not self._open:
            return
        if self._open == "message":
            logprobs = self._reply.logprobs(self._tokens)
            yield self._placed("response.output_text.done", text=self._text, logprobs=logprobs)
        else:
            self._text = self._text.rstrip()
            yield self._placed("response.reasoning_text.done", text=self._text)
        part = self._part()
        yield self._placed("response.content_part.done", part=part)
        item = self._item(part, status)
        yield self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._open = ""

    def _part(self) -> dict[str, Any]:
        if self._open == "message":
            return self._reply.part(self._text, self._tokens)
        return {"type": "reasoning_text", "text": self._text}

    def _item(self, part: dict[str, Any] | None, status: str) -> dict[str, Any]:
        if self._open == "message":
            return self._reply.message([part] if part else [], status)
        return self._reply.thought(self._text if part else "", status)

    def _placed(self, kind: str, **values: Any) -> dict[str, Any]:
        """An event of the item that is under way."""
        id = self._reply.message_id if self._open == "message" else self._reply.thought_id
        return self._event(kind, item_id=id, output_index=len(self._output), content_index=0, **values)

    def _event(self, kind: str, **values: Any) -> dict[str, Any]:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number} | values
