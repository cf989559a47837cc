"""The options that several commands share: names, help text and bounds of each, declared once.

`flags` turns them into values. An option that only one command has is declared with that command. Which options belong
together on a help page is in `help.GROUPS`.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from vlmcli.settings import BOUNDS

Pictures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURES...",
        help="Files, folders, patterns, archives, tables, URLs, or - for stdin.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="Use this model: a name from vlm models, owner/repository[:quant], a .gguf file or its folder.",
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask a server with an OpenAI-compatible API instead of llama.cpp on this machine; repeat for several, or"
        " @FILE for a file of addresses.",
    ),
]
AllowUpload = Annotated[
    bool, typer.Option("--allow-upload", help="With --server: allow pictures to be sent to another machine.")
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        metavar="N",
        min=BOUNDS["concurrency"][0],
        max=BOUNDS["concurrency"][1],
        help="With --server: send each server up to N requests at once; default: learned from its answers, up to 32.",
    ),
]
Mmproj = Annotated[
    str | None, typer.Option("--mmproj", metavar="FILE", help="Use this projector file, if it is not beside the model.")
]
ChatTemplate = Annotated[
    str | None,
    typer.Option(
        "--chat-template",
        metavar="NAME",
        help="Chat template for a model without one: vicuna, mistral, llava-34b, chatml or a Jinja file.",
    ),
]
Question = Annotated[
    list[str] | None,
    typer.Option(
        "-q",
        "--question",
        metavar="TEXT",
        help="Ask this question (- for one on stdin); repeat for several. All arguments are then pictures.",
    ),
]
Questions = Annotated[
    str | None,
    typer.Option("--questions", metavar="FILE", help="Read questions from a file, one per line; - is stdin."),
]
Template = Annotated[
    str | None,
    typer.Option("-t", "--template", metavar="NAME", help="Use a template as the question; vlm templates lists them."),
]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="Fill a slot of the template; repeat for several."),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="FILE|TEXT",
        help="JSON Schema of the answer: a file, JSON, or fields as in 'shop, date, total float'.",
    ),
]
SchemaMulti = Annotated[
    bool, typer.Option("--schema-multi", help="The answer is a list of what the schema describes, in a field items.")
]
Choices = Annotated[
    str | None, typer.Option("--choices", metavar="A,B,...", help="The answer is one of these, word for word.")
]
Regex = Annotated[
    str | None, typer.Option("--regex", metavar="PATTERN", help="The whole answer matches this regular expression.")
]
GrammarOption = Annotated[
    str | None, typer.Option("--grammar", metavar="FILE", help="The answer follows this grammar, in GBNF.")
]
Each = Annotated[bool, typer.Option("--each", help="Ask about each picture separately.")]
Together = Annotated[bool, typer.Option("--together", help="Ask one question about all pictures together.")]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        "--files-from",
        metavar="FILE|-",
        help="Read names of pictures from a file, a URL or stdin, one per line; ask about each.",
    ),
]
Null = Annotated[
    bool, typer.Option("-0", "--null", help="The names in --files-from end with NUL, as find -print0 writes them.")
]
AllowLocalUrls = Annotated[
    bool, typer.Option("--allow-local-urls", help="Allow URLs of this machine and the local network.")
]


class AnswerLength(str, Enum):
    """How long a description is; without a length, the model decides."""

    SHORT, LONG = "short", "long"


class Format(str, Enum):
    """The format of answers on stdout."""

    TEXT, JSONL, CSV, TSV = "text", "jsonl", "csv", "tsv"


class Sidecar(str, Enum):
    """The kind of file that is written beside each picture."""

    TXT, XMP = "txt", "xmp"


class Existing(str, Enum):
    """What to do when a picture already has a sidecar."""

    SKIP, REPLACE, PREPEND, APPEND = "skip", "replace", "prepend", "append"


class SidecarName(str, Enum):
    """How a sidecar is named: photo.txt or photo.jpg.txt."""

    STEM, FULL = "stem", "full"


class EngineName(str, Enum):
    """What `--engine` may be."""

    LLAMA = "llama"
    VLLM = "vllm"


class Layout(str, Enum):
    """How text that was read from a picture is written."""

    PLAIN, MARKDOWN = "plain", "markdown"


Length = Annotated[
    AnswerLength | None,
    typer.Option(
        "--length",
        help="Write two or three sentences (short), or all details (long); default: the model decides.",
    ),
]
Focus = Annotated[str, typer.Option("--focus", metavar="TEXT", help="Describe this in most detail.")]
LayoutOption = Annotated[
    Layout,
    typer.Option(
        "--layout",
        metavar="LAYOUT",
        help="Write plain lines (plain, default), or headings, lists and tables (markdown).",
    ),
]
Html = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Write an HTML page with the pictures and every stage.")
]
Preview = Annotated[
    str | None, typer.Option("--preview", metavar="FILE", help="Write the pixels that the model sees to a .png file.")
]
System = Annotated[
    str, typer.Option("-s", "--system", metavar="TEXT", help="Instructions for the model, sent before the question.")
]
Sample = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        help="Set a sampling option: temperature, top_k, top_p, min_p, repeat_penalty, seed or max_tokens.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        metavar="NUMBER",
        min=0,
        help="Randomness of the answer, 0 to 100; default 0: always the likeliest token.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", min=0, max=2**32 - 2, help="Seed for sampling: the same seed repeats an answer."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="N", min=1, help="Stop each answer after this many tokens; default 512."),
]
Detail = Annotated[
    str | None,
    typer.Option(
        "--detail",
        metavar="SIZE",
        help="Picture size for the model: high (default) keeps it, low scales the longer side to 512 pixels, a number"
        " to that many; parts cuts long pictures into parts.",
    ),
]
PictureTokens = Annotated[
    int | None,
    typer.Option(
        "--picture-tokens",
        metavar="N",
        min=16,
        max=65_536,
        help="Image tokens that a picture may take: more show more detail, and take longer.",
    ),
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Download a missing model without asking.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show only errors.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object per line.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", metavar="FILE", help="Save results (.jsonl, .parquet); the same command again does what is left."
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Write answers as text (default), jsonl (same as --json), or a csv or tsv table.",
    ),
]
SidecarOption = Annotated[
    Sidecar | None,
    typer.Option("--sidecar", help="Write each answer to a file beside its picture: photo.txt or photo.xmp."),
]
ExistingOption = Annotated[
    Existing | None,
    typer.Option(
        "--existing",
        metavar="ACTION",
        help="If a sidecar exists: skip the picture (default), replace the text, or prepend or append to it.",
    ),
]
SidecarNameOption = Annotated[
    SidecarName | None,
    typer.Option(
        "--sidecar-name", metavar="NAME", help="Name sidecars photo.txt (stem, default) or photo.jpg.txt (full)."
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only include matching names; repeat for several."),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Leave out matching names; repeat for several.")
]
WriteMetadata = Annotated[
    bool,
    typer.Option(
        "--write-metadata", help="Write each answer into the picture file as XMP metadata; pixels do not change."
    ),
]
Touch = Annotated[
    bool, typer.Option("--touch", help="With --write-metadata: set the modification time of changed files to now.")
]
InPlace = Annotated[
    bool,
    typer.Option(
        "--in-place", help="With --write-metadata: change the file itself instead of replacing it; keeps hard links."
    ),
]
Keywords = Annotated[
    bool,
    typer.Option("--keywords", help="In XMP, write the answer as a list of keywords (dc:subject)."),
]
JournalOption = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="Record in a .jsonl file what was written to stdout, so that a later run can continue.",
    ),
]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="With --output or --journal: retry what failed before.")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first error.")]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread the run over a Ray cluster: its HOST:PORT, auto, or local for one on this machine.",
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(
        "--actors", metavar="N", min=1, max=100_000,
        help="With --ray: run the model N times; default once a GPU, or once a node.",
    ),
]  # fmt: skip
EngineOption = Annotated[
    EngineName | None,
    typer.Option(
        "--engine", metavar="llama|vllm", help="With --ray: ask vLLM, which the nodes must have; default llama."
    ),
]
ShipModel = Annotated[
    bool, typer.Option("--ship-model", help="With --ray: copy the model's files to nodes that do not have them.")
]
Unordered = Annotated[
    bool, typer.Option("--unordered", help="Write answers as they finish, not in the order of the pictures.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.1, max=1e6, help="Give up on a picture after this many seconds."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done; a few pictures are run to estimate the time.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="Ask about only the first N pictures that are left to do."),
]
Think = Annotated[bool, typer.Option("--think", help="Let a reasoning model think first, and show what it thinks.")]
Plain = Annotated[bool, typer.Option("--plain", help="Show answers as the model wrote them; do not render Markdown.")]
NoThumbnails = Annotated[bool, typer.Option("--no-thumbnails", help="Do not show thumbnails in the terminal.")]
Stats = Annotated[bool, typer.Option("--stats", help="Show token counts and times on stderr.")]
Ctx = Annotated[
    int | None,
    typer.Option(
        "--ctx",
        metavar="N",
        min=BOUNDS["ctx"][0],
        max=BOUNDS["ctx"][1],
        help="Context size in tokens, for pictures, question and answer together.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=BOUNDS["threads"][0],
        max=BOUNDS["threads"][1],
        help="Number of CPU threads; default: one per core.",
    ),
]
GpuLayers = Annotated[
    int | None,
    typer.Option(
        "--gpu-layers",
        metavar="N",
        min=BOUNDS["gpu_layers"][0],
        max=BOUNDS["gpu_layers"][1],
        help="Number of layers on the GPU; default: all (-1).",
    ),
]
Gpus = Annotated[
    str | None,
    typer.Option(
        "--gpus",
        metavar="all|N,N...",
        help="Run the model on each of these GPUs, in a separate process; default: one process for all GPUs.",
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Do not use results of earlier commands, and keep none for later ones.")
]
Contained = Annotated[
    bool | None,
    typer.Option(
        "--worker/--in-process",
        help="Run llama.cpp in a separate process (safer) or in this one (starts faster); default: separate for more"
        " than one question.",
        show_default=False,
    ),
]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Show more on stderr; -vv also shows the log of llama.cpp.")
]
