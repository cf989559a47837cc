"""`--ray`: a folder run on a real cluster, whose nodes are processes of this machine."""

import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.support.program import VLM, own_environment, vlm
from tests.support.ray_nodes import Nodes, end_all, processes_of
from tests.support.waiting import until
from vlmcli import demo
from vlmcli.demo import scenes

ASKED = ("-q", "What is in the picture?")
REMEMBERED = (
    "work", "sha256", "bytes", "modified", "detail", "revision", "projector", "quantisation", "versions",
)  # fmt: skip
"""What records in a file have beside those on stdout."""
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the processes of actors in /proc")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache-of-nodes")))
    with Nodes() as started:
        yield started
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pictures = tmp_path_factory.mktemp("pictures")
    for number in range(160):
        scene = scenes.make(random.Random(number), size=(192, 160))
        scenes.draw(scene).save(pictures / f"{number:03}.png")
    return pictures


@pytest.fixture(scope="module")
def some(folder, tmp_path_factory):
    """A few pictures, of which one is broken."""
    pictures = tmp_path_factory.mktemp("some")
    for number in range(14):
        shutil.copy(folder / f"{number:03}.png", pictures)
    (pictures / "005.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return pictures


def started(home, *words):
    environment = own_environment({"HOME": str(home), "RAY_TMPDIR": tempfile.gettempdir()})
    return subprocess.Popen(
        [VLM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )


def asked(nodes, *words):
    process = started(nodes.home, *words)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def told(lines):
    """Records without what says how long it took and what was computed."""
    found = [json.loads(line) for line in lines]
    for record in found:
        for name in ("usage", "timings"):
            record.pop(name, None)
    return found


def names(path):
    return [record["sources"][0] for record in map(json.loads, path.read_text().splitlines())]


@pytest.mark.cluster
def test_three_nodes_answer_as_this_machine_does_with_a_model_that_was_shipped(nodes, some, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(demo.FILES.model, model / "mine.gguf")
    shutil.copy(demo.FILES.projector, model / "mmproj-mine.gguf")
    words = "ask", some, *ASKED, "-q", "How many shapes are there?", "--json", "-m", model, "--max-tokens", 12
    here = vlm(*words)
    there = asked(nodes, *words, "--ray", nodes.address, "--ship-model")
    assert (here.returncode, there.returncode) == (3, 3), there.stderr
    assert told(there.stdout.splitlines()) == told(here.stdout.splitlines())
    assert "26 answered, 2 failed" in there.stderr
    shipped = sorted(path.name for path in Path(nodes.environment["XDG_CACHE_HOME"]).rglob("shipped/*/*.gguf"))
    assert shipped == ["mine.gguf", "mmproj-mine.gguf"]


@pytest.mark.cluster
def test_nothing_is_lost_nor_asked_twice_when_actors_are_killed_and_a_node_is_taken_away(nodes, folder, tmp_path):
    output = tmp_path / "records.jsonl"
    run = started(nodes.home, "ask", folder, *ASKED, "-m", "demo", "--output", output, "--ray", nodes.address)
    here = vlm("ask", folder, *ASKED, "-m", "demo", "--json")

    def has(count):
        until(lambda: output.exists() and len(output.read_bytes().splitlines()) >= count, 120)

    for count in (18, 36, 54, 72, 90):
        has(count)
        os.kill(random.choice(nodes.actors()), signal.SIGKILL)
    has(110)
    nodes.take_away(nodes.others.pop())
    _, stderr = run.communicate(timeout=300)
    nodes.others.append(nodes.join())
    assert run.returncode == 0, stderr
    assert "160 answered" in stderr
    found = told(output.read_text().splitlines())
    for record in found:
        for name in REMEMBERED:
            del record[name]
    assert found == told(here.stdout.splitlines())


def test_begun_here_and_finished_on_a_cluster_though_an_actor_is_killed_each_picture_is_asked_once(some, tmp_path):
    home, output = tmp_path / "home", tmp_path / "records.jsonl"
    home.mkdir()
    words = "ask", some, *ASKED, "-m", "demo", "--output", output
    assert vlm(*words, "--limit", "7").returncode == 3
    first = output.read_bytes()
    run = started(home, *words, "--ray", "local", "--actors", "2")
    try:
        until(lambda: processes_of(home, b"vlmcli.runners.child"), 120)  # an engine of an actor's
        os.kill(processes_of(home, b"ray::MapWorker")[0], signal.SIGKILL)
        _, stderr = run.communicate(timeout=300)
        until(lambda: not processes_of(home), 30)  # nothing is left behind
    finally:
        end_all(home)
    assert run.returncode == 3, stderr
    assert "7 answered" in stderr
    assert "6 were done before" in stderr
    assert output.read_bytes().startswith(first)
    assert names(output) == sorted(str(path) for path in some.iterdir())


@pytest.mark.cluster
def test_stopped_on_a_cluster_a_run_is_finished_here(nodes, folder, tmp_path):
    output = tmp_path / "records.jsonl"
    words = "ask", folder, *ASKED, "-m", "demo", "--output", output
    run = started(nodes.home, *words, "--ray", nodes.address)
    until(lambda: output.exists() and len(output.read_bytes().splitlines()) >= 16, 120)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130, stderr
    assert "run the same command again to continue" in stderr
    until(lambda: not nodes.actors())
    before = names(output)
    assert 16 <= len(before) < 160
    done = vlm(*words)
    assert done.returncode == 0, done.stderr
    assert f"{len(before)} were done before" in done.stderr
    assert names(output)[: len(before)] == before
    assert sorted(names(output)) == sorted(str(path) for path in folder.iterdir())


@pytest.mark.cluster
def test_texts_are_written_beside_pictures_and_not_where_there_is_no_file(nodes, some, tmp_path):
    pictures = tmp_path / "pictures"
    shutil.copytree(some, pictures)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(some / "001.png", "001.png")
    words = "caption", pictures, tmp_path / "x.tar", "-m", "demo", "--sidecar", "txt"
    done = asked(nodes, *words, "--ray", nodes.address)
    assert done.returncode == 3, done.stderr
    assert "x.tar#001.png: in an archive, a table or a store, so no answer can be written beside it" in done.stderr
    assert "13 answered, 2 failed" in done.stderr
    there = {path.stem: path.read_text() for path in pictures.glob("*.txt")}
    assert vlm("caption", some, "-m", "demo", "--sidecar", "txt").returncode == 3
    assert there == {path.stem: path.read_text() for path in some.glob("*.txt")}
    assert len(there) == 13


@pytest.mark.cluster
def test_what_it_takes_is_told_before_it_starts(nodes, some):
    done = asked(nodes, "caption", some, "-m", "demo", "--ray", nodes.address, "--dry-run")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "vlm: would ask 14 questions about 14 pictures; 3 actors with 1 thread each on 3 nodes: about "
    )
    assert "pictures a minute" in last
    assert "to be read" in last


@pytest.mark.cluster
def test_who_has_not_the_token_is_told_where_it_is(nodes, some, tmp_path):
    run = started(tmp_path, "caption", some, "-m", "demo", "--ray", nodes.address)
    _, stderr = run.communicate(timeout=120)
    assert run.returncode == 1, stderr
    assert stderr.splitlines()[-2].endswith("wants a token, and has not got the right one")
    assert "copy ~/.ray/auth_token" in stderr.splitlines()[-1]


def test_where_no_cluster_is_that_is_said_at_once(some, tmp_path):
    run = started(tmp_path, "caption", some, "-m", "demo", "--ray", "127.0.0.1:1")
    stdout, stderr = run.communicate(timeout=120)  # Ray itself tries for many minutes
    assert (run.returncode, stdout) == (1, "")
    assert stderr.splitlines()[-2:] == [
        "vlm: no Ray cluster answers at 127.0.0.1:1 (Connection refused)",
        "     start one with `ray start --head`, or use --ray local",
    ]
