"""Messages become prompt parts through the model's own chat template.

A template is a program that came with a download, so it runs in `template_sandbox`, where everything it makes is
counted before it is made: it can neither fill the memory nor run on. What a user wrote never enters it, but for white
space around it: random sentinels stand for texts and pictures while it runs, and are replaced afterwards. So a text
cannot become a template instruction or a picture's place, and `parts` keeps it from becoming a special token. Pure: it
knows a vocabulary only through a protocol.

A picture is given to the template as models' own processors give it, as a part of the type "image", if the template
has a word of its own for one (`template_pictures`): some write other things around it than around words (SmolVLM has
"User:" before a picture and "User: " before words; LLaVA has a line of its own for it). The word itself is replaced by
the picture, whose marks libmtmd puts in. A template without one gets the picture's place among the words.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from vlmcli.engine.template_pictures import PROBES, word_for_a_picture
from vlmcli.errors import TemplateError
from vlmcli.later import Later
from vlmcli.values import Message, Picture

if TYPE_CHECKING:
    from vlmcli.engine import template_meter, template_sandbox
else:  # Jinja is not needed before a model has been loaded
    template_meter, template_sandbox = Later("vlmcli.engine.template_meter"), Later("vlmcli.engine.template_sandbox")

READING_SECONDS = 1.5  # to compile a template and to try it out
MAX_SECONDS = 1.0  # to write one prompt
MAX_REPEATED = 250_000  # characters of users' texts that are written more than once
MAX_SPACES = 1000  # characters of white space around a text that the template sees
MAX_REASON = 200  # characters of what a template itself says about an error
SWITCHES: tuple[dict[str, object], dict[str, object]] = (
    {"enable_thinking": False, "thinking": False, "thinking_mode": "disabled"},
    {"enable_thinking": True, "thinking": True},
)
"""The variables by which published templates turn thinking off, and on; MiniMax's mode is then the template's own."""

T = TypeVar("T")


@dataclass(frozen=True)
class Plain:
    """Text the template wrote: special tokens in it are meant."""

    text: str


@dataclass(frozen=True)
class Given:
    """Text somebody gave: nothing in it is special."""

    text: str


@dataclass(frozen=True)
class PicturePart:
    """Where the request's n-th picture goes."""

    picture: int


Piece = Plain | Given | PicturePart


@dataclass(frozen=True)
class TextPart:
    """Text to tokenise in one go."""

    text: str
    parse_special: bool


Part = TextPart | PicturePart


class Vocabulary(Protocol):
    """What `parts` must know of a model's tokens."""

    def tokenize(self, text: str, parse_special: bool) -> list[int]:
        """Token ids of a text."""

    def text(self, token: int) -> str:
        """A token's text in the vocabulary, also of a special one."""

    def is_special(self, token: int) -> bool:
        """Control, unknown, or the end of an answer."""

    def is_added(self, token: int) -> bool:
        """Added by hand: found in any text, whether or not special tokens are asked for."""


def _shortened(error: Exception) -> str:
    """What went wrong in one line that is not too long; a template can write it itself."""
    text = " ".join(str(error)[: 10 * MAX_REASON].split()) or type(error).__name__
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


class ChatTemplate:
    """One model's chat template, compiled, and what it expects `content` to be. For one thread at a time."""

    def __init__(
        self, source: str | None, bos: str = "", eos: str = "", owner: str = "the model", *, lined: bool = False
    ) -> None:
        """Compile a template and try it out.

        Args:
            source: the template; none is an error that says what to do.
            bos: the text of the token that begins a prompt.
            eos: the text of the token that ends an answer.
            owner: whose template it is, for errors.
            lined: whether libmtmd ends a picture's line, so that the template must not end it again.

        Raises TemplateError.
        """
        self._owner, self._lined = owner, lined
        if not source:
            raise TemplateError(
                f"{owner} has no chat template", "choose one: --chat-template vicuna (for LLaVA 1.5), or a file"
            )
        self.bos = bos
        self._exceeded = False  # a bound, as it would in any other attempt
        self._sandbox = template_sandbox.Sandbox(bos_token=bos, eos_token=eos)
        with self._sandbox.meter.limited(READING_SECONDS):
            self._guarded(lambda: self._sandbox.load(source), "is not a Jinja template")
            self._typed = self._wants_parts()
            self._word = self._own_word()

    def _guarded(self, run: Callable[[], T], failing: str = "fails") -> T:
        """What a stranger's program gives, or a TemplateError: anything may come out of it.

        The error keeps nothing of what was raised, whose frames would hold everything that the template made.
        """
        try:
            return run()
        except template_meter.Exceeded as error:
            how, fatal = str(error), True
        except RecursionError:
            how, fatal = f"{failing} (it is nested too deeply, or calls itself)", False
        except MemoryError:
            how, fatal = "needs more memory than is available", True
        except Exception as error:
            how, fatal = f"{failing} ({_shortened(error)})", False
        self._exceeded = self._exceeded or fatal
        raise self._unusable(how)

    def _unusable(self, how: str) -> TemplateError:
        return TemplateError(
            f"{self._owner}'s chat template {how}", "choose another: --chat-template vicuna, or a file"
        )

    def _wants_parts(self) -> bool:
        """Whether `content` must be a list of typed parts: a template loses a plain string, or writes more around it.

        Granite Vision 3.2 loses it; Granite Vision 4 indents it. One that knows no parts writes a list as Python does.
        """
        probe = f"{secrets.randbelow(10**18):018d}"
        sizes: dict[bool, int] = {}
        for typed in (False, True):
            content: object = [{"type": "text", "text": probe}] if typed else probe
            try:
                text = self._run([{"role": "user", "content": content}])
            except TemplateError:
                if self._exceeded and not sizes:
                    raise
                self._exceeded = False
                continue
            if probe in text:
                sizes[typed] = len(text)
        # Without either it needs more than one message, or fails; then rendering will say so.
        return True in sizes and sizes[True] < sizes.get(False, sizes[True] + 1)

    def _own_word(self) -> str:
        """What the template writes for a picture; empty where it knows no pictures, or treats them unlike words."""
        try:
            one, two = (self._run([{"role": "user", "content": list(content)}]) for content in PROBES)
        except TemplateError:  # a bound, too, that no other way of giving it a picture need exceed
            self._exceeded = False
            return ""
        return word_for_a_picture(one, two)

    def _run(self, messages: list[dict[str, object]], *, think: bool = False) -> str:
        told = {"messages": messages, "add_generation_prompt": True, **SWITCHES[think]}
        return self._guarded(lambda: self._sandbox.run(**told))

    def render(self, messages: Sequence[Message], *, think: bool = False) -> list[Piece]:
        """The prompt for the next assistant turn, with texts and pictures in place.

        A system message that the template refuses or drops is put before the first user turn's text.

        Args:
            messages: the turns so far.
            think: what the template is told where it asks whether the model is to think before it answers.

        Raises TemplateError when any other text is lost, a picture is not there exactly once, or a bound is exceeded.
        """
        self._exceeded = False
        folded = _fold_system(messages)
        pictures = bool(self._word) and any(message.pictures for message in messages)
        tried = (messages,) if folded is None else (messages, folded)
        ways = [(turns, own) for own in ((True, False) if pictures else (False,)) for turns in tried]
        with self._sandbox.meter.limited(MAX_SECONDS):
            for turns, own in ways[:-1]:
                try:
                    return self._render(turns, think, own)
                except TemplateError:
                    if self._exceeded:
                        raise
            turns, own = ways[-1]
            return self._render(turns, think, own)

    def _content(self, message: Message, marks: Iterator[str], own: bool) -> object:
        """What the template gets of a turn: marks for texts, and for pictures too, unless it has its own word."""
        parts: list[dict[str, str]] = []
        for part in message.content:
            if own and isinstance(part, Picture):
                next(marks)
                parts.append({"type": "image"})
            elif parts and parts[-1]["type"] == "text":
                parts[-1]["text"] += next(marks)
            else:
                parts.append({"type": "text", "text": next(marks)})
        if self._typed or (own and message.pictures):
            return parts or [{"type": "text", "text": ""}]
        return parts[0]["text"] if parts else ""

    def _render(self, messages: Sequence[Message], think: bool, own: bool) -> list[Piece]:
        nonce = f"{secrets.randbelow(10**24):024d}"  # digits survive upper-casing, escaping and trimming
        given: list[Given | PicturePart] = []
        marks: list[str] = []
        for part in (part for message in messages for part in message.content):
            mark = f"{nonce}{len(given):06d}"
            if isinstance(part, Picture):
                given.append(PicturePart(sum(isinstance(one, PicturePart) for one in given)))
                marks.append(mark)
            else:
                before, text, after = _spaced(part)
                given.append(Given(text))
                marks.append(f"{before}{mark}{after}")
        left = iter(marks)
        rows = [{"role": turn.role, "content": self._content(turn, left, own)} for turn in messages]
        text = self._run(rows, think=think)
        if own:
            places = (f"{nonce}{number:06d}" for number, one in enumerate(given) if isinstance(one, PicturePart))
            word = re.escape(self._word) + ("\n?" if self._lined else "")
            text = re.sub(word, lambda found: next(places, found.group()), text)
            if self._word in text:
                raise self._unusable("repeats a picture")
        split = _split(text, nonce)
        seen = Counter(int(index) for index in split[1::2])
        for index, one in enumerate(given):
            wrong = seen[index] != 1 if isinstance(one, PicturePart) else seen[index] == 0
            if wrong:
                what = "a picture" if isinstance(one, PicturePart) else "a part of the question"
                raise self._unusable(f"{'loses' if seen[index] == 0 else 'repeats'} {what}")
        if max(seen, default=0) >= len(given):
            raise self._unusable("adds text that is not part of the question")
        texts = [(one.text, seen[index]) for index, one in enumerate(given) if isinstance(one, Given)]
        if sum(len(text) * (times - 1) for text, times in texts) > MAX_REPEATED:
            raise self._unusable("repeats the question too often")
        pieces: list[Piece] = []
        for n, part in enumerate(split):
            if n % 2:
                pieces.append(given[int(part)])
            elif part:
                pieces.append(Plain(part))
        return pieces


def _split(text: str, nonce: str) -> list[str]:
    """A text split at its marks: text, a mark's number, text, ... As `re.split` does, which compiles each new nonce."""
    first, *rest = text.split(nonce)
    found = [first]
    for part in rest:
        number = part[:6]
        if len(number) == 6 and number.isdecimal():
            found += [number, part[6:]]
        else:
            found[-1] += nonce + part
    return found


def _spaced(text: str) -> tuple[str, str, str]:
    """The white space before a text, the text, and that after it: templates trim, and it is as the model knows it."""
    inner = text.strip()
    if len(text) - len(inner) > MAX_SPACES:
        return "", text, ""
    at = text.index(inner)
    return text[:at], inner, text[at + len(inner) :]


def _fold_system(messages: Sequence[Message]) -> list[Message] | None:
    """The messages with the system's text before the first user turn's; None when there is nothing to fold."""
    system = [part for message in messages if message.role == "system" for part in message.content]
    rest = [message for message in messages if message.role != "system"]
    first = next((n for n, message in enumerate(rest) if message.role == "user"), None)
    if not system or first is None:
        return None
    rest[first] = Message("user", (*system, "\n\n", *rest[first].content))
    return rest


def parts(pieces: Sequence[Piece], vocabulary: Vocabulary) -> list[Part]:
    """Join pieces into as few texts as possible, with given text never read as special tokens.

    One text between two pictures, as upstream's tools tokenise it, wherever that brings no special token but the
    template's own. Otherwise each given text stands alone, tokenised without special tokens, and is cut inside
    whatever would be one all the same: tokens added to a vocabulary by hand are found in any text.
    """
    result: list[Part] = []
    run: list[Plain | Given] = []
    for piece in [*pieces, None]:
        if isinstance(piece, Plain | Given):
            run.append(piece)
            continue
        if run:
            result += _join(run, vocabulary)
            run = []
        if piece is not None:
            result.append(piece)
    return result


def _specials(text: str, parse_special: bool, vocabulary: Vocabulary) -> list[int]:
    """The tokens of a text that no user may write: special ones, and added ones that look like <this> or [this]."""
    return [
        token
        for token in vocabulary.tokenize(text, parse_special)
        if vocabulary.is_special(token)
        or (vocabulary.is_added(token) and re.fullmatch(r"<.+>|\[.+\]", vocabulary.text(token), re.DOTALL))
    ]


def _join(run: list[Plain | Given], vocabulary: Vocabulary) -> list[Part]:
    whole = "".join(piece.text for piece in run)
    meant = [token for piece in run if isinstance(piece, Plain) for token in _specials(piece.text, True, vocabulary)]
    if _specials(whole, True, vocabulary) == meant:
        return [TextPart(whole, True)] if whole else []
    result: list[Part] = []
    for piece in run:
        if isinstance(piece, Plain):
            result.append(TextPart(piece.text, True))
        else:
            result += [TextPart(text, False) for text in _cut(piece.text, vocabulary) if text]
    return result


def _cut(text: str, vocabulary: Vocabulary) -> list[str]:
    """Cut a text inside each special token that tokenising it would still give, until it gives none."""
    names = {vocabulary.text(token) for token in _specials(text, False, vocabulary)}
    pattern = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in names if len(name) > 1)
    cuts = [match.end() for match in re.finditer(pattern, text) if match.end() < len(text)] if pattern else []
    if not names:
        return [text]
    if not cuts:  # its text is not what it stands for in the vocabulary: one character at a time has no such token
        return list(text)
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [part for piece in pieces for part in _cut(piece, vocabulary)]


def begins_with(pieces: Sequence[Piece], text: str) -> bool:
    """Whether the prompt's first piece is the template's and begins with this text."""
    return bool(text and pieces and isinstance(pieces[0], Plain) and pieces[0].text.startswith(text))


def unthinking(pieces: Sequence[Piece], tags: tuple[str, str]) -> list[Piece]:
    """The pieces, with thinking ended at once where the template itself has begun it at the prompt's end."""
    if not opened(pieces, tags[0]):
        return list(pieces)
    lined = isinstance(pieces[-1], Plain) and pieces[-1].text.endswith("\n")
    return [*pieces, Plain(f"\n{tags[1]}\n\n" if lined else tags[1])]


def opened(pieces: Sequence[Piece], tag: str) -> str:
    """The tag, where the template itself has written it at the prompt's end, so that the answer begins inside it."""
    last = pieces[-1] if pieces else None
    return tag if tag and isinstance(last, Plain) and last.text.rstrip().endswith(tag) else ""
