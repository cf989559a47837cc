"""The nouns of decisions: what is asked of a picture, what was decided, and where something is. Frozen, without I/O.

The kinds of question, their names and the shape of the answers are those of OpenAI's Decisions API
(https://developers.openai.com/api/docs, `POST /v1/decisions`; read in openai-python 3.57.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["predicate", "choice", "score"]


@dataclass(frozen=True)
class Option:
    """One of the values of a choice, or of the levels of a score.

    Attributes:
        value: what it is called in the answer; of a level, its label.
        description: what it means, which the model is told.
    """

    value: str | bool
    description: str = ""

    @property
    def text(self) -> str:
        """What the model would answer."""
        return self.value if isinstance(self.value, str) else "yes" if self.value else "no"


@dataclass(frozen=True)
class Question:
    """What is to be decided of a picture.

    Attributes:
        kind: whether something is true, which of several values fits, or how much of something there is.
        instructions: the question, or what is to be judged.
        name: what it is called in answers and tables; empty for none.
        options: the values of a choice, or the levels of a score from the lowest; none for a predicate.
        form: how the model answers, with {} for the option: "The colour is {}."
        prompt: the name of the words in which it is asked (tasks.ask.PROMPTS); empty for those of its kind.
    """

    kind: Kind
    instructions: str
    name: str = ""
    options: tuple[Option, ...] = ()
    form: str = "{}"
    prompt: str = ""

    @property
    def title(self) -> str:
        """What it is called for people: its name, or the question itself."""
        return self.name or self.instructions


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Attributes:
        question: which.
        probabilities: of its options, in their order, together 1; of a predicate, of yes and no.
        coverage: how likely the model is to answer with any of the options at all, 0 to 1; where it is small, the
            probabilities say which of them the model prefers, and not that it would answer so.
        calibrated: whether the probabilities were corrected by what was right in labelled pictures.
    """

    question: Question
    probabilities: tuple[float, ...]
    coverage: float
    calibrated: bool = False

    @property
    def best(self) -> int:
        """The likeliest option; of a predicate 0 for yes, 1 for no."""
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of the likeliest option."""
        return self.probabilities[self.best]

    @property
    def value(self) -> str | bool | float:
        """What was decided: whether it is true, the value that fits, or the mean of the levels' numbers, from 0."""
        if self.question.kind == "predicate":
            return self.best == 0
        if self.question.kind == "choice":
            return self.question.options[self.best].value
        return sum(level * probability for level, probability in enumerate(self.probabilities))

    @property
    def text(self) -> str:
        """The same for people: yes or no, the value, or the likeliest level's label."""
        if self.question.kind == "predicate":
            return "yes" if self.best == 0 else "no"
        return self.question.options[self.best].text


@dataclass(frozen=True)
class Place:
    """A box, or a point, in pixels of the upright picture.

    Attributes:
        label: what it is called; empty for nothing.
        left, top, right, bottom: of a box, not rounded; a point has left = right and top = bottom.
        score: the probability of the label's first token; None where it is not known.
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float
    score: float | None = None

    @property
    def is_point(self) -> bool:
        """Whether it has no extent."""
        return self.left == self.right and self.top == self.bottom

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, rounded to whole pixels."""
        return round(self.left), round(self.top), round(self.right), round(self.bottom)

    @property
    def center(self) -> tuple[float, float]:
        """Its middle: x and y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2
