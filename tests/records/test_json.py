"""What `--json` writes is what docs/json.md says it is."""

import json
import re

import jsonschema
import pytest
from PIL import Image

from tests.support.program import SCENE, vlm
from tests.support.schema import PAGE, SCHEMA

CHECK = jsonschema.Draft202012Validator(SCHEMA)


def records(*words):
    return [json.loads(line) for line in vlm(*words, "--json").stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["ask", "-m", "demo", SCENE, "what is this?"], 1),
        (["ask", "-m", "demo", SCENE, "-q", "what is this?", "-q", "is there text?", "--max-tokens", "2"], 2),
        (["ask", "-m", "demo", "--each", SCENE, "none.png", "what is this?"], 2),
        (["ask", "-m", "nowhere", SCENE, "what is this?"], 1),
        (["ask", "-m", "demo", "--ctx", "256", SCENE, "word " * 300], 1),
        (["caption", "-m", "demo", SCENE, SCENE], 2),
        (["describe", "-m", "demo", "none.png"], 1),
        (["ocr", "-m", "demo", SCENE], 1),
        (["ocr", "-m", "nowhere", SCENE], 1),
    ],
)
def test_every_record_is_of_the_schema(words, count):
    found = records(*words)
    assert len(found) == count
    for record in found:
        CHECK.validate(record)


def test_the_schema_can_be_broken():
    CHECK.check_schema(SCHEMA)
    record = records("ask", "-m", "demo", SCENE, "what is this?")[0]
    for wrong in (record | {"v": 2}, record | {"more": 1}, record | {"error": {}}, record | {"finish_reason": "tired"}):
        assert not CHECK.is_valid(wrong)
    for key in record:
        assert not CHECK.is_valid({name: value for name, value in record.items() if name != key}), key


def test_the_examples_of_the_page_are_of_the_schema():
    text = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
    examples = [json.loads("{" + part) for part in re.split(r"^\{", text, flags=re.MULTILINE)[1:]]
    assert len(examples) == 2
    for example in examples:
        CHECK.validate(example)


def test_a_shown_picture_is_an_object_with_the_facts_of_its_lines(tmp_path):
    """The keys are those of the page."""
    photo = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 300)).save(photo, exif=exif)
    (row,) = re.findall(r"^\| `vlm show PICTURE` \|[^|]+\|(.*)\|$", PAGE, re.MULTILINE)
    keys = set(re.findall(r"`(\w+)`", row)) - {"null", "vlm", "models"}
    shown, missing = records("show", "-m", "demo", photo, "none.png")
    assert set(shown) | {"notice", "error"} == keys | {"v"}
    assert set(missing) == {"v", "source", "error"}
    assert missing["error"].keys() == {"type", "message", "hint"}
    assert (shown["source"], shown["format"], shown["size"], shown["mode"]) == (str(photo), "JPEG", [400, 300], "RGB")
    assert (shown["bytes"], shown["frames"], shown["frame"]) == (photo.stat().st_size, 1, None)
    assert (shown["orientation"], shown["upright"]) == (6, [[300, 400]])
    assert (shown["model"], shown["tiles"], shown["picture_tokens"]) == ("demo", [[128, 128]], 64)
    assert shown["context"] == 4096
    (bare,) = records("show", photo)
    assert {key for key in shown if bare[key] is None} == {
        "frame", "model", "tiles", "picture_tokens", "context", "seconds",
    }  # fmt: skip
    assert {key: bare[key] for key in bare if bare[key] is not None}.items() <= shown.items()


def test_the_default_model_looks_and_one_that_is_missing_is_told_of(tmp_path):
    shown = vlm("show", SCENE, env={"VLM_MODEL": "demo"})
    assert "  demo sees 64 image tokens" in shown.stdout
    (record,) = [
        json.loads(line) for line in vlm("show", SCENE, "--json", env={"VLM_MODEL": "demo"}).stdout.splitlines()
    ]
    assert (record["model"], record["picture_tokens"]) == ("demo", 64)
    missing = vlm("show", SCENE, env={"VLM_MODEL": "smolvlm2-500m"})
    assert (missing.returncode, missing.stdout.count("\n")) == (0, 2)
    assert "vlm pull smolvlm2-500m" in missing.stderr
    assert "what smolvlm2-500m sees of the picture cannot be shown" in missing.stderr
