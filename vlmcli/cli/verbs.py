"""The verbs that answer: parse, load, run, show."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli import records
from vlmcli.cli import options
from vlmcli.errors import Exit, ModelError, NativeError, SourceError, UsageError, VlmError
from vlmcli.settings import Settings, debugging
from vlmcli.settings import load as load_settings
from vlmcli.sources import Source, expand
from vlmcli.tasks import Ask, prompt
from vlmcli.ui import Ui
from vlmcli.values import Answer, Card, Delta, Done, Failed, ModelFiles, Picture, Request, Runner, Sampling, run

if TYPE_CHECKING:
    from vlmcli.engine import Engine

MAX_TOKENS = 512
MAX_TOGETHER = 8
"""Pictures that are asked about at once without a word."""
WINDOW = 16
"""Requests that are under way or wait, with their pictures in memory."""

log = logging.getLogger("vlmcli")
log.addHandler(logging.NullHandler())


def ask(
    words: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES QUESTION", help="The last word is the question.", show_default=False),
    ],
    questions: options.Question = None,
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
    stats: options.Stats = False,
    ctx: options.Ctx = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    verbose: options.Verbose = 0,
) -> None:
    """Answer a question about a picture, about several together, or about each.

    vlm ask photo.jpg "what is this?"

    vlm ask -q "what is this?" -q "which colours?" before.jpg after.jpg

    vlm ask ~/Pictures "is there a cat? yes or no"
    """
    names, asked = pictures_and_questions(words, questions, files_from)
    answer(
        lambda _: asked,
        Named(names, files_from, null, allow_local_urls, each=each, together=together),
        settings_of(model, mmproj, ctx, threads, gpu_layers), chat_template or "",
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, stats=stats,
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
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, stats=stats,
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
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, stats=stats,
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
        system, sampling_of(sample, temperature, seed, max_tokens), json=json, stats=stats, end_loops=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Named:
    """What a command says of its pictures."""

    names: Sequence[str]
    files_from: str | None
    null: bool
    allow_local_urls: bool
    each: bool = False
    together: bool = False


def settings_of(
    model: str | None, mmproj: str | None, ctx: int | None, threads: int | None, gpu_layers: int | None
) -> Settings:
    """The settings with a command's flags."""
    return load_settings({"model": model, "mmproj": mmproj, "ctx": ctx, "threads": threads, "gpu_layers": gpu_layers})


def answer(
    questions: Callable[[Card], Sequence[str]],
    named: Named,
    settings: Settings,
    chat_template: str,
    system: str,
    sampling: tuple[Sampling, int],
    *,
    json: bool,
    stats: bool,
    end_loops: bool = False,
) -> None:
    """Ask a model's questions about the pictures that were named, and show what comes of it.

    Raises typer.Exit with the code of some or all failing.
    """
    with Ui() as ui:
        files = None
        jobs = [Job(Ask(question), ()) for question in questions(Card())]
        try:
            found, context = named_pictures(named)
            files = find_model(settings, chat_template)
            tasks = [Ask(q, context, system, *sampling, end_loops) for q in questions(files.card)]
            groups = grouped(found, each=named.each, together=named.together)
            jobs = [Job(task, group) for group in groups for task in tasks]
            if files.card.notice:
                ui.say(files.card.notice)
            with opened(files, settings, ui) as engine:
                failed = answer_all(ui, engine, jobs, files, json=json, stats=stats)
        except (ModelError, SourceError) as error:
            for job in jobs if json else ():
                name = files.name if files else settings.model
                ui.line(records.json_line(job.task.result(job.names or list(named.names), error, name)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


@dataclass(frozen=True)
class Job:
    """One question about one group of pictures."""

    task: Ask
    pictures: tuple[Source, ...]

    @property
    def names(self) -> list[str]:
        """What the pictures are called."""
        return [source.name for source in self.pictures]


def named_pictures(named: Named) -> tuple[list[Source], str]:
    """The pictures of a command, and the text on stdin, if "-" is one of the names and what is there is text."""
    from vlmcli import sources

    names, files_from = named.names, named.files_from
    if named.null and files_from is None:
        raise UsageError("-0 says how a list is written, but there is none", "name it: --files-from FILE -0")
    if names.count("-") + (files_from == "-") > 1:
        raise UsageError("stdin is asked for twice", "give one of the two a file")
    piped = _stdin() if "-" in names or files_from == "-" else b""
    found: list[Source] = []
    context = ""
    for name in names:
        if name != "-":
            found.extend(sources.find([name], allow_local=named.allow_local_urls))
        elif (text := _text(piped)) is not None:
            context = text.strip()
        else:
            found.append(sources.Source("-", piped))
    if files_from is not None:
        data = piped if files_from == "-" else _list_file(files_from)
        listed = sources.split_list(data, named.null)
        if not listed and not found:
            raise SourceError(f"{files_from}: a list without names", "check how it was made")
        found.extend(sources.find((), listed, named.allow_local_urls))
    if not found:
        what = ", only text on stdin" if context else ""
        raise UsageError(f"there is no picture in the command{what}", "name one")
    return found, context


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError('"-" is stdin, and nothing is piped into it', "pipe a picture, or name a file")
    data = sys.stdin.buffer.read()
    if not data:
        raise SourceError("-: nothing came on stdin", "check the command before the pipe")
    return data


def _text(data: bytes) -> str | None:
    """Bytes as text, or None where they are a file of some other kind."""
    try:
        return data.decode() if b"\0" not in data and not data.startswith(b"%PDF-") else None
    except UnicodeDecodeError:
        return None


def _list_file(name: str) -> bytes:
    try:
        return Path(expand(name)).read_bytes()
    except OSError as error:
        raise SourceError(f"{name}: the list cannot be read ({error.strerror})", "check the path") from error


def grouped(found: Sequence[Source], *, each: bool, together: bool) -> list[tuple[Source, ...]]:
    """Which pictures are asked about at once: those that were typed; what was expanded here is asked about each."""
    if each and together:
        raise UsageError("--each and --together exclude one another", "leave one out")
    if each or (not together and any(source.expanded for source in found)):
        return [(source,) for source in found]
    if len(found) > MAX_TOGETHER and not together:
        raise UsageError(
            f"{len(found)} pictures would be asked about at once",
            "--each asks about one after another; --together, if you do mean all at once",
        )
    return [tuple(found)]


def set_verbosity(level: int) -> None:
    """Log records go to stderr as far as -v asks; without it llama.cpp is silent."""
    if level:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s", level=logging.WARNING)
        log.setLevel(logging.INFO if level == 1 else logging.DEBUG)
        logging.getLogger("vlmcli.llama").setLevel(logging.WARNING if level == 1 else logging.DEBUG)


def pictures_and_questions(
    words: Sequence[str], questions: Sequence[str] | None, files_from: str | None = None
) -> tuple[list[str], list[str]]:
    """Which words are pictures and which the question: the last, unless there is a -q."""
    if questions:
        asked = [question.strip() for question in questions]
        paths = list(words)
    else:
        *paths, last = words
        if not paths and files_from is None:
            if _is_file(last):
                raise UsageError(f"there is no question about {last}", f'ask one: vlm ask {last} "what is this?"')
            raise UsageError(
                "there is no picture in the command", f'name one before the question: vlm ask PICTURE "{last}"'
            )
        if _is_file(last):
            raise UsageError(
                f"{last}: the last word is the question, but it is a file",
                'put the question last, or give it with -q "…"',
            )
        asked = [last.strip()]
    if not all(asked):
        raise UsageError("the question is empty", "ask something")
    return paths, asked


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # a question may be too long to be a name
        return False


def sampling_of(
    pairs: Sequence[str] | None, temperature: float | None, seed: int | None, max_tokens: int | None
) -> tuple[Sampling, int]:
    """`-o` pairs and the long options as one Sampling, and the limit of tokens."""
    kinds = {"max_tokens": int, "seed": int, "top_k": int}
    names = [field.name for field in fields(Sampling)] + ["max_tokens"]
    values: dict[str, float | int | None] = {}
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
    limit = int(values.pop("max_tokens", MAX_TOKENS) or 0)
    sampling = replace(Sampling(), **values)  # type: ignore[arg-type]  # the names are the fields'
    bounds = (
        ("temperature", 0 <= sampling.temperature <= 100, "0 to 100"),
        ("top_k", 0 <= sampling.top_k < 2**31, "0 or more"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0, to 1"),
        ("min_p", 0 <= sampling.min_p <= 1, "0 to 1"),
        ("repeat_penalty", 0 < sampling.repeat_penalty <= 100, "above 0, to 100"),
        ("seed", sampling.seed is None or 0 <= sampling.seed < 2**32 - 1, "0 to 4294967294"),
        ("max_tokens", 1 <= limit < 2**31, "1 or more"),
    )
    for name, good, what in bounds:
        if not good:
            raise UsageError(f"{name}: out of range", f"give it {what}")
    return sampling, limit


def find_model(settings: Settings, chat_template: str = "") -> ModelFiles:
    """The files of the model the user has named."""
    from vlmcli import demo, store

    return store.resolve(expand(settings.model), expand(settings.mmproj), expand(chat_template), demo.FILES)


@contextmanager
def opened(files: ModelFiles, settings: Settings, ui: Ui) -> Iterator[Engine]:
    """An engine that loads in the background, closed afterwards."""
    from vlmcli import fit, gguf
    from vlmcli.engine import Engine, native

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # from here on there is something to end in order
        signal.signal(signal.SIGINT, signal.default_int_handler)
    machine = fit.this_machine(native.devices())
    chosen = fit.fit(gguf.read(files.model), machine, settings.ctx, settings.threads, settings.gpu_layers)
    log.info("%s", chosen.reason)
    native.on_abort(lambda text: _give_up(ui, files, text))
    engine = Engine(files, chosen)
    try:
        yield engine
    finally:
        engine.close()


def _give_up(ui: Ui, files: ModelFiles, text: str) -> None:
    """llama.cpp has failed an assertion and will not return: say so, and end with our own exit code."""
    error = NativeError(
        f"llama.cpp gave up on {files.model} with {files.projector} ({text.strip()})",
        "check that the two were published together, and that the picture opens elsewhere",
    )
    ui.error(error)
    os._exit(error.exit_code)


def answer_all(
    ui: Ui, runner: Runner, jobs: Sequence[Job], files: ModelFiles, *, json: bool, stats: bool
) -> Exit | None:
    """Run the jobs and show each outcome in order. Returns an exit code when some failed."""
    several_groups = len({job.pictures for job in jobs}) > 1 or any(job.pictures[0].expanded for job in jobs)
    streaming = len(jobs) == 1 and not several_groups and not json
    several_questions = len({job.task.question for job in jobs}) > 1
    outcomes: dict[int, Answer | VlmError] = {}
    submitted: list[int] = []
    errors: list[VlmError] = []
    unsure = False
    shown = 0

    def requests() -> Iterator[Request]:
        """Pictures are read when there is room for their request; one that cannot be read is an outcome."""
        last: tuple[Source, ...] = ()
        pictures: list[Picture] | SourceError = []
        for number, job in enumerate(jobs):
            if job.pictures != last:
                last = job.pictures
                try:
                    pictures = [source.load() for source in job.pictures]
                except SourceError as error:
                    pictures = error
            if isinstance(pictures, SourceError):
                outcomes[number] = pictures
            else:
                submitted.append(number)
                yield job.task.request(pictures)

    def show(job: Job, outcome: Answer | VlmError) -> None:
        result = job.task.result(job.names, outcome, files.name)
        if isinstance(outcome, VlmError):
            if ui.streaming:
                ui.end_stream()
            if not errors or errors[-1] is not outcome:  # one picture that fails is one error, not one a question
                if debugging():
                    traceback.print_exception(outcome)
                if several_questions and not isinstance(outcome, ModelError | SourceError):
                    ui.say(f"{result.question}:")
                ui.error(outcome)
            errors.append(outcome)
        if json:
            ui.line(records.json_line(result))
        elif isinstance(outcome, Answer):
            if streaming:
                ui.end_stream()
            else:
                fields = (" ".join(job.names), *((result.question,) if several_questions or not several_groups else ()))
                ui.line(records.line(result, fields))
        if isinstance(outcome, Answer):
            if outcome.finish_reason == "loop":
                about = f"{' '.join(job.names)}: " if several_groups else ""
                ui.say(f"{about}the answer only repeated itself, and was ended")
            if outcome.finish_reason == "length":
                count = outcome.usage.answer_tokens
                tokens = "token" if count == 1 else "tokens"
                about = f"{' '.join(job.names)}: " if several_groups else ""
                ui.say(f"{about}the answer is cut off after {count} {tokens}; --max-tokens or --ctx gives it more")
            if stats:
                ui.stats(outcome)

    def show_next() -> None:
        nonlocal shown, unsure
        while shown in outcomes:
            outcome = outcomes.pop(shown)
            show(jobs[shown], outcome)
            unsure |= (
                bool(files.card.unsure) and isinstance(outcome, Answer) and outcome.text.strip() == files.card.unsure
            )
            shown += 1

    for number, event in run(runner, requests(), window=WINDOW):
        if isinstance(event, Delta):
            if streaming:
                ui.stream(event)
        elif isinstance(event, Done | Failed):
            outcomes[submitted[number]] = event.answer if isinstance(event, Done) else event.error
            show_next()
        else:
            ui.progress(event)
    show_next()
    if unsure:
        ui.say(files.card.unsure_hint)
    if not errors:
        return None
    if len(errors) < len(jobs):
        return Exit.SOME_FAILED
    return next((error.exit_code for error in errors if isinstance(error, NativeError)), errors[0].exit_code)
