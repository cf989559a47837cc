"""Hints are typed as they are printed: what a message advises is run by the test that has provoked it."""

import itertools
import re
import shlex

from tests.support.program import vlm


def message_and_hint(done):
    """The last error of a command, and the hint below it. Fails where there is none."""
    lines = done.stderr.splitlines()
    found = [pair for pair in itertools.pairwise(lines) if pair[1].startswith("     ")]
    assert found, done.stderr
    message, hint = found[-1]
    return message.removeprefix("vlm: "), hint.strip()


def command_in(hint):
    """The words of the last command in a hint, without "vlm"."""
    found = re.search(r".*(?:^|[ (`])vlm ([^`;]+?)(?:`|;|$)", hint)
    assert found, hint
    return shlex.split(found[1])


def follow(done, *, env=None, cwd=None, **values):
    """Type the command that a command's hint ends with. `values` are put for words that stand for something."""
    _, hint = message_and_hint(done)
    words = [values.get(word, word) for word in command_in(hint)]
    return vlm(*words, env=env, cwd=cwd)
