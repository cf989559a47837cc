"""Tasks of the command line that continue a conversation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlmcli.tasks.ask import Ask
from vlmcli.tasks.extract import Extract
from vlmcli.values import Message, Picture, Request


@dataclass(frozen=True)
class Asked(Ask):
    """A question behind earlier turns."""

    history: tuple[Message, ...] = ()

    def request(self, pictures: Sequence[Picture]) -> Request:
        """The question as `Ask` has it, with the earlier turns before it."""
        return _continued(super().request(pictures), self.history)


@dataclass(frozen=True)
class Extracted(Extract):
    """Fields to be read, behind earlier turns."""

    history: tuple[Message, ...] = ()

    def requests(self, pictures: Sequence[Picture]) -> list[Request]:
        """The request as `Extract` has it, with the earlier turns before it."""
        return [_continued(request, self.history) for request in super().requests(pictures)]


def _continued(request: Request, history: tuple[Message, ...]) -> Request:
    """A request whose last turn comes behind others; what the model is told before all stays the first."""
    if not history:
        return request
    *before, last = request.messages
    return replace(request, messages=(*before, *history, last), continues=True)
