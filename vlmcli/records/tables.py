"""Files that are made of a journal's records, for programs that read no JSON lines: Parquet, and a folder's metadata.

A table has one row for each piece of work, by its last record, in the order of these records. It is made whole from the
journal each time, piece by piece, so that it may be large; the journal stays what is appended to.
"""

from __future__ import annotations

import json
import os
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
    import pyarrow as pa
    from pyarrow import parquet
else:
    pa, parquet = Later("pyarrow"), Later("pyarrow.parquet")

METADATA = "metadata.jsonl"
"""What the file beside pictures is called that Hugging Face's imagefolder reads."""
ROWS = 10_000
"""Rows that are written at a time."""
_TEXTS = ("source", "question", "model", "answer", "thinking", "notice", "finish_reason", "error", "work")
_JSON = ("fields", "answers", "places")
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
        folder = table.parent.absolute()
        for names in groups:
            _inside(folder, names)


def write(table: Path, records: Iterator[dict[str, Any]]) -> int:
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


def _parquet(table: Path, records: Iterator[dict[str, Any]]) -> int:
    """A file of Parquet (https://parquet.apache.org), whose columns docs/output.md has."""
    fields = [pa.field("source", pa.string()), pa.field("sources", pa.list_(pa.string()))]
    fields += [pa.field(name, pa.string()) for name in _TEXTS[1:] + _JSON]
    fields += [pa.field(name, pa.int64()) for name in _NUMBERS]
    fields += [pa.field("seconds", pa.float64()), pa.field("sha256", pa.list_(pa.string()))]
    schema, count = pa.schema(fields), 0
    with atomic.writing(table) as file, _closed(parquet.ParquetWriter(file, schema)) as writer:
        while rows := list(islice(records, ROWS)):
            writer.write_table(pa.Table.from_pylist([_row(one) for one in rows], schema))
            count += len(rows)
    return count


@contextmanager
def _closed(writer: Any) -> Iterator[Any]:
    """A writer that ends its file, but not after an error, which it would hide."""
    yield writer
    writer.close()


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    sources = [_utf8(str(one)) for one in record["sources"]]
    usage, timings = record.get("usage") or {}, record.get("timings") or {}
    error = record.get("error")
    known = dict(record) | {"source": sources[0] if sources else None, "error": error["message"] if error else None}
    row: dict[str, Any] = {name: _text(known.get(name)) for name in _TEXTS}
    row |= {name: json.dumps(record[name], ensure_ascii=False) for name in _JSON if record.get(name) is not None}
    row |= {name: usage.get(name) for name in _NUMBERS}
    seconds = round(sum(timings.values()), 4) if timings else None
    return row | {"sources": sources, "seconds": seconds, "sha256": record.get("sha256")}


def _text(value: Any) -> str | None:
    return None if value is None else _utf8(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _utf8(text: str) -> str:
    """A text without halves of letters, which names of files may have."""
    return text.encode("utf-8", "backslashreplace").decode()


# ---------------------------------------------------------------------------------------------- imagefolder


def _metadata(table: Path, records: Iterator[dict[str, Any]]) -> int:
    """The metadata of a folder of pictures, as Hugging Face's imagefolder reads it: a line for each picture.

    Source: https://huggingface.co/docs/datasets/image_dataset. Each line has the same keys: `text` is the answer, null
    where there is none; where pictures were asked several questions, `answers` has all of them by the question.
    """
    folder = table.parent.absolute()
    found: dict[str, dict[str, str | None]] = {}  # answers by the question, by the name in the folder
    for record in records:
        found.setdefault(_inside(folder, record["sources"]), {})[record["question"]] = record.get("answer")
    several = len({question for answers in found.values() for question in answers}) > 1
    with atomic.writing(table) as file:
        for name, answers in found.items():
            line: dict[str, Any] = {"file_name": name, "text": next(reversed(answers.values()))}
            if several:
                line["answers"] = [{"question": question, "answer": text} for question, text in answers.items()]
            file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    return len(found)


def _inside(folder: Path, sources: Sequence[str]) -> str:
    """The name that a picture has in a folder. Raises UsageError for one that is not in it, and for several."""
    if len(sources) == 1 and "://" not in sources[0] and not (kept.parted(sources[0]) or ("", ""))[1]:
        path = Path(os.path.normpath(Path(sources[0]).absolute()))
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    raise UsageError(
        f"{', '.join(sources)}: not one picture in {folder}",
        "write metadata.jsonl into the folder of the pictures, and ask about each by itself",
    )
