"""A repository of model files somewhere else, as its listing says, and which of its files are the pair that is wanted.

Values and judgement only: `hub` asks for the listing, `download` brings the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from vlmcli.errors import HubError

# A quantisation's name in a file's: "Q4_K_M", "IQ4_NL", "UD-Q4_K_XL", "i1-Q4_K_M", "bf16", "MXFP4".
_QUANT = re.compile(
    r"(?:(?<=[-._/])|^)((?:(?:UD|i1)-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|FP?16|FP?32))(?=[-._/]|$)",
    re.I,
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
# What is beside models and is none. Source: llama.cpp, common/download.cpp.
_SIDECAR = re.compile(r"imatrix|(?:^|[-._/])(?:mtp|eagle3|dflash|dspark|draft)(?:[-._]|$)", re.I)
_PROJECTOR = re.compile(r"mmproj", re.I)
_VISION = re.compile(r"(?:^|[-._/])(?:vision|projector|clip)(?:[-._]|$)", re.I)  # where nothing is called mmproj
_PRECISIONS = ("F16", "FP16", "Q8_0", "BF16", "F32")
_USUAL = ("Q4_K_M", "Q8_0")
NO_NAME = 9
"""`closeness` of a name that means another file."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        path: inside the repository, with "/" between folders.
        size: bytes.
        sha256: in hex, of the content; empty where the listing has none (a file that is not in large file storage).
    """

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Repository:
    """What a listing says.

    Attributes:
        name: "owner/repository".
        commit: of the listing, 40 hex digits.
        files: all of it.
        licence: as the repository names it ("apache-2.0"); empty when it does not.
        gated: whether its owner wants to be asked first.
    """

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str = ""
    gated: bool = False


@dataclass(frozen=True)
class Choice:
    """The files of one pair.

    Attributes:
        model: the language model's file; of one in parts, all parts in order.
        projector: the projector's.
        quant: the quantisation's name as the file has it ("Q4_K_M"); empty when it has none.
    """

    model: tuple[RemoteFile, ...]
    projector: RemoteFile
    quant: str = ""

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """The language model's files in order, then the projector's."""
        return (*self.model, self.projector)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def stem(self) -> str:
        """The language model's file name, without a part's number and ".gguf"."""
        return _stem(self.model[0].path)


def closeness(asked: str, quant: str, path: str) -> int:
    """How far what a user asks for behind a colon is from a file's names; NO_NAME for another's.

    0: its path or name as it is written; 1: in other letters; 2: its quantisation; 3: the end of that ("Q4_K_M" of
    "UD-Q4_K_M"). What ends with ".gguf" is a file's name and no quantisation.
    """
    if asked.endswith(".gguf"):
        asked, quant = asked.removesuffix(".gguf"), ""
    names = (path.removesuffix(".gguf"), _PART.sub("", path.removesuffix(".gguf")), _stem(path))
    low = asked.lower()
    steps = (
        asked in names, low in (name.lower() for name in names), low == quant.lower() != "",
        low == quant.lower().rpartition("-")[2] != "",
    )  # fmt: skip
    return next((step for step, fits in enumerate(steps) if fits), NO_NAME)


def is_repository(name: str) -> bool:
    """Whether a name has the form of "owner/repository[:quant]", or is a repository's address."""
    return parse(name) != ("", "")


def parse(name: str) -> tuple[str, str]:
    """The "owner/repository" and the quantisation of a name; both empty where it is none.

    Source of the letters a name may have: huggingface_hub, utils/_validators.py.
    """
    bare = re.sub(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", "", name)
    if bare != name:
        bare = re.sub(r"^([^/]+/[^/?#:]+)[/?#].*$", r"\1", bare)  # a page inside the repository
    found = re.fullmatch(r"([\w.-]{1,96}/[\w.-]{1,96})(?::([^\0:\\]{1,200}))?", bare, re.ASCII)
    if found is None or re.search(r"(?:^|/)[.-]|--|\.\.|[.-](?:/|$)|\.git$", found[1]):
        return "", ""
    return found[1], found[2] or ""


@dataclass(frozen=True)
class _Model:
    """A language model in a listing.

    Attributes:
        files: it, or its parts in order.
        base: its name without folder, part and quantisation, in lower case.
        quant: its quantisation as written.
        missing: the number of the first part that the listing lacks; nothing where it has all.
    """

    files: tuple[RemoteFile, ...]
    base: str
    quant: str
    missing: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """The first file's path in the repository."""
        return self.files[0].path


def choose(
    repository: Repository, quant: str = "", projector: str = "", *, bf16: bool = False, preferred: str = ""
) -> Choice:
    """The pair that is wanted of a repository.

    The language model: of the quantisation that was asked for, else the preferred one, else Q4_K_M, else Q8_0, else the
    first. The projector: of the deepest folder they share, whose name has the model's, then by precision.

    Args:
        repository: its listing.
        quant: a quantisation that must be there, or the name of one of several models, or a file's (without ".gguf").
        projector: a precision, or a part of the name, that the projector's must have.
        bf16: whether a projector in bfloat16 is the best.
        preferred: a quantisation to take where it is there.

    Raises HubError, with the choices, when there is no pair or it is not clear which.
    """
    models = _models(repository.files)
    if not models:
        raise HubError(
            f"{repository.name}: no GGUF language model in this repository", "look for a repository with GGUF files"
        )
    eyes = _projectors(repository.files)
    if not eyes:
        raise HubError(
            f"{repository.name}: no projector (mmproj) in this repository, so the model cannot see pictures",
            "look for a repository that has a file with mmproj in its name",
        )
    model = _model(repository.name, models, quant, preferred)
    if model.missing:
        raise HubError(
            f"{repository.name}: part {model.missing[0]} of {model.path} is missing",
            "choose another quantisation",
        )
    return Choice(model.files, _projector(repository.name, eyes, model, projector, bf16=bf16), model.quant)


def rank(choice: Choice, preferred: str = "") -> int:
    """How usual a pair's quantisation is, from 0: the preferred one, Q4_K_M, Q8_0, others."""
    order = [quant.lower() for quant in (preferred, *_USUAL)]
    return order.index(choice.quant.lower()) if choice.quant.lower() in order else len(order)


def pairs(repository: Repository) -> tuple[Choice, ...]:
    """Every language model of a listing that is whole, with the projector it would get."""
    eyes = _projectors(repository.files)
    whole = [model for model in _models(repository.files) if not model.missing]
    if not eyes:
        return ()
    return tuple(Choice(one.files, _projector(repository.name, eyes, one, "", bf16=False), one.quant) for one in whole)


def projectors(repository: Repository) -> tuple[RemoteFile, ...]:
    """Every file of a listing that is a projector by its name."""
    return tuple(_projectors(repository.files))


def is_projector(name: str) -> bool:
    """Whether a file's name is one that projectors have."""
    return bool(_PROJECTOR.search(name) or _VISION.search(name.removesuffix(".gguf")))


def is_sidecar(name: str) -> bool:
    """Whether a file's name is that of something else beside models: an importance matrix, a draft model."""
    return bool(_SIDECAR.search(name))


def nearest(projectors: Sequence[str], model: str) -> list[str]:
    """Of the names of projectors that all fit a model, the one that is its own; several, where names do not say it.

    It is the one that has the model's name, and of those that have one name the one of the usual precision.
    """
    base = _QUANT.sub("", _stem(model)).strip("-._").lower()
    files = [RemoteFile(name, 0) for name in projectors]
    found = [one for one in files if _about(one) == base] or files
    if len({_about(one) for one in found}) == 1:
        best = min(_precision(one, _PRECISIONS) for one in found)
        found = [one for one in found if _precision(one, _PRECISIONS) == best]
    return [one.path for one in found]


def _ggufs(files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """The GGUF files that are not empty, and not hidden, as those are that macOS puts beside a file."""
    return [
        file
        for file in files
        if file.path.lower().endswith(".gguf") and file.size and not file.path.rpartition("/")[2].startswith(".")
    ]


def _projectors(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    found = [file for file in _ggufs(files) if _PROJECTOR.search(file.path)]
    return found or [file for file in _ggufs(files) if _VISION.search(_stem(file.path))]


def _models(files: Sequence[RemoteFile]) -> list[_Model]:
    """All language models, in parts or whole, in the listing's order."""
    eyes = set(_projectors(files))
    groups: dict[str, list[tuple[int, int, RemoteFile]]] = {}
    for file in _ggufs(files):
        if file in eyes or _SIDECAR.search(file.path.rpartition("/")[2]):
            continue
        stem = file.path[: -len(".gguf")]
        part = _PART.search(stem)
        number, count = (int(part[1]), int(part[2])) if part else (1, 1)
        groups.setdefault(_PART.sub("", stem) + (f" of {count}" if part else ""), []).append((number, count, file))
    found = []
    for group in groups.values():
        numbers, count = {number for number, _, _ in group}, group[0][1]
        whole = _PART.sub("", group[0][2].path[: -len(".gguf")])
        tags = [match[1] for match in _QUANT.finditer(whole)]
        base = _QUANT.sub("", whole.rpartition("/")[2]).strip("-._").lower()
        missing = tuple(islice((one for one in range(1, count + 1) if one not in numbers), 1))
        found.append(
            _Model(
                tuple(file for _, _, file in sorted(group, key=lambda one: one[0])),
                base,
                tags[-1] if tags else "",
                missing,
            )
        )
    return found


def _model(name: str, models: Sequence[_Model], quant: str, preferred: str) -> _Model:
    """The one that is wanted of the language models."""
    wanted = list(models)
    if quant:
        nearest = min((_far(one, quant) for one in models), default=NO_NAME)
        wanted = [one for one in models if _far(one, quant) == nearest < NO_NAME]
    if not wanted:
        raise HubError(
            f"{name}: no {quant} in this repository", f"choose one of {_names(_tags(models))}, written after a colon"
        )
    whole = [one for one in wanted if not one.missing] or wanted
    bases = list(dict.fromkeys(one.base for one in whole))
    if len(bases) > 1:
        raise HubError(
            f"{name}: {len(bases)} language models in this repository ({_names(bases)})",
            f"choose one, for example {name}:{_shortest(whole)}",
        )
    for usual in (preferred, *_USUAL):
        same = [one for one in whole if usual and _far(one, usual) < NO_NAME]
        if same:
            return same[0]
    return whole[0]


def _far(model: _Model, asked: str) -> int:
    """How far a name is from this model's."""
    found = closeness(asked, model.quant, model.path)
    return min(found, NO_NAME - 1) if asked.lower() == model.base else found


def _shortest(models: Sequence[_Model]) -> str:
    return _stem(min(models, key=lambda one: len(one.path)).path)


def _tags(models: Sequence[_Model]) -> list[str]:
    return list(dict.fromkeys(one.quant or one.base for one in models))


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _projector(name: str, eyes: Sequence[RemoteFile], model: _Model, asked: str, *, bf16: bool) -> RemoteFile:
    """The one that is wanted of the projectors."""
    fitting = [one for one in eyes if asked.lower() in one.path.lower()]
    if not fitting:
        raise HubError(
            f"{name}: no projector has {asked} in its name", f"choose one of {_names([one.path for one in eyes])}"
        )
    order = ("BF16", *(one for one in _PRECISIONS if one != "BF16")) if bf16 else _PRECISIONS

    def worth(one: RemoteFile) -> tuple[int, int, int, str]:
        return -_shared(one.path, model.path), -int(_about(one) == model.base), _precision(one, order), one.path

    return min(fitting, key=worth)


def _precision(projector: RemoteFile, order: Sequence[str]) -> int:
    """The place of a projector's precision in an order of them; the last for one whose name has none of these."""
    tags = [match[1].upper() for match in _QUANT.finditer(projector.path[: -len(".gguf")])]
    return order.index(tags[-1]) if tags and tags[-1] in order else len(order)


def _about(projector: RemoteFile) -> str:
    """The model's name in a projector's, in lower case; empty where there is none ("mmproj-model-f16")."""
    bare = _PROJECTOR.sub("", _QUANT.sub("", _stem(projector.path)))
    return re.sub(r"[-._]{2,}", "-", bare).strip("-._").lower()


def _shared(first: str, second: str) -> int:
    """How many folders two paths have in common; -1 where the first is in a folder that the second is not in."""
    one, other = (path.split("/")[:-1] for path in (first, second))
    return len(one) if one == other[: len(one)] else -1


def _stem(path: str) -> str:
    return _PART.sub("", path.rpartition("/")[2][: -len(".gguf")])
