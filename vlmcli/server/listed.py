"""Models as Ollama's clients are told of them: their details by their files' headers."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from vlmcli.models import gguf
from vlmcli.records import journal
from vlmcli.server import ollama
from vlmcli.server.pool import Hosted
from vlmcli.values import ModelFiles

LONGEST = 200
"""Letters of a text of a header that are shown."""
TEMPLATE = "tokenizer.chat_template"


def tag(files: ModelFiles) -> dict[str, Any]:
    """An entry of /api/tags."""
    return {
        "name": ollama.named(files.name),
        "model": ollama.named(files.name),
        "modified_at": ollama.moment(files.model.stat().st_mtime),
        "size": _size(files),
        "digest": _digest(files),
        "details": _details(files),
        "capabilities": _abilities(files),
    }


def loaded(hosted: Hosted) -> dict[str, Any]:
    """An entry of /api/ps. How much of the model is on a GPU is not known here, and left out."""
    files, keep = hosted.files, hosted.keep
    since = 0.0 if hosted.users else time.monotonic() - hosted.used
    left = ollama.FOR_EVER if keep < 0 else max(0.0, keep - since)
    return {
        "name": ollama.named(files.name),
        "model": ollama.named(files.name),
        "size": _size(files),
        "digest": _digest(files),
        "details": _details(files),
        "expires_at": ollama.moment(time.time() + left),
    }


def shown(files: ModelFiles) -> dict[str, Any]:
    """The answer of /api/show."""
    header = gguf.read(files.model)
    template = files.card.chat_template or header.metadata.get(TEMPLATE)
    return {
        "modelfile": f"FROM {files.name}\n",
        "parameters": "",
        "template": template if isinstance(template, str) else "",
        "license": files.card.licence,
        "details": _details(files),
        "model_info": _facts(header) | _eye(gguf.read(files.projector)),
        "capabilities": _abilities(files),
        "modified_at": ollama.moment(files.model.stat().st_mtime),
    }


def _size(files: ModelFiles) -> int:
    """Bytes of both files."""
    return files.model.stat().st_size + files.projector.stat().st_size


def _digest(files: ModelFiles) -> str:
    """What tells a pair from another: a hash of its files' names and sizes, not of their content."""
    return hashlib.sha256(journal.model_id(files).encode()).hexdigest()


def _details(files: ModelFiles) -> dict[str, Any]:
    header = gguf.read(files.model)
    return {
        "parent_model": "",
        "format": "gguf",
        "family": header.architecture,
        "families": [header.architecture, "clip"],
        "parameter_size": amount(header.parameters),
        "quantization_level": header.quantisation or "unknown",
    }


def _abilities(files: ModelFiles) -> list[str]:
    template = files.card.chat_template or gguf.read(files.model).metadata.get(TEMPLATE)
    thinks = files.card.thinks or (isinstance(template, str) and files.card.think[0] in template)
    return ["completion", "vision", *(["thinking"] if thinks else [])]


def amount(parameters: int) -> str:
    """A number of parameters as Ollama writes it: "7.6B", "494.03M"."""
    if parameters >= 10**9:
        return f"{parameters / 1e9:.1f}".removesuffix(".0") + "B"
    if parameters >= 10**6:
        return f"{parameters / 1e6:.2f}M"
    return f"{parameters / 1e3:.0f}K" if parameters >= 1000 else str(parameters)


def _facts(header: gguf.Header) -> dict[str, Any]:
    """The short facts of a language model's header, and how many parameters it has."""
    mine = ("general.", f"{header.architecture}.")
    found = {
        key: value
        for key, value in header.metadata.items()
        if key.startswith(mine)
        and (isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < LONGEST))
    }
    return found | {"general.architecture": header.architecture, "general.parameter_count": header.parameters}


def _eye(header: gguf.Header) -> dict[str, Any]:
    """The short facts of a vision encoder."""
    found = {key: value for key, value in header.metadata.items() if key.startswith("clip.vision.")}
    return {key: value for key, value in found.items() if isinstance(value, int) and not isinstance(value, bool)}
