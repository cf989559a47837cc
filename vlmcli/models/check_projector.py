"""Whether a projector's own header is safe to load: keys, ranges, and tensors that go together.

clip.cpp and models/*.cpp (llama.cpp, tools/mtmd) take shapes and types for granted, and end the process on wrong ones.
`check_projector` refuses those: here what all types share, in `check_encoder` what each needs. Knows no language model:
`pairing` holds the two against each other. What llama.cpp refuses by itself is left to it, and so is sound.
"""

from __future__ import annotations

from math import isfinite

from vlmcli.models import check_encoder, gguf
from vlmcli.models.encoders import ENCODERS
from vlmcli.models.gguf import Header, Tensor
from vlmcli.models.patterns import MAX_SIDE, MAX_TILES, uncomputable, unusable, within

# The types llama.cpp insists on for what it reads of a projector (it aborts on others), by the end of the key.
KINDS = {
    "has_vision_encoder": "bool", "has_audio_encoder": "bool", "use_gelu": "bool", "use_silu": "bool",
    "projector_type": "str", "mm_patch_merge_type": "str", "embedding_length": "u32", "feed_forward_length": "u32",
    "block_count": "u32", "projection_dim": "u32", "image_size": "u32", "patch_size": "u32",
    "attention.head_count": "u32", "attention.layer_norm_epsilon": "f32", "image_mean": "[f32]", "image_std": "[f32]",
    "projector.scale_factor": "u32", "spatial_merge_size": "u32", "preproc_image_size": "u32", "n_wa_pattern": "u32",
    "window_size": "u32", "image_min_pixels": "u32", "image_max_pixels": "u32", "preproc_min_tiles": "u32",
    "preproc_max_tiles": "u32", "attention.head_count_kv": "u32", "attention.head_dim": "u32",
    "minicpmv_version": "i32", "minicpmv_query_num": "u32", "expert_used_count": "u32", "projector.query_side": "u32",
    "projector.window_side": "u32", "sam.block_count": "u32", "sam.embedding_length": "u32", "sam.head_count": "u32",
}  # fmt: skip
LISTS = ("feature_layer", "image_grid_pinpoints", "wa_layer_indexes", "wa_pattern_mode", "projector.spatial_offsets")
"""Keys of integers."""


def check_projector(header: Header) -> None:
    """Raise ModelError unless a projector's keys and tensors are of types, ranges and shapes that go together."""
    _check_kinds(header)
    kind = header.projector_type
    if not header.metadata.get("clip.has_vision_encoder") or kind not in ENCODERS:
        return
    _check_picture(header)
    check_encoder.check(header, kind, {tensor.name: tensor for tensor in header.tensors})
    for tensor in header.tensors:
        _check_type(header, tensor)


def _check_kinds(header: Header) -> None:
    for key, entry in header.entries.items():
        if not key.startswith("clip."):
            if key in ("general.name", "general.description") and entry.kind != "str":
                raise unusable(header, f"{key} is of type {entry.kind}, not str")
            continue
        end = key.removeprefix("clip.").removeprefix("vision.").removeprefix("audio.")
        wanted = KINDS.get(end)
        if wanted is not None and entry.kind != wanted:
            raise unusable(header, f"{key} is of type {entry.kind}, not {wanted}")
        lists = end in LISTS
        if lists and entry.kind not in ("[i32]", "[u32]"):
            raise unusable(header, f"{key} is of type {entry.kind}, not [i32]")
    for key in ("clip.projector_type", "clip.vision.projector_type"):
        if "\0" in str(header.metadata.get(key, "")):
            raise unusable(header, f"{key} is not a name")


def _check_picture(header: Header) -> None:
    """What the picture's way into the encoder needs."""
    for end in ("image_mean", "image_std"):
        key = f"clip.vision.{end}"
        values = header.metadata.get(key)
        if not isinstance(values, list) or len(values) < 3:
            raise unusable(header, f"{key} is not three numbers")
        if not all(isfinite(one) and abs(one) < 1e4 and (end == "image_mean" or abs(one) > 1e-6) for one in values[:3]):
            raise unusable(header, f"{key} is {values[:3]}")
    epsilon = header.metadata.get("clip.vision.attention.layer_norm_epsilon")
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise unusable(header, f"clip.vision.attention.layer_norm_epsilon is {epsilon}")
    pinpoints = header.metadata.get("clip.vision.image_grid_pinpoints", [])
    if len(pinpoints) % 2 or not all(0 < side <= MAX_SIDE for side in pinpoints):
        raise unusable(header, "clip.vision.image_grid_pinpoints are not picture sizes")
    for key in ("vision.preproc_image_size", "vision.n_wa_pattern", "vision.window_size"):
        if f"clip.{key}" in header.metadata:
            within(header, key, 1 if key.endswith("image_size") else 0, MAX_SIDE)
    least, most = (header.metadata.get(f"clip.vision.preproc_{end}_tiles") for end in ("min", "max"))
    if least is None:
        least, most = 1, 1 if most is None else most
    elif most is None:
        most = 0
    if not 1 <= least <= most <= MAX_TILES:
        raise unusable(header, f"a picture would be cut into {least} to {most} tiles")


def _check_type(header: Header, tensor: Tensor) -> None:
    """Refuse types that llama.cpp's operations lack, which is an assertion in the middle of a picture."""
    vector = tensor.name.endswith((".bias", "norm.weight", "ln.weight", "ln1.weight", "ln2.weight", "embd"))
    if tensor.kind in gguf.INTEGERS or (vector and tensor.kind != gguf.F32):
        raise uncomputable(header, tensor)
