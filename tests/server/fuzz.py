"""Requests by chance against a live server: `python -m tests.server.fuzz --requests 20000 --seed 1`.

Valid requests of all paths are changed: their values, their JSON, their bytes, their lines of HTTP. Whatever comes of
it, the server lives, answers in JSON of the right shape, and never with 5xx but 501, 503 and 504.
"""

import argparse
import copy
import json
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.server.live import QUESTION, SCENE, asked, one_shape, png, serving, uri

ALLOWED = {501, 503, 504}
SMALL = png(one_shape(1)[0].resize((32, 32)))
_FORM = {"name": "x", "strict": True, "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
_CHAT = asked(SMALL, QUESTION) | {
    "temperature": 0, "top_p": 0.9, "seed": 1, "stop": ["x"], "logprobs": True, "top_logprobs": 2, "max_tokens": 4,
    "response_format": {"type": "text"}, "stream_options": {"include_usage": True}, "n": 1, "tools": [],
}  # fmt: skip
_PICTURE = {"type": "input_image", "image_url": uri(SMALL), "detail": "low"}
_BARE = uri(SMALL).partition(",")[2]
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _BARE}}
BODIES = {
    "/v1/chat/completions": [
        _CHAT, _CHAT | {"stream": True},
        _CHAT | {"response_format": {"type": "json_schema", "json_schema": _FORM}, "max_tokens": 12},
        _CHAT | {"vlm": {"regex": "[a-z]{1,9}", "choices": [], "think": False, "end_loops": True}},
        _CHAT | {"vlm": {"choices": [["yes", "Yes"], ["no"]], "whole": False}},
        _CHAT | {"vlm": {"grammar": 'root ::= "a" | "b" root'}},
    ],
    "/v1/embeddings": [{"model": "demo", "input": "x"}],
    "/v1/responses": [
        {"model": "demo", "max_output_tokens": 4, "instructions": "Answer.", "stream": False,
         "input": [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}, _PICTURE]}]},
    ],
    "/v1/decisions": [{"model": "demo", "input": [_PICTURE], "questions": [{"type": "yes_no", "text": "Is it red?"}]}],
    "/v1/messages": [
        {"model": "demo", "max_tokens": 4, "system": [{"type": "text", "text": "Answer."}], "stop_sequences": ["x"],
         "tools": [], "thinking": {"type": "disabled"}, "stream": True,
         "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {"at": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "is_error": False, "content": [_IMAGE]},
                {"type": "text", "text": QUESTION}]}]},
    ],
    "/v1/messages/count_tokens": [{"messages": [{"role": "user", "content": [_IMAGE]}]}],
    "/api/chat": [
        {"model": "demo", "stream": False, "options": {"num_predict": 4, "temperature": 0},
         "messages": [{"role": "user", "content": QUESTION, "images": [_BARE]}]},
    ],
    "/api/generate": [
        {"model": "demo:latest", "prompt": QUESTION, "images": [_BARE], "stream": True, "keep_alive": "5m",
         "options": {"num_predict": 4, "stop": ["x"]}},
    ],
    "/api/show": [{"model": "demo"}], "/api/pull": [{"model": "demo", "stream": False}],
}  # fmt: skip
PATHS = ("/health", "/metrics", "/props", "/v1/models", "/v1/models/demo", "/api/tags", "/api/ps", "/api/version", "/",
         "/openapi.json", "/nothing")  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 2, 0.5, 1e308, -1e308, 2**31, 2**53, 2**64, -(2**63), 10**400, "", "a", "\0", "é",
    "🎈", "\u202e", "a" * 3000, [], {}, [[]], [{}], {"a": 1}, "null", "NaN", "-1", "data:", "data:image/png;base64,",
    "http://127.0.0.1:1/", "file:///etc/passwd", "user", "assistant", "system", "text", "image_url", "<image>",
    "<__media__>", "<|im_end|>", "<s>", "{{ 7 * 7 }}", "{% raise %}", "../../etc/passwd", [1] * 50, "json_object",
)  # fmt: skip


class Fuzzer:
    """Makes requests, one by one, from a seed."""

    def __init__(self, seed):
        self.chance = Random(seed)

    def request(self):
        """Bytes for a connection."""
        chance = self.chance
        if chance.random() < 0.08:
            method, path = chance.choice(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")), chance.choice(PATHS)
            return self._sent(method, path, b"")
        path = chance.choice(["/v1/chat/completions"] * 7 + list(BODIES))
        body = copy.deepcopy(chance.choice(BODIES[path]))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            self._change(body)
        data = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
        if chance.random() < 0.2:
            data = self._spoilt(data)
        return self._sent("POST", path, data)

    def _change(self, body):
        """Change one value somewhere in a body."""
        chance, at = self.chance, body
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                return
            key = chance.choice(keys)
            if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.75:
                at = at[key]
                continue
            break
        kind = chance.random()
        if kind < 0.55:
            at[key] = copy.deepcopy(chance.choice(VALUES))
        elif kind < 0.7:
            del at[key]
        elif kind < 0.8:
            at[key] = [at[key]]
        elif kind < 0.9 and isinstance(at[key], str):
            place = chance.randrange(len(at[key]) + 1)
            at[key] = at[key][:place] + chance.choice(("\ud800", "\0", "é", " ", "=", "")) + at[key][place + 1 :]
        elif isinstance(at, list):
            at.extend(copy.deepcopy(at[:1]) * chance.choice((1, 3, 20)))
        else:
            at[chance.choice(list(_CHAT))] = copy.deepcopy(chance.choice(VALUES))

    def _spoilt(self, data):
        """Bytes changed, cut, doubled or put in."""
        chance, place = self.chance, self.chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            return data[:place]
        if kind == 1:
            return data[:place] + chance.randbytes(chance.choice((1, 2, 8))) + data[place:]
        if kind == 2:
            return data[:place] + data[place // 2 :]
        spoilt = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        return bytes(spoilt)

    def _sent(self, method, path, data):
        """A request's lines, sometimes spoilt as well."""
        chance = self.chance
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", "Connection: close"]
        if chance.random() < 0.1:
            lines.insert(1 + chance.randrange(4), chance.choice((
                "Expect: 100-continue", "X-Api-Key: x", "Origin: null", "Accept-Encoding: gzip", "Upgrade: h2c",
                "Content-Encoding: gzip", "Transfer-Encoding: chunked", "Content-Length: 3", "Cookie: " + "a" * 9000,
            )))  # fmt: skip
        head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode()
        if chance.random() < 0.04:
            head = self._spoilt(head)
        return head + data


def answered(port, request, wait=60.0):
    """All that comes back; the connection's other end is closed by the server, or by us when we have sent all."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as sock:
        came = b""
        try:
            sock.sendall(request)
            while piece := sock.recv(65536):
                came += piece
        except TimeoutError:
            return came
        except OSError:
            pass
        return came


def wrong_of(request, raw):
    """What is wrong with an answer; empty for nothing."""
    if not raw:
        return ""  # what is no HTTP may be hung up on
    head, _, body = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return "no HTTP"
    status = int(head[9:12])
    if status >= 500 and status not in ALLOWED:
        return f"status {status}"
    if any(word in body for word in (b"Traceback", b"site-packages", b"/vlmcli/", b"/tmp/")):
        return "it tells of this machine"
    if status < 400 or request.startswith(b"HEAD") or status == 100:
        return ""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"an error that is no JSON ({status})"
    if b" /api/" in request.partition(b"\r\n")[0] and isinstance(error, str):
        return ""
    field = "type" if b" /v1/messages" in request.partition(b"\r\n")[0] else "param"
    return "" if isinstance(error, dict) and error.get("message") and field in error else "an error of another shape"


def run(live, requests, seed, threads=8, wait=60.0):
    """Send so many. Returns how often each status came, and what was wrong with which request."""
    fuzzer, found, wrong = Fuzzer(seed), Counter(), []

    def one(request):
        raw = answered(live.port, request, wait)
        return request, raw, wrong_of(request, raw)

    with ThreadPoolExecutor(threads) as pool:
        for request, raw, what in pool.map(one, (fuzzer.request() for _ in range(requests))):
            found[raw[9:12].decode("latin-1")] += 1
            if what:
                wrong.append((what, request, raw))
    if live.process.poll() is not None or live.get("/health")[0] != 200:
        wrong.append(("the server is down", b"", b""))
    return found, wrong


def main():
    """Send many, and say what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with serving() as live:
        found, wrong = run(live, options.requests, options.seed)
        print(dict(found.most_common()), f"{time.monotonic() - began:.0f} s")
        for what, request, raw in wrong[:20]:
            print(what, request[:1500], raw[:600], sep="\n  ")
        print(*(line for line in live.said if "Traceback" in line or "Error" in line))
        right = live.post(asked(SCENE, QUESTION))[1]
        print("answers afterwards:", b"red circle" in right)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
