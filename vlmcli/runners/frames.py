"""Messages as bytes, and back. What is no message is refused, and nothing in it runs.

A frame is a header (the payload's length, the payload's checksum, and the checksum of these two) and a pickled message.
A library that has overwritten memory may have written anything into the pipe, so the payload is read by an unpickler
that knows, by their exact names, only the classes a message is made of, and what comes out is held to the types that
those classes declare. What a message means is not known here.
"""

from __future__ import annotations

import io
import pickle
import struct
import threading
import types
import zlib
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from vlmcli import errors, figures, placement, values
from vlmcli.errors import VlmError
from vlmcli.runners import wire

LIMIT = 1 << 30
"""Bytes of a payload at most: more than the pixels of the largest picture that is read."""

_HEADER = struct.Struct("<QII")


class Garbled(Exception):
    """What came from the other end is no message."""


class Writer:
    """Writes messages to the other end, from any thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Write one message. Raises OSError when the other end is gone."""
        payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._file.write(header(payload))
            self._file.write(payload)
            self._file.flush()


def header(payload: bytes) -> bytes:
    """What goes before a payload."""
    start = struct.pack("<QI", len(payload), zlib.crc32(payload))
    return start + struct.pack("<I", zlib.crc32(start))


def receive(file: IO[bytes], kinds: Any) -> Any:
    """Wait for the next message.

    Args:
        file: where it comes from.
        kinds: the messages that may come, a union: `wire.ToEngine` or `wire.FromEngine`.

    Returns the message; None when the other end is gone, in the middle of a message or between two.
    Raises Garbled when it has written what is no such message.
    """
    try:
        start = file.read(_HEADER.size)
        if len(start) < _HEADER.size:
            return None
        length, checksum, own = _HEADER.unpack(start)
        if own != zlib.crc32(start[:-4]) or length > LIMIT:
            raise Garbled("a header is damaged")
        payload = file.read(length)
    except (OSError, ValueError):  # closed at this end
        return None
    if len(payload) < length:
        return None
    if zlib.crc32(payload) != checksum:
        raise Garbled("a message is damaged")
    try:
        message = _Unpickler(io.BytesIO(payload)).load()
        fits = _check_of(kinds)(message)
    except Exception as error:  # whatever a spoilt pickle leads to
        raise Garbled(str(error)) from error
    if not fits:
        raise Garbled(f"a {type(message).__name__} has the wrong form")
    return message


# ---------------------------------------------------------------------------------------------- by exact name


def _is_of_messages(found: object, module: types.ModuleType) -> bool:
    """Whether a name of a module is a class of values, defined there: a frozen dataclass, an enum or an error."""
    if not isinstance(found, type) or found.__module__ != module.__name__:
        return False
    if is_dataclass(found):
        return bool(found.__dataclass_params__.frozen)  # type: ignore[attr-defined]  # typeshed does not know it
    return issubclass(found, Enum | VlmError)


_KNOWN = {
    (module.__name__, name): found
    for module in (values, placement, figures, errors, wire)
    for name, found in vars(module).items()
    if _is_of_messages(found, module)
}
_KNOWN[type(Path()).__module__, type(Path()).__qualname__] = type(Path())


class _Unpickler(pickle.Unpickler):
    """Makes instances of the classes that messages are made of, and of no others."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name. Raises UnpicklingError when messages have none such."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a message") from None


# ---------------------------------------------------------------------------------------------- of the right form


_Check = Callable[[Any], bool]


@cache
def _check_of(kind: Any) -> _Check:
    """What tells whether a value, with all that is in it, is of a type as dataclasses declare them.

    A list may stand for a tuple, as whoever made a request may have put it; of a literal only its type is looked at.
    """
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _check_of_any(of)
    if origin is Literal:
        return _check_of_any(tuple({type(one) for one in of}))
    if origin is Callable:
        return callable
    if origin is not None:
        return _check_of_many(origin, of)
    if is_dataclass(kind):
        return _check_of_fields(cast("type", kind), get_type_hints(kind))
    if issubclass(kind, VlmError):
        return lambda value: (
            isinstance(value, kind) and all(isinstance(vars(value).get(name), str) for name in ("message", "hint"))
        )
    wanted = (int, float) if kind is float else kind
    return lambda value: isinstance(value, wanted)


def _check_of_any(kinds: tuple[Any, ...]) -> _Check:
    checks = {kind: _check_of(kind) for kind in kinds}

    def check(value: Any) -> bool:
        exact = checks.get(type(value))  # which spares trying a dozen events
        return exact(value) if exact else any(one(value) for one in checks.values())

    return check


def _check_of_many(origin: Any, of: tuple[Any, ...]) -> _Check:
    checks = [_check_of(kind) for kind in of if kind is not Ellipsis]
    first = checks[0]
    if origin is tuple and of[-1] is not Ellipsis:
        return lambda value: (
            isinstance(value, tuple | list)
            and len(value) == len(checks)
            and all(check(one) for check, one in zip(checks, value, strict=True))
        )
    if issubclass(origin, Mapping):
        key, item = checks
        return lambda value: isinstance(value, Mapping) and all(key(k) and item(v) for k, v in value.items())
    wanted = tuple | list if origin is tuple else origin
    return lambda value: isinstance(value, wanted) and all(map(first, value))


def _check_of_fields(kind: type, hints: Mapping[str, Any]) -> _Check:
    checks = {name: _check_of(of) for name, of in hints.items()}

    def check(value: Any) -> bool:
        if type(value) is not kind:
            return False
        found = vars(value)
        return len(found) == len(checks) and all(name in found and of(found[name]) for name, of in checks.items())

    return check
