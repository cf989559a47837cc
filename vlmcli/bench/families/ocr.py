"""Pairs of families that read documents."""

from __future__ import annotations

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered

_LIGHTON_CHAT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


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
    keys = eyes.usual_keys(448, spatial_merge_size=2, preproc_image_size=448)
    more = {"clip.use_silu": True}
    return Pair(language, Eyes("lightonocr", keys, tensors, more), "LightOnOCR-1B")


PAIRS = {"lightonocr": _lightonocr}
