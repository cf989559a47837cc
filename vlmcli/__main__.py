"""`vlm`, and `python -m vlmcli`."""

import os
import signal
import sys

# A standard stream that is closed is not opened again as something else: the next file that is opened gets its number,
# and whoever writes to "stdout" writes into it.
for number in range(3):
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)

# Until a command has something to end in order, Ctrl-C simply ends the process: no traceback out of an import.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run `vlm` and return its exit code."""
    from vlmcli.cli import app

    return app.main()


if __name__ == "__main__":
    sys.exit(main())
