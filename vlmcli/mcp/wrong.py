"""Errors in words that an agent can act on: what is wrong, and what it can do with these tools, or tell its user."""

from __future__ import annotations

from vlmcli.errors import VlmError

_ADVICE = (
    ("--max-tokens", "call the tool again with a larger max_tokens"),
    ("--timeout", "ask for a shorter answer (max_tokens)"),
    ("--detail", "give a region of the picture, or a smaller picture"),
    ("--ctx", "give a region of the picture, or a smaller picture; or start vlm mcp with a larger --ctx"),
    ("--allow-local-urls", "download the picture into an allowed folder, or start vlm mcp with --allow-local-urls"),
    ("--think", "ask in other words"),
    ("--boxes", "start vlm mcp with a model that can: vlm models --json lists which have boxes"),
    ("vlm point", "ask for boxes in other words"),
    ("ulimit", "try again later, or with smaller pictures"),
)
"""What to do instead where a hint names an option of other commands; the first that fits."""
LONGEST = 1000
"""Characters of a message."""


def in_words(error: VlmError) -> str:
    """What is wrong, and what to do, as sentences."""
    hint = error.hint
    if "vlm mcp" not in hint:
        hint = next((advice for option, advice in _ADVICE if option in hint), hint)
    message, hint = error.message[:LONGEST], hint[:LONGEST]
    if hint.startswith("vlm "):
        hint = f"run {hint}"
    return f"{message}. {hint[:1].upper()}{hint[1:]}." if hint else f"{message}."
