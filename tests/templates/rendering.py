"""A conversation as vlm renders it, and as the template itself has it by Jinja, set up as transformers does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.templates.conversations import MARKER, Conversation
from vlmcli.engine import template_filters
from vlmcli.engine.chat_template import SWITCHES, ChatTemplate, PicturePart
from vlmcli.engine.template_sandbox import _Generation
from vlmcli.errors import TemplateError
from vlmcli.values import Picture

BOS, EOS = "<s>", "</s>"
"""The texts of the tokens that begin a prompt and end an answer, here."""


class _Day:
    """Every day: written as the form that a template asks for."""

    @staticmethod
    def now() -> _Day:
        return _Day()

    @staticmethod
    def strftime(form: str) -> str:
        return f"«{form}»"


@contextmanager
def no_date() -> Iterator[None]:
    """Within it, templates write «%Y» for the year, and so on: the same every day."""
    with mock.patch.object(template_filters, "datetime", _Day):
        yield


class Template:
    """A template, compiled twice.

    Attributes:
        refused: why vlm cannot use it; empty where it can.
    """

    def __init__(self, source: str) -> None:
        self.refused = ""
        with no_date():
            try:
                self._ours = ChatTemplate(source, BOS, EOS, owner="it")
            except TemplateError as error:
                self.refused = f"error: {error.message}"
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _json
        environment.globals.update(raise_exception=_raise, strftime_now=_Day.strftime, bos_token=BOS, eos_token=EOS)
        self._jinja = environment.from_string(source)

    @property
    def has_word(self) -> bool:
        """Whether it has a word of its own for a picture."""
        return not self.refused and bool(self._ours._word)

    def ours(self, conversation: Conversation) -> str:
        """What vlm makes of it: a marker for each picture; or a line that begins with "error: "."""
        if self.refused:
            return self.refused
        with no_date():
            try:
                pieces = self._ours.render(conversation.messages, think=conversation.think)
            except TemplateError as error:
                return f"error: {error.message}"
        return "".join(MARKER if isinstance(piece, PicturePart) else piece.text for piece in pieces)

    def by_jinja(self, conversation: Conversation) -> str:
        """What Jinja makes of it, set up as transformers' utils/chat_template_utils.py does; or "error: …".

        Pictures are parts of their own where vlm gives them so, and the word for one is replaced by a marker. Of tools
        and documents it is told nothing, where transformers says that there are none.
        """
        if self.refused:
            return self.refused
        word, typed = self._ours._word, self._ours._typed
        rows = []
        for message in conversation.messages:
            parts = _parts(message.content, bool(word))
            plain = not typed and not (word and message.pictures)
            content = "".join(part["text"] for part in parts) if plain else parts
            rows.append({"role": message.role, "content": content})
        try:
            text = self._jinja.render(messages=rows, add_generation_prompt=True, **SWITCHES[conversation.think])
        except Exception as error:
            return f"error: {error}"
        return re.sub(re.escape(word), MARKER, text) if word else text


def _parts(content: tuple[str | Picture, ...], own: bool) -> list[dict[str, str]]:
    """A turn's parts, with neighbouring texts in one; and a marker in the text for a picture that is not a part."""
    found: list[dict[str, str]] = []
    for part in content:
        text = MARKER if isinstance(part, Picture) else part
        if own and isinstance(part, Picture):
            found.append({"type": "image"})
        elif found and found[-1]["type"] == "text":
            found[-1]["text"] += text
        else:
            found.append({"type": "text", "text": text})
    return found


def _json(value: Any, ensure_ascii: bool = False, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **more)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
