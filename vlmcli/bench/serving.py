"""`python -m vlmcli.bench.serving MODEL MMPROJ`: `vlm serve` beside llama-server, and whether it holds for long.

Both serve the same pair in turn, to clients that each ask one question after the other: first about pictures that are
all different, then about the same few again and again. With --soak, only `vlm serve` runs, with the demo model. Then
each answer must name what is in its picture, and memory should stay flat (Linux).
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import itertools
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

from vlmcli import settings
from vlmcli.bench.commands import SERVER, Failure
from vlmcli.bench.steady import MB, family
from vlmcli.demo import scenes

QUESTION = "What is in this picture?"
SHAPES = 64
"""Different scenes; a pixel makes more pictures of them."""
REPEATED = 4
"""Pictures of the second figure."""
PATIENCE = 600.0
"""Seconds for an answer: the last of many clients waits for all others."""
CELLS = 1024
"""Of the context, for each of llama-server's slots: it answers with an error where they are too few."""
SAMPLE = 1.0
"""Seconds between two looks at the memory."""
WARM, WINDOW = 60.0, 20.0
"""Seconds after which all that is kept should be there, and of which memory's mean is taken."""


@dataclass
class Tally:
    """What clients have met.

    Attributes:
        seconds: of each answer.
        errors: what went wrong, in words.
        mixed: answers that named what was in another client's picture, and not what was in theirs.
        wrong: other answers that did not name it.
    """

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    mixed: int = 0
    wrong: int = 0


class Pictures:
    """Drawn scenes with one shape, by number: none is like another, and each has a name."""

    def __init__(self, repeated: int = 0) -> None:
        """Only the first few again and again, where their number is given."""
        self._repeated = repeated
        drawn = (scenes.make(Random(f"serving-{n}"), size=(256, 256), shapes=1, text=False) for n in range(SHAPES))
        self._drawn = [(scenes.draw(scene).convert("RGB"), str(scene.shapes[0])) for scene in drawn]

    def get(self, number: int) -> tuple[str, str]:
        """A data URI and what is in the picture."""
        number = number % self._repeated if self._repeated else number
        image, name = self._drawn[number % SHAPES]
        turn = number // SHAPES
        image = image.copy()
        image.putpixel((0, 0), (turn & 255, turn >> 8 & 255, 7))
        return _uri(image), name


def _uri(image: Image.Image) -> str:
    kept = io.BytesIO()
    image.save(kept, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode()


@contextmanager
def vlm_serve(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A port and a process of `vlm serve`, whose cache on the disk is its own."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="vlm-serving-") as place:
        environment = {**settings.variables(), "XDG_CACHE_HOME": place}
        command = [sys.executable, "-m", "vlmcli", "serve", "--port", str(port), *words]
        with _running(command, environment, port) as pid:
            yield port, pid


@contextmanager
def llama_server(model: Path, projector: Path, slots: int, threads: int) -> Iterator[tuple[int, int]]:
    """The same of llama-server."""
    port = _free_port()
    command = [SERVER, "-m", str(model), "--mmproj", str(projector), "--port", str(port), "--jinja", "--kv-unified"]
    command += ["-np", str(slots), "-c", str(max(4096, CELLS * slots)), "-t", str(threads), "--no-warmup"]
    with _running(command, dict(settings.variables()), port) as pid:
        yield port, pid


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str], port: int) -> Iterator[int]:
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + PATIENCE
        while not _is_up(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise Failure(f"{command[0]} was not ready")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Clients:
    """Threads that ask, each one request after the other."""

    def __init__(self, port: int, count: int, pictures: Pictures, first: int) -> None:
        """So many, whose pictures begin with that number."""
        self._port, self._count, self._pictures = port, count, pictures
        self._next = first
        self._names: dict[int, str] = {}  # what each client asks about now
        self._lock = threading.Lock()

    def ask(self, seconds: float) -> Tally:
        """Ask for so long; requests that are under way then are waited for, and counted."""
        tally, ends = Tally(), time.monotonic() + seconds
        threads = [threading.Thread(target=self._one, args=(number, ends, tally)) for number in range(self._count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return tally

    def _one(self, number: int, ends: float, tally: Tally) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            while time.monotonic() < ends:
                with self._lock:
                    place, self._next = self._next, self._next + 1
                uri, name = self._pictures.get(place)
                self._names[number] = name
                began = time.monotonic()
                try:
                    status, text = _answer(connection, uri)
                except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                    connection.close()
                    status, text = 0, repr(error)
                if status != 200:
                    tally.errors.append(f"{status} {text[:200]}")
                    continue
                tally.seconds.append(time.monotonic() - began)
                if name not in text:
                    others = {other for client, other in list(self._names.items()) if client != number}
                    is_mixed = any(other in text for other in others)
                    tally.mixed, tally.wrong = tally.mixed + is_mixed, tally.wrong + (not is_mixed)
        finally:
            connection.close()


def _answer(connection: http.client.HTTPConnection, uri: str) -> tuple[int, str]:
    """Status, and the answer's text or the error's."""
    content = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": QUESTION}]
    body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 16}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    if reply.status != 200:
        return reply.status, data.decode(errors="replace")
    return 200, str(json.loads(data)["choices"][0]["message"]["content"])


def compare(model: Path, projector: Path, counts: Sequence[int], seconds: float, threads: int) -> None:
    """Print a line for each number of clients and each kind of pictures."""
    peers = ["vlm serve"] + (["llama-server"] if shutil.which(SERVER) else [])
    for repeated, count in itertools.product((0, REPEATED), counts):
        rates = {}
        for peer in peers:
            rates[peer], figures = _turn(peer, (model, projector), count, seconds, threads, repeated)
            _say(f"{count:3} clients, {'repeated' if repeated else 'new'} pictures, {peer:12}: {figures}")
        if all(rates.values()) and len(rates) == 2:
            _say(f"{count:3} clients: {rates['vlm serve'] / rates['llama-server']:.2f} x llama-server's throughput")


def _turn(
    peer: str, pair: tuple[Path, Path], count: int, seconds: float, threads: int, repeated: int
) -> tuple[float, str]:
    """Answers per second of one of the two, and its figures in words."""
    with tempfile.TemporaryDirectory(prefix="vlm-pair-") as place:
        for file, name in zip(pair, ("pair.gguf", "mmproj-pair.gguf"), strict=True):
            (Path(place) / name).symlink_to(file.absolute())
        words = ["--models", place, "--threads", str(threads)]
        serving = llama_server(*pair, count, threads) if peer == "llama-server" else vlm_serve(words)
        with serving as (port, _):
            Clients(port, count, Pictures(repeated), 10**6 * SHAPES).ask(2.0)  # loads, and warms up
            began = time.monotonic()
            tally = Clients(port, count, Pictures(repeated), 0).ask(seconds)
            rate = len(tally.seconds) / (time.monotonic() - began)
    for error in tally.errors[:2]:
        _say(error)
    return rate, _figures(tally, rate)


def _figures(tally: Tally, rate: float) -> str:
    cuts = statistics.quantiles(tally.seconds, n=20) if len(tally.seconds) > 1 else [0.0] * 19
    return f"{rate:6.2f} answers/s, p50 {cuts[9]:.3f} s, p95 {cuts[18]:.3f} s, {len(tally.errors)} errors"


def soak(count: int, seconds: float) -> bool:
    """Ask the demo model for long. Returns whether there was no error, no mixed answer, and memory stayed flat."""
    with vlm_serve(["--models", "demo"]) as (port, pid):
        memory: list[tuple[float, int]] = []
        over, began = threading.Event(), time.monotonic()

        def look() -> None:
            while not over.wait(SAMPLE):
                with suppress(OSError):
                    memory.append((time.monotonic() - began, sum(_own(one) for one in family(pid))))

        looking = threading.Thread(target=look)
        looking.start()
        tally = Clients(port, count, Pictures(), 0).ask(seconds)
        over.set()
        looking.join()
    warm = min(WARM, seconds / 3)
    first = _mean(memory, warm, warm + WINDOW)
    for at in range(5):
        moment = warm + (seconds - WINDOW - warm) * at / 4
        held = _mean(memory, moment, moment + WINDOW)
        _say(f"after {moment:5.0f} s: {held / MB:6.0f} MB {held / first - 1:+6.1%}")
    grown = _mean(memory, seconds - WINDOW, seconds) / first - 1
    _say(f"{count} clients, {seconds:.0f} s: {_figures(tally, len(tally.seconds) / seconds)}")
    _say(f"{tally.mixed} mixed answers, {tally.wrong} other wrong ones, memory {grown:+.1%} since {warm:.0f} s")
    for error in tally.errors[:5]:
        _say(error)
    return not tally.errors and not tally.mixed and grown < 0.02


def _own(pid: int) -> int:
    """Bytes of a process's own: what it has of files is shared with others, and changes as these come and go."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def _mean(memory: Sequence[tuple[float, int]], start: float, end: float) -> float:
    return statistics.fmean([held for at, held in memory if start <= at <= end] or [1])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Compare, or soak."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.serving", description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("mmproj", type=Path, nargs="?")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each figure")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="ask the demo model for so long")
    options = parser.parse_args()
    if options.soak:
        return 0 if soak(max(options.clients), options.soak) else 1
    if options.mmproj is None:
        parser.error("name a model and its projector")
    compare(options.model, options.mmproj, options.clients, options.seconds, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
