"""Pairs of families that see as Qwen-VL does: in any size, and with positions in two dimensions."""

from __future__ import annotations

from typing import Any

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered
from vlmcli.bench.pair_maker import CHATML

QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
"""Control tokens of every Qwen."""

GELU = {"clip.use_gelu": True}
SILU = {"clip.use_silu": True}

_THINKING = (
    "{%- for m in messages %}{%- set said = m.content | trim %}"
    "{%- if m.role == 'assistant' and '</think>' in said %}{%- set said = said.split('</think>')[-1].lstrip('\n') %}"
    "{%- endif %}{{- '<|im_start|>' + m.role + '\n' + said + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '\n</think>\n\n' }}{%- endif %}{%- endif %}"
)
"""Qwen3.5's: it thinks unless told otherwise."""

_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
"""Before ChatML: who it is, unless somebody says."""


_MIMO = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content.split('</think>')[-1] + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}"
)
"""Step3-VL's and MiMo-V2.5's: they think whatever one wants."""

_EXAONE = (
    "{%- for m in messages %}{{- '[|' + m.role + '|]\n' }}"
    "{%- if m.role == 'assistant' %}{{- m.content.split('</think>')[-1].strip() }}{%- else %}{{- m.content }}"
    "{%- endif %}{{- '[|endofturn|]\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '[|assistant|]\n<think>\n' }}"
    "{%- if enable_thinking is not defined or not enable_thinking %}{{- '\n</think>\n\n' }}{%- endif %}{%- endif %}"
)
"""EXAONE-4's: it thinks where one wants it."""


_HARMONY = (
    "{{- '<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n\n' }}"
    "{{- 'Reasoning: medium\n\n# Valid channels: analysis, commentary, final.<|end|>' }}{%- for m in messages %}"
    "{%- if m.role == 'assistant' %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}"
    "{%- else %}{{- '<|start|>' + ('developer' if m.role == 'system' else m.role) + '<|message|>' + m.content }}"
    "{{- '<|end|>' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"
)
"""GPT-OSS's: what it thinks and what it says go through channels."""


def sharp(head: int = 16) -> words.Shapes:
    """A norm of queries that are long, so that each looks at a few tokens and not at the mean of all."""
    return {"attn_q_norm.weight": Tensor((head,), about=3.0)}


def places(*shape: int) -> words.Shapes:
    """Position embeddings that are stretched to a picture's size, which takes F32."""
    return {"v.position_embd.weight": Tensor(shape, 0.05, kind="F32")}


def merger(hidden: int = 128, out: int = 64, *, width: int = 64, bias: bool = True) -> words.Shapes:
    """Two layers that make one row of four patches."""
    found: words.Shapes = {}
    for name, rows, columns in (("mm.0", hidden, 4 * width), ("mm.2", out, hidden)):
        found[f"{name}.weight"] = Tensor((rows, columns), 0.1)
        if bias:
            found[f"{name}.bias"] = (rows,)
    return found


def _qwen3_eyes(deepstack: bool) -> Eyes:
    """The encoder of Qwen3-VL, and of Qwen3.5, which has no rows for single layers."""
    tensors = {
        **eyes.patches(32, 32, second=True),
        **places(256, 32),
        **eyes.norm("v.post_ln", 32),
        **layered(3, eyes.layer(32, 64, fused=True), "v.blk."),
        **merger(width=32),
    }
    if deepstack:
        tensors |= eyes.norm("v.deepstack.1.norm", 128)
        tensors |= eyes.linear("v.deepstack.1.fc1", 64, 128) | eyes.linear("v.deepstack.1.fc2", 64, 64)
    keys = eyes.usual_keys(512, 32, 32, 2, 64) | {
        "spatial_merge_size": 2, "is_deepstack_layers": [False, deepstack, False],
    }  # fmt: skip
    return Eyes("qwen3vl_merger", keys, tensors, GELU)


def _qwen35_words(mixture: bool) -> Words:
    """Three layers of a gated delta net, then one of gated attention."""
    keys, forward = words.qwen35_keys(), words.feed_forward(norm=False)
    if mixture:
        keys |= {
            "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32,
            "expert_shared_feed_forward_length": 32,
        }  # fmt: skip
        forward = words.experts(shared=32, norm=False) | {"ffn_gate_inp_shexp.weight": Tensor((64,), 0.2, about=0.0)}
    vocabulary = Vocabulary(QWEN, bpe="qwen35", added=("<think>", "</think>"))
    tensors = words.qwen35(forward, sharp(32))
    return Words("qwen35moe" if mixture else "qwen35", keys, tensors, vocabulary, _THINKING)


def _qwen35() -> Pair:
    """Qwen3.5-4B."""
    return Pair(_qwen35_words(False), _qwen3_eyes(False), "Qwen3.5-4B")


def _qwen35moe() -> Pair:
    """Qwen3.5-35B-A3B: a mixture of experts, and one that all tokens take as far as they want."""
    return Pair(_qwen35_words(True), _qwen3_eyes(False), "Qwen3.5-35B-A3B", draw=1)


def _qwen3vlmoe() -> Pair:
    """Qwen3-VL-30B-A3B: a mixture of experts, and rows of the encoder's second layer for the first."""
    keys: dict[str, Any] = words.usual_keys(layers=2) | {
        "rope.dimension_sections": [3, 3, 2, 0], "n_deepstack_layers": 1, "expert_count": 4, "expert_used_count": 2,
        "expert_feed_forward_length": 32,
    }  # fmt: skip
    tensors = {**layered(2, {**words.attention(norms=True), **sharp(), **words.experts()}), **words.ends()}
    return Pair(Words("qwen3vlmoe", keys, tensors, Vocabulary(QWEN)), _qwen3_eyes(True), "Qwen3-VL-30B-A3B", draw=3)


def _qwen25o() -> Pair:
    """Qwen2.5-Omni without ears: Qwen2.5-VL's encoder, under a name that both have."""
    keys: dict[str, Any] = words.usual_keys(layers=2) | {"rope.dimension_sections": [2, 3, 3, 0]}
    tensors = {**layered(2, {**words.attention(biases=True), **words.feed_forward()}), **words.ends()}
    sight = {
        **eyes.patches(32, 28, bias=False, second=True),
        **eyes.norm("v.post_ln", 32, bias=False),
        **layered(3, eyes.layer(32, 64, rms=True, gate=True), "v.blk."),
        **merger(width=32),
    }
    keys_of_eyes = eyes.usual_keys(560, 28, 32, 2, 64, n_wa_pattern=2)
    return Pair(
        Words("qwen2vl", keys, tensors, Vocabulary(QWEN), _SYSTEM + CHATML),
        Eyes("qwen2.5o", keys_of_eyes, sight, SILU),
        "Qwen2.5-Omni",
        draw=9,
    )


def _exaone() -> Pair:
    """EXAONE-4.5-33B, as deep as it is (the window slides at 64 layers only), and a window in the encoder."""
    depth = 64
    keys: dict[str, Any] = words.usual_keys(heads=2, kv_heads=1, ff=32, layers=depth) | {
        "attention.sliding_window": 128,
        "attention.sliding_window_pattern": [layer % 4 != 3 for layer in range(depth)],
    }  # fmt: skip
    layer = {
        **words.attention(32, 2, 1, norms=True), **sharp(), **words.feed_forward(32, 32),
        "post_attention_norm.weight": Tensor((32,), 0.03, about=0.1),
        "post_ffw_norm.weight": Tensor((32,), 0.02, about=0.05),
    }  # fmt: skip
    before = ("attn_norm.weight", "ffn_norm.weight")  # it has norms after them
    tensors = {
        **layered(depth, {name: shape for name, shape in layer.items() if name not in before}), **words.ends(32),
        "rope_freqs.weight": Tensor((8,), 0.5, about=2.0),
        "token_embd.weight": Tensor((288, 32), 1.0),
        "output.weight": Tensor((288, 32), 0.4),
    }  # fmt: skip
    specials = ("[BOS]", "[PAD]", "[|endofturn|]", "[|system|]", "[|user|]", "[|assistant|]", "<vision>", "</vision>")
    vocabulary = Vocabulary(specials, bpe="exaone4", end="[|endofturn|]", begin="[BOS]", added=("<think>", "</think>"))
    sight_keys = eyes.usual_keys(560, 28, 32, 4, 64, out=32) | {
        "attention.head_count_kv": 2, "n_wa_pattern": 2, "window_size": 112, "image_min_pixels": 8 * 56 * 56,
        "image_max_pixels": 256 * 56 * 56,
    }  # fmt: skip
    sight = {
        **eyes.patches(32, 28, bias=False, second=True), **eyes.norm("v.post_ln", 32, bias=False),
        **layered(4, eyes.layer(32, 64, rms=True, gate=True, fused=True) | eyes.linear("attn_qkv", 64, 32), "v.blk."),
        **merger(out=32, width=32),
    }  # fmt: skip
    return Pair(
        Words("exaone4", keys, tensors, vocabulary, _EXAONE, 32),
        Eyes("exaone4_5", sight_keys | {"block_count": 4}, sight, SILU),
        "EXAONE-4.5-33B",
        draw=9,
    )


def _mimovl() -> Pair:
    """MiMo-V2.5 without ears: windows with sinks, in both models, and in the encoder along rows and along columns."""
    keys: dict[str, Any] = words.usual_keys() | {
        "attention.head_count_kv": [1, 2, 2], "attention.value_length": 8, "attention.value_scale": 0.7,
        "attention.sliding_window": 64, "attention.sliding_window_pattern": [0, 1, 1], "rope.dimension_count": 8,
        "rope.freq_base_swa": 5000.0, "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32,
    }  # fmt: skip
    common: words.Shapes = {"attn_norm.weight": (64,), "attn_output.weight": (64, 32)}
    windowed = {**common, "attn_qkv.weight": (112, 64), "attn_sinks.weight": (4,), **words.experts(bias=0.1)}
    tensors = {
        **layered(1, {**common, "attn_qkv.weight": (88, 64), **words.feed_forward()}), **layered([1, 2], windowed),
        **words.ends(), "output.weight": Tensor((288, 64), 0.3),
    }  # fmt: skip
    layer = {
        **eyes.layer(32, 64, rms=True, gate=True, fused=True), **eyes.linear("attn_qkv", 128, 32),
        **eyes.linear("attn_out", 32, 64), "attn_sinks": Tensor((4,), 0.5),
    }  # fmt: skip
    sight = {
        **eyes.patches(32, 28, bias=False, second=True), **eyes.norm("v.post_ln", 32), **layered(4, layer, "v.blk."),
        **merger(width=32, bias=False),
    }  # fmt: skip
    sight_keys = eyes.usual_keys(560, 28, 32, 4, 64, 4) | {
        "attention.head_count_kv": 2, "spatial_merge_size": 2, "window_size": 16, "wa_pattern_mode": [-1, 0, 1, -1],
        "image_min_pixels": 8 * 56 * 56, "image_max_pixels": 256 * 56 * 56,
    }  # fmt: skip
    return Pair(
        Words("mimo2", keys, tensors, Vocabulary(QWEN, added=("<think>", "</think>")), _MIMO),
        Eyes("mimovl", sight_keys, sight, SILU),
        "MiMo-V2.5",
        draw=2,
    )


def _step_eyes() -> Eyes:
    """Step3-VL's encoder: one look at all, and tiles; positions are added and rotate, and two convolutions merge."""
    layer = {**eyes.layer(32, 64, fused=True), "ls1.weight": (32,), "ls2.weight": (32,)}
    tensors = {
        **eyes.patches(32, 42, bias=False), **places(256, 32), **eyes.norm("v.pre_ln", 32),
        **layered(3, layer, "v.blk."), **eyes.linear("mm.0", 48, 32), "mm.0.weight": Tensor((48, 32, 3, 3), 0.1),
        **eyes.linear("mm.1", 64, 48), "mm.1.weight": Tensor((64, 48, 3, 3), 0.1), "mm.model.fc.weight": (64, 64),
    }  # fmt: skip
    keys = eyes.usual_keys(672, 42, 32, 2, 64) | {
        "projector.scale_factor": 4, "preproc_image_size": 3024, "attention.layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    return Eyes("step3vl", keys, tensors)


_STEP = Vocabulary(
    (*QWEN[:3], "<im_start>", "<im_end>", "<im_patch>", "<patch_start>", "<patch_end>", "<patch_newline>"),
    added=("<think>", "</think>"),
)


def _step3vl() -> Pair:
    """Step3-VL-10B, on Qwen3."""
    tensors = {**layered(3, {**words.attention(norms=True), **sharp(), **words.feed_forward()}), **words.ends()}
    return Pair(Words("qwen3", words.usual_keys(), tensors, _STEP, _MIMO), _step_eyes(), "Step3-VL-10B", draw=1)


def _step35() -> Pair:
    """Step-3.7-Flash: more heads where the window slides, a gate for each head, and clamped experts."""
    keys: dict[str, Any] = words.usual_keys() | {
        "attention.head_count": [2, 4, 4], "attention.head_count_kv": [1, 2, 2], "attention.sliding_window": 64,
        "attention.sliding_window_pattern": [False, True, True], "rope.freq_base_swa": 5000.0, "expert_count": 4,
        "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_feed_forward_length": 32,
        "expert_weights_scale": 1.5, "expert_weights_norm": True, "leading_dense_block_count": 1,
        "swiglu_clamp_exp": [0.0, 7.0, 7.0], "swiglu_clamp_shexp": [0.0, 0.0, 16.0],
    }  # fmt: skip
    full = {**words.attention(heads=2, kv_heads=1, norms=True), **sharp(), "attn_gate.weight": (2, 64)}
    windowed = {**words.attention(norms=True), **sharp(), "attn_gate.weight": (4, 64)}
    tensors = {
        **layered(1, {**full, **words.feed_forward()}),
        **layered([1, 2], {**windowed, **words.experts(shared=32, bias=0.1)}), **words.ends(),
        "output.weight": Tensor((288, 64), 0.3),
    }  # fmt: skip
    return Pair(Words("step35", keys, tensors, _STEP, _MIMO), _step_eyes(), "Step-3.7-Flash")


def _intern_eyes() -> Eyes:
    """InternViT, of whose patches four become one row; tiles, and a look at all."""
    layer = {**eyes.layer(), "ls1.weight": (64,), "ls2.weight": (64,)}
    tensors = {
        **eyes.patches(), **places(17, 64), "v.class_embd": (64,), **layered(3, layer, "v.blk."),
        **eyes.norm("mm.model.mlp.0", 256), **eyes.linear("mm.model.mlp.1", 64, 256),
        "mm.model.mlp.1.weight": Tensor((64, 256), 0.1), **eyes.linear("mm.model.mlp.3", 64, 64),
    }  # fmt: skip
    keys = eyes.usual_keys() | {"projector.scale_factor": 2, "preproc_min_tiles": 1, "preproc_max_tiles": 12}
    return Eyes("internvl", keys, tensors, GELU)


_IMG = ("<img>", "</img>", "<IMG_CONTEXT>")


def _intern_qwen3() -> Pair:
    """InternVL3.5-8B, on Qwen3."""
    tensors = {**layered(3, {**words.attention(norms=True), **sharp(), **words.feed_forward()}), **words.ends()}
    model = Words("qwen3", words.usual_keys(), tensors, Vocabulary((*QWEN, *_IMG)))
    return Pair(model, _intern_eyes(), "InternVL3.5-8B", draw=9)


def _intern_gpt() -> Pair:
    """InternVL3.5-GPT-OSS-20B: sinks, every other layer with a window, and experts whose matrices have biases."""
    keys: dict[str, Any] = words.usual_keys(layers=2) | {
        "attention.sliding_window": 64, "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32,
    }  # fmt: skip
    layer = {
        **words.attention(biases=True), "attn_output.bias": (64,), "attn_sinks.weight": (4,),
        "post_attention_norm.weight": (64,), **words.experts(norm=False), "ffn_gate_inp.bias": (4,),
    }  # fmt: skip
    for name, width in (("gate", 32), ("up", 32), ("down", 64)):
        layer[f"ffn_{name}_exps.bias"] = Tensor((4, width), 0.05, kind="F32")
    tensors = {**layered(2, layer), **words.ends(), "output.weight": Tensor((288, 64), 0.3)}
    specials = (
        "<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>",
        "<|message|>", "<|call|>", *_IMG,
    )  # fmt: skip
    vocabulary = Vocabulary(specials, bpe="gpt-4o", end="<|return|>", begin="<|startoftext|>")
    return Pair(
        Words("gpt-oss", keys, tensors, vocabulary, _HARMONY), _intern_eyes(), "InternVL3.5-GPT-OSS-20B", draw=3
    )


PAIRS = {
    "qwen3vl_merger-qwen35": _qwen35,
    "qwen3vl_merger-qwen35moe": _qwen35moe,
    "qwen3vl_merger-qwen3vlmoe": _qwen3vlmoe,
    "qwen2.5o": _qwen25o,
    "internvl-qwen3": _intern_qwen3,
    "internvl-gpt-oss": _intern_gpt,
    "exaone4_5": _exaone,
    "mimovl": _mimovl,
    "step3vl": _step3vl,
    "step3vl-step35": _step35,
}
