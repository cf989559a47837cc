"""Every family of projectors on its small pair: upstream's tool answers alike, and what is reused changes no answer.

golden_families.json is what `python -m tests.golden` wrote down.
"""

import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests import golden
from tests.support.engines import ask, noise, opened, small_files
from tests.support.upstream import gap, where_they_part, without_specials
from vlmcli.bench import families
from vlmcli.engine import sampling
from vlmcli.pictures import images
from vlmcli.values import THINK, Answer, Sampling

QUESTIONS = ("what is this?", "Describe this image in detail, please.")
SIZES = (noise(1, (90, 70)), noise(2, (1100, 640)))
"""A small picture, and one that is cut into tiles where a family does that."""
TIE = 0.1
"""How close two best logits are that may change places by rounding, as a part of the logits' deviation. 0.06 is what
was seen of rounding, with 400 rows in the cache and two threads."""


GOLDEN = json.loads(golden.FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def family(request, tmp_path_factory):
    """A family's files."""
    name = request.param
    return small_files(families.write(tmp_path_factory.mktemp(name), [name]), name)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Those that upstream was asked about."""
    folder = tmp_path_factory.mktemp("golden")
    return {size: images.load(golden.picture(size, folder)) for size in golden.SIZES}


@pytest.mark.sample(3)
@pytest.mark.parametrize("family", families.PAIRS, indirect=True)
def test_it_answers_alike_with_and_without_what_was_kept(family):
    for picture in SIZES:
        with tapped(family) as (engine, logits):
            first, second = asked(engine, picture, *QUESTIONS)
            (again,) = asked(engine, picture, QUESTIONS[0])
            firsts, seconds, agains = (logits[id] for id in sorted(logits))
        with tapped(family) as (engine, logits):
            (alone,) = asked(engine, picture, QUESTIONS[1])
            (alones,) = logits.values()
        assert again.usage.reused_tokens > 0
        assert alone.usage.reused_tokens == 0
        assert again.text == first.text or parts_at_a_tie(firsts, agains)
        assert second.text == alone.text or parts_at_a_tie(seconds, alones)


def test_upstream_has_been_asked_about_every_family():
    assert set(GOLDEN) == set(families.PAIRS)
    for name, pair in families.PAIRS.items():
        assert list(GOLDEN[name]) == [called for called, _, _ in golden.cases(pair().together)]


@pytest.mark.parametrize("family", families.PAIRS, indirect=True)
def test_answers_equal_upstreams(family, pictures):
    """The tool lets a model think where its template has a switch. It writes no NULs, and no tag that the template has
    opened.
    """
    cases = golden.cases(families.PAIRS[family.name]().together)
    with tapped(family) as (engine, logits):
        asked = [replace(ask(question, *map(pictures.get, some)), think=True) for _, some, question in cases]
        answers = engine.run(asked)
        model = engine.loaded.model
        for id, ((called, _, _), answer) in enumerate(zip(cases, answers, strict=True)):
            assert isinstance(answer, Answer), answer
            said = without_specials(model, bytes.fromhex(GOLDEN[family.name][called]))
            text = answer.text.strip().removeprefix(THINK[0]).replace("\0", "").strip()
            if text != said.decode("utf-8", "replace").strip():
                row = where_they_part(model, logits[id], said)
                assert gap(row) < TIE * row.std(), (called, answer.text, said)


@contextmanager
def tapped(files):
    """An engine, and each request's logits."""
    logits = defaultdict(list)
    with opened(files, tap=lambda id, step, row: logits[id].append(row.copy()), n_ctx=8192) as engine:
        yield engine, logits


def asked(engine, picture, *questions):
    found = engine.run(ask(question, picture) for question in questions)
    for answer in found:
        assert isinstance(answer, Answer), answer
    return found


def parts_at_a_tie(one, two):
    """Whether two answers part where rounding may decide: in other batches llama.cpp sums in another order."""
    for a, b in zip(one, two, strict=False):
        if np.argmax(a) != np.argmax(b):
            return gap(a) < TIE * a.std() and np.abs(a - b).max() < TIE * a.std()
    return False


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
        sampler = sampling.make(loaded.model, Sampling(temperature=0))
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
