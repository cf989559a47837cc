"""Rows of the catalogue through the doors that users use: retired ones by name, and what `vlm ocr` sends to readers."""

import json

import pytest

from tests.support.place import publish
from tests.support.program import SCENE
from vlmcli.bench import families
from vlmcli.engine.plan import TextSegment
from vlmcli.engine.planning import Planner
from vlmcli.models import catalogue
from vlmcli.tasks.ask import PROMPTS

READERS = {
    "paddleocr-vl-1.6": ("paddleocr", "OCR:", "OCR:"),
    "glm-ocr": ("glm4v", "Text Recognition:", "Text Recognition:"),
    "lightonocr-2-1b": ("lightonocr", "", ""),
    "dots.ocr": ("dots_ocr",) + ("Extract the text content from this image.",) * 2,
    "deepseek-ocr": ("deepseekocr", "Free OCR.", "Free OCR."),
    "hunyuanocr": ("hunyuanvl", "OCR", "请提取文档图片中正文的所有信息用 markdown 格式表示。"),
}
"""By row: a small pair of its family, and what it is asked for text and for Markdown."""


@pytest.mark.parametrize("name", ["gemma-3-4b", "qwen2.5-vl-3b", "llava-1.6-mistral-7b"])
def test_a_model_that_is_not_listed_is_used_by_its_name(place, name):
    entry = catalogue.find(name)
    missing = place.vlm("show", name)
    assert (missing.returncode, f"vlm pull {entry.name}" in missing.stderr) == (1, True)
    publish(place.hub, entry.repository, f"a-{entry.quant}.gguf", "mmproj-a-F16.gguf")
    done = place.vlm("pull", name)
    assert (done.returncode, f"downloaded {entry.name}" in done.stderr) == (0, True), done.stderr
    assert place.vlm("show", name).stdout.startswith(entry.name)
    assert place.vlm("ask", "-m", name, SCENE, "Is there a star?").returncode == 0


def test_all_listed_readers_are_tried():
    assert set(READERS) == {row.name for row in catalogue.listed() if row.use == "ocr"}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_is_asked_with_its_own_prompt_and_nothing_else(place, tmp_path, monkeypatch, name):
    family, *prompts = READERS[name]
    entry = catalogue.find(name)
    folder = families.write(tmp_path / "pairs", [family])
    files = {f"a-{entry.quant}.gguf": f"{family}.gguf", "mmproj-a-F16.gguf": f"mmproj-{family}.gguf"}
    place.hub.add(entry.repository, {called: folder / file for called, file in files.items()})
    assert place.vlm("pull", name).returncode == 0
    sent = []
    monkeypatch.setattr(Planner, "plan", seen(Planner.plan, sent))
    for layout, prompt in zip(("plain", "markdown"), prompts, strict=True):
        done = place.vlm("ocr", "--json", "--max-tokens", "2", "--layout", layout, SCENE)
        assert done.returncode == 0, done.stderr
        (record,) = map(json.loads, done.stdout.splitlines())
        assert (record["question"], record["model"]) == (prompt, name)
        request, text = sent.pop()
        assert [message.role for message in request.messages] == ["user"]
        assert request.end_loops
        assert text.count(prompt) == 1 or not prompt
        assert PROMPTS[f"ocr {layout}"] not in text  # what other models are asked


def seen(plan, sent):
    """A function that plans as before, and keeps each request with the text around its picture."""

    def planned(planner, request):
        found = plan(planner, request)
        texts = [segment for segment in found.plan.segments if isinstance(segment, TextSegment)]
        written = b"".join(planner._model.piece(token) for segment in texts for token in segment.tokens)
        sent.append((request, written.decode()))
        return found

    return planned
