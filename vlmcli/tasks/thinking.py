"""What a model thinks before it answers, told from the answer while the text comes. Pure.

Only the start of a text counts: a tag further on is part of the answer. Where the prompt itself has opened the
thinking, the engine gives the opening tag with the answer's text.
"""

from __future__ import annotations

from vlmcli.values import overlap


class Thinking:
    """Feed it an answer's text; each piece comes back as (thinking, answer), and all of them make up the text.

    The tags belong to the thinking, and so does the white space before it. What may become a tag is held back until
    it is known to be one or not.
    """

    def __init__(self, tags: tuple[str, str]) -> None:
        self._open, self._close = tags
        self._held = ""
        self._undecided = all(tags)
        self.inside = False

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece of the text. Returns (thinking, answer) as far as it is certain which is which."""
        self._held += text
        thought = ""
        if self._undecided:
            begun = self._held.lstrip()
            if len(begun) < len(self._open) and self._open.startswith(begun):
                return "", ""
            self._undecided = False
            self.inside = begun.startswith(self._open)
            if self.inside:
                thought = self._take(len(self._held) - len(begun) + len(self._open))
        if self.inside:
            at = self._held.find(self._close)
            if at < 0:
                return thought + self._take(len(self._held) - overlap(self._held, self._close)), ""
            thought += self._take(at + len(self._close))
            self.inside = False
        return thought, self._take(len(self._held))

    def finish(self) -> tuple[str, str]:
        """What was held back, once no more text comes."""
        rest = self._take(len(self._held))
        return (rest, "") if self.inside else ("", rest)

    def _take(self, count: int) -> str:
        taken, self._held = self._held[:count], self._held[count:]
        return taken


def split(text: str, tags: tuple[str, str]) -> tuple[str, str]:
    """A whole text's thinking, without its tags, and its answer, both without white space around them."""
    stream = Thinking(tags)
    pieces = (stream.feed(text), stream.finish())
    thought, answer = ("".join(parts).strip() for parts in zip(*pieces, strict=True))
    return thought.removeprefix(tags[0]).removesuffix(tags[1]).strip(), answer
