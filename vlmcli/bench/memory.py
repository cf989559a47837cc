"""`python -m vlmcli.bench.memory`: what `fit.needs` predicts beside what a process takes, for models of real shapes.

Each pair is written with zeros for weights (`hollow_gguf`), and asked about a picture of its encoder's size in a
process of its own; what that took is its peak of resident memory, less what Python and the libraries took before the
model. Linux.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from vlmcli.bench.pair_maker import BPE_SPECIALS, PICTURE_MARKS
from vlmcli.engine import Engine
from vlmcli.engine.place import this_machine
from vlmcli.machine import fit, hollow_gguf
from vlmcli.models import gguf, shapes
from vlmcli.pictures import images
from vlmcli.values import Answer, Message, ModelFiles, Request

NAMES = (
    "smolvlm2-256m", "smolvlm2-500m", "lfm2-vl-450m", "internvl3-1b", "internvl3-2b", "smolvlm2-2.2b", "qwen2-vl-2b",
    "qwen3-vl-2b", "qwen2.5-vl-3b", "gemma-3-4b", "llava-1.5-7b", "lfm2.5-vl-450m", "qwen3.5-0.8b", "paddleocr-vl-1.6",
    "glm-ocr",
)  # fmt: skip
GOOD = 0.10
"""How far from the prediction counts as right, as a part of what was taken."""
MB = 1_000_000


def main() -> None:
    """Write each pair, predict and measure its memory, and print a line of it."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.memory", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="SHAPE", help=f"of {', '.join(shapes.SHAPES)}")
    parser.add_argument("--quant", default="Q4_K_M", help="of the language models: F16, Q8_0, Q4_K_M")
    parser.add_argument("--ctx", type=int, default=0, help="cells; by default what fit chooses")
    parser.add_argument("--child", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child, options.names[0], options.ctx)
        return
    sys.stdout.write(f"{'':15}{'predicted, MB':>15}{'taken, MB':>12}{'ratio':>7}  why\n")
    ratios = []
    for name in options.names or NAMES:
        with tempfile.TemporaryDirectory(prefix="vlm-memory-") as folder:
            words, eyes = shapes.SHAPES[name]
            hollow_gguf.pair(Path(folder), name, words, eyes, options.quant, specials=(*BPE_SPECIALS, *PICTURE_MARKS))
            command = [sys.executable, "-m", __spec__.name, name, "--child", folder, "--ctx", str(options.ctx)]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        ratios.append(found["predicted"] / found["taken"])
        predicted, taken = (found[key] / MB for key in ("predicted", "taken"))
        sys.stdout.write(f"{name:15}{predicted:15.0f}{taken:12.0f}{ratios[-1]:7.2f}  {found['why']}\n")
        sys.stdout.flush()
    within = sum(abs(ratio - 1) <= GOOD for ratio in ratios)
    sys.stdout.write(f"{within} of {len(ratios)} within {GOOD:.0%}\n")


def _child(folder: Path, name: str, ctx: int) -> None:
    """Ask one question here, and print the bytes predicted and taken as JSON."""
    files = ModelFiles(name, folder / f"{name}.gguf", folder / f"mmproj-{name}.gguf")
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    chosen = fit.fit(model, this_machine(), ctx, projector=projector)
    needed = fit.needs(model, projector, chosen)
    side = min(projector.number("vision.image_size"), 1024) or fit.ANY_SIDE
    picture = images.from_pixels(bytes(side * side * 3), (side, side), "black.png")
    before = _resident("VmRSS")
    with Engine(files, chosen) as engine:
        engine.ready()
        (outcome,) = engine.run([Request((Message("user", (picture, "what is this?")),), max_tokens=4)])
    if not isinstance(outcome, Answer):
        raise SystemExit(str(outcome))
    taken = _resident("VmHWM") - before
    result = {"predicted": needed.total - fit.PROCESS, "taken": taken, "why": chosen.reason, "needs": str(needed)}
    sys.stdout.write(json.dumps(result) + "\n")


def _resident(key: str) -> int:
    """Bytes of resident memory, now or at most."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key + ":"))


if __name__ == "__main__":
    main()
