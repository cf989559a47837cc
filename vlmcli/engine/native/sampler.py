"""How the next token is picked: llama.cpp's samplers in a chain, one after another over the logits.

A chain holds what they remember (the last tokens, a random state), so it belongs to one answer. It knows no context;
`Context.sample` and `Context.pick` apply it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmcli.engine.native.library import Handle, llama
from vlmcli.engine.native.model import Model
from vlmcli.errors import NativeError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

TOKEN_DATA = [("id", "i4"), ("logit", "f4"), ("p", "f4")]
"""llama_token_data as numpy takes a type, for arrays of candidates that a chain is applied to: 12 bytes each."""


class Sampler(Handle):
    """A chain of llama.cpp's samplers. It only grows: `add_*` in order, a picking one (`greedy` or `dist`) last.

    Attributes:
        picks: whether a picking one was added; without it C aborts.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(
            llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params()), llama.llama_sampler_free
        )
        self._model = model
        self.picks = False

    def _add(self, sampler: Any) -> None:
        if not sampler:
            raise NativeError("llama.cpp refused a sampler")
        llama.llama_sampler_chain_add(self.pointer, sampler)  # the chain owns it now

    def accept(self, token: int) -> None:
        """A token that `Context.pick` gave is the answer's next; `Context.sample` does this itself."""
        self._model.check(token)
        llama.llama_sampler_accept(self.pointer, token)

    def add_suppressed(self) -> None:
        """Never pick the tokens that the model itself rules out."""
        tokens = self._model.suppressed
        biases = (llama.llama_logit_bias * len(tokens))(*((token, -math.inf) for token in tokens))
        self._add(llama.llama_sampler_init_logit_bias(self._model.n_vocab, len(tokens), biases))

    def add_penalties(self, last: int, repeat: float, frequency: float, presence: float) -> None:
        """Make the last `last` tokens less likely: logits above 0 are divided by `repeat`, others multiplied.

        Then `presence` is taken from each, and `frequency` for each time that it is among these.
        """
        self._add(llama.llama_sampler_init_penalties(self._model.n_vocab, last, repeat, frequency, presence))

    def add_top_k(self, k: int) -> None:
        """Keep the k likeliest tokens; all where k is not above 0."""
        self._add(llama.llama_sampler_init_top_k(k))

    def add_top_p(self, p: float) -> None:
        """Keep the likeliest tokens whose probabilities together reach p, at least one."""
        self._add(llama.llama_sampler_init_top_p(p, 1))

    def add_min_p(self, p: float) -> None:
        """Drop tokens that are less than p times as likely as the likeliest."""
        self._add(llama.llama_sampler_init_min_p(p, 1))

    def add_temperature(self, temperature: float) -> None:
        """Divide the logits by `temperature`: below 1 the likely tokens become likelier."""
        self._add(llama.llama_sampler_init_temp(temperature))

    def add_greedy(self) -> None:
        """Pick the likeliest token."""
        self._add(llama.llama_sampler_init_greedy())
        self.picks = True

    def add_dist(self, seed: int | None) -> None:
        """Draw a token at random; the same ones with the same seed, others each time with None."""
        self._add(llama.llama_sampler_init_dist(llama.LLAMA_DEFAULT_SEED if seed is None else seed))
        self.picks = True
