"""A coded picture is decoded by imagecodecs in a child process, bounded in its time and memory.

Its decoders are made for files that are whole: a damaged JPEG-LS of a kilobyte can keep one busy for many seconds, and
nothing ends it within the process. The child is given the decoder's name, and the codestream on stdin; it answers with
an array in numpy's own format, or with what is wrong.
"""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmcli import room

SECONDS = 2.0
"""Of the processor's time that a frame may take."""
PATIENCE = 20.0
"""Seconds on the clock, where the machine is busy with something else."""
MEMORY = 2 << 30
"""Bytes of address space, where the system can bound it: the libraries of imagecodecs take a part of it."""

_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p];"
    " from vlmcli.pictures.codec_child import main; sys.exit(main())"
)
_DECODERS = {
    "jpegls": ("jpegls_decode", {}),
    "jpeg2k": ("jpeg2k_decode", {}),
    "jpeg": ("jpeg8_decode", {}),
    "jpeg as it is stored": ("jpeg8_decode", {"colorspace": "RGB", "outcolorspace": "RGB"}),
}


def is_there() -> bool:
    """Whether imagecodecs is installed."""
    return importlib.util.find_spec("imagecodecs") is not None


def decoded(coded: bytes, decoder: str) -> NDArray[Any]:
    """The numbers of a codestream: height x width, or x channels.

    Args:
        coded: all of it.
        decoder: "jpegls", "jpeg2k", "jpeg", or "jpeg as it is stored", without a change of its colours.

    Raises:
        RuntimeError: with the reason, where it is damaged, or is not decoded in time.
        MemoryError: where the machine has not as much memory left as the child may use.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _START, decoder], input=coded, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"it takes more than {SECONDS:g} s") from None
    if done.returncode == 0:
        found: NDArray[Any] = np.load(io.BytesIO(done.stdout), allow_pickle=False)
        return found
    if done.returncode == 3:
        raise RuntimeError(done.stdout.decode("utf-8", "replace"))
    if room.is_out(RuntimeError(done.stderr.decode("utf-8", "replace")), honest=MEMORY):
        raise MemoryError
    raise RuntimeError(f"it takes more than {SECONDS:g} s, or more memory than is available")


def main() -> int:
    """The child: its one argument is the decoder. Returns 3 where stdout says what is wrong."""
    import imagecodecs

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS) + 1))
    except (ImportError, OSError, ValueError):
        pass  # not everywhere; the time is bounded by the parent
    name, options = _DECODERS[sys.argv[1]]
    try:
        found = getattr(imagecodecs, name)(sys.stdin.buffer.read(), **options)
    except Exception as error:  # each of its decoders has errors of its own
        sys.stdout.write(" ".join(str(error).split()) or type(error).__name__)
        return 3
    kept = io.BytesIO()  # numpy would seek in a pipe
    np.save(kept, found, allow_pickle=False)
    sys.stdout.buffer.write(kept.getbuffer())
    return 0
