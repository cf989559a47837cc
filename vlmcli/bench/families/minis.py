"""Pairs of MiniCPM-V: a resampler or mergers behind SigLIP, and a picture in slices around an overview."""

from __future__ import annotations

from dataclasses import replace

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
    return _resampler(_wide("llama", vocabulary, _LLAMA3), 2, "MiniCPM-Llama3-V 2.5")


def _minicpmv26() -> Pair:
    """MiniCPM-V 2.6: each slice between two tokens."""
    language = _wide("qwen2", Vocabulary(_QWEN, begin="<|im_start|>"), _HELPFUL + CHATML, biases=True)
    return _resampler(language, 3, "MiniCPM-V 2.6")


def _minicpmv40() -> Pair:
    """MiniCPM-V 4.0: MiniCPM, which scales embeddings, layers and logits."""
    vocabulary = Vocabulary(
        ["<|im_start|>", "<|im_end|>", *_SLICES], bpe="", end="</s>", turn="<|im_end|>", begin="<s>", adds_begin=True
    )
    language = _wide("minicpm", vocabulary, CHATML)
    scales = {"embedding_scale": 12.0, "residual_scale": 1.4 / 2**0.5, "logit_scale": 2.0}
    return _resampler(replace(language, keys={**language.keys, **scales}), 5, "MiniCPM-V 4.0")


def _minicpmv45() -> Pair:
    """MiniCPM-V 4.5: Qwen3, which thinks where it is asked to."""
    vocabulary = Vocabulary(_QWEN, added=("<think>", "</think>"))
    return _resampler(_wide("qwen3", vocabulary, _THINKING, norms=True), 6, "MiniCPM-V 4.5")


PAIRS = {
    "resampler": _minicpmv26,
    "resampler-llama": _minicpmv25,
    "resampler-minicpm": _minicpmv40,
    "resampler-qwen3": _minicpmv45,
}
