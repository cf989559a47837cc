"""Pairs of GLM, Kimi and Ling, whose language models are mixtures of experts and compress what attention keeps."""

from __future__ import annotations

from typing import Any

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered
from vlmcli.bench.families.qwens import GELU, SILU, merger, places

_GLM = Vocabulary(
    (
        "<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
        "<|begin_of_image|>", "<|end_of_image|>", "<|image|>", "/nothink",
    ),
    bpe="glm4", end="<|endoftext|>", added=("<think>", "</think>"),
)  # fmt: skip
_KIMI = Vocabulary(
    (
        "[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>", "[PAD]",
        "<|media_start|>", "<|media_begin|>", "<|media_content|>", "<|media_end|>", "<|media_pad|>",
    ),
    bpe="kimi-k2", begin="[BOS]", added=("<think>", "</think>"),
)  # fmt: skip

_TURNS = (
    "[gMASK]<sop>{%- for m in messages %}{{- '<|' + m.role + '|>\n' }}"
    "{%- if m.role == 'assistant' %}{{- m.content.split('</think>')[-1].strip() }}{%- else %}{{- m.content }}"
    "{%- endif %}{%- if SILENCE and m.role == 'user' %}{{- '/nothink' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}END{%- endif %}"
)
_NO_THOUGHTS = "enable_thinking is defined and not enable_thinking"
_GLM41 = _TURNS.replace("SILENCE", "false").replace("END", "")
"""GLM-4.1V's: it thinks whatever one wants."""
_GLM45 = _TURNS.replace("SILENCE", _NO_THOUGHTS).replace(
    "END", "{%- if " + _NO_THOUGHTS + " %}{{- '<think></think>\n' }}{%- endif %}"
)
"""GLM-4.5V's."""
_GLM5 = (
    "[gMASK]<sop>{%- for m in messages %}{{- '<|' + m.role + '|>' }}"
    "{%- if m.role == 'assistant' %}{{- '</think>' + m.content.split('</think>')[-1].strip() }}"
    "{%- else %}{{- m.content }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|assistant|>' }}"
    "{{- '</think>' if " + _NO_THOUGHTS + " else '<think>' }}{%- endif %}"
)
"""GLM-5's: no line ends, and a thought is ended where none is wanted."""

_KIMI_TURNS = (
    "{%- for m in messages %}{%- if loop.first and m.role != 'system' and WHO %}"
    "{{- '<|im_system|>system<|im_middle|>' + WHO + '<|im_end|>' }}{%- endif %}"
    "{{- '<|im_' + m.role + '|>' + m.role + '<|im_middle|>' + m.content + '<|im_end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_assistant|>assistant<|im_middle|>' }}END{%- endif %}"
)
_KIMI_VL = _KIMI_TURNS.replace("WHO", "'You are a helpful assistant'").replace("END", "")
_KIMI_K25 = _KIMI_TURNS.replace("WHO", "''").replace(
    "END", "{{- '<think></think>' if thinking is defined and thinking is false else '<think>' }}"
)

_LING = (
    "{%- set thought = 'off' if enable_thinking is defined and not enable_thinking else 'on' %}"
    "{{- '<role>SYSTEM</role>' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n' }}{%- endif %}"
    "{{- 'detailed thinking ' + thought + '<|role_end|>' }}{%- for m in messages %}"
    "{%- if m.role == 'user' %}{{- '<role>HUMAN</role>' + m.content + '<|role_end|>' }}"
    "{%- elif m.role == 'assistant' %}{{- '<role>ASSISTANT</role>\n<think></think>' + m.content + '<|role_end|>' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<role>ASSISTANT</role>\n' }}"
    "{{- '<think>' if thought == 'on' else '<think></think>' }}{%- endif %}"
)
"""Ling's: a line for the system says whether it thinks."""


def _ends() -> words.Shapes:
    """The last norm, and an output that is not the embedding."""
    return {**words.ends(), "output.weight": Tensor((288, 64), 0.3)}


def _downsampler(width: int = 32, out: int = 64, ff: int = 96) -> words.Shapes:
    """What makes one row of four patches: a convolution, a matrix and a norm, and a feed-forward layer."""
    return {
        "mm.patch_merger.weight": (out, width, 2, 2), "mm.patch_merger.bias": (out,),
        "mm.model.fc.weight": (out, out), **eyes.norm("mm.post_norm", out),
        "mm.up.weight": (ff, out), "mm.gate.weight": (ff, out), "mm.down.weight": (out, ff),
    }  # fmt: skip


def _glm4_eyes() -> Eyes:
    """GLM-4V's encoder: a second frame, positions that are stretched, and norms before and after them."""
    tensors = {
        **eyes.patches(32, 28, second=True),
        **places(64, 32),
        **eyes.norm("v.norm_embd", 32, bias=False),
        **eyes.norm("v.post_ln", 32, bias=False),
        **layered(3, eyes.layer(32, 64, bias=False, rms=True, gate=True, fused=True), "v.blk."),
        **_downsampler(),
    }
    return Eyes("glm4v", eyes.usual_keys(224, 28, 32, 2, 64), tensors, SILU)


def _glm4v() -> Pair:
    """GLM-4.1V-9B: norms around attention and around the feed-forward layer, and half of a head rotates."""
    keys: dict[str, Any] = words.usual_keys(heads=2, kv_heads=1, head=32) | {
        "rope.dimension_count": 16, "rope.dimension_sections": [2, 3, 3, 0],
    }  # fmt: skip
    layer = {
        **words.attention(heads=2, kv_heads=1, head=32, biases=True), "post_attention_norm.weight": (64,),
        "ffn_norm.weight": (64,), "ffn_up.weight": (256, 64), "ffn_down.weight": (64, 128),
        "post_ffw_norm.weight": (64,),
    }  # fmt: skip
    return Pair(
        Words("glm4", keys, {**layered(3, layer), **_ends()}, _GLM, _GLM41),
        _glm4_eyes(),
        "GLM-4.1V-9B-Thinking",
        draw=10,
    )


def _glm4moe() -> Pair:
    """GLM-4.5V: a dense layer, then experts chosen by sigmoid with a bias, and one that all tokens take."""
    keys: dict[str, Any] = words.usual_keys(heads=2, kv_heads=1, head=32, layers=3) | {
        "rope.dimension_count": 16, "rope.dimension_sections": [2, 3, 3, 0], **_expert_keys(),
    }  # fmt: skip
    attention = {**words.attention(heads=2, kv_heads=1, head=32, biases=True), "post_attention_norm.weight": (64,)}
    dense = {name: shape for name, shape in words.feed_forward().items() if name != "ffn_norm.weight"}
    tensors = {
        **layered(1, {**attention, **dense}),
        **layered([1, 2], {**attention, **words.experts(shared=32, bias=0.1, norm=False)}),
        **_ends(),
    }
    return Pair(Words("glm4moe", keys, tensors, _GLM, _GLM45), _glm4_eyes(), "GLM-4.5V", draw=5)


def _expert_keys(scale: float = 1.5) -> dict[str, Any]:
    """Four experts of which two are used, and one that all tokens take, after a dense layer."""
    return {
        "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_count": 1,
        "leading_dense_block_count": 1, "expert_gating_func": 2, "expert_weights_scale": scale,
        "expert_weights_norm": True,
    }  # fmt: skip


def _latent_keys(query: int, turned: int = 8) -> dict[str, Any]:
    """Attention that keeps 32 numbers of a token for all heads, and those that rotate."""
    return {
        "attention.head_count_kv": 1, "attention.q_lora_rank": query, "attention.kv_lora_rank": 32,
        "attention.key_length": 32 + turned, "attention.value_length": 32, "attention.key_length_mla": 16 + turned,
        "attention.value_length_mla": 16, "rope.dimension_count": turned,
    }  # fmt: skip


def latent(query: int = 0, turned: int = 8, heads: int = 4) -> words.Shapes:
    """That attention's tensors: in a layer. `query` is how many numbers queries are compressed to; 0 for not."""
    rows = heads * (16 + turned)
    found: words.Shapes = {
        "attn_norm.weight": (64,), "attn_kv_a_mqa.weight": (32 + turned, 64), "attn_kv_a_norm.weight": (32,),
        "attn_k_b.weight": (heads, 32, 16), "attn_v_b.weight": (heads, 16, 32),
        "attn_output.weight": (64, heads * 16),
    }  # fmt: skip
    if query == 0:
        return {**found, "attn_q.weight": (rows, 64)}
    return {
        **found, "attn_q_a.weight": (query, 64), "attn_q_a_norm.weight": (query,), "attn_q_b.weight": (rows, query),
    }  # fmt: skip


def _kimi_words(query: int, template: str, **more: Any) -> Words:
    """Moonlight, and Kimi-K2 in which queries are compressed, too: DeepSeek-V3's architecture."""
    keys: dict[str, Any] = words.usual_keys() | _latent_keys(query) | _expert_keys(2.4) | more
    tensors = {
        **layered(1, {**latent(query), **words.feed_forward()}),
        **layered([1, 2], {**latent(query), **words.experts(shared=32, bias=0.1)}),
        **_ends(),
    }
    return Words("deepseek2", keys, tensors, _KIMI, template)


def _moon(patch: int, fused: bool) -> words.Shapes:
    """MoonViT and its projector, without the position embeddings."""
    return {
        **eyes.patches(32, patch), **eyes.norm("v.post_ln", 32),
        **layered(3, eyes.layer(32, 64, fused=fused), "v.blk."), **eyes.norm("mm.input_norm", 32),
        **eyes.linear("mm.1", 128, 128), **eyes.linear("mm.2", 64, 128),
    }  # fmt: skip


def _kimivl() -> Pair:
    """Kimi-VL-A3B."""
    keys = eyes.usual_keys(224, 28, 32, 2, 64) | {"projector.scale_factor": 2, "attention.layer_norm_epsilon": 1e-5}
    sight = Eyes("kimivl", keys, {**_moon(28, False), **places(64, 32)}, GELU)
    return Pair(_kimi_words(0, _KIMI_VL), sight, "Kimi-VL-A3B", draw=6)


def _moon_3d() -> Eyes:
    """MoonViT-3d, whose positions are a table of rows and columns."""
    keys = eyes.usual_keys(224, 28, 32, 2, 64) | {
        "projector.scale_factor": 2, "attention.layer_norm_epsilon": 1e-5, "image_min_pixels": 32 * 28 * 28,
        "image_max_pixels": 1024 * 28 * 28,
    }  # fmt: skip
    return Eyes("kimik25", keys, {**_moon(28, True), **places(8, 8, 32)}, GELU)


def _kimik25() -> Pair:
    """Kimi-K2.5, whose positions are stretched for a longer context than it was trained on (YaRN)."""
    scaling = {
        "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 1024,
        "rope.scaling.yarn_log_multiplier": 0.1,
    }  # fmt: skip
    return Pair(_kimi_words(24, _KIMI_K25, **scaling), _moon_3d(), "Kimi-K2.5", draw=15)


def _glm52v() -> Pair:
    """GLM-5.2-V: Kimi-K2.5's encoder beside attention that looks up the tokens it looks at, in each other layer."""
    keys: dict[str, Any] = words.usual_keys() | _latent_keys(24) | _expert_keys(2.5) | {
        "attention.indexer.head_count": 8, "attention.indexer.key_length": 64, "attention.indexer.top_k": 128,
        "attention.indexer.types": [True, False, True],
    }  # fmt: skip
    indexer = {
        **eyes.norm("indexer.k_norm", 64), "indexer.proj.weight": (8, 64), "indexer.attn_k.weight": (64, 64),
        "indexer.attn_q_b.weight": (512, 24),
    }  # fmt: skip
    mixture = words.experts(shared=32, bias=0.1)
    tensors = {
        **layered(1, {**latent(24), **indexer, **words.feed_forward()}), **layered([1], {**latent(24), **mixture}),
        **layered([2], {**latent(24), **indexer, **mixture}), **_ends(),
    }  # fmt: skip
    return Pair(Words("glm-dsa", keys, tensors, _GLM, _GLM5), _moon_3d(), "GLM-5.2-V", draw=7)


def _glm5v() -> Pair:
    """GLM-5.3-Flash: four streams that mix, layers of Kimi's delta attention, and one that looks up what to look at."""
    keys: dict[str, Any] = words.usual_keys(layers=4) | _latent_keys(24, 0) | _expert_keys(2.5) | {
        "attention.head_count_kv": [0, 0, 0, 1], "attention.layer_norm_epsilon": 1e-6, "ssm.conv_kernel": 4,
        "kda.head_dim": 16, "kda.gate_lower_bound": -5.0, "attention.indexer.head_count": 8,
        "attention.indexer.key_length": 16, "attention.indexer.top_k": 64, "attention.indexer.kpool": 4,
        "attention.indexer.kpool_select_tail": True, "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 4, "hyper_connection.epsilon": 1e-6,
        "swiglu_clamp_exp": [10.0] * 4, "swiglu_clamp_shexp": [10.0] * 4,
    }  # fmt: skip
    streams: words.Shapes = {}
    for part in ("attn", "ffn"):
        streams[f"hc_{part}_fn.weight"] = Tensor((24, 256), 0.05, kind="F32")
        streams[f"hc_{part}_base.weight"] = Tensor((24,), 0.5, about=0.0)
        streams[f"hc_{part}_scale.weight"] = (3,)
    delta: words.Shapes = {"attn_norm.weight": (64,), "attn_output.weight": (64, 64), **streams}
    for letter in "qkv":
        delta[f"attn_{letter}.weight"] = (64, 64)
        delta[f"ssm_conv1d_{letter}.weight"] = Tensor((1, 64, 1, 4), 0.5, kind="F32")
    delta |= {
        "ssm_f_a.weight": (16, 64), "ssm_f_b.weight": (64, 16), "ssm_g_a.weight": (16, 64),
        "ssm_g_b.weight": (64, 16), "ssm_beta.weight": (4, 64), "ssm_a": Tensor((4,), 0.1, about=-1.0),
        "ssm_dt.bias": Tensor((64,), 0.5, about=-7.0),
        "ssm_norm.weight": (16,),
    }  # fmt: skip
    full: words.Shapes = latent(24, 0) | streams | {
        **eyes.norm("indexer.k_norm", 16), "indexer.proj.weight": (8, 64), "indexer.attn_k.weight": (16, 64),
        "indexer.attn_q_b.weight": (128, 24), "indexer_compressor_gate.weight": (16, 64),
        "indexer_compressor_ape.weight": Tensor((4, 16), 0.2, kind="F32"),
    }  # fmt: skip
    mixture = words.experts(shared=32, bias=0.1)
    tensors = {
        **layered(1, {**delta, **words.feed_forward()}), **layered([1, 2], {**delta, **mixture}),
        **layered([3], {**full, **mixture}), **words.ends(), "output.weight": Tensor((288, 64), 0.3),
    }  # fmt: skip
    layer = eyes.layer(32, 64, bias=False, rms=True, gate=True, fused=True)
    sight = {
        **eyes.patches(32, 28, second=True), **eyes.norm("v.post_ln", 32, bias=False),
        **layered(3, {**layer, "attn_q_norm.weight": (16,), "attn_k_norm.weight": (16,)}, "v.blk."), **_downsampler(),
    }  # fmt: skip
    sight_keys = eyes.usual_keys(224, 28, 32, 2, 64) | {
        "swiglu_clamp": 10.0, "image_min_pixels": 64 * 28 * 28, "image_max_pixels": 1024 * 28 * 28,
    }  # fmt: skip
    return Pair(Words("glm5-next", keys, tensors, _GLM, _GLM5), Eyes("glm5v", sight_keys, sight, SILU), "GLM-5.3-Flash")


def _ling3vl() -> Pair:
    """Ling-3.0-flash-VL: Kimi's delta attention, and one layer of compressed attention with a gate for each head."""
    keys: dict[str, Any] = words.usual_keys(layers=4) | _latent_keys(24) | _expert_keys(2.5) | {
        "attention.head_count_kv": [0, 0, 0, 1], "rope.dimension_sections": [2, 1, 1, 0], "ssm.conv_kernel": 4,
        "kda.head_dim": 16, "kda.safe_gate": True, "kda.gate_lower_bound": -5.0,
        "expert_shared_feed_forward_length": 32, "swiglu_clamp_exp": [0.0, 7.0, 7.0, 7.0],
        "swiglu_clamp_shexp": [0.0, 7.0, 7.0, 7.0],
    }  # fmt: skip
    delta: words.Shapes = {"attn_norm.weight": (64,), "attn_output.weight": (64, 64)}
    for letter in "qkv":
        delta[f"attn_{letter}.weight"] = (64, 64)
        delta[f"ssm_conv1d_{letter}.weight"] = Tensor((1, 64, 1, 4), 0.5, kind="F32")
    delta |= {
        "ssm_f_a.weight": (64, 64), "ssm_g_a.weight": (64, 64), "ssm_beta.weight": (4, 64),
        "ssm_a": Tensor((4, 1), 0.1, about=1.0, kind="F32"), "ssm_dt.bias": Tensor((64,), 0.5, about=-7.0),
        "ssm_norm.weight": (16,),
    }  # fmt: skip
    mixture = words.experts(shared=32, bias=0.1)
    tensors = {
        **layered(1, {**delta, **words.feed_forward()}), **layered([1, 2], {**delta, **mixture}),
        **layered([3], {**latent(24), "attn_gate.weight": (4, 64), **mixture}), **words.ends(),
    }  # fmt: skip
    specials = (
        "<|startoftext|>", "<|endoftext|>", "<role>", "</role>", "<|role_end|>", "<|vision_start|>", "<|vision_end|>",
        "<|image_pad|>",
    )  # fmt: skip
    vocabulary = Vocabulary(
        specials, bpe="bailingmoe2", end="<|role_end|>", begin="<|startoftext|>", added=("<think>", "</think>")
    )
    sight = {
        **eyes.patches(32, 32, bias=False, second=True), **places(256, 32),
        **layered(3, eyes.layer(32, 64, fused=True), "v.blk."), **eyes.norm("mm.input_norm", 32), **merger(width=32),
    }  # fmt: skip
    sight_keys = eyes.usual_keys(512, 32, 32, 2, 64, spatial_merge_size=2)
    return Pair(
        Words("bailingmoe3", keys, tensors, vocabulary, _LING), Eyes("ling3vl", sight_keys, sight, GELU),
        "Ling-3.0-flash-VL", draw=3,
    )  # fmt: skip


PAIRS = {
    "glm4v": _glm4v,
    "glm4v-glm4moe": _glm4moe,
    "glm5v": _glm5v,
    "kimivl": _kimivl,
    "kimik25": _kimik25,
    "kimik25-glm-dsa": _glm52v,
    "ling3vl": _ling3vl,
}
