"""After an answer that a model's card calls unsure, stderr says what to do: once, and only where it is no drawing."""

from pathlib import Path
from random import Random

import pytest

from tests.support.fakes import ScriptedRunner
from tests.support.program import SCENE, vlm
from vlmcli.batch.course import Job
from vlmcli.batch.run import Run
from vlmcli.demo import outside
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask
from vlmcli.terminal.show import Show
from vlmcli.terminal.ui import Ui
from vlmcli.values import Card, ModelFiles


@pytest.mark.parametrize(
    ("texts", "unsure", "hints"),
    [
        (["I don't know.", "I don't know."], "I don't know.", 1),
        (["Yes.", "I don't know.\n"], "I don't know.", 1),
        (["Yes.", "No."], "I don't know.", 0),
        (["", "I don't know."], "", 0),
    ],
)
@pytest.mark.parametrize("drawn", [False, True])
def test_the_hint_comes_once(capfd, tmp_path, texts, unsure, hints, drawn):
    card = Card(unsure=unsure, unsure_hint="take another")
    files = ModelFiles("m", Path("m.gguf"), Path("p.gguf"), card)
    photo = tmp_path / "photo.png"
    outside.picture(Random(1), "clouds").save(photo)
    path = SCENE if drawn else str(photo)
    pictures = (Source(path, Path(path)),)
    jobs = [Job(Ask("a"), pictures), Job(Ask("b"), pictures)]
    with Ui() as ui:
        code = Show(ui, Run(jobs, files), json=True).all(ScriptedRunner(texts))
    printed = capfd.readouterr()
    assert code is None
    assert printed.err.count("take another") == (0 if drawn else hints)
    assert len(printed.out.splitlines()) == 2


def test_the_demo_says_it_of_photographs_only(tmp_path):
    outside.picture(Random(1), "clouds").save(tmp_path / "photo.png")
    hints = []
    for picture, question in ((tmp_path / "photo.png", "what is this?"), (SCENE, "Which animal is this?")):
        for words in (("ask", "-m", "demo", picture, question), ("chat", "-m", "demo", picture)):
            done = vlm(*words, input=question if words[0] == "chat" else b"")
            assert (done.stdout, done.returncode) == ("I don't know.\n", 0), done.stderr
            hints.append("for photographs, use a real model" in done.stderr)
    assert hints == [True, True, False, False]
