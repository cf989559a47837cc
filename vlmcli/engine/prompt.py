"""A rendered prompt becomes chunks for libmtmd, and a plan of rows.

A plan needs only the pictures' sizes: in their places stand bitmaps without pixels, and no pixel is read. This module
knows the projector, which tokenises; it computes nothing with a model.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vlmcli.engine.chat_template import Part, TextPart
from vlmcli.engine.native import Bitmap, Chunks, Projector, Text
from vlmcli.engine.plan import PictureSegment, Plan, Segment, TextSegment, picture_key
from vlmcli.errors import RequestError
from vlmcli.values import Picture


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt and its pictures, ready to be tokenised."""

    parts: tuple[Part, ...]
    pictures: tuple[Picture, ...]
    add_bos: bool


def chunks_of(projector: Projector, prompt: Prompt, real: int | None = None) -> Chunks:
    """Tokenise the whole prompt, with pixels for picture `real` only.

    Always the whole: a few families' chunks depend on what stands before them. Raises RequestError, which names that
    picture, where the model cannot take it.
    """
    parts: list[Text | Bitmap] = []
    for part in prompt.parts:
        if isinstance(part, TextPart):
            parts.append(Text(part.text, part.parse_special))
        else:
            picture = prompt.pictures[part.picture]
            pixels = picture.pixels() if part.picture == real else None
            parts.append(Bitmap(f"{picture.identity}#{part.picture}", picture.size, pixels))
    try:
        return projector.chunks(parts, prompt.add_bos)
    except RequestError as error:
        if real is None:
            raise
        raise _named(prompt.pictures[real], error) from error


def _named(picture: Picture, error: RequestError) -> RequestError:
    """The error with the picture's name and size before it."""
    size = "x".join(map(str, picture.size))
    return RequestError(f"{picture.source} ({size}): {error.message}", error.hint)


def plan_of(projector: Projector, prompt: Prompt) -> Plan:
    """The prompt's segments, without touching a pixel."""
    segments: list[Segment] = []
    tiles: Counter[int] = Counter()
    with _placeholders(projector, prompt) as chunks:
        for chunk in chunks.read():
            if not chunk.id:
                segments.append(TextSegment(chunk.tokens))
                continue
            identity, _, number = chunk.id.rpartition("#")
            picture = int(number)
            tile = tiles[picture]
            tiles[picture] += 1
            key = picture_key(identity, tile, chunk.rows, chunk.grid)
            segments.append(
                PictureSegment(
                    picture, tile, key, chunk.rows, chunk.positions, chunk.grid, chunk.bidirectional, chunk.moved
                )
            )
    return Plan(segments)


def _placeholders(projector: Projector, prompt: Prompt) -> Chunks:
    try:
        return chunks_of(projector, prompt)
    except RequestError:
        for picture in prompt.pictures:  # which of them was it?
            try:
                projector.chunks([Bitmap("probe#0", picture.size), Text("\n", False)], False).close()
            except RequestError as error:
                raise _named(picture, error) from error
        raise
