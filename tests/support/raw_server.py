"""A server of which every byte is the test's: it hears a request and says what it is told to, with TLS or without."""

import socket
import ssl
import threading
from contextlib import contextmanager, suppress

from tests.support import ROOT

CERTIFICATE = str(ROOT / "tests" / "support" / "localhost.pem")
"""Key and certificate of "localhost", which signed itself; SSL_CERT_FILE makes it an authority."""


class RawServer:
    """On a port of this machine.

    Attributes:
        port: where it listens.
        heard: the head of every request, as text.
        accepted: how many connections there were.
    """

    def __init__(self, listener, answer, tls):
        self.port, self.heard, self.accepted = listener.getsockname()[1], [], 0
        self._listener, self._answer, self._tls = listener, answer, tls

    def run(self):
        with suppress(OSError):  # closed
            while True:
                connection = self._listener.accept()[0]
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError), connection:
            connection.settimeout(20)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += (piece := connection.recv(65536))
                    if not piece:
                        return
                self.heard.append(head.decode("latin-1"))
                if callable(self._answer):
                    self._answer(connection, self.heard[-1])
                else:
                    connection.sendall(self._answer)


@contextmanager
def serving(answer, tls=None, address="127.0.0.1"):
    """A server that answers with bytes, or calls a function of the connection and the request's head."""
    with socket.create_server((address, 0)) as listener:
        server = RawServer(listener, answer, tls)
        threading.Thread(target=server.run, daemon=True).start()
        try:
            yield server
        finally:
            with suppress(OSError):  # which wakes the thread that waits for the next connection
                listener.shutdown(socket.SHUT_RDWR)


def tls(protocols=()):
    """What a server of "localhost" with TLS needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def reply(body=b"", status="200 OK", **headers):
    """An HTTP answer, whole."""
    lines = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    return "\r\n".join([f"HTTP/1.1 {status}", *map(": ".join, lines.items()), "\r\n"]).encode() + body
