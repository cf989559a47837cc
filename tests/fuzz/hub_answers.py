"""The answers of a hostile Hub, drawn by chance: what `tests.fuzz.hub` serves.

A `Plan` is a Hub that is right but for a few wrongs, each of which strikes the listing, the question for a file's hash,
or a file. It is a server of bytes, not of HTTP: what it sends need not be any.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import time
from contextlib import suppress

from tests.support.raw_server import reply

SIBLINGS_MOST = 4_000
NUMBERS = [
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 10_000,
    "-1",
    "0",
    "1.5",
    "true",
    "null",
    str(2**70),
    "1e5",
    "[]",
    "18446744073709551616",
    "-0",
    '"7"',
    "{}",
]
NAMES = [
    "../../../../outside/evil.gguf",
    "/tmp/evil.gguf",
    "..",
    ".",
    "",
    "a//b.gguf",
    "C:\\evil.gguf",
    "a\\b.gguf",
    "x\0.gguf",
    "x\n.gguf",
    "\x1b]0;evil\x07-Q8_0.gguf",
    "n" * 10_000 + ".gguf",
    "n" * 300 + "-Q8_0.gguf",
    "MODEL-q8_0.GGUF",
    "mode\u0301l-Q8_0.gguf",
    "\u202egguf",
    "model-00001-of-99999.gguf",
    "model-Q8_0.gguf/x.gguf",
    "nul.gguf",
    "é" * 200,
]
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**70,
    "",
    "x",
    "a" * 40,
    "0" * 64,
    "g" * 64,
    "../" * 20,
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    ["x"] * 50,
    "\u202e",
    {"sha256": 1},
    "\udcff",
]
LOCATIONS = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "data:,x",
    "gopher://127.0.0.1:9/",
    "",
    "/",
    "?x",
    "//",
    "http://",
    "http://me:pw@127.0.0.1/",
    "http://[::1",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:9/",
    "nowhere",
    "\x01\xff",
    "http://[64:ff9b::a00:1]:9/",
    "x" * 9000,
    "HTTPS://127.0.0.1:9/",
    "http:relative",
    "ELSEWHERE",
    "SELF",
]
HEADERS = [
    "Content-Length: -1",
    "Content-Length: 99999999999999999999999",
    "Content-Length: 5",
    "Content-Length: x",
    "Content-Length: ",
    "Content-Length: " + "9" * 5000,
    "Content-Length: 5\r\nContent-Length: 6",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Content-Encoding: deflate, gzip",
    "Retry-After: 1e99",
    "Retry-After: 0",
    "Retry-After: Wed, 21 Oct 2099 07:28:00 GMT",
    "X-Error-Code: GatedRepo",
    "X-Error-Code: EntryNotFound",
    "X-Error-Message: invalid credential \xff",
    "Link: <http://127.0.0.1:9/>; rel=next",
    "Content-Type: text/html",
    "Content-Type: ",
    'ETag: "x"',
    "ETag: " + "x" * 9000,
    "X-Linked-ETag: ../../x",
    "X-Linked-Size: -1",
    "X-Linked-Size: " + "9" * 5000,
    "Content-Range: bytes 9-1/0",
    "Content-Range: bytes */*",
    "Content-Range: bytes " + "9" * 5000 + "-/1",
    "X: " + "x" * 1_000_000,
    "\r\n".join(["X: x"] * 500),
    "no colon",
    ": empty",
    "X : space",
    " folded",
    "X: a\0b",
    "Set-Cookie: a=b",
    "Upgrade: h2c\r\nConnection: Upgrade",
    "X-HF-Warning: x; y",
    'RateLimit: "api";r=0;t=9999999',
    "Connection: keep-alive",
    "Location: file:///x",
]
STATUSES = [
    "100 Continue",
    "101 Switching",
    "200 OK",
    "201 Created",
    "204 No",
    "206 Partial",
    "300 Many",
    "301 Moved",
    "302 Found",
    "304 Not",
    "307 There",
    "308 On",
    "400 Bad",
    "401 Who",
    "403 No",
    "404 None",
    "408 Slow",
    "416 Range",
    "418 Tea",
    "429 Often",
    "451 Law",
    "500 Ow",
    "503 Busy",
    "599 x",
    "600 x",
    "999 ?",
    "99 x",
    "2 x",
    "abc",
    "",
]


class Plan:
    """A Hub with a few wrongs.

    Args:
        chance: draws them.
        name: of the repository.
        files: of it, by path.

    Attributes:
        name: of the repository.
        files: of it.
        commit: of it.
        elsewhere_url: another server, to which it may lead.
        slow: whether one of the wrongs takes time.
        planted: where something was put into the cache, if it was.
    """

    def __init__(self, chance, name, files):
        self._chance, self.name, self.files = chance, name, files
        self.elsewhere_url = ""
        self.planted = None
        kinds = ["json", "json", "text", "header", "status", "redirect", "pace", "body", "file", "file", "head"]
        self._wrongs = [(chance.choice(kinds), chance.random()) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        self._times = {number: chance.choice([1, 2, 99, 99, 99]) for number in range(len(self._wrongs))}
        self._struck = [chance.choice(["listing", "listing", "file", "file", "head"]) for _ in self._wrongs]
        self.commit = hashlib.sha1(repr(self._wrongs).encode(), usedforsecurity=False).hexdigest()
        self._stored = chance.random() < 0.5
        self.slow = any(kind == "pace" for kind, _ in self._wrongs)

    def described(self):
        """In a few words, for a report."""
        return ", ".join(f"{kind} of {where}" for (kind, _), where in zip(self._wrongs, self._struck, strict=True))

    def answer(self, connection, head):
        """Serve one request."""
        line = head.split("\r\n", 1)[0].split(" ")
        what = "listing" if "/api/" in line[1] else "head" if line[0] == "HEAD" else "file"
        status, headers, body = self._right(line, head, what)
        drawn = type(self._chance)(repr((line, self._wrongs)))
        pace = None
        for number, (kind, at) in enumerate(self._wrongs):
            strikes = {"json": "listing", "text": "listing", "file": "file", "head": "head"}.get(
                kind, self._struck[number]
            )
            if strikes != what or self._times[number] <= 0:
                continue
            self._times[number] -= 1
            drawn.seed(f"{kind}:{at}")
            if kind == "pace":
                pace = drawn
            else:
                status, headers, body = getattr(self, f"_{kind}")(drawn, status, headers, body)
        self._send(connection, status, headers, body, pace, bare=line[0] == "HEAD")

    def elsewhere(self, connection, head):
        """Serve one request to another host: a file, where it is asked for by its hash."""
        digest = re.search(r"/blobs/([0-9a-f]{64})", head)
        named = {hashlib.sha256(data).hexdigest(): data for data in self.files.values()}
        start = re.search(r"\r\nRange: bytes=([0-9]{1,9})-", head)
        data = named.get(digest[1] if digest else "", b"[]")
        connection.sendall(_ranged(data, int(start[1]) if start else 0))

    def _right(self, line, head, what):
        """Status, headers and body, as a Hub has them."""
        if what == "listing":
            return "200 OK", ["Content-Type: application/json"], json.dumps(self._listing()).encode()
        data = self.files.get(line[1].rpartition("/")[2], b"")
        digest = hashlib.sha256(data).hexdigest()
        if self._stored:
            return "302 Found", [f"Location: {self.elsewhere_url}/blobs/{digest}", f'X-Linked-ETag: "{digest}"'], b""
        start = re.search(r"\r\nRange: bytes=([0-9]{1,9})-", head)
        if start and int(start[1]) < len(data):
            at = int(start[1])
            return (
                "206 Partial",
                [f"Content-Range: bytes {at}-{len(data) - 1}/{len(data)}", f'ETag: "{digest}"'],
                data[at:],
            )
        return "200 OK", [f'ETag: "{digest}"'], data

    def _listing(self):
        rows = []
        for path, data in self.files.items():
            lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            rows.append({"rfilename": path, "size": len(data), "blobId": "0" * 40, "lfs": lfs})
        return {
            "_id": "0" * 24,
            "id": self.name,
            "sha": self.commit,
            "private": False,
            "gated": False,
            "tags": ["gguf"],
            "cardData": {"license": "mit"},
            "siblings": rows,
        }

    def _json(self, chance, status, headers, body):
        """A value of the listing becomes another."""
        listing = self._listing()
        rows = listing["siblings"]
        way = chance.randrange(8)
        if way == 0:
            listing[chance.choice(list(listing))] = chance.choice(VALUES)
        elif way == 1:
            row = chance.choice(rows)
            row[chance.choice(list(row))] = chance.choice(VALUES)
        elif way == 2:
            chance.choice(rows)["rfilename"] = chance.choice(NAMES)
        elif way == 3:
            rows += [dict(chance.choice(rows)) for _ in range(chance.choice([1, 100]))]
        elif way == 4:
            rows += [dict(rows[0], rfilename=f"m{number}-00001-of-99999.gguf") for number in range(SIBLINGS_MOST)]
        elif way == 5:
            rows.append(dict(chance.choice(rows), rfilename=chance.choice(NAMES)))
        elif way == 6:
            row = chance.choice(rows)
            row["lfs"] = chance.choice(VALUES)
            row["size"] = chance.choice([row["size"], row["size"] + 1, max(0, row["size"] - 1), 2**40, 0, *VALUES])
        else:
            listing.pop(chance.choice(list(listing)))
        return status, headers, json.dumps(listing).encode("utf-8", "surrogatepass")

    def _text(self, chance, status, headers, body):
        """The listing's text becomes another, or none."""
        text = body.decode("utf-8", "replace") or "{}"
        way = chance.randrange(9)
        if way == 0:
            numbers = list(re.finditer(r"\d+(?=[,}\]])", text))
            if numbers:
                one = chance.choice(numbers)
                text = text[: one.start()] + chance.choice(NUMBERS) + text[one.end() :]
        elif way == 1:
            deep = chance.choice([33, 1_000, 100_000])
            text = (
                text[:-1]
                + ', "x": '
                + chance.choice(["[", '{"a":', '[{"a":']) * deep
                + chance.choice(["", "]" * deep])
                + "}"
            )
        elif way == 2:
            text = text[: chance.randrange(len(text))]
        elif way == 3:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice('{}[]",:\\\0\x7f\u2028e-+.') * chance.choice([1, 2, 5000]) + text[at + 1 :]
        elif way == 4:
            return (
                status,
                headers,
                chance.choice(
                    [b"\xff" + body, b"\xef\xbb\xbf" + body, text.encode("utf-16", "surrogatepass"), body + b"\xc3"]
                ),
            )
        elif way == 5:
            text = chance.choice(
                ["", "null", "[]", "{}", "3", '"x"', "<html>sign in</html>", "[" * 99, "\\" * 9999, '"' * 99_999]
            )
        elif way == 6:
            text = "[" + chance.choice(["0,", "{},", '"",', "[],"]) * 600_000 + "0]"
        elif way == 7:
            text = text.replace('"sha"', chance.choice(['"sha": "\\ud800", "x"', '"sha\\u0000"', '"SHA"']), 1)
        else:
            text = " " * 9_000_000 + text
        return status, headers, text.encode("utf-8", "surrogatepass")

    def _header(self, chance, status, headers, body):
        """A header more, or two."""
        return status, headers + chance.sample(HEADERS, chance.choice([1, 1, 2])), body

    def _status(self, chance, status, headers, body):
        """Another number; and sometimes another code of error with it."""
        return chance.choice(STATUSES), headers + chance.sample(HEADERS, chance.choice([0, 0, 1])), body

    def _redirect(self, chance, status, headers, body):
        """A redirect to somewhere odd."""
        to = (
            chance.choice(LOCATIONS)
            .replace("ELSEWHERE", f"{self.elsewhere_url}/there")
            .replace("SELF", self.elsewhere_url)
        )
        lead = [] if chance.random() < 0.1 else [f"Location: {to}"]
        return chance.choice(["301 M", "302 F", "303 S", "307 T", "308 P"]), [*headers, *lead], b""

    def _body(self, chance, status, headers, body):
        """A body that is longer, shorter, packed, or a bomb."""
        way = chance.randrange(6)
        if way == 0:
            return status, headers, body[: chance.randrange(len(body) + 1)]
        if way == 1:
            return status, [*headers, f"Content-Length: {len(body)}"], body[: chance.randrange(len(body) + 1)]
        if way == 2:
            return status, headers, body + b"x" * chance.choice([1, 100_000, 10_000_000])
        if way == 3:
            return status, [*headers, "Content-Encoding: gzip"], gzip.compress(bytes(50_000_000), 1)
        if way == 4:
            return status, [*headers, "Content-Encoding: gzip"], gzip.compress(body, 1)[: chance.choice([None, -5, 20])]
        return (
            status,
            [*headers, "Transfer-Encoding: chunked"],
            chance.choice(
                [
                    b"zz\r\nx\r\n",
                    b"-1\r\n",
                    b"f" * 40 + b"\r\n",
                    b"5\r\nx",
                    b"0\r\n" + b"X: x\r\n" * 50_000,
                    b"0" * 200_000,
                ]
            ),
        )

    def _file(self, chance, status, headers, body):
        """Another content, or another piece of it."""
        way = chance.randrange(5)
        if way == 0 and body:
            at = chance.randrange(len(body))
            return status, headers, body[:at] + bytes([body[at] ^ 255]) + body[at + 1 :]
        if way == 1:
            return "206 Partial", [f"Content-Range: bytes {chance.choice([0, 5, 10**6, 10**30])}-9/*"], body
        if way == 2:
            return "200 OK", ["Content-Type: text/html"], b"<html>sign in</html>"
        if way == 3:
            return status, [*headers, f"Content-Length: {len(body)}"], body[:1]
        return "200 OK", headers, bytes(len(body))

    def _head(self, chance, status, headers, body):
        """Another name for a content."""
        odd = ["../../x", "", "x", "A" * 40, "a" * 40, "W/", '"\xff"', "0" * 64, "a" * 41, "/etc/passwd", "\0"]
        return "200 OK", [f"ETag: {chance.choice(odd)}", f"X-Linked-ETag: {chance.choice(odd)}"], b""

    def _send(self, connection, status, headers, body, pace, bare):
        """Send it, at once or at some odd pace; the length is said where nothing else is."""
        names = {line.partition(":")[0].lower() for line in "\r\n".join(headers).split("\r\n")}
        if not names & {"content-length", "transfer-encoding"}:
            headers = [*headers, f"Content-Length: {len(body)}"]
        head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1", "replace")
        data = head if bare else head + body
        with suppress(OSError):
            if pace is None:
                connection.sendall(data)
                return
            way, at = pace.choice(["drip", "stall", "endless", "cut", "hints"]), pace.randrange(len(data) + 1)
            connection.sendall(data[:at] if way != "hints" else b"")
            until = time.monotonic() + 8
            while way != "cut" and time.monotonic() < until:
                more = {
                    "drip": data[at : at + 1] or b" ",
                    "stall": b"",
                    "endless": b"x" * 65536,
                    "hints": b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n",
                }[way]
                connection.sendall(more)
                at += 1
                time.sleep(0 if way == "endless" else 0.01)


def _ranged(data, start):
    """A whole answer with the rest of some data."""
    if not 0 < start < len(data):
        return reply(data)
    return reply(data[start:], status="206 Partial", Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")


def trap(chance, cache, outside, plan):
    """Put a link, a pipe or a folder where `vlm` is about to look. Returns what and where, in a few words."""
    base, data = cache / f"models--{plan.name.replace('/', '--')}", plan.files["model-Q8_0.gguf"]
    digest = hashlib.sha256(data).hexdigest()
    where = chance.choice(
        [
            base / "blobs" / f"{digest}.incomplete",
            base / "blobs" / digest,
            base / "refs" / "main",
            base / "blobs",
            base / "refs",
            base / "snapshots",
            base / "snapshots" / plan.commit,
            base / "snapshots" / plan.commit / "model-Q8_0.gguf",
            cache / ".locks" / base.name / f"{digest}.lock",
            cache / ".locks" / base.name,
            base / "blobs" / f"{digest}.incomplete",
        ]
    )
    way = chance.choice(["file", "link", "circle", "pipe", "folder", "nothing", "part", "rubbish", "hard", "device"])
    where.parent.mkdir(parents=True, exist_ok=True)
    make = {
        "file": lambda: where.symlink_to(outside / "precious"),
        "link": lambda: where.symlink_to(outside),
        "circle": lambda: where.symlink_to(where),
        "pipe": lambda: os.mkfifo(where),
        "folder": where.mkdir,
        "nothing": lambda: where.symlink_to(outside / "nothing"),
        "part": lambda: where.write_bytes(data[: len(data) // 2]),
        "rubbish": lambda: where.write_bytes(b"x" * chance.choice([0, 10, 10**6])),
        "device": lambda: where.symlink_to("/dev/zero"),
        "hard": lambda: where.hardlink_to(outside / "precious"),
    }
    make[way]()
    plan.planted = where
    return f"; {way} at {where.relative_to(cache)}"
