"""What a cluster costs beside its engines: actors whose made-up engines only sleep, as scheduling alone is measured.

    python -m vlmcli.bench.cluster --actors 3 --milliseconds 50 --pictures 3000

prints pictures a second, their share of what so many sleepers can do at most, and the memory of the process with Ray
and of Ray's object store on the way. The cluster is a local one, and starting it is not counted.
"""

from __future__ import annotations

import argparse
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

from vlmcli import __version__
from vlmcli.cluster.cluster import Cluster
from vlmcli.cluster.messages import Copy, Group, Open, Plan
from vlmcli.demo import FILES
from vlmcli.pictures.sources import Source
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask
from vlmcli.values import Answer, Done, Event, ModelFiles, Request, Timings, Usage, events_of

STEPS = 10
"""Times that the memory is looked at."""


class Sleeper:
    """A `values.Runner` that sleeps for each request, one after the other, and answers with its number."""

    def __init__(self, seconds: float) -> None:
        self._outbox: SimpleQueue[Event | None] = SimpleQueue()
        self._inbox: SimpleQueue[int] = SimpleQueue()
        self._seconds, self._next = seconds, 0
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        due = time.monotonic()
        while True:
            id = self._inbox.get()
            due = max(due, time.monotonic()) + self._seconds
            time.sleep(max(0.0, due - time.monotonic()))
            self._outbox.put(Done(id, Answer(f"{id}", "stop", Usage(), Timings(), "sleeper")))

    def submit(self, request: Request) -> int:
        """Take a request."""
        request.pictures[0].pixels()
        id, self._next = self._next, self._next + 1
        self._inbox.put(id)
        return id

    def cancel(self, id: int) -> None:
        """Nothing is cancelled here."""

    def events(self) -> Iterator[Event]:
        """All events as they come."""
        return events_of(self._outbox)

    def close(self) -> None:
        """End the events."""
        self._outbox.put(None)


def sleeper(plan: Plan, _files: ModelFiles, _threads: int) -> Sleeper:
    """What an actor asks, whose sleep the plan has as the seconds of its patience's thousandths."""
    return Sleeper(plan.settings.patience / 1000)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measure what a cluster costs beside its engines.")
    parser.add_argument("--actors", type=int, default=3)
    parser.add_argument("--milliseconds", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=3000)
    chosen = parser.parse_args()
    picture = _picture()
    groups = [
        Group(number, (Source(f"{number}.png", picture, expanded=True),), ((number, 0),))
        for number in range(chosen.pictures)
    ]
    settings = Settings(patience=chosen.milliseconds, cache=False)
    plan = Plan(
        FILES, (Copy("", 0), Copy("", 0)), (Ask("?"),), settings, __version__, opens="vlmcli.bench.cluster:sleeper"
    )
    with Cluster("local", Open(chosen.actors, plan)) as cluster:
        cluster.opened()
        _measure(cluster, groups, chosen.actors, chosen.milliseconds / 1000)


def _measure(cluster: Cluster, groups: list[Group], actors: int, seconds: float) -> None:
    seen: set[int] = set()
    twice = 0
    since = until = 0.0
    before = 0
    spans: dict[str, tuple[float, float, int]] = {}
    for reply in cluster.ask(groups):
        if reply is None:
            continue
        twice += reply.number in seen
        seen.add(reply.number)
        first, _, count = spans.get(reply.actor, (reply.since, 0.0, 0))
        spans[reply.actor] = min(first, reply.since), reply.until, count + 1
        until = time.monotonic()
        if len(spans) == actors and not since:  # all of them have begun
            since, before = until, len(seen)
        if len(seen) % max(1, len(groups) // STEPS) == 0:
            print(f"{len(seen):,} of {len(groups):,}: {_memory(cluster.pid)}", flush=True)  # noqa: T201
    rate = (len(seen) - before) / max(1e-9, until - since)
    own = sum(count / (last - first) for first, last, count in spans.values())
    ideal = actors / seconds
    print(  # noqa: T201
        f"{len(seen):,} of {len(groups):,} replied, {twice} twice; {rate:.1f} a second of {ideal:.1f}:"
        f" {100 * rate / ideal:.1f} %; by the actors' own clocks {100 * own / ideal:.1f} %"
    )


def _picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.radial_gradient("L").resize((32, 32)).save(file, "PNG")
    return file.getvalue()


def _memory(pid: int) -> str:
    """The memory of the process with Ray, and of the object store as its raylet has it, in MB."""
    raylets = [one for one in below(pid) if b"raylet/raylet" in _read(one, "cmdline")]
    own, store = _value(pid, "RssAnon"), sum(_value(one, "RssShmem") for one in raylets)
    return f"process with Ray {own / 1000:.0f} MB, object store {store / 1000:.0f} MB"


def below(pid: int) -> list[int]:
    """All processes that a process has started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        fields = _read(int(path.name), "stat").rpartition(b") ")[2].split()
        if len(fields) > 1:
            parents[int(path.name)] = int(fields[1])
    found = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def _value(pid: int, name: str) -> int:
    """A value of a process's status, in kB."""
    lines = _read(pid, "status").decode().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
