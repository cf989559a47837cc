"""After an answer that a model's card calls unsure, stderr says what to do; once, and after no other answer."""

from pathlib import Path

import pytest

from tests.support.fakes import ScriptedRunner
from tests.support.program import SCENE
from vlmcli.batch.course import Job
from vlmcli.batch.run import Run
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
def test_the_hint_comes_once(capfd, texts, unsure, hints):
    card = Card(unsure=unsure, unsure_hint="take another")
    files = ModelFiles("m", Path("m.gguf"), Path("p.gguf"), card)
    pictures = (Source(SCENE, Path(SCENE)),)
    jobs = [Job(Ask("a"), pictures), Job(Ask("b"), pictures)]
    with Ui() as ui:
        code = Show(ui, Run(jobs, files), json=True).all(ScriptedRunner(texts))
    printed = capfd.readouterr()
    assert code is None
    assert printed.err.count("take another") == hints
    assert len(printed.out.splitlines()) == 2
