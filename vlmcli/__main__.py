"""The process: `vlm`, and `python -m vlmcli`. What must be done before anything is imported, and last of all."""

# Until a command has something to end in order, Ctrl-C simply ends the process: no traceback out of an import. This is
# the part of `signal` that is built in; the rest takes milliseconds to import.
import _signal  # type: ignore[import-not-found]

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import atexit
import gc
import os
import sys
from contextlib import suppress

# Hardly anything of what is imported is ever let go of: looking for it costs a tenth of the start. `beginning.is_over`
# lets the collector look for garbage when the work begins.
gc.set_threshold(200_000, 20, 50)

# A standard stream that is closed is not opened again as something else: the next file that is opened gets its number,
# and whoever writes to "stdout" writes into it.
for number in range(3):
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


def main() -> int:
    """Run `vlm`, for the last time in this process, and return its exit code."""
    from vlmcli.cli import app, beginning
    from vlmcli.terminal import door

    door.guard()  # for good: a traceback of Python's own at the end is printed after the command
    code = app.main(began=beginning.of_process())
    _let_go_of_stdout()
    _end_with(code)
    return code


def _let_go_of_stdout() -> None:
    """Where nobody reads stdout any more, let Python's own flush at exit have somewhere to go."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_with(code: int) -> None:
    """The work is done: from here on, neither a Ctrl-C nor a thread that Python waits for changes the exit code."""
    if _signal.getsignal(_signal.SIGINT) is _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(code))
    _CODES.append(code)


_CODES: list[int] = []
"""The exit code, once it is known."""


@atexit.register  # before anything else registers what must be done at the end: so this is done last
def _end() -> None:
    """End without freeing each object by itself, which takes Python 0.1 to 0.2 s and the system none."""
    if _CODES:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(_CODES[0])


if __name__ == "__main__":
    sys.exit(main())
