"""Ways to spoil a GGUF file that no accident takes: what somebody writes who means harm.

Texts that a terminal obeys, arrays beyond all bounds, chat templates without an end, tables of a vocabulary that
contradict one another, an alignment of nothing, parts of files that are not there. `mutants` has the accidents.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from vlmcli.bench.mutants import ARRAY, STRING, File, Value

ALIGNMENTS = (0, 1, 3, 7, 12, 33, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
TEXTS = (
    b"\x1b]52;c;aGk=\x07", b"\x1b]0;owned\x07\x1b[2J", b"\x9b31m", "\u202egpj.exe".encode(), b"\r\x1b[K", b"\0" * 100,
    b"\xff\xfe" * 50, b"../" * 40 + b"etc/passwd", b"%n%n%n%s%s%s", b"x" * 2_000_000, b"{{ 1/0 }}", b"$(touch owned)",
    b"\n" * 10_000, b"[bold]x[/bold]", "\U0001f600".encode() * 3000,
)  # fmt: skip
TEMPLATES = (
    "{% for i in range(1000000000) %}x{% endfor %}", "{{ 'x' * 999999999 }}", "{{ '%999999999d' % 1 }}",
    "{{ 9 ** 9 ** 9 ** 9 }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    "{% if " + "not " * 5000 + "x %}{% endif %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages",
    "{% include '/etc/passwd' %}", "{% set x = 'a' %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}", "", "{{ messages }}",
    "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "\x1b]0;owned\x07",
    "{{ raise_exception('\x07') }}",
    "{{ 'a' | center(999999999) }}", "{{ range(999999) | list | join(range(999999) | join) }}", "x" * 3_000_000,
)  # fmt: skip


def _alignment(rng: random.Random, file: File) -> str:
    value = rng.choice(ALIGNMENTS)
    key = Value(rng.choice([4, 4, 4, 10, 0, 6]), value)
    file.keys = [one for one in file.keys if one[0] != b"general.alignment"]
    file.keys += [(b"general.alignment", key)] * rng.choice([1, 1, 2])
    return f"alignment {value} (type {key.kind})"


def _text(rng: random.Random, file: File) -> str:
    text = rng.choice(TEXTS)
    texts = [index for index, (_, value) in enumerate(file.keys) if value.kind == STRING and not value.array]
    if rng.random() < 0.3 or not texts:
        file.keys.append((text[: rng.choice([20, 5000])], Value(STRING, text)))
        return f"a key called {text[:20]!r}"
    index = rng.choice(texts)
    name, _ = file.keys[index]
    file.keys[index] = name, Value(STRING, text)
    return f"{name.decode()} is {text[:30]!r}"


def _template(rng: random.Random, file: File) -> str:
    text = rng.choice(TEMPLATES)
    name = rng.choice([b"tokenizer.chat_template"] * 4 + [b"tokenizer.chat_template.default"])
    file.keys = [one for one in file.keys if one[0] != name]
    file.keys.append((name, Value(STRING, text.encode())))
    return f"{name.decode()} is {text[:40]!r}"


def _array(rng: random.Random, file: File) -> str:
    """An array of very many, or of arrays of arrays; in the place of a value, or as a key that nobody asked for."""
    many = rng.choice([100_000, 2_000_000, 11_000_000])
    deep = rng.choice([2, 100, 100_000])
    nested = b"".join((ARRAY.to_bytes(4, "little") + (1).to_bytes(8, "little")) for _ in range(deep))
    value, what = rng.choice(
        [
            (Value(0, [0] * many, True), f"{many} numbers"),
            (Value(STRING, [b""] * min(many, 1_000_000), True), f"{min(many, 1_000_000)} empty texts"),
            (Value(ARRAY, [nested + bytes(12)], True), f"{deep} arrays in one another"),
        ]
    )
    index = rng.randrange(len(file.keys))
    name = rng.choice([file.keys[index][0], b"general.tags"])
    file.keys = [one for one in file.keys if one[0] != name]
    file.keys.insert(min(index, len(file.keys)), (name, value))
    return f"{name.decode()} is {what}"


def _vocabulary(rng: random.Random, file: File) -> str:
    """Tables of the vocabulary that do not go together, or hold what no table may."""
    tables = [(name, value) for name, value in file.keys if value.array and name.startswith(b"tokenizer.ggml.")]
    if not tables:
        return _alignment(rng, file)
    name, value = rng.choice(tables)
    count = len(value.value)
    if value.kind == STRING:
        long = [b"x" * 100_000, *value.value[1:]]
        value.value = rng.choice(
            [[b"a"] * count, [b" "] * count, long, [b"\xff"] * count, value.value * 50, [b"a b c"] * count]
        )
    else:
        bad = rng.choice([0, 1, 7, -1, 1 << 30]) if value.kind != 6 else rng.choice([float("nan"), float("inf"), -1e38])
        value.value = rng.choice([[bad] * count, [bad] * (count * 3), value.value[: count // 2]])
    return f"{name.decode()} has {len(value.value)} of {str(value.value[:1])[:30]}"


def _parts(rng: random.Random, file: File) -> str:
    """A file that says it is one of many, and the others are not there."""
    count, number = rng.choice([(99_999, 0), (2, 0), (2, 1), (65_535, 65_535), (0, 0), (1, 9)])
    file.keys += [(b"split.count", Value(2, count)), (b"split.no", Value(2, number))]
    file.keys.append((b"split.tensors.count", Value(5, rng.choice([0, -1, 1 << 30]))))
    return f"part {number} of {count}"


def _version(rng: random.Random, file: File) -> str:
    file.version = rng.choice([1, 2, 4, 999, 0x03000000, 0x02000000, (1 << 32) - 1])
    return f"version {file.version}"


def _ids(rng: random.Random, file: File) -> str:
    """Special tokens that are no tokens."""
    found = [index for index, (name, _) in enumerate(file.keys) if name.endswith(b"_token_id")]
    name = file.keys[rng.choice(found)][0] if found else b"tokenizer.ggml.eos_token_id"
    value = rng.choice([1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
    file.keys = [one for one in file.keys if one[0] != name]
    file.keys.append((name, Value(4, value)))
    return f"{name.decode()} is {value}"


WAYS: tuple[tuple[int, Callable[[random.Random, File], str]], ...] = (
    (2, _alignment), (4, _text), (4, _template), (2, _array), (4, _vocabulary), (2, _parts), (1, _version), (2, _ids),
)  # fmt: skip
