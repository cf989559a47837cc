"""`vlm`, and `python -m vlmcli`."""

import signal
import sys

# Until a command has something to end in order, Ctrl-C simply ends the process: no traceback out of an import.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run `vlm` and return its exit code."""
    from vlmcli.cli import app

    return app.main()


if __name__ == "__main__":
    sys.exit(main())
