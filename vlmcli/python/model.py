"""`Model`: a model that is open, and what it can be asked. Threads may share it.

Its methods are the verbs of the command line: the same prompts, the same tasks, the same values. Each question goes the
way of a command with one question (`batch.run`), so that errors, notices and time limits are the same, too.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from vlmcli.batch.course import Course, Job
from vlmcli.batch.run import Outcome, Run, Step
from vlmcli.decisions import Question
from vlmcli.errors import Cancelled, ModelError, NoPicture, RequestError, UsageError
from vlmcli.python import options as opts
from vlmcli.python.given import Given, Pictures, source_of, sources_of
from vlmcli.python.options import Options
from vlmcli.python.sharing import Shared
from vlmcli.python.streaming import Stream
from vlmcli.python.tasks import Asked, Extracted
from vlmcli.records import calibrations, journal
from vlmcli.settings import Settings, config_folder
from vlmcli.tasks import ask, boxes, questions
from vlmcli.tasks.calibration import NONE
from vlmcli.tasks.decide import Decide
from vlmcli.tasks.detect import Detect
from vlmcli.tasks.task import Task
from vlmcli.values import Message, ModelFiles, Notice, Picture, Result, Runner

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from vlmcli.pictures.known import Known

log = logging.getLogger("vlmcli")

LONG = 1024
"""Tokens of a list of boxes, where nobody says how many."""


class Model:
    """A model that is open. Every method raises VlmError where there is no answer, and gives a `Result` where there is.

    A result's `text` is the answer; `answer` has what it took; `decisions`, `fields` and `places` are what came of
    `decide`, `extract` and `detect`.
    """

    def __init__(self, files: ModelFiles, settings: Settings, runner: Runner, known: Known | None = None) -> None:
        """Take a runner, which is closed with the model. Programs call `open_model` instead.

        Args:
            files: the model.
            settings: the user's, for what a question does not say.
            runner: what answers.
            known: pictures' files that were read before.
        """
        self.files = files
        self._settings, self._known = settings, known
        self._shared = Shared(runner)
        self._end = weakref.finalize(self, runner.close)  # also where the program ends without closing it

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.files.name

    # ------------------------------------------------------------------------------------------ answers in words

    def ask(
        self,
        pictures: Pictures,
        question: str,
        *,
        history: Sequence[Message] = (),
        choices: Sequence[str] = (),
        regex: str = "",
        grammar: str = "",
        **options: Unpack[Options],
    ) -> Result:
        """Ask a question about a picture, or about several together.

        Args:
            pictures: one, or several; none where the history has them.
            question: in words.
            history: earlier turns, with pictures that `load` has read.
            choices: texts, of which the answer is one.
            regex: a regular expression that the whole answer matches.
            grammar: GBNF that the answer follows.
            options: see `Options`.
        """
        task = self._asked(question, history, opts.form(choices, regex, grammar), options)
        return self._do(task, pictures, options)

    def stream(
        self, pictures: Pictures, question: str, *, history: Sequence[Message] = (), **options: Unpack[Options]
    ) -> Stream:
        """Ask the same, and read the answer in pieces while it is written. Nothing is asked before the first piece."""
        task = self._asked(question, history, ("", ""), options)
        return Stream(self._steps(task, pictures, options, stream=True), self.files.card.think)

    def caption(self, picture: Given, **options: Unpack[Options]) -> Result:
        """Describe a picture in one sentence."""
        return self._prompted("caption", picture, options)

    def describe(
        self,
        picture: Given,
        *,
        length: Literal["", "short", "long"] = "",
        focus: str = "",
        **options: Unpack[Options],
    ) -> Result:
        """Describe a picture in detail, briefly or at length, or above all something in it."""
        if length and focus.strip():
            raise UsageError("length and focus cannot be used together", "leave out length or focus")
        if length not in ("", "short", "long"):
            raise UsageError(f"length={length!r}: not known", "choose short or long")
        name = "describe focus" if focus.strip() else f"describe {length}".strip()
        return self._prompted(name, picture, options, focus=focus.strip())

    def ocr(
        self, picture: Given, *, layout: Literal["plain", "markdown"] = "plain", **options: Unpack[Options]
    ) -> Result:
        """Read the text in a picture, as it is or as Markdown."""
        if layout not in ("plain", "markdown"):
            raise UsageError(f"layout={layout!r}: not known", "choose plain or markdown")
        return self._prompted(f"ocr {layout}", picture, options, end_loops=True)

    # ------------------------------------------------------------------------------------------ decisions

    def match(self, picture: Given, what: str, **options: Unpack[Options]) -> Result:
        """Whether a picture shows something: `decisions[0].value`, and its probability `probabilities[0]`."""
        if not what.strip():
            raise UsageError("what to look for is empty", "for example 'a cat'")
        return self._decided(picture, [questions.match(what)], options)

    def classify(
        self,
        picture: Given,
        labels: Sequence[str] | Mapping[str, str],
        *,
        question: str = "",
        form: str = "{}",
        other: bool = False,
        per_token: bool = False,
        neutral: bool = False,
        **options: Unpack[Options],
    ) -> Result:
        """Choose a label for a picture: `decisions[0].value`; `probabilities` are those of the labels in their order.

        Args:
            picture: it.
            labels: at least two; with what each means, if it is a mapping.
            question: what is asked about the picture, instead of what it shows.
            form: the answer, with {} for the label.
            other: add the label "other", for what is none of them.
            per_token: compare the likelihood of an average token of each label.
            neutral: subtract what the model answers about a grey picture.
            options: see `Options`.
        """
        asked = questions.choice(question, opts.labels(labels, other=other), form)
        return self._decided(picture, [asked], options, per_token=per_token, neutral=neutral)

    def decide(
        self,
        pictures: Pictures,
        asked: str | Question | Mapping[str, Any] | Sequence[str | Question | Mapping[str, Any]],
        *,
        per_token: bool = False,
        **options: Unpack[Options],
    ) -> Result:
        """Decide typed questions, or such in words by yes or no, with probabilities: `decisions`, in their order."""
        return self._decided(pictures, opts.asked(asked), options, per_token=per_token)

    # ------------------------------------------------------------------------------------------ JSON and places

    def extract(
        self,
        pictures: Pictures,
        schema: Any,
        question: str = "",
        *,
        history: Sequence[Message] = (),
        **options: Unpack[Options],
    ) -> Result:
        """Read fields as JSON that always follows a schema: `fields[0]` is the value.

        Args:
            pictures: one, or several that are taken together; none where the history has them.
            schema: JSON Schema as a dict or as text, "shop, date, total float", or a class of Pydantic's.
            question: what to read; empty for nothing more than the fields' names.
            history: earlier turns.
            options: see `Options`.
        """
        opts.check_names(options)
        (sampling, limit), (side, parts) = self._sampling(options), opts.detail(options, self._settings)
        task = Extracted(
            opts.schema(schema), question, self._system(options), self._prompts, sampling, limit,
            self.files.card.think, side, parts, tuple(history),
        )  # fmt: skip
        return self._do(task, pictures, options)

    def detect(self, picture: Given, what: str, *, count: str = "", **options: Unpack[Options]) -> Result:
        """Find things, with boxes: `places`, in pixels of the upright picture.

        Args:
            picture: it.
            what: to look for, as "each person".
            count: how the model counts, as `--boxes` has it; as its card says without.
            options: see `Options`; detail does nothing here.
        """
        return self._found(picture, what, count, options, points=False)

    def point(self, picture: Given, what: str, *, count: str = "", **options: Unpack[Options]) -> Result:
        """Find things, with a point on each, as `detect`."""
        return self._found(picture, what, count, options, points=True)

    # ------------------------------------------------------------------------------------------ the model itself

    def load(self, picture: Given) -> Picture:
        """Read a picture once, to ask about it several times, or to have it in a history. Raises SourceError."""
        return source_of(picture, 1, self._known).load(0, self._known)

    def close(self) -> None:
        """End what is under way in any thread, with Cancelled, and free the model; may be called twice."""
        self._end()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Model {self.name}{'' if self._end.alive else ', closed'}>"

    # ------------------------------------------------------------------------------------------ how it is asked

    @property
    def _prompts(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.files.card.prompts.items()))

    def _system(self, options: Options) -> str:
        return options.get("system") or self._settings.system

    def _sampling(self, options: Options, least: int = 0) -> tuple[Any, int]:
        return opts.sampling(options, self._settings, least)

    def _asked(
        self, question: str, history: Sequence[Message], form: tuple[str, str], options: Options, **more: Any
    ) -> Asked:
        opts.check_names(options)
        if not question.strip():
            raise UsageError("the question is empty", "ask something, or use caption or describe")
        (sampling, limit), (side, parts) = self._sampling(options), opts.detail(options, self._settings)
        card = self.files.card
        return Asked(
            question, "", self._system(options), sampling, limit, think=card.think, detail=side, parts=parts,
            thinks=bool(options.get("think")) or card.thinks, grammar=form[0], regex=form[1], history=tuple(history),
            **more,
        )  # fmt: skip

    def _prompted(
        self, name: str, picture: Given, options: Options, *, end_loops: bool = False, **slots: str
    ) -> Result:
        question = ask.prompt(name, self.files.card.prompts, **slots)
        return self._do(self._asked(question, (), ("", ""), options, end_loops=end_loops), [picture], options)

    def _decided(
        self,
        pictures: Pictures,
        asked: Sequence[Question],
        options: Options,
        *,
        per_token: bool = False,
        neutral: bool = False,
    ) -> Result:
        opts.check_names(options)
        side, parts = opts.detail(options, self._settings)
        calibration = NONE
        if not (per_token or neutral):
            calibration = calibrations.read(config_folder(), journal.model_id(self.files))
        task = Decide(
            tuple(asked), self._system(options), self._prompts, per_token, self.files.card.think, side, parts,
            calibration, None, neutral,
        )  # fmt: skip
        return self._do(task, pictures, options)

    def _found(self, picture: Given, what: str, count: str, options: Options, *, points: bool) -> Result:
        opts.check_names(options)
        if not what.strip():
            raise UsageError("what to look for is empty", "for example 'each person'")
        if count and count not in boxes.CONVENTIONS:
            raise UsageError(f"count={count!r}: not known", f"choose {', '.join(map(repr, boxes.CONVENTIONS))}")
        how = count or self.files.card.boxes
        if not how:
            raise ModelError(
                f"{self.name} is not known to write boxes",
                "use a model that does (vlm models --json), or say how it counts: count='0-1000'",
            )
        sampling, limit = self._sampling(options, LONG)
        task = Detect(what, how, points, self._system(options), self._prompts, sampling, limit, self.files.card.think)
        return self._do(task, [picture], options)

    def _do(self, task: Task, pictures: Pictures, options: Options) -> Result:
        """What came of a task. Raises VlmError."""
        with closing(self._steps(task, pictures, options)) as steps:
            for step in steps:
                if isinstance(step, Outcome):
                    if step.result.error is not None:
                        raise step.result.error
                    return step.result
        raise Cancelled("the model was closed")

    def _steps(
        self, task: Task, pictures: Pictures, options: Options, *, stream: bool = False
    ) -> Generator[Step, None, None]:
        """The steps of a run with one job. Raises VlmError, before anything is asked where that can be known."""
        if not self._end.alive:
            raise RequestError("the model is closed", "open it again")
        timeout = options.get("timeout")
        if timeout is not None and not timeout > 0:
            raise UsageError(f"timeout={timeout}: out of range", "give seconds above 0")
        sources = sources_of(pictures, self._known)
        if not sources and not any(message.pictures for message in getattr(task, "history", ())):
            raise NoPicture("there is no picture to ask about", "give at least one")
        run = Run(
            [Job(task, sources)], self.files, course=Course(timeout=timeout), known=self._known,
            thinking=bool(options.get("think")),
        )  # fmt: skip
        for step in run.steps(self._shared.line(), stream=stream):
            if isinstance(step, Notice):
                log.info("%s", step.text)
            yield step
