"""Boxes and points of what is looked for in a picture: what is asked, and what an answer becomes. Pure."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar

from vlmcli.decisions import Place
from vlmcli.errors import RequestError, VlmError
from vlmcli.tasks.ask import prompt
from vlmcli.tasks.boxes import read
from vlmcli.tasks.thinking import split
from vlmcli.values import THINK, Answer, Message, Picture, Request, Result, Sampling, Token

MOST = 100
"""Boxes of an answer at most, where its form is given."""
_ORDER = {"0-1000 yx": "box_2d: [top, left, bottom, right] in thousandths"}
"""What a model is told of the numbers, where it counts in another way than the usual one."""


@dataclass(frozen=True)
class Detect:
    """What is looked for in one picture.

    Attributes:
        what: in words: "each person".
        convention: how the model counts, of `boxes.CONVENTIONS`.
        points: whether points are wanted, and not boxes.
        system: what the model is told before.
        prompts: the model's own words, by their names in `ask.PROMPTS`; with them, its answer has a form of its own.
        sampling, max_tokens, think: as `Ask`'s.
    """

    what: str
    convention: str = "0-1000"
    points: bool = False
    system: str = ""
    prompts: tuple[tuple[str, str], ...] = ()
    sampling: Sampling = Sampling()
    max_tokens: int = 1024
    think: tuple[str, str] = THINK

    detail: ClassVar[int] = 0
    parts: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    chooses: ClassVar[bool] = False
    count: ClassVar[int] = 1

    @property
    def question(self) -> str:
        """What is looked for."""
        return self.what

    @property
    def columns(self) -> list[str]:
        """One, with all places as JSON."""
        return [self.what]

    def cells(self, record: Mapping[str, Any]) -> dict[str, str]:
        """The places as JSON."""
        return {self.what: json.dumps(record["places"], ensure_ascii=False) if "places" in record else ""}

    @property
    def _name(self) -> str:
        return "point" if self.points else "detect"

    def requests(self, pictures: Sequence[Picture]) -> list[Request]:
        """One, whose answer has the form that the model has learnt."""
        own = dict(self.prompts)
        key = _ORDER.get(self.convention, "bbox_2d: [left, top, right, bottom]")
        text = prompt(self._name, own, what=self.what, key=key)
        turns = [Message("user", (*pictures, text))]
        if self.system:
            turns.insert(0, Message("system", (self.system,)))
        schema = "" if self._name in own else json.dumps(_schema(self.convention, points=self.points))
        return [Request(tuple(turns), self.sampling, self.max_tokens, stream=False, schema=schema, logprobs=0)]

    def result(self, sources: Sequence[str], outcome: Answer | VlmError, model: str) -> Result:
        """The places in pixels of the upright picture. An answer that is cut off, or is nonsense, is an error."""
        if isinstance(outcome, Answer):
            try:
                places = self._places(outcome)
            except RequestError as error:
                outcome = RequestError(f"{' '.join(sources)}: {error.message}", error.hint)
            else:
                text = json.dumps([shown(place) for place in places], ensure_ascii=False)
                return Result(tuple(sources), self.what, model, text=text, answer=outcome, places=tuple(places))
        return Result(tuple(sources), self.what, model, error=outcome)

    def _places(self, answer: Answer) -> list[Place]:
        _, text = split(answer.text, self.think)
        if answer.finish_reason == "length":
            tokens = answer.usage.answer_tokens
            raise RequestError(f"the boxes are cut off after {tokens} tokens", "allow more with --max-tokens")
        seen = answer.seen[0]
        if self.convention == "pixels" and seen.scaled is None:
            raise RequestError("how the encoder scaled the picture is not known", "try --boxes 0-1000")
        places = read(text, self.convention, seen.size, seen.scaled)
        if self.points:
            places = [Place(one.label, *one.center, *one.center) for one in places]
        elif any(place.is_point for place in places):
            raise RequestError("the model answered with points, not with boxes", "use vlm point")
        found = likelihoods([place.label for place in places], answer.tokens)
        return [replace(place, score=score) for place, score in zip(places, found, strict=True)]

    def only_thought(self, result: Result) -> None:
        """A model that detects does not think."""


def shown(place: Place) -> dict[str, Any]:
    """A place for records: whole pixels of the upright picture, from its left and top."""
    left, top, right, bottom = place.corners
    where = {"point": [left, top]} if place.is_point else {"box": [left, top, right, bottom]}
    return {"label": place.label, **where, "score": place.score}


def likelihoods(labels: Sequence[str], tokens: Sequence[Token]) -> list[float | None]:
    """The probability of the token with which each label begins, in an answer that has the labels in this order.

    A label may be made of several texts ("red" and "circle"), in any order; then it is that of its first word. None
    where the answer has no such label, or where nothing is known of its tokens.
    """
    raw, ends = b"".join(token.piece for token in tokens), list(accumulate(len(token.piece) for token in tokens))
    found: list[float | None] = []
    at = 0
    for label in labels:
        places = _places_of([label], raw, at) or _places_of(label.split(), raw, at)
        found.append(math.exp(tokens[bisect_right(ends, places[0])].logprob) if places else None)
        at = max(places, default=at - 1) + 1
    return found


def _places_of(texts: Sequence[str], raw: bytes, at: int) -> list[int]:
    """Where each of some texts begins in an answer's bytes, after `at`; empty where one is not there."""
    places = []
    for text in texts:
        written = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
        quoted = raw.find(written, at)
        places.append(quoted + 1 if quoted >= 0 else raw.find(written[1:-1], at))
    return places if texts and all(texts) and min(places) >= 0 else []


def _schema(convention: str, *, points: bool) -> dict[str, Any]:
    """The form of an answer, with the names that models have learnt."""
    key = "point_2d" if points else "box_2d" if convention == "0-1000 yx" else "bbox_2d"
    count = 2 if points else 4
    number: dict[str, Any] = {"type": "integer", "minimum": 0}
    if convention == "0-1":
        number = {"type": "number", "minimum": 0, "maximum": 1}
    elif convention != "pixels":
        number |= {"maximum": 1000}
    else:
        number |= {"maximum": 99_999}
    numbers = {"type": "array", "items": number, "minItems": count, "maxItems": count}
    item = {
        "type": "object",
        "properties": {key: numbers, "label": {"type": "string", "maxLength": 80}},
        "required": [key, "label"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": item, "maxItems": MOST}
