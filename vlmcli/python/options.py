"""What each question can be told beside its pictures, by the names of the command line's options, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from vlmcli.decisions import Option, Question
from vlmcli.engine import gbnf, guided
from vlmcli.errors import RequestError, UsageError
from vlmcli.settings import Settings
from vlmcli.tasks import numbers, questions
from vlmcli.tasks import schema as schemas
from vlmcli.values import Sampling


class Options(TypedDict, total=False):
    """How one question is answered; what is left out is as the settings have it, or as on the command line.

    Attributes:
        system: what the model is told before.
        max_tokens: of the answer at most.
        temperature: 0 picks the likeliest token.
        top_k, top_p, min_p, repeat_penalty: as `values.Sampling` has them.
        seed: for a repeatable answer with a temperature.
        think: let the model think first, and keep its thoughts in `Result.thinking`.
        detail: how large pictures are shown to the model: "low", "high", "parts" or pixels of the longer side.
        timeout: seconds of computing after which the question fails with TimedOut.
    """

    system: str
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int
    think: bool
    detail: str | int
    timeout: float


_NUMBERS = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "max_tokens")


def check_names(given: Mapping[str, Any]) -> None:
    """Raise TypeError for an option that there is not, as Python does for any function."""
    for name in given:
        if name not in Options.__annotations__:
            raise TypeError(f"there is no option {name!r}; there are {', '.join(Options.__annotations__)}")


def sampling(given: Options, settings: Settings, least: int = 0) -> tuple[Sampling, int]:
    """How tokens are picked, and how many at most. Raises UsageError for a number out of range.

    Args:
        given: the question's options.
        settings: of the user.
        least: tokens that an answer may have where the question does not say how many.
    """
    values: dict[str, Any] = {name: given.get(name) for name in _NUMBERS if given.get(name) is not None}
    for name, value in values.items():
        whole = name in ("top_k", "seed", "max_tokens")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise UsageError(f"{name}={value!r}: not a {'whole ' if whole else ''}number", f"for example {name}=1")
    written = {name: f"{name}={value}" for name, value in values.items()}
    picked, limit = numbers.checked(values, settings.max_tokens, written)
    return picked, limit if "max_tokens" in written else max(limit, least)


def detail(given: Options, settings: Settings) -> tuple[int, bool]:
    """Pixels of a picture's longer side, 0 for as it is; and whether long pictures are cut into parts.

    Raises UsageError.
    """
    size = str(given.get("detail") or settings.detail or "high")
    return (0, True) if size == "parts" else (numbers.side_of(size, "detail", "high, parts"), False)


def form(choices: Sequence[str], regex: str, grammar: str) -> tuple[str, str]:
    """The grammar and the regular expression that an answer follows; both empty for any. Raises UsageError."""
    given = [name for name, value in (("choices", choices), ("regex", regex), ("grammar", grammar)) if value]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be used together", "leave out one of them")
    if choices:
        if isinstance(choices, str) or len(choices) < 2:
            raise UsageError("choices needs a list of at least two texts", 'for example choices=["yes", "no"]')
        return f"root ::= {' | '.join(json.dumps(one, ensure_ascii=False) for one in choices)}", ""
    try:
        if regex:
            guided.regex_grammar(regex)
        if grammar:
            gbnf.read(grammar)
    except RequestError as error:
        raise UsageError(f"{given[0]}: {error.message}", error.hint) from None
    return grammar, regex


def schema(given: Any) -> str:
    """A schema as the engine takes it: of JSON Schema, of a list of fields, or of a class of Pydantic's.

    Raises UsageError where it is none, or cannot be followed.
    """
    if hasattr(given, "model_json_schema"):
        given = given.model_json_schema()
    if not isinstance(given, str | Mapping):
        raise UsageError(
            f"schema: not a schema, but of the type {type(given).__name__}", "give a dict, JSON, or 'shop, total float'"
        )
    try:
        text = given if isinstance(given, str) else json.dumps(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"schema: not JSON ({error})", "correct the schema") from None
    text = json.dumps(schemas.read(text, "schema"), ensure_ascii=False)
    try:
        guided.schema_grammar(text)
    except RequestError as error:
        raise UsageError(f"schema: {error.message}", error.hint) from None
    return text


def labels(given: Sequence[str] | Mapping[str, str], *, other: bool) -> tuple[Option, ...]:
    """Labels, with what they mean where it is said. Raises UsageError."""
    if isinstance(given, str):
        raise UsageError("labels: a text, where a list is expected", 'for example ["cat", "dog"]')
    pairs = given.items() if isinstance(given, Mapping) else [(label, "") for label in given]
    found = tuple(Option(str(label).strip(), meaning.strip()) for label, meaning in pairs if str(label).strip())
    if other:
        found = (*found, Option("other", "none of the others"))
    if len(found) < 2:
        raise UsageError(f"{len(found)} labels; at least two are needed", 'for example ["cat", "dog"]')
    return questions.distinct(found, "labels")


def asked(given: Any) -> tuple[Question, ...]:
    """Questions to be decided: in words, typed as docs/decisions.md has them, or `Question`s. Raises UsageError."""
    listed = list(given) if isinstance(given, list | tuple) else [given]
    found = [one if isinstance(one, Question) else questions.of([one], "questions")[0] for one in listed]
    if not found:
        raise UsageError("there is no question", "give at least one")
    questions.apart(found, "questions")
    return tuple(found)
