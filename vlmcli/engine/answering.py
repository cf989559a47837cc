"""One answer on its way: its tokens are picked, become text, and end where a rule says so.

It knows the logits of the last decode by an index, and nothing of prompts, pictures or other answers.
"""

from __future__ import annotations

from vlmcli.engine import guided, sampling
from vlmcli.engine.grammar import Follower
from vlmcli.engine.guided import Guided
from vlmcli.engine.loading import Loaded
from vlmcli.engine.stream import TextStream, loops
from vlmcli.values import FinishReason, Request


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
        self._model = loaded.model
        self._context = loaded.context
        self._think = card.think
        self._max_tokens = request.max_tokens
        self._end_loops = request.end_loops
        self._grammar = _follower(loaded, request)
        self._stream = TextStream((*request.stop, *card.stop), begun)
        self._sampler = sampling.make(loaded.model, request.sampling)

    @property
    def text(self) -> str:
        """All text that was shown so far."""
        return self._stream.text

    def pick(self, index: int) -> int:
        """The next token, from row `index` of the last decode. A grammar's second choice where it forbids the first.

        llama.cpp's order (common/sampling.cpp): the mask of a whole vocabulary is made only where it is needed.
        """
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

    def finish(self) -> str:
        """The text that was held back, once no more tokens come."""
        return self._stream.finish()

    def close(self) -> None:
        """Free the sampler, which lives in C."""
        self._sampler.close()
