"""Answers that are JSON by a schema, or match a regular expression: which tokens may come next, by llguidance.

llguidance (https://github.com/guidance-ai/llguidance) compiles a JSON Schema, and makes the mask of a large vocabulary
in under a millisecond, where an automaton in Python takes up to 0.2 s. What it takes has bounds: its own
(`LLParserLimits`), and those of `tasks.schema.check` for what its compiler would recurse into. GBNF is `grammar`'s.

JSON is written on one line, with ", " and ": " between, so that no answer is endless white space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from vlmcli.errors import RequestError
from vlmcli.later import Later

if TYPE_CHECKING:
    import llguidance
    import numpy as np
    import numpy.typing as npt
else:
    llguidance, np = Later("llguidance"), Later("numpy")

OPTIONS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How JSON is written (llguidance, docs/json_schema.md)."""
KEPT = 8
"""Compiled grammars."""
SPECIAL = b"\xff"
"""Before a special token's text: no text begins so (llguidance, toktrie)."""


def schema_grammar(text: str) -> str:
    """A grammar, as llguidance reads it, of a JSON Schema. Raises RequestError, which names what is not supported."""
    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=cast(Any, OPTIONS))
    except ValueError as error:
        raise RequestError(f"the schema is not a JSON object ({_line(str(error))})", "correct the schema") from None
    return _checked(grammar, "the schema")


def regex_grammar(text: str) -> str:
    """A grammar of a regular expression, which the whole answer matches. Raises RequestError."""
    return _checked(llguidance.LLMatcher.grammar_from_regex(text), "the regular expression")


def _checked(grammar: str, what: str) -> str:
    """The grammar. Raises RequestError where it is none, or beyond the bounds."""
    error = llguidance.LLMatcher.validate_grammar(grammar)
    if error and not error.startswith("WARNING"):
        raise RequestError(f"{what} is not supported: {' '.join(error.split())[:300]}", "write it in another way")
    return grammar


@dataclass(frozen=True)
class Vocabulary:
    """What llguidance must know of a vocabulary.

    Attributes:
        pieces: each token's bytes; none for a token that writes nothing.
        ends: the tokens that end an answer.
    """

    pieces: Sequence[bytes]
    ends: Sequence[int]


class _Tokens:
    """A vocabulary in the form that `LLTokenizer` asks for (llguidance/_tokenizer.py, TokenizerWrapper)."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        ends = frozenset(vocabulary.ends)
        self.eos_token_id = vocabulary.ends[0]
        self.special_token_ids = [token for token, piece in enumerate(vocabulary.pieces) if token in ends or not piece]
        special = frozenset(self.special_token_ids)
        self.tokens = [
            SPECIAL + b"<|%d|>" % token if token in special else piece for token, piece in enumerate(vocabulary.pieces)
        ]

        self._numbers = {piece: token for token, piece in enumerate(self.tokens) if token not in special}
        self._longest = max(map(len, self._numbers), default=1)

    def __call__(self, text: bytes | str) -> list[int]:
        """The tokens of what a grammar forces, the longest first; what no token writes is left out."""
        data, found, start = text.encode() if isinstance(text, str) else text, [], 0
        while start < len(data):
            for length in range(min(self._longest, len(data) - start), 0, -1):
                token = self._numbers.get(data[start : start + length])
                if token is not None:
                    found.append(token)
                    break
            start += length
        return found


class Guides:
    """The grammars that were asked for last, over one vocabulary."""

    def __init__(self, vocabulary: Callable[[], Vocabulary]) -> None:
        self._make = vocabulary
        self._matchers: OrderedDict[tuple[str, str], Any] = OrderedDict()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """That of the model, read when the first schema comes."""
        return self._make()

    @cached_property
    def _tokenizer(self) -> Any:
        ends = list(self.vocabulary.ends)
        return llguidance.LLTokenizer(cast(Any, _Tokens(self.vocabulary)), len(self.vocabulary.pieces), ends)

    def follower(self, make: Callable[[str], str], text: str) -> Guided:
        """What follows an answer through a text, of which `schema_grammar` or `regex_grammar` makes a grammar.

        It is compiled once. Raises RequestError.
        """
        key = make.__name__, text
        matcher = self._matchers.pop(key, None)
        if matcher is None:
            grammar = make(text)
            matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
            if matcher.is_error():
                raise RequestError(f"the form is not supported: {_line(matcher.get_error())}", "write it otherwise")
        self._matchers[key] = matcher
        while len(self._matchers) > KEPT:
            self._matchers.popitem(last=False)
        return Guided(matcher.deep_copy(), self.vocabulary)


class Guided:
    """Follows one answer through a grammar, token by token: as `grammar.Follower`."""

    def __init__(self, matcher: Any, vocabulary: Vocabulary) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary
        self._ends = frozenset(vocabulary.ends)

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        if token in self._ends:
            return bool(self._matcher.is_accepting())
        return bool(self._vocabulary.pieces[token]) and self._matcher.validate_tokens([token]) == 1

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next: bool [n_vocab]. Raises RequestError when none may."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask: npt.NDArray[np.bool_] = np.unpackbits(bits, bitorder="little")[: len(self._vocabulary.pieces)].astype(
            bool
        )
        if self._matcher.is_error():
            raise RequestError(f"the schema is too hard: {_line(self._matcher.get_error())}", "simplify the schema")
        mask[list(self._ends)] = self._matcher.is_accepting()
        if not mask.any():
            raise RequestError(
                "the schema asks for characters that this model cannot write", "allow other characters as well"
            )
        return mask

    def take(self, token: int) -> None:
        """Go on behind a token, which must not end the answer. Raises RequestError where it may not come."""
        if not self._matcher.consume_token(token):
            raise RequestError(f"the schema is too hard: {_line(self._matcher.get_error())}", "simplify the schema")

    @property
    def ended(self) -> bool:
        """Whether the grammar ends here, so that nothing may follow."""
        return bool(self._matcher.is_stopped())


def _line(error: str) -> str:
    return " ".join(error.split())[:300]
