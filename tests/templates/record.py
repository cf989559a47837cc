"""What is known of each template: hashes of what was rendered, and why two renderings differ.

The record is a JSON file: of each template its hash and, whether it has a word for a picture, and by conversation
the hash of the rendering; where llama.cpp's is another, a list of both and the key of the reason in `REASONS`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "engine" / "templates.json"
DIGITS = 16
"""Hexadecimal digits of a hash that are kept."""

REASONS = {
    "date": (
        "llama.cpp gives the template today's date as date_string; transformers does not, and the template writes "
        "a date of its own"
    ),
    "trim parts": (
        "the template trims each text of a turn with pictures; vlm gives them one by one, as transformers does, "
        "and llama.cpp one text with the pictures' places in it"
    ),
    "picture": "the template writes other things around a picture than around words; llama.cpp gives it only words",
    "line": "the template puts a line's end behind a picture, where llama.cpp gives it none",
    "system": (
        "the template has no place for a system prompt: vlm puts it and an empty line before the question, as Gemma "
        "3's template does; llama.cpp puts it and a newline there"
    ),
    "thoughts": (
        "llama.cpp's server asks for earlier turns' thoughts to be kept, and the template writes empty ones; "
        "transformers does not, and vlm has no thoughts of earlier turns"
    ),
    "list": "llama.cpp gives the template a list, which it writes out as Python would",
    "trim": "llama.cpp trims what it gives to this template; the template itself does not",
    "variables": (
        "the template needs variables (functions, datetime) that only a caller with tools has, with transformers too; "
        "vlm refuses it, llama.cpp takes the one for empty and gives the other"
    ),
    "joined": (
        "without Jinja, llama.cpp writes a newline between a picture and the words, and libmtmd puts in another; "
        "the model was trained with one"
    ),
    "named": "held to what the models were trained with; docs/models.md says in what it differs",
}
"""By key."""

TOLD: dict[str, dict[str, object]] = {
    "date": {"date_string": "26 Jul 2024"},
    "thoughts": {"preserve_reasoning": False},
}
"""What llama.cpp must be told, so that its rendering is vlm's: where a reason has this, it is tried."""

WHY: tuple[tuple[str, str, str], ...] = (
    ("meta-llama-Llama-3.[13]*", "*", "date"),
    ("fireworks-ai-llama-3-firefunction-v2.jinja", "*", "variables"),
    ("google-gemma-2-2b-it.jinja", "*system", "system"),
    ("google-gemma-2-2b-it.jinja", "*, parts", "system"),
    ("google-gemma-4-31B-it*", "*, parts", "list"),
    ("pair: pixtral-mistral3", "*, parts", "list"),
    ("google-gemma-4-31B-it*", "text first", "trim parts"),
    ("google-gemma-4-31B-it*", "spaces", "trim parts"),
    ("pair: gemma4v*", "text first", "trim parts"),
    ("pair: gemma4v*", "spaces", "trim parts"),
    ("StepFun3.5-Flash.jinja", "text first", "trim"),
    ("StepFun3.5-Flash.jinja", "spaces", "trim"),
    ("deepseek-ai-DeepSeek-V4*", "follow-up, think", "thoughts"),
    ("poolside-Laguna-S-2.1.jinja", "follow-up*", "thoughts"),
    ("poolside-Laguna-S-2.1.jinja", "spaces", "thoughts"),
    ("Kimi-K2-*", "*", "line"),
    ("moonshotai-Kimi-K2.jinja", "*", "line"),
    ("Reka-Edge.jinja", "*", "picture"),
    ("Cohere2MoE.jinja", "*", "picture"),
    ("named: deepseek-ocr", "*", "joined"),
    ("named: *", "*", "named"),
)
"""(pattern of templates, pattern of conversations, key): the first that fits says why a rendering differs."""


def digest(text: str) -> str:
    """The hash of a text; refusals are all alike."""
    text = "error" if text.startswith("error: ") else text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def whole(source: str) -> str:
    """A template's whole hash."""
    return hashlib.sha256(source.encode()).hexdigest()


def why(template: str, conversation: str) -> str:
    """The key of the reason for which two renderings differ; empty where none is known."""
    fits = fnmatch.fnmatchcase
    return next((key for one, two, key in WHY if fits(template, one) and fits(conversation, two)), "")


def rendering(ours: str, theirs: str, reason: str) -> object:
    """What the record says of a rendering."""
    one, two = digest(ours), digest(theirs)
    return one if one == two else [one, two, reason]


def entry(source: str, pictures: bool, renderings: dict[str, object]) -> dict[str, Any]:
    """What the record says of a template; `pictures`: whether it has a word for one."""
    return {"sha256": whole(source), "pictures": pictures, "renderings": renderings}


def read() -> dict[str, dict[str, Any]]:
    """The record, by template; empty where there is none."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


def write(found: dict[str, dict[str, Any]]) -> None:
    """Write the record: a line for each template."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")


def ours(recorded: object) -> str:
    """The hash of vlm's rendering."""
    return str(recorded[0] if isinstance(recorded, list) else recorded)
