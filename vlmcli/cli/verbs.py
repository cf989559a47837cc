"""The verbs that answer: each says what is asked; `asking` does the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.asked import asked
from vlmcli.cli.asking import answer
from vlmcli.cli.flags import course_of, format_of, sampling_of, set_verbosity, settings_of
from vlmcli.cli.naming import Named, questions_of
from vlmcli.errors import UsageError
from vlmcli.tasks import prompt


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
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    allow_local_urls: options.AllowLocalUrls = False,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    chat_template: options.ChatTemplate = None,
    system: options.System = "",
    sample: options.Sample = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    max_tokens: options.MaxTokens = None,
    json: options.Json = False,
    think: options.Think = False,
    plain: options.Plain = False,
    stats: options.Stats = False,
    ctx: options.Ctx = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    yes: options.Yes = False,
    format: options.FormatOption = None,
    output: options.Output = None,
    sidecar: options.SidecarOption = None,
    existing: options.ExistingOption = options.Existing.SKIP,
    include: options.Include = None,
    exclude: options.Exclude = None,
    retry_errors: options.RetryErrors = False,
    fail_fast: options.FailFast = False,
    dry_run: options.DryRun = False,
    worker: options.Contained = None,
    verbose: options.Verbose = 0,
) -> None:
    """Answer a question about one or several pictures.

    vlm ask photo.jpg "what is this?"

    vlm ask -q "what is this?" -q "which colours?" before.jpg after.jpg

    vlm ask ~/Pictures "is there a cat? yes or no"

    vlm ask -t alt-text photo.jpg
    """
    set_verbosity(verbose)
    if questions_file is not None:
        questions = [*(questions or ()), *questions_of(questions_file)]
    what = asked(words or (), questions, files_from, template, param)
    each |= what.template is not None and what.template.each and not together
    answer(
        lambda _: what.questions,
        Named(what.names, files_from, null, allow_local_urls, each=each, together=together,
              include=include or (), exclude=exclude or ()),
        settings_of(model, mmproj, ctx, threads, gpu_layers, yes), chat_template or "",
        system or what.system, sampling_of(sample, temperature, seed, max_tokens, what.template),
        **format_of(format, json, output), think=think, plain=plain, stats=stats,
        worker=worker, course=course_of(output, sidecar, existing, retry_errors, fail_fast, dry_run),
    )  # fmt: skip


def caption(
    words: Annotated[list[str] | None, typer.Argument(metavar="PICTURES", show_default=False)] = None,
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    allow_local_urls: options.AllowLocalUrls = False,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    chat_template: options.ChatTemplate = None,
    system: options.System = "",
    sample: options.Sample = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    max_tokens: options.MaxTokens = None,
    json: options.Json = False,
    think: options.Think = False,
    plain: options.Plain = False,
    stats: options.Stats = False,
    ctx: options.Ctx = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    yes: options.Yes = False,
    format: options.FormatOption = None,
    output: options.Output = None,
    sidecar: options.SidecarOption = None,
    existing: options.ExistingOption = options.Existing.SKIP,
    include: options.Include = None,
    exclude: options.Exclude = None,
    retry_errors: options.RetryErrors = False,
    fail_fast: options.FailFast = False,
    dry_run: options.DryRun = False,
    worker: options.Contained = None,
    verbose: options.Verbose = 0,
) -> None:
    """Say in one sentence what each picture shows.

    vlm caption photo.jpg

    vlm caption ~/Pictures --json
    """
    set_verbosity(verbose)
    answer(
        lambda card: [prompt("caption", card.prompts)],
        Named(words or (), files_from, null, allow_local_urls, each=True, include=include or (), exclude=exclude or ()),
        settings_of(model, mmproj, ctx, threads, gpu_layers, yes), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens),
        **format_of(format, json, output), think=think, plain=plain, stats=stats,
        worker=worker, course=course_of(output, sidecar, existing, retry_errors, fail_fast, dry_run),
    )  # fmt: skip


def describe(
    words: Annotated[list[str] | None, typer.Argument(metavar="PICTURES", show_default=False)] = None,
    length: options.Length = None,
    focus: options.Focus = "",
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    allow_local_urls: options.AllowLocalUrls = False,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    chat_template: options.ChatTemplate = None,
    system: options.System = "",
    sample: options.Sample = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    max_tokens: options.MaxTokens = None,
    json: options.Json = False,
    think: options.Think = False,
    plain: options.Plain = False,
    stats: options.Stats = False,
    ctx: options.Ctx = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    yes: options.Yes = False,
    format: options.FormatOption = None,
    output: options.Output = None,
    sidecar: options.SidecarOption = None,
    existing: options.ExistingOption = options.Existing.SKIP,
    include: options.Include = None,
    exclude: options.Exclude = None,
    retry_errors: options.RetryErrors = False,
    fail_fast: options.FailFast = False,
    dry_run: options.DryRun = False,
    worker: options.Contained = None,
    verbose: options.Verbose = 0,
) -> None:
    """Describe each picture.

    vlm describe --length short photo.jpg

    vlm describe --focus "the people's clothes" photo.jpg
    """
    set_verbosity(verbose)
    if length and focus.strip():
        raise UsageError("--length and --focus exclude one another", "leave one out")
    name = "describe focus" if focus.strip() else f"describe {length.value}" if length else "describe"
    answer(
        lambda card: [prompt(name, card.prompts, focus=focus.strip())],
        Named(words or (), files_from, null, allow_local_urls, each=True, include=include or (), exclude=exclude or ()),
        settings_of(model, mmproj, ctx, threads, gpu_layers, yes), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens),
        **format_of(format, json, output), think=think, plain=plain, stats=stats,
        worker=worker, course=course_of(output, sidecar, existing, retry_errors, fail_fast, dry_run),
    )  # fmt: skip


def ocr(
    words: Annotated[list[str] | None, typer.Argument(metavar="PICTURES", show_default=False)] = None,
    layout: options.LayoutOption = options.Layout.PLAIN,
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    allow_local_urls: options.AllowLocalUrls = False,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    chat_template: options.ChatTemplate = None,
    system: options.System = "",
    sample: options.Sample = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    max_tokens: options.MaxTokens = None,
    json: options.Json = False,
    think: options.Think = False,
    plain: options.Plain = False,
    stats: options.Stats = False,
    ctx: options.Ctx = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    yes: options.Yes = False,
    format: options.FormatOption = None,
    output: options.Output = None,
    sidecar: options.SidecarOption = None,
    existing: options.ExistingOption = options.Existing.SKIP,
    include: options.Include = None,
    exclude: options.Exclude = None,
    retry_errors: options.RetryErrors = False,
    fail_fast: options.FailFast = False,
    dry_run: options.DryRun = False,
    worker: options.Contained = None,
    verbose: options.Verbose = 0,
) -> None:
    """Write down the text in each picture.

    vlm ocr letter.pdf

    vlm ocr --layout markdown scan.png > scan.md
    """
    set_verbosity(verbose)
    answer(
        lambda card: [prompt(f"ocr {layout.value}", card.prompts)],
        Named(words or (), files_from, null, allow_local_urls, each=True, include=include or (), exclude=exclude or ()),
        settings_of(model, mmproj, ctx, threads, gpu_layers, yes), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens), **format_of(format, json, output), think=think,
        plain=plain or layout is options.Layout.PLAIN, stats=stats, worker=worker,
        course=course_of(output, sidecar, existing, retry_errors, fail_fast, dry_run),
        end_loops=True,
    )  # fmt: skip
