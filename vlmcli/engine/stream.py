"""Tokens' bytes become an answer's text: whole characters only, and nothing from a stop string on.

Pure: it knows bytes and strings, and neither tokens nor models.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from vlmcli.values import overlap


class TextStream:
    """Feed it bytes, show what it returns; `text` is everything shown so far, `begun` what comes before all bytes.

    Bytes that cannot be UTF-8 become U+FFFD. The start of what may become a stop string is held back until it is
    known to be one or not.
    """

    def __init__(self, stop: Sequence[str] = (), begun: str = "") -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(one for one in stop if one)
        self._held = begun
        self.text = ""
        self.stopped = False
        self.stopped_by = ""

    def feed(self, piece: bytes) -> str:
        """The text that is certain now. Sets `stopped` and `stopped_by` when a stop string has come."""
        return self._take(self._decoder.decode(piece))

    def finish(self) -> str:
        """What was held back, once no more bytes come."""
        shown = self._take(self._decoder.decode(b"", final=True))
        if not self.stopped:
            shown += self._held
            self.text += self._held
            self._held = ""
        return shown

    def _take(self, new: str) -> str:
        if self.stopped or not new:
            return ""
        self._held += new
        found = [(at, one) for at, one in ((self._held.find(one), one) for one in self._stop) if at >= 0]
        if found:
            at, self.stopped_by = min(found, key=lambda each: each[0])
            shown, self._held, self.stopped = self._held[:at], "", True
        else:
            keep = max((overlap(self._held, one) for one in self._stop), default=0)
            shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self.text += shown
        return shown


LOOP = 400
"""Characters that must be repetition, eight times at least, before an answer is taken to have lost itself in a loop."""


def loops(text: str) -> bool:
    """Whether a text ends in nothing but repetitions of at most 160 characters."""
    if len(text) < LOOP:
        return False
    for period in range(1, 161):
        span = max(LOOP, 8 * period) - period
        if len(text) >= span + period and text[-span:] == text[-span - period : -period]:
            return True
    return False
