"""What is known of the families of projectors and of language models: which go together, and how these count positions.

Facts, and no code that judges by them (`check_model` and `pairing` do); what projectors are made of is in `encoders`.
Sources: llama.cpp, tools/mtmd/clip.cpp and mtmd.cpp, src/models/ and src/llama-model.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What a projector type goes with.

    Attributes:
        tokens: what libmtmd puts around a picture (mtmd.cpp, init_vision): without them it is another model's.
        architectures: of the language models it was made for; empty for many, which count positions in one dimension;
            None for any.
    """

    tokens: tuple[str, ...] = ()
    architectures: frozenset[str] | None = None


_QWEN = frozenset({"qwen2vl"})
_VISION = ("<|vision_start|>", "<|vision_end|>")
_LLAMAS = frozenset({"llama", "granite", "mistral3", "smollm3", "qwen2", "qwen3"})

_IMAGE = ("<image>", "</image>")
_GLM = ("<|begin_of_image|>", "<|end_of_image|>")
_STARTS = ("<|image_start|>", "<|image_end|>")
_DOTS = ("<|img|>", "<|endofimg|>")
_GEMMA = ("<start_of_image>", "<end_of_image>")
_GEMMA4 = ("<|image>", "<image|>")

FAMILIES: Mapping[str, Family] = {
    "mlp": Family((), frozenset()),
    "qwen2vl_merger": Family(_VISION, _QWEN),
    "qwen2.5vl_merger": Family(_VISION, _QWEN),
    "qwen3vl_merger": Family(_VISION, frozenset({"qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe"})),
    "gemma3": Family(_GEMMA, frozenset({"gemma3"})),
    "idefics3": Family(("<fake_token_around_image>",), _LLAMAS),
    "pixtral": Family(("[IMG_END]",), frozenset({"llama", "mistral3"})),
    "internvl": Family(
        ("<img>", "</img>"), frozenset({"llama", "qwen2", "qwen3", "qwen3moe", "internlm2", "phi3", "gpt-oss"})
    ),
    "lfm2": Family(_STARTS, frozenset({"lfm2", "lfm2moe"})),
    "dots3note_v": Family(_DOTS),
    "dots_ocr": Family(_DOTS),
    "exaone4_5": Family(("<vision>", "</vision>")),
    "gemma3nv": Family(_GEMMA),
    "gemma4uv": Family(_GEMMA4),
    "gemma4v": Family(_GEMMA4),
    "glm4v": Family(_GLM),
    "glm5v": Family(_GLM),
    "hunyuanvl": Family(("<｜hy_place▁holder▁no▁100｜>", "<｜hy_place▁holder▁no▁101｜>"), frozenset({"hunyuan_vl"})),
    "kimivl": Family(("<|media_start|>", "<|media_end|>")),
    "lightonocr": Family(("<|im_start|>", "<|im_end|>")),
    "ling3vl": Family(_VISION),
    "llama4": Family(_STARTS),
    "mimovl": Family(_VISION),
    "minicpmv4_6": Family((*_IMAGE, "<slice>", "</slice>")),
    "muse-glimmer": Family(_STARTS),
    "paddleocr": Family(("<|IMAGE_START|>", "<|IMAGE_END|>")),
    "resampler": Family(_IMAGE),
    "step3vl": Family(("<im_start>", "<im_end>", "<patch_start>", "<patch_end>")),
    "yasa2": Family(_IMAGE),
    "youtuvl": Family(_VISION),
}

# Those whose pictures end with a newline that libmtmd puts in: mtmd.cpp, init_vision.
ENDS_LINE = frozenset({"deepseekocr", "deepseekocr2", "granite4_vision"})

# Files older than this naming have up for down: clip.cpp exchanges them where `down` takes rows of the encoder's width.
SWAPPED = frozenset(
    {
        "mlp", "ldp", "ldpv2", "qwen2vl_merger", "qwen2.5vl_merger", "exaone4_5", "adapter", "gemma3", "idefics3",
        "resampler", "minicpmv4_6",
    }
)  # fmt: skip

# Architectures that count positions in more than one dimension: llama-model.cpp, llama_model_rope_type.
TURNING = frozenset({"qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "paddleocr", "hunyuan_vl"})
# That do so only in files with sections for it, and end the process at a picture without: src/models/glm4.cpp.
TURNING_IF_TOLD = frozenset({"glm4", "glm4moe"})
KNOWN = TURNING.union(*(family.architectures or () for family in FAMILIES.values()), {"gemma2", "phi2", "gemma"})

# Language models that do not write one token after the other: encoders, and those that write by diffusion.
NOT_CAUSAL = frozenset(
    {
        "bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "modern-bert", "eurobert", "jina-bert-v2", "jina-bert-v3",
        "gemma-embedding", "t5encoder", "wavtokenizer-dec", "dream", "llada", "llada-moe", "rnd1",
    }
)  # fmt: skip
