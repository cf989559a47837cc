"""The pairs of random weights that tests and benchmarks run on: real architectures that compute and know nothing.

`small(folder)` writes nine pairs of under a megabyte, one for each way of putting a picture before a language model
that llama.cpp has; equal seeds give equal files. `real(folder)` writes one of the size people use. How a pair is
written is in `pair_maker`. Needs the `gguf` package (the extras `dev` and `bench`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlmcli.bench.pair_maker import Array, EncoderShape, ModelShape, PairMaker

MODELS = {
    "llava": "LLaVA 1.5", "qwen2vl": "Qwen2-VL", "qwen25vl": "Qwen2.5-VL", "qwen3vl": "Qwen3-VL", "gemma3": "Gemma 3",
    "smolvlm": "SmolVLM, SmolVLM2", "pixtral": "Pixtral 12B", "internvl": "InternVL 2.5, InternVL3",
    "lfm2vl": "LFM2-VL, LFM2.5-VL",
}  # fmt: skip
"""Whose shape each small pair has."""
SMALL = tuple(MODELS)
"""Names of the small pairs: the files are NAME.gguf and mmproj-NAME.gguf."""

_MLP = ("mm.0", "mm.2")


def small(folder: Path, seed: int = 0) -> Path:
    """Write the nine pairs of `SMALL`, and `wide`, a language model that fits none of the projectors.

    The order of the calls is the order of the random numbers: files of one seed are equal everywhere.

    Args:
        folder: where to; made when it is not there.
        seed: of the random numbers.

    Returns:
        The folder.
    """
    make = PairMaker(folder, np.random.default_rng(seed).standard_normal)
    _llava(make)
    _qwens(make)
    _gemma3(make)
    _smolvlm(make)
    _pixtral(make)
    _internvl(make)
    _lfm2vl(make)
    make.model("wide", ModelShape(bpe="", specials=["<image>"], width=96, head_dim=24))
    return folder


def _llava(make: PairMaker) -> None:
    make.model("llava", ModelShape(bpe="", specials=["<image>"]))
    tensors = make.mlp(64, 64, 64, 0.2, _MLP)
    shape = EncoderShape("mlp", class_token=True, pre_norm=True, patch_bias=False, gelu=False, tensors=tensors)
    make.projector("llava", shape, 64)


def _qwens(make: PairMaker) -> None:
    """Three pairs whose projectors have the same two layers."""
    qwen = ModelShape("qwen2vl", qkv_bias=True, sections=[2, 3, 3, 0])
    make.model("qwen2vl", qwen)
    merger = make.mlp(64, 256, 128, 0.1, _MLP)
    merge = {"spatial_merge_size": 2}
    shape = EncoderShape(
        "qwen2vl_merger", image=560, positions=False, patch_bias=False, temporal=True, keys=merge, tensors=merger
    )
    make.projector("qwen2vl", shape, 64)
    make.model("qwen25vl", qwen)
    shape = EncoderShape(
        "qwen2.5vl_merger", image=560, positions=False, patch_bias=False, temporal=True, rms=True, gate=True, silu=True,
        gelu=False, keys={"n_wa_pattern": 2, **merge}, tensors=merger,
    )  # fmt: skip
    make.projector("qwen25vl", shape, 64)
    make.model("qwen3vl", ModelShape("qwen3vl", head_norms=True, sections=[2, 3, 3, 0], deepstack=1))
    deepstack = {
        "v.deepstack.1.norm.weight": make.gain(256),
        "v.deepstack.1.norm.bias": make.full(256),
        "v.deepstack.1.fc1.weight": make.half(128, 256, scale=0.1),
        "v.deepstack.1.fc1.bias": make.full(128),
        "v.deepstack.1.fc2.weight": make.half(64, 128, scale=0.1),
        "v.deepstack.1.fc2.bias": make.full(64),
    }
    shape = EncoderShape(
        "qwen3vl_merger", image=256, patch=16, temporal=True, fused_qkv=True, keys=merge, tensors=merger | deepstack
    )
    make.projector("qwen3vl", shape, 64)


def _gemma3(make: PairMaker) -> None:
    turns = ["<start_of_image>", "<end_of_image>", "<start_of_turn>", "<end_of_turn>"]
    make.model("gemma3", ModelShape("gemma3", bpe="", specials=turns, gemma=True, window=32, layers=7))
    tensors = {"mm.input_projection.weight": make.full(64, 64, scale=0.2), "mm.soft_emb_norm.weight": make.gain(64)}
    make.projector("gemma3", EncoderShape("gemma3", image=224, tensors=tensors), 64)


def _smolvlm(make: PairMaker) -> None:
    make.model("smolvlm", ModelShape(bpe="smollm"))
    tensors = {"mm.model.fc.weight": make.half(64, 256, scale=0.1)}
    tiles = {"projector.scale_factor": 2, "preproc_image_size": 192}
    make.projector("smolvlm", EncoderShape("idefics3", image=64, patch=16, keys=tiles, tensors=tensors), 64)


def _pixtral(make: PairMaker) -> None:
    make.model("pixtral", ModelShape(bpe="tekken"))
    tensors = make.mlp(64, 64, 64, 0.2, ("mm.1", "mm.2")) | {"v.token_embd.img_break": make.full(64)}
    shape = EncoderShape(
        "pixtral", image=256, patch=16, positions=False, rms=True, gate=True, silu=True, gelu=False, bias=False,
        patch_bias=False, pre_norm=True, post_norm=False, tensors=tensors,
    )  # fmt: skip
    make.projector("pixtral", shape, 64)


def _internvl(make: PairMaker) -> None:
    make.model("internvl", ModelShape("qwen2", qkv_bias=True))
    tensors = {
        "mm.model.mlp.0.weight": make.gain(256),
        "mm.model.mlp.0.bias": make.full(256),
        "mm.model.mlp.1.weight": make.half(64, 256, scale=0.1),
        "mm.model.mlp.1.bias": make.full(64),
        "mm.model.mlp.3.weight": make.half(64, 64, scale=0.2),
        "mm.model.mlp.3.bias": make.full(64),
    }
    scale = {"projector.scale_factor": 2}
    shape = EncoderShape("internvl", class_token=True, layer_scale=True, post_norm=False, keys=scale, tensors=tensors)
    make.projector("internvl", shape, 64)


def _lfm2vl(make: PairMaker) -> None:
    make.model("lfm2vl", ModelShape("lfm2", bpe="lfm2", layers=4, convolutions=[0, 2]))
    tensors = {"mm.input_norm.weight": make.gain(256), "mm.input_norm.bias": make.full(256)}
    tensors |= make.mlp(64, 256, 128, 0.1, ("mm.1", "mm.2"))
    scale = {"projector.scale_factor": 2}
    make.projector("lfm2vl", EncoderShape("lfm2", image=256, patch=16, keys=scale, tensors=tensors), 64)


def real(folder: Path, layers: int = 12, encoder_layers: int = 12) -> Path:
    """Write `real.gguf` and `mmproj-real.gguf`: SmolLM2-360M's width and SigLIP-B/16 at 384 px behind an mlp.

    Weights are a short run of random numbers repeated, so it takes seconds; arithmetic does not care.

    Args:
        folder: where to; made when it is not there.
        layers: of the language model.
        encoder_layers: of the encoder.

    Returns:
        The folder.
    """
    pool = np.random.default_rng(0).standard_normal(1 << 20)

    def draw(shape: tuple[int, ...]) -> Array:
        return np.resize(pool, shape)

    make = PairMaker(folder, draw)
    shape = ModelShape(
        bpe="smollm",
        width=960,
        heads=15,
        kv_heads=5,
        head_dim=64,
        ff=2560,
        layers=layers,
        vocabulary=49_152,
        context=8192,
    )
    make.model("real", shape)
    tensors = make.mlp(960, 768, 960, 0.02, _MLP)
    encoder = EncoderShape(
        "mlp", image=384, patch=16, width=768, heads=12, ff=3072, layers=encoder_layers, tensors=tensors
    )
    make.projector("real", encoder, 960)
    return folder
