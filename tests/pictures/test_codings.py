"""A body that a server has packed without being asked: the picture in it, or an error that names the address."""

import functools
import gzip
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from tests.support.program import SCENE, vlm
from tests.support.raw_server import reply, serving
from tests.support.zeros import packed_zeros
from vlmcli.errors import SourceError
from vlmcli.pictures import codings, fetch

PICTURE = Path(SCENE).read_bytes()
packed = functools.partial(gzip.compress, mtime=0)  # or two processes would not name their tests alike
ZIPPED = packed(PICTURE)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


def get(answer, **how):
    with serving(answer) as server:
        return fetch.get(f"http://127.0.0.1:{server.port}/a.png?token=secret", allow_local=True, seconds=20, **how)


def chunked(body, *headers, step=1000):
    """An answer in chunks, which need not end where anything in the body does."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]).encode()
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def bare(data):
    """Deflate without a head, as some servers send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", ZIPPED),
        ("GZip", ZIPPED),
        ("x-gzip", ZIPPED),
        ("deflate", zlib.compress(PICTURE)),
        ("Deflate", bare(PICTURE)),
        ("identity", PICTURE),
        ("", PICTURE),
        (" identity , gzip ", ZIPPED),
        ("gzip, gzip", packed(ZIPPED)),
        ("deflate, gzip", packed(zlib.compress(PICTURE))),
        ("gzip, deflate", bare(ZIPPED)),
        ("gzip", packed(PICTURE[:999]) + packed(b"") + packed(PICTURE[999:])),
        ("gzip", ZIPPED + bytes(512)),
        ("gzip", ZIPPED + b"more"),
        ("deflate", zlib.compress(PICTURE) + b"more"),
        ("gzip", packed(PICTURE, 0)),
    ],
)
def test_what_is_packed_is_unpacked(coding, body):
    assert get(reply(body, Content_Encoding=coding)) == PICTURE
    assert get(chunked(body, f"content-encoding: {coding}", step=7)) == PICTURE


def test_codings_on_several_lines_are_one_list():
    answer = chunked(packed(zlib.compress(PICTURE)), "CONTENT-ENCODING: deflate", "Content-encoding: gzip")
    assert get(answer) == PICTURE


@pytest.mark.parametrize(
    ("coding", "body", "said"),
    [
        ("gzip", ZIPPED[:-1], "its gzip data is incomplete"),
        ("gzip", ZIPPED[: len(ZIPPED) // 2], "its gzip data is incomplete"),
        ("gzip", ZIPPED[:5], "its gzip data is incomplete"),
        ("gzip", b"\x1f", "its gzip data is incomplete"),
        ("gzip", ZIPPED + ZIPPED[:30], "its gzip data is incomplete"),
        ("deflate", zlib.compress(PICTURE)[:-2], "its deflate data is incomplete"),
        ("deflate", bare(PICTURE)[:-2], "its deflate data is incomplete"),
        ("gzip, gzip", packed(ZIPPED[:-9]), "its gzip data is incomplete"),
        (
            "gzip",
            PICTURE,
            "says that it is gzip data, but it is not, or it is damaged (incorrect header check)",
        ),
        ("gzip", ZIPPED[:-8] + bytes(8), "or it is damaged (incorrect data check)"),
        ("deflate", b"\x07" * 99, "or it is damaged (invalid block type)"),
        ("br", PICTURE, "the server sent it compressed as br, which is not supported"),
        ("zstd", PICTURE, "compressed as zstd,"),
        ("compress", PICTURE, "compressed as compress,"),
        ("gzip, BR", PICTURE, "compressed as br,"),
        ("x" * 500, PICTURE, f"compressed as {'x' * 40},"),
        (", ".join(["gzip"] * 9), PICTURE, "compressed 9 times,"),
    ],
)
def test_what_cannot_be_unpacked_is_an_error_that_says_why(coding, body, said):
    with pytest.raises(SourceError) as caught:
        get(reply(body, Content_Encoding=coding))
    assert said in caught.value.message
    assert caught.value.message.startswith("http://127.0.0.1:")
    assert "secret" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("body", [ZIPPED, ZIPPED + b"more"])
def test_a_connection_that_ends_early_is_still_said(body):
    with pytest.raises(SourceError, match=f"the connection ended after {len(body)} of {len(body) + 1} bytes"):
        get(reply(body, Content_Encoding="gzip", Content_Length=str(len(body) + 1)))


@pytest.mark.parametrize(
    ("coding", "make"),
    [
        ("gzip", lambda: packed_zeros(256, "gzip")),
        ("deflate", lambda: packed_zeros(256)),
        ("gzip, gzip", lambda: packed(packed_zeros(256, "gzip"))),
        ("deflate, gzip", lambda: packed(packed_zeros(256))),
        ("gzip", lambda: packed_zeros(1, "gzip") * 256),
    ],
)
def test_a_bomb_is_unpacked_no_further_than_a_picture_may_be(coding, make):
    body = make()
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"unpacks to more than 2\.1 MB"):
        get(reply(body, Content_Encoding=coding), max_bytes=1 << 21)
    assert time.monotonic() - started < 5
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16 << 20


def test_parts_without_end_that_hold_nothing_are_an_error():
    with pytest.raises(SourceError, match="more than 10,000 parts"):
        list(codings.unpacked([packed(b"")] * 10_002, ["gzip"], "it", 1 << 20))


def test_through_the_command():
    with serving(reply(ZIPPED, Content_Encoding="gzip")) as server:
        address = f"http://127.0.0.1:{server.port}/a.png"
        done = vlm("ask", "-m", "demo", "--allow-local-urls", address, "what is this?")
    assert (done.stdout, done.returncode) == ("A red circle and a blue square.\n", 0)
