"""`vlm mcp` as clients start it, asked by the protocol's own client. Its loop runs in a thread, the tests in theirs."""

import json
import os
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.support import ROOT
from tests.support.program import own_environment
from vlmcli.later import Later

anyio, mcp, stdio = Later("anyio.from_thread"), Later("mcp"), Later("mcp.client.stdio")  # slow, for who collects


class Client:
    """A session with a server.

    Attributes:
        portal: into the loop's thread.
        session: the protocol's own.
        log: the file that has the server's stderr.
    """

    def __init__(self, portal, session, log):
        self.portal, self.session, self.log = portal, session, log

    def call(self, tool, **arguments):
        """The result of a tool."""
        return self.portal.call(self.session.call_tool, tool, arguments)

    def start(self, tool, told=None, **arguments):
        """The same as a future; cancelling it cancels the call. `told` takes what is said of its progress."""

        async def progress(done, total, message):
            told.append((done, total, message))

        more = {} if told is None else {"progress_callback": progress}
        return self.portal.start_task_soon(lambda: self.session.call_tool(tool, arguments, **more))

    def text(self, tool, **arguments):
        """The answer of a tool, which is no error."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result.content
        return result.content[0].text

    def value(self, tool, **arguments):
        """The answer as an object, which is also its text."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result.content
        assert json.loads(result.content[0].text) == result.structured_content
        return result.structured_content

    def error(self, tool, **arguments):
        """What is said of an error."""
        result = self.call(tool, **arguments)
        assert result.is_error, result.content
        assert len(result.content) == 1
        return result.content[0].text


@contextmanager
def serving(log, *words, model="demo", cwd=ROOT, env=None):
    """A session with a server that has these options."""
    environment = own_environment({"VLM_MODEL": str(model), "PYTHONPATH": str(ROOT), "OMP_THREAD_LIMIT": "1"})
    started = stdio.StdioServerParameters(
        command=sys.executable, args=["-m", "vlmcli", "mcp", *map(str, words)], env=environment | (env or {}), cwd=cwd
    )
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("w"))
        portal = stack.enter_context(anyio.start_blocking_portal())
        session = stack.enter_context(portal.wrap_async_context_manager(_session(started, errors)))
        yield Client(portal, session, log)


@asynccontextmanager
async def _session(started, errors):
    async with stdio.stdio_client(started, errors) as streams, mcp.ClientSession(*streams) as session:
        await session.initialize()
        yield session


def children(pid):
    """The processes that a process has started."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, task.read_text("ascii").split())
    return found


def server_of(log):
    """The process that writes this log, and the engine's."""
    for pid in children(os.getpid()):
        with suppress(OSError):
            if Path(f"/proc/{pid}/fd/2").samefile(log):
                return pid, children(pid)
    raise AssertionError("the server does not run")


def ticks(pid):
    """Hundredths of a second that a process has computed for."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def gone(pid):
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
