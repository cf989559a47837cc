"""Writes one family's pair of GGUF files: a language model and a projector of random weights, from keys and shapes.

Each tensor has random numbers of its own, which follow from the seed, the pair's name and the tensor's: a pair is the
same whatever else is written, and a tensor that is added changes no other. Needs the `gguf` package (the extras `dev`
and `bench`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import gguf
import numpy as np

from vlmcli.bench.pair_maker import BPE_MERGES, CHATML, SPM_PIECES, Array
from vlmcli.machine.hollow_gguf import byte_letters


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape and how its numbers are drawn.

    Attributes:
        shape: its last dimension is ggml's first: (rows, columns) for a matrix. -1 stands for the vocabulary's size.
        scale: deviation of the numbers; 0 for what its name and dimensions suggest.
        about: their mean; None for what the name suggests: 1 for a norm's weight, else 0.
        kind: "F32", "F16"; empty for F16 where it is a matrix, else F32; "I32" for rows of different integers, which
            are below `scale`.
        rows: what each row is multiplied by; empty for nothing.
        given: the numbers themselves, where they are not drawn.
    """

    shape: tuple[int, ...]
    scale: float = 0.0
    about: float | None = None
    kind: str = ""
    rows: Sequence[float] = ()
    given: Sequence[float] = ()


Tensors = Mapping[str, "tuple[int, ...] | Tensor"]
"""By name: a shape, where nothing else is special."""


@dataclass(frozen=True)
class Int32:
    """A key's value that is no u32."""

    value: int


@dataclass(frozen=True)
class Vocabulary:
    """A small vocabulary: all bytes, a few words, and the control tokens that the family looks up or its template has.

    Attributes:
        specials: control tokens.
        bpe: llama.cpp's name of the pre-tokeniser; empty for SentencePiece's kind of vocabulary; "gemma4" for its own.
        end: of a turn: one of the specials.
        begin: of a text: one of the specials.
        adds_begin: whether it is put before every text.
        least: tokens to fill it up to, with more control tokens.
        added: tokens that are found in any text and written as they are, such as <think>.
        turn: what ends an answer as well: one of the specials.
        shown: special tokens that are written into answers (user-defined ones).
    """

    specials: Sequence[str]
    bpe: str = "qwen2"
    end: str = "<|im_end|>"
    begin: str = ""
    adds_begin: bool = False
    least: int = 0
    added: Sequence[str] = ()
    turn: str = ""
    shown: Sequence[str] = ()


@dataclass(frozen=True)
class Words:
    """A language model.

    Attributes:
        arch: llama.cpp's name of the architecture.
        keys: metadata, without the architecture's name before it.
        tensors: as `Pair` takes them: without the embedding, whose size the vocabulary decides.
        vocabulary: of it.
        template: for chats.
        width: of the embedding.
        more: metadata by its whole name.
        embedding: deviation of the embedding's numbers.
        output: deviation of the numbers of an output matrix; 0 where the output is tied to the embedding. Its rows
            for other tokens than ASCII's are weak, so that answers are text in which each token can be told.
    """

    arch: str
    keys: Mapping[str, Any]
    tensors: Tensors
    vocabulary: Vocabulary
    template: str = CHATML
    width: int = 64
    more: Mapping[str, Any] = field(default_factory=dict)
    embedding: float = 0.3
    output: float = 0.0


@dataclass(frozen=True)
class Eyes:
    """A vision encoder and its projector.

    Attributes:
        projector: clip.cpp's name of the projector's type.
        keys: metadata below `clip.vision`.
        tensors: all of them.
        more: metadata by its whole name.
    """

    projector: str
    keys: Mapping[str, Any]
    tensors: Tensors
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A family's pair.

    Attributes:
        words: the language model.
        eyes: the encoder and its projector.
        models: whose shape this is, in small.
        together: whether two pictures can be asked about together.
        draw: which random numbers: of some, an answer hangs on two tokens that are as good as equally likely.
    """

    words: Words
    eyes: Eyes
    models: str
    together: bool = True
    draw: int = 0


def write(name: str, pair: Pair, folder: Path, seed: int = 0) -> None:
    """Write NAME.gguf and mmproj-NAME.gguf into a folder that is there."""
    _write_words(name, pair.words, folder / f"{name}.gguf", seed + 1000 * pair.draw)
    _write_eyes(name, pair.eyes, folder / f"mmproj-{name}.gguf", seed + 1000 * pair.draw)


def layered(layers: int | Sequence[int], tensors: Tensors, at: str = "blk.") -> dict[str, tuple[int, ...] | Tensor]:
    """The tensors of one layer, for so many layers, or for those that are numbered."""
    numbers = range(layers) if isinstance(layers, int) else layers
    return {f"{at}{layer}.{name}": shape for layer in numbers for name, shape in tensors.items()}


def _write_words(name: str, words: Words, path: Path, seed: int) -> None:
    w = gguf.GGUFWriter(path, words.arch)
    plain = _vocabulary(w, words.vocabulary)
    size = len(plain)
    w.add_chat_template(words.template)
    w.add_file_type(1)
    keys = {f"{words.arch}.{key}": value for key, value in words.keys.items()}
    sizes = {f"{words.arch}.embedding_length": words.width, f"{words.arch}.vocab_size": size}
    _add_keys(w, {**sizes, **keys, **words.more})
    ends = {"token_embd.weight": Tensor((size, words.width), words.embedding)}
    if words.output:
        ends["output.weight"] = Tensor((size, words.width), words.output, rows=[1.0 if one else 0.3 for one in plain])
    tensors = {key: spec if isinstance(spec, Tensor) else Tensor(spec) for key, spec in words.tensors.items()}
    sized = {key: replace(one, shape=tuple(size if n < 0 else n for n in one.shape)) for key, one in tensors.items()}
    _add_tensors(w, name, {**ends, **sized}, seed)
    _close(w)


def _write_eyes(name: str, eyes: Eyes, path: Path, seed: int) -> None:
    w = gguf.GGUFWriter(path, "clip")
    w.add_file_type(1)
    usual = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "attention.layer_norm_epsilon": 1e-6}
    keys = {f"clip.vision.{key}": value for key, value in {**usual, **eyes.keys}.items()}
    _add_keys(w, {"clip.has_vision_encoder": True, "clip.projector_type": eyes.projector, **keys, **eyes.more})
    _add_tensors(w, f"mmproj-{name}", eyes.tensors, seed)
    _close(w)


def _close(w: gguf.GGUFWriter) -> None:
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def _add_keys(w: gguf.GGUFWriter, keys: Mapping[str, Any]) -> None:
    for key, value in keys.items():
        if isinstance(value, bool):
            w.add_bool(key, value)
        elif isinstance(value, int):
            w.add_uint32(key, value)
        elif isinstance(value, Int32):
            w.add_int32(key, value.value)
        elif isinstance(value, float):
            w.add_float32(key, value)
        elif isinstance(value, str):
            w.add_string(key, value)
        else:
            w.add_array(key, list(value))


def _add_tensors(w: gguf.GGUFWriter, name: str, tensors: Tensors, seed: int) -> None:
    for tensor, spec in tensors.items():
        chance = np.random.default_rng([seed, crc32(name.encode()), crc32(tensor.encode())])
        w.add_tensor(tensor, _drawn(chance, tensor, spec if isinstance(spec, Tensor) else Tensor(spec)))


def _drawn(chance: np.random.Generator, name: str, spec: Tensor) -> Array:
    if spec.kind == "I32":
        chosen = chance.random((*spec.shape[:-1], int(spec.scale))).argsort(-1)
        return chosen[..., : spec.shape[-1]].astype(np.int32)
    vector = len(spec.shape) == 1
    gain = vector and name.endswith(".weight")
    about = (1.0 if gain else 0.0) if spec.about is None else spec.about
    scale = spec.scale or (0.02 if gain else 0.05 if vector else 0.2)
    kind = np.float32 if (spec.kind or ("F32" if vector else "F16")) == "F32" else np.float16
    if spec.given:
        return np.array(spec.given).reshape(spec.shape).astype(kind)
    drawn = chance.standard_normal(spec.shape) * scale + about
    return (drawn * np.array(spec.rows)[:, None] if spec.rows else drawn).astype(kind)


def _vocabulary(w: gguf.GGUFWriter, vocabulary: Vocabulary) -> list[bool]:
    """Write it. Returns whether each token is text in ASCII; their number is a multiple of 32."""
    write = _spm if not vocabulary.bpe else _gemma4 if vocabulary.bpe == "gemma4" else _bpe
    tokens, types = write(w, vocabulary)
    for number, token in enumerate(tokens):
        if token in vocabulary.shown:
            types[number] = 4
    w.add_token_list(tokens)
    w.add_token_types(types)
    texts = [token.decode() if isinstance(token, bytes) else token for token in tokens]
    w.add_eos_token_id(texts.index(vocabulary.end))
    w.add_pad_token_id(texts.index(vocabulary.end))
    if vocabulary.turn:
        w.add_eot_token_id(texts.index(vocabulary.turn))
    if vocabulary.begin:
        w.add_bos_token_id(texts.index(vocabulary.begin))
    w.add_add_bos_token(vocabulary.adds_begin)
    return [kind in (1, 6) and _is_ascii(text) for text, kind in zip(texts, types, strict=True)]


def _is_ascii(text: str) -> bool:
    if text.startswith("<0x"):
        return 32 <= int(text[3:5], 16) < 127
    return text.replace("Ġ", " ").replace("▁", " ").isascii()


def _padding(count: int, least: int) -> Iterator[str]:
    number = count
    while number < least or number % 32:
        yield f"<pad{number}>"
        number += 1


def _bpe(w: gguf.GGUFWriter, vocabulary: Vocabulary) -> tuple[list[Any], list[int]]:
    plain = [*byte_letters(), *(merge.replace(" ", "") for merge in BPE_MERGES)]
    special = list(vocabulary.specials)
    added = list(vocabulary.added)
    special += _padding(len(plain) + len(added) + len(special), vocabulary.least)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(vocabulary.bpe)
    w.add_token_merges(BPE_MERGES)
    return [*plain, *added, *special], [1] * len(plain) + [4] * len(added) + [3] * len(special)


def _spm(w: gguf.GGUFWriter, vocabulary: Vocabulary) -> tuple[list[Any], list[int]]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *SPM_PIECES]
    special = [one for one in vocabulary.specials if one not in tokens]
    added = list(vocabulary.added)
    special += _padding(len(tokens) + len(added) + len(special), vocabulary.least)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_unk_token_id(0)
    w.add_add_space_prefix(False)
    scores = [0.0] * 259 + [-float(n + 1) for n in range(len(SPM_PIECES))]
    w.add_token_scores(scores + [0.0] * (len(added) + len(special)))
    types = [2, 3, 3] + [6] * 256 + [1] * len(SPM_PIECES) + [4] * len(added) + [3] * len(special)
    return [token.encode() for token in (*tokens, *added, *special)], types


def _gemma4(w: gguf.GGUFWriter, vocabulary: Vocabulary) -> tuple[list[Any], list[int]]:
    """SentencePiece's letters and bytes, joined by merges."""
    merges = ["▁ t", "h e", "▁t he", "i n"]
    pieces = [*SPM_PIECES, *(merge.replace(" ", "") for merge in merges)]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    special = [one for one in vocabulary.specials if one not in tokens]
    special += _padding(len(tokens) + len(special), vocabulary.least)
    w.add_tokenizer_model("gemma4")
    w.add_token_merges(merges)
    w.add_unk_token_id(3)
    w.add_add_space_prefix(False)
    w.add_token_scores([0.0] * (len(tokens) + len(special)))
    return [*tokens, *special], [3] * 4 + [6] * 256 + [1] * len(pieces) + [3] * len(special)
