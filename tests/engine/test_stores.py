"""What is kept for later processes, attacked: an answer is right whatever has become of it, and nothing stays behind.

How entries themselves stand this is in tests/test_entries.py; what the command shows of it, in tests/cli/test_cache.py.
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vlmcli
from tests.support.disks import full
from tests.support.engines import ask, opened
from vlmcli import demo
from vlmcli.entries import Entries
from vlmcli.pictures import images
from vlmcli.placement import Caching
from vlmcli.values import Answer, Message

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")

FIRST, SECOND = "what is this?", "What color is the circle?"
RIGHT = "The circle is red."
KINDS = ("embeddings", "facts", "prefixes")


def caching(folder, **more):
    """All that can be kept is kept."""
    return Caching(folder, **{"seconds": 0.0, **more})


def asked(folder, picture, question=SECOND, files=demo.FILES, request=None, **more):
    """One question as in a process of its own. Returns the answer, and whether the projector was loaded for it."""
    with opened(files, caching=caching(folder, **more), ready=False, n_ctx=1024) as engine:
        (found,) = engine.run([request or ask(question, picture)])
        loaded = engine.loaded.lazy.is_loaded
    assert isinstance(found, Answer), found
    return found, loaded


@pytest.fixture(scope="module")
def known(tmp_path_factory, scene):
    """What one question about the scene leaves behind."""
    folder = tmp_path_factory.mktemp("known")
    answer, _ = asked(folder, scene, FIRST)
    assert (answer.usage.encoded, answer.usage.restored_tokens) == (1, 0)
    assert {path.name: len(list(path.iterdir())) for path in folder.iterdir()} == dict.fromkeys(KINDS, 1)
    return folder


@pytest.fixture
def folder(known, tmp_path):
    """A copy of that."""
    return Path(shutil.copytree(known, tmp_path / "cache"))


def entry(folder, kind):
    """The only entry of a kind."""
    (path,) = [one for one in (folder / kind).iterdir() if one.name != "hits"]
    return path


def left(folder):
    """Files that are no entry of any kind."""
    return [one for one in folder.rglob("*") if one.is_file() and len(one.name) != 64 and one.name != "hits"]


def check(folder, scene, **usage):
    """The second question has the right answer, and came about like this; and the third finds all that there is."""
    answer, _ = asked(folder, scene)
    assert answer.text.strip() == RIGHT
    assert {name: getattr(answer.usage, name) for name in usage} == usage
    assert left(folder) == []
    return answer


def test_a_second_process_computes_the_question_alone(folder, scene):
    unreadable = replace(scene, load=None)
    answer, loaded = asked(folder, unreadable)
    assert (answer.text.strip(), loaded) == (RIGHT, False)
    assert answer.usage.restored_tokens >= answer.usage.picture_tokens > 0
    assert (answer.usage.encoded, answer.usage.remembered) == (0, 0)


# ------------------------------------------------------------------------------------------ damaged entries


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _emptied(path):
    path.write_bytes(b"")


def _flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _linked(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to("../elsewhere")


def _piped(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [_cut, _emptied, _flipped, _linked, _piped])
def test_damaged_entries_are_computed_again(folder, scene, damage):
    for kind in KINDS:
        damage(entry(folder, kind))
    answer, loaded = asked(folder, scene)
    assert (answer.text.strip(), loaded) == (RIGHT, True)
    assert (answer.usage.encoded, answer.usage.restored_tokens) == (1, 0)
    if damage is _piped:  # stays, as it is nobody's to remove
        return
    (folder / "elsewhere").unlink(missing_ok=True)
    again, loaded = asked(folder, scene, FIRST)
    assert (again.usage.encoded, loaded) == (0, False)
    assert again.usage.restored_tokens > 0
    assert left(folder) == []


def test_without_the_prefix_the_picture_is_not_encoded_all_the_same(folder, scene):
    _flipped(entry(folder, "prefixes"))
    check(folder, scene, encoded=0, remembered=1, restored_tokens=0)


def test_without_the_embedding_the_prefix_does(folder, scene):
    _flipped(entry(folder, "embeddings"))
    check(folder, scene, encoded=0, remembered=0, restored_tokens=68)


def test_an_entry_of_another_picture_under_this_name_is_not_taken(folder, tmp_path, scene):
    blue = images.from_pixels(bytes((40, 70, 200)) * 384 * 384, (384, 384), "blue.png")
    asked(tmp_path / "other", blue, FIRST)
    for kind in ("embeddings", "prefixes"):
        shutil.copy(entry(tmp_path / "other", kind), entry(folder, kind))
    check(folder, scene, encoded=1, restored_tokens=0)


# ------------------------------------------------------------------------------------------ whole, and wrong


def rewritten(folder, kind, change):
    """Let an entry say something else, under a checksum that is right."""
    path = entry(folder, kind)
    entries = Entries(path.parent, 1 << 30)
    found = entries.get(path.name)
    about, content = change(json.loads(found.about), bytes(found.content))
    assert entries.put(
        path.name, about if isinstance(about, bytes) else json.dumps(about).encode(), memoryview(content)
    )


def of_state(change):
    """A change of the bytes that llama.cpp gets; the entry says how many there are then."""

    def changed(about, content):
        content = change(bytearray(content))
        return {**about, "pieces": [len(content)]}, bytes(content)

    return changed


def number(at, value):
    """The same with another 32-bit number in a place."""
    return of_state(lambda data: data[:at] + value.to_bytes(4, "little") + data[at + 4 :])


STATES = {
    "cut": of_state(lambda data: data[:-100]),
    "cut to a few bytes": of_state(lambda data: data[:5]),
    "empty": of_state(lambda data: b""),
    "longer": of_state(lambda data: data + bytes(64)),
    "zeros": of_state(lambda data: bytes(len(data))),
    "ones": of_state(lambda data: b"\xff" * len(data)),
    "another number of cells": number(12, 3),
    "very many cells": number(12, 0x7FFF_FFFF),
    "more streams": number(8, 2),
    "of another format": number(0, 1),
    "another last position": lambda about, content: ({**about, "last_position": about["last_position"] + 1}, content),
    "an earlier one": lambda about, content: ({**about, "last_position": about["last_position"] - 1}, content),
    "more bytes than there are": lambda about, content: ({**about, "pieces": [len(content) + 9]}, content),
    "fewer segments": lambda about, content: ({**about, "segments": about["segments"][:1]}, content),
    "other tokens": lambda about, content: ({**about, "segments": [{"tokens": [5]}, *about["segments"][1:]]}, content),
    "no segments": lambda about, content: ({**about, "segments": []}, content),
    "a picture that was not asked about": lambda about, content: (
        {**about, "segments": [*about["segments"][:-1], {**about["segments"][-1], "picture": 7}]}, content
    ),
    "nothing that it should": lambda about, content: ({}, content),
    "a list": lambda about, content: ([], content),
    "words for numbers": lambda about, content: ({**about, "pieces": ["x"], "closing": 1}, content),
    "no JSON": lambda about, content: (b"\xff{", content),
}  # fmt: skip


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", STATES)
def test_a_state_that_does_not_fit_is_not_answered_from(folder, scene, name):
    rewritten(folder, "prefixes", STATES[name])
    answer = check(folder, scene, encoded=0, restored_tokens=0)
    assert answer.usage.prompt_tokens == 80


@pytest.mark.parametrize(
    "change",
    [
        lambda about, content: ({**about, "rows": about["rows"] // 2}, content),
        lambda about, content: ({**about, "width": 1}, content),
        lambda about, content: (about, content[:-4]),
        lambda about, content: (b"", content),
    ],
)
def test_an_embedding_that_does_not_fit_is_not_taken(folder, scene, change):
    entry(folder, "prefixes").unlink()
    rewritten(folder, "embeddings", change)
    check(folder, scene, encoded=1, remembered=0)


@pytest.mark.parametrize("about", [b"", b"[]", b"{}", b'{"rows": "many"}', b'{"rows": -1}', b'{"rows": 1e400}'])
def test_a_fact_that_is_none_is_found_out_again(folder, scene, about):
    rewritten(folder, "facts", lambda _, content: (about, content))
    answer, loaded = asked(folder, scene)
    assert (answer.text.strip(), loaded) == (RIGHT, True)


# ------------------------------------------------------------------------------------------ places


def test_a_full_disk_keeps_what_finds_room(tmp_path, scene):
    with full(60_000):
        answer, _ = asked(tmp_path, scene)
    assert answer.text.strip() == RIGHT
    assert {path.name: len(list(path.iterdir())) for path in tmp_path.iterdir()} == {
        "embeddings": 1, "facts": 1, "prefixes": 0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "link to a file", "link to nothing", "another's", "no path"])
def test_a_folder_that_is_none_is_left_alone(tmp_path, scene, kind):
    place, mine = tmp_path / "cache", tmp_path / "mine"
    mine.write_bytes(b"mine")
    if kind == "no path":
        place = tmp_path / "a\0b"
    elif kind == "file":
        place.write_bytes(b"mine")
    elif kind == "another's":
        if os.geteuid() != 0:
            pytest.skip("only root can make another user's folder")
        for name in KINDS:
            (place / name).mkdir(parents=True)
            os.chown(place / name, 12345, 12345)
    else:
        place.symlink_to("mine" if kind == "link to a file" else "no/where")
    before = sorted((str(one), one.is_file() and one.read_bytes()) for one in tmp_path.rglob("*"))
    answer, _ = asked(place, scene)
    assert (answer.text.strip(), answer.usage.encoded) == (RIGHT, 1)
    assert sorted((str(one), one.is_file() and one.read_bytes()) for one in tmp_path.rglob("*")) == before


def test_leftovers_go_even_if_nothing_is_written(folder, scene):
    for kind in KINDS:
        (folder / kind / f".vlm-{'a' * 16}.part").write_bytes(b"half")
    answer = check(folder, scene, encoded=0)
    assert answer.usage.restored_tokens
    assert [len(list((folder / kind).glob("*.part"))) for kind in KINDS] == [0, 0, 0]


def test_a_limit_keeps_the_newest_and_half_of_it_at_most(tmp_path):
    """Four pictures, each of 49 kB: the first process keeps two, and the second one puts its own in place of one."""

    def colour(level):
        return images.from_pixels(bytes((level, 70, 200)) * 96 * 96, (96, 96), f"{level}.png")

    with opened(demo.FILES, caching=caching(tmp_path, embeddings=220_000, seconds=1e9), n_ctx=1024) as engine:
        engine.run([ask(FIRST, colour(level)) for level in (0, 60, 120, 180)])
    assert len(list((tmp_path / "embeddings").iterdir())) == 2
    answer, _ = asked(tmp_path, colour(240), embeddings=110_000, seconds=1e9)
    assert answer.usage.encoded == 1
    assert len(list((tmp_path / "embeddings").iterdir())) == 2
    again, _ = asked(tmp_path, colour(240), embeddings=110_000, seconds=1e9)
    assert (again.usage.encoded, again.usage.remembered) == (0, 1)


# ------------------------------------------------------------------------------------------ what makes another one


def test_one_pixel_makes_another_entry(folder, scene):
    pixels = bytearray(scene.pixels())
    pixels[0] ^= 1
    edited = images.from_pixels(bytes(pixels), scene.size, scene.source)
    answer, _ = asked(folder, edited)
    assert (answer.usage.encoded, answer.usage.restored_tokens) == (1, 0)


@pytest.mark.parametrize("turns", ["system", "before"])
def test_another_text_before_the_picture_makes_another_prefix(folder, scene, turns):
    request = ask(SECOND, scene)
    if turns == "system":
        request = replace(request, messages=(Message("system", ("Answer in a word.",)), *request.messages))
    else:
        request = replace(request, messages=(Message("user", ("Look: ", scene, SECOND)),))
    answer, _ = asked(folder, scene, request=request)
    assert (answer.usage.restored_tokens, answer.usage.encoded, answer.usage.remembered) == (0, 0, 1)


def test_another_version_makes_another_prefix(folder, scene, monkeypatch):
    monkeypatch.setattr(vlmcli, "__version__", "0.0.1")
    answer, _ = asked(folder, scene)
    assert (answer.usage.restored_tokens, answer.usage.remembered) == (0, 1)


@pytest.mark.parametrize("which", ["model", "projector"])
def test_another_training_of_the_same_model_makes_another_entry(folder, scene, tmp_path, which):
    """One bit of the last weight is another; the header is the same."""
    there = getattr(demo.FILES, which)
    data = bytearray(there.read_bytes())
    data[-2] ^= 1
    (tmp_path / there.name).write_bytes(data)
    answer, _ = asked(folder, scene, files=replace(demo.FILES, **{which: tmp_path / there.name}))
    assert answer.usage.restored_tokens == 0
    assert (answer.usage.encoded, answer.usage.remembered) == ((0, 1) if which == "model" else (1, 0))


def test_another_template_makes_another_prefix_and_one_that_writes_the_same_does_not(folder, scene):
    source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    card = replace(demo.FILES.card, chat_template=f"{source}<|im_start|>assistant\n")
    answer, _ = asked(folder, scene, files=replace(demo.FILES, card=card))
    other, _ = asked(folder, scene, files=replace(demo.FILES, card=replace(card, chat_template=f"Now: {source}")))
    assert other.usage.restored_tokens == 0
    assert other.usage.remembered == answer.usage.remembered + (answer.usage.restored_tokens > 0)


def test_the_logits_after_a_restored_prefix_are_the_same_bit_for_bit(folder, scene):
    def logits(**more):
        found = []
        with opened(demo.FILES, lambda id, index, row: found.append(row.copy()), n_ctx=1024, **more) as engine:
            engine.run([ask(SECOND, scene)])
        return np.stack(found)

    cold, warm = logits(), logits(caching=caching(folder))
    assert np.array_equal(cold, warm)
