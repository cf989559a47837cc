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


_PADDLE_CHAT = (
    "<|begin_of_sentence|>{% for m in messages %}"
    "{% if m.role == 'user' %}User: {{ m.content }}\n"
    "{% elif m.role == 'assistant' %}Assistant: {{ m.content }}</s>"
    "{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)


def _paddleocr() -> Pair:
    """PaddleOCR-VL: a SigLIP with turned positions beside its learned ones, and ERNIE 4.5 with M-RoPE."""
    keys = words.usual_keys(**{"rope.freq_base": 500000.0, "rope.dimension_sections": [2, 3, 3, 0]})
    marks = ["<|begin_of_sentence|>", "<|end_of_sentence|>", "<|IMAGE_PLACEHOLDER|>", "<|IMAGE_START|>", "<|IMAGE_END|>"]
    language = Words(
        "paddleocr", keys, {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
        Vocabulary(marks, bpe="", end="</s>", begin="<s>"), _PADDLE_CHAT, output=0.3,
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
    sizes = eyes.usual_keys(448, image_min_pixels=12544, image_max_pixels=200704)
    return Pair(language, Eyes("paddleocr", sizes, tensors, {"clip.use_gelu": True}), "PaddleOCR-VL")


PAIRS = {"lightonocr": _lightonocr, "paddleocr": _paddleocr}
