"""Those who mean harm: whose pages and hosts are refused, what a connection may take, and what is never fetched."""

import asyncio
import http.client
import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from PIL import Image

from tests.server.live import QUESTION, SCENE, asked, png, serving, uri
from tests.support import ROOT
from tests.support.program import vlm
from tests.support.raw_server import reply
from tests.support.raw_server import serving as raw_serving
from vlmcli.errors import VlmError
from vlmcli.pictures import fetch
from vlmcli.server import connection, seen
from vlmcli.server.seen import Given, Reader, Room
from vlmcli.server.wrong import Wrong, from_error
from vlmcli.values import Picture

KEY = "schlüssel-1"


@pytest.fixture(scope="module")
def live():
    with serving("--max-body", 1, "--cors", "https://app.example") as server:
        yield server


@pytest.fixture(scope="module")
def locked():
    with serving("--allow-host", "Models.Lan:80", env={"VLM_API_KEY": KEY}) as server:
        yield server


def status_of(raw):
    """The status of the first answer in some bytes; 0 where there is none."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


def get(live, *headers, path="/v1/models", method="GET", version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", *headers, "Connection: close"]
    return live.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))


def alive(live):
    assert live.process.poll() is None
    assert live.get("/health")[0] == 200


# --- Hosts and origins ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200), ("127.0.0.1", 200), ("localhost:{port}", 200), ("LocalHost", 200), ("[::1]:1", 200),
        ("evil.example", 403), ("evil.example:{port}", 403), ("127.0.0.1.evil.example", 403), ("localhost.", 403),
        ("localhost.evil.example", 403), ("127.0.0.1:80:80", 403), ("a@127.0.0.1", 403), ("127.0.0.1@evil", 403),
        ("127.0.0.1, evil.example", 403), ("[::1", 403), ("", 403), ("2130706433", 403), ("127.1", 403),
        ("0.0.0.0", 403), ("127.0.0.1:port", 403), ("http://127.0.0.1", 403), ("xn--localhost", 403),
    ],
)  # fmt: skip
def test_only_names_of_this_machine_are_hosts(live, host, status):
    assert status_of(get(live, f"Host: {host.format(port=live.port)}")) == status


def test_a_host_must_be_named_and_once(live):
    assert status_of(get(live)) == 400  # HTTP/1.1
    assert status_of(get(live, version="1.0")) == 403
    assert status_of(get(live, "Host: 127.0.0.1", "Host: evil.example")) == 400
    assert status_of(get(live, "Host: evil.example", "host: 127.0.0.1")) == 400
    assert status_of(get(live, "Host: 127.0.0.1", path="http://evil.example/v1/models")) in (400, 404)
    assert status_of(get(live, "Host: evil.example", path="http://127.0.0.1/v1/models")) == 403
    assert status_of(get(live, "Host: evil.example", "X-Forwarded-Host: 127.0.0.1")) == 403


def test_another_name_may_be_allowed(locked):
    for name, status in (("models.lan", 401), ("MODELS.LAN:8080", 401), ("other.lan", 403)):
        assert status_of(get(locked, f"Host: {name}")) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://app.example", 200), ("http://127.0.0.1:{port}", 200), ("https://app.example.evil", 403),
        ("http://app.example", 403), ("null", 403), ("https://evil.example", 403), ("http://127.0.0.1:1", 403),
        ("127.0.0.1:{port}", 403), ("*", 403),
    ],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(live, origin, status):
    answer = get(live, f"Host: 127.0.0.1:{live.port}", f"Origin: {origin.format(port=live.port)}")
    assert status_of(answer) == status
    assert (b"access-control-allow-origin: https://app.example" in answer) is (origin == "https://app.example")
    assert b"vary: Origin" in answer


def test_an_origin_is_asked_for_before(live):
    wished = "authorization, content-type, x-stainless-lang"
    status, _, headers = live.ask(
        "OPTIONS", "/v1/chat/completions", None, Origin="https://app.example",
        **{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wished},
    )  # fmt: skip
    assert status == 204
    assert headers["access-control-allow-headers"] == wished
    assert live.ask("OPTIONS", "/v1/chat/completions", None, Origin="https://evil.example")[0] == 403
    assert live.ask("OPTIONS", "/v1/chat/completions", None)[0] == 405


def test_the_address_that_is_listened_on_is_a_name_too():
    with serving("--host", "127.0.0.2", "--allow-host", "x") as server:
        connect = http.client.HTTPConnection("127.0.0.2", server.port, timeout=20)
        connect.request("GET", "/health")  # whose Host is the address that was given
        assert connect.getresponse().status == 200
        connect.close()


# --- Keys ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer"}, 401), ({"Authorization": f"Basic {KEY}"}, 401), ({"X-Api-Key": ""}, 401),
        ({"Authorization": f"Bearer {KEY}x"}, 401), ({"X-Api-Key": KEY.upper()}, 401),
        ({"Authorization": f"Bearer {KEY}"}, 200), ({"Authorization": f"bearer   {KEY}"}, 200),
        ({"X-Api-Key": KEY}, 200), ({"Authorization": "Bearer wrong", "X-Api-Key": KEY}, 401),
        ({"Authorization": "Bearer \xff\xfe"}, 401),
    ],
)  # fmt: skip
def test_a_key_is_needed(locked, headers, status):
    for path in ("/v1/models", "/metrics", "/props", "/v1/models/demo"):
        sent = {name: value.encode("latin-1" if "\xff" in value else "utf-8") for name, value in headers.items()}
        found, body = locked.get(path, **sent)
        assert found == status
        assert KEY not in body.decode()


def test_health_needs_no_key_and_a_path_that_looks_like_it_does(locked):
    assert locked.get("/health")[0] == 200
    for path in ("/health/", "/health/../v1/models", "/health%2f..%2fv1/models", "//health", "/v1/models#/health"):
        assert locked.get(path)[0] in (400, 401)


def test_a_wrong_key_is_heard_of_behind_a_large_body(locked):
    status, body, headers = locked.post(b"x" * 20_000_000, **{"X-Api-Key": "wrong"})
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(body)["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("words", "env", "says"),
    [
        (["--host", "0.0.0.0"], {}, "--api-key"), (["--host", ""], {}, "--api-key"),
        (["--host", "::"], {}, "--api-key"),
        (["--host", "0.0.0.0", "--api-key", ""], {}, "empty"), (["--api-key", ""], {}, "empty"),
        (["--api-key", " x"], {}, "spaces"), ([], {"VLM_API_KEY": "x\n"}, "spaces"),
        (["--host", "256.1.1.1", "--no-auth"], {}, "cannot listen"),
        (["--host", "a..b", "--no-auth"], {}, "cannot listen"),
        (["--host", "192.0.2.7", "--no-auth"], {}, "cannot listen"), (["--port", "99999"], {}, "--port"),
        (["--keep-alive", "soon"], {}, "duration"), (["--models", "no-such-model"], {}, "no-such-model"),
    ],
)  # fmt: skip
def test_what_does_not_start(words, env, says):
    done = vlm("serve", *words, env={"VLM_MODEL": "demo"} | env)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# --- Shapes of requests ---

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SMUGGLED = "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: x\r\n\r\n"
SHAPES = {
    "cl and te": f"{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "two lengths": f"{HEAD}Content-Length: 2\r\nContent-Length: 90\r\n\r\n{{}}{SMUGGLED}",
    "two in one": f"{HEAD}Content-Length: 2, 90\r\n\r\n{{}}",
    "negative": f"{HEAD}Content-Length: -1\r\n\r\n{{}}",
    "plus": f"{HEAD}Content-Length: +2\r\n\r\n{{}}",
    "hex": f"{HEAD}Content-Length: 0x2\r\n\r\n{{}}",
    "a mile": f"{HEAD}Content-Length: {'9' * 5000}\r\n\r\n{{}}",
    "te twice": f"{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "te unknown": f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te with tab": f"{HEAD}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    "space before colon": f"{HEAD}Content-Length : 2\r\n\r\n{{}}",
    "obs-fold": f"{HEAD}X: a\r\n b\r\nContent-Length: 2\r\n\r\n{{}}",
    "bare lf": f"{HEAD}Content-Length: 2\r\n\r\n{{}}".replace("\r\n", "\n"),
    "bare cr": f"{HEAD}X: a\rb\r\nContent-Length: 2\r\n\r\n{{}}",
    "null in header": f"{HEAD}X: a\0b\r\nContent-Length: 2\r\n\r\n{{}}",
    "bad chunk": f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n",
    "huge chunk": f"{HEAD}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n{{}}",
    "chunk ends wrong": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}xx0\r\n\r\n",
    "long line": "GET /" + "a" * 100_000 + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "many headers": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "X: y\r\n" * 20_000 + "\r\n",
    "no version": "GET /\r\n\r\n",
    "http/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/9": "GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    "tls": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "non-ascii target": "GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "upgrade": "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "h2c": "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "connect": "CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "trace": "TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "star": "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "expect": f"{HEAD}Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{{}}",
    "pipelined": SMUGGLED * 3,
    "pipelined garbage": SMUGGLED + "\0\1\2\r\n\r\n",
    "double slash": "GET //evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "dots": "GET /v1/../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "percent": "GET /%00%ff%2e%2e/%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "surrogates": "GET /v1/models/%ed%a0%80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("end", [False, True], ids=["open", "half-closed"])
def test_odd_shapes_of_requests(live, end):
    with ThreadPoolExecutor(len(SHAPES)) as pool:
        answers = list(pool.map(lambda text: live.raw(text.encode("latin-1"), wait=3.0, end=end), SHAPES.values()))
    for shape, raw in zip(SHAPES, answers, strict=True):
        statuses = [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]
        assert not [one for one in statuses if one >= 500 or one == 101], (shape, raw)
        assert len(statuses) <= (3 if shape.startswith("pipelined") else 1), (shape, raw)  # nothing is smuggled
        for one in (b"Traceback", b"/usr", b".py"):
            assert one not in raw
    alive(live)
    assert not [line for line in live.said if "Traceback" in line]


@pytest.mark.parametrize(
    "shape", ["cl and te", "two lengths", "negative", "te unknown", "bad chunk", "non-ascii target"]
)
def test_what_is_no_http_is_told_so_in_json(live, shape):
    raw = live.raw(SHAPES[shape].encode("latin-1"), wait=2)
    assert status_of(raw) in (400, 501)
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


def test_chunks_beyond_the_limit(live):
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as sock:
        sock.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(OSError):  # it need not read all of it
            for _ in range(40):
                sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sock.sendall(b"0\r\n\r\n")
        assert status_of(sock.recv(65536)) == 413
    alive(live)


def test_a_gigabyte_is_not_kept(live):
    before = resident(live.process.pid)
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as sock:
        sock.sendall(f"{HEAD}Content-Length: {10**9}\r\n\r\n".encode())
        with suppress(OSError):
            for _ in range(1000):
                sock.sendall(b"x" * 10**6)
        with suppress(OSError):
            assert status_of(sock.recv(65536)) in (0, 413)
    assert resident(live.process.pid) - before < 50e6
    alive(live)


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - one line
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_length_that_is_a_lie(live):
    assert status_of(live.raw(f"{HEAD}Content-Length: 1\r\nConnection: close\r\n\r\n{{}}".encode(), wait=5)) == 400
    assert status_of(live.raw(f"{HEAD}Content-Length: 9\r\n\r\n{{}}".encode(), wait=5, end=True)) in (0, 400)
    live.idle()
    alive(live)


# --- Slow ones ---


HASTY = """
import dataclasses
import socket
from vlmcli.cli import app
from vlmcli.server import connection, running, service

connection.HEAD_SECONDS = connection.STALLED_SECONDS = 1.0
running.SPARE = 8
service.Limits.__init__.__defaults__ = tuple(
    1.0 if field.name == "body_seconds" else field.default for field in dataclasses.fields(service.Limits)
)
listening = running.listening


def with_little_room(*where):
    found = listening(*where)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return found


running.listening = with_little_room
app.main(["serve", "--port", "0", "--queue", "8"])
"""
"""A server whose times are short, so that tests need not wait: they are no options."""


@pytest.fixture(scope="module")
def hasty():
    with serving(command=(sys.executable, "-c", HASTY)) as server:
        yield server


def test_slow_heads_end(hasty):
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=10) as sock:
        began = time.monotonic()
        with suppress(OSError):
            for letter in b"GET /health HTTP/1.1\r\nX: " + b"a" * 100:
                sock.sendall(bytes([letter]))
                time.sleep(0.05)
        assert time.monotonic() - began < 5
    silent = socket.create_connection(("127.0.0.1", hasty.port), timeout=10)
    with silent, suppress(ConnectionError):
        assert silent.recv(1) == b""
    alive(hasty)


def test_a_slow_body_ends_with_408(hasty):
    raw = hasty.raw(f"{HEAD}Content-Length: 9\r\n\r\n{{".encode(), wait=10)
    assert status_of(raw) == 408
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_slow"


def test_a_client_that_does_not_read_is_left(hasty):
    endless = asked(SCENE, QUESTION, stream=True, logprobs=True, top_logprobs=20, max_tokens=6000)
    body = json.dumps(endless | {"vlm": {"regex": "[a-z ]{6000}"}}).encode()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", hasty.port))
        sock.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        sock.recv(100)
        assert hasty.metric("vlm_requests_under_way") == 1
        hasty.idle(15)
        alive(hasty)


def test_more_connections_than_there_may_be_are_told_so(hasty):
    held = [socket.create_connection(("127.0.0.1", hasty.port), timeout=10) for _ in range(40)]
    try:
        first = []
        for sock in held[-10:]:
            with suppress(OSError):
                first.append(status_of(sock.recv(65536)))
        assert 503 in first
    finally:
        for sock in held:
            sock.close()
    time.sleep(0.2)
    alive(hasty)


# --- What is fetched ---

PRIVATE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://LOCALHOST.:{port}/", "http://2130706433:{port}/",
    "http://0x7f000001:{port}/", "http://0x7f.0.0.1:{port}/", "http://0177.0.0.1:{port}/", "http://127.1:{port}/",
    "http://127.0.1:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::]:{port}/",
    "http://0.0.0.0:{port}/", "http://0:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/",
    "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/", "http://10.0.0.1/",
    "http://192.168.0.1/", "http://[fe80::1%25eth0]/", "http://[fd00::1]/", "http://user@127.0.0.1:{port}/",
    "http://127.0.0.1%2f@x:{port}/", "http://x#@127.0.0.1:{port}/", "http://127。0。0。1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/", "HTTP://127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}/", "http:127.0.0.1:{port}/",
    "s3://bucket/a.png", "memory://a.png", "hf://datasets/a/b/c.png", "shard.tar#1.png", "t.parquet#0",
    "file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/",
    "jar:http://127.0.0.1!/", "dict://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://", "http://:{port}/",
    "http://127.0.0.1:{port}/\r\nHost: x", "http://127.0.0.1:99999/", "http://[::1", "data:text/plain,http://127.0.0.1/",
]  # fmt: skip


@pytest.fixture(scope="module")
def open_reader():
    return Reader(allow_urls=True, allow_local=False, most=16, megapixels=100, threads=2)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


def test_nothing_of_this_machine_or_network_is_fetched():
    with raw_serving(reply(SCENE)) as inner, serving("--allow-urls") as server:
        for spelling in PRIVATE:
            address = spelling.format(port=inner.port)
            status, body, _ = server.post(asked_about(address))
            assert status == 400, (address, body)
            error = json.loads(body)["error"]
            assert error["param"] == "messages[0].content[0].image_url.url"
            assert "root:" not in error["message"]
        assert inner.accepted == 0
        alive(server)


@pytest.mark.parametrize(
    ("picture", "question", "says"),
    [
        (SCENE, "word " * 20_000, ". Send fewer or smaller pictures, or start the server with a larger --ctx."),
        (b"a list", "what is this?", "picture 1: a text file, not a picture"),
    ],
)
def test_advice_is_for_clients(live, picture, question, says):
    """The hints of the command line name options that a client of the server does not have."""
    status, body, _ = live.post(asked(uri(picture), question))
    said = json.loads(body)["error"]["message"]
    assert status == 400
    assert said.endswith(says)
    assert "use a larger context" not in said


def test_addresses_are_fetched_only_where_that_is_allowed(live):
    with raw_serving(reply(SCENE)) as inner:
        address = f"http://127.0.0.1:{inner.port}/a.png"
        status, body, _ = live.post(asked_about(address))
        assert (status, inner.accepted) == (400, 0)
        assert "--allow-urls" in json.loads(body)["error"]["message"]
        with serving("--allow-local-urls") as server:
            status, body, _ = server.post(asked_about(address))
            assert status == 200, body
            assert "red circle" in json.loads(body)["choices"][0]["message"]["content"]
            assert inner.accepted == 1


def asked_about(address):
    content = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": QUESTION}]
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 20}


def test_names_that_lead_here_are_refused_also_behind_redirects(open_reader, monkeypatch):
    connected = []

    def look_up(host, port, *_, **__):
        leads = {"open.example": "93.184.216.34", "inner.example": "127.0.0.1", "cloud.example": "169.254.169.254"}
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads[host], port))]

    with raw_serving(
        lambda sock, _: sock.sendall(reply(status="302 Found", Location="http://inner.example/"))
    ) as outer:
        real = socket.socket.connect

        def connect(self, address):
            connected.append(address[0])
            return real(self, ("127.0.0.1", outer.port)) if address[0] == "93.184.216.34" else real(self, address)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        monkeypatch.setattr(socket.socket, "connect", connect)
        for address in ("http://inner.example/", "http://cloud.example/", "http://open.example/a.png"):
            with pytest.raises(Wrong, match="an address of this machine or its network") as caught:
                read(open_reader, address)
            assert (caught.value.status, caught.value.param) == (400, "p")
    assert connected == ["93.184.216.34"]


def read(reader, *texts):
    return asyncio.run(reader.read([Given(text, "p") for text in texts]))


# --- Pictures that are too much ---


def test_bombs_are_errors_and_take_no_memory(live):
    before = most_resident(live.process.pid)
    bombs = [
        png(Image.new("1", (11_000, 11_000))), png(Image.new("1", (11_000, 11_000)), "TIFF", compression="group4"),
        png(Image.new("1", (60_000, 1_700)), "GIF"), b"BM" + b"\xff" * 60, b"%PDF-1.7\n" + b"x" * 999,
    ]  # fmt: skip
    for bomb in bombs:
        status, body, _ = live.post(asked(uri(bomb), QUESTION))
        assert status in (400, 413), body
    assert most_resident(live.process.pid) - before < 60e6  # none was decoded
    alive(live)


def most_resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123 - a few lines
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))


def test_a_mile_of_spaces_costs_no_time(live):
    began = time.monotonic()
    assert live.post(asked_about("A" * 16 + " " * 900_000 + "!"))[0] == 400
    assert time.monotonic() - began < 3


def test_pixels_of_all_requests_are_bounded(monkeypatch):
    room = Room(100)
    with room.taken(90) as kept:
        pictures = [Picture("a", (1, 1), "", bytes), Picture("b", (1, 1), "", bytes)]
        kept(pictures)
    monkeypatch.setattr(seen, "ROOM_SECONDS", 0.05)
    with room.taken(10):
        pass
    with pytest.raises(Wrong, match="no memory") as caught, room.taken(11):
        pass
    assert caught.value.status == 503
    del pictures[0], pictures[0]
    with room.taken(1000) as kept:  # more than there is, when nobody has any
        kept([])
    with room.taken(100):
        pass


def test_too_many_bytes_at_a_time_are_told_to_wait():
    with serving("--max-body", 64) as server:
        held = []
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            held.append(sock)
            sock.sendall(f"{HEAD}Content-Length: 60000000\r\n\r\n".encode())
            with suppress(OSError):
                for _ in range(59):
                    sock.sendall(b"x" * 10**6)
        status, body, headers = server.post(b"x" * 30_000_000)
        assert (status, headers.get("retry-after")) == (429, "2"), body
        for sock in held:
            sock.close()
        time.sleep(0.5)
        assert server.post(asked(SCENE, QUESTION))[0] == 200


# --- Words ---


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("/home/me/models/a.gguf: broken", "a.gguf: broken"), ("C:\\Users\\me\\a.gguf: broken", "a.gguf: broken"),
        ("cannot read '~/x/y.gguf' (see /tmp/a/log)", "cannot read 'y.gguf' (see log)"),
        ("http://a.b/c/d.png: not there", "http://a.b/c/d.png: not there"), ("2 tokens/s", "2 tokens/s"),
    ],
)  # fmt: skip
def test_paths_of_this_machine_are_not_told(says, told):
    assert from_error(VlmError(says, says)).message == told


def test_the_times_of_a_connection_are_those_of_the_docs():
    text = (ROOT / "docs" / "server.md").read_text("utf-8")
    assert f"{connection.HEAD_SECONDS:g} seconds" in text
    assert f"{connection.STALLED_SECONDS:g} seconds" in text
    assert fetch.SECONDS == 30
