"""What a model sees: `vlm explain`, and `vlm show` of pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.flags import sampling_of, set_verbosity, settings_of, side_of
from vlmcli.cli.pull import find_model
from vlmcli.cli.running import opened, tell_of_death
from vlmcli.cli.words import (
    Named,
    grouped,
    named_pictures,
    pictures_and_questions,
)
from vlmcli.errors import Exit, RequestError, SourceError, UsageError, VlmError
from vlmcli.pictures.sources import SUFFIXES, Source, expand
from vlmcli.records.target import target_of, write
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask
from vlmcli.terminal.ui import Ui
from vlmcli.values import Answer, Done, Failed, ModelFiles, Picture, run

if TYPE_CHECKING:
    from vlmcli.engine.stages import PictureRows, Tile
    from vlmcli.pictures.images import Facts
    from vlmcli.reports.explain import ModelFacts, Told

_TURNED = {
    2: "mirrored", 3: "upside down", 4: "mirrored, upside down", 5: "mirrored, turned by 90°", 6: "turned by 90°",
    7: "mirrored, turned by 270°", 8: "turned by 270°",
}  # fmt: skip


def explain(
    words: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES QUESTION", help="The last word is the question.", show_default=False),
    ],
    question: options.Question = None,
    html: options.Html = None,
    detail: options.Detail = "high",
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    chat_template: options.ChatTemplate = None,
    system: options.System = "",
    allow_local_urls: options.AllowLocalUrls = False,
    max_tokens: options.MaxTokens = None,
    ctx: options.Ctx = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    yes: options.Yes = False,
    verbose: options.Verbose = 0,
) -> None:
    """Show a question's way through the model, stage by stage.

    vlm explain photo.jpg "what is this?"

    vlm explain photo.jpg "what is this?" --html way.html
    """
    from vlmcli.reports import explain as telling

    set_verbosity(verbose)
    names, asked = pictures_and_questions(words, question)
    if len(asked) > 1:
        raise UsageError("several questions", "explain one at a time")
    settings = settings_of(model, mmproj, ctx, threads, gpu_layers, yes)
    sampling, limit = sampling_of(None, None, None, max_tokens)
    side = side_of(detail, "--detail")
    with Ui() as ui:
        found, context = named_pictures(Named(names, None, False, allow_local_urls))
        several = len(grouped(found, each=False, together=False))
        if several > 1:
            raise UsageError(f"{several} pictures that are asked about one by one", f"explain one: {found[0].name}")
        files = find_model(ui, settings, chat_template or "")
        target = target_of(html, found) if html else None
        ui.notice(files.card.notice)
        task = Ask(asked[0], context, system, sampling, limit, detail=side)
        told = _asked(ui, files, settings, task, found)
        ui.about(telling.lines(told, ui.width))
        if target is not None:
            write(target, telling.page(told).encode("utf-8", "replace"))
            ui.say(f"{html}: the page is written")


def _asked(ui: Ui, files: ModelFiles, settings: Settings, task: Ask, found: Sequence[Source]) -> Told:
    """Ask, and keep what happens on the way."""
    from vlmcli.engine import stages
    from vlmcli.reports import explain as telling

    begun = time.monotonic()
    pictures = [source.load(task.detail) for source in found]
    reading = time.monotonic() - begun
    for picture in pictures:
        ui.notice(picture.notice)
    recorder = stages.Recorder(files)
    tell_of_death(ui, files)
    with opened(ui, files, settings, [source.name for source in found], recorder) as engine:
        answer: Answer | None = None
        for _, event in run(engine, [task.request(pictures)]):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Done):
                answer = event.answer
            else:
                ui.progress(event)
        if answer is None:
            raise VlmError("the engine ended without an answer", "please report this")
        facts = _model_facts(files, engine.model.n_vocab)
        prompt, steps = recorder.prompt(engine.model), recorder.answer_steps(engine.model)
    return telling.Told(task.question, pictures, reading, prompt, steps, answer, facts)


def _model_facts(files: ModelFiles, vocabulary: int) -> ModelFacts:
    from vlmcli.engine.stages import Encoding
    from vlmcli.models import gguf
    from vlmcli.reports.explain import ModelFacts

    header, encoding = gguf.read(files.model), Encoding(files)
    return ModelFacts(
        files.name, header.architecture, header.number("block_count"), header.number("embedding_length"), vocabulary,
        encoding.family, encoding.layers, encoding.width, encoding.patch,
    )  # fmt: skip


# --- Pictures, before anything is asked ---


def is_picture(word: str) -> bool:
    """Whether `vlm show` is to take a word for a picture; else it names a model."""
    if word == "-" or word[:5].lower() in ("data:", "file:") or word[:8].lower().startswith(("http://", "https://")):
        return True
    path = Path(expand(word.rpartition("#")[0] if "#" in word else word))
    try:
        if path.is_dir():
            return not any(path.glob("*.gguf"))
        return path.suffix.lower() != ".gguf" if path.is_file() else path.suffix.lower() in SUFFIXES or "*" in word
    except (OSError, ValueError):
        return False


def show_pictures(ui: Ui, found: Sequence[Source], files: ModelFiles | None, preview: str | None, side: int) -> Exit:
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
                picture = images.load(data, source.name, source.frame, side)
                ui.about(_picture_lines(source, images.facts(data, source.name), picture))
                ui.notice(picture.notice)
                parts = look(picture) if look else []
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


def _picture_lines(source: Source, facts: Facts, picture: Picture) -> list[str]:
    stored = [facts.format]
    if facts.size:
        stored.append(f"{facts.size[0]}×{facts.size[1]} {facts.mode}")
    if facts.frames > 1:
        unit = "pages" if facts.format == "PDF" else "frames"
        stored.append(f"{facts.frames} {unit}" + (f", this is {source.frame}" if source.frame else ""))
    stored.append(f"{facts.file_size:,} bytes")
    if facts.orientation > 1:
        stored.append(f"EXIF orientation {facts.orientation}: {_TURNED[facts.orientation]}")
    return [
        f"{source.name}: {', '.join(stored)}",
        f"  upright, RGB: {picture.size[0]}×{picture.size[1]}",
    ]


def _seen_line(files: ModelFiles, parts: Sequence[PictureRows]) -> str:
    tiles = [tile for part in parts for tile in part.tiles]
    tokens = sum(part.rows for part in parts)
    sizes = ", ".join(dict.fromkeys(f"{tile.size[0]}×{tile.size[1]}" for tile in tiles))
    count = f"{len(tiles)} tile{'s' * (len(tiles) != 1)}"
    return f"  {files.name} sees {tokens:,} image tokens, from {count} of {sizes} pixels"
