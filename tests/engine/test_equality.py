"""One answer, whatever stands beside it and whatever was in the cache.

llama.cpp's sums depend on batch shape, threads and cache layout in their last digits, so equal means: logits within a
tolerance at every step, as long as the tokens so far are the same; and the same tokens up to the first step whose two
best logits are closer than twice that. Most of it is the CPU's flash attention, which adds values up in F16 for small
batches and in F32 for large ones: with it off, the largest difference below is 8e-3 (ggml-cpu/ops.cpp).

Each tolerance is about twice the largest difference seen on a 2-core x86-64 with 1 and with 2 threads, for prompts of
about 100 cells and of more than 512; another picture moves the logits by 0.3 to 4.5. `-s` prints today's figures.
"""

from collections import defaultdict

import numpy as np
import pytest

from tests.support.engines import ask, noise, opened, small_files
from vlmcli.bench.pairs import SMALL
from vlmcli.values import Answer, Message, Request

TOLERANCE = {"100": 0.1, "512": 0.3}
TIGHT = {"gemma3": {"100": 0.03, "512": 0.04}, "lfm2vl": {"100": 0.02, "512": 0.04}}
CELLS = {"100": 0, "512": 520}  # cells of system text before the picture: prefixes of about 100, and of more than 512
QUESTIONS = ["what is this?", "and the colours of it?", "is there a cat in here, or a dog?", "no"]


def request(question, cells, seed=1):
    """Small vocabularies have a token for nearly every byte."""
    message = ask(question, noise(seed)).messages[0]
    system = (Message("system", ("look well. " * (cells // 11),)),) if cells else ()
    return Request((*system, message), max_tokens=12)


class Recorder:
    """Collects the logits each token was picked from."""

    def __init__(self):
        self.logits = defaultdict(list)

    def __call__(self, id, step, logits):
        assert len(self.logits[id]) == step
        assert np.isfinite(logits).all()
        self.logits[id].append(logits)


def answers(files, batches, **fit):
    """Run batches one after the other in one engine: for each request its answer and its logits."""
    recorder = Recorder()
    with opened(files, tap=recorder, **{"threads": 2, **fit}) as engine:
        outcomes = [outcome for batch in batches for outcome in engine.run(batch)]
    assert all(isinstance(outcome, Answer) for outcome in outcomes), outcomes
    return [(outcome, recorder.logits[id]) for id, outcome in enumerate(outcomes)]


def tolerance(name, length):
    return TIGHT.get(name, TOLERANCE)[length]


def assert_equal(left, right, tolerance):
    """Equal in the sense of this module; returns the largest difference."""
    worst = 0.0
    for step, (a, b) in enumerate(zip(left, right, strict=False)):
        difference = float(np.abs(a - b).max())
        worst = max(worst, difference)
        assert difference <= tolerance, f"step {step}"
        if a.argmax() != b.argmax():
            second, first = np.sort(a)[-2:]
            assert first - second < 2 * tolerance, f"step {step}"
            return worst
    assert len(left) == len(right)
    return worst


@pytest.fixture(scope="module")
def alone(small):
    """Each question in an engine of its own, which has seen nothing before: the reference."""
    cache = {}

    def get(name, question, cells):
        key = (name, question, cells)
        if key not in cache:
            ((answer, logits),) = answers(small_files(small, name), [[request(question, cells)]])
            assert answer.usage.reused_tokens == 0
            assert answer.usage.prompt_tokens > cells
            cache[key] = logits
        return cache[key]

    return get


@pytest.mark.parametrize("length", CELLS)
@pytest.mark.parametrize("name", SMALL)
def test_four_in_one_run_and_forks(small, alone, name, length):
    """Submitted together, the first computes the picture and the others fork it and generate beside it."""
    cells = CELLS[length]
    batch = [request(question, cells) for question in QUESTIONS]
    outcomes = answers(small_files(small, name), [batch])
    assert [outcome.usage.reused_tokens > cells for outcome, _ in outcomes] == [False, True, True, True]
    worst = [
        assert_equal(alone(name, question, cells), logits, tolerance(name, length))
        for question, (_, logits) in zip(QUESTIONS, outcomes, strict=True)
    ]
    print(f"together {name} {length}: {max(worst):.1e}")


@pytest.mark.parametrize("length", CELLS)
@pytest.mark.parametrize("name", SMALL)
def test_four_pictures_in_one_run(small, name, length):
    """Nothing to share but the system text: four sequences prefill and generate side by side."""
    cells = CELLS[length]
    batch = [request("what is this?", cells, seed) for seed in range(4)]
    outcomes = answers(small_files(small, name), [batch])
    worst = []
    for single, (_, logits) in zip(batch, outcomes, strict=True):
        ((_, reference),) = answers(small_files(small, name), [[single]])
        worst.append(assert_equal(reference, logits, tolerance(name, length)))
    print(f"pictures {name} {length}: {max(worst):.1e}")


@pytest.mark.parametrize("length", CELLS)
@pytest.mark.parametrize("name", SMALL)
def test_a_second_question_over_a_reused_prefix(small, alone, name, length):
    """One after the other: the later ones fork the first one's picture, or roll it back when seats run out."""
    cells = CELLS[length]
    asked = [*QUESTIONS, *QUESTIONS]
    outcomes = answers(small_files(small, name), [[request(question, cells)] for question in asked], n_parallel=1)
    assert outcomes[0][0].usage.reused_tokens == 0
    for outcome, _ in outcomes[1:]:
        assert outcome.usage.reused_tokens >= outcome.usage.picture_tokens + cells
    worst = [
        assert_equal(alone(name, question, cells), logits, tolerance(name, length))
        for question, (_, logits) in zip(asked, outcomes, strict=True)
    ]
    print(f"reused {name} {length}: {max(worst):.1e}")


@pytest.mark.parametrize("name", SMALL)
def test_the_same_command_twice_is_bit_exact(small, name):
    """Equal threads, batches and layout: not a digit differs."""
    runs = [answers(small_files(small, name), [[request(QUESTIONS[0], 0)]])[0][1] for _ in range(2)]
    assert all((a == b).all() for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_a_picture_and_its_neighbour_are_told_apart(small, name):
    """Were the wrong rows reused, equal answers would hide it: so another picture must give other logits."""
    outcomes = answers(small_files(small, name), [[request("what is this?", 0, seed)] for seed in (1, 2)])
    (_, a), (second, b) = outcomes
    assert second.usage.reused_tokens < second.usage.prompt_tokens - second.usage.picture_tokens
    assert float(np.abs(a[0] - b[0]).max()) > 2 * tolerance(name, "100")
