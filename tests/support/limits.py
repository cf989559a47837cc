"""Pictures are asked for in a child process that has little time and memory, as a user's word names them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.support import ROOT
from vlmcli.errors import SourceError
from vlmcli.pictures import dicom_header, images, pdf

SECONDS, MEMORY = 5, 1 << 30

BOUNDS = dicom_header.SECONDS, images.SEEK_SECONDS, pdf.SECONDS
"""Seconds that are given to what has no other bound."""

_CHILD = """
import json, os, sys, time
if sys.platform != "win32":
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
from vlmcli.pictures import dicom_header, images, pdf, sources
from vlmcli.errors import SourceError
for word, bounds in json.load(sys.stdin):
    dicom_header.SECONDS, images.SEEK_SECONDS, pdf.SECONDS = bounds
    start, before = time.monotonic(), sum(os.times()[2:4])
    try:
        found = [source.load() for source in sources.find([word], allow_local=LOCAL)]
        said = "", f"{len(found)} pictures", ""
    except SourceError as error:
        said = "SourceError", error.message, error.hint
    except BaseException as error:
        said = type(error).__name__, str(error), ""
    drawn = sum(os.times()[2:4]) - before
    print(json.dumps([*said, drawn or time.monotonic() - start]), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a word: the name of an error, or nothing where it was a picture.

    `seconds` are of processor time for a PDF, which is drawn in a process of its own and bounded by that.
    """

    error: str
    message: str
    hint: str
    seconds: float


def outcomes(words, local=False, quick=(), **environment):
    """What comes of each word, all in one child of so much address space; whatever else it says is a failure.

    Args:
        words: what names pictures.
        local: whether addresses may be of this machine.
        quick: those of the words that are known to need all the time there is; they get a tenth of it.
        environment: more variables.
    """
    asked = [(str(word), [bound / 10 if word in quick else bound for bound in BOUNDS]) for word in words]
    code = _CHILD.replace("MEMORY", str(MEMORY)).replace("LOCAL", str(local))
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(asked), capture_output=True, text=True,
        timeout=120, check=False, env=os.environ | environment, cwd=ROOT,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    found = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(words), f"the child died of {words[len(found)]}: {done.returncode} {done.stderr}"
    return found


def assert_refused(outcome, name, says=""):
    """An error that names what was asked for, says what to do, and came in time."""
    assert outcome.error == "SourceError", outcome
    assert outcome.message.startswith(f"{name}: "), outcome
    assert says in outcome.message, outcome
    assert outcome.hint, outcome
    assert outcome.seconds < SECONDS, outcome


def refused(path, says=""):
    """The message of the error that a file is, in this process; it names the file and says what to do."""
    with pytest.raises(SourceError) as caught:
        images.load(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert says in caught.value.message
    return caught.value.message
