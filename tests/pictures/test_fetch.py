"""Addresses, against a real server on this machine that behaves well, badly, and worse."""

import gzip
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.limits import assert_refused, outcomes
from tests.support.program import SCENE, vlm
from vlmcli.errors import SourceError
from vlmcli.network import open_network
from vlmcli.pictures import fetch

PICTURE = Path(SCENE).read_bytes()


BOMB = gzip.compress(bytes(1 << 20)) * 1000
"""Of 1 GB, in about one MB."""

FAR = "http://far.invalid/to/"
"""Of a server that only a proxy knows, and that leads to whatever address follows."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list] = []

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        Handler.asked.append((self.path, dict(self.headers)))
        where = self.path.split("?")[0]
        if where.startswith(FAR):  # asked as a proxy is
            self.answer(302, Location=f"http://{where.removeprefix(FAR)}/picture.png")
        elif where == "/picture.png":
            self.answer(200, PICTURE)
        elif where == "/page":
            self.answer(200, b"<html>log in first</html>", Content_Type="text/html")
        elif where == "/once":
            self.answer(302, Location="/picture.png")
        elif where == "/loop":
            self.answer(302, Location="/loop?" + self.path)
        elif where == "/file":
            self.answer(302, Location="file:///etc/passwd")
        elif where == "/credentials":
            self.answer(302, Location=f"http://me:secret@127.0.0.1:{self.server.server_port}/picture.png")
        elif where == "/huge":
            self.answer(200, b"", Content_Length=str(10**12))
        elif where == "/cut":
            self.answer(200, PICTURE[:1000], Content_Length=str(len(PICTURE)))
            self.close_connection = True
        elif where == "/endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            piece = b"x" * 65536
            while True:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        elif where == "/slow":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self.wfile.write(b"1\r\nx\r\n")
                time.sleep(0.1)
        elif where == "/drip":
            for letter in "HTTP/1.1 200 OK\r\n" + "X-Long: long\r\n" * 100:
                self.wfile.write(letter.encode())
                time.sleep(0.05)
        elif where == "/bomb":
            self.answer(200, BOMB, Content_Encoding="gzip")
        else:
            self.answer(int(where[1:]) if where[1:].isdigit() else 404)


@pytest.fixture(scope="module")
def server():
    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "no_proxy",
                 "NO_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("path", ["/picture.png", "/once", "/picture.png?token=secret"])
def test_a_picture_is_fetched(server, path):
    assert fetch.get(server + path, allow_local=True) == PICTURE


def test_nothing_of_the_user_is_sent(server):
    Handler.asked.clear()
    fetch.get(server + "/once", allow_local=True)
    assert [path for path, _ in Handler.asked] == ["/once", "/picture.png"]
    for _, headers in Handler.asked:
        assert {name.lower() for name in headers} <= {"host", "user-agent", "accept", "connection", "accept-encoding"}


def test_nothing_is_asked_for_offline(server):
    Handler.asked.clear()
    done = vlm(
        "ask", "-m", "demo", "--allow-local-urls", f"{server}/picture.png", "what is this?", env={"VLM_OFFLINE": "1"}
    )
    assert (done.stdout, done.returncode, Handler.asked) == ("", 1, [])
    assert "picture.png: VLM_OFFLINE is set, so nothing is downloaded" in done.stderr


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/404", "404"), ("/403", "403"), ("/500", "500"), ("/loop", "more than 5 redirects"),
        ("/file", "redirects to file:, which is not supported"),
        ("/credentials", "redirects to"),
        ("/huge", "more than a picture has"), ("/cut", "the connection ended after 1000"),
        ("/endless", "more than 1.0 MB, too much"),
        ("/slow", "not downloaded within 1 s"), ("/drip", "not downloaded within 1 s"),
    ],
)  # fmt: skip
def test_bad_answers_are_said_soon(server, path, says):
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        fetch.get(server + path + "?token=secret", allow_local=True, max_bytes=1 << 20, seconds=1)
    assert says in caught.value.message
    assert caught.value.message.startswith(server + path)
    assert "secret" not in str(caught.value)
    assert caught.value.hint
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "%31%32%37.0.0.1", "①②⑦.0.0.1"],
)
def test_this_machine_is_refused_by_whatever_name_before_a_byte_is_sent(server, host):
    port = server.rpartition(":")[2]
    Handler.asked.clear()
    with pytest.raises(SourceError) as caught:
        fetch.get(f"http://{host}:{port}/picture.png", seconds=2)
    known = ["address of this machine"] if ":" not in host else ["address of this machine", "cannot be fetched"]
    assert any(says in caught.value.message for says in known)  # a machine may have no IPv6
    assert not Handler.asked


def test_a_name_that_leads_here_is_refused(server, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: real("127.0.0.1" if host == "far.example" else host, *rest, **more),
    )
    port = server.rpartition(":")[2]
    with pytest.raises(SourceError, match="address of this machine"):
        fetch.get(f"http://far.example:{port}/picture.png")


def test_behind_a_proxy_the_name_is_checked_and_the_proxy_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server)
    Handler.asked.clear()
    with pytest.raises(SourceError, match="address of this machine"):
        fetch.get("http://localhost:9/picture.png")
    assert not Handler.asked
    with pytest.raises(SourceError, match="404"):
        fetch.get("http://far.invalid/picture.png")
    assert [path for path, _ in Handler.asked] == ["http://far.invalid/picture.png"]


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("10.0.0.1", False), ("172.16.3.4", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("fe80::1%eth0", False),
        ("fd00::1", False), ("::ffff:10.0.0.1", False), ("2002:0a00:0001::", False), ("224.0.0.1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_of_the_open_network(address, is_open):
    assert open_network.is_open(address) is is_open


@pytest.mark.parametrize(
    "url",
    ["http://me:secret@example.org/a.png", "http://[bad/a.png", "http://example.org:99999/a.png", "http:///a.png"],
)
def test_odd_addresses_are_errors(url):
    with pytest.raises(SourceError) as caught:
        fetch.get(url)
    assert caught.value.hint


LOCAL = ["127.0.0.1", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00::1]", "0.0.0.0"]


@pytest.mark.parametrize("address", LOCAL)
def test_a_redirect_to_a_private_address_is_refused(server, monkeypatch, address):
    """From a server of the open network, for which a proxy stands here."""
    monkeypatch.setenv("http_proxy", server)
    Handler.asked.clear()
    with pytest.raises(SourceError, match="address of this machine or its network") as caught:
        fetch.get(FAR + address, seconds=3)
    assert caught.value.message.startswith(f"{FAR}{address}: ")
    assert len(Handler.asked) == 1


def test_hostile_answers_are_errors_in_little_time_and_memory(server):
    far = [FAR + address for address in LOCAL]
    for word, outcome in zip(far, outcomes(far, http_proxy=server), strict=True):
        assert_refused(outcome, word, "address of this machine or its network")
    assert_refused(outcomes([f"{server}/picture.png"])[0], f"{server}/picture.png", "address of this machine")
    said = {"endless": "more than 134 MB, too much", "loop": "more than 5 redirects", "huge": "more than a picture",
            "cut": "after 1000", "file": "redirects to file:", "credentials": "with a user name",
            "page": "not a picture",
            "bomb": "unpacks to more than 134 MB", "404": "404", "500": "500"}  # fmt: skip
    near = [f"{server}/{path}" for path in (*said, "picture.png")]
    *bad, good = outcomes(near, local=True)
    assert good.error == ""
    for word, says, outcome in zip(near, said.values(), bad, strict=False):
        assert_refused(outcome, word, says)


def test_through_the_command(server):
    address = f"{server}/picture.png"
    done = vlm("ask", "-vv", "-m", "demo", "--allow-local-urls", f"{address}?token=secret", "what is this?")
    assert (done.stdout, done.returncode) == ("A red circle and a blue square.\n", 0)
    assert "secret" not in done.stderr
    refused = vlm("ask", "-m", "demo", address, "what is this?")
    assert (refused.stdout, refused.returncode) == ("", 1)
    assert "--allow-local-urls" in refused.stderr
    page = vlm("ask", "-m", "demo", "--allow-local-urls", f"{server}/page", "what is this?")
    assert f"{server}/page: a web page (HTML), not a picture" in page.stderr
