"""Hostile chat templates by the thousand: each is refused, or rendered, within its time and its memory.

    python -m tests.fuzz.templates --count 2000 --seed 1

Templates are made of doublings, multipliers and nestings over all operators, filters, methods, numbers and structures;
of published shapes with pieces exchanged; and of rubbish. Each runs in a child that does many, and is replaced when it
dies. Its limit on memory is far above what a template may take, so that a failure is seen instead of hidden.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from tests.fuzz import templates_grammar
from vlmcli.engine.chat_template import ChatTemplate
from vlmcli.errors import TemplateError
from vlmcli.pictures.images import from_pixels
from vlmcli.values import Message

PICTURE = from_pixels(bytes(12), (2, 2), "p.png")
SECONDS = 3.0  # on a processor
MEGABYTES = 512
LIMIT = 6 << 30  # bytes of address space of a child
PATIENCE = 90  # seconds by the clock, on a busy machine, until a child counts as hanging


def _resident_peak() -> int:
    """The most memory this process has had since the last reset, in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return 0


def judge(source: str) -> tuple[str, float, float, str]:
    """What comes of one template: rendered, refused or wrong; seconds; MB of memory; and what is wrong or said."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, started = _resident_peak(), time.process_time()
    said, what = "", "refused"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            template = ChatTemplate(source, "<s>", "</s>", "m.gguf")
            template.render([Message("system", ("be brief",)), Message("user", (PICTURE, "what is this?"))])
            what = "rendered"
        except TemplateError as error:
            said = error.message
            if (
                type(error) is not TemplateError
                or not said.startswith("m.gguf's chat template ")
                or "\n" in said
                or len(said) > 400
            ):
                what = "wrong"
        except BaseException:
            what, said = "wrong", traceback.format_exc()
    if warned:
        what, said = "wrong", f"a warning: {warned[0].message}"
    seconds, memory = time.process_time() - started, (_resident_peak() - before) / 2**20
    if seconds > SECONDS or memory > MEGABYTES:
        what, said = "wrong", f"{seconds:.1f} s, {memory:.0f} MiB; {said}"
    return what, seconds, memory, said


def _child(pipe: multiprocessing.connection.Connection) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(judge(pipe.recv()))


class _Worker:
    """A child that judges templates, and is replaced when it dies or hangs."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None

    def judge(self, source: str) -> tuple[str, float, float, str]:
        """What comes of one template."""
        if self._process is None:
            self._pipe, other = multiprocessing.Pipe()
            self._process = multiprocessing.get_context("spawn").Process(target=_child, args=(other,), daemon=True)
            self._process.start()
            other.close()
        try:
            self._pipe.send(source)
            if self._pipe.poll(PATIENCE):
                return self._pipe.recv()
            said = "it hangs"
        except (EOFError, OSError):
            said = "the child died"
        self.close()
        return "wrong", 0.0, 0.0, said

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def run(count: int, seed: int, keep: Path | None = None) -> list[str]:
    """Judge so many templates; prints a line of counts, and returns what was wrong."""
    worker, counts, wrong = _Worker(), Counter[str](), []
    worst = {"s": 0.0, "MiB": 0.0}
    reasons: Counter[str] = Counter()
    for number in range(count):
        source = templates_grammar.template(random.Random(f"{seed}/{number}"))
        what, seconds, memory, said = worker.judge(source)
        counts[what] += 1
        reasons[said.partition("chat template ")[2][:40]] += 1
        worst = {"s": max(worst["s"], seconds), "MiB": max(worst["MiB"], memory)}
        if what == "wrong":
            wrong.append(f"seed {seed}, number {number}: {said}\n{source[:600]}")
            if keep is not None:
                keep.mkdir(exist_ok=True)
                (keep / f"{seed}-{number}.jinja").write_text(source, "utf-8", "surrogatepass")
        if number % 200 == 199:
            print(f"{number + 1} of {count}: {dict(counts)}", flush=True)
    worker.close()
    for reason, times in reasons.most_common(12):
        print(f"{times:6} {reason}")
    print(
        f"{count} templates, seed {seed}: {counts['rendered']} rendered, {counts['refused']} refused, "
        f"{counts['wrong']} wrong; at most {worst['s']:.2f} s and {worst['MiB']:.0f} MiB"
    )
    return wrong


def main() -> int:
    """Parse the command line, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the templates that are judged wrong")
    flags = parser.parse_args()
    wrong = run(flags.count, flags.seed, flags.keep)
    print("\n\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
