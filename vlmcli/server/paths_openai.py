"""The paths of OpenAI's protocols, and what each answers with."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vlmcli.records import calibrations, journal
from vlmcli.server import chat, decisions, responses, systemone
from vlmcli.server.asked import Asked
from vlmcli.server.decisions import Wanted
from vlmcli.server.paths import Paths, Pieces, begun
from vlmcli.server.sending import BEAT, DONE, sse, unless_gone
from vlmcli.server.wrong import Wrong
from vlmcli.settings import config_folder
from vlmcli.tasks.decide import Decide
from vlmcli.values import Answer


class OpenAI(Paths):
    """Handlers of what begins with /v1."""

    def routes(self) -> list[Route]:
        """All of them."""
        get, post = ["GET"], ["POST"]
        return [
            Route("/v1/models", self.told(self.models), methods=get),
            Route("/v1/models/{name:path}", self.told(self.model), methods=get),
            Route("/v1/chat/completions", self.told(self.chat), methods=post),
            Route("/v1/responses", self.told(self.responses), methods=post),
            Route("/v1/decisions", self.told(self.decisions), methods=post),
            Route("/v1/systemone", self.told(self.systemone), methods=post),
            Route("/v1/embeddings", self.told(self.embeddings), methods=post),
        ]

    async def models(self, _: Request) -> Response:
        """All models that are served."""
        return JSONResponse({"object": "list", "data": [self._model(name) for name in self.service.pool.models]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(self._model(self.service.pool.name_of(request.path_params["name"])))

    def _model(self, name: str) -> dict[str, object]:
        files = self.service.files(name)
        return {
            "id": name,
            "object": "model",
            "created": int(files.model.stat().st_mtime) if files.model.exists() else 0,
            "owned_by": "vlm",
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "vlm": asdict(files.card) | {"loaded": name in self.service.pool.loaded},
        }

    async def embeddings(self, _: Request) -> Response:
        """Refused by name: a chat model has none that are of use."""
        raise Wrong(
            "embeddings are not supported", "use a server with an embedding model", status=501, code="not_supported"
        )

    async def chat(self, request: Request) -> Response:
        """Chat completions."""
        asked = await self.read(request, chat.read)
        name = self.service.pool.name_of(asked.model)
        think = self.service.files(name).card.think
        if asked.stream:
            return await begun(request, self._chunks(asked, name, think), "text/event-stream", BEAT)
        answer = await unless_gone(request.receive, self.answer(asked, name))
        return JSONResponse(chat.completion(answer, asked, name, think))

    async def _chunks(self, asked: Asked, name: str, think: tuple[str, str]) -> Pieces:
        async with aclosing(self.pieces(asked, name, chat.Chunks(asked, name, think), sse)) as pieces:
            async for piece in pieces:
                yield piece
        yield DONE

    async def responses(self, request: Request) -> Response:
        """Responses, of which none is kept."""
        body, asked = await self.read(request, lambda body: (body, responses.read(body)))
        name = self.service.pool.name_of(asked.model)
        reply = responses.Reply(body, asked, name, self.service.files(name).card.think)
        if asked.stream:
            pieces = self.pieces(asked, name, responses.Events(reply), _typed)
            return await begun(request, pieces, "text/event-stream", BEAT)
        return JSONResponse(reply.whole(await unless_gone(request.receive, self.answer(asked, name))))

    async def decisions(self, request: Request) -> Response:
        """Decisions, with probabilities as the model's calibration corrects them."""
        wanted = await self.read(request, decisions.read)
        name = self.service.pool.name_of(wanted.asked.model)
        each = self._deciding(wanted, name)
        answers = await unless_gone(request.receive, self._decided(wanted, each, name))
        return JSONResponse(decisions.decided(each, answers, name))

    async def systemone(self, request: Request) -> Response:
        """The same questions in the System One format."""
        wanted = await self.read(request, systemone.read)
        name = self.service.pool.name_of(wanted.asked.model)
        each = self._deciding(wanted, name)
        answers = await unless_gone(request.receive, self._decided(wanted, each, name))
        return JSONResponse(systemone.decided(each, answers, name))

    def _deciding(self, wanted: Wanted, name: str) -> list[Decide]:
        files = self.service.files(name)
        calibration = calibrations.read(config_folder(), journal.model_id(files))
        return wanted.tasks(files.card, calibration)

    async def _decided(self, wanted: Wanted, each: list[Decide], name: str) -> list[Answer]:
        async with self.service.place():
            request = await self.service.requested(wanted.asked)
            requests = decisions.requests(each, request)
            return await self.service.answers(name, requests, wanted.asked.keep)


def _typed(event: dict[str, Any]) -> bytes:
    """An event whose name is its type."""
    return sse(event, event["type"])
