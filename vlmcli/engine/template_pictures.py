"""What a chat template writes for a picture that is given to it as a part of its own.

transformers gives a processor's template the parts of a turn by type, and the processor replaces the word that the
template writes for a picture ("<image>", "<|vision_start|><|image_pad|><|vision_end|>") by the picture's tokens. Pure.
"""

from __future__ import annotations

import re

_TEXT = "482915607348291560"
"""Digits survive upper-casing, escaping and trimming; and no template has these."""
PROBES: tuple[tuple[dict[str, str], ...], ...] = tuple(
    (*({"type": "image"} for _ in range(count)), {"type": "text", "text": _TEXT}) for count in (1, 2)
)
"""The parts of a turn with one picture, and of one with two."""
MAX_WORD = 10_000  # characters; Reka Edge's, the longest of the published ones, has 1,039
MAX_CUTS = 100  # places at which it could be cut out: as many as characters that it shares with what is around it


def word_for_a_picture(one: str, two: str) -> str:
    """The word for a picture, without white space around it; empty where there is none that could be found again.

    It is what a second picture adds, and it has neither white space nor quotation marks: a template that writes out
    the parts as Python or JSON would has no word for pictures, and words between pictures ("Picture 2:") are not one.

    Args:
        one: what the template wrote for the first of `PROBES`.
        two: for the second.
    """
    size = len(two) - len(one)
    if not 0 < size <= MAX_WORD or one.count(_TEXT) != 1 or two.count(_TEXT) != 1:
        return ""
    last = _alike(one, two)
    first = len(one) - _alike(one[::-1], two[::-1])
    if first > last or last - size - first > MAX_CUTS:  # more than one thing is added, or nothing but repetitions
        return ""
    # What is around the word may begin or end as it does, so that it could be cut out at several places.
    cuts = {two[start : start + size].strip() for start in range(max(first, 0), last - size + 1)}
    cuts = cuts or {two[last : last + size].strip()}
    words = {word for word in cuts if word and not re.search(r"[\s'\"]", word)}
    words = {word for word in words if one.count(word) == 1 and two.count(word) == 2}
    bracketed = {word for word in words if re.fullmatch(r"<.*>|\[.*\]|\(.*\)|\{.*\}", word)}
    words = bracketed if len(words) > 1 else words
    return words.pop() if len(words) == 1 else ""


def _alike(one: str, two: str) -> int:
    """How many characters two texts have in common at their beginning; the first is the shorter."""
    return next((at for at, character in enumerate(one) if character != two[at]), len(one))
