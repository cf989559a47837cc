"""Whether the catalogue's rows are true of the Hub today: each repository, its pair, its sizes and its licence.

Asks for listings only; nothing is downloaded. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vlmcli.amounts import size
from vlmcli.errors import HubError, NotOnHub
from vlmcli.models import catalogue, hub
from vlmcli.models.catalogue import Entry
from vlmcli.models.repository import Choice
from vlmcli.models.store import Published, choice_of

APART = 0.1
"""How far a size may be from what the row's dimensions come to, as a part of it."""


@dataclass(frozen=True)
class Checked:
    """What the Hub says of a row.

    Attributes:
        entry: the row.
        wrong: what is not as the row says, in sentences; empty where all is right.
        choice: the pair that is published; None where there is none.
    """

    entry: Entry
    wrong: tuple[str, ...]
    choice: Choice | None = None


def check(entries: Iterable[Entry], say: Callable[[str], None]) -> Iterator[Checked]:
    """Hold rows against the Hub, one after the other.

    Args:
        entries: the rows.
        say: told of waiting.

    Raises HubError where the Hub cannot be asked at all.
    """
    for entry in entries:
        yield _checked(entry, say)


def _checked(entry: Entry, say: Callable[[str], None]) -> Checked:
    try:
        repository = hub.look(entry.repository, say)
    except NotOnHub as error:
        return Checked(entry, (error.message,))
    wrong = []
    if repository.name.lower() != entry.repository.lower():
        wrong.append(f"the repository is called {repository.name} now")
    if repository.licence and repository.licence != entry.licence:
        wrong.append(f"the licence is {repository.licence}, not {entry.licence}")
    if repository.gated != entry.gated:
        wrong.append(f"it is {'gated' if repository.gated else 'not gated'} now")
    try:
        choice = choice_of(repository, Published(entry.name, entry.repository, "", entry))
    except HubError as error:
        return Checked(entry, (*wrong, error.message))
    if choice.quant.upper() != entry.quant.upper():
        wrong.append(f"{entry.quant} is missing; {choice.quant or 'a file that names no quantisation'} is published")
    headers = catalogue.headers(entry)
    parts = {"model": choice.model, "projector": (choice.projector,)}
    for expected, (what, files) in zip(headers or (), parts.items(), strict=False):
        published = sum(file.size for file in files)
        if abs(published - expected.file_size) > APART * published:
            wrong.append(f"the {what} has {size(published)}, and its dimensions come to {size(expected.file_size)}")
    return Checked(entry, tuple(wrong), choice)
