"""Pages of a PDF, drawn by PDFium in a child process with a bound on its time and memory.

A page is a program: a few hundred bytes can draw for hours, or ask for all the memory there is. The child writes one
line to stdout, "pages N" or "WIDTH HEIGHT", and then the pixels. What PDFium raises or dies of becomes a SourceError.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vlmcli.errors import SourceError

SECONDS = 4.0
"""For the child, from its start to its end."""
MEMORY = 1 << 30
"""Bytes of address space for the child, where the system can bound it."""

_START = "import sys; sys.path[:] = [p for p in sys.path if p]; from vlmcli.pictures.pdf import main; sys.exit(main())"
"""The child; nothing is imported from the folder one happens to be in."""


def count(file: Path | bytes, source: str) -> int:
    """How many pages a PDF has. Raises SourceError, which names the source."""
    return int(_ask(file, source, "count").split()[1])


def page(file: Path | bytes, source: str, number: int, dpi: int, bound: int) -> tuple[tuple[int, int], bytes]:
    """(width, height) and the RGB pixels of a page, from 1, on white.

    Args:
        file: its path or its bytes.
        source: what the user called it.
        number: of the page; 0 for the only one.
        dpi: dots per inch, fewer where the page would have a side longer than `bound` pixels.
        bound: see `dpi`.

    Raises:
        SourceError: also where there is no such page, or where it is not drawn in time.
    """
    head, _, pixels = _ask(file, source, "page", str(number), str(dpi), str(bound)).partition(b"\n")
    width, height = map(int, head.split())
    return (width, height), pixels


def _ask(file: Path | bytes, source: str, *words: str) -> bytes:
    """What the child writes to stdout when it is given these words. Raises SourceError where it fails."""
    if b"%%EOF" not in _tail(file):  # PDFium would show what is left of it
        raise SourceError(f"{source}: a PDF that is cut off", "get it again")
    given = file if isinstance(file, bytes) else None
    command = [sys.executable, "-c", _START, "-" if given is not None else str(file), *words]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"{source}: a PDF that takes more than {SECONDS:g} s to draw", "print it to another PDF, or to a picture"
        ) from None
    if done.returncode == 0:
        return done.stdout
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 3 and said:
        what, hint = said.split("\t")
        raise SourceError(f"{source}: {what}", hint.replace("{source}", source))
    raise SourceError(
        f"{source}: a PDF that PDFium cannot draw (it ended with {done.returncode})",
        "print it to another PDF, or to a picture",
    )


def _tail(file: Path | bytes) -> bytes:
    """The last bytes, among which a PDF that is whole has its mark of the end."""
    if isinstance(file, bytes):
        return file[-2048:]
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 2048))
        return opened.read()


# --- The child ---


class _Refused(Exception):
    """What is wrong, a tab, and what to do."""


def _child(name: str, what: str, *rest: str) -> bytes:
    """What the child answers; raises _Refused for a PDF that it will not draw."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(sys.stdin.buffer.read() if name == "-" else name)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise _Refused("the PDF is locked with a password\tunlock it first") from None
        raise _Refused(f"not a PDF that can be opened ({error})\tcheck that it opens elsewhere") from None
    pages = len(document)
    if what == "count":
        return b"pages %d" % pages
    number, dpi, bound = map(int, rest)
    if not pages:
        raise _Refused("a PDF without pages\tget it again")
    if not number and pages > 1:
        raise _Refused(f"a PDF of {pages} pages\tname one: {{source}}#1 … {{source}}#{pages}")
    if number > pages:
        have = "1 page" if pages == 1 else f"{pages} pages"
        raise _Refused(f"the PDF has {have}, no number {number}\tname one up to {pages}")
    drawn = document[max(0, number - 1)]
    width, height = drawn.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6) or max(width, height) > 200 * min(width, height):
        raise _Refused(f"a page of {width:g}x{height:g} points\tprint it to another PDF")
    image = drawn.render(scale=min(dpi / 72, bound / max(width, height))).to_pil().convert("RGB")
    pixels: bytes = image.tobytes()
    return b"%d %d\n" % image.size + pixels


def main() -> int:
    """The child's command: FILE|- count, or FILE|- page NUMBER DPI BOUND. Returns 3 where stdout says what is wrong."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS) + 1, int(SECONDS) + 1))
    except (ImportError, OSError, ValueError):
        pass  # not everywhere; the time is bounded by the parent
    try:
        found, code = _child(*sys.argv[1:]), 0
    except _Refused as error:
        found, code = str(error).encode(), 3
    sys.stdout.buffer.write(found)
    return code


if __name__ == "__main__":
    sys.exit(main())
