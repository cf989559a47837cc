"""What people type first: the answers follow from the pictures, and the kept half is in no training data."""

import re
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from vlmcli.demo import scenes
from vlmcli.demo.scenes import Scene, Shape
from vlmcli.demo.training import (
    cases,
    first,
    first_asked,
    first_kept,
    judging,
    patterns,
    phrasing,
    rows,
    tables,
    two_pictures,
    unanswerable,
    wordings,
)
from vlmcli.demo.training.english import plural, with_article
from vlmcli.demo.training.questions import DONT_KNOW
from vlmcli.demo.world import COLORS, SHAPES

RED_CIRCLE = Shape("circle", "red", (255, 0, 0), 20.0, 20.0, 12.0)
BLUE_SQUARE = Shape("square", "blue", (0, 0, 255), 100.0, 64.0, 20.0)
ONE = Scene(256, 256, "white", (255, 255, 255), (RED_CIRCLE,))
TWO = replace(ONE, shapes=(RED_CIRCLE, BLUE_SQUARE))
EMPTY = replace(ONE, shapes=())
KEPT = [wording for kept in first_kept.KEPT.values() for wording in kept]


def answers(scene, kind, wording, count=60):
    """The answers by the questions that the wording makes."""
    items = [first.ask(Random(number), scene, kind, wording) for number in range(count)]
    return {item.question: item.answer for item in items if item}


# --- The answers ---


@pytest.mark.parametrize(
    ("kind", "one", "two", "empty"),
    [
        ("what", "A red circle.", "A red circle and a blue square.", "Nothing, the image is empty."),
        ("color", "It is red.", "A red circle and a blue square.", "Nothing, the image is empty."),
        ("shape", "It is a circle.", "A red circle and a blue square.", "Nothing, the image is empty."),
        ("round", "Yes.", None, None),
        ("anything", "Yes.", "Yes.", "No."),
        ("empty", "No.", "No.", "Yes."),
        ("where", "It is in the top left.", None, None),
        ("count", "There is 1 shape.", "There are 2 shapes.", "There are no shapes."),
        ("has text", "No.", "No.", "No."),
    ],
)
def test_a_first_question_has_the_answer_that_the_picture_gives(kind, one, two, empty):
    for scene, wanted in ((ONE, one), (TWO, two), (EMPTY, empty)):
        assert answers(scene, kind, "?") == ({"?": wanted} if wanted else {})


def test_yes_and_no_are_about_the_one_thing_or_all():
    assert answers(replace(ONE, shapes=(BLUE_SQUARE,)), "round", "?") == {"?": "No."}
    said = answers(ONE, "is color", "is it {c}?")
    assert said.pop("is it red?") == "Yes."
    assert set(said.values()) == {"No."}
    assert "is it white?" not in said  # the paper is
    assert "is it red?" not in answers(TWO, "is color", "is it {c}?")
    said = answers(ONE, "is shape", "is it a {s}?")
    assert said.pop("is it a circle?") == "Yes."
    assert set(said.values()) == {"No."}
    said = answers(ONE, "is shape", "is it a {c} {s}?", 200)
    assert said.pop("is it a red circle?") == "Yes."
    assert set(said.values()) == {"No."}
    assert len(said) > 5
    said = answers(TWO, "exist", "any {s}?")
    assert {question for question, answer in said.items() if answer == "Yes."} == {"any circle?", "any square?"}
    said = answers(TWO, "exist", "any {c} {s}?", 200)
    assert {q for q, answer in said.items() if answer == "Yes."} == {"any red circle?", "any blue square?"}


def test_questions_about_two_pictures():
    other = replace(ONE, shapes=(BLUE_SQUARE,))
    both = "The first image shows a red circle, the second image a blue square."
    wanted = {"differ": both, "same": "No.", "different": "Yes.", "both": both}
    for kind, answer in wanted.items():
        assert first.ask_both(Random(1), ONE, other, both, kind, "?").answer == answer
    assert first.ask_both(Random(1), ONE, ONE, "Nothing.", "same", "?").answer == "Yes."
    assert first.ask_both(Random(1), ONE, ONE, "Nothing.", "different", "?").answer == "No."
    which = {}
    for number in range(40):
        item = first.ask_both(Random(number), ONE, other, both, "which", "which has the {s}?")
        which[item.question] = item.answer
    assert which["which has the circle?"] == "The first image."
    assert which["which has the square?"] == "The second image."
    assert set(which.values()) == {"The first image.", "The second image.", "Neither image."}
    nth = {first.ask_both(Random(n), ONE, other, both, "nth", "{n} {d}").question: n for n in range(9)}
    assert set(nth) == {"first 1", "second 2"}


def test_what_differs_says_so_of_any_two_pictures():
    seen = Counter()
    for number in range(300):
        rng = Random(number)
        one, other, differs = first.pair(rng, scenes.make(rng, shapes=rng.choice((1, 2)), text=False))
        if differs == "Nothing.":
            assert (one.shapes, one.background) == (other.shapes, other.background)
            seen["nothing"] += 1
        elif differs.startswith("The first image shows"):
            assert differs == first.shown_in_both(one, other)
            assert sorted(map(str, one.shapes)) != sorted(map(str, other.shapes))
            same_places = [(s.x, s.y) for s in one.shapes] == [(s.x, s.y) for s in other.shapes]
            assert not same_places or all(a.name != b.name for a, b in zip(one.shapes, other.shapes, strict=True))
            seen["both"] += 1
        else:
            seen["one thing"] += 1
    assert min(seen["nothing"], seen["both"], seen["one thing"]) > 40
    assert set(two_pictures.differ(Random(1), ONE)[2].answer.split()) & {"first", "Nothing."}


def test_what_each_picture_shows_says_what_differs_too():
    blue = replace(ONE, shapes=(replace(RED_CIRCLE, color="blue", rgb=(0, 0, 255)),))
    differs = "The circle is red in the first image and blue in the second."
    item = first.ask_both(Random(1), ONE, blue, differs, "differ", "?")
    assert judging.is_right(item, differs)
    assert judging.is_right(item, "The first image shows a red circle, the second image a blue circle.")
    assert not judging.is_right(item, "The first image shows a red circle, the second image a red circle.")
    dark = replace(ONE, background="black", rgb=(0, 0, 0))
    differs = "The background is white in the first image and black in the second."
    item = first.ask_both(Random(1), ONE, dark, differs, "differ", "?")
    assert not judging.is_right(item, first.shown_in_both(ONE, dark))


def test_both_pictures_must_be_named_rightly_in_any_order():
    both = first.shown_in_both(TWO, ONE)
    item = first.ask_both(Random(1), TWO, ONE, both, "both", "?")
    assert judging.is_right(item, both)
    assert judging.is_right(item, both.replace("a red circle and a blue square", "a blue square and a red circle"))
    assert not judging.is_right(item, both.replace("blue", "green"))
    assert not judging.is_right(item, first.shown_in_both(ONE, TWO))
    assert not judging.is_right(item, "A red circle and a blue square.")
    nothing = first.ask_both(Random(1), EMPTY, ONE, "", "both", "?")
    assert nothing.answer == "The first image shows nothing, the second image a red circle."
    assert judging.is_right(nothing, nothing.answer)


# --- The kept half ---


def test_there_are_many_and_each_asks_something():
    assert len(set(map(phrasing.folded, KEPT))) >= 200
    assert len(first_kept.KEPT_OUTSIDE) >= 50
    assert set(first_kept.KEPT) == {*first.ABOUT_ONE, *first.ABOUT_TWO}


def concrete(wording):
    """The wording with its slots filled in two ways."""
    for color, name, (nth, number) in (("red", "circle", ("first", "1")), ("orange", "cross", ("second", "2"))):
        thing = with_article(f"{color} {name}")
        yield wording.format(c=color, s=name, a=thing, p=plural(name), n=nth, d=number)


@pytest.mark.parametrize("wording", [*KEPT, *first_kept.KEPT_OUTSIDE])
def test_a_kept_wording_is_known_however_it_is_written(wording):
    for question in concrete(wording):
        for written in (question, question.upper(), f"{question.rstrip('?.')}!", f"Well, {question} Thanks!"):
            assert phrasing.is_kept_first(written)
    assert not phrasing.is_kept_first(f"{wording} of the elephant")


def language(pattern):
    """A regular expression of all that a pattern or a wording of training can give, folded."""
    thing = rf"(?:(?:{_COLOR} )?(?:{_SHAPE}|shape)|{_NOUN})"
    slots = {"i": "image", "s": f"(?:{_SHAPE}|{_NOUN})", "c": _COLOR, "o": thing, "u": thing, "a": f"an? {thing}",
             "p": f"{thing}e?s", "n": "(?:first|second)", "g": "(?:shape|object|one|thing)", "v": _MADE_UP}  # fmt: skip
    made = {"[": "(?:", "|": "|", "]": ")", "'": ""}
    parts = re.findall(r"\{.\}|.", pattern.lower().replace("colour", "color"), re.DOTALL)
    told = "".join(slots[p[1]] if p[0] == "{" else p if p.isalnum() else made.get(p, " *") for p in parts)
    return re.sub(r"(?: \*)+", " *", told)


_MADE_UP = "(?:[bcdfghjklmnprstvwz][aeiou]){2,4}"
_COLOR, _SHAPE, _NOUN = (f"(?:{'|'.join(names)})" for names in (COLORS, SHAPES, (*wordings.NOUNS, _MADE_UP)))
"""What the trainings before had in a pattern's slots."""


def test_no_kept_wording_can_come_from_a_pattern_or_a_list_of_training():
    """Of every pattern, not of what some draws give: the trainings before had no check of each question."""
    some = [p for kind in patterns.BY_KIND.values() for p in kind] + list(patterns.OUTSIDE)
    some += [w for kind in phrasing.LISTS for w in phrasing.wordings_of(kind, False)]
    some += [*wordings.OUTSIDE, *wordings.ABOUT_NOUN, *(w for asked, _ in wordings.SMALL_TALK for w in asked)]
    told = re.compile(rf" *(?:{'|'.join(map(language, some))}) *")
    assert told.fullmatch("what do you see in the image")
    assert told.fullmatch("is there a dog")
    ends = re.compile(rf"^(?:{'|'.join(map(phrasing.folded, patterns.OPENINGS))}) | (?:please|thanks|thank you)$")
    folded = {phrasing.folded(next(concrete(w))) for w in (*KEPT, *first_kept.KEPT_OUTSIDE)}
    assert not [q for q in folded for asked in {q, ends.sub("", q)} if told.fullmatch(asked)]


def test_no_kept_wording_is_asked_in_training_slips_included():
    for number in range(3000):
        rng = Random(number)
        assert not phrasing.is_kept_first(unanswerable.ask(rng).question)
        assert not phrasing.is_kept_first(unanswerable.any_question(rng))


@pytest.mark.parametrize("kind", [*first.ABOUT_ONE, *first.ABOUT_TWO])
def test_training_has_many_wordings_of_each_kind_and_none_that_is_kept(kind):
    rng = Random(kind)
    found = set()
    for number in range(400):
        shown = first.scene(Random(number % 40))
        if kind in first.ABOUT_ONE:
            item = first.ask(rng, shown, kind)
        else:
            item = first.ask_both(rng, *first.pair(rng, shown), kind)
        if item:
            assert not set("[]|{}") & set(item.question)
            assert not phrasing.is_kept_first(item.question)
            found.add(phrasing.folded(item.question))
    assert len(found) > 40


def test_training_asks_what_people_found_wrong_and_as_often_of_the_world_before():
    for kind, wording in (
        ("color", "what colour is it?"),
        ("round", "is it round?"),
        ("what", "What do you think is in this picture?"),
        ("what", "what do you see?"),
        ("differ", "what differs?"),
    ):
        assert wording in first_asked.ASKED[kind]
    assert len({phrasing.folded(w) for asked in first_asked.ASKED.values() for w in asked}) >= 300
    for kinds in rows.ROW_KINDS:
        assert sum(kind.startswith("first") for kind in kinds) * 2 == len(kinds)
    kinds = Counter()
    for number in range(600):
        rng = Random(number)
        pictures = first.pair(rng, first.scene(rng))
        for item in (first.trained(rng, pictures[0]), first.trained_both(rng, *pictures)):
            assert not phrasing.is_kept_first(item.question)
            kinds["unknown" if item.answer == DONT_KNOW else item.kind] += 1
    assert 150 < kinds["unknown"] < 400
    assert len(kinds) == len({*first.ABOUT_ONE, *first.ABOUT_TWO}) + 2


def test_they_are_measured_in_rows_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "FEWEST_FOR_FIRST", 0)
    monkeypatch.setattr(cases, "_saved", lambda scene, path, jpeg: path.with_suffix(".jpg" if jpeg else ".png"))
    found = [case for case in cases.held_out(tmp_path, 0) if case.item.kind.startswith("first ")]
    told = tables.tally(found, [case.item.answer for case in found])
    assert {name: row.value for name, row in told.items()} == {
        "first wordings: one shape": 1, "first wordings: two or three shapes": 1, "first wordings: two pictures": 1,
        "first wordings: “I don't know.” on another world": 1,
    }  # fmt: skip
    assert told["first wordings: one shape"].cases >= 3 * len([k for k in first.ABOUT_ONE for _ in first_kept.KEPT[k]])
    asked = Counter(case.item.kind for case in found)
    assert asked["first outside"] == 4 * len(first_kept.KEPT_OUTSIDE)
    assert all(case.item.answer == DONT_KNOW for case in found if case.item.kind == "first outside")
    assert {len(case.pictures) for case in found} == {1, 2}
    wrong = tables.tally(found, ["A purple star."] * len(found))
    assert all(row.value < 0.1 for row in wrong.values())
