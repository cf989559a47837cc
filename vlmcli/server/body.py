"""The fields of a request's body, each checked as it is taken. Whoever reads one names what is wrong by its path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlmcli.server.wrong import Wrong


class Body:
    """An object of JSON, and where it is in the whole body. Fields that nobody takes are ignored."""

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self.values = values
        self._path = path

    @classmethod
    def read(cls, data: bytes) -> Body:
        """The object that a body is. Raises Wrong."""
        try:
            values = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            line = " ".join(str(error).split())[:200]
            raise Wrong(f"the body is not JSON: {line}", "send a JSON object", code="invalid_json") from None
        if not isinstance(values, dict):
            raise Wrong("the body is not a JSON object", "send an object with the request's fields")
        _check_letters(data, values)
        return cls(values)

    def path(self, name: str) -> str:
        """Where a field is."""
        return f"{self._path}.{name}" if self._path else name

    def wrong(self, name: str, says: str, hint: str = "") -> Wrong:
        """The error of a field."""
        return Wrong(f"{self.path(name)} {says}", hint, param=self.path(name))

    def has(self, name: str) -> bool:
        """Whether a field is there, and not null."""
        return self.values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A text. Raises Wrong."""
        found: str = self._of(name, str, "text", default)
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false. Raises Wrong."""
        found: bool = self._of(name, bool, "true or false", default)
        return found

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number in a range. Raises Wrong."""
        number = self.number(name, default, low, high)
        if number != int(number):
            raise self.wrong(name, f"is {number}, not a whole number")
        return int(number)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number in a range. Raises Wrong."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "is not a number")
        if not low <= value <= high:
            raise self.wrong(name, f"must be from {low:g} to {high:g}")  # a number may have thousands of digits
        return value

    def object(self, name: str) -> Body | None:
        """An object; None where there is none. Raises Wrong."""
        value = self._of(name, dict, "an object", None)
        return None if value is None else Body(value, self.path(name))

    def list(self, name: str) -> list[Any]:
        """A list; empty where there is none. Raises Wrong."""
        return list(self._of(name, list, "a list", ()))

    def objects(self, name: str) -> Iterator[Body]:
        """The objects of a list. Raises Wrong for what is none."""
        for number, value in enumerate(self.list(name)):
            if not isinstance(value, dict):
                raise Wrong(f"{self.path(name)}[{number}] is not an object", param=f"{self.path(name)}[{number}]")
            yield Body(value, f"{self.path(name)}[{number}]")

    def texts(self, name: str, most: int, longest: int = 1000) -> tuple[str, ...]:
        """A text or a list of texts, of so many characters at most. Raises Wrong."""
        value = self.values.get(name)
        if value is None:
            return ()
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self.wrong(name, "is neither a text nor a list of texts")
        if len(found) > most:
            raise self.wrong(name, f"has {len(found)} texts, but {most} are allowed")
        if any(len(one) > longest for one in found):
            raise self.wrong(name, f"has a text of more than {longest} characters")
        return tuple(one for one in found if one)

    def refuse(self, harmless: Mapping[str, Sequence[Any]]) -> None:
        """Raise Wrong for a field that this server cannot do, unless it has one of the values that ask for nothing."""
        for name, values in harmless.items():
            value = self.values.get(name)
            if value is not None and not any(value == one and type(value) is type(one) for one in values):
                raise Wrong(
                    f"{self.path(name)} is not supported", f"leave {name} out",
                    param=self.path(name), code="unsupported_parameter",
                )  # fmt: skip

    def _of(self, name: str, kind: type, called: str, default: Any) -> Any:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self.wrong(name, f"is not {called}")
        return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _check_letters(data: bytes, values: object) -> None:
    """Raise Wrong for half a letter (a lone surrogate), which JSON can write, and no model or file can read."""
    if b"\\ud" in data or b"\\uD" in data or b"\xed" in data:
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Wrong(
                "the body has half a letter (a lone surrogate)", "send valid Unicode", code="invalid_json"
            ) from None
