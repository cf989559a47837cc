"""The demo model's vocabulary: a byte-level BPE, as GPT-2's, made from the questions and answers it is trained on.

Capital letters and digits never merge, so that a word is read character by character. The exception are the numbers
of boxes: " 120" after a space is one token. Needs `tokenizers` (extra `train`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from vlmcli.demo import scenes
from vlmcli.demo.training import questions, two_pictures, unanswerable, wordings

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
_MERGED = 900  # bytes and merges of words, before the numbers of boxes are added
_SPACE = "Ġ"  # how byte-level BPE spells a space


class Vocabulary:
    """Text to token ids and back. `size` is a multiple of 32, what quantised rows want; the rest is unused."""

    def __init__(self, text: str) -> None:
        """Read the vocabulary from what `tokenizers` saves as JSON."""
        self.json = text
        self._tokenizer = Tokenizer.from_str(text)
        self.used = self._tokenizer.get_vocab_size()
        self.end, self.start, self.stop, self.pad = (self.used + i for i in range(4))
        self.size = (self.used + len(SPECIAL) + 31) // 32 * 32
        self.encode = lru_cache(maxsize=200_000)(self._encode)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text).ids)

    def decode(self, ids: list[int]) -> str:
        """The text of tokens; special ones are left out."""
        return str(self._tokenizer.decode([i for i in ids if i < self.used]))

    def tokens(self) -> list[str]:
        """Every token's spelling, by id, the special and the unused ones too."""
        spelled = {number: token for token, number in self._tokenizer.get_vocab().items()}
        named = [spelled[i] for i in range(self.used)] + list(SPECIAL)
        return named + [f"<|unused{i}|>" for i in range(self.size - len(named))]

    def merges(self) -> list[str]:
        """The merges, in order, as GGUF wants them: "a b"."""
        found = json.loads(self.json)["model"]["merges"]
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in found]


def build(seed: int = 5) -> Vocabulary:
    """Learn the vocabulary from questions in the trained wordings and their answers."""
    tokenizer = _byte_level(models.BPE())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=_MERGED, initial_alphabet=alphabet, special_tokens=[], min_frequency=6)
    tokenizer.train_from_iterator(_lines(Random(seed)), trainer)
    saved = json.loads(tokenizer.to_str())
    for left, right in _numbers():
        if left + right not in saved["model"]["vocab"]:
            saved["model"]["vocab"][left + right] = len(saved["model"]["vocab"])
            saved["model"]["merges"].append([left, right])
    return Vocabulary(json.dumps(saved))


def rebuilt(tokens: list[str], merges: list[str]) -> Vocabulary:
    """The vocabulary whose `tokens()` and `merges()` these are."""
    used = tokens[: tokens.index(SPECIAL[0])]
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    return Vocabulary(_byte_level(models.BPE({token: i for i, token in enumerate(used)}, pairs)).to_str())


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _numbers() -> Iterator[tuple[str, str]]:
    """Merges that make each of " 0", " 10" … " 1000" one token."""
    for digit in "0123456789":
        yield _SPACE, digit
    for number in range(10, 100):
        yield f"{_SPACE}{number // 10}", str(number % 10)
    for number in range(10, 100):
        yield f"{_SPACE}{number}", "0"
    yield f"{_SPACE}100", "0"


def _lines(rng: Random) -> Iterator[str]:
    for _ in range(6000):
        scene = scenes.make(rng)
        for kind in rng.sample(questions.KINDS, 4):
            item = questions.ask(rng, scene, kind)
            if item:
                yield _spelled(item.question)
                yield _spelled(item.answer)
        item = (two_pictures.which, two_pictures.nth)[rng.randrange(2)](rng, scene, scenes.make(rng))
        yield _spelled(item.question)
        yield _spelled(item.answer)
        item = two_pictures.differ(rng, scene)[2]
        yield _spelled(item.question)
        yield _spelled(item.answer)
        for item in questions.follow_up(rng, scene) or ():
            yield _spelled(item.question)
            yield _spelled(item.answer)
        yield _spelled(unanswerable.ask(rng).question)
    for asked, answer in wordings.SMALL_TALK:
        yield from (*asked, answer) * 20
    yield from ("system", "user", "assistant", questions.DONT_KNOW, questions.NO_PICTURE, *wordings.SYSTEMS) * 50


def _spelled(text: str) -> str:
    """With each run of capitals and digits cut to its first, so that no two of them ever merge."""
    return re.sub(r"[A-Z0-9]{2,}", lambda run: run.group(0)[0], text)
