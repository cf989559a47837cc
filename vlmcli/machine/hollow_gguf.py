"""GGUF files of a header's shape whose weights are a hole in the file: all zeros, nothing on the disk.

llama.cpp computes with zeros as fast, and keeps them in as much memory, as any other weights. So a model of a real size
can be measured without one. Format: github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmcli.models import shapes
from vlmcli.models.gguf import Header
from vlmcli.models.shapes import ALIGNMENT, Eyes, Words
from vlmcli.values import ModelFiles

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9  # value types in the file
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # token types; llama.h, enum llama_token_type
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIALS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def pair(
    folder: Path, name: str, words: Words, eyes: Eyes, quant: str, projector: str = "F16", specials: Sequence[str] = ()
) -> ModelFiles:
    """Write a language model and its projector.

    Args:
        folder: where to.
        name: of the pair.
        words: the language model's dimensions.
        eyes: the encoder's.
        quant: of the language model.
        projector: the projector's precision.
        specials: tokens that the projector's family needs in the vocabulary.
    """
    model, mmproj = folder / f"{name}.gguf", folder / f"mmproj-{name}.gguf"
    write(shapes.words_header(name, words, quant), model, vocabulary(words, specials))
    write(shapes.eyes_header(name, eyes, words.width, projector), mmproj)
    return ModelFiles(name, model, mmproj)


def write(header: Header, path: Path, more: Mapping[str, Any] | None = None) -> None:
    """Write a header, and a hole as long as its tensors.

    Args:
        header: whose `metadata` has numbers, texts, and lists of them.
        path: the file.
        more: metadata beside that.
    """
    metadata = {**header.metadata, **(more or {})}
    out = [b"GGUF", struct.pack("<IQQ", 3, len(header.tensors), len(metadata))]
    for key, value in metadata.items():
        out += [_text(key), _value(value)]
    size = 0
    for tensor in header.tensors:
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        out += [_text(tensor.name), dimensions, struct.pack("<IQ", tensor.kind, tensor.offset)]
        size = tensor.offset + tensor.size
    content = b"".join(out)
    data = -(-len(content) // ALIGNMENT) * ALIGNMENT
    with path.open("wb") as file:
        file.write(content)
        file.truncate(data + -(-size // ALIGNMENT) * ALIGNMENT)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, list):
        kind = _kind(value[0])
        return struct.pack("<IIQ", _ARRAY, kind, len(value)) + b"".join(_scalar(one, kind) for one in value)
    kind = _U32 if isinstance(value, int) and not isinstance(value, bool) else _kind(value)
    return struct.pack("<I", kind) + _scalar(value, kind)


def _kind(value: Any) -> int:
    return {bool: _BOOL, int: _I32, float: _F32, str: _STRING}[type(value)]


def _scalar(value: Any, kind: int) -> bytes:
    if kind == _STRING:
        return _text(value)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f", _BOOL: "<?"}[kind], value)


def vocabulary(words: Words, specials: Sequence[str] = ()) -> dict[str, Any]:
    """Metadata of a tokenizer with as many tokens as the embeddings have: bytes, special ones, and words of no use."""
    own = [*dict.fromkeys((*_SPECIALS, *specials))]
    if words.tokenizer:
        tokens = [*byte_letters(), "Ġt", *own]
        types = [_NORMAL] * 257 + [_CONTROL] * len(own)
        found: dict[str, Any] = {
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": words.tokenizer, "tokenizer.ggml.merges": ["Ġ t"],
            "tokenizer.ggml.add_bos_token": False,
        }  # fmt: skip
    else:
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁t", "t", *own]
        types = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256 + [_NORMAL] * 3 + [_CONTROL] * len(own)
        found = {
            "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.add_bos_token": True,
            "tokenizer.ggml.scores": [-float(place) for place in range(words.vocabulary)],
            "tokenizer.ggml.unknown_token_id": 0,
        }  # fmt: skip
    end = tokens.index("<|im_end|>")
    types += [_NORMAL] * (words.vocabulary - len(tokens))
    tokens += [f"word{place}" for place in range(len(tokens), words.vocabulary)]
    return found | {
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types, "tokenizer.chat_template": _TEMPLATE,
        "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>") if words.tokenizer else 1,
        "tokenizer.ggml.eos_token_id": end,
    }  # fmt: skip


def byte_letters() -> list[str]:
    """GPT-2's letter for each of the 256 bytes, in the bytes' order. Source: openai/gpt-2, encoder.py."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (chr(256 + place) for place in range(256 - len(plain)))
    return [chr(byte) if byte in plain else next(others) for byte in range(256)]
