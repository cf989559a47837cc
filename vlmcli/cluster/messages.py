"""What goes between a command, the process that has Ray, and the nodes: frozen, and to be pickled."""

from __future__ import annotations

from dataclasses import dataclass

from vlmcli.errors import VlmError
from vlmcli.pictures.sources import Source
from vlmcli.records.journal import Fingerprint
from vlmcli.settings import Settings
from vlmcli.tasks.task import Task
from vlmcli.values import Answer, ModelFiles

ENGINES = {"llama": "vlmcli.cluster.actor:engine", "vllm": "vlmcli.cluster.vllm:engine"}
"""What an actor asks, by the names that --engine takes."""


@dataclass(frozen=True)
class Copy:
    """A file as it is on the machine of the command.

    Attributes:
        name: of the file.
        size: bytes.
        sha256: in hex; empty where the file is not shipped.
    """

    name: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Plan:
    """What each actor has to know.

    Attributes:
        files: the model, as it is called and where it is on the machine of the command.
        copies: its two files there: the language model's and the projector's.
        tasks: what is asked.
        settings: of the command.
        version: of vlm, which each node must have, too.
        timeout: seconds that a picture may take; None for as long as it takes.
        choices: whether requests have choices.
        opens: what is asked, as "module:function", which is called with the plan, the model on the node and the
            actor's number of threads, and returns a `values.Runner`.
    """

    files: ModelFiles
    copies: tuple[Copy, Copy]
    tasks: tuple[Task, ...]
    settings: Settings
    version: str
    timeout: float | None = None
    choices: bool = False
    opens: str = ENGINES["llama"]


@dataclass(frozen=True)
class Open:
    """The first message to the process with Ray.

    Attributes:
        actors: how many; 0 leaves it to the cluster's size.
        plan: for each of them.
        ship: whether the model's files go to the nodes through Ray's object store.
    """

    actors: int
    plan: Plan
    ship: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures that are asked about together, and what is asked: a row of the data set.

    Attributes:
        number: of the group in the command.
        pictures: where they are.
        jobs: the number in the run of each job, and that of its task in the plan.
    """

    number: int
    pictures: tuple[Source, ...]
    jobs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Ask:
    """Groups that are to be asked about, each pickled. Answered by a `Reply` each, in no order, and `Asked`."""

    groups: tuple[bytes, ...]


@dataclass(frozen=True)
class Ready:
    """The cluster is there: how many nodes it has, how many actors will ask, and cores or GPUs of each."""

    nodes: int
    actors: int
    share: str

    def __str__(self) -> str:
        if self.actors == 1:
            return f"1 actor with {self.share}"
        return f"{self.actors:,} actors with {self.share} each"


@dataclass(frozen=True)
class Reply:
    """What came of a group.

    Attributes:
        number: the group's.
        outcomes: the number of each job, and its answer or error.
        fingerprints: of the pictures' files, as they were before they were read.
        notices: of the pictures.
        drawn: jobs to which the model did not know an answer, about drawings only.
        actor: which has asked: its node and process.
        since: when it began with the group's block, in seconds of its own clock.
        until: when it was done with it.
    """

    number: int
    outcomes: tuple[tuple[int, Answer | VlmError], ...]
    fingerprints: tuple[Fingerprint, ...]
    notices: tuple[str, ...] = ()
    drawn: frozenset[int] = frozenset()
    actor: str = ""
    since: float = 0.0
    until: float = 0.0


@dataclass(frozen=True)
class Broken:
    """An actor, a node or the cluster cannot be used; nothing more comes."""

    error: VlmError


@dataclass(frozen=True)
class Asked:
    """All of an `Ask` has been replied to, but for what has got lost."""


FromDriver = Ready | Reply | Broken | Asked
