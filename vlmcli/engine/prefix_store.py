"""Prefixes on the disk: the beginning of a prompt, up to and with its last picture, as the KV cache held it.

A later process that asks something else about the same pictures puts the state back and computes only the question: no
pixel is read, nothing is encoded, and the projector's file is not opened. So a prefix must be found before there is a
projector, which alone knows the tokens around a picture: it is found by what was rendered (texts, identities and sizes
of pictures), and brings its own segments.

llama.cpp takes any state that has the right size for the model's own, and answers from it. Therefore everything that a
state depends on is in the key, and no state is handed over that is not whole.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmcli.engine.chat_template import TextPart, Vocabulary
from vlmcli.engine.plan import Int32, PictureSegment, Plan, Segment, TextSegment, picture_key
from vlmcli.engine.prompt import Prompt
from vlmcli.entries import Entries, Entry, key_of
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

log = logging.getLogger("vlmcli.engine")


@dataclass(frozen=True)
class KeptPrefix:
    """What is known of a prompt's beginning.

    Attributes:
        segments: its rows, up to and with the last picture's.
        closing: the tokens behind the last picture that the projector put there; they are not in the state.
        pieces: the KV cache's content, as `Context.state` gives it; none where it was not worth keeping.
        last_position: the highest position in the state.
    """

    segments: tuple[Segment, ...]
    closing: tuple[int, ...]
    pieces: Sequence[memoryview]
    last_position: int


class PrefixStore:
    """The prefixes of one model and projector, computed in one way."""

    def __init__(self, entries: Entries, maker: object) -> None:
        """Read nothing yet.

        Args:
            entries: where they are.
            maker: all that a state depends on beside the prompt, as JSON can say it.
        """
        self._entries = entries
        self._maker = maker

    def find(self, prompt: Prompt) -> KeptPrefix | None:
        """What is kept of the prompt's beginning; None for nothing."""
        entry = self._entries.get(self._key(prompt))
        if entry is None:
            return None
        try:
            return _read(entry, prompt)
        except (ValueError, LookupError, TypeError) as error:  # whole, but not what is written here
            log.info("a kept prompt's beginning cannot be read (%r)", error)
            return None

    def takes(self, size: int) -> bool:
        """Whether a state of so many bytes may be kept, as far as that is known without looking."""
        return self._entries.takes(size)

    def rows(self, prompt: Prompt) -> int:
        """How many rows `find` will probably find the state of, which is not read; 0 for none."""
        about = self._entries.look(self._key(prompt))
        try:
            said = {} if about is None else json.loads(about)
            if not said.get("pieces"):
                return 0
            return sum(int(one["rows"]) if "rows" in one else len(one["tokens"]) for one in said["segments"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # nothing has been checked
            return 0

    def keep(self, prompt: Prompt, prefix: KeptPrefix) -> None:
        """Keep a prompt's beginning."""
        said: list[dict[str, Any]] = []
        arrays: list[bytes] = []
        for segment in prefix.segments:
            if isinstance(segment, TextSegment):
                said.append({"tokens": segment.tokens})
                continue
            moved = None if segment.moved is None else segment.moved.tolist()
            said.append(
                {
                    "picture": segment.picture, "tile": segment.tile, "rows": segment.rows,
                    "positions": segment.positions, "bidirectional": segment.bidirectional,
                    "has_grid": segment.grid is not None, "moved": moved,
                }
            )  # fmt: skip
            if segment.grid is not None:
                arrays.append(np.ascontiguousarray(segment.grid, np.int32).tobytes())
        about = {
            "segments": said, "closing": prefix.closing, "last_position": prefix.last_position,
            "pieces": [piece.nbytes for piece in prefix.pieces],
        }  # fmt: skip
        self._entries.put(
            self._key(prompt), json.dumps(about).encode(), *(memoryview(one) for one in arrays), *prefix.pieces
        )

    def _key(self, prompt: Prompt) -> str:
        end = max(index for index, part in enumerate(prompt.parts) if not isinstance(part, TextPart))
        parts: list[object] = []
        for part in prompt.parts[: end + 1]:
            if isinstance(part, TextPart):
                parts.append([part.text, part.parse_special])
            else:
                picture = prompt.pictures[part.picture]
                parts.append([part.picture, picture.identity, *picture.size])
        return key_of("prefix", self._maker, prompt.add_bos, parts)


def _read(entry: Entry, prompt: Prompt) -> KeptPrefix:
    """What an entry says. Raises ValueError, LookupError or TypeError where that cannot be of the prompt."""
    about, at = json.loads(entry.about), 0
    segments: list[Segment] = []
    for one in about["segments"]:
        if "tokens" in one:
            segments.append(TextSegment(tuple(one["tokens"])))
            continue
        grid: Int32 | None = None
        rows = one["rows"]
        if one["has_grid"]:
            grid = np.frombuffer(entry.content[at : at + 16 * rows], np.int32).reshape(4, rows)
            at += 16 * rows
        moved = None if one["moved"] is None else np.array(one["moved"], np.int32)
        key = picture_key(prompt.pictures[one["picture"]].identity, one["tile"], rows, grid)
        segments.append(
            PictureSegment(one["picture"], one["tile"], key, rows, one["positions"], grid, one["bidirectional"], moved)
        )
    pieces = []
    for size in about["pieces"]:
        pieces.append(entry.content[at : at + size])
        at += size
    found = KeptPrefix(tuple(segments), tuple(about["closing"]), pieces, about["last_position"])
    if at != len(entry.content) or not _is_of(found, prompt):
        raise ValueError("it is of another prompt")
    return found


def _is_of(prefix: KeptPrefix, prompt: Prompt) -> bool:
    """Whether a prefix has the prompt's pictures, in their order, and ends with the last of them."""
    of_pictures = [one for one in prefix.segments if isinstance(one, PictureSegment)]
    wanted = [part.picture for part in prompt.parts if not isinstance(part, TextPart)]
    return (
        list(dict.fromkeys(one.picture for one in of_pictures)) == wanted
        and prefix.segments[-1] is of_pictures[-1]
        and prefix.last_position < Plan(prefix.segments).positions
    )


def closing_of(plan: Plan, prompt: Prompt, vocabulary: Vocabulary) -> tuple[int, ...] | None:
    """The tokens that the projector put behind a plan's last picture, before the prompt's own text.

    None where the text behind the picture is not made of the tokens of its parts: then it cannot be told what the
    same prefix with another question would look like.
    """
    last = plan.segments[-1]
    if not isinstance(last, TextSegment) or not isinstance(plan.segments[-2], PictureSegment):
        return None
    own = tail_of(prompt, vocabulary)
    if not own or last.tokens[-len(own) :] != own:
        return None
    return last.tokens[: -len(own)]


def tail_of(prompt: Prompt, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The tokens of a prompt's text behind its last picture."""
    tail: Sequence[TextPart] = ()
    for index in range(len(prompt.parts) - 1, -1, -1):
        if not isinstance(prompt.parts[index], TextPart):
            tail = [part for part in prompt.parts[index + 1 :] if isinstance(part, TextPart)]
            break
    return tuple(token for part in tail for token in vocabulary.tokenize(part.text, part.parse_special))
