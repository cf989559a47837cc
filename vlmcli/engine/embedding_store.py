"""Embeddings on the disk: what the encoder made of a picture is there for every later process.

An embedding is the rows of one encoder input: of a picture, or of one of its tiles. It is found by what the encoder was
given, whatever the picture's file is called now, and by which encoder it was.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vlmcli.engine.native import Float32
from vlmcli.entries import Entries, key_of
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")


class EmbeddingStore:
    """The embeddings of one projector, made in one way."""

    def __init__(self, entries: Entries, maker: object, width: int) -> None:
        """Read nothing yet.

        Args:
            entries: where they are.
            maker: all that the numbers depend on beside the picture, as JSON can say it.
            width: floats of a row.
        """
        self._entries = entries
        self._maker = maker
        self._width = width

    def find(self, key: str, rows: int) -> Float32 | None:
        """The embedding that `plan.picture_key` names: float32 [rows, width]. None where it is not kept."""
        entry = self._entries.get(self._key(key))
        if entry is None or entry.about != self._about(rows) or entry.content.nbytes != 4 * rows * self._width:
            return None
        found: Float32 = np.frombuffer(entry.content, np.float32).reshape(rows, self._width)
        return found

    def has(self, key: str, rows: int) -> bool:
        """Whether `find` will probably find it; it is not read."""
        return self._entries.look(self._key(key)) == self._about(rows)

    def keep(self, key: str, rows: Float32) -> None:
        """Keep an embedding: float32 [rows, width]."""
        content = np.ascontiguousarray(rows, np.float32).data.cast("B")
        self._entries.put(self._key(key), self._about(len(rows)), content)

    def _about(self, rows: int) -> bytes:
        return json.dumps({"rows": rows, "width": self._width}).encode()

    def _key(self, key: str) -> str:
        return key_of("embedding", self._maker, self._width, key)
