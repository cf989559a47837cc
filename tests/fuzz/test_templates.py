"""A few hostile templates of each kind, through the function that judges thousands by hand."""

import random

import pytest

from tests.fuzz import templates, templates_grammar
from vlmcli.engine import chat_template


@pytest.mark.parametrize("seed", range(2))
def test_hostile_templates_are_refused_or_rendered(seed, monkeypatch):
    monkeypatch.setattr(chat_template, "READING_SECONDS", 0.2)  # which only those take that would take any time
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 0.2)
    wrong = []
    for number in range(25):
        source = templates_grammar.template(random.Random(f"test {seed}/{number}"))
        what, _, _, said = templates.judge(source)
        if what == "wrong":
            wrong.append((said, source[:500]))
    assert not wrong
