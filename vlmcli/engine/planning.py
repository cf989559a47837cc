"""A request becomes a prompt, and a plan of its rows: what has to be computed, before anything is.

Where the disk knows the prompt's beginning, its plan is made without the projector, which then need not be loaded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from vlmcli.engine import choices
from vlmcli.engine.chat_template import ChatTemplate, begins_with, opened, parts, unthinking
from vlmcli.engine.choices import Choices
from vlmcli.engine.native import Model
from vlmcli.engine.plan import PictureSegment, Plan, TextSegment
from vlmcli.engine.prefix_store import KeptPrefix, tail_of
from vlmcli.engine.prompt import Prompt, plan_of
from vlmcli.engine.stores import Stores
from vlmcli.engine.vision import LazyProjector
from vlmcli.errors import NoPicture, RequestError
from vlmcli.values import Card, Request, Seen


@dataclass(frozen=True)
class Planned:
    """A request whose prompt is planned.

    Attributes:
        request: as it came.
        prompt: rendered.
        plan: its rows.
        begun: what the template has written of the answer.
        choices: the request's, as tokens; None without.
        kept: what the disk has of the prompt's beginning, where it was looked for.
    """

    request: Request
    prompt: Prompt
    plan: Plan
    begun: str
    choices: Choices | None = None
    kept: KeptPrefix | None = None

    @property
    def room(self) -> int:
        """Cells that it needs behind its prompt, at most."""
        return self.request.max_tokens if self.choices is None else max(1, self.choices.rows)

    def seen(self, unit: int) -> tuple[Seen, ...]:
        """The sizes of the request's pictures; `unit` are the pixels of a row's side, where it has a place."""
        scaled: dict[int, tuple[int, int]] = {}
        for segment in self.plan.segments:
            if isinstance(segment, PictureSegment) and segment.grid is not None and unit:
                _, down, across, _ = segment.grid.max(axis=1)
                scaled.setdefault(segment.picture, ((int(across) + 1) * unit, (int(down) + 1) * unit))
        return tuple(Seen(picture.size, scaled.get(number)) for number, picture in enumerate(self.request.pictures))

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
                plan = Plan((*kept.segments, tail))
                return Planned(request, prompt, plan, begun, self._choices(request, plan), kept)
        plan = plan_of(self._projector.get(), prompt)
        return Planned(request, prompt, plan, begun, self._choices(request, plan))

    def _choices(self, request: Request, plan: Plan) -> Choices | None:
        """The request's choices as the tokens that would come behind its prompt. Raises RequestError."""
        if not request.choices:
            return None
        begun = _open_text(plan, self._model)
        found = []
        for ways in request.choices:
            found.append([tuple(_behind(begun, way, self._model)) for way in ways])
            if not ways or not all(found[-1]):
                raise RequestError("a choice has no text", "name what the model may choose from")
            if (longest := max(map(len, found[-1]))) > choices.LONGEST:
                raise RequestError(
                    f"the choice {ways[0]!r} has {longest} tokens, and may have {choices.LONGEST}", "shorten it"
                )
        return Choices(found, self._model.end_tokens if request.whole else ())


def _open_text(plan: Plan, model: Model) -> str:
    """What the prompt has written since its last special token: what the answer's first token is joined to."""
    last = plan.segments[-1]
    pieces: list[bytes] = []
    for token in reversed(last.tokens if isinstance(last, TextSegment) else ()):
        if model.is_special(token) or not (piece := model.piece(token)):
            break
        pieces.append(piece)
    return b"".join(reversed(pieces)).decode("utf-8", "replace")


def _behind(begun: str, text: str, model: Model) -> list[int]:
    """A text's tokens where it comes behind another, with a space between them unless there is one."""
    text = text.strip()
    if not text:
        return []
    if begun and not begun[-1].isspace():
        text = f" {text}"
    before, both = model.tokenize(begun, False), model.tokenize(begun + text, False)
    if begun and len(both) > len(before) and both[: len(before)] == before:
        return both[len(before) :]
    return model.tokenize(text, False)
