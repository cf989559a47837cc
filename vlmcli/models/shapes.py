"""The dimensions of published models, and the headers that their files would have: for arithmetic before a download.

Dimensions come from the models' published configurations (config.json of the original weights); tensors are named and
laid out as llama.cpp's converters do, and quantised as llama-quant.cpp mixes types. The files themselves may differ a
little; what is computed from them is "about". Writes no files (`machine.hollow_gguf` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from vlmcli.models.gguf import Header, Tensor

F32, F16, Q5_0, Q8_0, Q4_K, Q6_K = 0, 1, 6, 8, 12, 14  # ggml.h, enum ggml_type
_FILE_TYPE = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15}  # llama.h, enum llama_ftype
ALIGNMENT = 32  # bytes between tensors
_TOKEN_BYTES = 45  # of a header for each token of a vocabulary, with its merge or score


@dataclass(frozen=True)
class Words:
    """A language model.

    Attributes:
        arch: llama.cpp's name of it.
        width: of a row.
        layers: blocks.
        heads: of queries.
        kv_heads: of keys and values.
        ff: width of the feed-forward part.
        vocabulary: tokens.
        context: cells it was trained for.
        head_dim: of a head; 0 for width / heads.
        tied: whether the output is the embedding's matrix.
        qkv_bias: as Qwen2 has them.
        head_norms: norms of queries and keys.
        post_norms: norms after attention and feed-forward, as Gemma has them.
        window: cells that most layers see.
        convolutions: layers that are short convolutions instead of attention.
        sections: of M-RoPE.
        deepstack: layers that rows of a picture are added to once more.
        tokenizer: name of its pre-tokenizer; empty for SentencePiece.
    """

    arch: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    vocabulary: int
    context: int
    head_dim: int = 0
    tied: bool = False
    qkv_bias: bool = False
    head_norms: bool = False
    post_norms: bool = False
    window: int = 0
    convolutions: Sequence[int] = ()
    sections: Sequence[int] = ()
    deepstack: int = 0
    tokenizer: str = "qwen2"


@dataclass(frozen=True)
class Eyes:
    """A vision encoder and its projector.

    Attributes:
        projector: llama.cpp's name of the type.
        image: side of a picture or tile, in pixels.
        patch: side of a patch.
        width: of a row.
        layers: blocks.
        heads: of attention.
        ff: width of the feed-forward part.
        merge: patches of a side that become one row.
        keys: more metadata, below "clip.vision.".
        deepstack: layers whose rows go to the language model, too.
        hidden: width between the projector's two layers; 0 for the usual.
    """

    projector: str
    image: int
    patch: int
    width: int
    layers: int
    heads: int
    ff: int
    merge: int = 1
    keys: tuple[tuple[str, Any], ...] = ()
    deepstack: Sequence[int] = ()
    hidden: int = 0


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

SHAPES: dict[str, tuple[Words, Eyes]] = {
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
    "qwen3-vl-2b": (
        Words(
            "qwen3vl", 2048, 28, 16, 8, 6144, 151_936, 262_144, 128, tied=True, head_norms=True,
            sections=(24, 20, 20, 0), deepstack=3,
        ),
        _QWEN3_EYES,
    ),
    "gemma-3-4b": (_gemma(2560, 34, 8, 4, 10240, 256), _GEMMA_EYES),
    "gemma-3-12b": (_gemma(3840, 48, 16, 8, 15360, 256), _GEMMA_EYES),
    "gemma-3-27b": (_gemma(5376, 62, 32, 16, 21504, 128), _GEMMA_EYES),
    "internvl3-1b": (_qwen2(896, 24, 14, 2, 4864, 151_674, tied=True), _INTERNVIT),
    "internvl3-2b": (replace(_QWEN2_1_5B, vocabulary=151_674), _INTERNVIT),
    "internvl3-8b": (replace(_QWEN2_7B, vocabulary=151_674), _INTERNVIT),
    "internvl3-14b": (replace(_QWEN2_14B, vocabulary=151_674), _INTERNVIT),
    "lfm2-vl-450m": (
        Words(
            "lfm2", 1024, 16, 16, 8, 4608, 65_536, 128_000, tied=True, head_norms=True, tokenizer="lfm2",
            convolutions=(0, 1, 3, 4, 6, 7, 9, 11, 13, 15),
        ),
        Eyes("lfm2", 256, 16, *_SIGLIP_BASE, merge=2, keys=(("projector.scale_factor", 2),), hidden=2560),
    ),
    "pixtral-12b": (
        Words("llama", 5120, 40, 32, 8, 14336, 131_072, 1_024_000, 128, tokenizer="tekken"),
        _PIXTRAL_EYES,
    ),
    "llava-1.5-7b": (_LLAMA_7B, _CLIP_336),
    "llava-1.5-13b": (_LLAMA_13B, _CLIP_336),
    "llava-1.6-mistral-7b": (replace(_LLAMA_7B, kv_heads=8, ff=14336, context=32_768), _ANYRES),
}  # fmt: skip


@cache
def headers(name: str, quant: str = "Q4_K_M", projector: str = "F16") -> tuple[Header, Header]:
    """The headers of a language model and its projector.

    Args:
        name: in SHAPES.
        quant: F16, Q8_0, or Q4_K_M, which stands for every other.
        projector: F16 or Q8_0.
    """
    words, eyes = SHAPES[name]
    return words_header(name, words, quant), eyes_header(name, eyes, words.width, projector)


def words_header(name: str, words: Words, quant: str) -> Header:
    """The header that a language model of these dimensions would have, in one of the three quantisations."""
    quant = next((known for known in ("F16", "Q8_0") if known == quant.upper()), "Q4_K_M")
    keys: dict[str, Any] = {
        "context_length": words.context, "embedding_length": words.width, "block_count": words.layers,
        "feed_forward_length": words.ff, "attention.head_count": words.heads,
        "attention.head_count_kv": [
            0 if layer in words.convolutions else words.kv_heads for layer in range(words.layers)
        ] if words.convolutions else words.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 10000.0, "vocab_size": words.vocabulary,
        "attention.key_length": _head(words), "attention.value_length": _head(words),
        "rope.dimension_count": _head(words),
    }  # fmt: skip
    if words.sections:
        keys["rope.dimension_sections"] = list(words.sections)
    if words.window:
        keys["attention.sliding_window"] = words.window
    if words.deepstack:
        keys["n_deepstack_layers"] = words.deepstack
    if words.convolutions:
        keys["shortconv.l_cache"] = 3
    metadata = {"general.architecture": words.arch, "general.name": name, "general.file_type": _FILE_TYPE[quant]}
    metadata |= {f"{words.arch}.{key}": value for key, value in keys.items()}
    kinds = ((tensor, shape, _words_kind(tensor, shape, words, quant)) for tensor, shape in _words_tensors(words))
    return _header(f"{name}-{quant}.gguf", metadata, kinds, words.vocabulary * _TOKEN_BYTES)


def eyes_header(name: str, eyes: Eyes, text_width: int, quant: str) -> Header:
    """The header of a vision encoder and its projector, for a language model whose rows have `text_width` numbers."""
    keys: dict[str, Any] = {
        "embedding_length": eyes.width, "feed_forward_length": eyes.ff, "block_count": eyes.layers,
        "projection_dim": text_width, "image_size": eyes.image, "patch_size": eyes.patch,
        "attention.head_count": eyes.heads, "attention.layer_norm_epsilon": 1e-6,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **dict(eyes.keys),
    }  # fmt: skip
    silu = eyes.projector in ("qwen2.5vl_merger", "pixtral")
    metadata: dict[str, Any] = {
        "general.architecture": "clip", "general.file_type": _FILE_TYPE[quant], "clip.has_vision_encoder": True,
        "clip.projector_type": eyes.projector, "clip.use_gelu": not silu and eyes.projector != "mlp",
        "clip.use_silu": silu,
    }  # fmt: skip
    metadata |= {f"clip.vision.{key}": value for key, value in keys.items()}
    kinds = ((tensor, shape, _eyes_kind(tensor, shape, quant)) for tensor, shape in _eyes_tensors(eyes, text_width))
    return _header(f"mmproj-{name}-{quant}.gguf", metadata, kinds, 0)


def _header(
    name: str, metadata: dict[str, Any], kinds: Iterator[tuple[str, tuple[int, ...], int]], vocabulary: int
) -> Header:
    tensors, offset = [], 0
    for tensor, shape, kind in kinds:
        tensors.append(Tensor(tensor, shape, kind, offset))
        offset += -(-tensors[-1].size // ALIGNMENT) * ALIGNMENT
    data = 4096 + 64 * len(tensors) + vocabulary
    return Header(Path(name), metadata, tuple(tensors), data, data + offset)


def _head(words: Words) -> int:
    return words.head_dim or words.width // words.heads


def _words_tensors(words: Words) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes, ggml's first dimension first: of a matrix, what goes in."""
    width, head = words.width, _head(words)
    yield "token_embd.weight", (width, words.vocabulary)
    yield "token_embd_norm.weight" if words.arch == "lfm2" else "output_norm.weight", (width,)
    if not words.tied:
        yield "output.weight", (width, words.vocabulary)
    for layer in range(words.layers):
        at = f"blk.{layer}."
        yield at + "attn_norm.weight", (width,)
        yield at + "ffn_norm.weight", (width,)
        if layer in words.convolutions:
            yield at + "shortconv.conv.weight", (3, width)
            yield at + "shortconv.in_proj.weight", (width, 3 * width)
            yield at + "shortconv.out_proj.weight", (width, width)
        else:
            for name, heads in (("q", words.heads), ("k", words.kv_heads), ("v", words.kv_heads)):
                yield f"{at}attn_{name}.weight", (width, heads * head)
                if words.qkv_bias:
                    yield f"{at}attn_{name}.bias", (heads * head,)
            yield at + "attn_output.weight", (words.heads * head, width)
            if words.head_norms:
                yield at + "attn_q_norm.weight", (head,)
                yield at + "attn_k_norm.weight", (head,)
        if words.post_norms:
            yield at + "post_attention_norm.weight", (width,)
            yield at + "post_ffw_norm.weight", (width,)
        yield at + "ffn_gate.weight", (width, words.ff)
        yield at + "ffn_up.weight", (width, words.ff)
        yield at + "ffn_down.weight", (words.ff, width)


def _words_kind(name: str, shape: tuple[int, ...], words: Words, quant: str) -> int:
    """A tensor's type. Source: llama.cpp, src/llama-quant.cpp, llama_tensor_get_type."""
    if len(shape) == 1 or name.endswith("shortconv.conv.weight"):
        return F32
    if quant == "F16":
        return F16
    kind = Q8_0 if quant == "Q8_0" else Q4_K
    if quant == "Q4_K_M":
        layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
        eighth = words.layers // 8
        more = layer < eighth or layer >= 7 * words.layers // 8 or (layer - eighth) % 3 == 2
        last = name == "output.weight" or (words.tied and name == "token_embd.weight")
        if last or (more and name.endswith(("attn_v.weight", "ffn_down.weight"))):
            kind = Q6_K
        if shape[0] % 256:
            kind = Q5_0 if kind == Q4_K else Q8_0
    return kind if shape[0] % 32 == 0 else F16


def _eyes_tensors(eyes: Eyes, text: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, kind = eyes.width, eyes.projector
    rms = kind in ("qwen2.5vl_merger", "pixtral")
    qwen = kind in ("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger")
    yield "v.patch_embd.weight", (eyes.patch, eyes.patch, 3, width)
    if qwen:
        yield "v.patch_embd.weight.1", (eyes.patch, eyes.patch, 3, width)
    if kind not in ("mlp", "pixtral", "qwen2vl_merger", "qwen2.5vl_merger"):
        yield "v.patch_embd.bias", (width,)
    if kind in ("mlp", "internvl"):
        yield "v.class_embd", (width,)
    if kind not in ("qwen2vl_merger", "qwen2.5vl_merger", "pixtral"):
        places = (eyes.image // eyes.patch) ** 2 + (kind in ("mlp", "internvl"))
        yield "v.position_embd.weight", (width, places)
    if kind in ("mlp", "pixtral"):
        yield from _norm("v.pre_ln", width, rms=rms)
    if kind not in ("pixtral", "internvl"):
        yield from _norm("v.post_ln", width, rms=rms)
    bias = kind != "pixtral"
    for layer in range(eyes.layers):
        at = f"v.blk.{layer}."
        attention = [("attn_qkv", 3 * width)] if kind == "qwen3vl_merger" else [(f"attn_{n}", width) for n in "qkv"]
        for name, out in (*attention, ("attn_out", width)):
            yield from _linear(at + name, width, out, bias=bias)
        yield from _norm(at + "ln1", width, rms=rms)
        yield from _norm(at + "ln2", width, rms=rms)
        if kind == "internvl":
            yield at + "ls1.weight", (width,)
            yield at + "ls2.weight", (width,)
        yield from _linear(at + "ffn_up", width, eyes.ff, bias=bias)
        yield from _linear(at + "ffn_down", eyes.ff, width, bias=bias)
        if rms:
            yield from _linear(at + "ffn_gate", width, eyes.ff, bias=bias)
    yield from _projector_tensors(eyes, text)


def _projector_tensors(eyes: Eyes, text: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    merged, kind = eyes.width * eyes.merge**2, eyes.projector
    hidden = eyes.hidden or (merged if kind.startswith("qwen") else text)
    if kind == "gemma3":
        yield "mm.input_projection.weight", (text, eyes.width)
        yield "mm.soft_emb_norm.weight", (eyes.width,)
    elif kind == "idefics3":
        yield "mm.model.fc.weight", (merged, text)
    elif kind == "internvl":
        yield from _norm("mm.model.mlp.0", merged)
        yield from _linear("mm.model.mlp.1", merged, text)
        yield from _linear("mm.model.mlp.3", text, text)
    else:
        first, second = ("mm.1", "mm.2") if kind in ("pixtral", "lfm2") else ("mm.0", "mm.2")
        if kind == "lfm2":
            yield from _norm("mm.input_norm", merged)
        if kind == "pixtral":
            yield "v.token_embd.img_break", (text,)
        yield from _linear(first, merged, hidden)
        yield from _linear(second, hidden, text)
        for layer in eyes.deepstack:
            yield from _norm(f"v.deepstack.{layer}.norm", merged)
            yield from _linear(f"v.deepstack.{layer}.fc1", merged, merged)
            yield from _linear(f"v.deepstack.{layer}.fc2", merged, text)


def _linear(name: str, columns: int, rows: int, *, bias: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".weight", (columns, rows)
    if bias:
        yield name + ".bias", (rows,)


def _norm(name: str, width: int, *, rms: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".weight", (width,)
    if not rms:
        yield name + ".bias", (width,)


def _eyes_kind(name: str, shape: tuple[int, ...], quant: str) -> int:
    """A tensor's type. Source: llama.cpp, convert_hf_to_gguf.py (MmprojModel) and clip_model_quantize."""
    if len(shape) == 1 or "position_embd" in name or name == "mm.input_projection.weight":
        return F32
    return Q8_0 if quant == "Q8_0" and len(shape) == 2 and shape[0] % 32 == 0 else F16
