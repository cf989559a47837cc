"""`POST /vlm/detect`: where something is in one picture. No other protocol has a shape for that; the page asks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vlmcli.errors import RequestError
from vlmcli.server.body import Body
from vlmcli.server.chat import usage
from vlmcli.server.seen import Given
from vlmcli.server.sending import unless_gone
from vlmcli.server.service import Service
from vlmcli.server.wrong import Wrong
from vlmcli.tasks.detect import Detect, shown

Handler = Callable[[HttpRequest], Awaitable[Response]]


def routes(
    service: Service, body_of: Callable[[HttpRequest], Awaitable[Body]], told: Callable[[Handler], Handler]
) -> list[Route]:
    """The path of this module.

    Args:
        service: answers.
        body_of: reads a request's body.
        told: makes answers of a handler's errors.
    """

    async def detect(request: HttpRequest) -> Response:
        body = await body_of(request)
        name = service.pool.name_of(body.text("model"))
        task, given = read(body, name, service)
        return await unless_gone(request.receive, _found(task, given, name, service))

    return [Route("/vlm/detect", told(detect), methods=["POST"])]


def read(body: Body, name: str, service: Service) -> tuple[Detect, Given]:
    """What a body looks for, and in which picture. Raises Wrong, which names the field."""
    what, image = body.text("what").strip(), body.text("image")
    if not what:
        raise body.wrong("what", "is empty", 'say what to look for, as in "each person"')
    if not image.strip():
        raise body.wrong("image", "is empty", "send a data URI")
    card = service.files(name).card
    if not card.boxes:
        able = [other for other, files in service.pool.models.items() if files.card.boxes]
        hint = f"use {', '.join(able)}" if able else "serve a model that can: `vlm models --json` says which have boxes"
        raise Wrong(f"{name} is not known to write boxes", hint, param="model", code="not_supported")
    task = Detect(
        what, card.boxes, body.flag("points"), prompts=tuple(sorted(card.prompts.items())), think=card.think
    )  # fmt: skip
    return task, Given(image, body.path("image"))


async def _found(task: Detect, given: Given, name: str, service: Service) -> Response:
    """The places in a picture, in pixels of it as it is upright. Raises Wrong."""
    limits = service.limits
    async with service.place():
        pictures = await service.pictures([given])
        (request,) = task.requests(pictures)
        request = replace(request, max_tokens=min(request.max_tokens, limits.tokens), timeout=limits.seconds)
        answer = await service.answer(name, request)
    result = task.result([name], answer, name)
    if isinstance(result.error, RequestError):
        # The task's own hints name options of the command line.
        hint = "look for fewer things at once, or use another model"
        raise Wrong(result.error.message, hint, param="what", code="no_places")
    found: dict[str, Any] = {
        "model": name,
        "places": [shown(place) for place in result.places or ()],
        "size": list(pictures[0].size),
        "usage": usage(answer),
    }
    return JSONResponse(found)
