"""Contestants in turn, round by round, each in a fresh process, so that a machine that slows down slows all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmcli.bench.contestant import Job

Rounds = dict[str, list[dict[str, Any]]]
"""Of each contestant, the fields of its `contestant.Times`, once a round."""


def run(folder: Path, job: Job, names: Sequence[str], rounds: int) -> Rounds:
    """Give a job to contestants.

    Args:
        folder: for the job's file.
        job: what each is given.
        names: of contestants that can run here.
        rounds: how often each is given it.

    Raises:
        SystemExit: a contestant failed.
    """
    file = folder / "job.json"
    file.write_text(json.dumps(asdict(job)), "utf-8")
    results: Rounds = {name: [] for name in names}
    for weights in (job.model, job.projector):
        Path(weights).read_bytes()  # nobody shall be the one who reads them from the disk
    for number in range(rounds):
        for name in names:
            command = [sys.executable, "-m", "vlmcli.bench.contestant", name, str(file)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
            seconds = results[name][-1]["many"] or results[name][-1]["cold"]
            sys.stderr.write(f"round {number + 1} of {rounds}: {name}, {seconds:.1f} s\n")
    return results


def ratios(rounds: Rounds, name: str, base: str, key: str) -> list[float]:
    """A contestant's seconds by another's, round by round.

    Args:
        rounds: as `run` gives them.
        name: of the contestant.
        base: of the other.
        key: "cold" or "many".
    """
    return [one[key] / other[key] for one, other in zip(rounds[name], rounds[base], strict=True)]


def tokens(rounds: Rounds, name: str) -> str:
    """Tokens of all answers of a round; several numbers where rounds differ."""
    return ", ".join(map(str, sorted({sum(one["tokens"]) for one in rounds[name] if one["tokens"]}))) or "—"
