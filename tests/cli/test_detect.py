"""`vlm detect` and `vlm point` through their door: lines, records, pictures and files of other tools."""

import csv
import io
import json
import shutil

import pytest
from PIL import Image

from tests.support.program import SCENE, vlm

DEMO = ("-m", "demo", "--in-process")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pics"
    folder.mkdir()
    shutil.copy(SCENE, folder / "a.png")
    image = Image.open(SCENE).convert("RGB")
    image.transpose(Image.Transpose.ROTATE_90).save(
        folder / "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    )
    return folder


def test_boxes_are_pixels_of_the_upright_picture(pictures):
    """The second picture lies on its side, and says so in its EXIF data: its boxes are the first's."""
    size = Image.open(SCENE).size
    done = vlm("detect", pictures, "each shape", *DEMO)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[1] for row in rows] == ["red circle", "blue square"] * 2
    first, second = rows[:2], rows[2:]
    for one, other in zip(first, second, strict=True):
        left, top, right, bottom = map(int, one[2:])
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert all(abs(int(a) - int(b)) <= 0.04 * max(size) for a, b in zip(one[2:], other[2:], strict=True))


def test_records_and_tables(pictures):
    done = vlm("detect", pictures / "a.png", "each shape", "--json", *DEMO)
    record = json.loads(done.stdout)
    assert record["size"] == list(Image.open(SCENE).size)
    assert [place["label"] for place in record["places"]] == ["red circle", "blue square"]
    assert all(len(place["box"]) == 4 and 0.9 < place["score"] <= 1 for place in record["places"])
    done = vlm("detect", pictures, "each shape", "--format", "csv", *DEMO)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["picture", "label", "left", "top", "right", "bottom", "score"]
    assert len(rows) == 5
    assert all(0.9 < float(row[-1]) <= 1 for row in rows[1:])


def test_a_record_in_a_file_has_the_pictures_size_and_the_files_bytes(pictures, tmp_path):
    done = vlm("detect", pictures / "a.png", "each shape", "--output", tmp_path / "out.jsonl", *DEMO)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.jsonl").read_text())
    assert record["size"] == list(Image.open(SCENE).size)
    assert record["bytes"] == [(pictures / "a.png").stat().st_size]


def test_coco_and_yolo(pictures, tmp_path):
    done = vlm("detect", pictures, "each shape", "--format", "coco", "--yolo", tmp_path / "yolo", *DEMO)
    coco = json.loads(done.stdout)
    assert [image["id"] for image in coco["images"]] == [1, 2]
    assert {one["name"] for one in coco["categories"]} == {"red circle", "blue square"}
    record = json.loads(vlm("detect", pictures / "a.png", "each shape", "--json", *DEMO).stdout)
    left, top, right, bottom = record["places"][0]["box"]
    assert coco["annotations"][0]["bbox"] == [left, top, right - left, bottom - top]
    assert coco["annotations"][0]["score"] == pytest.approx(record["places"][0]["score"], abs=1e-3)
    assert (tmp_path / "yolo" / "classes.txt").read_text() == "red circle\nblue square\n"
    number, x, *_ = (tmp_path / "yolo" / "a.txt").read_text().split()
    assert number == "0"
    assert float(x) == pytest.approx((left + right) / 2 / record["size"][0], abs=0.01)


def test_drawings_and_crops_are_of_the_upright_picture(pictures, tmp_path):
    done = vlm("detect", pictures, "each shape", "--draw", tmp_path / "drawn", "--crop", tmp_path / "cut", *DEMO)
    assert done.returncode == 0, done.stderr
    size = Image.open(SCENE).size
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / "drawn" / name) as image:
            assert image.size == size
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "a-1.png", "a-2.png", "b-1.png", "b-2.png",
    ]  # fmt: skip
    with Image.open(tmp_path / "cut" / "a-1.png") as circle:
        red, green, blue = circle.convert("RGB").getpixel((circle.width // 2, circle.height // 2))
        assert red > 150 > max(green, blue)


def test_points_and_a_drawing_of_one_picture(tmp_path):
    done = vlm("point", SCENE, "each shape", "--draw", tmp_path / "out.jpg", *DEMO)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [len(row) for row in rows] == [4, 4]
    with Image.open(SCENE) as scene:
        for (_, label, x, y), channel in zip(rows, (0, 2), strict=True):
            pixel = scene.convert("RGB").getpixel((int(x), int(y)))
            assert pixel[channel] == max(pixel), label
    assert Image.open(tmp_path / "out.jpg").format == "JPEG"


def test_a_model_that_cannot_is_refused_with_names_of_some_that_can(small):
    words = ("detect", SCENE, "each cat", "-m", small / "llava.gguf", "--mmproj", small / "mmproj-llava.gguf")
    done = vlm(*words, "--in-process")
    assert done.returncode == 1
    assert "is not known to write boxes" in done.stderr
    assert "qwen3" in done.stderr
    done = vlm(*words, "--in-process", "--boxes", "0-1000", "--json")
    record = json.loads(done.stdout)
    if "error" in record:  # the model counts at random
        assert record["error"]["type"] == "RequestError"
    else:
        width, height = record["size"]
        assert all(0 <= left < right <= width and 0 <= top < bottom <= height
                   for left, top, right, bottom in (place["box"] for place in record["places"]))  # fmt: skip


def test_boxes_that_are_cut_off_are_an_error():
    done = vlm("detect", SCENE, "each shape", "--max-tokens", "5", *DEMO)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the boxes are cut off after 5 tokens" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["detect", SCENE], "no question"),
        (["detect", SCENE, "x", "--boxes", "0-7"], "--boxes 0-7: not known"),
        (["detect", SCENE, "x", "--format", "xml"], "xml"),
    ],
)
def test_wrong_words(words, says):
    done = vlm(*words, *DEMO)
    assert done.returncode == 2
    assert says in done.stderr
