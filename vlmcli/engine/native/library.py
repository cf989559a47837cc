"""llama.cpp and libmtmd: the only importer of their bindings.

Handles are owned objects that free what they hold; statuses become errors; C logs become log records; what could
make a C function abort the process is checked before it is called. No raw pointer leaves this file. It knows nothing
of requests, prompts or caches.

Threads: a `Context` and the encoder of a `Projector` belong to one thread. `Model`'s vocabulary functions and
`Projector.chunks` are safe from any (mtmd.h says so of mtmd_tokenize).
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.machinery
import importlib.util
import logging
import os
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from vlmcli.engine import amx
from vlmcli.errors import Cancelled, ModelError, NativeError, NoRoom, RequestError
from vlmcli.values import Device

BINDINGS = "0.3.36"
LLAMA = "0.5.0-dev"  # llama_version() of those bindings
SIZES = {  # sizeof, from gcc on the headers of that release
    "llama_model_params": 80,
    "llama_context_params": 160,
    "llama_batch": 56,
    "mtmd_context_params": 96,
    "mtmd_input_text": 24,
    "mtmd_input_part": 16,
    "mtmd_decoder_pos": 16,
    "llama_token_data": 12,
    "llama_token_data_array": 32,
}

MAX_CTX = 1 << 22  # cells

OVERVIEW = "<global-img>"
"""What Idefics3 puts before the whole picture: letters like others for SmolVLM-Instruct and Idefics3-8B, but libmtmd
takes it for a token of every vocabulary (llama.cpp, issue 27190)."""

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]
OnProgress = Callable[[float], None]

log = logging.getLogger("vlmcli.llama")
log.addHandler(logging.NullHandler())


# ---------------------------------------------------------------------------------------------- the library


def _load() -> tuple[Any, Any]:
    """The two binding modules, without the package around them: its own __init__ costs ten times as much."""
    # libgomp's threads spin for as long as they wait for each other, so beside one other busy process a small model
    # is a hundred times slower; not spinning at all costs a third of an idle machine's speed. A short spin has both.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # or a failed assertion starts gdb on this process
    stub = None
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None:
            raise NativeError("llama-cpp-python is not installed", f"pip install llama-cpp-python=={BINDINGS}")
        stub = types.ModuleType("llama_cpp")
        stub.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["llama_cpp"] = stub
    try:
        llama = importlib.import_module("llama_cpp.llama_cpp")
        mtmd = importlib.import_module("llama_cpp.mtmd_cpp")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise NativeError(f"llama.cpp cannot be loaded ({error})", _reinstall()) from error
    finally:
        if stub is not None:
            del sys.modules["llama_cpp"]  # whoever wants the whole package can still have it
    return llama, mtmd


def _reinstall() -> str:
    return f"pip install --force-reinstall --no-cache-dir llama-cpp-python=={BINDINGS}"


def _check_layout() -> None:
    version = L.llama_version().decode()
    if version != LLAMA:
        raise NativeError(f"llama.cpp is {version}, not {LLAMA}, and its structures may differ", _reinstall())
    for name, size in SIZES.items():
        struct = getattr(L, name, None) or getattr(M, name)
        if ctypes.sizeof(struct) != size:
            raise NativeError(f"{name} has {ctypes.sizeof(struct)} bytes, not {size}", _reinstall())


_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml.h, ggml_log_level
_complaints: deque[str] = deque(maxlen=8)
_level = logging.DEBUG


def _on_log(level: int, text: bytes | None, _: object) -> None:
    global _level
    _level = _LEVELS.get(level, _level)  # 5 goes on with the line before
    line = (text or b"").decode("utf-8", "replace").rstrip("\n")
    if not line:
        return
    if _level >= logging.ERROR:
        _complaints.append(line)
    if log.isEnabledFor(_level):
        log.log(_level, "%s", line)


def _complaint() -> str:
    """What llama.cpp said last when it failed, in one line."""
    said = [" ".join(line.split(": ", 1)[-1].split()) for line in list(_complaints)]
    _complaints.clear()
    return "; ".join(dict.fromkeys(said))[:300]


L, M = _load()
_check_layout()
_lib = L._lib
_log_callback = L.llama_log_callback(_on_log)
L.llama_log_set(_log_callback, None)
M.mtmd_helper_log_set(_log_callback, None)  # sets mtmd's and the helpers'
L.llama_backend_init()


def _bind(name: str, result: Any, *arguments: Any) -> Any:
    """A ggml function the bindings leave out, through the library they loaded (another copy has its own globals)."""
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, list(arguments)
    return function


_name_address = _bind("ggml_get_name", ctypes.c_void_p, ctypes.c_void_p)
_nbytes = _bind("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
_read = _bind("ggml_backend_tensor_get", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_write = _bind("ggml_backend_tensor_set", None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t)
_op_name = _bind("ggml_op_name", ctypes.c_char_p, ctypes.c_int)
_SCALE = next(op for op in range(64) if _op_name(op) == b"SCALE")


def _get_name(tensor: int) -> bytes:
    """A tensor's name."""
    return ctypes.string_at(_name_address(tensor))


class _Tensor(ctypes.Structure):
    """struct ggml_tensor, up to its name (ggml.h)."""

    _fields_ = (
        ("type", ctypes.c_int), ("buffer", ctypes.c_void_p), ("ne", ctypes.c_int64 * 4), ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int), ("op_params", ctypes.c_int32 * 16), ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10), ("view_src", ctypes.c_void_p), ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p), ("name", ctypes.c_char * 64),
    )  # fmt: skip


def _tensor(address: int) -> _Tensor:
    """The tensor at an address; NativeError where ggml's structure is not the one above."""
    if _name_address(address) - address != _Tensor.name.offset:
        raise NativeError("a tensor of this llama.cpp is not laid out as expected", _reinstall())
    return _Tensor.from_address(address)


def _is_cleared(address: int) -> bool:
    """Whether a node multiplies with 0 and adds 0 (ggml.h, ggml_scale_bias: two floats in op_params)."""
    tensor = _tensor(address)
    return tensor.op == _SCALE and not any(tensor.op_params[:2])


def _floats(address: int) -> Float32 | None:
    """A contiguous float32 tensor's numbers, a copy, in numpy's order of dimensions; None for any other tensor."""
    tensor = _tensor(address)
    shape = tuple(tensor.ne)[::-1]
    if tensor.type != 0 or tensor.nb[0] != 4 or not tensor.buffer:
        return None
    copy = np.empty(shape, np.float32)
    if _nbytes(address) != copy.nbytes:
        return None
    _read(address, copy.ctypes.data, 0, copy.nbytes)
    return copy


_AbortCallback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_abort_callback = _AbortCallback()


def on_abort(handler: Callable[[str], object]) -> None:
    """Call `handler` with the text of a failed assertion in C, in whichever thread it failed.

    The process is lost then: a handler that returns is followed by abort().
    """
    global _abort_callback

    def failed(text: bytes | None) -> None:
        handler(re.sub(r"^\S*[/\\]", "", (text or b"").decode("utf-8", "replace")))  # without where it was compiled

    _abort_callback = _AbortCallback(failed)
    _bind("ggml_set_abort_callback", ctypes.c_void_p, _AbortCallback)(_abort_callback)


def _unloadable(message: str, hint: str) -> ModelError:
    """The error for what llama.cpp would not load, with its last complaint."""
    reason = _complaint() or "no reason given"
    kind = NoRoom if re.search(r"alloc|out of memory", reason, re.IGNORECASE) else ModelError
    return kind(f"{message} ({reason})", hint)


def versions() -> dict[str, str]:
    """Versions of llama.cpp and its bindings, and the CPU features it was compiled with."""
    features = L.llama_print_system_info().decode().replace(" = 1", "").strip(" |")
    return {"llama.cpp": L.llama_version().decode(), "llama-cpp-python": BINDINGS, "features": features}


def _features() -> set[str]:
    return set(versions()["features"].replace(":", "|").replace(" ", "").split("|"))


@cache
def miscompiler() -> str:
    """The compiler whose code for AMX would end the process here; empty where it is right, or not used."""
    if "AMX_INT8" not in _features():
        return ""
    with suppress(OSError):
        for library in sorted(Path(_lib._name).parent.glob("*ggml-cpu*")):  # a file, or the same one by several names
            return amx.miscompiler(library.read_bytes())
    return ""


def repacked_types() -> frozenset[int]:
    """Types of tensors, by ggml's number, that llama.cpp copies into its CPU's own order when it loads them.

    Source: ggml-cpu, repack.cpp, ggml_repack_get_optimal_repack_type; amx/common.h, qtype_has_amx_kernels.
    """
    features = _features()
    q4_0, q4_1, q8_0, q2_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, mxfp4 = 2, 3, 8, 10, 12, 13, 14, 20, 23, 39
    if miscompiler():
        return frozenset()
    found = {q4_0, q4_1, q8_0, q4_k, q5_k, q6_k, iq4_xs} if "AMX_INT8" in features else set()
    if "REPACK" not in features:
        return frozenset(found)
    if "NEON" in features:
        return frozenset({q4_0, q8_0, q4_k, q5_k, q6_k, iq4_nl, mxfp4} if "DOTPROD" in features else ())
    found |= {q4_0, q4_k, iq4_nl, mxfp4} if "AVX2" in features else set()
    return frozenset(found | ({q2_k} if "AVX512" in features else set()))


def devices() -> tuple[Device, ...]:
    """Every device llama.cpp was compiled for and found here."""
    size = ctypes.c_size_t
    count = _bind("ggml_backend_dev_count", size)
    get = _bind("ggml_backend_dev_get", ctypes.c_void_p, size)
    name = _bind("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    description = _bind("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    kind = _bind("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    memory = _bind("ggml_backend_dev_memory", None, ctypes.c_void_p, ctypes.POINTER(size), ctypes.POINTER(size))
    kinds: list[Literal["cpu", "gpu", "igpu", "accel", "meta"]] = ["cpu", "gpu", "igpu", "accel", "meta"]
    found = []
    for index in range(count()):
        device, free, total = get(index), size(), size()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        found.append(
            Device(name(device).decode(), description(device).decode(), kinds[kind(device)], free.value, total.value)
        )
    return tuple(found)


class AbortFlag:
    """Set from any thread, read inside C: a decode, an encode or a load that is under way ends soon."""

    # A callback in Python would need the GIL thousands of times a second, from C's own threads. atoi has the shape
    # llama.cpp wants, int f(void *), reads "0" or "1", and never enters Python.
    _atoi = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).atoi

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(b"0")

    def set(self) -> None:
        """Ask what runs to end."""
        self._text[0] = b"1"

    def clear(self) -> None:
        """Let the next call run."""
        self._text[0] = b"0"

    def is_set(self) -> bool:
        """Whether somebody asked."""
        return bool(self._text[0] == b"1")

    @property
    def callback(self) -> tuple[Any, Any]:
        """A ggml_abort_callback and its user data; both live as long as this object."""
        return ctypes.cast(self._atoi, L.ggml_abort_callback), ctypes.cast(self._text, ctypes.c_void_p)


class _Handle:
    """A C object that is freed once."""

    def __init__(self, pointer: Any, free: Callable[[Any], object]) -> None:
        self._pointer = pointer
        self._free = free

    @property
    def pointer(self) -> Any:
        """The live pointer, for this file only."""
        if self._pointer is None:
            raise NativeError(f"{type(self).__name__} is used after it was closed")
        return self._pointer

    def close(self) -> None:
        """Free it; the second time does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._free(pointer)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _progress(kind: Any, on_progress: OnProgress, flag: AbortFlag) -> Any:
    """A load's progress callback: reports, and ends the load when the flag is set."""

    def callback(done: float, _: object) -> bool:
        on_progress(done)
        return not flag.is_set()

    return kind(callback)


# ---------------------------------------------------------------------------------------------- the language model


class Model(_Handle):
    """A language model's weights and vocabulary."""

    def __init__(
        self, path: Path, n_gpu_layers: int, on_progress: OnProgress, flag: AbortFlag, repack: bool = True
    ) -> None:
        params = L.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.use_extra_bufts = repack and not miscompiler()
        self._keep = params.progress_callback = _progress(L.llama_progress_callback, on_progress, flag)
        _complaints.clear()
        pointer = L.llama_model_load_from_file(os.fsencode(path), params)
        if not pointer:
            if flag.is_set():
                raise Cancelled("the model's loading was cancelled")
            raise _unloadable(f"{path}: llama.cpp cannot load it", "download it again")
        super().__init__(pointer, L.llama_model_free)
        self.path = path
        self._vocab = L.llama_model_get_vocab(pointer)
        self.n_vocab: int = L.llama_vocab_n_tokens(self._vocab)
        self.n_embd_inp: int = L.llama_model_n_embd_inp(
            pointer
        )  # floats a picture row; more than n_embd with deepstack
        # Positions a picture row has: M-RoPE (8) and interleaved M-RoPE (40) want time, y, x and a spare; llama.h.
        self.n_pos: int = 4 if L.llama_model_rope_type(pointer) in (8, 40) else 1
        # A recurrent state knows only its newest position. And behind a sliding window llama.cpp overwrites cells that
        # only one sequence holds, whatever swa_full says (llama-kv-cache.cpp, find_slot). Such sequences can be copied
        # as they stand and extended, but not cut.
        recurrent = L.llama_model_is_recurrent(pointer) or L.llama_model_is_hybrid(pointer)
        self.can_roll_back = not recurrent and L.llama_model_n_swa(pointer) == 0
        if L.llama_model_has_encoder(pointer) or not L.llama_model_has_decoder(pointer):
            self.close()
            raise ModelError(f"{path}: not a decoder-only language model", "vlm cannot use this kind of model")

    @cached_property
    def chat_template(self) -> str | None:
        """The file's own Jinja chat template."""
        template = L.llama_model_chat_template(self.pointer, None)
        return template.decode("utf-8", "replace") if template else None

    def tokenize(self, text: str, parse_special: bool) -> list[int]:
        """Token ids of a text, without BOS and EOS."""
        raw = text.encode("utf-8", "replace")
        size = len(raw) + 8
        while True:
            tokens = (ctypes.c_int32 * size)()
            count = L.llama_tokenize(self._vocab, raw, len(raw), tokens, size, False, parse_special)
            if count >= 0:
                return tokens[:count]
            size = -count

    def piece(self, token: int) -> bytes:
        """A token's bytes, perhaps not whole characters; empty for a special one."""
        self.check(token)
        size = 64
        while True:
            text = ctypes.create_string_buffer(size)
            count = L.llama_token_to_piece(self._vocab, token, text, size, 0, False)
            if count >= 0:
                return text.raw[:count]
            size = -count

    def text(self, token: int) -> str:
        """A token's text in the vocabulary; empty when the id is no token."""
        if not 0 <= token < self.n_vocab:
            return ""
        return cast(bytes, L.llama_vocab_get_text(self._vocab, token)).decode("utf-8", "replace")

    @property
    def bos(self) -> str:
        """The text of the token that begins a prompt."""
        return self.text(L.llama_vocab_bos(self._vocab))

    @property
    def eos(self) -> str:
        """The text of the token that ends an answer."""
        return self.text(L.llama_vocab_eos(self._vocab))

    def ends(self, token: int) -> bool:
        """Whether the token ends an answer."""
        self.check(token)
        return bool(L.llama_vocab_is_eog(self._vocab, token))

    def is_special(self, token: int) -> bool:
        """Whether the token is control, unknown or an end: nothing that may come out of a user's text."""
        self.check(token)
        attributes = L.llama_vocab_get_attr(self._vocab, token)
        return bool(attributes & (L.LLAMA_TOKEN_ATTR_CONTROL | L.LLAMA_TOKEN_ATTR_UNKNOWN)) or self.ends(token)

    def is_added(self, token: int) -> bool:
        """Whether the token was added to the vocabulary by hand; such are found in any text."""
        self.check(token)
        return bool(L.llama_vocab_get_attr(self._vocab, token) & L.LLAMA_TOKEN_ATTR_USER_DEFINED)

    def check(self, token: int) -> None:
        """Raise NativeError unless the id is a token's."""
        if not 0 <= token < self.n_vocab:  # C throws here
            raise NativeError(f"{token} is no token of {self.path.name}")


# ---------------------------------------------------------------------------------------------- the projector


@dataclass(frozen=True)
class Text:
    """Text to tokenise; special tokens in it count only where `parse_special`."""

    text: str
    parse_special: bool


@dataclass(frozen=True)
class Bitmap:
    """A picture to tokenise: without pixels it stands for its size alone."""

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
        grid: for M-RoPE int32 [4, rows]: time, y, x and a spare, relative to the chunk's first position; else None.
        bidirectional: whether its rows see each other in both directions, so that they must be decoded in one batch.
    """

    tokens: tuple[int, ...]
    id: str
    rows: int
    positions: int
    grid: Int32 | None
    bidirectional: bool


class Chunks(_Handle):
    """Chunks that may hold prepared pixels, ready for the encoder."""

    def __init__(self, projector: Projector, pointer: Any) -> None:
        super().__init__(pointer, M.mtmd_input_chunks_free)
        self._projector = projector

    def __len__(self) -> int:
        return int(M.mtmd_input_chunks_size(self.pointer))

    def raw(self, index: int) -> Any:
        """The C chunk, for this file only."""
        return M.mtmd_input_chunks_get(self.pointer, index)

    @property
    def ids(self) -> list[str]:
        """Each chunk's bitmap id; empty for text."""
        return [(M.mtmd_input_chunk_get_id(self.raw(i)) or b"").decode() for i in range(len(self))]

    def read(self) -> tuple[Chunk, ...]:
        """What is known of each chunk, without its pixels."""
        return tuple(self._read(self.raw(index)) for index in range(len(self)))

    def _read(self, chunk: Any) -> Chunk:
        rows, positions = M.mtmd_input_chunk_get_n_tokens(chunk), M.mtmd_input_chunk_get_n_pos(chunk)
        if M.mtmd_input_chunk_get_type(chunk) == M.MTMD_INPUT_CHUNK_TYPE_TEXT:
            count = ctypes.c_size_t()
            tokens = M.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
            return Chunk(self._projector.whole(tokens[: count.value]), "", rows, positions, None, False)
        grid = None
        if self._projector.mrope:
            places = (M.mtmd_decoder_pos * rows)()
            M.mtmd_helper_image_get_decoder_pos(M.mtmd_input_chunk_get_tokens_image(chunk), 0, places)
            t, x, y, z = np.frombuffer(places, np.uint32).reshape(rows, 4).T
            grid = np.ascontiguousarray(np.stack([t, y, x, z]), np.int32)
        bidirectional = bool(M.mtmd_decode_use_non_causal(self._projector.pointer, chunk))
        id = (M.mtmd_input_chunk_get_id(chunk) or b"").decode()
        return Chunk((), id, rows, positions, grid, bidirectional)


class Watch:
    """Looks into an encoder's graph while it runs (clip.cpp names the tensors).

    Attributes:
        only_inputs: end the graph before it computes anything.
        inputs: one for each run of the graph (some families have several tiles in one chunk): the pixels, scaled and
            normalised, float32 [3, height, width].
        outputs: what each run's last layer gave: float32 [patches, width], a class token perhaps among them.
    """

    def __init__(self, only_inputs: bool = False) -> None:
        self.only_inputs = only_inputs
        self.inputs: list[Float32] = []
        self.outputs: list[Float32] = []
        self._begun = False

    def takes(self, node: Any) -> bool:
        """Whether this node, which comes next, is the first that reads a run's pixels; they are kept then."""
        source = next((one for one in _tensor(node).src if one and b"inp_raw" in _get_name(one)), None)
        if source is None or self._begun:
            return False
        pixels = _floats(source)
        if pixels is None or pixels.shape[0] != 1 or pixels.shape[1] != 3:
            return False
        self.inputs.append(pixels[0])
        self.outputs.append(np.zeros((0, 0), np.float32))
        self._begun = True
        return True

    def computed(self, node: Any) -> bool:
        """A node was computed: the one that reads the pixels, or a layer. Returns whether the graph shall go on."""
        self._begun = False
        if self.only_inputs:
            return False
        rows = _floats(node)
        if rows is not None and self.outputs:
            self.outputs[-1] = rows.reshape(-1, rows.shape[-1])
        return True


class Projector(_Handle):
    """The vision encoder and the projector that puts its output into the language model's space."""

    def __init__(
        self, path: Path, model: Model, use_gpu: bool, threads: int, on_progress: OnProgress, flag: AbortFlag
    ) -> None:
        self._layers = 0
        self._on_layer: Callable[[int], None] = lambda layer: None
        self._watch: Watch | None = None
        self._flag = flag
        params = M.mtmd_context_params_default()
        params.use_gpu = use_gpu
        params.n_threads = threads
        params.print_timings = False
        params.warmup = False  # reserves memory for the largest picture; the real one does that for itself
        self._keep = (
            _progress(M.mtmd_progress_callback, on_progress, flag),
            L.ggml_backend_sched_eval_callback(self._on_node),
        )
        params.progress_callback, params.cb_eval = self._keep
        _complaints.clear()
        pointer = M.mtmd_init_from_file(os.fsencode(path), model.pointer, params)
        if not pointer:
            if flag.is_set():
                raise Cancelled("the projector's loading was cancelled")
            raise _unloadable(
                f"{path}: llama.cpp cannot use it as the projector of {model.path.name}",
                "use the mmproj file that was published with this model",
            )
        super().__init__(pointer, M.mtmd_free)
        self.path = path
        known, letters = (model.tokenize(text, True) for text in ("<fake_token_around_image>", OVERVIEW))
        self._overview = letters if len(known) == 1 else [L.LLAMA_TOKEN_NULL]  # another family lacks another token
        self.n_embd: int = model.n_embd_inp
        self.mrope = bool(M.mtmd_decode_use_mrope(pointer))
        wrong = None
        if not M.mtmd_support_vision(pointer):
            wrong = "it has no vision encoder"
        elif self.mrope != (model.n_pos == 4):
            wrong = "it counts positions in another way"
        if wrong:
            self.close()
            raise ModelError(
                f"{path}: not a projector for {model.path.name}: {wrong}",
                "use the mmproj file that was published with this model",
            )

    def whole(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """The tokens, with those of its letters where libmtmd has put -1 for `OVERVIEW`."""
        return tuple(one for token in tokens for one in (self._overview if token == L.LLAMA_TOKEN_NULL else [token]))

    def _on_node(self, tensor: Any, ask: bool, _: object) -> bool:
        """Ggml's eval callback: stops after each encoder layer, to report it and to see whether to go on.

        Also after a multiplication with 0, by which Pixtral's graph (clip.cpp) means to clear a tensor that nobody has
        written: it keeps what is not a number, so that the tensor is cleared here.
        """
        watch = self._watch
        if ask:
            if watch is not None and watch.takes(tensor):
                return watch.only_inputs
            return bool(_get_name(tensor).startswith(b"layer_out")) or _is_cleared(tensor)
        if _is_cleared(tensor):
            zeros = bytes(_nbytes(tensor))
            _write(tensor, zeros, 0, len(zeros))
            return not self._flag.is_set()
        if watch is not None and not watch.computed(tensor):
            return False
        self._layers += 1
        self._on_layer(self._layers)
        return not self._flag.is_set()

    def chunks(self, parts: Sequence[Text | Bitmap], add_bos: bool) -> Chunks:
        """Tokenise text and bitmaps in order, with the family's own tokens around each picture.

        Bitmaps with pixels come out ready for `encode`; this is where libmtmd scales, tiles and normalises.
        """
        keep: list[Any] = []
        bitmaps: list[Any] = []
        array = (ctypes.POINTER(M.mtmd_input_part) * max(1, len(parts)))()
        try:
            for index, part in enumerate(parts):
                c_part = M.mtmd_input_part()
                if isinstance(part, Text):
                    raw = part.text.encode("utf-8", "replace")
                    text = M.mtmd_input_text()
                    text.text, text.text_len = raw, len(raw)
                    text.parse_special = part.parse_special
                    keep += [raw, text]
                    c_part.text = ctypes.pointer(text)
                else:
                    c_part.bitmap = bitmap = self._bitmap(part)
                    bitmaps.append(bitmap)
                keep.append(c_part)
                array[index] = ctypes.pointer(c_part)
            _complaints.clear()
            chunks = Chunks(self, M.mtmd_input_chunks_init())
            status = M.mtmd_tokenize_from_parts(self.pointer, chunks.pointer, array, len(parts), add_bos)
        finally:
            for bitmap in bitmaps:
                M.mtmd_bitmap_free(bitmap)
        if status:
            chunks.close()
            raise RequestError(
                f"{self.path.name}: the model cannot take this picture ({_complaint() or status})",
                "try it at another size",
            )
        return chunks

    @staticmethod
    def _bitmap(bitmap: Bitmap) -> Any:
        width, height = bitmap.size
        if min(width, height) < 1 or width * height > 100_000_000:  # libmtmd computes sizes in int
            raise RequestError(
                f"a picture of {width}x{height} pixels is outside what can be encoded", "try it at another size"
            )
        data = None
        if bitmap.pixels is not None:
            if len(bitmap.pixels) != width * height * 3:  # C would read past the end
                raise RequestError(
                    f"{len(bitmap.pixels)} bytes are not {width}x{height} RGB pixels", "read the picture again"
                )
            data = ctypes.cast(ctypes.c_char_p(bitmap.pixels), ctypes.POINTER(ctypes.c_uint8))
        pointer = M.mtmd_bitmap_init(width, height, data)
        M.mtmd_bitmap_set_id(pointer, bitmap.id.encode())
        return pointer

    def look(self, chunks: Chunks, index: int) -> list[Float32]:
        """What a picture chunk's encoder gets, without encoding it: as `Watch.inputs`."""
        self._watch = watch = Watch(only_inputs=True)
        try:
            M.mtmd_encode_chunk(self.pointer, chunks.raw(index))
        finally:
            self._watch = None
        return watch.inputs

    def encode(
        self, chunks: Chunks, index: int, on_layer: Callable[[int], None], watch: Watch | None = None
    ) -> Float32:
        """Encode one picture chunk: float32 [rows, n_embd_inp], a copy. Raises Cancelled when the flag is set."""
        chunk = chunks.raw(index)
        self._layers, self._on_layer, self._watch = 0, on_layer, watch
        _complaints.clear()
        try:
            status = M.mtmd_encode_chunk(self.pointer, chunk)
        finally:
            self._watch = None
        if self._flag.is_set():  # then the status says 0 and the output is only part of the way
            raise Cancelled()
        if status:
            raise NativeError(f"the vision encoder failed ({_complaint() or status})")
        rows = M.mtmd_input_chunk_get_n_tokens(chunk)
        output = M.mtmd_get_output_embd(self.pointer)
        copy: Float32 = np.ctypeslib.as_array(output, shape=(rows, self.n_embd)).copy()
        return copy


# ---------------------------------------------------------------------------------------------- the context


class Decoded(Enum):
    """How a decode ended."""

    OK = 0
    FULL = 1  # no cells; nothing was changed
    ABORTED = 2  # some rows may be in the cache


class Context(_Handle):
    """A language model's KV cache, its sequences, and the logits of the last decode.

    Rows of one decode belong to sequences 0 … n_seq - 1, which share `n_ctx` cells.
    """

    def __init__(self, model: Model, n_ctx: int, n_batch: int, n_seq: int, threads: int, flag: AbortFlag) -> None:
        if not 0 < n_ctx <= MAX_CTX:  # C would try for minutes, and take all memory on the way
            raise ModelError(f"{model.path.name}: no context of {n_ctx} cells can be made", "ask for less with --ctx")
        params = L.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch  # one, so that a bidirectional picture is never split
        params.n_seq_max = n_seq
        params.n_outputs_max = n_seq  # room for this many rows of logits, not for n_batch of them
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True  # forking a sequence then copies no cells
        params.swa_full = True  # and a copy of a sequence may hold cells that its window has left behind
        self._keep = params.abort_callback, params.abort_callback_data = flag.callback
        _complaints.clear()
        pointer = L.llama_init_from_model(model.pointer, params)
        if not pointer:
            raise _unloadable(f"{model.path.name}: no context of {n_ctx} cells can be made", "ask for less with --ctx")
        super().__init__(pointer, L.llama_free)
        self._model = model
        self._memory = L.llama_get_memory(pointer)
        self.n_ctx: int = L.llama_n_ctx(pointer)
        self.n_batch: int = min(L.llama_n_batch(pointer), L.llama_n_ubatch(pointer))  # may be less than asked for
        self.n_seq: int = L.llama_n_seq_max(pointer)
        self._outputs: set[int] = set()
        # One set of arrays for all batches: row i belongs to the one sequence in _seq[i].
        self._seq = np.zeros(self.n_batch, np.int32)
        self._n_seq = np.ones(self.n_batch, np.int32)
        self._logits = np.zeros(self.n_batch, np.int8)
        pointers = self._seq.ctypes.data + 4 * np.arange(self.n_batch, dtype=np.uintp)
        self._seq_pointers = np.ascontiguousarray(pointers)

    def decode_tokens(self, tokens: Int32, positions: Int32, seqs: Int32, logits: npt.NDArray[np.bool_]) -> Decoded:
        """Decode text rows: four arrays of one length, at most n_batch; `logits` marks the rows to be sampled from."""
        if tokens.size and not (int(tokens.min()) >= 0 and int(tokens.max()) < self._model.n_vocab):
            raise NativeError("a token id is outside the vocabulary")
        tokens = np.ascontiguousarray(tokens, np.int32)
        return self._decode(len(tokens), tokens, None, positions, seqs, logits)

    def decode_rows(self, rows: Float32, positions: Int32, seqs: Int32, causal: bool) -> Decoded:
        """Decode picture rows: float32 [n, n_embd_inp], int32 [n_pos, n], int32 [n].

        Not causal: every row of a sequence sees every other, so a picture must come whole.
        """
        n = len(rows)
        if rows.shape != (n, self._model.n_embd_inp) or positions.shape != (self._model.n_pos, n):
            raise NativeError(f"picture rows {rows.shape} with positions {positions.shape} do not fit the model")
        rows = np.ascontiguousarray(rows, np.float32)
        if causal:
            return self._decode(n, None, rows, positions, seqs, np.zeros(n, np.bool_))
        L.llama_set_causal_attn(self.pointer, False)
        try:
            return self._decode(n, None, rows, positions, seqs, np.zeros(n, np.bool_))
        finally:
            L.llama_set_causal_attn(self.pointer, True)

    def _decode(
        self,
        n: int,
        tokens: Int32 | None,
        rows: Float32 | None,
        positions: Int32,
        seqs: Int32,
        logits: npt.NDArray[np.bool_],
    ) -> Decoded:
        if not 0 < n <= self.n_batch:  # more aborts the process
            raise NativeError(f"a batch of {n} rows, where 1 to {self.n_batch} are allowed")
        if positions.size < n or seqs.size != n or logits.size != n:  # C would read past their ends
            raise NativeError("the arrays of a batch have different lengths")
        if int(seqs.min()) < 0 or int(seqs.max()) >= self.n_seq:
            raise NativeError("a sequence id is out of range")
        if int(logits.sum()) > self.n_seq:
            raise NativeError("more rows want logits than there is room for")
        self._seq[:n] = seqs
        self._logits[:n] = logits
        positions = np.ascontiguousarray(positions, np.int32)
        batch = L.llama_batch()
        batch.n_tokens = n
        if tokens is not None:
            batch.token = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        if rows is not None:
            batch.embd = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        batch.pos = positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.n_seq_id = self._n_seq.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.seq_id = self._seq_pointers.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
        batch.logits = self._logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        self._outputs.clear()
        _complaints.clear()
        status = L.llama_decode(self.pointer, batch)
        if status not in (0, 1, 2):
            raise NativeError(f"the language model failed ({_complaint() or status})")
        if status == 0:
            self._outputs.update(np.flatnonzero(logits).tolist())
        return Decoded(status)

    def logits(self, index: int) -> Float32:
        """The logits after row `index` of the last decode: float32 [n_vocab], a copy."""
        self._check_output(index)
        values = L.llama_get_logits_ith(self.pointer, index)
        copy: Float32 = np.ctypeslib.as_array(values, shape=(self._model.n_vocab,)).copy()
        return copy

    def sample(self, sampler: Sampler, index: int) -> int:
        """Pick the token after row `index` of the last decode."""
        self._check_output(index)
        if not sampler.picks:  # C aborts here
            raise NativeError("no sampler picks a token")
        return int(L.llama_sampler_sample(sampler.pointer, self.pointer, index))  # also accepts it

    def pick(self, sampler: Sampler, index: int, allowed: npt.NDArray[np.bool_] | None = None) -> int:
        """Pick a token after row `index` of the last decode, of those `allowed`; the sampler has to `accept` one then.

        bool [n_vocab], at least one true.
        """
        self._check_output(index)
        logits = np.ctypeslib.as_array(L.llama_get_logits_ith(self.pointer, index), shape=(self._model.n_vocab,))
        ids = np.arange(self._model.n_vocab) if allowed is None else np.flatnonzero(allowed)
        if not ids.size or ids[-1] >= self._model.n_vocab:
            raise NativeError("there is no token to pick from")
        tokens = np.zeros(ids.size, _TOKEN)
        tokens["id"], tokens["logit"] = ids, logits[ids]
        array = L.llama_token_data_array()
        array.data = tokens.ctypes.data_as(ctypes.POINTER(L.llama_token_data))
        array.size, array.selected, array.sorted = ids.size, -1, False
        L.llama_sampler_apply(sampler.pointer, ctypes.byref(array))
        if not 0 <= array.selected < array.size:
            raise NativeError("no sampler picked a token")
        return int(array.data[array.selected].id)

    def _check_output(self, index: int) -> None:
        if index not in self._outputs:  # C aborts here
            raise NativeError(f"row {index} of the last decode has no logits")

    def fork(self, source: int, target: int, end: int) -> None:
        """Let sequence `target`, emptied first, share the cells of `source` before position `end`."""
        self._check_seq(source, target)
        self.forget(target)
        whole = not self._model.can_roll_back
        L.llama_memory_seq_cp(self._memory, source, target, -1 if whole else 0, -1 if whole else end)

    def roll_back(self, seq: int, end: int) -> bool:
        """Drop the sequence's cells from position `end` on; False when it cannot be, and nothing was changed."""
        self._check_seq(seq)
        if end > self.last_position(seq):
            return True
        return bool(L.llama_memory_seq_rm(self._memory, seq, end, -1))

    def forget(self, seq: int) -> None:
        """Drop all of the sequence's cells."""
        self._check_seq(seq)
        L.llama_memory_seq_rm(self._memory, seq, -1, -1)

    def last_position(self, seq: int) -> int:
        """The highest position the sequence holds; -1 when it is empty."""
        self._check_seq(seq)
        return int(L.llama_memory_seq_pos_max(self._memory, seq))

    def _check_seq(self, *seqs: int) -> None:
        if not all(0 <= seq < self.n_seq for seq in seqs):  # C aborts here
            raise NativeError(f"sequence {seqs} is out of range")


# ---------------------------------------------------------------------------------------------- sampling


_TOKEN = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


class Sampler(_Handle):
    """A chain of llama.cpp's samplers. It only grows: `add_*` in order, a picking one (`greedy` or `dist`) last."""

    def __init__(self, model: Model) -> None:
        super().__init__(L.llama_sampler_chain_init(L.llama_sampler_chain_default_params()), L.llama_sampler_free)
        self._model = model
        self.picks = False
        """Whether there is one that picks."""

    def _add(self, sampler: Any) -> None:
        if not sampler:
            raise NativeError("llama.cpp refused a sampler")
        L.llama_sampler_chain_add(self.pointer, sampler)  # the chain owns it now

    def accept(self, token: int) -> None:
        """A token that `Context.pick` gave is the answer's next; `Context.sample` does this itself."""
        self._model.check(token)
        L.llama_sampler_accept(self.pointer, token)

    def add_penalties(self, last: int, repeat: float) -> None:
        """Divide the logits of the last tokens picked by `repeat`."""
        self._add(L.llama_sampler_init_penalties(self._model.n_vocab, last, repeat, 0.0, 0.0))

    def add_top_k(self, k: int) -> None:
        """Keep the k likeliest."""
        self._add(L.llama_sampler_init_top_k(k))

    def add_top_p(self, p: float) -> None:
        """Keep the likeliest that together reach p."""
        self._add(L.llama_sampler_init_top_p(p, 1))

    def add_min_p(self, p: float) -> None:
        """Drop what is less likely than p times the likeliest."""
        self._add(L.llama_sampler_init_min_p(p, 1))

    def add_temperature(self, temperature: float) -> None:
        """Divide the logits."""
        self._add(L.llama_sampler_init_temp(temperature))

    def add_greedy(self) -> None:
        """Pick the likeliest."""
        self._add(L.llama_sampler_init_greedy())
        self.picks = True

    def add_dist(self, seed: int | None) -> None:
        """Draw one; without a seed, a different one each time."""
        self._add(L.llama_sampler_init_dist(L.LLAMA_DEFAULT_SEED if seed is None else seed))
        self.picks = True
