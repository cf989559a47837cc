"""The paths of Anthropic's protocol, and what each answers with."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vlmcli.server import anthropic
from vlmcli.server.asked import Asked
from vlmcli.server.paths import Paths, begun
from vlmcli.server.sending import sse, unless_gone


class Anthropic(Paths):
    """Handlers of what begins with /v1/messages."""

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/v1/messages", self.told(self.messages), methods=["POST"]),
            Route("/v1/messages/count_tokens", self.told(self.count), methods=["POST"]),
        ]

    async def messages(self, request: Request) -> Response:
        """Messages."""
        asked = await self.read(request, anthropic.read)
        name = self.service.pool.name_of(asked.model)
        think = self.service.files(name).card.think
        if asked.stream:
            pieces = self.pieces(asked, name, anthropic.Events(asked, name, think), _typed)
            return await begun(request, pieces, "text/event-stream", _typed(anthropic.PING))
        answer = await unless_gone(request.receive, self.answer(asked, name))
        return JSONResponse(anthropic.message(answer, asked, name, think))

    async def count(self, request: Request) -> Response:
        """How many tokens a conversation has, its pictures included. Nothing is encoded or answered for that."""
        asked = await self.read(request, anthropic.counted)
        name = self.service.pool.name_of(asked.model)
        return JSONResponse({"input_tokens": await unless_gone(request.receive, self._counted(asked, name))})

    async def _counted(self, asked: Asked, name: str) -> int:
        async with self.service.place():
            return (await self.service.measured(name, await self.service.requested(asked))).rows


def _typed(event: dict[str, Any]) -> bytes:
    """An event whose name is its type."""
    return sse(event, event["type"])
