"""The parts that language models are made of: keys and shapes of tensors, by llama.cpp's names.

Source: llama.cpp, src/llama-arch.cpp and src/models/.
"""

from __future__ import annotations

from typing import Any

from vlmcli.bench.families.maker import Tensor, Tensors, layered

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


def feed_forward(width: int = 64, ff: int = 128, *, norm: bool = True) -> Shapes:
    """SwiGLU's three matrices and the norm before them: in a layer."""
    found: Shapes = {"ffn_norm.weight": (width,)} if norm else {}
    return found | {"ffn_gate.weight": (ff, width), "ffn_up.weight": (ff, width), "ffn_down.weight": (width, ff)}


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


def experts(
    count: int = 4,
    width: int = 64,
    ff: int = 32,
    *,
    shared: int = 0,
    bias: float = 0.0,
    norm: bool = True,
    choice: float = 0.5,
    answer: float = 0.4,
) -> Shapes:
    """A mixture of experts and the norm before it: in a layer.

    Args:
        count: of experts.
        width: of the embedding.
        ff: of one expert.
        shared: width of the one that all tokens take; 0 without it.
        bias: deviation of what is added to the experts' scores when they are chosen; 0 for nothing.
        norm: whether the norm is here.
        choice: deviation of the matrix that chooses them.
        answer: deviation of their last matrix: where it is small, not much changes if rounding decides who is chosen.
    """
    found: Shapes = {"ffn_norm.weight": (width,)} if norm else {}
    found |= {
        "ffn_gate_inp.weight": Tensor((count, width), choice, kind="F32"), "ffn_gate_exps.weight": (count, ff, width),
        "ffn_up_exps.weight": (count, ff, width), "ffn_down_exps.weight": Tensor((count, width, ff), answer),
    }  # fmt: skip
    if bias:
        found["exp_probs_b.bias"] = Tensor((count,), bias)
    if shared:
        found |= {
            "ffn_gate_shexp.weight": (shared, width), "ffn_up_shexp.weight": (shared, width),
            "ffn_down_shexp.weight": (width, shared),
        }  # fmt: skip
    return found


def qwen35_keys() -> dict[str, Any]:
    """Qwen3.5's: every fourth layer has gated attention, in which a part of a head rotates, the others a delta net."""
    return usual_keys(heads=2, kv_heads=1, head=32, layers=4) | {
        "rope.dimension_count": 16, "rope.dimension_sections": [3, 3, 2, 0], "full_attention_interval": 4,
        "ssm.conv_kernel": 4, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.time_step_rank": 4, "ssm.group_count": 2,
    }  # fmt: skip


def qwen35(forward: Shapes, more: Shapes | None = None) -> Shapes:
    """Qwen3.5's three layers of a gated delta net, and one of gated attention.

    Args:
        forward: the feed-forward part of each, without its norm.
        more: what replaces tensors of the layer with attention.
    """
    norms: Shapes = {"attn_norm.weight": (64,), "post_attention_norm.weight": (64,)}
    delta: Shapes = {
        **norms, "attn_qkv.weight": (128, 64), "attn_gate.weight": (64, 64),
        "ssm_conv1d.weight": Tensor((128, 4), 0.5, kind="F32"), "ssm_dt.bias": Tensor((4,), 0.5),
        "ssm_a": Tensor((4,), 0.01, about=-0.04), "ssm_beta.weight": (4, 64), "ssm_alpha.weight": (4, 64),
        "ssm_norm.weight": (16,), "ssm_out.weight": (64, 64), **forward,
    }  # fmt: skip
    full = {**attention(heads=2, kv_heads=1, head=32, norms=True), **norms, **forward, "attn_q.weight": (128, 64)}
    return {**layered(3, delta), **layered([3], {**full, **(more or {})}), **ends()}
