"""What every task has in common: it makes requests of pictures, and a result of what came of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from vlmcli.errors import RequestError, VlmError
from vlmcli.values import Answer, Picture, Request, Result, Sampling


class Task(Protocol):
    """What is asked about a picture, or about several together: a frozen dataclass. Equal ones ask the same."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def question(self) -> str:
        """In words, for people and records."""

    @property
    def sampling(self) -> Sampling:
        """How tokens are picked."""

    @property
    def max_tokens(self) -> int:
        """Of an answer."""

    @property
    def detail(self) -> int:
        """Pixels that a picture's longer side is scaled down to before it is shown to the model; 0 for as it is."""

    @property
    def parts(self) -> bool:
        """Whether a long picture is cut into parts, which are shown to the model one after the other."""

    @property
    def streams(self) -> bool:
        """Whether its answer is a text that can be shown as it comes."""

    @property
    def chooses(self) -> bool:
        """Whether its requests have choices."""

    @property
    def count(self) -> int:
        """How many requests it makes."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of a table's columns for what comes of it."""

    def requests(self, pictures: Sequence[Picture]) -> list[Request]:
        """What a runner is asked, at least one; their answers, `joined`, are the task's."""

    def result(self, sources: Sequence[str], outcome: Answer | VlmError, model: str) -> Result:
        """What came of it, for people and records."""

    def only_thought(self, result: Result) -> RequestError | None:
        """Why there is no answer, where the model only thought; None where it is not so."""

    def cells(self, record: Mapping[str, Any]) -> dict[str, str]:
        """A record's values by the names of their columns (docs/json.md)."""


def joined(answers: Sequence[Answer]) -> Answer:
    """The answers to a task's requests as one: the first's text, all scores in order, what they took together."""
    first = answers[0]
    if len(answers) == 1:
        return first
    usage, timings = first.usage, first.timings
    for one in answers[1:]:
        usage, timings = usage + one.usage, timings + one.timings
    scores = tuple(score for one in answers for score in one.scores)
    return replace(first, usage=usage, timings=timings, scores=scores)
