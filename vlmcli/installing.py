"""The commands that install the engine: llama-cpp-python, as ready-made wheels or built from its source.

The wheels are on an index of their author's own, one for each kind of build. Which of them is right for a machine is
decided here from what is known of its graphics; `reports.doctor` and the engine's own error both show the command.
Nothing is run, and nothing is asked of a network.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VERSION = "0.3.36"
"""The release of llama-cpp-python whose structures this package was written for."""
PACKAGE = f"llama-cpp-python=={VERSION}"
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"
"""The author's index of ready-made wheels; each build has a folder below it."""

_CUDA_WHEELS = ((11, 8), (12, 1), (12, 2), (12, 3), (12, 4), (12, 5), (13, 0), (13, 2))
# The first driver of each CUDA release; NVIDIA, "CUDA Toolkit and Corresponding Driver Versions".
_DRIVERS = (
    (595, (13, 2)), (580, (13, 0)), (555, (12, 5)), (550, (12, 4)), (545, (12, 3)), (535, (12, 2)), (530, (12, 1)),
    (450, (11, 8)),
)  # fmt: skip
_USUAL_CUDA = (12, 4)
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
"""Makers of graphics that llama.cpp can compute on, by their PCI number. A virtual machine's display has another."""

Backend = Literal["CUDA", "Metal", "Vulkan"]


@dataclass(frozen=True)
class Graphics:
    """A graphics processor of this machine.

    Attributes:
        name: for a person.
        backend: the kind of build that computes on it.
        driver: the major version of NVIDIA's driver; 0 where it is not known, or the processor is another maker's.
    """

    name: str
    backend: Backend
    driver: int = 0


def graphics(root: Path = Path("/")) -> Graphics | None:
    """The best graphics processor that this process could compute on, as the operating system tells; None for none.

    A driver without a card does not count, nor does the display of a virtual machine.

    Args:
        root: where dev, proc and sys are.
    """
    if sys.platform == "darwin":
        return Graphics("Apple graphics", "Metal") if platform.machine() == "arm64" else None
    if sys.platform == "win32":
        return Graphics("an NVIDIA card", "CUDA") if shutil.which("nvidia-smi") else None
    cards = any(re.fullmatch(r"nvidia\d+", path.name) for path in (root / "dev").glob("nvidia*"))
    below_windows = (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib/libcuda.so.1").exists()
    if cards or below_windows:
        names = [_line(path, "Model") for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))]
        version = re.search(r"Kernel Module(?: for \S+)?\s+(\d+)\.", _text(root / "proc/driver/nvidia/version"))
        return Graphics(next(filter(None, names), "an NVIDIA card"), "CUDA", int(version[1]) if version else 0)
    for node in sorted((root / "dev/dri").glob("renderD*")):
        vendor = _VENDORS.get(_text(root / "sys/class/drm" / node.name / "device/vendor"))
        if vendor:
            return Graphics(f"{vendor} graphics", "Vulkan")
    return None


def _text(path: Path) -> str:
    """A file of the operating system's; empty where there is none."""
    with suppress(OSError):
        return path.read_text("utf-8", "replace").strip()
    return ""


def _line(path: Path, name: str) -> str:
    """What such a file says behind a name and a colon; empty where it does not."""
    found = re.search(rf"^{name}:\s*(.+)$", _text(path), re.MULTILINE)
    return found[1].strip() if found else ""


def build_for(found: Graphics | None) -> str:
    """The folder of the index with the wheels for these graphics: "cpu", "metal", "vulkan", "cu124"."""
    if found is None:
        return "cpu"
    if found.backend != "CUDA":
        return found.backend.lower()
    newest = next((cuda for driver, cuda in _DRIVERS if found.driver >= driver), _USUAL_CUDA)
    major, minor = max(cuda for cuda in _CUDA_WHEELS if cuda <= newest) if found.driver else _USUAL_CUDA
    return f"cu{major}{minor}"


def command(build: str = "", *, replace: bool = False) -> str:
    """The command that installs the engine from ready-made wheels, for whatever installed this program.

    Args:
        build: a folder of the index; empty for the one that is right for this machine.
        replace: whether it is installed already, and is to be replaced.
    """
    return _pip(replace, f"--extra-index-url {WHEELS}/{build or build_for(graphics())}")


def source(backend: str = "", flags: str = "") -> str:
    """The command that builds the engine on this machine in place of what is there; it needs a C++ compiler.

    Args:
        backend: "CUDA", "METAL" or "VULKAN", beside the CPU.
        flags: of the compiler, for C and C++.
    """
    before = {"CMAKE_ARGS": f"-DGGML_{backend.upper()}=on"} if backend else {}
    before |= {"CFLAGS": flags, "CXXFLAGS": flags} if flags else {}
    told = " ".join(f'{name}="{value}"' for name, value in before.items())
    return f"{told} {_pip(True, '--no-binary llama-cpp-python')}".strip()


def _pip(replace: bool, more: str) -> str:
    """The command of the program that put this one here, with options of pip's that uv has, too."""
    prefix = Path(sys.prefix)
    again = "--force-reinstall --no-cache-dir --no-deps " if replace else ""
    if (prefix / "uv-receipt.toml").exists():  # uv tool install
        return _uv(replace, more)
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx runpip {_quoted(prefix.name)} install {again}{PACKAGE} {more}"
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return _uv(replace, more)
    return f"{_own_pip()} install {again}{PACKAGE} {more}"


def _uv(replace: bool, more: str) -> str:
    """The same for uv, which looks into one index only, unless it is told to compare them as pip does."""
    again = " --reinstall-package llama-cpp-python --no-cache" if replace else ""
    compare = " --index-strategy unsafe-best-match" if WHEELS in more else ""
    return f"uv pip install --python {_quoted(sys.executable)}{again} {PACKAGE} {more}{compare}"


def _own_pip() -> str:
    """`pip`, where that is this Python's own; else this Python by its path."""
    found = shutil.which("pip")
    if found and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f"{_quoted(sys.executable)} -m pip"


def _quoted(word: str) -> str:
    """A word as this system's shell takes it."""
    return subprocess.list2cmdline([word]) if sys.platform == "win32" else shlex.quote(word)
