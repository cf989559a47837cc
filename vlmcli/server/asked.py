"""What every protocol's request becomes: turns with pictures still as they were sent, and how the answer shall be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlmcli.errors import VlmError
from vlmcli.later import Later
from vlmcli.server.body import Body
from vlmcli.server.seen import Given
from vlmcli.tasks import schema as schemas
from vlmcli.values import Message, Picture, Request, Role, Sampling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vlmcli.engine import gbnf, guided
else:
    gbnf, guided = Later("vlmcli.engine.gbnf"), Later("vlmcli.engine.guided")

MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Turn:
    """A message whose pictures are not read yet."""

    role: Role
    content: tuple[str | Given, ...]


@dataclass(frozen=True)
class Asked:
    """A request as a client has sent it.

    Attributes:
        model: by its name; empty for any.
        turns: of the conversation.
        request: all else, without its messages.
        stream: whether the answer is sent piece by piece.
        usage: whether a stream ends with what was used.
        own: what a `vlm` on the other side wants beside (docs/server.md); None where there is none.
    """

    model: str
    turns: tuple[Turn, ...]
    request: Request
    stream: bool = False
    usage: bool = False
    own: Mapping[str, Any] | None = None

    @property
    def given(self) -> list[Given]:
        """All pictures, in order."""
        return [part for turn in self.turns for part in turn.content if isinstance(part, Given)]

    def messages(self, pictures: Sequence[Picture]) -> tuple[Message, ...]:
        """The turns with their pictures, which were read."""
        left = iter(pictures)
        return tuple(
            Message(turn.role, tuple(next(left) if isinstance(part, Given) else part for part in turn.content))
            for turn in self.turns
        )


def sampling(body: Body, greedy: bool = True) -> Sampling:
    """How tokens are picked, by the names that OpenAI's and llama.cpp's servers give these. Raises Wrong."""
    usual = Sampling(temperature=0.0 if greedy else 0.8)
    seed = body.values.get("seed")
    return Sampling(
        body.number("temperature", usual.temperature, 0, 100),
        body.whole("top_k", usual.top_k, 0, 1 << 20),
        body.number("top_p", usual.top_p, 0, 1),
        body.number("min_p", usual.min_p, 0, 1),
        body.number("repeat_penalty", usual.repeat_penalty, 0.01, 100),
        None if seed is None or seed == -1 else body.whole("seed", 0, -(2**63), 2**64) & MOST_SEED,
    )


def schema(given: Any, path: str, body: Body) -> str:
    """A JSON Schema as the engine takes it. Raises Wrong, which names the field."""
    if given is True:
        given = {}
    if not isinstance(given, dict):
        raise body.wrong(path, "is not a JSON Schema")
    text = json.dumps(given)
    try:
        schemas.read(text, body.path(path))
        guided.schema_grammar(text)
    except VlmError as error:
        raise body.wrong(path, f"cannot be followed ({error.message})", error.hint) from None
    return text


ANY_OBJECT = '{"type": "object"}'
"""The schema of `json_object`."""


def own_wishes(body: Body) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """The fields of a Request that another `vlm` asks for in its object `vlm`; and that object. Raises Wrong."""
    own = body.object("vlm")
    if own is None:
        return {}, None
    wishes: dict[str, Any] = {
        "regex": own.text("regex"), "grammar": own.text("grammar"), "end_loops": own.flag("end_loops"),
        "think": own.flag("think"), "whole": own.flag("whole", True), "choices": tuple(_choices(own)),
    }  # fmt: skip
    try:
        if wishes["regex"]:
            guided.regex_grammar(wishes["regex"])
        if wishes["grammar"]:
            gbnf.read(wishes["grammar"])
    except VlmError as error:
        raise own.wrong("regex" if wishes["regex"] else "grammar", f"cannot be followed ({error.message})") from None
    return wishes, own.values


def _choices(own: Body) -> Iterator[tuple[str, ...]]:
    for number, ways in enumerate(own.list("choices")):
        if not isinstance(ways, list) or not ways or not all(isinstance(way, str) and way for way in ways):
            raise own.wrong(f"choices[{number}]", "is not a list of texts")
        yield tuple(ways)
