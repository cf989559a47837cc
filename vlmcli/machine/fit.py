"""How a model is put onto this machine, and why: context, threads, GPU layers, memory.

`fit`, `needs` and `check_memory` are arithmetic over values; `this_machine` reads what the operating system says. Loads
nothing, and does not ask llama.cpp: its devices are given.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vlmcli.amounts import size
from vlmcli.errors import ModelError
from vlmcli.machine import tiling
from vlmcli.machine.cache import Kept, kept
from vlmcli.models.gguf import Header
from vlmcli.placement import Device, Fit, Machine

CTX = 8192  # cells, unless the model was trained for fewer or memory is short
CTX_FLOOR = 2048
KV_SHARE = 0.25  # of free memory that the KV cache may take unasked
N_PARALLEL = 8
PROCESS = 32 << 20  # bytes of Python, threads and a vocabulary
_LAYER = re.compile(r"blk\.(\d{1,6})\.")
ANY_SIDE = 1024  # pixels of a side where a projector's header names none
SAM_SIDE, SAM_PATCH = 1024, 16  # pixels of the largest picture and of a patch of Segment Anything's encoder
GPU_MARGIN = 256 << 20  # bytes of a GPU to leave alone: a projector that does not fit ends the process


@dataclass(frozen=True)
class Memory:
    """What a pair takes, in bytes, wherever it is.

    Attributes:
        weights: the language model's; on a CPU they are mapped from the file, and only wanted in memory.
        projector: the vision encoder's and the projector's, which are read into memory.
        cache: the KV cache.
        compute: what is between the layers while they run, and the process around them.
        repacked: a second copy of weights, in the order in which this CPU multiplies them fastest.
        gpu: how much of the sum is on GPUs.
        gpu_projector: how much of that is the encoder's, weights and compute.
    """

    weights: int
    projector: int
    cache: int
    compute: int
    gpu: int = 0
    gpu_projector: int = 0
    repacked: int = 0

    @property
    def total(self) -> int:
        """Bytes of all parts, both copies of what is repacked among them."""
        return self.weights + self.projector + self.cache + self.compute + self.repacked

    @property
    def wanted(self) -> int:
        """What has to stay in memory: all but the first copy of what is repacked, which is not read again."""
        return self.total - self.repacked

    def __str__(self) -> str:
        parts = {
            "weights": self.weights, "repacked": self.repacked, "projector": self.projector, "KV cache": self.cache,
            "computing": self.compute,
        }  # fmt: skip
        return ", ".join(f"{name} {size(count)}" for name, count in parts.items() if count)


def needs(model: Header, projector: Header, chosen: Fit) -> Memory:
    """What a language model and a projector take when they are loaded so.

    - weights and projector: their tensors (for a model in parts: those of all parts), without blocks that predict
      further tokens, which are not read.
    - cache: what `kept` says of `n_ctx` cells, and of the sequences where layers are recurrent. llama.cpp is asked for
      whole caches behind sliding windows too.
    - compute, of the language model: n_batch rows x (3 feed-forward + 3 width) floats, and those that layers get
      besides; the attention mask of n_batch x n_ctx F16 numbers (twice behind sliding windows) and 16 bytes a cell
      beside it; and a row of logits for each sequence. What models need that choose whom to attend to is left out: it
      is little beside their weights.
    - repacked: matrices on the CPU of the types in `chosen.repacked`, the embeddings excepted (ggml-cpu, repack.cpp).
    - compute, of the encoder: for a picture of the header's image size, the larger of patches x (feed-forward + 3
      width) floats, and the patches in F16; the pixels of all tiles it is cut to, in F32 and in bytes; 6 bytes for each
      pair of patches where some layers see windows only (clip.cpp, qwen2vl.cpp). Flash attention is taken to be on, as
      it is wherever there is a kernel for it; without, there would be 4 bytes x heads for each pair of patches, as
      there are in Segment Anything's encoder (clip.cpp, deepseekocr.cpp), whose positions are in their scores. A family
      that takes pictures of any size needs more for a larger one.
    - `PROCESS` bytes for the process itself.

    An estimate: of a context that is not filled, most of the mask is never touched; a process's growth and llama.cpp's
    own log say how near it is. Rows of pictures that an engine remembers are not counted.
    """
    rows, cells = chosen.n_batch, max(256, -(-chosen.n_ctx // 256) * 256)
    width, hidden = model.number("embedding_length"), model.number("feed_forward_length")
    windows = model.number("attention.sliding_window", model.architecture == "llama4")  # 8192 where it does not say
    masks = 2 if windows else 1
    besides = max(model.number("n_deepstack_layers"), model.number("deepstack_mapping")) * width
    besides += model.number("block_count") * model.number("embedding_length_per_layer_input")
    embeddings = (tensor.shape for tensor in model.tensors if tensor.name == "token_embd.weight")
    vocabulary = max((shape[-1] for shape in embeddings if shape), default=0)
    sequences = chosen.sequences(can_roll_back=False)
    cache = kept(model).size(cells, sequences)
    words = rows * 4 * (3 * (hidden + width) + besides) + cells * masks * (rows * 2 + 16) + sequences * vocabulary * 4
    eyes = _encoder_compute(projector)
    whole, eye_weights = _weights(model) - _spare(model), _weights(projector)
    gpu = 0
    if chosen.n_gpu_layers:
        share = 1.0 if chosen.n_gpu_layers < 0 else min(1.0, chosen.n_gpu_layers / (model.number("block_count") + 1))
        gpu = _offloaded(model, chosen.n_gpu_layers) + int(cache * share) + words
    gpu_projector = eye_weights + eyes if chosen.projector_on_gpu else 0
    repacked = _repacked(model, chosen)
    return Memory(whole, eye_weights, cache, words + eyes + PROCESS, gpu + gpu_projector, gpu_projector, repacked)


def _repacked(header: Header, chosen: Fit) -> int:
    """Bytes of weights that are kept a second time; none of layers that are on a GPU."""
    on_cpu = 0 if chosen.n_gpu_layers < 0 else header.number("block_count") - chosen.n_gpu_layers
    again = 0
    for tensor in header.tensors:
        layer = _LAYER.match(tensor.name)
        here = int(layer[1]) < on_cpu if layer else chosen.n_gpu_layers == 0 and tensor.name == "output.weight"
        matrix = len(tensor.shape) == 2 and tensor.shape[1] % 8 == 0
        if here and matrix and tensor.kind in chosen.repacked:
            again += tensor.size
    return again


def _spare(header: Header) -> int:
    """Bytes of the last blocks, where they only predict further tokens: llama.cpp leaves them in the file."""
    run = header.number("block_count") - header.number("nextn_predict_layers")
    return sum(
        tensor.size or 0 for tensor in header.tensors if (found := _LAYER.match(tensor.name)) and int(found[1]) >= run
    )


def _weights(header: Header) -> int:
    """Bytes of all tensors, those of a model's other parts among them."""
    whole = max(0, header.file_size - header.data)
    found = re.fullmatch(r"(.*)-00001-of-(\d{5})", header.path.stem)
    if found:
        for number in range(2, int(found[2]) + 1):
            with suppress(OSError):  # a part that is missing is the loader's to name
                whole += (header.path.parent / f"{found[1]}-{number:05d}-of-{found[2]}.gguf").stat().st_size
    return whole


def _offloaded(header: Header, layers: int) -> int:
    """Bytes of weights on GPUs: llama.cpp puts the output and the last layers there first, the embeddings never."""
    whole, blocks = _weights(header), header.number("block_count")
    outside = [tensor for tensor in header.tensors if not tensor.name.startswith("blk.")]
    embeddings = sum(tensor.size or 0 for tensor in outside if tensor.name.startswith("token_embd."))
    tied = not any(tensor.name.startswith("output.") for tensor in outside)  # then they are the output, and are copied
    output = sum(tensor.size or 0 for tensor in outside) - (0 if tied else embeddings)
    block = max(0, whole - sum(tensor.size or 0 for tensor in outside)) / max(1, blocks)
    count = blocks if layers < 0 else min(blocks, layers - 1)
    return output + int(block * count)


def _encoder_compute(projector: Header) -> int:
    """Bytes between the layers of a vision encoder, for a picture of the header's size."""
    side, patch = projector.number("vision.image_size") or ANY_SIDE, max(1, projector.number("vision.patch_size"))
    width, hidden = projector.number("vision.embedding_length"), projector.number("vision.feed_forward_length")
    tiles = tiling.tiles(projector, side, side) or [(side, side)]
    largest = max(across * down for across, down in tiles)
    patches = largest // patch**2
    stages = (patches * 4 * (hidden + 3 * width), largest * 3 * 2)
    window = patches * patches * 6 if projector.number("vision.n_wa_pattern") else 0
    heads = projector.number("vision.sam.head_count")
    if heads:
        window += (heads + 1) * (SAM_SIDE // SAM_PATCH) ** 4 * 4
    return max(stages) + window + sum(across * down for across, down in tiles) * 3 * (4 + 1)


def fit(
    header: Header,
    machine: Machine,
    ctx: int = 0,
    threads: int = 0,
    gpu_layers: int = -1,
    projector: Header | None = None,
    requests: int = 0,
) -> Fit:
    """Choose for a language model with this header; zeros (and -1) leave the choice open.

    There is room for as many requests at once as there will be `requests`: recurrent states are large. For one, the
    context is only as large as it needs, up to what is chosen here.

    llama.cpp ends the process when a projector does not fit into a GPU's memory: where `projector` would not, it is
    kept on the CPU.
    """
    trained = header.number("context_length", CTX)
    reasons = []
    most = min(requests or N_PARALLEL, N_PARALLEL)
    n_ctx, n_parallel = ctx, most
    keeps, room = kept(header), int(machine.memory_free * KV_SHARE)
    while room and n_parallel > 1 and _states(keeps, n_parallel) > room // 2:
        n_parallel //= 2
    if not n_ctx:
        n_ctx = min(CTX, trained)
        reasons.append(f"context {n_ctx} of {trained}")
        affordable = max(0, room - _states(keeps, n_parallel)) // max(1, keeps.cell)
        if machine.memory_free and affordable < n_ctx:
            n_ctx = max(min(CTX_FLOOR, trained), affordable // 256 * 256)
            reasons[-1] = f"context {n_ctx}, because {size(machine.memory_free)} of memory is free"
    if n_parallel < most:
        state = size(_states(keeps, n_parallel))
        reasons.append(f"{n_parallel} at a time, because their recurrent states need {state}")
    n_threads = threads or machine.cores
    reasons.append(f"{n_threads} thread{'s' * (n_threads > 1)}")
    gpus = _gpus(machine)
    if gpus:
        reasons.append(f"{'all' if gpu_layers < 0 else gpu_layers} layers on {gpus[0].name}")
    chosen = Fit(
        n_ctx=n_ctx,
        n_parallel=n_parallel,
        n_batch=max(Fit.n_batch, tiling.bidirectional_rows(projector) if projector else 0),
        n_gpu_layers=gpu_layers if gpus else 0,
        projector_on_gpu=bool(gpus) and gpu_layers != 0,
        threads=n_threads,
        repacked=machine.repacked,
        snug=requests == 1 and not header.turns_by_context,
    )
    again = _repacked(header, chosen)
    if again and _repacked(header, replace(chosen, repacked=machine.repacked & machine.slower)) * 2 > again:
        chosen = replace(chosen, repacked=frozenset(), repack=False)
        reasons.append("weights not repacked, which is faster here")
    if projector is not None:
        chosen = _with_projector(header, projector, machine, chosen, reasons)
    return replace(chosen, reason=", ".join(reasons))


def _with_projector(header: Header, projector: Header, machine: Machine, chosen: Fit, reasons: list[str]) -> Fit:
    """What was chosen, with less where there is no room for the projector, too; says why in `reasons`."""
    gpus = _gpus(machine)
    if chosen.projector_on_gpu and gpus[0].memory_free:
        needed = needs(header, projector, chosen)
        left = gpus[0].memory_free - (needed.gpu - needed.gpu_projector) // len(gpus) - GPU_MARGIN
        if needed.gpu_projector > left:
            chosen = replace(chosen, projector_on_gpu=False)
            reasons.append(
                f"the projector on the CPU, because it needs {size(needed.gpu_projector)} "
                f"and {gpus[0].name} has {size(max(0, left))} left"
            )
    if machine.memory_free and chosen.repacked:
        needed = needs(header, projector, chosen)
        if needed.repacked and needed.total - needed.weights - needed.gpu > machine.memory_free:
            chosen = replace(chosen, repacked=frozenset(), repack=False)
            reasons.append(f"weights not repacked, because {size(needed.repacked)} more does not fit")
    return chosen


def _states(keeps: Kept, n_parallel: int) -> int:
    """Bytes of the recurrent states of so many requests under way."""
    return keeps.state * Fit(n_parallel=n_parallel).sequences(can_roll_back=False)


def step_back(chosen: Fit) -> Fit | None:
    """What to try when a GPU had no room: the projector on the CPU, then everything; None when it was there already."""
    if chosen.projector_on_gpu:
        return replace(chosen, projector_on_gpu=False, reason=f"{chosen.reason}, the projector on the CPU")
    if chosen.n_gpu_layers:
        return replace(chosen, n_gpu_layers=0, reason=f"{chosen.reason}, everything on the CPU")
    return None


def check_memory(model: Header, projector: Header, machine: Machine, chosen: Fit) -> None:
    """Raise ModelError, with what would fit, when a pair cannot be loaded so. What is not known is not judged.

    The weights are mapped from their file, so that they count against all memory there is; what the process writes
    has to be free now. What is on a GPU counts against the free memory of all GPUs.
    """
    wanting = missing(needs(model, projector, chosen), machine)
    if not wanting:
        return

    def fits(other: Fit) -> bool:
        return not missing(needs(model, projector, other), machine)

    raise ModelError(f"{model.path.name} with {projector.path.name} {wanting}", _instead(model, machine, chosen, fits))


def missing(needed: Memory, machine: Machine) -> str:
    """What is wrong with so much memory on this machine; empty when nothing is."""
    gpus = [device.memory_free for device in _gpus(machine)]
    if needed.gpu and all(gpus) and needed.gpu > sum(gpus):
        return f"needs about {size(needed.gpu)} on the GPU, where {size(sum(gpus))} are free"
    here = needed.total - needed.gpu
    if machine.memory_total and needed.wanted - needed.gpu > machine.memory_total:
        where = "" if not needed.gpu else f", {size(needed.gpu)} of them on the GPU"
        return f"needs about {size(needed.total)} ({needed}){where}, and this machine has {size(machine.memory_total)}"
    weights = min(needed.weights, here)  # on GPUs it is mostly weights
    if machine.memory_free and here - weights > machine.memory_free:
        return (
            f"needs about {size(here - weights)} in addition to its weights ({needed}), "
            f"and {size(machine.memory_free)} are free"
        )
    return ""


def _instead(model: Header, machine: Machine, chosen: Fit, fits: Callable[[Fit], bool]) -> str:
    """What to do about a pair that does not fit."""
    cells = _largest(1, chosen.n_ctx // 256, lambda n: fits(replace(chosen, n_ctx=n * 256))) * 256
    if cells >= 1024:
        return f"use a smaller context: --ctx {cells}"
    if _gpus(machine) and chosen.n_gpu_layers:
        blocks = model.number("block_count")
        most = blocks if chosen.n_gpu_layers < 0 else min(blocks, chosen.n_gpu_layers - 1)
        layers = _largest(0, most, lambda n: fits(replace(chosen, n_gpu_layers=n, projector_on_gpu=False)))
        if layers >= 0:
            return f"put fewer layers on the GPU: --gpu-layers {layers}"
    return "use a smaller quantisation (such as a file with Q4 in its name), or a smaller model"


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number from low to high that fits, where all below it do; low - 1 when none does."""
    low -= 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _gpus(machine: Machine) -> list[Device]:
    return [device for device in machine.devices if device.kind in ("gpu", "igpu")]


def this_machine(
    devices: Sequence[Device] = (), repacked: frozenset[int] = frozenset(), slower: frozenset[int] = frozenset()
) -> Machine:
    """What this process may use.

    Args:
        devices: that llama.cpp sees.
        repacked: types of tensors that it keeps a second time.
        slower: those that are slower then.
    """
    free, total = memory()
    return Machine(_cores(), free, tuple(devices), total, repacked, slower)


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


def memory(root: Path = Path("/")) -> tuple[int, int]:
    """Bytes that can be had without swapping, and all there are, within the limits of container and process.

    0 where it is not known; on a system without /proc only the sum is. `root` is where proc and sys are.
    """
    known = dict(re.findall(r"^(MemAvailable|MemTotal): +(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    free, total = (int(known.get(name, 0)) << 10 for name in ("MemAvailable", "MemTotal"))
    if not total and hasattr(os, "sysconf") and root == Path("/"):
        with suppress(OSError, ValueError):  # macOS
            total = max(0, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, used in (*_container_limits(root), *_process_limits(root)):
        total = min(total or limit, limit)
        free = min(free or limit, max(1, limit - used))
    return free, total


def _container_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of each control group that holds this process and has a limit; versions 2 and 1.

    Pages of files that can be dropped are not counted as used. Source: kernel.org, admin-guide/cgroup-v2.rst and
    cgroup-v1/memory.rst.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            limit, used = _read(folder / names[0]), _read(folder / names[1])
            if limit.isdigit() and int(limit) < 1 << 60:  # "max", or nearly 2**63, is none
                dropped = re.search(rf"^{names[2]} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                yield int(limit), int(used or 0) - (int(dropped[1]) if dropped else 0)
            if folder == base:
                break


def _process_limits(root: Path) -> Iterator[tuple[int, int]]:
    """The address space this process may have (`ulimit -v`), and what it has, in bytes."""
    found = re.search(r"^Max address space +(\d+)", _read(root / "proc/self/limits"), re.MULTILINE)
    used = re.search(r"^VmSize:\s+(\d+) kB$", _read(root / "proc/self/status"), re.MULTILINE)
    if found:
        yield int(found[1]), int(used[1]) << 10 if used else 0


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
