"""A text that a client has sent becomes a picture, or the part of one that it wants to be looked at.

Whatever `vlm` reads from a file is read here, upright. A picture that cannot be read is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from vlmcli.decisions import Place
from vlmcli.errors import SourceError
from vlmcli.mcp.allowed import Allowed, short
from vlmcli.pictures import images, regions, sources
from vlmcli.pictures.known import Known
from vlmcli.values import Picture

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
Fetch = Callable[[str], bytes]
"""The bytes at an address. Raises SourceError."""


@dataclass(frozen=True)
class Seen:
    """What a model looks at.

    Attributes:
        picture: the whole picture, or the part in `box`.
        name: for messages.
        size: width and height of the whole picture in its own pixels.
        corner: of the part, from the left and the top, in pixels of the picture as it was read.
        scale: pixels of the picture as it was read, which is 4,096 at most, per pixel of its own.
    """

    picture: Picture
    name: str
    size: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    scale: float = 1.0

    def whole(self, place: Place) -> Place:
        """A place in the part as a place in the whole picture, in its own pixels."""
        (x, y), scale = self.corner, self.scale
        return replace(
            place, left=(place.left + x) / scale, top=(place.top + y) / scale,
            right=(place.right + x) / scale, bottom=(place.bottom + y) / scale,
        )  # fmt: skip


class Eyes:
    """Reads pictures. Threads may share it."""

    def __init__(self, allowed: Allowed, fetch: Fetch | None, known: Known | None) -> None:
        """Look at nothing yet.

        Args:
            allowed: which files may be read.
            fetch: gets what is at an address; None where that is not allowed.
            known: pictures that were read before; None to read each again.
        """
        self._allowed, self._fetch, self._known = allowed, fetch, known

    def see(self, text: str, region: regions.Region | None) -> Seen:
        """A picture by its path, data URL or address, or a part of it. Raises VlmError."""
        file, frame, name = self._file(text)
        load = images.load if self._known is None else self._known.load
        picture = load(file, name, frame)
        stored = images.stored_size(file, name)
        scale = min(1.0, max(picture.size) / max(stored)) if stored else 1.0
        whole = (round(picture.size[0] / scale), round(picture.size[1] / scale))
        if region is None:
            return Seen(picture, name, whole, scale=scale)
        box = region.box(picture.size, scale)
        return Seen(regions.cut(picture, box), name, whole, box[:2], scale)

    def _file(self, text: str) -> tuple[bytes, int, str]:
        """The bytes of a picture's file, its page, and what it is called."""
        if text[:5].lower() == "data:":
            return sources.data(text), 0, "the picture"
        if _ADDRESS.match(text):
            if self._fetch is None:
                raise SourceError(
                    f"{short(text)}: web addresses are not fetched",
                    "download the picture into an allowed folder and give its path, or start vlm mcp with --allow-urls",
                )
            return self._fetch(text), 0, short(text.partition("?")[0])
        data, frame = self._allowed.read(text)
        return data, frame, short(text)
