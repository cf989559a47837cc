"""What later processes find of this one's work: embeddings, prefixes, and a fact about the projector.

It says what these depend on, opens their folders, and writes them in a thread of its own: an answer waits for the disk
only where `WAITING` entries are still to be written.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import vlmcli
from vlmcli.engine.embedding_store import EmbeddingStore
from vlmcli.engine.native import Model, devices, versions
from vlmcli.engine.prefix_store import PrefixStore
from vlmcli.entries import Entries, key_of
from vlmcli.models import gguf
from vlmcli.models.fingerprint import fingerprint
from vlmcli.placement import Caching, Fit
from vlmcli.values import ModelFiles

FACTS_BYTES = 16 << 20
MOST_ROWS = 1 << 20
WAITING = 2
"""Entries that may wait to be written, each of which holds memory."""

log = logging.getLogger("vlmcli.engine")


class Stores:
    """The stores of one model as it is put onto this machine.

    Attributes:
        caching: where they are, and what is worth keeping.
        embeddings: of pictures.
        prefixes: of prompts.
        on_gpu: whether the projector is on one.
    """

    def __init__(self, caching: Caching, files: ModelFiles, model: Model, fit: Fit) -> None:
        """Find out what everything depends on. Raises ModelError where a file cannot be read."""
        gpus = [f"{one.name} {one.description}" for one in devices() if one.kind in ("gpu", "igpu")]
        self.on_gpu = bool(gpus) and fit.projector_on_gpu
        encoder = _encoder(files, model, gpus if self.on_gpu else [])
        decoder = encoder | _decoder(files, fit, gpus)
        folder = caching.folder
        self.caching = caching
        embeddings = Entries(folder / "embeddings", caching.embeddings)
        prefixes = Entries(folder / "prefixes", caching.prefixes)
        self.embeddings = EmbeddingStore(embeddings, encoder, model.n_embd_inp)
        self.prefixes = PrefixStore(prefixes, decoder)
        self._facts = Entries(folder / "facts", FACTS_BYTES)
        self._all = embeddings, prefixes, self._facts
        self._rows_key = key_of("bidirectional rows", encoder)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vlm-keeper")
        self._room = threading.Semaphore(WAITING)
        self._pool.submit(self._sweep)

    @property
    def reading(self) -> float:
        """Seconds that were spent on reading embeddings and prefixes."""
        return sum(entries.seconds for entries in self._all)

    def bidirectional_rows(self) -> int | None:
        """The most rows of a picture that must be decoded in one batch; None where no process has found that out."""
        entry = self._facts.get(self._rows_key)
        if entry is None:
            return None
        try:
            rows = json.loads(entry.about)["rows"]
        except (ValueError, LookupError, TypeError):
            return None
        return rows if isinstance(rows, int) and 0 <= rows < MOST_ROWS else None

    def keep_bidirectional_rows(self, rows: int) -> None:
        """Keep that number."""
        self.later(lambda: self._facts.put(self._rows_key, json.dumps({"rows": rows}).encode()))

    def later(self, work: Callable[[], object]) -> None:
        """Do something in the thread that writes; waits where too much is to be written already."""
        self._room.acquire()
        self._pool.submit(self._do, work)

    def settle(self, seconds: float) -> None:
        """Wait at most so long until everything is written that was to be."""
        until = time.monotonic() + seconds
        for _ in range(WAITING):
            self._room.acquire(timeout=max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Wait until everything is written."""
        self._pool.shutdown(wait=True)

    def _sweep(self) -> None:
        """Remove what a process that was killed has left: this one may find all it needs, and write nothing."""
        for entries in self._all:
            entries.sweep()

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:  # what cannot be kept is only computed again
            log.exception("a result cannot be kept")
        finally:
            self._room.release()


def _encoder(files: ModelFiles, model: Model, gpus: list[str]) -> dict[str, object]:
    """All that an embedding depends on beside its picture."""
    version = versions()
    return {
        "llama.cpp": version["llama.cpp"],
        "bindings": version["llama-cpp-python"],
        "features": version["features"],
        "projector": fingerprint(gguf.read(files.projector)),
        "architecture": gguf.read(files.model).architecture,
        "n_pos": model.n_pos,
        "budget": files.card.budget,
        "projector on": gpus,
    }


def _decoder(files: ModelFiles, fit: Fit, gpus: list[str]) -> dict[str, object]:
    """What a state depends on beside its prompt and its embeddings."""
    header = gguf.read(files.model)
    return {
        "vlm": vlmcli.__version__,
        "model": fingerprint(header),
        "context": fit.n_ctx if header.turns_by_context else 0,
        "layers": fit.n_gpu_layers if gpus else 0,
        "gpus": gpus,
        "repack": fit.repack,
    }
