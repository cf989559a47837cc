"""Train the demo model from scratch: `python -m vlmcli.demo.training.train --minutes 240`.

First the encoder alone, asked about each patch; then everything together. The rate of learning stays level until the
last part of a run, where it falls to nothing; what is kept from before that fall (`steady.pt`) is where `--resume`
goes on, so that more minutes can be added later. `final.pt` is what `vlmcli.demo.training.export` wants.

The same seed and numbers of steps give the same batches; the weights of a run that was not broken off are then the same
up to the order in which a machine adds numbers. `--resume` begins with no pictures to show again, and warms up anew.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vlmcli.demo import FOLDER
from vlmcli.demo.training import (
    batches,
    export,
    losses,
    tokenizer,
)
from vlmcli.demo.training.model import DemoModel
from vlmcli.demo.training.muon import Muon
from vlmcli.demo.training.patches import LABEL_NAMES, PATCHES, LabelledPicture
from vlmcli.demo.training.rows import Writer
from vlmcli.demo.training.tokenizer import Vocabulary

ALONE_RATE, RATE, ENCODER_RATE = 1.5e-3, 2e-3, 8e-4
"""Of learning, for both optimizers: while the encoder learns alone; then together, for the language model and for the
encoder, which faster steps would throw back behind what it can already see."""
LANGUAGE_RATE, LANGUAGE_WARM_UP = 1e-3, 40
"""Of the language model where it learns alone: the highest rate, which falls along a cosine, and steps before it."""
KEPT_SHARE = 1.0
"""Weight of what keeps the language model near to what it was before, where it learns alone."""
WARM_UP = 150
"""Steps at the start of each phase in which the rate grows."""
HEADS_SHARE, WORDS_SHARE, MIDDLE_SHARE = 0.4, 0.3, 0.3
"""Weights of the encoder's own labels, of its patches' words and of what the language model is asked half-way, while
everything trains together."""
REPLAYED = 4096
"""Pictures that are kept to be shown to the encoder again."""
FRESH = 20
"""New pictures in a step of the encoder alone."""
NEW = 36
"""New pictures in a step of everything together: those with questions, then others for the encoder alone."""
DEAF = 150
"""Steps together in which the encoder does not hear of what is new, and still noise: the answers, or its labels' heads
where a finished model is trained further."""


# --- Batches from another process ---


class _Steps(Dataset[Any]):
    """Training step number → its batch."""

    def __init__(self, seed: int, vocabulary: str | None, spare: bool = True) -> None:
        """With `spare`, there are pictures for the encoder alone, too."""
        self._seed, self._text, self._spare = seed, vocabulary, spare
        self._writer: Writer | None = None
        self._pad = 0

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        if self._text is None:
            return _stacked(batches.encoder_only(self._seed, step, FRESH))
        if self._writer is None:
            vocabulary = Vocabulary(self._text)
            self._writer, self._pad = Writer(vocabulary), vocabulary.pad
        arrays, pictures = batches.joint(self._writer, self._pad, self._seed, step, half=not self._spare)
        arrays = {name: torch.from_numpy(array) for name, array in arrays.items()}
        others = batches.encoder_only(self._seed, step, NEW - len(pictures), pages=0.5) if self._spare else []
        return {**arrays, **_stacked(pictures + others)}


def _stacked(pictures: list[LabelledPicture]) -> dict[str, Tensor]:
    """Pixels and labels of pictures as tensors with the picture first."""
    found = {"pixels": torch.from_numpy(np.stack([pixels for pixels, _ in pictures]))}
    for name in LABEL_NAMES:
        found[name] = torch.from_numpy(np.stack([np.asarray(getattr(labels, name)) for _, labels in pictures]))
    return found


def _stream(seed: int, vocabulary: str | None, start: int) -> Iterator[dict[str, Tensor]]:
    loader = DataLoader(
        _Steps(seed, vocabulary), batch_size=None, sampler=range(start, 10**9), num_workers=1, prefetch_factor=6
    )
    return iter(loader)


def _alone(seed: int, vocabulary: str, start: int) -> Iterator[dict[str, Tensor]]:
    """Half batches without pictures to spare, made in this process: one core is enough."""
    steps = _Steps(seed, vocabulary, spare=False)
    return map(steps.__getitem__, count(start))


class _Memory:
    """The last pictures, to be shown to the encoder again: drawing costs more than looking."""

    def __init__(self, seed: int) -> None:
        self._kept: dict[str, Tensor] = {}
        self._next = self._count = 0
        self._chance = torch.Generator().manual_seed(seed)

    def keep(self, pictures: dict[str, Tensor]) -> None:
        for i in range(len(pictures["pixels"])):
            for name in ("pixels", *LABEL_NAMES):
                value = pictures[name][i]
                if name not in self._kept:
                    self._kept[name] = torch.zeros((REPLAYED, *value.shape), dtype=value.dtype)
                self._kept[name][self._next] = value
            self._next = (self._next + 1) % REPLAYED
            self._count = min(self._count + 1, REPLAYED)

    def some(self, count: int) -> dict[str, Tensor]:
        chosen = torch.randint(0, self._count, (count,), generator=self._chance)
        return {name: values[chosen] for name, values in self._kept.items()}


# --- The run ---


def optimizers(model: DemoModel, kind: torch.dtype = torch.float32) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices (its products in numbers of `kind`), AdamW for the rest; decay for matrices only.

    The groups of the encoder's weights have the entry `encoder`, so that they can have a rate of their own.
    """
    inside: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    matrices: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    rest: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "blocks" in name:
            kept = inside
        elif weight.dim() == 2 and "position" not in name and "embedding" not in name:
            kept = matrices
        else:
            kept = rest
        kept[name.startswith("encoder")].append(weight)

    def groups(kept: dict[bool, list[nn.Parameter]], decay: float) -> list[dict[str, Any]]:
        return [{"params": weights, "encoder": own, "weight_decay": decay} for own, weights in kept.items()]

    others = groups(matrices, 0.05) + groups(rest, 0.0)
    return [
        Muon(groups(inside, 0.05), lr=RATE, kind=kind),
        torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.98), fused=True),
    ]


def language_optimizer(model: DemoModel) -> torch.optim.Optimizer:
    """AdamW for the language model alone, the rest frozen; on small batches Muon would cost a third of a step."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.startswith(("decoder", "embedding")))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if (w.dim() == 2) == matrix], "encoder": False, "weight_decay": 0.02 * matrix}
        for matrix in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=LANGUAGE_RATE, betas=(0.9, 0.98), fused=True)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is worth its rounding: on a GPU, and on CPUs whose products of matrices are faster in it."""
    return device.type != "cpu" or _seconds(torch.bfloat16) * 1.5 < _seconds(torch.float32)


def _seconds(kind: torch.dtype) -> float:
    """Least time of a few products of matrices of the size that training has."""
    a, b = torch.ones(4096, 192, dtype=kind), torch.ones(192, 512, dtype=kind)
    taken = []
    for _ in range(12):
        start = time.perf_counter()
        torch.mm(a, b)
        taken.append(time.perf_counter() - start)
    return min(taken)


@dataclass
class Plan:
    """How long to train: steps of the encoder alone, level steps, falling steps; or minutes for the last two."""

    encoder: int
    level: int | None
    falling: int | None
    minutes: float
    cosine: bool = False
    """Whether the rate falls all the time, along a cosine, where minutes are given."""

    def pace(self, step: int, begun: int, seconds: float) -> tuple[float, bool]:
        """(the share of the full rate, whether it falls) of a step together. `begun`: the first of this run."""
        warm = min(1.0, (step - begun + 1) / (LANGUAGE_WARM_UP if self.cosine else WARM_UP))
        if self.level is not None and self.falling is not None:
            over = step - self.level
            return (warm, False) if over < 0 else (max(0.0, 1 - over / max(1, self.falling)), True)
        part = seconds / (self.minutes * 60)
        if self.cosine:
            return (warm * 0.5 * (1 + math.cos(math.pi * min(1.0, part))), part >= 1)
        return (warm, False) if part < 0.78 else (max(0.0, (1 - part) / 0.22), True)


LOGGED = ("phase", "step", "seconds", "loss", "right", "words", "heads", "characters", "shapes", "order", "most", "off",
          "fitting", "placed", "beside", "changes", "apart")  # fmt: skip
"""Columns of log.csv: means of the last 100 steps."""


class Trainer:
    """One run and its files: `steady.pt`, `final.pt`, `log.csv`, `loss.png` in a folder."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        device: str,
        resume: bool,
        further: Path | None = None,
        language_only: bool = False,
    ) -> None:
        """Args:
        folder: for the run's files; with `resume` it goes on from `steady.pt` there.
        further: a folder with an exported pair to start from, instead of from nothing.
        language_only: nothing else is trained: the vision side stays as it is, and nothing is compiled.
        """
        self.folder, self.seed, self.device = folder, seed, torch.device(device)
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        kept: dict[str, Any] = {}
        self.further = further is not None
        if resume:
            kept = torch.load(folder / "steady.pt", map_location="cpu", weights_only=True)
            self.further = kept["further"]
        if further and not resume:
            self.model, self.vocabulary = export.read(further)
        else:
            self.vocabulary = Vocabulary(kept["vocabulary"]) if kept else tokenizer.build()
            self.model = DemoModel(self.vocabulary.size)
        self.model.to(self.device)
        self._bf16 = has_fast_bf16(self.device)
        if language_only:
            self.optimizers = [language_optimizer(self.model)]
        else:
            self.optimizers = optimizers(self.model, torch.bfloat16 if self._bf16 else torch.float32)
        self.words = losses.Words(self.vocabulary)
        self.memory = _Memory(seed)
        self.encoder_step, self.step, self.seconds = 0, 0, 0.0
        if kept:
            self.seed = kept["seed"]
            self.model.load_state_dict(kept["model"])
            for optimizer, state in zip(self.optimizers, kept["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.encoder_step, self.step, self.seconds = kept["encoder_step"], kept["step"], kept["seconds"]
        if not language_only:
            self.model.encoder.compile()
            self.model.decoder.compile()
        self._begun = time.monotonic()
        self._log: list[dict[str, float]] = []
        self._shown = 0.0

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16)

    def save(self, name: str) -> None:
        """The run so far, put in place in one move."""
        state = {
            "vocabulary": self.vocabulary.json,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "seed": self.seed, "further": self.further, "encoder_step": self.encoder_step, "step": self.step,
            "seconds": self.seconds + time.monotonic() - self._begun,
        }  # fmt: skip
        torch.save(state, self.folder / f".{name}")
        (self.folder / f".{name}").replace(self.folder / name)

    def _update(self, loss: Tensor, rate: float, encoder_rate: float) -> None:
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = encoder_rate if group["encoder"] else rate
            optimizer.step()

    def _report(self, phase: str, step: int, values: dict[str, float], force: bool = False) -> None:
        self._log.append({"step": step, "seconds": self.seconds + time.monotonic() - self._begun, **values})
        if not force and time.monotonic() - self._shown < 20:
            return
        self._shown = time.monotonic()
        recent = self._log[-100:]
        known = {
            name: [v for v in (line.get(name, math.nan) for line in recent) if not math.isnan(v)] for name in values
        }
        means = {name: sum(those) / len(those) if those else math.nan for name, those in known.items()}
        line = {"phase": phase, "step": step, "seconds": round(self._log[-1]["seconds"]),
                **{name: round(value, 4) for name, value in means.items()}}  # fmt: skip
        new = not (self.folder / "log.csv").exists()
        with (self.folder / "log.csv").open("a", newline="") as file:
            writer = csv.DictWriter(file, LOGGED)
            if new:
                writer.writeheader()
            writer.writerow(line)
        text = "  ".join(f"{name} {value}" for name, value in line.items() if name != "phase")
        sys.stderr.write(f"{phase}: {text}\n")
        sys.stderr.flush()

    def language_alone(self, plan: Plan, peak: float) -> None:
        """Teach the language model further what to answer; what the encoder and the projector give stays as it is.

        What the pair in the package knows is kept near (`losses.kept_loss`), whichever pair it starts from.

        It costs half of a step of everything together, and one core. The labels on the way are left out.
        """
        stream = _alone(self.seed, self.vocabulary.json, self.step)
        before = export.read(FOLDER)[0].to(self.device).eval().requires_grad_(requires_grad=False)
        begun = self.step
        start = saved = time.monotonic()
        while True:
            share, over = plan.pace(self.step, begun, time.monotonic() - start)
            if over:
                break
            if time.monotonic() - saved > 300:
                saved = time.monotonic()
                self.save("steady.pt")
            batch = {name: value.to(self.device) for name, value in next(stream).items()}
            with self._autocast():
                with torch.no_grad():
                    features = self.model.encoder(batch["pixels"])
                loss, right, apart = losses.kept_loss(self.model, before, batch, features)
            self._update(loss + KEPT_SHARE * apart, peak * share, 0.0)
            self.step += 1
            self._report("language", self.step, {"loss": loss.item(), "right": right, "apart": apart.item()})
        self.save("final.pt")
        sys.stderr.write(f"final.pt: {self.step} steps of the language model\n")

    def encoder_alone(self, steps: int) -> None:
        """Teach the encoder what each patch shows."""
        if self.encoder_step >= steps:
            return
        stream = _stream(self.seed, None, self.encoder_step)
        while self.encoder_step < steps:
            fresh = next(stream)
            self.memory.keep(fresh)
            old = self.memory.some(batches.ENCODER_BATCH - FRESH)
            batch = {name: torch.cat([fresh[name], old[name]]).to(self.device) for name in old}
            with self._autocast():
                features = self.model.encoder(batch["pixels"])
                loss, shares = losses.heads_loss(self.model, features, batch)
                named = losses.words_loss(self.model, self.words, features, batch)
            share = min(1.0, (self.encoder_step + 1) / WARM_UP, (steps - self.encoder_step) / (0.2 * steps) + 0.1)
            self._update(loss + named, ALONE_RATE * share, ALONE_RATE * share)
            self.encoder_step += 1
            self._report("encoder", self.encoder_step, {"words": named.item(), "heads": loss.item(), **shares})
            if self.encoder_step % 500 == 0:
                self.save("steady.pt")
        self.save("steady.pt")

    def together(self, plan: Plan) -> None:
        """Teach the whole model to answer."""
        stream = _stream(self.seed, self.vocabulary.json, self.step)
        begun, start, falling, saved = self.step, time.monotonic(), False, time.monotonic()
        while True:
            share, falls = plan.pace(self.step, begun, time.monotonic() - start)
            if share <= 0 and falls:
                break
            if (falls and not falling) or (not falls and time.monotonic() - saved > 300):
                falling, saved = falls, time.monotonic()
                self.save("steady.pt")
            batch = next(stream)
            asked = len(batch["places"]) // PATCHES
            fresh = {name: batch[name] for name in ("pixels", *LABEL_NAMES)}
            self.memory.keep(fresh)
            old = self.memory.some(batches.PICTURES - NEW)
            pictures = {name: torch.cat([fresh[name], old[name]]).to(self.device) for name in fresh}
            batch = {name: value.to(self.device) for name, value in batch.items() if name not in fresh}
            with self._autocast():
                features = self.model.encoder(pictures["pixels"])
                known, new = features, features.detach() if self.step < DEAF else features
                labelled, shown = (new, known) if self.further else (known, new)
                own, shares = losses.heads_loss(self.model, labelled, pictures)
                loss, right, middle, late = losses.answer_loss(self.model, batch, shown[:asked])
                half, found = losses.middle_loss(self.model, batch, middle, late)
                named = losses.words_loss(self.model, self.words, features, pictures)
            taught = HEADS_SHARE * own + WORDS_SHARE * named + MIDDLE_SHARE * half
            self._update(loss + taught, RATE * share, ENCODER_RATE * share)
            self.step += 1
            self._report("together", self.step, {"loss": loss.item(), "right": right, "words": named.item(),
                                                 "heads": own.item(), **shares, **found})  # fmt: skip
        self._report("together", self.step, {"loss": loss.item(), "right": right}, force=True)
        self.save("final.pt")
        sys.stderr.write(f"final.pt: {self.encoder_step} steps of the encoder, {self.step} together\n")


def plot(folder: Path) -> None:
    """Draw the losses in a folder's log.csv as loss.png."""
    from matplotlib import pyplot

    with (folder / "log.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for phase, column, axis in (("encoder", "heads", left), ("together", "loss", right)):
        points = [(float(line["seconds"]) / 60, float(line[column])) for line in lines if line["phase"] == phase]
        axis.plot(*zip(*points, strict=True), color="#1f5fa8")
        axis.set_yscale("log")
        axis.set_xlabel("minutes")
        axis.grid(alpha=0.3, which="both")
    left.set_title("the encoder alone: loss of its patches' labels")
    right.set_title("together: cross-entropy of the answers")
    figure.tight_layout()
    figure.savefig(folder / "loss.png", dpi=90)


def main() -> None:
    """Train as the arguments say, and draw the curve of the loss."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.demo.training.train", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=240, help="for training everything together (default 240)")
    parser.add_argument("--encoder-steps", type=int, default=3000, help="for the encoder alone first (default 3000)")
    parser.add_argument("--level-steps", type=int, help="instead of minutes: up to this step at the full rate …")
    parser.add_argument("--falling-steps", type=int, help="… then so many at a falling one")
    parser.add_argument("--resume", action="store_true", help="go on from steady.pt in the folder")
    parser.add_argument(
        "--further", type=Path, metavar="PAIR", nargs="?", const=FOLDER,
        help="start from a folder's exported files, by default the package's; take another seed",
    )  # fmt: skip
    parser.add_argument("--language-only", action="store_true", help="train the language model alone, with --further")
    parser.add_argument("--rate", type=float, default=LANGUAGE_RATE, help="the highest of --language-only")
    parser.add_argument("--folder", type=Path, default=Path("demo-training"), help="for checkpoints and the log")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for PyTorch on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        trainer = Trainer(options.folder, options.seed, options.device, options.resume, options.further,
                          language_only=options.language_only)  # fmt: skip
    except (OSError, ValueError) as error:
        parser.error(str(error))
    plan = Plan(options.encoder_steps, options.level_steps, options.falling_steps, options.minutes)
    if options.language_only:
        plan.cosine = True
        trainer.language_alone(plan, options.rate)
        return
    if not trainer.further:
        trainer.encoder_alone(plan.encoder)
    trainer.together(plan)
    plot(options.folder)


if __name__ == "__main__":
    main()
