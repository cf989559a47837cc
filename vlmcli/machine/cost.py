"""What a question costs, from headers alone: rows of a picture, arithmetic, bytes read.

How a picture is scaled and cut is llama.cpp's, by the type of the projector: tools/mtmd/clip.cpp (the limits),
mtmd-image.cpp (sizes and tiles) and clip_n_output_tokens (rows). Does not know how fast a machine is (`speed`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from vlmcli.models.gguf import Header

Size = tuple[int, int]

# Rows of a picture, at least and at most; clip.cpp, set_limit_image_tokens.
_LIMITS = {
    "qwen2vl_merger": (8, 4096), "qwen2.5vl_merger": (8, 4096), "qwen3vl_merger": (8, 4096), "pixtral": (8, 1024),
    "lfm2": (64, 256),
}  # fmt: skip
BUDGETED = frozenset(
    {
        *(_LIMITS.keys() - {"lfm2"}), "lightonocr", "kimivl", "deepseek4v", "gemma4v", "gemma4uv", "ling3vl",
        "minimax_m3", "muse-glimmer", "youtuvl", "glm4v", "glm5v",
    }
)  # fmt: skip
"""Families that take pictures of any size, and that can be told how many rows a picture may become (clip.cpp).

LFM2's can be told so of small pictures only: larger ones are cut into tiles. HunyuanVL's, Kimi-K2.5's and others' files
have limits of their own, which llama.cpp puts before what it is told.
"""
_LFM2_TILE, _LFM2_TILES, _LFM2_TOLERANCE = 512, (2, 10), 2.0  # mtmd-image.h, mtmd_image_preprocessor_lfm2
_INTERNVL_TILES = (1, 12)
_GEMMA4_ROWS = 1120


@dataclass(frozen=True)
class Work:
    """One question about one picture.

    Attributes:
        encode: multiplications and additions of the vision encoder and the projector.
        prefill: those of the language model over the prompt.
        read: bytes of weights that each token of the answer needs.
        answer: tokens of it.
        tokens: rows of the picture.
    """

    encode: float
    prefill: float
    read: float
    answer: int
    tokens: int


def picture_tokens(projector: Header, width: int, height: int, budget: Size = (0, 0)) -> int | None:
    """Rows a picture becomes, without the tokens around and between its tiles; None for a family not known here."""
    found = tiles(projector, width, height, budget)
    return None if found is None else sum(_rows(projector, tile) for tile in found)


def tiles(projector: Header, width: int, height: int, budget: Size = (0, 0)) -> Sequence[Size] | None:
    """Sizes, in pixels, that the encoder sees of a picture; None for a family that is not known here.

    Args:
        projector: its header.
        width: of the picture, in pixels.
        height: of it.
        budget: the fewest and the most rows, where the family can be told; zeros for its own limits.
    """
    kind, side = projector.projector_type, projector.number("vision.image_size")
    if kind == "mlp" and (places := projector.numbers("vision.image_grid_pinpoints")):
        return _on_grid((width, height), side, list(zip(places[::2], places[1::2], strict=False)))
    if kind in ("mlp", "gemma3"):
        return [(side, side)]
    if kind in ("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "pixtral"):
        return [_scaled((width, height), projector, budget)]
    if kind == "idefics3":
        return _idefics(width, height, side, projector.number("vision.preproc_image_size"))
    if kind == "internvl":
        fewest = projector.number("vision.preproc_min_tiles", _INTERNVL_TILES[0])
        most = projector.number("vision.preproc_max_tiles", _INTERNVL_TILES[1])
        grid = [
            (a * side, b * side)
            for a in range(fewest, most + 1)
            for b in range(max(-(-fewest // a), fewest), min(most // a, most) + 1)
        ]
        return _on_grid((width, height), side, grid)
    if kind == "lfm2":
        return _lfm2(width, height, projector, budget)
    return None


def bidirectional_rows(projector: Header) -> int:
    """Rows of the largest picture, where each of them sees all others and they must go into one batch; else 0.

    Source: mtmd.cpp, mtmd_decode_use_non_causal. Some of Gemma 4's sizes do without; the larger batch does no harm.
    """
    kind, side = projector.projector_type, projector.number("vision.image_size")
    if kind == "gemma3":
        return _rows(projector, (side, side))
    return _GEMMA4_ROWS if kind in ("gemma4v", "gemma4uv") else 0


def work(
    model: Header, projector: Header, picture: Size, answer: int = 64, question: int = 32, budget: Size = (0, 0)
) -> Work | None:
    """What a question costs; None for a family that is not known here.

    A matrix costs 2 operations a number and row; attention 4 a pair of rows and number of their width, half of it where
    a row sees only those before it. Of the weights, an answer's token needs all but the embeddings, and those, too,
    where they are the output.

    Args:
        model: the language model.
        projector: its projector.
        picture: width and height in pixels.
        answer: tokens of the answer.
        question: tokens of the prompt beside the picture.
        budget: as `tiles` takes it.
    """
    found = tiles(projector, *picture, budget)
    if found is None:
        return None
    patch, wide = max(1, projector.number("vision.patch_size")), projector.number("vision.embedding_length")
    layers = projector.number("vision.block_count")
    blocks = sum(
        prod(tensor.shape)
        for tensor in projector.tensors
        if tensor.name.startswith("v.blk.") and _is_matrix(tensor.shape)
    )
    behind = sum(
        prod(tensor.shape) for tensor in projector.tensors if tensor.name.startswith("mm.") and _is_matrix(tensor.shape)
    )
    encode, rows = 0.0, 0
    for tile in found:
        patches, tokens = (tile[0] // patch) * (tile[1] // patch), _rows(projector, tile)
        encode += 2.0 * patches * blocks + 4.0 * patches**2 * wide * layers + 2.0 * tokens * behind
        rows += tokens
    matrices = sum(
        prod(tensor.shape) for tensor in model.tensors if tensor.name.startswith("blk.") and _is_matrix(tensor.shape)
    )
    prompt, width = rows + question, model.number("embedding_length")
    prefill = 2.0 * prompt * matrices + 2.0 * prompt**2 * width * model.number("block_count")
    tied = not any(tensor.name == "output.weight" for tensor in model.tensors)
    read = sum(tensor.size for tensor in model.tensors if tied or tensor.name != "token_embd.weight")
    return Work(encode, prefill, float(read), answer, rows)


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1


def _merge(projector: Header) -> int:
    """Patches of a side that become one row."""
    kind = projector.projector_type
    if kind in ("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger"):
        return projector.number("vision.spatial_merge_size", 2)
    if kind == "gemma3":
        return projector.number("vision.projector.scale_factor", 4)
    if kind == "pixtral":
        return projector.number("vision.spatial_merge_size", 1)
    return projector.number("vision.projector.scale_factor", 1)


def _rows(projector: Header, tile: Size) -> int:
    """Rows that a tile of this size, in pixels, becomes."""
    patch, kind = max(1, projector.number("vision.patch_size")), projector.projector_type
    step = patch * _merge(projector)
    if kind == "lfm2":
        return -(-tile[0] // step) * -(-tile[1] // step)
    across, down = tile[0] // step, tile[1] // step
    if kind == "pixtral" and any(tensor.name == "v.token_embd.img_break" for tensor in projector.tensors):
        return across * down + down - 1
    return across * down


def _limits(projector: Header, budget: Size) -> Size:
    """The fewest and the most rows of a picture."""
    usual = _LIMITS[projector.projector_type]
    return budget[0] or usual[0], budget[1] or usual[1]


def _scaled(size: Size, projector: Header, budget: Size) -> Size:
    """A size with its sides in whole rows, between the limits; calc_size_preserved_ratio, which has 32-bit floats."""
    step = projector.number("vision.patch_size") * _merge(projector)
    low, high = (limit * step * step for limit in _limits(projector, budget))
    width, height = size
    across, down = (max(step, int(side / step + 0.5) * step) for side in size)
    if across * down > high:
        beta = _float(math.sqrt(_float(_float(height * width) / high)))
        return max(step, int(_float(width / beta) / step) * step), max(step, int(_float(height / beta) / step) * step)
    if across * down < low:
        beta = _float(math.sqrt(_float(low / _float(height * width))))
        return tuple(math.ceil(_float(_float(side * beta) / step)) * step for side in size)  # type: ignore[return-value]
    return across, down


def _float(number: float) -> float:
    """The nearest 32-bit float."""
    return float(struct.unpack("f", struct.pack("f", number))[0])


def _on_grid(size: Size, side: int, grid: Sequence[Size]) -> Sequence[Size]:
    """The whole, and the tiles of the grid's best size for a picture larger than one; select_best_resolution."""
    width, height = size
    if width <= side and height <= side:
        return [(side, side)]
    best, most, least = (0, 0), 0, math.inf
    for across, down in grid:
        scale = min(across / width, down / height)
        seen = min(int(width * scale) * int(height * scale), width * height)
        wasted = across * down - seen
        if seen > most or (seen == most and wasted < least):
            best, most, least = (across, down), seen, wasted
    return [(side, side)] * (1 + -(-best[0] // side) * -(-best[1] // side))


def _idefics(width: int, height: int, side: int, longest: int) -> Sequence[Size]:
    """The whole, and tiles of it with its longest side at a fixed length; mtmd_image_preprocessor_idefics3."""
    if not longest:
        across, down = (max(1, int(one / side + 0.5)) for one in (width, height))
    else:
        scaled = longest * min(width, height) / max(width, height)
        short = int(scaled) + int(scaled) % 2
        wide, high = (longest, short) if width >= height else (short, longest)
        across, down = -(-wide // side), -(-high // side)
    return [(side, side)] * (1 + across * down)


def _lfm2(width: int, height: int, projector: Header, budget: Size) -> Sequence[Size]:
    """One picture, or tiles and a small one of the whole; mtmd_image_preprocessor_lfm2."""
    patch = projector.number("vision.patch_size")
    step = patch * _merge(projector)
    across, down = (max(patch, round(side / step) * step) for side in (width, height))
    whole = _scaled((width, height), projector, budget)
    if across * down <= _limits(projector, budget)[1] * step * step * _LFM2_TOLERANCE:
        return [whole]
    fewest, most = _LFM2_TILES
    ratios = sorted(
        ((w, h) for w in range(1, most + 1) for h in range(1, most + 1) if fewest <= w * h <= most), key=prod
    )
    best, nearest = (1, 1), math.inf
    for w, h in ratios:
        apart = abs(width / height - w / h)
        if apart < nearest or (apart == nearest and width * height > 0.5 * _LFM2_TILE**2 * w * h):
            best, nearest = (w, h), apart
    return [(_LFM2_TILE, _LFM2_TILE)] * prod(best) + [whole]
