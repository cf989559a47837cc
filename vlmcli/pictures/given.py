"""The bytes of a picture's file, whether it is a path or in memory: opened by `files`' door, each time it is opened.

So nothing is waited for, and no device is opened, also where something else is put in the file's place in between.
Decodes nothing.
"""

from __future__ import annotations

import errno
import io
import os
import re
from pathlib import Path
from typing import BinaryIO

from vlmcli import files, typed
from vlmcli.errors import SourceError
from vlmcli.pictures import names

MAX_BYTES = 1 << 30
"""Of a picture's file."""
_ADDRESS = re.compile(r"(?!\.)[A-Za-z0-9.-]+\.[A-Za-z]{2,}(:[0-9]+)?/")
"""How the name of a server begins a web address without https://."""
_LONGEST = 4096
"""Letters of a name that a message has whole."""


def opened(file: Path | bytes) -> BinaryIO:
    """A stream of the bytes of a file. Raises OSError where it cannot be opened, or is no regular file."""
    return io.BytesIO(file) if isinstance(file, bytes) else files.opened(file)


def data(file: Path | bytes) -> bytes:
    """All its bytes. Raises OSError, also where there are more than `MAX_BYTES`."""
    return file if isinstance(file, bytes) else files.read(file, MAX_BYTES)


def head(file: Path | bytes, count: int) -> bytes:
    """Its first bytes, as many as that. Raises OSError."""
    with opened(file) as stream:
        return stream.read(count)


def named_head(path: Path, source: str, count: int) -> bytes:
    """The first bytes of a file that somebody has named. Raises SourceError, which says what is there instead."""
    try:
        return head(path, count)
    except files.Unfit as error:
        if path.is_dir():
            raise _folder(path, source) from None
        hint = '"-" is a picture on stdin' if error.strerror == "a pipe" else "check the path"
        raise SourceError(f"{source}: {error.strerror}, not a regular file", hint) from None
    except FileNotFoundError:
        raise _missing(path, source) from None
    except NotADirectoryError:
        raise SourceError(f"{source}: there is no such {_kind(source)}", "check the path") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SourceError(f"{source}: a link that leads back to itself", "check where it points: ls -l") from None
        if error.errno == errno.ENAMETOOLONG:
            shown = source if len(source) <= _LONGEST else f"{source[:200]}…"
            raise SourceError(f"{shown}: cannot be read ({error.strerror})", "check the path") from None
        hint = "check the path" if error.errno == errno.EINVAL else "check its permissions"
        raise SourceError(f"{source}: cannot be read ({error.strerror})", hint) from error


def _folder(path: Path, source: str) -> SourceError:
    """What is said of a folder in a picture's place."""
    try:
        next(path.iterdir(), None)
    except OSError as error:
        return SourceError(f"{source}: the folder cannot be read ({error.strerror})", "check its permissions")
    return SourceError(f"{source}: a folder, not a picture", "name the pictures in it")


def _missing(path: Path, source: str) -> SourceError:
    """What is said where no file is: where a link points, or which file may be meant."""
    if path.is_symlink():
        leads = os.readlink(path)  # noqa: PTH115 - as it is written, bytes and all
        return SourceError(
            f"{source}: a link to {leads}, which does not exist", "make the link point to a file, or remove it"
        )
    close = names.nearest(path)
    hint = f"did you mean {typed.word(str(close))}?" if close else "check the path"
    if not close and _ADDRESS.match(source) and not path.parent.exists():
        hint = f"check the path, or write https:// before a web address: {typed.word(f'https://{source}')}"
    return SourceError(f"{source}: there is no such {_kind(source)}", hint)


def _kind(source: str) -> str:
    """What a name that leads nowhere was meant to be, by its looks."""
    if source.endswith(("/", os.sep)):
        return "folder"
    return "file" if Path(source).suffix else "file or folder"
