"""Encoders that are convolutions from end to end: channels and sides, from the pixels to the rows.

Each block takes the channels that the block before it gives, so that they are followed from one to the next, as the
graphs do: llama.cpp, tools/mtmd/models/mobilenetv5.cpp (Gemma 3n) and yasa2.cpp (Reka Edge).
"""

from __future__ import annotations

from vlmcli.models import gguf
from vlmcli.models.encoders import Shape, linear, norm
from vlmcli.models.gguf import Header
from vlmcli.models.patterns import MAX_SIDE, Patterns, check_f32, unusable, within

ROWS = 16
"""Rows a side that Gemma 3n's pictures are pooled to where they have more: mobilenetv5.cpp, target_out_res."""
POOLED = 8
"""Rows a side of Reka Edge's pictures: yasa2.cpp, build."""


def check(header: Header, kind: str, patterns: Patterns) -> None:
    """Raise ModelError where one of these encoders could not be computed; what is known then is in the sizes."""
    if kind == "gemma3nv":
        _MobileNet(header, patterns).check()
    elif kind == "yasa2":
        _check_conv_next(header, patterns)


class _MobileNet:
    """Follows a picture of Gemma 3n: `channels` and `side` are those of what has been computed so far."""

    def __init__(self, header: Header, patterns: Patterns) -> None:
        self._header = header
        self._patterns = patterns
        self._sizes = patterns.sizes
        self._side = -(-within(header, "vision.image_size", 1, MAX_SIDE) // 2)

    def check(self) -> None:
        """mobilenetv5.cpp, build."""
        sizes = self._sizes
        self._match({"v.conv_stem.conv.weight": (3, 3, 3, "channels"), "v.conv_stem.bn.weight?": ("channels",)})
        self._match({"v.conv_stem.conv.bias?": (1, 1, "channels")})
        ends: list[tuple[int, int]] = []
        for stage in range(4):
            block = 0
            while self._check_block(f"v.blk.{stage}.{block}.", first=block == 0):
                block += 1
            if block:
                ends.append((sizes["channels"], self._side))
        if not ends:
            raise unusable(self._header, "tensor v.blk.0.0.conv_exp.weight is missing")
        fused = ends[2:] if len(ends) == 4 else ends[-1:]
        side = fused[0][1]
        if any(side % other or other > side for _, other in fused) or (side > ROWS and side % ROWS):
            raise unusable(self._header, f"clip.vision.image_size is {self._image()}, which its stages cannot halve")
        sizes["fused"] = sum(channels for channels, _ in fused)
        rows = min(side, ROWS) ** 2
        if self._image() // sizes["patch"] != rows:  # clip_n_output_tokens
            raise unusable(self._header, f"clip.vision.patch_size is {sizes['patch']}, but a picture has {rows} rows")
        at = "v.msfa.ffn."
        self._match(
            {
                f"{at}pw_exp.conv.weight": (1, 1, "fused", "fusing"), f"{at}pw_exp.bn.weight?": ("fusing",),
                f"{at}pw_proj.conv.weight": (1, 1, "fusing", "width"), f"{at}pw_proj.bn.weight?": ("width",),
                "v.msfa.norm.weight?": ("width",),
            }
        )  # fmt: skip

        self._check_kernels()

    def _check_kernels(self) -> None:
        """What is convolved directly: ggml-cpu/ops.cpp, ggml_compute_forward_conv_2d knows two types."""
        for name, tensor in self._patterns.tensors.items():
            direct = name.startswith("v.") and len(tensor.shape) == 4 and name.endswith(".weight")
            by_channel = any(part in name for part in ("dw_start", "dw_mid", "down_conv"))
            if direct and not by_channel and tensor.kind not in (gguf.F32, gguf.F16):
                raise unusable(self._header, f"tensor {name} has ggml type {tensor.kind}, not F32 or F16")

    def _image(self) -> int:
        return within(self._header, "vision.image_size", 1, MAX_SIDE)

    def _match(self, shapes: dict[str, Shape]) -> None:
        self._patterns.match_all(shapes)

    def _has(self, name: str) -> bool:
        return name in self._patterns.tensors

    def _becomes(self, name: str) -> None:
        """What a block gives is what the next one takes."""
        self._sizes["channels"] = self._sizes.pop(name)

    def _check_block(self, at: str, *, first: bool) -> bool:
        """One block, if it is there; the first of a stage halves both sides."""
        for name in ("inner", "given", "asked", "head"):
            self._sizes.pop(name, None)
        if self._has(at + "conv_exp.weight"):
            self._match({at + "conv_exp.weight": (3, 3, "channels", "inner"), at + "bn1.weight?": ("inner",)})
            self._match({at + "conv_pwl.weight": (1, 1, "inner", "given"), at + "bn2.weight?": ("given",)})
            self._becomes("given")
            self._side = -(-self._side // 2) if first else self._side
            return True
        if self._has(at + "attn.query.proj.weight"):
            self._check_attention(at)
            return True
        if self._has(at + "dw_start.conv.weight") or self._has(at + "pw_exp.conv.weight"):
            self._check_inverted(at, first=first)
            return True
        return False

    def _check_inverted(self, at: str, *, first: bool) -> None:
        """build_inverted_residual."""
        sizes = self._sizes
        if self._has(at + "dw_start.conv.weight"):
            self._check_by_channel(at + "dw_start.conv.weight", "channels")
            self._match({at + "dw_start.bn.weight?": ("channels",)})
        if self._has(at + "pw_exp.conv.weight"):
            self._match({at + "pw_exp.conv.weight": (1, 1, "channels", "inner"), at + "pw_exp.bn.weight?": ("inner",)})
        sizes.setdefault("inner", sizes["channels"])
        if self._has(at + "dw_mid.conv.weight"):
            self._check_by_channel(at + "dw_mid.conv.weight", "inner")
            self._match({at + "dw_mid.bn.weight?": ("inner",)})
            self._side = -(-self._side // 2) if first else self._side
        self._match({at + "pw_proj.conv.weight": (1, 1, "inner", "given"), at + "pw_proj.bn.weight?": ("given",)})
        self._match({at + "layer_scale.gamma?": (1, 1, "given")})
        self._becomes("given")

    def _check_attention(self, at: str) -> None:
        """build_mobilenet_attn: heads of queries, and one of keys and values, which may be of half as many places."""
        sizes = self._sizes
        self._match({at + "norm.weight?": ("channels",), at + "attn.query.proj.weight": (1, 1, "channels", "asked")})
        down = [self._has(f"{at}attn.{part}.down_conv.weight") for part in ("key", "value")]
        sides = set()
        for part in ("key", "value"):
            self._match({f"{at}attn.{part}.proj.weight": (1, 1, "channels", "head")})
            if all(down):
                sides.add(self._check_by_channel(f"{at}attn.{part}.down_conv.weight", "channels"))
                self._match({f"{at}attn.{part}.norm.weight?": ("channels",)})
        if down[0] != down[1] or len(sides) > 1 or sizes["asked"] % sizes["head"]:
            raise unusable(self._header, f"the queries, keys and values of {at[:-1]} do not go together")
        self._match(
            {at + "attn.output.proj.weight": (1, 1, "asked", "given"), at + "layer_scale.gamma?": (1, 1, "given")}
        )
        self._becomes("given")

    def _check_by_channel(self, name: str, channels: str) -> int:
        """A convolution that takes each channel by itself, of an odd side, or the picture would grow. Its side."""
        self._sizes.pop("kernel", None)
        self._match({name: ("kernel", "kernel", 1, channels)})
        kernel = self._sizes["kernel"]
        if kernel % 2 == 0 or kernel > 31:
            raise unusable(self._header, f"tensor {name} is of {kernel} by {kernel}")
        return kernel


def _check_conv_next(header: Header, patterns: Patterns) -> None:
    """yasa2.cpp, build: stages that halve both sides, and what is left is pooled to eight rows a side."""
    sizes = patterns.sizes
    patterns.match_all(norm("v.patch_ln?", "first", "?"))
    side = within(header, "vision.image_size", sizes["patch"], MAX_SIDE) // sizes["patch"]
    channels, stage, tensors = "first", 0, patterns.tensors
    while f"v.stage.{stage}.down.conv.weight" in tensors or f"v.stage.{stage}.blk.0.dw.weight" in tensors:
        at, new = f"v.stage.{stage}.", f"channels{stage}"
        if at + "down.conv.weight" in tensors:
            patterns.match_all(norm(at + "down.ln?", channels, "?"))
            patterns.match_all({at + "down.conv.weight": (2, 2, channels, new), at + "down.conv.bias?": (new,)})
            channels, side = new, side // 2
        block = 0
        while f"{at}blk.{block}.dw.weight" in tensors:
            own, inner = f"{at}blk.{block}.", f"inner{stage}.{block}"
            patterns.match_all({own + "dw.weight": (7, 7, 1, channels), own + "dw.bias?": (channels,)})
            patterns.match_all(norm(own + "ln?", channels, "?") | linear(own + "pw1", channels, inner, "?"))
            patterns.match_all(norm(own + "grn?", inner, "?") | linear(own + "pw2", inner, channels, "?"))
            block += 1
        stage += 1
    if side < POOLED or side // (side // POOLED) != POOLED:
        raise unusable(header, f"pictures of {side} patches a side cannot be pooled to {POOLED}")
    sizes["last"] = sizes[channels]
    places = tensors.get("v.vision_pos_embed")
    if places is not None and places.shape[1:2] == (side * side,):
        patterns.match_all({"v.vision_pos_embed": ("last", "places")})
        check_f32(header, tensors, ("v.vision_pos_embed",))
