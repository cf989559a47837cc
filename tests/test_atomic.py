"""A file is written whole or not at all."""

import os

import pytest

from vlmcli.atomic import write
from vlmcli.errors import VlmError


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.txt"
    write(path, b"one")
    path.chmod(0o640)
    write(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("name", "says"), [("no/a.txt", "No such file"), ("a\0b", "no name of a file")])
def test_one_that_cannot_be_written_is_named(tmp_path, name, says):
    with pytest.raises(VlmError, match=says):
        write(tmp_path / name, b"one")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_one_leaves_what_was_there(tmp_path, monkeypatch, error):
    path = tmp_path / "a.txt"
    write(path, b"one")

    def fails(_):
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(VlmError if isinstance(error, OSError) else KeyboardInterrupt):
        write(path, b"two")
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
