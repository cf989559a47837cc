"""Every option that several commands have: its letter, its help and its bounds, declared once.

What a command makes of them is `flags`'s. An option that one command has is declared with that command.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from vlmcli.settings import BOUNDS

Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A name (vlm models), owner/repository[:quant], a .gguf file, or a folder with a pair.",
    ),
]
Mmproj = Annotated[
    str | None, typer.Option("--mmproj", metavar="FILE", help="The projector's file, if it is not beside the model's.")
]
ChatTemplate = Annotated[
    str | None,
    typer.Option(
        "--chat-template", metavar="NAME|FILE", help="vicuna, mistral, chatml or a Jinja file, for a model without one."
    ),
]
Question = Annotated[
    list[str] | None,
    typer.Option("-q", "--question", metavar="TEXT", help="A question, or - for one on stdin; may be repeated."),
]
Questions = Annotated[
    str | None, typer.Option("--questions", metavar="FILE", help="Questions from a file, one a line; as with -q.")
]
Template = Annotated[
    str | None,
    typer.Option("-t", "--template", metavar="NAME", help="Ask what a template says; vlm templates lists them."),
]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="Fill a slot of the template. Or NAME VALUE."),
]
Each = Annotated[bool, typer.Option("--each", help="Ask about each picture by itself.")]
Together = Annotated[bool, typer.Option("--together", help="Ask about all pictures at once.")]
FilesFrom = Annotated[
    str | None,
    typer.Option("--files-from", metavar="FILE|-", help="Names of pictures, one a line, to be asked about one by one."),
]
Null = Annotated[bool, typer.Option("-0", "--null", help="In that list a NUL ends a name, as find -print0 writes it.")]
AllowLocalUrls = Annotated[
    bool, typer.Option("--allow-local-urls", help="Fetch from addresses of this machine and network, too.")
]


class AnswerLength(str, Enum):
    """How much a description says; no length asks for the model's own."""

    SHORT, LONG = "short", "long"


class Format(str, Enum):
    """How answers are written on stdout."""

    TEXT, JSONL, CSV, TSV = "text", "jsonl", "csv", "tsv"


class Sidecar(str, Enum):
    """What is written beside each picture."""

    TXT, XMP = "txt", "xmp"


class Existing(str, Enum):
    """What becomes of a sidecar that is there."""

    SKIP, REPLACE, PREPEND, APPEND = "skip", "replace", "prepend", "append"


class SidecarName(str, Enum):
    """How a sidecar is called: photo.txt, or photo.jpg.txt."""

    STEM, FULL = "stem", "full"


class Layout(str, Enum):
    """How text is written down."""

    PLAIN, MARKDOWN = "plain", "markdown"


Length = Annotated[AnswerLength | None, typer.Option("--length", help="How much to say.")]
Focus = Annotated[str, typer.Option("--focus", metavar="TEXT", help="What to say most about.")]
LayoutOption = Annotated[Layout, typer.Option("--layout", help="Bare lines, or headings, lists and tables.")]
Html = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Write a page that shows it, with the pixels.")
]
Preview = Annotated[
    str | None, typer.Option("--preview", metavar="FILE", help="Write the pixels that the model sees, as PNG.")
]
System = Annotated[
    str, typer.Option("-s", "--system", metavar="TEXT", help="What the model is told before the question.")
]
Sample = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        help="Sampling: temperature, top_k, top_p, min_p, repeat_penalty, seed, max_tokens. Or KEY VALUE.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", metavar="NUMBER", min=0, help="0, the default, always picks the likeliest word."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", min=0, max=2**32 - 2, help="Repeat a drawn answer.")]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", min=1, help="Cut an answer here; default 512.")
]
Detail = Annotated[
    str,
    typer.Option(
        "--detail",
        metavar="low|high|PIXELS|parts",
        help="How large pictures go to the model: as they are, the longer side at 512 pixels (low) or at so many, or"
        " long ones in parts.",
    ),
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Download a missing model without asking.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Output = Annotated[
    str | None,
    typer.Option("--output", metavar="FILE", help="Append records to a .jsonl file; run again, it does the rest."),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Of stdout: lines of text, JSON (as --json), or a table with a column a question."),
]
SidecarOption = Annotated[
    Sidecar | None, typer.Option("--sidecar", help="Write each answer beside its picture: photo.txt, or photo.xmp.")
]
ExistingOption = Annotated[
    Existing | None,
    typer.Option("--existing", help="If a text exists: skip the picture (default), replace it, or add to it."),
]
SidecarNameOption = Annotated[
    SidecarName | None, typer.Option("--sidecar-name", help="photo.txt (stem, the default), or photo.jpg.txt (full).")
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Of folders, patterns and lists only names like this; repeatable."),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="… and none like this; repeatable.")
]
WriteMetadata = Annotated[
    bool, typer.Option("--write-metadata", help="Write each answer into its picture's file (XMP); not into its pixels.")
]
Touch = Annotated[
    bool, typer.Option("--touch", help="With --write-metadata: files that are changed get the time of now.")
]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="With --write-metadata: write into the file itself; hard links stay together."),
]
Keywords = Annotated[
    bool,
    typer.Option("--keywords", help="In XMP the answer is a list of keywords (dc:subject)."),
]
JournalOption = Annotated[
    str | None,
    typer.Option("--journal", metavar="FILE", help="Remember in a .jsonl file what has been written to stdout."),
]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="With --output or --journal: ask again what failed before.")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first error.")]
Unordered = Annotated[bool, typer.Option("--unordered", help="Write answers as they come, not as the pictures do.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, max=1e6, help="Give a picture up after so long, and go on."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and how long it takes: a few are asked to know.")
]
Think = Annotated[bool, typer.Option("--think", help="Show what the model thinks before it answers.")]
Plain = Annotated[bool, typer.Option("--plain", help="On a terminal, too, the answer as it was written: no Markdown.")]
NoThumbnails = Annotated[
    bool, typer.Option("--no-thumbnails", help="Show no small pictures, where the terminal could.")
]
Stats = Annotated[bool, typer.Option("--stats", help="Tokens and times on stderr.")]
Ctx = Annotated[
    int | None,
    typer.Option(
        "--ctx",
        metavar="N",
        min=BOUNDS["ctx"][0],
        max=BOUNDS["ctx"][1],
        help="Context: tokens of pictures, question and answer together.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=BOUNDS["threads"][0],
        max=BOUNDS["threads"][1],
        help="CPU threads; default one a core.",
    ),
]
GpuLayers = Annotated[
    int | None,
    typer.Option(
        "--gpu-layers",
        metavar="N",
        min=BOUNDS["gpu_layers"][0],
        max=BOUNDS["gpu_layers"][1],
        help="Layers on a GPU; default all.",
    ),
]
Contained = Annotated[
    bool | None,
    typer.Option(
        "--worker/--in-process",
        help="llama.cpp in a process of its own, which may die, or in this one; default: of its own for several.",
        show_default=False,
    ),
]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="More on stderr; twice for llama.cpp's own log.")
]
