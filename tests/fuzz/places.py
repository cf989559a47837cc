"""Special files in every place where a file can be named: `python -m tests.fuzz.places --count 500`.

A case is a place (an argument, an option, a variable, a line of a list or of a conversation, a file that `vlm` looks
for by itself) with something in it that is no plain file: a pipe, a device, a socket, a folder, a link that leads
nowhere, a file without an end. Each is run in a folder of its own. It must end in time, with an exit code of the table,
without a traceback, with an error that names the thing where it is one, and with the thing still there as it was.

Commands are run one after another in a process that has the program loaded; one that hangs or dies is reported, and
the next process goes on. Devices are made in the folder, never linked to: an error here must not spoil the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.fuzz.specials import NAMES, SPECIALS, disturbing, made
from tests.support import ROOT

SCENE = ROOT / "docs" / "images" / "scene.png"
DEMO = ROOT / "vlmcli" / "demo"
ASK = ("ask", "-m", "demo")
CAPTION = ("caption", "-m", "demo")
QUESTION = "what is this?"
LIMIT = 45
"""Seconds after which a command hangs: a pipe that no program writes to is waited for ten."""
CODES = (0, 1, 2, 3)

PLACES = {
    # name: (the thing's file, words, lines of stdin, variables)
    "picture": ("thing.png", (*ASK, "thing.png", QUESTION)),
    "picture without suffix": ("thing", (*ASK, "thing", QUESTION)),
    "pdf": ("thing.pdf", (*ASK, "thing.pdf", QUESTION)),
    "page": ("thing.pdf", (*ASK, "thing.pdf#1", QUESTION)),
    "dicom": ("thing.dcm", (*CAPTION, "thing.dcm")),
    "tiff": ("thing.tif", ("show", "thing.tif")),
    "second picture": ("thing.jpg", (*ASK, "good.png", "thing.jpg", QUESTION)),
    "in a folder": ("pics/thing.png", (*CAPTION, "pics")),
    "in a folder, without suffix": ("pics/thing", (*CAPTION, "pics", "--json")),
    "the folder": ("thing", (*CAPTION, "thing", "good.png")),
    "below a folder": ("pics/thing", (*CAPTION, "pics/**/*.png", "pics")),
    "in a list": ("thing.png", (*CAPTION, "--files-from", "list.txt")),
    "the list": ("thing.txt", (*CAPTION, "--files-from", "thing.txt")),
    "questions": ("thing.txt", (*ASK, "good.png", "--questions", "thing.txt")),
    "a template": ("thing.toml", (*ASK, "-t", "thing.toml", "good.png")),
    "an own template": ("config/vlm/templates/thing.toml", (*ASK, "-t", "thing", "good.png")),
    "listed templates": ("config/vlm/templates/thing.toml", ("templates",)),
    "settings": ("config/vlm/config.toml", ("ask", "good.png", QUESTION)),
    "settings, to be written": ("config/vlm/config.toml", ("default", "demo")),
    "settings of the doctor": ("config/vlm/config.toml", ("doctor",)),
    "a model": ("thing.gguf", ("ask", "-m", "thing.gguf", "--mmproj", "mmproj-demo.gguf", "good.png", QUESTION)),
    "a projector": ("thing.gguf", ("ask", "-m", "demo.gguf", "--mmproj", "thing.gguf", "good.png", QUESTION)),
    "a projector beside": ("mmproj-thing.gguf", ("ask", "-m", "demo.gguf", "good.png", QUESTION)),
    "in a model's folder": ("models/mmproj-thing.gguf", ("ask", "-m", "models", "good.png", QUESTION)),
    "a model's folder": ("thing", ("ask", "-m", "thing", "good.png", QUESTION)),
    "a shown model": ("thing.gguf", ("show", "thing.gguf")),
    "a verified model": ("thing.gguf", ("verify", "thing.gguf")),
    "a removed model": ("thing.gguf", ("rm", "-y", "thing.gguf")),
    "a default model": ("thing.gguf", ("default", "thing.gguf")),
    "a chat template": ("thing.jinja", (*ASK, "good.png", QUESTION, "--chat-template", "thing.jinja")),
    "output": ("thing.jsonl", (*CAPTION, "good.png", "--output", "thing.jsonl")),
    "output, to be looked at": (
        "thing.jsonl",
        (*CAPTION, "pics", "--output", "thing.jsonl", "--dry-run"),
    ),
    "journal": ("thing.jsonl", (*CAPTION, "good.png", "--journal", "thing.jsonl", "--format", "csv")),
    "html": ("thing.html", ("explain", "-m", "demo", "good.png", QUESTION, "--html", "thing.html")),
    "preview": ("thing.png", ("show", "good.png", "--preview", "thing.png", "-m", "demo")),
    "a text": ("good.txt", (*CAPTION, "good.png", "--sidecar", "txt")),
    "a text, replaced": (
        "good.txt",
        (*CAPTION, "good.png", "--sidecar", "txt", "--existing", "replace"),
    ),
    "a text, longer": ("good.txt", (*CAPTION, "good.png", "--sidecar", "txt", "--existing", "append")),
    "xmp": ("good.xmp", (*CAPTION, "good.png", "--sidecar", "xmp")),
    "xmp, replaced": (
        "good.png.xmp",
        (*CAPTION, "good.png", "--sidecar", "xmp", "--existing", "replace"),
    ),
    "written into": ("thing.png", (*CAPTION, "thing.png", "--write-metadata")),
    "a backup": (".good.png.vlm-backup", (*CAPTION, "good.png", "--write-metadata", "--in-place")),
    "a part": (".vlm-0123456789abcdef.part", (*CAPTION, "good.png", "--sidecar", "txt")),
    "/image": ("thing.png", ("chat", "-m", "demo"), "/image thing.png\nwhat is this?\n"),
    "dropped": ("thing.png", ("chat", "-m", "demo", "good.png"), "thing.png what is this?\n"),
    "/save": ("thing.json", ("chat", "-m", "demo", "good.png"), "what is this?\n/save thing.json\n"),
    "/load": ("thing.json", ("chat", "-m", "demo"), "/load thing.json\n"),
    "VLM_MODEL": ("thing.gguf", ("ask", "good.png", QUESTION), "", {"VLM_MODEL": "thing.gguf"}),
    "the cache": ("thing", ("ls",), "", {"HF_HOME": "thing"}),
    "in the cache": ("hub/hub/models--a--b", ("ls",)),
    "in a model of the cache": ("hub/hub/models--a--b/refs/main", ("ls",)),
    "in a snapshot": ("hub/hub/models--a--b/snapshots/0/thing.gguf", ("ls",)),
    "state": ("state", (*ASK, "good.png", QUESTION)),
    "in the state": ("state/vlm/running/1.txt", (*ASK, "good.png", QUESTION)),
    "config": ("thing", ("ask", "good.png", QUESTION), "", {"XDG_CONFIG_HOME": "thing"}),
    "stdin": ("thing.png", (*ASK, "-", QUESTION), None),
    "a list on stdin": ("thing.txt", (*CAPTION, "--files-from", "-"), None),
}
"""Where a file can be named. Lines of None are the thing itself, as stdin."""


TAKEN = ("a backup", "a part", "in the state")
"""Where a plain file is taken for what a killed run has left, and goes."""


def cases(seed: int) -> list[tuple[str, str]]:
    """All places with all things, in the seed's order."""
    found = [(place, special) for place in PLACES for special in [*SPECIALS, *NAMES]]
    Random(seed).shuffle(found)
    return found


def _prepared(folder: Path, place: str, special: str) -> Path:
    """A folder with what a case needs. Returns where the thing is."""
    for name in ("pics", "models", "config", "empty", "hub"):
        (folder / name).mkdir()
    for name in ("good.png", "pics/a.png"):
        shutil.copy(SCENE, folder / name)
    for name in ("demo.gguf", "mmproj-demo.gguf"):
        (folder / name).symlink_to(DEMO / name)
    (folder / "models" / "demo.gguf").symlink_to(DEMO / "demo.gguf")
    (folder / "list.txt").write_bytes(b"good.png\n" + os.fsencode(_named("thing.png\n", special)))
    thing = folder / _named(PLACES[place][0], special)
    thing.parent.mkdir(parents=True, exist_ok=True)
    if place == "a projector beside":
        (folder / "mmproj-demo.gguf").unlink()
    made(special, thing, SCENE)
    return thing


def _named(text: str, special: str) -> str:
    """What a case says, with the name that its thing has."""
    return text.replace("thing", NAMES.get(special, "thing"))


def child(seed: int, numbers: list[int]) -> None:
    """Run cases, and write what came of each as a line of JSON: number, exit code, stderr, seconds, what is wrong."""
    _without_privileges()
    out = os.fdopen(os.dup(1), "w")
    from vlmcli.cli import app

    everything = cases(seed)
    for number in numbers:
        place, special = everything[number]
        out.write(json.dumps([number]) + "\n")
        out.flush()
        with tempfile.TemporaryDirectory(prefix="vlm-places-", ignore_cleanup_errors=True) as name:
            folder, streams = Path(name, "case"), Path(name, "streams")
            folder.mkdir()
            streams.mkdir()
            thing = _prepared(folder, place, special)
            kind = kind_of(thing)
            if place in TAKEN and kind[:1] == [stat.S_IFREG]:
                kind = []
            _, words, *more = PLACES[place]
            lines, variables = (*more, "", {})[0] if more else "", more[1] if len(more) > 1 else {}
            own = {"XDG_CONFIG_HOME": "config", "HF_HOME": "hub", "XDG_STATE_HOME": "state"} | variables
            os.environ.update({key: str(folder / _named(value, special)) for key, value in own.items()})
            os.environ.pop("VLM_MODEL", None)
            if "VLM_MODEL" in variables:
                os.environ["VLM_MODEL"] = _named(variables["VLM_MODEL"], special)
            os.chdir(folder)
            start = time.monotonic()
            with disturbing(special, thing, SCENE):
                given = thing if lines is None else _named(lines, special)
                code, said = _run(app.main, [_named(word, special) for word in words], streams, given)
            seconds = time.monotonic() - start
            wrong = wrong_of(code, said, kind, thing, special)
            os.chdir("/")
            folder.chmod(0o700)
            for path in folder.rglob("*"):
                with suppress(OSError):
                    if path.is_dir() and not path.is_symlink():
                        path.chmod(0o700)
            out.write(json.dumps([number, code, said[-600:], seconds, wrong]) + "\n")
            out.flush()


def _without_privileges() -> None:
    """Root reads everything: leave that out, so that what may not be read cannot be."""
    with suppress(OSError, AttributeError):
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if libc.capget(header, data) == 0:  # CAP_DAC_OVERRIDE is 1, CAP_DAC_READ_SEARCH 2
            data[0] &= ~0b110
            libc.capset(header, data)


def _run(main, words: list[str], folder: Path, given: Path | str) -> tuple[int, str]:
    """The command with files of its own as its streams. Returns its exit code, and stderr."""
    kept = [os.dup(number) for number in range(3)]
    streams = sys.stdin, sys.stdout, sys.stderr
    at_hand = folder / "given"
    at_hand.write_bytes(os.fsencode(given) if isinstance(given, str) else b"")
    try:
        if isinstance(given, Path) and given.is_dir():  # which Python itself ends at
            given = at_hand
        source = os.open(given if isinstance(given, Path) else at_hand, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(source, True)
    except OSError:  # a shell could not have opened it either
        source = os.open(at_hand, os.O_RDONLY)
    out, err = (os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("out", "err"))
    try:
        for number, file in enumerate((source, out, err)):
            os.dup2(file, number)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
            for number, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        try:
            code = int(main(words))
        except BaseException as error:
            code = -1
            os.write(2, f"Traceback: {type(error).__name__}: {error}".encode("utf-8", "backslashreplace"))
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)
        for file in (source, out, err):
            os.close(file)
    return code, (folder / "err").read_bytes()[-20_000:].decode("utf-8", "replace")


def kind_of(path: Path) -> list[int]:
    try:
        found = path.lstat()
    except OSError:
        return []
    return [stat.S_IFMT(found.st_mode), found.st_rdev]


_ALSO = (
    "good", "demo.gguf", "config", "stdin", "-:", "cache", "state", "hostname", "option", "no model chosen",
    "question", "no such file", "models: ", "[[[[",
)  # fmt: skip
"""What an error may name in the thing's place: what belongs to it, its folder, its content, what a link leads to, the
command's own words."""


def wrong_of(code: int, said: str, kind: list[int], thing: Path, special: str) -> str:
    """What must not be, if it is; empty otherwise."""
    if "Traceback" in said:
        return "a traceback"
    if code not in CODES:
        return f"exit code {code}"
    if code and not said.strip():
        return "an error that says nothing"
    names = {"hing", thing.name.split(".")[0] or thing.name, thing.parent.name, *_ALSO}
    # "hing": to the parser, -thing is -t with the value hing
    if code and not any(name in said for name in names):
        return "an error that names nothing"
    if kind and kind_of(thing) != kind and special not in ("flickering", "slow pipe"):
        return f"it is of another kind now: {kind} was, {kind_of(thing)} is"
    return ""


def outcomes(seed: int, numbers: list[int]):
    """What came of each case: number, exit code, stderr, seconds, what is wrong."""
    left = list(numbers)
    command = [sys.executable, "-m", "tests.fuzz.places", "--seed", str(seed), "--child"]
    while left:
        running = subprocess.Popen(
            [*command, json.dumps(left)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "VLM_PATIENCE": "20"}, start_new_session=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        lines = _lines_of(running)
        begun = False
        for line in lines:
            if line is None:  # it hangs
                break
            found = json.loads(line)
            begun = True
            if len(found) > 1:
                left.pop(0)
                yield tuple(found)
        else:
            if left:
                running.wait()
                if not begun:
                    raise SystemExit("the process that runs the cases ends before it begins")
                yield left.pop(0), running.returncode, "", 0.0, f"the process died ({running.returncode})"
            continue
        with suppress(OSError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        yield left.pop(0), -9, "", float(LIMIT), f"hangs ({LIMIT} s)"


def _lines_of(running):
    """Lines of a process as they come; None where none comes for too long."""
    import selectors

    with selectors.DefaultSelector() as selector:
        selector.register(running.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(LIMIT):
                yield None
                return
            line = running.stdout.readline()
            if not line:
                return
            yield line


def main() -> int:
    """Run cases, and print what is wrong and the counts; 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.places", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="cases whose names have this text: 'PLACE: THING'")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.seed, options.child)
        return 0
    everything = cases(options.seed)
    numbers = [number for number, case in enumerate(everything) if (options.only or "") in ": ".join(case)]
    numbers = numbers[: options.count]
    codes: Counter[int] = Counter()
    bad, slowest = 0, 0.0
    for number, code, said, seconds, wrong in outcomes(options.seed, numbers):
        codes[code] += 1
        slowest = max(slowest, seconds)
        if wrong:
            bad += 1
            print(f"{': '.join(everything[number])}: {wrong}: {said[-300:]!r}", flush=True)
        if sum(codes.values()) % 100 == 0:
            print(f"{sum(codes.values())} cases", file=sys.stderr, flush=True)
    shown = ", ".join(f"{count} with exit code {code}" for code, count in sorted(codes.items()))
    print(f"{len(numbers)} special files in {len(PLACES)} places ({shown}), slowest {slowest:.1f} s, {bad} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
