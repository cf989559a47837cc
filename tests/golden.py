"""What upstream's own tool answers about the families' small pairs: `python -m tests.golden TOOL [NAME …]`.

TOOL is `llama-mtmd-cli`, built from the source archive of the bindings that pyproject.toml pins:

    cmake -B build -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF && cmake --build build --target
    llama-mtmd-cli

in its folder vendor/llama.cpp. The answers go to tests/engine/golden_families.json; those of pairs that are not named
stay as they are. A CPU that multiplies bfloat16 rounds differently: what only such a one answers goes to
golden_families_bf16.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vlmcli.bench import families
from vlmcli.engine import native

FILE = Path(__file__).parent / "engine" / "golden_families.json"
FILE_BF16 = FILE.with_stem("golden_families_bf16")
BF16 = "AVX512_BF16" in native.versions()["features"]
"""Whether this CPU multiplies bfloat16."""
QUESTIONS = ("what is this?", "Describe this image in detail, please.")
SIZES = {"small": (90, 70), "large": (1100, 640)}
"""A small picture, and one that is cut into tiles where a family does that."""
TOKENS = 24
MORE = {"cogvlm": ("-ub", "1")}
"""More arguments, without which the tool answers wrongly: of CogVLM's graph it takes the logits of the first row."""
TRIES = 20
"""The tool may end before the thread that writes its answer has: then the two newlines after it are missing."""


def picture(name: str, folder: Path) -> Path:
    """A picture of `SIZES` as a PNG file: a gradient with noise, the same everywhere."""
    width, height = SIZES[name]
    chance = np.random.default_rng(list(name.encode()))
    across = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    pixels = (across + chance.integers(0, 56, (height, width, 3))).astype(np.uint8)
    path = folder / f"{name}.png"
    Image.fromarray(pixels).save(path)
    return path


def cases(together: bool) -> list[tuple[str, tuple[str, ...], str]]:
    """(what it is called, pictures, question) of each answer of a pair."""
    found = [(f"{size}: {question}", (size,), question) for size in SIZES for question in QUESTIONS]
    return [*found, (f"both: {QUESTIONS[0]}", tuple(SIZES), QUESTIONS[0])] if together else found


def answer(tool: str, folder: Path, name: str, pictures: tuple[str, ...], question: str) -> str:
    """The bytes of the tool's answer in hex, without white space around them. Raises RuntimeError where it failed."""
    images = [word for one in pictures for word in ("--image", str(picture(one, folder)))]
    command = [
        tool, "-m", str(folder / f"{name}.gguf"), "--mmproj", str(folder / f"mmproj-{name}.gguf"), *images,
        "-p", question, "-n", str(TOKENS), "--temp", "0", "--top-k", "1", "--jinja", "-c", "16384", "-t", "2",
        *MORE.get(name, ()),
    ]  # fmt: skip
    for _ in range(TRIES):
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise RuntimeError(f"{name}: {tool} ended with {done.returncode}: {said[-600:]}")
        if done.stdout.endswith(b"\n\n"):
            return done.stdout.strip().hex()
    raise RuntimeError(f"{name}: {tool} never wrote its whole answer")


def known() -> dict[str, dict[str, str]]:
    """The tool's answers on a CPU like this one, in hex, by pairs and cases."""
    kept: dict[str, dict[str, str]] = _read(FILE)
    if BF16:
        for name, answers in _read(FILE_BF16).items():
            kept[name] |= answers
    return kept


def _read(file: Path) -> dict[str, dict[str, str]]:
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def main() -> None:
    """Ask the tool, and write its answers down."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.split(":")[0])
    parser.add_argument("tool")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    kept = known()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names or families.PAIRS:
            folder = families.write(Path(temporary), [name])
            asked = cases(families.PAIRS[name]().together)
            kept[name] = {
                called: answer(options.tool, folder, name, some, question) for called, some, question in asked
            }
            sys.stderr.write(f"{name}: {len(asked)} answers\n")
    ordered = {name: kept[name] for name in families.PAIRS if name in kept}
    file = FILE
    if BF16:
        usual, file = _read(FILE), FILE_BF16
        new = {name: dict(found.items() - usual.get(name, {}).items()) for name, found in ordered.items()}
        ordered = {name: found for name, found in new.items() if found}
    file.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
