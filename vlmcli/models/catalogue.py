"""Models that are known by name: `catalogue.toml`, read once.

Does not know what has been downloaded, nor what suits a machine.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli import memo
from vlmcli.later import Later
from vlmcli.models.chat_templates import CHAT_TEMPLATES
from vlmcli.models.gguf import Header
from vlmcli.values import THINK, Card

if TYPE_CHECKING:
    from vlmcli.models import shapes
else:  # a model that is asked has a header of its own
    shapes = Later("vlmcli.models.shapes")

BOXES = ("none", "pixels", "0-1000", "0-1000 yx")
USES = ("general", "ocr", "medical", "embedding")
_LABELS = {
    "health-ai-developer-foundations": "hai-def", "qwen-research": "research", "tencent-hunyuan-community": "hunyuan",
}  # fmt: skip
_NOT_COMMERCIAL = ("qwen-research",)


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue: what is known of it before anything is downloaded.

    Attributes:
        name: what `-m` and `vlm pull` take.
        repository: "owner/repository" on the Hub.
        quant: the quantisation to take where it is there.
        licence: by its short name.
        good_at: in a few words, at most 15 letters.
        rank: 1 to 10, how good its answers are: a judgement, for recommending.
        seen: which public sources name the repository, and have the dimensions.
        also: other names that are taken for this one.
        retired: whether another row does better what it does: usable by name, and listed with --all only.
        projector: the precision of the projector, where no F16 was seen.
        use: "general", "ocr" (text of pages only), "medical" or "embedding" (no answers, but vectors for search).
        boxes: how it writes a box: "pixels" of the picture as scaled, "0-1000" for thousandths of the whole,
            "0-1000 yx" for the same with y first, or "none".
        tokens: the fewest and the most rows of a picture; zeros where it is not known.
        accept: what has to be agreed to before a download; empty for most.
        gated: whether the Hub wants an account that its owner has agreed to.
        notice: one line for stderr whenever it is used; empty for most.
        prompts: its own, by the names in `tasks.PROMPTS`.
        think: the tags around what it thinks; empty for the usual ones.
        thinks: whether it thinks before it answers unless it is told otherwise: where it is worse without.
        budget: the fewest and the most image tokens that it is given for a picture; zeros for its projector's.
        reading_budget: those where text is read; zeros for `budget`.
        chat_template: a name in CHAT_TEMPLATES, for files without one.
        shape: a name in `shapes`.
        checked: whether somebody has compared the row with the Hub.
        first: whether it is the one to begin with, which README names; one row only. It is small and quick anywhere.
    """

    name: str
    repository: str
    quant: str
    licence: str
    good_at: str
    rank: int
    seen: str
    also: tuple[str, ...] = ()
    retired: bool = False
    projector: str = "F16"
    use: str = "general"
    boxes: str = "none"
    tokens: tuple[int, int] = (0, 0)
    accept: str = ""
    gated: bool = False
    notice: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    think: tuple[str, str] = THINK
    thinks: bool = False
    budget: tuple[int, int] = (0, 0)
    reading_budget: tuple[int, int] = (0, 0)
    chat_template: str = ""
    shape: str = ""
    checked: bool = False
    first: bool = False

    @property
    def licence_label(self) -> str:
        """The licence in at most ten letters, for a table."""
        return _LABELS.get(self.licence, self.licence)

    @property
    def commercial(self) -> bool:
        """Whether the licence allows commercial use at all; it may have conditions."""
        return self.licence not in _NOT_COMMERCIAL


@cache
def entries() -> tuple[Entry, ...]:
    """All rows, in the file's order."""
    return tuple(_entry(name, row) for name, row in _rows().items())


def _rows() -> dict[str, dict[str, Any]]:
    """The file's content, which takes ten times as long to read as what is kept of it (`memo`)."""
    path = Path(__file__).with_suffix(".toml")
    identity = memo.identity(path)
    rows: dict[str, dict[str, Any]] | None = memo.known("catalogue", [identity])
    if rows is None:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        rows = tomllib.loads(path.read_text("utf-8"))
        memo.keep("catalogue", [identity], rows)
    return rows


def _entry(name: str, row: dict[str, Any]) -> Entry:
    known = {one.name for one in fields(Entry)}
    assert set(row) <= known, f"{name}: {set(row) - known}"
    lists = ("also", "tokens", "think", "budget", "reading_budget")
    pairs: dict[str, Any] = {key: tuple(row[key]) for key in lists if key in row}
    return Entry(**{"name": name, **row, **pairs})


def find(name: str) -> Entry | None:
    """The row of this name, in letters of either case."""
    if name.endswith(".gguf") or "/" in name:  # a file or a repository: nothing need be read
        return None
    return next((entry for entry in entries() if name.lower() in (entry.name, *entry.also)), None)


def listed() -> tuple[Entry, ...]:
    """The rows that are worth choosing from."""
    return tuple(entry for entry in entries() if not entry.retired)


def of_repository(name: str) -> Entry | None:
    """The row about "owner/repository"; the Hub takes letters of either case."""
    return next((entry for entry in entries() if entry.repository.lower() == name.lower()), None)


def closest(name: str, count: int = 3) -> tuple[str, ...]:
    """Names that are written like this one, the most alike first."""
    bare = name.lower().rpartition("/")[2].partition(":")[0].removesuffix("-gguf")
    known = [entry.name for entry in entries()]
    begun = [one for one in known if len(bare) > 2 and one.startswith(bare)]
    return tuple(dict.fromkeys((*begun, *difflib.get_close_matches(bare, known, count, 0.6))))[:count]


def card(entry: Entry) -> Card:
    """What the engine and the verbs have to know of it."""
    template, stop = CHAT_TEMPLATES.get(entry.chat_template, (None, ()))
    return Card(
        notice=entry.notice,
        chat_template=template,
        stop=stop,
        prompts=entry.prompts,
        think=entry.think,
        thinks=entry.thinks,
        budget=entry.budget,
        reading_budget=entry.reading_budget,
        licence=entry.licence,
        boxes="" if entry.boxes == "none" else entry.boxes,
    )


def headers(entry: Entry) -> tuple[Header, Header] | None:
    """The headers that its files would have, as far as its dimensions are known."""
    return shapes.headers(entry.shape, entry.quant, entry.projector) if entry.shape else None
