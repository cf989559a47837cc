"""The commands that ask about pictures: each chooses the question, and `answer` does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmcli.cli import options
from vlmcli.cli.flags import Flags, with_flags
from vlmcli.errors import UsageError
from vlmcli.later import Later

if TYPE_CHECKING:
    from vlmcli.cli import extract as extracts
    from vlmcli.cli import words as arguments
    from vlmcli.tasks import ask as tasks
else:  # a page of help needs none of them
    arguments, tasks = Later("vlmcli.cli.words"), Later("vlmcli.tasks.ask")
    extracts = Later("vlmcli.cli.extract")


def _prose(verb: str, flags: Flags) -> None:
    """Raise UsageError where the answers of a command that writes sentences or text are wanted as keywords."""
    if flags.keywords:
        flags.course()  # what else is wrong with them comes first
        raise UsageError(
            f"vlm {verb} does not answer in keywords",
            "use a template that does: vlm ask -t tags PICTURES --sidecar xmp --keywords",
        )


def _answer(*what: Any, **more: Any) -> None:
    """As `answer.answer`. What that needs is imported now, so that help and errors come at once."""
    from vlmcli.cli.answer import answer

    answer(*what, **more)


@with_flags()
def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURES... QUESTION",
            help="Files, folders, patterns, URLs, or - for stdin. The last argument is the question, unless -q or -t"
            " is given.",
            show_default=False,
        ),
    ] = None,
    questions: options.Question = None,
    questions_file: options.Questions = None,
    template: options.Template = None,
    param: options.Param = None,
    schema: options.Schema = None,
    multi: options.SchemaMulti = False,
    choices: options.Choices = None,
    regex: options.Regex = None,
    grammar: options.GrammarOption = None,
    each: options.Each = False,
    together: options.Together = False,
    *,
    flags: Flags,
) -> None:
    """Ask a question about one or several pictures.

    Several files are shown to the model together, unless --each is given. With a folder, a pattern or a list, the
    question is asked about each picture.

    vlm ask photo.jpg "what is this?"

    vlm ask ~/Pictures "is there a cat?" --output cats.jsonl

    vlm ask a.jpg b.jpg -q "what changed?" -q "which is best?"

    vlm ask -t alt-text photo.jpg
    """
    if questions_file is not None:
        others = [*(words or ()), *(questions or ()), flags.files_from or ""]
        questions = [*(questions or ()), *arguments.questions_of(questions_file, others)]
    what = arguments.arguments_of(words or (), questions, flags.files_from, template, param)
    each |= what.template is not None and what.template.each and not together
    named = flags.named(what.names, each=each, together=together)
    forms = {"--schema": schema, "--choices": choices, "--regex": regex, "--grammar": grammar}
    given = [name for name, value in forms.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be used together", "leave out one of them")
    if schema is not None:
        extracts.run(extracts.schema_of(schema, multi=multi), what.questions, named, flags, what.system)
        return
    if multi:
        raise UsageError("--schema-multi does nothing without --schema", "add --schema FILE")
    form = extracts.form_of(choices, regex, grammar) if given else None
    _answer(lambda _: what.questions, named, flags, system=what.system, template=what.template, form=form)


@with_flags()
def caption(words: options.Pictures = None, *, flags: Flags) -> None:
    """Describe each picture in one sentence.

    vlm caption photo.jpg

    vlm caption ~/Pictures --sidecar txt
    """
    _prose("caption", flags)
    _answer(
        lambda card: [tasks.prompt("caption", card.prompts)],
        flags.named(arguments.only_pictures("caption", words or ()), each=True),
        flags,
    )


@with_flags()
def describe(
    words: options.Pictures = None, length: options.Length = None, focus: options.Focus = "", *, flags: Flags
) -> None:
    """Describe each picture in detail.

    vlm describe photo.jpg --length short

    vlm describe photo.jpg --focus "the people's clothes"
    """
    _prose("describe", flags)
    if length and focus.strip():
        raise UsageError("--length and --focus cannot be used together", "leave out --length or --focus")
    name = "describe focus" if focus.strip() else f"describe {length.value}" if length else "describe"
    named = flags.named(arguments.only_pictures("describe", words or ()), each=True)
    _answer(lambda card: [tasks.prompt(name, card.prompts, focus=focus.strip())], named, flags)


@with_flags()
def ocr(words: options.Pictures = None, layout: options.LayoutOption = options.Layout.PLAIN, *, flags: Flags) -> None:
    """Read the text in each picture.

    vlm ocr letter.pdf

    vlm ocr scan.png --layout markdown > scan.md
    """
    _prose("ocr", flags)
    named = flags.named(arguments.only_pictures("ocr", words or ()), each=True)
    _answer(
        lambda card: [tasks.prompt(f"ocr {layout.value}", card.prompts)], named, flags,
        plain=layout is options.Layout.PLAIN, reading=True,
    )  # fmt: skip
