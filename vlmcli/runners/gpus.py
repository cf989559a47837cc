"""The GPUs that a user names, and how a process is made to see only one of them.

llama.cpp has no option for that which its encoder of pictures takes, too. But each of its back ends reads a variable of
the environment when it is loaded, as the drivers below it do. What there is, a process of its own finds out, because a
driver reserves memory on each GPU for every process that has asked.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from vlmcli.errors import NativeError, UsageError
from vlmcli.placement import Device
from vlmcli.settings import variables

ALL = "all"
SECONDS = 120.0
"""Seconds in which a process must have found out which GPUs there are."""

_BOOT = "import sys; sys.path[:] = {path!r}; from vlmcli.runners.gpus import main; main()"
_VARIABLES = {
    "CUDA": "CUDA_VISIBLE_DEVICES", "ROCm": "HIP_VISIBLE_DEVICES", "MUSA": "MUSA_VISIBLE_DEVICES",
    "Vulkan": "GGML_VK_VISIBLE_DEVICES", "CANN": "ASCEND_RT_VISIBLE_DEVICES",
}  # fmt: skip
"""By the name that llama.cpp gives a back end's devices: the variable that names those to be seen."""


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: as llama.cpp has it: "CUDA0".
        environment: variables with which a process sees no other one.
        description: as llama.cpp has it; empty where the process need not look whether it sees that one.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


def chosen(text: str) -> list[Gpu]:
    """The GPUs that are meant by "all", or by numbers or names with commas between them.

    Raises UsageError, which lists those there are; NativeError where that cannot be found out.
    """
    return meant(text, listed(), variables())


def meant(text: str, devices: Sequence[Device], environment: Mapping[str, str]) -> list[Gpu]:
    """The same, of these devices, in a process with this environment."""
    gpus = _gpus(devices)
    if not gpus:
        raise UsageError("no GPU found", "vlm doctor says why; leave out --gpus to use the CPU")
    there = ", ".join(f"{number} ({one.name}, {one.description})" for number, one in enumerate(gpus))
    words = [word for word in re.split(r"[\s,]+", text) if word]
    found: dict[str, Device] = {}
    for word in words:
        fitting = [one for number, one in enumerate(gpus) if word.lower() in (str(number), one.name.lower(), ALL)]
        if word.lower() == ALL:
            best = [one for one in gpus if one.kind == "gpu"] or gpus  # not the slow one beside fast ones
            fitting = [one for one in best if _back_end(one) == _back_end(best[0])]  # a GPU may be seen by several
        if not fitting:
            raise UsageError(f"there is no GPU {word}", f"there are {there}")
        found |= {one.name: one for one in fitting}
    if not found:
        raise UsageError("--gpus names no GPU", f"there are {there}")
    return [Gpu(one.name, _environment(one, gpus, environment), one.description) for one in found.values()]


def check(description: str) -> None:
    """In a process that is to see one GPU: raise NativeError where it sees another one, none or several."""
    from vlmcli.engine import native

    seen = _gpus(native.devices())
    if [one.description for one in seen] != [description]:
        names = ", ".join(one.description for one in seen) or "none"
        raise NativeError(f"a process cannot be limited to the GPU {description} (it sees {names})", "leave out --gpus")


@functools.cache
def listed() -> tuple[Device, ...]:
    """All devices that llama.cpp sees, found out once. Raises NativeError where that cannot be found out."""
    command = [sys.executable, "-c", _BOOT.format(path=sys.path)]
    hint = "vlm doctor looks for the cause"
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True, stdin=subprocess.DEVNULL)
        return tuple(Device(**one) for one in json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        raise NativeError(f"llama.cpp has not listed the GPUs within {SECONDS:.0f} s", hint) from None
    except (OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
        raise NativeError(f"llama.cpp cannot list the GPUs ({type(error).__name__})", hint) from None


def main() -> None:
    """Write the devices to stdout, as JSON in the last line."""
    from vlmcli.engine import native

    text = json.dumps([asdict(one) for one in native.devices()])
    sys.stdout.write(f"\n{text}\n")


def _gpus(devices: Sequence[Device]) -> list[Device]:
    return [one for one in devices if one.kind in ("gpu", "igpu")]


def _back_end(device: Device) -> str:
    return device.name.rstrip("0123456789")


def _environment(device: Device, gpus: Sequence[Device], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with which a process sees only this one of the GPUs. Raises UsageError where there are none."""
    kind = _back_end(device)
    variable, others = _VARIABLES.get(kind), [one for one in gpus if one.name != device.name]
    if variable is None:
        if others:
            raise UsageError(f"{device.name} cannot be used alone: llama.cpp has no way to say so", "leave out --gpus")
        return {}
    hidden = {_VARIABLES[_back_end(one)]: "-1" for one in others if _back_end(one) in _VARIABLES}
    if "GGML_VK_VISIBLE_DEVICES" in hidden:
        del hidden["GGML_VK_VISIBLE_DEVICES"]  # which cannot hide all of them
        if kind != "Vulkan":
            raise UsageError(
                f"{device.name} cannot be used alone: this llama.cpp also sees GPUs by Vulkan",
                "install a build with one back end",
            )
    number = int(device.name.removeprefix(kind) or 0)
    seen = [one.strip() for one in environment.get(variable, "").split(",") if one.strip()]
    if kind == "ROCm" and not seen:  # which reads this one, too
        seen = [one.strip() for one in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return {**hidden, variable: seen[number] if number < len(seen) else str(number)}
