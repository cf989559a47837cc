"""OpenAI's Decisions: a body becomes typed questions about a conversation, answers become decisions.

Source: openai-python, types/decision_create_params.py and decision.py. Each question is asked behind the same
conversation, so that its pictures are encoded once. A question that the model would not answer with any of its options
is a refusal. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vlmcli.decisions import Question
from vlmcli.errors import UsageError
from vlmcli.records import lines
from vlmcli.server import chat
from vlmcli.server.asked import Asked, Turn
from vlmcli.server.body import Body
from vlmcli.tasks import questions
from vlmcli.tasks.calibration import Calibration
from vlmcli.tasks.decide import Decide
from vlmcli.tasks.task import joined
from vlmcli.values import Answer, Card, Message, Request, Result


@dataclass(frozen=True)
class Wanted:
    """Questions, and what they are about.

    Attributes:
        asked: the conversation.
        questions: each is asked behind it.
    """

    asked: Asked
    questions: tuple[Question, ...]

    def tasks(self, card: Card, calibration: Calibration) -> list[Decide]:
        """A task for each question, in a model's own words."""
        own = tuple(sorted(card.prompts.items()))
        return [Decide((one,), prompts=own, think=card.think, calibration=calibration) for one in self.questions]


def read(body: Body) -> Wanted:
    """What a body asks for. Raises Wrong, which names the field."""
    given = body.list("questions")
    if not 1 <= len(given) <= questions.MOST:
        raise body.wrong("questions", f"are {len(given)}", f"send 1 to {questions.MOST} questions")
    found = tuple(_question(one, number, body) for number, one in enumerate(given))
    return Wanted(Asked(body.text("model"), tuple(_turns(body)), Request(())), found)


def _question(given: Any, number: int, body: Body) -> Question:
    where = f"questions[{number}]"
    if isinstance(given, Mapping):
        kind = given.get("type")
        key = questions.OPTIONS[kind][0] if isinstance(kind, str) and kind in questions.OPTIONS else ""
        given = {name: given[name] for name in ("type", "name", "instructions", "form", key) if name in given}
    return question(given, where, body)


def question(given: Any, where: str, body: Body) -> Question:
    """A question by its keys. Raises Wrong, which says where it is."""
    try:
        return questions.question(given, where)
    except UsageError as error:
        raise body.wrong(where, error.message.removeprefix(where).lstrip(": "), error.hint) from None


def _turns(body: Body) -> Iterator[Turn]:
    given = body.values.get("input")
    if isinstance(given, str):
        yield Turn("user", (given,))
        return
    if not isinstance(given, list) or not given:
        raise body.wrong("input", "is neither a text nor a list of messages", "send a message with a picture")
    for message in body.objects("input"):
        kind = message.text("type") or "message"
        if kind != "message":
            raise message.wrong("type", f"is {kind!r}, which is not supported", "use message")
        yield chat.turn(message, chat.TYPED)


def requests(each: Sequence[Decide], about: Request) -> list[Request]:
    """A request for each question, behind a conversation whose pictures are read."""
    return [
        replace(one, messages=_behind(about.messages, one.messages[-1].content[-1]), timeout=about.timeout)
        for task in each
        for one in task.requests(())
    ]


def _behind(turns: Sequence[Message], text: Any) -> tuple[Message, ...]:
    """A conversation that ends with a question."""
    if not turns or turns[-1].role != "user":
        return (*turns, Message("user", (text,)))
    *before, last = turns[-1].content
    ending = (f"{last}\n\n{text}",) if isinstance(last, str) and last else (last, text) if last else (text,)
    return (*turns[:-1], Message("user", (*before, *ending)))


# --- answers ---


def results(each: Sequence[Decide], answers: Sequence[Answer], model: str) -> list[Result]:
    """What was decided of each question."""
    return [task.result((), answer, model) for task, answer in zip(each, answers, strict=True)]


def decided(each: Sequence[Decide], answers: Sequence[Answer], model: str) -> dict[str, Any]:
    """The answers to all questions, in their order; whether they are calibrated, and their coverage, are beside."""
    found = results(each, answers, model)
    own = [decision for result in found for decision in result.decisions]
    return {
        "model": model,
        "answers": [_answer(task, result) for task, result in zip(each, found, strict=True)],
        "usage": lines.counted(joined(answers).usage),
        "calibrated": bool(own) and all(one.calibrated for one in own),
        "coverage": [round(sum(one.coverage for one in result.decisions), 6) for result in found],
    }


def _answer(task: Decide, result: Result) -> dict[str, Any]:
    if result.error is not None:
        return {"type": "refusal", "name": task.questions[0].name or None}
    return lines.decided(result.decisions[0])
