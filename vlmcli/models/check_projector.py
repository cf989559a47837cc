"""Whether a projector's own header is safe to load: keys, ranges, and tensors that go together.

clip.cpp and models/*.cpp (llama.cpp, tools/mtmd) take shapes and types for granted, and end the process on wrong ones.
`check_projector` refuses those. Knows the families' patterns (`families`), and no language model: `pairing` holds the
two against each other. What llama.cpp refuses by itself is left to it, and so are types that are not in `families`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from vlmcli.errors import ModelError
from vlmcli.models import gguf
from vlmcli.models.families import FAMILIES, JOINED, PATCH, PICKED, SWAPPED, USUAL, Shape, mlp
from vlmcli.models.gguf import Header, Tensor

MAX_LAYERS = 512  # llama-hparams.h, LLAMA_MAX_LAYERS
MAX_WIDTH = 1 << 16  # of a row inside an encoder; the widest has some thousands
MAX_SIDE = 1 << 14  # pixels of a picture's side, before it is cut into tiles
MAX_TILES = 1024
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
            raise unusable(header, f"tensor {name} is missing")
    if kind in FAMILIES:
        _Encoder(header, kind, tensors, layers, width).check()
    else:
        _check_f32(header, tensors, (*JOINED, *(() if kind in PICKED else ("v.position_embd.weight",))))
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
                raise unusable(header, f"{key} is of type {entry.kind}, not str")
            continue
        end = key.removeprefix("clip.").removeprefix("vision.").removeprefix("audio.")
        wanted = KINDS.get(end)
        if wanted is not None and entry.kind != wanted:
            raise unusable(header, f"{key} is of type {entry.kind}, not {wanted}")
        lists = end in ("feature_layer", "image_grid_pinpoints", "wa_layer_indexes")
        if lists and entry.kind not in ("[i32]", "[u32]"):
            raise unusable(header, f"{key} is of type {entry.kind}, not [i32]")
    for key in ("clip.projector_type", "clip.vision.projector_type"):
        if "\0" in str(header.metadata.get(key, "")):
            raise unusable(header, f"{key} is not a name")


def _within(header: Header, key: str, least: int, most: int) -> int:
    value = header.metadata.get(f"clip.{key}")
    if not isinstance(value, int) or not least <= value <= most:
        raise unusable(header, f"clip.{key} is {'missing' if value is None else value}, not {least} to {most}")
    return value


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
            _within(header, key, 1 if key.endswith("image_size") else 0, MAX_SIDE)
    least, most = (header.metadata.get(f"clip.vision.preproc_{end}_tiles") for end in ("min", "max"))
    if least is None:
        least, most = 1, 1 if most is None else most
    elif most is None:
        most = 0
    if not 1 <= least <= most <= MAX_TILES:
        raise unusable(header, f"a picture would be cut into {least} to {most} tiles")


def _check_f32(header: Header, tensors: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Refuse another type than F32 where llama.cpp's operations take no other beside it."""
    for name in names:
        if name in tensors and tensors[name].kind != gguf.F32:
            raise unusable(header, f"tensor {name} has ggml type {tensors[name].kind}, not F32")


def _check_type(header: Header, tensor: Tensor) -> None:
    """Refuse types that llama.cpp's operations lack, which is an assertion in the middle of a picture."""
    vector = tensor.name.endswith((".bias", "norm.weight", "ln.weight", "ln1.weight", "ln2.weight", "embd"))
    if tensor.kind in gguf.INTEGERS or (vector and tensor.kind != gguf.F32):
        raise uncomputable(header, tensor)


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
        """Raise ModelError for the first tensor or key that llama.cpp could not compute with."""
        sizes, family, header = self._sizes, self._family, self._header
        width = sizes["width"]
        heads = _within(header, "vision.attention.head_count", 1, width)
        if width % heads or (family.turns and width // heads % 4):
            raise unusable(header, f"{heads} heads cannot share a width of {width}")
        for end, right in (("head_dim", (0, width // heads)), ("head_count_kv", (heads,))):
            if header.metadata.get(f"clip.vision.attention.{end}", right[0]) not in right:
                raise unusable(header, f"clip.vision.attention.{end} is not {right[-1]}")
        merge = self._merge()
        if self._kind == "pixtral" and (merge > 1) != ("mm.patch_merger.weight" in self._tensors):
            raise unusable(
                header, f"mm.patch_merger.weight and a clip.vision.spatial_merge_size of {merge} do not match"
            )
        sizes["merged"] = width * merge * merge
        sizes["stacked"] = width * self._stacked()
        self._match_all({"v.patch_embd.weight": PATCH, "v.patch_embd.bias?": ("width",), **family.more})
        self._match_all({"v.class_embd?": ("width",)} | _norm("v.pre_ln?") | _norm("v.post_ln?"))
        self._check_positions(merge)
        for layer in range(self._layers):
            self._check_layer(f"v.blk.{layer}.")
        self._check_same_layers()
        self._match_all(self._projector())
        if self._kind == "qwen3vl_merger":
            self._check_deepstack()
        if self._kind == "qwen2.5vl_merger":
            self._check_windows()
        self._check_joined()

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
            raise unusable(self._header, f"clip.vision.feature_layer names more than {self._layers} layers")
        return max(1, len({layer for layer in layers if layer >= 0}))

    def _check_positions(self, merge: int) -> None:
        side = _within(self._header, "vision.image_size", self._sizes["patch"], MAX_SIDE) // self._sizes["patch"]
        if side * side > MAX_ROWS or side < merge:
            raise unusable(self._header, f"a picture of {side}x{side} patches cannot be encoded")
        if self._family.places == "none":
            return
        wanted = side * side + ("v.class_embd" in self._tensors)
        self._match_all({"v.position_embd.weight": ("width", "places")})
        places = self._sizes["places"]
        if places < wanted or (self._family.places == "all" and places != wanted):
            raise unusable(self._header, f"it has {places} position embeddings for {wanted} patches")
        if self._kind in ("gemma3", "idefics3", "internvl") and side % merge:
            raise unusable(self._header, f"{side} patches a side cannot be merged by {merge}")

    def _check_layer(self, at: str) -> None:
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
        self._match_all(shapes)

    def _check_same_layers(self) -> None:
        """Every layer must have what the first has: llama.cpp leaves a bias or a gate that is missing out."""
        ends: list[set[str]] = [set() for _ in range(self._layers)]
        for name in self._tensors:
            start, _, end = name.removeprefix("v.blk.").partition(".")
            if name.startswith("v.blk.") and start.isdecimal() and int(start) < self._layers:
                ends[int(start)].add(end)
        for layer, found in enumerate(ends):
            for end in sorted(found ^ ends[0]):
                missing = layer if end in ends[0] else 0
                raise unusable(self._header, f"tensor v.blk.{missing}.{end} is missing, though other layers have it")

    def _check_deepstack(self) -> None:
        four = ("merged",)
        for layer in range(self._layers):
            at = f"v.deepstack.{layer}."
            if any(name.startswith(at) for name in self._tensors):
                self._sizes.pop("deep", None)
                self._match_all(
                    {at + "norm.weight": four, at + "norm.bias": four, at + "fc1.weight": ("merged", "deep")}
                )
                self._match_all(
                    {at + "fc1.bias": ("deep",), at + "fc2.weight": ("deep", "out"), at + "fc2.bias": ("out",)}
                )

    def _check_windows(self) -> None:
        """Every n-th layer looks at the whole picture, the others at windows; there must be such others."""
        if self._header.metadata.get("clip.vision.n_wa_pattern") == 1:
            raise unusable(self._header, "clip.vision.n_wa_pattern is 1, which leaves no layer with windows")
        if _within(self._header, "vision.projection_dim", 1, MAX_WIDTH) != self._sizes["out"]:
            raise unusable(
                self._header, f"clip.vision.projection_dim is not {self._sizes['out']}, the length of its rows"
            )

    def _check_joined(self) -> None:
        """Tensors that are joined with others or added to them, which have to be F32."""
        names = ["v.class_embd", "v.token_embd.img_break"]
        if self._family.places == "all":
            names.append("v.position_embd.weight")
        _check_f32(self._header, self._tensors, names)

    def _match_all(self, shapes: Mapping[str, Shape]) -> None:
        for pattern, shape in shapes.items():
            name = pattern.replace("?", "")
            tensor = self._tensors.get(name)
            if tensor is None and "?" not in pattern:
                raise unusable(self._header, f"tensor {name} is missing")
            if tensor is not None:
                self._match(tensor, shape)

    def _match(self, tensor: Tensor, shape: Shape) -> None:
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
            raise unusable(self._header, f"tensor {tensor.name} is {_dimensions(tensor.shape)}, not {wanted_shape}")
        if len(shape) == 1 and tensor.kind != gguf.F32:
            raise uncomputable(self._header, tensor)


def _norm(name: str) -> dict[str, Shape]:
    optional = "?" if name.endswith("?") else ""
    name = name.removesuffix("?")
    return {f"{name}.weight{optional}": ("width",), f"{name}.bias?": ("width",)}


def unusable(header: Header, what: str) -> ModelError:
    """The error that a file's header is broken: what is wrong with it, in words that may quote the file."""
    what = gguf.shown(what)
    return ModelError(f"{header.path}: {what}, so it cannot be used", "download it again, or get another copy")


def uncomputable(header: Header, tensor: Tensor) -> ModelError:
    """The error that a tensor is of a type that llama.cpp has no operation for."""
    return unusable(header, f"tensor {tensor.name} has ggml type {tensor.kind}, which llama.cpp cannot compute with")


def _dimensions(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
