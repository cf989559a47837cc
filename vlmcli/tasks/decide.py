"""What is to be decided of pictures becomes requests with choices, and their scores become decisions. Pure.

A choice's probability is the likelihood that the model answers with it and with nothing else (engine/choices.py),
divided by the sum over all choices. Of a predicate it is the likelihood that the answer begins with yes against no.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from vlmcli.decisions import Decision, Option, Question
from vlmcli.errors import RequestError, VlmError
from vlmcli.tasks.ask import PARTS, prompt
from vlmcli.tasks.calibration import NONE, Calibration
from vlmcli.values import THINK, Answer, Message, Picture, Request, Result, Sampling, Score

YES, NO = ("yes", "Yes", "YES"), ("no", "No", "NO")
GREY = 448
"""Pixels of a side of the picture that shows nothing."""
LEAST_COVERAGE = 1e-6
"""Where the model is less likely than that to answer with any of the options, it has not understood the question."""


@dataclass(frozen=True)
class Decide:
    """Questions to be decided about a picture, or about several taken together.

    Attributes:
        questions: which.
        system: what the model is told before.
        prompts: the model's own words for the questions, by their names in `ask.PROMPTS`.
        per_token: compare the likelihood of an average token of each option, not that of the whole: for options that
            differ much in length, of a model that would answer in a sentence.
        think, detail, parts: as `Ask`'s.
        calibration: what the scores are corrected by.
        neutral: compare with what the model would answer about a grey picture, so that labels it prefers whatever the
            picture have no advantage.
        several: from which probability on a picture has a label, where each question is about one; None elsewhere.
    """

    questions: tuple[Question, ...]
    system: str = ""
    prompts: tuple[tuple[str, str], ...] = ()
    per_token: bool = False
    think: tuple[str, str] = THINK
    detail: int = 0
    parts: bool = False
    calibration: Calibration = NONE
    several: float | None = None
    neutral: bool = False

    sampling: ClassVar[Sampling] = Sampling()
    max_tokens: ClassVar[int] = 1
    streams: ClassVar[bool] = False
    chooses: ClassVar[bool] = True

    @property
    def count(self) -> int:
        """A request for each question, and one about the grey picture."""
        return len(self.questions) * (2 if self.neutral else 1)

    @property
    def question(self) -> str:
        """All questions, for records and messages."""
        return "; ".join(question.title for question in self.questions)

    @property
    def columns(self) -> list[str]:
        """Two for each question: what was decided, and how probable it is."""
        return [name for question in self.questions for name in (question.title, f"{question.title}: probability")]

    def cells(self, record: Mapping[str, Any]) -> dict[str, str]:
        """What was decided and how probable it is, by the names of the columns."""
        found = [cell for answer in record.get("answers", ()) for cell in _cells(answer)]
        return dict(zip(self.columns, found, strict=False))

    def requests(self, pictures: Sequence[Picture]) -> list[Request]:
        """One for each question; the pictures come first, so that they are computed once for all."""
        found = [self._request(question, pictures) for question in self.questions]
        if self.neutral:
            found += [self._request(question, (grey(),)) for question in self.questions]
        return found

    def _request(self, question: Question, pictures: Sequence[Picture]) -> Request:
        text = asked(question, dict(self.prompts))
        if self.parts and len(pictures) > 1:
            text = f"{PARTS}\n\n{text}"
        turns = [Message("user", (*pictures, text))]
        if self.system:
            turns.insert(0, Message("system", (self.system,)))
        if question.kind == "predicate":
            return Request(tuple(turns), choices=(YES, NO), whole=False, stream=False)
        choices = tuple(ways(question, option) for option in question.options)
        return Request(tuple(turns), choices=choices, stream=False)

    def result(self, sources: Sequence[str], outcome: Answer | VlmError, model: str) -> Result:
        """What was decided, for people and records; the answer has the scores of all questions, one after the other."""
        if isinstance(outcome, VlmError):
            return Result(tuple(sources), self.question, model, error=outcome)
        decisions, start = [], 0
        half = len(outcome.scores) // 2 if self.neutral else 0
        for question in self.questions:
            end = start + (len(question.options) or 2)
            logits = [self._logit(one) for one in outcome.scores[start:end]]
            if self.neutral:
                without = outcome.scores[half + start : half + end]
                logits = [logit - self._logit(one) for logit, one in zip(logits, without, strict=True)]
            coverage = math.fsum(math.exp(one.logprob) for one in outcome.scores[start:end])
            start = end
            if coverage < LEAST_COVERAGE:
                return Result(tuple(sources), self.question, model, error=_not_understood(question, coverage))
            probabilities = self.calibration.probabilities(question.kind, logits)
            known = self.calibration.has(question.kind)
            decisions.append(Decision(question, probabilities, min(1.0, coverage), known))
        return Result(
            tuple(sources), self.question, model, said(decisions, self.several), outcome, decisions=tuple(decisions)
        )

    def _logit(self, score: Score) -> float:
        return score.logprob / score.tokens if self.per_token else score.logprob

    def only_thought(self, result: Result) -> None:
        """A model that decides does not think."""


@cache
def grey() -> Picture:
    """A picture that shows nothing."""
    pixels = b"\x80" * (3 * GREY * GREY)
    identity = hashlib.sha256(b"%dx%d\n" % (GREY, GREY) + pixels).hexdigest()
    return Picture(identity, (GREY, GREY), "a grey picture", lambda: pixels)


def asked(question: Question, own: Mapping[str, str]) -> str:
    """The words in which a model is asked; `own` are its own, by their names in `ask.PROMPTS`."""
    name = question.prompt or question.kind
    if name == "predicate" and not question.instructions.endswith("?"):
        name = "predicate of statement"
    return prompt(name, own, instructions=question.instructions, options=_listed(question.options))


def _listed(options: Sequence[Option]) -> str:
    """The options for the model: on one line, or one a line where they have descriptions."""
    if not any(option.description for option in options):
        return ", ".join(option.text for option in options)
    return "".join(f"\n- {': '.join(filter(None, (option.text, option.description)))}" for option in options)


def ways(question: Question, option: Option) -> tuple[str, ...]:
    """The ways in which a model writes an option: as it is and as a sentence, in the question's form if it has one."""
    text = question.form.replace("{}", option.text)
    capital = text[:1].upper() + text[1:]
    ends = ("",) if text[-1:] in ".!?" else ("", ".")
    return tuple(dict.fromkeys(one + end for one in (text, capital) for end in ends))


def _cells(answer: Mapping[str, Any]) -> tuple[str, str]:
    """An answer's cells: of a predicate yes or no and the probability of yes, else what was decided, and how surely."""
    kind = answer["type"]
    if kind == "predicate":
        return ("yes" if answer["probability"] >= 0.5 else "no"), f"{answer['probability']:.4f}"
    value = answer["choice"] if kind == "choice" else answer["score"]
    text = str(value).lower() if isinstance(value, bool) else f"{value:.4g}" if kind == "score" else value
    return text, f"{answer['confidence']:.4f}"


def said(decisions: Sequence[Decision], several: float | None = None) -> str:
    """Decisions in words: "yes", or "name: yes; other: cat" where there are several; labels that fit, with commas."""
    if several is not None:
        return ", ".join(one.question.title for one in decisions if one.probabilities[0] >= several)
    if len(decisions) == 1:
        return decisions[0].text
    return "; ".join(f"{one.question.title}: {one.text}" for one in decisions)


def _not_understood(question: Question, coverage: float) -> RequestError:
    what = "yes or no" if question.kind == "predicate" else "one of the options"
    return RequestError(
        f"{question.title}: the model would not answer with {what} (likelihood {coverage:.0e})",
        "ask in other words, or use another model",
    )
