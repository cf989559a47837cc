"""The measure itself: what it counts as right, and that its tables say what was said."""

from pathlib import Path

import pytest
from PIL import Image

from vlmcli.demo import world
from vlmcli.demo.training import confusion, tables
from vlmcli.demo.training.cases import Case, held_out
from vlmcli.demo.training.questions import DONT_KNOW, Item

JSON = '{"shapes": [{"shape": "circle", "color": "red", "box": [0, 0, 100, 100]}], "text": null}'


def case(kind, answer, shapes=2):
    return Case(Item(kind, "?", answer), (Path("a.png"),), shapes)


def test_a_row_counts_right_and_wrong_answers():
    cases = [case("count", "There are 2 shapes.")] * 4
    said = ["There are 2 shapes.", "There are 3 shapes.", DONT_KNOW, "There are 2 shapes."]
    rows = tables.tally(cases, said)
    assert (rows["count"].value, rows["count"].cases) == (0.5, 4)
    assert rows["“I don't know.” on its own world (at most)"].value == 0.25
    assert [answer for _, answer in rows["count"].wrong] == said[1:3]
    assert "| count | 4 | ≥ 95.0 % | 50.0 % | **short** |" in tables.report(rows, {})


def test_descriptions_json_and_boxes_are_judged_by_overlap():
    cases = [
        case("describe", "A red circle and a blue square.", 2),
        case("json", JSON),
        case("json", JSON),
        case("box", "[0, 0, 100, 100]"),
        case("box", "[0, 0, 100, 100]"),
    ]
    said = ["A red circle and a red square.", JSON, "{", "[0, 0, 100, 50]", "no"]
    rows = tables.tally(cases, said)
    assert rows["describe, F1 (1–3 shapes)"].value == 0.5
    assert rows["JSON, valid"].value == 0.5
    assert rows["JSON, F1 of its shapes"].value == pytest.approx(2 / 3)
    assert rows["boxes, mean IoU"].value == 0.25


def test_the_table_by_shapes_keeps_numbers_apart():
    cases = [case("left", "A red circle.", shapes) for shapes in (2, 2, 5)] + [case("outside picture", DONT_KNOW, -1)]
    table = tables.by_shapes(cases, ["A red circle.", "A blue circle.", "A red circle.", DONT_KNOW])
    assert set(table) == {"left"}
    assert [(t.points, t.cases) for t in table["left"]] == [(0, 0), (0, 0), (1, 2), (0, 0), (0, 0), (1, 1)]


def test_calibration_compares_what_was_claimed_with_what_is_true():
    table = tables.calibration([(0.05, False), (0.95, True), (0.95, True), (1.0, False)])
    assert "| 90–100 % | 3 | 96.7 % | 66.7 % |" in table
    assert "| 0–10 % | 1 | 5.0 % | 0.0 % |" in table


def test_confusion_is_counted_and_drawn(tmp_path):
    cases = [case("color", "The star is red.")] * 2 + [case("color", "There is no star.")]
    said = ["The star is red.", "The star is orange.", "The star is red."]
    names = tuple(world.COLORS)
    counts = confusion.count(cases, said, "color", names)
    assert counts == {("red", "red"): 1, ("red", "orange"): 1}
    confusion.draw(counts, names, tmp_path / "c.png")
    drawn = Image.open(tmp_path / "c.png").convert("RGB")
    assert drawn.getpixel((94, 94)) != drawn.getpixel((94, 94 + 44))  # red taken for red, and orange never


def test_held_out_cases_have_the_kinds_and_their_files(tmp_path):
    found = list(held_out(tmp_path, 20, each=6))
    kinds = {"what", "json", "exist", "which", "nth", "differ", "outside picture", "outside question", "outside noun"}
    assert {c.item.kind for c in found} >= kinds
    assert all(path.is_file() for c in found for path in c.pictures)
    scene_files = {path for c in found for path in c.pictures if path.name.startswith("scene-")}
    jpegs = [path for path in scene_files if path.suffix == ".jpg"]
    assert len(jpegs) == len(scene_files) / 2
    assert {Image.open(path).size for path in jpegs} == {(640, 480)}
    assert list(held_out(tmp_path, 20, each=6)) == found
