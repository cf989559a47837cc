"""Schemas as users write them, and what an answer by one is worth."""

import json

import pytest

from vlmcli.errors import RequestError, UsageError
from vlmcli.tasks import schema
from vlmcli.tasks.extract import Extract, checked
from vlmcli.values import Answer, Timings, Usage


def nullable(kind):
    return {"type": [kind, "null"]}


def test_a_list_of_fields_is_a_schema():
    found = schema.read("shop, date: of the purchase, total float, items list of str: what was bought, n int", "x")
    assert found["properties"] == {
        "shop": nullable("string"),
        "date": nullable("string") | {"description": "of the purchase"},
        "total": nullable("number"),
        "items": {"type": "array", "items": {"type": "string"}, "description": "what was bought"},
        "n": nullable("integer"),
    }
    assert found["required"] == ["shop", "date", "total", "items", "n"]
    assert found["additionalProperties"] is False
    lines = schema.read("\nname: first, or last\nage int\n", "x")
    assert list(lines["properties"]) == ["name", "age"]
    assert lines["properties"]["name"]["description"] == "first, or last"


def test_several_keeps_definitions_where_references_find_them():
    one = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}}
    found = schema.several(one)
    assert found["$defs"] == one["$defs"]
    assert "$defs" not in found["properties"]["items"]["items"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no fields"),
        (" , ", "no fields"),
        ("a, a", "twice"),
        ("a text", "is not a field"),
        ("a b c d", "is not a field"),
        ("{", "invalid JSON"),
        ("[1]", "this is a list"),
        ('{"a": NaN}', "invalid JSON"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested more than 40 levels"),
        ("{" * 100_000, "invalid JSON"),
        (json.dumps({"anyOf": [{"$ref": "#/$defs/a"}] * 501}), "501 references"),
        (json.dumps({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), "refers to itself"),
        (json.dumps({"$ref": "#"}), "refers to itself"),
        (json.dumps({"description": "x" * 300_000}), "larger than"),
    ],
)
def test_what_is_no_schema_is_said(text, says):
    with pytest.raises(UsageError) as raised:
        schema.read(text, "f.json")
    assert raised.value.message.startswith("f.json")
    assert says in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"type": "string", "pattern": r"^\p{Letter}+$"}, "is not supported"),  # Rust reads it, Python does not
        ({"properties": {"a": {"patternProperties": {"(": {}}}}}, "the pattern '('"),
        ({"type": "strin"}, "not a JSON Schema"),
        ({"properties": {"a": {"minLength": -1}}}, "properties.a.minLength"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": "x"}, "not a JSON Schema"),
    ],
)
def test_what_an_answer_could_not_be_checked_by_is_said(given, says):
    with pytest.raises(UsageError) as raised:
        schema.read(json.dumps(given), "x.json")
    assert says in raised.value.message
    assert raised.value.message.startswith("x.json: ")


def test_a_reference_that_is_not_found_is_no_traceback():
    far = json.dumps({"$ref": "#/$defs/none"})
    with pytest.raises(RequestError, match="cannot be checked"):
        checked("{}", far, "stop", 2)


PRICE = json.dumps({"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]})


def test_what_was_cut_off_or_is_wrong_is_no_result():
    assert checked('{"total": 3.5}', PRICE, "stop", 9) == {"total": 3.5}
    for text, ended, says in (
        ('{"total": 3.5}', "length", "cut off after 9 tokens"),
        ('{"total": ', "stop", "is not JSON"),
        ('{"total": "x"}', "stop", "does not follow the schema"),
        ("[]", "stop", "does not follow the schema"),
    ):
        with pytest.raises(RequestError) as raised:
            checked(text, PRICE, ended, 9)
        assert says in raised.value.message


def test_cells_are_those_of_a_flat_object():
    task = Extract(json.dumps(schema.read("shop, total float, items list of str", "x")))
    answer = Answer('{"shop": null, "total": 2.5, "items": ["a", "b"]}', "stop", Usage(), Timings(), "m")
    result = task.result(["a.png"], answer, "m")
    assert result.fields == ({"shop": None, "total": 2.5, "items": ["a", "b"]},)
    assert task.columns == ["shop", "total", "items"]
    assert task.cells({"fields": result.fields[0]}) == {"shop": "", "total": "2.5", "items": "a; b"}
    error = task.result(["a.png"], Answer("{", "length", Usage(answer_tokens=7), Timings(), "m"), "m").error
    assert isinstance(error, RequestError)
    assert error.message == "a.png: the JSON is cut off after 7 tokens"
