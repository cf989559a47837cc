"""What the tensors of each type of vision encoder and projector must be, so that llama.cpp can compute with them.

Facts, and no code that judges by them (`check_encoder` does). clip.cpp loads what is there and its graphs take shapes
for granted: ggml asserts what does not fit, which ends the process. Sources: llama.cpp, tools/mtmd/clip.cpp
(clip_model_loader, build_vit and the inputs that clip_encode sets) and, for each type, the graph in tools/mtmd/models/.

A tensor is given as a pattern: a dimension is a number, or a name that stands for the same number wherever it comes, in
ggml's order. A tensor with "?" after its name may be missing. Names that are known before:

    width, patch          of the encoder, by its keys
    merge, merged         patches a side that become one row, and the width of all of them
    stacked               the width of the layers' outputs that are put side by side
    pixels                numbers of a patch
    head, heads           of attention; "queries", "keys" and "joined" are rows of their matrices
    NAME_merged           NAME times the patches that become one row
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int | str, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Merge:
    """How many patches a side become one row.

    Attributes:
        key: that says it, below clip.vision; empty where the graph has it built in.
        default: without the key.
        least: that the graph can compute with.
        most: the same.
    """

    key: str = ""
    default: int = 1
    least: int = 1
    most: int = 64


@dataclass(frozen=True)
class Layers:
    """How attention is laid out in a layer.

    Attributes:
        joined: whether queries, keys and values come from one tensor; None where the graph takes both.
        biases: whether they must have biases.
        shared: whether there may be fewer heads of keys and values, as attention.head_count_kv says.
        derived: whether a head's size follows from the rows of queries, keys and values.
    """

    joined: bool | None = None
    biases: bool = False
    shared: bool = False
    derived: bool = False


@dataclass(frozen=True)
class Encoder:
    """What a type needs.

    Attributes:
        projector: its tensors.
        merge: of patches.
        places: what position embeddings are: "none"; "all", one for each patch and the class token; "enough", from
            which rows are picked; "square", stretched to the picture, "square?" where they may be missing, "crowned"
            with one more for the class token; "table", with sides of their own; "axes", one table for x and one for
            y; "buckets", 70 a side.
        more: tensors every file of the type has beside those of every encoder.
        layers: of attention and feed-forward; None for an encoder without any.
        turns: whether positions are rotations, which take a head in quarters.
        patch: shape of the patches' embedding.
        without: tensors that must not be there; a class token neither, where `more` has none.
        f32: tensors that are joined with or added to numbers of F32 as they are.
        kernels: tensors of convolutions that ggml computes as matrices, for which it takes F32 and F16.
        side: patches a side that the graph has built in; 0 for any.
        least_head: numbers a head has at least.
        least_layers: layers it has at least: an input that clip_encode sets must be in the graph.
        divided: whether the patches a side must be a multiple of what is merged.
        fixed: whether the graph has the pictures' sizes built in.
        sized: whether pictures keep their shape, between image_min_pixels and image_max_pixels.
        asked: which of these two keys must be there: "", "min" or "both".
    """

    projector: Shapes
    merge: Merge = Merge()
    places: str = "all"
    more: Shapes = field(default_factory=dict)
    layers: Layers | None = Layers()
    turns: bool = False
    patch: Shape = ("patch", "patch", 3, "width")
    without: tuple[str, ...] = ()
    f32: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ("v.patch_embd.weight", "v.patch_embd.weight.1")
    side: int = 0
    least_head: int = 1
    least_layers: int = 1
    divided: bool = False
    fixed: bool = False
    sized: bool = False
    asked: str = ""


def mlp(first: str, second: str, columns: str, biases: str = "") -> dict[str, Shape]:
    """Two linear layers; `biases` is "?" where they may be missing."""
    return {
        f"{first}.weight": (columns, "hidden"), f"{first}.bias{biases}": ("hidden",),
        f"{second}.weight": ("hidden", "out"), f"{second}.bias{biases}": ("out",),
    }  # fmt: skip


def norm(name: str, width: str = "width", bias: str = "") -> dict[str, Shape]:
    """A norm's weight and bias; `bias` is "?" where it may be missing."""
    return {f"{name}.weight": (width,), f"{name}.bias{bias}": (width,)}


def linear(name: str, columns: int | str, rows: int | str, bias: str = "") -> dict[str, Shape]:
    """A matrix and its bias; `bias` is "?" where that may be missing."""
    return {f"{name}.weight": (columns, rows), f"{name}.bias{bias}": (rows,)}


PATCH: Shape = ("patch", "patch", 3, "width")
SECOND: Shapes = {"v.patch_embd.weight.1": PATCH}
"""Of the second of two frames."""
_TWO = Merge("spatial_merge_size", 2, 2, 2)
"""Two, whatever the key says: graphs that have it built in."""
_SCALE = Merge("projector.scale_factor", 1, 2)
"""build_patch_merge_permute asserts more than one."""
_BARE = ("v.patch_embd.bias",)
_SPLIT = Layers(joined=False)
_CROWN: Shapes = {"v.class_embd?": ("width",)}


def _ldp_block(number: int) -> dict[str, Shape]:
    """A block of MobileNet's: models/llava.cpp, PROJECTOR_TYPE_LDP."""
    at = f"mm.model.mb_block.{number}.block."
    return {
        f"{at}0.0.weight": (3, 3, 1, "out"), **norm(f"{at}0.1", "out"), **linear(f"{at}1.fc1", "out", f"few{number}"),
        **linear(f"{at}1.fc2", f"few{number}", "out"), f"{at}2.0.weight": ("out", "out"), **norm(f"{at}2.1", "out"),
    }  # fmt: skip


def _resampler() -> dict[str, Shape]:
    """models/minicpmv.cpp, clip_graph_minicpmv: rows of the language model's width, and queries that are learned."""
    attention = {
        name: shape
        for part in ("q", "k", "v", "out")
        for name, shape in linear(f"resampler.attn.{part}", "out", "out").items()
    }
    return {
        "resampler.proj.weight": ("out", "out"), "resampler.kv.weight": ("width", "out"), **attention,
        "resampler.query": ("out", "queries_learned"), "resampler.pos_embed_k": ("out", "any"),
        **norm("resampler.ln_q", "out"), **norm("resampler.ln_kv", "out"), **norm("resampler.ln_post", "out"),
    }  # fmt: skip


MIDDLE_MERGER: Shapes = {
    **norm("v.vit_merger.ln1"),
    **{
        name: shape
        for part in ("q", "k", "v", "out")
        for name, shape in linear(f"v.vit_merger.attn_{part}", "width", "width", "?").items()
    },
    **norm("v.vit_merger.ds_ln", "quadruple"),
    **linear("v.vit_merger.ds_ffn_up", "quadruple", "between", "?"),
    **linear("v.vit_merger.ds_ffn_down", "between", "width", "?"),
}
"""models/minicpmv.cpp, clip_graph_minicpmv4_6: what merges in the middle, where patches are merged by four a side."""

_GLM: Shapes = {
    "mm.patch_merger.weight": ("merge", "merge", "width", "mixed"), "mm.patch_merger.bias": ("mixed",),
    "mm.model.fc.weight": ("mixed", "joint"), **norm("mm.post_norm", "joint", "?"),
    **linear("mm.up", "joint", "hidden", "?"), **linear("mm.gate", "joint", "hidden", "?"),
    **linear("mm.down", "hidden", "out", "?"),
}  # fmt: skip
"""models/glm4v.cpp."""

_MOON: Shapes = {**norm("mm.input_norm"), **mlp("mm.1", "mm.2", "merged")}
"""models/kimivl.cpp, kimik25.cpp and paddleocr.cpp."""

_SAM: Shapes = {
    "v.sam.pos_embd.weight": ("sam", "sam_side", "sam_side"), "v.sam.patch_embd.weight": (16, 16, 3, "sam"),
    "v.sam.patch_embd.bias": ("sam",), "v.sam.neck.0.weight": (1, 1, "sam", "neck"), **norm("v.sam.neck.1", "neck"),
    "v.sam.neck.2.weight": (3, 3, "neck", "neck"), **norm("v.sam.neck.3", "neck"),
    "v.sam.net_2.weight": (3, 3, "neck", "net"), "v.sam.net_3.weight": (3, 3, "net", "width"),
    "v.view_seperator": ("out",),
}  # fmt: skip
"""models/deepseekocr.cpp, build_sam. Its layers are in `SAM_LAYER`."""

SAM_LAYER: Shapes = {
    **norm("pre_ln", "sam"), **norm("post_ln", "sam"), **linear("attn.qkv", "sam", "sam_joined"),
    **linear("attn.out", "sam", "sam"), **linear("mlp.lin1", "sam", "sam_hidden"),
    **linear("mlp.lin2", "sam_hidden", "sam"),
}  # fmt: skip

_SAM_KERNELS = tuple(f"v.sam.{name}.weight" for name in ("patch_embd", "neck.0", "neck.2", "net_2", "net_3"))


def _q_former() -> dict[str, Shape]:
    """A block of models/granite4-vision.cpp, build_block, below v.proj_blk.N."""
    found: dict[str, Shape] = {
        "img_pos": ("width", "looked"), "query": ("width", "asking"), **linear("linear", "width", "out"),
        **norm("norm"), **norm("post_norm"), **linear("ffn_up", "width", "answering"),
        **linear("ffn_down", "answering", "width"), **norm("ffn_norm"),
    }  # fmt: skip
    for kind in ("self_attn", "cross_attn"):
        for part in ("q", "k", "v", "out"):
            found |= linear(f"{kind}_{part}", "width", "width")
        found |= norm(f"{kind}_norm")
    return found


Q_FORMER = _q_former()

ENCODERS: Mapping[str, Encoder] = {
    # models/llava.cpp
    "mlp": Encoder(mlp("mm.0", "mm.2", "stacked"), places="enough", more=_CROWN, layers=_SPLIT),
    "ldp": Encoder(
        {**mlp("mm.model.mlp.1", "mm.model.mlp.3", "width"), **_ldp_block(1), **_ldp_block(2)},
        places="enough", more=_CROWN, layers=_SPLIT, side=24,
        kernels=("v.patch_embd.weight", *(f"mm.model.mb_block.{number}.block.0.0.weight" for number in (1, 2))),
    ),
    "ldpv2": Encoder(
        {**mlp("mm.model.mlp.0", "mm.model.mlp.2", "width"), "mm.model.peg.0.weight": (3, 3, 1, "out"),
         "mm.model.peg.0.bias": ("out",)},
        places="enough", more=_CROWN, layers=_SPLIT, side=24, kernels=("v.patch_embd.weight", "mm.model.peg.0.weight"),
    ),
    "adapter": Encoder(
        {
            "adapter.conv.weight": (2, 2, "width", "mixed"), "adapter.conv.bias": ("mixed",),
            "adapter.linear.linear.weight": ("mixed", "joint"), **norm("adapter.linear.norm1", "joint"),
            "adapter.linear.dense_h_to_4h.weight": ("joint", "hidden"),
            "adapter.linear.gate.weight": ("joint", "hidden"), "adapter.linear.dense_4h_to_h.weight": ("hidden", "out"),
            "adapter.boi": ("out",), "adapter.eoi": ("out",),
        },
        places="enough", layers=_SPLIT, f32=("adapter.boi", "adapter.eoi"),
        kernels=("v.patch_embd.weight", "adapter.conv.weight"),
    ),
    # models/qwen2vl.cpp, qwen3vl.cpp, ling3vl.cpp, exaone4_5.cpp, mimovl.cpp
    "qwen2vl_merger": Encoder(
        mlp("mm.0", "mm.2", "merged"), _TWO, "none", SECOND, Layers(joined=False, biases=True), turns=True,
        without=_BARE,
    ),
    "qwen2.5vl_merger": Encoder(
        mlp("mm.0", "mm.2", "merged"), _TWO, "none", SECOND, Layers(joined=False, biases=True), turns=True,
        without=_BARE,
    ),
    "qwen3vl_merger": Encoder(
        mlp("mm.0", "mm.2", "merged"), _TWO, "square", {**SECOND, "v.patch_embd.bias": ("width",)},
        Layers(joined=True, biases=True), turns=True,
    ),
    "ling3vl": Encoder(
        {**norm("mm.input_norm"), **mlp("mm.0", "mm.2", "merged")}, _TWO, "square", SECOND, turns=True,
       
    ),
    "exaone4_5": Encoder(
        mlp("mm.0", "mm.2", "merged"), _TWO, "none", SECOND, Layers(joined=True, shared=True), turns=True,
        without=_BARE, sized=True, asked="both",
    ),
    "mimovl": Encoder(
        {"mm.0.weight": ("merged", "hidden"), "mm.2.weight": ("hidden", "out")}, _TWO, "none", SECOND,
        Layers(joined=True, biases=True, shared=True, derived=True), turns=True, without=_BARE, sized=True,
        asked="both",
    ),
    # models/siglip.cpp
    "gemma3": Encoder(
        {"mm.input_projection.weight": ("out", "width"), "mm.soft_emb_norm.weight": ("width",)},
        Merge("projector.scale_factor", 4), divided=True,
    ),
    "idefics3": Encoder({"mm.model.fc.weight": ("merged", "out")}, _SCALE, divided=True),
    "lfm2": Encoder(
        {**mlp("mm.1", "mm.2", "merged"), "mm.input_norm.weight?": ("merged",), "mm.input_norm.bias?": ("merged",)},
        _SCALE, "square",
    ),
    "janus_pro": Encoder(mlp("mm.0", "mm.1", "width")),
    "phi4": Encoder(mlp("mm.0", "mm.2", "width"), places="square", sized=True, asked="both"),
    # models/pixtral.cpp
    "pixtral": Encoder(
        {
            **mlp("mm.1", "mm.2", "width", "?"), "v.token_embd.img_break": ("out",),
            "mm.input_norm.weight?": ("width",), "mm.patch_merger.weight?": ("merged", "width"),
        },
        Merge("spatial_merge_size"), "none", turns=True, f32=("v.token_embd.img_break",),
    ),
    "lightonocr": Encoder(
        {
            **mlp("mm.1", "mm.2", "width", "?"), "mm.input_norm.weight?": ("width",),
            "mm.patch_merger.weight?": ("merged", "width"),
        },
        Merge("spatial_merge_size"), "none", turns=True,
    ),
    # models/internvl.cpp, nemotron-v2-vl.cpp, cogvlm.cpp, llama4.cpp
    "internvl": Encoder(
        {**norm("mm.model.mlp.0", "merged"), **mlp("mm.model.mlp.1", "mm.model.mlp.3", "merged")},
        Merge("projector.scale_factor"), divided=True, more={"v.class_embd": ("width",)},
    ),
    "nemotron_v2_vl": Encoder(
        {
            "mm.model.mlp.0.weight": ("merged",), "mm.model.mlp.1.weight": ("merged", "hidden"),
            "mm.model.mlp.3.weight": ("hidden", "out"),
        },
        _SCALE, more={"v.class_embd": ("width", "registers")}, f32=("v.class_embd",), divided=True,
    ),
    "cogvlm": Encoder(
        {
            "mm.model.fc.weight": ("width", "joint"), **norm("mm.post_fc_norm", "joint"),
            "mm.up.weight": ("joint", "hidden"), "mm.gate.weight": ("joint", "hidden"),
            "mm.down.weight": ("hidden", "out"), "v.boi": ("out",), "v.eoi": ("out",),
        },
        more={"v.class_embd": ("width",)}, layers=Layers(joined=True, biases=True), f32=("v.boi", "v.eoi"),
    ),
    "llama4": Encoder(
        {
            "mm.model.mlp.1.weight": ("merged", "mixed"), "mm.model.mlp.2.weight": ("mixed", "joint"),
            "mm.model.fc.weight": ("joint", "out"),
        },
        Merge("projector.scale_factor"), more={"v.class_embd": ("width",)}, turns=True, patch=("pixels", "width"),
        divided=True, kernels=(),
    ),
    # models/kimivl.cpp, kimik25.cpp, paddleocr.cpp, dotsocr.cpp
    "kimivl": Encoder(_MOON, _SCALE, "square", turns=True),
    "kimik25": Encoder(_MOON, _SCALE, "table", turns=True, sized=True),
    "paddleocr": Encoder(_MOON, Merge("", 2), "square", turns=True, sized=True, asked="both"),
    "dots_ocr": Encoder(
        {**norm("mm.input_norm"), **mlp("mm.0", "mm.2", "merged"), "mm.post_norm.weight": ("width",)},
        Merge("projector.scale_factor", 0, 2), "none", turns=True, sized=True, asked="both",
    ),
    "dots3note_v": Encoder(
        {**norm("mm.input_norm"), **mlp("mm.0", "mm.2", "merged"), "mm.post_norm.weight": ("width",)},
        Merge("spatial_merge_size", 0, 2), "none", turns=True, sized=True, asked="both",
    ),
    # models/glm4v.cpp
    "glm4v": Encoder(
        _GLM, _TWO, "square?", {**SECOND, "v.patch_embd.bias": ("width",), "v.norm_embd.weight?": ("width",)},
        turns=True, kernels=("v.patch_embd.weight", "v.patch_embd.weight.1",
        "mm.patch_merger.weight"),
    ),
    "glm5v": Encoder(
        _GLM, _TWO, "square?", {**SECOND, "v.patch_embd.bias": ("width",), "v.norm_embd.weight?": ("width",)},
        turns=True, kernels=("v.patch_embd.weight", "v.patch_embd.weight.1",
        "mm.patch_merger.weight"), sized=True, asked="both",
    ),
    # models/youtuvl.cpp, minimax-m3.cpp, muse-glimmer.cpp, step3vl.cpp
    "youtuvl": Encoder(
        {"mm.input_norm.weight": ("width",), **mlp("mm.0", "mm.2", "merged")}, _TWO, "none",
        layers=Layers(joined=False, biases=True), turns=True, patch=("pixels", "width"),
        kernels=(),
    ),
    "minimax_m3": Encoder(
        {
            **linear("mm.1", "width", "joint"), **linear("mm.2", "joint", "mixed"),
            **linear("mm.merger.fc1", "mixed_merged", "hidden"), **linear("mm.merger.fc2", "hidden", "out"),
        },
        _TWO, "none", SECOND, without=_BARE,
    ),
    "muse-glimmer": Encoder(
        {"mm.0.weight": ("merged", "joint"), "mm.1.weight": ("joint", "mixed"), "mm.2.weight": ("mixed", "out")},
        _TWO, "square", turns=True, least_layers=2,
    ),
    "step3vl": Encoder(
        {
            "mm.0.weight": (3, 3, "width", "mixed"), "mm.0.bias?": ("mixed",),
            "mm.1.weight": (3, 3, "mixed", "joint"), "mm.1.bias?": ("joint",), "mm.model.fc.weight": ("joint", "out"),
        },
        Merge("projector.scale_factor", 4, 4, 4), "square", turns=True,
        kernels=("v.patch_embd.weight", "mm.0.weight", "mm.1.weight"),
    ),
    # models/hunyuanvl.cpp
    "hunyuanvl": Encoder(
        {
            "mm.0.weight": ("merge", "merge", "width", "mixed"), "mm.0.bias": ("mixed",),
            "mm.2.weight": (1, 1, "mixed", "joint"), "mm.2.bias": ("joint",), **linear("mm.model.fc", "joint", "out"),
            "mm.pre_norm.weight": ("width",), "mm.post_norm.weight": ("out",), "mm.image_begin": ("out",),
            "mm.image_end": ("out",), "v.image_newline": ("joint",),
        },
        _TWO, "square", f32=("mm.image_begin", "mm.image_end", "v.image_newline"), sized=True,
        kernels=("v.patch_embd.weight", "mm.0.weight", "mm.2.weight"),
    ),
    # models/minicpmv.cpp
    "resampler": Encoder(
        _resampler(), places="buckets", f32=("resampler.query",)
    ),
    "minicpmv4_6": Encoder(
        {
            "mm.input_norm.weight": ("quadruple",), "mm.input_norm.bias?": ("quadruple",),
            **linear("mm.up", "quadruple", "hidden", "?"), **linear("mm.down", "hidden", "out", "?"),
        },
        Merge("projector.scale_factor", 4, 2, 4), "buckets", layers=_SPLIT, divided=True,
    ),
    # models/gemma4v.cpp, gemma4uv.cpp
    "gemma4v": Encoder(
        {"mm.input_projection.weight": ("width", "out"), "v.std_bias?": ("width",), "v.std_scale?": ("width",)},
        Merge("projector.scale_factor", 3), "axes", turns=True,
    ),
    "gemma4uv": Encoder(
        {"mm.input_projection.weight": ("width", "out")}, Merge("projector.scale_factor", 3), "axes",
        {
            "v.patch_embd.bias": ("width",), **norm("v.patch_norm.1", "pixels"), **norm("v.patch_norm.2"),
            **norm("v.patch_norm.3"),
        },
        None, patch=("pixels", "width"), kernels=(), least_layers=0,
    ),
    # models/deepseek4v.cpp, deepseekocr.cpp, deepseekocr2.cpp
    "deepseek4v": Encoder(
        {
            **mlp("mm.1", "mm.2", "merged"), "v.image_newline": ("out",), "v.token_embd.img_start": ("out",),
            "v.token_embd.img_end": ("out",), "v.token_embd.img_pad": ("out",),
        },
        Merge("projector.scale_factor", 0, 1), "none", turns=True, sized=True, asked="min",
        f32=("v.image_newline", *(f"v.token_embd.img_{end}" for end in ("start", "end", "pad"))),
    ),
    "deepseekocr": Encoder(
        {**_SAM, **linear("mm.model.fc", "doubled", "out"), "v.image_newline": ("out",)}, places="crowned",
        fixed=True, patch=(), more={"v.class_embd": ("width",)},
        f32=("v.class_embd", "v.image_newline", "v.view_seperator", "v.sam.pos_embd.weight"), kernels=_SAM_KERNELS,
    ),
    "deepseekocr2": Encoder(
        {
            **_SAM, **linear("mm.model.fc", "width", "out"), "v.resample_query_768.weight": ("width", 144),
            "v.resample_query_1024.weight": ("width", 256),
        },
        places="none", layers=Layers(joined=False, shared=True), fixed=True, patch=(),
        f32=("v.view_seperator", "v.sam.pos_embd.weight"), kernels=_SAM_KERNELS,
    ),
    # models/granite4-vision.cpp
    "granite4_vision": Encoder(
        {"v.image_newline": ("out",)}, layers=_SPLIT, f32=("v.image_newline",),
    ),
    # models/yasa2.cpp, mobilenetv5.cpp: convolutions, which `check_convolutions` knows
    "yasa2": Encoder(
        mlp("mm.0", "mm.2", "last", "?"), places="none", layers=None, patch=("patch", "patch", 3, "first"),
        least_layers=0,
    ),
    "gemma3nv": Encoder(
        {"mm.input_projection.weight": ("out", "width"), "mm.soft_emb_norm.weight": ("width",)},
        Merge("projector.scale_factor"), "none", layers=None, patch=(), least_layers=0,
    ),
}  # fmt: skip
