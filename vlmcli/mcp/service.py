"""The protocol: messages on stdin and stdout become calls, and what comes of them goes back.

A call that its client has cancelled is ended in the engine, too. When stdin ends, so does everything. Nothing but the
protocol is written to stdout: while this runs, the descriptor of stdout is that of stderr for everybody else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mcp import types
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from vlmcli import __version__
from vlmcli.amounts import size
from vlmcli.errors import UsageError, VlmError
from vlmcli.mcp import calls, wire
from vlmcli.mcp.model import Model
from vlmcli.mcp.seen import Eyes
from vlmcli.mcp.tools import INSTRUCTIONS, TOOLS
from vlmcli.mcp.wrong import in_words
from vlmcli.tasks.calibration import Calibration
from vlmcli.tasks.task import joined
from vlmcli.values import ModelFiles

log = logging.getLogger("vlmcli.mcp")

AT_ONCE = 16
"""Calls that are under way; others wait."""
SECONDS = 600.0
"""Of computing an answer."""
STEP = 0.01
"""Share of a call by which it must have come on before its client is told again."""


@dataclass(frozen=True)
class Served:
    """What calls are answered with.

    Attributes:
        eyes: read pictures.
        model: answers.
        system: what the model is told before each question.
        calibration: of a model's probabilities.
    """

    eyes: Eyes
    model: Model
    system: str
    calibration: Callable[[ModelFiles], Calibration]


class Service:
    """Answers the calls of one client."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._places = asyncio.Semaphore(AT_ONCE)
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="vlm-pictures")
        self._noticed = False  # whether the client knows what the model cannot see

    async def call(self, tool: str, values: dict[str, Any], tell: Callable[[float, str], Awaitable[None]]) -> Any:
        """The result of a tool, as the protocol has it; errors are results, too."""
        try:
            return _sent(await self._answered(tool, values, tell))
        except VlmError as error:
            log.info("%s: %s", tool[:80], error)
            text = types.TextContent(type="text", text=in_words(error))
            return types.CallToolResult(content=[text], is_error=True)

    async def _answered(
        self, tool: str, values: dict[str, Any], tell: Callable[[float, str], Awaitable[None]]
    ) -> calls.Content:
        if tool == wire.TOO_LONG:
            raise UsageError(f"the message has more than {size(wire.MOST)}", "give the picture's path instead")
        served, call = self._served, calls.read(tool, values)
        async with self._places:
            run = asyncio.get_running_loop().run_in_executor
            seen = [await run(self._reading, served.eyes.see, image, call.region) for image in call.images]
            files = await served.model.files()
            told = calls.Told(files, served.system, served.calibration(files))
            task = call.task(told)
            requests = [replace(one, timeout=SECONDS) for one in task.requests([one.picture for one in seen])]
            answers = await served.model.answers(requests, tell)
            result = task.result([one.name for one in seen], joined(answers), files.name)
            content = await run(self._reading, calls.content, call, seen, task, result)
        note = "" if self._noticed else files.card.notice
        self._noticed = True
        return calls.noted(content, note)


def _sent(content: calls.Content) -> types.CallToolResult:
    """What a client gets, in the protocol's types."""
    parts: list[Any] = [types.TextContent(type="text", text=text) for text in content.texts]
    parts += [
        types.ImageContent(type="image", data=calls.encoded(image), mime_type="image/png") for image in content.images
    ]
    return types.CallToolResult(
        content=parts, structured_content=content.values, _meta={"vlm": dict(content.record)}
    )  # fmt: skip


def _server(service: Service) -> Server[Any]:
    """The protocol's side of a service."""
    listed = types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in TOOLS])

    async def list_tools(_: ServerRequestContext[Any], __: Any) -> types.ListToolsResult:
        return listed

    async def call_tool(ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> Any:
        last = 0.0

        async def tell(share: float, what: str) -> None:
            nonlocal last
            if share >= last + STEP:
                last = share
                await ctx.session.report_progress(round(share, 3), 1.0, what)

        return await service.call(params.name, params.arguments or {}, tell)

    return Server(
        "vlm", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


async def serve(served: Served) -> None:
    """Answer calls until stdin ends, nobody reads stdout any more, or a signal comes. Frees the model."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, task.cancel)
    private = os.dup(0)  # nobody else may read from stdin, nor inherit it
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 0)
    server = _server(Service(served))
    sweeper = asyncio.create_task(served.model.sweep())
    try:
        async with stdio_server(stdin=wire.Lines(private)) as (reads, writes):  # type: ignore[arg-type]
            await server.run(reads, writes, server.create_initialization_options())
    except asyncio.CancelledError:
        log.info("ended by a signal")
    except BaseException as error:
        if not _is_gone(error):
            raise
    finally:
        sweeper.cancel()
        served.model.close()


def _is_gone(error: BaseException) -> bool:
    """Whether an error, or all of a group, say that nobody reads stdout any more."""
    inner = getattr(error, "exceptions", None)
    return all(map(_is_gone, inner)) if inner else isinstance(error, BrokenPipeError)
