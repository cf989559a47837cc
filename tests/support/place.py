"""A machine with nothing on it, and a Hub: what tests of downloads and of the Hub's cache share."""

import json
import os
import pty
import re
import select
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import ROOT
from tests.support.hub import Hub
from tests.support.program import VLM, vlm
from vlmcli import demo

REPOSITORY = "ggml-org/SmolVLM2-500M-Video-Instruct-GGUF"
MODEL, PROJECTOR = "SmolVLM2-500M-Video-Instruct-Q8_0.gguf", "mmproj-SmolVLM2-500M-Video-Instruct-f16.gguf"
KEYS = {
    verb: set(re.findall(r"`(\w+)`", keys))
    for verb, keys in re.findall(
        r"^\| `vlm (\w+)` \|[^|]+\|(.*)\|$",
        (ROOT / "docs" / "json.md").read_text("utf-8"),
        re.MULTILINE,
    )
}
SIZE = demo.FILES.model.stat().st_size + demo.FILES.projector.stat().st_size


@dataclass
class Place:
    """A machine with nothing on it, and a Hub."""

    hub: Hub
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self):
        return self.folder / "hub" / "hub"

    def environment(self):
        own = {key: value for key, value in os.environ.items() if not key.startswith(("VLM_", "HF_", "XDG_"))}
        folders = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
        return own | folders | {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.folder / "hub"), **self.env}

    def vlm(self, *words, cwd=None):
        return vlm(*words, env=self.environment(), cwd=cwd)

    def started(self, *words):
        return subprocess.Popen(
            [VLM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment(),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def typed(self, *words, answer="", asked="[y/N] "):
        """A command on a terminal of 80 columns, in which the question is answered. Returns screen and exit code."""
        parent, child = pty.openpty()
        env = self.environment() | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
        running = subprocess.Popen([VLM, *words], stdin=child, stdout=child, stderr=child, env=env)
        os.close(child)
        seen, told, ends = b"", False, time.monotonic() + 120
        while time.monotonic() < ends:
            if select.select([parent], [], [], 0.1)[0]:
                try:
                    block = os.read(parent, 1 << 16)
                except OSError:
                    break
                if not block:
                    break
                seen += block
            if not told and asked.encode() in seen:
                os.write(parent, answer.encode() + b"\n")
                told = True
        os.close(parent)
        return seen.decode().replace("\r\n", "\n"), running.wait(timeout=60)


def publish(hub, repository, model=MODEL, projector=PROJECTOR, pair=demo.FILES, **options):
    hub.add(repository, {model: pair.model, projector: pair.projector, "README.md": b"text"}, **options)


def objects(done):
    """The objects of a verb's --json, whose keys are those of docs/json.md."""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    verb = done.args[1]
    if verb in KEYS:
        keys = KEYS["ls"] | KEYS["rm"] if verb == "rm" else KEYS[verb]
        assert all(set(one) - {"v"} <= keys and one["v"] == 1 for one in found)
    return found


def here(place):
    """Names that `vlm ls` has, but for the demo's."""
    return [row["name"] for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]


def two_of(place, name, *quants):
    """A repository with several quantisations of a model, all of them here."""
    pair = {"two-" + quant + ".gguf": demo.FILES.model.read_bytes() + b"\0" * at for at, quant in enumerate(quants)}
    place.hub.add(name, {**pair, "mmproj-two-F16.gguf": demo.FILES.projector})
    for quant in quants:
        assert place.vlm("pull", "-y", f"{name}:{quant}").returncode == 0


def stopped(place, name):
    """A pull that was killed in the middle."""
    before, place.hub.rate = place.hub.sent, SIZE // 10
    running = place.started("pull", "-y", name)
    while place.hub.sent < before + SIZE // 8:
        time.sleep(0.02)
    running.kill()
    running.communicate()
    place.hub.rate = 0
