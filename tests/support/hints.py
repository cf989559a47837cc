"""Hints are typed as they are printed: what a message advises is run by the test that has provoked it."""

import re
import shlex

from tests.support.program import vlm


def message_and_hint(done):
    """The last error of a command, and the hint below it. Fails where there is none."""
    *_, message, hint = done.stderr.splitlines()
    assert message.startswith("vlm: ") and hint.startswith("     "), done.stderr
    return message.removeprefix("vlm: "), hint.strip()


def command_in(hint):
    """The words of the command that a hint ends with, without "vlm"."""
    found = re.search(r"(?:^|[ (`])vlm ([^`]+?)(?:`|$)", hint)
    assert found, hint
    return shlex.split(found[1])


def follow(done, *, env=None, cwd=None, **values):
    """Type the command that a command's hint ends with. `values` are put for words that stand for something."""
    _, hint = message_and_hint(done)
    words = [values.get(word, word) for word in command_in(hint)]
    return vlm(*words, env=env, cwd=cwd)
