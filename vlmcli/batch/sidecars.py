"""Answers into files beside their pictures, or into the pictures' files: a text, or an XMP packet.

Knows where each job's answer goes and what is there already. Does not know how jobs are asked, or in which order.

Whoever has made a folder may have put anything beside its pictures: a device, a pipe, a link to somewhere else. An
answer goes into a regular file, or into a new one, in the folder that was named or below it; where something else is,
that is an error of its picture, before the model is asked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import atomic, files
from vlmcli.atomic import write
from vlmcli.batch.course import Course, Job
from vlmcli.errors import UsageError, VlmError
from vlmcli.later import Later
from vlmcli.pictures.kept import Kept
from vlmcli.pictures.sources import Source
from vlmcli.records.journal import Fingerprint
from vlmcli.values import Card

if TYPE_CHECKING:
    from vlmcli.batch import fields, keywords, originals
    from vlmcli.pictures import captions, embedded, properties, xmp
    from vlmcli.pictures.properties import Property
else:  # most runs have no sidecars
    fields, keywords = Later("vlmcli.batch.fields"), Later("vlmcli.batch.keywords")
    originals = Later("vlmcli.batch.originals")
    captions, embedded = Later("vlmcli.pictures.captions"), Later("vlmcli.pictures.embedded")
    properties, xmp = Later("vlmcli.pictures.properties"), Later("vlmcli.pictures.xmp")


class Sidecars:
    """Where each job's answer goes, one file for each.

    Attributes:
        wrong: why an answer has no place, by its job; such a job is not asked.
        told: what was put back that an earlier run had half written, a line for each.
    """

    def __init__(self, course: Course, jobs: Sequence[Job], lists: Sequence[Path] = ()) -> None:
        """Find a place for each answer.

        Pictures whose answers would go into one file are `wrong`, and so is each but the first that is one and the same
        file. Raises UsageError for two questions about one picture, and for a place that is itself a picture or a list
        of the command's.

        Args:
            course: which says what kind of file, and what becomes of a text that is there.
            jobs: all of the command.
            lists: files with names that the command reads.
        """
        self._existing, self._kind = course.existing, course.sidecar
        self._keywords, self._fields = course.keywords, course.fields
        self._full = course.sidecar_name == "full"
        self._touch, self._in_place = course.touch, course.in_place
        self._paths: dict[Job, Path] = {}
        self.wrong: dict[Job, VlmError] = {}
        whose: dict[Path, Job] = {}
        kept = {_real(one) for one in lists}
        if not self.inside:
            kept |= {_real(one.file) for job in jobs for one in job.pictures if isinstance(one.file, Path)}
        for job in jobs:
            try:
                path = self._place(job)
            except UsageError:
                raise
            except VlmError as error:
                self.wrong[job] = error
                continue
            if path in kept:
                raise UsageError(
                    f"{path}: this file is an input of the command itself",
                    "use --sidecar xmp, or move it to another folder",
                )
            if path in whose and whose[path].pictures == job.pictures:
                raise UsageError(
                    f"{path}: several questions would write to this one file", "ask one question per command"
                )
            if path in whose:
                self._refuse(job, whose[path], path)
                continue
            whose[path] = job
            self._paths[job] = path
        self.told = []
        if not course.dry_run:
            self.told = self._restored() if self.inside else self._swept()

    def _refuse(self, job: Job, first: Job, path: Path) -> None:
        """Say of two jobs that they have one place; of pictures that are one file, the first keeps it."""
        if self.inside:
            self.wrong[job] = VlmError(f"{job.names[0]}: the same file as {first.names[0]}", "leave one of them out")
            return
        for one, other in ((job, first), (first, job)):
            self.wrong.setdefault(
                one,
                VlmError(
                    f"{one.names[0]}: its answer and that of {other.names[0]} would both go into {path.name}",
                    "--sidecar-name full names them after the whole file name",
                ),
            )

    @property
    def inside(self) -> bool:
        """Whether answers go into the pictures' own files."""
        return self._kind == "metadata"

    def refusal(self, job: Job) -> VlmError | None:
        """Why a job is not asked: its answer has no place, or could not be written there."""
        if job in self.wrong:
            return self.wrong[job]
        try:
            path = self._target(job)
        except VlmError as error:
            if self._existing != "skip" or not self.has(job):
                self.wrong.setdefault(job, error)
            return self.wrong.get(job)
        if not self.inside or self.keeps(job):
            return self.wrong.get(job)
        return originals.refusal(path, job.names[0], in_place=self._in_place)

    def left(self, jobs: Sequence[Job]) -> tuple[list[Job], int]:
        """The jobs that are to be asked, and how many have been left out because there is a text already."""
        left = [job for job in jobs if job in self.wrong or self._existing != "skip" or not self.has(job)]
        return left, len(jobs) - len(left)

    def has(self, job: Job) -> bool:
        """Whether there is a text, in any of the places where people have theirs.

        Those are the sidecars of both names, and, for a description and for keywords, the picture's own file: its XMP,
        IPTC and EXIF. Of other properties it is the sidecars, and the packet that would be written to. A sidecar that
        cannot be read is said to have one, and is left alone; one that is no file, or a picture that has no place for a
        text, makes its job `wrong` from then on.
        """
        path = self._paths[job]
        try:
            if self.inside:
                packet = embedded.packet_of(_bytes(path, originals.LARGEST) or b"", job.names[0])
                if packet is not None and self._fields and self._says(packet, job.names[0]):
                    return True
            if any(self._is_written(beside) for beside in self._beside(job)):
                return True
            return self._kind != "txt" and any(one.place for one in self._within(job).values())
        except files.Unfit as error:
            self.wrong[job] = _no_place(path, error)
            return False
        except OSError:  # no name that can be; it will be said
            return False
        except VlmError as error:
            if self.inside:
                self.wrong[job] = error
            return not self.inside

    def _is_written(self, path: Path) -> bool:
        """Whether a sidecar has a text. Raises files.Unfit for what is no file."""
        if there := files.what(path):
            raise files.Unfit(there, path)
        if self._kind == "txt":
            return there is not None
        packet = _bytes(path, xmp.LONGEST)
        return packet is not None and self._says(packet, str(path))

    @property
    def _properties(self) -> tuple[Property, ...]:
        """What of a packet is written."""
        if self._fields:
            return tuple(dict.fromkeys(what for _, what in self._fields))
        return (properties.SUBJECT,) if self._keywords else (properties.DESCRIPTION,)

    def _says(self, packet: bytes, name: str) -> bool:
        """Whether a packet says anything of what is written."""
        return any(xmp.values(packet, what, name) for what in self._properties)

    def _within(self, job: Job) -> dict[Property, captions.Written]:
        """The description and the keywords within a picture's file, if they are written; nothing for a page of one."""
        source = job.pictures[0]
        if source.frame or not isinstance(source.file, Path):
            return {}
        read = {properties.DESCRIPTION: captions.description, properties.SUBJECT: captions.keywords}
        return {what: read[what](source.file) for what in self._properties if what in read}

    def unsaid(self, text: str, card: Card) -> str:
        """Why an answer is no text for a picture, where it says nothing of it: it is empty, or the model does not know.

        Args:
            text: the answer.
            card: of the model, which says what it answers when it does not know.
        """
        if not text.strip():
            return "the answer is empty"
        if self._fields and not fields.has_any(text, self._fields):
            return "none of the chosen fields has a value"
        return "the model does not know" if text.strip() == card.unsure else ""

    def keeps(self, job: Job) -> bool:
        """Whether there is a text for its picture, which is to stay."""
        return self._existing == "skip" and self.has(job)

    def write(self, job: Job, text: str, before: Fingerprint | None = None) -> bool:
        """Write an answer, unless there is a text that is to stay. Returns whether a file has changed.

        Raises VlmError where that cannot be.

        Args:
            job: that was answered.
            text: the answer.
            before: the picture's file as it was asked about, if that is where the answer goes.
        """
        if self.keeps(job):
            return False
        path = self._target(job)
        try:
            return self._write(job, path, text, before)
        except files.Unfit as error:
            raise _no_place(path, error) from None

    def _write(self, job: Job, path: Path, text: str, before: Fingerprint | None) -> bool:
        name = job.names[0]
        if path.exists() and not os.access(path, os.W_OK):
            raise VlmError(f"{path}: write-protected", "change its permissions if vlm should write it")
        if self._kind == "txt":
            old = self._text(path) if self._existing in ("prepend", "append") else ""
            write(path, (self._joined(old, text) + "\n").encode("utf-8", "replace"))
            return True
        whole, within = _bytes(path, originals.LARGEST if self.inside else xmp.LONGEST), self._within(job)
        said = self._said(text, name if self.inside else str(path))
        if not self.inside:
            write(path, self._changed(whole, said, str(path), within))
            return True
        for what in said:
            if what in within and within[what].place not in ("", "XMP"):
                held = "keywords are" if what == properties.SUBJECT else "description is"
                raise VlmError(
                    f"{name}: its {held} in {within[what].place}, which vlm cannot write", "use --sidecar xmp"
                )
        if whole is None or (before is not None and hashlib.sha256(whole).hexdigest() != before.sha256):
            raise VlmError(f"{name}: changed while the question was being answered", "ask about it again")
        packet = self._changed(embedded.packet_of(whole, name), said, name, {})
        spaces = {what.space for what in said}
        return originals.change(path, name, whole, packet, touch=self._touch, in_place=self._in_place, spaces=spaces)

    def _place(self, job: Job) -> Path:
        """The file for an answer: the picture's, or its name with another suffix, and the page's number."""
        source = job.pictures[0]
        if len(job.pictures) > 1:
            raise UsageError(
                f"{' '.join(job.names)}: one answer about several pictures has no one file to go to",
                "ask about each: --each",
            )
        if isinstance(source.file, Kept):
            raise VlmError(
                f"{source.name}: in an archive, a table or a store, so no answer can be written beside it",
                "use --output FILE.jsonl instead",
            )
        if not isinstance(source.file, Path):
            raise VlmError(
                f"{source.name}: not a file on this machine, so no answer can be written beside it", "download it first"
            )
        if self.inside:
            return _itself(source)
        return _real(self._named(source, full=self._full))

    def _named(self, source: Source, *, full: bool) -> Path:
        """A picture's sidecar: `photo.xmp`, or in full `photo.jpg.xmp`; of a page with its number."""
        assert isinstance(source.file, Path)
        stem = source.file.name if full else source.file.stem
        kind = "xmp" if self.inside else self._kind
        return source.file.with_name(f"{stem}-{source.frame}.{kind}" if source.frame else f"{stem}.{kind}")

    def _beside(self, job: Job) -> Iterator[Path]:
        """The sidecars that a picture may have, the one that is written first; also with a suffix in capitals."""
        source = job.pictures[0]
        for full in (self._full, not self._full):
            path = self._named(source, full=full)
            yield path
            if path.suffix == ".xmp":
                yield path.with_suffix(".XMP")

    def _target(self, job: Job) -> Path:
        """The file that is written: the picture's own, or of its sidecars the first that is there.

        Raises VlmError where that is no file, or is elsewhere than in the folder that was named.
        """
        path, root = self._paths[job], job.pictures[0].root
        try:
            if not self.inside:
                names = list(self._beside(job))
                path = next((one for one in names if files.what(one) is not None), names[0])
            if root is not None and not files.is_within(self._folder(job), root):
                what = f"{job.names[0]}: a link leads out of {root}, and vlm does not write there"
                raise VlmError(what, "name the picture itself, or its folder")
            return path if self.inside else files.place(path, root or path.parent)
        except (OSError, ValueError) as error:
            raise _no_place(path, error) from None

    def _folder(self, job: Job) -> Path:
        """The folder that is written into."""
        source = job.pictures[0]
        assert isinstance(source.file, Path)
        return self._paths[job].parent if self.inside else source.file.parent

    def _folders(self) -> Iterator[Path]:
        """The folders that something may be written into."""
        for folder, root in dict.fromkeys((self._folder(job), job.pictures[0].root) for job in self._paths):
            with suppress(OSError, ValueError):
                if root is None or files.is_within(folder, root):
                    yield folder

    def _swept(self) -> list[str]:
        """Remove what killed runs have left beside the pictures, also where nothing will be written now."""
        for folder in self._folders():
            atomic.sweep(folder)
        return []

    def _restored(self) -> list[str]:
        """Put back what an earlier run was killed in. Returns a line for each file; the errors are of their jobs."""
        told, whose = [], {path: job for job, path in self._paths.items()}
        for folder in self._folders():
            for path, what in originals.restore(folder):
                if isinstance(what, str):
                    told.append(f"{whose[path].names[0] if path in whose else path}: {what}")
                elif path in whose:
                    self.wrong[whose[path]] = what
        return told

    def _said(self, text: str, name: str) -> dict[Property, list[str]]:
        """What an answer says of each property: of a list its items, of any other one text. Raises VlmError."""
        if self._fields:
            return fields.values(text, self._fields, name)
        if not self._keywords:
            return {properties.DESCRIPTION: [text]}
        words = keywords.keywords(text, name)
        if not words:
            raise VlmError(f"{name}: the answer has no keywords", "ask for keywords, as -t tags does")
        return {properties.SUBJECT: words}

    def _changed(
        self,
        packet: bytes | None,
        said: Mapping[Property, Sequence[str]],
        name: str,
        within: Mapping[Property, captions.Written],
    ) -> bytes:
        """A packet with the answer in it, and with what is written within the picture where that is to stay."""
        for what, new in said.items():
            old: Sequence[str] = xmp.values(packet, what, name) if packet is not None else ()
            if not old and what in within:
                old = within[what].words or ([within[what].text] if within[what].text else ())
            packet = xmp.with_values(packet, what, self._together(old, new, what), name)
        assert packet is not None  # an answer that says nothing is not written
        return packet

    def _together(self, old: Sequence[str], new: Sequence[str], what: Property) -> list[str]:
        """What a property had and what it gets, as it is wished; the items of a list once each, whatever their case."""
        if not what.is_list:
            return [self._joined(fields.SEPARATOR.join(old), new[0])]
        items: dict[str, str] = {}
        for item in {"prepend": (*new, *old), "append": (*old, *new)}.get(self._existing, new):
            items.setdefault(item.casefold(), item)
        return list(items.values())

    def _joined(self, old: str, new: str) -> str:
        """What was there and the answer, as it is wished."""
        if old and self._existing == "prepend":
            return f"{new}\n{old}"
        return f"{old}\n{new}" if old and self._existing == "append" else new

    def _text(self, path: Path) -> str:
        try:
            text = (_bytes(path, xmp.LONGEST) or b"").decode("utf-8")
        except ValueError:
            what = f"{path}: cannot be read (not UTF-8 text)"
            raise VlmError(what, "use --existing replace to write a new one") from None
        return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _itself(source: Source) -> Path:
    """The picture's file, links followed. Raises VlmError for a page or a frame of one."""
    assert isinstance(source.file, Path)
    if source.frame:
        raise VlmError(f"{source.name}: one page of a file that can hold only one description", "use --sidecar xmp")
    return _real(source.file)


def _real(path: Path) -> Path:
    """Where a path leads; itself where that cannot be known (a ring of links, too long a name)."""
    with suppress(OSError, ValueError, RuntimeError):
        return Path(os.path.realpath(path))
    return path


def _bytes(path: Path, most: int) -> bytes | None:
    """What is in a regular file of at most so many bytes; None where there is none. Raises files.Unfit, VlmError."""
    try:
        return files.read(path, most)
    except FileNotFoundError:
        return None
    except files.Unfit:
        raise
    except OSError as error:
        raise VlmError(f"{path}: cannot be read ({error.strerror})", "check its permissions") from None


def _no_place(path: Path, error: OSError | ValueError) -> VlmError:
    """What is said of a path where no text can be."""
    if isinstance(error, files.Unfit):
        return VlmError(
            f"{error.filename}: {error.strerror}, so no text can be written there", "remove it or move it away"
        )
    reason = getattr(error, "strerror", None) or "not a valid file name"
    return VlmError(f"{path}: no text can be written there ({reason})", "choose another name")
