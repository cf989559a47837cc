"""Which addresses are reached, in how much time, and that the client of HTTP does nothing behind our back."""

import gzip
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from tests.support import ROOT
from tests.support.program import SCENE
from tests.support.raw_server import CERTIFICATE, reply, serving, tls
from vlmcli.errors import SourceError
from vlmcli.network import open_network
from vlmcli.pictures import fetch

PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


def get(server, path="/", host="127.0.0.1", scheme="http", **how):
    return fetch.get(f"{scheme}://{host}:{server.port}{path}", **({"allow_local": True, "seconds": 10} | how))


# --- Which addresses ---


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("::ffff:8.8.8.8", True), ("::ffff:192.168.0.1", False), ("::ffff:127.0.0.1", False),
        ("64:ff9b::8.8.8.8", True), ("64:ff9b::10.0.0.1", False), ("64:ff9b::7f00:1", False),
        ("64:ff9b::169.254.169.254", False), ("64:ff9b:1::8.8.8.8", False), ("2002:808:808::", True),
        ("2002:7f00:1::", False), ("::10.0.0.1", False), ("::8.8.8.8", False), ("::", False), ("::1", False),
        ("fec0::1", False), ("ff02::1", False), ("100::1", False), ("2001::1", False), ("2001:db8::1", False),
        ("2a00:1450:4001:80b::200e", True), ("198.18.0.1", False), ("192.0.2.1", False), ("240.0.0.1", False),
        ("255.255.255.255", False), ("0.0.0.0", False), ("1.1.1.1", True),
    ],
)  # fmt: skip
def test_an_address_is_judged_by_the_one_inside(address, is_open):
    assert open_network.is_open(address) is is_open


@pytest.fixture
def world(monkeypatch):
    """Names lead where a test says, answer by answer; connections are only noted, and refused."""
    answers, connected = [], []

    def look_up(host, port, *_, **__):
        answer = answers.pop(0)
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in answer
        ]

    def connect(self, address):
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    return answers, connected


def test_a_name_is_looked_up_once_so_that_it_cannot_lead_elsewhere_later(world):
    answers, connected = world
    answers += [[PUBLIC], [PRIVATE]]
    with pytest.raises(SourceError, match="Connection refused"):
        fetch.get("http://rebinding.example/a.png")
    assert connected == [(PUBLIC, 80)]
    assert answers == [[PRIVATE]]


@pytest.mark.parametrize("found", [[PUBLIC, PRIVATE], [PRIVATE, PUBLIC], [PUBLIC, "::1"], [PUBLIC, "64:ff9b::a00:1"]])
def test_a_name_one_of_whose_addresses_is_private_is_refused_whole(world, found):
    answers, connected = world
    answers += [found]
    with pytest.raises(SourceError, match="address of this machine or its network"):
        fetch.get("http://both.example/a.png")
    assert connected == []


def test_the_next_address_of_a_name_is_tried(world):
    answers, connected = world
    answers += [[PUBLIC, "1.1.1.1"]]
    with pytest.raises(SourceError, match="Connection refused"):
        fetch.get("https://two.example/a.png")
    assert connected == [(PUBLIC, 443), ("1.1.1.1", 443)]


def test_every_redirect_is_checked_again(monkeypatch):
    """The server is taken to be of the open network; what it leads to is not."""
    monkeypatch.setattr(open_network, "is_open", lambda address: address == "127.0.0.1")
    with serving(reply(b"secret")) as inner:
        for location in (f"http://127.0.0.2:{inner.port}/", f"//[::ffff:127.0.0.1]:{inner.port}/"):
            with serving(reply(status="302 Found", Location=location)) as server:
                with pytest.raises(SourceError, match="address of this machine or its network"):
                    get(server, allow_local=False)
                assert len(server.heard) == 1
        assert inner.accepted == 0


def test_five_redirects_are_followed_and_no_more():
    def lead(connection, head):
        step = int(head.split()[1].rpartition("/")[2])
        connection.sendall(reply(b"there") if step == 0 else reply(status="308 On", Location=f"/{step - 1}"))

    with serving(lead) as server:
        assert get(server, "/5") == b"there"
        server.heard.clear()
        with pytest.raises(SourceError, match="more than 5 redirects"):
            get(server, "/6")
        assert len(server.heard) == 6


def leading(location, status="302 Found"):
    return f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")


@pytest.mark.parametrize(
    ("location", "says", "advises"),
    [
        ("file:///etc/passwd", "redirects to file:, which is not supported", "only http and https are supported"),
        ("FILE:/etc/passwd", "redirects to file:,", "only http and https are supported"),
        ("ftp://127.0.0.1/a.png", "redirects to ftp:,", "only http and https are supported"),
        ("data:image/png;base64,AAAA", "redirects to data:,", "only http and https are supported"),
        ("gopher://127.0.0.1:70/1", "redirects to gopher:,", "only http and https are supported"),
        ("javascript:alert(1)", "redirects to javascript:,", "only http and https are supported"),
        ("x" * 5000 + ":y", "redirects to " + "x" * 40 + ":,", "only http and https are supported"),
        ("", "a redirect without an address (302)", "check the address"),
        ("   ", "a redirect without an address (302)", "check the address"),
        ("nowhere", "the server answered 404 Not Found", "check the address"),
        ("/", "more than 5 redirects", "check the address"),
        ("?again", "more than 5 redirects", "check the address"),
        ("//me:secret@127.0.0.1/a.png", "with a user name in the address", "download the picture first"),
        ("http://me@127.0.0.1/a.png", "with a user name in the address", "download the picture first"),
        ("//:1/a.png", "it names no host", "check the address"),
        ("http://[::1/a.png", "cannot be fetched (", "check the address"),
        ("http://127.0.0.1:99999/", "cannot be fetched (", "check the address"),
        ("http://127.0.0.1:0/", "cannot be fetched (port 0 does not exist)", "check the address"),
        ("\xff\xfe", "the server answered 404", "check the address"),
    ],
)
def test_a_redirect_that_is_not_followed_says_why_and_not_to_try_again(location, says, advises):
    def answer(connection, head):
        path = head.split()[1].partition("?")[0]
        connection.sendall(leading(location) if path == "/" else reply(status="404 Not Found"))

    with serving(answer) as server, pytest.raises(SourceError) as caught:
        get(server)
    assert says in caught.value.message
    assert advises in caught.value.hint
    assert "secret" not in str(caught.value)
    assert "again" not in caught.value.hint


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
def test_a_redirect_without_an_address_leads_nowhere(status):
    with (
        serving(reply(status=status)) as server,
        pytest.raises(SourceError, match="a redirect without an address") as caught,
    ):
        get(server)
    assert status[:3] in caught.value.message
    assert caught.value.hint == "check the address"


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/a.png", "HTTP://127.0.0.1:9/a.png"])
def test_a_redirect_from_https_to_http_is_not_followed(monkeypatch, location):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    says = r"redirects from https to http://127\.0\.0\.1:9/a\.png"
    with serving(leading(location), tls()) as server, pytest.raises(SourceError, match=says) as caught:
        get(server, host="localhost", scheme="https")
    assert "use that address directly" in caught.value.hint


# --- Time and size ---

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def slowly(data):
    def answer(connection, _):
        for at in range(len(data)):
            connection.sendall(data[at : at + 1])
            time.sleep(0.02)

    return answer


def again(data, before=CHUNKED):
    def answer(connection, _):
        connection.sendall(before)
        while True:
            connection.sendall(data)

    return answer


ENDLESS = {
    "slow head": (slowly(HEAD + b"X: x\r\n" * 200), "not downloaded within 0.5 s"),
    "slow size of a chunk": (slowly(CHUNKED + b"0" * 500), "not downloaded within"),
    "slow body": (slowly(HEAD + b"Content-Length: 999\r\n\r\n" + b"x" * 999), "not downloaded within 0.5 s"),
    "silence": (lambda connection, _: time.sleep(2), "not downloaded within 0.5 s"),
    "endless preludes": (again(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b""), "not downloaded within 0.5 s"),
    "endless line": (again(b"x" * 65536, HEAD + b"X: "), "cannot be fetched"),
    "endless headers": (again(b"X: x\r\n" * 9999, HEAD), "cannot be fetched"),
    "endless size of a chunk": (again(b"0" * 65536), "cannot be fetched"),
    "endless trailers": (again(b"X: x\r\n" * 9999, CHUNKED + b"0\r\n"), "cannot be fetched"),
    "endless body": (again(b"x" * 65536, HEAD + b"\r\n"), "more than 1.0 MB, too much"),
    "endless chunk": (again(b"x" * 65536, CHUNKED + b"ffffffffffff\r\n"), "more than 1.0 MB"),
    "endless chunks": (again(b"1\r\nx\r\n" * 9999), "not downloaded within 0.5 s"),
    "a chunk that is no number": (CHUNKED + b"-1\r\nx", "cannot be fetched"),
    "a chunk that is cut": (CHUNKED + b"9\r\nx", "cannot be fetched"),
    "nothing": (b"", "the server closed the connection without an answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "cannot be fetched"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_whatever_a_server_does_it_ends_soon(name):
    answer, says = ENDLESS[name]
    with serving(answer) as server:
        start = time.monotonic()
        with pytest.raises(SourceError) as caught:
            get(server, seconds=0.5 if "not downloaded" in says else 10, max_bytes=1 << 20)
        assert time.monotonic() - start < 5
        assert says in caught.value.message


def test_the_body_of_a_redirect_is_not_waited_for():
    def lead(connection, head):
        if head.startswith("GET /there"):
            connection.sendall(reply(b"there"))
        else:
            again(b"x" * 65536, reply(status="302 Found", Location="/there", Content_Length="9" * 9))(connection, head)

    with serving(lead) as server:
        assert get(server) == b"there"


def test_a_server_that_reads_slowly_is_left(monkeypatch):
    """A redirect may lead to a long address; of that, a little is taken again and again."""
    real = socket.socket.send

    def send(self, data):
        time.sleep(0.05)
        return real(self, data[:10])

    monkeypatch.setattr(socket.socket, "send", send)
    with serving(reply()) as server:
        start = time.monotonic()
        with pytest.raises(SourceError, match=r"not downloaded within 0\.5 s"):
            get(server, "/" + "x" * 2000, seconds=0.5)
        assert time.monotonic() - start < 2
        assert not server.heard


def test_a_name_server_that_is_slow_is_left(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2))
    start = time.monotonic()
    with pytest.raises(SourceError, match=r"not downloaded within 0\.5 s"):
        fetch.get("http://slow.example/", seconds=0.5)
    assert time.monotonic() - start < 1.5


def test_nothing_packed_is_asked_for():
    with serving(reply(gzip.compress(b"data"), Content_Encoding="gzip")) as server:
        assert get(server) == b"data"
        assert "Accept-Encoding: identity\r\n" in server.heard[0]


# --- What a client of HTTP may do by itself ---


def test_nothing_is_kept_between_requests(monkeypatch, tmp_path):
    """No cookie, no password of a .netrc, no other service, no connection."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name, value in (("HOME", tmp_path), ("USERPROFILE", tmp_path), ("NETRC", tmp_path / ".netrc")):
        monkeypatch.setenv(name, str(value))
    with serving(reply(b"other")) as other:
        more = {"Set_Cookie": "id=1; Path=/", "Alt_Svc": f'http/1.1="127.0.0.1:{other.port}", h2=":{other.port}"'}

        def lead(connection, head):
            to = {"status": "302 Found", "Location": "/there"} if head.startswith("GET / ") else {}
            connection.sendall(reply(b"there", **to, **more))

        with serving(lead) as server:
            assert get(server) == get(server) == b"there"
            assert server.accepted == len(server.heard) == 4
            for head in server.heard:
                names = {line.partition(":")[0] for line in head.splitlines()[1:] if line}
                assert names == {"Host", "Accept-Encoding", "User-Agent", "Accept", "Connection"}
        assert other.accepted == 0


def test_a_password_that_is_asked_for_is_not_sent():
    with serving(reply(status="401 Unauthorized", WWW_Authenticate="Basic realm=x")) as server:
        with pytest.raises(SourceError, match="401 Unauthorized"):
            get(server)
        assert len(server.heard) == 1


def test_a_command_without_addresses_loads_no_client_of_http():
    code = (
        "import sys\nfrom vlmcli.pictures import sources\n"
        "print(next(iter(sources.find([sys.argv[1]]))).load().size)\n"
        "print(sorted({'httpcore2', 'httpx2', 'h11', 'urllib.request', 'http.client'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, SCENE], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "(640, 480)\n[]\n", done.stderr


# --- Proxies of the environment ---


def pour(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def tunnelling(inner):
    """The answer of a proxy that connects everybody to one server."""

    def answer(connection, head):
        if not head.startswith("CONNECT "):
            connection.sendall(reply(b"proxied"))
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", inner.port)) as there:
            back = threading.Thread(target=pour, args=(there, connection))
            back.start()
            pour(connection, there)
            back.join()

    return answer


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_the_proxy_for_http_is_asked_for_the_whole_address(monkeypatch, name):
    with serving(reply(b"proxied")) as proxy:
        for value in (f"http://127.0.0.1:{proxy.port}", f"127.0.0.1:{proxy.port}", f"http://127.0.0.1:{proxy.port}/x"):
            monkeypatch.setenv(name, value)
            proxy.heard.clear()
            assert fetch.get("http://far.invalid:81/a b.png?q") == b"proxied"
            assert proxy.heard[0].startswith(
                "GET http://far.invalid:81/a%20b.png?q HTTP/1.1\r\nHost: far.invalid:81\r\n"
            )


def test_which_proxies_are_left_alone(monkeypatch):
    with serving(reply(b"proxied")) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        for settings in (
            {"all_proxy": address, "ALL_PROXY": address, "https_proxy": address},  # of other schemes
            {"http_proxy": address, "no_proxy": "far.invalid"},
            {"http_proxy": address, "no_proxy": "*"},
            {"HTTP_PROXY": address, "REQUEST_METHOD": "GET"},  # a header, where CGI runs us
        ):
            with monkeypatch.context() as patch:
                for name, value in settings.items():
                    patch.setenv(name, value)
                with pytest.raises(SourceError, match="cannot be fetched"):
                    fetch.get("http://far.invalid/a.png")
        monkeypatch.setenv("http_proxy", f"socks5://127.0.0.1:{proxy.port}")
        with pytest.raises(SourceError, match="the scheme socks5 is not supported"):
            fetch.get("http://far.invalid/a.png")
        assert proxy.accepted == 0


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_a_proxy_without_a_port_is_where_urllib_looks_for_it(world, monkeypatch, scheme, port):
    answers, connected = world
    answers += [[PUBLIC], [PRIVATE]]  # of the server and of the proxy, which may be private
    monkeypatch.setenv(f"{scheme}_proxy", "http://proxy.example/")
    with pytest.raises(SourceError, match="Connection refused"):
        fetch.get(f"{scheme}://far.example/a.png")
    assert connected == [(PRIVATE, port)]


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_the_proxy_for_https_makes_a_tunnel_and_certificates_are_of_the_server(monkeypatch, name):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with serving(reply(b"there"), tls()) as server, serving(tunnelling(server)) as proxy:
        monkeypatch.setenv(name, f"http://me:s%40cret@127.0.0.1:{proxy.port}")
        address = f"https://localhost:{server.port}/a.png?q"
        assert fetch.get(address, allow_local=True) == b"there"
        assert proxy.heard == [
            f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
            "Proxy-Authorization: Basic bWU6c0BjcmV0\r\n\r\n"
        ]
        assert "Proxy" not in server.heard[0]
        with pytest.raises(SourceError, match="certificate verify failed"):  # the server is not who was asked for
            fetch.get(f"https://far.invalid:{server.port}/a.png")
        with pytest.raises(SourceError, match="address of this machine"):
            fetch.get(address)
        assert len(proxy.heard) == 2


def test_a_tunnel_that_is_refused_is_said(monkeypatch):
    with serving(reply(status="407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        with pytest.raises(SourceError, match="the proxy answered 407 Proxy Authentication Required"):
            fetch.get("https://far.invalid/a.png")


def test_the_password_of_a_proxy_is_for_the_proxy(monkeypatch):
    with serving(reply(b"there")) as server:
        lead = reply(status="302 Found", Location=f"http://127.0.0.1:{server.port}/")
        with serving(lead) as proxy:
            monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert fetch.get("http://far.invalid/", allow_local=True) == b"there"
            assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in proxy.heard[0]
        assert "Proxy-Authorization" not in server.heard[0]


@pytest.mark.parametrize(
    "host",
    ["%31%30.0.0.1", "%2531%2530.0.0.1", "①⓪.0.0.1", "0xa.1", "167772161", "x%4010.0.0.1", "10.0.0.1%2F.example",
     "10.0.0.1%5C.example", "10.0.0.1%23.example", "10.0.0.1%3A80", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]"],
)  # fmt: skip
def test_a_proxy_is_not_asked_for_a_private_address_however_it_is_written(monkeypatch, host):
    with serving(reply(b"proxied")) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"127.0.0.1:{proxy.port}")
        for scheme in ("http", "https"):
            with pytest.raises(SourceError):
                fetch.get(f"{scheme}://{host}/a.png")
        assert proxy.accepted == 0


# --- TLS ---


def test_certificates_are_held_against_the_name_and_the_trusted_authorities(monkeypatch):
    with serving(reply(b"there"), tls()) as server:
        with pytest.raises(SourceError, match="certificate verify failed"):
            get(server, host="localhost", scheme="https")
        monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
        assert get(server, host="localhost", scheme="https") == b"there"
        with pytest.raises(SourceError, match=r"certificate verify failed.*mismatch"):
            get(server, host="127.0.0.1", scheme="https")
        assert len(server.heard) == 1


def test_http_2_is_not_spoken(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    chosen = []

    def answer(connection, _):
        chosen.append(connection.selected_alpn_protocol())
        connection.sendall(reply(b"there"))

    with serving(answer, tls(["h2", "http/1.1"])) as server:
        assert get(server, host="localhost", scheme="https") == b"there"
        assert chosen == ["http/1.1"]
        assert "HTTP/1.1\r\n" in server.heard[0]


def test_a_handshake_that_never_ends_is_left():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        with pytest.raises(SourceError, match=r"not downloaded within 0\.5 s"):
            fetch.get(f"https://127.0.0.1:{mute.getsockname()[1]}/", allow_local=True, seconds=0.5)
        assert time.monotonic() - start < 2


def test_an_address_that_does_not_answer_leaves_time_for_the_next(world, monkeypatch):
    answers, connected = world
    answers += [["2a00::1", PUBLIC]]

    def connect(self, address):
        connected.append((address[0], self.gettimeout()))
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(SourceError, match="cannot be fetched"):
        fetch.get("http://two.example/a.png", seconds=60)
    assert connected == [("2a00::1", 10), (PUBLIC, 10)]
