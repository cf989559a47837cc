"""Looking at the tensors of a graph while it runs: their names, their numbers, and which of them are to be cleared.

A tensor is an address here, an int, as ggml's eval callback gives it; it holds for that call alone, and everything
that is kept is a copy. It knows the names that clip.cpp gives tensors, and no projector.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from vlmcli.engine.native.library import Float32, bind, install_hint
from vlmcli.errors import NativeError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

_name_address = bind("ggml_get_name", ctypes.c_void_p, ctypes.c_void_p)
_size = bind("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
_read = bind("ggml_backend_tensor_get", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_write = bind("ggml_backend_tensor_set", None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t)
_op_name = bind("ggml_op_name", ctypes.c_char_p, ctypes.c_int)
_SCALE = next(op for op in range(64) if _op_name(op) == b"SCALE")


def tensor_name(tensor: int) -> bytes:
    """What the graph calls a tensor: "inp_raw", "layer_out-3"; empty for one without a name."""
    return ctypes.string_at(_name_address(tensor))


def ends_layer(tensor: int) -> bool:
    """Whether it is what one of the encoder's layers gives; a few families' graphs do not name them (clip.cpp)."""
    return bool(_tensor(tensor).name.startswith(b"layer_out"))


def tensor_size(tensor: int) -> int:
    """How many bytes a tensor's numbers take."""
    return int(_size(tensor))


def write_tensor(tensor: int, data: bytes) -> None:
    """Replace a tensor's first bytes, wherever its numbers lie; `data` has at most `tensor_size` of them."""
    if len(data) > tensor_size(tensor):  # C aborts here
        raise NativeError("more bytes than the tensor has")
    _write(tensor, data, 0, len(data))


class _Tensor(ctypes.Structure):
    """struct ggml_tensor, up to its name (ggml.h)."""

    _fields_ = (
        ("type", ctypes.c_int), ("buffer", ctypes.c_void_p), ("ne", ctypes.c_int64 * 4), ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int), ("op_params", ctypes.c_int32 * 16), ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10), ("view_src", ctypes.c_void_p), ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p), ("name", ctypes.c_char * 64),
    )  # fmt: skip


_is_laid_out = False  # as above: looked at once, since it is the library's, and a graph has hundreds of tensors


def _tensor(address: int) -> _Tensor:
    """The tensor at an address; NativeError where ggml's structure is not the one above."""
    global _is_laid_out
    if not _is_laid_out:
        if _name_address(address) - address != _Tensor.name.offset:
            raise NativeError("llama.cpp: a tensor is not laid out as expected", install_hint())
        _is_laid_out = True
    return _Tensor.from_address(address)


def is_cleared(address: int) -> bool:
    """Whether a node multiplies by 0 and adds 0, to clear a tensor (ggml.h, ggml_scale_bias: floats in op_params)."""
    tensor = _tensor(address)
    return tensor.op == _SCALE and not any(tensor.op_params[:2])


def _floats(address: int) -> Float32 | None:
    """A contiguous float32 tensor's numbers, a copy, four dimensions in numpy's order; None for any other tensor."""
    tensor = _tensor(address)
    shape = tuple(tensor.ne)[::-1]
    if tensor.type != 0 or tensor.nb[0] != 4 or not tensor.buffer:
        return None
    copy = np.empty(shape, np.float32)
    if tensor_size(address) != copy.nbytes:
        return None
    _read(address, copy.ctypes.data, 0, copy.nbytes)
    return copy


class Watch:
    """Looks into an encoder's graph while it runs (clip.cpp names the tensors).

    Attributes:
        only_inputs: end the graph before it computes anything.
        inputs: one for each run of the graph (some families have several tiles in one chunk): the pixels, scaled and
            normalised, float32 [3, height, width].
        outputs: what each run's last layer gave: float32 [patches, width], a class token perhaps among them.
    """

    def __init__(self, only_inputs: bool = False) -> None:
        self.only_inputs = only_inputs
        self.inputs: list[Float32] = []
        self.outputs: list[Float32] = []
        self._begun = False

    def takes(self, node: int) -> bool:
        """Whether this node, which comes next, is the first that reads a run's pixels; they are kept then."""
        source = next((one for one in _tensor(node).src if one and b"inp_raw" in tensor_name(one)), None)
        if source is None or self._begun:
            return False
        pixels = _floats(source)
        if pixels is None or pixels.shape[0] != 1 or pixels.shape[1] != 3:
            return False
        self.inputs.append(pixels[0])
        self.outputs.append(np.zeros((0, 0), np.float32))
        self._begun = True
        return True

    def computed(self, node: int) -> bool:
        """A node was computed after which the graph stopped. Returns whether it shall go on."""
        self._begun = False
        if self.only_inputs:
            return False
        rows = _floats(node) if ends_layer(node) else None
        if rows is not None and self.outputs:
            self.outputs[-1] = rows.reshape(-1, rows.shape[-1])
        return True
