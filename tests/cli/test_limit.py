"""--limit N: the first N pictures that are left to do, and the next N the next time."""

import json
from random import Random

import pytest

from tests.support.program import vlm
from vlmcli.demo import scenes


@pytest.fixture
def pics(tmp_path):
    folder = tmp_path / "pics"
    folder.mkdir()
    for number in range(5):
        scenes.draw(scenes.make(Random(number), size=(120, 90))).save(folder / f"{number}.png")
    return tmp_path


def caption(pics, *words, code=0):
    done = vlm("caption", "-m", "demo", "pics", *words, cwd=pics)
    assert done.returncode == code, done.stderr
    return done


def names(lines):
    return [line.partition("\t")[0] for line in lines.splitlines()]


def test_only_the_first_are_asked_about(pics):
    done = caption(pics, "--limit", "2")
    assert names(done.stdout) == ["pics/0.png", "pics/1.png"]
    assert "; 3 more pictures are left (--limit 2)" in done.stderr
    done = caption(pics, "--limit", "5")
    assert (len(names(done.stdout)), "--limit" in done.stderr) == (5, False)


def test_one_of_a_folder_has_its_name(pics):
    assert names(caption(pics, "--limit", "1").stdout) == ["pics/0.png"]


@pytest.mark.parametrize("option", ["--output", "--journal"])
def test_the_next_run_goes_on_with_the_next(pics, option):
    sizes = []
    for left in (
        "3 more pictures are left for the next run (--limit 2)",
        "1 more picture is left for the next run",
        "",
    ):
        done = caption(pics, option, "o.jsonl", "--limit", "2")
        assert (left in done.stderr) if left else ("--limit" not in done.stderr)
        sizes.append(len((pics / "o.jsonl").read_text().splitlines()))
    assert sizes == [2, 4, 5]
    records = [json.loads(line) for line in (pics / "o.jsonl").read_text().splitlines()]
    assert [record["sources"] for record in records] == [[f"pics/{number}.png"] for number in range(5)]


def test_so_it_does_with_sidecars(pics):
    for count in (2, 4, 5):
        caption(pics, "--sidecar", "txt", "--limit", "2")
        assert len(list((pics / "pics").glob("*.txt"))) == count


def test_two_questions_about_a_picture_are_one_picture(pics):
    words = ("ask", "-m", "demo", "pics", "-q", "what is this?", "-q", "Is it red?", "--limit", "2")
    done = vlm(*words, "--format", "csv", cwd=pics)
    assert [line.partition(",")[0] for line in done.stdout.splitlines()] == ["picture", "pics/0.png", "pics/1.png"]


def test_a_dry_run_is_of_those_only(pics):
    done = caption(pics, "--limit", "2", "--dry-run")
    assert "2 questions about 2 pictures" in done.stderr
    assert "; 3 more pictures are left (--limit 2)" in done.stderr


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_a_limit_is_a_count(pics, number):
    assert "--limit" in caption(pics, "--limit", number, code=2).stderr


def test_pictures_that_are_asked_about_together_have_no_limit(pics):
    names = [f"pics/{number}.png" for number in range(3)]
    for words in (names, ["pics", "--together"]):
        done = vlm("ask", "-m", "demo", *words, "-q", "what is this?", "--limit", "2", cwd=pics)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "vlm: --limit does nothing where all pictures are asked about together\n     add --each\n"
