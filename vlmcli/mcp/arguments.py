"""What a client has sent to a tool, checked as it is read. Each error names the argument, and says what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlmcli.errors import UsageError
from vlmcli.pictures import regions

LONGEST = 20_000
"""Characters of a question."""
MOST_TOKENS = 4096
"""Of an answer."""


class Arguments:
    """The arguments of one call. All methods raise UsageError."""

    def __init__(self, tool: str, values: Mapping[str, Any], names: Sequence[str]) -> None:
        """Those of a tool that takes these names; `null` is the same as no value."""
        self._tool = tool
        self._values = {name: value for name, value in values.items() if value is not None}
        for name in self._values:
            if name not in names:
                raise UsageError(f"{tool} has no argument {name[:80]!r}", f"it takes {', '.join(names)}")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, usual: str | None = None, example: str = "") -> str:
        """A text that is not empty; without it, the usual one, if there is one."""
        value = self._values.get(name, usual)
        if not isinstance(value, str) or (not value.strip() and value != usual):
            raise self._wrong(name, "needs a text", f"for example {name}: {example!r}" if example else "give one")
        if len(value) > LONGEST:
            raise self._wrong(name, f"has more than {LONGEST:,} characters", "ask a shorter question")
        return value.strip()

    def picture(self, name: str = "image") -> str:
        """A path, a data URL or an address, of any length."""
        return self._picture(self._values.get(name), name)

    def pictures(self, name: str, least: int, most: int) -> list[str]:
        """Several of them."""
        given = self._values.get(name)
        if not isinstance(given, list) or not least <= len(given) <= most:
            raise self._wrong(name, f"needs a list of {least} to {most} pictures", "give their paths")
        return [self._picture(one, name) for one in given]

    def _picture(self, given: Any, name: str) -> str:
        if not isinstance(given, str) or not given.strip():
            raise self._wrong(name, "needs a picture", "give its path, as in 'screenshot.png', or a data: URL")
        return given

    def region(self) -> regions.Region | None:
        """The part of the picture; None for all of it."""
        return regions.read(self._values["region"]) if "region" in self._values else None

    def tokens(self, usual: int) -> int:
        """How long the answer may be."""
        value = self._values.get("max_tokens", usual)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TOKENS:
            raise self._wrong("max_tokens", f"needs a whole number from 1 to {MOST_TOKENS}", f"the default is {usual}")
        return value

    def choice(self, name: str, among: Sequence[str]) -> str:
        """One of several values, the first without it."""
        value = self._values.get(name, among[0])
        if value not in among:
            raise self._wrong(name, f"is {str(value)[:80]!r}", f"choose {', '.join(among)}")
        return str(value)

    def flag(self, name: str) -> bool:
        """True or false; false without it."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "needs true or false", f"leave {name} out for false")
        return value

    def value(self, name: str) -> Any:
        """Whatever it is; None without it."""
        return self._values.get(name)

    def _wrong(self, name: str, what: str, hint: str) -> UsageError:
        return UsageError(f"{self._tool}: {name} {what}", hint)
