"""Pictures whose truth is known: a table of names and truths, for calibration. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vlmcli.decisions import Question
from vlmcli.errors import UsageError

PICTURES = ("picture", "path", "file", "file_name", "filename", "image", "source")
TRUTHS = ("truth", "label", "answer", "value", "class")
"""Names of the two columns; a table without such a head has the names first, then the truths."""
YES, NO = ("yes", "true", "1", "y"), ("no", "false", "0", "n")
FEWEST = 10
"""Pictures that something can be learnt from."""


def read(text: str, name: str, question: Question) -> list[tuple[str, int]]:
    """The names of pictures, and the number of what is right: of an option, or 0 for yes and 1 for no.

    Args:
        text: of the table: CSV, or separated by tabs where the file's name ends in .tsv.
        name: of the file.
        question: that was answered.

    Raises UsageError, which names the line.
    """
    separator = "\t" if name.lower().endswith(".tsv") else ","
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    picture = next((head.index(one) for one in PICTURES if one in head), 0)
    truth = next((head.index(one) for one in TRUTHS if one in head and head.index(one) != picture), 1)
    if head and (head[picture] in PICTURES or (len(head) > truth and head[truth] in TRUTHS)):
        rows = rows[1:]
    found = []
    for number, row in enumerate(rows, 1):
        if len(row) <= max(picture, truth):
            raise UsageError(f"{name}: row {number} has no truth", "each row needs a picture and what is right")
        found.append((row[picture].strip(), _number(row[truth].strip(), question, f"{name}: row {number}")))
    if len(found) < FEWEST:
        raise UsageError(f"{name}: {len(found)} pictures; at least {FEWEST} are needed", "some hundreds are better")
    return found


def _number(text: str, question: Question, where: str) -> int:
    """Which option a truth is. Raises UsageError."""
    if question.kind == "predicate":
        for number, words in enumerate((YES, NO)):
            if text.lower() in words:
                return number
        raise UsageError(f"{where}: {text!r} is not yes or no", "write yes or no")
    texts: Sequence[str] = [str(option.value).lower() for option in question.options]
    if text.lower() in texts:
        return texts.index(text.lower())
    if question.kind == "score" and text.isdecimal() and int(text) < len(texts):
        return int(text)
    raise UsageError(f"{where}: {text!r} is none of the options", f"choose {', '.join(texts[:20])}")
