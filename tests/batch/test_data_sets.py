"""`--output FILE.parquet` and `--output metadata.jsonl`: made of the records, and read by those who read such files."""

import json
import os
import shutil
import subprocess
import sys
from random import Random

import pytest

from tests.support import ROOT
from tests.support.program import own_environment, vlm
from vlmcli.demo import scenes
from vlmcli.later import Later

pq = Later("pyarrow.parquet")  # slow, for who collects
DEMO = {"VLM_MODEL": "demo"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Five scenes and a file that is no picture."""
    folder = tmp_path_factory.mktemp("drawn")
    for number in range(5):
        scene = scenes.make(Random(f"tables-{number}"), size=(200, 200), shapes=1, text=False)
        scenes.draw(scene).save(folder / f"{number}.png")
    (folder / "broken.png").write_text("no picture")
    return folder


@pytest.fixture
def pics(drawn, tmp_path):
    """A copy of them, in the folder that commands run in."""
    shutil.copytree(drawn, tmp_path / "pics")
    return tmp_path / "pics"


def rows(file):
    return pq.read_table(file).to_pylist()


def loaded(tmp_path, kind, **where):
    """What `datasets` makes of files, in a process of its own: it fixes where the Hub is when it is imported."""
    code = (
        "import json, sys; from datasets import load_dataset\n"
        "kind, where, cache = json.loads(sys.argv[1])\n"
        "found = list(load_dataset(kind, cache_dir=cache, **where)['train'])\n"
        "print(json.dumps(found, default=lambda image: image.size))"
    )
    words = json.dumps([kind, where, str(tmp_path / "cache")])
    done = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run(pics, *words, code=3):
    done = vlm(*words, env=DEMO, cwd=pics.parent)
    assert done.returncode == code, done.stderr
    return done


# ---------------------------------------------------------------------------------------------- Parquet


def test_a_table_has_a_row_for_each_record(pics):
    done = run(pics, "caption", "pics", "--output", "captions.parquet")
    assert "captions.parquet has 6 rows" in done.stderr
    assert done.stdout == ""
    records = [json.loads(line) for line in (pics.parent / "captions.parquet.jsonl").read_text().splitlines()]
    found = rows(pics.parent / "captions.parquet")
    assert [row["source"] for row in found] == [one["sources"][0] for one in records]
    assert [row["answer"] for row in found] == [one.get("answer") for one in records]
    assert [row["error"] for row in found] == [one.get("error", {}).get("message") for one in records]
    assert [bool(row["error"]) for row in found] == [False] * 5 + [True]
    first = found[0]
    assert first["sources"] == ["pics/0.png"]
    assert (first["model"], first["work"], first["sha256"]) == ("demo", records[0]["work"], records[0]["sha256"])
    assert first["prompt_tokens"] == records[0]["usage"]["prompt_tokens"]
    assert first["seconds"] == pytest.approx(sum(records[0]["timings"].values()), abs=1e-3)


def test_datasets_reads_it(pics, tmp_path):
    run(pics, "caption", "pics", "--output", "captions.parquet")
    data = loaded(tmp_path, "parquet", data_files=str(pics.parent / "captions.parquet"))
    assert [row["answer"] for row in data] == [row["answer"] for row in rows(pics.parent / "captions.parquet")]


def test_the_same_command_again_does_the_rest_and_makes_it_again(pics):
    (pics / "4.png").rename(pics.parent / "4.png")
    run(pics, "caption", "pics", "--output", "captions.parquet")
    assert len(rows(pics.parent / "captions.parquet")) == 5
    (pics.parent / "4.png").rename(pics / "4.png")
    done = run(pics, "caption", "pics", "--output", "captions.parquet")
    assert "captions.parquet has 6 rows" in done.stderr
    assert len((pics.parent / "captions.parquet.jsonl").read_text().splitlines()) == 6
    (pics.parent / "captions.parquet").unlink()
    run(pics, "caption", "pics", "--output", "captions.parquet")
    assert len(rows(pics.parent / "captions.parquet")) == 6, "it is made again, with nothing left to ask"


def test_of_work_that_was_done_again_the_last_record_counts(pics):
    run(pics, "caption", "pics", "--output", "captions.parquet")
    run(pics, "caption", "pics", "--output", "captions.parquet", "--retry-errors")
    assert len((pics.parent / "captions.parquet.jsonl").read_text().splitlines()) == 7
    assert len(rows(pics.parent / "captions.parquet")) == 6
    shutil.copy(pics / "0.png", pics / "broken.png")
    run(pics, "caption", "pics", "--output", "captions.parquet", code=0)
    found = rows(pics.parent / "captions.parquet")
    assert len(found) == 7, "the changed file is other work"
    assert found[-1]["source"] == "pics/broken.png"
    assert found[-1]["error"] is None


def test_decisions_and_fields_are_json_in_it(pics):
    run(pics, "decide", "pics/0.png", "pics/1.png", "-q", "Is there a circle?", "--output", "d.parquet", code=0)
    answers = json.loads(rows(pics.parent / "d.parquet")[0]["answers"])
    assert answers == json.loads((pics.parent / "d.parquet.jsonl").read_text().splitlines()[0])["answers"]
    run(pics, "extract", "pics/0.png", "pics/1.png", "--schema", "what", "--output", "e.parquet", code=0)
    assert set(json.loads(rows(pics.parent / "e.parquet")[0]["fields"])) == {"what"}


def test_a_dry_run_makes_none(pics):
    run(pics, "caption", "pics", "--output", "captions.parquet", "--dry-run", code=0)
    assert not list(pics.parent.glob("captions*"))


def test_a_file_of_somebody_elses_is_not_replaced(pics):
    (pics.parent / "captions.parquet").write_bytes(b"precious")
    done = run(pics, "caption", "pics", "--output", "captions.parquet", code=2)
    assert "captions.parquet: was not made by vlm" in done.stderr
    assert (pics.parent / "captions.parquet").read_bytes() == b"precious"
    assert not (pics.parent / "captions.parquet.jsonl").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file names that are no text")
def test_names_that_are_no_text_are_kept_readable(pics):
    os.rename(pics / "0.png", os.fsencode(pics) + b"/\xff.png")  # noqa: PTH104 - no text
    run(pics, "caption", "pics", "--output", "captions.parquet")
    assert "pics/\\udcff.png" in [row["source"] for row in rows(pics.parent / "captions.parquet")]


def test_without_pyarrow_it_is_said_before_anything_is_done(pics):
    code = (
        "import sys; sys.modules['pyarrow'] = sys.modules['pyarrow.parquet'] = None\n"
        "from vlmcli.cli import app; sys.exit(app.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "caption", "pics", "--output", "captions.parquet"], cwd=pics.parent,
        env=own_environment(DEMO | {"PYTHONPATH": str(ROOT)}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "captions.parquet: needs the package pyarrow" in done.stderr
    assert "pip install 'vlmcli[parquet]'" in done.stderr
    assert not list(pics.parent.glob("captions*"))


def test_a_table_that_cannot_be_written_costs_no_record(pics):
    run(pics, "caption", "pics", "--output", "captions.parquet")
    before = (pics.parent / "captions.parquet").read_bytes()
    (pics.parent / "captions.parquet").unlink()
    (pics.parent / "captions.parquet").mkdir()
    done = run(pics, "caption", "pics", "--output", "captions.parquet", code=2)
    assert "captions.parquet" in done.stderr
    (pics.parent / "captions.parquet").rmdir()
    run(pics, "caption", "pics", "--output", "captions.parquet")
    assert (pics.parent / "captions.parquet").read_bytes() == before


# ---------------------------------------------------------------------------------------------- imagefolder


def test_imagefolder_reads_the_pictures_with_their_texts(pics, tmp_path):
    (pics / "broken.png").unlink()
    run(pics, "caption", "pics", "--output", "pics/metadata.jsonl", code=0)
    lines = [json.loads(line) for line in (pics / "metadata.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"file_name", "text"}] * 5
    data = loaded(tmp_path, "imagefolder", data_dir=str(pics))
    assert sorted(row["text"] for row in data) == sorted(line["text"] for line in lines)
    assert [row["image"] for row in data] == [[200, 200]] * 5


def test_names_are_those_in_its_own_folder(pics):
    (pics / "sub").mkdir()
    (pics / "0.png").rename(pics / "sub" / "0.png")
    run(pics, "caption", "pics/sub", "pics/1.png", "--output", "pics/metadata.jsonl", code=0)
    names = [json.loads(line)["file_name"] for line in (pics / "metadata.jsonl").read_text().splitlines()]
    assert sorted(names) == ["1.png", "sub/0.png"]


def test_a_picture_that_failed_has_no_text(pics):
    run(pics, "caption", "pics", "--output", "pics/metadata.jsonl")
    lines = [json.loads(line) for line in (pics / "metadata.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines if line["text"] is None] == ["broken.png"]


def test_several_questions_about_a_picture_are_in_one_line(pics):
    run(pics, "ask", "pics/0.png", "pics/1.png", "--each", "-q", "What is this?", "-q", "Is there a star?", "--output",
        "pics/metadata.jsonl", code=0)  # fmt: skip
    lines = [json.loads(line) for line in (pics / "metadata.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines] == ["0.png", "1.png"]
    for line in lines:
        assert [one["question"] for one in line["answers"]] == ["What is this?", "Is there a star?"]
        assert line["text"] == line["answers"][-1]["answer"]


@pytest.mark.parametrize(
    "words", [("pics/0.png", "--each"), ("pics/sub/0.png", "pics/sub/1.png", "--together")], ids=["elsewhere", "two"]
)
def test_pictures_that_it_cannot_name_are_refused_before_anything_is_asked(pics, words):
    (pics / "sub").mkdir()
    for name in ("0.png", "1.png"):
        shutil.copy(pics / name, pics / "sub" / name)
    done = run(pics, "ask", *words, "-q", "What is this?", "--output", "pics/sub/metadata.jsonl", code=2)
    assert "not one picture in" in done.stderr
    assert not list((pics / "sub").glob("metadata*"))


def test_its_name_is_no_journals(pics):
    done = run(pics, "caption", "pics", "--journal", "pics/metadata.jsonl", code=2)
    assert "metadata.jsonl: made of records" in done.stderr
