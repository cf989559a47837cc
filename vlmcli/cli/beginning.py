"""When a command began: with its process, where that was started for it; else when `main` was called.

Times are those of `time.monotonic`. What is between the two is Python's own start and the imports.
"""

from __future__ import annotations

import gc
import os
import time
from contextvars import ContextVar

LONGEST = 5.0
"""Seconds that Python's start takes at most. A program that became this one (`exec` in a shell script) may have waited
for anything before, so a process that is older counts by its processor time."""

USUAL = 20_000
"""Objects after which the garbage collector looks at the new ones."""
BEGAN: ContextVar[float] = ContextVar("BEGAN")
"""When the command that runs began; `app.main` sets it."""


_is_process = False
"""Whether the process is the command's own, and so is all that it holds."""


def is_over() -> None:
    """All that the command needs is imported, and its work begins: look for garbage, but only among what is new."""
    if _is_process and gc.get_threshold()[0] != USUAL:
        gc.freeze()
        gc.set_threshold(USUAL, 20, 50)


def of_process() -> float:
    """When this process began, which is the command's own.

    On Linux as the kernel says, to a hundredth of a second. Elsewhere it is reckoned by the processor time that the
    process has had, which leaves out what it has waited for the disk.
    """
    global _is_process
    _is_process = True
    now, used = time.monotonic(), time.process_time()
    age = _age()
    return now - (age if age is not None and used <= age <= used + LONGEST else used)


def _age() -> float | None:
    """Seconds since the kernel started this process; None where it does not say."""
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - pathlib is not needed this early
            fields = file.read().rpartition(b")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # the 22nd of proc(5), since the machine's start
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return None
