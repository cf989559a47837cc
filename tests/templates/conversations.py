"""The conversations that each template renders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlmcli.engine.chat_template import SWITCHES
from vlmcli.pictures.images import from_pixels
from vlmcli.values import Message, Picture

PICTURE = from_pixels(bytes(12), (2, 2), "p.png")
MARKER = "<__media__>"
"""What stands for a picture in a rendering."""
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
"""A picture as llama.cpp's server takes it; to render, it only decodes the letters."""


@dataclass(frozen=True)
class Conversation:
    """Turns, and what the template is told.

    Attributes:
        messages: the turns.
        think: whether the model is to think before it answers.
        parts: whether llama.cpp is given texts as lists of parts too; without it, only turns with pictures are.
    """

    messages: tuple[Message, ...]
    think: bool = False
    parts: bool = False

    def body(self, **told: object) -> dict[str, Any]:
        """What llama.cpp's server is sent; `told` are variables of the template."""
        rows = [{"role": message.role, "content": self._content(message)} for message in self.messages]
        return {"messages": rows, "chat_template_kwargs": {**SWITCHES[self.think], **told}}

    def _content(self, message: Message) -> object:
        if not self.parts and not message.pictures:
            return "".join(str(part) for part in message.content)
        return [IMAGE if isinstance(part, Picture) else {"type": "text", "text": part} for part in message.content]


def _user(*content: str | Picture) -> Message:
    return Message("user", content)


_ASKED = _user(PICTURE, "what is this?")
_SYSTEM = Message("system", ("Be brief.",))
_TALK = (_ASKED, Message("assistant", ("A red circle.",)), _user("Where is it?"))

CONVERSATIONS = {
    "picture": Conversation((_ASKED,)),
    "think": Conversation((_ASKED,), think=True),
    "two pictures": Conversation((_user(PICTURE, PICTURE, "What has changed?"),)),
    "text first": Conversation((_user("Look at this:\n", PICTURE, "\nwhat is it?"),)),
    "system": Conversation((_SYSTEM, _ASKED)),
    "follow-up": Conversation(_TALK),
    "follow-up, think": Conversation(_TALK, think=True),
    "follow-up, system": Conversation((_SYSTEM, *_TALK)),
    "follow-up, parts": Conversation((_SYSTEM, *_TALK), parts=True),
    "follow-up, picture": Conversation((*_TALK[:2], _user(PICTURE, "and this?"))),
    "words": Conversation((_user("hello"),)),
    "words, parts": Conversation((_user("hello"),), parts=True),
    "two questions": Conversation((_ASKED, _user("Where is it?"))),
    "spaces": Conversation(
        (_user(PICTURE, " what is this?\n"), Message("assistant", (" A circle.\n",)), _user(" Why? "))
    ),
}
"""By name. Tools are never offered: what a template says about them must not appear."""
