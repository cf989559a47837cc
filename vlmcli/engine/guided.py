"""Answers that are JSON by a schema, or match a regular expression: which tokens may come next, by llguidance.

llguidance (https://github.com/guidance-ai/llguidance) compiles a JSON Schema, and makes the mask of a large vocabulary
in under a millisecond, where an automaton in Python takes up to 0.2 s. What it takes has bounds: its own
(`LLParserLimits`), and those of `tasks.schema.check` for what its compiler would recurse into. GBNF is `grammar`'s.

JSON is written on one line, with ", " and ": " between, so that no answer is endless white space.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vlmcli.engine import vocabulary
from vlmcli.engine.vocabulary import Vocabulary
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


class _Tokens:
    """A vocabulary in the form that `LLTokenizer` asks for (llguidance/_tokenizer.py, TokenizerWrapper).

    Its tokens are in the order of their bytes, which halves the time that llguidance needs to make a tree of them; so
    it knows a token by its rank.

    Attributes:
        words: the vocabulary.
        ranks: of each token, in that order: int64 [n_vocab].
        ends: the tokens that end an answer.
    """

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.ends = frozenset(words.ends)
        self.ranks: npt.NDArray[np.int64] = np.empty(len(words.pieces), np.int64)
        self.ranks[words.order] = np.arange(len(words.pieces))
        self.tokens = [words.pieces[token] for token in words.order]
        named = self.ends.union(token for token, piece in enumerate(words.pieces) if not piece)
        self.special_token_ids = self.ranks[sorted(named)].tolist()
        for rank in self.special_token_ids:
            self.tokens[rank] = SPECIAL + b"<|%d|>" % rank
        self.eos_token_id = int(self.ranks[words.ends[0]])

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        special = frozenset(self.special_token_ids)
        return {piece: token for token, piece in enumerate(self.tokens) if token not in special}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._numbers), default=1)

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
    """The grammars that were asked for last, over one vocabulary.

    To make that ready takes llguidance a second, where it is large. It begins in a thread of its own when the first
    schema comes, and with a vocabulary that an earlier command has kept even before the model is loaded; it is waited
    for only where the first token is picked. When a second schema or another request comes, masks are made faster:
    parts of the vocabulary that are within most texts are prepared ("slices"), which pays only then.
    """

    def __init__(self, path: Path) -> None:
        """`path`: of the model, whose vocabulary may be known."""
        self._path = path
        self._source: Callable[[], Vocabulary] | None = None
        self._lock = threading.Lock()
        self._wanted = False
        self._made: Future[tuple[_Tokens, Any]] | None = None
        self._sliced: Future[Any] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vlm-forms")
        self._matchers: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def begin(self) -> None:
        """Get ready for a form, from any thread."""
        with self._lock:
            if self._made is not None:
                return
            first, self._wanted = not self._wanted, True
            if self._source is not None:
                self._made = self._pool.submit(_ready, self._source)
            elif first and (known := vocabulary.kept(self._path)) is not None:
                self._made = self._pool.submit(_ready, lambda: known)

    def learn(self, source: Callable[[], Vocabulary]) -> None:
        """The vocabulary can be read from now on. Begins, where a form has come before."""
        with self._lock:
            self._source = source
            if not self._wanted or self._made is not None:
                return
        self.begin()

    def close(self) -> None:
        """Wait for what is being read of the model, which is freed next."""
        with self._lock:
            self._source = None
        wait([future for future in (self._made, self._sliced) if future is not None])

    def follower(self, make: Callable[[str], str], text: str) -> Guided:
        """What follows an answer through a text, of which `schema_grammar` or `regex_grammar` makes a grammar.

        Raises RequestError for what is none, and the follower where it is too large.
        """
        grammar = make(text)
        self.begin()
        return Guided(lambda: self._matcher(make.__name__, text, grammar))

    def _matcher(self, *key_and_grammar: str) -> tuple[Any, _Tokens]:
        """A matcher at its beginning, which is compiled once. Raises RequestError."""
        kind, text, grammar = key_and_grammar
        assert self._made is not None
        tokens, tokenizer = self._made.result()
        if self._matchers and self._sliced is None:
            self._sliced = self._pool.submit(tokenizer.with_slices, llguidance.LLTokenizer.general_slices())
        if self._sliced is not None and self._sliced.done():
            tokenizer = self._sliced.result()
        key = kind, text
        matcher = self._matchers.pop(key, None)
        if matcher is None or matcher[0] is not tokenizer:
            matcher = tokenizer, llguidance.LLMatcher(tokenizer, grammar, log_level=0)
            if matcher[1].is_error():
                raise RequestError(f"the form is not supported: {_line(matcher[1].get_error())}", "write it otherwise")
        self._matchers[key] = matcher
        while len(self._matchers) > KEPT:
            self._matchers.popitem(last=False)
        return matcher[1].deep_copy(), tokens


def _ready(source: Callable[[], Vocabulary]) -> tuple[_Tokens, Any]:
    """A vocabulary as llguidance wants it, and what it makes of it."""
    tokens = _Tokens(source())
    ends = tokens.ranks[list(tokens.words.ends)].tolist()
    return tokens, llguidance.LLTokenizer(cast(Any, tokens), len(tokens.tokens), ends, slices=[])


class Guided:
    """Follows one answer through a grammar, token by token: as `grammar.Follower`."""

    def __init__(self, begin: Callable[[], tuple[Any, _Tokens]]) -> None:
        """`begin` gives the matcher and its vocabulary, when the first token is picked. It may raise RequestError."""
        self._begin = begin

    @cached_property
    def _begun(self) -> tuple[Any, _Tokens]:
        return self._begin()

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        matcher, known = self._begun
        if token in known.ends:
            return bool(matcher.is_accepting())
        return bool(known.words.pieces[token]) and matcher.validate_tokens([int(known.ranks[token])]) == 1

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next: bool [n_vocab]. Raises RequestError when none may."""
        matcher, known = self._begun
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        mask: npt.NDArray[np.bool_] = np.unpackbits(bits, bitorder="little")[known.ranks].view(np.bool_)
        if matcher.is_error():
            raise RequestError(f"the schema is too hard: {_line(matcher.get_error())}", "simplify the schema")
        mask[list(known.ends)] = matcher.is_accepting()
        if not mask.any():
            raise RequestError(
                "the schema asks for characters that this model cannot write", "allow other characters as well"
            )
        return mask

    def take(self, token: int) -> None:
        """Go on behind a token, which must not end the answer. Raises RequestError where it may not come."""
        matcher, known = self._begun
        if not matcher.consume_token(int(known.ranks[token])):
            raise RequestError(f"the schema is too hard: {_line(matcher.get_error())}", "simplify the schema")

    @property
    def ended(self) -> bool:
        """Whether the grammar ends here, so that nothing may follow."""
        return bool(self._begun[0].is_stopped())


def _line(error: str) -> str:
    return " ".join(error.split())[:300]
