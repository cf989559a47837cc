"""A machine, and how a model is put onto it: frozen, without I/O, standard library only.

`machine.fit` makes a `Fit` of a `Machine`, of what is `Wanted`, and of a model's header.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Device:
    """A compute device as llama.cpp names it; memory in bytes."""

    name: str
    description: str
    kind: Literal["cpu", "gpu", "igpu", "accel", "meta"]
    memory_free: int
    memory_total: int


@dataclass(frozen=True)
class Machine:
    """What a model has to fit.

    Attributes:
        cores: physical ones that this process may use.
        memory_free: bytes, 0 when unknown.
        devices: as llama.cpp sees them.
        memory_total: bytes, 0 when unknown.
        repacked: types of tensors, by ggml's number, of which llama.cpp keeps a second copy in its CPU's order.
        slower: those of them that are slower in that order.
    """

    cores: int
    memory_free: int
    devices: tuple[Device, ...] = ()
    memory_total: int = 0
    repacked: frozenset[int] = frozenset()
    slower: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Wanted:
    """What is decided of a model's place; zeros, and -1 layers, leave it open. The numbers are `Fit`'s.

    `requests`: how many there will be at most. `choices`: whether some of them have choices.
    """

    ctx: int = 0
    threads: int = 0
    gpu_layers: int = -1
    requests: int = 0
    choices: bool = False


@dataclass(frozen=True)
class Caching:
    """Where results are kept for later processes, and which.

    Attributes:
        folder: of all of them.
        embeddings: bytes of embeddings at most.
        prefixes: bytes of prompts' beginnings at most.
        seconds: a prompt's beginning is kept if computing it has taken as long.
        prefix: bytes of one prompt's beginning at most.
    """

    folder: Path
    embeddings: int = 2 * 10**9
    prefixes: int = 4 * 10**9
    seconds: float = 1.0
    prefix: int = 256 * 10**6


@dataclass(frozen=True)
class Fit:
    """How a model is put onto a machine.

    Attributes:
        n_ctx: KV cache cells, shared by all sequences.
        n_parallel: requests that may be under way together.
        n_batch: rows that go into one decode at most.
        n_gpu_layers: layers of the language model on a GPU; -1 for all.
        projector_on_gpu: whether encoder and projector use a GPU if there is one.
        threads: CPU threads for both.
        reason: the choice in words.
        repacked: the machine's, for the types that are; none where there is no memory for a second copy.
        repack: whether weights may be copied at all.
        snug: there will be one request, and the context gets no more cells than that needs.
        choices: whether there are sequences to decode a request's choices in.
    """

    n_ctx: int = 8192
    n_parallel: int = 8
    n_batch: int = 512
    n_gpu_layers: int = -1
    projector_on_gpu: bool = True
    threads: int = 4
    reason: str = ""
    repacked: frozenset[int] = frozenset()
    repack: bool = True
    snug: bool = False
    choices: bool = False

    def sequences(self, can_roll_back: bool) -> int:
        """How many sequences a context gets: more where a prefix is kept by a copy, as a recurrent state must be."""
        return self.n_parallel + 2 if can_roll_back else 2 * self.n_parallel
