"""Boxes and points: every convention there and back within a pixel, and nonsense is an error."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmcli.decisions import Place
from vlmcli.errors import RequestError
from vlmcli.tasks.boxes import CONVENTIONS, overlap, read, written
from vlmcli.tasks.detect import Detect, likelihoods
from vlmcli.values import Answer, Seen, Timings, Token, Usage

SIZE = (640, 480)


@st.composite
def framed(draw):
    """A picture's size, how it was scaled (to multiples of 28, as Qwen2.5-VL's), and a box in it."""
    width, height = draw(st.integers(28, 4000)), draw(st.integers(28, 4000))
    scale = draw(st.floats(0.2, 2.0))
    seen = tuple(max(28, round(side * scale / 28) * 28) for side in (width, height))
    left, top = draw(st.floats(0, width - 4)), draw(st.floats(0, height - 4))
    right, bottom = draw(st.floats(left + 4, width)), draw(st.floats(top + 4, height))
    return (width, height), seen, Place("x", left, top, right, bottom)


@given(framed(), st.sampled_from(CONVENTIONS))
def test_a_box_comes_back_within_a_step_of_the_convention(case, convention):
    """Numbers are whole in all conventions but 0-1, so that a box moves by half a step at most."""
    size, seen, place = case
    numbers = written(place, convention, size, seen)
    try:
        (back,) = read(json.dumps([{"bbox_2d": numbers, "label": "x"}]), convention, size, seen)
    except RequestError as error:
        assert "without area" in error.message  # a box that is smaller than a step
        return
    steps = {"0-1": (0.0, 0.0), "pixels": seen}.get(convention, (1000, 1000))
    for axis, (old, new) in enumerate(((place.left, back.left), (place.top, back.top),
                                       (place.right, back.right), (place.bottom, back.bottom))):  # fmt: skip
        whole = steps[axis % 2]
        step = size[axis % 2] / whole if whole else 0.0
        assert abs(old - new) <= step / 2 + 1e-6
    assert 0 <= back.left < back.right <= size[0]
    assert 0 <= back.top < back.bottom <= size[1]


@given(st.integers(100, 1000), st.integers(100, 1000), st.data())
def test_pictures_up_to_a_thousand_pixels_are_exact_to_a_pixel(width, height, data):
    left, top = data.draw(st.integers(0, width - 3)), data.draw(st.integers(0, height - 3))
    right, bottom = data.draw(st.integers(left + 2, width)), data.draw(st.integers(top + 2, height))
    place = Place("x", left, top, right, bottom)
    for convention in CONVENTIONS:
        numbers = written(place, convention, (width, height), (width, height))
        (back,) = read(json.dumps({"box_2d": numbers}), convention, (width, height), (width, height))
        assert all(abs(a - b) <= 1 for a, b in zip(place.corners, back.corners, strict=True)), convention


@pytest.mark.parametrize(
    ("text", "convention", "expected"),
    [
        ('[{"bbox_2d": [100, 200, 300, 400], "label": "cat"}]', "0-1000", [("cat", 64, 96, 192, 192)]),
        ('```json\n[{"box_2d": [200, 100, 400, 300], "label": "cat"}]\n```', "0-1000 yx", [("cat", 64, 96, 192, 192)]),
        ('[{"bbox_2d": [100, 200, 300, 400], "label": "cat"}]', "pixels", [("cat", 100, 200, 300, 400)]),
        ('Here: {"point_2d": [500, 500], "label": "eye"}', "0-1000", [("eye", 320, 240, 320, 240)]),
        ("<ref>the cat</ref><box>[[100, 200, 300, 400]]</box>", "0-1000", [("the cat", 64, 96, 192, 192)]),
        ("<loc0512><loc0256><loc1024><loc0768> cat ; ", "0-1000", [("cat", 160, 240, 480, 480)]),
        ("[100, 200, 300, 400]", "0-1000", [("", 64, 96, 192, 192)]),
        ("[[100, 200, 300, 400], [0, 0, 1000, 1000]]", "0-1000", [("", 64, 96, 192, 192), ("", 0, 0, 640, 480)]),
        ('{"shapes": [{"shape": "circle", "color": "red", "box": [0, 0, 500, 500]}], "text": null}', "0-1000",
         [("red circle", 0, 0, 320, 240)]),
        ('[{"bbox_2d": [300, 400, 100, 200], "label": "turned"}]', "0-1000", [("turned", 64, 96, 192, 192)]),
        ('[{"bbox_2d": [-5, 0, 1010, 1000], "label": "clipped"}]', "0-1000", [("clipped", 0, 0, 640, 480)]),
        ('[{"bbox_2d": [0.1, 0.2, 0.3, 0.4], "label": "share"}]', "0-1", [("share", 64, 96, 192, 192)]),
        ("[]", "0-1000", []),
        ('{"shapes": [], "text": null}', "0-1000", []),
    ],
)  # fmt: skip
def test_what_models_write(text, convention, expected):
    assert [(place.label, *place.corners) for place in read(text, convention, SIZE)] == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("There is no cat.", "no boxes"),
        ('[{"bbox_2d": [1, 2, 3', "not JSON"),
        ('[{"bbox_2d": [1, 2, 3], "label": "x"}]', "make no sense"),
        ('[{"bbox_2d": [1, 2, 3, "4"]}]', "make no sense"),
        ('[{"bbox_2d": [1, 2, 3, true]}]', "make no sense"),
        ('[{"bbox_2d": [1, 2, 3, NaN]}]', "make no sense"),
        ('[{"label": "x"}]', "make no sense"),
        ("[7]", "make no sense"),
        ("[null]", "make no sense"),
        ('[{"bbox_2d": [100, 200, 3000, 400]}]', "outside of the picture"),
        ('[{"bbox_2d": [100, 200, 100, 400]}]', "without area"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_nonsense_is_an_error(text, says):
    with pytest.raises(RequestError) as raised:
        read(text, "0-1000", SIZE)
    assert says in raised.value.message
    assert len(raised.value.message) < 200


def test_overlap_is_intersection_over_union():
    one = Place("", 0, 0, 10, 10)
    assert overlap(one, one) == 1
    assert overlap(one, Place("", 5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap(one, Place("", 10, 0, 20, 10)) == 0


def answer(text, reason="stop", scaled=None):
    return Answer(text, reason, Usage(answer_tokens=9), Timings(), "m", seen=(Seen(SIZE, scaled),))


def test_a_cut_off_or_senseless_answer_is_an_error_record():
    task = Detect("each cat")
    for outcome, says in (
        (answer("[", "length"), "cut off after 9 tokens"),
        (answer("no"), "no boxes"),
        (answer('{"point_2d": [1, 2]}'), "points, not with boxes"),
    ):
        result = task.result(["a.png"], outcome, "m")
        assert isinstance(result.error, RequestError)
        assert result.error.message.startswith("a.png: ")
        assert says in result.error.message


def test_pixels_are_those_of_the_scaled_picture():
    text = '[{"bbox_2d": [280, 0, 560, 420], "label": "cat"}]'
    (place,) = Detect("x", "pixels").result(["a"], answer(text, scaled=(560, 420)), "m").places
    assert place.corners == (320, 0, 640, 480)
    assert "not known" in Detect("x", "pixels").result(["a"], answer(text), "m").error.message


def test_a_point_of_a_box_is_its_middle():
    text = '[{"bbox_2d": [0, 0, 500, 500], "label": "cat"}]'
    (place,) = Detect("x", points=True).result(["a"], answer(text), "m").places
    assert place.corners == (160, 120, 160, 120)


def test_a_box_is_as_likely_as_the_token_its_label_begins_with():
    pieces = [b'[{"label": "', b"a ", b'cat"}, {"label": "a', b" c", b"at", b'"}]']
    tokens = [Token(piece, math.log((index + 1) / 10)) for index, piece in enumerate(pieces)]
    assert likelihoods(["a cat", "a cat"], tokens) == pytest.approx([0.2, 0.3])
    assert likelihoods(["a cat", "a dog", "a cat"], tokens) == [pytest.approx(0.2), None, pytest.approx(0.3)]
    assert likelihoods(["", "a cat"], tokens) == [None, pytest.approx(0.2)]
    assert likelihoods(["a cat"], []) == [None]
    apart = [
        b'[{"shape": "',
        b'circle", "color": "',
        b"red",
        b'"}, {"shape": "',
        b'circle", "color": "',
        b"blue",
        b'"}]',
    ]
    tokens = [Token(piece, math.log((index + 1) / 10)) for index, piece in enumerate(apart)]
    assert likelihoods(["red circle", "blue circle"], tokens) == pytest.approx([0.3, 0.6])
    loc = [Token(b"<loc0001><loc0002><loc0003><loc0004>", -3.0), Token("\u00e9t\u00e9".encode()[:1], math.log(0.5)),
           Token("\u00e9t\u00e9".encode()[1:], 0.0)]  # fmt: skip
    assert likelihoods(["\u00e9t\u00e9"], loc) == pytest.approx([0.5])
