"""`vlm extract` and the forms of `vlm ask` through their door: what is printed is what the schema says, or an error."""

import csv
import io
import json
import shutil

import jsonschema
import pytest

from tests.support.program import SCENE, vlm

DEMO = ("-m", "demo", "--in-process")
SHAPES = {
    "type": "object",
    "properties": {
        "shapes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "shape": {"type": "string"},
                    "color": {"enum": ["red", "blue", "green"]},
                    "box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
                },
                "required": ["shape", "color", "box"],
                "additionalProperties": False,
            },
        },
        "text": {"type": ["string", "null"]},
    },
    "required": ["shapes", "text"],
    "additionalProperties": False,
}
"""As the demo model lists shapes."""


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps(SHAPES))
    return path


def test_fields_of_a_file_and_of_a_list(schema):
    done = vlm("extract", SCENE, "--schema", schema, *DEMO)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(one["shape"], one["color"]) for one in found["shapes"]] == [("circle", "red"), ("square", "blue")]
    assert found["text"] is None
    done = vlm("extract", SCENE, "--schema", "shape, color, count int", *DEMO)
    assert set(json.loads(done.stdout)) == {"shape", "color", "count"}


def test_a_folder_is_a_line_a_picture_or_a_table(tmp_path, schema):
    (tmp_path / "pics").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(SCENE, tmp_path / "pics" / name)
    done = vlm("extract", tmp_path / "pics", "--schema", schema, *DEMO)
    names, texts = zip(*(line.split("\t") for line in done.stdout.splitlines()), strict=True)
    assert [name.endswith(("a.png", "b.png")) for name in names] == [True, True]
    for text in texts:
        jsonschema.validate(json.loads(text), SHAPES)
    done = vlm("extract", tmp_path / "pics", "--schema", "color, box", "--format", "csv", *DEMO)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["picture", "color", "box", "error"]
    assert len(rows) == 3


def test_records_have_the_fields_and_are_remembered(tmp_path, schema):
    words = ("extract", SCENE, "--schema", schema, "--output", tmp_path / "o.jsonl", *DEMO)
    assert vlm(*words).returncode == 0
    (record,) = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    jsonschema.validate(record["fields"], SHAPES)
    assert json.loads(record["answer"]) == record["fields"]
    assert "1 was done before" in vlm(*words).stderr


def test_an_answer_that_is_cut_off_is_an_error(schema):
    done = vlm("extract", SCENE, "--schema", schema, "--max-tokens", "5", "--json", *DEMO)
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["error"]["message"].endswith("the JSON is cut off after 5 tokens")
    assert "answer" not in record


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["extract", SCENE], "the command has no schema"),
        (["extract", SCENE, "--schema", "none.json"], "none.json: there is no such file"),
        (["extract", SCENE, "--schema", '{"not": {}}'], 'not supported: Unimplemented keys: ["not"]'),
        (["extract", SCENE, "--schema", '{"type": "strin"}'], "not a JSON Schema"),
        (["extract", SCENE, "--schema", '{"$ref": "#"}'], "refers to itself"),
        (["ask", SCENE, "x?", "--regex", "("], "the regular expression is not supported"),
        (["ask", SCENE, "x?", "--choices", "a"], "at least two"),
        (["ask", SCENE, "x?", "--choices", "a,b", "--regex", "a"], "cannot be used together"),
        (["ask", SCENE, "x?", "--grammar", "none.gbnf"], "none.gbnf"),
    ],
)
def test_what_cannot_be_followed_is_said_before_a_model_is_loaded(words, says):
    done = vlm(*words, "-m", "no-such-model-anywhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_ask_takes_forms(tmp_path, schema):
    assert vlm("ask", SCENE, "Is there a star?", "--choices", "Yes,No", *DEMO).stdout == "No\n"
    assert vlm("ask", SCENE, "What is this?", "--regex", "A [a-z]+ circle", *DEMO).stdout == "A red circle\n"
    (tmp_path / "g.gbnf").write_text('root ::= "It is " ("red" | "blue") "."')
    assert vlm("ask", SCENE, "What color is the circle?", "--grammar", tmp_path / "g.gbnf", *DEMO).stdout == (
        "It is red.\n"
    )
    done = vlm("ask", SCENE, "List the shapes as JSON.", "--schema", schema, *DEMO)
    assert json.loads(done.stdout)["shapes"][0]["color"] == "red"


def test_schema_multi_is_a_list(schema):
    one = json.dumps(SHAPES["properties"]["shapes"]["items"])
    done = vlm("extract", SCENE, "--schema", one, "--schema-multi", *DEMO)
    found = json.loads(done.stdout)
    assert isinstance(found["items"], list)
    assert all(set(item) == {"shape", "color", "box"} for item in found["items"])
