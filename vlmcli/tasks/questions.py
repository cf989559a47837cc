"""Files of questions: typed ones in JSON or TOML, or one in words a line. Pure.

A typed question has the keys of OpenAI's Decisions API (openai-python, types/decision_create_params.py): `type`,
`name`, `instructions`, and the `choices` of a choice or the `levels` of a score. A file has a list of them, or an
object whose `questions` they are; in TOML each is a table `[[questions]]`. `form` is ours (`decisions.Question`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vlmcli.decisions import Option, Question
from vlmcli.errors import UsageError

TYPED = (".json", ".toml")
"""How the names of files with typed questions end."""
MOST = 400
"""Questions of a file at most, as in OpenAI's API."""
OPTIONS = {"choice": ("choices", "value", 2, 255), "score": ("levels", "label", 2, 255)}
"""Of a kind with options: their key, the key of their text, and how many there may be."""
_KEYS = {"type", "name", "instructions", "form"}


def read(text: str, name: str) -> list[Question]:
    """The questions of a file, whose name says how it is written. Raises UsageError with what is wrong, and where."""
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    if suffix not in TYPED:
        found = [line.strip() for line in text.splitlines() if line.strip()]
        if not found:
            raise UsageError(f"{name}: the file has no questions", "write one per line")
        return [Question("predicate", line) for line in found]
    try:
        content = json.loads(text) if suffix == ".json" else _toml(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: invalid {suffix[1:].upper()} ({error})", "correct the file") from None
    return of(content, name)


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    values: dict[str, Any] = tomllib.loads(text)
    return values


def of(content: Any, name: str) -> list[Question]:
    """The questions of a list or of an object that has one. Raises UsageError."""
    listed = content.get("questions") if isinstance(content, Mapping) else content
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{name}: the file has no list of questions", 'write {"questions": [...]}')
    if len(listed) > MOST:
        raise UsageError(f"{name}: {len(listed)} questions; {MOST} are allowed", "split the file")
    questions = [question(one, f"{name}: question {number}") for number, one in enumerate(listed, 1)]
    apart(questions, name)
    return questions


def apart(questions: Sequence[Question], where: str) -> None:
    """Raise UsageError where two questions have one title, and so one column of a table."""
    titles = [question.title for question in questions]
    for title in titles:
        if titles.count(title) > 1:
            raise UsageError(f"{where}: two questions are called {title!r}", "give each question another name")


def question(one: Any, where: str) -> Question:
    """A typed question, or one in words. Raises UsageError, which says where it is."""
    if isinstance(one, str) and one.strip():
        return Question("predicate", one.strip())
    if not isinstance(one, Mapping):
        raise UsageError(f"{where} is neither a text nor an object", "write type and instructions")
    kind = one.get("type")
    if kind not in ("predicate", "choice", "score"):
        hint = "choose predicate, choice or score"
        raise UsageError(f"{where} has the type {kind!r}" if "type" in one else f"{where} has no type", hint)
    key = OPTIONS[kind][0] if kind in OPTIONS else ""
    for other in one.keys() - _KEYS - {key}:
        raise UsageError(f"{where} has a key that is not known: {other}", f"a {kind} takes {_taken(key)}")
    name, form = one.get("name") or "", one.get("form") or "{}"
    if not isinstance(name, str) or not isinstance(form, str):
        raise UsageError(f"{where}: name and form must be text", "put them in quotes")
    if "{}" not in form:
        raise UsageError(f"{where}: the form {form!r} has no place for the answer", 'mark it by {}: "It is {}."')
    options = _options(one.get(key), kind, where) if key else ()
    return Question(kind, _instructions(one.get("instructions"), where), name.strip(), options, form)


def _taken(key: str) -> str:
    return ", ".join(sorted(filter(None, (*_KEYS, key))))


def _instructions(given: Any, where: str) -> str:
    """The text of the instructions, which may come in parts."""
    if isinstance(given, list):
        parts = []
        for part in given:
            if not isinstance(part, Mapping) or part.get("type") != "input_text":
                kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
                raise UsageError(f"{where}: instructions of the type {kind!r} are not supported", "use text")
            parts.append(str(part.get("text", "")))
        given = "\n".join(parts)
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{where} has no instructions", "write what is to be decided")
    return given.strip()


def _options(given: Any, kind: str, where: str) -> tuple[Option, ...]:
    key, text, least, most = OPTIONS[kind]
    if not isinstance(given, list) or not least <= len(given) <= most:
        raise UsageError(f"{where} needs {key}: a list of {least} to {most}", f'for example [{{"{text}": "cat"}}]')
    options = []
    for one in given:
        if isinstance(one, str | bool):
            one = {text: one}
        value = one.get(text) if isinstance(one, Mapping) else None
        if not isinstance(value, str | bool) or value == "" or (kind == "score" and isinstance(value, bool)):
            raise UsageError(f"{where}: one of its {key} has no {text}", f"write {text} as text")
        options.append(Option(value, str(one.get("description") or "")))
    return distinct(options, where)


def distinct(options: Sequence[Option], where: str) -> tuple[Option, ...]:
    """The options, which a model can tell apart. Raises UsageError where two are the same text."""
    texts = [option.text for option in options]
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"{where}: {text!r} is there twice", "leave one of them out")
    return tuple(options)


def match(what: str) -> Question:
    """Whether a picture shows something."""
    return Question("predicate", what.strip(), prompt="match")


def choice(instructions: str, options: tuple[Option, ...], form: str) -> Question:
    """Which of the options fits; without instructions, which the picture shows. Raises UsageError."""
    if "{}" not in form:
        raise UsageError(f"--as {form!r}: it has no place for the label", "mark it by {}: --as 'It is {}.'")
    if instructions.strip():
        return Question("choice", instructions.strip(), options=options, form=form)
    return Question("choice", "label", options=options, form=form, prompt="classify")


def labels(texts: Sequence[str], where: str) -> tuple[Option, ...]:
    """Labels with or without a meaning: "cat", "dog=a dog or a wolf". Raises UsageError."""
    options = []
    for text in texts:
        label, _, meaning = (part.strip() for part in text.partition("="))
        if label:
            options.append(Option(label, meaning))
        elif meaning:
            raise UsageError(f"{where}: {text.strip()!r} has no label", "write label=description")
    if len(options) < 2:
        raise UsageError(f"{where}: {len(options)} labels; at least two are needed", "for example --labels cat,dog")
    return distinct(options, where)
