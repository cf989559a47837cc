"""The dimensions of published models, by name.

From their published configurations (config.json of the original weights, and what other projects' sources and logs say
of them): tests/models/published.toml has the figures with their sources, and holds this table to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vlmcli.models.dimensions import Delta, Experts, Eyes, Mixed, Words

_SIGLIP_400M = (1152, 27, 16, 4304)  # width, layers, heads, ff
_SIGLIP_BASE = (768, 12, 12, 3072)
_VIT_LARGE = (1024, 24, 16, 4096)
_CLIP_336 = Eyes("mlp", 336, 14, 1024, 23, 16, 4096)  # ViT-L without the layer that LLaVA leaves out
# LLaVA 1.6: tiles on these grids. Source: its config.json, image_grid_pinpoints.
_ANYRES = replace(_CLIP_336, keys=(("image_grid_pinpoints", [336, 672, 672, 336, 672, 672, 1008, 336, 336, 1008]),))
_INTERNVIT = Eyes("internvl", 448, 14, *_VIT_LARGE, merge=2, keys=(("projector.scale_factor", 2),))
_QWEN2_EYES = Eyes("qwen2vl_merger", 560, 14, 1280, 32, 16, 5120, merge=2, keys=(("spatial_merge_size", 2),))
_QWEN25_EYES = Eyes(
    "qwen2.5vl_merger", 560, 14, 1280, 32, 16, 3420, merge=2, keys=(("spatial_merge_size", 2), ("n_wa_pattern", 8))
)
_QWEN3_EYES = Eyes(
    "qwen3vl_merger", 768, 16, *_VIT_LARGE, merge=2, keys=(("spatial_merge_size", 2),), deepstack=(5, 11, 17)
)
_GEMMA_EYES = Eyes("gemma3", 896, 14, *_SIGLIP_400M, merge=4)
_PIXTRAL_EYES = Eyes("pixtral", 1024, 16, *_VIT_LARGE)


def _smol(image: int, patch: int, merge: int, longest: int, size: tuple[int, int, int, int]) -> Eyes:
    keys = (("projector.scale_factor", merge), ("preproc_image_size", longest))
    return Eyes("idefics3", image, patch, *size, merge=merge, keys=keys)


def _qwen2(width: int, layers: int, heads: int, kv: int, ff: int, vocabulary: int, **more: Any) -> Words:
    return Words("qwen2", width, layers, heads, kv, ff, vocabulary, 32768, qkv_bias=True, **more)


def _qwen_vl(words: Words, context: int) -> Words:
    return replace(words, arch="qwen2vl", sections=(16, 24, 24, 0), context=context)


def _gemma(width: int, layers: int, heads: int, kv: int, ff: int, head_dim: int) -> Words:
    return Words(
        "gemma3", width, layers, heads, kv, ff, 262_208, 131_072, head_dim, tied=True, head_norms=True, post_norms=True,
        window=1024, tokenizer="",
    )  # fmt: skip


_QWEN2_1_5B = _qwen2(1536, 28, 12, 2, 8960, 151_936, tied=True)
_QWEN2_7B = _qwen2(3584, 28, 28, 4, 18944, 152_064)
_QWEN2_14B = _qwen2(5120, 48, 40, 8, 13824, 152_064)
_QWEN2_32B = _qwen2(5120, 64, 40, 8, 27648, 152_064)
_LLAMA_7B = Words("llama", 4096, 32, 32, 32, 11008, 32_064, 4096, tokenizer="")
_LLAMA_13B = Words("llama", 5120, 40, 40, 40, 13824, 32_064, 4096, tokenizer="")

_EARLIER: Mapping[str, tuple[Words, Eyes]] = {
    "smolvlm2-256m": (
        Words("llama", 576, 30, 9, 3, 1536, 49_280, 8192, tokenizer="smollm"),
        _smol(512, 16, 4, 2048, _SIGLIP_BASE),
    ),
    "smolvlm2-500m": (
        Words("llama", 960, 32, 15, 5, 2560, 49_280, 8192, tokenizer="smollm"),
        _smol(512, 16, 4, 2048, _SIGLIP_BASE),
    ),
    "smolvlm2-2.2b": (
        Words("llama", 2048, 24, 32, 32, 8192, 49_280, 8192, tokenizer="smollm"),
        _smol(384, 14, 3, 1536, _SIGLIP_400M),
    ),
    "qwen2-vl-2b": (_qwen_vl(_QWEN2_1_5B, 32_768), _QWEN2_EYES),
    "qwen2-vl-7b": (_qwen_vl(_QWEN2_7B, 32_768), _QWEN2_EYES),
    "qwen2.5-vl-3b": (_qwen_vl(_qwen2(2048, 36, 16, 2, 11008, 151_936, tied=True), 128_000), _QWEN25_EYES),
    "qwen2.5-vl-7b": (_qwen_vl(_QWEN2_7B, 128_000), _QWEN25_EYES),
    "qwen2.5-vl-32b": (_qwen_vl(_QWEN2_32B, 128_000), replace(_QWEN25_EYES, ff=3456)),
    "gemma-3-4b": (_gemma(2560, 34, 8, 4, 10240, 256), _GEMMA_EYES),
    "gemma-3-12b": (_gemma(3840, 48, 16, 8, 15360, 256), _GEMMA_EYES),
    "gemma-3-27b": (_gemma(5376, 62, 32, 16, 21504, 128), _GEMMA_EYES),
    "internvl3-1b": (_qwen2(896, 24, 14, 2, 4864, 151_674, tied=True), _INTERNVIT),
    "internvl3-2b": (replace(_QWEN2_1_5B, vocabulary=151_674), _INTERNVIT),
    "internvl3-8b": (replace(_QWEN2_7B, vocabulary=151_674), _INTERNVIT),
    "internvl3-14b": (replace(_QWEN2_14B, vocabulary=151_674), _INTERNVIT),
    "pixtral-12b": (
        Words("llama", 5120, 40, 32, 8, 14336, 131_072, 1_024_000, 128, tokenizer="tekken"),
        _PIXTRAL_EYES,
    ),
    "llava-1.5-7b": (_LLAMA_7B, _CLIP_336),
    "llava-1.5-13b": (_LLAMA_13B, _CLIP_336),
    "llava-1.6-mistral-7b": (replace(_LLAMA_7B, kv_heads=8, ff=14336, context=32_768), _ANYRES),
}  # fmt: skip

# Of today ------------------------------------------------------------------------------------------------------------

_QWEN3_LARGE_EYES = replace(_QWEN3_EYES, width=1152, layers=27, heads=16, ff=4304, deepstack=(8, 16, 24))
_PIXTRAL_MERGED = Eyes("pixtral", 1540, 14, *_VIT_LARGE, merge=2, keys=(("spatial_merge_size", 2),))
_LIGHTON_EYES = replace(_PIXTRAL_MERGED, projector="lightonocr")
_MINICPM_SLICES = Eyes("resampler", 448, 14, *_SIGLIP_400M, places=70 * 70, queries=64)
_SIGLIP_MLP = Eyes("mlp", 378, 14, *_SIGLIP_400M, siglip=True)
# Granite Vision: its tiles, and its scales. Sources: llama.cpp's README of Granite Vision; mlx-vlm, granite_vision.
_GRANITE_GRID = [
    384 * side
    for places in (*((1, n) for n in range(1, 11)), *((2, n) for n in range(1, 6)), (3, 1), (3, 2), (3, 3), (4, 1),
                   (4, 2), (5, 1), (5, 2), *((n, 1) for n in range(6, 11)))
    for side in places
]  # fmt: skip
_GRANITE = (
    ("embedding_scale", 12.0), ("residual_scale", 0.22), ("attention.scale", 0.015625), ("logit_scale", 8.0),
)  # fmt: skip


def _qwen3(width: int, layers: int, heads: int, ff: int, context: int, vocabulary: int = 151_936, **more: Any) -> Words:
    return Words("qwen3", width, layers, heads, 8, ff, vocabulary, context, 128, head_norms=True, **more)


def _qwen3_vl(words: Words, **more: Any) -> Words:
    return replace(words, **{"arch": "qwen3vl", "sections": (24, 20, 20, 0), "deepstack": 3, **more})


def _qwen35(width: int, layers: int, heads: int, kv: int, ff: int, values: int, **more: Any) -> Words:
    return Words(
        "qwen35",
        width,
        layers,
        heads,
        kv,
        ff,
        248_320,
        262_144,
        256,
        head_norms=True,
        sections=(11, 11, 10, 0),
        rotated=64,
        delta=Delta(4, values),
        tokenizer="qwen35",
        **more,
    )


def _qwen35_eyes(size: tuple[int, int, int, int]) -> Eyes:
    width, layers, heads, ff = size
    return replace(_QWEN3_EYES, width=width, layers=layers, heads=heads, ff=ff, deepstack=())


def _gemma4(width: int, layers: int, heads: int, kv: int, ff: int, window: int, mixed: Mixed, **more: Any) -> Words:
    return Words(
        "gemma4",
        width,
        layers,
        heads,
        kv,
        ff,
        262_144,
        262_144 if window > 512 else 131_072,
        256,
        tied=True,
        head_norms=True,
        post_norms=True,
        window=window,
        mixed=mixed,
        tokenizer="",
        **more,
    )


def _gemma4_eyes(size: tuple[int, int, int, int], **more: Any) -> Eyes:
    return Eyes("gemma4v", 224, 16, *size, merge=3, places=10_240, keys=(("projector.scale_factor", 3),), **more)


def _lfm2(width: int, heads: int, ff: int) -> Words:
    return Words(
        "lfm2",
        width,
        16,
        heads,
        8,
        ff,
        65_536,
        128_000,
        tied=True,
        head_norms=True,
        tokenizer="lfm2",
        convolutions=(0, 1, 3, 4, 6, 7, 9, 11, 13, 15),
    )


def _lfm2_eyes(size: tuple[int, int, int, int]) -> Eyes:
    return Eyes("lfm2", 256, 16, *size, merge=2, keys=(("projector.scale_factor", 2),), hidden=2560)


def _mistral3(width: int, layers: int, ff: int, **more: Any) -> Words:
    return Words("mistral3", width, layers, 32, 8, ff, 131_072, 262_144, 128, tokenizer="tekken", **more)


_LFM2_350M, _LFM2_1B = _lfm2(1024, 16, 4608), _lfm2(2048, 32, 8192)
_LFM2_350M_EYES, _LFM2_1B_EYES = _lfm2_eyes(_SIGLIP_BASE), _lfm2_eyes(_SIGLIP_400M)
_QWEN35_08B = _qwen35(1024, 24, 8, 2, 3584, 16, tied=True)
# E2B's projector in BF16 has 986,833,664 bytes, 618 million more than what sees: that hears.
_GEMMA4_SMALL_EYES = _gemma4_eyes((768, 16, 12, 3072), hearing=309_000_000)
_GEMMA4_LARGE_EYES = _gemma4_eyes(_SIGLIP_400M, standard=True)
_QWEN3_06B = _qwen3(1024, 28, 16, 3072, 40_960, tied=True)
_QWEN3_17B = _qwen3(2048, 28, 16, 6144, 40_960, tied=True)
_QWEN3_4B = _qwen3(2560, 36, 32, 9728, 40_960, tied=True)
_QWEN3_8B = _qwen3(4096, 36, 32, 12_288, 40_960)
_MISTRAL_24B = Words("llama", 5120, 40, 32, 8, 32_768, 131_072, 131_072, 128, tokenizer="tekken")

_TODAY: Mapping[str, tuple[Words, Eyes]] = {
    "qwen3-vl-2b": (_qwen3_vl(_QWEN3_17B, context=262_144), _QWEN3_EYES),
    "qwen3-vl-4b": (_qwen3_vl(_QWEN3_4B, context=262_144), _QWEN3_EYES),
    "qwen3-vl-8b": (_qwen3_vl(_QWEN3_8B, context=262_144), _QWEN3_LARGE_EYES),
    "qwen3-vl-32b": (_qwen3_vl(_qwen3(5120, 64, 64, 25_600, 262_144)), _QWEN3_LARGE_EYES),
    "qwen3-vl-30b-a3b": (
        _qwen3_vl(
            _qwen3(2048, 48, 32, 6144, 262_144), arch="qwen3vlmoe", kv_heads=4, experts=Experts(128, 8, 768)
        ),
        _QWEN3_LARGE_EYES,
    ),
    "qwen3.5-0.8b": (_QWEN35_08B, _qwen35_eyes(_SIGLIP_BASE)),
    "qwen3.5-2b": (_qwen35(2048, 24, 8, 2, 6144, 16, tied=True), _qwen35_eyes(_VIT_LARGE)),
    "qwen3.5-4b": (_qwen35(2560, 32, 16, 4, 9216, 32, tied=True), _qwen35_eyes(_VIT_LARGE)),
    "qwen3.5-9b": (_qwen35(4096, 32, 16, 4, 12_288, 32), _qwen35_eyes(_SIGLIP_400M)),
    "qwen3.6-27b": (_qwen35(5120, 64, 24, 4, 17_408, 48), _qwen35_eyes(_SIGLIP_400M)),
    "qwen3.6-35b-a3b": (
        replace(
            _qwen35(2048, 40, 16, 2, 0, 32), arch="qwen35moe",
            experts=Experts(256, 8, 512, shared=512, gated=True),
        ),
        _qwen35_eyes(_SIGLIP_400M),
    ),
    "gemma-4-e2b": (
        _gemma4(1536, 35, 8, 1, 6144, 512, Mixed(5, 512, 1, shared=20, wide=True, per_layer=256)),
        _GEMMA4_SMALL_EYES,
    ),
    "gemma-4-e4b": (
        _gemma4(2560, 42, 8, 2, 10_240, 512, Mixed(6, 512, 2, shared=18, per_layer=256)),
        _GEMMA4_SMALL_EYES,
    ),
    "gemma-4-12b": (
        _gemma4(3840, 48, 16, 8, 15_360, 1024, Mixed(6, 512, 1, values=False)),
        Eyes("gemma4uv", 224, 16, 3840, 0, 0, 0, merge=3, places=1120),
    ),
    "gemma-4-26b-a4b": (
        _gemma4(
            2816, 30, 16, 8, 2112, 1024, Mixed(6, 512, 2, values=False),
            experts=Experts(128, 8, 704, beside=True, joined=True),
        ),
        _GEMMA4_LARGE_EYES,
    ),
    "gemma-4-31b": (
        _gemma4(5376, 60, 32, 16, 21_504, 1024, Mixed(6, 512, 4, values=False)),
        _GEMMA4_LARGE_EYES,
    ),
    "lfm2-vl-450m": (_LFM2_350M, _LFM2_350M_EYES),
    "lfm2.5-vl-450m": (_LFM2_350M, _LFM2_350M_EYES),
    "lfm2-vl-1.6b": (_LFM2_1B, _LFM2_1B_EYES),
    "lfm2.5-vl-1.6b": (_LFM2_1B, _LFM2_1B_EYES),
    "internvl3.5-1b": (_QWEN3_06B, _INTERNVIT),
    "internvl3.5-2b": (_QWEN3_17B, _INTERNVIT),
    "internvl3.5-4b": (_QWEN3_4B, _INTERNVIT),
    "internvl3.5-8b": (_QWEN3_8B, _INTERNVIT),
    "minicpm-v-2.6": (replace(_QWEN2_7B, vocabulary=151_666), _MINICPM_SLICES),
    "minicpm-v-4.5": (replace(_QWEN3_8B, vocabulary=151_748), _MINICPM_SLICES),
    "minicpm-v-4.6": (
        replace(_QWEN35_08B, tied=False),
        Eyes("minicpmv4_6", 448, 14, *_SIGLIP_400M, merge=4, places=70 * 70,
             keys=(("projector.scale_factor", 4), ("wa_layer_indexes", [6]))),
    ),
    "mistral-small-3.2": (_MISTRAL_24B, _PIXTRAL_MERGED),
    "ministral-3-3b": (_mistral3(3072, 26, 9216, tied=True), _PIXTRAL_MERGED),
    "ministral-3-8b": (_mistral3(4096, 34, 14_336), _PIXTRAL_MERGED),
    "ministral-3-14b": (_mistral3(5120, 40, 16_384), _PIXTRAL_MERGED),
    "glm-4.6v-flash": (
        Words(
            "glm4", 4096, 40, 32, 2, 13_696, 151_552, 131_072, 128, qkv_bias=True, post_norms=True, rotated=64,
            sections=(8, 12, 12, 0), tokenizer="glm4",
        ),
        Eyes("glm4v", 336, 14, 1536, 24, 12, 4096, merge=2, hidden=13_696, keys=(("spatial_merge_size", 2),)),
    ),
    "glm-ocr": (
        Words(
            "glm4", 1536, 16, 16, 8, 4608, 59_392, 131_072, 128, post_norms=True, rotated=64, spare=1,
            sections=(8, 12, 12, 0), tokenizer="glm4",
        ),
        Eyes("glm4v", 336, 14, *_VIT_LARGE, merge=2, hidden=4608, keys=(("spatial_merge_size", 2),)),
    ),
    "paddleocr-vl-1.6": (
        Words(
            "paddleocr", 1024, 18, 16, 2, 3072, 103_424, 131_072, 128, sections=(16, 24, 24, 0), tokenizer=""
        ),
        Eyes(
            "paddleocr", 384, 14, *_SIGLIP_400M, merge=2,
            keys=(("image_min_pixels", 112_896), ("image_max_pixels", 1_003_520)),
        ),
    ),
    "dots.ocr": (
        Words("qwen2", 1536, 28, 12, 2, 8960, 151_936, 131_072, 128, qkv_bias=True),
        Eyes(
            "dots_ocr", 0, 14, 1536, 42, 12, 4224, merge=2,
            keys=(("projector.scale_factor", 2), ("image_min_pixels", 3136), ("image_max_pixels", 11_289_600)),
        ),
    ),
    "hunyuanocr": (
        Words(
            "hunyuan_vl", 1024, 24, 16, 8, 3584, 120_818, 32_768, 128, tied=True, head_norms=True,
            sections=(16, 16, 16, 16), tokenizer="hunyuan-dense",
        ),
        Eyes(
            "hunyuanvl", 2048, 16, *_SIGLIP_400M, merge=2,
            keys=(("spatial_merge_size", 2), ("image_min_pixels", 262_144), ("image_max_pixels", 4_194_304)),
        ),
    ),
    "lightonocr-1b": (_QWEN3_06B, _LIGHTON_EYES),
    "lightonocr-2-1b": (_QWEN3_06B, _LIGHTON_EYES),
    "deepseek-ocr": (
        Words(
            "deepseek2-ocr", 1280, 12, 10, 10, 6848, 129_280, 8192, 128, tokenizer="deepseek-v3",
            experts=Experts(64, 6, 896, shared=1792, dense=1),
        ),
        Eyes("deepseekocr", 1024, 14, *_VIT_LARGE, places=256),
    ),
    "granite-vision-3.2-2b": (
        Words("granite", 2048, 40, 32, 8, 8192, 49_156, 131_072, 64, tied=True, tokenizer="refact", keys=_GRANITE),
        replace(_SIGLIP_MLP, image=384, keys=(("image_grid_pinpoints", _GRANITE_GRID),), stacked=4),
    ),
    "granite-docling-258m": (
        Words("llama", 576, 30, 9, 3, 1536, 100_352, 8192, 64, tied=True, tokenizer="granite-docling"),
        _smol(512, 16, 4, 2048, _SIGLIP_BASE),
    ),
    "moondream2": (
        Words("phi2", 2048, 24, 32, 32, 8192, 51_200, 2048, 64, rotated=32, tokenizer="gpt-2"),
        replace(_SIGLIP_MLP, hidden=8192),
    ),
    "llava-1.6-34b": (
        Words("llama", 7168, 60, 56, 8, 20_480, 64_000, 4096, 128, tokenizer=""),
        _ANYRES,
    ),
}  # fmt: skip

SHAPES: Mapping[str, tuple[Words, Eyes]] = {**_EARLIER, **_TODAY}
