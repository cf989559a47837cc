"""What is wanted of `vlm` beside its peers: a row for each goal, and the table of them with what was measured.

A row's ratio is of two commands of one round; what counts is the median over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from vlmcli.bench.commands import CLI, SERVER
from vlmcli.bench.turns import LONG, QUESTIONS, SHORT, Turn

Measure = Callable[[Turn], float]
"""Runs what is needed of a round; seconds, or bytes of memory."""
LARGE = 1_000_000_000
"""Weights of a language model from which a pair counts as large."""
HANDLER = "MTMDChatHandler"


@dataclass(frozen=True, eq=False)
class Row:
    """One goal.

    Attributes:
        number: of the group it belongs to, by which it is chosen.
        what: is measured.
        ours: of `vlm`.
        peers: the same of others, by their names; the best of them counts.
        needs: the program that has to be on the PATH; empty for none.
        goal: the ratio to stay at or below; 0 where there is none.
        large_goal: the same for a large pair; 0 for the same.
        unit: what it is divided by to be shown.
    """

    number: int
    what: str
    ours: Measure
    peers: Mapping[str, Measure]
    needs: str = ""
    goal: float = 0
    large_goal: float = 0
    unit: float = 1

    def wanted(self, weights: int) -> float:
        """The goal for a pair whose language model has so many weights."""
        return self.large_goal if self.large_goal and weights >= LARGE else self.goal

    def measure(self, turn: Turn) -> Found:
        """Run what it needs."""
        return Found(self.ours(turn), {name: peer(turn) for name, peer in self.peers.items()})


@dataclass(frozen=True)
class Found:
    """What a row measured in one round: `vlm`, and its peers by name."""

    ours: float
    peers: Mapping[str, float]


ROWS = (
    Row(1, f"cold question, {LONG} tokens", lambda turn: turn.cold.seconds,
        {CLI: lambda turn: turn.cli_cold.seconds}, CLI, 1.0),
    Row(1, f"cold question, {LONG} tokens", lambda turn: turn.cold.seconds,
        {HANDLER: lambda turn: turn.handler_cold.seconds}, goal=0.8),
    Row(1, "its memory at most, MB", lambda turn: turn.cold.peak, {CLI: lambda turn: turn.cli_cold.peak}, CLI, 1.0,
        unit=1e6),
    Row(2, f"second question, {SHORT} tokens", lambda turn: turn.second.seconds,
        {CLI: lambda turn: turn.cli_second.seconds}, CLI, 0.3, 0.15),
    Row(3, f"a picture of a folder, {LONG} tokens", lambda turn: turn.of_folder.seconds,
        {"vlm, cold": lambda turn: turn.cold.seconds}, goal=0.6),
    Row(4, f"{len(QUESTIONS)} questions", lambda turn: turn.five.seconds,
        {f"{len(QUESTIONS)} x {CLI}": lambda turn: turn.cli_five}, CLI, 0.25),
    Row(5, "pictures of a folder", lambda turn: turn.pictures,
        {f"{SERVER} -np 1": lambda turn: turn.server_1.seconds,
         f"{SERVER} -np 4": lambda turn: turn.server_4.seconds}, SERVER, 0.95),
    Row(5, "the folder again", lambda turn: turn.again.seconds,
        {"vlm, first time": lambda turn: turn.folder.seconds}, goal=0.5),
    Row(6, "cold, one core busy", lambda turn: turn.busy.seconds,
        {CLI: lambda turn: turn.cli_busy.seconds}, CLI, 0.9),
    Row(7, "cold, separate process", lambda turn: turn.worker.seconds,
        {"vlm, cold": lambda turn: turn.cold.seconds}),
)  # fmt: skip
"""In the order in which they are measured; 1 to 6 are goals, and 7 is to be known."""


def table(found: Mapping[Row, Sequence[Found]], weights: int) -> str:
    """A line for each row.

    Args:
        found: what each row measured, round by round; nothing where it could not be.
        weights: of the pair's language model.
    """
    lines = [f"   {'':32}{'vlm':>9}{'other':>10}{'ratio':>8}{'goal':>7}  holds  other"]
    for row, rounds in found.items():
        goal = row.wanted(weights)
        wanted = f"{goal:7.2f}" if goal else f"{'-':>7}"
        start = f"{row.number}  {row.what:32}"
        if not rounds:
            lines.append(f"{start}{'-':>9}{'-':>10}{'-':>8}{wanted}  {'-':5}  {row.needs} is not on the PATH")
            continue
        name, ratio = best(rounds)
        ours, other = (median(some) / row.unit for some in ([one.ours for one in rounds],
                                                             [one.peers[name] for one in rounds]))  # fmt: skip
        holds = "-" if not goal else "yes" if ratio <= goal else "no"
        digits = 0 if row.unit > 1 else 2
        lines.append(f"{start}{ours:9.{digits}f}{other:10.{digits}f}{ratio:8.2f}{wanted}  {holds:5}  {name}")
    return "\n".join(lines) + "\n"


def best(rounds: Sequence[Found]) -> tuple[str, float]:
    """The peer that is hardest to beat, and the median ratio to it."""
    ratios = {name: median(one.ours / one.peers[name] for one in rounds) for name in rounds[0].peers}
    name = max(ratios, key=ratios.__getitem__)
    return name, ratios[name]


def work(turns: Sequence[Turn]) -> str:
    """A line for each command: how many answers it gave, and tokens of each prompt and answer.

    The prompts' lengths show where the work was not the same; several numbers where they differ.
    """
    lines = [f"   {'':32}{'answers':>9}{'prompt':>10}{'answer':>8}{'encoder, s':>12}"]
    for name in turns[0].runs if turns else ():
        runs = [turn.runs[name] for turn in turns]
        if not runs[0].prompts:
            continue  # llama-mtmd-cli, where it is timed
        encode = "-" if runs[0].encode is None else f"{median(run.encode or 0.0 for run in runs):.2f}"
        lines.append(
            f"   {name:32}{len(runs[0].answers):>9}{_numbers(run.prompts for run in runs):>10}"
            f"{_numbers(run.answers for run in runs):>8}{encode:>12}"
        )
    return "\n".join(lines) + "\n"


def _numbers(some: Iterable[tuple[int, ...]]) -> str:
    """Those there are, each once."""
    return "/".join(map(str, sorted({number for numbers in some for number in numbers}))) or "-"
