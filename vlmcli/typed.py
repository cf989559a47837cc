"""Words and commands as a person types them into a shell, for the hints that messages end with.

typed.command(["vlm", "ask", "my photo.jpg", "what is this?"])   # vlm ask "my photo.jpg" "what is this?"
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w@%+=:,./-]+")
"""What no shell changes: `shlex.quote`'s letters, and those of other languages."""
_IN_DOUBLE_QUOTES = re.compile(r'["$`\\!]')
"""What a shell reads between double quotes; an interactive one looks for "!" there, too."""


def word(text: str) -> str:
    """One word, in quotes where a shell would make something else of it; double ones where they do."""
    if os.name == "nt":
        import subprocess  # which takes long to import

        return subprocess.list2cmdline([text])
    if _PLAIN.fullmatch(text):
        return text
    return shlex.quote(text) if _IN_DOUBLE_QUOTES.search(text) else f'"{text}"'


def command(words: Iterable[str]) -> str:
    """A command's words in one line."""
    return " ".join(map(word, words))
