"""One round: every command of the comparison once, each when it is first asked for, and never twice.

What is kept on the disk between two commands is part of it: a cold command gets an empty folder, and the one that comes
after it the same.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vlmcli.bench import commands, servers
from vlmcli.bench.commands import Job, Run

QUESTIONS = ("what is here?", "who is in it?", "how big is it", "is it bright?", "is it a bird?")
"""Of one length, so that all prompts have the same number of tokens."""
LONG, SHORT = 32, 8
"""Tokens of an answer."""


@dataclass(frozen=True)
class Course:
    """What all rounds have in common.

    Attributes:
        job: the pair, threads and context.
        pictures: JPEG files in one folder; the first is asked about alone, and left out where loading is.
        say: told of each command that has ended.
        untimed: what llama-mtmd-cli read and wrote before the first round; None without it.
    """

    job: Job
    pictures: tuple[Path, ...]
    say: Callable[[str], object]
    untimed: Run | None = None


class Turn:
    """One round. Each property is a command, run once; their names say which."""

    def __init__(self, course: Course, folder: Path) -> None:
        """Begin a round.

        Args:
            course: what is run.
            folder: empty, for what `vlm` keeps from one command to the next.
        """
        self._course, self._folder = course, folder
        self.runs: dict[str, Run] = {}
        if course.untimed is not None:
            self._told("llama-mtmd-cli, untimed", course.untimed, LONG)

    def _told(self, name: str, run: Run, tokens: int) -> Run:
        """Keep a run. Raises Failure where an answer has another length than all shall have."""
        if any(answer != tokens for answer in run.answers):
            raise commands.Failure(f"{name}: answers have {run.answers} tokens, not {tokens}")
        self.runs[name] = run
        self._course.say(f"{name}: {run.seconds:.1f} s")
        return run

    def _vlm(self, name: str, cache: str, picture: Path, questions: tuple[str, ...], tokens: int, *more: str) -> Run:
        folder = self._folder / cache
        folder.mkdir(exist_ok=True)
        return self._told(name, commands.vlm(self._course.job, folder, [picture], questions, tokens, *more), tokens)

    def _cli(self, name: str, question: str, tokens: int) -> Run:
        return self._told(name, commands.cli(self._course.job, self._first, question, tokens), tokens)

    @property
    def _first(self) -> Path:
        return self._course.pictures[0]

    @cached_property
    def cold(self) -> Run:
        return self._vlm("vlm, cold", "one", self._first, QUESTIONS[:1], LONG)

    @cached_property
    def cli_cold(self) -> Run:
        return self._cli("llama-mtmd-cli, cold", QUESTIONS[0], LONG)

    @cached_property
    def handler_cold(self) -> Run:
        run = commands.chat_handler(self._course.job, self._first, QUESTIONS[0], LONG)
        return self._told("MTMDChatHandler, cold", run, LONG)

    @cached_property
    def second(self) -> Run:
        self.cold  # noqa: B018 - leaves what this one finds
        return self._vlm("vlm, second question", "one", self._first, QUESTIONS[1:2], SHORT)

    @cached_property
    def cli_second(self) -> Run:
        return self._cli("llama-mtmd-cli, second question", QUESTIONS[1], SHORT)

    @cached_property
    def folder(self) -> Run:
        return self._vlm("vlm, folder", "folder", self._first.parent, QUESTIONS[:1], LONG)

    @cached_property
    def loaded(self) -> Run:
        """The folder's first picture alone, in a separate process as the folder is: what to leave out for loading."""
        return self._vlm("vlm, one picture of it", "loaded", self._first, QUESTIONS[:1], LONG, "--worker")

    @cached_property
    def pictures(self) -> float:
        """Seconds for all pictures of the folder but the first, without loading."""
        return self.folder.seconds - self.loaded.seconds

    @cached_property
    def of_folder(self) -> Run:
        self.folder  # noqa: B018 - leaves what this one finds
        return self._vlm("vlm, picture of a folder", "folder", self._course.pictures[-1], QUESTIONS[2:3], LONG)

    @cached_property
    def again(self) -> Run:
        self.folder  # noqa: B018 - leaves what this one finds
        return self._vlm("vlm, folder again", "folder", self._first.parent, QUESTIONS[1:2], LONG)

    def _server(self, slots: int) -> Run:
        run = servers.serve(self._course.job, slots, self._course.pictures, QUESTIONS[0], LONG)
        return self._told(f"llama-server -np {slots}", run, LONG)

    @cached_property
    def server_1(self) -> Run:
        return self._server(1)

    @cached_property
    def server_4(self) -> Run:
        return self._server(4)

    @cached_property
    def five(self) -> Run:
        return self._vlm("vlm, five questions", "five", self._first, QUESTIONS, LONG)

    @cached_property
    def cli_five(self) -> float:
        """Seconds of five commands together."""
        return sum(self._cli(f"llama-mtmd-cli, question {n}", q, LONG).seconds for n, q in enumerate(QUESTIONS, 1))

    @cached_property
    def busy(self) -> Run:
        with _busy():
            return self._vlm("vlm, beside a busy core", "busy", self._first, QUESTIONS[:1], LONG)

    @cached_property
    def cli_busy(self) -> Run:
        with _busy():
            return self._cli("llama-mtmd-cli, beside a busy core", QUESTIONS[0], LONG)

    @cached_property
    def worker(self) -> Run:
        return self._vlm("vlm --worker, cold", "worker", self._first, QUESTIONS[:1], LONG, "--worker")


@contextmanager
def _busy() -> Iterator[None]:
    """Another program that computes all the time, on one core."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        time.sleep(0.5)
        try:
            yield
        finally:
            process.kill()
