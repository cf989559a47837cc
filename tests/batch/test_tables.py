"""Answers as a table: its columns and rows, and how one is gone on with after a run that was stopped."""

import csv
import io
import json
import shutil
import subprocess

import pytest

from tests.support.folders import QUESTION, SCENE, drawn, vlm
from tests.support.program import VLM


def test_a_table_has_a_column_for_each_question(folder):
    (folder / "ask.txt").write_text(f'{QUESTION}\n\n Is there a "star", or two? \n', "utf-8")
    asked = ("--questions", "ask.txt")
    done = vlm(folder, "ask", "-m", "demo", "pics", *asked, "--format", "csv")
    assert done.returncode == 3
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["picture", QUESTION, 'Is there a "star", or two?', "error"]
    assert [row[0] for row in rows[1:]] == [f"pics/{name}.png" for name in "abcdef"]
    assert rows[1][1] == "A red circle and a blue square."
    assert rows[1][2]
    assert rows[1][3] == ""
    assert rows[4][1:3] == ["", ""]
    assert "pics/d.png: a text file, not a picture" in rows[4][3]
    done = vlm(folder, "caption", "-m", "demo", "pics", "--format", "tsv", "--exclude", "d.png")
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert found[0] == ["picture", "Describe this image in one sentence.", "error"]
    assert {len(row) for row in found} == {3}
    assert len(found) == 6
    for name, says in (("none.txt", "cannot be read"), ("empty.txt", "the file has no questions")):
        (folder / "empty.txt").write_text("\n \n", "utf-8")
        done = vlm(folder, "ask", "-m", "demo", "pics/a.png", "--questions", name)
        assert (done.returncode, says in done.stderr) == (2, True)
    for other, hint in (
        (["--json"], "leave out --json or --format"),
        (["--output", "out.jsonl"], "leave out --format, or use --journal instead of --output"),
    ):
        done = vlm(folder, "caption", "-m", "demo", "pics", "--format", "csv", *other)
        assert (done.returncode, hint in done.stderr) == (2, True)
    jsonl = vlm(folder, "caption", "-m", "demo", "pics/a.png", "--format", "jsonl")
    assert json.loads(jsonl.stdout)["sources"] == ["pics/a.png"]


def test_what_was_done_before_does_not_change_how_the_rest_is_written(folder):
    """Text, and a table: a line's form, a row's cells and the head depend on the command, not on what is left."""
    shutil.rmtree(folder / "pics")
    (folder / "pics").mkdir()
    for name in "ab":
        shutil.copy(SCENE, folder / "pics" / f"{name}.png")
    command = ("ask", "-m", "demo", "--each", "pics/a.png", "pics/b.png", "-q", QUESTION, "--journal", "j.jsonl")
    whole = vlm(folder, *command).stdout
    first = (folder / "j.jsonl").read_bytes().splitlines(keepends=True)[0]
    (folder / "j.jsonl").write_bytes(first)
    assert vlm(folder, *command).stdout == whole.splitlines(keepends=True)[1]
    (folder / "j.jsonl").unlink()
    table = (*command, "-q", "is there a star?", "--format", "csv")
    whole = vlm(folder, *table).stdout
    (folder / "j.jsonl").write_bytes(b"".join((folder / "j.jsonl").read_bytes().splitlines(keepends=True)[:1]))
    with (folder / "t.csv").open("wb") as file:
        file.write(whole.splitlines(keepends=True)[0].encode())
    with (folder / "t.csv").open("ab") as file:
        subprocess.run([VLM, *table], cwd=folder, stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert (folder / "t.csv").read_text("utf-8") == whole


def test_a_head_that_is_there_is_not_written_again(folder):
    command = ("caption", "-m", "demo", "pics", "--exclude", "d.png", "--format", "csv", "--journal", "j.jsonl")
    whole = vlm(folder, *command).stdout
    (folder / "j.jsonl").unlink()
    (folder / "t.csv").write_text(whole.splitlines(keepends=True)[0], "utf-8")
    with (folder / "t.csv").open("ab") as file:
        subprocess.run([VLM, *command], cwd=folder, stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert (folder / "t.csv").read_text("utf-8") == whole


def test_a_table_with_other_columns_is_not_appended_to(folder):
    command = [VLM, "ask", "-m", "demo", "pics", "--journal", "j.jsonl", "--format", "csv", "-q", QUESTION]
    said = []
    for more in ([], ["-q", "is there a star?"], []):
        with (folder / "t.csv").open("ab") as file:
            done = subprocess.run(
                [*command, *more], cwd=folder, stdout=file, stderr=subprocess.PIPE, text=True, check=False
            )
        said.append(
            (
                done.returncode,
                "t.csv: the table in this file has other columns" in done.stderr,
                (folder / "t.csv").read_bytes(),
            )
        )
    assert [one[:2] for one in said] == [(3, False), (2, True), (3, False)]
    assert said[0][2] == said[1][2] == said[2][2]


def test_a_picture_named_twice_has_two_rows(folder):
    done = vlm(folder, "ask", "-m", "demo", "--each", "pics/a.png", "pics/a.png", "-q", QUESTION, "--format", "csv")
    assert len(done.stdout.splitlines()) == 3


def test_a_full_stdout_has_whole_lines_and_the_journal_knows_what_is_missing(tmp_path):
    """On a file system of 8 kB, where one may be mounted."""
    names = drawn(tmp_path, 60)
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    command = [VLM, "describe", "-m", "demo", "pics", "--format", "csv", "--journal", "j.jsonl"]
    try:
        (disk / "filler").write_bytes(bytes(4096))
        for _ in range(2):
            with (disk / "out.csv").open("ab") as file:
                done = subprocess.run(
                    command, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE, text=True, check=False
                )
            text = (disk / "out.csv").read_text("utf-8")
            assert text.endswith("\n")
            subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert done.returncode == 0, done.stderr
        assert [row[0] for row in csv.reader(io.StringIO(text))] == ["picture", *names]
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(("kind", "separator"), [("csv", ","), ("tsv", "\t")])
def test_names_questions_and_answers_are_no_formulas_and_a_table_with_such_heads_is_gone_on_with(
    tmp_path, kind, separator
):
    """A picture called =1+1.png, one behind a blank, and a question that begins with a minus."""
    (tmp_path / "=1").mkdir()
    for name in ("=1/a.png", " +b.png", "c.png"):
        shutil.copy(SCENE, tmp_path / name)
    command = [VLM, "ask", "-m", "demo", "=1/a.png", " +b.png", "c.png", "--each", "-q", "-what is this?",
               "-q", "@what", "--journal", "j.jsonl", "--format", kind]  # fmt: skip
    for left in ("pics", "c.png"):
        with (tmp_path / "table").open("ab") as file:
            done = subprocess.run(command, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 0, (left, done.stderr)
        records = (tmp_path / "j.jsonl").read_text("utf-8").splitlines(keepends=True)
        (tmp_path / "j.jsonl").write_text("".join(records[:4]), "utf-8")
    rows = list(csv.reader((tmp_path / "table").open(encoding="utf-8", newline=""), delimiter=separator))
    assert rows[0] == ["picture", "'-what is this?", "'@what", "error"]
    assert [row[0] for row in rows[1:]] == ["'=1/a.png", "' +b.png", "c.png", "c.png"]
    assert json.loads(records[0])["sources"] == ["=1/a.png"]
