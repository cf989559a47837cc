"""A small picture inside a terminal: which protocol it has, and the control sequence that shows the picture.

Deciding is done by environment variables alone: nothing is asked of the terminal, and what is not certain counts as
none. Whether there is a terminal at all (isatty) is the caller's to check. Nothing is written here. After a picture the
cursor is on its last row (in some terminals with sixel, the row after it): write a line's end next.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from typing import Literal

GraphicsProtocol = Literal["kitty", "iterm2", "sixel", ""]
"""How a terminal shows pictures: the graphics protocol of kitty, iTerm2's OSC 1337, DEC's sixels, or not at all."""

CELL = (10, 20)
"""Pixels of a cell, as is assumed; real ones are near to twice as high as wide."""
CHUNK = 4096
"""Letters of base64 in one of kitty's sequences, at most; all but the last must be divisible by four."""
COLOURS = 64
"""Of a sixel picture."""
BAND = 6
"""Rows of pixels in one row of sixels."""
SKEW = 0.04
"""By how much cells, which are whole, may change a picture's shape before a smaller box with less is taken."""

_WITHIN = ("TMUX", "STY", "ZELLIJ", "NVIM", "VIM_TERMINAL", "INSIDE_EMACS")
"""Set by what runs in a terminal, is one, and lets no pictures through."""

_TERMS: tuple[tuple[str, GraphicsProtocol], ...] = (
    ("xterm-kitty", "kitty"),
    ("xterm-ghostty", "kitty"),
    ("ghostty", "kitty"),
    ("wezterm", "iterm2"),
    ("foot", "sixel"),
    ("mlterm", "sixel"),
    ("contour", "sixel"),
    ("yaft", "sixel"),
)
"""What TERM begins with where it names the terminal itself."""

_PROGRAMS: dict[str, GraphicsProtocol] = {"iTerm.app": "iterm2", "WezTerm": "iterm2", "ghostty": "kitty"}
"""TERM_PROGRAM. WezTerm's kitty protocol can be switched off, iTerm2's cannot. VS Code's pictures are off at first."""

_MARKS: dict[str, GraphicsProtocol] = {
    "KITTY_WINDOW_ID": "kitty",
    "GHOSTTY_RESOURCES_DIR": "kitty",
    "WEZTERM_PANE": "iterm2",
    "MLTERM": "sixel",
    "VTE_VERSION": "",  # has sixels, off as it is built
    "XTERM_VERSION": "",  # has sixels where it is told to be a VT340
    "ALACRITTY_WINDOW_ID": "",
    "TERMINAL_EMULATOR": "",  # JetBrains
    "WT_SESSION": "",  # Windows Terminal has sixels from 1.22, and does not say its version
}
"""Variables that one terminal sets."""

KONSOLE = 220400
"""The KONSOLE_VERSION that first knows kitty's protocol, 22.04."""

_REPEATED = re.compile(r"(.)\1{3,}")
_SIXELS = bytes((63 + bits) % 256 for bits in range(256))
"""Six pixels' bits to the letter that stands for them."""


def protocol_of(environment: Mapping[str, str]) -> GraphicsProtocol:
    """What the terminal of these environment variables surely shows pictures by.

    A terminal's variables are inherited by others that are started in it. So TERM goes first, which each sets anew;
    where it names none, and the other variables name terminals that differ in this, it is none.
    """
    term = environment.get("TERM", "")
    if any(environment.get(name) for name in _WITHIN) or term.startswith(("screen", "tmux")):
        return ""
    for begin, named in _TERMS:
        if term.startswith(begin):
            return named
    if "sixel" in term:
        return "sixel"
    if not term.startswith(("xterm", "konsole")):  # "dumb", "linux", "alacritty" ...
        return ""
    found = _marks(environment)
    return found.pop() if len(found) == 1 else ""


def _marks(environment: Mapping[str, str]) -> set[GraphicsProtocol]:
    """The protocols of all terminals that have left a variable."""
    found = {known for name, known in _MARKS.items() if environment.get(name)}
    if program := environment.get("TERM_PROGRAM"):
        found.add(_PROGRAMS.get(program, ""))
    if program := environment.get("LC_TERMINAL"):  # goes through ssh
        found.add("iterm2" if program == "iTerm2" else "")
    if version := environment.get("KONSOLE_VERSION"):
        found.add("kitty" if version.isdecimal() and int(version) >= KONSOLE else "")
    return found


def shown(pixels: bytes, size: tuple[int, int], protocol: GraphicsProtocol, columns: int, rows: int) -> str:
    """The control sequence that shows a picture, its shape kept; a small one takes no more rows than it fills.

    Args:
        pixels: width * height * 3 bytes of RGB, rows from the top.
        size: width and height in pixels.
        protocol: of the terminal; the answer is empty without one.
        columns: cells that it may be wide.
        rows: cells that it may be high.
    """
    if not protocol or min(columns, rows) < 1:
        return ""
    if protocol == "sixel":
        return _sixel(pixels, size, (columns * CELL[0], rows * CELL[1] // BAND * BAND))
    from vlmcli.pictures import images  # loads Pillow

    wide, high = cells(size, columns, rows)
    file = images.png(pixels, size, max(wide * CELL[0], high * CELL[1]))
    return _kitty(file, wide, high) if protocol == "kitty" else _iterm2(file, wide, high)


def cells(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """The columns and rows, of at most that many, that a picture of that size in pixels takes: whole, its shape kept.

    The largest box whose shape is the picture's but for `SKEW`; where there is none, that which is nearest.
    """
    width, height = size
    shape = (width / CELL[0]) / (height / CELL[1])  # columns to each row
    highest = min(rows, math.ceil(height / CELL[1]))
    boxes = [(min(columns, max(1, round(high * shape))), high) for high in range(1, highest + 1)]
    return max(boxes, key=lambda box: (-max(SKEW, abs(math.log(box[0] / box[1] / shape))), box[1]))


def _kitty(file: bytes, wide: int, high: int) -> str:
    """A PNG shown as https://sw.kovidgoyal.net/kitty/graphics-protocol/ has it; the terminal answers nothing (q=2).

    Both numbers of cells are given, as terminals differ in what they make of one.
    """
    letters = base64.b64encode(file).decode("ascii")
    pieces = [letters[at : at + CHUNK] for at in range(0, len(letters), CHUNK)]
    written = []
    for number, piece in enumerate(pieces):
        keys = "" if number else f"a=T,f=100,t=d,q=2,c={wide},r={high},"
        written.append(f"\x1b_G{keys}m={int(number + 1 < len(pieces))};{piece}\x1b\\")
    return "".join(written)


def _iterm2(file: bytes, wide: int, high: int) -> str:
    """A picture file shown as https://iterm2.com/documentation-images.html has it."""
    letters = base64.b64encode(file).decode("ascii")
    keys = f"inline=1;size={len(file)};width={wide};height={high};preserveAspectRatio=1"
    return f"\x1b]1337;File={keys}:{letters}\x07"


def _sixel(pixels: bytes, size: tuple[int, int], bound: tuple[int, int]) -> str:
    """Sixels of at most so many pixels, as the VT330/VT340 Programmer Reference Manual has them in chapter 14.

    All pixels have a colour, so the background stays what it is (0;1;0); a pixel is as high as wide ("1;1).
    """
    from PIL import Image

    image = Image.frombytes("RGB", size, pixels)
    image.thumbnail(bound, Image.Resampling.BICUBIC)
    image = image.quantize(COLOURS, Image.Quantize.MEDIANCUT)
    width, height = image.size
    data = image.tobytes()
    shares = [(value * 100 + 127) // 255 for value in image.getpalette() or ()]
    used = [f"#{colour};2;" + ";".join(map(str, shares[3 * colour : 3 * colour + 3])) for colour in sorted(set(data))]
    bands = [_band(data[at : at + BAND * width], width) for at in range(0, len(data), BAND * width)]
    return f'\x1bP0;1;0q"1;1;{width};{height}{"".join(used)}{"-".join(bands)}\x1b\\'


def _band(band: bytes, width: int) -> str:
    """Up to six rows of pixels, a byte of colour each, as sixels: a line for each colour, one over the other."""
    lines = []
    for colour in sorted(set(band)):
        bits = 0
        for row in range(len(band) // width):
            table = bytes(colour) + bytes([1 << row]) + bytes(255 - colour)
            bits |= int.from_bytes(band[row * width : (row + 1) * width].translate(table), "big")
        letters = bits.to_bytes(width, "big").translate(_SIXELS).rstrip(b"?").decode("ascii")
        lines.append(f"#{colour}" + _REPEATED.sub(lambda run: f"!{len(run[0])}{run[1]}", letters))
    return "$".join(lines)
