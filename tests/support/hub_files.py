"""A Hub with one data set, as far as its client's file system asks: what is in a folder, and ranges of files."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class _Hub(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        url, server = urlsplit(self.path), self.server
        api, files = f"/api/datasets/{server.name}", f"/datasets/{server.name}/resolve/main/"
        if url.path.startswith(f"{api}/tree/main"):
            folder = url.path.removeprefix(f"{api}/tree/main").strip("/")
            self._json(list(self._inside(folder, deep="recursive=true" in url.query.lower())))
        elif url.path == api or url.path.startswith(f"{api}/revision/"):
            self._json({"id": server.name, "sha": "f" * 40, "siblings": [], "private": False, "tags": []})
        elif url.path.startswith(files):
            self._file(server.files[url.path.removeprefix(files)])
        else:
            self._say(404, b"{}")

    def _inside(self, folder, *, deep):
        """What the Hub lists of a folder: its files, and the folders in it."""
        begin, told = f"{folder}/" if folder else "", set()
        for name, data in self.server.files.items():
            inner = name.removeprefix(begin)
            if not name.startswith(begin):
                continue
            if "/" in inner and (first := begin + inner.partition("/")[0]) not in told:
                told.add(first)
                yield {"type": "directory", "oid": "0", "path": first}
            if deep or "/" not in inner:
                yield {"type": "file", "oid": f"{len(data)}", "size": len(data), "path": name}

    def _file(self, data):
        begin, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
        self.server.ranges.append(self.headers["Range"])
        part = data[int(begin) : int(end) + 1]
        self._say(206, part, {"Content-Range": f"bytes {begin}-{int(begin) + len(part) - 1}/{len(data)}"})

    def _json(self, value):
        self._say(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _say(self, code, body, headers=()):
        self.send_response(code)
        for key, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(name, files):
    """A Hub with the data set of this name, its files as bytes by name. It has a `url`, and `ranges` that were read."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        server.name, server.files, server.ranges = name, files, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
