"""What a question costs, from headers alone: arithmetic, and bytes read.

How a picture is cut, and how many rows it becomes, is `tiling`'s. Does not know how fast a machine is (`speed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from vlmcli.machine import tiling
from vlmcli.machine.cache import attends
from vlmcli.machine.tiling import Size
from vlmcli.models.gguf import Header, Tensor
from vlmcli.models.patterns import MAX_LAYERS

_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")
"""Of which a token needs one row."""
_SAM_STEP, _SAM_WINDOW = 16, 14  # Segment Anything's patches, in pixels, and its windows, in patches


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


def work(
    model: Header, projector: Header, picture: Size, answer: int = 64, question: int = 32, budget: Size = (0, 0)
) -> Work | None:
    """What a question costs; None for a family that is not known here.

    A matrix costs 2 operations a number and row; attention 4 a pair of rows and number of their width, half of it where
    a row sees only those before it. Of a mixture of experts, a row takes those that are used. Of the weights, an
    answer's token needs all but the tables of embeddings, and those, too, where they are the output.

    Args:
        model: the language model.
        projector: its projector.
        picture: width and height in pixels.
        answer: tokens of the answer.
        question: tokens of the prompt beside the picture.
        budget: as `tiling.tiles` takes it.
    """
    found = tiling.tiles(projector, *picture, budget)
    if found is None:
        return None
    rows = sum(tiling.rows(projector, tile) for tile in found)
    used = _used(model)
    run = min(model.number("block_count"), MAX_LAYERS) - model.number("nextn_predict_layers")
    blocks = [tensor for tensor in model.tensors if (block := _block(tensor)) is not None and block < run]
    matrices = sum(prod(tensor.shape) * _share(tensor, used) for tensor in blocks if _is_matrix(tensor))
    prompt, width = rows + question, model.number("embedding_length")
    prefill = 2.0 * prompt * matrices + 2.0 * prompt**2 * width * sum(attends(model, layer) for layer in range(run))
    tied = not any(tensor.name == "output.weight" for tensor in model.tensors)
    others = [tensor for tensor in model.tensors if _block(tensor) is None and tensor.name not in _TABLES]
    read = sum(tensor.size * _share(tensor, used) for tensor in (*blocks, *others))
    read += sum(tensor.size for tensor in model.tensors if tied and tensor.name == _TABLES[0])
    return Work(sum(_encode(projector, tile) for tile in found), prefill, float(read), answer, rows)


def _encode(projector: Header, tile: Size) -> float:
    """Operations of the encoder and the projector over one tile."""
    patch, wide = tiling.patch_of(projector), projector.number("vision.embedding_length")
    patches, tokens = (tile[0] // patch) * (tile[1] // patch), tiling.rows(projector, tile)
    kind, merge = projector.projector_type, projector.number("vision.projector.scale_factor", 1)
    sam = 0.0
    if kind == "deepseekocr":
        sam, patches = _sam(projector, tile), (tile[0] // 64) * (tile[1] // 64)
    blocks = _numbers(projector, "v.blk.")
    layers = projector.number("vision.block_count")
    early = 1.0  # share of the blocks that see all patches, where they become fewer on the way
    if kind == "minicpmv4_6" and merge == 4:
        early = ((projector.numbers("vision.wa_layer_indexes") or [0])[0] + 1) / max(1, layers)
    passed = early * patches + (1 - early) * patches / 4
    pairs = early * patches**2 + (1 - early) * (patches / 4) ** 2
    encode = sam + 2.0 * passed * blocks + 4.0 * pairs * wide * layers
    if kind == "resampler":
        queries = tokens * 4.0 * patches * _resampled(projector)
        return encode + queries + 2.0 * patches * 3 * _numbers(projector, "resampler.attn.k.weight")
    behind = _numbers(projector, "mm.") + (_numbers(projector, "v.patch_embd.") if kind == "gemma4uv" else 0)
    return encode + 2.0 * tokens * behind


def _resampled(projector: Header) -> int:
    """Numbers in a row that a resampler makes."""
    return next((one.shape[0] for one in projector.tensors if one.name == "resampler.query" and one.shape), 0)


def _sam(projector: Header, tile: Size) -> float:
    """Operations of Segment Anything's encoder over one tile: in most blocks a patch sees a window only."""
    patches, wide = (tile[0] // _SAM_STEP) * (tile[1] // _SAM_STEP), projector.number("vision.sam.embedding_length")
    layers = projector.number("vision.sam.block_count")
    whole = layers / 3
    pairs = whole * patches**2 + (layers - whole) * patches * _SAM_WINDOW**2
    return 2.0 * patches * _numbers(projector, "v.sam.blk.") + 4.0 * pairs * wide


def _numbers(header: Header, start: str) -> int:
    """Numbers in the matrices whose names start so."""
    found = (tensor for tensor in header.tensors if tensor.name.startswith(start) and _is_matrix(tensor))
    return sum(prod(tensor.shape) for tensor in found)


def _used(model: Header) -> float:
    """Which part of its experts a token takes."""
    used, count = model.number("expert_used_count"), model.number("expert_count")
    return min(1.0, used / count) if count > 0 and used > 0 else 1.0


def _share(tensor: Tensor, used: float) -> float:
    """Which part of a tensor a token needs."""
    return used if "_exps." in tensor.name else 1.0


def _block(tensor: Tensor) -> int | None:
    """The number of the block it belongs to; None for none."""
    if not tensor.name.startswith("blk."):
        return None
    number = tensor.name.split(".")[1]
    return int(number) if number.isdecimal() else None


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1
