"""The parts that vision encoders are made of: keys and shapes of tensors, by clip.cpp's names.

Source: llama.cpp, tools/mtmd/clip-impl.h, clip.cpp and models/.
"""

from __future__ import annotations

from typing import Any

from vlmcli.bench.families.words import Shapes


def usual_keys(
    image: int = 56, patch: int = 14, width: int = 64, heads: int = 4, ff: int = 128, layers: int = 3, out: int = 64,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """What every encoder has. `out` is the language model's width."""
    return {
        "image_size": image, "patch_size": patch, "embedding_length": width, "attention.head_count": heads,
        "feed_forward_length": ff, "block_count": layers, "projection_dim": out, **more,
    }  # fmt: skip


def patches(width: int = 64, patch: int = 14, *, bias: bool = True, places: int = 0, second: bool = False) -> Shapes:
    """The patches' embedding; with position embeddings for so many places; with a second frame's."""
    found: Shapes = {"v.patch_embd.weight": (width, 3, patch, patch)}
    if second:
        found["v.patch_embd.weight.1"] = (width, 3, patch, patch)
    if bias:
        found["v.patch_embd.bias"] = (width,)
    if places:
        found["v.position_embd.weight"] = (places, width)
    return found


def linear(name: str, rows: int, columns: int, *, bias: bool = True) -> Shapes:
    """A matrix and its bias."""
    found: Shapes = {f"{name}.weight": (rows, columns)}
    return found | {f"{name}.bias": (rows,)} if bias else found


def norm(name: str, width: int = 64, *, bias: bool = True) -> Shapes:
    """A norm's weight, and its bias: without it llama.cpp takes the mean square instead of the variance."""
    found: Shapes = {f"{name}.weight": (width,)}
    return found | {f"{name}.bias": (width,)} if bias else found


def layer(
    width: int = 64, ff: int = 128, *, bias: bool = True, rms: bool = False, gate: bool = False, fused: bool = False
) -> Shapes:
    """One layer of an encoder, without "v.blk.N." before the names.

    Args:
        width: of a patch.
        ff: of the feed-forward layer.
        bias: whether matrices have biases.
        rms: whether norms have none.
        gate: whether the feed-forward layer has a gate.
        fused: whether queries, keys and values come from one matrix.
    """
    found: Shapes = {}
    for name in ("attn_qkv",) if fused else ("attn_q", "attn_k", "attn_v"):
        found |= linear(name, 3 * width if fused else width, width, bias=bias)
    found |= linear("attn_out", width, width, bias=bias)
    found |= norm("ln1", width, bias=not rms) | norm("ln2", width, bias=not rms)
    found |= linear("ffn_up", ff, width, bias=bias) | linear("ffn_down", width, ff, bias=bias)
    return found | (linear("ffn_gate", ff, width, bias=bias) if gate else {})
