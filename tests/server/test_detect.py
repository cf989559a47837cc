"""`POST /vlm/detect`: boxes and points, and what is wrong with a request for them."""

import shutil

import httpx2
import pytest

from tests.server.browser import CIRCLE, PATIENCE, SQUARE, is_near, second_model, serving, turned, uri
from tests.support.program import SCENE


@pytest.fixture(scope="module")
def server(small, tmp_path_factory):
    """One with two models."""
    folder = tmp_path_factory.mktemp("boxless")
    for name in ("llava.gguf", "mmproj-llava.gguf"):
        shutil.copy(small / name, folder)
    with serving("--models", f"demo,{folder / 'llava.gguf'}", "--max-loaded", 2) as address:
        yield address


@pytest.fixture(scope="module")
def boxless(server):
    """The name of the other model beside the demo: it cannot draw boxes."""
    return second_model(server)


def detect(address, **body):
    return httpx2.post(f"{address}vlm/detect", json=body, timeout=PATIENCE)


def test_detect_finds_boxes_in_pixels_of_the_upright_picture(server, tmp_path):
    for picture in (SCENE, turned(tmp_path)):
        got = detect(server, model="demo", image=uri(picture), what="each shape")
        found = got.json()
        assert got.status_code == 200, found
        assert (found["model"], found["size"]) == ("demo", [640, 480])
        assert [place["label"] for place in found["places"]] == ["red circle", "blue square"]
        for place, truth in zip(found["places"], (CIRCLE, SQUARE), strict=True):
            assert is_near(place["box"], truth) and 0.5 < place["score"] <= 1, place
        assert found["usage"]["completion_tokens"] > 10


def test_detect_finds_points(server):
    found = detect(server, image=uri(SCENE), what="each shape", points=True).json()["places"]
    for place, (left, top, right, bottom) in zip(found, (CIRCLE, SQUARE), strict=True):
        assert is_near(place["point"], ((left + right) / 2, (top + bottom) / 2)) and "box" not in place


@pytest.mark.parametrize(
    ("change", "status", "param", "says"),
    [
        ({"what": " "}, 400, "what", "what is empty"),
        ({"what": 7}, 400, "what", "what is not text"),
        ({"image": ""}, 400, "image", "image is empty"),
        ({"image": "data:image/png;base64,aGVsbG8="}, 400, "image", "picture 1"),
        ({"image": "https://example.org/a.png"}, 400, "image", "does not fetch addresses"),
        ({"points": "yes"}, 400, "points", "is not true or false"),
        ({"model": "nobody"}, 404, "model", "is not served here"),
    ],
)
def test_detect_says_which_field_is_wrong(server, change, status, param, says):
    got = detect(server, **({"model": "demo", "image": uri(SCENE), "what": "each shape"} | change))
    error = got.json()["error"]
    assert (got.status_code, error["param"]) == (status, param) and says in error["message"], error


def test_detect_with_a_model_that_cannot_is_refused(server, boxless):
    got = detect(server, model=boxless, image=uri(SCENE), what="each shape")
    error = got.json()["error"]
    assert (got.status_code, error["param"], error["code"]) == (400, "model", "not_supported")
    assert "is not known to write boxes. Use demo." in error["message"]
