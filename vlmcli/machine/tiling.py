"""How llama.cpp scales and cuts a picture, and how many rows it becomes, from a projector's header alone.

By the type of the projector, as tools/mtmd has it: clip.cpp (the limits, and clip_n_output_tokens for the rows) and
mtmd-image.cpp (sizes and tiles).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from math import prod

from vlmcli.models.gguf import Header

Size = tuple[int, int]

# Rows of a picture, at least and at most; clip.cpp, set_limit_image_tokens.
_LIMITS = {
    "qwen2vl_merger": (8, 4096), "qwen2.5vl_merger": (8, 4096), "qwen3vl_merger": (8, 4096), "pixtral": (8, 1024),
    "lfm2": (64, 256), "glm4v": (8, 4096), "gemma4v": (70, 1120), "gemma4uv": (70, 1120), "hunyuanvl": (256, 16_384),
}  # fmt: skip
BUDGETED = frozenset(
    {
        *(_LIMITS.keys() - {"lfm2", "hunyuanvl"}), "lightonocr", "kimivl", "deepseek4v", "ling3vl", "minimax_m3",
        "muse-glimmer", "youtuvl", "glm5v",
    }
)  # fmt: skip
"""Families that take pictures of any size, and that can be told how many rows a picture may become (clip.cpp).

LFM2's can be told so of small pictures only: larger ones are cut into tiles. HunyuanVL's, Kimi-K2.5's and others' files
have limits of their own, which llama.cpp puts before what it is told.
"""
_OWN_LIMITS = ("hunyuanvl", "paddleocr", "dots_ocr")  # whose files say how many pixels
_WHOLE = (*_LIMITS.keys() - {"lfm2"}, *_OWN_LIMITS)  # which take a picture of any size as it is
_LFM2_TILE, _LFM2_TILES, _LFM2_TOLERANCE = 512, (2, 10), 2.0  # mtmd-image.h, mtmd_image_preprocessor_lfm2
_INTERNVL_TILES = (1, 12)
_MINICPM_SLICES = 9
_DEEPSEEK, _DEEPSEEK_TILE, _DEEPSEEK_TILES = (1024, 1024), 640, (2, 9)
_DEEPSEEK_STEP = 64  # pixels of a side that become one row: patches of 16, and two halvings
_GEMMA4_ROWS = 1120


def picture_tokens(projector: Header, width: int, height: int, budget: Size = (0, 0)) -> int | None:
    """Rows a picture becomes, without the tokens around and between its tiles; None for a family not known here."""
    found = tiles(projector, width, height, budget)
    return None if found is None else sum(rows(projector, tile) for tile in found)


def tiles(projector: Header, width: int, height: int, budget: Size = (0, 0)) -> Sequence[Size] | None:
    """Sizes, in pixels, that the encoder sees of a picture; None for a family that is not known here.

    Args:
        projector: its header.
        width: of the picture, in pixels.
        height: of it.
        budget: the fewest and the most rows, where the family can be told; zeros for its own limits.
    """
    kind, side = projector.projector_type, max(1, projector.number("vision.image_size"))
    width, height = max(1, width), max(1, height)
    if kind == "mlp" and (places := projector.numbers("vision.image_grid_pinpoints")):
        return _on_grid((width, height), side, list(zip(places[::2], places[1::2], strict=False)))
    if kind in ("mlp", "gemma3"):
        return [(side, side)]
    if kind in _WHOLE:
        limited = min(_limits(projector, budget)) > 0  # or llama.cpp does not load it
        return [_scaled((width, height), projector, budget)] if limited else None
    if kind == "lightonocr":
        return [_longest_edge((width, height), projector, budget)]
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
    if kind in ("resampler", "minicpmv4_6"):
        return _slices(width, height, projector)
    if kind == "deepseekocr":
        return _deepseek(width, height, projector)
    return None


def bidirectional_rows(projector: Header) -> int:
    """Rows of the largest picture, where each of them sees all others and they must go into one batch; else 0.

    Source: mtmd.cpp, mtmd_decode_use_non_causal. Some of Gemma 4's sizes do without; the larger batch does no harm.
    """
    kind, side = projector.projector_type, projector.number("vision.image_size")
    if kind == "gemma3":
        return rows(projector, (side, side))
    return _GEMMA4_ROWS if kind in ("gemma4v", "gemma4uv") else 0


def patch_of(projector: Header) -> int:
    """The side of a patch, in pixels; of Gemma 4 without an encoder, of the square that becomes one row."""
    patch, kind = max(1, projector.number("vision.patch_size")), projector.projector_type
    return patch * _merge(projector) if kind == "gemma4uv" else patch


def _merge(projector: Header) -> int:
    """Patches of a side that become one row."""
    kind = projector.projector_type
    if kind in ("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v", "hunyuanvl"):
        return projector.number("vision.spatial_merge_size", 2)
    if kind == "gemma3":
        return projector.number("vision.projector.scale_factor", 4)
    if kind in ("gemma4v", "gemma4uv"):
        return projector.number("vision.projector.scale_factor", 3)
    if kind == "minicpmv4_6":
        return projector.number("vision.projector.scale_factor", 4)
    if kind in ("pixtral", "lightonocr"):
        return projector.number("vision.spatial_merge_size", 1)
    return 2 if kind == "paddleocr" else projector.number("vision.projector.scale_factor", 1)


def _step(projector: Header) -> int:
    """Pixels of a side that become one row."""
    return max(1, projector.number("vision.patch_size") * _merge(projector))


def rows(projector: Header, tile: Size) -> int:
    """Rows that a tile of this size, in pixels, becomes."""
    patch, kind, step = max(1, projector.number("vision.patch_size")), projector.projector_type, _step(projector)
    if kind == "lfm2":
        return -(-tile[0] // step) * -(-tile[1] // step)
    if kind == "resampler":
        return int(projector.metadata.get("clip.minicpmv_query_num") or 64)
    across, down = tile[0] // step, tile[1] // step
    if kind == "minicpmv4_6":
        return (tile[0] // patch) * (tile[1] // patch) // _merge(projector) ** 2
    if kind == "pixtral" and any(tensor.name == "v.token_embd.img_break" for tensor in projector.tensors):
        return across * down + down - 1
    if kind == "hunyuanvl":
        return (across + 1) * down + 2
    if kind == "deepseekocr":  # each row ends with one of its own, and the whole with one more
        across, down = tile[0] // _DEEPSEEK_STEP, tile[1] // _DEEPSEEK_STEP
        return (across + 1) * down + (tile == _DEEPSEEK)
    return across * down


def _limits(projector: Header, budget: Size) -> Size:
    """The fewest and the most pixels of a picture."""
    kind, step = projector.projector_type, _step(projector)
    usual = _LIMITS.get(kind, (0, 0))
    if kind in _OWN_LIMITS:
        low, high = (projector.number(f"vision.image_{end}_pixels", rows * step * step)
                     for end, rows in zip(("min", "max"), usual, strict=True))  # fmt: skip
        return low, high
    return (budget[0] or usual[0]) * step * step, (budget[1] or usual[1]) * step * step


def _scaled(size: Size, projector: Header, budget: Size) -> Size:
    """A size with its sides in whole rows, between the limits; calc_size_preserved_ratio, which has 32-bit floats."""
    step = _step(projector)
    first = tuple(max(step, int(side / step + 0.5) * step) for side in size)
    return _between(size, (first[0], first[1]), step, *_limits(projector, budget))


def _longest_edge(size: Size, projector: Header, budget: Size) -> Size:
    """A size whose longer side is as long as the header says, in whole rows, between the limits that are given."""
    step = _step(projector)
    longest = projector.number("vision.preproc_image_size") or projector.number("vision.image_size")
    scale = min(_float(_float(longest) / side) for side in size)
    first = tuple(math.ceil(_float(_float(side * scale) / step)) * step for side in size)
    low, high = _limits(projector, budget)
    return _between(size, (first[0], first[1]), step, low, high or first[0] * first[1])


def _between(size: Size, first: Size, step: int, low: int, high: int) -> Size:
    """A size with so many pixels, at least and at most, for a picture whose sides would come to `first`."""
    (width, height), (across, down) = size, first
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
    if across * down <= _limits(projector, budget)[1] * _LFM2_TOLERANCE:
        return [whole]
    best = _closest(width, height, _LFM2_TILES, _LFM2_TILE)
    return [(_LFM2_TILE, _LFM2_TILE)] * prod(best) + [whole]


def _closest(width: int, height: int, limits: Size, side: int) -> Size:
    """The grid of so many tiles, at least and at most, whose shape is the picture's; find_closest_aspect_ratio."""
    fewest, most = limits
    ratios = sorted(
        ((w, h) for w in range(1, most + 1) for h in range(1, most + 1) if fewest <= w * h <= most), key=prod
    )
    best, nearest = (1, 1), math.inf
    for w, h in ratios:
        apart = abs(width / height - w / h)
        if apart < nearest or (apart == nearest and width * height > 0.5 * side**2 * w * h):
            best, nearest = (w, h), apart
    return best


def _deepseek(width: int, height: int, projector: Header) -> Sequence[Size]:
    """The whole, and of a larger picture its tiles, a row of them at a time; mtmd_image_preprocessor_deepseekocr."""
    side = _DEEPSEEK_TILE
    if width <= side and height <= side:
        return [_DEEPSEEK]
    fewest = projector.number("vision.preproc_min_tiles", _DEEPSEEK_TILES[0])
    most = projector.number("vision.preproc_max_tiles", _DEEPSEEK_TILES[1])
    across, down = _closest(width, height, (fewest, most), side)
    return [(across * side, side)] * down + [_DEEPSEEK]


def _slices(width: int, height: int, projector: Header) -> Sequence[Size]:
    """The whole, and slices of a larger picture; mtmd_image_preprocessor_llava_uhd and _minicpmv."""
    side = max(1, projector.number("vision.image_size"))
    merge = _merge(projector) if projector.projector_type == "minicpmv4_6" else 1
    step = max(1, projector.number("vision.patch_size") * merge)
    if merge == 2 and width * height <= side * side:
        return [_resized((width, height), side, step)]
    if width <= side and height <= side:
        return [(side, side)]
    whole = _resized((width, height), side, step) if width * height > side * side else _divided(width, height, step)
    count = min(math.ceil(width * height / side**2), _MINICPM_SLICES)
    ratio, best, least = math.log(width / height), (1, 1), math.inf
    for number in (count - 1, count, count + 1):
        if number == 1 or number > _MINICPM_SLICES:
            continue
        for across in (one for one in range(1, number + 1) if number % one == 0):
            apart = abs(ratio - math.log(across * across / number))
            if _float(apart) < least:
                best, least = (across, number // across), _float(apart)
    part = tuple(max(int(_float(one / n) + 0.5) * n, n) // n for one, n in zip((width, height), best, strict=True))
    slices = _resized((part[0], part[1]), side, step)
    return [whole] + [slices] * prod(best)


def _divided(width: int, height: int, step: int) -> Size:
    across, down = (max(int(_float(one / step) + 0.5) * step, step) for one in (width, height))
    return across, down


def _resized(size: Size, side: int, step: int) -> Size:
    """A size of as many pixels as a square of `side`, in whole steps; get_best_resize."""
    ratio = _float(size[0] / size[1])
    height = int(_float(side / _float(math.sqrt(ratio))))
    return _divided(int(_float(height * ratio)), height, step)
