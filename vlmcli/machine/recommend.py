"""Which models of the catalogue suit a machine: arithmetic over their shapes, and the machine's measured speed.

Measures nothing and downloads nothing: what the machine is, how fast, and what is here are given.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from vlmcli.machine import cost, fit
from vlmcli.machine.speed import Speed, seconds
from vlmcli.models import catalogue
from vlmcli.models.catalogue import Entry
from vlmcli.placement import Machine

PICTURE = (1024, 768)
"""The picture that is asked about, in pixels."""
PATIENCE = 10.0
"""Seconds for a picture that are bearable when there are many: a thousand pictures in three hours."""
SLOWER = tuple(PATIENCE * times for times in (1, 6, 15, 40, 120))
"""Bounds, in seconds, between which models count as equally slow, so that the better answers come first."""
ASSUMED = Speed(encode=8e10, prefill=6e10, read=6e9, machine="")
"""What a core does in a second (and a machine reads), for the order where the speed was not measured."""


@dataclass(frozen=True)
class Advice:
    """What one model of the catalogue would take, and how well it would do, on one machine.

    Attributes:
        entry: the catalogue's row.
        here: whether it has been downloaded.
        download: bytes, about; 0 where its shape is not known.
        memory: bytes at the context that would be chosen; 0 where its shape is not known.
        fits: "yes", "slow" when its weights are more than the memory that is free and would be read again and again,
            "no"; empty where its shape is not known.
        seconds: for a picture of `PICTURE` and an answer of 64 tokens; None where shape or speed are not known.
        slowness: which of the bounds in `SLOWER` it keeps, from 0; by an assumed speed where none was measured.
        recommended: whether it is the one to begin with.
    """

    entry: Entry
    here: bool
    download: int = 0
    memory: int = 0
    fits: str = ""
    seconds: float | None = None
    slowness: int = 0
    recommended: bool = False


def advise(
    machine: Machine, speed: Speed | None = None, here: Container[str] = (), *, retired: bool = False
) -> tuple[Advice, ...]:
    """The rows of the catalogue for a machine, the recommended one and then the most useful first.

    At most one is recommended. Of the others come those for all uses, then those for reading pages, then the medical
    ones; of each, those that are quick enough, the best of them before the others; then the slower ones, then those
    that do not fit into memory. Retired ones come last, in the same order. The catalogue's first model is recommended
    where it fits, unless a better one is quick enough as well.

    Args:
        machine: what there is.
        speed: as measured; None where it was not.
        here: names of models that have been downloaded.
        retired: whether rows that are retired come as well; none of them is recommended.
    """
    entries = catalogue.entries() if retired else catalogue.listed()
    rows = sorted((_advice(entry, machine, speed, entry.name in here) for entry in entries), key=_order)
    fitting = [one for one in rows if one.fits == "yes" and _may_be_recommended(one.entry)]
    first = next((one for one in fitting if one.entry.first), None)
    least = first.entry.rank if first is not None else 0
    quick = [one for one in fitting if one.seconds is not None and not one.slowness and one.entry.rank > least]
    chosen = next(iter(quick), first) or min(fitting, key=lambda one: (one.slowness, one.memory), default=None)
    rows.sort(key=lambda one: one is not chosen)
    return tuple(replace(one, recommended=one is chosen) for one in rows)


def _may_be_recommended(entry: Entry) -> bool:
    return entry.use == "general" and not entry.accept and not entry.retired and entry.commercial


def _advice(entry: Entry, machine: Machine, speed: Speed | None, here: bool) -> Advice:
    headers = catalogue.headers(entry)
    if headers is None:
        return Advice(entry, here)
    model, projector = headers
    chosen = fit.fit(model, machine, projector=projector)
    needed = fit.needs(model, projector, chosen)
    fits = "no" if fit.missing(needed, machine) else "yes"
    if fits == "yes" and machine.memory_free and needed.wanted - needed.gpu > machine.memory_free:
        fits = "slow"
    work = cost.work(model, projector, PICTURE)
    if work is None:
        return Advice(entry, here, model.file_size + projector.file_size, needed.wanted, fits)
    took = seconds(work, speed or _assumed(machine))
    slowness = sum(took > bound for bound in SLOWER)
    known = took if speed is not None else None
    return Advice(entry, here, model.file_size + projector.file_size, needed.wanted, fits, known, slowness)


def _assumed(machine: Machine) -> Speed:
    """A speed for a machine whose own was not measured."""
    return replace(ASSUMED, encode=ASSUMED.encode * machine.cores, prefill=ASSUMED.prefill * machine.cores)


def _order(advice: Advice) -> tuple[bool, int, int, int, int, bool, int]:
    fits, entry = ("yes", "", "slow", "no").index(advice.fits), advice.entry
    use = catalogue.USES.index(entry.use)
    return entry.retired, use, fits, advice.slowness, -entry.rank, not entry.first, advice.memory


def best(advices: Iterable[Advice]) -> Advice | None:
    """The recommended one; None where no model fits."""
    return next((one for one in advices if one.recommended), None)


def memory_of(entry: Entry, machine: Machine) -> int:
    """Bytes that a model of the catalogue takes here, about; 0 where its shape is not known."""
    return _advice(entry, machine, None, False).memory
