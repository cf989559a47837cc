"""Ctrl-C and SIGTERM while a command runs: when they are errors that can be handled, and whose they are afterwards."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vlmcli.cli import beginning

AGAIN_SECONDS = 0.02
"""After so long what Python has ignored is over, and a Ctrl-C that was lost in it comes again."""


def interruptible() -> None:
    """The work begins, and there is something to end in order when Ctrl-C comes: it is a KeyboardInterrupt."""
    beginning.is_over()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def signals_as_found() -> Iterator[None]:
    """Afterwards give the signals that a command may handle back to whoever had them; only the main thread can.

    Meanwhile no Ctrl-C is lost. Python ignores every error in a callback of the garbage collector or of C, and in the
    one that the import system has for each module: a KeyboardInterrupt is raised wherever the main thread is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.unraisablehook
    sys.unraisablehook = _heard(hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in found.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _heard(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """A hook for errors that Python ignores, after which a KeyboardInterrupt comes again; others are the old hook's."""

    def heard(ignored: Any) -> None:
        if isinstance(ignored.exc_value, KeyboardInterrupt):
            _thread.start_new_thread(_again, ())  # here, too, it would be ignored
        else:
            hook(ignored)

    return heard


def _again() -> None:
    time.sleep(AGAIN_SECONDS)
    _thread.interrupt_main()
