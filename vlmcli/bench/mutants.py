"""Broken GGUF pairs: one of the small pairs, with one of its two files spoilt in one way.

`mutant(rng, pairs, folder)` writes one of a pair of `bench/pairs`, `header_mutant` one of any family, whose header
alone is spoilt; equal seeds give equal files. Files are taken apart and put together here, byte
by byte, since a library that writes GGUF will not write what these have to hold. Format: ggml, docs/gguf.md.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmcli.bench.pairs import SMALL

ALIGNMENT = 32
"""Bytes between tensors."""

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
BYTES = {0: 4, 1: 2, 26: 4}  # of an element; the small pairs hold F32, F16 and I32

NUMBERS = (0, 1, 2, 3, 7, 255, 1000, (1 << 16) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1, -1)
FLOATS = (0.0, -1.0, 1e-45, 1e38, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "x", "\0", "\n", "{{", "llama", "clip", "mlp", "é" * 300, "%s%n", "x" * 70_000)


@dataclass
class Value:
    """A metadata value. Of an array `kind` is its items' and `value` a list."""

    kind: int
    value: Any
    array: bool = False


@dataclass
class Weight:
    """A tensor.

    Attributes:
        name: as the file spells it.
        shape: in ggml's order, the innermost dimension first.
        kind: ggml's number of the type.
        data: its bytes.
        offset: what the file says of where it lies; None for the truth.
    """

    name: bytes
    shape: list[int]
    kind: int
    data: bytes
    offset: int | None = None


@dataclass
class File:
    """A GGUF file in parts. A count that is not None is written in place of the true one."""

    keys: list[tuple[bytes, Value]] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    version: int = 3
    n_weights: int | None = None
    n_keys: int | None = None

    def key(self, name: str) -> Value:
        """The value of a key; KeyError when there is none."""
        return dict(self.keys)[name.encode()]

    def weight(self, name: str) -> Weight:
        """The tensor of a name; KeyError when there is none."""
        return {one.name: one for one in self.weights}[name.encode()]


def read(raw: bytes) -> File:
    """The parts of a well-formed file whose tensors are F32, F16 or I32."""
    at = 24
    version, n_weights, n_keys = struct.unpack_from("<IQQ", raw, 4)

    def take(code: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from("<" + code, raw, at)
        at += struct.calcsize("<" + code)
        return value

    def text() -> bytes:
        nonlocal at
        length = take("Q")
        at += length
        return raw[at - length : at]

    def item(kind: int) -> Any:
        return text() if kind == STRING else take(SCALARS[kind])

    file = File(version=version)
    for _ in range(n_keys):
        name, kind = text(), take("I")
        if kind == ARRAY:
            kind, count = take("I"), take("Q")
            file.keys.append((name, Value(kind, [item(kind) for _ in range(count)], True)))
        else:
            file.keys.append((name, Value(kind, item(kind))))
    infos = []
    for _ in range(n_weights):
        name, dimensions = text(), take("I")
        infos.append((name, [take("Q") for _ in range(dimensions)], take("I"), take("Q")))
    start = -(-at // ALIGNMENT) * ALIGNMENT
    for name, shape, kind, offset in infos:
        size = BYTES[kind]
        for length in shape:
            size *= length
        file.weights.append(Weight(name, shape, kind, raw[start + offset : start + offset + size]))
    return file


def write(file: File) -> bytes:
    """The bytes of a file, whatever is in its parts."""
    count = len(file.weights) if file.n_weights is None else file.n_weights
    head = [b"GGUF", struct.pack("<IQQ", file.version, count, len(file.keys) if file.n_keys is None else file.n_keys)]
    for name, value in file.keys:
        head += [_text(name), struct.pack("<I", ARRAY if value.array else value.kind)]
        if value.array:
            head.append(struct.pack("<IQ", value.kind, len(value.value)))
        head += [_item(value.kind, one) for one in (value.value if value.array else [value.value])]
    data = bytearray()
    for one in file.weights:
        offset = len(data) if one.offset is None else one.offset
        dimensions = b"".join(struct.pack("<Q", length % (1 << 64)) for length in one.shape)
        head += [_text(one.name), struct.pack("<I", len(one.shape)), dimensions, struct.pack("<IQ", one.kind, offset)]
        data += one.data + bytes(-len(one.data) % ALIGNMENT)
    start = b"".join(head)
    return start + bytes(-len(start) % ALIGNMENT) + bytes(data)


def _text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _item(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _text(value)
    code = SCALARS.get(kind)
    if code is None:
        if isinstance(value, bytes):  # as it is to be written
            return value
        return struct.pack("<Q", 0)
    if code in "fd":
        return struct.pack("<" + code, value)
    if code == "?":
        return bytes([int(value) & 0xFF])
    size = struct.calcsize("<" + code)
    return (int(value) % (1 << 8 * size)).to_bytes(size, "little")


# ---------------------------------------------------------------------------------------------- ways to spoil a file


def absurd(value: Value) -> Iterator[Value]:
    """Values of the same type that no key should have, then other types."""
    kind = value.kind
    if value.array:
        yield Value(kind, [], True)
        yield Value(kind, value.value[:1], True)
        yield Value(kind, value.value[:-1], True)
        yield Value(kind, value.value * 3, True)
        if kind != STRING:
            for number in FLOATS if SCALARS[kind] in "fd" else NUMBERS:
                yield Value(kind, [number] * len(value.value), True)
        yield Value(4, [1] * len(value.value), True)
        yield Value(STRING, [b"x"] * len(value.value), True)
        yield Value(STRING, [b""] * len(value.value), True)
    elif kind == STRING:
        for text in TEXTS:
            yield Value(STRING, text.encode())
        yield Value(STRING, b"\xff\xfe")
    elif SCALARS[kind] in "fd":
        for real in FLOATS:
            yield Value(kind, real)
    else:
        bits = 8 * struct.calcsize("<" + SCALARS[kind])
        for number in dict.fromkeys(number % (1 << bits) for number in NUMBERS):
            yield Value(kind, number)
        if kind != 7:
            yield Value(kind, value.value * 2)
            yield Value(kind, value.value // 2)
            yield Value(kind, value.value + 1)
    yield Value(STRING, b"8")
    yield Value(5, -1)
    yield Value(10, 64)
    yield Value(6, 1.5)
    yield Value(7, 1)
    yield Value(4, [64], True)


def reshaped(weight: Weight) -> Iterator[Weight]:
    """The tensor with other dimensions, and the bytes these need."""
    shape = weight.shape
    others = [shape[::-1], [*shape, 2], [], [1] * 5]
    if len(shape) > 1:
        others += [[*shape[1:], shape[0]], [shape[0] * shape[1], *shape[2:]], shape[:-1]]
    for axis, length in enumerate(shape):
        for other in (0, 1, length - 1, length + 1, length * 2, length // 2):
            others.append([*shape[:axis], other, *shape[axis + 1 :]])
    for other_shape in others:
        if other_shape != shape and all(length >= 0 for length in other_shape):
            size = BYTES.get(weight.kind, 4)
            for length in other_shape:
                size *= length
            data = (weight.data * (size // max(len(weight.data), 1) + 1))[:size]
            yield Weight(weight.name, other_shape, weight.kind, data)


def _value(rng: random.Random, file: File) -> str:
    index = rng.randrange(len(file.keys))
    name, value = file.keys[index]
    spoilt = rng.choice(list(absurd(value)))
    file.keys[index] = (name, spoilt)
    shown = repr(spoilt.value)
    return f"{name.decode()} is {shown if len(shown) < 60 else shown[:60] + '…'} (type {spoilt.kind})"


def _no_key(rng: random.Random, file: File) -> str:
    name, _ = file.keys.pop(rng.randrange(len(file.keys)))
    return f"no key {name.decode()}"


def _rename_key(rng: random.Random, file: File) -> str:
    index = rng.randrange(len(file.keys))
    name, value = file.keys[index]
    other = rng.choice([b"", b"x" * 300, name[:-1], name.upper(), name + b"\0", rng.choice(file.keys)[0]])
    file.keys[index] = (other, value)
    return f"key {name.decode()} is called {other[:60]!r}"


def _swap_keys(rng: random.Random, file: File) -> str:
    one, two = rng.sample(range(len(file.keys)), 2)
    (name, value), (other_name, other_value) = file.keys[one], file.keys[two]
    file.keys[one], file.keys[two] = (name, other_value), (other_name, value)
    return f"the values of {name.decode()} and {other_name.decode()} are exchanged"


def _no_weight(rng: random.Random, file: File) -> str:
    return f"no tensor {file.weights.pop(rng.randrange(len(file.weights))).name.decode()}"


def _rename_weight(rng: random.Random, file: File) -> str:
    one = rng.choice(file.weights)
    old = one.name
    one.name = rng.choice([b"", b"x" * 63, b"x" * 64, b"x" * 300, old[:-1], old + b"\0", rng.choice(file.weights).name])
    return f"tensor {old.decode()} is called {one.name[:70]!r}"


def _swap_weights(rng: random.Random, file: File) -> str:
    one, two = rng.sample(file.weights, 2)
    one.name, two.name = two.name, one.name
    return f"tensors {one.name.decode()} and {two.name.decode()} are exchanged"


def _same_weight(rng: random.Random, file: File) -> str:
    one = rng.choice(file.weights)
    file.weights.append(Weight(one.name, list(one.shape), one.kind, one.data))
    return f"tensor {one.name.decode()} is there twice"


def _shape(rng: random.Random, file: File) -> str:
    index = rng.randrange(len(file.weights))
    old = file.weights[index]
    file.weights[index] = rng.choice(list(reshaped(old)))
    return f"tensor {old.name.decode()} is {file.weights[index].shape}, not {old.shape}"


def _lie_about_shape(rng: random.Random, file: File) -> str:
    one = rng.choice(file.weights)
    axis = rng.randrange(len(one.shape))
    one.shape[axis] = rng.choice([0, 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
    return f"tensor {one.name.decode()} says it is {one.shape}"


def _kind(rng: random.Random, file: File) -> str:
    one = rng.choice(file.weights)
    one.kind = rng.choice([*range(45), 1 << 31, (1 << 32) - 1])
    return f"tensor {one.name.decode()} is of type {one.kind}"


def _offset(rng: random.Random, file: File) -> str:
    one = rng.choice(file.weights)
    one.offset = rng.choice([0, 1, 31, 32, 64, 1 << 20, 1 << 32, (1 << 63) - 32, (1 << 64) - 32])
    return f"tensor {one.name.decode()} is at {one.offset}"


def _counts(rng: random.Random, file: File) -> str:
    many = rng.choice([0, 1, 1000, 1 << 20, 1 << 31, 1 << 32, 1 << 60, (1 << 63) - 1, (1 << 64) - 1])
    if rng.random() < 0.5:
        file.n_keys = rng.choice([many, len(file.keys) - 1, len(file.keys) + 1])
        return f"it says {file.n_keys} keys"
    file.n_weights = rng.choice([many, len(file.weights) - 1, len(file.weights) + 1])
    return f"it says {file.n_weights} tensors"


def _version(rng: random.Random, file: File) -> str:
    file.version = rng.choice([0, 1, 2, 4, 1 << 16, 3 << 24, (1 << 32) - 1])
    return f"version {file.version}"


def _token(rng: random.Random, file: File) -> str:
    """A token's text: in a projector's file, some other text."""
    lists = [(name, value) for name, value in file.keys if value.array and value.kind == STRING]
    if not lists:
        return _value(rng, file)
    name, value = rng.choice(lists)
    marked = [index for index, text in enumerate(value.value) if text[:1] in (b"<", b"[")]
    index = rng.choice(marked or range(len(value.value)))
    old = value.value[index]
    value.value[index] = rng.choice(
        [b"", b"x", b"\xff", b"\0", b"\n", old + b" ", b"x" * 5000, rng.choice(value.value)]
    )
    return f"{name.decode()}[{index}], {old!r}, is {value.value[index][:30]!r}"


def _numbers(rng: random.Random, file: File) -> str:
    """Weights that are no numbers, or beyond all bounds."""
    one = rng.choice(file.weights)
    half = one.kind == 1
    bad = rng.choice([float("nan"), float("inf"), -float("inf"), 65504.0 if half else 3e38, 0.0])
    item = struct.pack("<e" if half else "<f", bad)
    data = bytearray(one.data)
    places = range(0, len(data), len(item))
    for at in places if rng.random() < 0.5 else [rng.choice(places)]:
        data[at : at + len(item)] = item
    one.data = bytes(data)
    return f"tensor {one.name.decode()} holds {bad}"


FILE_WAYS: tuple[tuple[int, Callable[[random.Random, File], str]], ...] = (
    (6, _value), (2, _no_key), (1, _rename_key), (1, _swap_keys), (3, _no_weight), (1, _rename_weight),
    (3, _swap_weights), (1, _same_weight), (5, _shape), (1, _lie_about_shape), (2, _kind), (1, _offset), (1, _counts),
    (1, _version), (2, _token), (2, _numbers),
)  # fmt: skip


def _flip(rng: random.Random, raw: bytearray, start: int) -> str:
    """Flip one to four bits of the header."""
    places = [rng.randrange(min(start, len(raw))) for _ in range(rng.randint(1, 4))]
    for at in places:
        raw[at] ^= 1 << rng.randrange(8)
    return f"bits flipped at {places}"


def _cut(rng: random.Random, raw: bytearray, start: int) -> str:
    size = rng.choice([rng.randrange(start), rng.randrange(len(raw)), len(raw) - rng.randint(1, 64), 0, 4, 24])
    del raw[size:]
    return f"cut to {size} bytes"


def _length(rng: random.Random, raw: bytearray, start: int) -> str:
    """A length, a count or a type: any eight bytes of the header become an absurd number."""
    at = rng.randrange(8, start - 8)
    number = rng.choice([0, 1, 1 << 16, 1 << 31, 1 << 32, 1 << 60, (1 << 63) - 1, (1 << 64) - 1])
    raw[at : at + 8] = number.to_bytes(8, "little")
    return f"{number} at byte {at}"


def _tail(rng: random.Random, raw: bytearray, _start: int) -> str:
    count = rng.choice([1, 32, 4096])
    raw += rng.randbytes(count)
    return f"{count} bytes too many"


RAW_WAYS: tuple[tuple[int, Callable[[random.Random, bytearray, int], str]], ...] = (
    (5, _flip), (3, _cut), (3, _length), (1, _tail),
)  # fmt: skip


def mutant(
    rng: random.Random, pairs: Path, folder: Path, ways: Sequence[tuple[int, Callable[[random.Random, File], str]]] = ()
) -> tuple[str, str]:
    """Write a broken pair into `folder`, NAME.gguf and mmproj-NAME.gguf. Returns NAME and what was done.

    Args:
        rng: where the choices come from; the same state gives the same mutant.
        pairs: what `pairs.small` wrote.
        folder: must exist.
        ways: of spoiling it, each with its weight; those of this module where none are given.
    """
    name = rng.choice(SMALL)
    paths = [pairs / f"{name}.gguf", pairs / f"mmproj-{name}.gguf"]
    spoilt = paths[rng.random() < 0.6]  # rather the projector: less of llama.cpp looks at it
    raw = spoilt.read_bytes()
    if ways or rng.random() < 0.7:
        file = read(raw)
        weights, file_ways = zip(*(ways or FILE_WAYS), strict=True)
        what = rng.choices(file_ways, weights)[0](rng, file)
        raw = write(file)
    else:
        start = len(raw) - sum(len(one.data) + -len(one.data) % ALIGNMENT for one in read(raw).weights)
        weights, raw_ways = zip(*RAW_WAYS, strict=True)
        changed = bytearray(raw)
        what = rng.choices(raw_ways, weights)[0](rng, changed, start)
        raw = bytes(changed)
    for path in paths:
        (folder / path.name).write_bytes(raw if path == spoilt else path.read_bytes())
    return name, f"{spoilt.name}: {what}"


def _near(rng: random.Random, file: File) -> str:
    """A number of the metadata that could be meant: small, doubled, halved, one more, one less."""
    numbers = [index for index, (_, value) in enumerate(file.keys) if value.kind in (*range(8), *range(10, 13))]
    index = rng.choice(numbers)
    name, old = file.keys[index]
    real = SCALARS[old.kind] in "fd"

    def other(number: Any) -> Any:
        factors = [0.0, 1.0, -1.0, number * 2, number / 2, number * 1e6, 3e38] if real else []
        return rng.choice(
            factors or [0, 1, -1, 2, 3, number * 2, number // 2, number + 1, number - 1, number * 3, (1 << 31) - 1]
        )

    if old.array:
        values = list(old.value)
        if values and rng.random() < 0.7:
            values[rng.randrange(len(values))] = other(rng.choice(values))
        else:
            values = rng.choice([[], values[:-1], values + values[-1:], values[::-1], [other(n) for n in values[:1]]])
        new = Value(old.kind, values, True)
    else:
        new = Value(old.kind, other(old.value))
    file.keys[index] = (name, new)
    return f"{name.decode()} is {str(new.value)[:60]}, not {str(old.value)[:60]}"


HEADER_WAYS: tuple[tuple[int, Callable[[random.Random, File], str]], ...] = (
    (8, _near), (6, _value), (3, _no_key), (1, _swap_keys), (3, _no_weight), (1, _swap_weights), (5, _shape),
    (3, _kind), (1, _token),
)  # fmt: skip
"""Of spoiling what a header says, in a way that a file may still be read."""

CROSSED = 0.1
"""How many of the mutants of all families are a projector with the language model of another."""


def header_mutant(rng: random.Random, pairs: Path, folder: Path, names: Sequence[str]) -> tuple[Path, Path, str]:
    """Write the spoilt file of a pair into `folder`. Returns the two files of the pair, and what was done.

    Args:
        rng: where the choices come from; the same state gives the same mutant.
        pairs: where the whole pairs are.
        folder: must exist.
        names: of the pairs.
    """
    name = rng.choice(names)
    words, eyes = pairs / f"{name}.gguf", pairs / f"mmproj-{name}.gguf"
    if rng.random() < CROSSED:
        other = rng.choice([one for one in names if one != name])
        return words, pairs / f"mmproj-{other}.gguf", "a projector of another pair"
    whole = eyes if rng.random() < 0.6 else words
    spoilt = folder / whole.name
    file = read(whole.read_bytes())
    weights, ways = zip(*HEADER_WAYS, strict=True)
    what = rng.choices(ways, weights)[0](rng, file)
    spoilt.write_bytes(write(file))
    return (words, spoilt, what) if whole == eyes else (spoilt, eyes, what)
