"""Ctrl-C and SIGTERM while a command runs: when they are errors that can be handled, and whose they are afterwards."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def interruptible() -> None:
    """From here on there is something to end in order when Ctrl-C comes: it is a KeyboardInterrupt."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def signals_as_found() -> Iterator[None]:
    """Afterwards give the signals that a command may handle back to whoever had them; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in found.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
