"""`vlm explain`: one question is asked while everything on its way through the model is recorded.

Does not know how that looks as lines or as a page: `reports.explain` does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.atomic import write
from vlmcli.batch.course import Job, grouped
from vlmcli.cli import daily, options
from vlmcli.cli.flags import MODEL, PLACE, Flags, with_flags
from vlmcli.cli.pull import find_model
from vlmcli.cli.running import opened, tell_of_death
from vlmcli.cli.words import (
    named_pictures,
    pictures_and_questions,
)
from vlmcli.errors import UsageError, VlmError
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.sources import Source
from vlmcli.records.target import target_of
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask
from vlmcli.terminal.ui import Ui
from vlmcli.values import Answer, Done, Failed, ModelFiles, run

if TYPE_CHECKING:
    from vlmcli.reports.explain import ModelFacts, Told


@with_flags("detail", "picture_tokens", *MODEL, "system", "allow_local_urls", "max_tokens", *PLACE)
def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES... QUESTION",
            help="One picture or several, and a question about them.",
            show_default=False,
        ),
    ],
    question: Annotated[
        list[str] | None,
        typer.Option("-q", "--question", metavar="TEXT", help="Ask this question. All arguments are then pictures."),
    ] = None,
    html: options.Html = None,
    *,
    flags: Flags,
) -> None:
    """Trace a question through the model, stage by stage.

    vlm explain photo.jpg "what is this?"

    vlm explain photo.jpg "what is this?" --html trace.html
    """
    from vlmcli.reports import explain as telling

    names, asked = pictures_and_questions(words, question)
    if len(asked) > 1:
        raise UsageError("vlm explain takes one question", "leave out the others")
    settings, (sampling, limit), side = flags.settings(), flags.sampling(), flags.side
    with Ui() as ui:
        left_out = LeftOut()
        found, context = named_pictures(flags.named(names, each=False), left_out)
        ui.notice(str(left_out))
        several = len(grouped(found, each=False, together=False))
        if several > 1:
            raise UsageError(f"vlm explain cannot take {several} pictures one by one", f"choose one: {found[0].name}")
        files = find_model(ui, settings, flags.chat_template or "")
        target = target_of(html, found) if html else None
        task = Ask(asked[0], context, settings.system, sampling, limit, detail=side, parts=flags.parts)
        told = _asked(ui, files, settings, task, found)
        ui.about(telling.lines(told, ui.width))
        daily.tell(ui, files.card)
        if target is not None:
            write(target, telling.page(told).encode("utf-8", "replace"))
            ui.say(f"wrote {html}")


def _asked(ui: Ui, files: ModelFiles, settings: Settings, task: Ask, found: Sequence[Source]) -> Told:
    """Ask, and keep what happens on the way."""
    from vlmcli.engine import stages
    from vlmcli.reports import explain as telling

    begun = time.monotonic()
    pictures = Job(task, tuple(found)).load()
    reading = time.monotonic() - begun
    for picture in pictures:
        ui.notices(picture.notices)
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
