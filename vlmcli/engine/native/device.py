"""What llama.cpp can compute on here, and in which order it keeps weights there.

Asks the library and its file; it knows no model. What fits and what is fast is decided in `machine/`.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import Literal

from vlmcli.engine.native import amx
from vlmcli.engine.native.library import bind, folder, versions
from vlmcli.placement import Device


def _features() -> set[str]:
    """CPU features that llama.cpp was compiled with, in its spelling: "AVX2", "REPACK", "AMX_INT8"."""
    return set(versions()["features"].replace(":", "|").replace(" ", "").split("|"))


@cache
def miscompiler() -> str:
    """The compiler whose code for AMX would end the process here, as "GCC 12.2"; empty where it is right, or not used.

    Its code runs only on weights that were copied into AMX's order, which `Model` then leaves out.
    """
    if "AMX_INT8" not in _features():
        return ""
    with suppress(OSError):
        for library in sorted(folder().glob("*ggml-cpu*")):  # a file, or the same one by several names
            return amx.miscompiler(library.read_bytes())
    return ""


def repacked_types() -> frozenset[int]:
    """Types of tensors, by ggml's number, that llama.cpp copies into its CPU's own order when it loads them.

    Source: ggml-cpu, repack.cpp, ggml_repack_get_optimal_repack_type; amx/common.h, qtype_has_amx_kernels.
    """
    features = _features()
    q4_0, q4_1, q8_0, q2_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, mxfp4 = 2, 3, 8, 10, 12, 13, 14, 20, 23, 39
    if miscompiler():
        return frozenset()
    found = {q4_0, q4_1, q8_0, q4_k, q5_k, q6_k, iq4_xs} if "AMX_INT8" in features else set()
    if "REPACK" not in features:
        return frozenset(found)
    if "NEON" in features:
        return frozenset({q4_0, q8_0, q4_k, q5_k, q6_k, iq4_nl, mxfp4} if "DOTPROD" in features else ())
    found |= {q4_0, q4_k, iq4_nl, mxfp4} if "AVX2" in features else set()
    return frozenset(found | ({q2_k} if "AVX512" in features else set()))


def slower_types() -> frozenset[int]:
    """Those of the `repacked_types` that are slower in that order, and take longer to load.

    `python -m vlmcli.bench repack` measures it: Q4_K on x86, where there is no AMX. Others were not seen to be slower.
    """
    q4_k = 12
    features = _features()
    return frozenset({q4_k} if "AVX2" in features and "AMX_INT8" not in features else ())


def backends() -> tuple[str, ...]:
    """The kinds of devices this build of llama.cpp can compute on, in its own words: "CUDA", "Vulkan", "CPU".

    A kind is among them whether or not this machine has such a device. Source: ggml-backend-reg.cpp.
    """
    count = bind("ggml_backend_reg_count", ctypes.c_size_t)
    get = bind("ggml_backend_reg_get", ctypes.c_void_p, ctypes.c_size_t)
    name = bind("ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
    return tuple(name(get(index)).decode() for index in range(count()))


def devices() -> tuple[Device, ...]:
    """Every device llama.cpp was compiled for and found here, with its memory in bytes as it is now."""
    size = ctypes.c_size_t
    count = bind("ggml_backend_dev_count", size)
    get = bind("ggml_backend_dev_get", ctypes.c_void_p, size)
    name = bind("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    description = bind("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    kind = bind("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    memory = bind("ggml_backend_dev_memory", None, ctypes.c_void_p, ctypes.POINTER(size), ctypes.POINTER(size))
    kinds: list[Literal["cpu", "gpu", "igpu", "accel", "meta"]] = ["cpu", "gpu", "igpu", "accel", "meta"]
    found = []
    for index in range(count()):
        device, free, total = get(index), size(), size()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        found.append(
            Device(name(device).decode(), description(device).decode(), kinds[kind(device)], free.value, total.value)
        )
    return tuple(found)
