"""Questions that have no answer in the model's world: right is `DONT_KNOW`.

They are about other things than drawn shapes, or are no questions about a picture at all. And any question, to be
asked about a picture that is not of the world.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

from vlmcli.demo.training import other_worlds, patterns, wordings
from vlmcli.demo.training.english import plural, with_article
from vlmcli.demo.training.phrasing import LISTS, expand, filled, is_kept_first, plain, worded
from vlmcli.demo.training.questions import DONT_KNOW, Item
from vlmcli.demo.world import COLORS, SHAPES

THINGS = (*wordings.NOUNS, *other_worlds.NOUNS)
"""What is no drawn shape, for training."""


def about_noun(rng: Random, held_out: bool = False) -> str:
    """A question about a thing that is no drawn shape: "Is there a dog?"."""
    nouns = wordings.UNSEEN_NOUNS if held_out else THINGS
    thing, other = rng.choice(nouns), rng.choice(nouns)
    if not held_out and rng.random() < 0.6:  # worded like questions that have an answer: only the noun is strange
        if rng.random() < 0.3:
            thing = _made_up(rng)
        kind = rng.choice(("exist", "count of", "color", "where", "box", "is left", "is right", "is above", "is below"))
        return worded(rng, kind, False, a=with_article(thing), o=thing, u=other, p=plural(thing), s=thing)
    if not held_out and rng.random() < 0.25:  # a made-up word: what it cannot know is not a list
        thing = _made_up(rng)
    question = rng.choice(wordings.ABOUT_NOUN[1 if held_out else 0 :: 2])
    return filled(rng, question, held_out, a=with_article(thing), o=thing, u=other, p=plural(thing))


def _made_up(rng: Random) -> str:
    """A word of two to four syllables that means nothing."""
    return "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))


def ask(rng: Random, held_out: bool = False) -> Item:
    """A question with no answer in the model's world; the right one is `DONT_KNOW`."""
    while True:
        if rng.random() < (0.45 if held_out else 0.55):
            question = about_noun(rng, held_out)
        elif held_out or rng.random() < 0.25:
            question = filled(rng, rng.choice(wordings.UNSEEN_OUTSIDE if held_out else wordings.OUTSIDE), held_out)
        else:
            question = _from_pattern(rng)
        if held_out or not is_kept_first(question):
            return Item("outside", question, DONT_KNOW)


def strange_things(rng: Random) -> dict[str, str]:
    """Words for the slots of a pattern that is about another world."""
    thing, other = (_made_up(rng) if rng.random() < 0.25 else rng.choice(THINGS) for _ in range(2))
    verb = _made_up(rng) if rng.random() < 0.5 else rng.choice(other_worlds.VERBS)
    return {"a": with_article(thing), "o": thing, "u": other, "p": plural(thing), "v": verb}


def _from_pattern(rng: Random) -> str:
    """A question of `patterns.OUTSIDE` that contains none that is kept for measuring."""
    while True:
        pattern = expand(rng, rng.choice(patterns.OUTSIDE))
        told = pattern.format(i="{i}", **strange_things(rng))
        if not any(kept in plain(asked) for kept in _kept() for asked in (pattern, told)):
            return filled(rng, told, False)


@lru_cache(maxsize=1)
def _kept() -> frozenset[str]:
    """The questions of this kind that are kept for measuring, as `plain` has them."""
    return frozenset(plain(wording) for wording in (*wordings.UNSEEN_OUTSIDE, *wordings.ABOUT_NOUN[1::2]))


def any_question(rng: Random, held_out: bool = False) -> str:
    """Any question, as somebody might ask it about a picture that is not of the world."""
    kind = rng.choice([k for k in LISTS if k not in ("which", "nth", "differ")])
    color, name, other = rng.choice(tuple(COLORS)), rng.choice(SHAPES), rng.choice(SHAPES)
    thing = f"{color} {name}"
    return worded(
        rng, kind, held_out, a=with_article(thing), o=thing, u=other, p=plural(thing), c=color, s=name
    )  # fmt: skip
