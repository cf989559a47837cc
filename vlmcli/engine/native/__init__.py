"""llama.cpp and libmtmd: the only importer of their bindings.

Handles are owned objects that free what they hold; statuses become errors; C logs become log records; what could
make a C function abort the process is checked before it is called. No raw pointer leaves this package. It knows
nothing of requests, prompts or caches.

Importing it loads the libraries; NativeError where they are missing or of another release.

Threads: a `Context` and the encoder of a `Projector` belong to one thread. `Model`'s vocabulary functions and
`Projector.chunks` are safe from any (mtmd.h says so of mtmd_tokenize).
"""

from vlmcli.engine.native.context import MAX_CTX, Context, Decoded
from vlmcli.engine.native.device import backends, devices, miscompiler, repacked_types, slower_types
from vlmcli.engine.native.library import AbortFlag, Float32, Handle, Int32, OnProgress, on_abort, versions
from vlmcli.engine.native.model import Model
from vlmcli.engine.native.projector import OVERVIEW, Bitmap, Chunk, Chunks, Projector, Text
from vlmcli.engine.native.sampler import Sampler
from vlmcli.engine.native.watch import Watch

__all__ = [
    "MAX_CTX",
    "OVERVIEW",
    "AbortFlag",
    "Bitmap",
    "Chunk",
    "Chunks",
    "Context",
    "Decoded",
    "Float32",
    "Handle",
    "Int32",
    "Model",
    "OnProgress",
    "Projector",
    "Sampler",
    "Text",
    "Watch",
    "backends",
    "devices",
    "miscompiler",
    "on_abort",
    "repacked_types",
    "slower_types",
    "versions",
]
