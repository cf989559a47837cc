"""Pairs of the later Gemmas."""

from __future__ import annotations

from collections.abc import Callable

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered

_GEMMA4_TURNS = (
    "{%- macro said(content) -%}{%- if content is string -%}{{- content | trim -}}{%- else -%}"
    "{%- for part in content -%}{%- if part.type == 'text' -%}{{- part.text | trim -}}"
    "{%- elif part.type == 'image' -%}{{- '<|image|>' -}}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}"
    "{{- bos_token -}}{%- set think = enable_thinking is defined and enable_thinking -%}{%- set rest = messages -%}"
    "{%- if think or messages[0].role == 'system' -%}{{- '<|turn>system\\n' -}}"
    "{%- if think -%}{{- '<|think|>\\n' -}}{%- endif -%}{%- if messages[0].role == 'system' -%}"
    "{{- said(messages[0].content) -}}{%- set rest = messages[1:] -%}{%- endif -%}{{- '<turn|>\\n' -}}{%- endif -%}"
    "{%- for m in rest -%}{{- '<|turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' -}}"
    "{{- said(m.content) -}}{{- '<turn|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|turn>model\\n' -}}"
)
_GEMMA4_SMALL = _GEMMA4_TURNS + "{%- endif -%}"
_GEMMA4_LARGE = _GEMMA4_TURNS + "{%- if not think -%}{{- '<|channel>thought\\n<channel|>' -}}{%- endif -%}{%- endif -%}"

_GEMMA4_VOCABULARY = Vocabulary(
    [
        "<|think|>", "<|image>", "<|image|>", "<image|>", "<|audio>", "<audio|>", "<|turn>", "<turn|>",
        "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>',
    ],
    bpe="gemma4", end="<turn|>", begin="<bos>", adds_begin=True,
    shown=("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>'),
)  # fmt: skip

_ALL_PLACES = 3360
"""Patches in a row of the longest picture: 1120 rows of three."""


def _gemma4_keys(full: tuple[bool, ...], head: int = 16, **more: object) -> dict[str, object]:
    """Keys of Gemma 4's language models: every few layers see everything, with larger heads; the others a window."""
    keys = words.usual_keys(heads=4, head=2 * head, layers=len(full))
    return keys | {
        "rope.freq_base": 1000000.0, "rope.freq_base_swa": 10000.0, "rope.dimension_count_swa": head,
        "attention.key_length_swa": head, "attention.value_length_swa": head, "attention.sliding_window": 64,
        "attention.sliding_window_pattern": [not one for one in full], "final_logit_softcapping": 30.0,
        "attention.shared_kv_layers": 0, "embedding_length_per_layer_input": 0, **more,
    }  # fmt: skip


def _gemma4_layer(
    width: int, heads: int, kv_heads: int, head: int, ff: int, *, values: bool = True, shared: bool = False
) -> words.Shapes:
    """One layer: norms before and after both halves, and a scale. `shared`: keys are an earlier layer's."""
    found = words.attention(width, heads, kv_heads, head, norms=True) | words.feed_forward(width, ff)
    found |= {"post_attention_norm.weight": (width,), "post_ffw_norm.weight": (width,)}
    found |= {"layer_output_scale.weight": Tensor((1,), 0.02, about=0.9)}
    for name in ("attn_k.weight", "attn_k_norm.weight", "attn_v.weight") if shared else ():
        del found[name]
    if not values and not shared:
        del found["attn_v.weight"]
    return found


def _gemma4_ends(width: int, head: int) -> words.Shapes:
    """The last norm, and by how much each pair of a whole-sight head's numbers is turned: a quarter of them at all."""
    turned = [1.0] * (head // 8) + [1e30] * (head // 2 - head // 8)
    return {
        "output_norm.weight": Tensor((width,), 0.1, about=4.0), "rope_freqs.weight": Tensor((head // 2,), given=turned),
    }  # fmt: skip


def _gemma4_moe() -> Words:
    """26B-A4B: beside each layer's feed-forward, experts; where it sees everything, keys are values."""
    full = (False, False, False, True)
    moe: words.Shapes = {
        "ffn_gate_inp.weight": Tensor((4, 64), 0.5, kind="F32"), "ffn_gate_inp.scale": Tensor((64,), 0.05, about=8.0),
        "pre_ffw_norm_2.weight": (64,), "post_ffw_norm_1.weight": (64,), "post_ffw_norm_2.weight": (64,),
        "ffn_gate_up_exps.weight": (4, 64, 64), "ffn_down_exps.weight": (4, 64, 32),
        "ffn_down_exps.scale": Tensor((4,), 0.1, about=1.0),
    }  # fmt: skip
    near = _gemma4_layer(64, 4, 2, 16, 96) | moe
    far = _gemma4_layer(64, 4, 1, 32, 96, values=False) | moe
    keys = _gemma4_keys(
        full, expert_count=4, expert_used_count=2, expert_feed_forward_length=32, feed_forward_length=96,
    )  # fmt: skip
    keys["attention.head_count_kv"] = [1 if one else 2 for one in full]
    tensors = {**layered([0, 1, 2], near), **layered([3], far), **_gemma4_ends(64, 32)}
    return Words("gemma4", keys, tensors, _GEMMA4_VOCABULARY, _GEMMA4_LARGE, embedding=0.08)


def _gemma4_e2b() -> Words:
    """E2B, of its own width, by which libmtmd knows it: embeddings for each layer; the last layers have no keys."""
    width, layers = 1536, 5
    full = (False, False, True, False, True)
    keys = _gemma4_keys(full, embedding_length_per_layer_input=16)
    keys |= {"attention.head_count": 2, "attention.head_count_kv": 1, "attention.shared_kv_layers": 2}
    keys["feed_forward_length"] = [32, 32, 32, 64, 64]
    tensors: words.Shapes = {}
    for layer, sees in enumerate(full):
        one = _gemma4_layer(width, 2, 1, 32 if sees else 16, 32 if layer < 3 else 64, shared=layer >= 3)
        one |= {"inp_gate.weight": (16, width), "proj.weight": (width, 16), "post_norm.weight": (width,)}
        tensors |= layered([layer], one)
    tensors |= {
        "per_layer_model_proj.weight": (16 * layers, width), "per_layer_proj_norm.weight": (16,),
        "per_layer_token_embd.weight": Tensor((320, 16 * layers), 0.3),
    }  # fmt: skip
    tensors |= _gemma4_ends(width, 32)
    vocabulary = _GEMMA4_VOCABULARY
    return Words("gemma4", keys, tensors, vocabulary, _GEMMA4_SMALL, width=width, embedding=0.006)


def _gemma4v_eyes(out: int, *, clamps: bool = False, standard: bool = False) -> Eyes:
    """Gemma 4's encoder: heads turned by x and y, patches pooled by three.

    Args:
        out: the language model's width.
        clamps: whether matrices say between what their inputs and outputs lie (E2B, E4B).
        standard: whether the pooled patches are brought to a standard range (the larger ones).
    """
    layer = eyes.layer(32, 64, bias=False, rms=True, gate=True)
    layer |= {"attn_q_norm.weight": (16,), "attn_k_norm.weight": (16,)}
    layer |= {"attn_post_norm.weight": (32,), "ffn_post_norm.weight": (32,)}
    for matrix in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_gate", "ffn_up", "ffn_down") if clamps else ():
        for end, value in (("input_min", -2.0), ("input_max", 2.0), ("output_min", -1.5), ("output_max", 1.5)):
            layer[f"{matrix}.{end}"] = Tensor((1,), given=(value,))
    tensors: words.Shapes = {
        "v.patch_embd.weight": Tensor((32, 3, 16, 16), 0.1),
        "v.position_embd.weight": Tensor((2, _ALL_PLACES, 32), 0.3),
        **layered(3, layer, "v.blk."),
        "mm.input_projection.weight": (out, 32),
    }
    if standard:
        tensors |= {"v.std_bias": Tensor((32,), 0.5), "v.std_scale": Tensor((32,), 0.1, about=1.0)}
    keys = eyes.usual_keys(224, 16, 32, 2, 64, 3, out, image_mean=[0.0] * 3, image_std=[1.0] * 3)
    return Eyes("gemma4v", keys, tensors)


def _gemma4v() -> Pair:
    return Pair(_gemma4_moe(), _gemma4v_eyes(64, standard=True), "Gemma 4 26B-A4B")


def _gemma4v_e2b() -> Pair:
    return Pair(_gemma4_e2b(), _gemma4v_eyes(1536, clamps=True), "Gemma 4 E2B")


def _gemma4_dense() -> Words:
    """12B, and 31B: no experts; tokens that no answer may have."""
    full = (False, True, False, True)
    keys = _gemma4_keys(full, feed_forward_length=96)
    keys["attention.head_count_kv"] = [1 if one else 2 for one in full]
    tensors: words.Shapes = {}
    for layer, sees in enumerate(full):
        one = _gemma4_layer(64, 4, 1 if sees else 2, 32 if sees else 16, 96, values=not sees)
        tensors |= layered([layer], one)
    more = {"tokenizer.ggml.suppress_tokens": [279, 280, 281]}
    return Words(
        "gemma4",
        keys,
        {**tensors, **_gemma4_ends(64, 32)},
        _GEMMA4_VOCABULARY,
        _GEMMA4_LARGE,
        more=more,
        embedding=0.08,
    )


def _gemma4uv() -> Pair:
    """No encoder at all: each square of pixels is normalised, multiplied, and given its place."""
    side = 48
    tensors: words.Shapes = {
        "v.patch_embd.weight": Tensor((64, 3 * side * side), 0.02), "v.patch_embd.bias": (64,),
        **eyes.norm("v.patch_norm.1", 3 * side * side), **eyes.norm("v.patch_norm.2"), **eyes.norm("v.patch_norm.3"),
        "v.position_embd.weight": Tensor((2, 1120, 64), 0.3), "mm.input_projection.weight": (64, 64),
    }  # fmt: skip
    keys = eyes.usual_keys(224, 16, 64, 0, 0, 0, 64, image_mean=[0.0] * 3, image_std=[1.0] * 3)
    return Pair(_gemma4_dense(), Eyes("gemma4uv", keys, tensors), "Gemma 4 Unified")


_GEMMA3N_TURNS = (
    "{{ bos_token }}{%- set before = messages[0].content + '\n\n' if messages[0].role == 'system' else '' -%}"
    "{%- for m in (messages[1:] if before else messages) -%}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (before if loop.first else '') }}"
    "{{- m.content | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
_GEMMA3N_VOCABULARY = Vocabulary(
    ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"],
    bpe="", end="<end_of_turn>", begin="<bos>", adds_begin=True,
)  # fmt: skip


def _gemma3n_words() -> Words:
    """Gemma 3n: four streams (AltUp), LAuReL, embeddings for each layer; from the 20th layer on, keys of earlier ones.

    llama.cpp has the 20, the four, and LAuReL's and the embeddings' widths built in.
    """
    width, layers, deep = 32, 22, 256
    faint = Tensor((width,), 0.02, about=0.3)  # or what differs by rounding grows from layer to layer
    layer: words.Shapes = {
        **words.attention(width, 2, 1, 16, norms=True), **words.feed_forward(width, 256),
        "post_attention_norm.weight": faint, "post_ffw_norm.weight": faint,
        "inp_gate.weight": (deep, width), "proj.weight": (width, deep), "post_norm.weight": faint,
        "altup_correct_coef.weight": Tensor((4, 4), 0.1), "altup_correct_scale.weight": (width,),
        "altup_predict_coef.weight": Tensor((16, 4), 0.1), "altup_router.weight": Tensor((4, width), 2.0),
        "altup_router_norm.weight": (width,), "laurel_l.weight": (64, width), "laurel_r.weight": (width, 64),
        "laurel_post_norm.weight": faint,
    }  # fmt: skip
    tensors: words.Shapes = {
        **layered(layers, layer), "altup_proj.weight": (3, width, width), "altup_unembd_proj.weight": (3, width, width),
        "per_layer_token_embd.weight": Tensor((288, deep * layers), 0.06),
        "per_layer_model_proj.weight": (deep * layers, width), "per_layer_proj_norm.weight": (deep,),
        "output_norm.weight": Tensor((width,), 0.1, about=4.0),
    }  # fmt: skip
    keys = words.usual_keys(heads=2, kv_heads=1, ff=256, layers=layers) | {
        "attention.sliding_window": 64, "rope.freq_base_swa": 10000.0, "rope.freq_base": 1000000.0,
        "attention.sliding_window_pattern": [layer not in (4, 9, 14, 19, 21) for layer in range(layers)],
        "attention.shared_kv_layers": 2, "altup.active_idx": 0, "altup.num_inputs": 4,
        "embedding_length_per_layer_input": deep,
    }  # fmt: skip
    return Words("gemma3n", keys, tensors, _GEMMA3N_VOCABULARY, _GEMMA3N_TURNS, width, embedding=0.055)


def _conv(name: str, out: int, inner: int, side: int = 1) -> words.Shapes:
    """A convolution and the norm behind it; `inner` is 1 where each channel is taken by itself."""
    scale = 1.4 / (inner * side * side) ** 0.5
    return {f"{name}.conv.weight": Tensor((out, inner, side, side), scale), f"{name}.bn.weight": (out,)}


def _inverted(inner: int, out: int, *, start: int = 0, middle: int = 0) -> words.Shapes:
    """A universal inverted residual, widened by two; `start` and `middle` are sides of its convolutions by channel."""
    found: words.Shapes = {"layer_scale.gamma": Tensor((1, out, 1, 1), 0.05, about=0.7, kind="F32")}
    if start:
        found |= _conv("dw_start", inner, 1, start)
    if middle:
        found |= _conv("dw_mid", 2 * inner, 1, middle)
    return found | _conv("pw_exp", 2 * inner, inner) | _conv("pw_proj", out, 2 * inner)


def _mobile_attention(width: int, *, halved: bool) -> words.Shapes:
    """Two heads of queries, one of keys and values, which may be of half as many places a side."""
    found: words.Shapes = {
        "norm.weight": (width,),
        "layer_scale.gamma": Tensor((1, width, 1, 1), 0.05, about=0.7, kind="F32"),
    }
    for part in ("key", "value"):
        found[f"attn.{part}.proj.weight"] = (8, width, 1, 1)
        if halved:
            found |= {f"attn.{part}.down_conv.weight": (width, 1, 3, 3), f"attn.{part}.norm.weight": (width,)}
    return found | {"attn.query.proj.weight": (16, width, 1, 1), "attn.output.proj.weight": (width, 16, 1, 1)}


def _gemma3nv() -> Pair:
    """Gemma 3n's encoder, MobileNetV5: convolutions in four stages, whose last two are brought together.

    llama.cpp takes its width for the language model's.
    """
    stages: list[list[words.Shapes]] = [
        [
            {
                "conv_exp.weight": Tensor((16, 8, 3, 3), 0.16), "bn1.weight": (16,),
                "conv_pwl.weight": Tensor((8, 16, 1, 1), 0.35), "bn2.weight": (8,),
            }
        ] * 2,
        [_inverted(8, 16, start=3, middle=5), _inverted(16, 16, start=5)],
        [_inverted(16, 24, start=5, middle=5), _mobile_attention(24, halved=True), _inverted(24, 24)],
        [_inverted(24, 32, start=5, middle=5), _mobile_attention(32, halved=False), _inverted(32, 32)],
    ]  # fmt: skip
    tensors: words.Shapes = {
        "v.conv_stem.conv.weight": Tensor((8, 3, 3, 3), 0.4, kind="F32"),
        "v.conv_stem.conv.bias": Tensor((1, 8, 1, 1), 0.1, kind="F32"), "v.conv_stem.bn.weight": (8,),
        **{f"v.msfa.ffn.{name}": shape for name, shape in (_conv("pw_exp", 64, 56) | _conv("pw_proj", 32, 64)).items()},
        "v.msfa.norm.weight": (32,), "mm.input_projection.weight": (32, 32), "mm.soft_emb_norm.weight": (32,),
    }  # fmt: skip
    for stage, blocks in enumerate(stages):
        for number, block in enumerate(blocks):
            tensors |= layered([number], block, f"v.blk.{stage}.")
    keys = eyes.usual_keys(512, 2, 32, 8, 128, 4, 32, image_mean=[0.0] * 3, image_std=[1.0] * 3)
    return Pair(_gemma3n_words(), Eyes("gemma3nv", keys, tensors), "Gemma 3n E2B")


PAIRS: dict[str, Callable[[], Pair]] = {
    "gemma4v": _gemma4v,
    "gemma4v-e2b": _gemma4v_e2b,
    "gemma4uv": _gemma4uv,
    "gemma3nv": _gemma3nv,
}
