"""Judging an answer tells right from wrong."""

import pytest

from vlmcli.demo.scenes import Scene, Shape
from vlmcli.demo.training import facts, judging, questions
from vlmcli.demo.training.questions import DONT_KNOW, Item

RED_CIRCLE = Shape("circle", "red", (255, 0, 0), 20.0, 20.0, 12.0)
BLUE_SQUARE = Shape("square", "blue", (0, 0, 255), 100.0, 64.0, 20.0)
SCENE = Scene(256, 256, "white", (255, 255, 255), (RED_CIRCLE, BLUE_SQUARE))


def test_named_shapes_and_boxes_are_read_from_an_answer():
    assert judging.named_shapes("A red circle, a red circle and a blue square on a light blue background.") == {
        "red circle": 2,
        "blue square": 1,
    }
    assert judging.box_in("[10, 20, 300, 1000]") == [10, 20, 300, 1000]
    assert judging.box_in("in the top left") is None
    assert judging.overlap([0, 0, 10, 10], [0, 0, 10, 10]) == 1
    assert judging.overlap([0, 0, 10, 10], [5, 0, 15, 10]) == pytest.approx(1 / 3)
    assert judging.overlap([0, 0, 10, 10], [20, 20, 30, 30]) == 0
    assert judging.overlap([5, 5, 5, 5], [5, 5, 5, 5]) == 0


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"shapes": []}', '{"shapes": [{"shape": "circle"}], "text": null}'])
def test_json_of_another_form_is_not_valid(broken):
    assert judging.shapes_in_json(broken) is None
    assert judging.shapes_in_json(facts.as_json(SCENE)) == {"red circle": 1, "blue square": 1}


def test_is_right_takes_another_order_and_nothing_else():
    item = Item("what", "What is this?", 'A red circle, a blue square and the text "AB".')
    assert judging.is_right(item, 'A blue square, a red circle and the text "AB".')
    assert not judging.is_right(item, 'A red circle, a blue square and the text "AC".')
    assert not judging.is_right(item, 'A red circle and the text "AB".')
    assert not judging.is_right(item, DONT_KNOW)
    empty = Item("what", "What is this?", questions.EMPTY)
    assert judging.is_right(empty, questions.EMPTY)
    assert not judging.is_right(empty, "The background is white.")
    assert not judging.is_right(Item("exist", "Is there a star?", "No."), "Yes.")


def test_the_order_of_things_does_not_count():
    truth = "The image shows a red circle and a blue square on a white background."
    item = Item("describe", "?", truth)
    assert judging.is_right(item, "The image shows a blue square and a red circle on a white background.")
    assert not judging.is_right(item, "The image shows a blue square and a red circle on a black background.")
    assert not judging.is_right(item, "The image shows a blue square and a red star on a white background.")
    assert judging.is_right(Item("what", "?", "A red circle and a blue square."), "A blue square and a red circle.")
    assert not judging.is_right(Item("what", "?", "A red circle."), "A red circle and a red circle.")


def test_a_word_is_read_bare_or_in_a_sentence():
    for kind, truth in (("read", "AB1"), ("says", 'The text says "AB1".')):
        item = Item(kind, "?", truth)
        assert judging.is_right(item, "AB1")
        assert judging.is_right(item, 'The text says "AB1".')
        for wrong in ("AB", 'The text says "AB".', "There is no text.", "ab1", ""):
            assert not judging.is_right(item, wrong)
    none = Item("read", "?", "There is no text.")
    assert judging.is_right(none, "There is no text.")
    assert not judging.is_right(none, "AB1")
