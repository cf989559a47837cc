"""The verbs that answer: each says what is asked; `answer` does the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.answer import answer
from vlmcli.cli.flags import Flags, with_flags
from vlmcli.cli.words import arguments_of, questions_of
from vlmcli.errors import UsageError
from vlmcli.tasks.ask import prompt

PicturesArgument = Annotated[list[str] | None, typer.Argument(metavar="PICTURES", show_default=False)]


@with_flags()
def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURES QUESTION",
            help="The last word is the question, where there is no -q or -t.",
            show_default=False,
        ),
    ] = None,
    questions: options.Question = None,
    questions_file: options.Questions = None,
    template: options.Template = None,
    param: options.Param = None,
    each: options.Each = False,
    together: options.Together = False,
    *,
    flags: Flags,
) -> None:
    """Answer a question about one or several pictures.

    vlm ask photo.jpg "what is this?"

    vlm ask -q "what is this?" -q "which colours?" before.jpg after.jpg

    vlm ask ~/Pictures "is there a cat? yes or no"

    vlm ask -t alt-text photo.jpg
    """
    if questions_file is not None:
        questions = [*(questions or ()), *questions_of(questions_file)]
    what = arguments_of(words or (), questions, flags.files_from, template, param)
    each |= what.template is not None and what.template.each and not together
    named = flags.named(what.names, each=each, together=together)
    answer(lambda _: what.questions, named, flags, system=what.system, template=what.template)


@with_flags()
def caption(words: PicturesArgument = None, *, flags: Flags) -> None:
    """Say in one sentence what each picture shows.

    vlm caption photo.jpg

    vlm caption ~/Pictures --json
    """
    answer(lambda card: [prompt("caption", card.prompts)], flags.named(words or (), each=True), flags)


@with_flags()
def describe(
    words: PicturesArgument = None, length: options.Length = None, focus: options.Focus = "", *, flags: Flags
) -> None:
    """Describe each picture.

    vlm describe --length short photo.jpg

    vlm describe --focus "the people's clothes" photo.jpg
    """
    if length and focus.strip():
        raise UsageError("--length and --focus exclude one another", "leave one out")
    name = "describe focus" if focus.strip() else f"describe {length.value}" if length else "describe"
    named = flags.named(words or (), each=True)
    answer(lambda card: [prompt(name, card.prompts, focus=focus.strip())], named, flags)


@with_flags()
def ocr(words: PicturesArgument = None, layout: options.LayoutOption = options.Layout.PLAIN, *, flags: Flags) -> None:
    """Write down the text in each picture.

    vlm ocr letter.pdf

    vlm ocr --layout markdown scan.png > scan.md
    """
    named = flags.named(words or (), each=True)
    answer(
        lambda card: [prompt(f"ocr {layout.value}", card.prompts)], named, flags,
        plain=layout is options.Layout.PLAIN, end_loops=True,
    )  # fmt: skip
