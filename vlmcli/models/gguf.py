"""A GGUF file's header: what it is, what its tensors are, and whether they are all there.

Reads metadata and tensor infos, never weights. Every count and length in it is checked against the file before it is
used: the file is a stranger's. What is refused here is what llama.cpp refuses too (ggml, src/gguf.cpp), which says less
about it. Format: ggml, docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isfinite, prod
from pathlib import Path
from typing import Any

from vlmcli import amounts, files, memo
from vlmcli.errors import ModelError
from vlmcli.memo import Identity

MAX_ITEMS = 10_000_000  # of an array; the largest vocabularies have a few hundred thousand
MAX_TENSORS = 100_000
MAX_KEYS = 100_000
MAX_TEXT = 8 << 20  # bytes of one string; chat templates reach some tens of thousands
MAX_KEPT = 64 << 20  # bytes of all that is kept
MAX_NAME = 63  # bytes of a tensor's name; ggml.h, GGML_MAX_NAME with its NUL
MAX_DIMENSIONS = 4
MAX_NUMBER = (1 << 63) - 1  # elements of a tensor
KEEP_ITEMS = 512  # arrays longer than this are skipped, not kept: vocabularies, never layers

VOCABULARY = "tokenizer.ggml.tokens"
AGAIN = "download it again"

# Scalar types by their number in the file; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KINDS = {
    0: "u8", 1: "i8", 2: "u16", 3: "i16", 4: "u32", 5: "i32", 6: "f32", 7: "bool", 8: "str", 10: "u64", 11: "i64",
    12: "f64",
}  # fmt: skip

F32, F16, BF16 = 0, 1, 30  # ggml's tensor types by number; ggml.h, enum ggml_type
INTEGERS = frozenset({24, 25, 26, 27, 28})  # the integers, and F64: no weights of any matrix

# ggml's tensor types: (elements in a block, bytes of a block); ggml.c, type_traits. Numbers left out have no type now.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip


# llama.h, enum llama_ftype: what `general.file_type` calls a whole file.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor's place: dimensions in ggml's order, type by number, bytes from the start of the data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of its data in the file."""
        elements, size = _BLOCKS[self.kind]
        return prod(self.shape) // elements * size


@dataclass(frozen=True)
class Entry:
    """A metadata value's type and place.

    Attributes:
        kind: "u32", "f32", "bool", "str" and so on; an array's is its items' in brackets, "[f32]".
        count: items of an array; else 1.
        start: the file's byte where the value begins, an array's first item.
        end: the byte after it.
    """

    kind: str
    count: int
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself. Long arrays are left out of `metadata`; `entries` has every key."""

    path: Path
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data: int
    file_size: int
    entries: dict[str, Entry] = field(default_factory=dict)
    identity: Identity | None = None
    """Of the file when it was read; None for a header that was read from none."""

    @property
    def architecture(self) -> str:
        """The model's kind, `general.architecture`; "clip" is a projector."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def is_projector(self) -> bool:
        """Whether it holds a vision encoder and projector, not a language model."""
        return self.architecture == "clip"

    @property
    def turns_by_context(self) -> bool:
        """Whether a large context makes it rotate otherwise (LongRoPE; llama-model.cpp, get_rope_factors)."""
        return any(tensor.name == "rope_factors_long.weight" for tensor in self.tensors)

    @property
    def projector_type(self) -> str:
        """The family of a projector for pictures, by llama.cpp's name of it; empty where the file names none.

        As clip.cpp reads it (load_hparams): the file's key first, then that of the modality, which is audio only where
        the file has no encoder for pictures. Qwen2.5-Omni's name stands for another type under each modality.
        """
        hears = bool(self.metadata.get("clip.has_audio_encoder")) and not self.metadata.get("clip.has_vision_encoder")
        modality, omni = ("audio", "qwen2a") if hears else ("vision", "qwen2.5vl_merger")
        keys = ("clip.projector_type", f"clip.{modality}.projector_type")
        found = next((str(self.metadata[key]) for key in keys if self.metadata.get(key)), "")
        return omni if found == "qwen2.5o" else found

    @property
    def name(self) -> str:
        """`general.name`, or the file's."""
        return str(self.metadata.get("general.name") or self.path.stem)

    @property
    def parameters(self) -> int:
        """Numbers in all tensors of this file."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def quantisation(self) -> str:
        """How its weights are written down, by llama.cpp's name; empty where the file does not say."""
        kind = self.metadata.get("general.file_type")
        return _FILE_TYPES.get(kind, "") if isinstance(kind, int) else ""

    def number(self, key: str, default: int = 0) -> int:
        """A metadata number of the architecture, `{arch}.{key}`; of an array, the largest."""
        return max(self.numbers(key), default=default)

    def numbers(self, key: str) -> list[int]:
        """The numbers of `{arch}.{key}`, one or an array of them; none when it is something else."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        values = value if isinstance(value, list) else [value]
        return [int(one) for one in values if isinstance(one, int | float) and isfinite(one)]


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0
        self.kept = 0

    def broken(self, what: str) -> ModelError:
        return ModelError(f"{self.path}: damaged or incomplete GGUF file: {what}", AGAIN)

    def scalar(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        if self.at + size > len(self.data):
            raise self.broken("it ends inside its header")
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += size
        return value

    def text(self) -> str:
        length = self.scalar("Q")
        if length > MAX_TEXT or self.at + length > len(self.data):
            raise self.broken(f"a string of {length} bytes")
        self.keep(length)
        raw = self.data[self.at : self.at + length]
        self.at += length
        return raw.decode("utf-8", "replace")

    def keep(self, size: int) -> None:
        """Before bytes of the file become a value that is kept."""
        self.kept += size
        if self.kept > MAX_KEPT:
            raise self.broken(f"a header of more than {amounts.size(MAX_KEPT)}")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind not in _SCALARS:
            raise self.broken(f"a value of unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def entry(self) -> tuple[Entry, Any]:
        """A key's value with its type before it; None for what is skipped."""
        kind = self.scalar("I")
        if kind != _ARRAY:
            start = self.at
            value = self.value(kind)
            return Entry(_KINDS[kind], 1, start, self.at), value
        kind, count = self.scalar("I"), self.scalar("Q")
        if kind not in _KINDS:
            raise self.broken(f"an array of type {kind}")
        if count > MAX_ITEMS:
            raise self.broken(f"an array of {count} values")
        start = self.at
        values = self._items(kind, count)
        return Entry(f"[{_KINDS[kind]}]", count, start, self.at), values

    def _items(self, kind: int, count: int) -> list[Any] | None:
        if count <= KEEP_ITEMS:
            return [self.value(kind) for _ in range(count)]
        if kind == _STRING:
            self._skip_texts(count)
        else:
            self.at += struct.calcsize("<" + _SCALARS[kind]) * count
        if self.at > len(self.data):
            raise self.broken("it ends inside its header")
        return None

    def _skip_texts(self, count: int) -> None:
        """Step over a vocabulary: hundreds of thousands of strings, so the loop is bare."""
        unpack, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
        end = len(data)
        try:
            for _ in range(count):
                at += 8 + unpack(data, at)[0]
                if at > end:
                    break
        except struct.error:
            at = end + 1
        self.at = at


def is_one(path: Path) -> bool:
    """Whether a file begins as a GGUF file does."""
    try:
        with files.opened(path) as file:
            return file.read(4) == b"GGUF"
    except (OSError, ValueError):
        return False


def unreadable(path: Path, error: Exception) -> ModelError:
    """The error for a file that the system does not let us read."""
    return ModelError(f"{path}: cannot be read ({error})", "check its permissions")


def read(path: Path) -> Header:
    """Read a header. Raises ModelError when the file is no GGUF, or says things that cannot be.

    A file that has not changed is read once a process, or taken from what an earlier one has kept (`memo`): a
    vocabulary takes a tenth of a second to step over.
    """
    try:
        if path.is_dir():
            raise ModelError(f"{path}: a folder, not a GGUF file", "choose a file in it")
        if there := files.what(path):
            raise files.Unfit(there, path)
        return _read_file(path, memo.identity(path))
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file", "check the path") from None
    except files.Unfit as error:
        lost = path.is_symlink() and not path.exists()
        hint = "make it point to the file, or remove it" if lost else "choose a file: a model is not read from a stream"
        raise ModelError(f"{path}: {error.strerror}, not a GGUF file", hint) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


@lru_cache(maxsize=16)
def _read_file(path: Path, identity: Identity) -> Header:
    if (header := _kept(path, identity)) is not None:
        return header
    size = identity[3]
    if size < 24:
        raise ModelError(f"{path}: not a GGUF file ({size} bytes)", AGAIN)
    with files.opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = replace(_read(_Reader(path, data), size), identity=identity)
    _keep(header, identity)
    return header


def _keep(header: Header, identity: Identity) -> None:
    """Keep a header for later commands: all of it but where it lies."""
    tensors = [(one.name, one.shape, one.kind, one.offset) for one in header.tensors]
    entries = {key: (one.kind, one.count, one.start, one.end) for key, one in header.entries.items()}
    memo.keep("header", [identity], [header.metadata, tensors, header.data, entries])


def _kept(path: Path, identity: Identity) -> Header | None:
    """The header of a file that an earlier command has read."""
    try:
        metadata, tensors, data, entries = memo.known("header", [identity])
        shapes = tuple(Tensor(name, tuple(shape), kind, offset) for name, shape, kind, offset in tensors)
        places = {key: Entry(*one) for key, one in entries.items()}
    except (TypeError, ValueError):  # nothing, or nothing that was kept here
        return None
    return Header(path, metadata, shapes, data, identity[3], places, identity)


def _read(reader: _Reader, size: int) -> Header:
    magic = reader.data[:4]
    if magic != b"GGUF":
        page = reader.data[:512].lstrip().lower()
        if page.startswith((b"<!doctype", b"<html")):
            raise ModelError(f"{reader.path}: a web page, not a GGUF file", AGAIN)
        raise ModelError(f"{reader.path}: not a GGUF file", "choose a .gguf file")
    reader.at = 4
    version = reader.scalar("I")
    if version not in (2, 3):
        raise ModelError(
            f"{reader.path}: GGUF version {version}; only 2 and 3 are supported", "download a newer copy of the model"
        )
    n_tensors, n_keys = reader.scalar("Q"), reader.scalar("Q")
    if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
        raise reader.broken(f"{n_tensors} tensors and {n_keys} keys")
    metadata: dict[str, Any] = {}
    entries: dict[str, Entry] = {}
    for _ in range(n_keys):
        key = reader.text()
        if not key or key in entries:
            raise reader.broken(f"the key {key[:80]!r} appears twice" if key else "a key without a name")
        reader.keep(200)  # what Python needs beside the text
        entries[key], value = reader.entry()
        if value is not None:
            metadata[key] = value
    tensors = [_tensor(reader) for _ in range(n_tensors)]
    twice = len(tensors) - len({tensor.name for tensor in tensors})
    if twice:
        raise reader.broken(f"{twice} of its tensors have duplicate names")
    alignment = metadata.get("general.alignment", 32)
    kind = entries["general.alignment"].kind if "general.alignment" in entries else "u32"
    if kind != "u32" or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
        raise reader.broken(f"an alignment of {alignment}")
    expected = 0
    for tensor in tensors:  # one after the other, as ggml wants them, so they cannot overlap
        if tensor.offset != expected:
            raise reader.broken(f"tensor {tensor.name!r} is at {tensor.offset} instead of {expected}")
        expected += -(-tensor.size // alignment) * alignment
    data = -(-reader.at // alignment) * alignment
    return Header(reader.path, metadata, tuple(tensors), data, size, entries)


def _tensor(reader: _Reader) -> Tensor:
    name = reader.text()
    if len(name.encode("utf-8", "replace")) > MAX_NAME:
        raise reader.broken(f"a tensor's name of {len(name)} characters")
    reader.keep(400)  # what Python needs for it
    n_dims = reader.scalar("I")
    if n_dims > MAX_DIMENSIONS:
        raise reader.broken(f"tensor {name!r} has {n_dims} dimensions")
    shape = tuple(reader.scalar("Q") for _ in range(n_dims))
    if any(length > MAX_NUMBER for length in shape) or prod(shape) >= MAX_NUMBER:
        raise reader.broken(f"tensor {name!r} has a shape of {'x'.join(map(str, shape))}")
    kind, offset = reader.scalar("I"), reader.scalar("Q")
    if kind not in _BLOCKS:
        raise ModelError(
            f"{reader.path}: tensor {shown(name)} is of type {kind}, which llama.cpp does not know",
            "download another quantisation of the model",
        )
    elements, size = _BLOCKS[kind]
    if (shape[0] if shape else 1) % elements:
        raise reader.broken(f"tensor {name!r} has rows of {shape[0] if shape else 1}, not a multiple of {elements}")
    if prod(shape) // elements * size > MAX_NUMBER:
        raise reader.broken(f"tensor {name!r} has a shape of {'x'.join(map(str, shape))}")
    return Tensor(name, shape, kind, offset)


def shown(text: str) -> str:
    """A stranger's text for a message: no control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def check_whole(header: Header) -> None:
    """Raise ModelError unless every tensor lies inside the file: llama.cpp loads a cut projector without a word."""
    for tensor in header.tensors:
        missing = header.data + tensor.offset + tensor.size - header.file_size
        if missing > 0:
            raise ModelError(
                f"{header.path}: cut off: at least {missing} bytes are missing (tensor {shown(tensor.name)})", AGAIN
            )


def missing_texts(header: Header, key: str, wanted: Iterable[str]) -> list[str]:
    """Which of these are no items of an array of strings, such as a vocabulary; none when there is no such array.

    Looks for their bytes with their lengths before them, as they stand in the file, and so does not read the others.
    """
    entry = header.entries.get(key)
    if entry is None or entry.kind != "[str]" or entry.start == entry.end:
        return []
    try:
        with files.opened(header.path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            raw = {text: text.encode() for text in wanted}
            return [
                text
                for text, item in raw.items()
                if data.find(struct.pack("<Q", len(item)) + item, entry.start, entry.end) < 0
            ]
    except (OSError, ValueError) as error:
        raise unreadable(header.path, error) from error


def repeated_text(header: Header, key: str) -> str:
    """A text that an array of strings, such as a vocabulary, holds twice; empty where there is none.

    Empty texts are not counted. 150,000 tokens take a tenth of a second, once a process.
    """
    entry = header.entries.get(key)
    if entry is None or entry.kind != "[str]":
        return ""
    return _repeated_text(header.path, header.file_size, entry)


@lru_cache(maxsize=16)
def _repeated_text(path: Path, _size: int, entry: Entry) -> str:
    try:
        with files.opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _texts(data, entry)
            empty = found.count(b"")
            if len(set(found) - {b""}) + empty == len(found):
                return ""
            seen: set[bytes] = {b""}
            for text in filter(None, found):
                if text in seen:
                    return text.decode("utf-8", "replace")
                seen.add(text)
    except (OSError, ValueError, struct.error) as error:
        raise unreadable(path, error) from error
    return ""


def _texts(data: mmap.mmap, entry: Entry) -> list[bytes]:
    """The items of an array of strings; the loop is bare, as there are hundreds of thousands."""
    unpack, at, found = struct.Struct("<Q").unpack_from, entry.start, []
    for _ in range(entry.count):
        end = at + 8 + unpack(data, at)[0]
        found.append(data[at + 8 : end])
        at = end
    return found
