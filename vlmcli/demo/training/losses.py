"""What the demo model is taught by: its answers, and what its patches and its words are asked on the way.

Needs PyTorch (extra `train`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 — PyTorch's own short name
from torch import Tensor

from vlmcli.demo import world
from vlmcli.demo.training.model import READINGS, DemoModel
from vlmcli.demo.training.patches import (
    CELLS,
    COLUMNS,
    PATCHES,
    REGIONS,
    TEXT_LENGTH,
    UNCHANGED,
    UNKNOWN,
)
from vlmcli.demo.training.rows import LENGTH
from vlmcli.demo.training.tokenizer import Vocabulary


def heads_loss(model: DemoModel, features: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """What the encoder's features say about each patch, against the labels; and some shares of right ones.

    Args:
        model: whose heads are asked.
        features: float [pictures, PATCHES, width].
        labels: tensors by the names of `patches.LABEL_NAMES`, the picture first.
    """
    heads, flat = model.heads, features.float()

    def crossed(logits: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
        return F.cross_entropy(
            logits.float().flatten(0, -2), wanted.long().flatten(), weight=weight, ignore_index=UNKNOWN
        )

    characters = heads.character(features).view(*features.shape[:2], COLUMNS, len(world.CHARACTERS) + 1)
    rare = torch.ones(len(world.CHARACTERS) + 1, device=features.device)
    rare[0] = 0.15  # most columns show none
    order = heads.order(features).view(*features.shape[:2], COLUMNS, TEXT_LENGTH + 1)
    most, same = labels["most"].flatten(1, 2), labels["same"].flatten(1, 2)
    known = most != UNKNOWN
    ends = F.binary_cross_entropy_with_logits(
        heads.most(features).float(), most.float(), known.float(), reduction="sum"
    )
    wanted, boxes = labels["character"].flatten(1, 2), labels["box"].flatten(1, 2)
    there = ~boxes.isnan()
    misplaced = F.smooth_l1_loss(heads.box(features).float()[there], boxes[there], beta=0.05)
    cells = heads.cell(features).float()
    number = torch.arange(PATCHES, device=features.device).expand(len(features), -1)
    pooled = flat.mean(1).to(features.dtype)
    shapes = heads.shape(features)
    loss = (
        crossed(shapes, labels["shape"].flatten(1))
        + crossed(heads.color(features), labels["color"].flatten(1))
        + 4 * crossed(characters, wanted, rare)
        + crossed(order, labels["order"].flatten(1, 2), rare[: TEXT_LENGTH + 1])
        + 2 * ends / known.sum().clamp(min=1)
        + 0.5 * crossed(heads.same(features).view(*features.shape[:2], 3, 6), same)
        + 0.5 * crossed(heads.region(features), labels["region"].flatten(1))
        + 2 * misplaced
        + 0.5 * (crossed(cells[..., :CELLS], number % CELLS) + crossed(cells[..., CELLS:], number // CELLS))
        + 0.3 * crossed(heads.background(pooled), labels["background"])
        + 0.3 * crossed(heads.count(pooled), labels["count"])
    )
    with torch.no_grad():
        drawn = labels["shape"].flatten(1) > 0
        written = (wanted > 0) & (wanted != UNKNOWN)
        ordered = written & (labels["order"].flatten(1, 2) != UNKNOWN)
        shares = {
            "characters": float((characters.argmax(-1) == wanted)[written].float().mean()),
            "shapes": float((shapes.argmax(-1) == labels["shape"].flatten(1))[drawn].float().mean()),
            "order": float((order.argmax(-1) == labels["order"].flatten(1, 2))[ordered].float().mean()),
            "most": float(((heads.most(features) > 0) == most)[known].float().mean()),
            "off": misplaced.item(),
        }
    return loss, shares


class Words:
    """The tokens that say what a patch shows."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        def table(spellings: Iterable[Sequence[str]], count: int = 1) -> Tensor:
            """Label → its tokens, int64 [UNKNOWN + 1, count], -1 where there is none."""
            found = torch.full((UNKNOWN + 1, count), -1)
            for number, words in enumerate(spellings):
                ids = [i for word in words for i in vocabulary.encode(word)]
                assert len(ids) == len(words), f"a word of the world is more than one token: {words}"
                found[number, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
            return found

        self._characters = table([(), *((c,) for c in world.CHARACTERS)])
        self._bag = {
            "shape": table([(), *((f" {name}",) for name in world.SHAPES)]),
            "color": table([(), *((f" {name}",) for name in world.COLORS)]),
            "region": table([(), *([f" {word}" for word in name.split()] for name in REGIONS)], 2),
            "character": self._characters,
        }  # fmt: skip
        self._counts = table([(), *((f" {number}",) for number in range(1, 6))])
        self._numbers = table([(f" {number}",) for number in range(0, 1001, 10)])

    def bag(self, labels: dict[str, Tensor]) -> Tensor:
        """Of its shape, colour, place and characters, int64 [pictures, PATCHES, words], -1 for none."""
        found = [table[labels[name].flatten(1, 2).long()].flatten(2) for name, table in self._bag.items()]
        return torch.cat(found, -1)

    def readings(self, labels: dict[str, Tensor]) -> Tensor:
        """Of its box, its text and the counts, as in `READINGS`, int64 [pictures, PATCHES, words], -1 for none."""
        sides = labels["box"].flatten(1, 2)[..., :4]
        hundredths = ((sides + 1) * 50).round().clamp(0, 100).nan_to_num(UNKNOWN).long()
        found = (
            self._numbers[hundredths], self._characters[labels["spelled"].flatten(1, 2).long()],
            self._counts[labels["same"].flatten(1, 2).long()],
        )  # fmt: skip
        return torch.cat(found, 2)[..., 0]


def words_loss(model: DemoModel, words: Words, features: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of each projected patch, read as if it were the language model's last row, against its words.

    A patch of a red circle then lies near " red" and " circle" in the language model's space, so that a word of a
    question finds its patch, and a patch its word of the answer, before either has been learnt from answers. What has
    an order (box, spelling, counts) is read through a matrix for each place in it.

    Args:
        model: whose projector, last norm and embeddings are used.
        words: of its vocabulary.
        features: float [pictures, PATCHES, width].
        labels: tensors by the names of `patches.LABEL_NAMES`, the picture first.
    """
    projected = model.project(features).to(features.dtype)
    bag, readings = (found.to(features.device) for found in (words.bag(labels), words.readings(labels)))
    there = (bag >= 0).any(-1)
    chances = F.log_softmax(model.logits(model.decoder.norm(projected[there])).float(), -1)
    shown = bag[there]
    each = (chances.gather(-1, shown.clamp(min=0)) * (shown >= 0)).sum(-1) / (shown >= 0).sum(-1)
    read = (readings >= 0).any(-1)
    rows = model.heads.reading(projected[read]).view(-1, len(READINGS), projected.shape[-1])
    wanted = readings[read]
    asked = wanted >= 0
    group = torch.tensor(READINGS, device=asked.device).expand_as(asked)[asked]
    logits = model.logits(model.decoder.norm(rows[asked])).float()
    misread = F.cross_entropy(logits, wanted[asked], reduction="none") / group.bincount()[group]
    return misread.sum() / (max(READINGS) + 1) - each.mean()


def middle_loss(
    model: DemoModel, batch: dict[str, Tensor], middle: Tensor, late: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """What the language model is asked on its way, and shares of right ones.

    Where a thing's name ends, how many shapes it fits and the box of the only one; at the second picture of two, what
    is not as in the first; and before the last block, where a second name ends, whether the first thing is left of it
    and above it. To say whether one thing is left of another, it must have found both and compared them; from yes and
    no alone it had not learnt to in two hours.

    Args:
        model: whose heads are asked.
        batch: as `batches.joint` makes it.
        middle: float [rows, LENGTH, width], of the decoder's middle block.
        late: float [rows, LENGTH, width], of the last but one.
    """
    fitting, change = batch["fitting"].long(), batch["change"].long()
    named, altered, there = fitting != UNKNOWN, change != UNKNOWN, ~batch["place"][..., 0].isnan()
    numbers, parts = model.heads.fitting(middle[named]).float(), model.heads.change(middle[altered]).float()
    misplaced = F.smooth_l1_loss(model.heads.place(middle[there]).float(), batch["place"][there], beta=0.05)
    rare = torch.ones(parts.shape[-1], device=parts.device)
    rare[UNCHANGED] = 0.15
    loss = F.cross_entropy(numbers, fitting[named]) + 4 * misplaced
    shares = {
        "fitting": float((numbers.argmax(-1) == fitting[named]).float().mean()),
        "placed": misplaced.item(),
        "beside": math.nan,
        "changes": math.nan,
    }
    told = batch["beside"] != UNKNOWN
    if told.any():
        where = model.heads.beside(late).float()[told]
        truth = batch["beside"][told].float()
        loss = loss + F.binary_cross_entropy_with_logits(where, truth)
        shares["beside"] = float(((where > 0) == (truth > 0)).float().mean())
    if altered.any():
        wanted = change[altered]
        loss = loss + F.cross_entropy(parts, wanted, weight=rare)
        differing = wanted != UNCHANGED
        shares["changes"] = float((parts.argmax(-1) == wanted)[differing].float().mean())
    return loss, shares


def decoded(model: DemoModel, batch: dict[str, Tensor], features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the decoder gives for the rows of a batch: at its end, in the middle, before its last block, each float
    [rows, LENGTH, width].

    Args:
        model: which decodes.
        batch: as `batches.joint` makes it, tensors.
        features: float [pictures, PATCHES, width], of the encoder, of the pictures in it.
    """
    ids, branch = batch["ids"], batch["branch"]
    embedded = model.embedding(ids.flatten()).to(features.dtype)
    patches = model.project(features).to(features.dtype).flatten(0, 1)
    x = embedded.index_copy(0, batch["places"], patches).view(*ids.shape, -1)
    order = torch.arange(LENGTH, device=ids.device)
    seen = (order[:, None] >= order[None]) & ((branch[:, None] == 0) | (branch[:, :, None] == branch[:, None]))
    found: tuple[Tensor, Tensor, Tensor] = model.decoder(x, batch["position"], seen[:, None])
    return found


def answer_logits(model: DemoModel, batch: dict[str, Tensor], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Of the tokens of answers: where they are in the flattened rows without their first column, int64 [tokens], and
    what the model gives there, float [tokens, vocabulary].
    """
    chosen = batch["weight"][:, 1:].flatten().nonzero()[:, 0]
    return chosen, model.logits(hidden[:, :-1].flatten(0, 1)[chosen]).float()


def kept_loss(
    model: DemoModel, before: DemoModel, batch: dict[str, Tensor], features: Tensor
) -> tuple[Tensor, float, Tensor]:
    """`answer_loss`, the share that is right, and how far the model has moved away from one before in rows that this
    one was trained on: the Kullback-Leibler divergence of its tokens' chances from those of the one before, weighted
    alike. So it learns other questions without forgetting the old ones ("Learning without Forgetting",
    arXiv:1606.09282).

    Args:
        model: which learns.
        before: the one before.
        batch: as `batches.joint` makes it, tensors.
        features: float [pictures, PATCHES, width], of the encoder that both have.
    """
    chosen, logits = answer_logits(model, batch, decoded(model, batch, features)[0])
    weight, wanted = (batch[name][:, 1:].flatten()[chosen] for name in ("weight", "ids"))
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weight).sum() / weight.sum()
    right = float((logits.argmax(-1) == wanted).float().mean())
    with torch.no_grad():
        known = answer_logits(before, batch, decoded(before, batch, features)[0])[1]
    old = batch["old"][:, None].expand_as(batch["weight"])[:, 1:].flatten()[chosen] * weight
    old = old * (known.argmax(-1) == wanted)  # what it had wrong is not kept
    apart = F.kl_div(F.log_softmax(logits, -1), F.log_softmax(known, -1), log_target=True, reduction="none").sum(-1)
    return loss, right, (apart * old).sum() / old.sum().clamp(min=1e-6)


def answer_loss(model: DemoModel, batch: dict[str, Tensor], features: Tensor) -> tuple[Tensor, float, Tensor, Tensor]:
    """Cross-entropy of the answers' tokens, weighted by 1/sqrt(length of the answer); the share that is right; and what
    the decoder's middle and last but one block give.
    """
    hidden, middle, late = decoded(model, batch, features)
    weight = batch["weight"][:, 1:].flatten()
    chosen, logits = answer_logits(model, batch, hidden)
    wanted = batch["ids"][:, 1:].flatten()[chosen]
    each = F.cross_entropy(logits, wanted, reduction="none")
    right = float((logits.argmax(-1) == wanted).float().mean())
    return (each * weight[chosen]).sum() / weight.sum(), right, middle, late
