"""Every error a user can meet.

    VlmError                 1  500
    ├── UsageError           2  400   the command line or the request is not of a form that can be served
    ├── SourceError          1  400   a picture cannot be read; names it
    │   └── NoMemory         1  503   memory has run out while it was read; it may be fine later
    ├── ModelError           1  503   a model is missing, broken or does not fit its projector; names it
    │   ├── TemplateError    1  503   its chat template cannot be rendered
    │   ├── NoRoom           1  503   a device has no memory left for it
    │   └── HubError         1  503   it cannot be had from where it is published
    │       ├── NotHere      1  503   it is known, and not downloaded yet
    │       ├── NotOnHub     1  503   nothing is published under its name, or nothing that may be seen
    │       └── HubBusy      1  503   it may be had after a while
    ├── RequestError         1  400   the engine cannot answer this request
    │   ├── TimedOut         1  504   it took longer than it may
    │   ├── NoServer         1  503   no server that may be asked answers any more
    │   ├── ContextFull      1  400   the prompt needs more cells than the context has
    │   └── NoPicture        1  400   there would be no picture rows in the prompt
    ├── ClusterError         1  503   a Ray cluster cannot be joined, or cannot go on
    ├── NativeError         70  500   llama.cpp gave up
    ├── Cancelled          130  499   somebody said stop
    └── PipeClosed         141  499   nobody reads stdout any more; silent

The columns are the process's exit code and the HTTP status. Each error says in one line what is wrong, naming
the thing, and in `hint` what to do about it. Raised where the knowledge is; shown in one place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """What the exit code of `vlm` means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SOME_FAILED = 3
    NATIVE = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class VlmError(Exception):
    """Something a user can be told: `message` what is wrong, `hint` what to do (may be empty)."""

    exit_code: ClassVar[Exit] = Exit.FAILED
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)  # both, so that an error survives a pickle
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class UsageError(VlmError):
    """The command line, or a request's form, is wrong."""

    exit_code = Exit.USAGE
    http_status = 400


class SourceError(VlmError):
    """A picture cannot be read; the message names its source."""

    http_status = 400


class NoMemory(SourceError):
    """A picture could not be read because memory had run out; nothing is known against the picture."""

    http_status = 503


class ModelError(VlmError):
    """A model is missing, damaged, or does not fit its projector."""

    http_status = 503


class TemplateError(ModelError):
    """A model's chat template is absent or cannot be rendered."""


class NoRoom(ModelError):
    """A device has no memory left for what was to be loaded onto it."""


class HubError(ModelError):
    """A model cannot be had from where it is published: the Hub, the network, the disk it goes to."""


class NotHere(HubError):
    """A model is known by its name, and not downloaded yet."""


class NotOnHub(HubError):
    """The Hub knows no such repository, or does not tell."""


class HubBusy(HubError):
    """An answer of the Hub that may be another after a while.

    Attributes:
        after: seconds, where the server says so.
    """

    def __init__(self, message: str, hint: str = "", after: float | None = None) -> None:
        super().__init__(message, hint)
        self.after = after


class RequestError(VlmError):
    """The engine cannot answer this request; the next one may be fine."""

    http_status = 400


class TimedOut(RequestError):
    """The request was not answered in the time that it was given."""

    http_status = 504


class ContextFull(RequestError):
    """The prompt has more rows than the context has cells."""


class NoPicture(RequestError):
    """No picture would reach the language model, so no answer may be given."""


class NoServer(RequestError):
    """No server that may be asked answers any more, or the key is refused: the next request would fail, too."""

    http_status = 503


class ClusterError(VlmError):
    """A Ray cluster cannot be joined or made, or cannot go on."""

    http_status = 503


class NativeError(VlmError):
    """llama.cpp failed where it should not have."""

    exit_code = Exit.NATIVE


class Cancelled(VlmError):
    """The request, or the whole command, was ended by whoever had asked for it."""

    exit_code = Exit.INTERRUPTED
    http_status = 499

    def __init__(self, message: str = "cancelled", hint: str = "") -> None:
        super().__init__(message, hint)


class PipeClosed(VlmError):
    """The reader of stdout went away."""

    exit_code = Exit.PIPE_CLOSED
    http_status = 499

    def __init__(self, message: str = "nobody reads stdout any more", hint: str = "") -> None:
        super().__init__(message, hint)
