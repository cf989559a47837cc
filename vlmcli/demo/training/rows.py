"""Rows of token ids: pictures, and conversations about them in the chat template's form.

A row begins with one or two pictures and goes on with many conversations about them, which all see the pictures but not
one another: most of the work of a row is answers, not pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from vlmcli.demo import outside, scenes
from vlmcli.demo.training import first, questions, two_pictures, unanswerable, wordings
from vlmcli.demo.training.english import plural
from vlmcli.demo.training.patches import PATCHES, LabelledPicture, changes, drawn, outside_labels, view
from vlmcli.demo.training.questions import Item
from vlmcli.demo.world import COLORS, SHAPES, Scene, Shape

if TYPE_CHECKING:  # the conversations need no tokenizer
    from vlmcli.demo.training.tokenizer import Vocabulary
LENGTH = 320
"""Tokens in a row."""
_FIRST = ("first",) * 3 + ("first pair",) * 3
ROW_KINDS = (
    ("single",) * 4 + ("pair", "outside", *_FIRST),
    ("single",) * 3 + ("pair", "dialogue", "late", *_FIRST),
    ("single",) * 3 + ("pair", "pair", "outside", *_FIRST),
    ("single",) * 3 + ("pair", "dialogue", "talk", *_FIRST),
)
"""Kinds of row in the batches, by turns: half of the rows of each have the questions that people type first."""

_WEIGHTS = {
    "shapes": {
        "what": 5, "describe": 2.5, "detail": 3, "count": 1.6, "count of": 4, "color": 2, "shape": 3,
        "exist": 3.2, "left": 1.2, "right": 1.2, "top": 1.2, "bottom": 1.2, "middle": 1.2, "where": 3,
        "relation": 9, "biggest": 1.5, "smallest": 1.5, "background": 1, "read": 2, "says": 2, "has text": 0.5,
        "json": 2.4, "box": 3.5,
    },
    "text": {
        "what": 3, "describe": 2, "read": 4, "says": 4, "background": 1, "has text": 0.7, "count": 0.6, "exist": 0.5,
        "text color": 1, "json": 1, "detail": 1, "count of": 0.3, "left": 0.3, "right": 0.3,
        "top": 0.3, "bottom": 0.3,
    },
    "both": {
        "what": 4.5, "describe": 2, "detail": 2, "read": 3, "says": 3, "count": 1, "count of": 1, "color": 1.4,
        "shape": 1.2, "exist": 1.5, "has text": 0.7, "where": 1.4, "box": 1.4, "background": 0.7, "text color": 1,
        "json": 1, "left": 0.7, "right": 0.7, "top": 0.5, "bottom": 0.5, "relation": 2, "biggest": 0.7,
        "smallest": 0.5,
    },
    "empty": {
        "what": 2, "describe": 2, "detail": 0.6, "count": 1, "count of": 0.5, "exist": 1.4, "background": 2,
        "has text": 1, "read": 0.7, "says": 0.7, "json": 0.7, "color": 0.7, "left": 0.4, "middle": 0.4,
    },
}  # fmt: skip


def _some(rng: Random, scene: Scene) -> Item:
    """A question about one picture, of any kind its scene answers."""
    kind = "both" if scene.text and scene.shapes else "text" if scene.text else "shapes" if scene.shapes else "empty"
    weights = _WEIGHTS[kind]
    while True:
        item = questions.ask(rng, scene, rng.choices(list(weights), list(weights.values()))[0])
        if item:
            return item


def _about(rng: Random, scene: Scene) -> tuple[Item, ...]:
    """The turns of one conversation about one picture."""
    chance = rng.random()
    if chance < 0.12:
        return (unanswerable.ask(rng),)
    if chance < 0.23:
        turns = questions.follow_up(rng, scene)
        if turns:
            return turns
    if chance < 0.29:
        return _some(rng, scene), _some(rng, scene)
    return (_some(rng, scene),)


@dataclass
class Row:
    """One row of tokens.

    Attributes:
        ids: of the tokens; each patch of a picture is -1 - the picture's number.
        branch: which conversation each token belongs to. What has branch 0 is seen by all; -1 is padding.
        position: of each token in its own conversation.
        weight: of each token in the loss; 0 if it is not asked for.
        scene: what the only picture shows, if the row's words are to be labelled with it.
        changes: `patches.changes` of the two pictures, if they differ in one thing.
    """

    ids: list[int] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    scene: Scene | None = None
    changes: Any = None

    def add(self, tokens: Sequence[int], branch: int, start: int, weight: float = 0.0) -> int:
        """Append tokens at positions from `start`. Returns the position after them."""
        self.ids.extend(tokens)
        self.branch.extend([branch] * len(tokens))
        self.position.extend(range(start, start + len(tokens)))
        self.weight.extend([weight] * len(tokens))
        return start + len(tokens)

    def pad(self, token: int) -> None:
        """Fill the row up to `LENGTH` with a token that nothing sees."""
        missing = LENGTH - len(self.ids)
        self.ids += [token] * missing
        self.branch += [-1] * missing
        self.position += [0] * missing
        self.weight += [0.0] * missing


class Writer:
    """Writes conversations as rows of a vocabulary's tokens, in the chat template's form."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        encode = vocabulary.encode
        self._user = (vocabulary.start, *encode("user\n"))
        self._system = (vocabulary.start, *encode("system\n"))
        self._asked = (vocabulary.stop, *encode("\n"), vocabulary.start, *encode("assistant\n"))
        self._next = encode("\n")
        self._colors = {encode(f" {color}")[0]: color for color in COLORS}
        self._names = {encode(f" {word}")[0]: name for name in SHAPES for word in (name, plural(name))}
        self._names |= {encode(f" {word}")[0]: "" for word in ("shape", "shapes")}

    def mentions(self, ids: Sequence[int], scene: Scene) -> Iterator[tuple[int, list[Shape]]]:
        """Where in a row's tokens the name of a thing ("red circle") ends, and the shapes of the scene that it fits."""
        for place in range(1, len(ids)):
            name, color = self._names.get(ids[place]), self._colors.get(ids[place - 1])
            if name or (name == "" and color):
                yield place, [s for s in scene.shapes if name in ("", s.name) and color in (None, s.color)]

    def _turn(self, question: str, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens of a question, up to where the answer begins, and those of the answer."""
        encode = self._vocabulary.encode
        return (*encode(question), *self._asked), (*encode(answer), self._vocabulary.stop)

    def row(self, rng: Random, kind: str) -> tuple[Row, list[LabelledPicture]]:
        """One row, of a kind that `ROW_KINDS` names, and its pictures."""
        written = {
            "single": self._single,
            "pair": self._pair,
            "outside": self._outside,
            "dialogue": self._dialogue,
            "late": self._late,
            "talk": self._talk,
            "first": self._first,
            "first pair": self._first_pair,
        }
        return written[kind](rng)  # fmt: skip

    def _begin(self, rng: Random, row: Row, system: float, pictures: int) -> tuple[int, str]:
        """Begin a row with a system prompt, in a share `system` of rows, and with its pictures.

        Returns the next position, and what comes between the last picture and a question.
        """
        position = 0
        if rng.random() < system:
            text = self._vocabulary.encode(rng.choice(wordings.SYSTEMS))
            position = row.add((*self._system, *text, self._vocabulary.stop, *self._next), 0, position)
        position = row.add(self._user, 0, position)
        between = "\n" if rng.random() < 0.2 else ""
        for number in range(pictures):
            position = row.add([-1 - number] * PATCHES, 0, position)
            if between and number + 1 < pictures:
                position = row.add(self._vocabulary.encode(between), 0, position)
        return position, between if rng.random() < 0.8 else "\n"

    def _fill(self, row: Row, position: int, before: str, conversations: Any) -> None:
        """Add the conversations as branches, as many as there is room for."""
        for branch, turns in enumerate(conversations, 1):
            parts = [self._turn(before * (i == 0) + item.question, item.answer) for i, item in enumerate(turns)]
            length = sum(len(asked) + len(answer) for asked, answer in parts) + (len(parts) - 1) * (len(self._user) + 1)
            if len(row.ids) + length > LENGTH:
                return
            at = position
            for i, (asked, answer) in enumerate(parts):
                if i:
                    at = row.add((*self._next, *self._user), branch, at)
                at = row.add(asked, branch, at)
                at = row.add(answer, branch, at, len(answer) ** -0.5)

    def _single(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """One picture and many conversations about it."""
        row, scene = Row(), scenes.make(rng, text=rng.random() < 0.4 or None)  # reading is what it learns slowest
        row.scene = scene
        position, before = self._begin(rng, row, 0.08, 1)
        self._fill(row, position, before, iter(lambda: _about(rng, scene), None))
        return row, [drawn(scene)]

    def _pair(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """Two pictures, often two that differ in one thing, and questions about both."""
        row, first, second = Row(), scenes.make(rng), scenes.make(rng)
        differing = None
        if rng.random() < 0.6:
            first, second, differing = two_pictures.differ(rng, first)

        def asked() -> tuple[Item, ...]:
            chance = rng.random()
            if differing is not None and chance < 0.5:
                wording = two_pictures.differ_wording(rng)
                return (Item("differ", wording, differing.answer),)
            return ((two_pictures.which if chance < 0.75 else two_pictures.nth)(rng, first, second),)

        position, before = self._begin(rng, row, 0.08, 2)
        self._fill(row, position, before, iter(asked, None))
        pictures = [drawn(first), drawn(second)]
        if differing is not None:
            row.changes = changes(pictures[0][1], pictures[1][1])
        return row, pictures

    def _first(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """One picture, and what people type first about it."""
        row, scene = Row(), first.scene(rng)
        row.scene = scene
        position, before = self._begin(rng, row, 0.04, 1)
        self._fill(row, position, before, iter(lambda: (first.trained(rng, scene),), None))
        return row, [drawn(scene)]

    def _first_pair(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """Two pictures, and what people type first about both."""
        row = Row()
        one, other, differs = first.pair(rng, first.scene(rng), same=0.35)
        position, before = self._begin(rng, row, 0.04, 2)
        self._fill(row, position, before, iter(lambda: (first.trained_both(rng, one, other, differs),), None))
        pictures = [drawn(one), drawn(other)]
        if differs != first.shown_in_both(one, other):  # it is one thing, or nothing
            row.changes = changes(pictures[0][1], pictures[1][1])
        return row, pictures

    def _outside(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """A picture outside the world, and questions to which the model must not know the answer."""
        row, picture = Row(), outside.picture(rng)
        position, before = self._begin(rng, row, 0.08, 1)

        def asked() -> tuple[Item, ...]:
            if rng.random() < 0.12:
                return (unanswerable.ask(rng),)
            return (Item("outside", unanswerable.any_question(rng), questions.DONT_KNOW),)

        self._fill(row, position, before, iter(asked, None))
        return row, [(view(picture), outside_labels())]

    def _dialogue(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """One long conversation; the first question may come before the picture."""
        row, scene, at = Row(), scenes.make(rng), 0
        row.scene = scene
        if rng.random() < 0.3:
            text = self._vocabulary.encode(rng.choice(wordings.SYSTEMS))
            at = row.add((*self._system, *text, self._vocabulary.stop, *self._next), 0, at)
        first = True
        while True:
            for item in _about(rng, scene) if rng.random() > 0.04 else (_small_talk(rng),):
                asked, answer = self._turn(item.question, item.answer)
                if len(row.ids) + len(asked) + len(answer) + len(self._user) + 1 + PATCHES * first > LENGTH:
                    return row, [drawn(scene)]
                at = row.add(self._user, 0, at)
                if first and rng.random() < 0.4:
                    question = self._vocabulary.encode(item.question)
                    at = row.add((*question, *(self._next if rng.random() < 0.5 else ())), 0, at)
                    at = row.add([-1] * PATCHES, 0, at)
                    asked = self._asked
                elif first:
                    at = row.add([-1] * PATCHES, 0, at)
                first = False
                at = row.add(asked, 0, at)
                at = row.add(answer, 0, at, len(answer) ** -0.5)
                at = row.add(self._next, 0, at)

    def _late(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """A second picture that comes with a later turn."""
        row, first, second, at = Row(), scenes.make(rng), scenes.make(rng), 0
        for number, scene in enumerate((first, second)):
            at = row.add(self._user, 0, at)
            at = row.add([-1 - number] * PATCHES, 0, at)
            short = [k for k in ("what", "count", "background", "exist") if rng.random() < 0.5] or ["count"]
            item = (
                questions.ask(rng, scene, rng.choice(short)) if number == 0 else two_pictures.which(rng, first, second)
            )
            assert item is not None  # these kinds always have an answer
            asked, answer = self._turn(item.question, item.answer)
            at = row.add(asked, 0, at)
            at = row.add(answer, 0, at, len(answer) ** -0.5)
            at = row.add(self._next, 0, at)
        while True:
            item = (two_pictures.which if rng.random() < 0.6 else two_pictures.nth)(rng, first, second)
            asked, answer = self._turn(item.question, item.answer)
            if len(row.ids) + len(asked) + len(answer) + len(self._user) + 1 > LENGTH:
                return row, [drawn(first), drawn(second)]
            at = row.add(self._user, 0, at)
            at = row.add(asked, 0, at)
            at = row.add(answer, 0, at, len(answer) ** -0.5)
            at = row.add(self._next, 0, at)

    def _talk(self, rng: Random) -> tuple[Row, list[LabelledPicture]]:
        """A row without a picture."""
        row = Row()
        position = row.add(self._user, 0, 0)

        def asked() -> tuple[Item, ...]:
            if rng.random() < 0.5:
                return (_small_talk(rng),)
            if rng.random() < 0.4:
                return (unanswerable.ask(rng),)
            return (Item("talk", unanswerable.any_question(rng), questions.NO_PICTURE),)

        self._fill(row, position, "", iter(asked, None))
        return row, []


def _small_talk(rng: Random) -> Item:
    """A turn that is not about a picture: a greeting, thanks."""
    asked, answer = rng.choice(wordings.SMALL_TALK)
    return Item("talk", rng.choice(asked), answer)
