"""How far a run is, in one line that fits, and what it came to, in another.

Knows a run's numbers and the clock. Does not write anything.
"""

from __future__ import annotations

import time

from vlmcli.amounts import duration, exact_duration
from vlmcli.amounts import pace as rate
from vlmcli.batch.course import count
from vlmcli.batch.run import Run
from vlmcli.terminal.door import one_line
from vlmcli.terminal.live import cells, cut

LEAST_NAME = 8
"""Columns of a picture's name below which it is better left out."""


class Pace:
    """A run's count, its pace, and the time it still takes."""

    def __init__(self, run: Run) -> None:
        """The time in which the model is loaded is no part of the pace: the clock starts with the first `stage`."""
        self._run = run
        self._stage, self._name = "loading the model", ""
        self._began: float | None = None
        self._counted = 0.0  # when the last outcome came

    def loading(self, stage: str) -> None:
        """The model is being loaded."""
        self._stage, self._name = stage, ""

    def stage(self, stage: str, name: str) -> None:
        """Something is being done about a picture."""
        self._began = self._began or time.monotonic()
        self._stage, self._name = stage, name

    def ended(self, name: str) -> None:
        """A picture has had its outcome."""
        self._counted = time.monotonic()
        if not self._stage or name == self._name:
            self._stage, self._name = "", name

    def line(self, columns: int = 0) -> str:
        """How far it is: count, pace, time left, errors, then the picture and the stage.

        In so many columns the name is cut first, and the count never; 0 is as many as it takes.
        """
        head, name, stage = self._head(), one_line(self._name), self._stage
        whole = f"{head}: {name} ({stage})" if name and stage else f"{head}: {name or stage}" if name or stage else head
        if not columns or cells(whole) <= columns:
            return whole
        for suffix in (f" ({stage})" if stage else "", ""):
            room = columns - cells(head) - len(": ") - cells(suffix)
            if name and room >= min(LEAST_NAME, cells(name)):
                return f"{head}: {_short(name, room)}{suffix}"
        return cut(head, columns)

    def _head(self) -> str:
        run = self._run
        parts = [run.so_far]
        if (pace := self._per_second()) is not None:
            left = max(1.0, run.left / pace - (time.monotonic() - self._counted))
            parts += [rate(pace), f"~{duration(left)} left"]
        if run.errors:
            parts.append(count(len(run.errors), "error"))
        return ", ".join(parts)

    def _per_second(self) -> float | None:
        """Outcomes a second; None before the first answer, and when nothing is left or no more is asked."""
        run = self._run
        if (
            self._began is None
            or not run.left
            or run.dropping
            or run.ended == len(run.errors)
            or self._counted <= self._began
        ):
            return None
        return run.ended / (self._counted - self._began)

    def summary(self, left_out: str = "") -> str:
        """What has been done."""
        run, failed = self._run, len(self._run.errors)
        said = [f"{run.ended - failed:,} answered"]
        said += [f"{failed:,} failed"] if failed else []
        said += [f"{run.left:,} left"] if run.left and not run.dropping else []
        said += [f"in {exact_duration(run.seconds)}"]
        more = [run.wrote, str(run.before), run.skipped, left_out]
        return "; ".join([", ".join(said), *filter(None, more)])


def _short(name: str, columns: int) -> str:
    """A picture's name without its folders, and cut in the middle where that is still too long."""
    return name if cells(name) <= columns else cut(name.rpartition("/")[2], columns, middle=True)
