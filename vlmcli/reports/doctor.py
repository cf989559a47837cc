"""What is wrong with an installation, and the commands that fix it: checks that give findings.

None of them may raise.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import vlmcli
from vlmcli import installing, typed
from vlmcli.amounts import size
from vlmcli.errors import VlmError
from vlmcli.machine import fit
from vlmcli.models import disk, hub_cache
from vlmcli.placement import Caching, Device
from vlmcli.reports import kept

_DRIVER = {
    "CUDA": "check the driver: nvidia-smi",
    "Vulkan": "check the driver: vulkaninfo --summary",
    "Metal": "check that this is not a virtual machine: system_profiler SPDisplaysDataType",
}
"""What to try where a build that fits the graphics does not find them."""
PYTHON = (3, 10)
LITTLE = 5_000_000_000
"""Bytes of disk that are too few for a model."""

# What a CPU can do, as its operating system calls it, and as llama.cpp does.
_FEATURES = {
    "avx": "AVX", "avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX512", "avx512_vnni": "AVX512_VNNI",
    "avx_vnni": "AVX_VNNI", "avx512_bf16": "AVX512_BF16", "asimddp": "DOTPROD", "i8mm": "MATMUL_INT8", "sve": "SVE",
}  # fmt: skip
_BUILDS = {"CUDA": "CUDA", "Vulkan": "Vulkan", "Metal": "Metal", "MTL": "Metal", "ROCm": "ROCm", "SYCL": "SYCL"}
"""Kinds of builds that compute on graphics, by llama.cpp's names of their backends."""


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
    """What llama.cpp says of itself: `versions()`, `devices()`, `miscompiler()` and `backends()` of `engine.native`."""

    versions: dict[str, str]
    devices: tuple[Device, ...]
    miscompiler: str = ""
    backends: tuple[str, ...] = ("CPU",)

    @property
    def build(self) -> str:
        """The kind of build in a word: "CUDA", "Vulkan", "Metal"; "CPU" for one without graphics."""
        return " and ".join(dict.fromkeys(_BUILDS[one] for one in self.backends if one in _BUILDS)) or "CPU"


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
        results: where results are kept for later commands, and what has turned that off; empty for nothing.
    """

    native: Callable[[], Native]
    cache: Callable[[], Path]
    state: Path
    reach: Callable[[], str]
    offline: Callable[[], bool]
    default: Callable[[], tuple[str, str]]
    answer: Callable[[], Finding]
    results: Callable[[], tuple[Caching, str]]


def checks(probes: Probes) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield from _guarded("python", lambda: [_python()])
    native: list[Native] = []

    def load() -> list[Finding]:
        native.append(probes.native())
        return [_versions(native[0])]

    yield from _guarded("llama.cpp", load, f"install it: {installing.command(replace=True)}")
    if native:
        yield from _guarded("cpu", lambda: [_cpu(native[0], _flags())])
        yield from _guarded("gpu", lambda: _gpu(native[0], installing.graphics()))
    yield from _guarded("memory", lambda: [_memory()])
    yield from _guarded("disk", lambda: _disk(probes.cache(), probes.state))
    yield from _guarded("cache", lambda: _cache(probes.cache()))
    yield from _guarded("results", lambda: _results(*probes.results()))
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
        return Finding("python", False, where, f"install Python {'.'.join(map(str, PYTHON))} or newer")
    return Finding("python", True, where)


def _versions(native: Native) -> Finding:
    names = ("llama-cpp-python", "pillow", "huggingface-hub")
    others = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    what = f"{native.versions['llama.cpp']}, {native.build} build; vlm {vlmcli.__version__}, {others}"
    return Finding("llama.cpp", True, what)


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
    used = ", ".join(name for name in _FEATURES.values() if name in built) or "no extensions"
    what = f"{cores} core{'s' * (cores > 1)}; llama.cpp uses {used}"
    if native.miscompiler:
        what += f", but not AMX, for which {native.miscompiler} compiled wrong code; this is slower"
        without = installing.source(flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16")
        return Finding("cpu", None, what, f"build it with a newer compiler, or without AMX: {without}")
    unused = [name for flag, name in _FEATURES.items() if flag in flags and name not in built]
    if unused:
        mend = f"build it on this machine, which needs a C++ compiler: {installing.source()}"
        return Finding("cpu", None, f"{what}, and could also use {', '.join(unused)}", mend)
    return Finding("cpu", True, what)


def _gpu(native: Native, seen: installing.Graphics | None) -> list[Finding]:
    """The graphics that llama.cpp uses; else those that the operating system `seen` here, and how to use them."""
    found = [device for device in native.devices if device.kind in ("gpu", "igpu")]
    if found:
        return [
            Finding(
                "gpu", True, f"{one.name}: {one.description}, {size(one.memory_free)} free of {size(one.memory_total)}"
            )
            for one in found
        ]
    if seen is None:
        return [Finding("gpu", True, "none found; models run on the CPU")]
    if seen.backend == native.build:
        what = f"{seen.name} found, but llama.cpp cannot use it, though it is built with {native.build}"
        return [Finding("gpu", None, what, _DRIVER[seen.backend])]
    what = f"{seen.name} found, but not used: the installed llama-cpp-python is a {native.build} build"
    mend = f"install the {seen.backend} build: {installing.command(installing.build_for(seen), replace=True)}"
    return [Finding("gpu", None, what, mend)]


def _memory() -> Finding:
    free, total = fit.memory()
    if not total:
        return Finding("memory", True, "unknown on this system")
    what = f"{size(free)} free of {size(total)}" if free else size(total)
    if 0 < free < 1_500_000_000:
        return Finding("memory", None, what, "close other programs, or use a smaller model; vlm models lists some")
    return Finding("memory", True, what)


def _disk(cache: Path, state: Path) -> list[Finding]:
    findings = []
    free = disk.free(cache)
    mend = "free some space, or set HF_HOME to a folder on another disk" if free < LITTLE else ""
    findings.append(Finding("disk", None if mend else True, f"{size(free)} free for models, in {cache}", mend))
    for folder, name in ((cache, "HF_HOME"), (state, "XDG_STATE_HOME")):
        if folder.exists() and not folder.is_dir():
            findings.append(
                Finding("disk", False, f"{folder} is a file, not a folder", f"move it away, or set {name} to a folder")
            )
        elif not os.access(disk.existing(folder), os.W_OK):
            findings.append(
                Finding(
                    "disk",
                    False,
                    f"{folder} cannot be written to",
                    f"change its permissions, or set {name} to another folder",
                )
            )
    return findings


def _cache(cache: Path) -> list[Finding]:
    whole, parts = hub_cache.held(cache)
    findings = [Finding("cache", True, f"{size(whole)} of models; vlm ls lists them")]
    if parts:
        mend = "vlm pull MODEL continues them; vlm rm --unfinished removes them"
        findings.append(Finding("cache", None, f"{size(parts)} of unfinished downloads", mend))
    return findings


def _results(caching: Caching, off: str) -> list[Finding]:
    """How much is kept for later commands, and what keeps it from being kept, or from being private."""
    folder, mend = caching.folder, "set VLM_CACHE_DIR to another folder"
    found = kept.kinds(caching)
    used, most = sum(one.entries.kept().size for one in found), sum(one.limit or 0 for one in found)
    what = f"{size(used)} kept for later commands, at most {size(most)}, in {folder}; vlm cache lists them"
    findings = [Finding("results", None if off else True, f"{what}; turned off now ({off})" if off else what)]
    if not off and not os.access(disk.existing(folder), os.W_OK):
        findings.append(
            Finding("results", None, f"{folder} cannot be written to", f"change its permissions, or {mend}")
        )
    for one in found:
        path = one.entries.folder
        if wrong := kept.problem(path):
            findings.append(Finding("results", None, f"{path} {wrong}; nothing is kept there", f"remove it, or {mend}"))
        elif kept.is_open(path):
            fix = f"make it private: {typed.command(('chmod', '700', str(path)))}"
            findings.append(Finding("results", None, f"{path} can be read by other users", fix))
    return findings


def _hub(probes: Probes) -> Finding:
    if probes.offline():
        return Finding("hub", True, "offline, because HF_HUB_OFFLINE or VLM_OFFLINE is set; nothing is downloaded")
    try:
        return Finding("hub", True, f"{probes.reach()} answers")
    except VlmError as error:
        what = re.sub(r"^https?://(\S+): (?=\1 )", "", error.message)  # the same name once more
        return Finding("hub", None, f"{what}; downloaded models work without it", error.hint)


def _default(probes: Probes) -> Finding:
    name, where = probes.default()
    if not name:
        return Finding(
            "settings",
            None,
            "no default model",
            "vlm models lists some; vlm pull MODEL downloads one and makes it the default",
        )
    return Finding("settings", True, f"the default model is {name} ({where})")
