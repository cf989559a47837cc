"""`metadata.jsonl` of records that lie anywhere in a journal: one line for each picture, by the order of its first."""

import json

import pytest

from vlmcli.errors import VlmError
from vlmcli.records import tables
from vlmcli.records.journal import Journal


def made(folder, asked):
    """The lines of the file made of records: a picture's name, a question and an answer each."""
    text = ""
    for number, (name, question, answer) in enumerate(asked):
        record = {"v": 1, "sources": [str(folder / name)], "question": question, "model": "demo", "answer": answer}
        record |= {"work": f"{number:032x}", "sha256": [""], "bytes": [0], "modified": [0]}
        text += json.dumps(record, ensure_ascii=False) + "\n"
    (folder / "run.jsonl").write_text(text, "utf-8")
    with Journal(folder / "run.jsonl") as journal:
        count = tables.write(folder / "metadata.jsonl", journal.records())
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == count
    return lines


def test_one_question_about_each(tmp_path):
    names = ["b.png", "sub/ä.png", "a.png"]
    found = made(tmp_path, [(name, "?", name.upper()) for name in names])
    assert found == [{"file_name": name, "text": name.upper()} for name in names]


def test_of_a_picture_that_was_asked_about_again_the_last_answer_counts(tmp_path):
    found = made(tmp_path, [("b.png", "?", "1"), ("a.png", "?", "2"), ("b.png", "?", "3")])
    assert found == [{"file_name": "b.png", "text": "3"}, {"file_name": "a.png", "text": "2"}]


def test_answers_to_several_questions_are_together_wherever_their_records_are(tmp_path):
    first = [(f"{number}.png", "what?", f"{number}") for number in (3, 1, 2)]
    again = [(f"{number}.png", "where?", f"at {number}") for number in (2, 3, 1)]
    found = made(tmp_path, [*first, *again, ("1.png", "what?", "new")])
    assert [one["file_name"] for one in found] == ["3.png", "1.png", "2.png"]
    assert [one["text"] for one in found] == ["at 3", "at 1", "at 2"]
    assert found[1]["answers"] == [{"question": "what?", "answer": "new"}, {"question": "where?", "answer": "at 1"}]


def test_no_records_make_an_empty_file_and_a_picture_elsewhere_makes_none(tmp_path):
    assert made(tmp_path, []) == []
    (tmp_path / "metadata.jsonl").unlink()
    for name in ("../a.png", f"../{tmp_path.name}2/a.png"):
        with pytest.raises(VlmError, match="not one picture in"):
            made(tmp_path, [("b.png", "?", "x"), (name, "?", "x")])
        assert not (tmp_path / "metadata.jsonl").exists()
