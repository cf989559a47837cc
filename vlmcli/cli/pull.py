"""`vlm pull`, the model that a command asks, and the offer to download one that is missing.

Knows what a person is shown and asked. Does not know how files are found on the Hub or come from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli import settings
from vlmcli.amounts import size
from vlmcli.cli import options
from vlmcli.cli.flags import Flags, with_flags
from vlmcli.cli.running import opened
from vlmcli.cli.signals import interruptible
from vlmcli.errors import Cancelled, HubError, ModelError, NotHere, UsageError, VlmError
from vlmcli.pictures.sources import expand
from vlmcli.records.lines import object_line
from vlmcli.settings import Settings
from vlmcli.terminal.ui import Ui
from vlmcli.values import Answer, ModelFiles

if TYPE_CHECKING:
    from vlmcli.machine.speed import Speed
    from vlmcli.models.pull import Order
    from vlmcli.models.repository import RemoteFile
    from vlmcli.models.store import Published


NO_MODEL = "no model chosen"


@with_flags("json", "verbose")
def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A name from vlm models, or owner/repository[:quantisation] on the Hugging Face Hub.",
            show_default=False,
        ),
    ],
    mmproj: Annotated[
        str | None,
        typer.Option("--mmproj", metavar="NAME", help="Choose a projector: F16, Q8_0, or a part of its file name."),
    ] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for confirmation; accept the licence.")] = False,
    quiet: options.Quiet = False,
    *,
    flags: Flags,
) -> None:
    """Download a model.

    vlm pull qwen3.5-0.8b

    vlm pull ggml-org/Qwen2.5-VL-3B-Instruct-GGUF:Q8_0
    """
    settings.load()  # what is wrong there is said before a long download
    with Ui() as ui:
        for wanted in [_published(name) for name in names]:
            fetched = fetch_model(ui, wanted, mmproj or "", yes=yes, quiet=quiet)
            if flags.json:
                ui.line(object_line(fetched))


def _published(name: str) -> Published:
    from vlmcli import demo
    from vlmcli.models import catalogue, store

    if name == demo.FILES.name:
        raise UsageError(
            f"{name}: part of vlm, so there is nothing to download", "use it: vlm ask -m demo PICTURE QUESTION"
        )
    wanted = store.published(name)
    if wanted is None:
        close = catalogue.closest(name)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        what = f"{name[:200]}: neither a known model nor a repository (owner/name)"
        raise UsageError(what, f"{hint}vlm models lists the known ones")
    return wanted


def fetch_model(ui: Ui, wanted: Published, projector: str = "", *, yes: bool, quiet: bool = False) -> dict[str, object]:
    """Show what a model is and takes, ask on a terminal, and download it; it is the default where there was none.

    Args:
        ui: where it is shown.
        wanted: the model.
        projector: which of its projectors, where there are several.
        yes: do not ask, and accept its licence.
        quiet: show nothing but errors.

    Returns what has come, as `vlm pull --json` has it. Raises HubError; UsageError where a person does not agree;
    Cancelled.
    """
    from vlmcli.engine.place import prefers_bf16
    from vlmcli.models.pull import check_room, order

    def say(text: str) -> None:
        if not quiet:
            ui.say(text)

    found = order(wanted, say, projector, prefers_bf16())
    for text in _shown(found):
        say(text)
    check_room(found)
    if not yes:
        _agree(ui, found, quiet=quiet)
    model, mmproj = _downloaded(ui, found, say, quiet=quiet)
    if found.missing:
        say(f"downloaded {wanted.name}")
    if not settings.load().model:
        _set_default(ui, wanted.name, say)
    return {
        "name": wanted.name,
        "repository": found.repository.name,
        "commit": found.repository.commit,
        "quantisation": found.choice.quant,
        "licence": found.repository.licence,
        "size": found.choice.size,
        "downloaded": found.missing,
        "model": str(model),
        "projector": str(mmproj),
    }


def fetch_unasked(name: str, progress: Callable[[str, int, int, str], None]) -> ModelFiles:
    """Download a model that a program has asked for, which nobody can be asked about. Returns its files.

    Args:
        name: of the model.
        progress: told what happens, how many bytes of how many of a file are here, and the file's sha256.

    Raises HubError; UsageError for an unknown name, and where a licence has to be accepted first.
    """
    from vlmcli import demo
    from vlmcli.engine.place import prefers_bf16
    from vlmcli.models import store
    from vlmcli.models.pull import bring, check_room, order

    def say(text: str) -> None:
        progress(text, 0, 0, "")

    def came(file: RemoteFile, count: int) -> None:
        progress(f"pulling {file.sha256[:12] or file.path}", count, file.size, file.sha256)

    wanted = _published(name)
    found = order(wanted, say, "", prefers_bf16())
    if found.missing and found.entry and found.entry.accept:
        raise UsageError(f"{wanted.name}: its licence has to be accepted", f"accept it: vlm pull -y {wanted.name}")
    check_room(found)
    say("pulling manifest")
    bring(found, came, say)
    return store.resolve(wanted.name, demo=demo.FILES)


def _downloaded(ui: Ui, found: Order, say: Callable[[str], None], *, quiet: bool) -> tuple[Path, Path]:
    """Download what is missing, with a bar. Returns the model's and the projector's file."""
    from vlmcli.models.pull import bring

    name, whole = found.published.name, found.choice.size
    done = dict.fromkeys((file.path for file in found.choice.files), 0)
    with ui.transfer(name, whole, quiet=quiet) as bar:

        def progress(file: RemoteFile, count: int) -> None:
            done[file.path] = count
            bar.at(sum(done.values()))

        interruptible()
        try:
            return bring(found, progress, say)
        except KeyboardInterrupt:
            share = sum(done.values()) / max(1, whole)
            raise Cancelled(f"{name}: stopped at {share:.0%}", f"vlm pull {name} continues from there") from None


def _set_default(ui: Ui, name: str, say: Callable[[str], None]) -> None:
    try:
        settings.remember_model(name)
        say(f"{name} is now the default model; vlm default MODEL sets another")
    except UsageError as error:  # the model is here all the same
        ui.say(f"{error.message}; name the model with -m {name}, or in VLM_MODEL")


def _agree(ui: Ui, found: Order, *, quiet: bool) -> None:
    """Ask for what has to be agreed to. Raises an error where it is not, or a licence is and nobody can be asked."""
    name, terms = found.published.name, found.entry.accept if found.entry else ""
    if not found.missing or (quiet and not terms):
        return
    if terms:
        ui.say(f"{name}: {terms}")
    answer = ui.confirmed(f"vlm: {'Accept this and download' if terms else 'Download'} {size(found.missing)}?")
    if answer is None and terms:
        raise UsageError(f"{name}: its licence has to be accepted", f"accept it: vlm pull -y {name}")
    if answer is False:
        raise UsageError(f"{name}: not downloaded", f"download it without being asked: vlm pull -y {name}")


def _shown(found: Order) -> Sequence[str]:
    """What will be downloaded: the model, its files, and the disk and memory they take, a line each."""
    entry, choice = found.entry, found.choice
    licence = found.repository.licence or (entry.licence if entry else "") or "unknown"
    lines = [f"{found.published.name}: {found.repository.name}, licence {licence}"]
    lines += [f"  {file.path}  {size(file.size)}" for file in choice.files]
    lines.append(
        f"  {size(found.missing)} to download, {size(found.free)} free on the disk; {_memory(found)}"
        if found.missing
        else f"  already downloaded; to check the files: vlm verify {found.published.name}"
    )
    return lines


def _memory(found: Order) -> str:
    """What memory it takes, as far as that is known before it is here."""
    from vlmcli.engine.place import this_machine
    from vlmcli.machine import recommend

    machine = this_machine()
    needed = recommend.memory_of(found.entry, machine) if found.entry else None
    takes = f"about {size(needed)}" if needed else f"more than {size(found.choice.size)}"
    free = f", and {size(machine.memory_free)} is free" if machine.memory_free else ""
    return f"needs {takes} of memory{free}"


def find_model(ui: Ui, chosen: Settings, chat_template: str = "", *, offer: bool = True) -> ModelFiles:
    """The files of the model the user has named; of one that is missing, after an offer to download it.

    Args:
        ui: where to ask.
        chosen: the model's name; whether to download without asking.
        chat_template: instead of the model's own.
        offer: whether to offer anything; only a model that is looked at, and not asked, needs no offer.

    Raises ModelError where there is no model, and nobody who says yes. Where there is an offer to make, the model is to
    be asked something: NativeError is raised where the engine that would ask it cannot be used.
    """
    from vlmcli import demo
    from vlmcli.machine.budget import budgeted
    from vlmcli.models import store
    from vlmcli.runners import nearby

    if offer and not nearby.is_possible():
        from vlmcli.engine import place

        place.require()
    name = expand(chosen.model)
    first = not name and offer
    if first:
        name = _first(ui, chosen)
    try:
        found = store.resolve(name, expand(chosen.mmproj), expand(chat_template), demo.FILES, ui.notice)
        return budgeted(found, chosen)
    except NotHere as missing:
        wanted = store.published(name)
        if not offer or wanted is None or not (chosen.yes or ui.can_ask):
            raise
        if not first:
            ui.say(missing.message)
    try:
        fetch_model(ui, wanted, yes=chosen.yes)
    except HubError as error:
        raise type(error)(error.message, f"{error.hint}; -m demo needs no download") from error
    return budgeted(store.resolve(name, expand(chosen.mmproj), expand(chat_template), demo.FILES, ui.notice), chosen)


def _first(ui: Ui, chosen: Settings) -> str:
    """A name where none is set: of the best model for this machine, if the user agrees."""
    from vlmcli.engine import place
    from vlmcli.machine import recommend
    from vlmcli.models import store

    here = store.listed()
    if here:
        name = here[0].name
        raise ModelError(NO_MODEL, f"choose one: -m {name}, or vlm default {name} for all commands")
    best = recommend.best(recommend.advise(place.this_machine(), speed_here(ui, "to choose a model")))
    if best is None:
        raise ModelError(NO_MODEL, store.NO_MODEL)
    name, download = best.entry.name, size(best.download)
    if not (chosen.yes or ui.can_ask):
        what = f"vlm pull {name} downloads the one recommended for this machine ({download})"
        raise ModelError(NO_MODEL, f"{what}; -m demo needs no download")
    ui.say(f"{NO_MODEL}; recommended for this machine: {name} (about {download}), for {best.entry.good_at}")
    return name


def speed_here(ui: Ui, why: str, *, again: bool = False) -> Speed | None:
    """This machine's speed, measured if it has not been yet; None, and it is said why, without an engine to measure.

    Args:
        ui: where it is said that this takes a while.
        why: it is needed, as "to order the list".
        again: measure it in any case.
    """
    from vlmcli.engine.place import description, trouble
    from vlmcli.machine import speed
    from vlmcli.pictures import images
    from vlmcli.values import Message, Request

    if (error := trouble()) is not None:
        ui.error(error)
        ui.say("without it, this machine's speed is unknown")
        return None
    folder, machine = settings.state_folder(), description()
    known = None if again else speed.kept(folder, machine)
    if known is not None:
        return known
    ui.say(f"measuring this machine's speed{'' if again else ', once'}, {why} (about 3 s)")

    def ask(files: ModelFiles, pixels: tuple[int, int], tokens: int) -> Answer | VlmError:
        picture = images.from_pixels(bytes(pixels[0] * pixels[1] * 3), pixels, "a black picture")
        with opened(ui, files, Settings(), ()) as engine:
            engine.ready()
            (outcome,) = engine.run([Request((Message("user", (picture, "what is this?")),), max_tokens=tokens)])
        return outcome

    busy = speed.is_busy()
    found = speed.measure(folder, machine, ask)
    if busy:
        ui.say("the machine is busy, so times are too long; vlm models --measure measures again")
    return found
