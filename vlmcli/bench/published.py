"""Pairs of published shapes in F16 with random weights: they compute as the models do, they know nothing.

Needs the `gguf` package (the extras `dev` and `bench`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np

from vlmcli.bench.pair_maker import BPE_SPECIALS
from vlmcli.machine import hollow_gguf
from vlmcli.models import shapes
from vlmcli.values import ModelFiles

_CONTROL = 3  # llama.h, enum llama_token_type
_LONGEST = "preproc_image_size"
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Takes a turn as a text and as typed parts, so that all contestants write the same prompt."""


def pair(folder: Path, name: str, longest: int = 0) -> ModelFiles:
    """Write a pair, unless it is there.

    No answer of it ends before its time: rows of control tokens are zeros in the output's matrix, too.

    Args:
        folder: where to.
        name: of `shapes.SHAPES`.
        longest: side in pixels that SmolVLM's preprocessing scales a picture to before it cuts it into tiles; 0 for
            the published one.
    """
    words, eyes = shapes.SHAPES[name]
    if longest:
        keys = tuple((key, longest if key == _LONGEST else value) for key, value in eyes.keys)
        eyes, name = replace(eyes, keys=keys), f"{name}-{longest}"
    files = ModelFiles(name, folder / f"{name}.gguf", folder / f"mmproj-{name}.gguf")
    if not files.projector.exists():
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary = hollow_gguf.vocabulary(words, BPE_SPECIALS) | {"tokenizer.chat_template": _TEMPLATE}
        if words.tokenizer:  # libmtmd puts an empty line before SmolVLM's overview, as one token
            vocabulary["tokenizer.ggml.tokens"][-1] = "ĊĊ"
            vocabulary["tokenizer.ggml.merges"].append("Ċ Ċ")
        hollow_gguf.write(shapes.words_header(name, words, "F16"), files.model, vocabulary)
        hollow_gguf.write(shapes.eyes_header(name, eyes, words.width, "F16"), files.projector)
        _fill(files.model, np.flatnonzero(np.array(vocabulary["tokenizer.ggml.token_type"]) == _CONTROL))
        _fill(files.projector, np.zeros(0, np.int64))
    return files


def _fill(path: Path, control: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    """Write numbers where `hollow_gguf` has left holes: a short run of random ones, repeated; arithmetic does not care.

    Args:
        path: of the file, which is changed in place.
        control: int64, ids of the tokens whose rows become zeros.
    """
    pool = np.random.default_rng(0).standard_normal((1 << 20) - 1)
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        data = tensor.data
        if data.ndim == 1:
            data[...] = 1 if tensor.name.endswith("weight") else 0  # norms and biases
            continue
        columns = data.size // len(data)
        scale = 1.0 if tensor.name.startswith("token_embd") else columns**-0.5
        data[...] = np.resize(pool, data.shape) * scale
        if tensor.name in ("token_embd.weight", "output.weight"):
            data[control] = 0
