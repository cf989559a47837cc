"""The server in the background, which has a model in memory: where it is, and a connection to it.

A file in the user's state folder says where it listens: at a socket that has a name in a folder (a Unix socket), or
where there are none, at a port of 127.0.0.1, which all users of the machine share. Both ends prove that they know the
file's secret before anything else is said, and the file is readable for its owner only. So no other user reaches it,
and no other user's program is taken for it.

A file that was left behind by a server that is gone leads to nothing, which is no error.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import vlmcli
from vlmcli import files
from vlmcli.placement import Caching, Wanted
from vlmcli.runners import frames, wire
from vlmcli.runners.attached import Attached
from vlmcli.settings import SERVER_FILE
from vlmcli.values import ModelFiles

log = logging.getLogger("vlmcli")

SECONDS = 2.0
"""In which the server must have answered, or the model is loaded here instead."""
NONCE = 32
"""Bytes by chance from each end, as many as a proof has."""
LONGEST = 1 << 16
"""Bytes of the file."""


@dataclass(frozen=True)
class Place:
    """Where a server is.

    Attributes:
        version: of the program; another one's messages may differ.
        pid: its process.
        address: its socket: a path, or a port of 127.0.0.1 as text.
        secret: 64 hex digits, which both ends know.
        url: where it speaks HTTP.
        key: what clients send there; empty for none.
        since: when it was ready, in seconds since 1970.
    """

    version: str
    pid: int
    address: str
    secret: str
    url: str
    key: str
    since: float


def remember(folder: Path, place: Place) -> None:
    """Write where the server is, for its owner's eyes only. Raises OSError."""
    part = folder / f".{SERVER_FILE}.{place.pid}"
    with suppress(FileNotFoundError):
        part.unlink()
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(place), file)
    part.replace(folder / SERVER_FILE)


def forget(folder: Path, pid: int) -> None:
    """Remove what the server of that process has written."""
    with suppress(OSError):
        place = known(folder)
        if place is not None and place.pid == pid:
            (folder / SERVER_FILE).unlink()


def known(folder: Path) -> Place | None:
    """Where a server was, by a file of this user that nobody else could read; None for any other."""
    path = folder / SERVER_FILE
    try:
        there = path.lstat()
        if not stat.S_ISREG(there.st_mode):
            return None
        if hasattr(os, "geteuid") and (there.st_uid != os.geteuid() or there.st_mode & 0o077):
            log.info("%s is not this user's alone, and is ignored", path)
            return None
        values: Any = json.loads(files.read(path, LONGEST))
        place = Place(**values)
        kinds = {"pid": int, "since": float}
        if not all(isinstance(value, kinds.get(name, str)) for name, value in asdict(place).items()):
            return None
        bytes.fromhex(place.secret)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return place


class Talk:
    """A connection to a server that has proved itself."""

    def __init__(self, place: Place) -> None:
        """Connect. Raises OSError where nobody answers in time, or somebody else does."""
        self.connection = _connected(place.address)
        try:
            _prove(self.connection, bytes.fromhex(place.secret))
            self.source: IO[bytes] = self.connection.makefile("rb")
            self.writer = frames.Writer(self.connection.makefile("wb"))
        except BaseException:
            self.connection.close()
            raise

    def ask(self, message: object) -> wire.FromWarm | None:
        """Send a first message, and take its answer; None when the connection ends. Raises OSError."""
        self.writer.send(message)
        try:
            answer: wire.FromWarm | None = frames.receive(self.source, wire.FromWarm)
        except frames.Garbled:  # of another program of the same version
            return None
        return answer

    def wait(self, seconds: float | None) -> bool:
        """Wait until the server is gone. Returns whether it is."""
        self.connection.settimeout(seconds)
        try:
            return not self.source.read(1)
        except OSError:
            return False

    def close(self) -> None:
        """End the connection, which its files would keep open."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def talk(folder: Path) -> tuple[Place, Talk] | None:
    """A connection to the user's server; None where there is none."""
    place = known(folder)
    if place is None:
        return None
    try:
        return place, Talk(place)
    except (OSError, ValueError) as error:
        log.debug("the server in the background does not answer (%s)", error)
        return None


def joined(
    folder: Path, wanted: Wanted, caching: Caching | None, model: ModelFiles, patience: float
) -> Attached | None:
    """The model in memory, to be asked in place of one that would be loaded; None where there is none that is alike.

    Args:
        folder: the user's state folder.
        wanted: of its place on the machine.
        caching: where results are kept.
        model: which.
        patience: seconds without a sign of life after which it is given up.
    """
    place = known(folder)
    if place is None:
        return None
    if place.version != vlmcli.__version__:
        log.info("the model in memory is not used: it belongs to vlm %s", place.version)
        return None
    here = replace(model, model=model.model.absolute(), projector=model.projector.absolute())
    try:
        found = Talk(place)
        answer = found.ask(wire.Join(here, wanted, caching))
    except (OSError, ValueError) as error:
        log.debug("the server in the background does not answer (%s)", error)
        return None
    if isinstance(answer, wire.Joined):
        log.info("asking the model in memory (vlm serve --background, process %d)", place.pid)
        found.connection.settimeout(None)
        return Attached(place.pid, found.connection, found.source, found.writer, patience)
    found.close()
    if isinstance(answer, wire.Unlike):
        log.info("the model in memory is not used: %s", answer.why)
    return None


# ---------------------------------------------------------------------------------------------- the socket


def listening(folder: Path) -> tuple[socket.socket, str]:
    """A socket for this user's programs, and its address. Raises OSError."""
    if not hasattr(socket, "AF_UNIX"):
        found = socket.create_server(("127.0.0.1", 0))
        return found, str(found.getsockname()[1])
    path = folder / "serve.sock"
    if len(os.fsencode(path)) > 100:  # the system's own limit is 104 or 108
        import tempfile

        path = Path(tempfile.mkdtemp(prefix="vlm-")) / "serve.sock"
    with suppress(FileNotFoundError):
        path.unlink()
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        found.bind(str(path))
        found.listen(64)
    except BaseException:
        found.close()
        raise
    finally:
        os.umask(before)
    return found, str(path)


def is_proved(connection: socket.socket, secret: bytes) -> bool:
    """The server's end of the proof: whether the other end is this user's, and knows the secret."""
    try:
        connection.settimeout(SECONDS)
        if not _is_own(connection):
            return False
        ours = os.urandom(NONCE)
        connection.sendall(ours)
        theirs, proof = _exactly(connection, NONCE), _exactly(connection, NONCE)
        if not hmac.compare_digest(proof, _proof(secret, b"client", ours, theirs)):
            return False
        connection.sendall(_proof(secret, b"server", theirs, ours))
        connection.settimeout(None)
    except OSError:
        return False
    return True


def _prove(connection: socket.socket, secret: bytes) -> None:
    """The client's end of it. Raises OSError."""
    theirs, ours = _exactly(connection, NONCE), os.urandom(NONCE)
    connection.sendall(ours + _proof(secret, b"client", theirs, ours))
    if not hmac.compare_digest(_exactly(connection, NONCE), _proof(secret, b"server", ours, theirs)):
        raise OSError("it is somebody else's")


def _proof(secret: bytes, who: bytes, first: bytes, second: bytes) -> bytes:
    return hmac.digest(secret, who + first + second, "sha256")


def _connected(address: str) -> socket.socket:
    if address.isdecimal():
        return socket.create_connection(("127.0.0.1", int(address)), SECONDS)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.settimeout(SECONDS)
        found.connect(address)
        if not _is_own(found):
            raise OSError("it is another user's")
    except BaseException:
        found.close()
        raise
    return found


def _is_own(connection: socket.socket) -> bool:
    """Whether the other end is a process of this user, where the system tells (Linux: unix(7), SO_PEERCRED)."""
    if not hasattr(socket, "SO_PEERCRED") or connection.family != socket.AF_UNIX:
        return True
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.geteuid())


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes. Raises OSError where they do not come."""
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise OSError("the connection has ended")
        found += piece
    return found
