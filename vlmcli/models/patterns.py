"""A header's keys and tensors against what they must be, and the errors where they are not.

A pattern is a name of a tensor and its dimensions, as `encoders` describes them. Knows no types of encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vlmcli.errors import ModelError
from vlmcli.models import gguf
from vlmcli.models.gguf import Header, Tensor

if TYPE_CHECKING:
    from vlmcli.models.encoders import Shape

MAX_LAYERS = 512  # llama-hparams.h, LLAMA_MAX_LAYERS
MAX_WIDTH = 1 << 16  # of a row inside an encoder; the widest has some thousands
MAX_SIDE = 1 << 14  # pixels of a picture's side, before it is cut into tiles
MAX_TILES = 1024
MAX_ROWS = 1 << 17  # patches of a picture


class Patterns:
    """Tensors against patterns.

    Attributes:
        tensors: by name.
        sizes: what the names in patterns stand for, as far as that is known; grows with each match.
    """

    def __init__(self, header: Header, tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        self.tensors = tensors
        self.sizes = sizes
        self._header = header

    def match_all(self, shapes: Mapping[str, Shape]) -> None:
        """Raise ModelError unless the tensors are there and of these shapes, and what is a vector is of F32."""
        for pattern, shape in shapes.items():
            name = pattern.replace("?", "")
            tensor = self.tensors.get(name)
            if tensor is None and "?" not in pattern:
                raise unusable(self._header, f"tensor {name} is missing")
            if tensor is not None:
                self._match(tensor, shape)

    def _size(self, dimension: int | str) -> int:
        """What a dimension must be; 0 where nothing is known yet. "NAME_merged" is NAME times the patches merged."""
        if isinstance(dimension, int):
            return dimension
        if dimension.endswith("_merged"):
            return self.sizes.get(dimension.removesuffix("_merged"), 0) * self.sizes["merge"] ** 2
        return self.sizes.get(dimension, 0)

    def _match(self, tensor: Tensor, shape: Shape) -> None:
        """Hold a tensor to its pattern; a name that has no number yet gets this tensor's."""
        found = list(tensor.shape)
        while len(found) > 1 and len(found) > len(shape) and found[-1] == 1:
            found.pop()
        found += [1] * (len(shape) - len(found))
        if len(found) == len(shape) and all(found):
            for size, wanted in zip(found, shape, strict=True):
                if isinstance(wanted, str) and not self._size(wanted):
                    self.sizes[wanted] = size
        expected = tuple(map(self._size, shape))
        if tuple(found) != expected or 0 in found:
            wanted_shape = "x".join(str(size or "any") for size in expected)
            raise unusable(self._header, f"tensor {tensor.name} is {_dimensions(tensor.shape)}, not {wanted_shape}")
        if len(shape) == 1 and tensor.kind != gguf.F32:
            raise uncomputable(self._header, tensor)


def within(header: Header, key: str, least: int, most: int) -> int:
    """A number below "clip."; ModelError where it is missing, or not from `least` to `most`."""
    value = header.metadata.get(f"clip.{key}")
    if not isinstance(value, int) or not least <= value <= most:
        span = f"{least} to {most}" if least < most else f"{least}"
        raise unusable(header, f"clip.{key} is {'missing' if value is None else value}, not {span}")
    return value


def unusable(header: Header, what: str) -> ModelError:
    """The error that a file's header is broken: what is wrong with it, in words that may quote the file."""
    what = gguf.shown(what)
    return ModelError(f"{header.path}: {what}, so it cannot be used", "download it again, or get another copy")


def uncomputable(header: Header, tensor: Tensor) -> ModelError:
    """The error that a tensor is of a type that llama.cpp has no operation for."""
    return unusable(header, f"tensor {tensor.name} has ggml type {tensor.kind}, which llama.cpp cannot compute with")


def check_f32(header: Header, tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> None:
    """Refuse another type than F32 where llama.cpp's operations take no other beside it."""
    for name in names:
        if name in tensors and tensors[name].kind != gguf.F32:
            raise unusable(header, f"tensor {name} has ggml type {tensors[name].kind}, not F32")


def _dimensions(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
