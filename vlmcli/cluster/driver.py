"""The process that has Ray: rows of names become a Ray Dataset, and what its actors reply goes back to the command.

Run with the cluster's address as its argument, and messages on stdin and stdout. It ends, and with it the cluster that
it has made or its part in another one, when its stdin does: the command is done, was stopped, or is dead. Ray's own
words go to stderr, where the command reads them.

Blocks are small, and each is one object when it comes back: an actor that dies takes some groups with it, which Ray
gives to another one, and none comes twice.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import ray
import ray.data
import ray.exceptions

from vlmcli import __version__
from vlmcli.cluster import joining, model
from vlmcli.cluster.actor import GROUP, REPLY, Actor
from vlmcli.cluster.messages import Ask, Asked, Broken, Open, Ready
from vlmcli.cluster.nodes import Node, Share, share_of
from vlmcli.errors import ClusterError, VlmError
from vlmcli.settings import variables

BLOCK = 8
"""Groups that an actor takes at a time."""
BLOCKS = 20_000
"""Blocks of a data set at most: where there are more groups, the blocks are larger."""
CALLS = 2
"""Blocks that an actor works at at once, so that its engine need not wait for the next."""
QUEUED = 4
"""Blocks that an actor has, those it works at among them."""
STORE = 256 << 20
"""Bytes of the object store of a cluster that is made here: it has names and answers only."""


class _Link:
    """The command, as this process knows it: what comes from it, and what goes to it."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever a library prints is no message
        self._in = sys.stdin.buffer

    def receive(self) -> Any:
        """The next message; None when there will be none."""
        try:
            return pickle.load(self._in)
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def again(self, environment: Mapping[str, str]) -> NoReturn:
        """Begin this process again, before anything was received."""
        os.dup2(self._out.fileno(), 1)
        os.execve(sys.executable, sys.orig_argv, dict(environment))

    def send(self, *messages: bytes) -> None:
        """Send pickled messages."""
        for one in messages:
            self._out.write(one)
        self._out.flush()


def main() -> None:
    """Do what the command says, until it says no more."""
    link = _Link()
    try:
        address = joining.checked(sys.argv[1], variables(), link.again)
    except VlmError as error:
        link.send(pickle.dumps(Broken(error)))
        return
    opening = link.receive()
    if opening is None:
        return
    asks: list[Ask] = []
    came = threading.Condition()

    def listen() -> None:
        while (message := link.receive()) is not None:
            with came:
                asks.append(message)
                came.notify()
        leave()

    threading.Thread(target=listen, daemon=True).start()
    try:
        share, shipped = _open(address, opening, link)
        while True:
            with came:
                came.wait_for(lambda: bool(asks))
                ask = asks.pop(0)
            _ask(ask, opening, share, shipped, link)
            link.send(pickle.dumps(Asked()))
    except Exception as error:
        with suppress(OSError):
            link.send(pickle.dumps(Broken(_told(error))))
    leave()


def leave() -> None:
    """End this process and its part in the cluster, whatever it is at."""
    threading.Timer(20.0, os._exit, (1,)).start()
    with suppress(Exception):
        ray.shutdown()
    os._exit(0)


def _open(address: str, opening: Open, link: _Link) -> tuple[Share, Sequence[Sequence[Any]]]:
    """Join or make the cluster, look at its nodes, and put the model into its store, if it is to be shipped."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == joining.LOCAL:
        own = {"address": joining.LOCAL, "include_dashboard": False, "object_store_memory": STORE}
        with suppress(Exception):  # on a busy machine Ray's own patience may be too short
            ray.init(**own, **quiet)
        if not ray.is_initialized():
            ray.init(**own, **quiet)
    else:
        ray.init(address=address, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = None  # what comes of a block is one block, and comes whole or not at all
    nodes = _nodes()
    share = share_of(nodes, opening.actors)
    shipped: Sequence[Sequence[Any]] = ()
    if opening.ship:
        files = opening.plan.files
        shipped = [[ray.put(piece) for piece in model.pieces(path)] for path in (files.model, files.projector)]
    link.send(pickle.dumps(Ready(len(nodes), share.actors, str(share))))
    return share, shipped


def _nodes() -> list[Node]:
    """The nodes of the cluster. Raises ClusterError for one that has another vlm, or none."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    found, looks = [], []
    look = ray.remote(num_cpus=0, max_retries=0)(_version)
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            found.append(Node(node["NodeManagerAddress"], has.get("CPU", 0.0), has.get("GPU", 0.0)))
            looks.append(look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)))
    for node, version in zip(found, [one.remote() for one in looks], strict=True):
        try:
            there = ray.get(version)
        except (ray.exceptions.RayError, ImportError):
            raise ClusterError(
                f"the node {node.name} of the Ray cluster cannot import vlmcli",
                f"install it there: pip install 'vlmcli[ray]=={__version__}'",
            ) from None
        if there != __version__:
            raise ClusterError(
                f"the node {node.name} of the Ray cluster has vlm {there}, and this is {__version__}",
                "install the same version everywhere",
            )
    return found


def _version() -> str:
    import vlmcli

    return vlmcli.__version__


def _ask(ask: Ask, opening: Open, share: Share, shipped: Sequence[Sequence[Any]], link: _Link) -> None:
    """Let the actors ask about groups, and send what they reply as it comes."""
    count = len(ask.groups)
    blocks = max(min(count, share.actors * CALLS), min(-(-count // BLOCK), BLOCKS))  # few groups: each its own block
    rows = ray.data.from_items([{GROUP: one} for one in ask.groups], override_num_blocks=blocks)
    replies = rows.map_batches(
        Actor,
        batch_size=None,
        batch_format="numpy",
        fn_constructor_args=(opening.plan, share.threads, shipped),
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=share.actors,
            initial_size=share.actors,
            max_tasks_in_flight_per_actor=QUEUED,
            max_concurrent_calls_per_actor=CALLS,
            enable_true_multi_threading=True,
        ),
        num_cpus=share.cores,
        num_gpus=share.gpus or None,
    )
    for batch in replies.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
        link.send(*batch[REPLY])


def _told(error: Exception) -> VlmError:
    """What has gone wrong, for a person."""
    if isinstance(error, VlmError):
        return error
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines() if line.strip()]
    said = lines[-1] if lines else type(error).__name__  # the last line of a traceback, where there is one
    return ClusterError(f"the run on the Ray cluster failed ({said[:300]})", "see what Ray says: add -v")
