"""The door to files that somebody else has named or made."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from vlmcli import files

if not hasattr(os, "mkfifo"):
    pytest.skip("needs pipes with names", allow_module_level=True)

SPECIAL = {
    "folder": ("a folder", lambda path: path.mkdir()),
    "fifo": ("a pipe", os.mkfifo),
    "socket": ("a socket", lambda path: _socket(path)),
    "device": ("a device", lambda path: path.symlink_to("/dev/null")),
    "endless": ("a device", lambda path: path.symlink_to("/dev/zero")),
    "lost": ("a broken link to nothing", lambda path: path.symlink_to("nothing")),
    "itself": ("a link that leads back to itself", lambda path: path.symlink_to(path.name)),
    "ring": ("a link that leads back to itself", lambda path: _ring(path)),
    "linked pipe": ("a pipe", lambda path: _linked(path, os.mkfifo)),
    "linked folder": ("a folder", lambda path: _linked(path, os.mkdir)),
}
"""What a name may lead to that is no regular file: in words, and how it is made."""


def _socket(path):
    one = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # an address has few letters
    try:
        one.bind(path.name)
    finally:
        os.chdir(here)
        one.close()


def _ring(path):
    path.symlink_to(f"{path.name}-2")
    path.with_name(f"{path.name}-2").symlink_to(path.name)


def _linked(path, make):
    make(path.with_name(f"{path.name}-it"))
    path.symlink_to(f"{path.name}-it")


@pytest.fixture(params=SPECIAL)
def special(request, tmp_path):
    """A path that leads to no regular file, and what is there in words."""
    words, make = SPECIAL[request.param]
    make(tmp_path / "it")
    return tmp_path / "it", words


def test_what_is_no_regular_file_is_named_and_neither_opened_nor_waited_for(special):
    path, words = special
    assert files.what(path) == words
    begun = time.monotonic()
    for use in (files.opened, lambda path: files.read(path, 10), lambda path: files.place(path, path.parent)):
        with pytest.raises(OSError) as caught:
            use(path)
        if use is not files.opened and "link" not in words:
            assert caught.value.strerror == words
    assert time.monotonic() - begun < 1


def test_what_is_put_there_after_the_first_look_is_not_waited_for_either(tmp_path, monkeypatch):
    path = tmp_path / "it"
    path.write_bytes(b"1")
    look = Path.stat

    def swap(one, **named):
        found = look(one, **named)
        path.unlink()
        os.mkfifo(path)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", swap)
        with pytest.raises(files.Unfit, match="a pipe"):
            files.opened(path)


def test_a_link_is_not_followed_where_none_is_allowed(tmp_path):
    (tmp_path / "it").write_bytes(b"1")
    (tmp_path / "link").symlink_to("it")
    assert files.read(tmp_path / "link", 1) == b"1"
    for use in (lambda path: files.read(path, 1, links=False), lambda path: files.opened(path, links=False)):
        with pytest.raises(files.Unfit, match="a link"):
            use(tmp_path / "link")


@pytest.mark.parametrize("name", ["/proc/self/environ", "/proc/cpuinfo", "/proc/self/maps"])
def test_a_file_that_says_it_is_empty_is_read_and_bounded(name):
    path = Path(name)
    if not path.exists():
        pytest.skip("a system without /proc")
    assert path.stat().st_size == 0
    assert files.read(path, 1 << 20)
    with pytest.raises(files.Unfit, match="more than 16 bytes"):
        files.read(path, 16)


def test_as_many_bytes_as_are_allowed_are_read_and_no_more(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(bytes(100))
    assert files.read(path, 100) == bytes(100)
    with pytest.raises(files.Unfit, match="more than 99 bytes"):
        files.read(path, 99)
    with path.open("r+b") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(files.Unfit, match=r"more than 1\.0 MB"):
        files.read(path, 1_000_000)


def test_a_pipe_is_read_as_it_comes_and_to_its_end(tmp_path):
    path = tmp_path / "it"
    os.mkfifo(path)

    def write():
        time.sleep(0.1)
        with path.open("wb", buffering=0) as sink:
            for _ in range(3):
                time.sleep(0.05)
                sink.write(bytes(1000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert files.read(path, 1 << 20, pipes=True) == bytes(3000)
    finally:
        writer.join()


def test_a_pipe_that_nobody_writes_to_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WAIT", 0.2)
    os.mkfifo(tmp_path / "it")
    with pytest.raises(files.Unfit, match="a pipe that no program writes to"):
        files.read(tmp_path / "it", 10, pipes=True)


def test_a_pipe_that_is_held_open_in_silence_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SILENCE", 0.2)
    os.mkfifo(tmp_path / "it")
    held = os.open(tmp_path / "it", os.O_RDWR)
    try:
        with pytest.raises(files.Unfit, match="delivered nothing for 0 s"):
            files.read(tmp_path / "it", 10, pipes=True)
        os.write(held, bytes(11))
        with pytest.raises(files.Unfit, match="more than 10 bytes"):
            files.read(tmp_path / "it", 10, pipes=True)
    finally:
        os.close(held)


def test_a_link_leads_no_further_than_its_folder(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a").write_bytes(b"1")
    (tmp_path / "inside").write_bytes(b"1")  # its name begins as the folder's does
    (tmp_path / "in" / "up").symlink_to("..")
    for name, to in {"good": "deep/a", "out": "../inside", "round": "up/inside", "whole": tmp_path / "inside"}.items():
        (tmp_path / "in" / name).symlink_to(to)
    folder = tmp_path / "in"
    assert files.place(folder / "good", folder) == (folder / "deep" / "a").resolve()
    assert files.place(folder / "none", folder) == folder / "none"
    for name in ("out", "round", "whole"):
        with pytest.raises(files.Unfit, match="a link that leads out of"):
            files.place(folder / name, folder)
