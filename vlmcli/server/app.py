"""The paths of the server, and what each answers with. JSON stays in the protocols' modules."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import vlmcli
from vlmcli.errors import VlmError
from vlmcli.server import chat
from vlmcli.server.asked import Asked
from vlmcli.server.body import Body
from vlmcli.server.guard import body_of, refused
from vlmcli.server.sending import BEAT, DONE, Streamed, sse, unless_gone
from vlmcli.server.service import Service
from vlmcli.server.wrong import Wrong, as_openai, from_error
from vlmcli.values import Answer, Delta

log = logging.getLogger("vlmcli.server")

Handler = Callable[[Request], Awaitable[Response]]
Pieces = AsyncGenerator[bytes, None]


class Paths:
    """The paths of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """All of them."""
        get, post = ["GET"], ["POST"]
        return [
            Route("/health", self._told(self.health), methods=get),
            Route("/metrics", self._told(self.metrics), methods=get),
            Route("/props", self._told(self.props), methods=get),
            Route("/v1/models", self._told(self.models), methods=get),
            Route("/v1/models/{name:path}", self._told(self.model), methods=get),
            Route("/v1/chat/completions", self._told(self.chat), methods=post),
            Route("/v1/embeddings", self._told(self.embeddings), methods=post),
        ]

    def _told(self, handler: Handler) -> Handler:
        """A handler whose errors are answers, and whose requests are counted."""

        async def counted(request: Request) -> Response:
            began, path = time.monotonic(), request.scope["route"].path
            try:
                response = await handler(request)
            except VlmError as error:
                response = refused(from_error(error))
            except Exception:
                log.exception("%s failed", path)
                response = refused(Wrong("the server failed", "see its log", status=500, code="server_error"))
            figures = self._service.figures
            figures.requests.labels(path, str(response.status_code)).inc()
            figures.seconds.labels(path).observe(time.monotonic() - began)
            return response

        return counted

    async def body(self, request: Request) -> Body:
        """The object that a request has sent. Raises Wrong."""
        length = request.headers.get("content-length", "")
        return Body.read(await body_of(request.receive, length, self._service.limits.body))

    # ------------------------------------------------------------------------------------------ what there is

    async def health(self, _: Request) -> Response:
        """Whether new requests are taken."""
        status = "stopping" if self._service.is_stopping else "ok"
        return JSONResponse({"status": status, "vlm": vlmcli.__version__}, 503 if self._service.is_stopping else 200)

    async def metrics(self, _: Request) -> Response:
        """The counters."""
        return Response(self._service.figures.page(), media_type="text/plain; version=0.0.4")

    async def props(self, _: Request) -> Response:
        """What clients of llama-server look for (llama.cpp, tools/server/README.md)."""
        name = next(iter(self._service.pool.models))
        return JSONResponse(
            {
                "modalities": {"vision": True, "audio": False},
                "model_path": name,
                "model_alias": name,
                "total_slots": self._service.limits.queue,
                "build_info": f"vlm {vlmcli.__version__}",
            }
        )

    async def models(self, _: Request) -> Response:
        """All models that are served."""
        return JSONResponse({"object": "list", "data": [self._model(name) for name in self._service.pool.models]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(self._model(self._service.pool.name_of(request.path_params["name"])))

    def _model(self, name: str) -> dict[str, object]:
        files = self._service.files(name)
        return {
            "id": name,
            "object": "model",
            "created": int(files.model.stat().st_mtime) if files.model.exists() else 0,
            "owned_by": "vlm",
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "vlm": asdict(files.card) | {"loaded": name in self._service.pool.loaded},
        }

    async def embeddings(self, _: Request) -> Response:
        """Refused by name: a chat model has none that are of use."""
        raise Wrong(
            "embeddings are not supported", "use a server with an embedding model", status=501, code="not_supported"
        )

    # ------------------------------------------------------------------------------------------ chat completions

    async def chat(self, request: Request) -> Response:
        """OpenAI's chat completions."""
        asked = chat.read(await self.body(request))
        name = self._service.pool.name_of(asked.model)
        if asked.stream:
            return await begun(request, self._chunks(asked, name), "text/event-stream", BEAT)
        return await unless_gone(request.receive, self._completion(asked, name))

    async def _completion(self, asked: Asked, name: str) -> Response:
        async with self._service.place():
            answer = await self._service.answer(name, await self._service.requested(asked))
        return JSONResponse(chat.completion(answer, asked, name, self._service.files(name).card.think))

    async def _chunks(self, asked: Asked, name: str) -> Pieces:
        chunks = chat.Chunks(asked, name, self._service.files(name).card.think)
        async with self._service.place():
            request = await self._service.requested(asked)
            async with aclosing(self._service.events(name, request)) as events:
                is_begun = False
                try:
                    async for event in events:
                        if not is_begun:
                            is_begun = True
                            yield sse(chunks.first())
                        if isinstance(event, Delta):
                            for chunk in chunks.more(event):
                                yield sse(chunk)
                        elif isinstance(event, Answer):
                            for chunk in chunks.last(event):
                                yield sse(chunk)
                except VlmError as error:
                    if not is_begun:
                        raise
                    yield sse(as_openai(from_error(error)))
        yield DONE


async def begun(request: Request, pieces: Pieces, media_type: str, beat: bytes = b"") -> Response:
    """A stream whose first piece has come: what is wrong before that is an answer with a status of its own."""
    first = await unless_gone(request.receive, anext(pieces))

    async def all_pieces() -> Pieces:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return Streamed(all_pieces(), media_type, beat)


def application(service: Service, more: Sequence[Route] = ()) -> Starlette:
    """The application with all paths."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.pool.start()
        yield
        await service.pool.close()

    async def unknown(request: Request, _: Exception) -> Response:
        return refused(
            Wrong(f"there is nothing at {request.url.path}", "see /openapi.json", status=404, code="not_found")
        )

    async def wrong_method(request: Request, _: Exception) -> Response:
        return refused(
            Wrong(f"{request.method} is not possible at {request.url.path}", "see /openapi.json",
                  status=405, code="method_not_allowed")
        )  # fmt: skip

    handlers = {404: unknown, 405: wrong_method}
    return Starlette(routes=[*Paths(service).routes(), *more], lifespan=lifespan, exception_handlers=handlers)
