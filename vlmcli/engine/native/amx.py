"""Whether the matrix instructions of a CPU (Intel's AMX) can be used as llama.cpp was compiled.

GCC before 11.5, 12.4, 13.3 and 14.1 tells its optimiser that `_tile_loadconfig` reads eight bytes of the 64 that it
does, so that the others are never written, and the first multiplication ends the process: a segmentation fault in
ggml_backend_amx_mul_mat. Source: GCC's amxtileintrin.h before and after; llama.cpp, issue 20824 and pull request 26954.
"""

from __future__ import annotations

import re

MENDED = {11: 5, 12: 4, 13: 3, 14: 1}
"""The first minor version of each major one whose code is right; all before are wrong, all after right."""


def miscompiler(library: bytes) -> str:
    """The compiler of a library's file if it is one that gets this wrong, "GCC 12.2"; else empty.

    A compiler leaves its name in a section of its own (.comment), which stripping keeps. One that is not named is
    taken to be right.
    """
    if b"clang version" in library:
        return ""
    for found in re.finditer(rb"GCC: \([^)\0]*\) (\d{1,3})\.(\d{1,3})", library):
        major, minor = int(found[1]), int(found[2])
        if major < min(MENDED) or minor < MENDED.get(major, 0):
            return f"GCC {major}.{minor}"
    return ""
