"""`python -m vlmcli.bench.journal`: seconds and memory that a journal of many records takes.

A file of made-up records is written, each line as `vlm ask --output` writes it, and then used, each time in a process
of its own: opened as a run that is resumed opens it, beside a small reference (a dictionary, and a parser of JSON for
each line); put in order, after its records came in any order; and made into a table. Memory is the peak of the process.
POSIX.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vlmcli.records import lines, tables
from vlmcli.records.journal import Fingerprint, Journal, fields
from vlmcli.values import Answer, Result, Timings, Usage

QUESTION = "Describe this image in one sentence."
ANSWERS = (
    "A red circle on the left, and a blue square behind it, on a white ground.",
    "A man in a red shirt rides a horse along a beach at dusk while two dogs run after him.",
    "Two people stand in front of a shop window in the rain; one of them holds a yellow umbrella.",
)
MB = 1_000_000
SHUFFLED = 1000
"""Records among which one may be out of its order, as in a run whose answers come as they are ready."""
REFERENCE = "a dictionary"
METADATA, PARQUET = "metadata.jsonl", "table.parquet"
STEPS = ("open", REFERENCE, "order", METADATA, PARQUET)


@dataclass(frozen=True)
class Taken:
    """What a step took: seconds, those of them that the processor was at work, and bytes of memory at most."""

    seconds: float
    busy: float
    peak: int


def main() -> None:
    """Write the file, take each step, and print a line of it."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.journal", description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files are written, which are removed at the end")
    parser.add_argument("--skip", action="append", default=[], choices=STEPS, help="leave a step out; can be repeated")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child, options.folder, options.records)
        return
    with tempfile.TemporaryDirectory(prefix="vlm-journal-", dir=options.folder) as folder:
        size = write(Path(folder), options.records)
        sys.stdout.write(f"{options.records:,} records, {size / MB:,.0f} MB, {size / options.records:.0f} bytes each\n")
        sys.stdout.write(f"{'':24}{'seconds':>9}{'processor':>11}{'µs a record':>13}{'memory, MB':>12}\n")
        for step in STEPS:
            if step not in options.skip and (step != PARQUET or find_spec("pyarrow")):
                _show(step, measure(step, Path(folder), options.records), options.records)


def _show(step: str, taken: Taken, records: int) -> None:
    each = taken.seconds / records * 1e6
    sys.stdout.write(f"{step:24}{taken.seconds:9.1f}{taken.busy:11.1f}{each:13.1f}{taken.peak / MB:12,.0f}\n")
    sys.stdout.flush()


def measure(step: str, folder: Path, records: int) -> Taken:
    """Take a step in a process of its own. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "vlmcli.bench.journal", "--child", step]
    command += ["--folder", str(folder), "--records", str(records)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step} failed:\n{done.stderr[-2000:]}")
    return Taken(**json.loads(done.stdout))


def _child(step: str, folder: Path, records: int) -> None:
    start, before = time.monotonic(), time.process_time()
    found = _step(step, folder, records)
    seconds, busy = time.monotonic() - start, time.process_time() - before
    if found != records:
        raise SystemExit(f"{found:,} of {records:,} records")
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    sys.stdout.write(json.dumps({"seconds": seconds, "busy": busy, "peak": peak}))


def _step(step: str, folder: Path, records: int) -> int:
    """Take a step here. Returns how many records it has seen."""
    os.chdir(folder)  # the names of pictures are of here
    path = Path("run.jsonl")
    if step == REFERENCE:
        with path.open("rb") as file:
            return len({one["work"]: (one["sources"], one["sha256"], "error" in one) for one in map(json.loads, file)})
    with Journal(path.absolute()) as journal:
        if step == "open":
            known = journal.knows([name(0)]) and journal.has(work(0))  # what is looked up is sorted then
            return len(journal) if known else 0
        if step == "order":
            return len(journal) if journal.restore_order(map(work, range(records))) else 0
        return tables.write(Path(step), journal.records())


def name(number: int) -> str:
    """Of a picture; `metadata.jsonl` is written where it would be."""
    return f"photos/{number // 1000:05}/{number:08}.jpg"


def work(number: int) -> str:
    """The name of its work."""
    return hashlib.sha256(b"%d" % number).hexdigest()[:32]


def write(folder: Path, records: int) -> int:
    """Write the file of records into a folder. Returns its bytes."""
    with (folder / "run.jsonl").open("wb") as file:
        for line in _lines(records):
            file.write(line)
        return file.tell()


def _lines(records: int) -> Iterator[bytes]:
    """Lines as they are written, made of few that are made so: only what differs from one to the next is filled in."""
    usage, timings = Usage(64, 80, 0, 11), Timings(picture=0.0123, encode=0.0272, prefill=0.0099, generate=0.0257)
    more = {"revision": "", "projector": "mmproj-demo.gguf", "quantisation": "F16", "versions": {"vlm": "0.1.0"}}
    forms = []
    for text in ANSWERS:
        result = Result(("NAME",), QUESTION, "demo", text, Answer(text, "stop", usage, timings, "demo"))
        known = {"detail": 0} | more | fields([Fingerprint("SHA256", 987_654_321, 123_456_789)], "WORK")
        form = lines.object_line(lines.record(result) | known).replace("%", "%%")
        for word, place in (("NAME", "%s"), ("WORK", "%s"), ("SHA256", "%s"), ("987654321", "%d"), ("123456789", "%d")):
            form = form.replace(word, place)
        forms.append(form.encode() + b"\n")
    chance = random.Random(1)
    for first in range(0, records, SHUFFLED):
        some = list(range(first, min(first + SHUFFLED, records)))
        chance.shuffle(some)
        for number in some:
            sha256 = hashlib.sha256(b"%d" % number).hexdigest().encode()
            values = name(number).encode(), sha256[:32], sha256, 500_000 + number % 100_000, 1_796_042_056_912_626_926
            yield forms[number % len(forms)] % values


if __name__ == "__main__":
    main()
