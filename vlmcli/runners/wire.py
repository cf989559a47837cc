"""What goes between the process that asks and the one with the engine, or a server in the background: messages, pixels.

Messages are frozen dataclasses; both ends are of the same program. How they become bytes is `frames`' to know.
A request travels without pixels: the engine's end asks for a picture's when it has to encode it, so that
what its caches know is neither read nor sent. Pixels then go through memory that both ends have open where the system
has that (a file without a name, inherited), else in the message.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from vlmcli.errors import VlmError
from vlmcli.placement import Caching, Fit, Wanted
from vlmcli.values import Event, Message, ModelFiles, Picture, Request

GAVE_UP = "llama.cpp gave up: "
"""What the last line on the engine's standard error begins with, after a failed assertion."""

# ---------------------------------------------------------------------------------------------- to the engine


@dataclass(frozen=True)
class Open:
    """The first message: the model, its place (or what the user wants of it), and which records are wanted.

    `caching`: where results are kept. `began`: when the command did, as `Engine` takes it.
    `back`: how many steps less of it goes onto a GPU, after as many processes have
    died while loading it. `gpu`: the description of the only one that is to be seen there; empty for all.
    """

    files: ModelFiles
    fit: Fit | None
    wanted: Wanted
    levels: dict[str, int]
    caching: Caching | None = None
    back: int = 0
    began: float | None = None
    gpu: str = ""


@dataclass(frozen=True)
class Submit:
    """A request, its pictures without pixels."""

    id: int
    request: Request


@dataclass(frozen=True)
class Cancel:
    """The request of that id is to be ended; nothing happens when it has ended already."""

    id: int


@dataclass(frozen=True)
class Pixels:
    """What was needed: bytes from `offset` of the shared memory on, or the bytes themselves, or why there are none."""

    need: int
    size: int = 0
    offset: int = 0
    data: bytes | None = None
    error: VlmError | None = None


ToEngine = Open | Submit | Cancel | Pixels

# ---------------------------------------------------------------------------------------------- from the engine


@dataclass(frozen=True)
class Loaded:
    """The model is loaded; how it was put onto the machine."""

    reason: str


@dataclass(frozen=True)
class LoadFailed:
    """The model cannot be loaded, and nothing died of it."""

    error: VlmError


@dataclass(frozen=True)
class Need:
    """The pixels of picture `number` of request `id` are needed."""

    need: int
    id: int
    number: int


@dataclass(frozen=True)
class Taken:
    """Those pixels have been copied."""

    need: int


@dataclass(frozen=True)
class Record:
    """A log record of the engine's process, formatted: the logger's name, the level's number, and the text."""

    name: str
    level: int
    text: str


@dataclass(frozen=True)
class Beat:
    """The engine has moved; the process holds so many bytes of its own, 0 where that is unknown."""

    resident: int


@dataclass(frozen=True)
class Happened:
    """An event of the runner, with the asking end's id."""

    event: Event


FromEngine = Loaded | LoadFailed | Need | Taken | Record | Beat | Happened

# ---------------------------------------------------------------------------------------------- to a model in memory


@dataclass(frozen=True)
class Join:
    """The first message to the server in the background: the model that will be asked, and what is wanted of it."""

    files: ModelFiles
    wanted: Wanted
    caching: Caching | None


@dataclass(frozen=True)
class Joined:
    """It has just this model, in just this way: `Submit`, `Cancel` and `Pixels` may come, as to an engine."""


@dataclass(frozen=True)
class Unlike:
    """It has not, and what differs."""

    why: str


@dataclass(frozen=True)
class Look:
    """Instead of `Join`: how it stands is to be told."""


@dataclass(frozen=True)
class Standing:
    """How the server stands: its models, those of them in memory, and requests under way and answered so far."""

    models: tuple[str, ...]
    loaded: tuple[str, ...]
    under_way: int
    answered: int


@dataclass(frozen=True)
class Leave:
    """Instead of `Join`: it is to finish what is under way, and end."""


ToWarm = Join | Look | Leave | Submit | Cancel | Pixels
FromWarm = Joined | Unlike | Standing


# ---------------------------------------------------------------------------------------------- requests and pixels


@dataclass(frozen=True)
class Elsewhere:
    """In place of `Picture.load` while a request travels: the pixels are in the other process."""

    def __call__(self) -> bytes:
        """Raises RuntimeError: they have to be asked for."""
        raise RuntimeError("these pixels are in the other process")


def without_pixels(request: Request) -> Request:
    """The request as it travels: each picture's `load` is an `Elsewhere`."""
    return _with_loads(request, lambda number, picture: Elsewhere())


def with_pixels(request: Request, load: Callable[[int], bytes]) -> Request:
    """The request as it arrives: `load(number)` gets the pixels of its picture of that number, from 0."""
    return _with_loads(request, lambda number, picture: lambda: load(number))


def _with_loads(request: Request, load_of: Callable[[int, Picture], Callable[[], bytes]]) -> Request:
    number = -1

    def part(one: str | Picture) -> str | Picture:
        nonlocal number
        if isinstance(one, str):
            return one
        number += 1
        return replace(one, load=load_of(number, one))

    messages = tuple(Message(m.role, tuple(part(one) for one in m.content)) for m in request.messages)
    return replace(request, messages=messages)


class Shared:
    """Memory that both processes have open. The asking end puts pixels into it, the engine's end copies them out."""

    def __init__(self) -> None:
        """Make an empty one. Raises OSError where there is no room for it."""
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("vlm-pixels")
        else:
            with tempfile.TemporaryFile() as file:
                self.fd = os.dup(file.fileno())
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # nobody may write to a number that is another file's by now
        self._end = 0
        self._in_use = 0

    @staticmethod
    def is_possible() -> bool:
        """Whether an open file can be inherited here by its number."""
        return sys.platform != "win32"

    def put(self, data: bytes) -> int:
        """Copy bytes in and return where. Raises OSError when there is no room."""
        with self._lock:
            offset, self._end = self._end, self._end + len(data)
            self._in_use += 1
        try:
            with self._writing:
                _write_all(self.fd, data, offset)
        except OSError:
            self.taken()
            raise
        return offset

    def taken(self) -> None:
        """Bytes that were put in have been copied; the memory is given back when none are left."""
        with self._lock:
            self._in_use -= 1
            if not self._in_use:
                self._end = 0
                with self._writing, suppress(OSError):
                    os.ftruncate(self.fd, 0)

    def close(self) -> None:
        """Close this end's descriptor; the other end's may live on."""
        with self._writing:
            fd, self.fd = self.fd, -1
            if fd >= 0:
                os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def read_shared(fd: int, size: int, offset: int) -> bytes:
    """`size` bytes from `offset` on, a copy. Raises OSError when they are not there."""
    parts = []
    while size:
        part = os.pread(fd, size, offset)
        if not part:
            raise OSError("the shared memory ends too early")
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts) if len(parts) > 1 else parts[0] if parts else b""
