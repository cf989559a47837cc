"""Pages of a PDF, drawn by PDFium in a child process with a bound on its time and memory.

A page is a program: a few hundred bytes can draw for hours, or ask for all the memory there is. This is the parent's
half, which never parses a PDF beyond where it ends; `pdf_child` is the other half, which draws. What PDFium raises or
dies of becomes a SourceError.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from vlmcli import room
from vlmcli.errors import NoMemory, SourceError
from vlmcli.pictures import pdf_end

SECONDS = 4.0
"""Of processor time for the child; from its start to its end, where the system cannot bound that."""
PATIENCE = 20.0
"""Seconds from the child's start to its end: a busy machine takes longer for the same page."""
MEMORY = 1 << 30
"""Bytes of address space for the child, where the system can bound it."""

_OUT_OF_TIME = -signal.SIGXCPU if sys.platform != "win32" else None
"""What a child ends with that has used up its processor time; None where that cannot be bounded."""
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; from vlmcli.pictures.pdf_child import main; sys.exit(main())"
)
"""The child; nothing is imported from the folder one happens to be in."""


def count(file: Path | bytes, source: str) -> int:
    """How many pages a PDF has. Raises SourceError, which names the source."""
    return int(_ask(file, source, pdf_end.end(file, source).at, "count").split()[1])


class Drawn(NamedTuple):
    """A page: its size in pixels (width, height), its RGB pixels, and what is to be said of it, or nothing."""

    size: tuple[int, int]
    pixels: bytes
    notice: str


def page(file: Path | bytes, source: str, number: int, dpi: int, bound: int) -> Drawn:
    """Draw a page, from 1, on white: what a viewer shows of it on a screen.

    Filled forms, annotations and the layers that are on by default are drawn; nothing that the PDF would run is run.
    Annotations that cannot be drawn are counted in the notice.

    Args:
        file: its path or its bytes.
        source: what the user called it.
        number: of the page; 0 for the only one.
        dpi: dots per inch, fewer where the page would have a side longer than `bound` pixels, or more pixels than the
            child has memory for (`pdf_child.PIXELS`).
        bound: see `dpi`.

    Raises:
        SourceError: also where there is no such page, or where it is not drawn in time.
    """
    end = pdf_end.end(file, source)
    head, _, pixels = _ask(file, source, end.at, "page", str(number), str(dpi), str(bound)).partition(b"\n")
    size, _, notice = head.decode().partition("\t")
    width, height = map(int, size.split())
    return Drawn((width, height), pixels, "; ".join(filter(None, (end.doubt, notice))))


def _ask(file: Path | bytes, source: str, end: int, *words: str) -> bytes:
    """What the child writes to stdout when it is given these words. Raises SourceError where it fails.

    `end` is how many bytes of the file are the PDF.
    """
    given = file[:end] if isinstance(file, bytes) else None
    name = "-" if isinstance(file, bytes) else str(file)
    command = [sys.executable, "-c", _START, str(SECONDS), str(MEMORY), name, str(end), *words]
    seconds = SECONDS if _OUT_OF_TIME is None else PATIENCE
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise _slow(source, seconds) from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == _OUT_OF_TIME:
        raise _slow(source, SECONDS)
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 3 and said:
        what, hint = said.split("\t")
        raise SourceError(f"{source}: {what}", hint.replace("{source}", source))
    if room.is_out(RuntimeError(done.stderr.decode("utf-8", "replace")), honest=MEMORY):
        raise NoMemory(f"{source}: not enough memory to draw it", room.HINT)
    raise SourceError(
        f"{source}: a PDF that PDFium cannot draw (exit code {done.returncode})",
        "print it to a new PDF, or save the page as a picture",
    )


def _slow(source: str, seconds: float) -> SourceError:
    return SourceError(
        f"{source}: drawing this PDF takes more than {seconds:g} s",
        "print it to a new PDF, or save the page as a picture",
    )
