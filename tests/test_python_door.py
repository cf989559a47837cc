"""`vlmcli.open_model`: a model from Python keeps the promises of the command line; the demo model and drawn scenes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.server.live import serving
from tests.support import ROOT
from tests.support.program import SCENE, vlm
from vlmcli import decisions, errors, list_models, open_model, values
from vlmcli.records import lines

LONG = {"max_tokens": 400, "regex": "[a-z ]{1200,}"}
"""An answer of the demo model that takes some seconds."""


@pytest.fixture(scope="module")
def model():
    with open_model("demo") as opened:
        yield opened


def test_the_package_stays_light_and_has_the_door():
    code = (
        "import sys; import vlmcli;"
        "print(sorted(name for name in sys.modules if name.startswith('vlmcli') or name in ('typing', 'numpy')));"
        "print(vlmcli.open_model.__module__); vlmcli.no_such_name"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})  # fmt: skip
    assert done.stdout.splitlines() == ["['vlmcli']", "vlmcli.python.door"], done.stderr
    assert "AttributeError: module 'vlmcli' has no attribute 'no_such_name'" in done.stderr


def test_answers_are_those_of_the_command_line(model):
    for question in ("What is this?", "What is on the right?"):
        result = model.ask(SCENE, question)
        record = json.loads(vlm("ask", "-m", "demo", SCENE, question, "--json").stdout)
        ours = json.loads(lines.json_line(result))
        assert isinstance(result, values.Result)
        assert ours.keys() == record.keys()
        assert [ours[name] for name in ("sources", "question", "answer", "model")] == [
            record[name] for name in ("sources", "question", "answer", "model")
        ]
    assert model.caption(SCENE).text == vlm("caption", "-m", "demo", SCENE).stdout.strip()
    assert (
        model.describe(SCENE, length="short").text
        == vlm("describe", "-m", "demo", SCENE, "--length", "short").stdout.strip()
    )
    assert model.ocr(SCENE).text == vlm("ocr", "-m", "demo", SCENE).stdout.strip()


def test_a_picture_is_a_path_bytes_or_a_picture_of_pillows(model, tmp_path):
    turned = Image.open(SCENE).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    see_through = Image.new("RGBA", (448, 448), (0, 0, 0, 0))
    see_through.paste((255, 0, 0, 255), (150, 150, 300, 300))
    cmyk = Image.open(SCENE).convert("CMYK")
    for picture in (
        SCENE, Path(SCENE), Path(SCENE).as_uri(), Path(SCENE).read_bytes(), bytearray(Path(SCENE).read_bytes()),
        Image.open(SCENE), Image.open(tmp_path / "turned.jpg"), cmyk, model.load(SCENE),
    ):  # fmt: skip
        assert model.ask(picture, "What is on the right?").text == "A blue square.", picture
    assert "red square" in model.ask(see_through, "What is this?").text
    assert model.load(Image.open(SCENE).convert("RGB")).identity == model.load(SCENE).identity


def test_several_pictures_are_asked_about_together_and_none_is_an_error(model):
    both = model.ask([SCENE, Path(SCENE).read_bytes()], "What is this?")
    assert len(both.answer.seen) == 2
    assert both.sources == (SCENE, "picture 2")
    with pytest.raises(errors.NoPicture, match="there is no picture to ask about"):
        model.ask([], "What is this?")


@pytest.mark.parametrize(
    ("picture", "kind", "message"),
    [
        ("nowhere.png", errors.SourceError, "nowhere.png: there is no such file"),
        (str(ROOT / "docs" / "images"), errors.SourceError, "a folder, not a picture"),
        (str(ROOT / "docs" / "images" / "*.png"), errors.SourceError, "pictures, where one is expected"),
        (b"no picture", errors.SourceError, "picture 1: "),
        ("", errors.UsageError, "the name of a picture is empty"),
        (7, errors.UsageError, "picture 1: not a picture, but of the type int"),
        (Image.new("F", (8, 8)), errors.SourceError, "its pixels are numbers"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_no_answer(model, picture, kind, message):
    with pytest.raises(kind, match=message.replace("*", r"\*")) as caught:
        model.ask(picture, "What is this?")
    assert caught.value.message
    assert caught.value.hint
    with pytest.raises(kind):
        model.ask([SCENE, picture], "What is this?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature=-1: out of range"),
        ({"seed": 1.5}, "seed=1.5: not a whole number"),
        ({"max_tokens": True}, "max_tokens=True: not a whole number"),
        ({"detail": "huge"}, "detail huge: not low, high, parts"),
        ({"timeout": 0}, "timeout=0: out of range"),
        ({"choices": ["one"]}, "choices needs a list of at least two texts"),
        ({"regex": "("}, "regex: the regular expression is not supported"),
        ({"choices": ["a", "b"], "regex": "a"}, "choices and regex cannot be used together"),
    ],
)
def test_values_that_make_no_sense_are_errors(model, options, message):
    with pytest.raises(errors.UsageError) as caught:
        model.ask(SCENE, "What is this?", **options)
    assert caught.value.message.startswith(message)
    with pytest.raises(TypeError, match="there is no option 'tempreture'"):
        model.ask(SCENE, "What is this?", tempreture=1)


def test_options_change_the_answer(model):
    assert model.ask(SCENE, "What is this?", max_tokens=2).answer.finish_reason == "length"
    assert model.ask(SCENE, "Is there a star?", choices=["Yes", "No"]).text == "No"
    assert model.ask(SCENE, "What is this?", regex="blue|green").text in ("blue", "green")
    sampled = [
        model.ask(SCENE, "What is this?", temperature=9, min_p=0, top_p=1, top_k=0, seed=seed).text
        for seed in (1, 1, 2, 3)
    ]
    assert sampled[0] == sampled[1]
    assert len(set(sampled)) > 1
    with pytest.raises(errors.TimedOut, match=r"no answer within 0\.001 s"):
        model.ask(Image.open(SCENE).rotate(7), "What is this?", timeout=0.001, **LONG)


def test_an_answer_comes_in_pieces_that_make_it_up(model):
    with model.stream(SCENE, "What is this?") as stream:
        pieces = list(stream)
        assert stream.result.text == "".join(pieces) == "A red circle and a blue square."
        assert len(pieces) > 3
    with pytest.raises(errors.SourceError):
        next(model.stream("nowhere.png", "What is this?"))
    with model.stream(SCENE, "What is this?") as stream:
        assert next(stream) == "A"
    with pytest.raises(errors.Cancelled, match="the stream was closed"):
        stream.result  # noqa: B018 - it is read


def test_a_history_goes_before_the_question(model):
    seen = model.load(SCENE)
    history = [values.Message("user", (seen, "What is this?")), values.Message("assistant", ("A red circle.",))]
    result = model.ask([], "What color is the circle?", history=history)
    assert result.text == "The circle is red."
    assert result.answer.usage.prompt_tokens > model.ask(SCENE, "What color is the circle?").answer.usage.prompt_tokens


def test_decisions_fields_and_places_are_the_command_lines_values(model):
    (match,) = model.match(SCENE, "a red circle").decisions
    assert isinstance(match, decisions.Decision)
    assert match.value is True
    assert model.match(SCENE, "a green star").decisions[0].value is False
    asked = {"question": "What color is the circle?", "form": "The circle is {}."}
    (color,) = model.classify(SCENE, ["red", "green", "blue"], **asked).decisions
    assert color.value == "red"
    assert sum(color.probabilities) == pytest.approx(1)
    typed = {"type": "predicate", "name": "star", "instructions": "Is there a star?"}
    both = model.decide(SCENE, ["Is there a red circle?", typed])
    assert [one.value for one in both.decisions] == [True, False]
    assert both.text == "Is there a red circle?: yes; star: no"
    fields = model.extract(SCENE, {"type": "object", "properties": {"there": {"enum": ["Yes.", "No."]}},
                                   "required": ["there"], "additionalProperties": False})  # fmt: skip
    assert fields.fields[0] == json.loads(fields.text)
    places = model.detect(SCENE, "each shape").places
    assert [place.label for place in places] == ["red circle", "blue square"]
    assert all(place.is_point for place in model.point(SCENE, "each shape").places)
    for wrong in (lambda: model.classify(SCENE, ["red"]), lambda: model.classify(SCENE, "red,blue"),
                  lambda: model.extract(SCENE, 7), lambda: model.extract(SCENE, '{"type": 7}'),
                  lambda: model.decide(SCENE, []), lambda: model.detect(SCENE, " ")):  # fmt: skip
        with pytest.raises(errors.UsageError):
            wrong()


def test_threads_share_a_model_and_each_gets_its_own_answer(model):
    questions = {"What is on the left?": "A red circle.", "What is on the right?": "A blue square."}
    asked = [*questions] * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda question: model.ask(SCENE, question).text, asked))
    assert answers == [questions[question] for question in asked]


def test_a_crash_of_the_engines_process_costs_no_answer():
    with open_model("demo") as model:
        assert model.ask(SCENE, "What is on the left?").text == "A red circle."
        os.kill(model._shared.runner.pid, signal.SIGKILL)
        assert model.ask(SCENE, "What is on the right?").text == "A blue square."


def test_a_model_at_a_server_answers_as_one_here(model):
    with serving() as live, open_model(server=live.url) as there:
        assert there.ask(SCENE, "What is this?").text == model.ask(SCENE, "What is this?").text
        ours, theirs = (one.match(SCENE, "a red circle").decisions[0] for one in (model, there))
        assert (ours.value, round(ours.confidence, 3)) == (theirs.value, round(theirs.confidence, 3))
        assert there.extract(SCENE, "what").fields[0].keys() == {"what"}
        with pytest.raises(errors.UsageError):
            open_model(server=live.url, in_process=True)


def test_closing_ends_what_is_under_way_and_may_be_done_twice():
    before = set(threading.enumerate())
    model = open_model("demo", in_process=True)
    assert model.ask(SCENE, "What is this?").text == "A red circle and a blue square."
    assert "vlm-engine" in {thread.name for thread in set(threading.enumerate()) - before}
    began = threading.Event()

    def ask_on():
        while True:
            began.set()
            model.ask(SCENE, "What is this?", **LONG)

    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(ask_on)
        assert began.wait(10)
        time.sleep(0.1)
        model.close()
        with pytest.raises((errors.Cancelled, errors.RequestError)):
            under_way.result(timeout=10)
    model.close()
    with pytest.raises(errors.RequestError, match="the model is closed"):
        model.ask(SCENE, "What is this?")
    assert repr(model) == "<Model demo, closed>"
    assert "vlm-engine" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_a_program_that_ends_without_closing_leaves_nothing_and_ctrl_c_ends_it_at_once():
    code = f"""
import sys
from vlmcli import open_model

model = open_model("demo")
print(model.ask({SCENE!r}, "What is this?").text, model._shared.runner.pid, flush=True)
while len(sys.argv) > 1:
    model.ask({SCENE!r}, "What is this?", max_tokens=400, regex="[a-z ]{{1200,}}")
"""
    program = [sys.executable, "-c", code]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT)
    answer, _, pid = done.stdout.strip().rpartition(" ")
    assert (answer, done.stderr, done.returncode) == ("A red circle and a blue square.", "", 0)
    assert not _runs(int(pid))
    pipe = subprocess.PIPE
    with subprocess.Popen([*program, "long"], stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as asking:
        pid = asking.stdout.readline().strip().rpartition(" ")[2]
        time.sleep(0.3)
        asking.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = asking.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert not _runs(int(pid))


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_models_are_found_as_the_command_line_finds_them_and_never_downloaded_unasked(monkeypatch, tmp_path):
    assert list_models()[0].name == "demo"
    for name, kind, message in (
        ("smolvlm2-500m", errors.NotHere, "smolvlm2-500m: not downloaded yet"),
        ("demoo", errors.ModelError, "demoo: there is no such model, file or folder"),
        (None, errors.ModelError, "no model chosen"),
        (tmp_path, errors.ModelError, str(tmp_path)),
    ):
        with pytest.raises(kind) as caught:
            open_model(name)
        assert caught.value.message.startswith(message)
        assert caught.value.hint
    with pytest.raises(errors.UsageError, match="ctx=5: out of range"):
        open_model("demo", ctx=5)
    monkeypatch.setenv("VLM_SERVER", "http://192.0.2.1:1")
    with pytest.raises(errors.UsageError, match=r"192\.0\.2\.1(:1)? is another machine"):
        open_model("demo")
    monkeypatch.setenv("VLM_MODEL", "demo")
    monkeypatch.setenv("VLM_MAX_TOKENS", "2")
    with open_model(server="", in_process=True, cache=False) as model:
        assert model.ask(SCENE, "What is this?").text == "A red"
