"""What lies beside a model does not stop it, and its projector is found by what the files are."""

import os
import random
import shutil
import struct
import sys

import pytest

from tests.support.program import ANSWER, SCENE, vlm
from vlmcli import demo
from vlmcli.bench import mutants
from vlmcli.bench.mutants import File, Value
from vlmcli.errors import ModelError
from vlmcli.models import repository, store

WORDS, EYES = demo.FILES.model.read_bytes(), demo.FILES.projector.read_bytes()


def header(**keys):
    """A GGUF file of nothing but keys that are texts."""
    return mutants.write(File(keys=[(name.replace("_", ".").encode(), Value(8, text)) for name, text in keys.items()]))


def mutant(seed):
    """The demo's projector with wrong bytes in its header."""
    rng, raw = random.Random(seed), bytearray(EYES)
    for _ in range(8):
        at = rng.randrange(24, 4000)
        raw[at : at + 8] = rng.choice([rng.randbytes(8), b"\xff" * 8])
    return bytes(raw)


JUNK = {
    "of macOS": b"\0\5\x16\7" + bytes(4092),
    "empty": b"",
    "a few bytes": b"GGUF\3",
    "a web page": b"<!DOCTYPE html><html><body>log in first</body></html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "half of a model": WORDS[: len(WORDS) // 2],
    "half of a header": WORDS[:5000],
    "a projector without its end": EYES[:-100],
    "zeros": bytes(1 << 16),
    "old": b"GGUF" + struct.pack("<IQQ", 1, 0, 0) + bytes(64),
    "a billion keys": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + bytes(64),
    "a string of no end": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62) + bytes(64),
    "an adapter": header(general_architecture=b"llama", general_type=b"adapter"),
    "an importance matrix": header(general_type=b"imatrix"),
    "no architecture": header(general_name=b"x"),
    "mutants": mutant(1),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the demo's pair under usual names, which the test is in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.gguf").write_bytes(WORDS)
    (tmp_path / "mmproj-good.gguf").write_bytes(EYES)
    return tmp_path


def found(name, **options):
    """The names of the two files, and what is told."""
    told = []
    files = store.resolve(str(name), tell=told.append, **options)
    return files.model.name, files.projector.name, told


PAIR = ("good.gguf", "mmproj-good.gguf")


@pytest.mark.parametrize("what", JUNK)
@pytest.mark.parametrize("name", ["a.gguf", "z.gguf", "mmproj-a.gguf", "good-vision.gguf", "._good.gguf"])
def test_junk_beside_a_model_does_not_stop_it(here, what, name):
    (here / name).write_bytes(JUNK[what])
    opened = name in ("mmproj-a.gguf", "good-vision.gguf")
    for word in ("good.gguf", "."):
        model, projector, told = found(word)
        assert (model, projector) == PAIR
        assert len(told) == (opened or (word == "." and name[0] != "."))
        assert all(one.startswith("skipped ") and name in one for one in told)


def a_folder(path):
    path.mkdir()
    (path / "x").write_bytes(EYES)


KINDS = {
    "a folder": a_folder,
    "a broken link": lambda path: path.symlink_to("gone.gguf"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a pipe": os.mkfifo if sys.platform != "win32" else None,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("name", ["mmproj-a.gguf", "other.gguf"])
def test_what_is_no_file_is_passed_over(here, what, name):
    KINDS[what](here / name)
    for word in ("good.gguf", "."):
        assert found(word) == (*PAIR, [])


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_broken_link_says_where_it_points(here):
    (here / "lost.gguf").symlink_to("gone.gguf")
    with pytest.raises(ModelError, match=r"lost\.gguf: a broken link to gone\.gguf, not a GGUF file") as caught:
        found("lost.gguf")
    assert caught.value.hint == "make it point to the file, or remove it"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions, which root does not have")
def test_a_closed_file_is_left_out_with_a_word(here):
    (here / "mmproj-a.gguf").write_bytes(EYES)
    (here / "mmproj-a.gguf").chmod(0)
    assert found("good.gguf")[2] == ["skipped mmproj-a.gguf: cannot be read (Permission denied)"]


@pytest.mark.parametrize("hidden", [".mmproj-good.gguf", "._mmproj-good.gguf", ".x.gguf"])
def test_what_is_hidden_is_never_taken(here, hidden):
    (here / "mmproj-good.gguf").rename(here / hidden)
    for word in ("good.gguf", "."):
        with pytest.raises(ModelError, match="has no projector"):
            found(word)
    (here / "eyes.gguf").write_bytes(EYES)
    assert found(".") == ("good.gguf", "eyes.gguf", [])


def test_only_files_with_a_projectors_name_are_opened_where_one_of_them_is_it(here):
    for number in range(50):
        (here / f"other-{number}.gguf").write_bytes(b"junk that is not looked at")
    assert found("good.gguf") == (*PAIR, [])


@pytest.mark.parametrize("broken", ["mmproj-good.gguf", "good-mmproj-F16.gguf", "vision.gguf", "clip-good.gguf"])
def test_a_broken_projector_is_named_and_another_taken(here, broken):
    (here / "mmproj-good.gguf").rename(here / "eyes.gguf")
    (here / broken).write_bytes(EYES[: len(EYES) // 2])
    for word in ("good.gguf", "."):
        model, projector, (told,) = found(word)
        assert (model, projector) == ("good.gguf", "eyes.gguf")
        assert told.startswith(f"skipped {broken}: cut off: ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "mmproj-good.gguf: not a GGUF file (0 bytes)"),
        (EYES[:-100], "mmproj-good.gguf: cut off: at least 100 bytes"),
        (b"<html>" + bytes(99), "mmproj-good.gguf: a web page"),
        (JUNK["a billion keys"], "mmproj-good.gguf: damaged or incomplete GGUF file"),
    ],
)
def test_where_nothing_good_is_left_the_broken_one_is_named(here, data, said):
    (here / "mmproj-good.gguf").write_bytes(data)
    for word in ("good.gguf", "."):
        with pytest.raises(ModelError) as caught:
            found(word)
        assert "has no projector" in caught.value.message
        assert f"that can be used ({said}" in caught.value.message
        assert caught.value.hint == "download it again"


@pytest.mark.parametrize("data", [b"", WORDS[:-100], b"<html>" + bytes(99)])
def test_a_folder_whose_one_model_is_broken_names_it(here, data):
    (here / "good.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=r"this folder has no language model that can be used \(good\.gguf: "):
        found(".")


def test_a_model_that_is_broken_is_said_to_be_so(here):
    for data, said in ((b"", "0 bytes"), (WORDS[:-9], "cut off"), (EYES, "a projector, not a language model")):
        (here / "good.gguf").write_bytes(data)
        with pytest.raises(ModelError, match=f"good.gguf: .*{said}"):
            found("good.gguf")


# --- Several projectors ---


@pytest.mark.parametrize("other", ["gemma3", "qwen2vl", "lfm2vl"])  # a plain mlp (llava) goes with many models
@pytest.mark.parametrize(
    "names", [("mmproj-a.gguf", "mmproj-b.gguf"), ("mmproj-good.gguf", "mmproj-b.gguf"), ("x.gguf", "y.gguf")]
)
def test_of_several_projectors_the_one_that_fits_is_taken(tmp_path, small, other, names):
    shutil.copy(small / "smolvlm.gguf", tmp_path / "good.gguf")
    for name, whose in zip(names, (other, "smolvlm"), strict=True):
        shutil.copy(small / f"mmproj-{whose}.gguf", tmp_path / name)
    for word in (tmp_path, tmp_path / "good.gguf"):
        assert found(word) == ("good.gguf", names[1], [])


def test_where_none_fits_that_is_said(tmp_path, small):
    shutil.copy(small / "smolvlm.gguf", tmp_path / "good.gguf")
    shutil.copy(small / "mmproj-gemma3.gguf", tmp_path / "mmproj-a.gguf")
    for word in (tmp_path, tmp_path / "good.gguf"):
        with pytest.raises(ModelError, match=r"mmproj-a\.gguf: not the projector of .*good\.gguf"):
            found(word)
    shutil.copy(small / "mmproj-qwen2vl.gguf", tmp_path / "mmproj-b.gguf")
    with pytest.raises(ModelError, match=r"none of the projectors in its folder belongs to it \(mmproj-a\.gguf, m"):
        found(tmp_path / "good.gguf")
    with pytest.raises(ModelError, match=r"this folder has 2 projectors \(mmproj-a\.gguf, mmproj-b\.gguf\)"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("model", "projectors", "own"),
    [
        ("m.gguf", ["mmproj-F16.gguf", "mmproj-Q8_0.gguf", "mmproj-F32.gguf"], "mmproj-F16.gguf"),
        ("m.gguf", ["mmproj-m-Q8_0.gguf", "mmproj-m-BF16.gguf"], "mmproj-m-Q8_0.gguf"),
        ("m-Q4_K_M.gguf", ["mmproj-m-F32.gguf", "mmproj-n-F16.gguf"], "mmproj-m-F32.gguf"),
        ("m-Q4_K_M.gguf", ["m.mmproj-f16.gguf", "mmproj-F16.gguf"], "m.mmproj-f16.gguf"),
        ("m.gguf", ["mmproj-a-F16.gguf", "mmproj-b-Q8_0.gguf"], ""),
        ("m.gguf", ["mmproj-a.gguf", "mmproj-b.gguf"], ""),
        ("m.gguf", ["mmproj-m.gguf", "mmproj_m.gguf"], ""),
    ],
)
def test_of_several_that_fit_the_one_that_names_say(tmp_path, model, projectors, own):
    (tmp_path / model).write_bytes(WORDS)
    for name in projectors:
        (tmp_path / name).write_bytes(EYES)
    for word in (tmp_path, tmp_path / model):
        if own:
            assert found(word) == (model, own, [])
            continue
        with pytest.raises(ModelError, match="projectors") as caught:
            found(word)
        assert all(name in caught.value.message for name in projectors)
        assert caught.value.hint == "choose one: --mmproj FILE"


def test_several_models_in_a_folder_are_an_error_and_each_finds_its_projector(here):
    (here / "better.gguf").write_bytes(WORDS + bytes(1))
    with pytest.raises(ModelError, match=r"this folder has 2 language models \(better\.gguf, good\.gguf\)"):
        found(".")
    assert found("better.gguf")[:2] == ("better.gguf", "mmproj-good.gguf")


@pytest.mark.parametrize("name", ["good.imatrix.gguf", "mtp-good.gguf", "good-draft.gguf", "eagle3-good.gguf"])
def test_what_is_used_beside_a_model_is_no_second_one(here, name):
    (here / name).write_bytes(WORDS)
    assert found(".") == (*PAIR, [])


def test_a_link_to_the_model_is_the_model(here):
    (here / "mmproj-good.gguf").rename(here / "eyes.gguf")
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "real.gguf").write_bytes(WORDS)
    (here / "link.gguf").symlink_to("elsewhere/real.gguf")
    assert found("link.gguf")[:2] == ("link.gguf", "eyes.gguf")


# --- Through the command ---


def test_the_command_says_what_is_left_out_and_answers(here):
    (here / "mmproj-bad.gguf").write_bytes(b"")
    (here / "._good.gguf").write_bytes(JUNK["of macOS"])
    for word in ("good.gguf", "."):
        done = vlm("ask", "-m", word, SCENE, "what is this?", cwd=here)
        assert (done.stdout, done.returncode) == (ANSWER, 0)
        assert done.stderr.count("vlm: skipped mmproj-bad.gguf: not a GGUF file (0 bytes)\n") == 1
    shown = vlm("show", "./good.gguf", cwd=here)
    assert (shown.returncode, "mmproj-bad.gguf" in shown.stderr) == (0, True)


def test_hidden_files_in_a_listing_are_no_models():
    files = tuple(
        repository.RemoteFile(path, 1)
        for path in ("m-Q8_0.gguf", "mmproj-F16.gguf", "._m-Q8_0.gguf", "._mmproj-F16.gguf", "a/.x.gguf")
    )
    listing = repository.Repository("o/m", "0" * 40, files)
    (pair,) = repository.pairs(listing)
    assert (pair, [file.path for file in pair.files]) == (
        repository.choose(listing),
        ["m-Q8_0.gguf", "mmproj-F16.gguf"],
    )
