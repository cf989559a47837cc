"""Metadata and tensors that a language model of given dimensions has in a GGUF file.

Names and shapes as llama.cpp loads them (src/models/), types as it quantises them (src/llama-quant.cpp). Shapes have
ggml's first dimension first: of a matrix, what goes in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vlmcli.models.dimensions import Experts, Words

F32, F16, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K, IQ3_S, IQ2_S = 0, 1, 6, 8, 12, 13, 14, 21, 22  # ggml.h, enum ggml_type

Shape = tuple[int, ...]
Tensors = Iterator[tuple[str, Shape]]

_SINGLE = ("ffn_gate_inp.weight", "ssm_conv1d.weight", "shortconv.conv.weight")
_WHOLE = ("per_layer_model_proj.weight",)


def metadata(words: Words) -> dict[str, Any]:
    """The keys of a language model, below its architecture's name."""
    keys: dict[str, Any] = {
        "context_length": words.context, "embedding_length": words.width, "block_count": words.layers + words.spare,
        "feed_forward_length": words.ff, "attention.head_count": words.heads,
        "attention.head_count_kv": [
            0 if layer in words.convolutions else words.kv_heads for layer in range(words.layers)
        ] if words.convolutions else words.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 10000.0, "vocab_size": words.vocabulary,
        "attention.key_length": words.head, "attention.value_length": words.head,
        "rope.dimension_count": words.rotated or words.head,
    }  # fmt: skip
    if words.sections:
        keys["rope.dimension_sections"] = list(words.sections)
    if words.window:
        keys["attention.sliding_window"] = words.window
    if words.deepstack:
        keys["n_deepstack_layers"] = words.deepstack
    if words.convolutions:
        keys["shortconv.l_cache"] = 3
    if words.arch == "phi2":
        keys["attention.layer_norm_epsilon"] = 1e-5
    if words.spare:
        keys["nextn_predict_layers"] = words.spare
    return keys | _of_experts(words) | _of_delta(words) | _of_mixed(words) | dict(words.keys)


def _of_experts(words: Words) -> dict[str, Any]:
    if words.experts is None:
        return {}
    some = words.experts
    keys: dict[str, Any] = {
        "expert_count": some.count, "expert_used_count": some.used, "expert_feed_forward_length": some.ff,
    }  # fmt: skip
    if some.shared:
        keys["expert_shared_feed_forward_length"] = some.shared
        keys["expert_shared_count"] = max(1, some.shared // some.ff)
    if some.dense:
        keys["leading_dense_block_count"] = some.dense
    return keys


def _of_delta(words: Words) -> dict[str, Any]:
    if words.delta is None:
        return {}
    delta = words.delta
    return {
        "full_attention_interval": delta.every, "ssm.conv_kernel": delta.kernel, "ssm.state_size": delta.head,
        "ssm.inner_size": delta.values * delta.head, "ssm.time_step_rank": delta.values, "ssm.group_count": delta.keys,
    }  # fmt: skip


def _of_mixed(words: Words) -> dict[str, Any]:
    if words.mixed is None:
        return {}
    mixed, layers = words.mixed, range(words.layers)
    return {
        "attention.key_length": mixed.head_dim, "attention.value_length": mixed.head_dim,
        "attention.key_length_swa": words.head, "attention.value_length_swa": words.head,
        "rope.dimension_count": mixed.head_dim, "rope.dimension_count_swa": words.head, "rope.freq_base_swa": 10000.0,
        "attention.sliding_window_pattern": [not words.sees_all(layer) for layer in layers],
        "attention.head_count_kv": [mixed.kv_heads if words.sees_all(layer) else words.kv_heads for layer in layers],
        "attention.shared_kv_layers": mixed.shared, "embedding_length_per_layer_input": mixed.per_layer,
        "feed_forward_length": [words.ff_of(layer) for layer in layers] if mixed.wide else words.ff,
        "final_logit_softcapping": 30.0,
    }  # fmt: skip


def tensors(words: Words) -> Tensors:
    """Names and shapes of all tensors."""
    width, vocabulary = words.width, words.vocabulary
    yield "token_embd.weight", (width, vocabulary)
    yield from _norm("token_embd_norm" if words.arch == "lfm2" else "output_norm", words)
    if not words.tied:
        yield "output.weight", (width, vocabulary)
        if words.arch == "phi2":
            yield "output.bias", (vocabulary,)
    if words.mixed is not None:
        yield "rope_freqs.weight", (words.mixed.head_dim // 2,)
        if words.mixed.per_layer:
            every = words.mixed.per_layer * words.layers
            yield "per_layer_token_embd.weight", (every, vocabulary)
            yield "per_layer_model_proj.weight", (width, every)
            yield "per_layer_proj_norm.weight", (words.mixed.per_layer,)
    for layer in range(words.layers):
        for name, shape in _layer(words, layer):
            yield f"blk.{layer}.{name}", shape
    for layer in range(words.layers, words.layers + words.spare):
        for name, shape in (*_layer(words, layer), ("nextn.eh_proj.weight", (2 * width, width)),
                            ("nextn.enorm.weight", (width,)), ("nextn.hnorm.weight", (width,)),
                            ("nextn.shared_head_norm.weight", (width,)),
                            ("nextn.embed_tokens.weight", (width, vocabulary)),
                            ("nextn.shared_head_head.weight", (width, vocabulary))):  # fmt: skip
            yield f"blk.{layer}.{name}", shape


def _norm(name: str, words: Words) -> Tensors:
    yield f"{name}.weight", (words.width,)
    if words.arch == "phi2":
        yield f"{name}.bias", (words.width,)


def _layer(words: Words, layer: int) -> Tensors:
    width = words.width
    yield from _norm("attn_norm", words)
    if words.delta is None and words.arch != "phi2":
        yield "ffn_norm.weight", (width,)
    if layer in words.convolutions:
        yield "shortconv.conv.weight", (3, width)
        yield "shortconv.in_proj.weight", (width, 3 * width)
        yield "shortconv.out_proj.weight", (width, width)
    elif words.attends(layer):
        yield from _attention(words, layer)
    else:
        yield from _delta(words)
    if words.post_norms or words.delta is not None:
        yield "post_attention_norm.weight", (width,)
    if words.post_norms:
        yield "post_ffw_norm.weight", (width,)
    if words.experts is None or layer < words.experts.dense or words.experts.beside:
        yield from _feed_forward(words, words.ff_of(layer))
    if words.experts is not None and layer >= words.experts.dense:
        yield from _experts(words, words.experts)
    if words.mixed is not None:
        yield "layer_output_scale.weight", (1,)
        if words.mixed.per_layer:
            yield "inp_gate.weight", (width, words.mixed.per_layer)
            yield "proj.weight", (words.mixed.per_layer, width)
            yield "post_norm.weight", (width,)


def _attention(words: Words, layer: int) -> Tensors:
    width, head, kv_heads, values = words.width, words.head, words.kv_heads, True
    if words.mixed is not None and words.sees_all(layer):
        head, kv_heads, values = words.mixed.head_dim, words.mixed.kv_heads, words.mixed.values
    gates = 2 if words.delta is not None else 1  # of each query head
    parts = [("q", gates * words.heads)]
    if not words.borrows(layer):
        parts += [("k", kv_heads)] + [("v", kv_heads)] * values
    for name, heads in parts:
        yield f"attn_{name}.weight", (width, heads * head)
        if words.qkv_bias or words.arch == "phi2":
            yield f"attn_{name}.bias", (heads * head,)
    yield "attn_output.weight", (words.heads * head, width)
    if words.arch == "phi2":
        yield "attn_output.bias", (width,)
    for name, _ in parts[: 2 * words.head_norms]:
        yield f"attn_{name}_norm.weight", (head,)


def _delta(words: Words) -> Tensors:
    assert words.delta is not None
    width, delta = words.width, words.delta
    keys, values = delta.keys * delta.head, delta.values * delta.head
    yield "attn_qkv.weight", (width, 2 * keys + values)
    yield "attn_gate.weight", (width, values)
    yield "ssm_conv1d.weight", (delta.kernel, 2 * keys + values)
    yield "ssm_dt.bias", (delta.values,)
    yield "ssm_a", (delta.values,)
    yield "ssm_beta.weight", (width, delta.values)
    yield "ssm_alpha.weight", (width, delta.values)
    yield "ssm_norm.weight", (delta.head,)
    yield "ssm_out.weight", (values, width)


def _feed_forward(words: Words, ff: int) -> Tensors:
    width = words.width
    if words.arch == "glm4":
        yield "ffn_up.weight", (width, 2 * ff)
    else:
        if words.arch != "phi2":
            yield "ffn_gate.weight", (width, ff)
        yield "ffn_up.weight", (width, ff)
    yield "ffn_down.weight", (ff, width)
    if words.arch == "phi2":
        yield "ffn_up.bias", (ff,)
        yield "ffn_down.bias", (width,)


def _experts(words: Words, some: Experts) -> Tensors:
    width = words.width
    yield "ffn_gate_inp.weight", (width, some.count)
    if some.joined:
        yield "ffn_gate_up_exps.weight", (width, 2 * some.ff, some.count)
    else:
        yield "ffn_gate_exps.weight", (width, some.ff, some.count)
        yield "ffn_up_exps.weight", (width, some.ff, some.count)
    yield "ffn_down_exps.weight", (some.ff, width, some.count)
    if some.beside:
        yield "ffn_gate_inp.scale", (width,)
        yield "ffn_down_exps.scale", (some.count,)
        for name in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
            yield f"{name}.weight", (width,)
    if some.shared:
        yield "ffn_gate_shexp.weight", (width, some.shared)
        yield "ffn_up_shexp.weight", (width, some.shared)
        yield "ffn_down_shexp.weight", (some.shared, width)
    if some.gated:
        yield "ffn_gate_inp_shexp.weight", (width,)


def kind(name: str, shape: Shape, words: Words, quant: str) -> int:
    """A tensor's type. Source: llama.cpp, src/llama-quant.cpp, llama_tensor_get_type.

    Args:
        name: of the tensor.
        shape: of it.
        words: the model's dimensions.
        quant: F16, Q8_0, IQ2_M or Q4_K_M.
    """
    if len(shape) == 1 or name.endswith(_SINGLE):
        return F32
    if quant == "F16" or name.endswith(_WHOLE):
        return F16
    if quant == "IQ2_M":
        return _two_bits(name, words)
    found = Q8_0 if quant == "Q8_0" else Q4_K
    if quant == "Q4_K_M":
        layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
        eighth = words.layers // 8
        more = layer < eighth or layer >= 7 * words.layers // 8 or (layer - eighth) % 3 == 2
        embeds = name in ("token_embd.weight", "per_layer_token_embd.weight")
        last = name == "output.weight" or (words.tied and embeds)
        if last or (
            more and name.endswith(("attn_v.weight", "attn_qkv.weight", "ffn_down.weight", "down_exps.weight"))
        ):
            found = Q6_K
        if shape[0] % 256:
            found = Q5_0 if found == Q4_K else Q8_0
    return found if shape[0] % 32 == 0 else F16


def _two_bits(name: str, words: Words) -> int:
    """A matrix's type in IQ2_M, of a model with at least four heads of queries for each of keys."""
    layer = int(name.split(".")[1]) if name.startswith("blk.") else words.layers
    if name == "output.weight":
        return Q5_K
    if name.endswith("attn_v.weight"):
        return Q4_K
    first = layer < words.layers // 8 and name.endswith("ffn_down.weight")
    return IQ3_S if first or name.endswith(("attn_output.weight", "token_embd.weight")) else IQ2_S
