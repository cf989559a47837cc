"""The machines of a cluster, and how actors share their cores and GPUs. Pure: Ray tells what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from vlmcli.errors import UsageError


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has, as Ray counts it.

    Attributes:
        name: its address.
        cores: that Ray may give away.
        gpus: likewise.
    """

    name: str
    cores: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Share:
    """What each actor takes.

    Attributes:
        actors: how many there are.
        cores: of each; less than 1 where there are fewer cores than actors.
        gpus: of each, 0 or 1.
    """

    actors: int
    cores: float
    gpus: int = 0

    @property
    def threads(self) -> int:
        """CPU threads of each."""
        return max(1, int(self.cores))

    def __str__(self) -> str:
        cores = f"{self.threads} {'thread' if self.threads == 1 else 'threads'}"
        return f"1 GPU and {cores}" if self.gpus else cores


def share_of(nodes: Sequence[Node], actors: int) -> Share:
    """An even share: one actor a GPU, or one a node; or as many as are wanted.

    Where there are GPUs, each actor gets one, and as many cores as are there for each. Else all actors get the same
    number of cores, the largest with which all of them have a place.

    Args:
        nodes: of the cluster.
        actors: that are wanted; 0 for as many as there are GPUs, or nodes.

    Raises UsageError where there is no core, or there are more actors than GPUs.
    """
    able = [node for node in nodes if node.cores > 0]
    if not able:
        raise UsageError("the Ray cluster has no CPU cores to give away", "start a node with --num-cpus")
    gpus = sum(int(node.gpus) for node in able)
    if gpus:
        if actors > gpus:
            raise UsageError(f"--actors {actors}: the cluster has only {gpus} GPUs", f"use --actors {gpus}")
        fewest = min(node.cores / int(node.gpus) for node in able if int(node.gpus))
        return Share(actors or gpus, _rounded(fewest), 1)
    wanted = actors or len(able)
    most = max(int(node.cores) for node in able)
    for cores in range(most, 0, -1):
        if sum(int(node.cores // cores) for node in able) >= wanted:
            return Share(wanted, cores)
    each = ceil(wanted / sum(int(node.cores) for node in able)) if most else wanted
    return Share(wanted, int(1000 / each) / 1000)


def _rounded(cores: float) -> float:
    return float(int(cores)) if cores >= 1 else int(cores * 1000) / 1000
