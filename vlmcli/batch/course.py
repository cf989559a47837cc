"""How a command goes through its pictures: which are asked about together, and its jobs, in order.

Values only: nothing is read or asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import typed
from vlmcli.errors import UsageError
from vlmcli.pictures.sources import Source
from vlmcli.records.tables import METADATA, is_table
from vlmcli.tasks.task import Task
from vlmcli.values import Picture

if TYPE_CHECKING:
    from vlmcli.pictures.known import Known
    from vlmcli.pictures.properties import Property

MAX_TOGETHER = 8
"""Pictures that are asked about at once where nobody has said --together."""


@dataclass(frozen=True)
class Course:
    """How a command goes through its pictures.

    Attributes:
        output: a file of records to append to, and to remember by what has been done; or a table that is made of them.
        journal: such a file, beside what is written to stdout.
        retry_errors: ask again what failed in it.
        fail_fast: stop at the first error.
        unordered: show outcomes as they come.
        timeout: seconds that a picture may take; None for as long as it takes.
        dry_run: only say what would be done.
        sidecar: where else each answer goes: "txt" or "xmp", a file beside its picture, "metadata", the picture's own;
            empty for nowhere.
        keywords: in XMP the answer is a list of keywords, and not a description.
        sidecar_name: of a file beside its picture: "stem" for photo.txt, "full" for photo.jpg.txt.
        existing: what becomes of a text that is there: "skip", "replace", "prepend" or "append".
        touch: a picture's own file that is changed gets the time of now, and not the time it had.
        in_place: it is written into, and not replaced by a new one.
        fields: of an answer that is JSON, each with the property of XMP that it goes to; empty for a text.
    """

    output: str | None = None
    journal: str | None = None
    retry_errors: bool = False
    fail_fast: bool = False
    unordered: bool = False
    timeout: float | None = None
    dry_run: bool = False
    sidecar: str = ""
    keywords: bool = False
    existing: str = "skip"
    sidecar_name: str = "stem"
    touch: bool = False
    in_place: bool = False
    fields: tuple[tuple[str, Property], ...] = ()

    @property
    def table(self) -> str:
        """The file that is made of all records at the end: a name ending in .parquet, or metadata.jsonl; else empty."""
        return self.output if self.output and is_table(self.output) else ""

    @property
    def remembers(self) -> str:
        """The file that remembers, which is beside a table; empty for none."""
        return f"{self.table}.jsonl" if self.table else self.output or self.journal or ""

    @property
    def goes_on(self) -> bool:
        """Whether the same command, run again, does what this one has left."""
        return bool(self.remembers or (self.sidecar and self.existing == "skip"))


@dataclass(frozen=True, slots=True)
class Job:
    """One task about one group of pictures.

    Attributes:
        task: what is asked.
        pictures: that are asked about together.
        group: the number of these pictures in the command, from 0.
    """

    task: Task
    pictures: tuple[Source, ...]
    group: int = 0

    @property
    def names(self) -> list[str]:
        """What the pictures are called."""
        return [source.name for source in self.pictures]

    def load(self, known: Known | None = None) -> list[Picture]:
        """Their pixels, in the task's detail; those of `known` files are read when they are needed.

        A long picture that is cut into parts is several. Raises SourceError for the first that cannot be read.
        """
        if self.task.parts:
            return [part for source in self.pictures for part in source.load_parts(known)]
        return [source.load(self.task.detail, known) for source in self.pictures]


ONCE = Course()
"""Each picture asked about once, in order, without a file that remembers."""


def grouped(found: Sequence[Source], *, each: bool, together: bool) -> list[tuple[Source, ...]]:
    """Which pictures are asked about at once: those that were typed; what was expanded here is asked about each."""
    if each and together:
        raise UsageError("--each and --together cannot be used together", "leave out --each or --together")
    if each or (not together and any(source.expanded for source in found)):
        return [(source,) for source in found]
    if len(found) > MAX_TOGETHER and not together:
        raise UsageError(
            f"one question about {len(found)} pictures at once",
            "add --each to ask about one after the other, or --together if you do mean all at once",
        )
    return [tuple(replace(source, expanded=False) for source in found)]  # one group, as if they had been typed


def jobs_of(groups: Sequence[tuple[Source, ...]], tasks: Sequence[Task]) -> list[Job]:
    """All questions about each group of pictures, group by group."""
    return [Job(task, group, number) for number, group in enumerate(groups) for task in tasks]


def check_records_name(name: str) -> None:
    """Raise UsageError for a file of records whose name does not end in .jsonl; for a table it says what to type."""
    path = Path(name)
    if path.name == METADATA:
        raise UsageError(f"{name}: made of records, and cannot hold them", "use another name, or --output instead")
    if path.suffix == ".jsonl":
        return
    records = typed.word(str(path.with_suffix(".jsonl")) if path.stem else "records.jsonl")
    hint = f"use {records}"
    if path.suffix.lower() == ".parquet":
        hint += f", or --output {typed.word(name)}"
    if (kind := path.suffix.lower()[1:]) in ("csv", "tsv"):
        hint += f", or for a table: --format {kind} --journal {records} >> {typed.word(name)}"
    raise UsageError(f"{name}: the name must end in .jsonl, for JSON lines", hint)


def count(number: int, what: str) -> str:
    """A number and what it counts, in the plural unless it is 1."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def skipped(number: int) -> str:
    """So many pictures that are not asked about, in words."""
    return f"skipped {count(number, 'picture')} that already {'has' if number == 1 else 'have'} text"
