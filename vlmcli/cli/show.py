"""`vlm show`: what a model is, or what a picture is and what a model sees of it. Nothing is asked.

With `--json` each model or picture is one object; `reports.about.record` and `reports.sight.record` list its keys, and
a picture that cannot be read has `source` and `error` (`type`, `message`, `hint`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.atomic import write
from vlmcli.batch.course import Job
from vlmcli.cli import options
from vlmcli.cli.flags import Flags, with_flags
from vlmcli.cli.pull import find_model
from vlmcli.cli.words import named_pictures
from vlmcli.errors import Exit, ModelError, NativeError, RequestError, SourceError, UsageError, VlmError
from vlmcli.pictures import kept
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.signatures import SUFFIXES
from vlmcli.pictures.sources import Source, expand
from vlmcli.records.lines import object_line
from vlmcli.records.target import target_of
from vlmcli.settings import Settings, state_folder
from vlmcli.tasks.ask import Ask
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles, Picture

if TYPE_CHECKING:
    from vlmcli.engine.stages import PictureRows, Tile
    from vlmcli.reports import sight

    Look = tuple[sight.Eyes, Callable[[Picture], list[PictureRows]]]


@with_flags("preview", "detail", "model", "mmproj", "allow_local_urls", "json")
def show(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL | PICTURES...]",
            help="A model or pictures; without either: the default model.",
            show_default=False,
        ),
    ] = None,
    preview: options.Preview = None,
    *,
    flags: Flags,
) -> None:
    """Show details of a model, or what a model sees in a picture.

    vlm show demo

    vlm show photo.jpg --preview seen.png
    """
    names = words or []
    with Ui() as ui:
        if names and all(_is_picture(name) for name in names):
            code = _show_pictures(ui, flags, names, preview)
            if code:
                raise typer.Exit(int(code))
            return
        if len(names) > 1 or (names and flags.model):
            other = next(name for name in names if not _is_picture(name))
            raise UsageError(f"{other}: not a picture, and only one model can be shown", "name pictures, or one model")
        if preview:
            raise UsageError("--preview needs a picture", "name one: vlm show PICTURE --preview FILE.png")
        _show_model(ui, replace(flags, model=names[0] if names else flags.model))


def _show_model(ui: Ui, flags: Flags) -> None:
    from vlmcli.reports import about

    facts = about.facts(find_model(ui, flags.settings(), offer=False))
    if flags.json:
        ui.line(object_line(about.record(facts)))
    else:
        ui.about(about.lines(facts))


def _is_picture(word: str) -> bool:
    """Whether `vlm show` is to take a word for a picture; else it names a model."""
    if word == "-" or word.startswith("-#") or word[:5].lower() in ("data:", "file:") or kept.is_elsewhere(word):
        return True
    path = Path(expand(word.rpartition("#")[0] if "#" in word else word))
    try:
        if path.is_dir():
            return not any(not one.name.startswith(".") for one in path.glob("*.gguf"))
        return path.suffix.lower() != ".gguf" if path.is_file() else path.suffix.lower() in SUFFIXES or "*" in word
    except (OSError, ValueError):
        return False


def _show_pictures(ui: Ui, flags: Flags, names: Sequence[str], preview: str | None) -> Exit:
    """What each picture is, and what the model, if there is one, sees of it. One that fails leaves the others."""
    from vlmcli.reports import sight

    task, chosen, left_out = Ask("", detail=flags.side, parts=flags.parts), flags.settings(), LeftOut()
    files = find_model(ui, chosen, offer=False) if flags.model or preview else _default_model(ui, chosen)
    found, _ = named_pictures(flags.named(names, each=False), left_out)
    ui.notice(str(left_out))
    if preview and len(found) > 1:
        raise UsageError(f"--preview shows one picture, not {len(found)} pictures", "name one picture")
    if preview and Path(preview).suffix.lower() != ".png":
        raise UsageError(f"--preview {preview}: only PNG can be written", "choose a name that ends in .png")
    target = target_of(preview, found) if preview else None
    errors: list[VlmError] = []
    with ExitStack() as stack:
        look = stack.enter_context(_looking(files)) if files else None
        for source in found:
            try:
                seen = _seen(source, task, look)
            except (SourceError, RequestError) as error:  # not read, or not taken by the model
                ui.error(error)
                errors.append(error)
                if flags.json:
                    fields = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
                    ui.line(object_line({"source": source.name, "error": fields}))
                continue
            if flags.json:
                ui.line(object_line(sight.record(seen)))
            else:
                ui.about(sight.lines(seen))
            ui.notices(seen.pictures[0].notices)
            if target is not None:
                _write_tiles(ui, target, seen.tiles)
    if not files and not chosen.model:
        ui.say("add -m MODEL to show what a model sees of it")
    if not errors:
        return Exit.DONE
    return Exit.SOME_FAILED if len(errors) < len(found) else errors[0].exit_code


def _default_model(ui: Ui, chosen: Settings) -> ModelFiles | None:
    """The default model; None, and it is said why, where there is none that can look."""
    from vlmcli.engine import place

    if not chosen.model:
        return None
    try:
        files = find_model(ui, chosen, offer=False)
        place.require()
    except (ModelError, NativeError) as error:
        ui.error(error)
        ui.say(f"without it, what {chosen.model} sees of the picture cannot be shown")
        return None
    return files


@contextmanager
def _looking(files: ModelFiles) -> Iterator[Look]:
    """A model's eyes, and a function that says what they see of a picture."""
    from vlmcli.engine import place, stages
    from vlmcli.machine import speed
    from vlmcli.reports import sight

    eyes = sight.eyes_of(files, place.this_machine(), speed.kept(state_folder(), place.description()))
    with stages.looking(files) as look:
        yield eyes, look


def _seen(source: Source, task: Ask, looking: Look | None) -> sight.Seen:
    """A picture as it is, and as the model sees it. Raises SourceError, or RequestError where the model cannot."""
    from vlmcli.pictures import images
    from vlmcli.reports import sight

    data = source.fetched()
    pictures = Job(task, (replace(source, file=data),)).load()
    facts = images.facts(data, source.name)
    if looking is None:
        return sight.Seen(source, facts, pictures)
    eyes, look = looking
    return sight.Seen(source, facts, pictures, eyes, [part for picture in pictures for part in look(picture)])


def _write_tiles(ui: Ui, target: Path, tiles: Sequence[Tile]) -> None:
    from vlmcli.pictures import images

    for number, tile in enumerate(tiles, 1):
        place = target if len(tiles) == 1 else target.with_stem(f"{target.stem}-{number}")
        write(place, images.png(tile.pixels, tile.size))
    several = f" ({len(tiles)} files, starting with {target.stem}-1.png)" if len(tiles) > 1 else ""
    ui.say(f"wrote {target}{several}")
