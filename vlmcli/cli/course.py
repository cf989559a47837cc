"""How a command goes through many pictures: what is left to do, and the file that remembers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import vlmcli
from vlmcli import gguf, records, xmp
from vlmcli.cli.writing import target_of, write
from vlmcli.errors import UsageError, VlmError
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
        sidecar: write each answer into a file beside its picture: the suffix of its name; empty for not.
        existing: what becomes of one that is there: "skip", "replace", "prepend" or "append".
    """

    output: str | None = None
    retry_errors: bool = False
    fail_fast: bool = False
    dry_run: bool = False
    sidecar: str = ""
    existing: str = "skip"


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
        name = course.output or ""
        if Path(name).suffix != ".jsonl":
            raise UsageError(f"{name}: records are JSON lines", f"call the file {Path(name).stem or 'records'}.jsonl")
        path = target_of(name, found)
        there = path.exists()
        with Journal(path) as journal:
            yield cls(journal, files, retry=course.retry_errors)
        if course.dry_run and not there:
            path.unlink()

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


def _revision(model: Path) -> str:
    """The commit that a file of the Hub's cache is of; empty for another."""
    parts = model.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


class Sidecars:
    """Files beside the pictures, one for each, with the answer in it."""

    def __init__(self, course: Course, jobs: Sequence[Job]) -> None:
        """Raises UsageError where two answers would go into one file, or a picture has no place."""
        self._existing = course.existing
        self._paths: dict[Job, Path] = {}
        whose: dict[Path, Job] = {}
        for job in jobs:
            path = _beside(job, course.sidecar)
            if path in whose:
                names = f"{whose[path].names[0]} and {job.names[0]}"
                what = "several questions" if whose[path].pictures == job.pictures else names
                raise UsageError(f"{path}: {what} would have one sidecar", "ask about them in commands of their own")
            whose[path] = job
            self._paths[job] = path

    def left(self, jobs: Sequence[Job]) -> tuple[list[Job], int]:
        """The jobs that are to be asked, and how many have been left out because their sidecar has a text already."""
        left = [job for job in jobs if self._existing != "skip" or not self._has(self._paths[job])]
        return left, len(jobs) - len(left)

    def _has(self, path: Path) -> bool:
        """Whether there is a text; a sidecar that cannot be read is said to have one, and is left alone."""
        try:
            return path.exists() and (path.suffix != ".xmp" or bool(xmp.description(path.read_bytes(), str(path))))
        except (OSError, VlmError):
            return True

    def write(self, job: Job, text: str) -> None:
        """Write an answer. Raises VlmError where that cannot be."""
        path = self._paths[job]
        old = self._old(path) if path.exists() else None
        before = old if isinstance(old, str) else xmp.description(old, str(path)) if old is not None else ""
        if before and self._existing == "prepend":
            text = f"{text}\n{before}"
        elif before and self._existing == "append":
            text = f"{before}\n{text}"
        if path.suffix == ".xmp":
            write(path, xmp.described(old if isinstance(old, bytes) else None, text, str(path)))
        else:
            write(path, (text + "\n").encode("utf-8", "replace"))

    def _old(self, path: Path) -> str | bytes | None:
        """What is there, as far as it matters: text, or a packet."""
        try:
            if path.suffix == ".xmp":
                return path.read_bytes()
            return path.read_text("utf-8").rstrip("\n") if self._existing in ("prepend", "append") else None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise VlmError(f"{path}: cannot be read ({reason})", "--existing replace writes a new one") from None


def _beside(job: Job, suffix: str) -> Path:
    """The sidecar of a job's picture: its name with another suffix, and the page's number."""
    source = job.pictures[0]
    if len(job.pictures) > 1 or not isinstance(source.file, Path):
        raise UsageError(f"{' '.join(job.names)}: no one file to write beside", "leave --sidecar out, or --each")
    stem = f"{source.file.stem}-{source.frame}" if source.frame else source.file.stem
    return source.file.with_name(f"{stem}.{suffix}")


def plan(jobs: Sequence[Job], before: Before) -> str:
    """What is to be done."""
    done = f"; {before}" if before.done or before.failed else ""
    pictures = len({job.pictures for job in jobs})
    return f"{count(len(jobs), 'question')} about {count(pictures, 'picture')} to be asked{done}"


def count(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
