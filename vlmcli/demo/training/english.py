"""The little English that questions and answers need: articles, plurals, lists. Knows nothing of scenes."""

from __future__ import annotations

from collections.abc import Sequence


def with_article(thing: object) -> str:
    """The thing after "a" or "an": "an orange star"."""
    text = str(thing)
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def joined(things: Sequence[str]) -> str:
    """One or more things as a list in a sentence: "a, b and c"."""
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def capitalized(text: str) -> str:
    """The text with its first letter as a capital, and the rest as it is."""
    return text[0].upper() + text[1:]


def plural(word: str) -> str:
    """The plural of a shape's name, or of another regular noun."""
    return word + ("es" if word.endswith(("s", "sh", "ch", "x")) else "s")


def in_place(place: str) -> str:
    """A region of the picture with its preposition: "in the top left", "at the top", "on the left"."""
    word = "in" if place == "center" or " " in place else "at" if place in ("top", "bottom") else "on"
    return f"{word} the {place}"
