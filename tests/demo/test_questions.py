"""Each question's answer follows from its scene."""

import json
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from vlmcli.demo import scenes
from vlmcli.demo.scenes import Scene, Shape, Text
from vlmcli.demo.training import facts, questions, two_pictures, unanswerable
from vlmcli.demo.training.questions import DONT_KNOW

RED_CIRCLE = Shape("circle", "red", (255, 0, 0), 20.0, 20.0, 12.0)
BLUE_SQUARE = Shape("square", "blue", (0, 0, 255), 100.0, 64.0, 20.0)
SCENE = Scene(256, 256, "white", (255, 255, 255), (RED_CIRCLE, BLUE_SQUARE))
WRITTEN = replace(SCENE, texts=(Text("CAT7", "", "green", (0, 128, 0), 40.0, 110.0, 16.0),))
EMPTY = replace(SCENE, shapes=())


def answers(kind, scene, count=60):
    items = [questions.ask(Random(number), scene, kind) for number in range(count)]
    return {item.answer for item in items if item}


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("what", {"A red circle and a blue square."}),
        ("describe", {"The image shows a red circle and a blue square on a white background."}),
        ("detail", {"A red circle in the top left and a blue square on the right. The background is white."}),
        ("count", {"There are 2 shapes."}),
        ("left", {"A red circle."}),
        ("right", {"A blue square."}),
        ("top", {"A red circle."}),
        ("bottom", {"A blue square."}),
        ("biggest", {"The blue square."}),
        ("smallest", {"The red circle."}),
        ("background", {"The background is white."}),
        ("has text", {"No."}),
        ("text color", set()),
        ("middle", {"Nothing."}),
    ],
)
def test_a_scene_of_two_shapes(kind, wanted):
    assert answers(kind, SCENE) == wanted


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("read", {"CAT7"}),
        ("says", {'The text says "CAT7".'}),
        ("has text", {"Yes."}),
        ("text color", {"The text is green."}),
        ("what", {'A red circle, a blue square and the text "CAT7".'}),
    ],
)
def test_a_scene_with_a_word(kind, wanted):
    assert answers(kind, WRITTEN) == wanted


def test_an_empty_scene():
    assert answers("what", EMPTY) == {questions.EMPTY}
    assert answers("count", EMPTY) == {"There are no shapes."}
    assert answers("left", EMPTY) == {"Nothing."}
    assert answers("exist", EMPTY) == {"No."}


def test_colors_and_shapes_and_counts_name_what_is_there_or_say_it_is_not():
    said = answers("color", SCENE, 300)
    assert {"The circle is red.", "The square is blue.", "There is no star."} <= said
    assert not {a for a in said if "circle" in a} - {"The circle is red."}
    said = answers("shape", SCENE, 300)
    assert {"The red shape is a circle.", "The blue shape is a square."} <= said
    said = answers("count of", replace(SCENE, shapes=(RED_CIRCLE, replace(RED_CIRCLE, x=90.0))), 300)
    assert {"There are 2 circles.", "There are 2 red shapes.", "There are no blue shapes."} <= said


def test_where_and_boxes_are_parts_of_the_picture():
    wide = replace(SCENE, width=512, height=256, shapes=(replace(RED_CIRCLE, x=64.0, y=32.0),))
    assert facts.region(wide.shapes[0], wide) == "center"
    assert answers("where", wide) >= {"The red circle is in the center.", "The circle is in the center."}
    assert facts.box(wide.shapes[0], wide) == [410, 330, 590, 670]
    assert answers("box", wide) >= {"[410, 330, 590, 670]"}


def test_relations_follow_the_places():
    """The circle is left of and above the square."""
    said = {"left": "left", "right": "right"} | dict.fromkeys(("above", "higher", "over", "further up"), "above")
    said |= dict.fromkeys(("below", "lower", "under", "further down"), "below")
    seen = set()
    for number in range(300):
        item = questions.ask(Random(number), SCENE, "relation", held_out=True)
        side = next(side for words, side in said.items() if words in item.question)
        circle_first = item.question.index("circle") < item.question.index("square")
        true = circle_first == (side in ("left", "above"))
        assert item.answer == ("Yes." if true else "No."), item
        seen.add((side, true))
    assert len(seen) == 8


def test_what_is_open_is_not_asked():
    level = replace(SCENE, shapes=(RED_CIRCLE, replace(BLUE_SQUARE, x=24.0, y=90.0)))
    assert answers("left", level) == set()
    border = replace(SCENE, shapes=(replace(RED_CIRCLE, x=0.36 * 128),))
    assert answers("where", border) <= {a for a in answers("where", border) if a.startswith("There is no")}
    twins = replace(SCENE, shapes=(RED_CIRCLE, replace(RED_CIRCLE, x=90.0)))
    assert answers("relation", twins) == set()


def test_json_is_the_whole_scene():
    assert json.loads(facts.as_json(WRITTEN)) == {
        "shapes": [
            {"shape": "circle", "color": "red", "box": facts.box(RED_CIRCLE, WRITTEN)},
            {"shape": "square", "color": "blue", "box": facts.box(BLUE_SQUARE, WRITTEN)},
        ],
        "text": "CAT7",
    }
    assert json.loads(facts.as_json(EMPTY)) == {"shapes": [], "text": None}


def test_two_pictures():
    other = replace(SCENE, shapes=(BLUE_SQUARE,))
    for number in range(100):
        item = two_pictures.which(Random(number), SCENE, other)
        if "circle" in item.question and "red" in item.question:
            assert item.answer == "The first image."
        if item.question.lower().count("blue square"):
            assert item.answer == "Both images."
    seen = {two_pictures.differ(Random(number), SCENE)[2].answer.split()[0] for number in range(100)}
    assert seen == {"The", "Only", "Nothing."}


def test_what_differs_is_what_was_changed():
    for number in range(100):
        first, second, item = two_pictures.differ(Random(number), SCENE)
        if item.answer == "Nothing.":
            assert (first.shapes, first.background) == (second.shapes, second.background)
        elif item.answer.startswith("Only the first"):
            assert len(first.shapes) == len(second.shapes) + 1
        elif item.answer.startswith("Only the second"):
            assert len(second.shapes) == len(first.shapes) + 1
        elif "background" in item.answer:
            assert f"{first.background} in the first" in item.answer
            assert f"{second.background} in the second" in item.answer
        else:
            assert first.shapes != second.shapes


def test_a_follow_up_is_about_the_shape_of_the_turn_before():
    kinds = Counter()
    for number in range(300):
        turns = questions.follow_up(Random(number), SCENE, held_out=True)
        if not turns:
            continue
        first, second = turns
        kinds[second.kind] += 1
        red = "red" in first.question + first.answer or "circle" in (first.question + first.answer).lower()
        wanted = {
            "it color": "It is red." if red else "It is blue.",
            "it where": "It is in the top left." if red else "It is on the right.",
            "it box": json.dumps(facts.box(RED_CIRCLE if red else BLUE_SQUARE, SCENE)),
        }
        assert second.answer == wanted[second.kind], turns
    assert set(kinds) == {"it color", "it where", "it box"}


def test_questions_from_outside_are_not_known():
    for number in range(50):
        assert unanswerable.ask(Random(number), held_out=True).answer == DONT_KNOW


@pytest.mark.parametrize("kind", questions.KINDS)
def test_every_kind_is_asked_about_some_scene(kind):
    found = [questions.ask(Random(n), scenes.make(Random(n)), kind, held_out=True) for n in range(60)]
    assert any(found)
    for item in filter(None, found):
        assert "{" not in item.question
        assert item.answer
