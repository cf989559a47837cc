"""`python -m vlmcli.bench repack`: whether weights are faster in the CPU's own order, for each quantisation.

llama.cpp copies matrices of some types into another order when it loads them (ggml-cpu, repack.cpp). That costs loading
and memory, and is not faster for every type on every CPU. Both ways are measured in turn, on a language model of a few
layers as wide as those of 3 billion weights, of random numbers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from vlmcli.bench import published, recipes
from vlmcli.engine.native import AbortFlag, Context, Model, repacked_types
from vlmcli.machine.fit import this_machine
from vlmcli.models import gguf

VOCABULARY = 4096  # tokens: what is measured is the layers
QUANTS = ("Q4_K_M", "Q8_0", "Q4_0", "Q6_K")
PROMPT, ANSWER = 512, 32  # rows of one decode; single tokens


@dataclass(frozen=True)
class Seconds:
    """How long one model took to load, to read a prompt of `PROMPT` tokens, and to write `ANSWER` tokens."""

    load: float
    read: float
    write: float

    @property
    def whole(self) -> float:
        """A cold question: all of them; each grows with the number of layers."""
        return self.load + self.read + self.write


def main(words: Sequence[str]) -> None:
    """Measure, and print the table; `words` are the arguments after `repack`."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench repack", description=__doc__.split("\n")[0])
    parser.add_argument("--quants", nargs="+", default=QUANTS, choices=recipes.QUANTS)
    parser.add_argument("--shape", default="qwen2.5-vl-3b", help="whose width the matrices have")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=this_machine().cores)
    options = parser.parse_args(words)
    shape = replace(recipes.Recipe(options.shape).dimensions()[0], layers=options.layers, vocabulary=VOCABULARY)
    sys.stdout.write(
        f"{options.shape}, {options.layers} layers, {options.threads} threads, {options.rounds} rounds: seconds with "
        f"repacked weights by seconds without, medians\n"
        f"{'':8}{'load':>8}{f'read {PROMPT}':>10}{f'write {ANSWER}':>10}{'all':>8}  of the weights\n"
    )
    for quant in options.quants:
        with tempfile.TemporaryDirectory(prefix="vlm-bench-") as folder:
            path = Path(folder, f"{quant}.gguf")
            published.model(path, shape, quant)
            share = _share(path)
            pairs = [_turn(path, options.threads) for _ in range(options.rounds)] if share else []
        ratios = [
            f"{median(getattr(ours, key) / getattr(plain, key) for ours, plain in pairs):.2f}" if pairs else "-"
            for key in ("load", "read", "write", "whole")
        ]
        columns = "".join(f"{ratio:>{width}}" for ratio, width in zip(ratios, (8, 10, 10, 8), strict=True))
        sys.stdout.write(f"{quant:8}{columns}  {share:.0%} repacked\n")
        sys.stdout.flush()


def _share(path: Path) -> float:
    """The part of a model's bytes that is repacked here."""
    tensors, kinds = gguf.read(path).tensors, repacked_types()
    matrices = [one for one in tensors if one.kind in kinds and one.name.startswith("blk.") and len(one.shape) == 2]
    return sum(one.size or 0 for one in matrices) / sum(one.size or 0 for one in tensors)


def _turn(path: Path, threads: int) -> tuple[Seconds, Seconds]:
    """With repacked weights, and without."""
    return _measure(path, threads, True), _measure(path, threads, False)


def _measure(path: Path, threads: int, repack: bool) -> Seconds:
    """Load a model, read and write. Loading ends with one token, which touches all weights for the first time."""
    flag = AbortFlag()
    started = time.perf_counter()
    with (
        Model(path, 0, lambda done: None, flag, repack) as model,
        Context(model, 2 * PROMPT, PROMPT, 1, threads, flag) as context,
    ):
        _decode(context, 0, 1)
        loaded = time.perf_counter()
        context.forget(0)
        _decode(context, 0, PROMPT)
        read = time.perf_counter()
        for place in range(ANSWER):
            _decode(context, PROMPT + place, 1)
        written = time.perf_counter()
    return Seconds(loaded - started, read - loaded, written - read)


def _decode(context: Context, start: int, count: int) -> None:
    """Decode so many tokens of no meaning from a position on."""
    tokens = np.arange(start, start + count, dtype=np.int32) % 200
    positions = np.arange(start, start + count, dtype=np.int32)
    logits = np.zeros(count, np.bool_)
    logits[-1] = True
    context.decode_tokens(tokens, positions, np.zeros(count, np.int32), logits)
