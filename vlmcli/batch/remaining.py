"""What remains of a command's jobs: those that no earlier run has recorded, and whose pictures have no text yet.

Knows the memory and the sidecars, and how both leave jobs out. Does not know how the rest is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from vlmcli.batch.course import Course, Job, count
from vlmcli.batch.memory import Before, Memory
from vlmcli.batch.sidecars import Sidecars
from vlmcli.errors import VlmError
from vlmcli.records import tables
from vlmcli.values import Card, ModelFiles


@dataclass(frozen=True)
class Remaining:
    """What is left to do, and what was done.

    Attributes:
        jobs: that are left.
        everything: all jobs of the command.
        memory: the journal, open, if the course names one.
        sidecars: where else the answers go, if the course says so.
        skipped: how many jobs are left out because their picture has a text, in a run without a memory.
        card: of the model, which says what it answers when it does not know.
        left_out: what is not asked about, in words: files in folders that are no pictures, and what `first` leaves.
    """

    jobs: Sequence[Job]
    everything: Sequence[Job]
    memory: Memory | None = None
    sidecars: Sidecars | None = None
    skipped: int = 0
    card: Card = Card()
    left_out: str = ""

    @property
    def before(self) -> Before:
        """What earlier runs have done, by the memory."""
        return self.memory.before if self.memory is not None else Before()

    def first(self, most: int | None) -> Remaining:
        """Only the jobs of the first groups of pictures that are left, so many groups at most; None for all.

        What is not asked about is said in `left_out`; where something remembers what has been done, a next run does it.
        """
        groups = list(dict.fromkeys(job.group for job in self.jobs))
        if most is None or len(groups) <= most:
            return self
        chosen, more = set(groups[:most]), len(groups) - most
        again = " for the next run" if self.memory is not None or self.sidecars is not None else ""
        said = f"{count(more, 'more picture')} {'is' if more == 1 else 'are'} left{again} (--limit {most})"
        return replace(
            self,
            jobs=[job for job in self.jobs if job.group in chosen],
            left_out="; ".join(filter(None, (said, self.left_out))),
        )

    def write_missing(self, *, dry_run: bool = False) -> Iterator[VlmError | None]:
        """Write the sidecars of recorded answers that are not there: they were removed, or a run was killed.

        Yields for each None, or an error where it cannot be written; they are written as these are taken.

        Args:
            dry_run: write nothing; all that would be written are yielded.
        """
        if self.memory is None or self.sidecars is None or self.sidecars.inside:
            return
        sidecars = self.sidecars
        for job, work in self.memory.done:
            text, error = self.memory.past(work)
            if error or sidecars.unsaid(text, self.card) or job in sidecars.wrong or sidecars.has(job):
                continue
            try:
                if not dry_run:
                    sidecars.write(job, text)
            except VlmError as unwritable:
                yield unwritable
            else:
                yield None


@contextmanager
def remaining(
    course: Course,
    everything: Sequence[Job],
    files: ModelFiles,
    *,
    lists: Sequence[Path] = (),
    stdout: TextIO | None = None,
) -> Iterator[Remaining]:
    """Look at what was done before. The journal is open for as long as the context lasts.

    Args:
        course: how the command goes through its pictures.
        everything: its jobs.
        files: the model.
        lists: files that the command reads names from, which are no place for an answer.
        stdout: the stream that results are written to, if there is one; the journal may not be the same file.

    Raises UsageError where two answers would have one place, or the journal cannot be used.
    """
    sidecars = Sidecars(course, everything, lists) if course.sidecar else None
    with ExitStack() as stack:
        if course.remembers:
            groups = {job.group: job.pictures for job in everything}
            pictures = [picture for group in groups.values() for picture in group]
            if course.table:
                tables.check_names(Path(course.table), [[one.name for one in group] for group in groups.values()])
            memory = stack.enter_context(Memory.of(course, files, pictures, stdout))
            yield Remaining(memory.left(everything), everything, memory, sidecars, card=files.card)
        elif sidecars is not None:
            jobs, skipped = sidecars.left(everything)
            yield Remaining(jobs, everything, None, sidecars, skipped)
        else:
            yield Remaining(everything, everything)
