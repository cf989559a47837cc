"""Pairs of published shapes with random weights: they compute as the models do, they know nothing.

`python -m vlmcli.bench.published FOLDER PAIR` writes one, PAIR as `Recipe.parse` reads it. Whoever measures the memory
of its children does it in a process of its own: what a child takes at most begins with what its parent took.

Needs the `gguf` package (the extras `dev` and `bench`).
"""

from __future__ import annotations

import argparse
import ctypes
import os
from pathlib import Path

import gguf
import numpy as np

from vlmcli.bench.pair_maker import BPE_SPECIALS, PICTURE_MARKS
from vlmcli.bench.recipes import QUANTS, Recipe
from vlmcli.engine.native.library import llama
from vlmcli.machine import hollow_gguf
from vlmcli.models import shapes
from vlmcli.models.dimensions import Words
from vlmcli.values import ModelFiles

_CONTROL = 3  # llama.h, enum llama_token_type
_AT_ONCE = 1 << 24  # numbers that are written together
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Takes a turn as a text and as typed parts, so that all contestants write the same prompt."""


def pair(folder: Path, recipe: Recipe) -> ModelFiles:
    """Write a pair, unless it is there.

    No answer of it ends before its time: rows of control tokens are zeros in the output's matrix, too.

    Args:
        folder: where to.
        recipe: what.

    Returns:
        The files. While a language model is quantised, there is room needed for it in F16 as well.
    """
    files = recipe.files(folder)
    words, eyes = recipe.dimensions()
    if not files.projector.exists():
        folder.mkdir(parents=True, exist_ok=True)
        control = model(files.model, words, recipe.quant)
        hollow_gguf.write(shapes.eyes_header(recipe.name, eyes, words.width, "F16"), files.projector)
        _fill(files.projector, control[:0])
    return files


def model(path: Path, words: Words, quant: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Write a language model; returns the ids of its control tokens, int64."""
    vocabulary = hollow_gguf.vocabulary(words, (*BPE_SPECIALS, *PICTURE_MARKS)) | {"tokenizer.chat_template": _TEMPLATE}
    if words.tokenizer:  # libmtmd puts an empty line before SmolVLM's overview, as one token
        vocabulary["tokenizer.ggml.tokens"][-1] = "ĊĊ"
        vocabulary["tokenizer.ggml.merges"].append("Ċ Ċ")
    control = np.flatnonzero(np.array(vocabulary["tokenizer.ggml.token_type"]) == _CONTROL)
    whole = path if quant == "F16" else path.with_suffix(".f16")
    hollow_gguf.write(shapes.words_header(path.stem, words, "F16"), whole, vocabulary)
    _fill(whole, control)
    if quant != "F16":
        quantise(whole, path, quant)
        whole.unlink()
    return control


def quantise(source: Path, target: Path, quant: str) -> None:
    """Write a language model in fewer bits, as llama-quantize does without an importance matrix. Raises OSError."""
    params = llama.llama_model_quantize_default_params()
    params.ftype = QUANTS[quant]
    status = llama.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if status:
        raise OSError(f"{source} cannot be quantised to {quant} ({status})")


def _fill(path: Path, control: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    """Write numbers where `hollow_gguf` has left holes: a short run of random ones, repeated; arithmetic does not care.

    Args:
        path: of the file, which is changed in place.
        control: int64, ids of the tokens whose rows become zeros.
    """
    pool = np.random.default_rng(0).standard_normal((1 << 20) - 1, np.float32)
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        data = tensor.data
        if data.ndim == 1:
            data[...] = 1 if tensor.name.endswith("weight") else 0  # norms and biases
            continue
        columns = data.size // len(data)
        scaled = pool * (1.0 if tensor.name.startswith("token_embd") else columns**-0.5)
        step = max(1, _AT_ONCE // columns)
        for start in range(0, len(data), step):
            rows = data[start : start + step]
            rows[...] = np.resize(np.roll(scaled, -start * columns), rows.shape)
        if tensor.name in ("token_embd.weight", "output.weight"):
            data[control] = 0


def main() -> None:
    """Write one pair."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.published", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pair", metavar="SHAPE:QUANT")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--longest", type=int, default=0)
    options = parser.parse_args()
    pair(options.folder, Recipe.parse(options.pair, options.layers, options.longest))


if __name__ == "__main__":
    main()
