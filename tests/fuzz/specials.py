"""What is no plain file, by its name: how each is made, and what goes on with some of them meanwhile."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Maker = Callable[[Path, Path], object]
"""Makes the thing at a path; the other one is a picture."""


def _device(number: int, major: int = 1) -> Maker:
    def make(path: Path, picture: Path) -> None:
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, number))
        except OSError:  # not allowed: a device of the machine's, which is only read
            path.mkdir()

    return make


def _linked(maker: Maker) -> Maker:
    def make(path: Path, picture: Path) -> None:
        maker(path.parent / "led-to", picture)
        path.symlink_to("led-to")

    return make


def _socket(path: Path, picture: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:  # names of sockets are short
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)


def _locked(path: Path, picture: Path) -> None:
    shutil.copy(picture, path)
    path.chmod(0)


def _locked_folder(path: Path, picture: Path) -> None:
    path.mkdir()
    shutil.copy(picture, path / "a.png")
    path.chmod(0)


def _ring(path: Path, picture: Path) -> None:
    path.symlink_to("ring")
    (path.parent / "ring").symlink_to(path.name)


def _sparse(path: Path, picture: Path) -> None:
    shutil.copy(picture, path)
    os.truncate(path, 4 << 30)


def _full_folder(path: Path, picture: Path) -> None:
    path.mkdir()
    shutil.copy(picture, path / "thing.png")
    os.mkfifo(path / "pipe.png")


def _read_only(path: Path, picture: Path) -> None:
    shutil.copy(picture, path)
    path.chmod(0o444)
    path.parent.chmod(0o555)


SPECIALS: dict[str, Maker] = {
    "a picture": lambda path, picture: shutil.copy(picture, path),
    "empty": lambda path, picture: path.write_bytes(b""),
    "NULs": lambda path, picture: path.write_bytes(bytes(5000)),
    "text": lambda path, picture: path.write_text("a\n\x1b]0;title\x07b\n{{ x }}\n", "utf-8"),
    "no UTF-8": lambda path, picture: path.write_bytes(b"\xff\xfe\xfd\n" * 9),
    "one long line": lambda path, picture: path.write_bytes(b"[" * 300_000),
    "pipe": lambda path, picture: os.mkfifo(path),
    "slow pipe": lambda path, picture: os.mkfifo(path),
    "link to a pipe": _linked(lambda path, picture: os.mkfifo(path)),
    "zero": _device(5), "null": _device(3), "full": _device(7), "random": _device(9), "tty": _device(0, 5),
    "link to zero": _linked(_device(5)), "link to full": _linked(_device(7)),
    "socket": _socket, "link to a socket": _linked(_socket),
    "folder": lambda path, picture: path.mkdir(),
    "full folder": _full_folder,
    "link to a folder": _linked(_full_folder),
    "locked": _locked, "locked folder": _locked_folder, "link to what is locked": _linked(_locked),
    "read only": _read_only,
    "link to nothing": lambda path, picture: path.symlink_to("nothing/at/all"),
    "link to a new file": lambda path, picture: path.symlink_to("new"),
    "link to itself": lambda path, picture: path.symlink_to(path.name),
    "ring": _ring,
    "link out": lambda path, picture: path.symlink_to("../" * 20 + "etc/hostname"),
    "4 GB": _sparse,
    "memory": lambda path, picture: path.symlink_to("/proc/self/mem"),
    "stdin": lambda path, picture: path.symlink_to("/dev/stdin"),
    "stdin, again": lambda path, picture: path.symlink_to("/proc/self/fd/0"),
    "growing": lambda path, picture: shutil.copy(picture, path),
    "flickering": lambda path, picture: shutil.copy(picture, path),
}  # fmt: skip

NAMES = {
    "a line break in its name": "thing\nb", "an escape in its name": "thing\x1b]0;title\x07",
    "no UTF-8 in its name": "thing\udcff", "another direction in its name": "thing\u202egnp",
    "a long name": "thing" * 48, "too long a name": "thing" * 60,
    "a blank before its name": " thing", "a dash before its name": "-thing",
    "a star in its name": "thing[*]?", "a place in its name": "../thing", "a percent sign in its name": "thing%00",
    "a tilde before its name": "~thing", "an address for a name": "file:thing",
}  # fmt: skip
"""A picture under another name than "thing"."""


def made(special: str, thing: Path, picture: Path) -> None:
    """Make the thing of this name; nothing where no file can be called so."""
    if special in SPECIALS:
        SPECIALS[special](thing, picture)
        return
    with suppress(OSError):
        shutil.copy(picture, thing)


@contextmanager
def disturbing(special: str, thing: Path, picture: Path) -> Iterator[None]:
    """What goes on while the command runs: a slow writer, a file that grows, one that comes and goes."""
    work = {"slow pipe": _written_slowly, "growing": _grown, "flickering": _flickering}.get(special)
    if work is None:
        yield
        return
    ends = threading.Event()
    thread = threading.Thread(target=work, args=(ends, thing, picture.read_bytes()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(2)


def _written_slowly(ends: threading.Event, thing: Path, data: bytes) -> None:
    with suppress(OSError):
        file = -1
        while file < 0 and not ends.is_set():
            try:
                file = os.open(thing, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads it yet
                time.sleep(0.02)
        for at in range(0, len(data), 300):
            if not ends.is_set():
                os.write(file, data[at : at + 300])
                time.sleep(0.05)
        os.close(file)


def _grown(ends: threading.Event, thing: Path, data: bytes) -> None:
    with suppress(OSError), thing.open("ab") as file:
        while not ends.is_set() and file.tell() < 1 << 28:
            file.write(data * 20)
            file.flush()
            time.sleep(0.001)


def _flickering(ends: threading.Event, thing: Path, data: bytes) -> None:
    while not ends.is_set():
        with suppress(OSError):
            thing.unlink()
            time.sleep(0.003)
            thing.write_bytes(data)
            time.sleep(0.003)
