"""Whether an error came because memory has run out, and not because of what was being read or asked.

Libraries say it in many ways: MemoryError, ENOMEM, an import that cannot be mapped, a thread that cannot be started, a
failed assertion of llama.cpp about a buffer. A picture's file can bring about some of them, too, by claiming a size
that no machine has; so where a file may be to blame, it is tried whether as much as an honest one needs can be had now.
"""

from __future__ import annotations

import errno
import re

HINT = "close other programs, raise the memory limit (ulimit -v), or lower --ctx"
"""What can be done about it."""

_LITTLE = 64 << 20
"""Bytes that a command needs at least."""

_SAYS = re.compile(
    r"MemoryError|out of memory|cannot allocate memory|memory allocation|bad_alloc|failed to allocate"
    r"|unable to allocate|failed to map segment|can't start new thread|mem_buffer != NULL|memory ran out",
    re.IGNORECASE,
)


def said(text: str) -> bool:
    """Whether a library's words are about memory that it did not get."""
    return _SAYS.search(text) is not None


def is_out(error: BaseException, honest: int = 0) -> bool:
    """Whether an error came because memory has run out.

    Args:
        error: any; it should still be held, with all that its frames have in memory.
        honest: bytes that what was read may need at most, if it could be to blame: it is, where so many can be had.
    """
    known = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    known |= isinstance(error, SystemError) and is_short(_LITTLE)  # the interpreter itself has forgotten why
    return (known or said(str(error))) and (not honest or is_short(honest))


def is_short(count: int) -> bool:
    """Whether so many bytes cannot be reserved now; none of them is touched."""
    import mmap  # only where something has failed

    try:
        mmap.mmap(-1, count).close()
    except (OSError, MemoryError, OverflowError):
        return True
    return False
