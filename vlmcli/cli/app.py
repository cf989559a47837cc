"""The `vlm` command: its verbs, and the one place where errors become exit codes.

A verb's module is imported when the verb is used: help, and a verb that needs no engine, start at once. Leaves nothing
behind in the process; what only a process that ends needs is in `vlmcli.__main__`.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from vlmcli import room, settings, typed
from vlmcli.cli import help, meant, parsing
from vlmcli.cli.beginning import BEGAN
from vlmcli.cli.signals import signals_as_found
from vlmcli.errors import Exit, UsageError, VlmError
from vlmcli.terminal import door
from vlmcli.terminal.streams import columns

logging.getLogger("vlmcli").addHandler(logging.NullHandler())  # silent until -v; Python's own would write to stderr


class Entry(NamedTuple):
    """Where a verb is, and the first sentence of its help.

    Attributes:
        module: below `vlmcli.cli`.
        function: in that module.
        summary: the first sentence of the function's docstring; a test holds the two together.
    """

    module: str
    function: str
    summary: str


VERBS: Mapping[str, Entry] = {
    "ask": Entry("verbs", "ask", "Ask a question about one or several pictures."),
    "caption": Entry("verbs", "caption", "Describe each picture in one sentence."),
    "describe": Entry("verbs", "describe", "Describe each picture in detail."),
    "ocr": Entry("verbs", "ocr", "Read the text in each picture."),
    "match": Entry("decide", "match", "List the pictures that show something."),
    "classify": Entry("decide", "classify", "Choose a label for each picture."),
    "decide": Entry("decide", "decide", "Decide typed questions about each picture, with probabilities."),
    "extract": Entry("extract", "extract", "Read fields from each picture, as JSON."),
    "detect": Entry("detect", "detect", "Find things in pictures, with boxes around them."),
    "point": Entry("detect", "point", "Find things in pictures, with a point on each."),
    "chat": Entry("chat.command", "chat", "Chat with a model about pictures."),
    "serve": Entry("serve", "serve", "Serve models to other programs over HTTP."),
    "mcp": Entry("mcp", "mcp", "Let agents look at pictures, over MCP."),
    "models": Entry("models", "models", "List models to download, the best for this machine first."),
    "pull": Entry("pull", "pull", "Download a model."),
    "ls": Entry("models", "ls", "List downloaded models, including those from other programs."),
    "default": Entry("models", "default", "Show or set the default model."),
    "rm": Entry("models", "rm", "Remove downloaded models."),
    "verify": Entry("models", "verify", "Check model files against their published hashes."),
    "show": Entry("show", "show", "Show details of a model, or what a model sees in a picture."),
    "explain": Entry("explain", "explain", "Trace a question through the model, stage by stage."),
    "templates": Entry("templates", "list_templates", "List question templates, or show one."),
    "cache": Entry("cache", "cache", "List or clear cached results."),
    "doctor": Entry("doctor", "doctor", "Check the installation and suggest fixes."),
    "help": Entry("app", "show_help", "Show help for a command."),
    "version": Entry("version", "version", "Show the versions of vlm and llama.cpp."),
}
"""Every verb, in the order of the help."""

GROUPS: Mapping[str, Sequence[str]] = {
    "Ask about pictures": (
        "ask",
        "caption",
        "describe",
        "ocr",
        "match",
        "classify",
        "decide",
        "extract",
        "detect",
        "point",
        "chat",
        "serve",
        "mcp",
    ),
    "Models": ("models", "pull", "ls", "default", "rm", "verify"),
    "More": ("show", "explain", "templates", "cache", "doctor"),
}
"""The verbs of the help of `vlm`, under their titles."""

NEEDS_WORDS = (
    "ask",
    "caption",
    "describe",
    "ocr",
    "match",
    "classify",
    "decide",
    "extract",
    "detect",
    "point",
    "explain",
    "pull",
    "rm",
)
"""Verbs that do nothing without an argument or an option: typed alone, they show their help."""

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class Verbs(TyperGroup):
    """The verbs of `VERBS`, each imported when it is used."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the library's, and keeps the words for `get_help`; without words it shows the help."""
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        ctx.meta[parsing.WORDS] = list(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the verbs that the help lists, in its order."""
        return [name for group in GROUPS.values() for name in group]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A verb by its name; None where there is none."""
        return command(cmd_name) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the words begin with, and the words behind it. Raises UsageError for an unknown one."""
        if args[0] not in VERBS and not ctx.resilient_parsing:
            raise _unknown_verb(args)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """The help of `vlm` itself."""
        return root_page(columns(), short="-h" in ctx.meta[parsing.WORDS]).rstrip("\n")


def _unknown_verb(words: Sequence[str]) -> UsageError:
    """The error for words that begin with no verb."""
    return UsageError(
        f"unknown command {typed.word(words[0][:60])}",
        meant.verb(words, list(VERBS)) or "vlm --help lists the commands",
    )


@functools.cache
def function_of(name: str) -> Callable[..., Any]:
    """The function of a verb."""
    entry = VERBS[name]
    function: Callable[..., Any] = getattr(importlib.import_module(f"vlmcli.cli.{entry.module}"), entry.function)
    return function


@functools.cache
def command(name: str) -> Any:
    """A verb as the parser knows it."""
    one = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    declare = one.command(
        name,
        cls=parsing.Verb,
        no_args_is_help=name in NEEDS_WORDS,
        context_settings=_SETTINGS,
        short_help=VERBS[name][2],
    )
    declare(function_of(name))
    verb: Any = typer.main.get_command(one)
    verb.function = function_of(name)
    return verb


def _version(wanted: bool) -> None:
    if wanted:
        function_of("version")()
        raise typer.Exit


def _vlm(
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True, help=VERBS["version"].summary)
    ] = False,
) -> None:
    """Ask questions about pictures on your own machine."""


def _parsed_and_done(words: Sequence[str]) -> Any:
    """Find the verb, and do it. Returns what the parser returns."""
    # Never `app(...)`, which would leave a hook for exceptions of its own.
    completes = "_VLM_COMPLETE" in settings.variables()
    if completes and (code := _complete()) is not None:
        return code
    if words and not words[0].startswith("-") and not completes:  # the group would cost a tenth of a second
        if words[0] not in VERBS:
            raise _unknown_verb(words)
        return command(words[0])(words[1:], prog_name=f"vlm {words[0]}", standalone_mode=False)
    app = typer.Typer(
        name="vlm",
        cls=Verbs,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=completes or any(word.startswith(("--install-", "--show-")) for word in words[:1]),
        context_settings=_SETTINGS,
    )
    app.callback()(_vlm)
    return typer.main.get_command(app)(words, prog_name="vlm", standalone_mode=False)


def _complete() -> int | None:
    """Answer a shell that completes a line. Returns the exit code; None for a shell that is left to Typer."""
    from vlmcli.cli import completion
    from vlmcli.terminal.ui import Ui

    verbs = {name: VERBS[name].summary for names in GROUPS.values() for name in names} | {"help": VERBS["help"].summary}
    found = completion.answer(settings.variables(), verbs, function_of)
    if found is None:
        return None
    text, code = found
    if text:
        with Ui() as ui:
            ui.line(text)
    return code


def show_help(
    verb: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="A command; without it, list all commands.")
    ] = None,
) -> None:
    """Show help for a command.

    vlm help ask
    """
    from vlmcli.terminal.ui import Ui

    if verb is not None and verb not in VERBS:
        raise _unknown_verb([verb])
    width = columns()
    text = root_page(width) if verb is None else help.page(f"vlm {verb}", function_of(verb), width)
    with Ui() as ui:
        ui.line(text.rstrip("\n"))


def root_page(width: int, *, short: bool = False) -> str:
    """The help of `vlm`: so many columns wide, and short for -h."""
    options = [
        ("-h, --help", "Show this help."),
        ("-V, --version", VERBS["version"].summary),
        ("    --install-completion", "Set up Tab completion for this shell."),
        ("    --show-completion", "Print the completion script for this shell."),
    ]
    verbs = {title: {name: VERBS[name].summary for name in names} for title, names in GROUPS.items()}
    example = 'vlm ask photo.jpg "what is this?"'
    return help.root_page(str(_vlm.__doc__), verbs, () if short else options, example, width)


def main(arguments: Sequence[str] | None = None, began: float | None = None) -> int:
    """Run `vlm` and return its exit code, one of `errors.Exit`.

    It may be called any number of times in a process: streams, environment and folders are looked at anew each time,
    and handlers of signals, loggers and standard streams are afterwards as they were.

    Args:
        arguments: the words behind `vlm`; None for the process's own.
        began: when the command began, as `time.monotonic` counts; None for now.
    """
    token = BEGAN.set(time.monotonic() if began is None else began)
    words = _join_options(list(sys.argv[1:] if arguments is None else arguments))
    try:
        with signals_as_found(), door.guarded():  # the parser, too, puts other streams there when its reader goes away
            return _run(words)
    finally:
        BEGAN.reset(token)


def _run(words: Sequence[str]) -> int:
    """Parse and do; every error that a user can meet becomes its exit code here."""
    try:
        result = _parsed_and_done(words)
        code = result if isinstance(result, int) else Exit.DONE
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except typer.Exit as exit:
        return exit.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except SystemExit as exit:  # how the parser ends completion; or says that the reader of its help went away
        return Exit.PIPE_CLOSED if exit.code else Exit.DONE
    except (VlmError, OSError, MemoryError, ImportError, RuntimeError, SystemError, *parsing.ERRORS) as error:
        return _told(error, words)


def _told(error: Exception, words: Sequence[str]) -> int:
    """Say what is wrong. Returns the exit code; raises the error again where it is none that a user can meet."""
    try:
        from vlmcli.terminal.ui import Ui  # the help, which has to start at once, needs no printer
    except Exception:
        if not room.is_out(error):
            raise
        door.last_words(f"vlm: not enough memory\n     {room.HINT}")
        return Exit.FAILED
    ui = Ui()
    if isinstance(error, VlmError):
        if settings.debugging():
            ui.trace(error)
        ui.error(error)
        return error.exit_code
    if isinstance(error, parsing.Bare):
        ui.help(str(error))
        return Exit.USAGE
    if isinstance(error, parsing.ClickException):
        found = parsing.error_of(error)
        hint = meant.verb(words, list(VERBS)) if words[:1] and words[0].startswith("-") else ""
        ui.error(UsageError(found.message, hint or found.hint))
        return Exit.USAGE
    if isinstance(error, OSError):  # stdout's: everything else that may fail has its own error
        ui.error(VlmError(f"cannot write the output ({error.strerror})", "free some space, or write elsewhere"))
        return Exit.FAILED
    if not room.is_out(error):  # a library that cannot be loaded, a thread that cannot be started
        raise error
    ui.error(VlmError("not enough memory", room.HINT))
    return Exit.FAILED


def _join_options(words: list[str]) -> list[str]:
    """`-o KEY VALUE`, as in `llm`, becomes `-o KEY=VALUE`, which the parser knows; so does `--param NAME VALUE`."""
    joined: list[str] = []
    while words:
        word = words.pop(0)
        joined.append(word)
        if word == "--":
            return joined + words
        if word in ("-o", "--option", "--param") and len(words) >= 2 and "=" not in words[0]:
            joined.append(f"{words.pop(0)}={words.pop(0)}")
    return joined
