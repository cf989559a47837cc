"""`vlm`, and `python -m vlmcli`."""

import signal
import sys

# Until the command can answer Ctrl-C it simply ends the process: no traceback out of an import.
_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _ours:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run `vlm` and return its exit code."""
    from vlmcli.cli import app

    if _ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return app.main()


if __name__ == "__main__":
    sys.exit(main())
