"""The vision encoder with its projector, and the chunks it makes of texts and pictures.

It takes pixels and gives rows in the language model's space. It knows neither prompts nor who keeps the rows.
`Projector.chunks` may be called from any thread (mtmd.h says so of mtmd_tokenize); `look` and `encode` use the one
encoder there is, and belong to one thread.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli.engine.native.library import (
    AbortFlag,
    Float32,
    Handle,
    Int32,
    OnProgress,
    clear_complaints,
    llama,
    load_error,
    mtmd,
    progress_callback,
    take_complaint,
)
from vlmcli.engine.native.model import Model
from vlmcli.engine.native.watch import Watch, ends_layer, is_cleared, tensor_size, write_tensor
from vlmcli.errors import Cancelled, ModelError, NativeError, RequestError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

OVERVIEW = "<global-img>"
"""What Idefics3 puts before the whole picture: letters like others for SmolVLM-Instruct and Idefics3-8B, but libmtmd
takes it for a token of every vocabulary (llama.cpp, issue 27190)."""


NODES_AT_ONCE = 64
"""Nodes of the encoder's graph that run without a look at whether to go on: two or three layers."""
SMALL_LEAST, LARGEST_LEAST = 8, 256
"""The fewest rows of a picture that most families have, and the largest such number (clip.cpp)."""


@dataclass(frozen=True)
class Text:
    """Text to tokenise; special tokens in it count only where `parse_special`."""

    text: str
    parse_special: bool


@dataclass(frozen=True)
class Bitmap:
    """A picture to tokenise.

    Attributes:
        id: any text; the picture's chunks carry it.
        size: width and height in pixels.
        pixels: RGB, row by row, width * height * 3 bytes; None to learn how many rows it takes, without encoding it.
    """

    id: str
    size: tuple[int, int]
    pixels: bytes | None = None


@dataclass(frozen=True)
class Chunk:
    """One run of tokens, or one encoder input (a picture, or a tile of one).

    Attributes:
        tokens: the ids of a text chunk; empty for a picture's.
        id: the bitmap's id; empty for text.
        rows: KV cache cells it takes.
        positions: how far it moves the next token's position; less than `rows` under M-RoPE.
        grid: for M-RoPE int32 [4, rows]: time, y, x and a spare, if the chunk's first position is 0; else None.
        moved: for M-RoPE int32 [4, rows]: how far each of these moves with the first position: 1 or 0; else None.
        bidirectional: whether its rows see each other in both directions, so that they must be decoded in one batch.
    """

    tokens: tuple[int, ...]
    id: str
    rows: int
    positions: int
    grid: Int32 | None
    moved: Int32 | None
    bidirectional: bool


class Chunks(Handle):
    """What `Projector.chunks` made of a prompt, in order; of bitmaps with pixels, prepared for the encoder.

    To be closed: the prepared pixels lie in C.
    """

    def __init__(self, projector: Projector, pointer: Any) -> None:
        super().__init__(pointer, mtmd.mtmd_input_chunks_free)
        self._projector = projector

    def __len__(self) -> int:
        return int(mtmd.mtmd_input_chunks_size(self.pointer))

    def raw(self, index: int) -> Any:
        """The C chunk, for calls inside this package; it is gone with `close`."""
        return mtmd.mtmd_input_chunks_get(self.pointer, index)

    @property
    def ids(self) -> list[str]:
        """Each chunk's bitmap id; empty for text."""
        return [(mtmd.mtmd_input_chunk_get_id(self.raw(i)) or b"").decode() for i in range(len(self))]

    def read(self) -> tuple[Chunk, ...]:
        """What is known of each chunk, without its pixels."""
        return tuple(self._read(self.raw(index)) for index in range(len(self)))

    def _read(self, chunk: Any) -> Chunk:
        rows, positions = mtmd.mtmd_input_chunk_get_n_tokens(chunk), mtmd.mtmd_input_chunk_get_n_pos(chunk)
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            count = ctypes.c_size_t()
            tokens = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
            return Chunk(self._projector.spell_overview(tokens[: count.value]), "", rows, positions, None, None, False)
        grid = moved = None
        if self._projector.mrope:
            grid = self._places(chunk, rows, 0)
            moved = self._places(chunk, rows, 1) - grid
        bidirectional = bool(mtmd.mtmd_decode_use_non_causal(self._projector.pointer, chunk))
        bitmap_id = (mtmd.mtmd_input_chunk_get_id(chunk) or b"").decode()
        return Chunk((), bitmap_id, rows, positions, grid, moved, bidirectional)

    @staticmethod
    def _places(chunk: Any, rows: int, start: int) -> Int32:
        places = (mtmd.mtmd_decoder_pos * rows)()
        mtmd.mtmd_helper_image_get_decoder_pos(mtmd.mtmd_input_chunk_get_tokens_image(chunk), start, places)
        t, x, y, z = np.frombuffer(places, np.uint32).reshape(rows, 4).T
        return np.ascontiguousarray(np.stack([t, y, x, z]), np.int32)


def _params(use_gpu: bool, threads: int, budget: tuple[int, int]) -> Any:
    """How a projector is loaded, as `Projector` takes it."""
    params = mtmd.mtmd_context_params_default()
    params.use_gpu = use_gpu
    params.n_threads = threads
    params.print_timings = False
    least, most = budget
    if most and (not least or least > most):  # a family's own least may be more: then the projector is not loaded
        least = min(most, SMALL_LEAST) if most < LARGEST_LEAST else 0
    params.image_min_tokens, params.image_max_tokens = least or -1, most or -1
    params.warmup = False  # reserves memory for the largest picture; the real one does that for itself
    return params


class Projector(Handle):
    """The vision encoder and the projector that puts its output into the language model's space.

    Attributes:
        path: of the file.
        n_embd: floats of a row, as many as the model's `n_embd_inp`.
        mrope: whether a picture's rows have positions of their own (`Chunk.grid`).
    """

    def __init__(
        self,
        path: Path,
        model: Model,
        use_gpu: bool,
        threads: int,
        on_progress: OnProgress,
        flag: AbortFlag,
        budget: tuple[int, int] = (0, 0),
    ) -> None:
        """Load a file.

        Args:
            path: a GGUF file (mmproj).
            model: the language model it was published with; it must outlive this object.
            use_gpu: whether the encoder runs on the GPU.
            threads: how many the encoder uses on the CPU.
            on_progress: called as the file loads.
            flag: ends the loading, and later each `encode`, when set.
            budget: the fewest and the most rows of a picture, where the family takes pictures of any size; zeros for
                its own.

        Raises:
            Cancelled: the flag was set.
            NoRoom: llama.cpp found no memory.
            ModelError: llama.cpp cannot load the file, or it is no projector for this model.
        """
        self._layers = self._nodes = 0
        self._on_layer: Callable[[int], None] = lambda layer: None
        self._watch: Watch | None = None
        self._flag = flag
        self._keep = (
            progress_callback(mtmd.mtmd_progress_callback, on_progress, flag),
            llama.ggml_backend_sched_eval_callback(self._on_node),
        )
        params = _params(use_gpu, threads, budget)
        params.progress_callback, params.cb_eval = self._keep
        clear_complaints()
        pointer = mtmd.mtmd_init_from_file(os.fsencode(path), model.pointer, params)
        if not pointer:
            if flag.is_set():
                raise Cancelled("the projector's loading was cancelled")
            raise load_error(
                f"{path}: llama.cpp cannot use it as the projector of {model.path.name}",
                "use the mmproj file that was published with this model",
            )
        super().__init__(pointer, mtmd.mtmd_free)
        self.path = path
        known, letters = (model.tokenize(text, True) for text in ("<fake_token_around_image>", OVERVIEW))
        self._overview = letters if len(known) == 1 else [llama.LLAMA_TOKEN_NULL]  # another family lacks another token
        self.n_embd: int = model.n_embd_inp
        self.mrope = bool(mtmd.mtmd_decode_use_mrope(pointer))
        self._refuse(model)

    def _refuse(self, model: Model) -> None:
        """Raise ModelError, and close, where it is loaded and is no projector for this model."""
        wrong = None
        if not mtmd.mtmd_support_vision(self.pointer):
            wrong = "it has no vision encoder"
        elif self.mrope != (model.n_pos == 4):
            wrong = "it numbers positions differently"
        if wrong:
            self.close()
            raise ModelError(
                f"{self.path}: not a projector for {model.path.name}: {wrong}",
                "use the mmproj file that was published with this model",
            )

    def spell_overview(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """The tokens, with those of its letters where libmtmd has put -1 for `OVERVIEW`."""
        return tuple(
            one for token in tokens for one in (self._overview if token == llama.LLAMA_TOKEN_NULL else [token])
        )

    def _on_node(self, tensor: Any, ask: bool, _: object) -> bool:
        """Ggml's eval callback: stops after each encoder layer, to report it and to see whether to go on.

        Also after so many nodes without a layer's end, as not every graph names its layers; and after a multiplication
        by 0, by which Pixtral's graph (clip.cpp) means to clear a tensor that nobody has written: it keeps what is not
        a number, so that the tensor is cleared here.
        """
        watch = self._watch
        if ask:
            if watch is not None and watch.takes(tensor):
                return watch.only_inputs
            self._nodes += 1
            ends = ends_layer(tensor) or is_cleared(tensor) or self._nodes >= NODES_AT_ONCE
            if ends:
                self._nodes = 0
            return bool(ends)
        if is_cleared(tensor):
            write_tensor(tensor, bytes(tensor_size(tensor)))
            return not self._flag.is_set()
        if watch is not None and not watch.computed(tensor):
            return False
        if ends_layer(tensor):
            self._layers += 1
            self._on_layer(self._layers)
        return not self._flag.is_set()

    def chunks(self, parts: Sequence[Text | Bitmap], add_bos: bool) -> Chunks:
        """Tokenise text and bitmaps in order, with the family's own tokens around each picture.

        Bitmaps with pixels come out ready for `encode`; this is where libmtmd scales, tiles and normalises.

        Args:
            parts: in the prompt's order.
            add_bos: whether a BOS token goes first.

        Raises:
            RequestError: libmtmd cannot take a picture of this size, or `pixels` does not fit `size`.
        """
        keep: list[Any] = []
        bitmaps: list[Any] = []
        array = (ctypes.POINTER(mtmd.mtmd_input_part) * max(1, len(parts)))()
        try:
            for index, part in enumerate(parts):
                c_part = mtmd.mtmd_input_part()
                if isinstance(part, Text):
                    raw = part.text.encode("utf-8", "replace")
                    text = mtmd.mtmd_input_text()
                    text.text, text.text_len = raw, len(raw)
                    text.parse_special = part.parse_special
                    keep += [raw, text]
                    c_part.text = ctypes.pointer(text)
                else:
                    c_part.bitmap = bitmap = self._bitmap(part)
                    bitmaps.append(bitmap)
                keep.append(c_part)
                array[index] = ctypes.pointer(c_part)
            clear_complaints()
            chunks = Chunks(self, mtmd.mtmd_input_chunks_init())
            status = mtmd.mtmd_tokenize_from_parts(self.pointer, chunks.pointer, array, len(parts), add_bos)
        finally:
            for bitmap in bitmaps:
                mtmd.mtmd_bitmap_free(bitmap)
        if status:
            chunks.close()
            raise RequestError(
                f"{self.path.name}: the model cannot process this picture ({take_complaint() or status})",
                "try another size, such as --detail low",
            )
        return chunks

    @staticmethod
    def _bitmap(bitmap: Bitmap) -> Any:
        """A C bitmap, a copy, that the caller frees; RequestError where C would compute or read past the end."""
        width, height = bitmap.size
        if min(width, height) < 1 or width * height > 100_000_000:  # libmtmd computes sizes in int
            raise RequestError(
                f"a picture of {width}x{height} pixels cannot be encoded", "try another size, such as --detail low"
            )
        data = None
        if bitmap.pixels is not None:
            if len(bitmap.pixels) != width * height * 3:  # C would read past the end
                raise RequestError(
                    f"{len(bitmap.pixels)} bytes are not {width}x{height} RGB pixels", "read the picture again"
                )
            data = ctypes.cast(ctypes.c_char_p(bitmap.pixels), ctypes.POINTER(ctypes.c_uint8))
        pointer = mtmd.mtmd_bitmap_init(width, height, data)
        mtmd.mtmd_bitmap_set_id(pointer, bitmap.id.encode())
        return pointer

    def look(self, chunks: Chunks, index: int) -> list[Float32]:
        """What the encoder gets of the picture chunk at `index`, without encoding it: as `Watch.inputs`."""
        self._watch = watch = Watch(only_inputs=True)
        try:
            mtmd.mtmd_encode_chunk(self.pointer, chunks.raw(index))
        finally:
            self._watch = None
        return watch.inputs

    def encode(
        self, chunks: Chunks, index: int, on_layer: Callable[[int], None], watch: Watch | None = None
    ) -> Float32:
        """Encode the picture chunk at `index`.

        Args:
            chunks: of this projector, from bitmaps with pixels.
            index: of a chunk that is no text.
            on_layer: called after each layer of the encoder, with the number of layers done: 1, 2, …
            watch: gathers what goes in and comes out of the encoder; slower.

        Returns:
            float32 [rows, n_embd], a copy.

        Raises:
            Cancelled: the flag was set.
            NativeError: the encoder failed.
        """
        chunk = chunks.raw(index)
        self._layers = self._nodes = 0
        self._on_layer, self._watch = on_layer, watch
        clear_complaints()
        try:
            status = mtmd.mtmd_encode_chunk(self.pointer, chunk)
        finally:
            self._watch = None
        if self._flag.is_set():  # then the status says 0 and the output is only part of the way
            raise Cancelled()
        if status:
            raise NativeError(f"the vision encoder failed ({take_complaint() or status})")
        rows = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
        output = mtmd.mtmd_get_output_embd(self.pointer)
        copy: Float32 = np.ctypeslib.as_array(output, shape=(rows, self.n_embd)).copy()
        return copy
