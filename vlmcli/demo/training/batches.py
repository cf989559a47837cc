"""What the demo model is trained on, step by step: pictures with labels for each patch, and rows of conversations.

A batch is a function of (seed, step) alone, so that a training run can be repeated. A row begins with one or two
pictures and goes on with many conversations about them, which all see the pictures but not one another: most of the
work of a row is answers, not pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vlmcli.demo import scenes
from vlmcli.demo.scenes import BACKGROUNDS, CHARACTERS, COLORS, SHAPES, VIEW, Scene, Shape
from vlmcli.demo.training import questions, wordings
from vlmcli.demo.training.questions import Item

if TYPE_CHECKING:  # the scenes and their labels need no tokenizer
    from vlmcli.demo.training.tokenizer import Vocabulary

PATCH = 16
CELLS = VIEW // PATCH
"""Patches along a side."""
PATCHES = CELLS * CELLS
COLUMNS = 4
"""Characters are labelled in so many columns of a patch."""
WAVES = (1, 2, 4)
BOX_NUMBERS = 4 * (1 + 2 * len(WAVES))
"""A box's four sides, each as itself and as the sine and cosine of its multiples: fine places, easy to read off."""
PADDING = (122, 116, 104)
LETTERS = 5
"""Most characters of a text of the world."""
MOST = (*questions.SIDES, *questions.EXTREMES)
"""What one shape of several can be."""
UNKNOWN = 255
"""A label that is not asked for."""
REGIONS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")

LENGTH = 320
"""Tokens in a row."""
ROWS = (
    ("single",) * 7 + ("pair",) * 3 + ("outside", "dialogue"),
    ("single",) * 6 + ("pair",) * 2 + ("late", "outside", "dialogue", "talk"),
)
"""Kinds of row in the batches, by turns."""
PICTURES = 40
"""Pictures in a batch of rows: those with questions, then others that only the encoder is asked about."""
SAME, REMOVED, ADDED, RECOLORED, REPAINTED = range(5)
"""What a patch of the second picture of two shows, against the first's: as `changes` says."""
ENCODER_BATCH = 48
"""Pictures in a batch for the encoder alone."""


def view(image: Image.Image) -> Any:
    """The picture as the encoder gets it, uint8 [VIEW, VIEW, 3]: scaled to fit, centred, padded, as llama.cpp does."""
    width, height = image.size
    scale = min(np.float32(VIEW) / np.float32(width), np.float32(VIEW) / np.float32(height))
    size = tuple(min(math.ceil(np.float32(side) * scale), VIEW) for side in (width, height))
    scaled = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
    padded = Image.new("RGB", (VIEW, VIEW), PADDING)
    padded.paste(scaled, ((VIEW - size[0]) // 2, (VIEW - size[1]) // 2))
    return np.asarray(padded)


@dataclass(frozen=True)
class Labels:
    """What each patch of a picture shows; `UNKNOWN` where it is not asked."""

    shape: Any  # uint8 [CELLS, CELLS]: 0 none, 1… SHAPES, last: outside the world
    color: Any  # uint8 [CELLS, CELLS]: 0 none, 1… COLORS
    character: Any  # uint8 [CELLS, CELLS, COLUMNS]: 0 none, 1… CHARACTERS
    order: Any  # uint8 [CELLS, CELLS, COLUMNS]: which one of its text a character is: 0 none, 1… LETTERS
    spelled: Any  # uint8 [CELLS, CELLS, LETTERS]: the text's first … last character, if it is here, as in `character`
    region: Any  # uint8 [CELLS, CELLS]: 0 none, 1… REGIONS
    most: Any  # uint8 [CELLS, CELLS, MOST]: 0 no, 1 yes
    same: Any  # uint8 [CELLS, CELLS, 3]: how many shapes there are, in all, of this one's colour, of its name
    box: Any  # float32 [CELLS, CELLS, BOX_NUMBERS]: nan where there is no shape
    background: int
    count: int


NAMES = ("shape", "color", "character", "order", "spelled", "region", "most", "same", "box", "background", "count")


def labels(scene: Scene) -> Labels:
    """The labels of a scene's patches."""
    width, height = scene.view
    left, top = (VIEW - math.ceil(width)) // 2, (VIEW - math.ceil(height)) // 2
    shape = np.zeros((CELLS, CELLS), np.uint8)
    color, region = shape.copy(), shape.copy()
    character = np.zeros((CELLS, CELLS, COLUMNS), np.uint8)
    order, spelled = character.copy(), np.zeros((CELLS, CELLS, LETTERS), np.uint8)
    most, same = (np.full((CELLS, CELLS, size), UNKNOWN, np.uint8) for size in (len(MOST), 3))
    ends = [questions.outermost(side, scene) for side in questions.SIDES]
    ends += [questions.extreme(kind, scene) for kind in questions.EXTREMES]
    box = np.full((CELLS, CELLS, BOX_NUMBERS), np.nan, np.float32)
    nearest = np.full((CELLS, CELLS), np.inf)
    middles = (np.arange(CELLS) + 0.5) * PATCH
    for s in scene.shapes:
        x, y = s.x + left, s.y + top
        distance = np.hypot(middles[None] - x, middles[:, None] - y)
        covered = distance <= max(s.radius * 0.95, 8.5)
        covered[min(CELLS - 1, int(y // PATCH)), min(CELLS - 1, int(x // PATCH))] = True
        covered &= distance < nearest
        nearest[covered] = distance[covered]
        shape[covered] = SHAPES.index(s.name) + 1
        color[covered] = list(COLORS).index(s.color) + 1
        place = questions.region(s, scene)
        region[covered] = REGIONS.index(place) + 1 if place else UNKNOWN
        most[covered] = [UNKNOWN if end is None else end is s for end in ends]
        alike = (sum(o.color == s.color for o in scene.shapes), sum(o.name == s.name for o in scene.shapes))
        same[covered] = (len(scene.shapes), *alike)
        box[covered] = shape_box(s, scene)
    for text in scene.texts:
        edges = [e + left for e in text.edges]
        y0, y1 = text.y + top, text.y + top + text.height
        number = list(COLORS).index(text.color) + 1
        for row in range(CELLS):
            shared = min(y1, (row + 1) * PATCH) - max(y0, row * PATCH)
            if shared < min(6, (y1 - y0) / 2) and int((y0 + y1) / 2 // PATCH) != row:
                continue
            for column in range(CELLS * COLUMNS):
                x = (column + 0.5) * PATCH / COLUMNS
                for i, written in enumerate(text.text):
                    if edges[i] <= x < edges[i + 1]:
                        spot = row, column // COLUMNS, column % COLUMNS
                        character[spot] = CHARACTERS.index(written) + 1
                        order[spot] = i + 1 if len(scene.texts) == 1 and i < LETTERS else UNKNOWN
                        if order[spot] != UNKNOWN:
                            spelled[row, column // COLUMNS, i] = character[spot]
            inked = character[row].any(-1) & (color[row] == 0)
            color[row][inked] = number
    ground = list(BACKGROUNDS).index(scene.background)
    return Labels(shape, color, character, order, spelled, region, most, same, box, ground, len(scene.shapes))


def shape_box(shape: Shape, scene: Scene) -> Any:
    """A shape's sides as shares of the picture's, float32 [BOX_NUMBERS]: themselves in -1…1, then waves of them."""
    sides = np.asarray(shape.box, np.float32) / np.asarray(scene.view * 2, np.float32)
    turns = [wave for k in WAVES for wave in (np.sin(2 * np.pi * k * sides), np.cos(2 * np.pi * k * sides))]
    return np.concatenate([sides * 2 - 1, *turns])


def outside_labels() -> Labels:
    """Of a picture outside the world: only that it is one."""
    shape = np.full((CELLS, CELLS), len(SHAPES) + 1, np.uint8)
    unknown = np.full((CELLS, CELLS), UNKNOWN, np.uint8)
    columns, letters, most, same = (
        np.full((CELLS, CELLS, size), UNKNOWN, np.uint8) for size in (COLUMNS, LETTERS, len(MOST), 3)
    )
    box = np.full((CELLS, CELLS, BOX_NUMBERS), np.nan, np.float32)
    return Labels(shape, unknown, columns, columns, letters, unknown, most, same, box, UNKNOWN, UNKNOWN)


Picture = tuple[Any, Labels]


def sides(one: Shape, other: Shape, scene: Scene) -> list[int]:
    """Whether one shape is left of another, and above it: 0 no, 1 yes, `UNKNOWN` where they are about level."""
    width, height = scene.view
    gaps = ((other.x - one.x) / width, (other.y - one.y) / height)
    return [UNKNOWN if abs(gap) < 0.08 else int(gap > 0) for gap in gaps]


def changes(first: Labels, second: Labels) -> Any:
    """Per patch, what the second of two pictures that differ in one thing shows; `UNKNOWN` where it is open.

    Returns: uint8 [PATCHES]; where nothing is drawn, another background is `REPAINTED`.
    """
    found = np.full((CELLS, CELLS), UNKNOWN, np.uint8)
    before, after = first.shape, second.shape
    found[(before == after) & (first.color == second.color)] = SAME
    found[(before > 0) & (after == 0)] = REMOVED
    found[(before == 0) & (after > 0)] = ADDED
    found[(before > 0) & (before == after) & (first.color != second.color)] = RECOLORED
    if first.background != second.background:
        found[(before == 0) & (after == 0)] = REPAINTED
    return found.ravel()


def drawn(scene: Scene) -> Picture:
    """A scene's pixels and labels."""
    return view(scenes.draw(scene)), labels(scene)


def encoder_pictures(rng: Random, count: int, pages: float) -> list[Picture]:
    """Scenes, a share of pages of characters, and pictures outside the world, to train the encoder alone."""
    found = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.1:
            found.append((view(scenes.outside(rng)), outside_labels()))
        else:
            scene = scenes.page(rng) if kind >= 1 - pages else scenes.make(rng, text=rng.random() < 0.6 or None)
            found.append(drawn(scene))
    return found


# --- Conversations ---

_WEIGHTS = {
    "shapes": {
        "what": 5, "describe": 2.5, "detail": 2, "count": 1.6, "count of": 4, "color": 2, "shape": 3,
        "exist": 3.2, "left": 1.2, "right": 1.2, "top": 1.2, "bottom": 1.2, "middle": 1.2, "where": 3,
        "relation": 9, "biggest": 1.2, "smallest": 1, "background": 1, "read": 2, "says": 2, "has text": 0.5,
        "json": 1.6, "box": 3,
    },
    "text": {
        "what": 3, "describe": 2, "read": 4, "says": 4, "background": 1, "has text": 0.7, "count": 0.6, "exist": 0.5,
        "text color": 1, "json": 0.8, "detail": 0.6, "count of": 0.3, "left": 0.3, "right": 0.3,
        "top": 0.3, "bottom": 0.3,
    },
    "both": {
        "what": 4.5, "describe": 2, "detail": 1, "read": 3, "says": 3, "count": 1, "count of": 1, "color": 1.4,
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
        return (questions.outside(rng),)
    if chance < 0.23:
        turns = questions.follow_up(rng, scene)
        if turns:
            return turns
    if chance < 0.29:
        return _some(rng, scene), _some(rng, scene)
    return (_some(rng, scene),)


@dataclass
class Row:
    """Token ids of one row; a picture's patches are -1 - its number. Branches share what has branch 0."""

    ids: list[int] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    scene: Scene | None = None
    """What its one picture shows, if the row's words are to be labelled with it."""
    changes: Any = None
    """`changes` of its two pictures, if they differ in one thing."""

    def add(self, tokens: Sequence[int], branch: int, start: int, weight: float = 0.0) -> int:
        """Append tokens at positions from `start`; returns the next position."""
        self.ids.extend(tokens)
        self.branch.extend([branch] * len(tokens))
        self.position.extend(range(start, start + len(tokens)))
        self.weight.extend([weight] * len(tokens))
        return start + len(tokens)

    def pad(self, token: int) -> None:
        """Fill the row to its length with what nothing sees."""
        missing = LENGTH - len(self.ids)
        self.ids += [token] * missing
        self.branch += [-1] * missing
        self.position += [0] * missing
        self.weight += [0.0] * missing


class Writer:
    """Writes conversations as rows in the chat template's form."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        encode = vocabulary.encode
        self._user = (vocabulary.start, *encode("user\n"))
        self._system = (vocabulary.start, *encode("system\n"))
        self._asked = (vocabulary.stop, *encode("\n"), vocabulary.start, *encode("assistant\n"))
        self._next = encode("\n")
        self._colors = {encode(f" {color}")[0]: color for color in COLORS}
        self._names = {encode(f" {word}")[0]: name for name in SHAPES for word in (name, questions.plural(name))}
        self._names |= {encode(f" {word}")[0]: "" for word in ("shape", "shapes")}

    def mentions(self, ids: Sequence[int], scene: Scene) -> Iterator[tuple[int, list[Shape]]]:
        """Of a row's tokens, where each one is that ends the name of a thing ("red circle"), and the shapes it fits."""
        for place in range(1, len(ids)):
            name, color = self._names.get(ids[place]), self._colors.get(ids[place - 1])
            if name or (name == "" and color):
                yield place, [s for s in scene.shapes if name in ("", s.name) and color in (None, s.color)]

    def _turn(self, question: str, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        encode = self._vocabulary.encode
        return (*encode(question), *self._asked), (*encode(answer), self._vocabulary.stop)

    def row(self, rng: Random, kind: str) -> tuple[Row, list[Picture]]:
        """One row of a kind that `ROWS` names, and its pictures."""
        return {"single": self._single, "pair": self._pair, "outside": self._outside, "dialogue": self._dialogue,
                "late": self._late, "talk": self._talk}[kind](rng)  # fmt: skip

    def _begin(self, rng: Random, row: Row, system: float, pictures: int) -> tuple[int, str]:
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
        """Branches, as many as there is room for."""
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

    def _single(self, rng: Random) -> tuple[Row, list[Picture]]:
        row, scene = Row(), scenes.make(rng, text=rng.random() < 0.4 or None)  # reading is what it learns slowest
        row.scene = scene
        position, before = self._begin(rng, row, 0.08, 1)
        self._fill(row, position, before, iter(lambda: _about(rng, scene), None))
        return row, [drawn(scene)]

    def _pair(self, rng: Random) -> tuple[Row, list[Picture]]:
        row, first, second = Row(), scenes.make(rng), scenes.make(rng)
        differing = None
        if rng.random() < 0.6:
            first, second, differing = questions.differ(rng, first)

        def asked() -> tuple[Item, ...]:
            chance = rng.random()
            if differing is not None and chance < 0.5:
                wording = questions.differ_wording(rng)
                return (Item("differ", wording, differing.answer),)
            return ((questions.which if chance < 0.75 else questions.nth)(rng, first, second),)

        position, before = self._begin(rng, row, 0.08, 2)
        self._fill(row, position, before, iter(asked, None))
        pictures = [drawn(first), drawn(second)]
        if differing is not None:
            row.changes = changes(pictures[0][1], pictures[1][1])
        return row, pictures

    def _outside(self, rng: Random) -> tuple[Row, list[Picture]]:
        row, picture = Row(), scenes.outside(rng)
        position, before = self._begin(rng, row, 0.08, 1)

        def asked() -> tuple[Item, ...]:
            if rng.random() < 0.12:
                return (questions.outside(rng),)
            return (Item("outside", questions.of_anything(rng), questions.DONT_KNOW),)

        self._fill(row, position, before, iter(asked, None))
        return row, [(view(picture), outside_labels())]

    def _dialogue(self, rng: Random) -> tuple[Row, list[Picture]]:
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

    def _late(self, rng: Random) -> tuple[Row, list[Picture]]:
        """A second picture that comes with a later turn."""
        row, first, second, at = Row(), scenes.make(rng), scenes.make(rng), 0
        for number, scene in enumerate((first, second)):
            at = row.add(self._user, 0, at)
            at = row.add([-1 - number] * PATCHES, 0, at)
            short = [k for k in ("what", "count", "background", "exist") if rng.random() < 0.5] or ["count"]
            item = questions.ask(rng, scene, rng.choice(short)) if number == 0 else questions.which(rng, first, second)
            assert item is not None  # these kinds always have an answer
            asked, answer = self._turn(item.question, item.answer)
            at = row.add(asked, 0, at)
            at = row.add(answer, 0, at, len(answer) ** -0.5)
            at = row.add(self._next, 0, at)
        while True:
            item = (questions.which if rng.random() < 0.6 else questions.nth)(rng, first, second)
            asked, answer = self._turn(item.question, item.answer)
            if len(row.ids) + len(asked) + len(answer) + len(self._user) + 1 > LENGTH:
                return row, [drawn(first), drawn(second)]
            at = row.add(self._user, 0, at)
            at = row.add(asked, 0, at)
            at = row.add(answer, 0, at, len(answer) ** -0.5)
            at = row.add(self._next, 0, at)

    def _talk(self, rng: Random) -> tuple[Row, list[Picture]]:
        """No picture at all."""
        row = Row()
        position = row.add(self._user, 0, 0)

        def asked() -> tuple[Item, ...]:
            if rng.random() < 0.5:
                return (_small_talk(rng),)
            if rng.random() < 0.4:
                return (questions.outside(rng),)
            return (Item("talk", questions.of_anything(rng), questions.NO_PICTURE),)

        self._fill(row, position, "", iter(asked, None))
        return row, []


def _small_talk(rng: Random) -> Item:
    asked, answer = rng.choice(wordings.SMALL_TALK)
    return Item("talk", rng.choice(asked), answer)


def joint(writer: Writer, pad: int, seed: int, step: int) -> tuple[dict[str, Any], list[Picture]]:
    """The rows of a training step as arrays, and their pictures in order; the same for the same seed and step.

    Arrays: ids int64 [rows, LENGTH] (0 where a picture is); branch, position, weight [rows, LENGTH];
    places int64 [pictures * PATCHES]: where in the flattened rows the pictures' patches go;
    fitting uint8 [rows, LENGTH]: how many shapes fit the name that ends here; place float32 [rows, LENGTH,
    BOX_NUMBERS]: the box of the only one, else nan; beside uint8 [rows, LENGTH, 2]: `sides` of the only one that the
    name before it fits, against this one; change uint8 [rows, LENGTH]: `changes`, at the second picture.
    """
    rng = Random(f"{seed} joint {step}")
    rows: list[Row] = []
    pictures: list[Picture] = []
    places: list[int] = []
    count = len(ROWS[step % len(ROWS)])
    fitting, change = (np.full((count, LENGTH), UNKNOWN, np.uint8) for _ in range(2))
    place = np.full((count, LENGTH, BOX_NUMBERS), np.nan, np.float32)
    beside = np.full((count, LENGTH, 2), UNKNOWN, np.uint8)
    for number, kind in enumerate(ROWS[step % len(ROWS)]):
        row, shown = writer.row(rng, kind)
        row.pad(pad)
        if row.scene is not None:
            before: tuple[int, Shape] | None = None
            for at, fits in writer.mentions(row.ids, row.scene):
                fitting[number, at] = len(fits)
                if len(fits) == 1:
                    place[number, at] = shape_box(fits[0], row.scene)
                    if before and before[1] is not fits[0] and row.branch[before[0]] == row.branch[at]:
                        beside[number, at] = sides(before[1], fits[0], row.scene)
                    before = at, fits[0]
        if row.changes is not None:
            start = row.ids.index(-2)
            change[number, start : start + PATCHES] = row.changes
        for i in range(len(shown)):
            start = number * LENGTH + row.ids.index(-1 - i)
            places.extend(range(start, start + PATCHES))
        rows.append(row)
        pictures += shown
    arrays = {
        "ids": np.maximum(np.asarray([row.ids for row in rows], np.int64), 0),
        "branch": np.asarray([row.branch for row in rows], np.int16),
        "position": np.asarray([row.position for row in rows], np.int16),
        "weight": np.asarray([row.weight for row in rows], np.float32),
        "places": np.asarray(places, np.int64),
        "fitting": fitting,
        "place": place,
        "beside": beside,
        "change": change,
    }
    return arrays, pictures


def encoder_only(seed: int, step: int, count: int, pages: float = 0.4) -> list[Picture]:
    """Pictures of a step that only the encoder is asked about; the same for the same seed and step."""
    return encoder_pictures(Random(f"{seed} encoder {step}"), count, pages)
