"""How a model is put onto this machine, and why: context, threads, GPU layers.

`fit` is arithmetic over values; `this_machine` reads what the operating system says.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vlmcli.gguf import Header
from vlmcli.values import Device, Fit, Machine

CTX = 8192  # cells, unless the model was trained for fewer or memory is short
CTX_FLOOR = 2048
KV_SHARE = 0.25  # of free memory that the KV cache may take unasked
N_PARALLEL = 8


def cell_bytes(header: Header) -> int:
    """Bytes of one KV cache cell over all layers, in F16: keys and values of every KV head."""
    heads, width = header.number("attention.head_count", 1), header.number("embedding_length")
    head_dim = header.number("attention.key_length") or width // max(1, heads)
    value_dim = header.number("attention.value_length") or head_dim
    per_layer = header.numbers("attention.head_count_kv") or [heads]
    kv_heads = sum(per_layer) if len(per_layer) > 1 else per_layer[0] * header.number("block_count")
    return kv_heads * (head_dim + value_dim) * 2


def fit(header: Header, machine: Machine, ctx: int = 0, threads: int = 0, gpu_layers: int = -1) -> Fit:
    """Choose for a language model with this header; zeros (and -1) leave the choice open."""
    trained = header.number("context_length", CTX)
    reasons = []
    n_ctx = ctx
    if not n_ctx:
        n_ctx = min(CTX, trained)
        reasons.append(f"context {n_ctx} of {trained}")
        affordable = int(machine.memory_free * KV_SHARE) // max(1, cell_bytes(header))
        if machine.memory_free and affordable < n_ctx:
            n_ctx = max(min(CTX_FLOOR, trained), affordable // 256 * 256)
            reasons[-1] = f"context {n_ctx}, for {machine.memory_free >> 20} MiB of free memory"
    n_threads = threads or machine.cores
    reasons.append(f"{n_threads} thread{'s' * (n_threads > 1)}")
    gpus = [device for device in machine.devices if device.kind in ("gpu", "igpu")]
    if gpus:
        reasons.append(f"{'all' if gpu_layers < 0 else gpu_layers} layers on {gpus[0].name}")
    return Fit(
        n_ctx=n_ctx,
        n_parallel=N_PARALLEL,
        n_gpu_layers=gpu_layers if gpus else 0,
        projector_on_gpu=bool(gpus) and gpu_layers != 0,
        threads=n_threads,
        reason=", ".join(reasons),
    )


def this_machine(devices: Sequence[Device] = ()) -> Machine:
    """What this process may use."""
    return Machine(_cores(), _free_memory(), tuple(devices))


def _cores() -> int:
    """Physical cores within the process's affinity and its container's quota; at least 1.

    Two threads on one core only wait for each other in matrix products.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = os.sched_getaffinity(0)
        siblings = set()
        for cpu in cpus:
            path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
            siblings.add(_read(path) or str(cpu))
        cores = len(siblings)
    else:
        cores = os.cpu_count() or 1
        if sys.platform == "win32" and cores > 2:
            cores //= (
                2  # no count of physical cores in the standard library; most such machines have two threads a core
            )
    quota = _read(Path("/sys/fs/cgroup/cpu.max")).split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]):
        cores = min(cores, math.ceil(int(quota[0]) / int(quota[1])))
    return max(1, cores)


def _free_memory() -> int:
    """Bytes that can be had without swapping; 0 when unknown."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
