"""A question on stdin: where the command says "-" in its place, or where it has no other question.

Without a "-", stdin is read only in place of an error, and only where a person means it: a pipe with one line of text
in it. A script in a loop (`while read`), under cron or in a service has a stdin that is not meant for `vlm`; it must
neither be waited for nor asked as a question.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from pathlib import Path

from vlmcli.amounts import size
from vlmcli.errors import SourceError, UsageError
from vlmcli.pictures import kept

MAX = 1 << 20
"""Bytes of a question."""
FIRST = 2.0
"""Seconds in which something must come where nobody has asked for it."""
WHOLE = 10.0
"""Seconds in which all of it must come then."""


def question() -> str:
    """The question on stdin, for a command that names it with "-". Raises UsageError where there is none."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            '"-" means stdin, but nothing is piped into it', 'pipe a question, or write it: -q "what is this?"'
        )
    try:
        data = sys.stdin.buffer.read(MAX + 1)
    except OSError as error:
        raise SourceError(
            f"-: stdin cannot be read ({error.strerror})", 'write the question: -q "what is this?"'
        ) from None
    if len(data) > MAX:
        raise UsageError(f"the question on stdin has more than {size(MAX)}", "pipe a shorter one")
    text = _text(data)
    if text is None:
        raise UsageError("the question on stdin is not text", 'put the question last, or write -q "what is this?"')
    if not text:
        raise UsageError("the question on stdin is empty", "check the command before the pipe")
    return text


def only_question() -> str:
    """The question on stdin, for a command that has none; empty where nothing is piped.

    Raises UsageError where something else than one line of text is piped.
    """
    data = _waiting()
    text = _text(data)
    if text == "":
        return ""
    if text is None:
        raise UsageError(
            "the command has no question, and what is on stdin is not text", 'put the question last, or -q "…"'
        )
    if len(text.splitlines()) > 1:
        raise UsageError(
            "the command has no question, and there are several lines on stdin",
            "to ask each of them: --questions -; to ask them as one question: -q -",
        )
    if is_there(text):
        raise UsageError(
            f"the command has no question, and stdin has the name of a file, {text}",
            "put the question last; --files-from - reads names of pictures",
        )
    return text


def hint() -> str:
    """What else can be done about a missing question, where stdin is no terminal."""
    return "" if sys.stdin is None or sys.stdin.isatty() else "; -q - reads the question from stdin"


def _waiting() -> bytes:
    """What is in the pipe that stdin is; nothing where it is something else, or nobody writes into it now."""
    try:
        file = sys.stdin.fileno()
        mode = os.fstat(file).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return b""
        data, until = b"", time.monotonic() + FIRST
        while select.select([file], [], [], max(0.0, until - time.monotonic()))[0]:
            block = os.read(file, MAX)
            if not block:
                return data
            if not data:
                until = time.monotonic() + WHOLE
            data += block
            if len(data) > MAX:
                break
    except (AttributeError, OSError, ValueError):  # closed, no file, or a system that cannot wait for a pipe
        return b""
    if data:
        raise UsageError("the command has no question, and what is on stdin does not end", "to ask it: -q -")
    return b""


def _text(data: bytes) -> str | None:
    """Bytes as text without the white space around it; None where they are none."""
    try:
        return None if b"\0" in data else data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None


def is_there(text: str) -> bool:
    """Whether a text is the path of a file or a folder, or an address."""
    if kept.is_elsewhere(text):
        return True
    parts = kept.parted(text)
    try:
        return Path(text).exists() or (parts is not None and Path(parts[0]).exists())
    except (OSError, ValueError):  # a question may be too long to be a name
        return False
