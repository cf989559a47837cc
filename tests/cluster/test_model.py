"""How a node gets the model: downloaded by its name once a node, or as a copy that was shipped; and what is refused."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.hub import Hub
from tests.support.place import REPOSITORY, SIZE, Place, publish
from vlmcli import __version__, demo
from vlmcli.cluster import model
from vlmcli.cluster.messages import Copy, Plan
from vlmcli.errors import ModelError
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask
from vlmcli.values import ModelFiles

HERE = "import pickle, sys; from vlmcli.cluster import model; print(model.here(pickle.load(sys.stdin.buffer)).model)"


def plan(files, copies=None, **settings):
    copies = model.copies(files, ship=False) if copies is None else copies
    return Plan(files, copies, (Ask("?"),), Settings(**settings), __version__)


# ---------------------------------------------------------------------------------------------- by its name


@pytest.fixture
def node(tmp_path):
    """A machine with nothing on it."""
    with Hub() as hub:
        publish(hub, REPOSITORY)
        yield Place(hub, tmp_path)


def named(name, more=0):
    """A plan with a model that the command's machine has at a path of its own; its file there is larger by so much."""
    files = ModelFiles(name, Path("/nowhere/model.gguf"), Path("/nowhere/mmproj.gguf"))
    sizes = [path.stat().st_size for path in (demo.FILES.model, demo.FILES.projector)]
    return plan(files, (Copy("model.gguf", sizes[0] + more), Copy("mmproj.gguf", sizes[1])))


def actor_s_process(node, one):
    """A process in which an actor would look for the model."""
    process = subprocess.Popen(
        [sys.executable, "-c", HERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=node.environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    process.stdin.write(pickle.dumps(one))
    process.stdin.close()
    return process


def ends(process):
    with process:
        return process.stdout.read().decode().strip(), process.stderr.read().decode()


def test_a_model_is_downloaded_by_its_name_once_for_all_actors_of_a_node(node):
    node.hub.rate = SIZE  # a second, so that both want it at once
    found = [ends(one) for one in [actor_s_process(node, named("smolvlm2-500m")) for _ in range(2)]]
    (path,) = {out for out, _ in found}
    assert path, found
    assert Path(path).read_bytes() == demo.FILES.model.read_bytes()
    assert node.cache in Path(path).parents
    assert SIZE <= node.hub.sent < SIZE + 100_000  # each file once
    before = node.hub.sent
    assert ends(actor_s_process(node, named("smolvlm2-500m")))[0] == path
    assert node.hub.sent == before


def test_another_version_of_a_model_than_the_command_has_is_an_error(node):
    out, err = ends(actor_s_process(node, named("smolvlm2-500m", more=1)))
    assert out == ""
    assert "ModelError: smolvlm2-500m: another version than on the command's machine" in err


# ---------------------------------------------------------------------------------------------- shipped


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A plan with a model that is shipped, and its pieces; Ray's object store is made up, and counts what it gives."""
    (tmp_path / "a.gguf").write_bytes(b"language model" * 1000)
    (tmp_path / "mmproj-a.gguf").write_bytes(b"projector" * 1000)
    monkeypatch.setattr(model, "PIECE", 4096)
    given = []
    monkeypatch.setattr(model, "_get", lambda: lambda piece: given.append(piece) or piece)
    files = ModelFiles("a", tmp_path / "a.gguf", tmp_path / "mmproj-a.gguf")
    one = plan(files, model.copies(files, ship=True), cache_dir=str(tmp_path / "cache"))
    return one, [list(model.pieces(path)) for path in (files.model, files.projector)], given


def test_a_model_that_was_shipped_is_written_once_and_kept(shipped):
    one, pieces, given = shipped
    found = model.here(one, pieces)
    assert (found.model.read_bytes(), found.projector.read_bytes()) == (b"language model" * 1000, b"projector" * 1000)
    assert (found.model.name, found.projector.name) == ("a.gguf", "mmproj-a.gguf")
    assert given == [*pieces[0], *pieces[1]]
    given.clear()
    assert model.here(one, pieces) == found
    assert given == []


def test_a_copy_that_is_damaged_on_its_way_is_an_error_and_not_kept(shipped, tmp_path):
    one, pieces, _ = shipped
    with pytest.raises(ModelError, match=r"a\.gguf: damaged on its way"):
        model.here(one, [[*pieces[0][:-1], b"x"], pieces[1]])
    assert not list(tmp_path.rglob("shipped/*/*"))
    assert model.here(one, pieces).model.stat().st_size == one.copies[0].size


def test_where_a_copy_cannot_be_written_that_is_said(shipped, tmp_path):
    one, pieces, _ = shipped
    (tmp_path / "cache").write_bytes(b"a file, where the folder would be")
    with pytest.raises(ModelError, match="cannot be written") as caught:
        model.here(one, pieces)
    assert "VLM_CACHE_DIR" in caught.value.hint
