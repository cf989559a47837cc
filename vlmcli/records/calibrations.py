"""What models' probabilities are corrected by, in a file beside the settings: one entry for each model.

A file that is damaged, or was edited into something else, corrects nothing; the next calibration writes it anew.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmcli import atomic
from vlmcli.decisions import Kind
from vlmcli.tasks.calibration import COLDEST, HOTTEST, NONE, Calibration, Scaling

NAME = "calibration.json"
"""Of the file, in the folder of the settings."""
KINDS: tuple[Kind, ...] = ("predicate", "choice", "score")


def read(folder: Path, model: str) -> Calibration:
    """The calibration of a model, by its `journal.model_id`; one that changes nothing where there is none."""
    found = NONE
    entry = _content(folder).get(model)
    for kind in KINDS:
        scaling = _scaling(entry.get(kind)) if isinstance(entry, dict) else None
        if scaling is not None:
            found = found.with_(kind, scaling)
    return found


def write(folder: Path, model: str, calibration: Calibration) -> Path:
    """Keep a model's calibration. Returns the file. Raises VlmError where it cannot be written."""
    content = _content(folder) | {model: {kind: asdict(scaling) for kind, scaling in calibration.scalings}}
    path = folder / NAME
    with suppress(OSError):  # which `write` explains
        folder.mkdir(parents=True, exist_ok=True)
    atomic.write(path, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")
    return path


def _content(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / NAME).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _scaling(entry: Any) -> Scaling | None:
    """One that is written down, if it can be one."""
    try:
        scaling = Scaling(float(entry["temperature"]), float(entry["bias"]), int(entry["samples"]))
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    fits = COLDEST <= scaling.temperature <= HOTTEST and abs(scaling.bias) <= 100 and scaling.samples > 0
    return scaling if fits else None
