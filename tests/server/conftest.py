"""A live `vlm serve` with the demo model, and what its clients send."""

import base64
import json
import re
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.server import live
from tests.support import ROOT
from tests.support.program import SCENE
from vlmcli.later import Later

httpx2, ollama, openai = Later("httpx2"), Later("ollama"), Later("openai")  # seconds, for each process that collects

BODIES = ROOT / "tests" / "server" / "bodies"
ANSWER = "A red circle and a blue square."
QUESTION = "What is in the picture?"


class Server:
    """A server that runs, asked by httpx2.

    `url` is its address, `ollama` that of its second port, empty without one; `said` are the lines of its stderr.
    """

    def __init__(self, found, ollama_port):
        self.process, self.url, self.said = found.process, found.url, found.said
        self.ollama = f"http://127.0.0.1:{ollama_port}" if ollama_port else ""

    def get(self, path, **options):
        """Get a path."""
        return httpx2.get(self.url + path, timeout=60, **options)

    def post(self, path, body, **options):
        """Post an object, or bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **options.pop("headers", {})}
        return httpx2.post(self.url + path, content=data, headers=headers, timeout=60, **options)

    def counted(self, name):
        """A counter of /metrics, by its name and labels."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def serving(*words, env=None):
    """A server with these words on its command line."""
    port = words[words.index("--ollama-port") + 1] if "--ollama-port" in words else ""
    with live.serving(*words, env=env) as found:
        yield Server(found, port)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listens:
        listens.bind(("127.0.0.1", 0))
        return listens.getsockname()[1]


@pytest.fixture(scope="session")
def server(own_state):
    """One with the demo model, and Ollama's port, for all tests that only ask."""
    with serving("--ollama", "--ollama-port", free_port()) as found:
        yield found


@pytest.fixture
def start():
    """Starts servers with other options, which end with the test."""
    with ExitStack() as stack:
        yield lambda *words, **options: stack.enter_context(serving(*words, **options))


@pytest.fixture(scope="session")
def client(server):
    """OpenAI's client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as found:
        yield found


@pytest.fixture(scope="session")
def old_friend(server):
    """Ollama's client."""
    return ollama.Client(server.ollama, timeout=60)


@pytest.fixture(scope="session")
def encoded():
    """The scene of a red circle and a blue square in base64."""
    return base64.b64encode(Path(SCENE).read_bytes()).decode()


@pytest.fixture(scope="session")
def data_uri(encoded):
    """The same as an address."""
    return f"data:image/png;base64,{encoded}"


@pytest.fixture(scope="session")
def recorded(encoded):
    """A body as a client sends it, with the scene for its picture."""

    def read(name):
        text = (BODIES / f"{name}.json").read_text("utf-8")
        return json.loads(text.replace("PICTURE", encoded))

    return read
