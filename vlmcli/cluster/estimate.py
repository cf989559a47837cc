"""How long a run takes on a cluster, of a sample that its actors do; the answers go nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from vlmcli.amounts import about, duration, pace, size
from vlmcli.batch.course import Job, count
from vlmcli.cluster.cluster import Cluster
from vlmcli.cluster.messages import Reply
from vlmcli.cluster.spread import groups_of, tasks_of
from vlmcli.errors import VlmError

EACH = 6
"""Groups of pictures that each actor does, on the average."""


def estimate(cluster: Cluster, jobs: Sequence[Job], tell: Callable[[str], None] = lambda _: None) -> str:
    """Pictures a minute, how long all of them take, and how many bytes are read, in words.

    The sample is of pictures from all over the run. Raises VlmError where the cluster cannot be used.
    """
    groups, ready = list(groups_of(enumerate(jobs), tasks_of(jobs))), cluster.opened()
    wanted = min(len(groups), EACH * ready.actors)
    chosen = [groups[at * len(groups) // wanted] for at in range(wanted)]
    began = time.monotonic()
    replies = [reply for reply in cluster.ask(chosen) if reply is not None]
    tell(f"the sample took {duration(time.monotonic() - began)}")
    read = [reply for reply in replies if not all(isinstance(one, VlmError) for _, one in reply.outcomes)]
    if not read:
        return "time unknown, as none of the sample's pictures can be read"
    rate = _per_second(read)
    pictures = sum(len(group.pictures) for group in groups)
    known = [one.size for reply in replies for one in reply.fingerprints if one.size]
    said = f"{ready} on {count(ready.nodes, 'node')}: about {pace(rate * pictures / len(groups), 'pictures')}"
    said += f", {about(len(groups) / rate)} after the model is loaded"
    if known:
        said += f"; about {size(round(sum(known) / len(known) * pictures))} to be read"
    return said


def _per_second(replies: Sequence[Reply]) -> float:
    """Groups a second of all actors together: of each, what it did from its first block's beginning to its last's end.

    Those that have had none are not counted.
    """
    done: dict[str, list[Reply]] = {}
    for reply in replies:
        done.setdefault(reply.actor, []).append(reply)
    return sum(
        len(own) / max(1e-6, max(one.until for one in own) - min(one.since for one in own)) for own in done.values()
    )
