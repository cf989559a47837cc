"""What a run remembers: the work that earlier runs have recorded, and where its own records go.

Knows jobs, their pictures' files and the journal. Does not know how jobs are asked or where else results go.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import vlmcli
from vlmcli import atomic
from vlmcli.batch.course import Course, Job, check_records_name, count
from vlmcli.errors import UsageError
from vlmcli.models import gguf
from vlmcli.pictures.sources import Source
from vlmcli.records import lines, tables
from vlmcli.records.journal import Fingerprint, Journal, asked_of, fields, fingerprint, model_id, work_id
from vlmcli.records.past import WORK
from vlmcli.records.target import is_written_by, target_of
from vlmcli.tasks.task import Task
from vlmcli.values import ModelFiles, Result


@dataclass
class Before:
    """Work that an earlier run has recorded, by how it ended."""

    done: int = 0
    failed: int = 0

    def __str__(self) -> str:
        said = [f"{self.done:,} {'was' if self.done == 1 else 'were'} done before"] if self.done else []
        said += [f"{self.failed:,} failed before (--retry-errors asks again)"] if self.failed else []
        return ", ".join(said)


class Done:
    """Jobs that need not be asked, with the names of their work; for each the job and sixteen bytes are kept."""

    def __init__(self) -> None:
        """None yet."""
        self._jobs: list[Job] = []
        self._works = bytearray()

    def add(self, job: Job, work: str) -> None:
        """One more."""
        self._jobs.append(job)
        self._works += bytes.fromhex(work)

    def __iter__(self) -> Iterator[tuple[Job, str]]:
        """In the command's order."""
        for number, job in enumerate(self._jobs):
            yield job, self._works[number * WORK : (number + 1) * WORK].hex()


class Works:
    """The names of the work of jobs that have ended, by the jobs' numbers; sixteen bytes for each job."""

    def __init__(self, jobs: int) -> None:
        """Of so many jobs, none has ended."""
        self._works = bytearray(WORK * jobs)

    def __setitem__(self, number: int, work: str) -> None:
        """A job has ended."""
        self._works[number * WORK : (number + 1) * WORK] = bytes.fromhex(work)

    def __getitem__(self, number: int) -> str:
        """The name of a job's work; empty where it has not ended."""
        work = self._works[number * WORK : (number + 1) * WORK]
        return work.hex() if any(work) else ""


@dataclass(frozen=True, slots=True)
class Work:
    """A job's name in the journal, its pictures' files as they were, and the detail in which they are shown."""

    id: str
    fingerprints: Sequence[Fingerprint]
    detail: int


class Memory:
    """The journal of a run: what is left to do, and where each record goes."""

    def __init__(self, journal: Journal, files: ModelFiles, *, retry: bool) -> None:
        """`retry` leaves work whose last record is an error to be done again."""
        self.before = Before()
        self.done = Done()
        self._is_done = bytearray()  # of each job that `left` was given, 0 or 1
        self._asked: dict[int, tuple[Task, str]] = {}  # by the identities of tasks, which are kept for that
        self._journal, self._model, self._retry = journal, model_id(files), retry
        self._extra = _about(files)

    @classmethod
    @contextmanager
    def of(
        cls, course: Course, files: ModelFiles, pictures: Sequence[Source], stdout: TextIO | None = None
    ) -> Iterator[Memory]:
        """Open the file that the course names, for as long as the run takes.

        Args:
            course: which names it.
            files: the model's.
            pictures: of the command, none of which may be the journal.
            stdout: where results go, if they go to a stream; that may not be the journal either.

        Raises UsageError where the file cannot hold records, holds something else, or is written by another run.
        """
        name = course.remembers
        if course.table:
            tables.check(course.table, name)
            target_of(course.table, pictures)
        path = target_of(name, pictures, "name a .jsonl file, or use --json to write records to stdout")
        check_records_name(name)
        if not course.dry_run:
            atomic.sweep(path.parent)
        if stdout is not None and is_written_by(stdout, path):
            raise UsageError(
                f"{name}: --journal and stdout are the same file", "name another file, or use --output instead"
            )
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
            is_left = failed is None or (failed and self._retry)
            self._is_done.append(not is_left)
            if is_left:
                left.append(job)
                continue
            self.done.add(job, work)
            if failed:
                self.before.failed += 1
            else:
                self.before.done += 1
        return left

    def past(self, work: str) -> tuple[str, str]:
        """The answer that was recorded for work that is done, and the error's message; one of them is empty."""
        record = self._journal.record(work)
        return str(record.get("answer", "")), str(record.get("error", {}).get("message", ""))

    def cells(self, job: Job, work: str) -> dict[str, str]:
        """The cells of a table for work that is done, by the names of their columns."""
        return job.task.cells(self._journal.record(work))

    def work(self, job: Job) -> Work:
        """A job's name in the journal, by what its pictures' files are now."""
        known = self._journal.known
        return self.work_of(job, [fingerprint(source.file, partial(known, source.name)) for source in job.pictures])

    def work_of(self, job: Job, fingerprints: Sequence[Fingerprint]) -> Work:
        """A job's name in the journal, by what somebody else has seen of its pictures' files."""
        task = job.task
        if id(task) not in self._asked:
            self._asked[id(task)] = task, asked_of(task, self._model)
        return Work(work_id(job.names, fingerprints, self._asked[id(task)][1]), fingerprints, task.detail)

    def write(self, work: Work, result: Result) -> None:
        """Append what came of a job to the journal. Raises VlmError where it cannot be written."""
        known = {"detail": work.detail} | self._extra | fields(work.fingerprints, work.id)
        self._journal.write(lines.object_line(lines.record(result) | known))

    def restore_order(self, works: Works) -> bool:
        """Put the records of a run that wrote them as they came into the order of the jobs that `left` was given.

        Records of other commands come first. Where all are in order, the file stays as it is.

        Args:
            works: those of the jobs that `left` returned, by their numbers there.

        Returns whether the file was written anew. Raises VlmError where it cannot be; nothing has changed then.
        """
        before, numbers = (work for _, work in self.done), itertools.count()
        in_order = (next(before) if done else works[next(numbers)] for done in self._is_done)
        return self._journal.restore_order(in_order)

    def make_table(self, table: Path) -> int:
        """Make a table of all records. Returns how many rows it has. Raises VlmError where it cannot be written."""
        return tables.write(table, self._journal.records())

    def check(self) -> None:
        """Raise VlmError where the records are not where they were written to any more; it says where they are."""
        self._journal.check()


def _about(files: ModelFiles) -> dict[str, Any]:
    """What each record says of the model; of a server's only where it was asked."""
    if files.servers:
        return {"servers": [server.url for server in files.servers], "versions": {"vlm": vlmcli.__version__}}
    from importlib.metadata import version  # only runs that are remembered need these

    from vlmcli.models import hub_cache

    return {
        "revision": hub_cache.revision(files.model),
        "projector": files.projector.name,
        "quantisation": gguf.read(files.model).quantisation,
        "versions": {"vlm": vlmcli.__version__, "llama-cpp-python": version("llama-cpp-python")},
    }


def plan(jobs: Sequence[Job], before: Before, texts: str = "") -> str:
    """What is to be done, in words; `texts` are what was or would be written from what is recorded."""
    groups = {job.group: job.pictures for job in jobs}
    pictures = count(sum(map(len, groups.values())), "picture")
    said = f"would ask {count(len(jobs), 'question')} about {pictures}" if jobs else ""
    if not jobs and not texts:
        said = "nothing left to do"
    return "; ".join(filter(None, (said, texts, str(before))))
