"""A header is a stranger's: what ggml refuses in it is refused, in words, and nothing is taken at its word."""

import random
import struct
import time
from contextlib import suppress

import pytest

from vlmcli import demo
from vlmcli.bench import mutants
from vlmcli.bench.mutants import File, Value, Weight
from vlmcli.errors import ModelError
from vlmcli.models import gguf


def small_file():
    """Two tensors of 32 numbers and 64 bytes each, and keys of several types."""
    return File(
        keys=[
            (b"general.architecture", Value(8, b"llama")),
            (b"llama.block_count", Value(4, 2)),
            (b"a.list", Value(6, [0.5, 1.5], True)),
            (b"tokenizer.ggml.tokens", Value(8, [b"<s>", b"yes", b"x" * 40] + [b"w%d" % n for n in range(600)], True)),
        ],
        weights=[Weight(b"one.weight", [32], 1, bytes(64)), Weight(b"two.weight", [16, 2], 1, bytes(64))],
    )


def read(tmp_path, file):
    path = tmp_path / "one.gguf"
    path.write_bytes(mutants.write(file) if isinstance(file, File) else file)
    header = gguf.read(path)
    gguf.check_whole(header)
    return header


def test_a_header_has_values_types_and_places(tmp_path):
    header = read(tmp_path, small_file())
    assert header.metadata["a.list"] == [0.5, 1.5]
    assert "tokenizer.ggml.tokens" not in header.metadata  # long arrays are stepped over
    kinds = {key: (entry.kind, entry.count) for key, entry in header.entries.items()}
    assert kinds["llama.block_count"] == ("u32", 1)
    assert kinds["a.list"] == ("[f32]", 2)
    assert kinds["tokenizer.ggml.tokens"] == ("[str]", 603)
    assert [tensor.size for tensor in header.tensors] == [64, 64]


def test_a_vocabulary_is_searched_where_it_lies(tmp_path):
    header = read(tmp_path, small_file())
    assert gguf.missing_texts(header, "tokenizer.ggml.tokens", ["yes", "w599", "no", "<s", "ye"]) == ["no", "<s", "ye"]
    assert gguf.missing_texts(header, "no.such.key", ["no"]) == []
    assert gguf.missing_texts(header, "a.list", ["no"]) == []


def weight(index, **changes):
    def change(file):
        for name, value in changes.items():
            setattr(file.weights[index], name, value)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.keys.append(f.keys[0]), "the key 'general.architecture' appears twice"),
        (lambda f: f.keys.append((b"", Value(4, 1))), "a key without a name"),
        (lambda f: f.keys.append((b"x", Value(13, 1))), "a value of unknown type 13"),
        (lambda f: f.keys.append((b"x", Value(9, [], True))), "an array of type 9"),
        (lambda f: f.keys.append((b"general.alignment", Value(4, 24))), "an alignment of 24"),
        (lambda f: f.keys.append((b"general.alignment", Value(4, 0))), "an alignment of 0"),
        (lambda f: f.keys.append((b"general.alignment", Value(10, 32))), "an alignment of 32"),
        (weight(1, name=b"one.weight"), "1 of its tensors have duplicate names"),
        (weight(1, name=b"x" * 64), "a tensor's name of 64 characters"),
        (weight(0, shape=[1] * 5), "has 5 dimensions"),
        (weight(0, shape=[1 << 63]), "has a shape of"),
        (weight(0, shape=[1 << 32, 1 << 31]), "has a shape of"),
        (weight(0, shape=[33], kind=8), "has rows of 33, not a multiple of 32"),
        (weight(0, kind=4), "is of type 4, which llama.cpp does not know"),
        (weight(0, kind=999), "is of type 999"),
        (weight(1, offset=32), "is at 32 instead of 64"),
        (weight(1, offset=0), "is at 0 instead of 64"),
        (weight(0, shape=[32, 2]), "is at 64 instead of 128"),
        (weight(1, shape=[16, 400]), "cut off"),
        (lambda f: setattr(f, "n_keys", 1 << 60), "tensors and"),
        (lambda f: setattr(f, "n_weights", (1 << 64) - 1), "tensors and"),
        (lambda f: setattr(f, "n_keys", 99), "damaged or incomplete GGUF file"),
        (lambda f: setattr(f, "version", 4), "GGUF version 4"),
    ],
)
def test_what_ggml_refuses_is_refused_in_words(tmp_path, change, says):
    file = small_file()
    change(file)
    with pytest.raises(ModelError) as caught:
        read(tmp_path, file)
    assert says in caught.value.message
    assert "one.gguf" in caught.value.message


def test_what_ggml_takes_is_taken(tmp_path):
    file = small_file()
    file.version = 2
    file.keys.append((b"general.alignment", Value(4, 32)))
    file.weights += [
        Weight(b"number", [], 0, bytes(4)),
        Weight(b"none", [0], 0, b""),
        Weight(b"x" * 63, [64], 42, bytes(18)),
    ]
    header = read(tmp_path, file)
    assert [tensor.size for tensor in header.tensors] == [64, 64, 4, 0, 18]
    assert read(tmp_path, mutants.write(File())).tensors == ()


@pytest.mark.parametrize("length", [1 << 24, 1 << 31, 1 << 62, (1 << 64) - 1])
@pytest.mark.parametrize("kind", [0, 8, 12])
def test_absurd_lengths_cost_neither_time_nor_memory(tmp_path, length, kind):
    raw = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, kind, length)
    started = time.perf_counter()
    with pytest.raises(ModelError):
        read(tmp_path, raw + bytes(100))
    with pytest.raises(ModelError):
        read(tmp_path, b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, length) + bytes(100))
    assert time.perf_counter() - started < 1


def test_what_is_kept_is_bounded(tmp_path):
    keys = [(b"k%d" % n, Value(8, b"x" * (1 << 20))) for n in range(70)]
    with pytest.raises(ModelError, match="a header of more than 67 MB"):
        read(tmp_path, File(keys=keys))


def test_a_large_vocabulary_is_stepped_over(tmp_path):
    tokens = [b"token%d" % n for n in range(150_000)]
    started = time.perf_counter()
    header = read(tmp_path, File(keys=[(b"tokenizer.ggml.tokens", Value(8, tokens, True))]))
    assert gguf.missing_texts(header, "tokenizer.ggml.tokens", ["token149999", "<x>"]) == ["<x>"]
    assert time.perf_counter() - started < 2


def test_any_byte_may_be_wrong(tmp_path):
    """Every kind of error is a ModelError, on the small file and on the demo's header."""
    rng = random.Random(1)
    words = demo.FILES.projector.read_bytes()[: gguf.read(demo.FILES.projector).data]
    for whole in (mutants.write(small_file()), words):
        for _ in range(400):
            raw = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(4, len(raw) - 8)
                raw[at : at + 8] = rng.choice([rng.randbytes(8), b"\xff" * 8, bytes(8), bytes(7) + b"\x7f"])
            with suppress(ModelError):
                read(tmp_path, bytes(raw))
