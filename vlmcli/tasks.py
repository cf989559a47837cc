"""What is asked: a task makes a `Request` of pictures, and a `Result` of an answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmcli.errors import VlmError
from vlmcli.values import Answer, Message, Picture, Request, Result, Sampling


@dataclass(frozen=True)
class Ask:
    """A question about one or several pictures, taken together."""

    question: str
    context: str = ""
    """Text that goes before the question."""
    system: str = ""
    sampling: Sampling = Sampling()
    max_tokens: int = 512

    def request(self, pictures: Sequence[Picture]) -> Request:
        """The pictures directly before the question, as models were trained and upstream's tools do."""
        text = f"{self.context}\n\n{self.question}" if self.context else self.question
        turns = [Message("user", (*pictures, text))]
        if self.system:
            turns.insert(0, Message("system", (self.system,)))
        return Request(tuple(turns), self.sampling, self.max_tokens)

    def result(self, sources: Sequence[str], outcome: Answer | VlmError, model: str) -> Result:
        """What came of it, for people and records."""
        if isinstance(outcome, VlmError):
            return Result(tuple(sources), self.question, model, error=outcome)
        return Result(tuple(sources), self.question, model, text=outcome.text.strip(), answer=outcome)
