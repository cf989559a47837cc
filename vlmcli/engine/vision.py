"""Pictures become rows of the language model's space: from memory, else through the encoder.

Pixels are read and prepared (scaled, tiled, normalised by libmtmd) in a small pool, ahead of the encoder, and only for
what is not in memory. It knows encoder inputs by their keys, and nothing of questions or the KV cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from vlmcli import room
from vlmcli.engine.native import AbortFlag, Chunks, Float32, Projector, Watch
from vlmcli.engine.plan import PictureSegment
from vlmcli.engine.prompt import Prompt, chunks_of
from vlmcli.engine.stores import Stores
from vlmcli.errors import Cancelled, NativeError, NoMemory, RequestError, SourceError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

MEMORY_BYTES = 256 << 20  # embeddings kept for the next question about a picture …
MEMORY_PICTURES = 64  # … of so many, so that a run over a folder does not grow


class LazyProjector:
    """A projector that is loaded when it is needed first: a question about a known prefix never does."""

    def __init__(self, load: Callable[[], Projector]) -> None:
        self._load = load
        self._projector: Projector | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is there."""
        return self._projector is not None

    def get(self) -> Projector:
        """The projector. Raises what keeps it from being loaded; the next call tries again."""
        if self._projector is None:
            self._projector = self._load()
        return self._projector

    def close(self) -> None:
        """Free it, if it is there."""
        if self._projector is not None:
            self._projector.close()


class Vision:
    """The encoder behind its memory: an embedding is computed once for all requests that show its picture."""

    def __init__(
        self,
        projector: LazyProjector,
        flag: AbortFlag,
        stores: Stores | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Begin with an empty memory.

        Args:
            projector: the encoder, which is the caller's.
            flag: ends the wait for pixels when set.
            stores: embeddings on the disk; None without.
            memory_bytes: of embeddings in memory.
        """
        self._projector = projector
        self.flag = flag
        self.encodes = 0
        self.finds = 0
        """How many embeddings have come from the disk."""
        self._stores = stores
        self._missing: set[str] = set()  # from the disk, so that it is asked once
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="vlm-pixels")
        self._memory: OrderedDict[str, Float32] = OrderedDict()
        self._bytes = 0
        self._limit = memory_bytes
        self._tiles = 1  # of one picture, at most

    @property
    def projector(self) -> Projector:
        """The encoder and its projection; only in the engine's thread, as it may have to be loaded first."""
        return self._projector.get()

    def known(self, segment: PictureSegment) -> Float32 | None:
        """An embedding from memory or from the disk: float32 [rows, n_embd_inp]."""
        key = segment.key
        rows = self._memory.get(key)
        if rows is not None:
            self._memory.move_to_end(key)
        elif self._stores is not None and key not in self._missing:
            rows = self._stores.embeddings.find(key, segment.rows)
            if rows is None:
                self._missing.add(key)
            else:
                self.finds += 1
                self._remember(segment, rows)
        return rows

    def has(self, segment: PictureSegment) -> bool:
        """Whether `known` will probably know it; nothing is read."""
        stored = self._stores is not None and self._stores.embeddings.has(segment.key, segment.rows)
        return stored or segment.key in self._memory

    def keep(self, segment: PictureSegment, rows: Float32) -> None:
        """Remember a new embedding, here and on the disk."""
        self._remember(segment, rows)
        self._missing.discard(segment.key)
        if (stores := self._stores) is not None:
            stores.later(lambda: stores.embeddings.keep(segment.key, rows))

    def _remember(self, segment: PictureSegment, rows: Float32) -> None:
        """Keep an embedding in memory, and forget the least recently used ones beyond the limits."""
        if segment.key in self._memory or rows.nbytes > self._limit:
            return
        self._memory[segment.key] = rows
        self._bytes += rows.nbytes
        self._tiles = max(self._tiles, segment.tile + 1)
        while self._bytes > self._limit or len(self._memory) > MEMORY_PICTURES * self._tiles:
            self._bytes -= self._memory.popitem(last=False)[1].nbytes

    def close(self) -> None:
        """Wait for the pool; the projector is the caller's."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        self._memory.clear()


class Pictures:
    """One request's pictures on their way to rows."""

    def __init__(self, vision: Vision, prompt: Prompt) -> None:
        self._vision = vision
        self._prompt = prompt
        self._prepared: dict[int, Future[Chunks]] = {}
        self.encoded = self.remembered = self.from_disk = 0

    def prepare(self, segment: PictureSegment) -> None:
        """Begin to prepare the segment's picture in the pool, unless its rows are in memory."""
        if segment.picture not in self._prepared and self.known(segment) is None:
            work = self._vision.pool.submit(chunks_of, self._vision.projector, self._prompt, segment.picture)
            self._prepared[segment.picture] = work

    def prepared(self, segment: PictureSegment) -> bool:
        """Whether the encoder could begin now."""
        work = self._prepared.get(segment.picture)
        return work is not None and work.done()

    def known(self, segment: PictureSegment) -> Float32 | None:
        """The segment's rows if no encoding is needed."""
        before = self._vision.finds
        rows = self._vision.known(segment)
        self.from_disk += self._vision.finds - before
        return rows

    def wait(self, segment: PictureSegment) -> Chunks:
        """The whole prompt with the segment's picture in it. Raises Cancelled, SourceError, RequestError, NativeError.

        They stay ready until `release`.
        """
        self.prepare(segment)
        work = self._prepared[segment.picture]
        while not wait([work], timeout=0.05).done:
            if self._vision.flag.is_set():
                raise Cancelled()
        try:
            return work.result()
        except (SourceError, RequestError, NativeError):
            raise
        except Exception as error:  # `Picture.load` is whoever's: its failure is this picture's, not the engine's
            source = self._prompt.pictures[segment.picture].source
            if room.is_out(error):
                raise NoMemory(f"{source}: not enough memory to read it", room.HINT) from error
            raise SourceError(f"{source}: cannot be read ({error})", "the file may be damaged") from error

    def encode(
        self, segment: PictureSegment, chunks: Chunks, on_layer: Callable[[int], None], watch: Watch | None = None
    ) -> Float32:
        """The segment's rows through the encoder, from what `wait` gave. Raises Cancelled, NativeError."""
        name = f"{self._prompt.pictures[segment.picture].identity}#{segment.picture}"
        tiles = [n for n, id in enumerate(chunks.ids) if id == name]
        if segment.tile >= len(tiles):
            raise NativeError(f"a picture gave {len(tiles)} tiles, fewer than planned")
        rows = self._vision.projector.encode(chunks, tiles[segment.tile], on_layer, watch)
        if not np.isfinite(rows).all():
            projector = self._vision.projector.path
            raise NativeError(
                f"{projector}: the vision encoder returned values that are not numbers", "download it again"
            )
        if len(rows) != segment.rows:
            raise NativeError(f"the vision encoder returned {len(rows)} rows instead of {segment.rows}")
        self._vision.encodes += 1
        self.encoded += 1
        self._vision.keep(segment, rows)
        return rows

    def release(self, picture: int) -> None:
        """Free a picture's prepared pixels: all its tiles are encoded."""
        work = self._prepared.pop(picture, None)
        if work is not None and not work.cancel():
            work.add_done_callback(_close)

    def close(self) -> None:
        """Free all of the request's prepared pixels; what is still being prepared is freed when that is done."""
        for picture in list(self._prepared):
            self.release(picture)


def _close(work: Future[Chunks]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().close()
