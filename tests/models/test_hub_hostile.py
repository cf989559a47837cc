"""A Hub that means harm, and a cache in which somebody has put traps.

Each is an error with a name, soon, and nothing is written outside the cache or taken for what it is not.
"""

import gzip
import hashlib
import json
import os
import time
import zlib

import pytest

from tests.support.hub import Hub
from tests.support.raw_server import CERTIFICATE, reply, serving, tls
from tests.support.zeros import packed_zeros
from vlmcli.errors import HubBusy, HubError, NotOnHub
from vlmcli.models import download, hub_cache, hub_client, hub_json, pull, repository, store
from vlmcli.models import hub as ours
from vlmcli.network import open_network

NAME = "someone/pictures-GGUF"
REALLY_SLEEP = time.sleep
MODEL, PROJECTOR = b"GGUF model" * 20_000, b"GGUF eyes" * 1_000
SHA = hashlib.sha256(MODEL).hexdigest()


def row(name="model-Q8_0.gguf", content=MODEL, **more):
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return {"rfilename": name, "size": len(content), "blobId": "0" * 40, "lfs": lfs} | more


def listing(*rows, **more):
    found = {"id": NAME, "sha": "a" * 40, "gated": False, "tags": ["gguf"], "cardData": {"license": "mit"}}
    return found | {"siblings": [*rows, row(), row("mmproj-F16.gguf", PROJECTOR)]} | more


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of the test's own, no proxies, and no waiting between attempts."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    monkeypatch.setattr(ours.time, "sleep", lambda _: None)
    return tmp_path / "home" / "hub"


@pytest.fixture
def asked(home, monkeypatch):
    """Serve a Hub whose every byte is the test's, and look at a repository of it."""

    def ask(answer, name=NAME):
        with serving(answer) as server:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
            return ours.look(name)

    return ask


def refused(ask, *what, kind=HubError):
    with pytest.raises(kind) as caught:
        ask(*what)
    assert NAME in caught.value.message or "gguf" in caught.value.message
    assert caught.value.hint
    return caught.value.message


# --- What is read ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "deep"), ('{"a":' * 100_000, "deep"), ('[{"a":' * 40 + "1" + "}]" * 40, "deep"),
        ('{"siblings": ' + "[" * 50 + "]" * 50 + "}", "deep"), ('["\\\\", ' + "[" * 33 + "]" * 33 + "]", "deep"),
        ("[1e999]", "too large"), ("[-1e999]", "too large"), ("[NaN]", "NaN"), ("[Infinity]", "Infinity"),
        ("[-Infinity]", "Infinity"), ("[" + "9" * 10_000 + "]", "10000 digits"), ("[-" + "1" * 30 + "]", "digits"),
        ("[" + "0," * 600_000 + "0]", "values"), ('["' + '","' * 600_000 + '"]', "values"),
        ("[" + "{}" * 600_000 + "]", "values"), ("", "not JSON"), ("{", "not JSON"), ('{"a": 1', "not JSON"),
        ("[1] [2]", "not JSON"), ("\ufeff[]", "not JSON"), ('"\\ud800"', "surrogates"),
        ('{"\\udfff": 1}', "surrogates"), ("[\\\"[[[", "not JSON"), ('["\x01"]', "not JSON"),
    ],
)  # fmt: skip
def test_json_is_bounded_before_it_is_read(text, says):
    began = time.monotonic()
    with pytest.raises(ValueError, match=says):
        hub_json.read(text.encode())
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("data", [b"\xff\xfe[\0]\0", b"[\xc3]", "[1]".encode("utf-16"), "[1]".encode("utf-32")])
def test_json_is_utf_8(data):
    with pytest.raises(UnicodeError):
        hub_json.read(data)


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, -2.5, true, null, "[[[[{{{{"]}', '["\\"[[", "\\\\", "\\u00e9\\ud83d\\ude00"]', "[" * 32 + "]" * 32,
     '["' + "[" * 100_000 + '"]', "[" + "1" * 25 + "]", "0", '"\\\\\\"[\\\\"'],
)  # fmt: skip
def test_json_within_bounds_is_what_python_reads(text):
    assert hub_json.read(text.encode()) == json.loads(text)


def test_a_listing_that_is_as_it_should_be_is_read(asked):
    found = asked(reply(json.dumps(listing()).encode()))
    assert [file.path for file in found.files] == ["model-Q8_0.gguf", "mmproj-F16.gguf"]
    assert found.licence == "mit"


@pytest.mark.parametrize(
    "wrong",
    [
        row(size=-1), row(size=2**70), row(size=1.5), row(size=True), row(size="1"), row(size=[1]), row(size=None),
        row(rfilename=None), row(rfilename=3), row(rfilename=["a"]), row(rfilename=""), row(rfilename="a\0b"),
        row(rfilename="x" * 10_000), row(lfs=[]), row(lfs="x"), row(lfs={"sha256": None}),
        row(lfs={"sha256": "x" * 64}),
        row(lfs={"sha256": "A" * 64}), row(lfs={"sha256": SHA[:-1]}), row(lfs={"sha256": SHA + "\n"}),
        row(lfs={"a": 1}),
        row(), None, 3, "x", [], {},
    ],
)  # fmt: skip
def test_a_file_of_another_form_makes_no_listing(asked, wrong):
    said = refused(asked, reply(json.dumps(listing(wrong)).encode()))
    assert "does not answer like the Hub" in said


@pytest.mark.parametrize(
    "wrong",
    [{"siblings": 3}, {"siblings": {"a": 1}}, {"siblings": "x"}, {"sha": None}, {"sha": "a" * 39},
     {"sha": "../" * 13 + "a"},
     {"sha": ["a"] * 40}, {"sha": 10**39}, {"sha": "A" * 40}],
)  # fmt: skip
def test_a_listing_of_another_form_is_none(asked, wrong):
    assert "does not answer like the Hub" in refused(asked, reply(json.dumps(listing(**wrong)).encode()))


@pytest.mark.parametrize(
    "odd",
    [{"cardData": 3}, {"cardData": [{}]}, {"cardData": {"license": {"a": [1]}}}, {"tags": "license:x"}, {"tags": [3,
     None]},
     {"gated": {}}, {"gated": "\u202e"}, {"id": 7}, {"cardData": {"license": [None, 3]}}, {"tags": {"license:x": 1}}],
)  # fmt: skip
def test_what_is_only_shown_may_be_anything(asked, odd):
    found = asked(reply(json.dumps(listing(**odd)).encode()))
    assert len(found.files) == 2
    assert isinstance(found.licence, str)


@pytest.mark.parametrize(
    "path",
    ["../x.gguf", "/x.gguf", "a//x.gguf", "a/../x.gguf", "./x.gguf", "a\\x.gguf", "C:x.gguf", "C:\\x.gguf", "x\n.gguf",
     "x\x1b]0;x\x07.gguf", "x\x7f.gguf", "n" * 256 + ".gguf", "\u00e9" * 128 + ".gguf", "x.gguf/", "..", "a/./x.gguf"],
)  # fmt: skip
def test_no_path_of_a_listing_leaves_the_cache_or_is_a_name_nowhere(home, path):
    file = repository.RemoteFile(path, 1, "0" * 64)
    with pytest.raises(HubError, match="not a valid path in a repository"):
        hub_cache.spot(repository.Repository(NAME, "a" * 40, (file,)), file, file.sha256)


@pytest.mark.parametrize(
    ("one", "other"),
    [("mmproj-F16.gguf", "MMPROJ-f16.gguf"), ("model-\u00e9-Q8_0.gguf", "model-e\u0301-Q8_0.gguf"),
     ("model-Stra\u00dfe-Q8_0.gguf", "model-strasse-Q8_0.gguf"), ("model-Q8_0.gguf", "Model-Q8_0.GGUF")],
)  # fmt: skip
def test_two_names_that_are_one_on_many_disks_are_refused(home, monkeypatch, one, other):
    rows = [row(name, MODEL if "model" in name else PROJECTOR) for name in (one, other)]
    rows.append(row("mmproj-x-F32.gguf", PROJECTOR) if "model" in one else row("words-Q4_K_M.gguf"))
    with serving(reply(json.dumps(listing() | {"siblings": rows}).encode())) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        with pytest.raises(
            HubError, match=r"many disks cannot tell apart|language models in this repository"
        ) as caught:
            pull.order(store.published(NAME), lambda _: None)
    assert caught.value.hint


def test_a_thousand_models_in_a_hundred_thousand_parts_each_cost_nothing(asked):
    rows = [row(f"m{number}-00001-of-99999.gguf", b"x") for number in range(3_000)]
    found = asked(reply(json.dumps(listing(*rows)).encode()))
    began = time.process_time()
    assert repository.choose(found, "model-Q8_0").model[0].path == "model-Q8_0.gguf"
    assert time.process_time() - began < 5


# --- How it comes ---

JSON = json.dumps(listing()).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def again(data, before=b"", pause=0.0):
    def answer(connection, _):
        connection.sendall(before)
        while True:
            connection.sendall(data)
            REALLY_SLEEP(pause)

    return answer


ENDLESS = {
    "a body": (again(b" " * 65536, HEAD + b"\r\n"), "more than 8.4 MB"),
    "chunks": (again(b"1000\r\n" + b" " * 4096 + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
    "more than 8.4"),
    "a gzip bomb": (reply(packed_zeros(100, "gzip"), Content_Encoding="gzip"), "unpacks to more than 8.4 MB"),
    "a deflate bomb": (reply(packed_zeros(100), Content_Encoding="deflate"), "unpacks to more"),
    "another coding": (reply(JSON, Content_Encoding="br"), "compressed as 'br'"),
    "damaged gzip": (reply(b"\x1f\x8bnothing", Content_Encoding="gzip"), "damaged compressed data"),
    "cut gzip": (reply(gzip.compress(JSON)[:-9], Content_Encoding="gzip"), "truncated compressed data"),
    "a header": (again(b"x" * 65536, HEAD + b"X: "), "does not answer like the Hub"),
    "headers": (again(b"X: x\r\n" * 999, HEAD), "does not answer like the Hub"),
    "a length of 5,000 digits": (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n[]", "answer like the Hub"),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n[]", "does not answer like the Hub"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]", "does not answer like the Hub"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "does not answer like the Hub"),
    "nothing": (b"", "the connection was cut"),
    "half": (HEAD + b"Content-Length: 999\r\n\r\n{", "the connection was cut"),
    "no status": (reply(status="999 ?"), "the Hub reports an error (999)"),
    "nothing new": (reply(status="304 Not Modified"), "the Hub refused the request (304)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_however_a_listing_comes_it_ends_soon(asked, name):
    answer, says = ENDLESS[name]
    began = time.monotonic()
    assert says in refused(asked, answer)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "drip",
    [again(b" ", HEAD + b"\r\n", 0.02), again(b"x", HEAD + b"X: ", 0.02), again(b"0",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0.02),
     lambda *_: REALLY_SLEEP(3), again(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"", 0.02)],
    ids=["body", "head", "chunk", "silence", "hints"],
)  # fmt: skip
def test_the_time_is_for_the_whole_answer(asked, monkeypatch, drip):
    monkeypatch.setattr(hub_client, "SECONDS", 0.5)
    began = time.monotonic()
    assert "does not answer, or too slowly" in refused(asked, drip)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("wait", ["1e99", "-1", "Wed, 21 Oct 2099 07:28:00 GMT", "9" * 5000, "nan", "\xb2"])
def test_no_wish_to_wait_is_more_than_patience(asked, monkeypatch, wait):
    waits = []
    monkeypatch.setattr(ours.time, "sleep", waits.append)
    refused(asked, reply(status="503 x", Retry_After=wait).decode().encode("latin-1"), kind=HubBusy)
    assert sum(waits) < 100


def test_what_is_packed_without_having_been_asked_for_is_read(asked):
    for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        assert len(asked(reply(pack(JSON), Content_Encoding=coding)).files) == 2


@pytest.mark.parametrize("name", ["a b/c", "a/b/c", "a", "a/..", "a/b?x=1", "a/b#c", "../a/b", "a/b%2f..", "a//b"])
def test_no_name_becomes_another_address(asked, name):
    with pytest.raises(NotOnHub, match="not the name of a repository"):
        asked(b"", name)


# --- Where it leads ---


def leading(location, status="302 Found"):
    return f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "data:application/json,[]", "gopher://127.0.0.1:1/", "", "/again", "//",
     "http://me:secret@127.0.0.1/", "//me@127.0.0.1/", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:0/",
     "http://" + "a" * 300 + "/", "\x01", "javascript:x"],
)  # fmt: skip
def test_a_listing_that_leads_nowhere_says_so(asked, location):
    said = refused(asked, lambda connection, _: connection.sendall(leading(location)))
    assert "failed" in said
    assert "secret" not in said


def test_a_hub_of_https_does_not_lead_to_http(home, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with serving(reply(JSON)) as plain, serving(leading(f"http://127.0.0.1:{plain.port}/"), tls()) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"https://localhost:{server.port}")
        assert "a redirect from https to http" in refused(ours.look, NAME)
        assert plain.accepted == 0


def test_the_token_goes_to_the_hub_and_to_nobody_else(home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(reply(JSON)) as other:
        for host in ("127.0.0.1", "localhost"):
            with serving(leading(f"http://{host}:{other.port}/there")) as server:
                monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
                assert len(ours.look(NAME).files) == 2
                assert "Authorization: Bearer hf_secret" in server.heard[0]
        assert len(other.heard) == 2
        assert not any("hf_secret" in head or "authorization" in head.lower() for head in other.heard)


def test_a_redirect_within_the_hub_keeps_the_token(home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def answer(connection, head):
        connection.sendall(reply(JSON) if "/new" in head.split("\r\n")[0] else leading("/api/models/new/name"))

    with serving(answer) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        assert len(ours.look(NAME).files) == 2
        assert all("hf_secret" in head for head in server.heard)


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.2]", "localhost", "2130706434"])
def test_a_hub_of_the_open_network_does_not_lead_into_this_one(home, monkeypatch, host):
    """The server is taken to be of the open network."""
    monkeypatch.setattr(open_network, "is_open", lambda address: address == "127.0.0.1" and host != "localhost")
    if host == "localhost":
        monkeypatch.setattr(open_network, "is_open", lambda address: address == "127.0.0.3")
    here = "127.0.0.3" if host == "localhost" else "127.0.0.1"
    with serving(reply(JSON)) as inner, serving(leading(f"http://{host}:{inner.port}/"), address=here) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{here}:{server.port}")
        assert "an address of this machine or its network" in refused(ours.look, NAME)
        assert (len(server.heard), inner.accepted) == (1, 0)


# --- Files ---


@pytest.fixture
def hub(home, monkeypatch):
    with Hub() as server:
        server.add(NAME, {"model-Q8_0.gguf": MODEL, "mmproj-F16.gguf": PROJECTOR})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def bring():
    found = ours.look(NAME)
    return download.fetch(found, found.files[0], lambda _: None, lambda _: None)


def place():
    found = ours.look(NAME)
    return hub_cache.spot(found, found.files[0], found.files[0].sha256)


def secret(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    return outside


TRAPS = {
    "a link": lambda path, outside: path.symlink_to(outside),
    "a link to nothing": lambda path, outside: path.symlink_to(outside.with_name("nothing")),
    "a link to itself": lambda path, outside: path.symlink_to(path),
    "a hard link": lambda path, outside: path.hardlink_to(outside),
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a device": lambda path, outside: path.symlink_to("/dev/zero"),
    "a folder": lambda path, outside: path.mkdir(),
}


@pytest.mark.parametrize(
    ("kind", "trap"), [("part", trap) for trap in TRAPS] + [("lock", trap) for trap in TRAPS if trap != "a hard link"]
)  # nothing is written there
def test_a_trap_in_the_place_of_a_part_or_a_lock_is_refused_by_name(hub, tmp_path, kind, trap):
    outside, where = secret(tmp_path), getattr(place(), kind)
    where.parent.mkdir(parents=True)
    TRAPS[trap](where, outside)
    began = time.monotonic()
    with pytest.raises(HubError) as caught:
        bring()
    assert time.monotonic() - began < 5
    assert str(where) in caught.value.message
    assert "remove it" in caught.value.hint
    assert outside.read_bytes() == b"precious"
    assert not outside.with_name("nothing").exists()
    assert not place().blob.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another user's file")
def test_a_part_of_another_user_is_refused(hub):
    where = place().part
    where.parent.mkdir(parents=True)
    where.write_bytes(MODEL[:1000])
    os.chown(where, 12345, 12345)
    with pytest.raises(HubError, match="owned by another user"):
        bring()


@pytest.mark.parametrize("trap", [trap for trap in TRAPS if trap not in ("a hard link", "a folder")])
@pytest.mark.parametrize("kind", ["blob", "link", "main"])
def test_what_is_no_content_is_not_taken_for_it_and_is_replaced(hub, tmp_path, kind, trap):
    outside = tmp_path / "outside"
    outside.write_bytes(b"x" * len(MODEL))  # of the right size
    spot = place()
    where = spot.link.parents[2] / "refs" / "main" if kind == "main" else getattr(spot, kind)
    where.parent.mkdir(parents=True)
    TRAPS[trap](where, outside)
    assert bring().read_bytes() == MODEL
    assert outside.read_bytes() == b"x" * len(MODEL)
    assert spot.blob.is_file()
    assert not spot.blob.is_symlink()
    assert spot.link.resolve() == spot.blob.resolve()


@pytest.mark.parametrize("folder", ["blobs", "snapshots", "snapshots/COMMIT", "refs", ".locks"])
@pytest.mark.parametrize("to", ["outside", "/"])
def test_a_folder_of_the_cache_that_leads_out_of_it_is_refused(hub, tmp_path, folder, to):
    spot, outside = place(), tmp_path / "outside"
    outside.mkdir()
    base = spot.blob.parents[1]
    where = base.parent / ".locks" if folder == ".locks" else base / folder.replace("COMMIT", spot.link.parent.name)
    where.parent.mkdir(parents=True, exist_ok=True)
    where.symlink_to(outside if to == "outside" else to)
    with pytest.raises(HubError, match="a link that leads out of the cache") as caught:
        bring()
    assert str(where) in caught.value.message
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["blobs", "snapshots", "snapshots/COMMIT", "refs"])
@pytest.mark.parametrize("way", ["file", "pipe", "link to nothing", "circle"])
def test_what_is_in_the_place_of_a_folder_is_named(hub, name, way):
    base, commit = place().blob.parents[1], place().link.parent.name
    where = base / name.replace("COMMIT", commit)
    where.parent.mkdir(parents=True)
    {"file": lambda: where.write_bytes(b"x"), "pipe": lambda: os.mkfifo(where),
     "link to nothing": lambda: where.symlink_to("nothing"),
     "circle": lambda: where.symlink_to(where)}[way]()  # fmt: skip
    with pytest.raises(HubError) as caught:
        bring()
    assert str(where) in caught.value.message
    assert caught.value.hint == "remove it, or set HF_HOME to another folder"
    assert not (base / "nothing").exists()


def test_a_model_that_a_user_has_moved_to_another_disk_is_gone_on_with(hub, tmp_path):
    """The folder of a repository may be a link, as people make them."""
    base, elsewhere = place().blob.parents[1], tmp_path / "elsewhere"
    elsewhere.mkdir()
    base.parent.mkdir(parents=True)
    base.symlink_to(elsewhere)
    assert bring().read_bytes() == MODEL
    assert (elsewhere / "blobs" / SHA).is_file()


def test_what_lists_models_waits_for_no_pipe(hub):
    bring()
    base = place().blob.parents[1]
    (base / "refs" / "main").unlink()
    os.mkfifo(base / "refs" / "main")
    os.mkfifo(base / "snapshots" / "pipe.gguf")
    os.mkfifo(place().link.with_name("pipe.gguf"))
    place().link.with_name("circle.gguf").symlink_to("circle.gguf")
    (snapshot,) = hub_cache.cached(NAME)
    assert [file.path for file in snapshot.listing.files] == ["model-Q8_0.gguf"]


def file_server(first):
    """A Hub whose files are answered by a function of the range's start."""

    def answer(connection, head):
        line = head.split("\r\n")[0]
        if "/api/" in line:
            connection.sendall(reply(JSON))
            return
        start = next((int(one.partition("=")[2][:-1]) for one in head.split("\r\n") if one.startswith("Range")), 0)
        first(connection, start)

    return answer


def partial(start, body):
    total = len(MODEL)
    head = f"HTTP/1.1 206 Partial\r\nContent-Range: bytes {start}-{total - 1}/{total}\r\n"
    return f'{head}Content-Length: {total - start}\r\nETag: "x"\r\n\r\n'.encode() + body


def test_a_server_that_sends_a_byte_each_time_is_given_up(home, monkeypatch):
    def a_byte(connection, start):
        connection.sendall(partial(start, MODEL[start : start + 1]) if start else
                           reply(Content_Length=str(len(MODEL))) + MODEL[:1])  # fmt: skip

    with serving(file_server(a_byte)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        with pytest.raises(HubError, match="the connection was cut"):
            bring()
        assert len(server.heard) < 20


def test_a_file_that_drips_is_given_up_and_one_that_comes_steadily_is_not(home, monkeypatch):
    monkeypatch.setattr(hub_client, "STALL_SECONDS", 0.4)
    monkeypatch.setattr(ours, "ATTEMPTS", 2)

    def drip(connection, start):
        connection.sendall(reply(Content_Length=str(len(MODEL))))
        for at in range(0, len(MODEL), pace):
            connection.sendall(MODEL[at : at + pace])
            REALLY_SLEEP(0.02)

    with serving(file_server(drip)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        pace = 4_000
        assert bring().read_bytes() == MODEL
        hub_cache.remove(NAME, [place().link])
        pace = 10
        began = time.monotonic()
        with pytest.raises(HubBusy, match="does not answer, or too slowly"):
            bring()
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-9/10\r\n\r\nxxxxx", b"HTTP/1.1 206 P\r\n\r\nx",
        b"HTTP/1.1 206 P\r\nContent-Range: bytes " + b"9" * 5000 + b"-/*\r\n\r\nx",
        b"HTTP/1.1 206 P\r\nContent-Range: lines 0-1/2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n1234567",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\nx", b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + MODEL + b"x",
        b"HTTP/1.1 200 OK\r\nETag: " + b'"x' * 9999 + b"\r\n\r\n" + MODEL[:-1],
    ],
)  # fmt: skip
def test_nothing_but_the_file_is_taken_for_it(home, monkeypatch, answer):
    with serving(file_server(lambda connection, _: connection.sendall(answer))) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        assert "model-Q8_0.gguf" in refused(bring)
        assert not place().blob.exists()
        assert not place().link.exists()


@pytest.mark.parametrize("etag", ["", "x", '"../../x"', '"' + "a" * 41 + '"', '"' + "A" * 40 + '"', "W/", '"\xe9"'])
def test_a_small_file_whose_hash_is_none_is_refused(home, monkeypatch, etag):
    bare = json.dumps(listing(row("a.gguf", lfs=None))).encode()

    def answer(connection, head):
        connection.sendall(
            reply(bare) if "/api/" in head else f"HTTP/1.1 200 OK\r\nETag: {etag}\r\n\r\n".encode("latin-1")
        )

    with serving(answer) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        assert "does not tell its hash" in refused(bring)


def test_a_mirror_that_only_leads_on_is_followed_to_the_hash(home, monkeypatch):
    bare = json.dumps(listing(row("a.txt", b"text", lfs=None))).encode()
    with serving(b'HTTP/1.1 200 OK\r\nETag: "' + b"a" * 40 + b'"\r\n\r\n') as origin:

        def answer(connection, head):
            connection.sendall(reply(bare) if "/api/" in head else leading(f"http://localhost:{origin.port}/x"))

        with serving(answer) as server:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
            found = ours.look(NAME)
            assert ours.etag(found, found.files[0]) == "a" * 40
            assert origin.heard[0].startswith("HEAD /x ")


def test_nothing_but_the_door_asks_the_hub(home, monkeypatch):
    """The client of huggingface_hub would ask on its own, without bounds, which programs are agents."""
    with serving(reply(JSON)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        ours.look(NAME)
        asked = [head.split("\r\n")[0] for head in server.heard]
    assert asked == [f"GET /api/models/{NAME}?blobs=true HTTP/1.1"]
    assert not list(home.parent.rglob("*agent*"))
    assert {line.partition(":")[0] for line in server.heard[0].split("\r\n")[1:] if line} == {
        "Host", "User-Agent", "Accept-Encoding", "Connection",
    }  # fmt: skip
