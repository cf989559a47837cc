"""A conversation as llama.cpp renders it: its server's /apply-template, with a template and a small pair."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tests.templates.conversations import MARKER, Conversation
from vlmcli.bench.families import PAIRS, maker

SECONDS = 30
LEGACY = ("vicuna", "mistral-v1", "deepseek-ocr")
"""Templates that llama.cpp has only without Jinja: src/llama-chat.cpp."""


def pair(folder: Path) -> tuple[Path, Path]:
    """Write a small pair whose vocabulary has `rendering.BOS` and `EOS`, and puts neither around a prompt.

    Upstream takes them off a prompt where the vocabulary adds them.
    """
    made = PAIRS["mlp_norm"]()
    words = replace(made.words, vocabulary=replace(made.words.vocabulary, adds_begin=False))
    maker.write("plain", replace(made, words=words), folder)
    return folder / "plain.gguf", folder / "mmproj-plain.gguf"


def _undated(text: str) -> str:
    """The text with today's date as `rendering.no_date` has it."""
    today = datetime.now()
    for form in ("%Y-%m-%d", "%B %d, %Y", "%d %b %Y", "%b %d %Y"):
        text = text.replace(today.strftime(form), f"«{form}»")
    return text


class Server:
    """llama.cpp's server with one template, while the context lasts. Raises RuntimeError where it does not start."""

    def __init__(self, program: str, files: tuple[Path, Path], template: Path | str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        named = ["--chat-template", template] if isinstance(template, str) else ["--chat-template-file", str(template)]
        self._command = [
            program, "-m", str(files[0]), "--mmproj", str(files[1]), *named,
            "--no-jinja" if template in LEGACY else "--jinja", "--host", "127.0.0.1", "--port",
            str(self._port), "-c", "512", "-t", "1", "--no-warmup", "--no-webui",
        ]  # fmt: skip

    def __enter__(self) -> Server:
        self._said = tempfile.TemporaryFile()
        environment = {**os.environ, "LLAMA_MEDIA_MARKER": MARKER}
        self._process = subprocess.Popen(self._command, stdout=self._said, stderr=self._said, env=environment)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=SECONDS):
                    return self
            except OSError:
                time.sleep(0.02)
        self.__exit__()
        raise RuntimeError(f"{self._command[0]} did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._said.close()

    def render(self, conversation: Conversation, **told: object) -> str:
        """What it makes of the conversation, where the template is told more; or a line that begins with "error: "."""
        body = json.dumps(conversation.body(**told)).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/apply-template", body)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return _undated(str(json.load(answer)["prompt"]))
        except urllib.error.HTTPError as error:
            said = json.load(error)["error"]["message"]
            return f"error: {said}"
