"""The model in the package: a very small LLaVA, trained on drawn scenes, for first steps and for tests.

    scenes     the door to drawn scenes: make one, draw it
    world      what can be in a picture, and the values that say what is in one
    chance     makes scenes by chance
    drawing    draws them
    lettering  the fonts
    outside    draws pictures that are not of this world
    training   what made the model, and measures it

Here are only the model's two files and what is said about them; importing this loads neither numpy nor Pillow.
"""

from __future__ import annotations

from pathlib import Path

from vlmcli.values import Card, ModelFiles

FOLDER = Path(__file__).parent
"""Where the two files of the model are."""

NOTICE = "the demo model sees only drawn shapes and short words; it cannot read photographs"

CARD = Card(
    about=(
        "demo: a very small LLaVA that comes with vlm: 4.0 million parameters, 7.9 MB.",
        "It sees drawn shapes, their colours, places and number, and words of up to five letters.",
        'It cannot read photographs (it answers "I don\'t know."): for those, choose another model with -m.',
    ),
    notice=NOTICE,
    notice_daily=True,
    unsure="I don't know.",
    unsure_hint="for photographs, use a real model: `vlm models` lists them, `vlm pull NAME` downloads one",
    prompts={
        "describe short": "Describe this image.",
        "describe long": "Describe this image in detail.",
        "describe focus": "Describe this image in detail.",
        "ocr plain": "Read the text in this image.",
        "ocr markdown": "Read the text in this image.",
        "predicate": "{instructions}",
        "predicate of statement": "{instructions}",
        "match": "Is there {instructions}?",
        "choice": "{instructions}",
        "classify": "What is this?",
        "score": "{instructions}",
        "extract": "List the shapes as JSON.",
        "detect": "List the shapes as JSON.",
        "point": "List the shapes as JSON.",
    },
    licence="MIT",
    boxes="0-1000",
)

FILES = ModelFiles("demo", FOLDER / "demo.gguf", FOLDER / "mmproj-demo.gguf", CARD)
