"""A model's name becomes its files: the demo, what has been downloaded, a GGUF file, or a folder that holds a pair.

Every file is looked at before it is handed on: the right kind, whole, and of one pair (`pairing`). Nothing here uses
the network.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlmcli import digest, files, typed
from vlmcli.errors import HubError, ModelError, NotHere
from vlmcli.models import (
    beside,
    catalogue,
    gguf,
    hub_cache,
    pairing,
    repository,
)
from vlmcli.models.beside import Tell
from vlmcli.models.catalogue import Entry
from vlmcli.models.chat_templates import CHAT_TEMPLATES
from vlmcli.models.hub_cache import Snapshot
from vlmcli.models.repository import Choice, Repository
from vlmcli.values import Card, ModelFiles

MAX_TEMPLATE = 1 << 20  # bytes

NO_MODEL = "`vlm models` lists models that suit this machine, `vlm ls` the downloaded ones; or try -m demo"
_PICTURES = (
    ".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff", ".pdf", ".dcm",
)  # fmt: skip
"""In lower case, suffixes of what is no model, but a picture."""


@dataclass(frozen=True)
class Published:
    """What a name that is no path leads to on the Hub.

    Attributes:
        name: as the user may write it: a name of the catalogue, or "owner/repository", with ":quant" where one is asked
            for.
        repository: "owner/repository".
        quant: the quantisation that was asked for; empty for the usual one.
        entry: the catalogue's row about the repository, if there is one.
    """

    name: str
    repository: str
    quant: str
    entry: Entry | None


def published(name: str) -> Published | None:
    """Where a name leads, if it is one of the catalogue or a repository's."""
    known, _, quant = name.partition(":")
    entry = catalogue.find(known)
    if entry is not None:
        return Published(f"{entry.name}:{quant}" if quant else entry.name, entry.repository, quant, entry)
    if (Path(name).suffix == ".gguf" and ":" not in name) or not repository.is_repository(name):
        return None
    found, quant = repository.parse(name)
    return Published(f"{found}:{quant}" if quant else found, found, quant, catalogue.of_repository(found))


def choice_of(listing: Repository, wanted: Published, projector: str = "", bf16: bool = False) -> Choice:
    """The pair of a repository, or of what is here of it. Raises HubError.

    The catalogue's quantisation is taken where it is there; one that the user has asked for must be.
    """
    preferred = wanted.entry.quant if wanted.entry else ""
    return repository.choose(listing, wanted.quant, projector, bf16=bf16, preferred=preferred)


def resolve(
    name: str,
    mmproj: str = "",
    chat_template: str = "",
    demo: ModelFiles | None = None,
    tell: Tell = lambda _: None,
) -> ModelFiles:
    """The files a name stands for. Raises ModelError, which says what was looked for and where.

    Args:
        name: "demo", a name of the catalogue, "owner/repository[:quant]", a .gguf file, or a folder with one language
            model and one projector. The catalogue's names and "demo" win over paths that are there, and these over
            repositories: "./smolvlm2-500m" is a path.
        mmproj: the projector's file; else the one beside the model whose header fits.
        chat_template: a name in CHAT_TEMPLATES, or a file with a Jinja template, to use instead of the model's own.
        demo: the files behind the name "demo".
        tell: is given a line about each damaged file beside the model, which is left out.

    Raises NotHere for what is known and has to be downloaded first.
    """
    if not name:
        raise ModelError("no model chosen", NO_MODEL)
    if demo is not None and name == demo.name:
        if mmproj:
            raise ModelError(f"{name}: the built-in model always uses its own projector", "leave out --mmproj")
        files = demo
    else:
        files = _from_hub(name, mmproj, tell) or _from_path(name, mmproj, tell)
    projector = gguf.read(files.projector)
    pairing.check(gguf.read(files.model), projector)
    if chat_template:
        files = replace(files, card=_with_template(files.card, chat_template))
    return replace(files, encoder_layers=projector.number("vision.block_count"))


def _from_hub(name: str, mmproj: str, tell: Tell = lambda _: None) -> ModelFiles | None:
    """What has been downloaded under this name; None when it is no name of a repository, or a path that is there."""
    wanted = published(name)
    if wanted is None or (not catalogue.find(name.partition(":")[0]) and _is_there(Path(name))):
        return None
    own = Path(mmproj) if mmproj and (_is_there(Path(mmproj)) or Path(mmproj).suffix == ".gguf") else None
    preferred = wanted.entry.quant if wanted.entry else ""
    found: list[tuple[int, int, Snapshot, Choice]] = []
    for number, snapshot in enumerate(hub_cache.cached(wanted.repository)):
        try:
            choice = _cached_choice(snapshot, wanted, "" if own else mmproj, tell)
        except HubError:
            if not wanted.quant and not mmproj and len(repository.pairs(snapshot.listing)) > 1:
                raise  # which of them?
            continue  # only half of it is here
        found.append((repository.rank(choice, preferred), number, snapshot, choice))
    if found:  # the usual quantisation may be in an older snapshot
        _, _, snapshot, choice = min(found, key=lambda one: one[:2])
        card = catalogue.card(wanted.entry) if wanted.entry else Card()
        model, projector = snapshot.path(choice.model[0]), snapshot.path(choice.projector)
        return ModelFiles(wanted.name, model, own or projector, card)
    raise NotHere(f"{wanted.name}: not downloaded yet", f"vlm pull {wanted.name}{_or_else(wanted)}")


def _or_else(wanted: Published) -> str:
    """Which model here may be meant by the name of a repository that is not here; empty for none."""
    if wanted.entry is not None:
        return ""
    names = {row.name.lower(): row.name for row in listed()}
    close = difflib.get_close_matches(wanted.name.lower(), names, 1, 0.85)
    return f", or did you mean -m {names[close[0]]}?" if close else ""


def _cached_choice(snapshot: Snapshot, wanted: Published, projector: str, tell: Tell) -> Choice:
    """The pair of a snapshot; where it is not clear which, without what only has a model's name. Raises HubError."""
    try:
        return choice_of(snapshot.listing, wanted, projector)
    except HubError:
        junk = [
            file
            for file in snapshot.listing.files
            if file.path.endswith(".gguf") and not gguf.is_one(snapshot.path(file))
        ]
        if not junk:
            raise
        files = tuple(file for file in snapshot.listing.files if file not in junk)
        choice = choice_of(replace(snapshot.listing, files=files), wanted, projector)
        for file in junk:
            tell(f"skipped {snapshot.path(file)}: not a GGUF file")
        return choice


def _from_path(name: str, mmproj: str, tell: Tell) -> ModelFiles:
    path = Path(name)
    if path.suffix.lower() in _PICTURES and not path.is_dir():
        raise ModelError(f"{name}: a picture, where a model is expected", f"name a model after -m: {NO_MODEL}")
    if _is_there(path) and path.is_dir():
        return ModelFiles(name, *beside.pair_in(path, mmproj, tell))
    if _is_there(path) or path.suffix == ".gguf":
        return _from_file(name, path, mmproj, tell)
    close = closest(name)
    hint = f"did you mean {' or '.join(f'-m {one}' for one in close)}? {NO_MODEL}" if close else NO_MODEL
    raise ModelError(f"{name[:200]}: there is no such model, file or folder", hint)


def closest(name: str) -> tuple[str, ...]:
    """Names that `-m` takes and that are written like this one, the most alike first: of models here, and known ones.

    Nothing where the name itself is one of them.
    """
    here = {row.name.lower(): row.name for row in listed()} | {"demo": "demo"}
    close = [here[one] for one in difflib.get_close_matches(name.lower(), here, 3, 0.75)]
    return tuple(dict.fromkeys((*close, *catalogue.closest(name))))[:3]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long to be a name, or with a NUL in it
        return False


def _from_file(name: str, path: Path, mmproj: str, tell: Tell) -> ModelFiles:
    if mmproj:
        return ModelFiles(name, path, Path(mmproj))
    if not (path.exists() or path.is_symlink()):
        beside_it = difflib.get_close_matches(path.name, (one.name for one in beside.candidates(path.parent)), 1, 0.75)
        hint = f"did you mean -m {typed.word(str(path.with_name(beside_it[0])))}?" if beside_it else "check the path"
        raise ModelError(f"{path}: there is no such file", hint)
    return ModelFiles(name, path, beside.projector_of(path, tell))


def _with_template(card: Card, chat_template: str) -> Card:
    if chat_template in CHAT_TEMPLATES:
        source, stop = CHAT_TEMPLATES[chat_template]
        return replace(card, chat_template=source, stop=(*card.stop, *stop))
    path = Path(chat_template)
    try:
        source = files.read(path, MAX_TEMPLATE, pipes=True).decode("utf-8").replace("\r\n", "\n")
        if not source:
            raise ModelError(f"{chat_template}: not a chat template (the file is empty)", "choose another file")
        return replace(card, chat_template=source)
    except files.Unfit as error:
        raise ModelError(f"{chat_template}: not a chat template ({error.strerror})", "choose another file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        names = " or ".join(CHAT_TEMPLATES)
        raise ModelError(f"{chat_template}: no such chat template ({reason})", f"use {names}, or a file") from error


@dataclass(frozen=True)
class Listed:
    """A pair that is here.

    Attributes:
        name: what `-m` takes.
        quant: of the language model.
        size: bytes of all its files.
        files: on this machine: the language model's, in parts as it may be, and the projector's last.
        path: of the language model's first file in its repository.
        licence: as far as it is known.
        repository: "owner/repository"; empty for the model in the package.
        commit: of the snapshot it is in; empty there, too.
    """

    name: str
    quant: str
    size: int
    files: tuple[Path, ...]
    path: str
    licence: str = ""
    repository: str = ""
    commit: str = ""


def listed(demo: ModelFiles | None = None) -> tuple[Listed, ...]:
    """Every pair in the Hub's cache, whoever brought it, by name; the demo first.

    A pair keeps its name whatever else comes or goes: the catalogue's for the quantisation that the catalogue prefers,
    else with the quantisation behind a colon; with the file's name, or its path, where that tells two apart.
    """
    rows: list[Listed] = []
    by_repository: dict[str, dict[str, tuple[Snapshot, Choice]]] = {}
    for snapshot in hub_cache.snapshots():
        found = by_repository.setdefault(snapshot.listing.name, {})
        for choice in repository.pairs(snapshot.listing):
            found.setdefault(choice.model[0].path, (snapshot, choice))  # the newest snapshot comes first
    for name, found in by_repository.items():
        entry = catalogue.of_repository(name)
        quants = Counter(choice.quant.lower() for _, choice in found.values())
        stems = Counter(choice.stem.lower() for _, choice in found.values())
        for path, (snapshot, choice) in found.items():
            quant, stem = choice.quant.lower(), choice.stem.lower()
            base = entry.name if entry else name
            if entry and quants[quant] == 1 and quant == entry.quant.lower() != "":
                called = base
            elif quant and quants[quant] == 1 and quant not in stems:
                called = f"{base}:{choice.quant}"
            else:
                file = choice.stem if stems[stem] == 1 else path.removesuffix(".gguf")
                called = f"{base}:{file}{'.gguf' if file.lower() in quants else ''}"
            paths = tuple(snapshot.path(file) for file in choice.files)
            licence = entry.licence if entry else ""
            rows.append(Listed(called, choice.quant, choice.size, paths, path, licence, name, snapshot.listing.commit))
    rows.sort(key=lambda one: one.name)
    if demo is not None:
        files = (demo.model, demo.projector)
        quant = gguf.read(demo.model).quantisation
        size = sum(path.stat().st_size for path in files)
        rows.insert(0, Listed(demo.name, quant, size, files, demo.model.name, "MIT"))
    return tuple(rows)


def matching(name: str, demo: ModelFiles | None = None) -> tuple[Listed, ...]:
    """The pair that is called so; else all of the repository that a name leads to, of the quantisation it asks for.

    Raises ModelError, which lists what there is.
    """
    rows = listed(demo)
    found = _called(rows, name)
    wanted = published(name)
    among = [row for row in rows if wanted and row.repository.lower() == wanted.repository.lower()]
    if not found and wanted and not wanted.quant:
        found = among
    if not found:
        raise _not_here(name, among, rows)
    return tuple(found)


def the_one(name: str) -> Listed:
    """The pair that `listed` calls so, or the one of a quantisation that is asked for, and no other.

    Raises ModelError where it may be several, or none.
    """
    rows = listed()
    found = _called(rows, name)
    wanted = published(name)
    among = [row for row in rows if wanted and row.repository.lower() == wanted.repository.lower()]
    if len(found) == 1:
        return found[0]
    if found or (len(among) > 1 and wanted and not wanted.quant):
        raise ModelError(f"{name[:200]}: matches {len(found or among)} models in the cache", _there(found or among))
    raise _not_here(name, among, rows)


def _not_here(name: str, among: Sequence[Listed], rows: Sequence[Listed]) -> ModelError:
    """The error that a name is none of a model here, with those of the same repository, or else all there are."""
    names = {row.name.lower(): row.name for row in rows}
    close = difflib.get_close_matches(name.lower(), names, 1, 0.75)
    meant = f"did you mean {names[close[0]]}? " if close and not among else ""
    there = _there(among or rows) if rows else "no model has been downloaded yet"
    return ModelError(f"{name[:200]}: not in the cache", meant + there)


def _called(rows: Sequence[Listed], name: str) -> list[Listed]:
    """The rows of this name; else those of the repository whose file or quantisation is behind the colon."""
    wanted = published(name)
    names = {name, wanted.name if wanted else name}
    exact = [row for row in rows if row.name in names]
    found = exact or [row for row in rows if row.name.lower() in {one.lower() for one in names}]
    if found:
        return found
    if wanted is None or not wanted.quant:
        return []
    far = {
        row.path: repository.closeness(wanted.quant, row.quant, row.path)
        for row in rows
        if row.repository.lower() == wanted.repository.lower()
    }
    nearest = min(far.values(), default=repository.NO_NAME)
    if nearest not in (0, 2):  # a name in other letters, and the end of a quantisation's, may be another's
        return []
    return [row for row in rows if row.path in far and row.repository.lower() == wanted.repository.lower()
            and far[row.path] == nearest]  # fmt: skip


def _there(rows: Sequence[Listed]) -> str:
    names = ", ".join(row.name for row in rows[:6]) + (", …" if len(rows) > 6 else "")
    return f"choose one of {names}" if rows else "download a model: vlm pull NAME"


def language_model(name: str, demo: ModelFiles | None = None) -> Path | None:
    """The file behind a name of what is here; None where there is none. No header is read."""
    if demo is not None and name == demo.name:
        return demo.model
    try:
        found = _from_hub(name, "")
    except HubError:
        return None
    return found.model if found else Path(name)


def is_here(name: str) -> bool:
    """Whether a model's name stands for nothing that would have to be downloaded first."""
    try:
        _from_hub(name, "")
    except NotHere:
        return False
    except HubError:  # several, of which none is named
        pass
    return True


def remove(one: Listed) -> int:
    """Take a pair out of all snapshots that have it. Files that another pair there needs stay.

    Returns the bytes that became free.
    """
    paths: list[Path] = []
    for snapshot in hub_cache.cached(one.repository):
        pairs = repository.pairs(snapshot.listing)
        others = {file for pair in pairs if pair.model[0].path != one.path for file in pair.files}
        mine = [file for pair in pairs if pair.model[0].path == one.path for file in pair.model]
        eyes = repository.projectors(snapshot.listing) if mine else ()
        if others:  # those that no model is left for go, too
            eyes = tuple(file for pair in pairs if pair.model[0].path == one.path for file in (pair.projector,))
        paths += [snapshot.path(file) for file in dict.fromkeys((*mine, *eyes)) if file not in others]
    return hub_cache.remove(one.repository, paths)


def broken(name: str = "") -> tuple[tuple[str, Path], ...]:
    """Links of the cache whose content is gone, with their repository: of all, or of the one that a name leads to."""
    wanted = published(name)
    found = hub_cache.snapshots() if not name else hub_cache.cached(wanted.repository) if wanted else ()
    return tuple((snapshot.listing.name, path) for snapshot in found for path in snapshot.broken)


@dataclass(frozen=True)
class Verified:
    """What a file was found to be.

    Attributes:
        ok: whether it is what it should be, as far as anything is known.
        what: in words.
    """

    ok: bool
    what: str


def verify(path: Path, progress: Callable[[int], None]) -> Verified:
    """Read a file of the cache again, and compare it with the hash it was published with, which is its name there.

    Args:
        path: a file in a snapshot, or any GGUF file.
        progress: told how many bytes have been read.
    """
    published = hub_cache.published_sha256(path)
    try:
        if not published:
            gguf.check_whole(gguf.read(path))
            return Verified(True, "complete; its published hash is not known")
        found = digest.sha256(path, progress)
    except ModelError as error:
        return Verified(False, error.message)
    except OSError as error:
        return Verified(False, f"cannot be read ({error.strerror})")
    return Verified(found == published, "as published" if found == published else "differs from the published file")
