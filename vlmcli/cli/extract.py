"""`vlm extract`, and what `vlm ask` has of it: answers whose form is given, by a schema or a grammar.

What a form may be is checked before a model is looked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmcli import typed
from vlmcli.cli import options
from vlmcli.cli.flags import BESIDE, SAMPLING, SHARED, Flags, with_flags
from vlmcli.errors import RequestError, UsageError
from vlmcli.later import Later

if TYPE_CHECKING:
    from vlmcli.batch.course import Course
    from vlmcli.batch.run import Outcome
    from vlmcli.cli import answer as answers
    from vlmcli.cli import words as arguments
    from vlmcli.cli.words import Named
    from vlmcli.engine import gbnf, guided
    from vlmcli.pictures import properties
    from vlmcli.records import lines
    from vlmcli.settings import Settings
    from vlmcli.tasks import ask
    from vlmcli.tasks import extract as tasks
    from vlmcli.tasks import schema as schemas
    from vlmcli.terminal import live, wrapping
    from vlmcli.values import ModelFiles
else:  # a page of help needs none of them
    answers, arguments = Later("vlmcli.cli.answer"), Later("vlmcli.cli.words")
    gbnf, guided = Later("vlmcli.engine.gbnf"), Later("vlmcli.engine.guided")
    properties, schemas = Later("vlmcli.pictures.properties"), Later("vlmcli.tasks.schema")
    ask, lines = Later("vlmcli.tasks.ask"), Later("vlmcli.records.lines")
    live, wrapping = Later("vlmcli.terminal.live"), Later("vlmcli.terminal.wrapping")
    tasks = Later("vlmcli.tasks.extract")


@with_flags(*SHARED, *SAMPLING, *BESIDE)
def extract(
    words: options.Pictures = None,
    schema: options.Schema = None,
    multi: options.SchemaMulti = False,
    question: Annotated[
        str | None, typer.Option("-q", "--question", metavar="TEXT", help="Say what to read from the picture.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="NAME=PROPERTY",
            help="Write this field to an XMP property, as in shop=dc:title; repeat for several.",
        ),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Read fields from each picture, as JSON.

    The answer always follows the schema. What is not in the picture is null, if the schema allows it. A JSON Schema
    of Pydantic is one, too.

    vlm extract receipts --schema 'shop, date, total float'

    vlm extract scan.png --schema receipt.json

    vlm extract pics --schema f.json --format csv > out.csv
    """
    if schema is None:
        raise UsageError("the command has no schema", "name one: --schema FILE, or --schema 'shop, date, total float'")
    text = schema_of(schema, multi=multi)
    course = _course(flags, field or (), text, multi=multi)
    run(text, [question or ""], flags.named(words or (), each=True), flags, course=course)


def schema_of(given: str, *, multi: bool) -> str:
    """The schema that an option names, as JSON text that the engine can follow. Raises UsageError."""
    is_file = arguments.is_file(given)
    if not is_file and Path(given).suffix == ".json" and len(given.split()) == 1:
        raise UsageError(f"{given}: there is no such file", "check the path")
    where = given if is_file else "--schema"
    schema = schemas.read(arguments.text_of(given) if is_file else given, where)
    text = json.dumps(schemas.several(schema) if multi else schema, ensure_ascii=False)
    try:
        guided.schema_grammar(text)
    except RequestError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from None
    return text


def _course(flags: Flags, given: Sequence[str], schema: str, *, multi: bool) -> Course:
    """How the command goes through its pictures, with the fields that go to properties of XMP. Raises UsageError."""
    course = flags.course()
    if course.sidecar not in ("xmp", "metadata"):
        if given:
            add = "--sidecar xmp or --write-metadata"
            raise UsageError(f"--field does nothing without {add}", f"add {add}, or leave --field out")
        return course
    option = "--write-metadata" if flags.write_metadata else "--sidecar xmp"
    names = schemas.fields(json.loads(schema))
    if multi or not names:
        raise UsageError(f"{option} needs a schema of one object with fields", "use --sidecar txt")
    if not given:
        example = typed.word(f"{names[0]}=dc:title")
        raise UsageError(f"{option} needs a field and an XMP property for it", f"for example --field {example}")
    fields = []
    for pair in given:
        name, equals, what = pair.rpartition("=")
        if not equals:
            example = typed.word(f"{pair}=dc:title")
            raise UsageError(f"--field {pair}: an XMP property is missing", f"for example --field {example}")
        if name not in names:
            raise UsageError(f"--field {pair}: the schema has no such field", f"its fields: {', '.join(names)}")
        one = properties.named(what)
        if one.is_date and not one.is_list and course.existing in ("prepend", "append"):
            raise UsageError(f"--existing {course.existing}: {one} can only hold one date", "use --existing replace")
        fields.append((name, one))
    return replace(course, fields=tuple(dict.fromkeys(fields)))


def run(
    schema: str,
    instructions: Sequence[str],
    named: Named,
    flags: Flags,
    system: str = "",
    *,
    course: Course | None = None,
) -> None:
    """Read the fields of a schema from pictures, once for each of the instructions.

    Args:
        schema: JSON, as text.
        instructions: what else the model is told, once for each; empty for nothing.
        named: the pictures.
        flags: of the command.
        system: what the model is told before, where the flags say nothing.
        course: how the command goes through its pictures; without one, as the flags say.
    """
    (sampling, limit), side, parts = flags.sampling(), flags.side, flags.parts

    def made(files: ModelFiles, settings: Settings, context: str) -> list[tasks.Extract]:
        told = ["\n\n".join(filter(None, (context, one))) for one in instructions]
        own, first = tuple(sorted(files.card.prompts.items())), flags.system or system or settings.system
        return [tasks.Extract(schema, one, first, own, sampling, limit, files.card.think, side, parts) for one in told]

    first = [tasks.Extract(schema, one) for one in instructions]
    answers.do(made, first, named, flags, plain=True, reading=True, manner=answers.Manner(_lined), course=course)


def form_of(choices: str | None, regex: str | None, grammar: str | None) -> ask.Form:
    """The form that the options name. Raises UsageError where the engine cannot follow it."""
    if choices is not None:
        texts = [one.strip() for one in choices.split(",") if one.strip()]
        if len(texts) < 2:
            raise UsageError("--choices needs at least two", "for example --choices yes,no")
        words = " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)
        return ask.Form(grammar=f"root ::= {words}", option="--choices")
    try:
        if regex is not None:
            guided.regex_grammar(regex)
        if grammar is None:
            return ask.Form(regex=regex or "")
        text = arguments.text_of(grammar)
        gbnf.read(text)
    except RequestError as error:
        raise UsageError(f"{grammar or '--regex'}: {error.message}", error.hint) from None
    return ask.Form(grammar=text)


def _lined(outcome: Outcome, width: int) -> str:
    """The JSON, behind the picture's name where there are others; on a terminal of a width, the fields in rows."""
    name, expanded = lines.escape(" ".join(outcome.job.names)), outcome.job.pictures[0].expanded
    (value,) = outcome.result.fields
    if width and (rows := _rows(value, width)):
        return f"{name}\n{rows}" if expanded else rows
    return f"{name}\t{outcome.result.text}\n" if expanded else f"{outcome.result.text}\n"


def _rows(value: Any, width: int) -> str:
    """The fields of an object below one another, or of each object of a list; empty for what has no fields."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and one for one in value):
        return "\n".join(_rows(one, width) for one in value)
    if not isinstance(value, dict) or not value:
        return ""
    longest = min(width // 3, max(live.cells(lines.escape(field)) for field in value))
    rows = []
    for field, found in value.items():
        name, text = lines.escape(field), lines.escape(tasks.cell(found)) or "-"
        head = f"  {name}{' ' * (longest - live.cells(name))}  "
        rows.append(wrapping.wrapped(f"{head}{text}", width, longest + 4) + "\n")
    return "".join(rows)
