"""Where a model goes on this machine: its headers and the machine's devices, through `fit`.

It asks llama.cpp which devices there are, and loads no model. Where llama.cpp cannot be loaded, `trouble` says why, and
what can be said without it still is.
"""

from __future__ import annotations

import importlib
from dataclasses import replace

from vlmcli.errors import NativeError
from vlmcli.machine import fit
from vlmcli.models import gguf
from vlmcli.placement import Fit, Machine, Wanted
from vlmcli.values import ModelFiles


def trouble() -> NativeError | None:
    """Why the engine cannot be used here, and the command that mends it; None where it can."""
    try:
        importlib.import_module("vlmcli.engine.native")
    except NativeError as error:
        return error
    return None


def require() -> None:
    """Raise NativeError where the engine cannot be used."""
    if (error := trouble()) is not None:
        raise error


def place(files: ModelFiles, wanted: Wanted) -> Fit:
    """How the model is put onto this machine. Raises ModelError when it cannot fit, with what would.

    Raises NativeError where llama.cpp cannot be loaded.
    """
    require()
    machine = this_machine()
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    chosen = fit.fit(model, machine, wanted.ctx, wanted.threads, wanted.gpu_layers, projector, wanted.requests)
    fit.check_memory(model, projector, machine, chosen)
    return replace(chosen, choices=wanted.choices)


def this_machine() -> Machine:
    """What this process may use, with the devices that llama.cpp sees; without any where it cannot be loaded."""
    if trouble() is not None:
        return fit.this_machine()
    from vlmcli.engine import native

    return fit.this_machine(native.devices(), native.repacked_types(), native.slower_types())


def prefers_bf16() -> bool:
    """Whether a projector in bfloat16 is the best here: no GPU, and a CPU that multiplies it, in a build that does."""
    if trouble() is not None:
        return False
    from vlmcli.engine import native

    gpu = any(device.kind in ("gpu", "igpu") for device in native.devices())
    return not gpu and "AVX512_BF16" in native.versions()["features"]


def description() -> str:
    """What this machine's speed depends on, in a line that changes where the speed would.

    Raises NativeError where llama.cpp cannot be loaded.
    """
    from vlmcli.engine import native

    machine, versions = this_machine(), native.versions()
    devices = ", ".join(f"{device.name} {device.description}" for device in machine.devices)
    return f"llama.cpp {versions['llama.cpp']}, {versions['features']}, {machine.cores} threads, {devices}"
