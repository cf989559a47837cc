"""How a question is put: the choice of a wording, and what people do to it.

Half of the wordings of each kind of question are kept for measuring (`held_out`); nothing here ever makes one of those
for training. What is asked about, and what the answer is, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from random import Random

from vlmcli.demo.training import first_kept, patterns, wordings
from vlmcli.demo.training.english import plural, with_article
from vlmcli.demo.world import COLORS, SHAPES

LISTS: dict[str, Sequence[str]] = {
    "what": wordings.WHAT, "describe": wordings.DESCRIBE, "detail": wordings.DETAIL, "count": wordings.COUNT,
    "count of": wordings.COUNT_OF, "color": wordings.COLOR, "shape": wordings.SHAPE, "exist": wordings.EXIST,
    "left": wordings.LEFT, "right": [w.replace("left", "right") for w in wordings.LEFT],
    "top": wordings.TOP, "bottom": wordings.BOTTOM, "middle": wordings.MIDDLE, "where": wordings.WHERE,
    "biggest": wordings.BIGGEST,
    "smallest": [
        w.replace("biggest", "smallest").replace("largest", "tiniest").replace("bigger", "smaller")
        for w in wordings.BIGGEST
    ],
    "background": wordings.BACKGROUND, "read": wordings.READ, "says": wordings.SAYS, "has text": wordings.HAS_TEXT,
    "text color": wordings.TEXT_COLOR, "json": wordings.JSON, "box": wordings.BOX, "which": wordings.WHICH,
    "nth": wordings.NTH, "differ": wordings.DIFFER, "it color": wordings.IT_COLOR, "it where": wordings.IT_WHERE,
    "it box": wordings.IT_BOX, **{f"is {side}": words for side, words in wordings.RELATION.items()},
}  # fmt: skip
"""All wordings of each kind of question, those that are kept for measuring among them: see `wordings_of`."""

IMAGE_NOUNS = ("image", "picture", "photo")
"""What a question may call the picture."""


def wordings_of(kind: str, held_out: bool) -> Sequence[str]:
    """The wordings of a kind of question that are trained on, or those that are kept for measuring."""
    return LISTS[kind][1 if held_out else 0 :: 2]


def worded(rng: Random, kind: str, held_out: bool, **slots: str) -> str:
    """A question of this kind in any of its wordings.

    Args:
        rng: decides the wording and how it is varied.
        kind: a key of `LISTS`.
        held_out: take a wording that is kept for measuring.
        slots: what its words in braces stand for, as `wordings` says, but for {i} and {g}.
    """
    while True:
        question = filled(rng, choose_wording(rng, kind, held_out), held_out, **slots)
        if held_out or not is_kept_first(question):
            return question


def choose_wording(rng: Random, kind: str, held_out: bool) -> str:
    """A wording from the list; or, for training, one that a pattern gives and that is not kept for measuring."""
    if held_out or rng.random() < 0.3:
        return rng.choice(wordings_of(kind, held_out))
    while True:
        wording = expand(rng, rng.choice(patterns.BY_KIND[kind]))
        if not _kept().search(plain(wording)):
            return wording


def expand(rng: Random, pattern: str) -> str:
    """A pattern with one alternative chosen for each pair of brackets."""
    while "[" in pattern:
        pattern = re.sub(r"\[([^\[\]]*)\]", lambda found: rng.choice(found.group(1).split("|")), pattern)
    pattern = re.sub(r" +", " ", pattern)
    return re.sub(r" ([.?!,:])", r"\1", pattern).strip()


def plain(wording: str) -> str:
    """The wording's words alone, to compare it with others: small letters and braces, single spaces."""
    return re.sub(r"[^a-z{}]+", " ", wording.lower()).strip()


@lru_cache(maxsize=1)
def _kept() -> re.Pattern[str]:
    """Matches a wording that is kept for measuring: alone, or, if it has at least three words, inside a longer one."""
    kept = {plain(wording) for kind in LISTS for wording in wordings_of(kind, True)}
    inside = "|".join(re.escape(w) for w in sorted(kept) if w.count(" ") >= 2)
    alone = "|".join(re.escape(w) for w in sorted(kept) if w.count(" ") < 2)
    return re.compile(rf"(?<![a-z{{}}])(?:{inside})(?![a-z{{}}])|^(?:{alone})$")


def filled(rng: Random, question: str, held_out: bool, **slots: str) -> str:
    """The question with its slots filled; for training also varied as people do: no capital, no full stop, a typo."""
    noun = "image" if rng.random() < 0.4 else rng.choice(IMAGE_NOUNS)
    generic = rng.choice(("shape", "object", "one", "thing"))
    if rng.random() < 0.35:
        question = question.replace("color", "colour")
        question = question.replace("center", "centre") if rng.random() < 0.5 else question
    question = question.format(i=noun, g=generic, **slots)
    if held_out:
        return question
    if rng.random() < 0.2 and not question.startswith(("OCR", "JSON")):
        question = question[0].lower() + question[1:]
    if rng.random() < 0.15:
        question = question.rstrip("?.")
    chance = rng.random()
    if chance < 0.12:
        question = rng.choice(patterns.OPENINGS) + question
    elif chance < 0.18:
        question += rng.choice(patterns.CLOSINGS)
    elif chance < 0.21:  # a slip of the finger
        place = rng.randrange(len(question))
        question = question[:place] + question[place + 1 :]
    return question


# --- First wordings that are kept for measuring ---


def folded(question: str) -> str:
    """The question in small letters without punctuation, "color" and "image" for what else they are called."""
    told = re.sub(r"['’]", "", question.lower().replace("colour", "color").replace("centre", "center"))
    told = re.sub(r"\b(?:picture|photo|pic|image)(s?)\b", r"image\1", told)
    return " ".join(re.findall(r"[a-z0-9{}]+", told))


def is_kept_first(question: str) -> bool:
    """Whether this is a wording of `first_kept`, alone or between what may come before and after a question."""
    told = folded(question)
    opened = (told, _OPENING.sub("", told))
    return any(asked in _kept_first() for one in opened for asked in (one, _CLOSING.sub("", one)))


def is_kept_before(question: str) -> bool:
    """Whether this has in it a wording that measured before there were first wordings: of any kind, of another world.

    Only first wordings need it. The others are made from slots, and are compared before those are filled.
    """
    return bool(_kept_before().search(plain(question.lower().replace("colour", "color"))))


@lru_cache(maxsize=1)
def _kept_before() -> re.Pattern[str]:
    """Matches them with their slots filled: those of three words and more also inside a longer question."""
    color, name = f"(?:{'|'.join(COLORS)})", f"(?:{'|'.join(SHAPES)}|shape)"
    thing = f"(?:(?:{color} )?{name})"
    noun = "(?:image|picture|photo|pic|drawing)"
    slots = {"i": noun, "a": f"an? {thing}", "o": thing, "u": thing, "p": f"{thing}e?s",
             "c": color, "s": name, "n": "(?:first|second)", "g": "(?:shape|object|one|thing)"}  # fmt: skip
    strange = slots | dict.fromkeys("aoup", "[a-z]+(?: [a-z]+)?")
    told = [(wording, slots) for kind in LISTS for wording in wordings_of(kind, True)]
    told += [(wording, strange) for wording in (*wordings.UNSEEN_OUTSIDE, *wordings.ABOUT_NOUN[1::2])]
    inside: list[str] = []
    alone: list[str] = []
    for wording, meant in told:
        words = plain(wording)
        form = re.sub(r"\{(.)\}", lambda slot, meant=meant: meant[slot[1]], words)  # type: ignore[misc]
        (inside if words.count(" ") >= 2 else alone).append(form)
    return re.compile(rf"(?<![a-z])(?:{'|'.join(inside)})(?![a-z])|^(?:{'|'.join(alone)})$")


_OPENING, _CLOSING = (
    re.compile(form.format("|".join(sorted(filter(None, map(folded, some)), key=len, reverse=True))))
    for form, some in (("^(?:{}) ", patterns.OPENINGS), (" (?:{})$", patterns.CLOSINGS))
)


@lru_cache(maxsize=1)
def _kept_first() -> frozenset[str]:
    """All wordings of `first_kept` with their slots filled in every way, folded."""
    kept = [wording for wordings_ in first_kept.KEPT.values() for wording in wordings_]
    return frozenset(
        folded(wording.format(c=color, s=name, a=with_article(f"{color} {name}"), p=plural(name), n=nth, d=number))
        for wording in (*kept, *first_kept.KEPT_OUTSIDE)
        for color, name, (nth, number) in product(COLORS, SHAPES, (("first", "1"), ("second", "2")))
    )
