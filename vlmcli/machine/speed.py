"""This machine's own speed, measured by asking llama.cpp about a picture, on a model of a real shape and no weights.

Does not know the engine: whoever measures says how a pair is asked, and in which folder the figures are kept.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vlmcli import atomic, files
from vlmcli.errors import VlmError
from vlmcli.machine import cost, hollow_gguf
from vlmcli.machine.cost import Work
from vlmcli.models import gguf, shapes
from vlmcli.values import Answer, ModelFiles

PICTURE = (768, 768)
"""The picture that is looked at, in pixels."""
ANSWER = 16
"""Tokens of the answer."""
LAYERS = (2, 4)
"""Of the language model and the encoder: as many as are enough to time."""


@dataclass(frozen=True)
class Speed:
    """What a machine does in a second.

    Attributes:
        encode: operations of a vision encoder in F16.
        prefill: operations of a language model in Q4_K_M over a prompt.
        read: bytes of weights that tokens of an answer go through.
        machine: what it was measured on: a description that changes where the figures would.
    """

    encode: float
    prefill: float
    read: float
    machine: str


BUSY = 1.5
"""Programs that wait for each core, from which on a measurement is of little use."""


def is_busy() -> bool:
    """Whether other programs keep this machine from being measured, as far as the operating system says."""
    if not hasattr(os, "getloadavg"):
        return False
    with suppress(OSError):
        return os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
    return False


def seconds(work: Work, speed: Speed) -> float:
    """How long a question takes, about."""
    return work.encode / speed.encode + work.prefill / speed.prefill + work.read * work.answer / speed.read


def measure(folder: Path, machine: str, ask: Callable[[ModelFiles, tuple[int, int], int], Answer | VlmError]) -> Speed:
    """Measure, and keep what was found.

    Args:
        folder: where it is kept.
        machine: a description that changes where the figures would.
        ask: asks a pair about a picture of noise of a size, for so many tokens.

    Raises the error that was an answer.
    """
    words, eyes = shapes.SHAPES["smolvlm2-2.2b"]
    words = replace(words, layers=LAYERS[0], tokenizer="qwen2", vocabulary=8192)
    eyes = replace(shapes.SHAPES["llava-1.5-7b"][1], layers=LAYERS[1])
    with tempfile.TemporaryDirectory(prefix="vlm-speed-") as place:
        files = hollow_gguf.pair(Path(place), "speed", words, eyes, "Q4_K_M")
        outcome = ask(files, PICTURE, ANSWER)
        if not isinstance(outcome, Answer):
            raise outcome
        model, projector = gguf.read(files.model), gguf.read(files.projector)
        prompt, took = outcome.usage.prompt_tokens, outcome.timings
        work = cost.work(model, projector, PICTURE, outcome.usage.answer_tokens, prompt - outcome.usage.picture_tokens)
    assert work is not None
    speed = Speed(
        work.encode / max(1e-9, took.encode),
        work.prefill / max(1e-9, took.prefill),
        work.read * max(1, outcome.usage.answer_tokens) / max(1e-9, took.generate),
        machine,
    )
    _keep(folder, speed)
    return speed


def _keep(folder: Path, speed: Speed) -> None:
    with suppress(OSError):  # measured again the next time
        folder.mkdir(parents=True, exist_ok=True)
        atomic.replace(folder / "speed.json", json.dumps(asdict(speed)).encode())


def kept(folder: Path, machine: str) -> Speed | None:
    """What was measured on this machine before; None where nothing was."""
    try:
        found = Speed(**json.loads(files.read(folder / "speed.json", 1 << 16)))
        positive = all(one > 0 for one in (found.encode, found.prefill, found.read))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if positive and found.machine == machine else None
