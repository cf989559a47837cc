"""caption, describe, ocr: what the model is asked, and that answers come from the pictures."""

import json
from random import Random

import pytest

from tests.support.program import SCENE, vlm
from vlmcli.demo import scenes
from vlmcli.engine.stream import LOOP, loops


def record(*words):
    done = vlm(*words, "--json")
    assert done.returncode == 0
    return json.loads(done.stdout)


def test_a_caption_is_one_sentence():
    found = record("caption", "-m", "demo", SCENE)
    assert found["question"] == "Describe this image in one sentence."
    assert found["answer"] == "The image shows a red circle and a blue square on a white background."


def test_a_description_is_longer_where_it_is_asked_to_be():
    short = record("describe", "-m", "demo", "--length", "short", SCENE)
    for words in (["--length", "long"], ["--focus", "the circle"], []):
        long = record("describe", "-m", "demo", *words, SCENE)
        assert len(long["answer"]) > len(short["answer"])
        assert "left" in long["answer"]
    assert short["answer"] == "The image shows a red circle and a blue square on a white background."


def test_a_model_without_prompts_of_its_own_is_asked_the_usual_ones(tmp_path):
    from vlmcli import demo
    from vlmcli.tasks.ask import PROMPTS

    for file in (demo.FILES.model, demo.FILES.projector):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    at = ("-m", str(tmp_path), SCENE)
    assert record("ocr", *at)["question"] == PROMPTS["ocr plain"]
    assert record("ocr", "--layout", "markdown", *at)["question"] == PROMPTS["ocr markdown"]
    focus = record("describe", "--focus", "a {circle}", *at)["question"]
    assert focus == PROMPTS["describe focus"].format(focus="a {circle}")


def test_text_is_written_down_picture_by_picture(tmp_path):
    rng = Random(5)
    words = []
    for number in range(6):
        scene = scenes.make(rng, text=True, size=(320, 240))
        while scene.shapes or len(scene.text) > 3:
            scene = scenes.make(rng, text=True, size=(320, 240))
        words.append(scene.text)
        scenes.draw(scene).save(tmp_path / f"{number}.png")
    lines = vlm("ocr", "-m", "demo", str(tmp_path)).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(tmp_path / f"{n}.png") for n in range(6)]
    assert sum(line.split("\t")[1] == word for line, word in zip(lines, words, strict=True)) >= 4


def test_an_answer_that_only_repeats_itself_is_ended(tmp_path):
    from vlmcli.bench import pairs

    folder = pairs.small(tmp_path, seed=3)  # random weights; this one writes the same token for ever
    pair = ["-m", str(folder / "gemma3.gguf"), "--mmproj", str(folder / "mmproj-gemma3.gguf"), "--ctx", "4096"]
    done = vlm("ocr", *pair, "--max-tokens", "1000", SCENE, "--json")
    found = json.loads(done.stdout)
    assert found["finish_reason"] == "loop"
    assert found["usage"]["answer_tokens"] < 500
    assert "only repeated itself" in done.stderr
    asked = vlm("ask", *pair, "--max-tokens", "1000", SCENE, found["question"], "--json")
    assert json.loads(asked.stdout)["finish_reason"] == "length"  # only transcripts are guarded


LINE = "".join(map(str, range(60)))[:100] + "\n"


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        ("a" * LOOP, True), ("a" * (LOOP - 1), False), ("Intro. " + "the same line\n" * 40, True),
        ("the same line\n" * 40 + "an end", False), ("".join(f"{n}\n" for n in range(400)), False),
        (("| x | y |\n" * 30) + "| z | y |\n", False), ("x" * 160 + "y" * 160, False), (("ab" * 80) * 8, True),
        (LINE * 9, True), (LINE * 6, False),
    ],
)  # fmt: skip
def test_what_is_taken_for_a_loop(text, is_loop):
    assert loops(text) is is_loop


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["caption", "-m", "demo"], 2, "no picture"),
        (["caption", "-m", "demo", "none.png"], 1, "none.png: there is no such file"),
        (["describe", "-m", "demo", "--length", "middle", SCENE], 2, "--length"),
        (["describe", "-m", "demo", "--length", "short", "--focus", "x", SCENE], 2, "cannot be used together"),
        (["ocr", "-m", "demo", "--layout", "html", SCENE], 2, "--layout"),
        (["ocr", SCENE], 1, "no model chosen"),
    ],
)
def test_errors_say_what_and_what_to_do(words, code, says):
    done = vlm(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
