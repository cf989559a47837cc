"""How ready the demo model is to say "I don't know.": `python -m vlmcli.demo.training.calibrate`, its last step.

A question about something else that sounds like one about shapes is answered as if it were, and there that answer's
first token is often only a little likelier than that of "I don't know."; in its own world the two are far apart. So the
logit of that token is raised where it may be the right one: along the direction, of what the last norm gives (a vector
of the model's width), that tells the places where "I don't know." is right from all others at which a token of an
answer is picked. The direction is found by least squares, and added, times the shift, to the row of that token in the
output matrix, which is from then on a matrix of its own.

The shift is the largest that makes at most `ALLOWED` more of the answers about its own world begin with that token, of
questions in the wordings of training about pictures that it was not trained on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlmcli.demo import FOLDER
from vlmcli.demo.training import batches, export, losses
from vlmcli.demo.training.model import DemoModel
from vlmcli.demo.training.questions import DONT_KNOW
from vlmcli.demo.training.rows import Writer
from vlmcli.demo.training.tokenizer import Vocabulary

SEED = 1_000_003
"""Of the rows it looks at; no training has had it."""
ALLOWED = 1 / 3000
SHIFTS = [0.5 * number for number in range(41)]
"""The shifts that are tried, each about so many units of a logit where "I don't know." is right."""
RIDGE = 0.03
"""Keeps the direction short: of the mean square of a number that the last norm gives."""


@dataclass(frozen=True)
class Places:
    """Where the model picks a token of an answer, one row a place.

    Attributes:
        hidden: what the last norm gives there, float [places, width].
        begins: whether the token is the answer's first, bool [places].
        wanted: the right token, int64 [places].
        unknown: whether the right answer is "I don't know.", bool [places].
    """

    hidden: Tensor
    begins: Tensor
    wanted: Tensor
    unknown: Tensor


@torch.no_grad()
def places(model: DemoModel, vocabulary: Vocabulary, steps: int) -> Places:
    """All places in the rows of so many steps of training, of `SEED`."""
    writer, spelled = Writer(vocabulary), vocabulary.encode(DONT_KNOW)
    found = [_places(model, writer, vocabulary.pad, spelled, step) for step in range(steps)]
    return Places(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _places(
    model: DemoModel, writer: Writer, pad: int, spelled: tuple[int, ...], step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    arrays, pictures = batches.joint(writer, pad, SEED, step)
    batch = {name: torch.from_numpy(values) for name, values in arrays.items()}
    pixels = torch.from_numpy(np.stack([pixels for pixels, _ in pictures]))
    hidden, _, _ = losses.decoded(model, batch, model.encoder(pixels))
    ids, weight = batch["ids"], batch["weight"]
    picked = weight[:, 1:] > 0
    begins = picked & (weight[:, :-1] == 0)
    length = ids.shape[1]
    unknown = begins.clone()
    for number, token in enumerate(spelled, 1):
        after = torch.full_like(begins, False)
        after[:, : length - number] = ids[:, number:] == token
        unknown &= after
    return hidden[:, :-1][picked], begins[picked], ids[:, 1:][picked], unknown[picked]


def direction(found: Places) -> Tensor:
    """What is near 1 in the product with `hidden` where "I don't know." is right, and near 0 elsewhere, float [width].

    Least squares with a ridge; those places, the beginnings of other answers, and the rest weigh a third each.
    """
    hidden = found.hidden.double()
    weight = torch.zeros(len(hidden), dtype=torch.float64)
    for kind in (found.unknown, found.begins & ~found.unknown, ~found.begins):
        weight[kind] = 1 / (3 * kind.sum())
    weighted = hidden * weight[:, None]
    square = weighted.T @ hidden
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    return torch.linalg.solve(square, weighted.T @ found.unknown.double()).float()


@torch.no_grad()
def said(
    model: DemoModel, found: Places, token: int, toward: Tensor, shifts: Iterable[float]
) -> Iterator[tuple[float, float, float]]:
    """For each shift: it, and the shares that begin with "I don't know."'s token, of the answers that are that and of
    the others.
    """
    begins = found.begins
    hidden, wanted, unknown = found.hidden[begins], found.wanted[begins], found.unknown[begins]
    logits = model.logits(hidden)
    own, along = logits[:, token].clone(), hidden @ toward
    logits[:, token] = -torch.inf
    lead, another = own - logits.amax(1), ~unknown & (wanted != token)
    for shift in shifts:
        says = lead + shift * along > 0
        yield shift, float(says[unknown].float().mean()), float(says[another].float().mean())


def calibrate(
    model: DemoModel, vocabulary: Vocabulary, steps: int, shift: float | None = None
) -> tuple[float, float, float]:
    """Give the model its output matrix, with a shift or the one it finds. Returns it and the two shares of `said`."""
    token = vocabulary.encode(DONT_KNOW)[0]
    found = places(model, vocabulary, steps)
    toward = direction(found)
    if shift is None:
        tried = list(said(model, found, token, toward, SHIFTS))
        most = tried[0][2] + ALLOWED
        chosen: tuple[float, float, float] = max(one for one in tried if one[2] <= most)
    else:
        chosen = next(said(model, found, token, toward, [shift]))
    model.output = model.embedding.weight.detach().clone()
    model.output[token] += chosen[0] * toward
    return chosen


def main() -> None:
    """Calibrate the pair in a folder, and write it there again."""
    parser = argparse.ArgumentParser(
        prog="python -m vlmcli.demo.training.calibrate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="default: the package's")
    parser.add_argument("--steps", type=int, default=240, help="of training, whose rows are looked at (default 240)")
    parser.add_argument(
        "--shift", type=float, help='instead of the one it finds; below 0 for fewer answers "I don\'t know."'
    )
    options = parser.parse_args()
    model, vocabulary = export.read(options.folder)
    shift, right, wrong = calibrate(model.eval(), vocabulary, options.steps, options.shift)
    export.write(model, vocabulary, options.folder)
    sys.stderr.write(f"shifted by {shift:g}: {right:.2%} of what it should not know, {wrong:.3%} of what it should\n")


if __name__ == "__main__":
    main()
