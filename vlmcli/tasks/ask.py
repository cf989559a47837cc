"""What is asked: a task makes a `Request` of pictures, and a `Result` of an answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, ClassVar

from vlmcli.errors import RequestError, VlmError
from vlmcli.tasks.thinking import split
from vlmcli.values import THINK, Answer, Message, Picture, Request, Result, Sampling

PROMPTS = {
    "caption": "Describe this image in one sentence.",
    "describe": "Describe this image in detail.",
    "describe short": "Describe this image briefly, in two or three sentences.",
    "describe long": "Describe this image in detail: what is in it, where, how it looks, and any text in it.",
    "describe focus": "Describe this image. Say above all something about this: {focus}",
    "ocr plain": "Write down all text in this image, exactly as it is, line by line, and nothing else.",
    "ocr markdown": "Write down all text in this image as Markdown, with headings, lists and tables, and nothing else.",
    "predicate": "{instructions}\nAnswer yes or no, and nothing else.",
    "predicate of statement": "Is this true of the picture: {instructions}\nAnswer yes or no, and nothing else.",
    "match": "Does this picture show {instructions}?\nAnswer yes or no, and nothing else.",
    "classify": "What does this picture show?\nAnswer with one of these, and nothing else: {options}",
    "choice": "{instructions}\nAnswer with one of these, and nothing else: {options}",
    "detect": "Find {what} in the picture. Answer with a JSON list of objects, one for each, with its box as {key} and "
    "its name as label; write [] if there is none.",
    "point": "Point to {what} in the picture. Answer with a JSON list of objects, one for each, with its point as "
    "point_2d and its name as label; write [] if there is none.",
    "extract": "Read this from the picture: {fields}. Answer with JSON that follows this JSON Schema; write null for "
    "what is not in the picture, where the schema allows it, and do not guess:\n{schema}",
    "score": "{instructions}\nAnswer with one of these levels, from the lowest to the highest, and nothing else: "
    "{options}",
}
"""What the verbs ask; a model's card may have others."""

_DECIDED = ("instructions", "options")
SLOTS: Mapping[str, tuple[str, ...]] = {
    "describe": ("focus",), "predicate": _DECIDED, "match": _DECIDED, "classify": _DECIDED, "choice": _DECIDED,
    "score": _DECIDED, "detect": ("what", "key"), "point": ("what", "key"), "extract": ("fields", "schema"),
}  # fmt: skip
"""What is filled into prompts, by the first words of their names; into the others nothing."""
LONGEST = 2000
"""Letters of a prompt that comes from somewhere else."""

PARTS = "These pictures are overlapping parts of one, in order from its top or left."
"""What the model is told where a long picture has been cut into parts."""


def prompt(name: str, own: Mapping[str, str], **slots: str) -> str:
    """A verb's prompt: the model's own, or that of `PROMPTS`."""
    return own.get(name, PROMPTS[name]).format(**slots)


def fitting(own: Mapping[Any, Any]) -> dict[str, str]:
    """Those of a model's own prompts, as somebody else tells of them, that are prompts of ours with slots of ours."""
    found = {}
    for name, text in own.items():
        if name in PROMPTS and isinstance(text, str) and len(text) <= LONGEST:
            try:
                slots = [(slot, form, kind) for _, slot, form, kind in Formatter().parse(text) if slot is not None]
            except ValueError:
                continue
            if {(slot, "", None) for slot in SLOTS.get(name.split()[0], ())}.issuperset(slots):
                found[name] = text
    return found


@dataclass(frozen=True)
class Form:
    """What an answer in words has to be: GBNF, or a regular expression; both empty for anything.

    `option` is what has asked for it, for errors.
    """

    grammar: str = ""
    regex: str = ""
    option: str = ""


@dataclass(frozen=True)
class Ask:
    """A question about one or several pictures, taken together."""

    question: str
    context: str = ""
    """Text that goes before the question."""
    system: str = ""
    sampling: Sampling = Sampling()
    max_tokens: int = 512
    end_loops: bool = False
    """For transcripts, in which small models lose themselves."""
    think: tuple[str, str] = THINK
    """The model's tags around its thinking."""
    detail: int = 0
    """Pixels that a picture's longer side is scaled down to before it is shown to the model; 0 for as it is."""
    parts: bool = False
    """Whether a long picture is cut into parts, which are shown to the model one after the other."""
    thinks: bool = False
    """Whether the model is to think before it answers, where it can be told."""
    grammar: str = ""
    """GBNF that the answer follows."""
    regex: str = ""
    """A regular expression that the whole answer matches."""

    streams: ClassVar[bool] = True
    chooses: ClassVar[bool] = False
    count: ClassVar[int] = 1

    @property
    def columns(self) -> list[str]:
        """One, with the answer."""
        return [self.question]

    def cells(self, record: Mapping[str, Any]) -> dict[str, str]:
        """The answer, by the name of its column."""
        return {self.question: str(record.get("answer", ""))}

    def requests(self, pictures: Sequence[Picture]) -> list[Request]:
        """The one that it is."""
        return [self.request(pictures)]

    def request(self, pictures: Sequence[Picture]) -> Request:
        """The pictures directly before the question, as models were trained and upstream's tools do."""
        text = f"{self.context}\n\n{self.question}" if self.context else self.question
        if self.parts and len(pictures) > 1:
            text = f"{PARTS}\n\n{text}"
        turns = [Message("user", (*pictures, text))]
        if self.system:
            turns.insert(0, Message("system", (self.system,)))
        return Request(
            tuple(turns), self.sampling, self.max_tokens, end_loops=self.end_loops, think=self.thinks,
            grammar=self.grammar, regex=self.regex,
        )  # fmt: skip

    def result(self, sources: Sequence[str], outcome: Answer | VlmError, model: str) -> Result:
        """What came of it, for people and records."""
        if isinstance(outcome, VlmError):
            return Result(tuple(sources), self.question, model, error=outcome)
        thinking, text = split(outcome.text, self.think)
        return Result(tuple(sources), self.question, model, text=text, answer=outcome, thinking=thinking)

    def only_thought(self, result: Result) -> RequestError | None:
        """Why there is no answer, where the model only thought; None where it is not so."""
        if result.answer is None or result.text or not result.thinking:
            return None
        names, tokens = " ".join(result.sources), result.answer.usage.answer_tokens
        if result.answer.finish_reason == "length":
            return RequestError(
                f"{names}: the model was still thinking after {tokens:,} token{'s' * (tokens != 1)}",
                f"let it go on: --max-tokens {max(1024, 4 * tokens)}; --think shows what it thinks",
            )
        return RequestError(
            f"{names}: the model thought, and gave no answer", "ask in other words; --think shows what it thought"
        )
