"""What a model is, from its headers and for this machine: `vlm show`.

No weights are read, and nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlmcli.amounts import size
from vlmcli.engine.chat_template import ChatTemplate, Given, PicturePart
from vlmcli.engine.place import this_machine
from vlmcli.errors import TemplateError
from vlmcli.machine import fit, tiling
from vlmcli.models import gguf
from vlmcli.models.families import ENDS_LINE
from vlmcli.models.gguf import Header
from vlmcli.placement import Fit
from vlmcli.values import Message, ModelFiles, Picture

PICTURE = (1024, 768)
"""The picture whose tokens are counted, in pixels."""
AGAIN = "the model reads a picture again for each question, as the template puts the question first"


@dataclass(frozen=True)
class PairFacts:
    """What the headers of a pair say, and how it would go onto this machine.

    Attributes:
        files: where the two are, and what is known beside them.
        model: the language model's header.
        projector: the projector's.
        chosen: how it would be put here.
        memory: bytes it would take then.
        missing: why it would not fit here; empty when it would.
        tokens: rows of a picture of `PICTURE`; None where the family is not known.
        question_first: whether the chat template puts the question before the picture; None without a template that
            can be used. A picture that was asked about before is then computed again behind another question.
    """

    files: ModelFiles
    model: Header
    projector: Header
    chosen: Fit
    memory: int
    missing: str
    tokens: int | None
    question_first: bool | None


def facts(files: ModelFiles) -> PairFacts:
    """Read a pair's headers, and see how it would go onto this machine."""
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    machine = this_machine()
    chosen = fit.fit(model, machine, projector=projector)
    needed = fit.needs(model, projector, chosen)
    return PairFacts(
        files, model, projector, chosen, needed.wanted, fit.missing(needed, machine),
        tiling.picture_tokens(projector, *PICTURE), _question_first(files, model, projector),
    )  # fmt: skip


def _question_first(files: ModelFiles, model: Header, projector: Header) -> bool | None:
    """Render a question about a picture, and see which of the two comes first."""
    source = files.card.chat_template or model.metadata.get("tokenizer.chat_template")
    if not isinstance(source, str) or not source:
        return None
    picture, question = Picture("", PICTURE, "a picture", bytes), "a question"
    try:
        template = ChatTemplate(source, owner=files.name, lined=projector.projector_type in ENDS_LINE)
        pieces = template.render([Message("user", (picture, question))])
    except TemplateError:
        return None  # whoever asks a question is told why
    return pieces.index(Given(question)) < pieces.index(PicturePart(0))


def lines(found: PairFacts) -> Sequence[str]:
    """The facts for a person: a line each, behind the name, or the lines that the model's card begins with."""
    card, model, projector = found.files.card, found.model, found.projector
    width, height = PICTURE
    tokens = f"{found.tokens} tokens" if found.tokens is not None else "an unknown number of tokens"
    template = "the catalogue's" if card.chat_template else "its own" if _has_template(model) else "none"
    fields = {
        "model": f"{model.architecture}, {_count(model.parameters)} parameters, "
        f"{model.quantisation or 'of several types'}, {size(model.file_size)}",
        "projector": f"{_family(projector)}, {_count(projector.parameters)} parameters, {size(projector.file_size)}",
        "context": f"{model.number('context_length'):,} tokens, as trained",
        "a picture": f"{tokens} at {width}x{height}",
        "memory": f"{size(found.memory)} here: {found.chosen.reason}",
        "too large": f"it {found.missing}" if found.missing else "",
        "licence": card.licence or "unknown; see where it was published",
        "template": template,
        "again": AGAIN if found.question_first else "",
        "files": str(found.files.model),
        "": str(found.files.projector),
    }
    head = card.about or (f"{found.files.name}: {model.name}",)
    return [*head, *(f"  {key:10} {value}" for key, value in fields.items() if value)]


def record(found: PairFacts) -> dict[str, Any]:
    """The facts for a program: one JSON object of `vlm show --json`."""
    card, model, projector = found.files.card, found.model, found.projector
    return {
        "name": found.files.name,
        "title": model.name,
        "architecture": model.architecture,
        "quantisation": model.quantisation,
        "parameters": model.parameters,
        "context": model.number("context_length"),
        "model": str(found.files.model),
        "size": model.file_size,
        "projector": str(found.files.projector),
        "projector_type": _family(projector),
        "projector_parameters": projector.parameters,
        "projector_size": projector.file_size,
        "picture": list(PICTURE),
        "picture_tokens": found.tokens,
        "fitted_context": found.chosen.n_ctx,
        "memory": found.memory,
        "fits": not found.missing,
        "why": found.missing or found.chosen.reason,
        "licence": card.licence,
        "chat_template": "catalogue" if card.chat_template else "file" if _has_template(model) else "none",
        "question_first": found.question_first,
    }


def _family(projector: Header) -> str:
    return gguf.shown(projector.projector_type or "unnamed")


def _has_template(model: Header) -> bool:
    return bool(model.metadata.get("tokenizer.chat_template"))


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"
