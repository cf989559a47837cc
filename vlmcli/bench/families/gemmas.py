"""Pairs of the later Gemmas, Granite, Nemotron and MiniMax."""

from __future__ import annotations

from collections.abc import Callable

from vlmcli.bench.families.maker import Pair

PAIRS: dict[str, Callable[[], Pair]] = {}
