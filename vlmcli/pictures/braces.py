"""Names with braces, as a shell or webdataset writes them: `shard-{000..127}.tar`, `{train,test}.parquet`.

Pure: looks at no file.
"""

from __future__ import annotations

import re

from vlmcli.errors import UsageError

MOST = 100_000
"""Names that one word may stand for."""
_BRACES = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}|\{([^{}]*,[^{}]*)\}")


def expand(word: str) -> list[str]:
    """The names that a word stands for, in order; none where it has no braces that stand for several.

    Numbers count up or down; if one begins with a zero, all have as many digits. Raises UsageError for too many.
    """
    if not _BRACES.search(word):
        return []
    names = [""]
    at = 0
    for found in _BRACES.finditer(word):
        before, at = word[at : found.start()], found.end()
        first, last, several = found.groups()
        count = abs(int(last[:20]) - int(first[:20])) + 1 if several is None else several.count(",") + 1
        if count * len(names) > MOST:
            raise UsageError(f"{word}: stands for more than {MOST:,} names", "check the numbers in braces")
        parts = several.split(",") if several is not None else _numbers(first, last)
        names = [f"{name}{before}{part}" for name in names for part in parts]
    return [name + word[at:] for name in names]


def _numbers(first: str, last: str) -> list[str]:
    """The numbers from one to another, written as these are."""
    padded = any(len(one) > 1 and one.startswith("0") for one in (first, last))
    digits = max(len(first), len(last)) if padded else 0
    begin, end = int(first), int(last)
    step = 1 if end >= begin else -1
    return [f"{number:0{digits}d}" for number in range(begin, end + step, step)]
