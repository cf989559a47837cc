"""Every family of projectors on its small pair: what is kept changes no answer, and what else the nine always had."""

import numpy as np
import pytest

from tests.families import COLUMNS, PAGE, models
from tests.support.engines import ask, opened, small_files
from tests.support.families import CHECKS, NAMES, QUESTIONS, SIZES
from vlmcli.bench import families
from vlmcli.engine import sampling
from vlmcli.models import known
from vlmcli.values import Answer, Request, Sampling

REST = ("cancel", "explain", "memory", "worker")


@pytest.mark.sample(4)  # no multiple of the checks' number
@pytest.mark.parametrize("check", ["reuse", "restore", "choices"])
@pytest.mark.parametrize("family", NAMES, indirect=True)
def test_it_answers_alike_with_and_without_what_was_kept(family, check, tmp_path):
    CHECKS[check](family, tmp_path)


@pytest.mark.families
@pytest.mark.parametrize("check", REST)
@pytest.mark.parametrize("family", NAMES, indirect=True)
def test_it_has_everything_else(family, check, tmp_path):
    CHECKS[check](family, tmp_path)


def test_a_pair_is_the_same_whatever_else_is_written(tmp_path):
    name = next(iter(families.PAIRS))
    families.write(tmp_path / "one", [name])
    families.write(tmp_path / "more", [*list(families.PAIRS)[1:3], name])
    for file in (f"{name}.gguf", f"mmproj-{name}.gguf"):
        one, more = ((tmp_path / folder / file).read_bytes() for folder in ("one", "more"))
        assert np.array_equal(np.frombuffer(one, np.uint8), np.frombuffer(more, np.uint8))


def test_tokens_that_a_model_rules_out_are_never_picked(tmp_path):
    with opened(small_files(families.write(tmp_path, ["gemma4uv"]), "gemma4uv")) as engine:
        loaded = engine.loaded
        marks = [loaded.model.tokenize(text, True)[0] for text in ("<|image>", "<|image|>", "<image|>")]
        assert loaded.model.suppressed == tuple(marks)
        engine.run([ask(QUESTIONS[0], tokens=1)])
        sampler = sampling.make(loaded.model, Request((), Sampling(temperature=0)))
        loaded.context.forget(1)
        one = np.ones(1, np.int32)
        loaded.context.decode_tokens(5 * one, 0 * one, one, one.astype(np.bool_))
        for other in range(50, 80):
            allowed = np.zeros(loaded.model.n_vocab, np.bool_)
            allowed[[*marks, other]] = True
            assert loaded.context.pick(sampler, 0, allowed) == other


def test_sparse_attention_is_not_given_up_for_more_sequences(tmp_path):
    with opened(small_files(families.write(tmp_path, ["minimax_m3"]), "minimax_m3"), n_parallel=3) as engine:
        assert engine.loaded.context.n_seq == 1
        answers = engine.run(ask(question, SIZES[0]) for question in QUESTIONS)
        assert all(isinstance(answer, Answer) for answer in answers)


def test_the_page_about_them_is_about_all_of_them():
    """`python -m tests.families` writes it; what it says held when it was written."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    head, _, *rows = lines
    assert head == list(COLUMNS)
    assert sorted(row[1] for row in rows) == sorted(map(models, NAMES))
    for row in rows:
        assert int(row[3]) > 0
        assert row[4:] == ["yes"] * len(CHECKS), row
    kinds = {row[0] for row in rows}
    assert len(kinds) >= 30
    assert kinds <= known.PROJECTORS
