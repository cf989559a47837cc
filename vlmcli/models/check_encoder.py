"""An encoder's keys and tensors against its type's patterns: what clip.cpp takes for granted, and ggml asserts.

`check` raises ModelError for the first thing that llama.cpp could not compute with. The patterns are in `encoders`;
encoders that are convolutions from end to end are in `check_convolutions`. Functions without another source are
llama.cpp's, in tools/mtmd/clip.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import NoReturn

from vlmcli.models import check_convolutions, gguf
from vlmcli.models.encoders import ENCODERS, MIDDLE_MERGER, Q_FORMER, SAM_LAYER, Shape, linear, norm
from vlmcli.models.families import SWAPPED
from vlmcli.models.gguf import Header, Tensor
from vlmcli.models.patterns import MAX_LAYERS, MAX_ROWS, MAX_SIDE, MAX_WIDTH, Patterns, check_f32, unusable, within

MAX_LEAST_PIXELS = 1 << 22
"""Of image_min_pixels: smaller pictures are scaled up to it. Some hundred thousand are usual."""
BUCKETS = 70
"""Of positions a side: clip_encode, PROJECTOR_TYPE_MINICPMV."""
LONGEST = 1120
"""Rows of Gemma 4's longest picture, which is as wide as one: load_hparams, set_limit_image_tokens."""
KERNELS = frozenset({gguf.F32, gguf.F16, gguf.BF16})
"""Types of a convolution's kernel: ggml.c, ggml_conv_2d and ggml_im2col."""


def check(header: Header, kind: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for the first tensor or key that llama.cpp could not compute with.

    Args:
        header: the projector's.
        kind: its type, one of `ENCODERS`.
        tensors: its tensors by name.
    """
    _Encoder(header, kind, tensors).check()


class _Encoder:
    def __init__(self, header: Header, kind: str, tensors: Mapping[str, Tensor]) -> None:
        self._header = header
        self._kind = kind
        self._type = ENCODERS[kind]
        self._tensors = tensors
        self._layers = within(header, "vision.block_count", self._type.least_layers, MAX_LAYERS)
        width = within(header, "vision.embedding_length", 1, MAX_WIDTH)
        self._sizes = {"width": width, "doubled": 2 * width, "quadruple": 4 * width}
        self._sizes["patch"] = within(header, "vision.patch_size", 1, 1024)
        self._patterns = Patterns(header, tensors, self._sizes)
        self._match = self._patterns.match_all

    def check(self) -> None:
        sizes, kind, found = self._sizes, self._type, self._tensors
        crowned = any(name.startswith("v.class_embd") for name in kind.more)
        for name in (*kind.without, *(() if crowned else ("v.class_embd",))):
            if name in found:
                raise unusable(self._header, f"tensor {name} is not part of {self._kind}")
        check_f32(self._header, found, ("v.class_embd", *kind.f32))
        for name in kind.kernels:
            if name in found and found[name].kind not in KERNELS:
                raise unusable(self._header, f"tensor {name} has ggml type {found[name].kind}, not F32, F16 or BF16")
        if kind.layers:
            self._check_heads()
        merge = sizes["merge"] = self._merge()
        sizes["pixels"] = 3 * sizes["patch"] ** 2 * (merge**2 if self._kind == "gemma4uv" else 1)
        sizes["merged"] = sizes["width"] * merge * merge
        sizes["stacked"] = sizes["width"] * self._stacked()
        self._match({"v.patch_embd.weight": kind.patch} if kind.patch else {})
        bias = "first" if self._kind == "yasa2" else "width"
        self._match({"v.patch_embd.bias?": (bias,), **kind.more})
        self._match(norm("v.pre_ln?", bias="?") | norm("v.post_ln?", bias="?"))
        self._check_pictures(merge)
        self._check_places(merge)
        for layer in range(self._layers if kind.layers else 0):
            self._check_layer(f"v.blk.{layer}.")
        if kind.layers:
            self._check_same_layers()
        check_convolutions.check(self._header, self._kind, self._patterns)
        self._match(self._projector())
        self._check_own()

    def _projector(self) -> Mapping[str, Shape]:
        if self._kind == "mlp" and "mm.3.weight" in self._tensors:  # LLaVA with Yi: a norm after each layer
            return {
                **linear("mm.0", "stacked", "hidden"), **linear("mm.3", "hidden", "out"), **norm("mm.1", "hidden"),
                **norm("mm.4", "out"),
            }  # fmt: skip
        return self._type.projector

    def _number(self, end: str, default: int = 0) -> int:
        value = self._header.metadata.get(f"clip.vision.{end}", default)
        return value if isinstance(value, int) else default

    def _numbers(self, end: str) -> list[int]:
        value = self._header.metadata.get(f"clip.vision.{end}", [])
        return value if isinstance(value, list) else []

    # ------------------------------------------------------------------------------------------ numbers

    def _check_heads(self) -> None:
        """clip_graph: n_head, n_head_kv and d_head, which share the width. Turning takes a head in quarters."""
        layers, header, width = self._type.layers, self._header, self._sizes["width"]
        assert layers is not None
        heads = within(header, "vision.attention.head_count", 1, width)
        shared = self._number("attention.head_count_kv", heads)
        if not layers.shared and shared != heads:
            raise unusable(header, f"clip.vision.attention.head_count_kv is not {heads}")
        if shared < 1 or heads % shared:
            raise unusable(header, f"clip.vision.attention.head_count_kv is {shared}, with {heads} heads")
        head = self._number("attention.head_dim") or width // heads
        right = head * heads == width
        if layers.derived:  # models/mimovl.cpp: head_dim
            joined = self._tensors.get("v.blk.0.attn_qkv.weight")
            rows = joined.shape[1] if joined is not None and len(joined.shape) > 1 else 0
            head = rows // (heads + 2 * shared)
            right = head > 0 and head * (heads + 2 * shared) == rows
        elif "clip.vision.attention.head_dim" in header.metadata and head:
            out = self._tensors.get("v.blk.0.attn_out.weight")
            right = out is not None and out.shape[:1] == (heads * head,)
            if not right:
                raise unusable(header, f"clip.vision.attention.head_dim is not {width // heads}")
        if not right or (self._type.turns and head % 4) or head < self._type.least_head:
            raise unusable(header, f"{heads} heads cannot share a width of {width}")
        self._sizes |= {"heads": heads, "head": head, "queries": heads * head, "keys": shared * head}
        self._sizes["joined"] = (heads + 2 * shared) * head

    def _merge(self) -> int:
        rule = self._type.merge
        merge = rule.default
        if rule.key and (rule.default == 0 or f"clip.vision.{rule.key}" in self._header.metadata):
            merge = within(self._header, f"vision.{rule.key}", rule.least, rule.most)
        if merge < rule.least:
            raise unusable(self._header, f"clip.vision.{rule.key} is missing")
        if self._kind == "minicpmv4_6" and merge == 3:
            raise unusable(self._header, "clip.vision.projector.scale_factor is 3, not 2 or 4")
        if self._kind in ("pixtral", "lightonocr") and (merge > 1) != ("mm.patch_merger.weight" in self._tensors):
            raise unusable(
                self._header, f"mm.patch_merger.weight and a clip.vision.spatial_merge_size of {merge} do not match"
            )
        return merge

    def _stacked(self) -> int:
        """How many layers' outputs go side by side into the projector (Granite)."""
        layers = self._numbers("feature_layer")
        if any(layer > self._layers for layer in layers):
            raise unusable(self._header, f"clip.vision.feature_layer names more than {self._layers} layers")
        return max(1, len({layer for layer in layers if layer >= 0}))

    def _check_pictures(self, merge: int) -> None:
        """Between which sizes pictures are scaled: mtmd-image.cpp, mtmd_image_preprocessor_dyn_size::preprocess."""
        asked = {"": (), "min": ("min",), "both": ("min", "max")}[self._type.asked]
        if self._type.sized:
            for end in ("min", "max"):
                key = f"image_{end}_pixels"
                if end in asked or f"clip.vision.{key}" in self._header.metadata:
                    most = MAX_LEAST_PIXELS if end == "min" else (1 << 31) - 1
                    within(self._header, f"vision.{key}", 1, most)
        pinpoints = self._numbers("image_grid_pinpoints")
        side = self._number("image_size")
        if side > 0 and any(pinpoint % side for pinpoint in pinpoints):
            raise unusable(self._header, f"clip.vision.image_grid_pinpoints cannot be cut into tiles of {side} pixels")

    def _check_places(self, merge: int) -> None:
        """The side of a picture or tile in patches, and what is known of their places."""
        kind, header = self._type, self._header
        if kind.sized or kind.fixed:  # by their own sizes
            side = within(header, "vision.image_size", 0, MAX_SIDE) // self._sizes["patch"]
        else:
            side = within(header, "vision.image_size", self._sizes["patch"], MAX_SIDE) // self._sizes["patch"]
            if side * side > MAX_ROWS or side < merge:
                raise unusable(header, f"a picture of {side}x{side} patches cannot be encoded")
        if kind.side and side != kind.side:
            raise unusable(header, f"a picture has {side} patches a side, not {kind.side}")
        if kind.divided and side % merge:
            raise unusable(header, f"{side} patches a side cannot be merged by {merge}")
        places, name = kind.places, "v.position_embd.weight"
        if places == "none" or (places == "square?" and name not in self._tensors):
            return
        if places in ("table", "axes"):
            self._match({name: ("width", "columns", 2) if places == "axes" else ("width", "columns", "lines")})
            if places == "axes" and self._sizes["columns"] < LONGEST * (1 if self._kind == "gemma4uv" else merge):
                raise unusable(header, f"it has position embeddings for {self._sizes['columns']} patches a side")
        else:
            self._match({name: ("width", "places")})
            self._check_count(self._sizes["places"], side * side + self._crown())
        if places not in ("enough", "buckets", "axes"):
            check_f32(header, self._tensors, (name,))

    def _crown(self) -> int:
        """Whether a class token has a place, too; registers have none: models/nemotron-v2-vl.cpp."""
        return int("v.class_embd" in self._tensors and self._kind != "nemotron_v2_vl")

    def _check_count(self, count: int, wanted: int) -> None:
        places = self._type.places
        if places.startswith(("square", "crowned")):  # resize_position_embeddings; models/deepseekocr.cpp
            right = isqrt(count - (places == "crowned")) ** 2 == count - (places == "crowned")
            if not right or count < 2:
                raise unusable(self._header, f"its {count} position embeddings do not make a square")
            return
        wanted = BUCKETS**2 if places == "buckets" else wanted
        if count < wanted or (places == "all" and count != wanted):
            raise unusable(self._header, f"it has {count} position embeddings for {wanted} patches")

    # ------------------------------------------------------------------------------------------ layers

    def _check_layer(self, at: str) -> None:
        """build_vit, build_attn, build_ffn and build_moe_ffn."""
        layers, found = self._type.layers, self._tensors
        assert layers is not None
        bias = "" if layers.biases else "?"
        joined = at + "attn_qkv.weight" in found if layers.joined is None else layers.joined
        shapes: dict[str, Shape] = {}
        if joined:
            shapes |= linear(at + "attn_qkv", "width", "joined", bias)
        else:
            for part, rows in (("q", "queries"), ("k", "keys"), ("v", "keys")):
                shapes |= linear(f"{at}attn_{part}", "width", rows, bias)
        shapes |= linear(at + "attn_out", "queries", "width", "?")
        norms = found.get(at + "attn_q_norm.weight")
        whole = not joined and norms is not None and norms.shape[:1] != (self._sizes["head"],)
        shapes[at + "attn_q_norm.weight?"] = ("queries",) if whole else ("head",)
        shapes[at + "attn_k_norm.weight?"] = ("keys",) if whole else ("head",)
        shapes[at + "attn_sinks?"] = ("heads",)
        shapes |= norm(at + "ln1", bias="?") | norm(at + "ln2", bias="?")
        for scale in ("ls1", "ls2", "out_scale", "attn_post_norm", "ffn_post_norm"):
            shapes[f"{at}{scale}.weight?"] = ("width",)
        self._match(shapes)
        for name in ("inner", "expert", "experts"):
            self._sizes.pop(name, None)
        if at + "ffn_gate_exps.weight" in found:
            self._check_experts(at)
            return
        up, down = at + "ffn_up", at + "ffn_down"
        held = found.get(down + ".weight")
        if self._kind in SWAPPED and held is not None and held.shape[:1] == (self._sizes["width"],):
            up, down = down, up
        shapes = linear(up, "width", "inner", "?") | linear(down, "inner", "width", "?")
        self._match({**shapes, at + "ffn_gate.weight?": ("width", "inner"), at + "ffn_gate.bias?": ("inner",)})

    def _check_experts(self, at: str) -> None:
        """build_moe_ffn, which knows SiLU alone."""
        within(self._header, "vision.expert_used_count", 1, MAX_WIDTH)
        if self._header.metadata.get("clip.use_silu") is not True:
            raise unusable(self._header, "clip.use_silu is not true, though it has experts")
        self._match(
            {
                at + "ffn_gate_inp.weight": ("width", "experts"),
                at + "ffn_gate_exps.weight": ("width", "expert", "experts"),
                at + "ffn_up_exps.weight": ("width", "expert", "experts"),
                at + "ffn_down_exps.weight": ("expert", "width", "experts"),
                at + "exp_probs_b.weight?": ("experts",),
            }
        )

    def _check_same_layers(self) -> None:
        """Every layer must have what the first has: llama.cpp leaves a bias or a gate that is missing out."""
        ends: list[set[str]] = [set() for _ in range(self._layers)]
        mixed = any(name.endswith("ffn_gate_exps.weight") for name in self._tensors)
        for name in self._tensors:
            start, _, end = name.removeprefix("v.blk.").partition(".")
            if not end.endswith(("weight", "bias")) or (mixed and end.startswith(("ffn", "exp_probs"))):
                continue
            if name.startswith("v.blk.") and start.isdecimal() and int(start) < self._layers:
                ends[int(start)].add(end)
        for layer, found in enumerate(ends):
            for end in sorted(found ^ ends[0]):
                missing = layer if end in ends[0] else 0
                raise unusable(self._header, f"tensor v.blk.{missing}.{end} is missing, though other layers have it")

    # ------------------------------------------------------------------------------------------ types of their own

    def _check_own(self) -> None:
        match self._kind:
            case "qwen3vl_merger":
                self._check_deepstack()
            case "qwen2.5vl_merger" | "exaone4_5" | "youtuvl":
                self._check_windows()
            case "mimovl":
                self._check_bands()
            case "internvl":
                self._check_grids()
            case "pixtral" | "lightonocr" if self._sizes["merge"] > 1:
                self._match({"mm.input_norm.weight": ("width",)})
            case "resampler":
                self._check_queries()
            case "minicpmv4_6" if self._sizes["merge"] == 4:
                self._match(MIDDLE_MERGER)
            case "step3vl":
                self._check_downsampled()
            case "deepseekocr" | "deepseekocr2":
                self._check_sam()
            case "granite4_vision":
                self._check_q_formers()

    def _check_deepstack(self) -> None:
        for layer in range(self._layers):
            at = f"v.deepstack.{layer}."
            if any(name.startswith(at) for name in self._tensors):
                self._sizes.pop("deep", None)
                self._match(
                    {**norm(at + "norm", "merged"), **linear(at + "fc1", "merged", "deep"),
                     **linear(at + "fc2", "deep", "out")}
                )  # fmt: skip

    def _check_windows(self) -> None:
        """Some layers look at the whole picture, the others at windows; clip_encode sets a mask for these."""
        header = self._header
        if self._kind == "youtuvl":
            every, windowed = set(self._numbers("wa_layer_indexes")), bool(self._numbers("wa_layer_indexes"))
            others = [layer for layer in range(self._layers) if layer not in every]
            why = f"clip.vision.wa_layer_indexes are {sorted(every)}, which leaves no layer with windows"
        else:
            pattern = self._number("n_wa_pattern")
            others = [layer for layer in range(self._layers) if pattern > 0 and (layer + 1) % pattern]
            windowed, why = pattern > 0, f"clip.vision.n_wa_pattern is {pattern}, which leaves no layer with windows"
            if windowed and within(header, "vision.projection_dim", 1, MAX_WIDTH) != self._sizes["out"]:
                self._refuse_row()
        if windowed and not others:
            raise unusable(header, why)
        window = self._number("window_size") or 112
        if windowed and window < 2 * self._sizes["patch"]:
            raise unusable(header, f"clip.vision.window_size is {window}, less than what becomes one row")

    def _refuse_row(self) -> NoReturn:
        out = self._sizes["out"]
        raise unusable(self._header, f"clip.vision.projection_dim is not {out}, the length of its rows")

    def _check_bands(self) -> None:
        """models/mimovl.cpp: for each layer -1 for the whole, 0 for rows, 1 for columns; the latter two have sinks."""
        modes = self._numbers("wa_pattern_mode")
        if len(modes) != self._layers:
            raise unusable(self._header, f"clip.vision.wa_pattern_mode is not {self._layers} numbers, one a layer")
        within(self._header, "vision.window_size", 1, MAX_SIDE)
        if 1 not in modes or set(modes) == {1}:  # or an input that clip_encode sets is not in the graph
            raise unusable(self._header, f"clip.vision.wa_pattern_mode is {modes}, without columns or without the rest")
        self._match({f"v.blk.{layer}.attn_sinks": ("heads",) for layer, mode in enumerate(modes) if mode != -1})

    def _check_grids(self) -> None:
        """set_internvl_dhr_res_candidates: each side of a grid has at least as many tiles as the whole."""
        least, most = self._number("preproc_min_tiles", 1), self._number("preproc_max_tiles", 12)
        if least * least > most:
            raise unusable(self._header, f"clip.vision.preproc_min_tiles is {least}, which no grid of {most} tiles has")

    def _check_queries(self) -> None:
        """models/minicpmv.cpp: heads of 128; as many queries as minicpmv_query_num says, or the version."""
        version = self._header.metadata.get("clip.minicpmv_version", 0)
        number = self._header.metadata.get("clip.minicpmv_query_num", 0) or (64 if version in MINICPM_64 else 96)
        if self._sizes["queries_learned"] != number:
            raise unusable(
                self._header, f"tensor resampler.query has {self._sizes['queries_learned']} rows, not {number}"
            )
        if self._sizes["out"] % 128:
            raise unusable(self._header, f"rows of {self._sizes['out']} numbers cannot be shared by heads of 128")

    def _check_downsampled(self) -> None:
        """models/step3vl.cpp: two halvings; clip_n_output_tokens counts what is left without rounding up."""
        patch = self._sizes["patch"]
        for side in (self._number("image_size"), 504):  # mtmd-image.h, default_image_crop_size
            if side % (4 * patch):
                raise unusable(self._header, f"{side} pixels a side cannot be merged by 4 patches of {patch}")

    def _check_sam(self) -> None:
        """models/deepseekocr.cpp, build_sam: windows, and heads that know how far a patch is away."""
        header = self._header
        layers = within(header, "vision.sam.block_count", 3, MAX_LAYERS)  # the third is the first that looks at all
        width = within(header, "vision.sam.embedding_length", 1, MAX_WIDTH)
        heads = within(header, "vision.sam.head_count", 1, width)
        within(header, "vision.window_size", 1, 64)
        if width % heads:
            raise unusable(header, f"{heads} heads cannot share a width of {width}")
        if self._sizes["sam"] != width:
            raise unusable(header, f"clip.vision.sam.embedding_length is not {self._sizes['sam']}")
        self._sizes |= {"sam_joined": 3 * width, "sam_head": width // heads}
        for layer in range(layers):
            at = f"v.sam.blk.{layer}."
            self._sizes.pop("sam_hidden", None)
            self._match({at + name: shape for name, shape in SAM_LAYER.items()})
            for axis in "hw":
                self._sizes.pop("far", None)
                self._match({f"{at}attn.pos_{axis}.weight": ("sam_head", "far")})
                check_f32(header, self._tensors, (f"{at}attn.pos_{axis}.weight",))

    def _check_q_formers(self) -> None:
        """models/granite4-vision.cpp, build and build_block: a window of patches answers fewer queries."""
        header, width = self._header, self._sizes["width"]
        layers, offsets = self._numbers("feature_layer"), self._numbers("projector.spatial_offsets")
        if not layers or len(layers) != len(offsets):
            raise unusable(header, "clip.vision.feature_layer and projector.spatial_offsets are not one for each block")
        if not all(0 <= layer < self._layers for layer in layers):
            raise unusable(header, f"clip.vision.feature_layer names other layers than 0 to {self._layers - 1}")
        side = self._number("image_size") // self._sizes["patch"]
        window = within(header, "vision.projector.window_side", 1, side)
        query = within(header, "vision.projector.query_side", 1, window)
        fewer = side // window * query
        if side % window or side % fewer or (any(offset >= 0 for offset in offsets) and 2 * fewer != side):
            raise unusable(header, f"{side} patches a side cannot become {query} of each {window}")
        if width % 64:
            raise unusable(header, f"a width of {width} cannot be shared by heads of 64")
        if not self._numbers("image_grid_pinpoints"):
            raise unusable(header, "clip.vision.image_grid_pinpoints are missing")
        if self._number("projection_dim") != self._sizes["out"]:
            self._refuse_row()
        self._sizes |= {"looked": window * window, "asking": query * query}
        for block in range(len(layers)):
            at = f"v.proj_blk.{block}."
            self._sizes.pop("answering", None)
            self._match({at + name: shape for name, shape in Q_FORMER.items()})
            check_f32(header, self._tensors, (at + "img_pos", at + "query"))


MINICPM_64 = frozenset({3, 4, 5, 6, 100045})
"""Versions of MiniCPM-V with 64 queries; the others have 96: load_hparams."""
