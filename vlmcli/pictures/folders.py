"""What is in a folder: its pictures, by name and content, and a count of what is left out.

A file whose suffix says nothing is looked into: one open, and its first bytes. Only regular files are opened. Linked
folders are followed, and none is gone through twice. Does not decode anything, and loads no decoder.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmcli import typed
from vlmcli.pictures import signatures
from vlmcli.pictures.signatures import OTHERS, SUFFIXES

SIDECARS = (".txt", ".xmp", ".json")
"""Of files that belong to a picture of their name: written by `vlm` and others, and no pictures left out."""
METADATA = frozenset(("metadata.jsonl", "metadata.csv", "metadata.parquet", "metadata.jsonl.jsonl"))
"""What an imagefolder has of its pictures, and the records that `vlm` makes the first of: no pictures left out."""

_SYSTEM = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
"""What file managers keep, and do not show."""
_ONE = "1 file that vlm cannot read as a picture"
_BROKEN, _ABOVE = "broken link", "link to a parent folder"
_SPECIAL, _CLOSED, _SHUT = "pipe or device", "unreadable file", "unreadable folder"
_PLURALS = {
    _BROKEN: "broken links", _ABOVE: "links to parent folders", _SPECIAL: "pipes or devices",
    _CLOSED: "unreadable files", _SHUT: "unreadable folders",
    "link": "links", "sparse file": "sparse files",
}  # fmt: skip
_SHOWN = 5
"""Kinds of files that a message names."""
_LONGEST = 16
"""Letters of a suffix that a message shows."""


@dataclass
class LeftOut:
    """Files of folders that are no pictures, told as `skipped 2 files that vlm cannot read as pictures (1 .NEF, …)`.

    Attributes:
        files: name and kind of each; the kind is empty where the suffix says what it is.
    """

    files: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Forget those whose names are not wanted: the user has left them out."""
        self.files = [file for file in self.files if wanted(file[0])]

    def kinds(self) -> str:
        """How many of each kind, the most frequent first, then by name: `3 .NEF, 1 .txt`."""
        counts: Counter[str] = Counter()
        spelled: dict[str, str] = {}
        for name, kind in self.files:
            label = kind or _suffix(name)
            counts[label.lower()] += 1
            spelled.setdefault(label.lower(), label)
        most = sorted(counts.items(), key=lambda one: (-one[1], not one[0], one[0]))
        said = [_counted(number, spelled[key]) for key, number in most[:_SHOWN]]
        return ", ".join(said) + (", …" if len(most) > _SHOWN else "")

    def __str__(self) -> str:
        """What a person is told; empty where nothing is left out."""
        if not self.files:
            return ""
        many = len(self.files) > 1
        what = f"{len(self.files):,} files that vlm cannot read as pictures" if many else _ONE
        return f"skipped {what} ({self.kinds()})"


def _counted(number: int, label: str) -> str:
    if not label:
        return f"{number:,} without a suffix"
    return f"{number:,} {label if number == 1 else _PLURALS.get(label, label)}"


def _suffix(name: str) -> str:
    """A name's suffix for a message; a number behind a dot is none."""
    suffix = os.path.splitext(name)[1]  # noqa: PTH122 - a hundred thousand of them
    if not suffix.strip(".0123456789"):
        return ""
    return suffix if len(suffix) <= _LONGEST else suffix[: _LONGEST - 1] + "…"


@dataclass(frozen=True)
class File:
    """A picture that was found.

    Attributes:
        name: what it is called; it begins with the word that named the folder.
        path: where it is.
        kind: its format, where that was looked for because the name does not say it.
    """

    name: str
    path: Path
    kind: str = ""


class Folder:
    """A folder that was named, and all below it.

    Attributes:
        left_out: files in it that are no pictures.
        closed: folders that cannot be read, by name and path. Both are whole once the pictures have been gone through.
    """

    def __init__(
        self, word: str, path: Path, *, hidden: bool = False, seen: set[tuple[int, int]] | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            word: that names the folder, and begins the names of all that is in it.
            path: where it is.
            hidden: whether what is hidden is of it, too.
            seen: folders that have been gone through elsewhere, and are not again; those of this one are added.
        """
        self.left_out = LeftOut()
        self.closed: list[tuple[str, Path]] = []
        self._hidden = hidden
        self._seen = set() if seen is None else seen
        self._waiting = [(word, str(path))]  # folders; the next one is the last
        self._links: list[tuple[str, str]] = []

    def pictures(self) -> Iterator[File]:
        """The pictures of each folder by name, then those of the folders in it; what links lead to comes last.

        Left out is what is hidden. A folder that several names lead to is gone through once; its own name comes first.
        """
        for files in self._folders():
            pictures: list[File] = []
            others: list[tuple[str, str]] = []
            for name, path, kind in files:
                _judge(name, path, kind, pictures, others)
            self.left_out.files += without_sidecars(others, [one.name for one in pictures])
            yield from pictures

    def names(self) -> Iterator[str]:
        """The names of all files, whatever they are, in the same order."""
        for files in self._folders():
            for name, _, kind in files:
                if kind == _ABOVE:
                    self.left_out.files.append((name, kind))
                else:
                    yield name

    def _folders(self) -> Iterator[list[tuple[str, str, str]]]:
        """What is in each folder but other folders: names, paths, and what it is where it is no regular file."""
        while self._waiting or self._links:
            name, here = self._waiting.pop() if self._waiting else self._links.pop(0)
            try:
                identity = _identity(here)
                if identity in self._seen:
                    continue
                self._seen.add(identity)
                with os.scandir(here) as found:
                    entries = sorted(found, key=lambda one: one.name)
            except OSError:
                self.closed.append((name, Path(here)))
                continue
            files: list[tuple[str, str, str]] = []
            inside: list[tuple[str, str]] = []
            for entry in entries:
                if not self._hidden and is_hidden(entry.name):
                    continue
                called = os.path.join(name, entry.name)  # noqa: PTH118 - keeps the word
                try:
                    if not entry.is_dir():
                        kind = "" if entry.is_file() else _what(entry.path)
                        files.append((called, entry.path, kind))
                    elif not entry.is_symlink():
                        inside.append((called, entry.path))
                    elif not _is_around(entry.path, here):
                        self._links.append((called, entry.path))
                    elif _identity(entry.path) not in self._seen:  # or it would be all that is beside this folder, too
                        files.append((called, entry.path, _ABOVE))
                except OSError:  # links in a ring
                    files.append((called, entry.path, _BROKEN))
            self._waiting += reversed(inside)
            yield files


def matching(pattern: str, left_out: LeftOut) -> list[str]:
    """The names of files that a pattern with `**` matches, sorted; no folder is gone through twice.

    Args:
        pattern: as `glob` takes it: `**` stands for folders, any number, none of them hidden.
        left_out: takes up links that are not followed.
    """
    parts = pattern.split(os.sep)  # noqa: PTH206 - keeps what the user has written
    first = parts.index("**")
    before, behind = "".join(part + os.sep for part in parts[:first]), [part for part in parts[first:] if part]
    roots = glob.glob(any_case(before)) if first else [""]  # noqa: PTH207 - Path's takes no absolute patterns
    roots.sort(key=lambda root: (Path(root).is_symlink(), root))
    hidden = any(part.startswith(".") for part in behind)
    seen: set[tuple[int, int]] = set()
    found: list[str] = []
    for root in roots:
        folder = Folder(root, Path(root), hidden=hidden, seen=seen)
        found += [name for name in folder.names() if _parts_fit(name[len(root) :].split(os.sep), behind)]  # noqa: PTH206
        left_out.files += [*folder.left_out.files, *((name, _SHUT) for name, _ in folder.closed)]
    return sorted(found)


def fits(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern; capitals and small letters are the same, as cameras write `.JPG`."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def any_case(pattern: str) -> str:
    """A pattern that `glob` reads as `fits` does: each letter becomes a class of both cases, from the first `*` on.

    The folders before that are named as they are.
    """
    parts = pattern.split(os.sep)  # noqa: PTH206 - keeps what the user has written
    first = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))

    def both(found: re.Match[str]) -> str:
        text = found[0]
        if len(text) > 1:  # a class: [a-z]
            return text[:-1] + text[1:-1].strip("!]").swapcase() + "]"
        other = text.swapcase()
        return f"[{text}{other}]" if other != text and len(other) == 1 else text

    return os.sep.join(  # noqa: PTH118 - keeps what the user has written
        [*parts[:first], *(re.sub(r"\[!?\]?[^\]]*\]|.", both, part) for part in parts[first:])]
    )


def _parts_fit(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the parts of a name fit those of a pattern; what is hidden fits only what begins with a dot, too."""
    reached = {0}  # how many of the names the patterns so far may have taken
    for pattern in patterns:
        if pattern == "**":
            for at, name in enumerate(names):
                if at in reached and not name.startswith("."):
                    reached.add(at + 1)
            continue
        reached = {
            at + 1
            for at in reached
            if at < len(names)
            and fits(names[at], pattern)
            and (pattern.startswith(".") or not names[at].startswith("."))
        }
    return len(names) in reached


def sorted_out(names: Sequence[str], left_out: LeftOut) -> list[File]:
    """Of the names of files, those of pictures; the others are left out and counted, as in a folder."""
    pictures: list[File] = []
    others: list[tuple[str, str]] = []
    for name in names:
        _judge(name, name, _what(name), pictures, others)
    left_out.files += without_sidecars(others, [one.name for one in pictures])
    return pictures


def has_pages(path: Path) -> bool:
    """Whether a file is a PDF or a TIFF by its name; by its content, where its name does not say what it is."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in OTHERS or _what(str(path)):
        return suffix in (".pdf", ".tif", ".tiff")
    return signatures.kind(head(str(path)) or b"") in ("PDF", "TIFF")


def _what(path: str) -> str:
    """What is at a path, if it is no regular file; empty where it is one."""
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else _SPECIAL  # noqa: PTH116 - of as many as a pattern matches
    except (OSError, ValueError):  # a word may be no name at all
        return _BROKEN


def _judge(name: str, path: str, kind: str, pictures: list[File], others: list[tuple[str, str]]) -> None:
    """Put a file among the pictures, or the others. The kind says what it is where it is no regular file."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a hundred thousand of them
    if suffix in SUFFIXES:  # also a broken link: that it cannot be read is said with its name
        pictures.append(File(name, Path(path)))
    elif kind:
        others.append((name, kind))
    elif suffix in OTHERS or signatures.is_backup(name):
        others.append((name, ""))
    elif (begin := head(path)) is None:
        others.append((name, _CLOSED))
    elif found := signatures.kind(begin):
        pictures.append(File(name, Path(path), found))
    else:
        others.append((name, ""))


def head(path: str) -> bytes | None:
    """The first bytes of a regular file; None where it cannot be read. Does not wait for anybody."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):  # it was when it was looked at
            return None
        return os.read(file, signatures.HEAD)
    except OSError:
        return None
    finally:
        os.close(file)


def of_containers(word: str, left_out: LeftOut) -> str:
    """What to do with a place that has no pictures but archives or tables of them; empty where it has none."""
    for suffix in (".tar", ".parquet"):
        found = [name for name, _ in left_out.files if name.lower().endswith(suffix)]
        if found:
            inner = found[0][len(word.rstrip("/")) + 1 :]
            below = "**/" if "/" in inner else ""
            pattern = typed.word(f"{word.rstrip('/')}/{below}*{suffix}")
            return f"to ask about the pictures in its {suffix} files, name them by a pattern in quotes: {pattern}"
    return ""


def without_sidecars(others: list[tuple[str, str]], pictures: Sequence[str]) -> list[tuple[str, str]]:
    """The others but for those that belong to pictures: `photo.txt` and `photo.jpg.xmp`, `letter-2.txt` of a page.

    So do the files that tell Hugging Face's imagefolder what is in a folder. Both are lists of names.
    """
    others = [one for one in others if os.path.basename(one[0]) not in METADATA]  # noqa: PTH119 - of very many
    if not any(name.lower().endswith(SIDECARS) for name, _ in others):
        return others
    stems = {*pictures, *(os.path.splitext(one)[0] for one in pictures)}  # noqa: PTH122

    def is_sidecar(name: str) -> bool:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        return suffix.lower() in SIDECARS and (stem in stems or re.sub(r"-[1-9][0-9]{0,5}\Z", "", stem) in stems)

    return [one for one in others if not is_sidecar(one[0])]


def is_hidden(name: str) -> bool:
    """Whether file managers do not show a file of this name."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _is_around(link: str, folder: str) -> bool:
    """Whether a link leads to a folder that holds another one, or to that itself."""
    leads, inner = os.path.realpath(link), os.path.realpath(folder)
    return inner == leads or inner.startswith(leads.rstrip(os.sep) + os.sep)


def _identity(folder: str) -> tuple[int, int]:
    """What tells a folder from all others, whatever it is called."""
    found = os.stat(folder)  # noqa: PTH116 - of as many as there are folders
    return found.st_dev, found.st_ino
