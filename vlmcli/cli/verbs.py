"""The verbs that answer: parse, load, run, show."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli import records
from vlmcli.cli import options
from vlmcli.errors import Exit, ModelError, NativeError, SourceError, UsageError, VlmError
from vlmcli.settings import Settings
from vlmcli.settings import load as load_settings
from vlmcli.tasks import Ask
from vlmcli.ui import Ui
from vlmcli.values import Answer, Delta, Done, Failed, ModelFiles, Picture, Runner, Sampling, run

if TYPE_CHECKING:
    from vlmcli.engine import Engine

MAX_TOKENS = 512

log = logging.getLogger("vlmcli")
log.addHandler(logging.NullHandler())


def ask(
    words: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES QUESTION", help="The last word is the question.", show_default=False),
    ],
    questions: options.Question = None,
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
    """Answer a question about a picture, or about several together.

    vlm ask photo.jpg "what is this?"

    vlm ask -q "what is this?" -q "which colours?" before.jpg after.jpg
    """
    set_verbosity(verbose)
    paths, asked = pictures_and_questions(words, questions)
    sampling, limit = sampling_of(sample, temperature, seed, max_tokens)
    tasks = [Ask(question, system, sampling, limit) for question in asked]
    settings = load_settings(
        {"model": model, "mmproj": mmproj, "ctx": ctx, "threads": threads, "gpu_layers": gpu_layers}
    )
    from vlmcli import images

    with Ui() as ui:
        try:
            files = find_model(settings, chat_template or "")
            if files.card.notice:
                ui.say(files.card.notice)
            with opened(files, settings, ui) as engine:
                # While the model loads.
                pictures = [images.load(Path(expand(path)), source=path) for path in paths]
                failed = answer_all(ui, engine, tasks, pictures, files, json=json, stats=stats)
        except (ModelError, SourceError) as error:
            for task in tasks if json else ():
                ui.line(records.json_line(task.result(paths, error, settings.model)))
            raise
    if failed is not None:
        raise typer.Exit(int(failed))


def set_verbosity(level: int) -> None:
    """Log records go to stderr as far as -v asks; without it llama.cpp is silent."""
    if level:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s", level=logging.WARNING)
        log.setLevel(logging.INFO if level == 1 else logging.DEBUG)
        logging.getLogger("vlmcli.llama").setLevel(logging.WARNING if level == 1 else logging.DEBUG)


def pictures_and_questions(words: Sequence[str], questions: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Which words are pictures and which the question: the last, unless there is a -q."""
    if questions:
        asked = [question.strip() for question in questions]
        paths = list(words)
    else:
        *paths, last = words
        if not paths:
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


def expand(word: str) -> str:
    """A word with the `~` before it replaced, where a shell has not."""
    return os.path.expanduser(word)  # noqa: PTH111 - Path's raises when there is no such user


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
    ui: Ui,
    runner: Runner,
    tasks: Sequence[Ask],
    pictures: Sequence[Picture],
    files: ModelFiles,
    *,
    json: bool,
    stats: bool,
) -> Exit | None:
    """Run the tasks over the same pictures and show each outcome in order. Returns an exit code when some failed."""
    sources = [picture.source for picture in pictures]
    streaming = len(tasks) == 1 and not json
    outcomes: dict[int, Answer | VlmError] = {}
    errors: list[VlmError] = []
    shown = 0

    def show(number: int, outcome: Answer | VlmError) -> None:
        result = tasks[number].result(sources, outcome, files.name)
        if isinstance(outcome, VlmError):
            if ui.streaming:
                ui.end_stream()
            if (
                not errors or errors[-1] is not outcome
            ):  # a model that cannot be loaded is one error, not one a question
                if len(tasks) > 1 and not isinstance(outcome, ModelError):
                    ui.say(f"{result.question}:")
                ui.error(outcome)
            errors.append(outcome)
        if json:
            ui.line(records.json_line(result))
        elif isinstance(outcome, Answer):
            if streaming:
                ui.end_stream()
            else:
                ui.line(records.line(result, (" ".join(sources), result.question)))
        if isinstance(outcome, Answer):
            if outcome.finish_reason == "length":
                count = outcome.usage.answer_tokens
                tokens = "token" if count == 1 else "tokens"
                ui.say(f"the answer is cut off after {count} {tokens}; --max-tokens or --ctx gives it more")
            if stats:
                ui.stats(outcome)

    requests = [task.request(pictures) for task in tasks]
    for number, event in run(runner, requests, window=len(requests)):
        if isinstance(event, Delta):
            if streaming:
                ui.stream(event)
        elif isinstance(event, Done | Failed):
            outcomes[number] = event.answer if isinstance(event, Done) else event.error
            while shown in outcomes:
                show(shown, outcomes[shown])
                shown += 1
        else:
            ui.progress(event)
    texts = {outcome.text.strip() for outcome in outcomes.values() if isinstance(outcome, Answer)}
    if files.card.unsure and files.card.unsure in texts:
        ui.say(files.card.unsure_hint)
    if not errors:
        return None
    if len(errors) < len(tasks):
        return Exit.SOME_FAILED
    return next((error.exit_code for error in errors if isinstance(error, NativeError)), errors[0].exit_code)
