"""Which of the GGUF files in a folder belong together: the projector beside a model, or the pair that a folder holds.

A folder may have anything else in it. What is hidden, or no regular file, is passed over; a file that is damaged is
left out, with a word. Names only say where to look first: whether two files belong together is said by their headers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmcli.errors import ModelError
from vlmcli.models import gguf, pairing, repository
from vlmcli.models.gguf import Header

Tell = Callable[[str], None]
"""Is given a line for the person about each file that was left out."""

_NO_MODELS = {"adapter": "an adapter", "imatrix": "an importance matrix"}
"""What a file is that is no model, by `general.type`. Source: ggml, docs/gguf.md."""


@dataclass
class _Found:
    """What files were found to be.

    Attributes:
        models: language models.
        projectors: of pictures.
        broken: the others, with why.
    """

    models: list[Header] = field(default_factory=list)
    projectors: list[Header] = field(default_factory=list)
    broken: list[tuple[Path, ModelError]] = field(default_factory=list)

    def look(self, paths: Sequence[Path]) -> None:
        """Read the headers of these files, and tell what they are."""
        for path in paths:
            try:
                header = gguf.read(path)
                gguf.check_whole(header)
                kind = str(header.metadata.get("general.type", ""))
                if kind in _NO_MODELS or not header.architecture:
                    what = _NO_MODELS.get(kind, "a file without an architecture")
                    raise ModelError(f"{path}: {what}, not a model", "choose another file")
            except ModelError as error:
                self.broken.append((path, error))
                continue
            (self.projectors if header.is_projector else self.models).append(header)

    def tell(self, tell: Tell) -> None:
        """Say which files are left out, and why."""
        for _, error in self.broken:
            tell(f"skipped {error.message}")

    def none(self, what: str, projector: bool, hint: str) -> ModelError:
        """The error that there is nothing of a kind: with what is broken and may have been that, if anything is.

        Args:
            what: is not there, of where.
            projector: whether that is a projector; else it is a language model.
            hint: what to do where nothing is broken.
        """
        named = [error for path, error in self.broken if repository.is_projector(path.name) is projector]
        broken = named or [error for _, error in self.broken if projector]
        if not broken:
            return ModelError(what, hint)
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        return ModelError(f"{what} that can be used ({broken[0].message}{more})", broken[0].hint or hint)


def projector_of(model: Path, tell: Tell) -> Path:
    """The projector beside a model. Raises ModelError where there is none, or it is not clear which.

    Files whose names are a projector's are looked at first, and others only where none of these can be used.
    """
    header = gguf.read(model)
    if header.is_projector:
        raise pairing.exchanged(header)
    others = [path for path in candidates(model.parent) if not _is_same(path, model)]
    named = [path for path in others if repository.is_projector(path.name)]
    unlike = [path for path in others if path not in named and not repository.is_sidecar(path.name)]
    found, fitting, wrong = _Found(), [], []  # type: _Found, list[Header], list[ModelError]
    for paths in (named, unlike):
        found.look(paths)
        fitting, wrong = _fitting(header, found.projectors)
        if fitting:
            break
    if not fitting:
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            names = _names([one.path for one in found.projectors])
            raise ModelError(
                f"{model}: none of the projectors in its folder belongs to it ({names})", pairing.OWN_PROJECTOR
            )
        raise found.none(f"{model}: its folder has no projector", True, "choose one: --mmproj FILE")
    nearest = repository.nearest([one.path.name for one in fitting], model.name)
    if len(nearest) > 1:
        raise ModelError(
            f"{model}: its folder has several projectors ({', '.join(nearest)})", "choose one: --mmproj FILE"
        )
    found.tell(tell)
    return model.parent / nearest[0]


def pair_in(folder: Path, mmproj: str, tell: Tell) -> tuple[Path, Path]:
    """The one language model of a folder, and its projector. Raises ModelError where it is not clear which.

    Args:
        folder: that was named.
        mmproj: the projector, where the user has named it.
        tell: is told what was left out.
    """
    found = _Found()
    paths = [path for path in candidates(folder) if not repository.is_sidecar(path.name)]
    found.look([path for path in paths if not (mmproj and repository.is_projector(path.name))])
    if not found.models:
        raise found.none(f"{folder}: this folder has no language model", False, "choose the file: -m FILE")
    if len(found.models) > 1:
        raise _several(folder, "language model", [one.path for one in found.models], "-m")
    model = found.models[0]
    if mmproj:
        found.tell(tell)
        return model.path, Path(mmproj)
    fitting, wrong = _fitting(model, found.projectors)
    if not found.projectors:
        raise found.none(f"{folder}: this folder has no projector", True, "choose the file: --mmproj FILE")
    if not fitting and len(wrong) == 1:
        raise wrong[0]
    paths = [one.path for one in fitting or found.projectors]
    nearest = repository.nearest([path.name for path in paths], model.path.name) if fitting else ()
    if len(nearest) != 1:
        raise _several(folder, "projector", paths, "--mmproj")
    found.tell(tell)
    return model.path, folder / nearest[0]


def candidates(folder: Path) -> list[Path]:
    """The folder's GGUF files that are not hidden; of a model split in parts the first, which leads to the others."""
    found = sorted(path for path in folder.glob("*.gguf") if not path.name.startswith(".") and os.path.isfile(path))  # noqa: PTH113 - Path's raises where a link leads to a closed folder
    return [path for path in found if not re.search(r"-(?!00001)\d{5}-of-\d{5}$", path.stem)]


def _fitting(model: Header, projectors: Sequence[Header]) -> tuple[list[Header], list[ModelError]]:
    """The projectors that can be loaded and belong to a model, and why the others do not."""
    fitting, wrong = [], []
    for one in projectors:
        try:
            pairing.check_projector_of(model, one)
            fitting.append(one)
        except ModelError as error:
            wrong.append(error)
    return fitting, wrong


def _several(folder: Path, kind: str, paths: Sequence[Path], option: str) -> ModelError:
    what = f"{folder}: this folder has {len(paths)} {kind}s ({_names(paths)})"
    return ModelError(what, f"choose one: {option} FILE")


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths[:4]) + (", …" if len(paths) > 4 else "")


def _is_same(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file."""
    try:
        return path == other or path.samefile(other)
    except OSError:
        return False
