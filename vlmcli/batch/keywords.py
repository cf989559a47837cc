"""The keywords in an answer, however the model has written them down.

Asked for keywords, models answer with commas, lists in Markdown, JSON, code fences, a heading before them, the commas
of other scripts. Each becomes the same list. A sentence is no list of keywords, and is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from vlmcli.errors import VlmError

MOST_WORDS = 6
"""Of a keyword; a longer one is a sentence, or part of one."""
LONGEST = 64
"""Letters of a keyword, in scripts without spaces, too."""

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_SEPARATORS = re.compile(r"[,;|\n\t\u3001\uff0c\uff1b\u00b7\u2022\u060c\u061b]+")  # 、 ， ； · • and those of Arabic
_BULLET = re.compile(r"^(?:[-*+\u2022\u2013\u2014\u25aa>]\s+|\[[ x]?\]\s*|\(?\d{1,3}[.):]\s*|#{1,6}\s+|#(?=\w))+")
_ABOUT = re.compile(
    r"keyword|\btags?\b|hashtag|labels?\b|subjects?\b|stichw|schlagw|mots[- ]cl|palabras|parole chiave"
    r"|关键|關鍵|标签|キーワード|タグ",
    re.I,
)
"""In what stands before a colon, and announces keywords."""
_MARKS = "*_`~\"'\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u300c\u300d"
_END = ".\u3002\uff0e!\uff01:\uff1a"
_VERB = re.compile(
    r"\b(?:is|are|was|were|shows?|showing|depicts?|depicting|features?|contains?|appears?|seems?|there|i'm|cannot|can't)\b",
    re.I,
)
"""In what is a sentence, if it has some words more."""


def keywords(text: str, name: str = "the answer") -> list[str]:
    """The keywords of an answer, in its order, each once, whatever its case; an empty answer has none.

    Args:
        text: the answer.
        name: of what was asked about, for errors.

    Raises:
        VlmError: for an answer that is a sentence and not a list of keywords.
    """
    body = text.strip()
    fence = _FENCE.search(body)
    if fence and fence[1].strip():
        body = fence[1].strip()
    listed = _of_json(body)
    found = [_clean(word) for word in (listed if listed is not None else _of_lines(body))]
    if listed is None and len(found) > 1:
        found[-1] = re.sub(r"^(?:and|und|et|y|e)\s+", "", found[-1], flags=re.I)
    words: dict[str, str] = {}
    for word in found:
        if word:
            words.setdefault(word.casefold(), word)
    if any(map(_is_sentence, words.values())) or (len(words) == 1 and _ends_a_sentence(body, next(iter(words)))):
        raise VlmError(
            f"{name}: the answer is a sentence, not keywords", "ask for keywords separated by commas, as -t tags does"
        )
    return list(words.values())


def _of_json(body: str) -> list[str] | None:
    """The texts in an answer that is JSON, perhaps after a heading; None where it is not."""
    start = re.match(r"[^\[{\n]{0,80}\n?\s*(?=[\[{])", body)
    try:
        value, end = json.JSONDecoder().raw_decode(body, start.end() if start else 0)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list | dict) or re.search(r"\w", body[end:].partition("\n\n")[0]):
        return None
    return list(_texts(value))


def _texts(value: Any) -> Iterator[str]:
    """The texts of a value of JSON: of what is called keywords or tags, if something is; else all there are."""
    if isinstance(value, str):
        yield from _SEPARATORS.split(value)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        named = [held for key, held in value.items() if _ABOUT.search(key) or key.lower() in ("name", "word")]
        for held in named or value.values():
            yield from _texts(held)


def _of_lines(body: str) -> Iterator[str]:
    """What is between commas and on lines of their own, without headings."""
    for line in body.splitlines():
        head, colon, rest = re.sub(r"[*_`]", "", line).partition(":")
        if not colon:
            head, colon, rest = line.partition("\uff1a")
        if colon and _ABOUT.search(head) and len(head) <= 80:
            line = rest
        elif colon and not rest.strip():  # "Objects:", or what announces a list
            continue
        elif colon and len(head.split()) <= 2 and _SEPARATORS.search(rest):  # "Colours: red, blue"
            line = rest
        yield from _SEPARATORS.split(line)


def _clean(word: str) -> str:
    """A keyword without what marks it as one of a list, and without emphasis and quotation marks."""
    word = _BULLET.sub("", word.strip())
    before = ""
    while before != word:
        before = word
        word = word.strip().strip(_MARKS).strip("[]()<> ").rstrip(_END).strip()
    return " ".join(word.split())


def _is_sentence(word: str) -> bool:
    words = word.split()
    return len(words) > MOST_WORDS or len(word) > LONGEST or (len(words) >= 4 and bool(_VERB.search(word)))


def _ends_a_sentence(body: str, word: str) -> bool:
    """Whether an answer of one keyword is a short sentence: it begins with a capital, and ends with a full stop."""
    return (len(word.split()) >= 4 and body[:1].isupper() and body[-1:] in ".!?") or (
        body[-1:] == "\u3002" and len(word) > 12
    )
