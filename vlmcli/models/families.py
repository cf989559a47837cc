"""What is known of the families of projectors: which language models they go with, and what they are made of.

Facts, and no code that judges by them (`check_projector` and `pairing` do). Sources: llama.cpp, tools/mtmd/clip.cpp,
mtmd.cpp and models/, src/models/ and src/llama-model.cpp.

A projector's tensors are given as patterns: a dimension is a number, or a name that stands for the same number wherever
it comes, in ggml's order. A tensor with "?" after its name may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Family:
    """What a projector type needs, and what it goes with.

    Attributes:
        architectures: of the language models it was made for; empty for many.
        tokens: what libmtmd puts around a picture (mtmd.cpp, init_vision): without them it is another model's.
        merge: the key of how many patches a side become one row, and the number without the key.
        projector: its tensors. "width" is a patch's, "merged" that of the patches that become one row, "out" a row's.
        places: how many position embeddings: "none", "all" (one for each patch and the class token) or "enough".
        more: tensors every file of the type has beside those of every encoder.
        turns: positions are rotations, which take a head in quarters.
    """

    architectures: frozenset[str]
    tokens: tuple[str, ...]
    projector: Mapping[str, Shape]
    merge: tuple[str, int] = ("", 1)
    places: str = "all"
    more: Mapping[str, Shape] = field(default_factory=dict)
    turns: bool = False


def mlp(first: str, second: str, columns: str, biases: str = "") -> dict[str, Shape]:
    """Two linear layers; `biases` is "?" where they may be missing."""
    return {
        f"{first}.weight": (columns, "hidden"), f"{first}.bias{biases}": ("hidden",),
        f"{second}.weight": ("hidden", "out"), f"{second}.bias{biases}": ("out",),
    }  # fmt: skip


PATCH = ("patch", "patch", 3, "width")
_QWEN = frozenset({"qwen2vl"})
_VISION = ("<|vision_start|>", "<|vision_end|>")
_MERGED = {"mm.input_norm.weight?": ("merged",), "mm.input_norm.bias?": ("merged",)}
_LLAMAS = frozenset({"llama", "granite", "mistral3", "smollm3", "qwen2", "qwen3"})

FAMILIES: Mapping[str, Family] = {
    "mlp": Family(frozenset(), (), mlp("mm.0", "mm.2", "stacked"), places="enough"),
    "qwen2vl_merger": Family(
        _QWEN, _VISION, mlp("mm.0", "mm.2", "merged"), ("spatial_merge_size", 2), "none",
        more={"v.patch_embd.weight.1": PATCH}, turns=True,
    ),
    "qwen2.5vl_merger": Family(
        _QWEN, _VISION, mlp("mm.0", "mm.2", "merged"), ("spatial_merge_size", 2), "none",
        more={"v.patch_embd.weight.1": PATCH}, turns=True,
    ),
    "qwen3vl_merger": Family(
        frozenset({"qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe"}), _VISION, mlp("mm.0", "mm.2", "merged"),
        ("spatial_merge_size", 2), turns=True,
        more={"v.patch_embd.weight.1": PATCH, "v.patch_embd.bias": ("width",)},
    ),
    "gemma3": Family(
        frozenset({"gemma3"}), ("<start_of_image>", "<end_of_image>"),
        {"mm.input_projection.weight": ("out", "width"), "mm.soft_emb_norm.weight": ("width",)},
        ("projector.scale_factor", 4),
    ),
    "idefics3": Family(
        _LLAMAS, ("<fake_token_around_image>",), {"mm.model.fc.weight": ("merged", "out")},
        ("projector.scale_factor", 1),
    ),
    "pixtral": Family(
        frozenset({"llama", "mistral3"}), ("[IMG_END]",),
        {
            **mlp("mm.1", "mm.2", "width", "?"), "v.token_embd.img_break": ("out",),
            "mm.input_norm.weight?": ("width",), "mm.patch_merger.weight?": ("merged", "width"),
        },
        ("spatial_merge_size", 1), "none", turns=True,
    ),
    "internvl": Family(
        frozenset({"llama", "qwen2", "qwen3", "qwen3moe", "internlm2", "phi3", "gpt-oss"}), ("<img>", "</img>"),
        {
            "mm.model.mlp.0.weight": ("merged",), "mm.model.mlp.0.bias": ("merged",),
            **mlp("mm.model.mlp.1", "mm.model.mlp.3", "merged"),
        },
        ("projector.scale_factor", 1),
    ),
    "lfm2": Family(
        frozenset({"lfm2", "lfm2moe"}), ("<|image_start|>", "<|image_end|>"),
        {**mlp("mm.1", "mm.2", "merged"), **_MERGED}, ("projector.scale_factor", 1),
    ),
}  # fmt: skip

# Types whose encoder is the usual one, of which no more is held here than what llama.cpp takes for granted.
USUAL = frozenset(
    {
        "ldp", "ldpv2", "resampler", "adapter", "phi4", "llama4", "kimivl", "kimik25", "paddleocr", "lightonocr",
        "cogvlm", "janus_pro", "dots_ocr", "glm4v", "youtuvl", "hunyuanvl", "nemotron_v2_vl",
    }
)  # fmt: skip

# Those of them whose position embeddings are picked one by one; those of the others are added to numbers of F32.
PICKED = frozenset({"ldp", "ldpv2", "resampler", "adapter"})
# What they join with numbers of F32, or take the norm of.
JOINED = ("v.class_embd", "v.boi", "v.eoi", "adapter.boi", "adapter.eoi", "resampler.query")

# Those whose pictures end with a newline that libmtmd puts in: mtmd.cpp, init_vision.
ENDS_LINE = frozenset({"deepseekocr", "deepseekocr2", "granite4_vision"})

# Files older than this naming have up for down: clip.cpp exchanges them where `down` takes rows of the encoder's width.
SWAPPED = frozenset({"mlp", "qwen2vl_merger", "qwen2.5vl_merger", "gemma3", "idefics3"})

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
