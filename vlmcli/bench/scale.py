"""`python -m vlmcli.bench.scale`: what very many pictures take on several machines, on paper.

The answers' time and the pictures' bytes are arithmetic, of what is given. What the journal takes of a processor's time
is measured here, at two sizes (vlmcli/bench/journal.py), and taken on in a straight line; and so is what the command
keeps in memory of each picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tracemalloc
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vlmcli.batch.course import jobs_of
from vlmcli.batch.memory import Works
from vlmcli.bench import journal
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask

MB, GB = 1e6, 1e9
JOBS = 20_000
"""Pictures with which it is measured what the command keeps of each."""


@dataclass(frozen=True)
class Costs:
    """What one more record of a journal takes: bytes of the file, and seconds of one processor.

    Attributes:
        size: bytes.
        opening: to read it when a run is resumed.
        order: to put it into the command's order at the end.
        table: to write it into a table.
    """

    size: float
    opening: float
    order: float
    table: float


def main() -> None:
    """Measure the journal, compute the rest, and print both."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.scale", description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000_000)
    parser.add_argument("--nodes", type=_numbers, default=[1.0, 4.0, 16.0, 64.0], help="how many, with commas between")
    parser.add_argument(
        "--seconds-per-picture", type=_numbers, required=True, metavar="S", help="of one machine; several with commas"
    )
    parser.add_argument("--megabytes", type=float, default=0.5, metavar="M", help="of a picture")
    parser.add_argument("--records", type=int, default=200_000, help="of the journal that is measured")
    options = parser.parse_args()
    costs = measured(options.records)
    sys.stdout.write(about_journal(options.pictures, costs, options.records))
    sys.stdout.write(about_command(options.pictures, bytes_of_a_job()))
    for seconds in options.seconds_per_picture:
        sys.stdout.write(about_nodes(options.pictures, options.nodes, seconds, options.megabytes))


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]


def measured(records: int) -> Costs:
    """What a record takes on this machine, of a journal of so many and one of a tenth."""
    table = journal.PARQUET if find_spec("pyarrow") else journal.METADATA
    sizes, busy = [], []
    for count in (records // 10, records):
        with tempfile.TemporaryDirectory(prefix="vlm-scale-") as folder:
            sizes.append(journal.write(Path(folder), count))
            steps = ("open", "order", table)
            busy.append([journal.measure(step, Path(folder), count).busy for step in steps])
    more = records - records // 10
    opening, order, whole = (max(0.0, (large - small) / more) for small, large in zip(*busy, strict=True))
    return Costs((sizes[1] - sizes[0]) / more, opening, order - opening, whole - opening)


def about_journal(pictures: int, costs: Costs, records: int) -> str:
    """What the journal of so many pictures takes on the machine that writes it, in words."""
    return (
        f"journal of {pictures:,} records, on one processor, from {records:,} measured here\n"
        f"  size               {pictures * costs.size / GB:8.1f} GB\n"
        f"  open, to resume    {_minutes(pictures * costs.opening)}\n"
        f"  restore the order  {_minutes(pictures * costs.order)}\n"
        f"  write the table    {_minutes(pictures * costs.table)}\n"
    )


def bytes_of_a_job() -> float:
    """What a command keeps in memory of each picture that it is going to ask about, measured with some."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    names = (f"photos/{number:08}.jpg" for number in range(JOBS))
    jobs = jobs_of([(Source(name, Path(name), expanded=True),) for name in names], [Ask("?")])
    kept = jobs, Works(len(jobs))
    found = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return found / len(kept[0])


def about_command(pictures: int, each: float) -> str:
    """What the command takes that lets so many pictures be asked about, in words."""
    return (
        f"\nmemory of the command, from {JOBS:,} pictures measured here\n"
        f"  names and work     {pictures * each / GB:8.1f} GB\n"
    )


def _minutes(seconds: float) -> str:
    return f"{max(0.0, seconds) / 60:8.1f} minutes"


def about_nodes(pictures: int, nodes: list[float], seconds: float, megabytes: float) -> str:
    """A table with a row for each number of machines.

    Args:
        pictures: how many there are.
        nodes: numbers of machines.
        seconds: that one machine takes for a picture.
        megabytes: of a picture, as it is stored.
    """
    lines = [
        f"{seconds:g} s per picture on one machine, {megabytes:g} MB per picture: "
        f"{pictures * megabytes * MB / GB:,.0f} GB to read",
        f"{'nodes':>7}{'pictures/s':>12}{'hours':>10}{'MB/s per node':>15}{'MB/s in all':>13}",
    ]
    for count in nodes:
        rate = count / seconds
        hours, each = pictures / rate / 3600, megabytes / seconds
        lines.append(f"{count:7.0f}{rate:12,.1f}{hours:10,.1f}{each:15,.1f}{each * count:13,.1f}")
    return "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
