"""The paths of Ollama's protocol, and what each answers with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Match, Route

from vlmcli.errors import Cancelled, VlmError
from vlmcli.server import listed, ollama
from vlmcli.server.asked import Asked
from vlmcli.server.body import Body
from vlmcli.server.guard import Scope
from vlmcli.server.paths import Paths, Pieces, begun
from vlmcli.server.sending import line, unless_gone
from vlmcli.server.service import Service
from vlmcli.server.wrong import Wrong, as_ollama, from_error
from vlmcli.values import ModelFiles

NDJSON = "application/x-ndjson"
Progress = Callable[[str, int, int, str], None]
"""Told what a download does: in words, how many bytes of how many of a file it has, and the file's digest."""
Pull = Callable[[str, Progress], ModelFiles]
"""Downloads a model by its name. It is called in a thread, and raises VlmError."""
CANNOT = ("embed", "embeddings", "create", "copy", "push", "delete", "blobs/{digest}")
"""What Ollama can do, and this server cannot."""


class OnPort(Route):
    """A route of one of the ports only."""

    def __init__(self, port: int, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._port = port

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is its own."""
        server = scope.get("server") or ("", 0)
        return super().matches(scope) if server[1] == self._port else (Match.NONE, {})


class Ollama(Paths):
    """Handlers of what begins with /api."""

    def __init__(self, service: Service, port: int, pull: Pull | None) -> None:
        """Handle them.

        Args:
            service: answers.
            port: on which `GET /` says what Ollama says there; 0 for none.
            pull: downloads a model; None where clients may not.
        """
        super().__init__(service)
        self._port, self._pull = port, pull

    def routes(self) -> list[Route]:
        """All of them."""
        get, post = ["GET"], ["POST"]
        own = [OnPort(self._port, "/", self.told(self.root), methods=get)] if self._port else []
        return [
            *own,
            Route("/api/version", self.told(self.version), methods=get),
            Route("/api/tags", self.told(self.tags), methods=get),
            Route("/api/ps", self.told(self.ps), methods=get),
            Route("/api/show", self.told(self.show), methods=post),
            Route("/api/chat", self.told(self.chat), methods=post),
            Route("/api/generate", self.told(self.generate), methods=post),
            Route("/api/pull", self.told(self.pull), methods=post),
            *[Route(f"/api/{path}", self.told(self.cannot), methods=["POST", "DELETE"]) for path in CANNOT],
        ]

    async def root(self, _: Request) -> Response:
        """What clients look for to know that they have found Ollama."""
        return PlainTextResponse("Ollama is running")

    async def version(self, _: Request) -> Response:
        """Whose protocol this is."""
        return JSONResponse({"version": ollama.VERSION})

    async def tags(self, _: Request) -> Response:
        """All models that are served."""
        models = list(self.service.pool.models.values())
        return JSONResponse({"models": await asyncio.to_thread(lambda: [listed.tag(files) for files in models])})

    async def ps(self, _: Request) -> Response:
        """The models that are loaded."""
        return JSONResponse({"models": [listed.loaded(hosted) for hosted in self.service.pool.loaded.values()]})

    async def show(self, request: Request) -> Response:
        """One model."""
        name = self.service.pool.name_of(ollama.model(await self.body(request)))
        return JSONResponse(await asyncio.to_thread(listed.shown, self.service.files(name)))

    async def cannot(self, request: Request) -> Response:
        """Refused by name."""
        path = request.url.path
        raise Wrong(
            f"{path} is not supported", "manage models with vlm pull and vlm rm", status=501, code="not_supported"
        )

    async def chat(self, request: Request) -> Response:
        """An answer to a conversation."""
        return await self._answered(request, await self.read(request, ollama.read_chat), is_chat=True)

    async def generate(self, request: Request) -> Response:
        """An answer to a prompt."""
        return await self._answered(request, await self.read(request, ollama.read_generate), is_chat=False)

    async def _answered(self, request: Request, asked: Asked, *, is_chat: bool) -> Response:
        name = self.service.pool.name_of(asked.model)
        reply = ollama.Reply(asked, self.service.files(name).card.think, is_chat=is_chat)
        if not asked.turns:
            reason = await unless_gone(request.receive, self._kept(name, asked.keep))
            return JSONResponse(reply.only(reason))
        if asked.stream:
            return await begun(request, self.pieces(asked, name, reply, line), NDJSON)
        return JSONResponse(reply.whole(await unless_gone(request.receive, self.answer(asked, name))))

    async def _kept(self, name: str, keep: float | None) -> str:
        """Load a model or free it, as its time says; why the answer has no text."""
        if keep == 0:
            await self.service.pool.unload(name)
            return "unload"
        async with self.service.place():
            await self.service.loaded(name, keep)
        return "load"

    async def pull(self, request: Request) -> Response:
        """Download a model, and serve it."""
        body = await self.body(request)
        name, stream = ollama.model(body), body.flag("stream", True)
        if self._pull is None:
            raise Wrong("this server downloads no models", "start it with --allow-pull", status=403, code="no_pull")
        if name.removesuffix(":latest") in self.service.pool.models:
            return Response(line({"status": "success"}), media_type=NDJSON if stream else "application/json")
        pieces = self._pulled(self._pull, name)
        if stream:
            return await begun(request, pieces, NDJSON)
        last = await unless_gone(request.receive, _last(pieces))
        return JSONResponse(last, 500 if "error" in last else 200)

    async def _pulled(self, pull: Pull, name: str) -> Pieces:
        """Download a model, and tell how far it has come. It is given up when nobody listens any more."""
        loop, happened = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any]]()
        left, is_begun = threading.Event(), False

        def progress(status: str, done: int, total: int, digest: str) -> None:
            if left.is_set():
                raise Cancelled(f"{name}: nobody waits for it any more")
            told: dict[str, Any] = {"status": status}
            if total:
                told |= {"digest": f"sha256:{digest}" if digest else status, "total": total, "completed": done}
            loop.call_soon_threadsafe(happened.put_nowait, told)

        work = asyncio.ensure_future(asyncio.to_thread(pull, name.removesuffix(":latest"), progress))
        try:
            while not work.done() or not happened.empty():
                more = asyncio.ensure_future(happened.get())
                await asyncio.wait({more, work}, return_when=asyncio.FIRST_COMPLETED)
                if more.done():
                    is_begun = True
                    yield line(more.result())
                else:
                    more.cancel()
            self.service.pool.add(work.result())
            yield line({"status": "success"})
        except VlmError as error:
            if not is_begun:
                raise
            yield line(as_ollama(from_error(error)))
        finally:
            left.set()


async def _last(pieces: Pieces) -> dict[str, Any]:
    """The last object of a stream."""
    last = b"{}"
    async with aclosing(pieces):
        async for piece in pieces:
            last = piece
    return dict(Body.read(last).values)
