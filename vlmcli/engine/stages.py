"""What each stage makes of a picture and a question, as plain values to be shown.

    picture → encoder inputs (tiles) → encoder → projector → rows of the prompt → probabilities → answer

`looking` stops before the encoder computes anything; an `Engine` with a `Recorder` goes all the way. How the values are
shown is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from vlmcli.engine.chat_template import PicturePart, TextPart
from vlmcli.engine.native import AbortFlag, Chunks, Float32, Model, Projector, Watch
from vlmcli.engine.observer import Observer
from vlmcli.engine.plan import PictureSegment, Plan
from vlmcli.engine.prompt import Prompt, chunks_of
from vlmcli.errors import NativeError
from vlmcli.models import gguf
from vlmcli.values import ModelFiles, Picture

STEPS = 12
"""First tokens of an answer whose probabilities are kept."""
LIKELIEST = 5
_UNORDERED = ("resampler",)
"""Projectors whose rows have no place in the picture: learnt queries look at all of it (clip.cpp's names)."""


@dataclass(frozen=True)
class Map:
    """Numbers on a grid over a picture, row by row."""

    rows: int
    columns: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Tile:
    """One input of the encoder.

    Attributes:
        size: width and height.
        pixels: scaled and padded as the encoder gets them, width * height * 3 bytes of RGB.
        patches: how many the encoder's last layer gave out, a class token perhaps among them; 0 if it did not run.
        width: numbers in each.
        norms: their lengths (L2), where the encoder keeps the patches in order.
    """

    size: tuple[int, int]
    pixels: bytes
    patches: int = 0
    width: int = 0
    norms: Map | None = None


@dataclass(frozen=True)
class PictureRows:
    """A run of rows of the prompt that comes from a picture, or from a tile of it.

    Attributes:
        picture: its number in the request, from 0.
        rows: image tokens.
        width: numbers in each, in the language model's space.
        tiles: the encoder's inputs behind them; none where the rows were in memory already.
        norms: the rows' lengths (L2), where they have a place in the picture.
    """

    picture: int
    rows: int
    width: int
    tiles: tuple[Tile, ...]
    norms: Map | None = None


@dataclass(frozen=True)
class TextRows:
    """A run of rows of the prompt that is text: (token id, its text)."""

    tokens: tuple[tuple[int, str], ...]

    @property
    def rows(self) -> int:
        """KV cache cells, one for each token."""
        return len(self.tokens)


@dataclass(frozen=True)
class Step:
    """The likeliest tokens at one place of an answer, with their probabilities; the first was picked if greedy."""

    likeliest: tuple[tuple[str, float], ...]


class Encoding:
    """What a projector's file says of its encoder: enough to undo its preparation of pixels and to order patches."""

    def __init__(self, files: ModelFiles) -> None:
        header = gguf.read(files.projector)
        self.patch = header.number("vision.patch_size")
        self.layers = header.number("vision.block_count")
        self.width = header.number("vision.embedding_length")
        self.family = header.projector_type
        self._mean, self._std = (
            self._three(header.metadata.get(f"clip.vision.image_{name}")) for name in ("mean", "std")
        )

    @staticmethod
    def _three(value: object) -> Float32:
        if not isinstance(value, list) or len(value) != 3:
            raise NativeError(
                "the projector's file does not say how pixels are normalised", "vlm explain cannot show this model"
            )
        return np.array(value, np.float32)[:, None, None]

    def tile(self, pixels: Float32, output: Float32, ordered: bool) -> Tile:
        """One run of the encoder's graph: its normalised input [3, height, width] and its last layer's rows."""
        _, height, width = pixels.shape
        colors = np.clip(np.rint((pixels * self._std + self._mean) * 255), 0, 255).astype(np.uint8)
        rgb = np.ascontiguousarray(colors.transpose(1, 2, 0)).tobytes()
        norms = None
        across, down = self.grid((width, height))
        if ordered and across * down and len(output) - across * down in (0, 1):  # a class token comes first
            norms = _map(output[len(output) - across * down :], down, across)
        return Tile((width, height), rgb, len(output), output.shape[1] if len(output) else 0, norms)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Patches across and down; 0 where that is not known."""
        return (size[0] // self.patch, size[1] // self.patch) if self.patch else (0, 0)

    def rows_map(self, segment: PictureSegment, rows: Float32, tiles: Sequence[Tile]) -> Map | None:
        """Where the projected rows have places: as M-RoPE counts them, or patches merged in squares."""
        if segment.grid is not None:
            y, x = segment.grid[1], segment.grid[2]
            down, across = int(y.max()) + 1, int(x.max()) + 1
            if down * across != len(rows):
                return None
            order = np.argsort(y.astype(np.int64) * across + x)
            return _map(rows[order], down, across)
        if len(tiles) != 1 or self.family in _UNORDERED:
            return None
        across, down = self.grid(tiles[0].size)
        for merged in (1, 2, 3, 4):
            if across % merged or down % merged:
                continue
            a, d = across // merged, down // merged
            if a * d == len(rows):
                return _map(rows, d, a)
            if (a + 1) * d - 1 == len(rows):  # a row that ends each line but the last
                places = [n for n in range(len(rows)) if n % (a + 1) < a]
                return _map(rows[places], d, a)
        return None


def _map(rows: Float32, down: int, across: int) -> Map:
    return Map(down, across, tuple(float(n) for n in np.linalg.norm(rows.astype(np.float64), axis=1)))


class Recorder(Observer):
    """Keeps what an engine shows of the one request that it answers."""

    watches = True

    def __init__(self, files: ModelFiles) -> None:
        self.steps: list[tuple[tuple[int, float], ...]] = []
        self._encoding = Encoding(files)
        self._plan: Plan | None = None
        self._seen: dict[str, tuple[Watch, Float32]] = {}

    def planned(self, id: int, plan: Plan) -> None:
        """Keep the prompt's segments, for `prompt`."""
        self._plan = plan

    def encoded(self, id: int, segment: PictureSegment, watch: Watch, rows: Float32) -> None:
        """Keep an encoder's inputs, outputs and rows."""
        self._seen[segment.key] = (watch, rows)

    def picking(self, id: int, number: int, logits: Float32) -> None:
        """Keep the likeliest tokens at each of the answer's first places."""
        if number >= STEPS:
            return
        chances = np.exp(logits - logits.max(), dtype=np.float64)
        chances /= chances.sum()
        best = np.argsort(-chances, kind="stable")[:LIKELIEST]
        self.steps.append(tuple((int(token), float(chances[token])) for token in best))

    def prompt(self, model: Model) -> tuple[TextRows | PictureRows, ...]:
        """The rows of the prompt, in order."""
        found: list[TextRows | PictureRows] = []
        for segment in self._plan.segments if self._plan else ():
            if not isinstance(segment, PictureSegment):
                found.append(TextRows(tuple((token, _shown(model, token)) for token in segment.tokens)))
                continue
            watch, rows = self._seen[segment.key]
            pairs = zip(watch.inputs, watch.outputs, strict=True)
            tiles = tuple(self._encoding.tile(pixels, output, segment.grid is None) for pixels, output in pairs)
            norms = self._encoding.rows_map(segment, rows, tiles)
            found.append(PictureRows(segment.picture, segment.rows, rows.shape[1], tiles, norms))
        return tuple(found)

    def answer_steps(self, model: Model) -> tuple[Step, ...]:
        """The answer's first tokens, and what else was likely."""
        return tuple(Step(tuple((_shown(model, token), chance) for token, chance in step)) for step in self.steps)


def _shown(model: Model, token: int) -> str:
    """A token's text; a special one by its name."""
    if model.is_special(token):
        return model.text(token)
    return model.piece(token).decode("utf-8", "replace")


@contextmanager
def looking(files: ModelFiles) -> Iterator[Callable[[Picture], list[PictureRows]]]:
    """A function that says what a model would see of a picture: its tiles and image tokens. Nothing is encoded.

    It raises RequestError, which names the picture, where the model cannot take it.
    """
    flag, encoding = AbortFlag(), Encoding(files)
    with (
        Model(files.model, 0, lambda _: None, flag) as model,
        Projector(files.projector, model, False, 1, lambda _: None, flag) as projector,
    ):

        def look(picture: Picture) -> list[PictureRows]:
            prompt = Prompt((PicturePart(0), TextPart("\n", False)), (picture,), False)
            with chunks_of(projector, prompt, 0) as chunks:
                return [
                    PictureRows(0, chunk.rows, projector.n_embd, _tiles(projector, encoding, chunks, index))
                    for index, chunk in enumerate(chunks.read())
                    if chunk.id
                ]

        yield look


def _tiles(projector: Projector, encoding: Encoding, chunks: Chunks, index: int) -> tuple[Tile, ...]:
    nothing = np.zeros((0, 0), np.float32)
    return tuple(encoding.tile(pixels, nothing, False) for pixels in projector.look(chunks, index))
