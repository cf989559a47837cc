"""A call becomes a task about pictures, and the task's result becomes what the client gets. Pure but for crops.

The tasks are those of the command line, with its prompts, so the same question has the same answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vlmcli.errors import ModelError, UsageError
from vlmcli.mcp.arguments import Arguments
from vlmcli.mcp.seen import Seen
from vlmcli.mcp.tools import DEFAULTS, DIFFERENCES, MOST_PICTURES, MOST_QUESTIONS, TOOLS
from vlmcli.pictures import images, marking
from vlmcli.pictures.regions import Region
from vlmcli.records import lines
from vlmcli.tasks import ask, questions
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.calibration import NONE, Calibration
from vlmcli.tasks.decide import Decide
from vlmcli.tasks.detect import Detect, shown
from vlmcli.tasks.task import Task
from vlmcli.values import ModelFiles, Result

CROPS, CROP_SIDE = 4, 1024
"""Crops of an answer at most, and pixels of their longer side."""


@dataclass(frozen=True)
class Told:
    """What a task may be told beside the call.

    Attributes:
        files: the model.
        system: what it is told before each question.
        calibration: of its probabilities.
    """

    files: ModelFiles
    system: str = ""
    calibration: Calibration = NONE


@dataclass(frozen=True)
class Call:
    """A tool's call, checked.

    Attributes:
        images: paths, data URLs or addresses.
        region: the part of each that is looked at; None for all of it.
        task: makes the task, when the model is known. Raises ModelError where the model cannot do it.
        crops: whether what was found is also shown as images.
    """

    images: Sequence[str]
    region: Region | None
    task: Callable[[Told], Task]
    crops: bool = False


@dataclass(frozen=True)
class Content:
    """What a client gets.

    Attributes:
        texts: the answer, and then notes to it.
        images: PNG files.
        values: the answer as an object, where it is one.
        record: the record of docs/json.md, for programs.
    """

    texts: Sequence[str]
    images: Sequence[bytes] = ()
    values: dict[str, Any] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)


def read(tool: str, values: Mapping[str, Any]) -> Call:
    """A call of a tool with these arguments. Raises UsageError."""
    for one in TOOLS:
        if one["name"] == tool:
            arguments = Arguments(tool, values, list(one["inputSchema"]["properties"]))
            return _READERS[tool](arguments)
    raise UsageError(f"there is no tool {tool[:80]!r}", f"the tools are {', '.join(one['name'] for one in TOOLS)}")


def _asking(question: Callable[[Told], str], tokens: int, *, reading: bool = False) -> Callable[[Told], Task]:
    def task(told: Told) -> Task:
        card = told.files.card
        return Ask(
            question(told), system=told.system, max_tokens=tokens, end_loops=reading, think=card.think,
            thinks=card.thinks,
        )  # fmt: skip

    return task


def _ask(given: Arguments) -> Call:
    question = given.text("question", example="What does the error message say?")
    asked = _asking(lambda _: question, given.tokens(DEFAULTS["ask_image"]))
    return Call([given.picture()], given.region(), asked)


def _describe(given: Arguments) -> Call:
    length = given.choice("length", ("short", "normal", "long"))
    focus = given.text("focus", "")
    if focus and "length" in given:
        raise UsageError("describe_image: length and focus cannot be used together", "leave one of them out")
    name = "describe focus" if focus else "describe" if length == "normal" else f"describe {length}"
    asked = _asking(
        lambda told: ask.prompt(name, told.files.card.prompts, focus=focus), given.tokens(DEFAULTS["describe_image"])
    )
    return Call([given.picture()], given.region(), asked)


def _read(given: Arguments) -> Call:
    name = f"ocr {given.choice('format', ('plain', 'markdown'))}"
    tokens = given.tokens(DEFAULTS["read_text"])
    asked = _asking(lambda told: ask.prompt(name, told.files.card.prompts), tokens, reading=True)
    return Call([given.picture()], given.region(), asked)


def _compare(given: Arguments) -> Call:
    question = given.text("question", DIFFERENCES)
    asked = _asking(lambda _: question, given.tokens(DEFAULTS["compare_images"]))
    return Call(given.pictures("images", 2, MOST_PICTURES), given.region(), asked)


def _locate(given: Arguments) -> Call:
    what, tokens = given.text("what", example="each button"), given.tokens(DEFAULTS["locate"])

    def task(told: Told) -> Task:
        card = told.files.card
        if not card.boxes:
            raise ModelError(
                f"the model {told.files.name} is not known to write boxes",
                "use ask_image and ask where it is, or start vlm mcp with a model that has boxes (vlm models --json)",
            )
        own = tuple(sorted(card.prompts.items()))
        return Detect(what, card.boxes, False, told.system, own, max_tokens=tokens, think=card.think)

    return Call([given.picture()], given.region(), task, given.flag("crop"))


def _decide(given: Arguments) -> Call:
    listed = given.value("questions")
    if isinstance(listed, str):
        listed = [listed]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_QUESTIONS:
        raise UsageError(
            f"decide: questions needs a list of 1 to {MOST_QUESTIONS} questions",
            'for example ["Is there an error message?"]',
        )
    asked = tuple(questions.of(listed, "decide"))

    def task(told: Told) -> Task:
        card = told.files.card
        own = tuple(sorted(card.prompts.items()))
        return Decide(asked, told.system, own, think=card.think, calibration=told.calibration)

    return Call([given.picture()], given.region(), task)


_READERS: Mapping[str, Callable[[Arguments], Call]] = {
    "ask_image": _ask, "describe_image": _describe, "read_text": _read, "locate": _locate,
    "compare_images": _compare, "decide": _decide,
}  # fmt: skip


def content(call: Call, seen: Sequence[Seen], task: Task, result: Result) -> Content:
    """What a client gets of a result. Raises VlmError where there is none."""
    if result.error is not None:
        raise result.error
    if (thought := task.only_thought(result)) is not None:
        raise thought
    assert result.answer is not None
    notes = [*dict.fromkeys(f"Note: {notice}." for one in seen for notice in one.picture.notices)]
    if result.answer.finish_reason == "length" and isinstance(task, Ask):
        tokens = result.answer.usage.answer_tokens
        notes.insert(
            0, f"The answer was cut after {tokens} tokens. For the rest, call the tool again with a larger max_tokens."
        )
    elif result.answer.finish_reason == "loop":
        notes.insert(0, "The answer only repeated itself, and was ended.")
    record = lines.record(result)
    if result.places is not None:
        return _places(call, seen[0], result, notes, record)
    if result.decisions:
        values = {"answers": [lines.decided(one) for one in result.decisions]}
        return Content([_json(values), *notes], values=values, record=record)
    return Content([result.text, *notes], record=record)


def _places(call: Call, seen: Seen, result: Result, notes: list[str], record: dict[str, Any]) -> Content:
    """What was found, in pixels of the whole picture."""
    places = result.places or ()
    whole = [
        shown(replace(seen.whole(place), score=None if place.score is None else round(place.score, 4)))
        for place in places
    ]
    values = {"places": whole, "size": list(seen.size)}
    crops = []
    for place in places[: CROPS if call.crops else 0]:
        if (image := marking.cut(seen.picture, place)) is not None:
            crops.append(images.png(image.tobytes(), image.size, CROP_SIDE))
    if call.crops and len(places) > CROPS:
        notes.append(f"Only the first {CROPS} of {len(places)} places are shown as images. Use region for others.")
    return Content([_json(values), *notes], crops, values, record | values)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


def noted(given: Content, note: str) -> Content:
    """The same with one more note, if there is one."""
    return replace(given, texts=[*given.texts, f"Note: {note}."]) if note else given


def encoded(image: bytes) -> str:
    """An image as the protocol sends it."""
    return base64.b64encode(image).decode("ascii")
