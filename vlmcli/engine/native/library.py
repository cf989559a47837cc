"""The shared libraries: loaded, checked to be the release they are read as, and heard when they speak.

What every other file of the package stands on: the two modules of bindings (`llama`, `mtmd`), C functions that the
bindings leave out (`bind`), the log and what it last complained of, a handle that frees what it owns, and the flag that
ends what runs in C. The state that C calls back into (log, abort) is kept here and nowhere else. It knows neither
models nor pictures.
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
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vlmcli import installing, room
from vlmcli.errors import ModelError, NativeError, NoRoom

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LLAMA_VERSION = "0.5.0-dev"
"""What llama_version() says in that release."""

SIZES = {
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
"""Bytes of each structure that crosses to C: sizeof, by gcc on the headers of that release."""

Int32: TypeAlias = "npt.NDArray[np.int32]"
Float32: TypeAlias = "npt.NDArray[np.float32]"

OnProgress = Callable[[float], None]
"""Called while a file loads, with the part that is done: 0.0 to 1.0."""

log = logging.getLogger("vlmcli.llama")
log.addHandler(logging.NullHandler())


def _load() -> tuple[Any, Any]:
    """Import the two modules of bindings, without their package: its own __init__ costs ten times as much.

    Raises:
        NativeError: llama-cpp-python is not installed, or its library does not load here.
    """
    # libgomp's threads spin for as long as they wait for each other, so beside one other busy process a small model
    # is a hundred times slower; not spinning at all costs a third of an idle machine's speed. A short spin has both.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # or a failed assertion starts gdb on this process
    stub = None
    if "llama_cpp" not in sys.modules:
        try:
            spec = importlib.util.find_spec("llama_cpp")
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise NativeError("llama-cpp-python, which runs the models, is not installed", install_hint(replace=False))
        stub = types.ModuleType("llama_cpp")
        stub.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["llama_cpp"] = stub
    try:
        return importlib.import_module("llama_cpp.llama_cpp"), importlib.import_module("llama_cpp.mtmd_cpp")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        hint = room.HINT if room.is_out(error) else install_hint(str(error))
        raise NativeError(f"llama-cpp-python, which runs the models, cannot be loaded ({error})", hint) from error
    finally:
        if stub is not None:
            del sys.modules["llama_cpp"]  # whoever wants the whole package can still have it


def install_hint(said: str = "", *, replace: bool = True) -> str:
    """What to do about bindings that cannot be used.

    Args:
        said: by the system that would not load them; of a GPU's library that is missing, the CPU's build needs none.
        replace: whether they are there, and damaged or of another release; else they are missing.
    """
    if re.search(r"lib(cuda|cudart|cublas|nccl|vulkan|amdhip|hipblas|rocblas)", said):
        return f"install that library, or the CPU build: {installing.command('cpu', replace=replace)}"
    return f"install it: {installing.command(replace=replace)}"


def _check_layout() -> None:
    """Raise NativeError unless version and structures are those of the release above: C would read past their ends."""
    version = llama.llama_version().decode()
    if version != LLAMA_VERSION:
        raise NativeError(f"llama.cpp is {version}, and this program needs {LLAMA_VERSION}", install_hint())
    for name, size in SIZES.items():
        struct = getattr(llama, name, None) or getattr(mtmd, name)
        if ctypes.sizeof(struct) != size:
            raise NativeError(f"llama.cpp: {name} has {ctypes.sizeof(struct)} bytes, not {size}", install_hint())


_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml.h, ggml_log_level
_complaints: deque[str] = deque(maxlen=8)
"""The last errors that were logged, a line each."""
_level = logging.DEBUG
"""The level of the line that was logged last."""


def _on_log(level: int, text: bytes | None, _: object) -> None:
    """A ggml_log_callback: passes each line on to `log` and keeps errors as complaints."""
    global _level
    _level = _LEVELS.get(level, _level)  # 5 goes on with the line before
    line = (text or b"").decode("utf-8", "replace").rstrip("\n")
    if not line:
        return
    if _level >= logging.ERROR:
        _complaints.append(line)
    if log.isEnabledFor(_level):
        log.log(_level, "%s", line)


def clear_complaints() -> None:
    """Forget what was logged so far; called before what may fail, so that `take_complaint` speaks of that alone."""
    _complaints.clear()


def take_complaint() -> str:
    """The errors logged since the last clearing, in one line of at most 300 characters; empty when there are none.

    They are forgotten then.
    """
    said = [" ".join(line.split(": ", 1)[-1].split()) for line in list(_complaints)]
    clear_complaints()
    return "; ".join(dict.fromkeys(said))[:300]


llama, mtmd = _load()
_check_layout()
_lib = llama._lib  # the ctypes.CDLL
_log_callback = llama.llama_log_callback(_on_log)
llama.llama_log_set(_log_callback, None)
mtmd.mtmd_helper_log_set(_log_callback, None)  # sets mtmd's and the helpers'
llama.llama_backend_init()


def bind(name: str, result: Any, *arguments: Any) -> Any:
    """A ggml function the bindings leave out, through the library they loaded (another copy has its own globals).

    Args:
        name: of the C function.
        result: the ctypes type it returns; None for void.
        arguments: the ctypes types of what it takes, in order.
    """
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, list(arguments)
    return function


def folder() -> Path:
    """The folder of the library that was loaded; ggml's own libraries lie in it, too."""
    return Path(_lib._name).parent


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
    bind("ggml_set_abort_callback", ctypes.c_void_p, _AbortCallback)(_abort_callback)


def load_error(message: str, hint: str) -> ModelError:
    """The error for what llama.cpp would not load, with what it complained of behind the message.

    Returns:
        NoRoom where the complaint is about memory, with a hint of its own; else ModelError.
    """
    reason = take_complaint() or "no reason given"
    if re.search(r"alloc|out of memory", reason, re.IGNORECASE):
        return NoRoom(f"{message} ({reason})", room.HINT)
    return ModelError(f"{message} ({reason})", hint)


def versions() -> dict[str, str]:
    """Versions of llama.cpp and its bindings, and the CPU features it was compiled with.

    Returns:
        "llama.cpp", "llama-cpp-python" and "features"; the last one a text such as "CPU : SSE3 | AVX2 | OPENMP".
    """
    features = llama.llama_print_system_info().decode().replace(" = 1", "").strip(" |")
    return {"llama.cpp": llama.llama_version().decode(), "llama-cpp-python": installing.VERSION, "features": features}


class AbortFlag:
    """Set from any thread, read inside C: a decode, an encode or a load that is under way ends soon.

    It stays set, and ends the next call too, until it is cleared.
    """

    # A callback in Python would need the GIL thousands of times a second, from C's own threads. atoi has the shape
    # llama.cpp wants, int f(void *), reads "0" or "1", and never enters Python.
    _atoi = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).atoi

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(b"0")

    def set(self) -> None:
        """Ask what runs in C to end, and what is called next."""
        self._text[0] = b"1"

    def clear(self) -> None:
        """Let the next call run to its end."""
        self._text[0] = b"0"

    def is_set(self) -> bool:
        """Whether what runs is asked to end."""
        return bool(self._text[0] == b"1")

    @property
    def callback(self) -> tuple[Any, Any]:
        """A ggml_abort_callback and its user data; both live as long as this object."""
        return ctypes.cast(self._atoi, llama.ggml_abort_callback), ctypes.cast(self._text, ctypes.c_void_p)


_Self = TypeVar("_Self", bound="Handle")


class Handle:
    """A C object and the function that frees it, which is called once: by `close`, or at the end of a `with`."""

    def __init__(self, pointer: Any, free: Callable[[Any], object]) -> None:
        self._pointer = pointer
        self._free = free

    @property
    def pointer(self) -> Any:
        """The C pointer, for calls inside this package; NativeError after `close`, as C would read freed memory."""
        if self._pointer is None:
            raise NativeError(f"{type(self).__name__} is used after it was closed")
        return self._pointer

    def close(self) -> None:
        """Free the C object; calls after the first do nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._free(pointer)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def progress_callback(kind: Any, on_progress: OnProgress, flag: AbortFlag) -> Any:
    """A load's progress callback: reports, and ends the load when the flag is set.

    Args:
        kind: the bindings' function type for it, `llama.llama_progress_callback` or `mtmd.mtmd_progress_callback`.
        on_progress: called in the thread that loads.
        flag: looked at after each report.

    Returns:
        The C function; the caller keeps it for as long as C may call it.
    """

    def callback(done: float, _: object) -> bool:
        on_progress(done)
        return not flag.is_set()

    return kind(callback)
