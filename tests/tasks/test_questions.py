"""Files of questions: what they may have, and what is wrong with others, in words."""

import json

import pytest

from vlmcli.decisions import Option, Question
from vlmcli.errors import UsageError
from vlmcli.tasks import questions

TYPED = {
    "questions": [
        {"type": "predicate", "name": "cat", "instructions": "Is there a cat?"},
        {"type": "choice", "instructions": "Which animal?", "choices": [{"value": "cat"}, {"value": True}]},
        {
            "type": "score",
            "name": "quality",
            "instructions": [{"type": "input_text", "text": "How sharp"}, {"type": "input_text", "text": "is it?"}],
            "levels": [{"label": "blurred", "description": "nothing can be read"}, {"label": "sharp"}],
        },
    ]
}
SAME = """
[[questions]]
type = "predicate"
name = "cat"
instructions = "Is there a cat?"

[[questions]]
type = "choice"
instructions = "Which animal?"
choices = [{value = "cat"}, {value = true}]

[[questions]]
type = "score"
name = "quality"
instructions = "How sharp\\nis it?"
levels = [{label = "blurred", description = "nothing can be read"}, "sharp"]
"""
READ = [
    Question("predicate", "Is there a cat?", "cat"),
    Question("choice", "Which animal?", "", (Option("cat"), Option(True))),
    Question("score", "How sharp\nis it?", "quality", (Option("blurred", "nothing can be read"), Option("sharp"))),
]


def test_json_and_toml_say_the_same():
    assert questions.read(json.dumps(TYPED), "q.json") == READ
    assert questions.read(json.dumps(TYPED["questions"]), "q.JSON") == READ
    assert questions.read(SAME, "q.toml") == READ


def test_plain_lines_are_predicates():
    assert questions.read("is it a cat?\n\n is it dark? \n", "q.txt") == [
        Question("predicate", "is it a cat?"), Question("predicate", "is it dark?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "invalid JSON"),
        ("{}", "no list of questions"),
        ('{"questions": []}', "no list of questions"),
        ("[1]", "question 1 is neither a text nor an object"),
        ('[{"instructions": "x"}]', "question 1 has no type"),
        ('[{"type": "box", "instructions": "x"}]', "question 1 has the type 'box'"),
        ('[{"type": "predicate"}]', "question 1 has no instructions"),
        ('[{"type": "predicate", "instructions": " "}]', "question 1 has no instructions"),
        ('[{"type": "predicate", "instructions": [{"type": "input_image"}]}]', "'input_image' are not supported"),
        ('[{"type": "predicate", "instructions": "x", "choices": []}]', "a key that is not known: choices"),
        ('[{"type": "choice", "instructions": "x"}]', "question 1 needs choices"),
        ('[{"type": "choice", "instructions": "x", "choices": ["a"]}]', "a list of 2 to 255"),
        ('[{"type": "choice", "instructions": "x", "choices": ["a", "a"]}]', "'a' is there twice"),
        ('[{"type": "choice", "instructions": "x", "choices": ["a", 3]}]', "one of its choices has no value"),
        ('[{"type": "score", "instructions": "x", "levels": ["a", true]}]', "one of its levels has no label"),
        ('[{"type": "choice", "instructions": "x", "choices": ["a", "b"], "form": "It"}]', "no place for the answer"),
        ('["is it?", "is it?"]', "two questions are called 'is it?'"),
        (json.dumps(["a?"] * 401), "401 questions"),
        ("[" * 100_000, "invalid JSON"),
    ],
)
def test_what_is_wrong_is_named(content, says):
    with pytest.raises(UsageError) as raised:
        questions.read(content, "q.json")
    assert says in raised.value.message
    assert raised.value.message.startswith("q.json")
    assert raised.value.hint


def test_labels_have_meanings():
    assert questions.labels(["cat", " dog = a dog, or a wolf "], "--labels") == (
        Option("cat"), Option("dog", "a dog, or a wolf"),
    )  # fmt: skip
    for wrong in (["cat"], ["cat", "cat"], ["cat", "=x"]):
        with pytest.raises(UsageError):
            questions.labels(wrong, "--labels")
