"""A server on 127.0.0.1 that speaks the Hub's API as the huggingface_hub client uses it, with faults as switches.

    with Hub() as hub:
        hub.add("owner/repository", {"model-Q8_0.gguf": b"...", "big.gguf": Path("big.gguf")})
        hub.faults.append(Fault(cut=1000, times=2))
        os.environ["HF_ENDPOINT"] = hub.url

Listings (`/api/models/...?blobs=true`, `.../tree/...`) and `resolve` with X-Repo-Commit, X-Linked-Size, X-Linked-ETag
and a redirect to another host's `/blobs/SHA256` for files in large file storage (*.gguf), which serves Range and
If-Range; other files come directly, with the git blob's hash as their ETag.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BLOCK = 1 << 14


@dataclass
class Fault:
    """What goes wrong, as often as `times` says (-1: always), with the bodies of files, or else with listings.

    Attributes:
        cut: the connection, after so many bytes of a body.
        wrong: a byte of the body is another one.
        longer: bytes more than there are, in Content-Length and in the body.
        status: of the answer, instead of the file.
        retry_after: seconds, with that.
        html: a page instead of what was asked for, with 200.
        no_range: the header Range is not heard.
        error_code: X-Error-Code, with `status`.
        listing: whether listings are struck, and not files.
        text: JSON instead of a listing.
    """

    times: int = 1
    cut: int = -1
    wrong: bool = False
    longer: int = 0
    status: int = 0
    retry_after: int | None = None
    html: bool = False
    no_range: bool = False
    error_code: str = ""
    listing: bool = False
    text: str = ""


@dataclass
class _Repository:
    files: dict[str, bytes | Path]
    licence: str
    gated: bool
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        names = "\n".join(f"{path} {self.sha256[path]}" for path in sorted(self.files))
        return hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that was killed is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_)


class Hub:
    """The server.

    Attributes:
        faults: what goes wrong; the first that applies is taken.
        rate: bytes a second of each body; 0 for as many as can be.
        sent: bytes of bodies of files, of all connections.
        asked: every request: method, path and the header Range.
        token: what a gated repository wants to hear.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.rate = 0
        self.sent = 0
        self.asked: list[tuple[str, str, str]] = []
        self.token = "hf_let_me_in"
        self.repositories: dict[str, _Repository] = {}
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.storage = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, files: dict[str, bytes | Path], licence: str = "apache-2.0", gated: bool = False) -> None:
        """Publish a repository."""
        hashes = {path: _sha256(content) for path, content in files.items()}
        self.repositories[name] = _Repository(files, licence, gated, hashes)

    def fault(self, listing: bool) -> Fault:
        """What is wrong with this answer."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.listing == listing:
                    fault.times -= 1
                    return fault
        return Fault()


def _sha256(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    found = hashlib.sha256()
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _git_hash(content: bytes | Path) -> str:
    raw = content if isinstance(content, bytes) else content.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        # What the kernel holds for a client that has died would be counted as sent.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        with self.server_hub.lock:
            self.server_hub.asked.append((self.command, path, self.headers.get("Range", "")))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?(/tree/[^/]+)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        blob = re.fullmatch(r"/blobs/([0-9a-f]{64})", path)
        if path == "/api/models" or path == "/api/models/":
            self._json([])
        elif api:
            self._api(api[1], bool(api[3]))
        elif file:
            self._resolve(file[1], file[2], file[3])
        elif blob and "Authorization" in self.headers:
            self._error(400)  # a token is not for another host
        elif blob:
            contents = {
                one.sha256[path]: content
                for one in self.server_hub.repositories.values()
                for path, content in one.files.items()
            }
            self._body(contents[blob[1]], f'"{blob[1]}"', {})
        else:
            self._error(404)

    def _allowed(self, name: str) -> _Repository | None:
        """The repository, or None when the answer has been given."""
        found = self.server_hub.repositories.get(name)
        if found is None:  # as the Hub answers whoever is not known to it
            self._error(401 if "Authorization" not in self.headers else 404, "RepoNotFound")
        elif found.gated and self.headers.get("Authorization") != f"Bearer {self.server_hub.token}":
            self._error(401 if "Authorization" not in self.headers else 403, "GatedRepo")
            return None
        return found

    def _api(self, name: str, tree: bool) -> None:
        fault = self.server_hub.fault(listing=True)
        if self._struck(fault):
            return
        found = self.server_hub.repositories.get(name)
        if found is None:  # as the Hub answers whoever is not known to it
            self._error(401 if "Authorization" not in self.headers else 404, "RepoNotFound")
            return
        files = [
            {
                "rfilename": path,
                "size": _size(content),
                "blobId": _git_hash(content) if not path.endswith(".gguf") else "0" * 40,
                **(
                    {"lfs": {"sha256": found.sha256[path], "size": _size(content), "pointerSize": 134}}
                    if path.endswith(".gguf")
                    else {}
                ),
            }
            for path, content in found.files.items()
        ]
        if tree:
            self._json(
                [{"type": "file", "path": one.pop("rfilename"), "oid": one.pop("blobId"), **one} for one in files]
            )
            return
        self._json(
            {
                "_id": "0" * 24, "id": name, "modelId": name, "sha": found.commit, "private": False, "disabled": False,
                "gated": "manual" if found.gated else False, "tags": ["gguf", f"license:{found.licence}"],
                "downloads": 1, "likes": 1, "cardData": {"license": found.licence}, "siblings": files,
            }
        )  # fmt: skip

    def _resolve(self, name: str, revision: str, path: str) -> None:
        found = self._allowed(name)
        if found is None:
            return
        if path not in found.files or revision not in ("main", found.commit):
            self._error(404, "EntryNotFound" if path not in found.files else "RevisionNotFound")
            return
        content = found.files[path]
        headers = {"X-Repo-Commit": found.commit}
        if not path.endswith(".gguf"):
            self._body(content, f'"{_git_hash(content)}"', headers)
            return
        digest = found.sha256[path]
        self.send_response(302)
        headers |= {
            "X-Linked-Size": str(_size(content)), "X-Linked-ETag": f'"{digest}"',
            "Location": f"{self.server_hub.storage}/blobs/{digest}", "Content-Length": "0",
        }  # fmt: skip
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _struck(self, fault: Fault) -> bool:
        """Whether a fault has been the answer."""
        if fault.status:
            self._error(fault.status, fault.error_code, fault.retry_after)
        elif fault.text:
            self._text(200, fault.text.encode(), "application/json")
        elif fault.html:
            self._text(200, b"<html><body>Sign in to the hotel's network</body></html>", "text/html; charset=utf-8")
        else:
            return False
        return True

    def _body(self, content: bytes | Path, etag: str, headers: dict[str, str]) -> None:
        fault = self.server_hub.fault(listing=False) if self.command == "GET" else Fault()
        if self._struck(fault):
            return
        total, start = _size(content), 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and not fault.no_range and self.headers.get("If-Range", etag) == etag:
            start = int(asked[1])
            if start >= total:
                self._error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("ETag", etag)
        self.send_header("Content-Type", "application/octet-stream")
        if not fault.no_range:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(total - start + fault.longer))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._stream(content, start, fault)

    def _stream(self, content: bytes | Path, start: int, fault: Fault) -> None:
        began, sent, first = time.monotonic(), 0, True
        for block in itertools.chain(_blocks(content, start), [b"\0" * fault.longer]):
            if fault.wrong and first:
                block, first = bytes([block[0] ^ 255]) + block[1:], False
            if 0 <= fault.cut < sent + len(block):
                block = block[: fault.cut - sent]
                self._write(block)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if not self._write(block):
                return
            sent += len(block)
            if self.server_hub.rate:
                time.sleep(max(0.0, began + sent / self.server_hub.rate - time.monotonic()))

    def _write(self, block: bytes) -> bool:
        try:
            self.wfile.write(block)
        except OSError:
            self.close_connection = True
            return False
        with self.server_hub.lock:
            self.server_hub.sent += len(block)
        return True

    def _json(self, value: object) -> None:
        self._text(200, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _error(self, status: int, code: str = "", retry_after: int | None = None) -> None:
        headers = {"X-Error-Code": code} if code else {}
        if status == 302:
            headers["Location"] = self.path
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        self._text(status, json.dumps({"error": code or str(status)}).encode(), "application/json", headers)

    def _text(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _blocks(content: bytes | Path, start: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        for at in range(start, len(content), BLOCK):
            yield content[at : at + BLOCK]
        return
    with content.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK):
            yield block
