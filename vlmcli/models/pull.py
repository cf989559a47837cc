"""A model is brought here: its repository is asked, its pair chosen, its files downloaded and looked at.

Asks nobody whether it may: that, and what is shown meanwhile, is for the caller.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vlmcli.amounts import size
from vlmcli.errors import HubError, ModelError, NotOnHub
from vlmcli.models import (
    catalogue,
    disk,
    download,
    gguf,
    hub,
    hub_cache,
    pairing,
)
from vlmcli.models.catalogue import Entry
from vlmcli.models.repository import Choice, RemoteFile, Repository
from vlmcli.models.store import Published, choice_of


@dataclass(frozen=True)
class Order:
    """A pair that is to be downloaded: which files, from where, and whether there is room.

    Attributes:
        published: the name, and where it leads.
        repository: its listing.
        choice: the files.
        missing: bytes that are not here yet.
        free: bytes free where they go.
    """

    published: Published
    repository: Repository
    choice: Choice
    missing: int
    free: int

    @property
    def entry(self) -> Entry | None:
        """What the catalogue knows of it."""
        return self.published.entry


def order(published: Published, say: Callable[[str], None], projector: str = "", bf16: bool = False) -> Order:
    """Ask the Hub what a name stands for now. Raises HubError.

    Args:
        published: where the name leads.
        say: told of waiting.
        projector: a precision, or a part of the name, of the one that is wanted.
        bf16: whether this machine multiplies bfloat16 itself, so that a projector in it is best.
    """
    try:
        repository = hub.look(published.repository, say)
    except NotOnHub as error:
        close = catalogue.closest(published.name)
        raise HubError(
            error.message,
            f"did you mean {' or '.join(close)}? `vlm models` lists the known names" if close else error.hint,
        ) from None
    choice = choice_of(repository, published, projector, bf16)
    _refuse_twins(repository, choice)
    missing = sum(file.size - hub_cache.have(repository, file) for file in choice.files)
    if missing and repository.gated:
        hub.knock(repository, choice.model[0])
    return Order(published, repository, choice, missing, disk.free(hub_cache.folder()))


def _refuse_twins(repository: Repository, choice: Choice) -> None:
    """Raise HubError for a file beside which another one is listed that many disks take for the same."""
    names: dict[str, list[str]] = {}
    for file in repository.files:
        names.setdefault(_folded(file.path), []).append(file.path)
    for file in choice.files:
        if len(same := names[_folded(file.path)]) > 1:
            raise HubError(
                f"{repository.name}: {same[0]} and {same[1]} have names that many disks cannot tell apart",
                "choose another repository",
            )


def _folded(path: str) -> str:
    """A path as disks see it that know neither capitals nor how an accent is written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def check_room(found: Order) -> None:
    """Raise HubError where the disk has no room for a download."""
    name = found.published.name
    if found.missing > found.free:
        raise HubError(
            f"{name}: the download needs {size(found.missing)}, and the disk has {size(found.free)} free",
            "free some space, or set HF_HOME to a folder on another disk",
        )


def bring(wanted: Order, progress: Callable[[RemoteFile, int], None], say: Callable[[str], None]) -> tuple[Path, Path]:
    """Download what is missing, and check that it is a pair. Returns the language model's and the projector's file.

    Args:
        wanted: what to bring.
        progress: told which file has how many bytes here.
        say: told what the person should know: a wait, a second attempt.

    Raises HubError, also when what was published is no pair.
    """
    paths = [
        download.fetch(wanted.repository, file, lambda done, file=file: progress(file, done), say)  # type: ignore[misc]
        for file in wanted.choice.files
    ]
    try:
        pairing.check(gguf.read(paths[0]), gguf.read(paths[-1]))
    except ModelError as error:
        name = wanted.published.name
        raise HubError(
            f"{name}: the published model cannot be used: {error.message}",
            f"choose another model; vlm rm {name} frees the disk space",
        ) from None
    return paths[0], paths[-1]
