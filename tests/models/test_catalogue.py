"""The catalogue's rows, the shapes behind them, and what is recommended of them."""

import itertools
from dataclasses import replace

import pytest

from tests.support import ROOT
from vlmcli.engine.chat_template import ChatTemplate, PicturePart
from vlmcli.machine import hollow_gguf, recommend
from vlmcli.machine.speed import Speed, seconds
from vlmcli.models import catalogue, gguf, shapes
from vlmcli.models.chat_templates import CHAT_TEMPLATES
from vlmcli.models.repository import is_repository
from vlmcli.pictures.images import from_pixels
from vlmcli.placement import Machine
from vlmcli.tasks import ask
from vlmcli.values import THINK, Message

GIB = 1 << 30
PICTURE = from_pixels(bytes(12), (2, 2), "p.png")
FAST, SLOW = (Speed(encode=rate, prefill=rate, read=read, machine="") for rate, read in ((1e13, 1e12), (1e11, 1e10)))


def test_every_row_is_one_that_can_be_used():
    rows = catalogue.entries()
    assert len(rows) >= 60
    assert len({row.repository for row in rows}) == len(rows)
    names = [name for row in rows for name in (row.name, *row.also)]
    assert len(set(names)) == len(names)
    for row in rows:
        for name in (row.name, *row.also):
            assert name == name.lower()
            assert not is_repository(name)
            assert catalogue.find(name.upper()) is row
        assert is_repository(row.repository)
        assert row.use in catalogue.USES
        assert row.boxes in catalogue.BOXES
        assert 1 <= row.rank <= 10
        assert (
            max(len(row.name) - 7, len(row.good_at) - 5, len(row.licence_label)) <= 10
        )  # so that 80 columns are enough
        assert row.quant and row.licence and len(row.seen) > 10
        assert 0 < row.tokens[0] <= row.tokens[1]
        assert set(row.prompts) <= set(ask.PROMPTS)
        assert not row.chat_template or row.chat_template in CHAT_TEMPLATES
        assert row.shape in shapes.SHAPES
        assert not row.checked  # nobody could look at the Hub


def test_what_is_listed_is_short_and_known():
    rows = catalogue.listed()
    assert len(rows) <= 25
    assert len(catalogue.entries()) > 2 * len(rows)
    assert [row for row in rows if row.first] == [rows[0]] == [row for row in catalogue.entries() if row.first]
    assert {row.use for row in rows} == {"general", "ocr", "medical"}
    assert "answers to questions mean nothing" in catalogue.find("qwen3-vl-embed-2b").notice
    assert all(row.commercial for row in rows)
    assert not catalogue.find("qwen2.5-vl-3b").commercial
    for advice in recommend.advise(Machine(4, 60 * GIB, (), 64 * GIB), SLOW, retired=True):
        assert advice.download and advice.memory and advice.fits and advice.seconds


def test_the_families_that_are_asked_for_are_there():
    names = " ".join(row.name for row in catalogue.listed())
    for family in ("smolvlm2", "qwen3-vl", "qwen3.5", "qwen3.6", "gemma-4", "lfm2.5-vl", "llava-1.5", "llava-1.6"):
        assert family in names
    for reader in ("paddleocr-vl-1.6", "glm-ocr", "deepseek-ocr", "dots.ocr", "hunyuanocr", "lightonocr-2"):
        assert reader in names
    for name in ("moondream2", "llava-1.5-7b", "llava-1.6-7b", "medgemma-4b"):
        assert not catalogue.find(name).retired
    for name in ("gemma-3-4b", "qwen2-vl-2b", "qwen2.5-vl-7b", "internvl3-8b", "pixtral-12b", "minicpm-v-2.6"):
        assert catalogue.find(name).retired
    assert catalogue.find("llava-1.6-mistral-7b").name == "llava-1.6-7b"
    assert all("ocr plain" in row.prompts for row in catalogue.entries() if row.use == "ocr")
    assert "not a medical device" in catalogue.find("medgemma-4b").accept


def test_names_that_are_nearly_right_are_guessed():
    assert catalogue.closest("smolvlm2-500")[0] == "smolvlm2-500m"
    assert catalogue.closest("ggml-org/gemma-3-4B-GGUF")[0] == "gemma-3-4b"
    assert catalogue.closest("xyzzy") == ()
    assert catalogue.of_repository("GGML-org/pixtral-12b-gguf").name == "pixtral-12b"


def test_models_without_a_chat_template_have_one_in_their_card():
    turns = {
        "llava-1.5-7b": f"{POLITE} USER: hello ASSISTANT:",
        "llava-1.6-7b": "[INST] hello [/INST]",
        "llava-1.6-34b": "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\nhello<|im_end|>"
        "<|im_start|>assistant\n",
    }
    for name, prompt in turns.items():
        card = catalogue.card(catalogue.find(name))
        assert written(card.chat_template, Message("user", ("hello",))) == prompt
        assert bool(card.stop) == (name != "llava-1.6-34b")


POLITE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("vicuna", "be brief USER: ▣\na ASSISTANT: b</s>USER: ▣\n▣\nc ASSISTANT:"),
        ("mistral", "[INST] <<SYS>>\nbe brief\n<</SYS>>\n\n▣\na [/INST] b </s>[INST] ▣\n▣\nc [/INST]"),
        (
            "llava-34b",
            "<|im_start|>system\nbe brief<|im_end|><|im_start|>user\n▣\na<|im_end|><|im_start|>assistant\nb<|im_end|>"
            "<|im_start|>user\n▣\n▣\nc<|im_end|><|im_start|>assistant\n",
        ),
        (
            "chatml",
            "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n▣a<|im_end|>\n<|im_start|>assistant\n"
            "b<|im_end|>\n<|im_start|>user\n▣▣c<|im_end|>\n<|im_start|>assistant\n",
        ),
        ("deepseek-ocr", "be brief▣ab▣▣c"),
    ],
)
def test_a_named_template_writes_what_its_models_were_trained_with(name, prompt):
    """LLaVA's prompts as llava/conversation.py and preprocess_multimodal of llava/train/train.py make them."""
    talk = [
        Message("system", ("be brief",)),
        Message("user", (PICTURE, "a")),
        Message("assistant", ("b",)),
        Message("user", (PICTURE, PICTURE, "c")),
    ]
    assert written(CHAT_TEMPLATES[name][0], *talk) == prompt


def test_a_card_has_the_budgets_and_the_tags_of_its_row():
    names = ("gemma-4-e4b", "smolvlm2-500m", "qwen3-vl-2b")
    gemma, other, qwen = (catalogue.card(catalogue.find(name)) for name in names)
    assert (qwen.budget, qwen.reading_budget) == ((0, 0), (1024, 4096))
    assert (gemma.budget, gemma.reading_budget) == ((280, 1120), (560, 1120))
    assert gemma.think == ("<|channel>", "<channel|>")
    assert (other.budget, other.reading_budget, other.think) == ((0, 0), (0, 0), THINK)
    assert not other.thinks
    assert catalogue.card(replace(catalogue.find("qwen3-vl-2b"), thinks=True)).thinks
    for entry in catalogue.entries():
        for least, most in (entry.budget, entry.reading_budget):
            assert 0 <= least <= most


def written(template, *messages):
    """A conversation as a template writes it."""
    pieces = ChatTemplate(template).render(messages)
    return "".join("▣" if isinstance(piece, PicturePart) else piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("name", "quant", "projector", "sizes"),
    [
        ("smolvlm2-500m", "Q8_0", "Q8_0", (437e6, 109e6)),
        ("smolvlm2-2.2b", "Q4_K_M", "Q8_0", (1_112_602_656, 592_523_200)),
        ("gemma-3-4b", "Q4_K_M", "F16", (2.49e9, 851e6)),
    ],
)
def test_a_shape_has_the_size_of_the_published_file(name, quant, projector, sizes):
    """The sizes that other projects pin."""
    for header, size in zip(shapes.headers(name, quant, projector), sizes, strict=True):
        assert header.file_size == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize(
    "name", ["smolvlm2-256m", "gemma-3-4b", "qwen3-vl-2b", "lfm2-vl-450m", "qwen3.5-0.8b", "gemma-4-e2b", "glm-ocr"]
)
def test_a_shape_that_is_written_is_read_again(tmp_path, name):
    words, eyes = shapes.SHAPES[name]
    files = hollow_gguf.pair(tmp_path, name, words, eyes, "Q4_K_M")
    for path, header in zip((files.model, files.projector), shapes.headers(name), strict=True):
        found = gguf.read(path)
        gguf.check_whole(found)
        assert [(one.name, one.shape, one.kind) for one in found.tensors] == [
            (one.name, one.shape, one.kind) for one in header.tensors
        ]
        assert set(header.metadata) <= set(found.metadata)
        for key, value in header.metadata.items():
            assert found.metadata[key] == (pytest.approx(value) if isinstance(value, float) else value)
        assert path.stat().st_blocks * 512 < 30_000_000 < found.file_size  # nothing but the header is on the disk


def machine(free, total):
    return Machine(4, free * GIB // 10, (), total * GIB // 10)


SMALL, LARGE = machine(20, 30), machine(600, 640)


def test_the_first_model_is_recommended_unless_a_better_one_is_as_quick():
    first = {one.entry.name for one in recommend.advise(LARGE, SLOW) if one.entry.first}
    assert first == {catalogue.listed()[0].name}
    assert f"vlm pull {catalogue.listed()[0].name} " in (ROOT / "README.md").read_text("utf-8")
    for here, speed in ((LARGE, SLOW), (LARGE, None), (SMALL, SLOW)):
        assert recommend.best(recommend.advise(here, speed)).entry.first
    ranks = {}
    for name, here in (("small", SMALL), ("large", LARGE)):
        best = recommend.best(recommend.advise(here, FAST))
        assert (best.fits, best.entry.use, best.entry.accept) == ("yes", "general", "")
        assert best.seconds <= recommend.PATIENCE
        ranks[name] = best.entry.rank
    assert catalogue.listed()[0].rank < ranks["small"] < ranks["large"]
    tiny = recommend.best(recommend.advise(machine(8, 9), FAST))
    assert (tiny.fits, tiny.entry.first) == ("yes", False)
    assert recommend.best(recommend.advise(machine(1, 2), FAST)) is None
    for here, speed in ((SMALL, FAST), (LARGE, SLOW), (machine(1, 2), None)):
        advices = recommend.advise(here, speed)
        assert [one for one in advices if one.recommended] == [one for one in [recommend.best(advices)] if one]
        assert all(one.memory <= here.memory_total for one in advices if one.fits == "yes")


@pytest.mark.parametrize("speed", [FAST, SLOW, None])
def test_the_better_of_the_bearable_come_first_and_what_does_not_fit_last(speed):
    chosen, *rows = recommend.advise(machine(80, 200), speed, retired=True)
    assert chosen.recommended
    kinds = [(one.entry.retired, one.entry.use) for one in rows]
    grouped = [*itertools.product((False, True), catalogue.USES)]
    grouped.remove((False, "embedding"))
    assert [kind for kind, _ in itertools.groupby(kinds)] == grouped
    advices = [one for one in rows if one.entry.use == "general" and one.entry.retired]
    assert [key for key, _ in itertools.groupby(one.fits for one in advices)] == ["yes", "slow", "no"]
    advices = [one for one in rows if one.entry.use == "general" and not one.entry.retired]
    assert [key for key, _ in itertools.groupby(one.fits for one in advices)] == ["yes", "slow"]
    fitting = [one for one in advices if one.fits == "yes"]
    slowness = [one.slowness for one in fitting]
    assert slowness == sorted(slowness)
    assert len(set(slowness)) > 1 or speed is FAST
    for _, band in itertools.groupby(fitting, lambda one: one.slowness):
        ranks = [one.entry.rank for one in band]
        assert ranks == sorted(ranks, reverse=True)
    if speed is not None:
        assert [sum(one.seconds > bound for bound in recommend.SLOWER) for one in fitting] == slowness


def test_time_grows_with_the_work():
    advices = recommend.advise(Machine(4, 60 * GIB, (), 64 * GIB), SLOW, retired=True)
    by_name = {one.entry.name: one for one in advices}
    took = [by_name[name].seconds for name in ("smolvlm2-256m", "smolvlm2-500m", "qwen2.5-vl-3b", "qwen2.5-vl-7b")]
    assert took == sorted(took)
    today = [
        by_name[name].seconds for name in ("qwen3.5-0.8b", "qwen3.5-2b", "qwen3.5-4b", "qwen3.5-9b", "qwen3.6-27b")
    ]
    assert today == sorted(today)
    assert by_name["qwen3.6-35b-a3b"].seconds < by_name["qwen3.5-9b"].seconds  # a token takes 8 of 256 experts
    row = by_name["gemma-3-4b"]
    model, projector = catalogue.headers(row.entry)
    from vlmcli.machine import cost

    work = cost.work(model, projector, recommend.PICTURE)
    assert row.seconds == pytest.approx(work.encode / 1e11 + work.prefill / 1e11 + 64 * work.read / 1e10)
    assert seconds(work, FAST) == pytest.approx(row.seconds / 100)
