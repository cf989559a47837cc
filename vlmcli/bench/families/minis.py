"""Pairs of the MiniCPM-Vs, whose pictures come in slices around an overview, and of others made to be small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Int32, Pair, Tensor, Vocabulary, Words, layered
from vlmcli.bench.pair_maker import CHATML

_SLICES = ("<image>", "</image>", "<slice>", "</slice>")
_QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_SLICES)
_HELPFUL = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
)
_LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
_WIDTH = 128  # a head of the resampler, which has as many as fit into the language model's width


def _resampler(language: Words, version: int, models: str) -> Pair:
    """A resampler: queries that are learned look at the patches of one slice."""
    attention = {
        name: shape
        for part in ("q", "k", "v", "out")
        for name, shape in eyes.linear(f"resampler.attn.{part}", _WIDTH, _WIDTH).items()
    }
    tensors = {
        **eyes.patches(32, places=70 * 70),
        **eyes.norm("v.post_ln", 32),
        **layered(3, eyes.layer(32, 64), "v.blk."),
        "resampler.query": Tensor((16, _WIDTH), 0.5, kind="F32"),
        "resampler.pos_embed_k": Tensor((1, _WIDTH), kind="F32"),
        "resampler.proj.weight": (_WIDTH, _WIDTH),
        "resampler.kv.weight": (_WIDTH, 32),
        **attention,
        **eyes.norm("resampler.ln_q", _WIDTH),
        **eyes.norm("resampler.ln_kv", _WIDTH),
        **eyes.norm("resampler.ln_post", _WIDTH),
    }
    more = {
        "clip.use_gelu": True,
        "clip.has_minicpmv_projector": True,
        "clip.minicpmv_version": Int32(version),
        "clip.minicpmv_query_num": 16,
    }
    keys = eyes.usual_keys(image=112, width=32, ff=64, out=0)
    return Pair(replace(language, width=_WIDTH, output=0.2), Eyes("resampler", keys, tensors, more), models)


def _wide(arch: str, vocabulary: Vocabulary, template: str, *, biases: bool = False, norms: bool = False) -> Words:
    layer = {**words.attention(_WIDTH, 8, biases=biases, norms=norms), **words.feed_forward(_WIDTH)}
    keys = words.usual_keys(_WIDTH, 8, layers=2)
    return Words(arch, keys, {**layered(2, layer), **words.ends(_WIDTH)}, vocabulary, template)


def _minicpmv25() -> Pair:
    """MiniCPM-Llama3-V 2.5: all slices between two tokens."""
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    vocabulary = Vocabulary(
        [*specials, *_SLICES], bpe="llama-bpe", end="<|eot_id|>", begin="<|begin_of_text|>", adds_begin=True
    )
    return replace(_resampler(_wide("llama", vocabulary, _LLAMA3), 2, "MiniCPM-Llama3-V 2.5"), draw=3)


def _minicpmv26() -> Pair:
    """MiniCPM-V 2.6: each slice between two tokens."""
    language = _wide("qwen2", Vocabulary(_QWEN, begin="<|im_start|>"), _HELPFUL + CHATML, biases=True)
    return replace(_resampler(language, 3, "MiniCPM-V 2.6"), draw=3)


def _minicpmv40() -> Pair:
    """MiniCPM-V 4.0: MiniCPM, which scales embeddings, layers and logits."""
    vocabulary = Vocabulary(
        ["<|im_start|>", "<|im_end|>", *_SLICES], bpe="", end="</s>", turn="<|im_end|>", begin="<s>", adds_begin=True
    )
    language = _wide("minicpm", vocabulary, CHATML)
    scales = {"embedding_scale": 12.0, "residual_scale": 1.4 / 2**0.5, "logit_scale": 2.0}
    return replace(_resampler(replace(language, keys={**language.keys, **scales}), 5, "MiniCPM-V 4.0"), draw=13)


def _minicpmv45() -> Pair:
    """MiniCPM-V 4.5: Qwen3, which thinks where it is asked to."""
    vocabulary = Vocabulary(_QWEN, added=("<think>", "</think>"))
    return replace(_resampler(_wide("qwen3", vocabulary, _THINKING, norms=True), 6, "MiniCPM-V 4.5"), draw=9)


def _minicpmv46(*, once: bool = False) -> Pair:
    """MiniCPM-V 4.6: two by two patches become one in the middle of the encoder, and again behind it; Qwen3.5.

    Args:
        once: leave the first merging out, as in the files for finer pictures.
    """
    tensors = {
        **eyes.patches(32, places=70 * 70),
        **eyes.norm("v.post_ln", 32),
        **layered(3, eyes.layer(32, 64), "v.blk."),
        **eyes.norm("mm.input_norm", 128),
        **eyes.linear("mm.up", 128, 128),
        **eyes.linear("mm.down", 64, 128),
    }
    if not once:
        for part in ("q", "k", "v", "out"):
            tensors |= eyes.linear(f"v.vit_merger.attn_{part}", 32, 32)
        tensors |= {
            **eyes.norm("v.vit_merger.ln1", 32),
            **eyes.norm("v.vit_merger.ds_ln", 128),
            **eyes.linear("v.vit_merger.ds_ffn_up", 128, 128),
            **eyes.linear("v.vit_merger.ds_ffn_down", 32, 128),
        }
    keys = eyes.usual_keys(image=112 if once else 224, width=32, ff=64) | {
        "projector.scale_factor": 2 if once else 4, "wa_layer_indexes": [0],
    }  # fmt: skip
    return Pair(_qwen35(), Eyes("minicpmv4_6", keys, tensors, {"clip.use_gelu": True}), "MiniCPM-V 4.6", draw=2)


def _qwen35() -> Words:
    """Qwen3.5's language model, with the slices' tokens."""
    vocabulary = Vocabulary(_QWEN, bpe="qwen35", added=("<think>", "</think>"))
    tensors = words.qwen35(words.feed_forward(norm=False))
    return Words("qwen35", words.qwen35_keys(), tensors, vocabulary, _THINKING, output=0.3)


def _youtuvl() -> Pair:
    """Youtu-VL: SigLIP 2 with windows, beside DeepSeek's attention, whose keys and values come from a few numbers."""
    keys = words.usual_keys(kv_heads=1) | {
        "attention.q_lora_rank": 32, "attention.kv_lora_rank": 32, "attention.key_length": 40,
        "attention.value_length": 32, "attention.key_length_mla": 24, "attention.value_length_mla": 16,
        "rope.dimension_count": 8, "leading_dense_block_count": 3, "expert_feed_forward_length": 128,
        "expert_shared_count": 0,
    }  # fmt: skip
    latent = {
        "attn_norm.weight": (64,), "attn_q_a.weight": (32, 64), "attn_q_a_norm.weight": (32,),
        "attn_q_b.weight": (4 * 24, 32), "attn_kv_a_mqa.weight": (40, 64), "attn_kv_a_norm.weight": (32,),
        "attn_k_b.weight": (4, 32, 16), "attn_v_b.weight": (4, 16, 32), "attn_output.weight": (64, 64),
    }  # fmt: skip
    language = Words(
        "deepseek2",
        keys,
        {**layered(3, {**latent, **words.feed_forward()}), **words.ends()},
        Vocabulary(
            ["<|begin_of_text|>", "<|end_of_text|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"],
            bpe="youtu", end="<|end_of_text|>", begin="<|begin_of_text|>",
        ),
        "{% if messages[0].role != 'system' %}<|begin_of_text|>system\nYou are a helpful assistant.<|end_of_text|>\n"
        "{% endif %}{% for m in messages %}<|begin_of_text|>{{ m.role }}\n{{ m.content }}<|end_of_text|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|begin_of_text|>assistant\n{% endif %}",
        output=0.3,
    )  # fmt: skip
    tensors = {
        "v.patch_embd.weight": (32, 3 * 32 * 32),
        "v.patch_embd.bias": (32,),
        **eyes.norm("v.post_ln", 32),
        **layered(3, eyes.layer(32, 64), "v.blk."),
        "mm.input_norm.weight": (32,),
        **eyes.linear("mm.0", 128, 128),
        **eyes.linear("mm.2", 64, 128),
    }
    sight = eyes.usual_keys(image=256, patch=32, width=32, heads=2, ff=64) | {
        "spatial_merge_size": 2, "window_size": 128, "wa_layer_indexes": [1],
    }  # fmt: skip
    return Pair(language, Eyes("youtuvl", sight, tensors, {"clip.use_gelu": True}), "Youtu-VL")


def _yasa2() -> Pair:
    """Reka Edge: ConvNeXt, whose four stages see more and more at half the sides, pooled to 64 rows."""
    widths = (8, 16, 32, 64)
    tensors = {
        **eyes.patches(8, 4),
        **eyes.norm("v.patch_ln", 8),
        "v.vision_pos_embed": Tensor((256, 64), kind="F32"),
        **eyes.linear("mm.0", 64, 64),
        **eyes.linear("mm.2", 64, 64),
    }
    for stage, width in enumerate(widths):
        at = f"v.stage.{stage}."
        if stage:
            tensors |= eyes.norm(f"{at}down.ln", widths[stage - 1])
            tensors |= {f"{at}down.conv.weight": (width, widths[stage - 1], 2, 2), f"{at}down.conv.bias": (width,)}
        tensors |= {
            f"{at}blk.0.dw.weight": (width, 1, 7, 7), f"{at}blk.0.dw.bias": (width,),
            **eyes.norm(f"{at}blk.0.ln", width), **eyes.linear(f"{at}blk.0.pw1", 4 * width, width),
            **eyes.norm(f"{at}blk.0.grn", 4 * width), **eyes.linear(f"{at}blk.0.pw2", width, 4 * width),
        }  # fmt: skip
    language = Words(
        "llama",
        words.usual_keys(),
        {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
        Vocabulary(
            ["<|endoftext|>", "<sep>", "<image>", "</image>", "<REKA_IMG_TOKEN>", "<video>", "</video>"],
            bpe="dbrx", end="<sep>", begin="<|endoftext|>",
        ),
        "{% for m in messages %}{% if m.role == 'user' %}human: {{ m.content }}<sep>{% elif m.role == 'assistant' %}"
        "assistant: {{ m.content }}\n\n<sep>{% else %}system: {{ m.content }}\n\n<sep>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
        output=0.3,
    )  # fmt: skip
    keys = eyes.usual_keys(image=512, patch=4, layers=0)
    return Pair(language, Eyes("yasa2", keys, tensors), "Reka Edge", draw=9)


def _muse_glimmer() -> Pair:
    """Muse Glimmer: windows in three layers of four, in the encoder and in the language model, and gated attention."""
    keys = words.usual_keys(layers=4) | {
        "attention.sliding_window": 32, "attention.sliding_window_pattern": [True, True, True, False],
        "final_logit_softcapping": 30.0, "logit_scale": 0.5,
    }  # fmt: skip
    layer = {
        **words.attention(norms=True), "attn_gate.weight": (64, 64), "post_attention_norm.weight": (64,),
        **words.feed_forward(), "post_ffw_norm.weight": (64,),
    }  # fmt: skip
    language = Words(
        "muse-glimmer",
        keys,
        {**layered(4, layer), **words.ends()},
        Vocabulary(
            ["<|begin_of_text|>", "<|end_of_text|>", "<|start|>", "<|message|>", "<|eot|>", "<|eom|>",
             "<|image_start|>", "<|image_end|>", "<|patch|>", "<|video|>"],
            bpe="llama4", end="<|end_of_text|>", turn="<|eot|>", begin="<|begin_of_text|>", adds_begin=True,
        ),
        "{{ bos_token }}{% if messages[0].role != 'system' %}<|start|>system<|message|>You are a helpful AI assistant."
        "\n\nReasoning strength: {{ reasoning_strength | default('high') }}.\n\n# Valid recipients: \"self\", \"user\"."
        "<|eot|>{% endif %}{% for m in messages %}<|start|>{{ m.role }}"
        "{% if m.role == 'assistant' %} to=user{% endif %}<|message|>{{ m.content }}<|eot|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        output=0.6,
    )  # fmt: skip
    tensors = {
        **eyes.patches(32, 32),
        "v.position_embd.weight": Tensor((16, 32), kind="F32"),
        **eyes.norm("v.pre_ln", 32),
        **eyes.norm("v.post_ln", 32),
        **layered(5, eyes.layer(32, 64), "v.blk."),
        "mm.0.weight": (64, 128),
        "mm.1.weight": (64, 64),
        "mm.2.weight": (64, 64),
    }
    sight = eyes.usual_keys(image=256, patch=32, width=32, heads=2, ff=64, layers=5) | {"spatial_merge_size": 2}
    return Pair(language, Eyes("muse-glimmer", sight, tensors), "Muse Glimmer", draw=2)


PAIRS: dict[str, Callable[[], Pair]] = {
    "resampler": _minicpmv26,
    "resampler-llama": _minicpmv25,
    "resampler-minicpm": _minicpmv40,
    "resampler-qwen3": _minicpmv45,
    "minicpmv4_6": _minicpmv46,
    "minicpmv4_6-4x": partial(_minicpmv46, once=True),
    "youtuvl": _youtuvl,
    "yasa2": _yasa2,
    "muse-glimmer": _muse_glimmer,
}
