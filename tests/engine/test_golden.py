"""Greedy answers equal those of upstream's own llama-mtmd-cli on nine architectures.

golden.json: `llama-mtmd-cli -m X.gguf --mmproj mmproj-X.gguf --image golden.png -p QUESTION -n 24 --temp 0 --top-k 1
--jinja`, the answer's bytes in hex without the white space around them. Upstream prints special tokens too, so they
are taken out before comparing.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.engines import ask, opened, small_files
from tests.support.upstream import gap, where_they_part, without_specials
from vlmcli.bench.pairs import SMALL
from vlmcli.engine import native
from vlmcli.pictures import images

WIDE = "AVX512" in native.versions()["features"]
"""Whether this CPU computes as the one on which the answers were written down; others round differently."""
TIE = 0.05
"""Two best logits that are closer may change places by rounding (0.0012 is what was seen)."""
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text("utf-8"))


@pytest.mark.parametrize("name", SMALL)
def test_answers_equal_upstreams(small, name):
    picture = images.load(Path(__file__).parent / "golden.png")
    logits = defaultdict(list)
    with opened(small_files(small, name), tap=lambda id, step, row: logits[id].append(row.copy()), threads=2) as engine:
        questions = list(GOLDEN[name])
        answers = engine.run(ask(question, picture) for question in questions)
        for id, (question, answer) in enumerate(zip(questions, answers, strict=True)):
            said = without_specials(engine.model, bytes.fromhex(GOLDEN[name][question]["hex"]))
            if answer.text.strip() != said.decode("utf-8", "replace").strip():
                assert not WIDE, question
                assert gap(where_they_part(engine.model, logits[id], said)) < TIE, question
