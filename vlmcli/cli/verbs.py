"""The verbs that answer: each says what is asked; `asking` does the rest."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.asked import asked
from vlmcli.cli.asking import answer
from vlmcli.cli.naming import Named
from vlmcli.errors import UsageError
from vlmcli.settings import Settings
from vlmcli.settings import load as load_settings
from vlmcli.tasks import prompt
from vlmcli.templates import WHOLE, Template
from vlmcli.values import Sampling

MAX_TOKENS = 512

log = logging.getLogger("vlmcli")
log.addHandler(logging.NullHandler())


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
    verbose: options.Verbose = 0,
) -> None:
    """Answer a question about one or several pictures.

    vlm ask photo.jpg "what is this?"

    vlm ask -q "what is this?" -q "which colours?" before.jpg after.jpg

    vlm ask ~/Pictures "is there a cat? yes or no"

    vlm ask -t alt-text photo.jpg
    """
    set_verbosity(verbose)
    what = asked(words or (), questions, files_from, template, param)
    each |= what.template is not None and what.template.each and not together
    answer(
        lambda _: what.questions,
        Named(what.names, files_from, null, allow_local_urls, each=each, together=together),
        settings_of(model, mmproj, ctx, threads, gpu_layers), chat_template or "",
        system or what.system, sampling_of(sample, temperature, seed, max_tokens, what.template),
        json=json, think=think, plain=plain, stats=stats,
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
    verbose: options.Verbose = 0,
) -> None:
    """Say in one sentence what each picture shows.

    vlm caption photo.jpg

    vlm caption ~/Pictures --json
    """
    set_verbosity(verbose)
    answer(
        lambda card: [prompt("caption", card.prompts)],
        Named(words or (), files_from, null, allow_local_urls, each=True),
        settings_of(model, mmproj, ctx, threads, gpu_layers), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, think=think, plain=plain, stats=stats,
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
        Named(words or (), files_from, null, allow_local_urls, each=True),
        settings_of(model, mmproj, ctx, threads, gpu_layers), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, think=think, plain=plain, stats=stats,
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
    verbose: options.Verbose = 0,
) -> None:
    """Write down the text in each picture.

    vlm ocr letter.pdf

    vlm ocr --layout markdown scan.png > scan.md
    """
    set_verbosity(verbose)
    answer(
        lambda card: [prompt(f"ocr {layout.value}", card.prompts)],
        Named(words or (), files_from, null, allow_local_urls, each=True),
        settings_of(model, mmproj, ctx, threads, gpu_layers), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, think=think,
        plain=plain or layout is options.Layout.PLAIN, stats=stats, end_loops=True,
    )  # fmt: skip


def set_verbosity(level: int) -> None:
    """Log records go to stderr as far as -v asks; without it llama.cpp is silent."""
    if level:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s", level=logging.WARNING)
        log.setLevel(logging.INFO if level == 1 else logging.DEBUG)
        logging.getLogger("vlmcli.llama").setLevel(logging.WARNING if level == 1 else logging.DEBUG)


def settings_of(
    model: str | None, mmproj: str | None, ctx: int | None, threads: int | None, gpu_layers: int | None
) -> Settings:
    """The settings with a command's flags."""
    return load_settings({"model": model, "mmproj": mmproj, "ctx": ctx, "threads": threads, "gpu_layers": gpu_layers})


def sampling_of(
    pairs: Sequence[str] | None,
    temperature: float | None,
    seed: int | None,
    max_tokens: int | None,
    template: Template | None = None,
) -> tuple[Sampling, int]:
    """`-o` pairs and the long options as one Sampling, and the limit of tokens; a template says the rest."""
    kinds = dict.fromkeys(WHOLE, int)
    names = [field.name for field in fields(Sampling)] + ["max_tokens"]
    values: dict[str, float | int | None] = {}
    if template is not None:
        try:
            _checked(dict(template.sampling))
        except UsageError as error:
            raise UsageError(f"{template.path}: {error.message}", error.hint) from None
        values |= template.sampling
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or name not in names:
            raise UsageError(f"-o {pair}: not an option of sampling", "use " + ", ".join(names))
        try:
            values[name] = kinds.get(name, float)(text)
        except ValueError:
            what = "a whole number" if name in kinds else "a number"
            raise UsageError(f"-o {name} {text}: not {what}", f"give {name} one") from None
    values |= {
        k: v for k, v in (("temperature", temperature), ("seed", seed), ("max_tokens", max_tokens)) if v is not None
    }
    return _checked(values)


def _checked(values: dict[str, float | int | None]) -> tuple[Sampling, int]:
    """The numbers by their names as one Sampling and a limit. Raises UsageError for one out of range."""
    limit = int(values.pop("max_tokens", MAX_TOKENS) or 0)
    sampling = replace(Sampling(), **values)  # type: ignore[arg-type]  # the names are the fields'
    bounds = (
        ("temperature", 0 <= sampling.temperature <= 100, "0 to 100"),
        ("top_k", 0 <= sampling.top_k < 2**31, "0 to 2147483647"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0, to 1"),
        ("min_p", 0 <= sampling.min_p <= 1, "0 to 1"),
        ("repeat_penalty", 0 < sampling.repeat_penalty <= 100, "above 0, to 100"),
        ("seed", sampling.seed is None or 0 <= sampling.seed < 2**32 - 1, "0 to 4294967294"),
        ("max_tokens", 1 <= limit < 2**31, "1 to 2147483647"),
    )
    for name, good, what in bounds:
        if not good:
            raise UsageError(f"{name}: out of range", f"give it {what}")
    return sampling, limit
