"""What the demo model is trained on, step by step: rows of conversations as arrays, and pictures with labels.

A batch is a function of (seed, step) alone, so that a training run can be repeated. PyTorch is not known here.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from vlmcli.demo import chance, outside
from vlmcli.demo.training.patches import (
    BOX_NUMBERS,
    PATCHES,
    UNKNOWN,
    LabelledPicture,
    drawn,
    left_and_above,
    outside_labels,
    shape_box,
    view,
)
from vlmcli.demo.training.rows import LENGTH, ROW_KINDS, Row, Writer
from vlmcli.demo.world import Shape

PICTURES = 40
"""Pictures in a batch of rows: those with questions, then others that only the encoder is asked about."""
ENCODER_BATCH = 48
"""Pictures in a batch for the encoder alone."""


def joint(
    writer: Writer, pad: int, seed: int, step: int, half: bool = False
) -> tuple[dict[str, Any], list[LabelledPicture]]:
    """The rows of a training step as arrays, and their pictures in order; the same for the same seed and step.

    With `half`, two steps have the rows that else one has.

    Arrays: ids int64 [rows, LENGTH] (0 where a picture is); branch, position, weight [rows, LENGTH];
    places int64 [pictures * PATCHES]: where in the flattened rows the pictures' patches go;
    fitting uint8 [rows, LENGTH]: how many shapes fit the name that ends here; place float32 [rows, LENGTH,
    BOX_NUMBERS]: the box of the only one, else nan; beside uint8 [rows, LENGTH, 2]: `left_and_above` of the only
    one that the name before it fits, against this one; change uint8 [rows, LENGTH]: `changes`, at the second picture;
    old float32 [rows]: 1 where a row has no first questions, else 0.
    """
    rng = Random(f"{seed} joint {step}")
    rows: list[Row] = []
    pictures: list[LabelledPicture] = []
    places: list[int] = []
    kinds = ROW_KINDS[step // 2 % len(ROW_KINDS)][step % 2 :: 2] if half else ROW_KINDS[step % len(ROW_KINDS)]
    count = len(kinds)
    fitting, change = (np.full((count, LENGTH), UNKNOWN, np.uint8) for _ in range(2))
    place = np.full((count, LENGTH, BOX_NUMBERS), np.nan, np.float32)
    beside = np.full((count, LENGTH, 2), UNKNOWN, np.uint8)
    for number, kind in enumerate(kinds):
        row, shown = writer.row(rng, kind)
        row.pad(pad)
        if row.scene is not None:
            before: tuple[int, Shape] | None = None
            for at, fits in writer.mentions(row.ids, row.scene):
                fitting[number, at] = len(fits)
                if len(fits) == 1:
                    place[number, at] = shape_box(fits[0], row.scene)
                    if before and before[1] is not fits[0] and row.branch[before[0]] == row.branch[at]:
                        beside[number, at] = left_and_above(before[1], fits[0], row.scene)
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
        "old": np.asarray([not kind.startswith("first") for kind in kinds], np.float32),
    }
    return arrays, pictures


def encoder_only(seed: int, step: int, count: int, pages: float = 0.4) -> list[LabelledPicture]:
    """Pictures of a step that only the encoder is asked about; the same for the same seed and step."""
    return encoder_pictures(Random(f"{seed} encoder {step}"), count, pages)


def encoder_pictures(rng: Random, count: int, pages: float) -> list[LabelledPicture]:
    """Scenes, a share of pages of characters, and pictures outside the world, to train the encoder alone."""
    found = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.1:
            found.append((view(outside.picture(rng)), outside_labels()))
        else:
            scene = chance.page(rng) if kind >= 1 - pages else chance.make(rng, text=rng.random() < 0.6 or None)
            found.append(drawn(scene))
    return found
