"""Runs over folders of pictures: the folders, the installed command in them, and what it has written."""

import io
import json
import random
import subprocess

from tests.support import ROOT, faulty, program
from tests.support.program import VLM
from vlmcli.demo import scenes

SCENE = ROOT / "docs" / "images" / "scene.png"
QUESTION = "what is this?"
_CHANCE = random.Random(20)
_DRAWN = []  # pictures of `drawn`, which are always the same


def started(folder, *words):
    """The installed command, at work in a folder."""
    return _started(folder, [VLM, *words])


def _started(folder, command):
    return subprocess.Popen(
        command, cwd=folder, env=faulty.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def vlm(folder, *words, fault=""):
    """A command in a folder, to its end; with a fault (tests/support/faults.py) in a process of its own."""
    if fault:
        running = _started(folder, faulty.command(fault, *words))
        out, err = running.communicate(timeout=300)
        done = subprocess.CompletedProcess(words, running.returncode, out, err)
    else:
        done = program.vlm(*words, cwd=folder)
    assert "Traceback" not in done.stderr
    return done


def ask(folder, *words):
    """The run of most tests here."""
    return vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "--output", "out.jsonl", *words)


def lines(folder, name="out.jsonl"):
    """The records, all of them whole."""
    text = (folder / name).read_text("utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def drawn(folder, count):
    """A folder of scenes. Returns their names."""
    (folder / "pics").mkdir()
    names = [f"pics/{number:04}.png" for number in range(count)]
    for number, name in enumerate(names):
        while len(_DRAWN) <= number:
            data = io.BytesIO()
            scenes.draw(scenes.make(_CHANCE, size=(192, 160))).save(data, "PNG")
            _DRAWN.append(data.getvalue())
        (folder / name).write_bytes(_DRAWN[number])
    return names
