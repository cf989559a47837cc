"""How likely choices are, by the likeliest first tokens that a server tells of. Pure.

A server of OpenAI's API does not compare choices as the engine does (engine/choices.py). But it tells which tokens it
would begin its answer with, and how likely each is. So choices can be compared that begin with different tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vlmcli.errors import RequestError
from vlmcli.values import Request, Score, Token

UNCLEAR = 0.01
"""A share of the likelihood that may be of tokens with which several choices begin; it is counted for none of them."""


def scores(request: Request, first: Token, url: str) -> tuple[Score, ...]:
    """The likelihood of each choice of a request, by the first token of an answer and those in its place.

    What is not among them is less likely than the last of them, and gets its likelihood; where none of the choices is,
    all are impossible. Raises RequestError where too much of it is of a token that several choices begin with.
    """
    found = [0.0] * len(request.choices)
    unclear = 0.0
    for piece, logprob in first.others:
        text = piece.decode("utf-8", "replace").strip()
        begun = [number for number, ways in enumerate(request.choices) if _begins(text, ways, whole=request.whole)]
        if len(begun) == 1:
            found[begun[0]] += math.exp(logprob)
        elif begun:
            unclear += math.exp(logprob)
    known = math.fsum(found)
    if unclear > UNCLEAR * (known + unclear):
        raise RequestError(
            f"several of the options begin alike, and {url} only compares their first tokens",
            "use vlm serve there, or options that begin differently",
        )
    if not known:
        return tuple(Score(-math.inf, 1) for _ in found)
    least = min(logprob for _, logprob in first.others)
    return tuple(Score(math.log(one) if one else least, 1) for one in found)


def _begins(text: str, ways: Sequence[str], *, whole: bool) -> bool:
    """Whether an answer that begins with this text may be one of these; a whole choice may go on behind it."""
    if not text:
        return False
    return any(way.startswith(text) for way in ways) if whole else text in ways
