"""Which models of the catalogue suit a machine: arithmetic over their shapes, and the machine's measured speed.

Measures nothing and downloads nothing: what the machine is, how fast, and what is here are given.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from vlmcli.machine import cost, fit
from vlmcli.machine.speed import Speed, seconds
from vlmcli.models import catalogue
from vlmcli.models.catalogue import Entry
from vlmcli.values import Machine

PICTURE = (1024, 768)
"""The picture that is asked about, in pixels."""
PATIENCE = 30.0
"""Seconds for a picture that are still good to use, for the model that is named first."""


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
    """

    entry: Entry
    here: bool
    download: int = 0
    memory: int = 0
    fits: str = ""
    seconds: float | None = None


def advise(machine: Machine, speed: Speed | None = None, here: Container[str] = ()) -> tuple[Advice, ...]:
    """Every row of the catalogue for a machine, the best first.

    Args:
        machine: what there is.
        speed: as measured; None where it was not.
        here: names of models that have been downloaded.
    """
    return tuple(
        sorted((_advice(entry, machine, speed, entry.name in here) for entry in catalogue.entries()), key=_order)
    )


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
    took = seconds(work, speed) if speed is not None and work is not None else None
    return Advice(entry, here, model.file_size + projector.file_size, needed.wanted, fits, took)


def _order(advice: Advice) -> tuple[bool, int, int]:
    return advice.fits != "yes", -advice.entry.rank, advice.memory


def best(advices: Iterable[Advice]) -> Advice | None:
    """The one to begin with: the highest rank that fits and is not too slow; the fastest if all are."""
    fitting = [one for one in advices if one.fits == "yes" and not one.entry.accept and one.entry.use == "general"]
    quick = [one for one in fitting if one.seconds is None or one.seconds <= PATIENCE]
    if quick:
        return quick[0]
    return min(fitting, key=lambda one: one.seconds or 0.0, default=None)


def memory_of(entry: Entry, machine: Machine) -> int:
    """Bytes that a model of the catalogue takes here, about; 0 where its shape is not known."""
    return _advice(entry, machine, None, False).memory
