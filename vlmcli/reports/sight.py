"""What a picture is, what a model sees of it, and what that costs: `vlm show PICTURE`, as lines and as a record.

Decodes no picture and loads no model: what was found out is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmcli.amounts import duration
from vlmcli.machine import cost, fit
from vlmcli.machine import speed as speeds
from vlmcli.machine.speed import Speed
from vlmcli.models import gguf
from vlmcli.pictures.sources import Source
from vlmcli.placement import Machine
from vlmcli.values import ModelFiles, Picture

if TYPE_CHECKING:  # at run time they would load llama.cpp and Pillow
    from vlmcli.engine.stages import PictureRows, Tile
    from vlmcli.pictures.images import Facts

_TURNED = {
    2: "mirrored", 3: "upside down", 4: "mirrored, upside down", 5: "mirrored, turned by 90°", 6: "turned by 90°",
    7: "mirrored, turned by 270°", 8: "turned by 270°",
}  # fmt: skip


@dataclass(frozen=True)
class Eyes:
    """A model that looks at pictures.

    Attributes:
        name: of the model.
        context: tokens of the context that would be chosen for it on this machine.
        files: of the model.
        speed: of this machine; None where it was not measured.
    """

    name: str
    context: int
    files: ModelFiles
    speed: Speed | None = None


@dataclass(frozen=True)
class Seen:
    """A picture, and what a model sees of it.

    Attributes:
        source: where the picture is from.
        facts: what its file says of itself.
        pictures: what it became: one picture, upright and RGB, or several parts of a long one.
        eyes: the model; None for none, and then there are no `parts`.
        parts: the rows that the pictures become, and the tiles behind them.
    """

    source: Source
    facts: Facts
    pictures: Sequence[Picture]
    eyes: Eyes | None = None
    parts: Sequence[PictureRows] = ()

    @property
    def tiles(self) -> list[Tile]:
        """The inputs of the encoder, in order."""
        return [tile for part in self.parts for tile in part.tiles]

    @property
    def tokens(self) -> int:
        """Image tokens: rows of the prompt that come from the picture."""
        return sum(part.rows for part in self.parts)

    @property
    def seconds(self) -> float | None:
        """How long a question about it takes here, about; None where that is not known."""
        if self.eyes is None or self.eyes.speed is None:
            return None
        model, projector = (gguf.read(path) for path in (self.eyes.files.model, self.eyes.files.projector))
        budget = self.eyes.files.card.budget
        work = [
            cost.work(model, projector, picture.size, 0 if at else 64, budget=budget)
            for at, picture in enumerate(self.pictures)
        ]
        return sum(speeds.seconds(one, self.eyes.speed) for one in work if one) if all(work) else None


def eyes_of(files: ModelFiles, machine: Machine, speed: Speed | None) -> Eyes:
    """A model's eyes on a machine of a speed, which may not be known."""
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    return Eyes(files.name, fit.fit(model, machine, projector=projector).n_ctx, files, speed)


def lines(seen: Seen) -> list[str]:
    """The facts for a person."""
    source, facts, pictures = seen.source, seen.facts, seen.pictures
    stored = [facts.format]
    if facts.size:
        stored.append(f"{_sides(facts.size)} {facts.mode}")
    if facts.frames > 1:
        unit = "pages" if facts.format in ("PDF", "TIFF") else "frames"
        stored.append(f"{facts.frames} {unit}" + (f", this is {source.frame}" if source.frame else ""))
    stored.append(f"{facts.file_size:,} bytes")
    if facts.orientation > 1:
        stored.append(f"EXIF orientation {facts.orientation}: {_TURNED[facts.orientation]}")
    upright = ", ".join(_sides(picture.size) for picture in pictures)
    told = [
        f"{source.name}: {', '.join(stored)}",
        f"  upright, RGB: {upright}{' in parts' if len(pictures) > 1 else ''}",
    ]
    if seen.eyes is None:
        return told
    sizes = ", ".join(dict.fromkeys(_sides(tile.size) for tile in seen.tiles))
    count = f"{len(seen.tiles)} tile{'s' * (len(seen.tiles) != 1)}"
    told.append(f"  {seen.eyes.name} sees {seen.tokens:,} image tokens, from {count} of {sizes} pixels")
    takes = f", and about {duration(max(1, took))}" if (took := seen.seconds) is not None else ""
    told.append(f"  a question takes {seen.tokens:,} of {seen.eyes.context:,} tokens of context{takes}")
    return told


def record(seen: Seen) -> dict[str, Any]:
    """The facts for a program: one JSON object of `vlm show PICTURE --json`.

    Always there: `source` (its name), `format`, `size` (width and height as stored, or null), `mode`, `bytes`, `frames`
    (or pages), `frame` (which of them, or null), `orientation` (of EXIF, 1 to 8), `upright` (width and height of what
    the model is given, or of each part), `model` (its name, or null for none), and of that model `tiles` (width and
    height of each input of the encoder), `picture_tokens`, `context` (tokens that there would be room for) and
    `seconds` (about, for a question with an answer of 64 tokens), each null where there is no model or it is not known.
    `notice` is there where something of the picture is left out or cannot be seen.
    """
    facts, eyes = seen.facts, seen.eyes
    took = seen.seconds
    found: dict[str, Any] = {
        "source": seen.source.name,
        "format": facts.format,
        "size": list(facts.size) if facts.size else None,
        "mode": facts.mode,
        "bytes": facts.file_size,
        "frames": facts.frames,
        "frame": seen.source.frame or None,
        "orientation": facts.orientation,
        "upright": [list(picture.size) for picture in seen.pictures],
        "model": eyes.name if eyes else None,
        "tiles": [list(tile.size) for tile in seen.tiles] if eyes else None,
        "picture_tokens": seen.tokens if eyes else None,
        "context": eyes.context if eyes else None,
        "seconds": None if took is None else round(took, 2),
    }
    notices = [notice for picture in seen.pictures for notice in picture.notices]
    return found | ({"notice": "; ".join(dict.fromkeys(notices))} if notices else {})


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
