"""The commands that decide: `match`, `classify` and `decide`. Each makes typed questions; `answer.do` does the rest.

`match` and `classify` are short forms of `decide`, with one question.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vlmcli.cli import options
from vlmcli.cli.flags import SHARED, SIDECARS, Flags, with_flags
from vlmcli.errors import Exit, UsageError, VlmError
from vlmcli.later import Later
from vlmcli.settings import Settings, config_folder
from vlmcli.tasks.calibration import NONE

if TYPE_CHECKING:
    from vlmcli.batch.run import Outcome
    from vlmcli.cli import answer as answers
    from vlmcli.cli import calibrate
    from vlmcli.cli import words as arguments
    from vlmcli.decisions import Decision, Question
    from vlmcli.records import calibrations, journal, lines
    from vlmcli.tasks import decide as tasks
    from vlmcli.tasks import questions as files_of_questions
    from vlmcli.terminal.ui import Ui
    from vlmcli.values import ModelFiles
else:  # a page of help needs none of them
    answers, arguments = Later("vlmcli.cli.answer"), Later("vlmcli.cli.words")
    calibrate, calibrations = Later("vlmcli.cli.calibrate"), Later("vlmcli.records.calibrations")
    journal, lines, tasks = Later("vlmcli.records.journal"), Later("vlmcli.records.lines"), Later("vlmcli.tasks.decide")
    files_of_questions = Later("vlmcli.tasks.questions")

log = logging.getLogger("vlmcli")

BAR = 20
"""Letters of a bar for a probability of 1."""

Threshold = Annotated[
    float,
    typer.Option(
        "--threshold", metavar="P", min=0.0, max=1.0, help="A picture matches from this probability on; by default 0.5."
    ),
]
PerToken = Annotated[
    bool,
    typer.Option(
        "--per-token", help="Compare the likelihood of an average token of each label, for labels of many lengths."
    ),
]


def _decide(
    questions: Sequence[Question],
    names: Sequence[str],
    flags: Flags,
    manner: answers.Manner,
    *,
    per_token: bool = False,
    neutral: bool = False,
    calibrating: calibrate.Calibrating | None = None,
    several: float | None = None,
) -> None:
    """Decide the questions about each picture, with probabilities as the model's calibration corrects them."""
    side, parts = flags.side, flags.parts

    def made(files: ModelFiles, settings: Settings, context: str) -> list[tasks.Decide]:
        if context:
            raise UsageError("what is on stdin is text", "pipe in a picture, or leave out -")
        own, system = tuple(sorted(files.card.prompts.items())), flags.system or settings.system
        calibration = calibrations.read(config_folder(), journal.model_id(files))
        if calibrating is not None or per_token or neutral:
            calibration = NONE
        if calibrating is not None:
            calibrating.model(files)
        elif missing := [one.kind for one in questions if not calibration.has(one.kind)]:
            log.info("the probabilities of %s are not calibrated for %s questions", files.name, missing[0])
        return [
            tasks.Decide(
                tuple(questions), system, own, per_token, files.card.think, side, parts, calibration, several, neutral
            )
        ]

    first = [tasks.Decide(tuple(questions))]
    answers.do(made, first, flags.named(names, each=True), flags, plain=True, manner=manner)


@with_flags(*SHARED)
def match(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT PICTURES...",
            help="What the pictures should show, then files, folders, patterns, URLs, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    other: Annotated[bool, typer.Option("--not", help="List the pictures that do not match.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Print only how many pictures match.")] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="Print the probability after each name; with --threshold 0, of all.")
    ] = False,
    print0: Annotated[bool, typer.Option("--print0", help="End each name with NUL, for xargs -0.")] = False,
    threshold: Threshold = 0.5,
    *,
    flags: Flags,
) -> None:
    """List the pictures that show something.

    Each picture is compared by the model's probability of yes against no. The exit code is 0 if some pictures match,
    1 if none does, and 2 after an error, as with grep.

    vlm match "a cat on a sofa" ~/Pictures

    vlm match "a receipt" scans --scores --threshold 0.8

    vlm match "a cat" pics --print0 | xargs -0 cp -t cats
    """
    if not words:
        raise UsageError("the command does not say what to look for", 'vlm match "a cat" PICTURES')
    what, *names = words
    if arguments.is_file(what) or not what.strip():
        raise UsageError(
            f"{what}: the first argument says what to look for", f'put it first: vlm match "a cat" {what or "PICTURES"}'
        )
    if scores and (count or print0):
        raise UsageError("--scores cannot be used with --count or --print0", "leave out one of them")
    matches = _Matches(threshold, other=other, count=count, scores=scores, end="\0" if print0 else "\n")
    try:
        _decide([files_of_questions.match(what)], names, flags, answers.Manner(matches.lined, matches.ended))
    except VlmError as error:
        if error.exit_code is not Exit.FAILED:
            raise
        raise UsageError(error.message, error.hint) from error  # 1 says that nothing matches


class _Matches:
    """The lines of the pictures that match, and the exit code that says whether there were any."""

    def __init__(self, threshold: float, *, other: bool, count: bool, scores: bool, end: str) -> None:
        self._threshold, self._other, self._count, self._scores, self._end = threshold, other, count, scores, end
        self._found = 0

    def lined(self, outcome: Outcome, _: int) -> str:
        """The line of a picture that matches; empty for others."""
        probability = outcome.result.decisions[0].probabilities[0]
        if (probability >= self._threshold) is self._other:
            return ""
        self._found += 1
        if self._count:
            return ""
        name = " ".join(outcome.job.names)
        shown = name if self._end == "\0" else lines.escape(name)
        return f"{shown}\t{probability:.4f}{self._end}" if self._scores else f"{shown}{self._end}"

    def ended(self, ui: Ui, failed: Exit | None) -> Exit | None:
        """The exit code of grep: 0 where some match, 1 where none does, 2 after an error."""
        if self._count:
            ui.line(str(self._found))
        if failed is not None:
            return Exit.USAGE
        return None if self._found else Exit.FAILED


@with_flags(*SHARED, *SIDECARS)
def classify(
    words: options.Pictures = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="A,B,...", help="The labels; label=description also describes one."),
    ] = None,
    labels_file: Annotated[
        str | None, typer.Option("--labels-file", metavar="FILE", help="Read labels from a file, one per line.")
    ] = None,
    question: Annotated[
        str | None, typer.Option("-q", "--question", metavar="TEXT", help="Ask this about the picture.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--as", metavar="TEXT", help="The answer, with {} for the label, as in 'The colour is {}'."),
    ] = "{}",
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Print the N most likely labels.")] = 1,
    multi: Annotated[
        bool, typer.Option("--multi", help="Decide about each label by itself; a picture can have several or none.")
    ] = False,
    other: Annotated[bool, typer.Option("--other", help="Add the label other, for what is none of them.")] = False,
    per_token: PerToken = False,
    neutral: Annotated[
        bool,
        typer.Option(
            "--subtract-neutral", help="Subtract what the model answers about a grey picture from each label's score."
        ),
    ] = False,
    threshold: Threshold = 0.5,
    *,
    flags: Flags,
) -> None:
    """Choose a label for each picture.

    The model's likelihood of answering with each label is compared; the probabilities of all labels add up to 1.

    vlm classify ~/Pictures --labels cat,dog,bird

    vlm classify photo.jpg --labels-file labels.txt --top 5

    vlm classify pics --labels beach,people,dogs --multi
    """
    given = labels.split(",") if labels is not None else []
    where = "--labels"
    if labels_file is not None:
        given += arguments.questions_of(labels_file, [*(words or ()), flags.files_from or ""])
        where = labels_file
    if not given:
        raise UsageError("the command has no labels", "name them: --labels cat,dog,bird")
    found = files_of_questions.labels([*given, *(["other=none of the others"] if other else [])], where)
    manner = answers.Manner(lambda outcome, width: _labelled(outcome, top, threshold, width, multi=multi))
    if multi:
        if question is not None or form != "{}" or top > 1:
            raise UsageError("--multi cannot be used with --question, --as or --top", "leave them out")
        each = [files_of_questions.match(one.description or one.text) for one in found]
        _decide(each, words or (), flags, manner, neutral=neutral, several=threshold)
        return
    asked = files_of_questions.choice(question or "", found, form)
    _decide([asked], words or (), flags, manner, per_token=per_token, neutral=neutral)


def _labelled(outcome: Outcome, top: int, threshold: float, width: int, *, multi: bool) -> str:
    """A picture's labels and their probabilities, on one line behind its name; with bars on a terminal, of a width."""
    if multi:
        each = [(one.question.title, one.probabilities[0]) for one in outcome.result.decisions]
        each = [(label, probability) for label, probability in each if probability >= threshold]
    else:
        (decision,) = outcome.result.decisions
        texts = [option.text for option in decision.question.options]
        each = sorted(zip(texts, decision.probabilities, strict=True), key=lambda one: -one[1])[:top]
    if width:
        return _bars(outcome, each, width)
    cells = [cell for label, probability in each for cell in (lines.escape(label), f"{probability:.4f}")]
    return "\t".join([lines.escape(" ".join(outcome.job.names)), *cells]) + "\n"


@with_flags(*SHARED)
def decide(
    words: options.Pictures = None,
    questions: options.Question = None,
    questions_file: Annotated[
        str | None,
        typer.Option(
            "--questions", metavar="FILE", help="Read questions from a .json or .toml file, or from text, one per line."
        ),
    ] = None,
    per_token: PerToken = False,
    calibrate_on: Annotated[
        str | None,
        typer.Option(
            "--calibrate-on",
            metavar="FILE",
            help="Fit the probabilities to a .csv table of pictures and right answers.",
        ),
    ] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw how reliable the probabilities are (SVG).")
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Decide typed questions about each picture, with probabilities.

    A question in words is answered by yes or no. A file can have three kinds: a predicate (yes or no), a choice
    between values, and a score on levels.

    vlm decide photo.jpg -q "is somebody smiling?"

    vlm decide pics --questions q.json --format csv > out.csv

    vlm decide scan.png --questions q.toml --json
    """
    asked = files_of_questions.of([*(questions or ())], "-q") if questions else []
    if questions_file is not None:
        asked += files_of_questions.read(arguments.text_of(questions_file), questions_file)
        files_of_questions.apart(asked, questions_file)
    if not asked:
        raise UsageError("the command has no question", 'add one: -q "is there a cat?", or --questions FILE')
    if calibrate_on is None:
        if plot is not None:
            raise UsageError("--plot does nothing without --calibrate-on", "add --calibrate-on FILE")
        _decide(asked, words or (), flags, answers.Manner(_decided), per_token=per_token)
        return
    if words or flags.files_from or flags.as_json or flags.table or per_token:
        raise UsageError(
            "--calibrate-on takes its pictures from the table, and only prints the calibration",
            "leave out pictures, --files-from, --json, --format, --output and --per-token",
        )
    calibrating = calibrate.Calibrating(calibrate_on, asked, plot)
    manner = answers.Manner(calibrating.lined, calibrating.ended)
    _decide(asked, calibrating.names, flags, manner, calibrating=calibrating)


def _bars(outcome: Outcome, each: Sequence[tuple[str, float]], width: int) -> str:
    """Labels below one another, with bars; the picture's name above them."""
    most = max(8, width - BAR - 12)
    longest = min(most, max((len(label) for label, _ in each), default=0))
    rows = [f"{lines.escape(' '.join(outcome.job.names))}\n"]
    for label, probability in each:
        shown = lines.escape(label) if len(label) <= most else f"{lines.escape(label)[: most - 1]}…"
        rows.append(f"  {shown:{longest}}  {'█' * round(BAR * probability):{BAR}} {probability:.2f}\n")
    return "".join(rows if each else [*rows, "  no label\n"])


def _decided(outcome: Outcome, _: int) -> str:
    """A line for each question about a picture: the picture, the question, what was decided, and how probable it is."""
    name = lines.escape(" ".join(outcome.job.names))
    return "".join(f"{name}\t{_row(decision)}\n" for decision in outcome.result.decisions)


def _row(decision: Decision) -> str:
    return f"{lines.escape(decision.question.title)}\t{lines.escape(decision.text)}\t{decision.confidence:.4f}"
