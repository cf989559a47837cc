"""Where a model goes on this machine: its headers and the machine's devices, through `fit`."""

from __future__ import annotations

from vlmcli import fit, gguf
from vlmcli.engine import native
from vlmcli.values import Fit, ModelFiles, Wanted


def place(files: ModelFiles, wanted: Wanted) -> Fit:
    """How the model is put here. Raises ModelError when it cannot fit, with what would."""
    machine = fit.this_machine(native.devices())
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    chosen = fit.fit(model, machine, wanted.ctx, wanted.threads, wanted.gpu_layers, projector)
    fit.check_memory(model, projector, machine, chosen)
    return chosen
