"""Whether a language model and a projector can be loaded, and belong together, by their headers alone.

llama.cpp ends the process on many a damaged file, and on some pairs that do not match: it takes shapes and types for
granted (tools/mtmd/clip.cpp, models/*.cpp; src/llama-model.cpp). `check` refuses those before anything is loaded. What
llama.cpp refuses by itself is left to it, and so is every projector that is not in `families`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from vlmcli.errors import ModelError
from vlmcli.models import gguf
from vlmcli.models.families import (
    ALL_TURNED,
    FAMILIES,
    KNOWN,
    NOT_CAUSAL,
    PATCH,
    SWAPPED,
    TURNING,
    USUAL,
    Shape,
    mlp,
)
from vlmcli.models.gguf import Header, Tensor

OWN_PROJECTOR = "use the mmproj file that was published with this model"
MAX_LAYERS = 512  # llama-hparams.h, LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # llama-hparams.h, LLAMA_MAX_EXPERTS
MAX_WIDTH = 1 << 16  # of a row inside an encoder; the widest has some thousands
MAX_SIDE = 1 << 14  # pixels of a picture's side, before it is cut into tiles
MAX_TILES = 1024
MAX_WINDOW = 1 << 23  # positions; llama.cpp multiplies them by sequences in 32 bits
MAX_ROWS = 1 << 17  # patches of a picture

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


def check(model: Header, projector: Header) -> None:
    """Raise ModelError, naming the file or both, unless these two can be loaded and belong together.

    Args:
        model: the language model's header.
        projector: the projector's.
    """
    if model.is_projector:
        raise ModelError(f"{model.path}: a projector, not a language model", "give it as --mmproj, and the model as -m")
    if not projector.is_projector:
        raise ModelError(f"{projector.path}: not a projector", "give the mmproj file that was published with the model")
    for header in (model, projector):
        gguf.check_whole(header)
    check_model(model)
    check_projector(projector)
    check_pair(model, projector)


def _bad(header: Header, what: str) -> ModelError:
    what = gguf.shown(what)
    return ModelError(f"{header.path}: {what}, so it cannot be used", "download it again, or get another copy")


def _uncomputable(header: Header, tensor: Tensor) -> ModelError:
    return _bad(header, f"tensor {tensor.name} is of ggml's type {tensor.kind}, which cannot be computed with")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


# ---------------------------------------------------------------------------------------------- the projector


def check_projector(header: Header) -> None:
    """Raise ModelError unless a projector's keys and tensors are of types, ranges and shapes that go together."""
    _check_kinds(header)
    kind = header.projector_type
    if not header.metadata.get("clip.has_vision_encoder") or not (kind in FAMILIES or kind in USUAL):
        return
    _check_picture(header)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    layers = _within(header, "vision.block_count", 1, MAX_LAYERS)
    width = _within(header, "vision.embedding_length", 1, MAX_WIDTH)
    for name in ("v.patch_embd.weight", *_attention(tensors, layers)):
        if name not in tensors:
            raise _bad(header, f"there is no tensor {name}")
    if kind in FAMILIES:
        _Encoder(header, kind, tensors, layers, width).check()
    for tensor in header.tensors:
        _check_type(header, tensor)


def _attention(tensors: Mapping[str, Tensor], layers: int) -> Iterator[str]:
    """What every layer must have: attention in one tensor or in three."""
    for layer in range(layers):
        at = f"v.blk.{layer}."
        if at + "attn_qkv.weight" not in tensors:
            yield from (f"{at}attn_{part}.weight" for part in "qkv")
        yield at + "attn_out.weight"


def _check_kinds(header: Header) -> None:
    for key, entry in header.entries.items():
        if not key.startswith("clip."):
            if key in ("general.name", "general.description") and entry.kind != "str":
                raise _bad(header, f"{key} is of type {entry.kind}, not str")
            continue
        end = key.removeprefix("clip.").removeprefix("vision.").removeprefix("audio.")
        wanted = KINDS.get(end)
        if wanted is not None and entry.kind != wanted:
            raise _bad(header, f"{key} is of type {entry.kind}, not {wanted}")
        lists = end in ("feature_layer", "image_grid_pinpoints", "wa_layer_indexes")
        if lists and entry.kind not in ("[i32]", "[u32]"):
            raise _bad(header, f"{key} is of type {entry.kind}, not [i32]")
    for key in ("clip.projector_type", "clip.vision.projector_type"):
        if "\0" in str(header.metadata.get(key, "")):
            raise _bad(header, f"{key} is no name")


def _within(header: Header, key: str, least: int, most: int) -> int:
    value = header.metadata.get(f"clip.{key}")
    if not isinstance(value, int) or not least <= value <= most:
        raise _bad(header, f"clip.{key} is {'missing' if value is None else value}, not {least} to {most}")
    return value


def _check_picture(header: Header) -> None:
    """What the picture's way into the encoder needs."""
    for end in ("image_mean", "image_std"):
        key = f"clip.vision.{end}"
        values = header.metadata.get(key)
        if not isinstance(values, list) or len(values) < 3:
            raise _bad(header, f"{key} is not three numbers")
        if not all(isfinite(one) and abs(one) < 1e4 and (end == "image_mean" or abs(one) > 1e-6) for one in values[:3]):
            raise _bad(header, f"{key} is {values[:3]}")
    epsilon = header.metadata.get("clip.vision.attention.layer_norm_epsilon")
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise _bad(header, f"clip.vision.attention.layer_norm_epsilon is {epsilon}")
    pinpoints = header.metadata.get("clip.vision.image_grid_pinpoints", [])
    if len(pinpoints) % 2 or not all(0 < side <= MAX_SIDE for side in pinpoints):
        raise _bad(header, "clip.vision.image_grid_pinpoints are no sizes of pictures")
    for key in ("vision.preproc_image_size", "vision.n_wa_pattern", "vision.window_size"):
        if f"clip.{key}" in header.metadata:
            _within(header, key, 1 if key.endswith("image_size") else 0, MAX_SIDE)
    least, most = (header.metadata.get(f"clip.vision.preproc_{end}_tiles") for end in ("min", "max"))
    if least is None:
        least, most = 1, 1 if most is None else most
    elif most is None:
        most = 0
    if not 1 <= least <= most <= MAX_TILES:
        raise _bad(header, f"a picture would be cut into {least} to {most} tiles")


def _check_type(header: Header, tensor: Tensor) -> None:
    """Refuse types that llama.cpp's operations lack, which is an assertion in the middle of a picture."""
    vector = tensor.name.endswith((".bias", "norm.weight", "ln.weight", "ln1.weight", "ln2.weight", "embd"))
    if tensor.kind in gguf.INTEGERS or (vector and tensor.kind not in (gguf.F32, gguf.F16)):
        raise _uncomputable(header, tensor)


class _Encoder:
    """An encoder's tensors against its family's patterns."""

    def __init__(self, header: Header, kind: str, tensors: Mapping[str, Tensor], layers: int, width: int) -> None:
        self._header = header
        self._kind = kind
        self._family = FAMILIES[kind]
        self._tensors = tensors
        self._layers = layers
        self._sizes: dict[str, int] = {"width": width, "patch": _within(header, "vision.patch_size", 1, 1024)}

    def check(self) -> None:
        sizes, family, header = self._sizes, self._family, self._header
        width = sizes["width"]
        heads = _within(header, "vision.attention.head_count", 1, width)
        if width % heads or (family.turns and width // heads % 4):
            raise _bad(header, f"{heads} heads cannot share a width of {width}")
        for end, right in (("head_dim", (0, width // heads)), ("head_count_kv", (heads,))):
            if header.metadata.get(f"clip.vision.attention.{end}", right[0]) not in right:
                raise _bad(header, f"clip.vision.attention.{end} is not {right[-1]}")
        merge = self._merge()
        if self._kind == "pixtral" and (merge > 1) != ("mm.patch_merger.weight" in self._tensors):
            raise _bad(
                header, f"mm.patch_merger.weight and a clip.vision.spatial_merge_size of {merge} do not go together"
            )
        sizes["merged"] = width * merge * merge
        sizes["stacked"] = width * self._stacked()
        self._all({"v.patch_embd.weight": PATCH, "v.patch_embd.bias?": ("width",), **family.more})
        self._all({"v.class_embd?": ("width",)} | _norm("v.pre_ln?") | _norm("v.post_ln?"))
        self._positions(merge)
        for layer in range(self._layers):
            self._layer(f"v.blk.{layer}.")
        self._same()
        self._all(self._projector())
        if self._kind == "qwen3vl_merger":
            self._deepstack()
        if self._kind == "qwen2.5vl_merger":
            self._windows()
        self._exact()

    def _projector(self) -> Mapping[str, Shape]:
        if self._kind == "mlp" and "mm.3.weight" in self._tensors:  # LLaVA with Yi: a norm after each layer
            return {
                **mlp("mm.0", "mm.3", "stacked"),
                "mm.1.weight": ("hidden",), "mm.1.bias": ("hidden",), "mm.4.weight": ("out",), "mm.4.bias": ("out",),
            }  # fmt: skip
        return self._family.projector

    def _merge(self) -> int:
        key, default = self._family.merge
        if not key or f"clip.vision.{key}" not in self._header.metadata:
            return default
        if key == "spatial_merge_size" and self._kind.startswith("qwen"):
            return _within(self._header, f"vision.{key}", 2, 2)  # the graph has it built in
        return _within(self._header, f"vision.{key}", 1, 64)

    def _stacked(self) -> int:
        """How many layers' outputs go side by side into the projector (Granite)."""
        layers = self._header.metadata.get("clip.vision.feature_layer", [])
        if any(layer > self._layers for layer in layers):
            raise _bad(self._header, f"clip.vision.feature_layer names more than {self._layers} layers")
        return max(1, len({layer for layer in layers if layer >= 0}))

    def _positions(self, merge: int) -> None:
        side = _within(self._header, "vision.image_size", self._sizes["patch"], MAX_SIDE) // self._sizes["patch"]
        if side * side > MAX_ROWS or side < merge:
            raise _bad(self._header, f"a picture of {side}x{side} patches cannot be encoded")
        if self._family.places == "none":
            return
        wanted = side * side + ("v.class_embd" in self._tensors)
        self._all({"v.position_embd.weight": ("width", "places")})
        places = self._sizes["places"]
        if places < wanted or (self._family.places == "all" and places != wanted):
            raise _bad(self._header, f"it has {places} position embeddings for {wanted} patches")
        if self._kind in ("gemma3", "idefics3", "internvl") and side % merge:
            raise _bad(self._header, f"{side} patches a side cannot be merged by {merge}")

    def _layer(self, at: str) -> None:
        shapes: dict[str, Shape] = {at + "attn_out.weight": ("width", "width"), at + "attn_out.bias?": ("width",)}
        if at + "attn_qkv.weight" in self._tensors:
            shapes |= {at + "attn_qkv.weight": ("width", 3 * self._sizes["width"])}
            shapes |= {at + "attn_qkv.bias?": (3 * self._sizes["width"],)}
        else:
            shapes |= {f"{at}attn_{part}.weight": ("width", "width") for part in "qkv"}
            shapes |= {f"{at}attn_{part}.bias?": ("width",) for part in "qkv"}
        shapes |= _norm(at + "ln1") | _norm(at + "ln2")
        shapes |= {at + "ls1.weight?": ("width",), at + "ls2.weight?": ("width",)}
        up, down = at + "ffn_up", at + "ffn_down"
        held = self._tensors.get(down + ".weight")
        if self._kind in SWAPPED and held is not None and held.shape[:1] == (self._sizes["width"],):
            up, down = down, up
        self._sizes.pop("inner", None)
        shapes |= {up + ".weight": ("width", "inner"), up + ".bias?": ("inner",)}
        shapes |= {at + "ffn_gate.weight?": ("width", "inner"), at + "ffn_gate.bias?": ("inner",)}
        shapes |= {down + ".weight": ("inner", "width"), down + ".bias?": ("width",)}
        self._all(shapes)

    def _same(self) -> None:
        """Every layer must have what the first has: llama.cpp leaves a bias or a gate that is missing out."""
        ends: list[set[str]] = [set() for _ in range(self._layers)]
        for name in self._tensors:
            start, _, end = name.removeprefix("v.blk.").partition(".")
            if name.startswith("v.blk.") and start.isdecimal() and int(start) < self._layers:
                ends[int(start)].add(end)
        for layer, found in enumerate(ends):
            for end in sorted(found ^ ends[0]):
                missing = layer if end in ends[0] else 0
                raise _bad(self._header, f"there is no tensor v.blk.{missing}.{end}, as in other layers")

    def _deepstack(self) -> None:
        four = ("merged",)
        for layer in range(self._layers):
            at = f"v.deepstack.{layer}."
            if any(name.startswith(at) for name in self._tensors):
                self._sizes.pop("deep", None)
                self._all({at + "norm.weight": four, at + "norm.bias": four, at + "fc1.weight": ("merged", "deep")})
                self._all({at + "fc1.bias": ("deep",), at + "fc2.weight": ("deep", "out"), at + "fc2.bias": ("out",)})

    def _windows(self) -> None:
        """Every n-th layer looks at the whole picture, the others at windows; there must be such others."""
        if self._header.metadata.get("clip.vision.n_wa_pattern") == 1:
            raise _bad(self._header, "clip.vision.n_wa_pattern is 1, which leaves no layer with windows")
        if _within(self._header, "vision.projection_dim", 1, MAX_WIDTH) != self._sizes["out"]:
            raise _bad(self._header, f"clip.vision.projection_dim is not {self._sizes['out']}, its rows' numbers")

    def _exact(self) -> None:
        """Tensors that are joined with others, which have to be F32."""
        names = ["v.class_embd", "v.token_embd.img_break"]
        if self._family.places == "all" and not self._family.added:
            names.append("v.position_embd.weight")
        for name in names:
            if name in self._tensors and self._tensors[name].kind != gguf.F32:
                raise _bad(self._header, f"tensor {name} is of ggml's type {self._tensors[name].kind}, not F32")
        if self._family.added and self._tensors["v.position_embd.weight"].kind not in (gguf.F32, gguf.F16):
            raise _bad(self._header, "tensor v.position_embd.weight is of a type that cannot be added")

    def _all(self, shapes: Mapping[str, Shape]) -> None:
        for pattern, shape in shapes.items():
            name = pattern.replace("?", "")
            tensor = self._tensors.get(name)
            if tensor is None and "?" not in pattern:
                raise _bad(self._header, f"there is no tensor {name}")
            if tensor is not None:
                self._one(tensor, shape)

    def _one(self, tensor: Tensor, shape: Shape) -> None:
        """Hold a tensor to its pattern; a name that has no number yet gets this tensor's."""
        found = list(tensor.shape)
        while len(found) > 1 and len(found) > len(shape) and found[-1] == 1:
            found.pop()
        found += [1] * (len(shape) - len(found))
        if len(found) == len(shape) and all(found):
            for size, wanted in zip(found, shape, strict=True):
                if isinstance(wanted, str):
                    self._sizes.setdefault(wanted, size)
        expected = tuple(self._sizes.get(size, 0) if isinstance(size, str) else size for size in shape)
        if tuple(found) != expected or 0 in found:
            wanted_shape = "x".join(str(size or "any") for size in expected)
            raise _bad(self._header, f"tensor {tensor.name} is {_by(tensor.shape)}, not {wanted_shape}")
        if len(shape) == 1 and tensor.kind not in (gguf.F32, gguf.F16):
            raise _uncomputable(self._header, tensor)


def _norm(name: str) -> dict[str, Shape]:
    optional = "?" if name.endswith("?") else ""
    name = name.removesuffix("?")
    return {f"{name}.weight{optional}": ("width",), f"{name}.bias?": ("width",)}


# ---------------------------------------------------------------------------------------------- the language model


def check_model(header: Header) -> None:
    """Raise ModelError where a language model's keys or types would end the process; llama.cpp checks its shapes."""
    arch = header.architecture
    if arch in NOT_CAUSAL or header.metadata.get(f"{arch}.attention.causal") is False:
        raise ModelError(
            f"{header.path}: a {arch} model, which does not write token by token", "vlm cannot use this kind of model"
        )
    for end, least, most in (("block_count", 1, MAX_LAYERS), ("embedding_length", 1, 1 << 20)):
        value = header.metadata.get(f"{arch}.{end}")
        if isinstance(value, int) and not least <= value <= most:
            raise _bad(header, f"{arch}.{end} is {value}, not {least} to {most}")
    for end in ("layer_norm_epsilon", "layer_norm_rms_epsilon"):
        value = header.metadata.get(f"{arch}.attention.{end}")
        if isinstance(value, float) and not 0 <= value < 1:
            raise _bad(header, f"{arch}.attention.{end} is {value}")
    for end in ("head_count", "head_count_kv", "key_length", "value_length"):
        if any(not 0 <= value <= MAX_WIDTH for value in header.numbers(f"attention.{end}")):
            raise _bad(header, f"{arch}.attention.{end} is not 0 to {MAX_WIDTH}")
    if header.number("attention.sliding_window") > MAX_WINDOW:
        raise _bad(header, f"{arch}.attention.sliding_window is more than {MAX_WINDOW}")
    _check_rotation(header)
    _check_experts(header)
    layers = header.number("block_count")
    for end, most in (("n_deepstack_layers", layers - 1), ("nextn_predict_layers", layers)):
        if not 0 <= header.number(end) <= most:
            raise _bad(header, f"{arch}.{end} is more than {most}, with {layers} layers")
    _check_vocabulary(header)
    for tensor in header.tensors:
        _check_word_type(header, tensor)


def _check_vocabulary(header: Header) -> None:
    """All 256 bytes if any, in SentencePiece's: llama-vocab.cpp throws on a byte it lacks."""
    bytes_of = [f"<0x{byte:02X}>" for byte in range(256)]
    if header.metadata.get("tokenizer.ggml.model") != "llama" or len(_lacks(header, [bytes_of[0], bytes_of[255]])) == 2:
        return
    missing = _lacks(header, bytes_of)
    letters = {f"<0x{byte:02X}>": chr(byte) for byte in range(1, 128)}  # which do as well
    lost = _lacks(header, [letters[one] for one in missing if one in letters])
    for one in missing:
        if letters.get(one, "") in ("", *lost):
            raise _bad(header, f"its vocabulary has no token {one}")


def _lacks(header: Header, texts: list[str]) -> list[str]:
    return gguf.missing_texts(header, gguf.VOCABULARY, texts)


def _check_rotation(header: Header) -> None:
    """The numbers of a head that are rotated: an even part of it, in sections under M-RoPE."""
    arch = header.architecture
    if arch not in KNOWN:  # some rotate nothing
        return
    heads = [heads for heads in header.numbers("attention.head_count") if heads > 0]
    width = header.number("attention.key_length") or (header.number("embedding_length") // heads[0] if heads else 0)
    turned = header.metadata.get(f"{arch}.rope.dimension_count")
    if width <= 0:
        return
    if isinstance(turned, int) and (not 0 < turned <= width or turned % 2):
        raise _bad(header, f"{arch}.rope.dimension_count is {turned}, where a head has {width} numbers")
    if arch in ALL_TURNED and isinstance(turned, int) and turned != width:
        raise _bad(header, f"{arch}.rope.dimension_count is {turned}, not {width}")
    sections = header.metadata.get(f"{arch}.rope.dimension_sections")
    if arch not in TURNING or sections is None:
        return
    whole = isinstance(sections, list) and all(isinstance(one, int) and one >= 0 for one in sections)
    if not whole or sum(sections[:3]) == 0 or sum(sections) * 2 > width:
        raise _bad(header, f"{arch}.rope.dimension_sections are {sections}")


def _check_experts(header: Header) -> None:
    """The counts of a mixture of experts, as llama-model.cpp asserts them."""
    experts, used = header.number("expert_count"), header.number("expert_used_count")
    groups, groups_used = header.number("expert_group_count"), header.number("expert_group_used_count")
    right = 0 < used <= experts <= MAX_EXPERTS if experts else used == 0 and groups == 0
    if not right or (groups > 1 and (experts % groups or not 0 < groups_used < groups)):
        raise _bad(header, f"it has {experts} experts, {used} of them used, in {groups} groups, {groups_used} used")


_MATRIX = re.compile(
    r"(token_embd|output|blk\.\d+\.(attn_(q|k|v|qkv|output)|ffn_(gate|up|down)|shortconv\.(in|out)_proj))\.weight"
)


def _check_word_type(header: Header, tensor: Tensor) -> None:
    """As in a projector: what is multiplied or added number by number is F32 or F16, and no matrix is of integers."""
    name = tensor.name
    vector = name.endswith(("norm.weight", ".bias"))
    matrix = _MATRIX.fullmatch(name) is not None
    if (vector and tensor.kind not in (gguf.F32, gguf.F16)) or (matrix and tensor.kind in gguf.INTEGERS):
        raise _uncomputable(header, tensor)
    if name.endswith("shortconv.conv.weight") and tensor.kind != gguf.F32:
        raise _bad(header, f"tensor {name} is of ggml's type {tensor.kind}, not F32")


# ---------------------------------------------------------------------------------------------- the two together


def check_pair(model: Header, projector: Header) -> None:
    """Raise ModelError, naming both files, unless the projector was made for such a language model."""
    kind, arch = projector.projector_type, model.architecture
    family = FAMILIES.get(kind)
    if family is None:
        return
    others = KNOWN - family.architectures if family.architectures else TURNING
    if arch in others:
        raise _apart(model, projector, f"a projector of the {kind} family does not go with a {arch} model")
    rows, width = _out(projector, kind), _inp(model)
    if rows and width and rows != width:
        raise _apart(model, projector, f"its rows have {rows} numbers, where the model takes {width}")
    missing = gguf.missing_texts(model, gguf.VOCABULARY, family.tokens)
    if missing:
        raise _apart(model, projector, f"the model's vocabulary has no {missing[0]}, which {kind} puts by a picture")


def _apart(model: Header, projector: Header, why: str) -> ModelError:
    why = gguf.shown(why)
    return ModelError(f"{projector.path}: not the projector of {model.path} ({why})", OWN_PROJECTOR)


def _inp(model: Header) -> int:
    """Numbers of a row the language model takes: llama_model_n_embd_inp."""
    return model.number("embedding_length") * (1 + model.number("n_deepstack_layers"))


def _out(projector: Header, kind: str) -> int:
    """Numbers of a row the projector gives: clip.cpp, clip_n_mmproj_embd."""
    tensors: dict[str, Any] = {tensor.name: tensor for tensor in projector.tensors}
    names = [name for name, shape in FAMILIES[kind].projector.items() if "out" in shape and len(shape) == 2]
    if kind == "mlp" and "mm.3.weight" in tensors:
        names = ["mm.3.weight"]
    tensor = tensors.get(names[0])
    if tensor is None or len(tensor.shape) < 2:
        return 0
    deep = sum(name.startswith("v.deepstack.") and name.endswith(".fc1.weight") for name in tensors)
    row: int = tensor.shape[0 if kind == "gemma3" else 1]
    return row * (1 + deep)
