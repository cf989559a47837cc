"""The headers that the files of published models would have: for arithmetic before a download.

Dimensions are in `known_shapes`; tensors are named and laid out as llama.cpp's converters do, and quantised as
llama-quant.cpp mixes types (`word_tensors`, `eye_tensors`). The files themselves may differ a little; what is computed
from them is "about". Writes no files (`machine.hollow_gguf` does).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from vlmcli.models import eye_tensors, word_tensors
from vlmcli.models.dimensions import Eyes, Words
from vlmcli.models.gguf import Header, Tensor
from vlmcli.models.known_shapes import SHAPES
from vlmcli.models.word_tensors import Q4_K

__all__ = ["ALIGNMENT", "Q4_K", "SHAPES", "Eyes", "Words", "eyes_header", "headers", "words_header"]

_FILE_TYPE = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15, "IQ2_M": 29}  # llama.h, enum llama_ftype
_OTHERS = {"BF16": "F16"}
ALIGNMENT = 32  # bytes between tensors
_TOKEN_BYTES = 45  # of a header for each token of a vocabulary, with its merge or score


@cache
def headers(name: str, quant: str = "Q4_K_M", projector: str = "F16") -> tuple[Header, Header]:
    """The headers of a language model and its projector.

    Args:
        name: in SHAPES.
        quant: F16, which stands for BF16 as well, Q8_0, IQ2_M, or Q4_K_M, which stands for every other.
        projector: F16 or Q8_0.
    """
    words, eyes = SHAPES[name]
    return words_header(name, words, quant), eyes_header(name, eyes, words.width, projector)


def words_header(name: str, words: Words, quant: str) -> Header:
    """The header that a language model of these dimensions would have, in a quantisation as `headers` takes it."""
    quant = _OTHERS.get(quant.upper(), quant.upper())
    quant = quant if quant in _FILE_TYPE else "Q4_K_M"
    metadata = {"general.architecture": words.arch, "general.name": name, "general.file_type": _FILE_TYPE[quant]}
    metadata |= {f"{words.arch}.{key}": value for key, value in word_tensors.metadata(words).items()}
    kinds = (
        (tensor, shape, word_tensors.kind(tensor, shape, words, quant)) for tensor, shape in word_tensors.tensors(words)
    )
    return _header(f"{name}-{quant}.gguf", metadata, kinds, words.vocabulary * _TOKEN_BYTES)


def eyes_header(name: str, eyes: Eyes, text_width: int, quant: str) -> Header:
    """The header of a vision encoder and its projector, for a language model whose rows have `text_width` numbers."""
    metadata = {"general.file_type": _FILE_TYPE[quant], **eye_tensors.metadata(eyes, text_width)}
    kinds = (
        (tensor, shape, eye_tensors.kind(tensor, shape, quant))
        for tensor, shape in eye_tensors.tensors(eyes, text_width)
    )
    return _header(f"mmproj-{name}-{quant}.gguf", metadata, kinds, 0)


def _header(
    name: str, metadata: dict[str, Any], kinds: Iterator[tuple[str, tuple[int, ...], int]], vocabulary: int
) -> Header:
    tensors, offset = [], 0
    for tensor, shape, kind in kinds:
        tensors.append(Tensor(tensor, shape, kind, offset))
        offset += -(-tensors[-1].size // ALIGNMENT) * ALIGNMENT
    data = 4096 + 64 * len(tensors) + vocabulary
    return Header(Path(name), metadata, tuple(tensors), data, data + offset)
