"""How a command goes through many pictures: what is left to do, and the file that remembers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import vlmcli
from vlmcli.errors import UsageError
from vlmcli.models import gguf
from vlmcli.pictures.sources import Source
from vlmcli.records import lines
from vlmcli.records.journal import (
    Journal,
    Print,
    fields,
    model_id,
    print_of,
    work_id,
)
from vlmcli.records.target import is_stdout, target_of
from vlmcli.tasks.ask import Ask
from vlmcli.values import ModelFiles, Picture, Result


@dataclass(frozen=True)
class Course:
    """How a command goes through its pictures.

    Attributes:
        output: a file of records to append to, and to remember by what has been done.
        journal: such a file, beside what is written to stdout.
        retry_errors: ask again what failed in it.
        fail_fast: stop at the first error.
        unordered: show outcomes as they come.
        timeout: seconds that a picture may take; None for as long as it takes.
        dry_run: only say what would be done.
        sidecar: where else each answer goes: "txt" or "xmp", a file beside its picture, "metadata", the picture's own;
            empty for nowhere.
        keywords: in XMP the answer is a list of keywords, and not a description.
        existing: what becomes of a text that is there: "skip", "replace", "prepend" or "append".
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

    @property
    def remembers(self) -> str:
        """The file that remembers; empty for none."""
        return self.output or self.journal or ""


@dataclass(frozen=True)
class Job:
    """One question about one group of pictures.

    Attributes:
        task: the question.
        pictures: that are asked about together.
        group: the number of these pictures in the command, from 0.
    """

    task: Ask
    pictures: tuple[Source, ...]
    group: int = 0

    @property
    def names(self) -> list[str]:
        """What the pictures are called."""
        return [source.name for source in self.pictures]

    def load(self) -> list[Picture]:
        """Their pixels, in the task's detail. Raises SourceError for the first that cannot be read."""
        return [source.load(self.task.detail) for source in self.pictures]


ONCE = Course()


@dataclass
class Before:
    """Work that an earlier run has recorded, by how it ended."""

    done: int = 0
    failed: int = 0

    def __str__(self) -> str:
        errors = f", and {self.failed:,} failed then: --retry-errors asks again" if self.failed else ""
        return f"{self.done:,} were done before{errors}"


@dataclass(frozen=True)
class Work:
    """A job's name in the journal, its pictures' files as they were, and the detail in which they are shown."""

    id: str
    prints: Sequence[Print]
    detail: int


class Memory:
    """The journal of a run: what is left to do, and where each record goes."""

    def __init__(self, journal: Journal, files: ModelFiles, *, retry: bool) -> None:
        self.before = Before()
        self.done: list[tuple[Job, str]] = []
        """Jobs that need not be asked, with the names of their work."""
        self._journal, self._model, self._retry = journal, model_id(files), retry
        self._extra = {
            "revision": _revision(files.model),
            "projector": files.projector.name,
            "quantisation": gguf.read(files.model).quantisation,
            "versions": {"vlm": vlmcli.__version__, "llama-cpp-python": version("llama-cpp-python")},
        }

    @classmethod
    @contextmanager
    def of(cls, course: Course, files: ModelFiles, found: Sequence[Source]) -> Iterator[Memory]:
        """Open the file that the course names. Raises UsageError where it cannot be one of records."""
        name = course.remembers
        if Path(name).suffix != ".jsonl":
            raise UsageError(f"{name}: records are JSON lines", f"call the file {Path(name).stem or 'records'}.jsonl")
        path = target_of(name, found)
        if is_stdout(path):
            raise UsageError(f"{name}: it is stdout, too", "name another file, or leave it out and use --output")
        with Journal(path, only_read=course.dry_run) as journal:
            yield cls(journal, files, retry=course.retry_errors)

    @property
    def has_any(self) -> bool:
        """Whether there were records when it was opened, or are now."""
        return len(self._journal) > 0

    def left(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that have no record yet."""
        left = []
        for job in jobs:
            work = self.work(job).id if self._journal.knows(job.names) else ""
            failed = self._journal.failed(work)
            if not self._journal.has(work) or (failed and self._retry):
                left.append(job)
                continue
            self.done.append((job, work))
            if failed:
                self.before.failed += 1
            else:
                self.before.done += 1
        return left

    def past(self, work: str) -> tuple[str, str]:
        """The answer that was recorded for work that is done, and the error's message; one of them is empty."""
        record = self._journal.record(work)
        return str(record.get("answer", "")), str(record.get("error", {}).get("message", ""))

    def work(self, job: Job, prints: Sequence[Print] | None = None) -> Work:
        """A job's name, and what its pictures' files are: now, or as they are given."""
        if prints is None:
            prints = [print_of(source.file, self._journal.known(source.name)) for source in job.pictures]
        return Work(work_id(job.names, prints, job.task, self._model), prints, job.task.detail)

    def write(self, work: Work, result: Result) -> None:
        """Append a record."""
        known = {"detail": work.detail} | self._extra | fields(work.prints, work.id)
        self._journal.write(lines.object_line(lines.record(result) | known))


def _revision(model: Path) -> str:
    """The commit that a file of the Hub's cache is of; empty for another."""
    parts = model.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def plan(jobs: Sequence[Job], before: Before) -> str:
    """What is to be done, in words."""
    done = f"; {before}" if before.done or before.failed else ""
    pictures = len({job.pictures for job in jobs})
    return f"{count(len(jobs), 'question')} about {count(pictures, 'picture')} to be asked{done}"


def count(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
