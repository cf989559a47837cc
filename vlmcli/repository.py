"""A repository of model files somewhere else, as its listing says, and which of its files are the pair that is wanted.

Values and judgement only: `hub` asks for the listing, `download` brings the files.
"""

from __future__ import annotations

from dataclasses import dataclass


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
        """All of them."""
        return (*self.model, self.projector)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.size for file in self.files)
