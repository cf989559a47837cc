"""Files that are not in memory are read into it, where there is room; nothing else happens to anybody."""

import os

import pytest

from vlmcli.machine.ahead import Ahead, is_missing

SIZE = 3 << 20


def drop(path):
    """Let the system forget a file's content; skip where it does not, or cannot tell."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    if not is_missing(path):
        pytest.skip("files stay in memory here")


@pytest.fixture
def cold(tmp_path):
    """A file on the disk alone."""
    if not hasattr(os, "posix_fadvise"):
        pytest.skip("no way to drop a file from memory")
    path = tmp_path / "cold.gguf"
    path.write_bytes(os.urandom(SIZE))
    drop(path)
    return path


def test_what_is_missing_is_read(cold):
    Ahead([cold]).wait()
    assert not is_missing(cold)


def test_what_has_no_room_is_left_and_the_next_file_is_read(cold, tmp_path):
    small = tmp_path / "small.gguf"
    small.write_bytes(os.urandom(SIZE // 2))
    drop(small)
    Ahead([cold, small], free=SIZE - 1).wait()
    assert is_missing(cold)
    assert not is_missing(small)


def test_what_cannot_be_read_is_left_out(tmp_path, cold):
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "lost.gguf").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "empty.gguf").touch()
    others = [tmp_path / f"{name}.gguf" for name in ("folder", "lost", "pipe", "empty", "none")]
    assert not any(is_missing(path) for path in others)
    Ahead([*others, tmp_path / "a\0b.gguf", cold]).wait()
    assert not is_missing(cold)
