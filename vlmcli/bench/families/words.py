"""The parts that language models are made of: keys and shapes of tensors, by llama.cpp's names.

Source: llama.cpp, src/llama-arch.cpp and src/models/.
"""

from __future__ import annotations

from typing import Any

from vlmcli.bench.families.maker import Tensor, Tensors

Shapes = dict[str, "tuple[int, ...] | Tensor"]


def usual_keys(
    width: int = 64, heads: int = 4, kv_heads: int = 2, head: int = 16, ff: int = 128, layers: int = 3, **more: Any
) -> dict[str, Any]:
    """What nearly every architecture has; `more` has "_" for "." in a key's name."""
    return {
        "context_length": 4096, "block_count": layers, "feed_forward_length": ff, "attention.head_count": heads,
        "attention.head_count_kv": kv_heads, "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 10000.0,
        "rope.dimension_count": head, "attention.key_length": head, "attention.value_length": head, **more,
    }  # fmt: skip


def attention(
    width: int = 64, heads: int = 4, kv_heads: int = 2, head: int = 16, *, biases: bool = False, norms: bool = False
) -> Shapes:
    """Attention in three matrices and one: in a layer.

    Args:
        width: of the embedding.
        heads: of queries.
        kv_heads: of keys and values.
        head: numbers in one.
        biases: whether the three have biases.
        norms: whether each head's queries and keys are normalised.
    """
    found: Shapes = {"attn_norm.weight": (width,)}
    for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
        found[f"attn_{name}.weight"] = (count * head, width)
        if biases:
            found[f"attn_{name}.bias"] = (count * head,)
        if norms and name != "v":
            found[f"attn_{name}_norm.weight"] = (head,)
    return {**found, "attn_output.weight": (width, heads * head)}


def feed_forward(width: int = 64, ff: int = 128) -> Shapes:
    """SwiGLU's three matrices and the norm before them: in a layer."""
    return {
        "ffn_norm.weight": (width,), "ffn_gate.weight": (ff, width), "ffn_up.weight": (ff, width),
        "ffn_down.weight": (width, ff),
    }  # fmt: skip


def ends(width: int = 64) -> Tensors:
    """The last norm; the output is tied to the embedding."""
    return {"output_norm.weight": (width,)}


def joined_feed_forward(width: int = 64, ff: int = 128) -> Shapes:
    """SwiGLU with its gate and what it opens in one matrix: in a layer."""
    return {"ffn_norm.weight": (width,), "ffn_up.weight": (2 * ff, width), "ffn_down.weight": (width, ff)}


def joined_attention(width: int = 64, heads: int = 4, kv_heads: int = 2, head: int = 16) -> Shapes:
    """Attention with queries, keys and values from one matrix: in a layer."""
    return {
        "attn_norm.weight": (width,), "attn_qkv.weight": ((heads + 2 * kv_heads) * head, width),
        "attn_output.weight": (width, heads * head),
    }  # fmt: skip


def plain_experts(count: int, width: int = 64, ff: int = 64) -> Shapes:
    """A mixture of experts, and the norm before it: in a layer."""
    return {
        "ffn_norm.weight": (width,), "ffn_gate_inp.weight": Tensor((count, width), kind="F32"),
        "ffn_gate_exps.weight": (count, ff, width), "ffn_up_exps.weight": (count, ff, width),
        "ffn_down_exps.weight": (count, width, ff),
    }  # fmt: skip


def shared_expert(width: int = 64, ff: int = 64) -> Shapes:
    """The expert that sees every token: in a layer, besides the others."""
    return {
        "ffn_gate_shexp.weight": (ff, width), "ffn_up_shexp.weight": (ff, width), "ffn_down_shexp.weight": (width, ff),
    }  # fmt: skip


def experts(width: int = 64, ff: int = 32, count: int = 8, *, shared: int = 0, chosen_by: bool = False) -> Shapes:
    """A mixture of experts and the norm before it: in a layer.

    They say little, so that not much changes where rounding decides which of two is asked.

    Args:
        width: of the embedding.
        ff: of one expert.
        count: of experts.
        shared: width of the shared experts' feed-forward layer; 0 without them.
        chosen_by: whether a bias is added to their scores when they are chosen.
    """
    found: Shapes = {
        "ffn_norm.weight": (width,),
        "ffn_gate_inp.weight": Tensor((count, width), 0.4, kind="F32"),
        "ffn_gate_exps.weight": (count, ff, width),
        "ffn_up_exps.weight": (count, ff, width),
        "ffn_down_exps.weight": Tensor((count, width, ff), 0.02),
    }
    if chosen_by:
        found["exp_probs_b.bias"] = (count,)
    if shared:
        found["ffn_gate_shexp.weight"] = (shared, width)
        found["ffn_up_shexp.weight"] = (shared, width)
        found["ffn_down_shexp.weight"] = (width, shared)
    return found
