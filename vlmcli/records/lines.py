"""A `Result` as text: a line for people and shells, an object for programs. Pure.

The object, one a line with `--json`, is described in docs/json.md.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vlmcli.decisions import Decision
from vlmcli.tasks.detect import shown
from vlmcli.values import Answer, Result, Usage

VERSION = 1
"""Of the object's format: its `v`."""
_END = "\r\n"
"""RFC 4180's end of a line; until Python 3.13 a cell is quoted for the line breaks that are in this."""
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_FORMULA = re.compile(r"[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|['\t\r\n\0]")
"""How a cell begins that a spreadsheet may take for a formula, or that has an apostrophe there already.

The signs are those of OWASP's page on CSV injection, with their full-width forms, and behind what is not seen.
"""


def escape(text: str) -> str:
    r"""One line, one field: backslash, tab, newline and return become `\\ \t \n \r`, undecodable bytes `\xNN`."""
    return "".join(
        f"\\x{ord(letter) - 0xDC00:02x}" if 0xDC80 <= ord(letter) <= 0xDCFF else _ESCAPES.get(letter, letter)
        for letter in text
    )


def line(result: Result, fields: tuple[str, ...]) -> str:
    """Fields before a tab and the answer."""
    return "\t".join(escape(field) for field in (*fields, result.text))


def record(result: Result) -> dict[str, Any]:
    """The object of docs/json.md, without its version."""
    head: dict[str, Any] = {
        "sources": list(result.sources),
        "question": result.question,
        "model": result.model,
    }
    if result.notices:
        head["notice"] = "; ".join(result.notices)
    if result.error is not None:
        kind = type(result.error).__name__
        return head | {"error": {"type": kind, "message": result.error.message, "hint": result.error.hint}}
    assert result.answer is not None
    if result.decisions:
        return head | _decided(result, result.answer)
    if result.fields:
        head |= {"fields": result.fields[0]}
    if result.places is not None:
        head |= {"places": [shown(place) for place in result.places], "size": list(result.answer.seen[0].size)}
    thinking = {"thinking": result.thinking} if result.thinking else {}
    return head | {
        "answer": result.text,
        **thinking,
        "finish_reason": result.answer.finish_reason,
        "usage": asdict(result.answer.usage),
        "timings": _timings(result.answer),
    }


def _timings(answer: Answer) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(answer.timings).items()}


def _decided(result: Result, answer: Answer) -> dict[str, Any]:
    """What was decided, with all that OpenAI's `Decision` has (openai-python, types/decision.py)."""
    return {
        "answer": result.text,
        "answers": [decided(one) for one in result.decisions],
        "calibrated": all(one.calibrated for one in result.decisions),
        "coverage": [round(one.coverage, 6) for one in result.decisions],
        "usage": asdict(answer.usage) | counted(answer.usage),
        "timings": _timings(answer),
    }


def counted(usage: Usage) -> dict[str, Any]:
    """What decisions took, in the shape that OpenAI's API gives it."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.reused_tokens, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens,
    }


def decided(one: Decision) -> dict[str, Any]:
    """One answer in the shape that OpenAI's API gives it."""
    question = one.question
    head = {"type": question.kind, "name": question.name or None}
    shares = [round(probability, 6) for probability in one.probabilities]
    if question.kind == "predicate":
        return head | {"probability": shares[0]}
    confidence = {"confidence": round(one.confidence, 6)}
    options = list(zip(question.options, shares, strict=True))
    if question.kind == "choice":
        each = [{"value": option.value, "probability": share} for option, share in options]
        return head | {"choice": one.value, **confidence, "probabilities": each}
    levels = [
        {"value": level, "label": option.text, "probability": share} for level, (option, share) in enumerate(options)
    ]
    return head | {"score": round(float(one.value), 6), **confidence, "probabilities": levels}


def table_row(cells: Sequence[str], separator: str) -> str:
    """A row of a table, without the line's end: CSV (RFC 4180) for commas, escaped fields for tabs.

    No cell begins as a formula of a spreadsheet: such a one, and one that begins with an apostrophe, has an apostrophe
    put in front. So whoever reads it takes one off where a cell begins with one, and has what was there.
    """
    if separator == "\t":
        return "\t".join(_guarded(escape(cell)) for cell in cells)
    row = io.StringIO()
    csv.writer(row, lineterminator=_END).writerow(map(_guarded, cells))
    return row.getvalue().removesuffix(_END)


def _guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def json_line(result: Result) -> str:
    """The record on one line."""
    return object_line(record(result))


def object_line(value: Mapping[str, Any]) -> str:
    """An object with the format's version, on one line; undecodable bytes of a path as escaped lone surrogates."""
    text = json.dumps({"v": VERSION, **value}, ensure_ascii=False)
    return "".join(f"\\u{ord(letter):04x}" if 0xD800 <= ord(letter) <= 0xDFFF else letter for letter in text)
