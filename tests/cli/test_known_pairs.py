"""A pair that an earlier command has looked at: the next one opens no file for its header, and sees every change."""

import os
import shutil
import struct
import subprocess
import sys
import time

import pytest

from tests.support import ROOT
from tests.support.place import objects
from tests.support.program import ANSWER, SCENE
from vlmcli import demo

WATCH = """
import os, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".gguf"):
        with open(os.environ["OPENED"], "a") as file:
            file.write(os.path.basename(str(arguments[0])) + chr(10))
sys.addaudithook(hook)
"""
"""A sitecustomize.py that writes down which models Python opens; llama.cpp opens them by itself."""


@pytest.fixture
def pair(place):
    """A folder with a pair, of which nothing is known, and which has not changed for some seconds."""
    folder = place.folder / "pair"
    folder.mkdir()
    shutil.copy(demo.FILES.model, folder / "words.gguf")
    shutil.copy(demo.FILES.projector, folder / "mmproj-words.gguf")
    (place.folder / "watch").mkdir()
    (place.folder / "watch" / "sitecustomize.py").write_text(WATCH, "utf-8")
    place.env["PYTHONPATH"] = os.pathsep.join([str(place.folder / "watch"), str(ROOT)])
    place.env["OPENED"] = str(place.folder / "opened")
    settle(folder)
    return folder


def settle(folder):
    while time.time_ns() - max(one.stat().st_ctime_ns for one in folder.iterdir()) < 2_100_000_000:
        time.sleep(0.1)


def vlm(place, *words):
    """A command in a process of its own. Returns it, and the models that Python opened, by name."""
    log = place.folder / "opened"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "vlmcli", *words], env=place.environment(), cwd=place.folder, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    return done, set(log.read_text("utf-8").split()) if log.exists() else set()


CONTEXT = b"llama.context_length" + struct.pack("<I", 4)
BOTH = {"words.gguf", "mmproj-words.gguf"}


def test_a_second_look_opens_neither_file(place, pair):
    first, opened = vlm(place, "show", "-m", str(pair), "--json")
    assert opened == BOTH
    second, opened = vlm(place, "show", "-m", str(pair), "--json")
    assert opened == set()
    assert (second.returncode, second.stdout, second.stderr) == (first.returncode, first.stdout, first.stderr)
    assert first.returncode == 0, first.stderr


def test_what_is_known_does_for_a_question(place, pair):
    question = ("ask", "-m", str(pair), SCENE, "what is this?")
    for worker in ((), ("--worker",)):
        for _ in range(2):
            done, _ = vlm(place, *question, *worker)
            assert (done.stdout, done.returncode) == (ANSWER, 0), done.stderr


def test_a_change_in_place_is_seen_and_a_projector_of_anothers_refused(place, pair, small):
    model = pair / "words.gguf"
    done, _ = vlm(place, "show", "-m", str(pair), "--json")
    trained = objects(done)[0]["context"]
    about, data = model.stat(), bytearray(model.read_bytes())
    at = data.index(CONTEXT) + len(CONTEXT)
    assert data[at : at + 4] == struct.pack("<I", trained)
    data[at : at + 4] = struct.pack("<I", trained + 1)
    model.write_bytes(data)
    os.utime(model, ns=(about.st_atime_ns, about.st_mtime_ns))
    done, opened = vlm(place, "show", "-m", str(pair), "--json")
    assert "words.gguf" in opened
    assert objects(done)[0]["context"] == trained + 1
    shutil.copy(small / "mmproj-gemma3.gguf", pair / "mmproj-words.gguf")
    done, opened = vlm(place, "ask", "-m", str(model), "--mmproj", str(pair / "mmproj-words.gguf"), SCENE, "what?")
    assert done.returncode != 0
    assert "not the projector of" in done.stderr


def test_a_file_that_is_gone_is_missed(place, pair):
    words = ("ask", "-m", str(pair / "words.gguf"), "--mmproj", str(pair / "mmproj-words.gguf"), SCENE, "what?")
    assert vlm(place, *words)[0].returncode == 0
    (pair / "mmproj-words.gguf").unlink()
    done, _ = vlm(place, *words)
    assert done.returncode != 0
    assert "mmproj-words.gguf: there is no such file" in done.stderr


def test_damaged_entries_are_removed_and_written_again(place, pair):
    words = ("show", "-m", str(pair), "--json")
    first, _ = vlm(place, *words)
    entries = [one for one in (place.folder / "cache" / "vlm" / "pairs").iterdir() if len(one.name) == 64]
    assert len(entries) >= 3
    assert all(one.stat().st_mode & 0o077 == 0 for one in (*entries, entries[0].parent))
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-1])
    second, opened = vlm(place, *words)
    assert (second.stdout, opened) == (first.stdout, BOTH)
    third, opened = vlm(place, *words)
    assert (third.stdout, opened) == (first.stdout, set())
