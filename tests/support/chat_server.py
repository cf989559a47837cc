"""A server on 127.0.0.1 that speaks OpenAI's chat API, with the demo model behind it, and faults as switches.

    with ChatServer(Answers(engine)) as server:
        server.faults.append(Fault(status=429, retry_after=0.2))
        vlm("ask", "--server", server.url, ...)

It is written for the tests of the client alone: small, and as strict as real servers are. `own` makes it answer as
another `vlm serve` does, with the object "vlm".
"""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

from PIL import Image

from vlmcli import demo
from vlmcli.pictures import images
from vlmcli.values import Answer, Delta, Done, Failed, Last, Message, Request, Sampling


def free_port():
    """A port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@dataclass
class Fault:
    """What goes wrong with a chat, as often as `times` says.

    Attributes:
        status: of the answer, instead of one.
        retry_after: seconds, with that.
        message: the server's own words, with that.
        cut: the connection, after so many chunks of a stream; 0 before anything.
        garbage: bytes instead of the answer, with 200.
        wait: seconds before the answer.
        pace: seconds after each chunk of a stream.
        location: where a redirect leads.
    """

    times: int = 1
    status: int = 0
    retry_after: float | str | None = None
    message: str = "not now"
    cut: int = -1
    garbage: bytes | None = None
    wait: float = 0.0
    pace: float = 0.0
    location: str = ""


class ChatServer:
    """On a port of this machine.

    Attributes:
        url: its address.
        bodies: of the chats that were asked, without their pictures' data.
        pictures: of these, the bytes of each data URI.
        headers: of each request, by its path.
        cancelled: how many chats were left before their end.
        most: chats that were under way at once.
        answered: chats whose answer is whole; it is counted before its end is sent.
        busy: so often it is loading when its models are asked for.
        moved: where its models are; empty for here.
        port: where it listens; 0 for any that is free.
    """

    def __init__(self, answers, *, own=False, key="", models=("demo",), props=False, card=None, think="", port=0):
        self.own, self.key, self.models, self.props = own, key, models, props
        self.card = asdict(demo.CARD) if card is None else card
        self.think = think  # what is sent as thoughts before each answer
        self.faults: list[Fault] = []
        self.bodies, self.pictures, self.headers, self.cancelled = [], [], [], 0
        self.under_way = self.most = self.busy = self.answered = 0
        self.moved = ""
        self.lock = threading.Lock()
        self.ask = answers.ask if answers is not None else None
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.owner = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def fault(self):
        """The next fault, if there is one."""
        with self.lock:
            if self.faults:
                self.faults[0].times -= 1
                return self.faults[0] if self.faults[0].times > 0 else self.faults.pop(0)
        return Fault()


class Answers:
    """Events of one engine, for all servers that have it. Ends with the engine."""

    def __init__(self, engine):
        self._engine, self._queues, self._lock = engine, {}, threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def ask(self, request):
        """Events of a request, until its last; left early, it is cancelled."""
        with self._lock:
            id = self._engine.submit(request)
            mine = self._queues[id] = SimpleQueue()
        try:
            while True:
                event = mine.get(timeout=60)
                yield event
                if isinstance(event, Last):
                    return
        finally:
            self._engine.cancel(id)
            self._queues.pop(id, None)

    def _read(self):
        for event in self._engine.events():
            with self._lock:
                mine = self._queues.get(event.id)
            if mine is not None:
                mine.put(event)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that has gone is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_):
        pass

    @property
    def owner(self):
        return self.server.owner

    def do_GET(self):
        owner = self.owner
        owner.headers.append((self.path, dict(self.headers)))
        if self.path == "/health" and owner.own:
            self._json(200, {"status": "ok", "vlm": "0.1.0"})
        elif self.path == "/props" and owner.props:
            self._json(200, {"default_generation_settings": {}})
        elif self.path == "/v1/models":
            if not self._may():
                return
            if owner.moved:
                self._json(302, {}, {"Location": owner.moved})
                return
            if owner.busy:
                owner.busy -= 1
                self._json(503, {"error": {"message": "loading"}})
                return
            extra = {"vlm": owner.card} if owner.own else {}
            self._json(
                200, {"object": "list", "data": [{"id": name, "object": "model"} | extra for name in owner.models]}
            )
        else:
            self._json(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})

    def do_POST(self):
        owner = self.owner
        owner.headers.append((self.path, dict(self.headers)))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._json(404, {"error": {"message": "no such path"}})
            return
        fault = owner.fault()
        time.sleep(fault.wait)
        if fault.status:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            if fault.location:
                headers["Location"] = fault.location
            self._json(fault.status, {"error": {"message": fault.message, "type": "server_error"}}, headers)
            return
        if fault.cut == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if not self._may():
            return
        with owner.lock:
            owner.under_way += 1
            owner.most = max(owner.most, owner.under_way)
        try:
            self._chat(body, fault)
        except OSError:
            owner.cancelled += 1
            self.close_connection = True
        finally:
            with owner.lock:
                owner.under_way -= 1

    def _may(self):
        key = self.owner.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        given = self.headers.get("Authorization", "")
        self._json(401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}})
        return False

    def _chat(self, body, fault):
        owner = self.owner
        if body["model"] not in owner.models:
            self._json(404, {"error": {"message": f"The model `{body['model']}` does not exist"}})
            return
        request = self._request(body)
        stream = body.get("stream", False)
        if fault.garbage is not None:
            self._begin("text/event-stream" if stream else "application/json", None if stream else len(fault.garbage))
            self._piece(fault.garbage, stream)
            self._finish(stream)
            return
        if stream:
            self._begin("text/event-stream")
        pieces, answer = 0, None
        for event in owner.ask(request):
            self._look()
            if isinstance(event, Delta) and stream:
                if owner.think and not pieces:
                    self._send({"choices": [{"index": 0, "delta": {"reasoning_content": owner.think}}]})
                self._send(self._chunk(event, body))
                pieces += 1
                time.sleep(fault.pace)
                if pieces == fault.cut:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
            elif isinstance(event, Done):
                answer = event.answer
                with owner.lock:
                    owner.answered += 1
            elif isinstance(event, Failed):
                error = {"error": {"message": event.error.message, "type": "invalid_request_error"}}
                if stream:
                    self._send(error)
                    self._finish(True)
                else:
                    self._json(400, error)
                return
        self._end(body, answer, stream)

    def _look(self):
        """Raise OSError where the client has gone."""
        self.connection.setblocking(False)
        try:
            with suppress(BlockingIOError):
                if self.connection.recv(1, socket.MSG_PEEK) == b"":
                    raise ConnectionResetError
        finally:
            self.connection.setblocking(True)

    def _request(self, body):
        own = body.get("vlm", {}) if self.owner.own else {}
        messages = tuple(Message(one["role"], self._content(one["content"])) for one in body["messages"])
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        logprobs = body.get("top_logprobs", 0) if body.get("logprobs") else None
        owner = self.owner
        with owner.lock:
            owner.bodies.append(body)
        return Request(
            messages, Sampling(body.get("temperature", 0), seed=body.get("seed")),
            body.get("max_tokens") or body.get("max_completion_tokens") or 512, tuple(body.get("stop", ())),
            stream=body.get("stream", False), schema=json.dumps(schema) if schema else "",
            grammar=own.get("grammar", "") or body.get("grammar", ""), regex=own.get("regex", ""),
            end_loops=own.get("end_loops", False), think=own.get("think", False), logprobs=logprobs,
            choices=tuple(map(tuple, own.get("choices", ()))), whole=own.get("whole", True),
        )  # fmt: skip

    def _content(self, content):
        if isinstance(content, str):
            return (content,)
        found = []
        for part in content:
            if part["type"] == "text":
                found.append(part["text"])
                continue
            head, _, data = part["image_url"]["url"].partition(",")
            assert head == "data:image/png;base64"
            part["image_url"]["url"] = head  # the bodies are kept
            raw = base64.b64decode(data)
            self.owner.pictures.append(raw)
            image = Image.open(io.BytesIO(raw))
            assert (image.format, image.mode) == ("PNG", "RGB")
            found.append(images.from_pixels(image.tobytes(), image.size, "sent.png"))
        return tuple(found)

    def _chunk(self, event, body):
        choice = {"index": 0, "delta": {"content": event.text}, "finish_reason": None}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [_token(one) for one in event.tokens]}
        return {"object": "chat.completion.chunk", "choices": [choice]}

    def _end(self, body, answer: Answer, stream):
        usage = {"prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": answer.usage.answer_tokens,
                 "prompt_tokens_details": {"cached_tokens": answer.usage.reused_tokens}}  # fmt: skip
        own = {"vlm": _own(answer)} if self.owner.own else {}
        reason = "length" if answer.finish_reason == "length" else "stop"
        if stream:
            self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
            if body.get("stream_options", {}).get("include_usage"):
                self._send({"choices": [], "usage": usage} | own)
            self._piece(b"data: [DONE]\n\n", True)
            self._finish(True)
            return
        message = {"role": "assistant", "content": answer.text}
        if self.owner.think:
            message["reasoning_content"] = self.owner.think
        choice = {"index": 0, "message": message, "finish_reason": reason}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [_token(one) for one in answer.tokens]}
        self._json(200, {"object": "chat.completion", "choices": [choice], "usage": usage} | own)

    def _send(self, value):
        self._piece(b": still here\n\ndata: " + json.dumps(value).encode() + b"\n\n", True)

    def _piece(self, data, chunked):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        self.wfile.flush()

    def _begin(self, kind, length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header(*(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))))
        self.end_headers()

    def _finish(self, chunked):
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _json(self, status, value, headers=None):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _token(one):
    listed = [{"token": piece.decode("utf-8", "replace"), "bytes": list(piece), "logprob": logprob}
              for piece, logprob in one.others]  # fmt: skip
    text = one.piece.decode("utf-8", "replace")
    return {"token": text, "bytes": list(one.piece), "logprob": one.logprob, "top_logprobs": listed}


def _own(answer):
    return {
        "scores": [asdict(one) for one in answer.scores], "usage": asdict(answer.usage),
        "timings": asdict(answer.timings), "seen": [asdict(one) for one in answer.seen],
        "finish_reason": answer.finish_reason,
    }  # fmt: skip
