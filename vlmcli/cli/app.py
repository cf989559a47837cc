"""The `vlm` command: its verbs, and the one place where errors become exit codes.

Leaves nothing behind in the process; what only a process that ends needs is in `vlmcli.__main__`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from vlmcli import __version__, room, settings
from vlmcli.amounts import size
from vlmcli.cli import doctor, explain, models, pull, show, templates, verbs
from vlmcli.cli.chat import command
from vlmcli.cli.running import signals_as_found
from vlmcli.errors import Exit, VlmError
from vlmcli.terminal import door
from vlmcli.terminal.ui import Ui

app = typer.Typer(
    name="vlm",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (verbs.ask, verbs.caption, verbs.describe, verbs.ocr, explain.explain):
    app.command(no_args_is_help=True)(verb)
app.command()(command.chat)
app.command(no_args_is_help=True)(pull.pull)
for verb in (models.ls, show.show, models.models, models.default, models.verify):
    app.command()(verb)
app.command(no_args_is_help=True)(models.rm)
app.command()(doctor.doctor)
app.command("templates")(templates.list_templates)

_ClickException: type[Exception] = typer.BadParameter.__mro__[2]  # click's own, wherever this Typer keeps it


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from vlmcli.engine import native

    with Ui() as ui:
        facts = native.versions()
        ui.line(f"vlm {__version__}")
        python = sys.version.split()[0]
        ui.line(f"llama.cpp {facts['llama.cpp']}, llama-cpp-python {facts['llama-cpp-python']}, Python {python}")
        for device in native.devices():
            ui.line(f"{device.kind} {device.name}: {device.description}, {size(device.memory_total)}")
        ui.line(facts["features"])
    raise typer.Exit


@app.callback()
def _vlm(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Versions, and what llama.cpp can use here."),
    ] = False,
) -> None:
    """Ask questions about pictures on your own machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `vlm` and return its exit code, one of `errors.Exit`.

    It may be called any number of times in a process: streams, environment and folders are looked at anew each time,
    and handlers of signals, loggers and standard streams are afterwards as they were.

    Args:
        arguments: the words behind `vlm`; None for the process's own.
    """
    words = _join_options(list(sys.argv[1:] if arguments is None else arguments))
    with signals_as_found(), door.guarded():  # the parser, too, puts other streams there when its reader goes away
        return _run(words)


def _run(words: Sequence[str]) -> int:
    """Parse and do; every error that a user can meet becomes its exit code here."""
    try:
        # Not `app(...)`, which would leave a hook for exceptions of its own.
        result = typer.main.get_command(app)(words, prog_name="vlm", standalone_mode=False)
        code = result if isinstance(result, int) else Exit.DONE
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except typer.Exit as exit:
        return exit.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except VlmError as error:
        ui = Ui()
        if settings.debugging():
            ui.trace(error)
        ui.error(error)
        return error.exit_code
    except OSError as error:  # stdout's: everything else that may fail has its own error
        Ui().error(VlmError(f"the output cannot be written ({error.strerror})", "make room, or write elsewhere"))
        return Exit.FAILED
    except (MemoryError, ImportError, RuntimeError) as error:  # a library that cannot be loaded, a thread not started
        if not room.is_out(error):
            raise
        Ui().error(VlmError("no memory is left", room.HINT))
        return Exit.FAILED
    except SystemExit:  # how the parser says that the reader of its help went away
        return Exit.PIPE_CLOSED
    except _ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            Ui().help(str(error))
            return Exit.USAGE
        Ui().error(VlmError(*_usage(error)))
        return Exit.USAGE


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


def _usage(error: BaseException) -> tuple[str, str]:
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", lambda: str(error))()
    return message.rstrip("."), f"see {context.command_path} --help" if context is not None else "see vlm --help"
