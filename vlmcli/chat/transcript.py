"""A conversation as a file: JSON to go on with, Markdown to read.

Pictures are named by their places and hashes, not kept. Does not read them again: whoever loads a conversation does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmcli import digest, files
from vlmcli.chat.conversation import Attached, Conversation
from vlmcli.errors import UsageError

SUFFIXES = (".md", ".json")
VERSION = 1
LONGEST = 64 << 20  # bytes of a saved conversation
TITLE = "# A conversation with "


@dataclass(frozen=True)
class Saved:
    """A picture of a saved conversation.

    Attributes:
        number: what it is called in it.
        name: of the file.
        place: its absolute path, with "#N" for a page or a frame, or its address; empty for one from the clipboard.
        sha256: of the file's bytes, in hex; empty where that is not known.
    """

    number: int
    name: str
    place: str
    sha256: str


@dataclass(frozen=True)
class SavedTurn:
    """A question, its pictures, its answer."""

    question: str
    pictures: Sequence[Saved]
    answer: str


@dataclass(frozen=True)
class SavedTalk:
    """A conversation as it was saved: what the model is told beforehand, the turns, and pictures without a question."""

    system: str
    turns: Sequence[SavedTurn]
    pending: Sequence[Saved]


def written(conversation: Conversation, model: str, suffix: str) -> str:
    """The text of a file with this suffix."""
    return (_json if suffix == ".json" else _markdown)(conversation, model)


def read(path: Path) -> SavedTalk:
    """What was written as JSON. Raises OSError; UsageError for what is no such file."""
    text = files.read(path, LONGEST)
    try:
        record = json.loads(text)
        if record["v"] != VERSION:
            raise ValueError
        return SavedTalk(
            _text(record["system"]), [_turn(one) for one in record["turns"]], [_saved(one) for one in record["pending"]]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        hint = (
            "Markdown cannot be loaded; save with /save chat.json"
            if path.suffix == ".md"
            else "name a file written by /save"
        )
        raise UsageError(f"{path}: not a conversation saved as JSON", hint) from None


def sha256(path: Path) -> str:
    """Of a regular file's bytes, in hex; empty for one that cannot be read."""
    try:
        return digest.sha256(path) if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def is_one(path: Path) -> bool:
    """Whether a file holds a conversation that was saved, so that it may be written anew."""
    try:
        if path.suffix == ".md":
            with files.opened(path) as file:
                return file.read(len(TITLE)) == TITLE.encode()
        read(path)
        return True
    except (OSError, UsageError):
        return False


def _turn(record: Any) -> SavedTurn:
    return SavedTurn(_text(record["question"]), [_saved(one) for one in record["pictures"]], _text(record["answer"]))


def _saved(record: Any) -> Saved:
    number = record["number"]
    if type(number) is not int:
        raise TypeError
    return Saved(number, _text(record["name"]), _text(record["place"]), _text(record["sha256"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _json(conversation: Conversation, model: str) -> str:
    record = {
        "v": VERSION,
        "model": model,
        "system": conversation.system,
        "turns": [
            {"question": turn.question, "pictures": list(map(_record, turn.pictures)), "answer": turn.answer}
            for turn in conversation.turns
        ],
        "pending": list(map(_record, conversation.pending)),
    }
    return json.dumps(record, indent=2) + "\n"


def _record(one: Attached) -> dict[str, Any]:
    return {
        "number": one.number,
        "name": one.name,
        "place": one.place,
        "sha256": one.sha256,
        "size": list(one.picture.size),
    }


def _markdown(conversation: Conversation, model: str) -> str:
    parts = [f"{TITLE}{model}"]
    if conversation.system:
        parts.append(f"System prompt: {conversation.system}")
    for turn in conversation.turns:
        parts.append("## " + " ".join(turn.question.split()))
        if "\n" in turn.question.strip():
            parts.append("\n".join(f"> {line}" for line in turn.question.strip().splitlines()))
        parts += [_shown(one) for one in turn.pictures]
        parts.append(turn.answer)
    return "\n\n".join(parts) + "\n"


def _shown(one: Attached) -> str:
    """A picture in Markdown, and what tells it from another."""
    width, height = one.picture.size
    facts = f"picture {one.number}: {_printable(one.name)}, {width}×{height}"
    place = f"![picture {one.number}](<{_printable(one.place)}>)\n\n" if one.place else ""
    return f"{place}{facts}" + (f", sha256 {one.sha256}" if one.sha256 else "")


def _printable(text: str) -> str:
    """A name without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
