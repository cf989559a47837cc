"""The System One format: decisions whose questions and answers have keys.

Source: ollama-python, _types.py (SystemOne*), and docs.ollama.com/api/systemone; `images` is Ollama's. Boxes are not
asked for: `vlm detect` does that. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlmcli.decisions import Question
from vlmcli.server import ollama
from vlmcli.server.asked import Asked, Turn
from vlmcli.server.body import Body
from vlmcli.server.decisions import Wanted, question, results
from vlmcli.server.wrong import Wrong
from vlmcli.tasks import questions
from vlmcli.tasks.decide import Decide
from vlmcli.tasks.task import joined
from vlmcli.values import Answer, Request

LEVELS = 10
"""Of a score, at most."""


def read(body: Body) -> Wanted:
    """What a body asks for. Raises Wrong, which names the field."""
    asked = body.object("questions")
    if asked is None or not 1 <= len(asked.values) <= questions.MOST:
        raise body.wrong("questions", "is not an object of questions", f"send 1 to {questions.MOST} by their names")
    found = tuple(_question(name, asked) for name in asked.values)
    turns = (Turn("user", (*ollama.images(body), _text(body.values.get("state"), "state", body))),)
    return Wanted(Asked(body.text("model"), turns, Request(()), keep=ollama.kept(body)), found)


def _text(value: Any, name: str, body: Body) -> str:
    """A text, or an object or a list as one. Raises Wrong."""
    if isinstance(value, str) and value.strip():
        return value
    if not isinstance(value, dict | list) or not value:
        raise body.wrong(name, "is neither a text nor JSON", "say what is to be decided")
    return json.dumps(value, ensure_ascii=False)


def _question(name: str, asked: Body) -> Question:
    one = asked.object(name)
    if one is None:
        raise asked.wrong(name, "is not an object")
    kind, text = one.text("type"), _text(one.values.get("instructions"), "instructions", one)
    given: dict[str, Any] = {"name": name, "instructions": text}
    if kind == "noul":
        meant = one.object("criteria")
        given |= {"type": "predicate", "instructions": "\n".join([text, *_meanings(meant)])}
    elif kind == "choice":
        meant = one.object("criteria")
        options = [{"value": key, "description": value} for key, value in (meant.values if meant else {}).items()]
        given |= {"type": "choice", "choices": options}
    elif kind == "score":
        levels = one.texts("criteria", LEVELS)
        numbered = [{"label": str(level), "description": text} for level, text in enumerate(levels)]
        given |= {"type": "score", "levels": numbered}
    else:
        raise one.wrong("type", f"is {kind!r}, which is not supported", "use choice, score or noul")
    return question(given, one.path("criteria"), Body({}))


def _meanings(criteria: Body | None) -> Iterator[str]:
    """What yes and no mean, for the model."""
    for key, word in (("true", "yes"), ("false", "no")):
        if criteria is not None and criteria.text(key):
            yield f"{word} means: {criteria.text(key)}"


# --- answers ---


def decided(each: Sequence[Decide], answers: Sequence[Answer], model: str) -> dict[str, Any]:
    """The answers by the names of their questions. Raises Wrong where the model would answer one otherwise."""
    found: dict[str, Any] = {}
    for task, result in zip(each, results(each, answers, model), strict=True):
        (asked,) = task.questions
        if result.error is not None:
            raise Wrong(result.error.message, result.error.hint, param=f"questions.{asked.name}", code="refusal")
        found[asked.name] = _answer(asked, result.decisions[0].probabilities, result.decisions[0].value)
    used = joined(answers).usage
    return {"model": model, "answers": found, "usage": {"input_tokens": used.prompt_tokens, "output_tokens": 0}}


def _answer(asked: Question, probabilities: Sequence[float], value: object) -> Mapping[str, Any]:
    shares = [round(one, 6) for one in probabilities]
    if asked.kind == "predicate":
        return {"type": "noul", "noul": shares[0]}
    each = {option.text: share for option, share in zip(asked.options, shares, strict=True)}
    head = {"type": asked.kind, "confidence": max(shares), "probabilities": each}
    if asked.kind == "choice":
        return head | {"choice": value}
    legend = {option.text: option.description for option in asked.options}
    return head | {"score": value, "legend": legend}
