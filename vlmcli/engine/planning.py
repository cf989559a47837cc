"""A request becomes a prompt, and a plan of its rows: what has to be computed, before anything is.

Where the disk knows the prompt's beginning, its plan is made without the projector, which then need not be loaded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from vlmcli.engine.chat_template import ChatTemplate, begins_with, opened, parts, unthinking
from vlmcli.engine.native import Model
from vlmcli.engine.plan import PictureSegment, Plan, TextSegment
from vlmcli.engine.prefix_store import KeptPrefix, tail_of
from vlmcli.engine.prompt import Prompt, plan_of
from vlmcli.engine.stores import Stores
from vlmcli.engine.vision import LazyProjector
from vlmcli.errors import NoPicture, RequestError
from vlmcli.values import Card, Request


@dataclass(frozen=True)
class Planned:
    """A request whose prompt is planned.

    Attributes:
        request: as it came.
        prompt: rendered.
        plan: its rows.
        begun: what the template has written of the answer.
        kept: what the disk has of the prompt's beginning, where it was looked for.
    """

    request: Request
    prompt: Prompt
    plan: Plan
    begun: str
    kept: KeptPrefix | None = None

    def without_kept(self) -> Planned:
        """The same without what the disk has, which is not needed any more."""
        return self if self.kept is None else replace(self, kept=None)

    def rows_of_pictures(self) -> tuple[int, ...]:
        """The rows that each of the request's pictures takes."""
        rows = Counter(dict.fromkeys(range(len(self.request.pictures)), 0))
        for segment in self.plan.segments:
            if isinstance(segment, PictureSegment):
                rows[segment.picture] += segment.rows
        return tuple(rows.values())


class Planner:
    """Plans requests to one model; only in the engine's thread."""

    def __init__(
        self, card: Card, model: Model, template: ChatTemplate, projector: LazyProjector, stores: Stores | None
    ) -> None:
        self._card = card
        self._model = model
        self._template = template
        self._projector = projector
        self._stores = stores
        self._ahead: Planned | None = None

    def look_ahead(self, request: Request) -> Planned:
        """Plan a request that is going to be planned: it is done once. Raises as `plan`."""
        self._ahead = self.plan(request)
        return self._ahead

    def plan(self, request: Request) -> Planned:
        """Plan a request. Raises NoPicture, RequestError, TemplateError; ModelError where there is no projector."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.request is request:
            return ahead
        if not request.pictures:
            raise NoPicture("the question has no picture", "add at least one picture")
        if request.max_tokens < 1:
            raise RequestError("an answer needs at least one token", "set --max-tokens to 1 or more")
        think = self._card.think
        pieces = self._template.render(request.messages, think=request.think)
        if not request.think:
            pieces = unthinking(pieces, think)
        add_bos = not begins_with(pieces, self._template.bos)
        prompt = Prompt(tuple(parts(pieces, self._model)), request.pictures, add_bos)
        begun = opened(pieces, think[0])
        if self._stores is not None and not self._projector.is_loaded and not request.measure:
            kept = self._stores.prefixes.find(prompt)
            tail = TextSegment(kept.closing + tail_of(prompt, self._model)) if kept is not None else TextSegment(())
            if kept is not None and tail.rows:
                return Planned(request, prompt, Plan((*kept.segments, tail)), begun, kept)
        return Planned(request, prompt, plan_of(self._projector.get(), prompt), begun)
