"""Files that are made of a journal's records, for programs that read no JSON lines: Parquet, and a folder's metadata.

A table has one row for each piece of work, by its last record, in the order of these records. It is made whole from the
journal each time, piece by piece, so that it may be large; the journal stays what is appended to.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli import atomic
from vlmcli.errors import UsageError, VlmError
from vlmcli.later import Later
from vlmcli.pictures import kept

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet
else:
    np, pa, parquet = Later("numpy"), Later("pyarrow"), Later("pyarrow.parquet")

METADATA = "metadata.jsonl"
"""What the file beside pictures is called that Hugging Face's imagefolder reads."""
ROWS = 10_000
"""Rows that are written at a time."""
_TEXTS = ("source", "question", "model", "answer", "thinking", "notice", "finish_reason", "error", "work")
_JSON = ("fields", "answers", "places")
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
_NUMBERS = ("prompt_tokens", "picture_tokens", "answer_tokens")


def is_table(name: str) -> bool:
    """Whether a file of this name is made of records, and has none: of Parquet, or of Hugging Face's imagefolder."""
    path = Path(name)
    return path.suffix.lower() == ".parquet" or path.name == METADATA


def check(table: str, journal: str) -> None:
    """Raise UsageError for a table that cannot be made, or that is not made of this journal."""
    if Path(table).suffix.lower() == ".parquet":
        try:
            parquet.ParquetWriter  # noqa: B018 - imported here, where it is missed before anything is done
        except ModuleNotFoundError:
            raise UsageError(
                f"{table}: needs the package pyarrow", "install it: pip install 'vlmcli[parquet]'"
            ) from None
    if os.path.lexists(table) and not os.path.lexists(journal):
        raise UsageError(
            f"{table}: was not made by vlm: there is no {journal} with its records",
            "name another file, or move it away",
        )


def check_names(table: Path, groups: Iterable[Sequence[str]]) -> None:
    """Raise UsageError for pictures that the table cannot name.

    Args:
        table: its file.
        groups: names of the pictures that are asked about together.
    """
    if table.name == METADATA:
        folder = str(table.parent.absolute())
        for names in groups:
            _inside(folder, names)


def write(table: Path, records: Sequence[dict[str, Any]]) -> int:
    """Make a table of records, whole or not at all. Returns how many rows it has. Raises VlmError."""
    make = _parquet if table.suffix.lower() == ".parquet" else _metadata
    try:
        return make(table, records)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VlmError(
            f"{table}: cannot be written ({reason})", "free some disk space, and run the same command again"
        ) from error


# ---------------------------------------------------------------------------------------------- Parquet


def _parquet(table: Path, records: Sequence[dict[str, Any]]) -> int:
    """A file of Parquet (https://parquet.apache.org), whose columns docs/output.md has."""
    fields = [pa.field("source", pa.string()), pa.field("sources", pa.list_(pa.string()))]
    fields += [pa.field(name, pa.string()) for name in _TEXTS[1:] + _JSON]
    fields += [pa.field(name, pa.int64()) for name in _NUMBERS]
    fields += [pa.field("seconds", pa.float64()), pa.field("sha256", pa.list_(pa.string()))]
    schema, count = pa.schema(fields), 0
    with atomic.writing(table) as file, _closed(parquet.ParquetWriter(file, schema)) as writer:
        left = iter(records)
        while rows := [_row(one) for one in islice(left, ROWS)]:
            writer.write_batch(pa.record_batch([_column(rows, one) for one in schema], schema=schema))
            count += len(rows)
    return count


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    """One column of some rows; halves of letters, which names of files may have, are written as escapes."""
    values = [row.get(field.name) for row in rows]
    try:
        return pa.array(values, field.type)
    except UnicodeEncodeError:
        return pa.array([list(map(_utf8, one)) if isinstance(one, list) else _utf8(one) for one in values], field.type)


@contextmanager
def _closed(writer: Any) -> Iterator[Any]:
    """A writer that ends its file, but not after an error, which it would hide."""
    yield writer
    writer.close()


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    usage, timings = record.get("usage") or {}, record.get("timings") or {}
    row: dict[str, Any] = {name: _text(record[name]) for name in _TEXTS if record.get(name) is not None}
    row |= {name: _ENCODE(record[name]) for name in _JSON if record.get(name) is not None}
    row |= {name: usage.get(name) for name in _NUMBERS}
    row["sources"] = sources = [str(one) for one in record["sources"]]
    row["source"] = sources[0] if sources else None
    row["error"] = record["error"]["message"] if record.get("error") else None
    row["seconds"] = round(sum(timings.values()), 4) if timings else None
    row["sha256"] = record.get("sha256")
    return row


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _ENCODE(value)


def _utf8(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


# ---------------------------------------------------------------------------------------------- imagefolder


def _metadata(table: Path, records: Sequence[dict[str, Any]]) -> int:
    """The metadata of a folder of pictures, as Hugging Face's imagefolder reads it: a line for each picture.

    Source: https://huggingface.co/docs/datasets/image_dataset. Each line has the same keys: `text` is the answer, null
    where there is none; where pictures were asked several questions, `answers` has all of them by the question. Of each
    record only a number is kept.
    """
    folder = str(table.parent.absolute())
    names, questions = array("q"), set()
    with atomic.writing(table) as file:
        for record in records:  # as if each picture had one record, of one question: then nothing is kept of them
            name = _inside(folder, record["sources"])
            names.append(hash(name))
            questions.add(record["question"])
            file.write(_line(name, {record["question"]: record.get("answer")}, several=False))
        in_order = np.sort(np.array(names, np.int64))
        if len(questions) < 2 and not (in_order[1:] == in_order[:-1]).any():
            return len(names)
        file.seek(0)
        file.truncate()
        count = 0
        for name, answers in _by_name(folder, records, names):
            file.write(_line(name, answers, several=len(questions) > 1))
            count += 1
    return count


def _line(name: str, answers: dict[str, str | None], *, several: bool) -> bytes:
    line: dict[str, Any] = {"file_name": name, "text": next(reversed(answers.values()))}
    if several:
        line["answers"] = [{"question": question, "answer": text} for question, text in answers.items()]
    return _ENCODE(line).encode("utf-8", "backslashreplace") + b"\n"


def _by_name(
    folder: str, records: Sequence[dict[str, Any]], hashes: array[int]
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """The pictures' names in the order of their first records, and the answers about each, by the question.

    Args:
        folder: that they are in.
        records: which are read one by one, as they are needed.
        hashes: of the names, by the records' numbers.
    """
    values = np.frombuffer(hashes, np.int64)
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.append(True, values[order[1:]] != values[order[:-1]]))
    ends = np.append(begins[1:], len(order))
    for one in np.argsort(order[begins]):
        found: dict[str, dict[str, str | None]] = {}  # of more than one name where two have the same hash
        for number in order[begins[one] : ends[one]].tolist():
            record = records[number]
            found.setdefault(_inside(folder, record["sources"]), {})[record["question"]] = record.get("answer")
        yield from found.items()


def _inside(folder: str, sources: Sequence[str]) -> str:
    """The name that a picture has in a folder. Raises UsageError for one that is not in it, and for several."""
    if len(sources) == 1 and "://" not in sources[0] and not (kept.parted(sources[0]) or ("", ""))[1]:
        path, below = os.path.abspath(sources[0]), os.path.join(folder, "")  # noqa: PTH100, PTH118 - ten times as fast
        if path.startswith(below):
            return path.removeprefix(below).replace(os.sep, "/")
    raise UsageError(
        f"{', '.join(sources)}: not one picture in {folder}",
        "write metadata.jsonl into the folder of the pictures, and ask about each by itself",
    )
