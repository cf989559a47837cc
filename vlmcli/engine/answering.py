"""One answer on its way: its tokens are picked, become text, and end where a rule says so.

It knows the logits of the last decode by an index, and nothing of prompts, pictures or other answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmcli.engine import guided, sampling
from vlmcli.engine.grammar import Follower
from vlmcli.engine.guided import Guided
from vlmcli.engine.loading import Loaded
from vlmcli.engine.stream import TextStream, loops
from vlmcli.later import Later
from vlmcli.values import FinishReason, Request, Token

if TYPE_CHECKING:
    import numpy as np

    from vlmcli.engine.native import Float32, Model
else:
    np = Later("numpy")


def _follower(loaded: Loaded, request: Request) -> Follower | Guided | None:
    """What an answer has to follow; None for an answer in words. Raises RequestError."""
    if request.grammar:
        return loaded.grammars.follower(request.grammar)
    if request.schema:
        return loaded.guides.follower(guided.schema_grammar, request.schema)
    if request.regex:
        return loaded.guides.follower(guided.regex_grammar, request.regex)
    return None


class Answering:
    """Picks an answer's tokens and collects its text.

    Attributes:
        tokens: how many there are so far, without the one that ends the turn.
        noted: the same with their likelihoods, where the request has `logprobs`; else empty.
    """

    def __init__(self, loaded: Loaded, request: Request, begun: str) -> None:
        """Make its sampler. Raises RequestError where the request's grammar is wrong.

        Args:
            loaded: the model.
            request: says how to sample, what ends the answer, and which grammar it follows.
            begun: what the template has written of the answer.
        """
        card = loaded.files.card
        self.tokens = 0
        self.noted: list[Token] = []
        self._shown = 0
        self._logprobs = request.logprobs
        self._model = loaded.model
        self._context = loaded.context
        self._think = card.think
        self._max_tokens = request.max_tokens
        self._end_loops = request.end_loops
        self._grammar = _follower(loaded, request)
        self._stream = TextStream((*request.stop, *card.stop), begun)
        self._sampler = sampling.make(loaded.model, request)

    @property
    def text(self) -> str:
        """All text that was shown so far."""
        return self._stream.text

    @property
    def stopped_by(self) -> str:
        """The stop string that has ended it; empty where none has."""
        return self._stream.stopped_by

    def pick(self, index: int) -> int:
        """The next token, from row `index` of the last decode. A grammar's second choice where it forbids the first.

        llama.cpp's order (common/sampling.cpp): the mask of a whole vocabulary is made only where it is needed.
        """
        token = self._picked(index)
        if self._logprobs is not None and not self._model.ends(token):
            self.noted.append(_noted(self._model, self._context.logits(index), token, self._logprobs))
        return token

    def _picked(self, index: int) -> int:
        if self._grammar is None:
            return self._context.sample(self._sampler, index)
        token = self._context.pick(self._sampler, index)
        if not self._grammar.allows(token):
            token = self._context.pick(self._sampler, index, self._grammar.mask())
        self._sampler.accept(token)
        if not self._model.ends(token):
            self._grammar.take(token)
        return token

    def take(self, token: int, full: bool) -> tuple[str, FinishReason | None]:
        """Add a token that was picked.

        Args:
            token: its id.
            full: whether the cache has no cell for another one.

        Returns:
            The text that is certain now, and why the answer ends here, if it does.
        """
        if self._model.ends(token):
            return "", "stop"
        self.tokens += 1
        piece = self._model.piece(token)
        if not piece and (name := self._model.text(token)) in self._think:
            piece = name.encode()  # in some vocabularies the tags are special tokens
        return self._stream.feed(piece), self._ending(full)

    def _ending(self, full: bool) -> FinishReason | None:
        if self._stream.stopped or (self._grammar is not None and self._grammar.ended):
            return "stop"
        if self.tokens >= self._max_tokens or full:
            return "length"
        if self._end_loops and self.tokens % 16 == 0 and loops(self._stream.text):
            return "loop"
        return None

    def fresh(self) -> tuple[Token, ...]:
        """The tokens that were noted since it was last called."""
        start, self._shown = self._shown, len(self.noted)
        return tuple(self.noted[start:])

    def finish(self) -> str:
        """The text that was held back, once no more tokens come."""
        return self._stream.finish()

    def close(self) -> None:
        """Free the sampler, which lives in C."""
        self._sampler.close()


def _noted(model: Model, logits: Float32, token: int, others: int) -> Token:
    """A token with its likelihood, and so many of the likeliest ones, by the logits float32 [n_vocab] behind a row."""
    known = logits.astype(np.float64)
    largest = known.max()
    known -= largest + np.log(np.exp(known - largest).sum())
    first = np.argpartition(-known, min(others, len(known) - 1))[:others] if others else np.zeros(0, np.int64)
    first = first[np.lexsort((first, -known[first]))]
    return Token(
        model.piece(token), float(known[token]), tuple((model.piece(int(one)), float(known[one])) for one in first)
    )
