"""A command's options as values: `Flags`, with settings, sampling and a course made of them, and `with_flags`.

Every verb that asks takes all of `Flags`, others name the fields they take. Does not know what is done with them.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from vlmcli import typed
from vlmcli.cli import options
from vlmcli.cli.options import Existing, Format, SidecarName
from vlmcli.errors import UsageError
from vlmcli.later import Later
from vlmcli.memo import kept_in
from vlmcli.settings import Settings, cache_folder, load
from vlmcli.terminal import door

if TYPE_CHECKING:
    from vlmcli import values as nouns
    from vlmcli.batch import course as courses
    from vlmcli.cli import words
    from vlmcli.pictures import sources
    from vlmcli.pictures.known import Known
    from vlmcli.tasks import numbers, templates
else:  # a page of help needs none of them
    nouns, courses, words = Later("vlmcli.values"), Later("vlmcli.batch.course"), Later("vlmcli.cli.words")
    sources, templates = Later("vlmcli.pictures.sources"), Later("vlmcli.tasks.templates")
    numbers = Later("vlmcli.tasks.numbers")

_EXAMPLES = {
    "temperature": "0.7", "top_k": "40", "top_p": "0.9", "min_p": "0.05", "repeat_penalty": "1.1", "seed": "1",
    "max_tokens": "200",
}  # fmt: skip
"""A value of each sampling option that makes sense."""

log = logging.getLogger("vlmcli")


def sampling_of(
    pairs: Sequence[str] | None,
    temperature: float | None = None,
    seed: int | None = None,
    max_tokens: int | None = None,
    template: templates.Template | None = None,
    usual: int = 0,
    form: str = "-o {}={}",
) -> tuple[nouns.Sampling, int]:
    """`-o` pairs and the long options as one Sampling, and the limit of tokens; a template says the rest.

    Errors name a pair as `form` has it.
    """
    kinds = dict.fromkeys(templates.WHOLE, int)
    names = [field.name for field in fields(nouns.Sampling)] + ["max_tokens"]
    values: dict[str, float | int | None] = {}
    written: dict[str, str] = {}
    if template is not None:
        try:
            numbers.checked(dict(template.sampling))
        except UsageError as error:
            raise UsageError(f"{template.path}: {error.message}", error.hint) from None
        values |= template.sampling
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if name not in names:
            saved = f"to save answers: --output {typed.word(pair)}; " if "." in pair or "/" in pair else ""
            raise UsageError(f"there is no sampling option {name}", f"{saved}-o takes {', '.join(names)}")
        example = f"for example {name}={_EXAMPLES[name]}"
        if not equals:
            raise UsageError(f"{name} needs a value", example)
        try:
            values[name] = kinds.get(name, float)(text)
        except ValueError:
            what = "a whole number" if name in kinds else "a number"
            raise UsageError(f"{form.format(name, text)}: not {what}", example) from None
        written[name] = form.format(name, text)
    long = {"temperature": temperature, "seed": seed, "max_tokens": max_tokens}
    given = {name: value for name, value in long.items() if value is not None}
    written |= {name: f"--{name.replace('_', '-')} {value:.15g}" for name, value in given.items()}
    return numbers.checked({**values, **given}, usual, written)


SEPARATORS = {Format.CSV: ",", Format.TSV: "\t"}


@dataclass(frozen=True)
class Flags:
    """What every verb that asks can be told: a field an option, in the order of the help (options.py)."""

    files_from: options.FilesFrom = None
    null: options.Null = False
    include: options.Include = None
    exclude: options.Exclude = None
    allow_local_urls: options.AllowLocalUrls = False
    detail: options.Detail = None
    picture_tokens: options.PictureTokens = None
    model: options.Model = None
    server: options.ServerOption = None
    allow_upload: options.AllowUpload = False
    concurrency: options.Concurrency = None
    mmproj: options.Mmproj = None
    chat_template: options.ChatTemplate = None
    yes: options.Yes = False
    system: options.System = ""
    sample: options.Sample = None
    temperature: options.Temperature = None
    seed: options.Seed = None
    max_tokens: options.MaxTokens = None
    think: options.Think = False
    json: options.Json = False
    format: options.FormatOption = None
    plain: options.Plain = False
    stats: options.Stats = False
    output: options.Output = None
    journal: options.JournalOption = None
    retry_errors: options.RetryErrors = False
    fail_fast: options.FailFast = False
    unordered: options.Unordered = False
    timeout: options.Timeout = None
    dry_run: options.DryRun = False
    limit: options.Limit = None
    ray: options.Ray = None
    actors: options.Actors = None
    ship_model: options.ShipModel = False
    engine: options.EngineOption = None
    sidecar: options.SidecarOption = None
    write_metadata: options.WriteMetadata = False
    touch: options.Touch = False
    in_place: options.InPlace = False
    keywords: options.Keywords = False
    existing: options.ExistingOption = None
    sidecar_name: options.SidecarNameOption = None
    ctx: options.Ctx = None
    threads: options.Threads = None
    gpu_layers: options.GpuLayers = None
    gpus: options.Gpus = None
    no_cache: options.NoCache = False
    worker: options.Contained = None
    verbose: options.Verbose = 0

    def named(self, names: Sequence[str], *, each: bool, together: bool = False) -> words.Named:
        """The pictures of a command that names these."""
        return words.Named(
            names, self.files_from, self.null, self.allow_local_urls, each, together,
            self.include or (), self.exclude or (),
        )  # fmt: skip

    def settings(self) -> Settings:
        """The user's settings with these flags."""
        return load(
            {
                "model": self.model, "mmproj": self.mmproj, "ctx": self.ctx, "threads": self.threads,
                "gpus": self.gpus, "gpu_layers": self.gpu_layers, "yes": self.yes or None,
                "system": self.system or None, "picture_tokens": self.picture_tokens,
                "cache": False if self.no_cache else None,
                "server": None if self.server is None else "\n".join(self.server),
                "allow_upload": self.allow_upload or None, "concurrency": self.concurrency,
            }
        )  # fmt: skip

    def sampling(self, template: templates.Template | None = None) -> tuple[nouns.Sampling, int]:
        """How tokens are chosen, and how many at most."""
        usual = self.settings().max_tokens
        return sampling_of(self.sample, self.temperature, self.seed, self.max_tokens, template, usual)

    @property
    def size(self) -> str:
        """How large pictures go to the model, by the flag or the settings: "low", "high", "parts" or pixels."""
        return self.settings().detail or "high" if self.detail is None else self.detail

    @property
    def side(self) -> int:
        """Pixels that a picture's longer side is scaled down to; 0 for none. Raises UsageError."""
        return 0 if self.parts else numbers.side_of(self.size, "--detail", "high, parts")

    @property
    def parts(self) -> bool:
        """Whether long pictures are cut into parts."""
        return self.size == "parts"

    def course(self) -> courses.Course:
        """How the command goes through its pictures. Raises UsageError for flags that exclude one another."""
        for option, name in (("--output", self.output), ("--journal", self.journal)):
            if name is not None and not name.strip():
                raise UsageError(f"{option} needs a file name", "check the command: a variable may be empty")
            if name is not None and Path(name).suffix.lower() in (".csv", ".tsv"):
                courses.check_records_name(name)  # before folders are looked through
        if self.output is not None and self.journal is not None:
            raise UsageError("--output and --journal cannot be used together", "leave out --output or --journal")
        if self.sidecar and self.write_metadata:
            raise UsageError("--sidecar and --write-metadata cannot be used together", "leave out one of them")
        kind = "metadata" if self.write_metadata else self.sidecar.value if self.sidecar else ""
        _refuse_alone(
            ("--retry-errors", self.retry_errors, self.output or self.journal, "--output FILE or --journal FILE"),
            ("--keywords", self.keywords, kind in ("xmp", "metadata"), "--sidecar xmp or --write-metadata"),
            ("--existing", self.existing, kind, "--sidecar txt, --sidecar xmp or --write-metadata"),
            ("--sidecar-name", self.sidecar_name, self.sidecar, "--sidecar txt or --sidecar xmp"),
            ("--touch", self.touch, self.write_metadata, "--write-metadata"),
            ("--in-place", self.in_place, self.write_metadata, "--write-metadata"),
        )
        return courses.Course(
            self.output, self.journal, self.retry_errors, self.fail_fast, self.unordered, self.timeout, self.dry_run,
            kind, self.keywords, (self.existing or Existing.SKIP).value, (self.sidecar_name or SidecarName.STEM).value,
            self.touch, self.in_place,
        )  # fmt: skip

    @functools.cached_property
    def known(self) -> Known | None:
        """The files of pictures that earlier commands have read. Raises UsageError."""
        from vlmcli.entries import Entries
        from vlmcli.pictures import known  # it hashes files, which a page of help does not need

        settings = self.settings()
        return known.Known(Entries(cache_folder(settings) / known.FOLDER, known.LIMIT)) if settings.cache else None

    @property
    def lists(self) -> list[Path]:
        """Files that the command reads names from."""
        return [Path(sources.expand(self.files_from))] if self.files_from not in (None, "-") else []

    @property
    def as_json(self) -> bool:
        """Whether stdout has JSON lines. Raises UsageError where two formats are asked for."""
        if self.output is not None and self.format not in (None, Format.JSONL):
            what = f"--output and --format {self.format.value} cannot be used together"
            raise UsageError(what, "leave out --format, or use --journal instead of --output")
        if self.json and self.format not in (None, Format.JSONL):
            what = f"--json and --format {self.format.value} cannot be used together"
            raise UsageError(what, "leave out --json or --format")
        return self.json or self.format is Format.JSONL or self.output is not None

    @property
    def table(self) -> str:
        """The separator of a table's columns; empty for no table."""
        return SEPARATORS.get(self.format, "") if self.format else ""


def _refuse_alone(*options: tuple[str, object, object, str]) -> None:
    """Raise UsageError for an option that is given without the one that it needs to do anything.

    Of each option: its name, whether it is given, whether its partner is, and what to add.
    """
    for option, given, partner, add in options:
        if given and not partner:
            raise UsageError(f"{option} does nothing without {add}", f"add {add}, or leave {option} out")


MODEL = ("model", "mmproj", "chat_template")
SAMPLING = ("sample", "temperature", "seed", "max_tokens")
PLACE = ("ctx", "threads", "gpu_layers", "no_cache", "yes", "verbose")
"""Flags that go together in the help of the verbs that take some of them only."""


SHARED = (
    "files_from", "null", "include", "exclude", "allow_local_urls", "detail", "picture_tokens", "model", "server",
    "allow_upload", "concurrency", "mmproj", "chat_template", "yes", "system", "json", "format", "stats", "output",
    "journal", "retry_errors", "fail_fast", "unordered", "timeout", "dry_run", "limit", "ray", "actors",
    "ship_model", "engine", "ctx", "threads", "gpu_layers", "gpus", "no_cache", "worker", "verbose",
)  # fmt: skip
"""Flags of the verbs that decide: all but those of how an answer is written, and where else it goes."""
BESIDE = ("sidecar", "write_metadata", "touch", "in_place", "existing", "sidecar_name")
"""Those of where else it goes, whatever it is."""
SIDECARS = (*BESIDE, "keywords")
"""Those of where else a text goes."""


@functools.cache
def _parameters() -> Mapping[str, inspect.Parameter]:
    """The fields of `Flags` as parameters of a function, by name, in the order of the help."""
    hints = get_type_hints(Flags, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return {
        one.name: inspect.Parameter(one.name, keyword, default=one.default, annotation=hints[one.name])
        for one in fields(Flags)
    }


def with_flags(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb options of `Flags`, which it takes as `flags`, and let its log go where they say while it runs.

    Args:
        names: fields of `Flags`, and parameters of the verb's own, in the order of the help; all of `Flags` without
            any. The verb's own parameters that are not named come before them.
    """
    shared = _parameters()

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(verb, eval_str=True).parameters
        own = {
            one.name: one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for one in signature.values()
            if one.name != "flags"
        }
        order = names or tuple(shared)
        parameters = [one for one in own.values() if one.name not in order]
        parameters += [own[name] if name in own else shared[name] for name in order]
        taken = [name for name in order if name not in own]

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            flags = Flags(**{name: values.pop(name) for name in taken})
            settings = flags.settings()
            folder = cache_folder(settings) / "pairs" if settings.cache else None
            with _logged(flags.verbose), kept_in(folder):
                verb(**values, flags=flags)

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


@contextmanager
def _logged(level: int) -> Iterator[None]:
    """Let log records go to stderr as far as -v asks; without it llama.cpp is silent. Afterwards all is as it was."""
    if not level:
        yield
        return
    root, llama = logging.getLogger(), logging.getLogger("vlmcli.llama")
    before = {logger: logger.level for logger in (root, log, llama)}
    handler = door.log_handler()
    root.addHandler(handler)
    try:
        root.setLevel(logging.WARNING)
        log.setLevel(logging.INFO if level == 1 else logging.DEBUG)
        llama.setLevel(logging.WARNING if level == 1 else logging.DEBUG)
        yield
    finally:
        root.removeHandler(handler)
        for logger, found in before.items():
            logger.setLevel(found)
