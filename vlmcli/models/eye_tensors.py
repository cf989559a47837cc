"""Metadata and tensors that a vision encoder and its projector of given dimensions have in a GGUF file.

Names and shapes as llama.cpp loads them (tools/mtmd/clip.cpp and clip-impl.h), types as its converters write them
(conversion/, MmprojModel). Shapes have ggml's first dimension first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlmcli.models.dimensions import Eyes
from vlmcli.models.word_tensors import F16, F32, Q8_0, Shape, Tensors


@dataclass(frozen=True)
class Build:
    """How the encoder of a projector type is made.

    Attributes:
        before: a norm before the blocks.
        after: a norm after them.
        rms: norms without biases.
        bias: biases of matrices.
        gate: feed-forward parts with a gate.
        fused: queries, keys and values from one matrix.
        patch_bias: a bias of the patches.
        second: a second matrix for patches, of a video's next frame.
        places: "", "all" (an embedding for each patch of a picture), "class" (and one for a class token) or "two" (one
            across and one down).
        scales: a factor for what each half of a block adds.
        activation: what the metadata say of it.
    """

    before: bool = False
    after: bool = True
    rms: bool = False
    bias: bool = True
    gate: bool = False
    fused: bool = False
    patch_bias: bool = True
    second: bool = False
    places: str = "all"
    scales: bool = False
    activation: str = "gelu"


_PIXTRAL = Build(before=True, after=False, rms=True, bias=False, gate=True, patch_bias=False, places="",
                 activation="silu")  # fmt: skip
_SIGLIP = Build()
BUILDS: Mapping[str, Build] = {
    "mlp": Build(before=True, patch_bias=False, places="class", activation=""),
    "internvl": Build(after=False, places="class", scales=True),
    "qwen2vl_merger": Build(patch_bias=False, second=True, places=""),
    "qwen2.5vl_merger": Build(rms=True, gate=True, patch_bias=False, second=True, places="", activation="silu"),
    "qwen3vl_merger": Build(fused=True, second=True),
    "gemma3": _SIGLIP, "idefics3": _SIGLIP, "lfm2": _SIGLIP, "resampler": _SIGLIP, "minicpmv4_6": _SIGLIP,
    "paddleocr": _SIGLIP,
    "pixtral": _PIXTRAL, "lightonocr": _PIXTRAL,
    "hunyuanvl": Build(after=False),
    "dots_ocr": Build(before=True, after=False, rms=True, bias=False, gate=True, fused=True, places="",
                      activation="silu"),
    "glm4v": Build(rms=True, bias=False, gate=True, fused=True, second=True, activation="silu"),
    "gemma4v": Build(after=False, rms=True, bias=False, gate=True, patch_bias=False, places="two", activation=""),
    "gemma4uv": Build(after=False, places="two", activation=""),
    "deepseekocr": Build(before=True, after=False, fused=True, patch_bias=False, places="class"),
}  # fmt: skip
"""By projector type."""

_SAM, _SAM_BLOCKS, _SAM_HEADS, _SAM_FF = 768, 12, 12, 3072  # width, blocks, heads, feed-forward of Segment Anything's B
_SAM_WHOLE = (2, 5, 8, 11)  # blocks without a window
_SAM_KEYS = {
    "sam.block_count": _SAM_BLOCKS, "sam.embedding_length": _SAM, "sam.head_count": _SAM_HEADS, "window_size": 14,
}  # fmt: skip


def metadata(eyes: Eyes, text: int) -> dict[str, Any]:
    """All keys of a projector's file, for a language model whose rows have `text` numbers."""
    gemma4 = eyes.projector in ("gemma4v", "gemma4uv")
    keys: dict[str, Any] = {
        "embedding_length": eyes.width, "feed_forward_length": eyes.ff, "block_count": eyes.layers,
        "projection_dim": text, "image_size": eyes.image, "patch_size": eyes.patch,
        "attention.head_count": eyes.heads, "attention.layer_norm_epsilon": 1e-6,
        "image_mean": [0.0 if gemma4 else 0.5] * 3, "image_std": [1.0 if gemma4 else 0.5] * 3,
        **(_SAM_KEYS if eyes.projector == "deepseekocr" else {}), **dict(eyes.keys),
    }  # fmt: skip
    activation = "gelu" if eyes.siglip else BUILDS[eyes.projector].activation
    found: dict[str, Any] = {
        "general.architecture": "clip", "clip.has_vision_encoder": True, "clip.projector_type": eyes.projector,
        "clip.use_gelu": activation == "gelu", "clip.use_silu": activation == "silu",
    }  # fmt: skip
    if eyes.queries:
        found |= {"clip.has_minicpmv_projector": True, "clip.minicpmv_query_num": eyes.queries}
    return found | {f"clip.vision.{key}": value for key, value in keys.items()}


def tensors(eyes: Eyes, text: int) -> Tensors:
    """Names and shapes of all tensors, for a language model whose rows have `text` numbers."""
    build = _SIGLIP if eyes.siglip else BUILDS[eyes.projector]
    if eyes.projector == "gemma4uv":
        yield from _pixels(eyes)
    else:
        yield from _patches(eyes, build)
    if build.before:
        yield from _norm("v.pre_ln", eyes.width, rms=build.rms)
    if build.after:
        yield from _norm("v.post_ln", eyes.width, rms=build.rms)
    for layer in range(eyes.layers):
        for name, shape in _block(eyes, build):
            yield f"v.blk.{layer}.{name}", shape
    yield from _projector(eyes, text)
    for layer in eyes.deepstack:
        merged = eyes.width * eyes.merge**2
        yield from _norm(f"v.deepstack.{layer}.norm", merged)
        yield from _linear(f"v.deepstack.{layer}.fc1", merged, merged)
        yield from _linear(f"v.deepstack.{layer}.fc2", merged, text)
    if eyes.hearing:
        yield "a.encoder.weight", (1024, eyes.hearing // 1024)


def _patches(eyes: Eyes, build: Build) -> Tensors:
    width = eyes.width
    yield "v.patch_embd.weight", (eyes.patch, eyes.patch, 3, width)
    if build.second:
        yield "v.patch_embd.weight.1", (eyes.patch, eyes.patch, 3, width)
    if build.patch_bias:
        yield "v.patch_embd.bias", (width,)
    if build.places == "class":
        yield "v.class_embd", (width,)
    if build.places:
        places = (eyes.places or (eyes.image // eyes.patch) ** 2) + (build.places == "class")
        yield "v.position_embd.weight", (width, places, 2) if build.places == "two" else (width, places)
    if eyes.projector == "glm4v":
        yield "v.norm_embd.weight", (width,)


def _pixels(eyes: Eyes) -> Tensors:
    """Squares of pixels that go through one matrix, between norms: there is no encoder."""
    numbers, width = 3 * (3 * eyes.patch) ** 2, eyes.width
    yield from _linear("v.patch_embd", numbers, width)
    yield from _norm("v.patch_norm.1", numbers)
    yield from _norm("v.patch_norm.2", width)
    yield from _norm("v.patch_norm.3", width)
    yield "v.position_embd.weight", (width, eyes.places, 2)


def _block(eyes: Eyes, build: Build) -> Tensors:
    width, head = eyes.width, eyes.width // eyes.heads
    attention = [("attn_qkv", 3 * width)] if build.fused else [(f"attn_{name}", width) for name in "qkv"]
    for name, out in (*attention, ("attn_out", width)):
        yield from _linear(name, width, out, bias=build.bias)
    yield from _norm("ln1", width, rms=build.rms)
    yield from _norm("ln2", width, rms=build.rms)
    if build.scales:
        yield "ls1.weight", (width,)
        yield "ls2.weight", (width,)
    yield from _linear("ffn_up", width, eyes.ff, bias=build.bias)
    yield from _linear("ffn_down", eyes.ff, width, bias=build.bias)
    if build.gate:
        yield from _linear("ffn_gate", width, eyes.ff, bias=build.bias)
    if eyes.projector == "gemma4v":
        for name, size in (("attn_q_norm", head), ("attn_k_norm", head), ("attn_post_norm", width),
                           ("ffn_post_norm", width)):  # fmt: skip
            yield f"{name}.weight", (size,)


def _projector(eyes: Eyes, text: int) -> Tensors:
    width, merged, kind = eyes.width, eyes.width * eyes.merge**2, eyes.projector
    if kind == "gemma3":
        yield "mm.input_projection.weight", (text, width)
        yield "mm.soft_emb_norm.weight", (width,)
    elif kind in ("gemma4v", "gemma4uv"):
        yield "mm.input_projection.weight", (width, text)
        if eyes.standard:
            yield "v.std_bias", (width,)
            yield "v.std_scale", (width,)
    elif kind == "idefics3":
        yield "mm.model.fc.weight", (merged, text)
    elif kind == "internvl":
        yield from _norm("mm.model.mlp.0", merged)
        yield from _linear("mm.model.mlp.1", merged, text)
        yield from _linear("mm.model.mlp.3", text, text)
    elif kind in ("pixtral", "lightonocr"):
        yield from _pixtral(eyes, text)
    elif kind == "glm4v":
        yield from _glm(eyes, text)
    elif kind == "hunyuanvl":
        yield from _hunyuan(width, text)
    elif kind == "deepseekocr":
        yield from _deepseek(eyes, text)
    elif kind == "resampler":
        yield from _resampler(eyes, text)
    elif kind == "minicpmv4_6":
        yield from _merging(width, text)
    else:
        yield from _two_layers(eyes, text)


def _two_layers(eyes: Eyes, text: int) -> Tensors:
    merged, kind = eyes.width * eyes.merge**2, eyes.projector
    hidden = eyes.hidden or (text if kind == "mlp" else merged)
    first, second = ("mm.1", "mm.2") if kind in ("lfm2", "paddleocr") else ("mm.0", "mm.2")
    if kind == "lfm2":
        yield from _norm("mm.input_norm", merged)
    elif kind == "paddleocr":
        yield from _norm("mm.input_norm", eyes.width)
    elif kind == "dots_ocr":
        yield "mm.post_norm.weight", (eyes.width,)
        yield from _norm("mm.input_norm", eyes.width)
    yield from _linear(first, merged * eyes.stacked, hidden)
    yield from _linear(second, hidden, text)
    if eyes.stacked > 1:
        yield "v.image_newline", (text,)


def _pixtral(eyes: Eyes, text: int) -> Tensors:
    if eyes.merge > 1:
        yield "mm.input_norm.weight", (eyes.width,)
        yield "mm.patch_merger.weight", (eyes.width * eyes.merge**2, eyes.width)
    bias = eyes.merge == 1
    yield from _linear("mm.1", eyes.width, text, bias=bias)
    yield from _linear("mm.2", text, text, bias=bias)
    if eyes.projector == "pixtral":
        yield "v.token_embd.img_break", (text,)


def _glm(eyes: Eyes, text: int) -> Tensors:
    yield "mm.patch_merger.weight", (2, 2, eyes.width, text)
    yield "mm.patch_merger.bias", (text,)
    yield "mm.model.fc.weight", (text, text)
    yield from _norm("mm.post_norm", text)
    yield "mm.up.weight", (text, eyes.hidden)
    yield "mm.gate.weight", (text, eyes.hidden)
    yield "mm.down.weight", (eyes.hidden, text)


def _hunyuan(width: int, text: int) -> Tensors:
    yield "mm.pre_norm.weight", (width,)
    yield "mm.0.weight", (2, 2, width, 2 * width)
    yield "mm.0.bias", (2 * width,)
    yield "mm.2.weight", (1, 1, 2 * width, 4 * width)
    yield "mm.2.bias", (4 * width,)
    yield from _linear("mm.model.fc", 4 * width, text)
    yield "mm.post_norm.weight", (text,)
    yield "mm.image_begin", (text,)
    yield "mm.image_end", (text,)
    yield "v.image_newline", (4 * width,)
    yield "v.view_seperator", (4 * width,)


def _deepseek(eyes: Eyes, text: int) -> Tensors:
    """Segment Anything's encoder with its neck, before the CLIP, and one matrix behind both."""
    yield "v.sam.pos_embd.weight", (_SAM, 64, 64, 1)
    yield "v.sam.patch_embd.weight", (16, 16, 3, _SAM)
    yield "v.sam.patch_embd.bias", (_SAM,)
    for block in range(_SAM_BLOCKS):
        at = f"v.sam.blk.{block}."
        yield from _norm(at + "pre_ln", _SAM)
        yield from _norm(at + "post_ln", _SAM)
        yield from _linear(at + "attn.qkv", _SAM, 3 * _SAM)
        yield from _linear(at + "attn.out", _SAM, _SAM)
        yield from _linear(at + "mlp.lin1", _SAM, _SAM_FF)
        yield from _linear(at + "mlp.lin2", _SAM_FF, _SAM)
        for axis in "hw":
            yield f"{at}attn.pos_{axis}.weight", (_SAM // _SAM_HEADS, 127 if block in _SAM_WHOLE else 27)
    yield "v.sam.neck.0.weight", (1, 1, _SAM, 256)
    yield from _norm("v.sam.neck.1", 256)
    yield "v.sam.neck.2.weight", (3, 3, 256, 256)
    yield from _norm("v.sam.neck.3", 256)
    yield "v.sam.net_2.weight", (3, 3, 256, 512)
    yield "v.sam.net_3.weight", (3, 3, 512, eyes.width)
    yield from _linear("mm.model.fc", 2 * eyes.width, text)
    yield "v.image_newline", (text,)
    yield "v.view_seperator", (text, 1)


def _resampler(eyes: Eyes, text: int) -> Tensors:
    yield "resampler.query", (text, eyes.queries)
    yield "resampler.pos_embed_k", (text, eyes.places)
    yield "resampler.proj.weight", (text, text)
    yield "resampler.kv.weight", (eyes.width, text)
    for part in ("q", "k", "v", "out"):
        yield from _linear(f"resampler.attn.{part}", text, text)
    for part in ("q", "kv", "post"):
        yield from _norm(f"resampler.ln_{part}", text)


def _merging(width: int, text: int) -> Tensors:
    """MiniCPM-V 4.6: two by two patches become one within the encoder, and again behind it."""
    for part in ("q", "k", "v", "out"):
        yield from _linear(f"v.vit_merger.attn_{part}", width, width)
    yield from _norm("v.vit_merger.ln1", width)
    yield from _norm("v.vit_merger.ds_ln", 4 * width)
    yield from _linear("v.vit_merger.ds_ffn_up", 4 * width, 4 * width)
    yield from _linear("v.vit_merger.ds_ffn_down", 4 * width, width)
    yield from _norm("mm.input_norm", 4 * width)
    yield from _linear("mm.up", 4 * width, 4 * width)
    yield from _linear("mm.down", 4 * width, text)


def _linear(name: str, columns: int, rows: int, *, bias: bool = True) -> Tensors:
    yield name + ".weight", (columns, rows)
    if bias:
        yield name + ".bias", (rows,)


def _norm(name: str, width: int, *, rms: bool = False) -> Tensors:
    yield name + ".weight", (width,)
    if not rms:
        yield name + ".bias", (width,)


_EXACT = ("position_embd", "pos_embd", "pos_embed_k", "resampler.query", "v.sam.neck", "v.sam.net", "attn.pos_",
          "v.view_seperator")  # fmt: skip


def kind(name: str, shape: Shape, quant: str) -> int:
    """A tensor's type. Source: llama.cpp, conversion/base.py (MmprojModel), and the sizes of published files."""
    gemma3 = name == "mm.input_projection.weight" and shape[0] > shape[1]
    if len(shape) == 1 or gemma3 or any(part in name for part in _EXACT):
        return F32
    if quant == "Q8_0" and len(shape) > 2 and "patch_merger" not in name:
        return F32
    return Q8_0 if quant == "Q8_0" and len(shape) == 2 and shape[0] % 32 == 0 else F16
