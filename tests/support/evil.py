r"""Texts that a terminal would obey, files that are full of them, and what has got through.

raw, code = on("tty", ["ask", EVIL])
assert not trespassers(raw)
"""

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyte

from tests.support.program import run

MARK = "EVIL"
PIECES = {
    "clipboard": f"\x1b]52;c;{MARK}\x07",
    "title": f"\x1b]2;{MARK}\x1b\\",
    "icon": f"\x1b]1;{MARK}\x07",
    "link": f"\x1b]8;;http:{MARK}\x1b\\",
    "screen": "\x1b[2J",
    "colour": "\x1b[1;97;45m",
    "device": f"\x1bP{MARK}\x1b\\",
    "application": f"\x1b_{MARK}\x1b\\",
    "reset": "\x1bc",
    "C1 colour": "\x9b97;45m",
    "C1 title": f"\x9d2;{MARK}\x9c",
    "C1 device": f"\x90{MARK}\x9c",
    "return": f"\r{MARK}",
    "backspace": f"\x08\x08{MARK}",
    "vertical tab": f"\x0b{MARK}",
    "other letters": f"\x0e{MARK}",
    "bell": f"\x07{MARK}",
    "delete": f"\x7f{MARK}",
    "override": f"\u202e{MARK}\u202c",
    "isolate": f"\u2067{MARK}\u2069",
    "marks": f"\u200e\u200f\u061c{MARK}",
    "separator": f"\u2028{MARK}\u2029",
}
EVIL = f"{MARK}_" + "".join(PIECES.values())
"""All of it, about 250 bytes."""
NAME = f"{MARK}_" + "".join(PIECES[one] for one in ("clipboard", "title", "C1 colour", "return", "override", "bell"))
"""Of it what leaves room in a file's name."""
GOOD = " ".join(
    (
        "\U0001f469\u200d\U0001f467", "e\u0301", "\u2764\ufe0f", "\u0915\u094d\u200d\u0937",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627",
    )
)  # fmt: skip
"""What must stay as it is: joiners, marks, and languages that are written from the right."""

_OURS = re.compile(
    r"\r+(?=\n|\x1b\[)"
    r"|\x1b\[[0-9]{0,2}(;[0-9]{1,3})*m"  # colours
    r"|\x1b\[[0-9]*[ABCDGK]|\x1b\[0?J"  # the cursor moves; what is right of it, or below, is erased
    r"|\x1b\[\?(1|7|12|25|2004)[hl]|\x1b\[6n"  # as prompt_toolkit writes them
)
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\udc80-\udcff]")


def trespassers(raw, codes=True, also=""):
    """What has got through to a terminal: pieces of `PIECES`, and every letter that is obeyed and not ours.

    Args:
        raw: the bytes that it got.
        codes: whether ours may be among them.
        also: letters that a library writes to move the cursor.
    """
    text = raw.decode("utf-8", "surrogateescape")
    whole = [name for name, piece in PIECES.items() if piece in text]
    rest = _OURS.sub("", text).translate(dict.fromkeys(map(ord, also))) if codes else text
    return whole + [f"{found[0]!r} in {rest[max(0, found.start() - 60) : found.end() + 20]!r}" for found in
                    list(_FORBIDDEN.finditer(rest))[:3]]  # fmt: skip


def arrived(raw):
    """Whether something evil is there to be read: as the door escapes it, or as Python's repr does."""
    return MARK.encode() in raw and (b"\\u001b" in raw or b"\\x1b" in raw)


@contextmanager
def _outlet(kind):
    """A terminal, or two pipes. Gives three standard streams and what comes out: of stdout and of stderr."""
    pieces = bytearray(), bytearray()
    with ExitStack() as stack:
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        readers, ends = [(parent, pieces[kind != "out"])], [child, child, child]
        for number, other in ((1, "err"), (2, "out")):
            if kind in (other, "pipe"):
                source, ends[number] = os.pipe()
                readers.append((source, pieces[number - 1]))
        ends = [child if kind == "tty" else os.open(os.devnull, os.O_RDONLY), *ends[1:]]
        ends = [os.dup(end) if end == child else end for end in ends]
        os.close(child)
        threads = [threading.Thread(target=_listen, args=one) for one in readers]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        kept = [(os.dup(number), number) for number in (1, 2)]
        for number, end in zip((1, 2), ends[1:], strict=True):  # what C writes to
            os.dup2(end, number)
        streams = [os.fdopen(end, "w" if number else "r", encoding="utf-8", errors="surrogateescape", newline="\n")
                   for number, end in enumerate(ends)]  # fmt: skip
        try:
            yield streams, parent, pieces
        finally:
            for copy, number in kept:
                os.dup2(copy, number)
                os.close(copy)
            for stream in streams:
                stream.close()


def _listen(source, into):
    while True:
        try:
            piece = os.read(source, 1 << 16)
        except OSError:  # a terminal that nobody has any more
            break
        if not piece:
            break
        into += piece
    os.close(source)


def on(kind, words, env=None, cwd=None, typed=""):
    """Run a command in this process on a terminal ("tty") or pipes ("pipe"), or with one stream there ("out", "err").

    Returns stdout, stderr and the exit code. On a terminal all comes as stderr. What C writes is in it, too.
    """
    with _outlet(kind) as (streams, parent, pieces):
        if typed and kind == "tty":
            os.write(parent, typed.encode())
        unset = dict.fromkeys(("COLUMNS", "LINES", "NO_COLOR", "TMUX"))
        code = run([str(word) for word in words], streams, unset | {"TERM": "xterm-256color"} | (env or {}), cwd)
    return bytes(pieces[0]), bytes(pieces[1]), code


def title_after(raw):
    """What a terminal is called after it got these bytes."""
    screen = pyte.Screen(200, 50)
    pyte.ByteStream(screen).feed(raw)
    return screen.title + screen.icon_name


# ------------------------------------------------------------------------------------------------- GGUF

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9


def reworded(source: Path, target: Path, edit):
    """Write a GGUF file again, in which each text of the metadata is `edit(key, text)`. Source: ggml, docs/gguf.md."""
    raw = source.read_bytes()
    tensors, pairs = struct.unpack_from("<QQ", raw, 8)
    at, made = 24, bytearray(raw[:24])

    def text():
        nonlocal at
        (length,) = struct.unpack_from("<Q", raw, at)
        at += 8 + length
        return raw[at - length : at].decode()

    def put(value):
        made.extend(struct.pack("<Q", len(value.encode())) + value.encode())

    def copy(length):
        nonlocal at
        made.extend(raw[at : at + length])
        at += length

    for _ in range(pairs):
        key = text()
        put(key)
        (kind,) = struct.unpack_from("<I", raw, at)
        copy(4)
        count = 1
        if kind == _ARRAY:
            kind, count = struct.unpack_from("<IQ", raw, at)
            copy(12)
        for _ in range(count):
            if kind == _TEXT:
                put(edit(key, text()))
            else:
                copy(_SIZES[kind])
    for _ in range(tensors):
        put(text())
        (axes,) = struct.unpack_from("<I", raw, at)
        copy(4 + 8 * axes + 12)
    made.extend(b"\0" * (-len(made) % 32))
    target.write_bytes(bytes(made) + raw[at + -at % 32 :])
    return target


def as_token(text):
    """A text as the vocabulary of a byte-level BPE has it: a letter for each byte (OpenAI's GPT-2, encoder.py)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(others)}
    return "".join(letters[byte] for byte in text.encode())
