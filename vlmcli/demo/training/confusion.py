"""What is taken for what: counted from answers, and drawn as a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vlmcli.demo.training.cases import Case


def count(cases: Sequence[Case], said: Sequence[str], kind: str, names: Sequence[str]) -> Counter[tuple[str, str]]:
    """(what it is, what was said) → how often, over the answers to one kind of question."""
    counts: Counter[tuple[str, str]] = Counter()
    for case, answer in zip(cases, said, strict=True):
        if case.item.kind == kind and not case.item.answer.startswith("There is no"):
            true, found = (next((w for w in reversed(text.rstrip(".").split()) if w in names), "other")
                           for text in (case.item.answer, answer))  # fmt: skip
            counts[true, found] += 1
    return counts


def draw(counts: dict[tuple[str, str], int], names: Sequence[str], path: Path) -> None:
    """A grid: what it is downwards, what the model said across, shares of a row in per cent."""
    cell, margin = 44, 90
    said = [*names, "other"]
    image = Image.new("RGB", (margin + cell * len(said) + 10, margin + cell * len(names) + 10), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for i, name in enumerate(said):
        label = Image.new("L", (margin, 20))
        ImageDraw.Draw(label).text((2, 2), name, font=font, fill=255)
        label = label.rotate(90, expand=True)
        image.paste("black", (margin + i * cell + 12, 0), label)
    for j, true in enumerate(names):
        pen.text((4, margin + j * cell + 14), true, font=font, fill="black")
        total = sum(counts.get((true, name), 0) for name in said)
        for i, name in enumerate(said):
            share = counts.get((true, name), 0) / total if total else 0.0
            shade = int(255 - 200 * share)
            left, top = margin + i * cell, margin + j * cell
            fill = (shade, shade, 255) if name == true else (255, shade, shade)
            pen.rectangle([left, top, left + cell - 2, top + cell - 2], fill=fill, outline="#dddddd")
            if share:
                ink = "white" if share > 0.6 else "black"
                pen.text((left + 10, top + 13), f"{100 * share:.0f}", font=font, fill=ink)
    image.save(path)
