"""The model's two files on a node: where they are, or how they come there.

They are at the same path (a disk that all nodes see), or known by a name and downloaded once a node, or shipped: a copy
that Ray's object store hands out, kept in the node's own cache. Whichever it is, their sizes are those on the machine
of the command, so that all nodes answer with the same model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlmcli import atomic, demo
from vlmcli.cluster.messages import Copy, Plan
from vlmcli.errors import ModelError, NotHere
from vlmcli.models import hub_cache, pull, store
from vlmcli.settings import cache_folder
from vlmcli.values import ModelFiles

FOLDER = "shipped"
"""Of the copies, within the folder of all caches."""
PIECE = 64 << 20
"""Bytes of a file that are one object of Ray's store."""


def copies(files: ModelFiles, *, ship: bool) -> tuple[Copy, Copy]:
    """A model's two files as they are here; with their hashes where they are to be shipped. Raises ModelError."""
    if files.servers:
        return Copy("", 0), Copy("", 0)
    return _copy(files.model, ship), _copy(files.projector, ship)


def _copy(path: Path, ship: bool) -> Copy:
    from vlmcli import digest

    try:
        return Copy(path.name, path.stat().st_size, digest.sha256(path) if ship else "")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})", "check the path") from None


def pieces(path: Path) -> Iterator[bytes]:
    """A file, piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def here(plan: Plan, shipped: Sequence[Sequence[Any]] = ()) -> ModelFiles:
    """The model on this node. Raises ModelError.

    Args:
        plan: which.
        shipped: references to the pieces of its two files in Ray's object store; empty where it is not shipped.
    """
    files = plan.files
    if files.servers:
        return files
    if files.name == demo.FILES.name:
        return replace(files, model=demo.FILES.model, projector=demo.FILES.projector)
    if shipped:
        paths = [_kept(copy, refs, plan) for copy, refs in zip(plan.copies, shipped, strict=True)]
        return replace(files, model=paths[0], projector=paths[1])
    if all(_size(path) == copy.size for path, copy in zip((files.model, files.projector), plan.copies, strict=True)):
        return files
    if store.published(files.name) is None:
        path = files.projector if _size(files.model) == plan.copies[0].size else files.model
        what = "there is no such file" if _size(path) is None else "another file than on the command's machine"
        raise ModelError(f"{path}: {what}", "put it there on every node, or use --ship-model")
    return _pulled(plan)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _pulled(plan: Plan) -> ModelFiles:
    """The model by its name, downloaded first where it is not here; once a node, as downloads are locked."""
    files, wanted = plan.files, store.published(plan.files.name)
    assert wanted is not None
    mmproj = plan.settings.mmproj
    try:
        found = store.resolve(files.name, mmproj)
    except NotHere:
        order = pull.order(wanted, _nothing, mmproj)
        pull.check_room(order)
        pull.bring(order, _nothing, _nothing)
        found = store.resolve(files.name, mmproj)
    sizes = [_size(found.model), _size(found.projector)]
    if sizes != [copy.size for copy in plan.copies]:
        raise ModelError(
            f"{files.name}: another version than on the command's machine",
            f"download it again on both: vlm pull {files.name}; or use --ship-model",
        )
    return replace(files, model=found.model, projector=found.projector)


def _nothing(*_: object) -> None:
    """Nobody is told."""


def _kept(copy: Copy, refs: Sequence[Any], plan: Plan) -> Path:
    """A shipped file in this node's cache, written there once. Raises ModelError."""
    folder = cache_folder(plan.settings) / FOLDER / copy.sha256[:32]
    path = folder / copy.name
    try:
        with hub_cache.claimed(folder.with_suffix(".lock")):
            if _size(path) != copy.size:
                folder.mkdir(parents=True, exist_ok=True)
                _write(path, copy, refs, _get())
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be written ({error.strerror})", "free some space, or set VLM_CACHE_DIR to another disk"
        ) from None
    return path


def _write(path: Path, copy: Copy, refs: Sequence[Any], get: Callable[[Any], bytes]) -> None:
    """Write a file of its pieces, and hold it to its hash. Raises VlmError, OSError."""
    found = hashlib.sha256()
    with atomic.writing(path) as file:
        for ref in refs:
            piece = get(ref)
            found.update(piece)
            file.write(piece)
        if found.hexdigest() != copy.sha256:
            raise ModelError(f"{copy.name}: damaged on its way", "run the same command again")


def _get() -> Callable[[Any], bytes]:
    import ray

    return ray.get  # type: ignore[no-any-return]
