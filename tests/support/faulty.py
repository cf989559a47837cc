"""`vlm` with a fault in it: `python -m tests.support.faulty "KIND NAME [MARK]" words…`; an empty text is no fault.

The command is the whole one. Only the engine it opens, or has opened in a worker's process, is shown to a
`faults.Fault`, and the worker does not wait before it starts another process. There is no option or variable of `vlm`
that could ask for that.
"""

import os
import sys

from tests.support import ROOT

__all__ = ["command", "environment"]


def command(fault, *words):
    """The command line of `vlm words…`, with that fault."""
    return [sys.executable, "-m", "tests.support.faulty", fault, *map(str, words)]


def environment(**more):
    """This process's, with which it is found from any folder."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path} | more


def main(fault, *words):
    """Run `vlm words…`, and return its exit code."""
    from vlmcli import __main__ as program  # first: it sees to the standard streams and to Ctrl-C

    _put_in(fault)
    sys.argv = ["vlm", *words]
    return program.main()


def _put_in(fault):
    """Have `cli.running` open its engine and its worker with it."""
    from functools import partial

    from vlmcli.runners import worker

    given = {}
    if fault:
        from tests.support.faults import Fault, named
        from vlmcli import engine

        given = {"observer": named(fault)}
        made = engine.Engine
        engine.Engine = lambda files, fit, observer, caching: made(files, fit, observer or Fault(fault), caching)
    worker.Worker = partial(worker.Worker, back_off=(0.0,), **given)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
