"""What a native library does to the process it runs in, at a moment that a test names: an observer of the engine.

A test makes one for an engine in its own process, or names one for a worker's: `Worker(files, observer=named("segfault
three.png"))`. For a whole command there is `tests.support.faulty`. On POSIX.
"""

import ctypes
import gc
import os
import pickle
import sys
import time
from pathlib import Path

from vlmcli.engine import Observer
from vlmcli.errors import NoRoom
from vlmcli.runners import frames, wire

KINDS = ("abort", "segfault", "throw", "hang", "leak", "kill", "full", "noise", "frame", "bug")


def named(words, kind="Fault"):
    """The observer that `Fault(words)` is, or another one of this module, for `Worker`."""
    return f"{__name__}:{kind}:{words}" if words else ""


class Fault(Observer):
    """Fails as KIND says when the engine comes to NAME: "KIND NAME [MARK]".

    KIND is abort (a failed assertion), segfault, throw (a C++ exception that nobody catches), hang, leak (64 MiB),
    kill, or full (a device's memory is); in a worker's process also noise (the pipe to the asking end gets what is no
    message) and frame (it gets a message that would make the file MARK.made, were it simply unpickled). bug is an
    exception that nobody expects.

    NAME is the last part of the name of a request's picture, or "load". With MARK, a file that does not exist, it
    happens once: the file is made.
    """

    def __init__(self, words):
        self.kind, self.name, self.mark = [*words.split(" ", 2), ""][:3]
        assert self.kind in KINDS, words

    def loading(self):
        self._come_to(["load"])

    def starting(self, id, request):
        self._come_to([picture.source for picture in request.pictures])

    def _come_to(self, names):
        if not any(Path(name).name == self.name for name in names):
            return
        if self.mark:
            try:
                Path(self.mark).touch(exist_ok=False)
            except FileExistsError:
                return
        getattr(self, f"_{self.kind}")()

    def _abort(self):
        library = sys.modules["llama_cpp.llama_cpp"]._lib  # whose callback is set: another copy has its own
        library.ggml_abort(b"fault.c", ctypes.c_int(1), b"GGML_ASSERT(fault) failed")

    def _segfault(self):
        ctypes.memset(8, 1, 1)

    def _throw(self):
        # void std::__throw_out_of_range(char const*), which llama.cpp's own vector::at calls
        ctypes.CDLL("libstdc++.so.6")._ZSt20__throw_out_of_rangePKc(b"vector::_M_range_check")

    def _hang(self):
        ctypes.CDLL(None).sleep(1000)

    def _leak(self):
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        ctypes.memset(libc.malloc(64 << 20), 1, 64 << 20)

    def _kill(self):
        os.kill(os.getpid(), 9)

    def _full(self):
        raise NoRoom(f"{self.name}: unable to allocate CUDA0 buffer", "it is a fault that was asked for")

    def _bug(self):
        raise ZeroDivisionError("a bug that was asked for")

    def _noise(self):
        _into_the_pipe(b"a line that somebody has printed\n" * 3)

    def _frame(self):
        payload = pickle.dumps(Touch(f"{self.mark}.made"))
        _into_the_pipe(frames.header(payload) + payload)


class Unheard(Fault):
    """A fault in a worker's process that is slow to say whether it has loaded: where nobody waits, it is lost."""

    def __init__(self, words):
        super().__init__(words)
        from vlmcli.runners import child

        send = child._Child._send

        def slowly(self, message):
            if isinstance(message, wire.Loaded | wire.LoadFailed):
                time.sleep(0.5)
            send(self, message)

        child._Child._send = slowly


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def _into_the_pipe(raw):
    """Write bytes where this process's messages go."""
    (writer,) = (one for one in gc.get_objects() if isinstance(one, frames.Writer))
    with writer._lock:
        writer._file.write(raw)
        writer._file.flush()
