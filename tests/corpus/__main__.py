"""`python -m tests.corpus DIR`: the command that is described in the package's docstring."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tests.corpus
from tests.corpus import compare, references
from tests.corpus.reader import Read, Reader
from vlmcli.pictures import images

VERDICTS = ("alike", "differs", "refused", "only vlm", "neither", "not compared", "fault")
PART = 20
"""Files that exiftool, which takes long to start, is asked about at a time."""
LOOK = ("differs", "refused", "only vlm", "fault")
"""Verdicts that get a line of their own."""


@dataclass
class Record:
    """What is said of a file.

    Attributes:
        path: below the folder.
        format: by its first bytes, or its suffix.
        verdict: one of `VERDICTS`.
        why: what differs.
        vlm: the number of pictures, the size of the first, the error.
        reference: the same, and the program.
        pages: of each page that both have read, how far they are apart.
        mean: the greatest mean difference of them.
    """

    path: str
    format: str
    verdict: str = ""
    why: str = ""
    vlm: dict = field(default_factory=dict)
    reference: dict = field(default_factory=dict)
    pages: list[dict] = field(default_factory=list)
    mean: float | None = None

    def line(self) -> str:
        """For people: what vlm gave, what the other program gave, how far they are apart."""
        apart = "" if self.mean is None else f", mean difference {self.mean:g}"
        return f"{self.verdict}: {self.path}: {self.why} (vlm: {_said(self.vlm)}; {_said(self.reference)}{apart})"


def _said(side: dict) -> str:
    """What one side made of a file."""
    name = f"{side['program']}: " if side.get("program") else ""
    if side["error"]:
        return f"{name}{side['error']}"
    size = "{}x{}".format(*side["size"]) if side["size"] else "no size"
    return f"{name}{size}" + (f", {side['pages']} pages" if (side["pages"] or 1) > 1 else "")


def files(folder: Path, only: list[str], limit: int) -> list[tuple[Path, str]]:
    """The pictures, PDFs and DICOM files below a folder, by name, with their formats; evenly chosen if they are more.

    Args:
        folder: nothing in it is written.
        only: patterns, of which a name, or its path below the folder, must match one; any, if there are none.
        limit: no more files than this; 0 for all.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if any(part in (".git", ".svn") for part in below.parts) or not path.is_file():
            continue
        if only and not any(fnmatch.fnmatch(name, one) for name in (path.name, str(below)) for one in only):
            continue
        what = references.kind(path)
        if what:
            found.append((path, what))
    if not limit or len(found) <= limit:
        return found
    return [found[number * len(found) // limit] for number in range(limit)]


def judge(
    path: Path, name: str, what: str, read: Read, size: tuple[int, int] | None, allowed: argparse.Namespace
) -> Record:
    """Compare what vlm made of a file with what another program makes of it.

    Args:
        path: of the file.
        name: its path below the folder.
        what: its format.
        read: what vlm made of it.
        size: width and height that exiftool says, if it does.
        allowed: with `threshold`, of the mean difference, and `spot`, of the worst spot's.
    """
    seen = references.look(path, what, [number for number, _ in read.pictures] or [1])
    record = Record(name, what)
    theirs = next(iter(seen.pictures.values()), None)
    record.vlm = {"pages": read.pages, "size": _size(read.pictures[0][1] if read.pictures else None)}
    record.vlm["error"] = read.error
    record.reference = {"program": seen.program, "pages": seen.pages, "size": _size(theirs) or size}
    record.reference["error"] = seen.error
    if read.fault:
        record.verdict, record.why = "fault", "no named error"
    elif read.error:
        record.verdict = "neither" if seen.error or not seen.program else "refused"
        record.why = "vlm refuses it"
    elif seen.error or not seen.program:
        record.verdict = "only vlm" if seen.program else "not compared"
        record.why = f"{seen.program} refuses it" if seen.program else "no program to compare with"
        if size and what != "PDF" and not compare.same_size(_size(read.pictures[0][1]), size, images.BOUND):
            record.verdict, record.why = "differs", "{}x{} by exiftool".format(*size)
    else:
        _compare(record, read, seen, allowed)
    return record


def _compare(record: Record, read: Read, seen: references.Seen, allowed: argparse.Namespace) -> None:
    """Both have read it: say in what they differ."""
    why = []
    if seen.pages is not None and seen.pages != read.pages:
        why.append(f"{seen.pages} pages, of which vlm has {read.pages}")
    for number, ours in read.pictures:
        theirs = seen.pictures.get(number)
        if theirs is None:
            continue
        apart = compare.difference(ours, theirs)
        record.pages.append({"page": number, **asdict(apart)})
        record.mean = max(record.mean or 0, round(apart.mean(), 2))
        same = compare.same_shape(_size(ours), _size(theirs))
        if record.format != "PDF":  # which has no size in pixels
            same = compare.same_size(_size(ours), _size(theirs), images.BOUND)
        if not same:
            why.append(f"the size of page {number}" if read.pages > 1 else "the size")
        elif apart.mean() > allowed.threshold or apart.worst > allowed.spot:
            what = "the colours" if apart.mean() > allowed.threshold else "a spot"
            why.append(f"{what} of page {number}" if read.pages > 1 else what)
    record.verdict, record.why = ("differs", "; ".join(why)) if why else ("alike", "")


def _size(pixels) -> tuple[int, int] | None:
    return None if pixels is None else (pixels.shape[1], pixels.shape[0])


def records(folder: Path, chosen: list[tuple[Path, str]], options: argparse.Namespace) -> Iterator[Record]:
    """A record of each file, in the order of the files, a few being read at a time."""
    mine = threading.local()
    readers: list[Reader] = []
    with tempfile.TemporaryDirectory() as temporary:

        def one(part: list[tuple[Path, str]]) -> list[Record]:
            sizes = references.sizes([path for path, what in part if what not in ("PDF", "DICOM")])
            if not hasattr(mine, "reader"):
                place = Path(tempfile.mkdtemp(dir=temporary))
                mine.reader = Reader(place, options.pages, options.seconds, options.memory << 20)
                readers.append(mine.reader)
            return [each(path, what, sizes.get(path.absolute())) for path, what in part]

        def each(path: Path, what: str, size: tuple[int, int] | None) -> Record:
            read = mine.reader.read(path.absolute())
            name = str(path.relative_to(folder))
            try:
                return judge(path, name, what, read, size, options)
            except Exception as error:  # a fault of this tool loses one file, not the run
                empty = {"pages": 0, "size": None, "error": ""}
                return Record(name, what, "not compared", f"{type(error).__name__}: {error}", empty, empty)

        with ThreadPoolExecutor(options.jobs) as pool:
            try:
                parts = [chosen[start : start + PART] for start in range(0, len(chosen), PART)]
                for found in pool.map(one, parts):
                    yield from found
            finally:
                pool.shutdown(cancel_futures=True)
                for reader in readers:
                    reader.close()


def table(found: Counter) -> str:
    """The summary: a line for each format, a column for each verdict."""
    formats = sorted({what for what, _ in found})
    rows = [(what, *(found[what, verdict] for verdict in VERDICTS)) for what in formats]
    rows.append(("all", *(sum(row[column] for row in rows) for column in range(1, len(VERDICTS) + 1))))
    lines = [("format", "files", *VERDICTS), *((row[0], sum(row[1:]), *row[1:]) for row in rows)]
    return "\n".join(
        "".join(f"{cell!s:<8}" if at == 0 else f"{cell!s:>13}" for at, cell in enumerate(line)) for line in lines
    )


def options(words: list[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        "python -m tests.corpus", description=tests.corpus.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="only names or paths like this")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="at most N files, chosen evenly")
    parser.add_argument("--pages", type=int, default=2, metavar="N", help="compare up to N pages of a file (2)")
    parser.add_argument("--threshold", type=float, default=4, metavar="N", help="mean difference of 255 allowed (4)")
    parser.add_argument("--spot", type=float, default=70, metavar="N", help="difference of the worst spot allowed (70)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="files read at a time (2)")
    parser.add_argument("--seconds", type=float, default=20, metavar="N", help="for vlm to read a file (20)")
    parser.add_argument("--memory", type=int, default=4096, metavar="MIB", help="address space of that process (4096)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a JSON object per file, one per line")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    asked = options(words)
    if not asked.folder.is_dir():
        print(f"{asked.folder}: not a folder", file=sys.stderr)
        return 2
    if asked.json and asked.json.resolve().is_relative_to(asked.folder.resolve()):
        print(f"{asked.json}: nothing is written into {asked.folder}; name another place", file=sys.stderr)
        return 2
    chosen = files(asked.folder, asked.only, asked.limit)
    found: Counter = Counter()
    kept = asked.json.open("w", encoding="utf-8") if asked.json else None
    try:
        for record in records(asked.folder, chosen, asked):
            found[record.format, record.verdict] += 1
            if record.verdict in LOOK:
                print(record.line(), flush=True)
            if kept:
                print(json.dumps(asdict(record)), file=kept, flush=True)
            if found.total() % 100 == 0:
                print(f"{found.total()} of {len(chosen)} files", file=sys.stderr)
    finally:
        if kept:
            kept.close()
    print(f"\n{found.total()} files\n{table(found)}")
    return int(any(found[what, verdict] for what, verdict in found if verdict in ("differs", "refused", "fault")))


if __name__ == "__main__":
    sys.exit(main())
