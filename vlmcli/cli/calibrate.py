"""`vlm decide --calibrate-on`: fit a model's probabilities to pictures whose truth is known, and keep the fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vlmcli import atomic
from vlmcli.batch.run import Outcome
from vlmcli.cli import words as arguments
from vlmcli.decisions import Question
from vlmcli.errors import Exit, UsageError
from vlmcli.records import calibrations
from vlmcli.records.journal import model_id
from vlmcli.reports import reliability
from vlmcli.settings import config_folder
from vlmcli.tasks import truths
from vlmcli.tasks.calibration import Sample, Scaling, expected_error, fitted
from vlmcli.terminal.ui import Ui
from vlmcli.values import ModelFiles

_LEAST = 1e-12
"""Of a probability, whose logarithm is a score."""


class Calibrating:
    """Collects what a model says of labelled pictures, and keeps what its probabilities are corrected by.

    Attributes:
        names: of the pictures.
    """

    def __init__(self, table: str, questions: Sequence[Question], plot: str | None) -> None:
        """Read the table of pictures and truths. Raises UsageError.

        Args:
            table: the name of its file; pictures are looked up from the current folder, or else from the table's.
            questions: one.
            plot: a file for the reliability diagram; None for none.
        """
        if len(questions) != 1:
            raise UsageError("--calibrate-on takes one question", "calibrate one kind of question at a time")
        self._question, self._plot = questions[0], plot
        folder = Path(table).parent
        self._truths: dict[str, int] = {}
        for name, truth in truths.read(arguments.text_of(table), table, self._question):
            beside = folder / name
            found = name if Path(name).exists() or not beside.exists() else str(beside)
            self._truths[found] = truth
        self._samples: list[Sample] = []
        self._model: ModelFiles | None = None

    @property
    def names(self) -> list[str]:
        """Of the pictures."""
        return list(self._truths)

    def model(self, files: ModelFiles) -> None:
        """Which model it is."""
        self._model = files

    def lined(self, outcome: Outcome, _: int) -> str:
        """Take what was decided of a picture; nothing is written."""
        (decision,) = outcome.result.decisions
        logits = tuple(math.log(max(_LEAST, one)) for one in decision.probabilities)
        name = outcome.job.names[0]
        truth = self._truths.get(name)
        if truth is None:  # a page or a frame of what the table names
            raise UsageError(f"{name}: the table has no truth of this picture", "name pictures of one page each")
        self._samples.append(Sample(logits, truth))
        return ""

    def ended(self, ui: Ui, failed: Exit | None) -> Exit | None:
        """Fit what was collected, keep it, and say what it changes. Raises UsageError where too little was answered."""
        if self._model is None or len(self._samples) < truths.FEWEST:
            raise UsageError(
                f"only {len(self._samples)} pictures were answered; at least {truths.FEWEST} are needed",
                "see the errors above",
            )
        kind, samples = self._question.kind, self._samples
        scaling = fitted(kind, samples)
        folder, model = config_folder(), model_id(self._model)
        path = calibrations.write(folder, model, calibrations.read(folder, model).with_(kind, scaling))
        right = sum(max(range(len(one.logits)), key=one.logits.__getitem__) == one.truth for one in samples)
        before, after = expected_error(samples, Scaling()), expected_error(samples, scaling)
        rows = [
            ("model", self._model.name), ("questions", kind), ("pictures", f"{len(samples):,}"),
            ("right", f"{right / len(samples):.1%}"), ("temperature", f"{scaling.temperature:.3f}"),
            *([("bias", f"{scaling.bias:+.3f}")] if kind == "predicate" else []),
            ("expected calibration error", f"{before:.3f}, with the calibration {after:.3f}"), ("kept in", str(path)),
        ]  # fmt: skip
        ui.rows(rows)
        if self._plot is not None:
            title = f"{self._question.title}, {self._model.name}"
            atomic.write(Path(self._plot), reliability.plot(samples, scaling, title).encode())
            ui.say(f"wrote {self._plot}")
        return failed
