"""What a command's words ask, with a template or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmcli import settings
from vlmcli.cli.words import pictures_and_questions
from vlmcli.errors import UsageError
from vlmcli.tasks import templates
from vlmcli.tasks.templates import QUESTION, Template


@dataclass(frozen=True)
class Asked:
    """The pictures' names, and what is asked about them."""

    names: Sequence[str]
    questions: Sequence[str]
    system: str = ""
    template: Template | None = None


def asked(
    words: Sequence[str],
    questions: Sequence[str] | None,
    files_from: str | None,
    template: str | None,
    params: Sequence[str] | None,
) -> Asked:
    """Words and -q, put into the template, if one is named."""
    if template is None:
        if params:
            raise UsageError("--param fills a template's slot, but there is no template", "name one: -t NAME")
        return Asked(*pictures_and_questions(words, questions, files_from))
    chosen = templates.find(template, settings.config_folder() / "templates")
    values = dict(_param(pair) for pair in params or ())
    if QUESTION not in chosen.slots or QUESTION in values:
        if questions:
            raise UsageError(f"the template {template} has no place for a question", "leave -q out")
        prompt, system = chosen.fill(values)
        return Asked(words, [prompt], system, chosen)
    names, given = pictures_and_questions(words, questions, files_from)
    filled = [chosen.fill({**values, QUESTION: one}) for one in given]
    if len({system for _, system in filled}) > 1:
        raise UsageError(f"the template {template} tells the model each question beforehand", "ask them one by one")
    return Asked(names, [prompt for prompt, _ in filled], filled[0][1], chosen)


def _param(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"--param {pair}: has no value", f"give it one: --param {pair} VALUE")
    return name, value.strip()
