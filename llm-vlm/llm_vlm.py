"""Local vision-language models for `llm`: the models of `vlm ls`, through `vlmcli`'s door for Python.

A model is opened when it is first asked, and stays open while the process of `llm` lives.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import llm
from llm.parts import AttachmentPart, StreamEvent, TextPart
from pydantic import Field

from vlmcli import list_models, open_model
from vlmcli.errors import NoPicture, VlmError
from vlmcli.values import Message, Picture, Result, Role

if TYPE_CHECKING:
    from vlmcli.python.model import Model

PREFIX = "vlm/"
TYPES = frozenset(
    {
        "application/pdf", "image/avif", "image/bmp", "image/gif", "image/heic", "image/heif", "image/jpeg",
        "image/png", "image/tiff", "image/webp", "image/x-ms-bmp",
    }
)  # fmt: skip
"""What `vlm` reads, as `llm` calls it."""

_opened: dict[str, Model] = {}
_opening = threading.Lock()


@llm.hookimpl
def register_models(register: Any) -> None:
    """Tell `llm` of the models on this machine; of none where they cannot be listed, so that `llm` goes on."""
    register(Vlm("vlm", ""))
    try:
        names = [one.name for one in list_models()]
    except (VlmError, OSError):
        names = []
    for name in names:
        register(Vlm(PREFIX + name, name), aliases=(f"vlm-{name}",))


class Vlm(llm.Model):
    """A model of `vlm`, by its name; the default model of `vlm` with an empty one."""

    can_stream = True
    supports_schema = True
    attachment_types = TYPES

    class Options(llm.Options):
        """The options of `vlm ask` that make sense here, by the names they have there."""

        max_tokens: int | None = Field(description="Length of the answer at most", ge=1, default=None)
        temperature: float | None = Field(description="0 picks the likeliest token", ge=0, le=100, default=None)
        top_k: int | None = Field(description="Keep the k likeliest tokens; 0 keeps all", ge=0, default=None)
        top_p: float | None = Field(
            description="Keep the likeliest tokens that reach this probability", gt=0, le=1, default=None
        )
        min_p: float | None = Field(
            description="Drop tokens below this share of the likeliest", ge=0, le=1, default=None
        )
        repeat_penalty: float | None = Field(description="Make repetition less likely", gt=0, le=100, default=None)
        seed: int | None = Field(description="Repeat a sampled answer", ge=0, le=2**32 - 2, default=None)
        think: bool | None = Field(description="Let the model think first", default=None)
        detail: str | int | None = Field(
            description="Size of pictures: low, high, parts or pixels of the longer side", default=None
        )
        timeout: float | None = Field(description="Seconds that an answer may take", gt=0, default=None)

    def __init__(self, model_id: str, name: str) -> None:
        """Open nothing yet.

        Args:
            model_id: what `llm` calls it.
            name: what `vlm` calls it.
        """
        self.model_id = model_id
        self._name = name

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[str | StreamEvent]:
        """The answer, in pieces if it is streamed. Raises llm.ModelError with what is wrong, and what to do."""
        with _told():
            model = self._open()
            system, (*history, last) = _turns(model, prompt)
            pictures, question = list(last.pictures), _text(last)
            options: dict[str, Any] = {"system": system} if system else {}
            options |= {name: value for name, value in prompt.options if value is not None}
            if prompt.schema:
                result = model.extract(pictures, prompt.schema, question, history=history, **options)
                yield result.text
            elif stream and not options.get("think"):
                with model.stream(pictures, question, history=history, **options) as pieces:
                    yield from pieces
                    result = pieces.result
            else:
                result = model.ask(pictures, question, history=history, **options)
                if result.thinking:
                    yield StreamEvent(type="reasoning", chunk=result.thinking)
                yield result.text
            _note(response, result)

    def _open(self) -> Model:
        """The model, opened when it is first asked."""
        with _opening:
            if self._name not in _opened:
                _opened[self._name] = open_model(self._name or None)
            return _opened[self._name]


@contextmanager
def _told() -> Iterator[None]:
    """Errors of `vlm` become those that `llm` shows: one line what is wrong, one line what to do."""
    try:
        yield
    except NoPicture as error:
        raise llm.ModelError(f"{error.message}\nattach one: -a photo.jpg") from error
    except VlmError as error:
        raise llm.ModelError("\n".join(filter(None, (error.message, error.hint)))) from error


def _turns(model: Model, prompt: llm.Prompt) -> tuple[str, list[Message]]:
    """What the model is told before all; and the turns, with their pictures read, of which the last is the user's."""
    system: list[str] = []
    turns: list[Message] = []
    for message in prompt.messages:
        if message.role == "system":
            system += [part.text for part in message.parts if isinstance(part, TextPart)]
            continue
        role: Role = "assistant" if message.role == "assistant" else "user"
        if message.role != role:
            raise llm.ModelError("the models of vlm cannot use tools\nleave out --tool and --functions")
        content = _content(model, message.parts)
        if turns and turns[-1].role == role:
            content = (*turns.pop().content, *content)
        turns.append(Message(role, content))
    if not turns or turns[-1].role != "user":
        raise llm.ModelError("there is no question\nask something about a picture")
    return "\n\n".join(system), turns


def _content(model: Model, parts: Sequence[Any]) -> tuple[str | Picture, ...]:
    """A turn's pictures, and then its text, as `vlm` shows them to a model."""
    pictures = [
        _picture(model, part.attachment) for part in parts if isinstance(part, AttachmentPart) and part.attachment
    ]
    text = "\n\n".join(part.text for part in parts if isinstance(part, TextPart) and part.text)
    return (*pictures, text) if text else tuple(pictures)


def _picture(model: Model, attachment: llm.Attachment) -> Picture:
    """A picture that was attached; one at an address is fetched by `llm`. Raises VlmError, llm.ModelError."""
    if attachment.path:
        return model.load(attachment.path)
    try:
        return model.load(attachment.content_bytes())  # type: ignore[no-untyped-call]
    except VlmError:
        raise
    except Exception as error:  # of the library that llm fetches with
        raise llm.ModelError(f"{attachment.url}: cannot be fetched ({error})\ncheck the address") from error


def _text(turn: Message) -> str:
    """The text of a turn."""
    return "\n\n".join(part for part in turn.content if isinstance(part, str))


def _note(response: llm.Response, result: Result) -> None:
    """Tell `llm` what the answer took, for its logs."""
    answer = result.answer
    assert answer is not None
    usage = answer.usage
    details = {"picture": usage.picture_tokens, "cached": usage.reused_tokens}
    response.set_usage(input=usage.prompt_tokens, output=usage.answer_tokens, details=details)
    response.response_json = {"model": result.model, "finish_reason": answer.finish_reason}
