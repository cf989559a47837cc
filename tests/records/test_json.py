"""What `--json` writes is what docs/json.md says it is."""

import json
import re

import jsonschema
import pytest

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
