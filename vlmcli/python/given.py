"""What a program gives as a picture becomes a source: a path, an address, bytes, Pillow's, or one that was read before.

One value is one picture. What would be several on the command line (a folder, a pattern, a document of several pages)
is an error: which of them is meant is for the program to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from vlmcli import typed
from vlmcli.errors import SourceError, UsageError
from vlmcli.pictures import sources
from vlmcli.pictures.sources import Source
from vlmcli.values import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from vlmcli.pictures.known import Known

Given: TypeAlias = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, "Image", Picture]
"""A path or an address ("https://…", "data:…", "letter.pdf#2"), the bytes of a file, a picture of Pillow's, or one that
`Model.load` has read."""
Pictures: TypeAlias = Given | Sequence[Given]
"""One picture, or several that are asked about together."""


@dataclass(frozen=True)
class Loaded(Source):
    """A picture that was read before."""

    picture: Picture | None = None

    def load(self, bound: int = 0, known: Known | None = None) -> Picture:
        """The picture as it was read."""
        assert self.picture is not None
        return self.picture

    def load_parts(self, known: Known | None = None) -> list[Picture]:
        """The same, in one part."""
        return [self.load()]


def sources_of(pictures: Pictures, known: Known | None) -> tuple[Source, ...]:
    """The sources of one picture, or of several. Raises SourceError; UsageError for what is no picture."""
    single = isinstance(pictures, str | bytes | bytearray | memoryview | os.PathLike | Picture)
    if single or not isinstance(pictures, Iterable):
        return (source_of(pictures, 1, known),)
    return tuple(source_of(one, number, known) for number, one in enumerate(pictures, 1))


def source_of(given: Any, number: int, known: Known | None) -> Source:
    """The source of one picture, the so manieth of its question, from 1. Raises as `sources_of`."""
    if isinstance(given, Picture):
        return Loaded(given.source, b"", picture=given)
    if isinstance(given, bytes | bytearray | memoryview):
        name = f"picture {number}"
        return _one(list(sources.of_bytes(name, bytes(given), known)), name)
    if isinstance(given, str | os.PathLike):
        name = os.fspath(given)
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        if os.path.isdir(sources.expand(name)):  # noqa: PTH112 - Path's raises for what is too long to be a name
            raise SourceError(f"{name}: a folder, not a picture", "ask about each picture in it by itself")
        return _one(list(sources.find([name], known=known)), name)
    from vlmcli.pictures import in_memory  # with Pillow, which takes long to import

    if in_memory.is_image(given):
        name = str(getattr(given, "filename", "") or f"picture {number}")
        return Source(name, in_memory.file_of(given, name))
    raise UsageError(
        f"picture {number}: not a picture, but of the type {type(given).__name__}",
        "give a path, an address, the bytes of a file, or an image of Pillow's",
    )


def _one(found: Sequence[Source], name: str) -> Source:
    """The only source that a name has led to. Raises SourceError where there are several."""
    if len(found) == 1 and not found[0].expanded:
        return found[0]
    first = typed.word(found[0].name)
    raise SourceError(f"{name}: {len(found)} pictures, where one is expected", f"name one of them: {first}")
