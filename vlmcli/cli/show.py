"""`vlm show`: what a model is, or what a picture is and what a model sees of it. Nothing is asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
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
from vlmcli.errors import Exit, RequestError, SourceError, UsageError, VlmError
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.signatures import SUFFIXES
from vlmcli.pictures.sources import Source, expand
from vlmcli.records.lines import object_line
from vlmcli.records.target import target_of
from vlmcli.tasks.ask import Ask
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles, Picture

if TYPE_CHECKING:
    from vlmcli.engine.stages import PictureRows, Tile
    from vlmcli.pictures.images import Facts

_TURNED = {
    2: "mirrored", 3: "upside down", 4: "mirrored, upside down", 5: "mirrored, turned by 90°", 6: "turned by 90°",
    7: "mirrored, turned by 270°", 8: "turned by 270°",
}  # fmt: skip


@with_flags("preview", "detail", "model", "mmproj", "allow_local_urls", "json")
def show(
    words: Annotated[list[str] | None, typer.Argument(metavar="MODEL|PICTURES", show_default=False)] = None,
    preview: options.Preview = None,
    *,
    flags: Flags,
) -> None:
    """Say what a model is, or a picture and what is seen of it.

    vlm show demo

    vlm show photo.jpg --preview seen.png
    """
    names = words or []
    with Ui() as ui:
        if names and all(_is_picture(name) for name in names):
            if flags.json:
                raise UsageError("--json is of models, and these are pictures", "leave it out")
            task, chosen = Ask("", detail=flags.side, parts=flags.parts), flags.settings()
            files = find_model(ui, chosen, offer=False) if flags.model or preview else None
            left_out = LeftOut()
            found, _ = named_pictures(flags.named(names, each=False), left_out)
            ui.notice(str(left_out))
            code = _show_pictures(ui, found, files, preview, task)
            if code:
                raise typer.Exit(int(code))
            return
        if len(names) > 1 or (names and flags.model):
            other = next(name for name in names if not _is_picture(name))
            raise UsageError(f"{other}: not a picture, and a model is shown by itself", "name pictures, or one model")
        if preview:
            raise UsageError("--preview shows a picture's pixels, and there is no picture", "name one")
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
    if word == "-" or word[:5].lower() in ("data:", "file:") or word[:8].lower().startswith(("http://", "https://")):
        return True
    path = Path(expand(word.rpartition("#")[0] if "#" in word else word))
    try:
        if path.is_dir():
            return not any(not one.name.startswith(".") for one in path.glob("*.gguf"))
        return path.suffix.lower() != ".gguf" if path.is_file() else path.suffix.lower() in SUFFIXES or "*" in word
    except (OSError, ValueError):
        return False


def _show_pictures(ui: Ui, found: Sequence[Source], files: ModelFiles | None, preview: str | None, task: Ask) -> Exit:
    """What each picture is, and what the model, if there is one, would see of it. One that fails leaves the others."""
    from vlmcli.engine import stages
    from vlmcli.pictures import images

    if preview:
        if len(found) > 1:
            raise UsageError(f"--preview of {len(found)} pictures", "name one picture")
        if Path(preview).suffix.lower() != ".png":
            raise UsageError(f"--preview {preview}: it is written as PNG", "let its name end in .png")
    target = target_of(preview, found) if preview else None
    errors: list[VlmError] = []
    with ExitStack() as stack:
        look = stack.enter_context(stages.looking(files)) if files else None
        for source in found:
            try:
                data = source.fetched()
                pictures = Job(task, (replace(source, file=data),)).load()
                ui.about(_picture_lines(source, images.facts(data, source.name), pictures))
                ui.notices(pictures[0].notices)
                parts = [part for picture in pictures for part in look(picture)] if look else []
            except (SourceError, RequestError) as error:  # not read, or not taken by the model
                ui.error(error)
                errors.append(error)
                continue
            if files:
                ui.about([_seen_line(files, parts)])
            if target is not None:
                _write_tiles(ui, target, [tile for part in parts for tile in part.tiles])
    if not files:
        ui.say("-m MODEL tells what that model sees of it")
    if not errors:
        return Exit.DONE
    return Exit.SOME_FAILED if len(errors) < len(found) else errors[0].exit_code


def _write_tiles(ui: Ui, target: Path, tiles: Sequence[Tile]) -> None:
    from vlmcli.pictures import images

    for number, tile in enumerate(tiles, 1):
        place = target if len(tiles) == 1 else target.with_stem(f"{target.stem}-{number}")
        write(place, images.png(tile.pixels, tile.size))
    several = f" ({len(tiles)} files, from {target.stem}-1.png on)" if len(tiles) > 1 else ""
    ui.say(f"{target}: the pixels are written{several}")


def _picture_lines(source: Source, facts: Facts, pictures: Sequence[Picture]) -> list[str]:
    stored = [facts.format]
    sizes = ", ".join(f"{width}×{height}" for width, height in (picture.size for picture in pictures))
    if facts.size:
        stored.append(f"{facts.size[0]}×{facts.size[1]} {facts.mode}")
    if facts.frames > 1:
        unit = "pages" if facts.format in ("PDF", "TIFF") else "frames"
        stored.append(f"{facts.frames} {unit}" + (f", this is {source.frame}" if source.frame else ""))
    stored.append(f"{facts.file_size:,} bytes")
    if facts.orientation > 1:
        stored.append(f"EXIF orientation {facts.orientation}: {_TURNED[facts.orientation]}")
    return [
        f"{source.name}: {', '.join(stored)}",
        f"  upright, RGB: {sizes}{' in parts' if len(pictures) > 1 else ''}",
    ]


def _seen_line(files: ModelFiles, parts: Sequence[PictureRows]) -> str:
    tiles = [tile for part in parts for tile in part.tiles]
    tokens = sum(part.rows for part in parts)
    sizes = ", ".join(dict.fromkeys(f"{tile.size[0]}×{tile.size[1]}" for tile in tiles))
    count = f"{len(tiles)} tile{'s' * (len(tiles) != 1)}"
    return f"  {files.name} sees {tokens:,} image tokens, from {count} of {sizes} pixels"
