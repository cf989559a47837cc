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
        architectures: of the language models it was made for; empty for many.
        tokens: what libmtmd puts around a picture (mtmd.cpp, init_vision): without them it is another model's.
    """

    architectures: frozenset[str]
    tokens: tuple[str, ...] = ()


_QWEN = frozenset({"qwen2vl"})
_VISION = ("<|vision_start|>", "<|vision_end|>")
_LLAMAS = frozenset({"llama", "granite", "mistral3", "smollm3", "qwen2", "qwen3"})

FAMILIES: Mapping[str, Family] = {
    "mlp": Family(frozenset()),
    "qwen2vl_merger": Family(_QWEN, _VISION),
    "qwen2.5vl_merger": Family(_QWEN, _VISION),
    "qwen3vl_merger": Family(frozenset({"qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe"}), _VISION),
    "gemma3": Family(frozenset({"gemma3"}), ("<start_of_image>", "<end_of_image>")),
    "idefics3": Family(_LLAMAS, ("<fake_token_around_image>",)),
    "pixtral": Family(frozenset({"llama", "mistral3"}), ("[IMG_END]",)),
    "internvl": Family(
        frozenset({"llama", "qwen2", "qwen3", "qwen3moe", "internlm2", "phi3", "gpt-oss"}), ("<img>", "</img>")
    ),
    "lfm2": Family(frozenset({"lfm2", "lfm2moe"}), ("<|image_start|>", "<|image_end|>")),
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
# That rotate whole heads, and assert it: src/models/qwen2.cpp and so on.
ALL_TURNED = frozenset(
    {
        "qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen2", "qwen3", "qwen3moe", "internlm2", "paddleocr", "hunyuan_vl",
    }
)  # fmt: skip
KNOWN = TURNING.union(*(family.architectures for family in FAMILIES.values()), {"gemma2", "phi2", "gemma"})

# Language models that do not write one token after the other: encoders, and those that write by diffusion.
NOT_CAUSAL = frozenset(
    {
        "bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "modern-bert", "eurobert", "jina-bert-v2", "jina-bert-v3",
        "gemma-embedding", "t5encoder", "wavtokenizer-dec", "dream", "llada", "llada-moe", "rnd1",
    }
)  # fmt: skip
