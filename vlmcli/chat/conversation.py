"""A conversation about pictures: its turns, what is attached to the next question, and what goes when it grows. Pure.

Each turn is a `Request` with all turns before it; that these are not computed again is the engine's matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vlmcli.errors import UsageError
from vlmcli.values import Message, Picture, Request, Sampling


@dataclass(frozen=True)
class Attached:
    """A picture of the conversation.

    Attributes:
        number: what it is called in it, from 1.
        picture: it; its source is the word it was named with.
        place: the absolute path or the address it came from; empty for one from the clipboard.
        tokens: rows of the context it takes; None where that is not known beforehand.
        sha256: of its file's bytes, in hex; empty where it has none.
    """

    number: int
    picture: Picture
    place: str = ""
    tokens: int | None = None
    sha256: str = ""

    @property
    def name(self) -> str:
        """The last part of where it came from."""
        return re.split(r"[/\\]", self.picture.source.rstrip("/\\"))[-1] or self.picture.source

    def __str__(self) -> str:
        width, height = self.picture.size
        tokens = "" if self.tokens is None else f" → {self.tokens} tokens"
        return f"[picture {self.number}: {self.name} {width}×{height}{tokens}]"


@dataclass(frozen=True)
class Turn:
    """A question, the pictures that came with it, and its answer."""

    question: str
    pictures: tuple[Attached, ...]
    answer: str


class Conversation:
    """What has been said, and what is attached to the next question."""

    def __init__(self, system: str = "") -> None:
        self.system = system
        self.turns: list[Turn] = []
        self.pending: list[Attached] = []
        self._last_number = 0

    @property
    def pictures(self) -> tuple[Attached, ...]:
        """All of them, in their order."""
        return (*(one for turn in self.turns for one in turn.pictures), *self.pending)

    def attach(
        self, picture: Picture, place: str = "", tokens: int | None = None, sha256: str = "", number: int = 0
    ) -> Attached:
        """Attach a picture to the next question; one that is there already stays as it is.

        Args:
            picture: it.
            place: where it came from, as `Attached` has it.
            tokens: rows it takes.
            sha256: of its file.
            number: what it is called, where that is free; else the next one.
        """
        for one in self.pictures:
            if one.picture == picture:
                return one
        free = number > 0 and all(one.number != number for one in self.pictures)
        number = number if free else self._last_number + 1
        self._last_number = max(self._last_number, number)
        attached = Attached(number, picture, place, tokens, sha256)
        self.pending.append(attached)
        return attached

    def drop(self, number: int) -> Attached:
        """Take a picture out of the conversation. Raises UsageError where it has none of this number."""
        for one in self.pictures:
            if one.number == number:
                self.pending = [other for other in self.pending if other is not one]
                self.turns = [
                    replace(turn, pictures=tuple(other for other in turn.pictures if other is not one))
                    for turn in self.turns
                ]
                return one
        there = [str(one.number) for one in self.pictures]
        hint = f"the pictures are {', '.join(there)}" if there else "there are no pictures yet; add one: /image PATH"
        if len(there) == 1:
            hint = f"there is only picture {there[0]}"
        raise UsageError(f"there is no picture {number}", hint)

    def recount(self, tokens: Callable[[Picture], int | None]) -> None:
        """Another model has the pictures take other rows of its context."""

        def counted(pictures: Sequence[Attached]) -> list[Attached]:
            return [replace(one, tokens=tokens(one.picture)) for one in pictures]

        self.turns = [replace(turn, pictures=tuple(counted(turn.pictures))) for turn in self.turns]
        self.pending = counted(self.pending)

    def clear(self) -> None:
        """Begin anew: no turns, no pictures."""
        self.turns, self.pending, self._last_number = [], [], 0

    def undo(self) -> Turn:
        """Take the last turn back; its pictures are attached to the next question. Raises UsageError for none."""
        if not self.turns:
            raise UsageError("there is no question to take back", "ask something first")
        turn = self.turns.pop()
        self.pending = [*turn.pictures, *self.pending]
        return turn

    def request(self, question: str, sampling: Sampling, max_tokens: int) -> Request:
        """The next question, with all that was said before. Raises UsageError while there is no picture."""
        if not self.pictures:
            raise UsageError("there is no picture to talk about yet", "drop one into the line, or type /image PATH")
        messages = [Message("system", (self.system,))] if self.system else []
        for turn in self.turns:
            messages.append(_asked(turn.question, turn.pictures))
            messages.append(Message("assistant", (turn.answer,)))
        messages.append(_asked(question, self.pending))
        return Request(tuple(messages), sampling, max_tokens, continues=True)

    def answered(self, question: str, answer: str) -> None:
        """The next question has been asked and answered: it is a turn."""
        self.turns.append(Turn(question, tuple(self.pending), answer))
        self.pending = []

    def shorten(self, question: str) -> str:
        """Let the oldest turn go, to make room. Its pictures stay as long as they are spoken of.

        That is while no later turn has pictures of its own, or when one names it ("picture 2", its file). They go over
        to the next turn.

        Returns what has gone, in words; empty where nothing is left that could go.
        """
        if not self.turns:
            return ""
        gone, self.turns = self.turns[0], self.turns[1:]
        later = [*(turn.question for turn in self.turns), question]
        others = bool(self.pending) or any(turn.pictures for turn in self.turns)
        kept = tuple(one for one in gone.pictures if not others or any(_names(text, one) for text in later))
        if self.turns:
            self.turns[0] = replace(self.turns[0], pictures=(*kept, *self.turns[0].pictures))
        else:
            self.pending = [*kept, *self.pending]
        lost = [one for one in gone.pictures if one not in kept]
        words = " ".join(gone.question.split())
        said = f"“{words[:40]}{'…' if len(words) > 40 else ''}”"
        return f"{said} and its answer" + (f", with {' '.join(map(str, lost))}" if lost else "")


def _asked(question: str, pictures: Sequence[Attached]) -> Message:
    """A user's turn: the pictures before the words, as models were trained."""
    return Message("user", (*(one.picture for one in pictures), question))


def _names(text: str, one: Attached) -> bool:
    """Whether a text speaks of a picture by its number or its file's name."""
    numbered = rf"\b(?:picture|image|photo)s?\s*#?{one.number}\b"
    name, text = one.name.lower(), text.lower()
    stem = name.rpartition(".")[0]
    return bool(re.search(numbered, text)) or name in text or (len(stem) > 2 and stem in re.findall(r"[\w-]+", text))
