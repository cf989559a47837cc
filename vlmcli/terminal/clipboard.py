"""The clipboard: the picture that is in it, and a text put there.

Windows and macOS are asked through Pillow; elsewhere programs are, which a user may not have: wl-clipboard on Wayland,
xclip or xsel on X11. They are looked up in PATH and started without a shell, in a session of their own, and are not
waited for longer than `SECONDS`. What the picture is, is not known here: its bytes are for `images.load`.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes, urlsplit

from vlmcli.amounts import size
from vlmcli.errors import SourceError

SECONDS = 5.0
"""For each program that is started; one that asks an owner of the clipboard that hangs never ends."""
MAX_BYTES = 256 << 20
"""Of a picture, from a program."""
TYPES = ("image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp", "image/gif", "image/avif", "image/heic")
"""Of pictures that can be read, the best first."""
FILES = "text/uri-list"
"""What a file manager copies (RFC 2483, 5)."""

_NOTHING = re.compile(r"nothing is copied|no selection|no suitable type|not available|cannot convert|no owner", re.I)
"""What the programs say where there is nothing, or nothing of that type; all else that they say is a failure."""


@dataclass(frozen=True)
class _Limits:
    environment: Mapping[str, str]
    seconds: float
    max_bytes: int


@dataclass(frozen=True)
class _Done:
    """A program that has ended: its exit code, and what it wrote."""

    code: int
    out: bytes
    said: str


def picture(
    environment: Mapping[str, str],
    platform: str = sys.platform,
    seconds: float = SECONDS,
    max_bytes: int = MAX_BYTES,
) -> bytes | list[Path] | None:
    """A picture file's bytes (PNG where there is one), or the files that were copied, or None where there is neither.

    Args:
        environment: of which PATH, WAYLAND_DISPLAY and DISPLAY count.
        platform: as `sys.platform` has it.
        seconds: for each program.
        max_bytes: of what a program gives.

    Raises:
        SourceError: nothing here can read a clipboard; or what can has failed, or keeps to no limit.
    """
    limits = _Limits(environment, seconds, max_bytes)
    if platform == "win32":
        return _grabbed()
    if platform == "darwin":
        return _mac(limits)
    return _listed(limits)


def copy(text: str, environment: Mapping[str, str], platform: str = sys.platform, seconds: float = SECONDS) -> bool:
    """Put a text into the clipboard; whether that was done. A terminal may know `osc52` where it was not."""
    for command in _writers(environment, platform):
        # clip.exe takes a byte order mark for a part of the text
        encoding = "utf-16-le" if command[0].endswith("clip.exe") else "utf-8"
        if _given(command, text.encode(encoding, "replace"), environment, seconds):
            return True
    return False


def osc52(text: str) -> str:
    """The control sequence that asks a terminal to put a text into the clipboard, over ssh too.

    xterm's control sequences, "Operating System Commands", 52. No answer comes; many terminals take no more than
    100,000 bytes, and some must be told to take any.
    """
    return f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode('ascii')}\x07"


# --------------------------------------------------------------------------------------------- reading


def _grabbed() -> bytes | list[Path] | None:
    """By Pillow, which asks Windows itself, and macOS through osascript."""
    from PIL import ImageGrab

    try:
        found = ImageGrab.grabclipboard()
        if found is None:
            return None
        if isinstance(found, list):
            return [Path(name) for name in found] or None
        kept = io.BytesIO()
        found.save(kept, "PNG")
        return kept.getvalue()
    except Exception as error:  # another program holds it, or what is there is damaged: decoders raise anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _failed(f"cannot be read ({reason})") from error


def _mac(limits: _Limits) -> bytes | list[Path] | None:
    """By Pillow; then by pngpaste, if it is there, which knows more formats."""
    program = _which("pngpaste", limits.environment)
    try:
        found = _grabbed()
    except SourceError:
        if program is None:
            raise
        found = None
    if found is not None or program is None:
        return found
    done = _output([program, "-"], limits)
    return done.out if done.code == 0 and done.out else None


def _listed(limits: _Limits) -> bytes | list[Path] | None:
    """By a program that first says which types there are."""
    types, get = _reader(limits.environment)
    listed = _answer(types, limits)
    there = set((listed or b"").decode("utf-8", "replace").split())
    best = next((kind for kind in TYPES if kind in there), None)
    if best is not None:
        return _answer([*get, best], limits) or None
    if FILES in there:
        return _files(_answer([*get, FILES], limits) or b"") or None
    return None


def _reader(environment: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Two commands: one lists the types, one gives what is of the type that is put behind it."""
    wayland, x11 = bool(environment.get("WAYLAND_DISPLAY")), bool(environment.get("DISPLAY"))
    if wayland and (program := _which("wl-paste", environment)):
        return [program, "--list-types"], [program, "--no-newline", "--type"]
    if x11 and (program := _which("xclip", environment)):  # on Wayland through its X server
        get = [program, "-selection", "clipboard", "-o", "-t"]
        return [*get, "TARGETS"], get
    if wayland:
        raise SourceError("clipboard: wl-paste is not installed", "install wl-clipboard")
    if x11:
        raise SourceError("clipboard: xclip is not installed", "install xclip")
    raise SourceError("clipboard: there is no display (WAYLAND_DISPLAY, DISPLAY)", "save the picture, and use the file")


def _answer(command: Sequence[str], limits: _Limits) -> bytes | None:
    """What a reader gives; None where nothing is there."""
    done = _output(command, limits)
    if done.code == 0:
        return done.out
    if _NOTHING.search(done.said):
        return None
    raise _failed(f"{Path(command[0]).name} says: {done.said or f'exit code {done.code}'}")


def _files(listed: bytes) -> list[Path]:
    """The files of this machine in a list of addresses."""
    found = []
    for line in listed.decode("utf-8", "replace").splitlines():
        with suppress(ValueError):
            parts = urlsplit(line.strip())
            if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
                found.append(Path(os.fsdecode(unquote_to_bytes(parts.path))))
    return found


def _failed(what: str) -> SourceError:
    return SourceError(f"clipboard: {what}", "save the picture, and use the file")


# --------------------------------------------------------------------------------------------- writing


def _writers(environment: Mapping[str, str], platform: str) -> list[list[str]]:
    """The commands that are there and copy what they read, the best first."""
    if platform == "win32":  # not from PATH, for which Windows also looks where the user is
        known = [[str(Path(environment.get("SYSTEMROOT", "C:\\Windows"), "System32", "clip.exe"))]]
    elif platform == "darwin":
        known = [["pbcopy"]]
    else:
        known = [["wl-copy", "--type", "text/plain"]] if environment.get("WAYLAND_DISPLAY") else []
        if environment.get("DISPLAY"):
            known += [["xclip", "-selection", "clipboard", "-i"], ["xsel", "--clipboard", "--input"]]
        known += [["clip.exe"]]  # of Windows, from its Linux
    found = [(_which(name, environment), rest) for name, *rest in known]
    return [[program, *rest] for program, rest in found if program is not None]


def _given(command: Sequence[str], data: bytes, environment: Mapping[str, str], seconds: float) -> bool:
    """Whether a program took the data. Those of Linux leave a process behind that has it until it is replaced."""
    if command[0].endswith("pbcopy"):
        environment = {**environment, "LC_ALL": "en_US.UTF-8"}  # else it may read Mac Roman
    try:
        process = _started(command, environment, stdin=subprocess.PIPE, stdout=None, stderr=None)
    except OSError:
        return False
    try:
        process.communicate(data, seconds)
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        _end(process)
    return process.returncode == 0


# --------------------------------------------------------------------------------------------- programs


def _which(name: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environment.get("PATH", os.defpath))


def _output(command: Sequence[str], limits: _Limits) -> _Done:
    """Run a program to its end. Raises SourceError where it keeps to no limit, or does not start."""
    name = Path(command[0]).name
    late = threading.Event()
    with tempfile.TemporaryFile() as said:
        try:
            process = _started(command, limits.environment, stdin=None, stdout=subprocess.PIPE, stderr=said)
        except OSError as error:
            raise _failed(f"{name} cannot be started ({error.strerror})") from error

        def end() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(limits.seconds, end)
        timer.daemon = True
        timer.start()
        try:
            out = _read(process, limits.max_bytes)
            code = process.wait() if out is not None else -1
        finally:
            timer.cancel()
            _end(process)
        if late.is_set():
            raise _failed(f"{name} returned nothing within {limits.seconds:g} s")
        if out is None:
            raise _failed(f"it has more than {size(limits.max_bytes)}")
        said.seek(0)
        lines = said.read(4096).decode("utf-8", "replace").strip().splitlines()
    return _Done(code, out, lines[0].strip() if lines else "")


def _started(
    command: Sequence[str], environment: Mapping[str, str], stdin: int | None, stdout: int | None,
    stderr: IO[bytes] | None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """A program, the leader of a session of its own; None is nothing to read or nobody who reads."""
    null = subprocess.DEVNULL
    return subprocess.Popen(
        command, stdin=stdin or null, stdout=stdout or null, stderr=stderr or null, env=dict(environment),
        start_new_session=True,
    )  # fmt: skip


def _read(process: subprocess.Popen[bytes], max_bytes: int) -> bytes | None:
    """All that it writes; None where that is more."""
    assert process.stdout is not None
    data = bytearray()
    with process.stdout as pipe:
        while piece := os.read(pipe.fileno(), 1 << 16):
            data += piece
            if len(data) > max_bytes:
                return None
    return bytes(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A program that was not waited for ends now, with what it has started."""
    if process.returncode is not None:
        return
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # its number is not another's as long as nobody has waited for it
    process.kill()
    process.wait()
