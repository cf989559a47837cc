"""`vlm match`, `classify` and `decide` through their door: what they print, their exit codes, and what is wrong."""

import csv
import io
import json
import shutil
from random import Random

import pytest
from PIL import Image

from tests.support.program import SCENE, vlm
from vlmcli.demo import scenes
from vlmcli.demo.world import SHAPES
from vlmcli.settings import config_folder

DEMO = ("-m", "demo", "--in-process")


@pytest.fixture
def pictures(tmp_path):
    """A folder with the scene of a red circle and a blue square, and one of a green star."""
    folder = tmp_path / "pics"
    folder.mkdir()
    shutil.copy(SCENE, folder / "a.png")
    rng = Random(1)
    while True:
        scene = scenes.make(rng)
        if [str(shape) for shape in scene.shapes] == ["green star"] and not scene.texts:
            scenes.draw(scene).save(folder / "b.png")
            return folder


def test_match_prints_what_matches_and_exits_as_grep_does(pictures):
    a, b = (f"{pictures / name}\n" for name in ("a.png", "b.png"))
    for words, printed, code in (
        (["a red circle"], a, 0),
        (["a green star"], b, 0),
        (["a red circle", "--not"], b, 0),
        (["a yellow cross"], "", 1),
        (["a yellow cross", "--not", "--count"], "2\n", 0),
        (["a yellow cross", "--count"], "0\n", 1),
        (["a green star", "--print0"], b.replace("\n", "\0"), 0),
    ):
        what, *options = words
        done = vlm("match", what, pictures, *options, *DEMO)
        assert (done.stdout, done.returncode) == (printed, code), (words, done.stderr)


def test_match_prints_probabilities(pictures):
    done = vlm("match", "a red circle", pictures, "--scores", "--threshold", "0", *DEMO)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _ in rows] == [str(pictures / "a.png"), str(pictures / "b.png")]
    assert float(rows[0][1]) > 0.9
    assert float(rows[1][1]) < 0.1


def test_an_error_is_no_answer_of_match(pictures):
    (pictures / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = vlm("match", "a red circle", pictures, *DEMO)
    assert (done.stdout, done.returncode) == (f"{pictures / 'a.png'}\n", 2)
    assert "c.png" in done.stderr
    assert vlm("match", "a cat", pictures / "none.png", *DEMO).returncode == 2
    assert vlm("match", "a cat", pictures, "-m", pictures / "none.gguf", "--in-process").returncode == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["match", SCENE, "a cat"], "the first argument says what to look for"),
        (["match", " ", SCENE], "the first argument says what to look for"),
        (["match", "a cat", SCENE, "--scores", "--count"], "--scores cannot be used"),
        (["classify", SCENE], "the command has no labels"),
        (["classify", SCENE, "--labels", "cat"], "at least two are needed"),
        (["classify", SCENE, "--labels", "cat,cat"], "'cat' is there twice"),
        (["classify", SCENE, "--labels", "a,b", "--as", "It is."], "no place for the label"),
        (["classify", SCENE, "--labels", "a,b", "--multi", "--top", "2"], "--multi cannot be used"),
        (["decide", SCENE], "the command has no question"),
        (["decide", SCENE, "--questions", "none.json"], "none.json: the questions cannot be read"),
        (["decide", SCENE, "-q", "x?", "--plot", "x.svg"], "--plot does nothing without"),
        (["decide", SCENE, "-q", "x?", "--calibrate-on", "x.csv"], "takes its pictures from the table"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(words, says):
    done = vlm(*words, *DEMO)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_classify_prints_the_likeliest_labels(pictures):
    words = ("--labels", "circle,star,cross", "-q", "What shape is green?", "--as", "The green shape is a {}.")
    done = vlm("classify", pictures / "b.png", *words, "--top", "3", *DEMO)
    name, *cells = done.stdout.rstrip("\n").split("\t")
    assert name == str(pictures / "b.png")
    assert cells[0] == "star"
    assert sorted(cells[::2]) == ["circle", "cross", "star"]
    assert sum(map(float, cells[1::2])) == pytest.approx(1, abs=1e-3)
    assert vlm("classify", pictures / "b.png", *words, *DEMO).stdout.split("\t")[1] == "star"


def test_a_grey_picture_is_encoded_once_for_all(pictures):
    words = ("--labels", "circle,star,cross", "-q", "What shape is green?", "--as", "The green shape is a {}.")
    done = vlm("classify", pictures / "b.png", *words, "--subtract-neutral", "--json", *DEMO)
    record = json.loads(done.stdout)
    assert record["answers"][0]["choice"] == "star"
    plain = json.loads(vlm("classify", pictures / "b.png", *words, "--json", *DEMO).stdout)
    assert record["answers"] != plain["answers"]
    assert record["usage"]["encoded"] == 2
    done = vlm("classify", pictures, *words, "--subtract-neutral", "--json", "--no-cache", *DEMO)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(one["usage"]["encoded"] for one in records) == len(records) + 1, done.stderr


def test_labels_of_several_words_and_from_a_file(pictures, tmp_path):
    (tmp_path / "labels.txt").write_text("a red circle\na green star=it has points, five\n")
    done = vlm("classify", pictures / "b.png", "--labels-file", tmp_path / "labels.txt", *DEMO)
    assert done.stdout.split("\t")[1] == "a green star", done.stderr


def test_multi_decides_about_each_label_by_itself(pictures):
    done = vlm("classify", pictures, "--labels", "a circle,a square,a star", "--multi", *DEMO)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[1::2] for row in rows] == [["a circle", "a square"], ["a star"]]


def test_a_label_that_the_picture_does_not_show_is_no_answer(pictures):
    words = ("--labels", "zebra,llama", "-q", "What shape is green?", "--as", "The green shape is a {}.")
    done = vlm("classify", pictures / "b.png", *words, *DEMO)
    assert done.returncode == 1
    assert "would not answer with one of the options" in done.stderr


QUESTIONS = [
    {"type": "predicate", "name": "circle", "instructions": "is there a circle?"},
    {
        "type": "choice", "name": "shape", "instructions": "What shape is green?", "form": "The green shape is a {}.",
        "choices": [{"value": shape} for shape in SHAPES],
    },
]  # fmt: skip


def test_decide_answers_as_openai_does(pictures, tmp_path):
    """The record of each picture is a `Decision` of the current client, with more beside it."""
    openai = pytest.importorskip("openai.types.decision", reason="openai is not installed: pip install '.[dev]'")
    (tmp_path / "q.json").write_text(json.dumps({"questions": QUESTIONS}))
    done = vlm("decide", pictures / "b.png", "--questions", tmp_path / "q.json", "--json", *DEMO)
    record = json.loads(done.stdout)
    decision = openai.Decision.model_validate(record, strict=True)
    circle, shape = decision.answers
    assert (circle.type, circle.name) == ("predicate", "circle")
    assert circle.probability < 0.1
    assert (shape.type, shape.choice) == ("choice", "star")
    assert [one.value for one in shape.probabilities] == list(SHAPES)
    assert sum(one.probability for one in shape.probabilities) == pytest.approx(1, abs=1e-5)
    assert record["calibrated"] is False
    assert record["usage"]["encoded"] == 1


def test_a_table_has_a_column_a_question_and_a_column_a_probability(pictures, tmp_path):
    (tmp_path / "q.json").write_text(json.dumps(QUESTIONS[:1]))
    words = ("decide", pictures, "--questions", tmp_path / "q.json", "--format", "csv", "--journal")
    done = vlm(*words, tmp_path / "j.jsonl", *DEMO)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["picture", "circle", "circle: probability", "error"]
    assert [row[1] for row in rows[1:]] == ["yes", "no"]
    assert float(rows[1][2]) > 0.9 > 0.1 > float(rows[2][2])
    again = vlm(*words, tmp_path / "j.jsonl", *DEMO)
    assert "2 were done before" in again.stderr


def test_many_questions_cost_one_prefill_of_the_picture(pictures):
    asked = [word for number in range(9) for word in ("-q", f"is there a {SHAPES[number % 6]}{' ' * number}?")]
    done = vlm("decide", pictures / "a.png", *asked, "--json", "-m", "demo", "--worker")
    usage = json.loads(done.stdout)["usage"]
    assert usage["encoded"] == 1
    assert usage["picture_tokens"] == 9 * 64
    assert usage["reused_tokens"] >= 8 * 64


def test_a_questions_file_serves_ask_too(pictures, tmp_path):
    (tmp_path / "q.json").write_text(json.dumps(QUESTIONS[:1]))
    done = vlm("ask", pictures / "a.png", "--questions", tmp_path / "q.json", *DEMO)
    assert done.stdout == "Yes.\n"


def test_a_folder_of_decisions_is_resumed(pictures, tmp_path):
    words = ("match", "a red circle", pictures, "--output", tmp_path / "m.jsonl", *DEMO)
    assert vlm(*words).returncode == 0
    records = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [record["answers"][0]["probability"] > 0.5 for record in records] == [True, False]
    assert "2 were done before" in vlm(*words).stderr
    other = vlm("match", "a green star", *words[2:])
    assert "2 answered" in other.stderr, "another question is other work"


def test_a_calibration_is_kept_and_used(tmp_path):
    """Fitted to scenes of which every third truth is wrong, the model is less sure than it was."""
    rng, rows = Random(5), [["picture", "truth"]]
    for number in range(24):
        scene = scenes.make(rng)
        scenes.draw(scene).save(tmp_path / f"{number}.png")
        there = any(shape.name == "circle" for shape in scene.shapes) != (number % 3 == 0)
        rows.append([f"{number}.png", "yes" if there else "no"])
    table = tmp_path / "truth.csv"
    table.write_text("".join(f"{','.join(row)}\n" for row in rows))
    ask = ("decide", SCENE, "-q", "is there a circle?", "--json", *DEMO)
    before = json.loads(vlm(*ask).stdout)
    done = vlm("decide", "--calibrate-on", table, "-q", "is there a circle?", "--plot", tmp_path / "plot.svg", *DEMO)
    assert done.returncode == 0, done.stderr
    assert "temperature" in done.stdout
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")
    after = json.loads(vlm(*ask).stdout)
    assert (before["calibrated"], after["calibrated"]) == (False, True)
    assert before["answers"][0]["probability"] > after["answers"][0]["probability"] > 0.5
    (config_folder() / "calibration.json").write_text("{broken")
    assert json.loads(vlm(*ask).stdout)["answers"] == before["answers"]


def test_a_question_of_the_file_and_of_the_command_line_is_not_asked_twice(tmp_path):
    (tmp_path / "q.json").write_text(json.dumps(["is there a star?"]))
    done = vlm("decide", SCENE, "-q", "is there a star?", "--questions", tmp_path / "q.json", *DEMO)
    assert done.returncode == 2
    assert "two questions are called" in done.stderr


def test_a_table_that_names_more_than_a_picture_is_an_error(tmp_path):
    """Two pages have no one truth."""
    for page in range(10):
        Image.open(SCENE).save(tmp_path / f"{page}.png")
    Image.open(SCENE).save(tmp_path / "two.tiff", save_all=True, append_images=[Image.open(SCENE)])
    rows = "".join(f"{name},yes\n" for name in (*(f"{page}.png" for page in range(10)), "two.tiff"))
    (tmp_path / "t.csv").write_text(f"picture,truth\n{rows}")
    done = vlm("decide", "--calibrate-on", tmp_path / "t.csv", "-q", "is there a circle?", *DEMO)
    assert done.returncode == 2, done.stdout
    assert "the table has no truth of this picture" in done.stderr


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("picture,truth\na.png,yes\n", "1 pictures; at least 10 are needed"),
        ("picture,truth\na.png,maybe\n", "row 1: 'maybe' is not yes or no"),
        ("a.png\n", "row 1 has no truth"),
        ("", "0 pictures"),
    ],
)
def test_a_table_that_teaches_nothing_is_refused(tmp_path, table, says):
    (tmp_path / "t.csv").write_text(table)
    done = vlm("decide", "--calibrate-on", tmp_path / "t.csv", "-q", "is there a circle?", *DEMO)
    assert done.returncode == 2
    assert says in done.stderr


def test_pictures_of_two_sizes_are_decided_alike_in_a_worker(pictures):
    Image.open(SCENE).resize((900, 675)).save(pictures / "c.png")
    inside = vlm("match", "a red circle", pictures, "--scores", *DEMO).stdout
    assert vlm("match", "a red circle", pictures, "--scores", "-m", "demo", "--worker").stdout == inside
