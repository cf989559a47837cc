"""A command's flags as values: settings, sampling, and how much is logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from vlmcli.cli.course import Course
from vlmcli.cli.options import Existing, Format, Sidecar
from vlmcli.errors import UsageError
from vlmcli.settings import Settings, load
from vlmcli.templates import WHOLE, Template
from vlmcli.values import Sampling

MAX_TOKENS = 512

log = logging.getLogger("vlmcli")
log.addHandler(logging.NullHandler())


def set_verbosity(level: int) -> None:
    """Log records go to stderr as far as -v asks; without it llama.cpp is silent."""
    if level:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s", level=logging.WARNING)
        log.setLevel(logging.INFO if level == 1 else logging.DEBUG)
        logging.getLogger("vlmcli.llama").setLevel(logging.WARNING if level == 1 else logging.DEBUG)


def settings_of(
    model: str | None, mmproj: str | None, ctx: int | None, threads: int | None, gpu_layers: int | None, yes: bool
) -> Settings:
    """The settings with a command's flags."""
    return load(
        {"model": model, "mmproj": mmproj, "ctx": ctx, "threads": threads, "gpu_layers": gpu_layers, "yes": yes or None}
    )


def sampling_of(
    pairs: Sequence[str] | None,
    temperature: float | None,
    seed: int | None,
    max_tokens: int | None,
    template: Template | None = None,
) -> tuple[Sampling, int]:
    """`-o` pairs and the long options as one Sampling, and the limit of tokens; a template says the rest."""
    kinds = dict.fromkeys(WHOLE, int)
    names = [field.name for field in fields(Sampling)] + ["max_tokens"]
    values: dict[str, float | int | None] = {}
    if template is not None:
        try:
            _checked(dict(template.sampling))
        except UsageError as error:
            raise UsageError(f"{template.path}: {error.message}", error.hint) from None
        values |= template.sampling
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or name not in names:
            raise UsageError(f"-o {pair}: not an option of sampling", "use " + ", ".join(names))
        try:
            values[name] = kinds.get(name, float)(text)
        except ValueError:
            what = "a whole number" if name in kinds else "a number"
            raise UsageError(f"-o {name} {text}: not {what}", f"give {name} one") from None
    values |= {
        k: v for k, v in (("temperature", temperature), ("seed", seed), ("max_tokens", max_tokens)) if v is not None
    }
    return _checked(values)


def _checked(values: dict[str, float | int | None]) -> tuple[Sampling, int]:
    """The numbers by their names as one Sampling and a limit. Raises UsageError for one out of range."""
    limit = int(values.pop("max_tokens", MAX_TOKENS) or 0)
    sampling = replace(Sampling(), **values)  # type: ignore[arg-type]  # the names are the fields'
    bounds = (
        ("temperature", 0 <= sampling.temperature <= 100, "0 to 100"),
        ("top_k", 0 <= sampling.top_k < 2**31, "0 to 2147483647"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0, to 1"),
        ("min_p", 0 <= sampling.min_p <= 1, "0 to 1"),
        ("repeat_penalty", 0 < sampling.repeat_penalty <= 100, "above 0, to 100"),
        ("seed", sampling.seed is None or 0 <= sampling.seed < 2**32 - 1, "0 to 4294967294"),
        ("max_tokens", 1 <= limit < 2**31, "1 to 2147483647"),
    )
    for name, good, what in bounds:
        if not good:
            raise UsageError(f"{name}: out of range", f"give it {what}")
    return sampling, limit


def course_of(
    output: str | None, sidecar: Sidecar | None, existing: Existing, retry_errors: bool, fail_fast: bool, dry_run: bool
) -> Course:
    """How a command goes through its pictures."""
    kind = sidecar.value if sidecar else ""
    return Course(output, retry_errors, fail_fast, dry_run, kind, existing.value)


def format_of(format: Format | None, json: bool, output: str | None) -> dict[str, Any]:
    """How stdout is written: whether as JSON, and the separator of a table's columns."""
    if output is not None and format not in (None, Format.JSONL):
        raise UsageError(f"--output writes JSON lines, and --format {format.value} is of stdout", "leave one out")
    if json and format not in (None, Format.JSONL):
        raise UsageError(f"--json, and --format {format.value}", "leave one out")
    separators = {Format.CSV: ",", Format.TSV: "\t"}
    return {"json": json or format is Format.JSONL, "table": separators.get(format, "") if format else ""}
