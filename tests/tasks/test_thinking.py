"""What a model thinks is told from what it answers: piece by piece, on stdout, in --json, and in a real prompt."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import ROOT
from tests.support.fakes import ScriptedRunner
from tests.support.program import ANSWER, SCENE, vlm
from tests.support.schema import SCHEMA
from vlmcli import demo
from vlmcli.batch.course import Job
from vlmcli.batch.run import Run
from vlmcli.demo import outside
from vlmcli.engine.chat_template import (
    ChatTemplate,
    Given,
    Plain,
    opened,
    unthinking,
)
from vlmcli.engine.stream import TextStream
from vlmcli.errors import Exit
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.thinking import Thinking, split
from vlmcli.terminal.show import Show
from vlmcli.terminal.ui import Ui
from vlmcli.values import THINK, Card, Message, ModelFiles

CASES = [
    ("<think>\nred? yes\n</think>\n\nA red circle.", "red? yes", "A red circle."),
    (" \n<think>a</think>b", "a", "b"),
    ("<think>\n\n</think>\n\nA red circle.", "", "A red circle."),
    ("<think>never closed </thin", "never closed </thin", ""),
    ("<think>", "", ""),
    ("<think>a<think>b</think>c</think>d", "a<think>b", "c</think>d"),
    ("no thought", "", "no thought"),
    ("<thin ice>", "", "<thin ice>"),
    ("<thi", "", "<thi"),
    ("It says <think>x</think>", "", "It says <think>x</think>"),
    ("x</think>y", "", "x</think>y"),
    ("<think>1 < 2 </</think></think>z", "1 < 2 </", "</think>z"),
    ("  \n", "", ""),
    ("", "", ""),
]


def fed(pieces):
    """The joined thinking and answer, after checking that no piece of the answer has a bit of the thinking's tags."""
    stream = Thinking(THINK)
    parts = [stream.feed(piece) for piece in pieces] + [stream.finish()]
    return "".join(thought for thought, _ in parts), "".join(text for _, text in parts)


@pytest.mark.parametrize(("text", "thought", "answer"), CASES)
def test_however_the_text_is_cut(text, thought, answer):
    assert split(text, THINK) == (thought, answer)
    whole = fed([text])
    assert "".join(whole) == text
    assert fed(text) == whole
    for a in range(len(text) + 1):
        for b in range(a, len(text) + 1):
            assert fed([text[:a], text[a:b], text[b:]]) == whole


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "thi", "nk>", "</", "a", " ", "\n"]), max_size=12), st.data()
)
def test_any_text_cut_anywhere(words, data):
    text = "".join(words)
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=6))})
    assert fed([text[a:b] for a, b in pairwise(cuts)]) == fed([text])
    assert "".join(fed([text])) == text


def test_nothing_of_it_is_late():
    """What cannot be a tag is given at once."""
    stream = Thinking(THINK)
    assert stream.feed("<thi") == ("", "")
    assert stream.feed("nk>so ") == ("<think>so ", "")
    assert stream.inside
    assert stream.feed("</") == ("", "")
    assert stream.feed("b>") == ("</b>", "")
    assert stream.feed("</think>A") == ("</think>", "A")
    assert not stream.inside
    assert stream.feed("<think>") == ("", "<think>")


def test_other_tags_and_none():
    assert split("◁think▷x◁/think▷y", ("◁think▷", "◁/think▷")) == ("x", "y")
    assert split("<think>x</think>y", ("", "")) == ("", "<think>x</think>y")


# ---------------------------------------------------------------------------------------------- on stdout

FILES = ModelFiles("m", Path("m.gguf"), Path("p.gguf"))
PICTURES = (Source(SCENE, Path(SCENE)),)
THOUGHT = "<think>\nis it red? it is\n</think>\n\nA red circle."


def answered(capfd, *texts, files=FILES, finish_reason="stop", think=False, pictures=PICTURES, **options):
    jobs = [Job(Ask(f"question {n}", think=files.card.think), pictures) for n in range(len(texts))]
    with Ui() as ui:
        assert Show(ui, Run(jobs, files, thinking=think), **options).all(ScriptedRunner(texts, finish_reason)) is None
    return capfd.readouterr()


def test_it_is_hidden_unless_asked_for(capfd):
    assert answered(capfd, THOUGHT) == ("A red circle.\n", "")
    assert answered(capfd, THOUGHT, think=True) == (THOUGHT + "\n", "")
    assert answered(capfd, "A red circle.", think=True) == ("A red circle.\n", "")


def test_in_lines(capfd):
    assert answered(capfd, THOUGHT, "No.").out == (f"{SCENE}\tquestion 0\tA red circle.\n{SCENE}\tquestion 1\tNo.\n")
    line = answered(capfd, THOUGHT, "No.", think=True).out.splitlines()[0]
    assert line == f"{SCENE}\tquestion 0\t<think>\\nis it red? it is\\n</think>\\n\\nA red circle."


def test_in_json(capfd):
    for think in (False, True):
        out = answered(capfd, THOUGHT, "No.", json=True, think=think).out
        first, second = (json.loads(line) for line in out.splitlines())
        assert first["answer"] == "A red circle."
        assert first.get("thinking") == ("is it red? it is" if think else None)
        assert "thinking" not in second
        for record in (first, second):
            jsonschema.validate(record, SCHEMA)


def failed(capfd, text, finish_reason="stop", **options):
    """What one answer that is an error says on stdout and stderr."""
    with Ui() as ui:
        show = Show(ui, Run([Job(Ask("?"), PICTURES)], FILES), **options)
        assert show.all(ScriptedRunner([text], finish_reason)) is Exit.FAILED
    return capfd.readouterr()


STILL = f"{SCENE}: the model was still thinking after 3 tokens"
ONLY = f"{SCENE}: the model thought, and gave no answer"


@pytest.mark.parametrize(
    ("text", "finish_reason", "says"),
    [
        ("<think>\nis it", "length", (STILL, "let it go on: --max-tokens 1024; --think shows what it thinks")),
        ("<think> hm </think> ", "stop", (ONLY, "ask in other words; --think shows what it thought")),
    ],
)
def test_hidden_thinking_without_an_answer_is_an_error(capfd, text, finish_reason, says):
    assert failed(capfd, text, finish_reason) == ("", f"vlm: {says[0]}\n     {says[1]}\n")
    record = json.loads(failed(capfd, text, finish_reason, json=True).out)
    assert record["error"] == {"type": "RequestError", "message": says[0], "hint": says[1]}
    jsonschema.validate(record, SCHEMA)


def test_thinking_that_is_shown_without_an_answer_says_why_there_is_none(capfd):
    out, err = answered(capfd, "<think>\nis it", finish_reason="length", think=True, json=True)
    assert (json.loads(out)["answer"], json.loads(out)["thinking"]) == ("", "is it")
    assert err == ("vlm: the answer is empty: the model was still thinking after 3 tokens; for more, use --ctx\n")
    err = answered(capfd, "<think> hm </think> ", think=True).err
    assert err == "vlm: the answer is empty: the model only thought\n"
    assert "cut off" in answered(capfd, THOUGHT, finish_reason="length").err


def test_a_card_may_have_other_tags(capfd, tmp_path):
    outside.picture(Random(1), "clouds").save(tmp_path / "photo.png")
    photo = (Source("photo.png", tmp_path / "photo.png"),)
    files = ModelFiles("m", Path("m"), Path("p"), Card(think=("[THINK]", "[/THINK]"), unsure="No.", unsure_hint="hint"))
    assert answered(capfd, "[THINK]a[/THINK]No.", files=files, pictures=photo) == ("No.\n", "vlm: hint\n")
    assert answered(capfd, "<think>a</think>No.", files=files).out == "<think>a</think>No.\n"


SCRIPT = """
import sys
from pathlib import Path
from tests.support.fakes import ScriptedRunner
from vlmcli.batch.course import Job
from vlmcli.batch.run import Run
from vlmcli.terminal.show import Show
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles
picture = Source(sys.argv[1], Path(sys.argv[1]))
files = ModelFiles("m", Path("m"), Path("p"))
with Ui(markdown=True) as ui:
    Show(ui, Run([Job(Ask("?"), (picture,))], files)).all(ScriptedRunner([sys.argv[2]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_the_live_line_says_that_it_thinks_and_goes_before_the_answer():
    import pty

    parent, child = pty.openpty()
    command = [sys.executable, "-c", SCRIPT, SCENE, THOUGHT]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environment) as process:
        os.close(child)
        seen = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(parent, 4096):
                seen += piece
    os.close(parent)
    assert process.returncode == 0
    before, after = seen.rsplit(b"\x1b[?25h", 1)  # the cursor is shown again
    assert b"thinking" in before
    assert after.split(b"\x1b[2K", 1)[1] == b"A red circle.\r\n"
    assert b"is it red" not in seen


# ---------------------------------------------------------------------------------------------- in the prompt

OPENS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nTHINK{% endif %}"
)


@pytest.mark.parametrize(
    ("end", "tag"), [("<think>\n", "<think>"), ("<think>", "<think>"), ("<think>\n\n</think>\n\n", ""), ("", "")]
)
def test_a_template_that_opens_it(end, tag):
    pieces = ChatTemplate(OPENS.replace("THINK", end)).render([Message("user", ("what? <think>",))])
    assert opened(pieces, "<think>") == tag


@pytest.mark.parametrize(
    ("end", "closed"),
    [
        ("<think>\n", "<think>\n\n</think>\n\n"), ("<think>", "<think></think>"),
        ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"), ("", ""),
    ],
)  # fmt: skip
def test_what_a_template_has_opened_is_closed_where_nothing_is_to_be_thought(end, closed):
    pieces = ChatTemplate(OPENS.replace("THINK", end)).render([Message("user", ("what? <think>",))])
    text = "".join(piece.text for piece in unthinking(pieces, THINK))
    assert text.endswith(f"<|im_start|>assistant\n{closed}")
    assert opened(unthinking(pieces, THINK), "<think>") == ""


@pytest.mark.parametrize(
    ("switch", "off", "on"),
    [
        ("{% if enable_thinking is defined and enable_thinking is false %}OFF{% endif %}", "OFF", ""),
        ("{% if enable_thinking %}ON{% endif %}", "", "ON"),
        ("{% if not thinking %}OFF{% else %}ON{% endif %}", "OFF", "ON"),
        ("{{ thinking_mode | default('adaptive') }}", "disabled", "adaptive"),
        ("{% if other %}ON{% endif %}", "", ""),
    ],
)
def test_a_templates_switch_is_off_unless_thinking_is_wanted(switch, off, on):
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}|" + switch)
    for think, wanted in ((False, off), (True, on)):
        pieces = template.render([Message("user", ("what?",))], think=think)
        assert "".join(piece.text for piece in pieces) == f"what?|{wanted}"


def test_the_switch_reaches_the_model_from_every_door(tmp_path, monkeypatch):
    template = tmp_path / "switch.jinja"
    template.write_text(OPENS.replace("THINK", "{% if enable_thinking %}" + "one two " * 20 + "{% endif %}"))
    head = ("-m", "demo", "--chat-template", str(template))
    sizes = {}
    for words in ((), ("--think",)):
        said = vlm("ask", *head, SCENE, "what is this?", "--json", *words)
        sizes[words] = json.loads(said.stdout)["usage"]["prompt_tokens"]
        chat = vlm("chat", *head, SCENE, "--stats", *words, input=b"what is this?\n")
        assert f"{sizes[words]} prompt tokens" in chat.stderr
    assert sizes["--think",] > sizes[()] + 20
    thinks = replace(demo.FILES, card=replace(demo.FILES.card, thinks=True))  # as a row of the catalogue may say
    monkeypatch.setattr(demo, "FILES", thinks)
    said = vlm("ask", *head, SCENE, "what is this?", "--json")
    assert json.loads(said.stdout)["usage"]["prompt_tokens"] == sizes["--think",]


def test_only_the_template_can_open_it():
    assert opened([Plain("a"), Given("<think>")], "<think>") == ""
    assert opened([Plain("<think>")], "") == ""
    assert opened([], "<think>") == ""


def test_the_answer_then_begins_with_the_tag():
    stream = TextStream((), "<think>")
    assert [stream.feed(b"so"), stream.feed(b" on"), stream.finish()] == ["<think>so", " on", ""]
    assert TextStream((), "<think>").finish() == "<think>"


def test_a_real_answer_that_begins_inside(tmp_path):
    template = tmp_path / "opens.jinja"
    template.write_text(OPENS.replace("THINK", "<think>\n"))
    words = ("ask", "-m", "demo", "--chat-template", str(template), SCENE, "what is this?")
    shown = vlm(*words, "--think")
    assert shown.stdout.startswith("<think>")
    assert len(shown.stdout) > len("<think>\n")
    assert not vlm(*words).stdout.startswith("<think>")
    cut = vlm(*words, "--max-tokens", "1", "--json", "--think")
    assert json.loads(cut.stdout)["answer"] == ""
    assert json.loads(cut.stdout)["thinking"]
    assert "still thinking after 1 token;" in cut.stderr
    closes = tmp_path / "closes.jinja"
    closes.write_text(OPENS.replace("THINK", ""))
    assert vlm("ask", "-m", "demo", "--chat-template", str(closes), SCENE, "what is this?").stdout == ANSWER
