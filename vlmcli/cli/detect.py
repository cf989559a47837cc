"""`vlm detect` and `vlm point`: where something is, in pixels of the upright picture, as lines, records or pictures."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmcli.cli.flags import SAMPLING, SHARED, Flags, with_flags
from vlmcli.errors import Exit, ModelError, UsageError
from vlmcli.later import Later
from vlmcli.settings import variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmcli import atomic
    from vlmcli.batch.run import Outcome
    from vlmcli.cli import answer as answers
    from vlmcli.cli import words as arguments
    from vlmcli.decisions import Place
    from vlmcli.models import catalogue
    from vlmcli.pictures import marking
    from vlmcli.records import lines
    from vlmcli.settings import Settings
    from vlmcli.tasks import boxes
    from vlmcli.tasks import detect as tasks
    from vlmcli.terminal import thumbnails
    from vlmcli.terminal.ui import Ui
    from vlmcli.values import ModelFiles
else:  # a page of help needs none of them
    answers, arguments = Later("vlmcli.cli.answer"), Later("vlmcli.cli.words")
    atomic, boxes, catalogue = Later("vlmcli.atomic"), Later("vlmcli.tasks.boxes"), Later("vlmcli.models.catalogue")
    lines, marking = Later("vlmcli.records.lines"), Later("vlmcli.pictures.marking")
    tasks, thumbnails = Later("vlmcli.tasks.detect"), Later("vlmcli.terminal.thumbnails")


class Form(str, Enum):
    """How places are written to stdout."""

    TEXT, JSONL, CSV, COCO = "text", "jsonl", "csv", "coco"


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURES... WHAT",
        help="Files, folders, patterns, URLs, or - for stdin. The last argument is what to look for.",
        show_default=False,
    ),
]
Format = Annotated[
    Form,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Write places as text (default), jsonl (same as --json), a csv table, or coco.",
    ),
]
Boxes = Annotated[
    str | None,
    typer.Option("--boxes", metavar="HOW", help="How the model counts: 0-1000, '0-1000 yx', pixels or 0-1."),
]
Draw = Annotated[
    str | None,
    typer.Option("--draw", metavar="DIR|FILE", help="Draw the places onto copies of the pictures."),
]
Crop = Annotated[str | None, typer.Option("--crop", metavar="DIR", help="Save what is in each box as a picture.")]
Yolo = Annotated[str | None, typer.Option("--yolo", metavar="DIR", help="Save labels for YOLO, a file per picture.")]

COLUMNS, ROWS = 60, 16
"""Cells of a small drawing in a terminal."""
LONG = 1024
"""Tokens of an answer, where nobody says how many: lists of boxes are long."""
_FLAGS = tuple(name for name in SHARED if name not in ("detail", "format"))
"""Places are those of the whole picture, so that there is no other detail."""


@with_flags(*_FLAGS, *SAMPLING)
def detect(
    words: Words = None,
    format: Format = Form.TEXT,
    draw: Draw = None,
    crop: Crop = None,
    yolo: Yolo = None,
    convention: Boxes = None,
    *,
    flags: Flags,
) -> None:
    """Find things in pictures, with boxes around them.

    Boxes are in pixels of the upright picture: left, top, right, bottom. The model must have learnt to write boxes;
    vlm models --json says which have.

    vlm detect photo.jpg "each person"

    vlm detect ~/Pictures "each dog" --draw boxes
    """
    _find(words or (), flags, _Output(format, draw, crop, yolo), convention, points=False)


@with_flags(*_FLAGS, *SAMPLING)
def point(
    words: Words = None, format: Format = Form.TEXT, draw: Draw = None, convention: Boxes = None, *, flags: Flags
) -> None:
    """Find things in pictures, with a point on each.

    Points are in pixels of the upright picture, from its left and top.

    vlm point photo.jpg "each eye"

    vlm point photo.jpg "the door handle" --draw out.png
    """
    _find(words or (), flags, _Output(format, draw, None, None), convention, points=True)


def _find(words: Sequence[str], flags: Flags, output: _Output, convention: str | None, *, points: bool) -> None:
    if convention is not None and convention not in boxes.CONVENTIONS:
        raise UsageError(f"--boxes {convention}: not known", f"choose {', '.join(map(repr, boxes.CONVENTIONS))}")
    names, asked = arguments.pictures_and_questions(words, None, flags.files_from)
    sampling, limit = flags.sampling()
    if flags.max_tokens is None:
        limit = max(limit, LONG)

    def made(files: ModelFiles, settings: Settings, context: str) -> list[tasks.Detect]:
        if context:
            raise UsageError("what is on stdin is text", "pipe in a picture, or leave out -")
        how = convention or files.card.boxes
        if not how:
            if files.servers:
                raise ModelError(
                    f"{files.name} is not known to write boxes", "say how it counts: --boxes 0-1000, or pixels"
                )
            able = [entry.name for entry in catalogue.entries() if entry.boxes != "none" and not entry.retired][:3]
            raise ModelError(
                f"{files.name} is not known to write boxes",
                f"use {', '.join(able)}, or say how it counts: --boxes 0-1000",
            )
        own = tuple(sorted(files.card.prompts.items()))
        system = flags.system or settings.system
        return [tasks.Detect(asked[0], how, points, system, own, sampling, limit, files.card.think)]

    first = [tasks.Detect(asked[0], points=points)]
    named = flags.named(names, each=True)
    answers.do(made, first, named, output.flags(flags), plain=True, reading=True, manner=output.manner)


class _Output:
    """Where places go: lines on stdout, pictures and files beside."""

    def __init__(self, form: Form, draw: str | None, crop: str | None, yolo: str | None) -> None:
        self._form, self._draw, self._crop, self._yolo = form, draw, crop, yolo
        self._head = True
        self._labels: list[str] = []
        self._coco: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
        self._taken: set[str] = set()

    @property
    def manner(self) -> answers.Manner:
        """How a run shows its outcomes."""
        return answers.Manner(self.lined, self.ended)

    def flags(self, flags: Flags) -> Flags:
        """The command's flags, with records where the format says so."""
        from dataclasses import replace

        return replace(flags, json=flags.json or self._form is Form.JSONL)

    def lined(self, outcome: Outcome, width: int = 0) -> str:
        """What is written of a picture; its drawing, crops and labels are saved. Raises VlmError.

        A terminal, so many columns wide, also gets a small drawing where it can show one.
        """
        places = outcome.result.places or ()
        answer = outcome.result.answer
        assert answer is not None
        name, size = " ".join(outcome.job.names), answer.seen[0].size
        self._save(outcome)
        if self._form is Form.COCO:
            self._add(name, size, outcome)
            return ""
        if self._form is Form.CSV:
            head = ("picture", "label", "left", "top", "right", "bottom", "score")
            rows: list[tuple[str, ...]] = [head] if self._head else []
            self._head = False
            rows += [(name, place.label, *map(str, place.corners), _score(place)) for place in places]
            return "".join(f"{lines.table_row(row, ',')}\n" for row in rows)
        found = [_thumbnail(outcome, width)] if width and places else []
        for place in places:
            corners = place.corners[: 2 if place.is_point else 4]
            found.append("\t".join([lines.escape(name), lines.escape(place.label), *map(str, corners)]) + "\n")
        return "".join(found)

    def ended(self, ui: Ui, failed: Exit | None) -> Exit | None:
        """Write what is whole only at the end."""
        if self._form is Form.COCO:
            categories = [{"id": number, "name": label} for number, label in enumerate(self._labels, 1)]
            ui.line(json.dumps(self._coco | {"categories": categories}, ensure_ascii=False))
        if self._yolo is not None:
            atomic.write(Path(self._yolo) / "classes.txt", "".join(f"{one}\n" for one in self._labels).encode())
        return failed

    def _number(self, label: str) -> int:
        """A label's number, from 0."""
        if label not in self._labels:
            self._labels.append(label)
        return self._labels.index(label)

    def _add(self, name: str, size: tuple[int, int], outcome: Outcome) -> None:
        """A picture and its boxes as COCO has them (cocodataset.org, data format): left, top, width, height."""
        images, annotations = self._coco["images"], self._coco["annotations"]
        images.append({"id": len(images) + 1, "file_name": name, "width": size[0], "height": size[1]})
        for place in outcome.result.places or ():
            left, top, right, bottom = place.corners
            wide, high = right - left, bottom - top
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1, "image_id": len(images), "category_id": self._number(place.label) + 1,
                "bbox": [left, top, wide, high], "area": wide * high, "iscrowd": 0,
            }  # fmt: skip
            if place.score is not None:
                annotation["score"] = round(place.score, 4)
            annotations.append(annotation)

    def _save(self, outcome: Outcome) -> None:
        places, source = outcome.result.places or (), outcome.job.pictures[0]
        stem = self._stem(source.name)
        if self._draw is not None or (self._crop is not None and places):
            picture = source.load(0)
            if self._draw is not None:
                target = Path(self._draw)
                path = target if target.suffix.lower() in (".png", ".jpg", ".jpeg") else target / f"{stem}.png"
                _write(path, marking.encoded(marking.marked(picture, places), path.suffix))
            for number, place in enumerate(places if self._crop is not None else (), 1):
                image = marking.cut(picture, place)
                if image is not None:
                    _write(Path(self._crop or "") / f"{stem}-{number}.png", marking.encoded(image, ".png"))
        if self._yolo is not None:
            answer = outcome.result.answer
            assert answer is not None
            width, height = answer.seen[0].size
            rows = []
            for place in places:
                x, y = place.center
                wide, high = place.right - place.left, place.bottom - place.top
                shares = (x / width, y / height, wide / width, high / height)
                rows.append(f"{self._number(place.label)} {' '.join(f'{one:.6f}' for one in shares)}\n")
            _write(Path(self._yolo) / f"{stem}.txt", "".join(rows).encode())

    def _stem(self, name: str) -> str:
        """A name for a picture's files, which no other picture of the command has."""
        base = (
            "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in Path(name).stem) or "picture"
        )
        stem, number = base, 2
        while stem in self._taken:
            stem, number = f"{base}-{number}", number + 1
        self._taken.add(stem)
        return stem


def _thumbnail(outcome: Outcome, width: int) -> str:
    """A small drawing of a picture's places as a terminal shows it; empty where that cannot show pictures."""
    protocol = thumbnails.protocol_of(variables())
    if not protocol:
        return ""
    image = marking.marked(outcome.job.pictures[0].load(0), outcome.result.places or ())
    columns, rows = min(COLUMNS, width), ROWS
    most = max(columns * thumbnails.CELL[0], rows * thumbnails.CELL[1])
    image.thumbnail((most, most))
    return thumbnails.shown(image.tobytes(), image.size, protocol, columns, rows) + "\n"


def _score(place: Place) -> str:
    return "" if place.score is None else f"{place.score:.4f}"


def _write(path: Path, data: bytes) -> None:
    """Write a file, in a folder that is made. Raises VlmError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent}: cannot be made ({error.strerror})", "name another folder") from None
    atomic.write(path, data)
