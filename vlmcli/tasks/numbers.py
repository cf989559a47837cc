"""Numbers that come with a question, checked: how tokens are picked, how many at most, how large pictures are. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from vlmcli.errors import UsageError
from vlmcli.values import Sampling

MAX_TOKENS = 512
"""Of an answer, where nobody says how many."""


def checked(
    values: dict[str, float | int | None], usual: int = 0, written: Mapping[str, str] | None = None
) -> tuple[Sampling, int]:
    """The numbers by their names as one Sampling and a limit. Raises UsageError for one out of range.

    The error names it as it was `written`, or else by its name.
    """
    limit = int(values.pop("max_tokens", usual or MAX_TOKENS) or 0)
    sampling = replace(Sampling(), **values)  # type: ignore[arg-type]  # the names are the fields'
    values |= {"max_tokens": limit}
    bounds = (
        ("temperature", 0 <= sampling.temperature <= 100, "from 0 to 100"),
        ("top_k", 0 <= sampling.top_k < 2**31, "from 0 to 2147483647"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0, up to 1"),
        ("min_p", 0 <= sampling.min_p <= 1, "from 0 to 1"),
        ("repeat_penalty", 0 < sampling.repeat_penalty <= 100, "above 0, up to 100"),
        ("seed", sampling.seed is None or 0 <= sampling.seed < 2**32 - 1, "from 0 to 4294967294"),
        ("max_tokens", 1 <= limit < 2**31, "from 1 to 2147483647"),
    )
    for name, good, what in bounds:
        if not good:
            shown = (written or {}).get(name, f"{name} {values[name]}")
            raise UsageError(f"{shown}: out of range", f"give a number {what}")
    return sampling, limit


SIDES = {"low": 512, "high": 0}
"""Details by name: pixels of a picture's longer side; 0 for as it is."""

LEAST = 16
"""Pixels of a side in which something can be seen."""


def side_of(detail: str, option: str, names: str = "high") -> int:
    """What a detail means in pixels of a picture's longer side; 0 for as it is.

    Raises UsageError, with the option and what it takes beside "low" and a number: those `names`.
    """
    side = SIDES.get(detail, int(detail) if re.fullmatch("[1-9][0-9]{1,4}", detail, re.ASCII) else -1)
    if side != 0 and side < LEAST:
        raise UsageError(
            f"{option} {detail}: not low, {names}, or a number of pixels of at least {LEAST}",
            f"for example {option} low, or {option} 768",
        )
    return side
