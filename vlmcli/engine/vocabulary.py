"""A vocabulary as forms need it: the bytes of every token, and the tokens that end an answer.

Reading a large one from llama.cpp takes most of a second, token by token, so it is kept from one command to the next
(`memo`), and can be had before the model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import memo

if TYPE_CHECKING:
    from vlmcli.engine.native import Model


@dataclass(frozen=True)
class Vocabulary:
    """What forms must know of a vocabulary.

    Attributes:
        pieces: each token's bytes; none for a token that writes nothing.
        ends: the tokens that end an answer.
        order: all tokens, in the order of their bytes.
    """

    pieces: Sequence[bytes]
    ends: Sequence[int]
    order: Sequence[int]

    @classmethod
    def of(cls, pieces: Sequence[bytes], ends: Sequence[int]) -> Vocabulary:
        """A vocabulary of these tokens."""
        return cls(pieces, ends, sorted(range(len(pieces)), key=pieces.__getitem__))


def kept(path: Path) -> Vocabulary | None:
    """The vocabulary of a model's file, as an earlier command has read it; None where none has."""
    try:
        found = memo.known(_name(), [memo.identity(path)])
        if found is None:
            return None
        return Vocabulary([piece.encode("latin-1") for piece in found["pieces"]], found["ends"], found["order"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def read(model: Model) -> Vocabulary:
    """A loaded model's vocabulary, which is kept for later commands."""
    words = Vocabulary.of(model.pieces(), list(model.end_tokens))
    try:
        identity = memo.identity(model.path)
    except (OSError, ValueError):
        return words
    pieces = [piece.decode("latin-1") for piece in words.pieces]
    memo.keep(_name(), [identity], {"pieces": pieces, "ends": words.ends, "order": words.order})
    return words


def _name() -> str:
    from vlmcli.engine.native import versions  # a form is checked where llama.cpp may not be there

    return f"vocabulary {versions()['llama.cpp']}"
