"""What is wrong with an installation, and how to mend it: checks that give findings, none of which may raise."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import vlmcli
from vlmcli.amounts import size
from vlmcli.errors import VlmError
from vlmcli.machine import fit
from vlmcli.models import disk, hub_cache
from vlmcli.values import Device

PYTHON = (3, 10)
LITTLE = 5_000_000_000
"""Bytes of disk that are too few for a model."""

# What a CPU can do, as its operating system calls it, and as llama.cpp does.
_FEATURES = {
    "avx": "AVX", "avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX512", "avx512_vnni": "AVX512_VNNI",
    "avx_vnni": "AVX_VNNI", "avx512_bf16": "AVX512_BF16", "asimddp": "DOTPROD", "i8mm": "MATMUL_INT8", "sve": "SVE",
}  # fmt: skip
_INSTALL = "pip install --force-reinstall --no-cache-dir"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: in a word.
        ok: False where something is broken; None for a remark about what could be better.
        what: was found.
        mend: what to do; empty where there is nothing to do.
    """

    area: str
    ok: bool | None
    what: str
    mend: str = ""


@dataclass(frozen=True)
class Native:
    """What llama.cpp says of itself: `native.versions()`, `native.devices()` and `native.miscompiler()`."""

    versions: dict[str, str]
    devices: tuple[Device, ...]
    miscompiler: str = ""


@dataclass(frozen=True)
class Probes:
    """What is looked at.

    Attributes:
        native: loads the library.
        cache: returns the Hub's cache.
        state: the folder of what a command leaves for the next one.
        reach: asks the Hub for anything; returns its address.
        offline: says whether the Hub shall not be asked.
        default: name of the default model and where it is set; raises an error that a person can be told.
        answer: asks that model about a drawn scene; returns a finding.
    """

    native: Callable[[], Native]
    cache: Callable[[], Path]
    state: Path
    reach: Callable[[], str]
    offline: Callable[[], bool]
    default: Callable[[], tuple[str, str]]
    answer: Callable[[], Finding]


def checks(probes: Probes) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield from _guarded("python", lambda: [_python()])
    native: list[Native] = []

    def load() -> list[Finding]:
        native.append(probes.native())
        return [_versions(native[0])]

    yield from _guarded("llama.cpp", load, f"{_INSTALL} {_bindings()}")
    if native:
        yield from _guarded("cpu", lambda: [_cpu(native[0], _flags())])
        yield from _guarded("gpu", lambda: _gpu(native[0]))
    yield from _guarded("memory", lambda: [_memory()])
    yield from _guarded("disk", lambda: _disk(probes.cache(), probes.state))
    yield from _guarded("cache", lambda: _cache(probes.cache()))
    yield from _guarded("hub", lambda: [_hub(probes)])
    yield from _guarded("settings", lambda: [_default(probes)])
    if native:
        yield from _guarded("model", lambda: [probes.answer()])


def _guarded(area: str, check: Callable[[], list[Finding]], mend: str = "") -> list[Finding]:
    """What a check finds; that it failed, if it did."""
    try:
        return check()
    except VlmError as error:
        return [Finding(area, False, error.message, error.hint or mend)]
    except (Exception, SystemExit) as error:
        return [
            Finding(area, False, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", mend)
        ]


def _python() -> Finding:
    where = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < PYTHON:
        return Finding("python", False, where, f"Python {'.'.join(map(str, PYTHON))} or newer is needed")
    return Finding("python", True, where)


def _versions(native: Native) -> Finding:
    names = ("llama-cpp-python", "pillow", "huggingface-hub")
    others = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return Finding("llama.cpp", True, f"{native.versions['llama.cpp']}; vlm {vlmcli.__version__}, {others}")


def _bindings() -> str:
    """What pip installs of llama-cpp-python for this release."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for wanted in importlib.metadata.requires("vlmcli") or ():
            if wanted.startswith("llama-cpp-python"):
                return wanted
    return "llama-cpp-python"


def _flags() -> frozenset[str]:
    """What this CPU can do, as Linux tells; nothing elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def _cpu(native: Native, flags: frozenset[str]) -> Finding:
    built = set(native.versions["features"].replace(":", "|").replace(" ", "").split("|"))
    cores = fit.this_machine().cores
    used = ", ".join(name for name in _FEATURES.values() if name in built) or "none of its extensions"
    what = f"{cores} core{'s' * (cores > 1)}; llama.cpp uses {used}"
    if native.miscompiler:
        what += f"; not AMX, whose code {native.miscompiler} got wrong, nor weights in an order of their own"
        without = 'export CFLAGS="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"; CXXFLAGS="$CFLAGS"'
        mend = f"build it with a newer compiler, or without AMX: {without} {_INSTALL} {_bindings()}"
        return Finding("cpu", None, what, mend)
    unused = [name for flag, name in _FEATURES.items() if flag in flags and name not in built]
    if unused:
        mend = f"build it here: {_INSTALL} --no-binary llama-cpp-python {_bindings()}"
        return Finding("cpu", None, f"{what}; it could use {', '.join(unused)}", mend)
    return Finding("cpu", True, what)


def _gpu(native: Native) -> list[Finding]:
    found = [device for device in native.devices if device.kind in ("gpu", "igpu")]
    if found:
        return [
            Finding(
                "gpu", True, f"{one.name}: {one.description}, {size(one.memory_free)} free of {size(one.memory_total)}"
            )
            for one in found
        ]
    nvidia = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if nvidia or any(Path("/dev/dri").glob("renderD*")):
        what, backend = ("an NVIDIA driver", "CUDA") if nvidia else ("a graphics device", "VULKAN")
        return [
            Finding(
                "gpu", None, f"{what} is here, and llama.cpp was built without {backend}, or cannot use it",
                f'CMAKE_ARGS="-DGGML_{backend}=on" {_INSTALL} {_bindings()}',
            )
        ]  # fmt: skip
    return [Finding("gpu", True, "none; models run on the CPU")]


def _memory() -> Finding:
    free, total = fit.memory()
    if not total:
        return Finding("memory", True, "not known on this system")
    what = f"{size(free)} free of {size(total)}" if free else size(total)
    if 0 < free < 1_500_000_000:
        return Finding("memory", None, what, "little is free: close other programs, or take a small model (vlm models)")
    return Finding("memory", True, what)


def _disk(cache: Path, state: Path) -> list[Finding]:
    findings = []
    free = disk.free(cache)
    mend = "make room, or set HF_HOME to a folder on another disk" if free < LITTLE else ""
    findings.append(Finding("disk", None if mend else True, f"{size(free)} free for models, in {cache}", mend))
    for folder, name in ((cache, "HF_HOME"), (state, "XDG_STATE_HOME")):
        if folder.exists() and not folder.is_dir():
            findings.append(
                Finding("disk", False, f"{folder} is a file, and should be a folder", f"move it, or set {name}")
            )
        elif not os.access(disk.existing(folder), os.W_OK):
            findings.append(
                Finding("disk", False, f"{folder} cannot be written", f"mend its permissions, or set {name}")
            )
    return findings


def _cache(cache: Path) -> list[Finding]:
    whole, parts = hub_cache.held(cache)
    findings = [Finding("cache", True, f"{size(whole)} of models; vlm ls lists those it can use")]
    if parts:
        mend = "vlm pull goes on with them, vlm rm --unfinished frees the disk"
        findings.append(Finding("cache", None, f"{size(parts)} of downloads that were not finished", mend))
    return findings


def _hub(probes: Probes) -> Finding:
    if probes.offline():
        return Finding("hub", True, "offline: HF_HUB_OFFLINE is set, and nothing is downloaded")
    try:
        return Finding("hub", True, f"{probes.reach()} answers")
    except VlmError as error:
        return Finding("hub", None, f"{error.message}; asking goes on without it", error.hint)


def _default(probes: Probes) -> Finding:
    name, where = probes.default()
    if not name:
        return Finding("settings", None, "no default model", "vlm models says what suits; vlm pull NAME brings it")
    return Finding("settings", True, f"the default model is {name} ({where})")
