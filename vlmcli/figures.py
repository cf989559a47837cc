"""What a request took: tokens, pixels, and seconds. Part of `values`, from where they are imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Counts of rows, one for each token or picture row the language model has seen.

    Attributes:
        picture_tokens: rows that came out of the projector.
        prompt_tokens: all rows of the prompt, those of pictures among them.
        reused_tokens: how many of the prompt's rows were in the KV cache already, or came from the disk.
        answer_tokens: tokens generated, without the one that ends the turn.
        restored_tokens: how many of the reused rows came from the disk.
        encoded: pictures, or tiles of them, that went through the encoder.
        remembered: pictures, or tiles, whose rows were in memory or came from the disk.
        from_disk: how many of the remembered came from the disk.
    """

    picture_tokens: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    answer_tokens: int = 0
    restored_tokens: int = 0
    encoded: int = 0
    remembered: int = 0
    from_disk: int = 0

    def __add__(self, more: Usage) -> Usage:
        """Both together."""
        return Usage(**{name: count + getattr(more, name) for name, count in vars(self).items()})


@dataclass(frozen=True)
class Seen:
    """How large a picture of a request was, in pixels: width and height.

    Attributes:
        size: as it was given.
        scaled: as the encoder got it; None where the picture's rows do not tell.
    """

    size: tuple[int, int]
    scaled: tuple[int, int] | None = None


@dataclass(frozen=True)
class Timings:
    """Where a request's time went, in seconds. A step that serves several requests is shared out by their rows in it.

    No moment is counted twice. So all of it together is how long the request took, and all but `wait`, over the
    requests of a command, is how long the command took, but for what it did when nobody was being answered.

    Attributes:
        load: opening the model and the projector; before the first request of an engine, or for one that needs the
            projector first.
        picture: reading, turning and preparing pixels, where the request had to wait for it.
        encode: the vision encoder and the projector.
        prefill: the language model over the prompt's rows.
        generate: the language model over the answer's tokens.
        start: from the beginning of the command until the model began to be loaded; of its first request only.
        restore: reading what earlier commands have kept.
        other: planning the prompt, keeping results for later commands; at a server, what it does not tell of.
        wait: while the engine worked for other requests.
    """

    load: float = 0.0
    picture: float = 0.0
    encode: float = 0.0
    prefill: float = 0.0
    generate: float = 0.0
    start: float = 0.0
    restore: float = 0.0
    other: float = 0.0
    wait: float = 0.0

    @property
    def before_answer(self) -> float:
        """How long the answer's first token took."""
        return self.all - self.generate

    @property
    def all(self) -> float:
        """How long it took."""
        return float(sum(vars(self).values()))

    def __add__(self, more: Timings) -> Timings:
        """Both together."""
        return Timings(**{name: seconds + getattr(more, name) for name, seconds in vars(self).items()})


@dataclass(frozen=True)
class Score:
    """How likely one of a request's choices is.

    Attributes:
        logprob: the natural logarithm of its likelihood, which is 0 at most.
        tokens: how many it has, in the likeliest way to write it, with the one that ends the answer if that is counted.
    """

    logprob: float
    tokens: int


@dataclass(frozen=True)
class Token:
    """A token of an answer, and how likely the model found it there: before sampling, and before a form ruled any out.

    Attributes:
        piece: its bytes, which may be a part of a character; empty for one that writes nothing.
        logprob: the natural logarithm of its probability.
        others: the likeliest tokens in its place, the likeliest first: the bytes of each, and its logarithm. It may be
            one of them itself.
    """

    piece: bytes
    logprob: float
    others: tuple[tuple[bytes, float], ...] = ()
