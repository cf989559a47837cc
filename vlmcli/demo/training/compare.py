"""Do llama.cpp and PyTorch give the same answers? `python -m vlmcli.demo.training.compare`.

Asks an exported pair in PyTorch (its weights as float32, greedy) and through the engine, and counts equal texts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vlmcli.demo import FOLDER
from vlmcli.demo.training import accuracy, export
from vlmcli.demo.training.cases import held_out
from vlmcli.demo.training.model import DemoModel
from vlmcli.demo.training.patches import view
from vlmcli.demo.training.tokenizer import Vocabulary
from vlmcli.engine import Engine
from vlmcli.values import ModelFiles


@torch.no_grad()
def prompt(model: DemoModel, vocabulary: Vocabulary, paths: Sequence[Path], question: str) -> Tensor:
    """A question about pictures as embeddings, float32 [1, tokens, width]."""
    pixels = torch.stack([torch.tensor(view(Image.open(path).convert("RGB"))) for path in paths])
    patches = model.project(model.encoder(pixels)).flatten(0, 1)
    encode = vocabulary.encode
    before = model.embedding(torch.tensor([vocabulary.start, *encode("user\n")]))
    turn = [*encode(question), vocabulary.stop, *encode("\n"), vocabulary.start, *encode("assistant\n")]
    return torch.cat([before, patches, model.embedding(torch.tensor(turn))])[None]


@torch.no_grad()
def next_logits(model: DemoModel, x: Tensor) -> Tensor:
    """Logits float32 [vocabulary] of what follows embeddings [1, tokens, width]; no cache, so slow."""
    count = x.shape[1]
    seen = torch.ones(1, 1, count, count, dtype=torch.bool).tril()
    return model.logits(model.decoder(x, torch.arange(count)[None], seen)[0][0, -1])


def greedy(model: DemoModel, vocabulary: Vocabulary, paths: Sequence[Path], question: str, limit: int = 256) -> str:
    """PyTorch's answer to a question about pictures."""
    x = prompt(model, vocabulary, paths, question)
    said: list[int] = []
    while len(said) < limit:
        token = int(next_logits(model, x).argmax())
        if token in (vocabulary.stop, vocabulary.end):
            break
        said.append(token)
        x = torch.cat([x, model.embedding.weight[token].detach()[None, None]], 1)
    return vocabulary.decode(said)


def main() -> None:
    """Ask both, count equal answers, and print some that differ."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.demo.training.compare", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="default: the package's")
    parser.add_argument("--pictures", type=int, default=60, help="scenes, eight questions about each (default 60)")
    parser.add_argument("--show", type=int, default=10, help="print so many answers that differ")
    options = parser.parse_args()
    model, vocabulary = export.read(options.folder, calibrated=True)
    files = ModelFiles("demo", *(options.folder / name for name in export.FILE_NAMES))
    with tempfile.TemporaryDirectory(prefix="vlm-demo-") as temporary:
        cases = [case for case in held_out(Path(temporary), options.pictures) if case.before is None]
        engine = Engine(files)
        try:
            native = accuracy.answers(engine, cases)
        finally:
            engine.close()
        torch_said = [greedy(model, vocabulary, case.pictures, case.item.question) for case in cases]
    differing = [(c, n, t) for c, n, t in zip(cases, native, torch_said, strict=True) if n != t]
    print(f"{len(cases) - len(differing)} of {len(cases)} answers are equal")  # noqa: T201 — the command's output
    for case, one, other in differing[: options.show]:
        print(f"{case.item.question}\n  llama.cpp {one!r}\n  PyTorch   {other!r}")  # noqa: T201


if __name__ == "__main__":
    main()
