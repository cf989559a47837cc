"""Pairs of families that read documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered

_LIGHTON_CHAT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _experts(count: int = 8, *, shared: int = 0, bias: float = 0.0) -> words.Shapes:
    """Experts that say little, so that not much changes where rounding decides which are chosen."""
    return words.experts(count, shared=shared, bias=bias, choice=0.4, answer=0.02)


def _lightonocr() -> Pair:
    """LightOnOCR: Pixtral's encoder with Mistral's patch merger, and Qwen3."""
    language = Words(
        "qwen3", words.usual_keys(), {**layered(3, {**words.attention(norms=True), **words.feed_forward()}),
        **words.ends()}, Vocabulary(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
        "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>"]), _LIGHTON_CHAT, output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(bias=False),
        **eyes.norm("v.pre_ln", bias=False),
        **layered(3, eyes.layer(bias=False, rms=True, gate=True), "v.blk."),
        "mm.input_norm.weight": (64,),
        "mm.patch_merger.weight": Tensor((64, 256), 0.1),
        **eyes.linear("mm.1", 64, 64, bias=False),
        **eyes.linear("mm.2", 64, 64, bias=False),
    }
    keys = eyes.usual_keys(336, spatial_merge_size=2, preproc_image_size=336)
    more = {"clip.use_silu": True}
    return Pair(language, Eyes("lightonocr", keys, tensors, more), "LightOnOCR-1B")


_PADDLE_CHAT = (
    "<|begin_of_sentence|>{% for m in messages %}"
    "{% if m.role == 'user' %}User: {{ m.content }}\n"
    "{% elif m.role == 'assistant' %}Assistant:\n{{ m.content }}</s>"
    "{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)


def _paddleocr() -> Pair:
    """PaddleOCR-VL: a SigLIP with turned positions beside its learned ones, and ERNIE 4.5 with M-RoPE."""
    keys = {**words.usual_keys(), "rope.freq_base": 500000.0, "rope.dimension_sections": [2, 3, 3, 0]}
    marks = [
        "<|begin_of_sentence|>",
        "<|end_of_sentence|>",
        "<|IMAGE_PLACEHOLDER|>",
        "<|IMAGE_START|>",
        "<|IMAGE_END|>",
    ]
    language = Words(
        "paddleocr", keys, {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
        Vocabulary(marks, bpe="", end="</s>", begin="<s>"), _PADDLE_CHAT, embedding=1.0,
        output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(),
        "v.position_embd.weight": Tensor((49, 64), kind="F32"),
        **layered(3, eyes.layer(), "v.blk."),
        **eyes.norm("v.post_ln"),
        **eyes.norm("mm.input_norm"),
        **eyes.linear("mm.1", 128, 256),
        **eyes.linear("mm.2", 64, 128),
    }
    sizes = eyes.usual_keys(280, image_min_pixels=12544, image_max_pixels=78400)
    return Pair(language, Eyes("paddleocr", sizes, tensors, {"clip.use_gelu": True}), "PaddleOCR-VL")


_DOTS_CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|endof{{ m.role }}|>"
    "{% if m.role == 'system' %}\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_DOTS_MARKS = [
    *("<|endoftext|>", "<|system|>", "<|endofsystem|>", "<|user|>", "<|endofuser|>", "<|assistant|>"),
    *("<|endofassistant|>", "<|img|>", "<|imgpad|>", "<|endofimg|>"),
]


def _dots_ocr() -> Pair:
    """dots.ocr: an encoder with turned positions only, and Qwen2."""
    language = Words(
        "qwen2", words.usual_keys(), {**layered(3, {**words.attention(biases=True), **words.feed_forward()}),
        **words.ends()}, Vocabulary(_DOTS_MARKS, end="<|endofassistant|>"), _DOTS_CHAT, output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(),
        **eyes.norm("v.pre_ln", bias=False),
        **layered(3, eyes.layer(bias=False, rms=True, gate=True, fused=True), "v.blk."),
        **eyes.norm("mm.post_norm", bias=False),
        **eyes.norm("mm.input_norm"),
        **eyes.linear("mm.0", 256, 256),
        **eyes.linear("mm.2", 64, 256),
    }
    sizes = eyes.usual_keys(0, image_min_pixels=3136, image_max_pixels=78400, **{"projector.scale_factor": 2})
    return Pair(language, Eyes("dots_ocr", sizes, tensors, {"clip.use_silu": True}), "dots.ocr")


_HUNYUAN_CHAT = (
    "<｜hy_begin▁of▁sentence｜>{% for m in messages %}{{ m.content }}"
    "{% if m.role == 'system' %}<｜hy_place▁holder▁no▁3｜>{% elif m.role == 'user' %}<｜hy_User｜>"
    "{% else %}<｜hy_Assistant｜>{% endif %}{% endfor %}"
)
_HUNYUAN_MARKS = [
    *("<｜hy_begin▁of▁sentence｜>", "<｜hy_end▁of▁sentence｜>", "<｜hy_User｜>", "<｜hy_Assistant｜>"),
    *(f"<｜hy_place▁holder▁no▁{number}｜>" for number in (2, 3, 100, 101, 102)),
]


def _hunyuanvl() -> Pair:
    """HunyuanOCR: rows of a picture end with a row of their own, and positions have four dimensions."""
    keys = {
        **words.usual_keys(), "rope.dimension_sections": [2, 2, 2, 2], "rope.scaling.alpha": 1000.0,
        "rope.scaling.type": "none",
    }  # fmt: skip
    language = Words(
        "hunyuan_vl", keys, {**layered(3, {**words.attention(norms=True), **words.feed_forward()}), **words.ends()},
        Vocabulary(_HUNYUAN_MARKS, "hunyuan-dense", "<｜hy_Assistant｜>", "<｜hy_begin▁of▁sentence｜>"), _HUNYUAN_CHAT,
        embedding=1.0,
        output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(patch=16),
        "v.position_embd.weight": Tensor((64, 64), kind="F32"),
        **layered(3, eyes.layer(), "v.blk."),
        "mm.pre_norm.weight": (64,),
        "mm.0.weight": Tensor((128, 64, 2, 2), 0.1),
        "mm.0.bias": (128,),
        "mm.2.weight": Tensor((256, 128, 1, 1), 0.1),
        "mm.2.bias": (256,),
        **eyes.linear("mm.model.fc", 64, 256),
        "mm.post_norm.weight": (64,),
        "mm.image_begin": Tensor((64,), 1.0),
        "mm.image_end": Tensor((64,), 1.0),
        "v.image_newline": Tensor((256,), 1.0),
        "v.view_seperator": Tensor((256,), 1.0),
    }
    sizes = eyes.usual_keys(128, 16, spatial_merge_size=2, image_min_pixels=16384, image_max_pixels=102400)
    return Pair(language, Eyes("hunyuanvl", sizes, tensors, {"clip.use_gelu": True}), "HunyuanOCR")


_SHARP = {f"attn_{name}.weight": Tensor((64, 64), 0.3) for name in "qk"}
"""Attention that looks at few places, so that rounding does not add up over a long picture."""
_DEEPSEEK = Words(
    "deepseek2-ocr",
    words.usual_keys(
        kv_heads=4, expert_count=8, expert_used_count=2, expert_shared_count=2, expert_feed_forward_length=32,
        leading_dense_block_count=1, expert_weights_scale=1.0,
    ),
    {
        **layered(3, {**words.attention(kv_heads=4), **_SHARP}),
        **layered([0], words.feed_forward()),
        **layered([1, 2], _experts(shared=64)),
        **words.ends(),
    },
    Vocabulary(
        [
            *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<image>", "<|ref|>", "<|/ref|>"),
            *("<|det|>", "<|/det|>", "<|grounding|>", "<|User|>", "<|Assistant|>"),
        ],
        "deepseek-v3", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", True,
    ),
    "{% for m in messages %}{{ m.content }}{% endfor %}",
    embedding=2.5,
    output=0.3,
)  # fmt: skip
"""DeepSeek-OCR's: a mixture of experts, and no roles."""


def _sam(width: int, out: int, heads: int = 2, ff: int = 64) -> words.Shapes:
    """Segment Anything's encoder of three layers, the third of which looks at the whole picture, and its neck."""
    layer = {
        **eyes.norm("pre_ln", width),
        **eyes.norm("post_ln", width),
        **eyes.linear("attn.qkv", 3 * width, width),
        **eyes.linear("attn.out", width, width),
        **eyes.linear("mlp.lin1", ff, width),
        **eyes.linear("mlp.lin2", width, ff),
    }
    found: words.Shapes = {
        "v.sam.pos_embd.weight": Tensor((1, 64, 64, width), kind="F32"),
        **eyes.linear("v.sam.patch_embd", width, 3 * 16 * 16),
        "v.sam.patch_embd.weight": Tensor((width, 3, 16, 16), kind="F32"),
        **layered(3, layer, "v.sam.blk."),
        "v.sam.neck.0.weight": Tensor((32, width, 1, 1), kind="F32"),
        **eyes.norm("v.sam.neck.1", 32),
        "v.sam.neck.2.weight": Tensor((32, 32, 3, 3), 0.06, kind="F32"),
        **eyes.norm("v.sam.neck.3", 32),
        "v.sam.net_2.weight": Tensor((48, 32, 3, 3), 0.06, kind="F32"),
        "v.sam.net_3.weight": Tensor((out, 48, 3, 3), 0.06, kind="F32"),
    }
    for number, distances in enumerate((27, 27, 127)):
        for axis in "hw":
            name = f"v.sam.blk.{number}.attn.pos_{axis}.weight"
            found[name] = Tensor((distances, width // heads), 0.1, kind="F32")
    return found


_SAM_KEYS = {"sam.block_count": 3, "sam.embedding_length": 32, "sam.head_count": 2, "window_size": 14}


def _deepseekocr() -> Pair:
    """DeepSeek-OCR: a CLIP behind Segment Anything's encoder, on rows of tiles and on the whole."""
    tensors = {
        **_sam(32, 64),
        "v.class_embd": (64,),
        **eyes.patches(bias=False),
        "v.position_embd.weight": Tensor((257, 64), kind="F32"),
        **eyes.norm("v.pre_ln"),
        **layered(2, eyes.layer(fused=True), "v.blk."),
        **eyes.linear("mm.model.fc", 64, 128),
        "v.image_newline": (64,),
        "v.view_seperator": Tensor((1, 64), kind="F32"),
    }
    sizes = eyes.usual_keys(224, layers=2, preproc_min_tiles=2, preproc_max_tiles=9, **_SAM_KEYS)
    return Pair(_DEEPSEEK, Eyes("deepseekocr", sizes, tensors, {"clip.use_gelu": True}), "DeepSeek-OCR")


def _deepseekocr2() -> Pair:
    """DeepSeek-OCR 2: Qwen2 as an encoder, whose queries follow a tile's patches and look at those before them."""
    layer: words.Shapes = {}
    for name, rows in (("q", 64), ("k", 32), ("v", 32)):
        layer |= eyes.linear(f"attn_{name}", rows, 64)
    layer |= eyes.linear("attn_out", 64, 64, bias=False)
    layer |= eyes.norm("ln1", bias=False) | eyes.norm("ln2", bias=False)
    for name, rows, columns in (("up", 128, 64), ("gate", 128, 64), ("down", 64, 128)):
        layer |= eyes.linear(f"ffn_{name}", rows, columns, bias=False)
    tensors = {
        **_sam(32, 64),
        "v.resample_query_768.weight": Tensor((144, 64), 0.5),
        "v.resample_query_1024.weight": Tensor((256, 64), 0.5),
        **layered(2, layer, "v.blk."),
        **eyes.norm("v.post_ln", bias=False),
        **eyes.linear("mm.model.fc", 64, 64),
        "v.view_seperator": Tensor((1, 64), kind="F32"),
    }
    keys = {"attention.head_count_kv": 2, **_SAM_KEYS}
    sizes = eyes.usual_keys(1024, 16, layers=2, preproc_min_tiles=2, preproc_max_tiles=6, **keys)
    language = replace(_DEEPSEEK, embedding=1.0)
    return Pair(language, Eyes("deepseekocr2", sizes, tensors, {"clip.use_gelu": True}), "DeepSeek-OCR-2")


def _compressed(width: int, heads: int, rank: int, nope: int, rope: int, value: int, query: int = 32) -> words.Shapes:
    """Attention whose keys and values are one short row for all heads, with a gate for each head: in a layer."""
    return {
        "attn_norm.weight": (width,),
        "attn_q_a.weight": (query, width),
        "attn_q_a_norm.weight": (query,),
        "attn_q_b.weight": (heads * (nope + rope), query),
        "attn_kv_a_mqa.weight": (rank + rope, width),
        "attn_kv_a_norm.weight": (rank,),
        "attn_k_norm.weight": (rope,),
        "attn_k_b.weight": (heads, rank, nope),
        "attn_v_b.weight": (heads, value, rank),
        "attn_gate.weight": (heads, width),
        "attn_output.weight": (width, heads * value),
    }


def _dots3note_v() -> Pair:
    """dots3-note: experts in the encoder, and windows and an index of what is worth looking at in the words."""
    near = [False, True, True, False]
    keys: dict[str, Any] = {
        "attention.head_count": [2 if one else 4 for one in near], "attention.q_lora_rank": 32,
        "attention.kv_lora_rank": 32, "attention.key_length": 48, "attention.value_length": 32,
        "attention.key_length_mla": 32, "attention.value_length_mla": 16, "attention.kv_lora_rank_swa": 16,
        "attention.key_length_swa": 32, "attention.value_length_swa": 16, "attention.key_length_mla_swa": 24,
        "attention.value_length_mla_swa": 8, "attention.sliding_window": 32,
        "attention.sliding_window_pattern": near, "attention.indexer.head_count": 16,
        "attention.indexer.key_length": 64, "attention.indexer.top_k": 64,
        "attention.indexer.types": [not one for one in near], "rope.freq_base": 8000000.0,
        "rope.freq_base_swa": 10000.0, "expert_gating_func": 2, "expert_weights_norm": True,
    }  # fmt: skip
    usual = words.usual_keys(
        kv_heads=1, layers=4, expert_count=8, expert_used_count=2, expert_shared_count=1,
        expert_feed_forward_length=32, leading_dense_block_count=1, expert_weights_scale=2.5,
    )  # fmt: skip
    indexer: words.Shapes = {
        **eyes.norm("indexer.k_norm"), "indexer.proj.weight": (16, 64), "indexer.attn_k.weight": (64, 64),
        "indexer.attn_q_b.weight": (1024, 32),
    }  # fmt: skip
    language = Words(
        "dots3note", {**usual, **keys},
        {
            **layered([0, 3], {**_compressed(64, 4, 32, 16, 16, 16), **indexer}),
            **layered([1, 2], _compressed(64, 2, 16, 8, 16, 8)), **layered([0], words.feed_forward()),
            **layered([1, 2, 3], _experts(shared=32, bias=0.05)), **words.ends(),
        },
        Vocabulary(_DOTS_MARKS, end="<|endofassistant|>"), _DOTS_CHAT, embedding=1.0, output=0.3,
    )  # fmt: skip
    whole = {**eyes.layer(bias=False, rms=True, gate=True, fused=True), "attn_q_norm.weight": (16,)}
    whole |= {"attn_k_norm.weight": (16,)}
    tensors = {
        **eyes.patches(bias=False), **eyes.norm("v.pre_ln", bias=False), **layered([0], whole, "v.blk."),
        **eyes.norm("mm.post_norm", bias=False), **eyes.norm("mm.input_norm"), **eyes.linear("mm.0", 256, 256),
        **eyes.linear("mm.2", 64, 256),
    }  # fmt: skip
    attention = {name: shape for name, shape in whole.items() if not name.startswith("ffn")}
    for number, count in ((1, 4), (2, 8)):
        routed = _experts(count)
        routed.pop("ffn_norm.weight")
        routed["exp_probs_b.weight"] = Tensor((count,), about=0.0)
        tensors |= layered([number], {**attention, **routed}, "v.blk.")
    sizes = eyes.usual_keys(
        0, spatial_merge_size=2, image_min_pixels=3136, image_max_pixels=78400,
        expert_count_per_layer=[0, 4, 8], expert_used_count=2,
    )  # fmt: skip
    return Pair(language, Eyes("dots3note_v", sizes, tensors, {"clip.use_silu": True}), "dots3-note")


_DEEPSEEK4_CHAT = (
    "{{ bos_token }}{% for m in messages if m.role == 'system' %}"
    "{% if not loop.first %}{{ '\n\n' }}{% endif %}{{ m.content }}{% endfor %}"
    "{% for m in messages if m.role != 'system' %}"
    "{% if m.role == 'user' %}<｜User｜>{{ m.content }}"
    "{% else %}<｜Assistant｜></think>{{ m.content }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>"
    "{% if enable_thinking is defined and enable_thinking %}<think>{% else %}</think>{% endif %}{% endif %}"
)


def _deepseek4v() -> Pair:
    """DeepSeek-V4 with pictures: four streams, attention on what was compressed, experts chosen by the token."""
    keys: dict[str, Any] = {
        "attention.q_lora_rank": 32, "attention.sliding_window": 32, "attention.indexer.head_count": 16,
        "attention.indexer.key_length": 64, "attention.indexer.top_k": 32, "attention.output_group_count": 2,
        "attention.output_lora_rank": 16, "attention.compress_ratios": [0, 4, 128, 4],
        "attention.compress_rope_freq_base": 160000.0, "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 4, "hyper_connection.epsilon": 1e-6, "hash_layer_count": 1,
        "swiglu_clamp_exp": [10.0] * 4, "swiglu_clamp_shexp": [10.0] * 4, "expert_gating_func": 4,
        "expert_weights_norm": True, "embedding_length_out": 256, "rope.dimension_count": 32,
    }  # fmt: skip
    usual = words.usual_keys(
        kv_heads=1, head=64, layers=4, expert_count=8, expert_used_count=2, expert_shared_count=1,
        expert_feed_forward_length=32, expert_weights_scale=1.5,
    )  # fmt: skip
    layer: words.Shapes = {
        "attn_norm.weight": (64,), "attn_sinks.weight": Tensor((4,), 1.0, 0.0), "attn_q_a.weight": (32, 64),
        "attn_q_a_norm.weight": (32,), "attn_q_b.weight": (256, 32), "attn_kv.weight": (64, 64),
        "attn_kv_a_norm.weight": (64,), "attn_output_a.weight": (32, 128), "attn_output_b.weight": (64, 32),
        "exp_probs_b_vl.bias": (8,), **_experts(shared=32),
    }  # fmt: skip
    for name in ("hc_attn", "hc_ffn"):
        layer[f"{name}_fn.weight"] = Tensor((24, 256), 0.05, kind="F32")
        layer[f"{name}_base.weight"] = Tensor((24,), 0.5, 0.0)
        layer[f"{name}_scale.weight"] = (3,)
    language = Words(
        "deepseek4", {**usual, **keys},
        {
            **layered(4, layer), "blk.0.ffn_gate_tid2eid.weight": Tensor((-1, 2), 8, kind="I32"),
            **layered([1, 2, 3], {"exp_probs_b.bias": (8,)}), **layered([1, 3], _compressor("attn", 4)),
            **layered([2], _compressor("attn", 128)), **layered([1, 3], _compressor("indexer", 4)),
            **layered([1, 3], {"indexer.proj.weight": (16, 64), "indexer.attn_q_b.weight": (1024, 32)}),
            "output_hc_fn.weight": Tensor((4, 256), 0.05, kind="F32"),
            "output_hc_base.weight": Tensor((4,), 0.5, 0.0), "output_hc_scale.weight": (1,), **words.ends(),
        },
        Vocabulary(
            [
                *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>"),
                *("<think>", "</think>"),
            ],
            "deepseek-v3", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>",
        ),
        _DEEPSEEK4_CHAT, embedding=1.0, output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(bias=False), **layered(3, eyes.layer(bias=False, rms=True, gate=True, fused=True), "v.blk."),
        **eyes.norm("v.post_ln", bias=False), **eyes.linear("mm.1", 128, 576), **eyes.linear("mm.2", 64, 128),
        "v.image_newline": Tensor((64,), 1.0),
        **{f"v.token_embd.img_{name}": Tensor((64,), 1.0) for name in ("start", "end", "pad")},
    }  # fmt: skip
    sizes = {**eyes.usual_keys(672, image_min_pixels=7056), "projector.scale_factor": 3}
    return Pair(language, Eyes("deepseek4v", sizes, tensors, {"clip.use_silu": True}), "DeepSeek-V4-Flash-Vision")


def _compressor(name: str, ratio: int, head: int = 64, width: int = 64) -> words.Shapes:
    """What makes one key of `ratio` keys: in a layer. Of four and those before them, in the finer kind."""
    rows = 2 * head if ratio == 4 else head
    return {
        f"{name}_compressor_kv.weight": (rows, width),
        f"{name}_compressor_gate.weight": (rows, width),
        f"{name}_compressor_ape.weight": Tensor((ratio, rows), kind="F32"),
        f"{name}_compressor_norm.weight": (head,),
    }


_GRANITE_CHAT = (
    "{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
)


def _docling() -> Pair:
    """Granite-Docling: Idefics 3's tiles, between Granite's words."""
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    marks = ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<image>", "<fake_token_around_image>"]
    keys = {**words.usual_keys(), "rope.freq_base": 100000.0}
    language = Words(
        "llama", keys, {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
        Vocabulary([*marks, "<global-img>", *rows], "granite-docling", "<|end_of_text|>"), _GRANITE_CHAT, output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(patch=16),
        "v.position_embd.weight": Tensor((16, 64), kind="F32"),
        **layered(3, eyes.layer(), "v.blk."),
        **eyes.norm("v.post_ln"),
        **eyes.linear("mm.model.fc", 64, 256, bias=False),
    }
    sizes = {**eyes.usual_keys(64, 16, preproc_image_size=192), "projector.scale_factor": 2}
    return Pair(language, Eyes("idefics3", sizes, tensors, {"clip.use_gelu": True}), "Granite-Docling")


PAIRS = {
    "lightonocr": _lightonocr,
    "paddleocr": _paddleocr,
    "dots_ocr": _dots_ocr,
    "hunyuanvl": _hunyuanvl,
    "deepseekocr": _deepseekocr,
    "deepseekocr2": _deepseekocr2,
    "dots3note_v": _dots3note_v,
    "deepseek4v": _deepseek4v,
    "idefics3-docling": _docling,
}
