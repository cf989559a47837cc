"""Connections to addresses of the open network, and to no others, within one span of time.

A list of addresses may come from somebody else, so an address of this machine or of a private network is refused
(`addresses`) unless the user allows it. `Network` is the only way by which httpcore2 opens a connection. A name is
looked up once, here; every address that comes is checked; the socket is connected to a checked one. So no second answer
can lead elsewhere, and nothing is sent, not even a handshake, to an address that is refused.

Does not know HTTP, proxies or pictures.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from vlmcli.network.addresses import is_open, is_own_name

CONNECT_SECONDS = 10.0
"""For one address of a name: where it does not answer, the next one may."""


class LocalAddress(OSError):
    """An address, which is its text, that is not of the open network."""


class Deadline:
    """The end of a span of time, which begins now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def renew(self, seconds: float) -> None:
        """Begin again with a span of another length: of what goes on as long as enough comes in each."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the end, more than 0. Raises TimeoutError after it."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Network(httpcore2.NetworkBackend):
    """What httpcore2 asks for connections. They, and all that is done with them, end with the deadline.

    Args:
        deadline: of everything; the timeouts of the library are ignored.
        allow_local: whether every address may be reached.

    Attributes:
        led_home: whether a name has led to an address that is not of the open network.
    """

    def __init__(self, deadline: Deadline, allow_local: bool = False) -> None:
        self.deadline = deadline
        self.led_home = False
        self._allow_local = allow_local

    def check(self, host: str) -> None:
        """Check a name that a proxy is to be asked for, which may know names that are not known here.

        Raises LocalAddress if it leads to an address that may not be reached, or can lead to no other; TimeoutError.
        """
        try:
            self._look_up(host, None)
        except socket.gaierror:
            if not self._allow_local and is_own_name(host):
                raise LocalAddress(host) from None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first address of a name that takes one. Raises LocalAddress, TimeoutError, OSError."""
        trouble = OSError("the host has no address")
        for family, kind, protocol, _, address in self._look_up(host, port):
            try:
                opened = socket.socket(family, kind, protocol)
            except OSError as error:  # a machine may have no IPv6
                trouble = error
                continue
            try:
                opened.settimeout(min(CONNECT_SECONDS, self.deadline.left()))
                opened.connect(address)  # numbers, which are not looked up again
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Stream(opened, self.deadline)
            except TimeoutError:
                opened.close()
                self.deadline.left()
                trouble = OSError("no answer")  # of this address
            except OSError as error:
                opened.close()
                trouble = error
        raise trouble

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Always raises LocalAddress."""
        raise LocalAddress(path)

    def _look_up(self, host: str, port: int | None) -> list[Any]:
        """What `getaddrinfo` says, every address of it checked.

        It has no timeout of its own, so that it is asked in a thread, which is left behind when the time is over.
        """
        answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:  # also for a name that cannot be one
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            found = answers.get(timeout=self.deadline.left())
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(found, Exception):
            raise found
        for *_, address in found:
            if not is_open(address[0]):
                self.led_home = True
                if not self._allow_local:
                    raise LocalAddress(address[0])
        return found


class _Stream(httpcore2.NetworkStream):
    """A connection, each of whose steps may take as long as is left until the deadline."""

    def __init__(self, opened: socket.socket, deadline: Deadline) -> None:
        self._socket, self._deadline = opened, deadline
        self._heard = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._deadline.left())
        data = self._socket.recv(max_bytes)
        if not data and not self._heard:
            raise ConnectionResetError("the server closed the connection without an answer")
        self._heard = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        while rest:
            self._socket.settimeout(self._deadline.left())
            rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            self._socket.settimeout(self._deadline.left())
            return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname), self._deadline)
        except OSError:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """None for all there is to know: httpcore2 would ask whether HTTP/2 was agreed on."""
        return None
