"""How a command goes through many pictures: what is left to do, and the file that remembers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import vlmcli
from vlmcli import records
from vlmcli.cli.writing import target_of
from vlmcli.errors import UsageError
from vlmcli.journal import Journal, Print, fields, model_id, print_of, work_id
from vlmcli.sources import Source
from vlmcli.tasks import Ask
from vlmcli.values import ModelFiles, Result


@dataclass(frozen=True)
class Course:
    """How a command goes through its pictures.

    Attributes:
        output: a file of records to append to, and to remember by what has been done.
        retry_errors: ask again what failed in it.
        fail_fast: stop at the first error.
        dry_run: only say what would be done.
    """

    output: str | None = None
    retry_errors: bool = False
    fail_fast: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Job:
    """One question about one group of pictures."""

    task: Ask
    pictures: tuple[Source, ...]

    @property
    def names(self) -> list[str]:
        """What the pictures are called."""
        return [source.name for source in self.pictures]


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
    """A job's name in the journal, and its pictures' files as they were."""

    id: str
    prints: Sequence[Print]


class Memory:
    """The journal of a run: what is left to do, and where each record goes."""

    def __init__(self, journal: Journal, files: ModelFiles, *, retry: bool) -> None:
        self.before = Before()
        self._journal, self._model, self._retry = journal, model_id(files), retry
        self._extra = {"projector": files.projector.name, "vlm": vlmcli.__version__}

    @classmethod
    @contextmanager
    def of(cls, course: Course, files: ModelFiles, found: Sequence[Source]) -> Iterator[Memory]:
        """Open the file that the course names. Raises UsageError where it cannot be one of records."""
        name = course.output or ""
        if Path(name).suffix != ".jsonl":
            raise UsageError(f"{name}: records are JSON lines", f"call the file {Path(name).stem or 'records'}.jsonl")
        with Journal(target_of(name, found)) as journal:
            yield cls(journal, files, retry=course.retry_errors)

    def left(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that have no record yet."""
        left = []
        for job in jobs:
            work = self.work(job).id if self._journal.knows(job.names) else ""
            failed = self._journal.failed(work)
            if not self._journal.has(work) or (failed and self._retry):
                left.append(job)
            elif failed:
                self.before.failed += 1
            else:
                self.before.done += 1
        return left

    def work(self, job: Job) -> Work:
        """A job's name, and what its pictures' files are now."""
        prints = [print_of(source.file, self._journal.known(source.name)) for source in job.pictures]
        return Work(work_id(job.names, prints, job.task, self._model), prints)

    def write(self, work: Work, result: Result) -> None:
        """Append a record."""
        self._journal.write(records.object_line(records.record(result) | self._extra | fields(work.prints, work.id)))


def plan(jobs: Sequence[Job], before: Before) -> str:
    """What is to be done."""
    done = f"; {before}" if before.done or before.failed else ""
    pictures = len({job.pictures for job in jobs})
    return f"{count(len(jobs), 'question')} about {count(pictures, 'picture')} to be asked{done}"


def count(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
