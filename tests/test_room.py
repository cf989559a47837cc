"""Memory that has run out is told from a picture that claims too much, in processes that have little."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.folders import SCENE, lines, vlm
from vlmcli import room

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded by RLIMIT_AS")

LIMITED = """
import json, resource, sys
from vlmcli import room
from vlmcli.cli import app
from vlmcli.pictures import images
import vlmcli.engine
def limit(more):
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
more, code, words = json.loads(sys.argv[1])
"""


def limited(megabytes, code, *words, cwd=None):
    """Run lines of Python that begin as `LIMITED` does, in a process that may have so much more than it begins with."""
    whole = LIMITED + "limit(more << 20)\nexec(code)\n"
    words = json.dumps([megabytes, code, [str(word) for word in words]])
    few = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", whole, words], capture_output=True, text=True, cwd=cwd, env=os.environ | few, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


READ = """
from vlmcli.errors import SourceError
for word in words:
    try:
        images.load(__import__("pathlib").Path(word))
        print("picture")
    except SourceError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Pictures that take some hundred MB while they are decoded, in several formats, and how they are called."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("large")
    image = Image.linear_gradient("L").resize((9_000, 9_000))
    image.convert("RGB").save(folder / "l.png", compress_level=1)
    image.save(folder / "l.tif", compression="packbits")
    image.save(folder / "l.jpg", progressive=True)
    return [folder / f"l.{kind}" for kind in ("png", "tif", "jpg")]


@pytest.mark.parametrize("number", range(3))
def test_a_picture_is_not_blamed_for_memory_that_is_out(large, number):
    """Where a library does not say why it has failed (libjpeg), the hint says that memory may be short."""
    said = limited(60, READ, large[number]).stdout
    assert said.startswith(f"{'SourceError' if number == 2 else 'NoMemory'} {large[number]}: ")
    assert ("memory may be short" if number == 2 else "not enough memory to read it") in said
    assert limited(2000, READ, large[number]).stdout == "picture\n"


def test_a_small_picture_is_read_and_a_damaged_one_is_named_where_memory_is_short(tmp_path):
    (tmp_path / "d.png").write_bytes(SCENE.read_bytes()[:1000])
    found = limited(60, READ, SCENE, tmp_path / "d.png").stdout.splitlines()
    assert found[0] == "picture"
    assert found[1].startswith(f"SourceError {tmp_path / 'd.png'}: ")


def test_a_run_goes_on_and_asks_again_when_there_is_memory(large, tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "b.png").symlink_to(large[0])
    for name in "ac":
        (tmp_path / "pics" / f"{name}.png").symlink_to(SCENE)
    words = ("caption", "-m", "demo", "pics", "--output", "o.jsonl", "--in-process", "--threads", "1", "--ctx", "1024")
    run = "sys.exit(int(app.main(words)))"
    found = {}
    for more in (140, 180, 220, 260, 300):  # as much as the engine needs, and not more
        done = limited(more, run, *words, cwd=tmp_path)
        found = lines(tmp_path, "o.jsonl") if (tmp_path / "o.jsonl").exists() else []
        if done.returncode == 3:
            break
        (tmp_path / "o.jsonl").unlink(missing_ok=True)
    assert done.returncode == 3, done.stderr
    assert [one.get("error", {}).get("type") for one in found] == [None, "NoMemory", None]
    assert "pics/b.png: not enough memory to read it" in done.stderr
    assert vlm(tmp_path, *words, "--retry-errors").returncode == 0
    assert "answer" in lines(tmp_path, "o.jsonl")[-1]


@pytest.mark.parametrize("megabytes", [5, 25, 60])
def test_a_command_without_memory_says_so(megabytes):
    done = limited(megabytes, "sys.exit(int(app.main(words)))", "ask", "-m", "demo", SCENE, "what is this?")
    assert done.returncode in (1, 70)
    assert "memory" in done.stderr or "MB are free" in done.stderr
    assert "may be damaged" not in done.stderr
    assert "download" not in done.stderr


def test_what_claims_more_than_there_is_of_anything_is_not_out_of_memory():
    for claim in (lambda: bytearray(1 << 60), lambda: [0] * (1 << 60)):
        with pytest.raises(MemoryError) as caught:
            claim()
        assert not room.is_out(caught.value, honest=1 << 20)
        assert room.is_out(caught.value)
    assert not room.is_out(ValueError("damaged"))
    assert not room.is_out(OSError(2, "no such file"))
    for said in ("can't start new thread", "x.so: failed to map segment from shared object", "std::bad_alloc"):
        assert room.is_out(RuntimeError(said))
    assert room.is_out(OSError(12, "Cannot allocate memory"))
