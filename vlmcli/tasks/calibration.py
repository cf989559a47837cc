"""Probabilities that mean what they say: a temperature and a bias by what was right in labelled pictures. Pure.

Scores s of a question's options become probabilities softmax(s / T) (temperature scaling: Guo et al., On Calibration of
Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599). Of a predicate, whose two scores differ by z, it is
sigmoid((z + b) / T), which is Platt's scaling. Both are fitted by the likelihood of what was right. How far
probabilities are off is their expected calibration error, of the same paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from vlmcli.decisions import Kind

BINS = 10
"""Of confidence, for the expected calibration error."""
COLDEST, HOTTEST = 0.02, 50.0
"""What a temperature can be."""
CLOSE = 1e-3
"""How exactly a scaling is found: far finer than any number of samples can tell."""


@dataclass(frozen=True)
class Sample:
    """A question that was answered about a picture whose truth is known.

    Attributes:
        logits: the scores of its options, or of yes and no.
        truth: the number of the right one.
    """

    logits: tuple[float, ...]
    truth: int


@dataclass(frozen=True)
class Scaling:
    """What a model's scores of one kind of question are corrected by.

    Attributes:
        temperature: they are divided by.
        bias: is added to that of yes before, in a predicate.
        samples: how many pictures it was fitted to; 0 for none.
    """

    temperature: float = 1.0
    bias: float = 0.0
    samples: int = 0

    def probabilities(self, logits: Sequence[float]) -> tuple[float, ...]:
        """Of the options, together 1."""
        scaled = [(logit + self.bias * (not number)) / self.temperature for number, logit in enumerate(logits)]
        top = max(scaled)
        if math.isinf(top):
            return (1 / len(scaled),) * len(scaled)
        each = [math.exp(one - top) for one in scaled]
        return tuple(one / math.fsum(each) for one in each)


@dataclass(frozen=True)
class Calibration:
    """A model's scalings, by the kind of question."""

    scalings: tuple[tuple[Kind, Scaling], ...] = ()

    def has(self, kind: Kind) -> bool:
        """Whether questions of this kind were calibrated."""
        return any(one == kind for one, _ in self.scalings)

    def of(self, kind: Kind) -> Scaling:
        """That of a kind; one that changes nothing where it was not calibrated."""
        return dict(self.scalings).get(kind, Scaling())

    def probabilities(self, kind: Kind, logits: Sequence[float]) -> tuple[float, ...]:
        """Of a question's options by their scores, together 1."""
        return self.of(kind).probabilities(logits)

    def with_(self, kind: Kind, scaling: Scaling) -> Calibration:
        """The same with another scaling of one kind."""
        return Calibration(tuple(sorted((dict(self.scalings) | {kind: scaling}).items())))


NONE = Calibration()
"""Probabilities as the model has them."""


def fitted(kind: Kind, samples: Sequence[Sample]) -> Scaling:
    """The scaling under which what was right is likeliest."""
    scaling = Scaling(samples=len(samples))
    for _ in range(50):
        before = scaling
        if kind == "predicate":
            scaling = replace(scaling, bias=_least(partial(_with_bias, samples, scaling), -30.0, 30.0))
        bounds = math.log(COLDEST), math.log(HOTTEST)
        scaling = replace(scaling, temperature=math.exp(_least(partial(_with_log, samples, scaling), *bounds)))
        moved = abs(scaling.temperature - before.temperature) + abs(scaling.bias - before.bias)
        if kind != "predicate" or moved < CLOSE:
            break
    return scaling


def _with_bias(samples: Sequence[Sample], scaling: Scaling, bias: float) -> float:
    return _loss(samples, replace(scaling, bias=bias))


def _with_log(samples: Sequence[Sample], scaling: Scaling, log: float) -> float:
    return _loss(samples, replace(scaling, temperature=math.exp(log)))


def _loss(samples: Sequence[Sample], scaling: Scaling) -> float:
    """The mean of minus the logarithm of what was right, with a trace of doubt, so that no sample is worth infinity."""
    right = (max(scaling.probabilities(sample.logits)[sample.truth], 1e-9) for sample in samples)
    return -math.fsum(map(math.log, right)) / len(samples)


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is least: golden-section search."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > CLOSE / 10:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
    return (low + high) / 2


@dataclass(frozen=True)
class Bin:
    """Samples whose confidence is in one range.

    Attributes:
        count: how many.
        confidence: the mean of the probabilities of what was answered.
        right: the share that was right.
    """

    count: int
    confidence: float
    right: float


def reliability(samples: Sequence[Sample], scaling: Scaling) -> list[Bin]:
    """How often the answers were right, by how sure they were: `BINS` ranges of one width, the empty ones left out."""
    found: dict[int, list[tuple[float, bool]]] = {}
    for sample in samples:
        probabilities = scaling.probabilities(sample.logits)
        sure = max(probabilities)
        found.setdefault(min(BINS - 1, int(sure * BINS)), []).append((sure, probabilities.index(sure) == sample.truth))
    return [
        Bin(len(one), math.fsum(sure for sure, _ in one) / len(one), sum(right for _, right in one) / len(one))
        for _, one in sorted(found.items())
    ]


def expected_error(samples: Sequence[Sample], scaling: Scaling) -> float:
    """The expected calibration error, 0 to 1: how far the bins' confidence is from what was right, by their counts."""
    each = (one.count * abs(one.confidence - one.right) for one in reliability(samples, scaling))
    return math.fsum(each) / len(samples)
