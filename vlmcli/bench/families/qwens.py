"""Pairs of families that see as Qwen-VL does, in any size, and of GLM and Kimi."""

from __future__ import annotations

from collections.abc import Callable

from vlmcli.bench.families.maker import Pair

PAIRS: dict[str, Callable[[], Pair]] = {}
