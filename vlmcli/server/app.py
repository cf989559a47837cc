"""The application: the paths of all protocols, and those that belong to none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import vlmcli
from vlmcli.server import detect, openapi
from vlmcli.server.guard import refused
from vlmcli.server.paths import Paths
from vlmcli.server.paths_anthropic import Anthropic
from vlmcli.server.paths_ollama import Ollama, Pull
from vlmcli.server.paths_openai import OpenAI
from vlmcli.server.service import Service
from vlmcli.server.wrong import Wrong


class Own(Paths):
    """Handlers of what is about the server itself."""

    def routes(self) -> list[Route]:
        """All of them."""
        get = ["GET"]
        return [
            Route("/health", self.told(self.health), methods=get),
            Route("/metrics", self.told(self.metrics), methods=get),
            Route("/props", self.told(self.props), methods=get),
            Route("/openapi.json", self.told(self.openapi), methods=get),
            *detect.routes(self.service, self.body, self.told),
        ]

    async def health(self, _: Request) -> Response:
        """Whether new requests are taken."""
        status = "stopping" if self.service.is_stopping else "ok"
        return JSONResponse({"status": status, "vlm": vlmcli.__version__}, 503 if self.service.is_stopping else 200)

    async def metrics(self, _: Request) -> Response:
        """The counters."""
        return Response(self.service.figures.page(), media_type="text/plain; version=0.0.4")

    async def props(self, _: Request) -> Response:
        """What clients of llama-server look for (llama.cpp, tools/server/README.md)."""
        name = next(iter(self.service.pool.models))
        return JSONResponse(
            {
                "modalities": {"vision": True, "audio": False},
                "model_path": name,
                "model_alias": name,
                "total_slots": self.service.limits.queue,
                "build_info": f"vlm {vlmcli.__version__}",
            }
        )

    async def openapi(self, _: Request) -> Response:
        """All paths, for programs."""
        return JSONResponse(openapi.document(vlmcli.__version__))


def application(
    service: Service, more: Sequence[Route] = (), *, ollama_port: int = 0, pull: Pull | None = None
) -> Starlette:
    """The application with all paths.

    Args:
        service: answers.
        more: other paths.
        ollama_port: on which `GET /` says what Ollama says there; 0 for none.
        pull: downloads a model; None where clients may not.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.pool.start()
        yield
        await service.pool.close()

    async def unknown(request: Request, _: Exception) -> Response:
        path = request.scope["path"]
        wrong = Wrong(f"there is nothing at {path}", "see /openapi.json", status=404, code="not_found")
        return refused(wrong, path)

    async def wrong_method(request: Request, error: Exception) -> Response:
        path = request.scope["path"]
        wrong = Wrong(f"{request.method} is not possible at {path}", "see /openapi.json",
                      status=405, code="method_not_allowed")  # fmt: skip
        response = refused(wrong, path)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    ollama = Ollama(service, ollama_port, pull)
    routes = [*Own(service).routes(), *OpenAI(service).routes(), *Anthropic(service).routes(), *ollama.routes(), *more]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: unknown, 405: wrong_method})
    app.router.redirect_slashes = False  # it would lead to wherever the Host header says
    return app
