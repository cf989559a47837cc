"""The nouns that travel between modules: frozen, without I/O, standard library only.

A `Request` goes into a `Runner`; `Event`s come out of it. Whoever drives a runner (a verb, a chat, a folder run, a
server) knows nothing else about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, Protocol

from vlmcli.decisions import Decision, Place
from vlmcli.errors import VlmError
from vlmcli.figures import Score as Score
from vlmcli.figures import Seen as Seen
from vlmcli.figures import Timings as Timings
from vlmcli.figures import Token as Token
from vlmcli.figures import Usage as Usage

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "loop"]

THINK = ("<think>", "</think>")
"""What is around the thoughts of most models that think before they answer."""


def overlap(text: str, mark: str) -> int:
    """How many characters at the end of a text may be the beginning of a mark: a stop string, or a tag.

    Whoever looks for the mark in a text that is still coming holds them back. A whole mark does not count.
    """
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:n])), 0)


@dataclass(frozen=True)
class Picture:
    """A picture, upright and RGB, whose pixels are read only when somebody needs them.

    Attributes:
        identity: sha256, in hex, of "{width}x{height}", a newline and the pixels: equal pictures are equal
            wherever they came from.
        size: width and height in pixels.
        source: where it came from, for messages and records.
        load: gives width * height * 3 bytes, rows from the top, RGB.
        notices: what whoever asks about it must be told, a sentence each: what was left out, or cannot be seen.
    """

    identity: str
    size: tuple[int, int]
    source: str = field(compare=False)
    load: Callable[[], bytes] = field(compare=False, repr=False)
    notices: tuple[str, ...] = field(default=(), compare=False)

    def pixels(self) -> bytes:
        """The pixels: uint8, height x width x 3, row-major."""
        return self.load()


@dataclass(frozen=True)
class Message:
    """One turn: text and pictures in the order the model shall meet them."""

    role: Role
    content: tuple[str | Picture, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures of this turn, in order."""
        return tuple(part for part in self.content if isinstance(part, Picture))


@dataclass(frozen=True)
class Sampling:
    """How an answer's tokens are picked; the default is greedy.

    Attributes:
        temperature: 0 picks the likeliest token and ignores the rest of this class but `repeat_penalty`.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest tokens that together reach this probability; 1 keeps all.
        min_p: drop tokens less likely than this share of the likeliest one's probability; 0 drops none.
        repeat_penalty: divide the logits of the answer's last 64 tokens by this; 1 is off.
        seed: for a repeatable answer; None draws one.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Request:
    """One question to a model about at least one picture.

    Attributes:
        messages: the turns so far; the last is the user's.
        sampling: how tokens are picked.
        max_tokens: of the answer.
        stop: strings that end the answer, and are not part of it.
        end_loops: end an answer that only repeats itself, with finish reason "loop".
        stream: whether anybody reads its answer piece by piece; if not, there are no Deltas.
        grammar: GBNF, whose rule `root` the whole answer follows (llama.cpp, grammars/README.md); empty for any answer.
        schema: JSON Schema, whose value the whole answer is, on one line; empty for any answer.
        regex: a regular expression (Rust's syntax) that the whole answer matches; empty for any answer. Only one of
            these three.
        timeout: seconds of encoding and decoding after which it fails with TimedOut; None for as long as it takes.
            What it waits for others is not counted, what it is decoded together with others is.
        continues: another turn of the conversation will follow, so that its prompt is worth keeping.
        measure: say only how much of the context it would take (`Measured`); no pixels are read for that.
        think: let the model think before it answers, where it can be told.
        choices: instead of an answer, how likely each of these is (`Answer.scores`): the ways in which each may be
            written, whose likelihoods are summed. Nothing is picked, so that most of the above does not matter.
        whole: the answer ends behind a choice; otherwise anything may follow.
        logprobs: tell of each token how likely it was, and as many of the likeliest in its place; None for neither.
        presence_penalty: take this from the logits of tokens that are among the answer's last 64; from -2 to 2.
        frequency_penalty: take this from them for each time that they are there; from -2 to 2.
        since: when whoever asks began to read its pictures, as `time.monotonic` counts. What the engine has stood idle
            since then is time that the request had to wait for them; None where it is not known.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    end_loops: bool = False
    stream: bool = True
    grammar: str = ""
    schema: str = ""
    regex: str = ""
    timeout: float | None = None
    continues: bool = False
    measure: bool = False
    think: bool = False
    choices: tuple[tuple[str, ...], ...] = ()
    whole: bool = True
    logprobs: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    since: float | None = None

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures of all turns, in order."""
        return tuple(picture for message in self.messages for picture in message.pictures)


@dataclass(frozen=True)
class Answer:
    """What came back for a request; the text begins with what the model thought, in its tags, if it did.

    `scores` are those of the request's choices, in their order; with them there is no text. `seen` are its pictures.
    `tokens` are those of the answer, without the one that ends it, where the request has `logprobs`.
    `stopped_by` is the stop string that has ended it, empty where something else has, or where a server does not say.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    model: str
    scores: tuple[Score, ...] = ()
    seen: tuple[Seen, ...] = ()
    tokens: tuple[Token, ...] = ()
    stopped_by: str = ""


@dataclass(frozen=True)
class Result:
    """One question, its pictures' sources, and what came of it: a text, and what was thought before, or an error.

    `notices` are those of the pictures: what of them was left out, or cannot be seen. `decisions` are what was decided,
    where that was asked; `fields` has one value, of JSON, where that was;
    `places` are boxes or points, None where nothing was looked for.
    """

    sources: tuple[str, ...]
    question: str
    model: str
    text: str = ""
    answer: Answer | None = None
    error: VlmError | None = None
    thinking: str = ""
    notices: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    fields: tuple[Any, ...] = ()
    places: tuple[Place, ...] | None = None


@dataclass(frozen=True)
class Started:
    """The request has a place in the cache; its prefill begins.

    `so_far` is what has been taken until now; `rows` are those of the whole prompt, 0 where a server does not say.
    """

    id: int
    so_far: Timings = field(default=Timings(), compare=False)
    rows: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
        id: of the request; None for the model's loading.
        stage: which.
        done: its share that is done, 0 to 1.
        so_far: what has been taken until now, this stage included.
        inputs: how many the stage has, of which it does one after the other: the encoder's pictures or tiles.
    """

    id: int | None
    stage: Literal["load", "encode", "prefill"]
    done: float
    so_far: Timings = field(default=Timings(), compare=False)
    inputs: int = 1


@dataclass(frozen=True)
class Notice:
    """What a person must be told of the model's place, in a line."""

    text: str
    id: None = None


@dataclass(frozen=True)
class Delta:
    """The next piece of an answer: whole characters, never a special token but the tags around thinking.

    `tokens` are those picked since the last piece, where the request has `logprobs`.
    """

    id: int
    text: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Done:
    """The request is answered; no event of it follows."""

    id: int
    answer: Answer


@dataclass(frozen=True)
class Failed:
    """The request will not be answered; the others go on."""

    id: int
    error: VlmError


@dataclass(frozen=True)
class Measured:
    """How much of the context a request would take, instead of its answer (`Request.measure`).

    Attributes:
        n_ctx: the context's cells.
        rows: of the whole prompt.
        pictures: rows of each picture, in order.
        inputs: of the encoder: pictures, or tiles of them.
        kept_inputs: how many of these need not be encoded, as far as can be told without reading what is kept.
        kept_rows: rows at the prompt's beginning whose state earlier commands have kept, as far as can be told so.
    """

    id: int
    n_ctx: int
    rows: int
    pictures: tuple[int, ...]
    inputs: int = 0
    kept_inputs: int = 0
    kept_rows: int = 0


Last = Done | Failed | Measured
"""The last event of a request."""

Event = Started | Progress | Notice | Delta | Last


class Runner(Protocol):
    """Whatever answers requests: an engine, one in a child process, a server far away."""

    def submit(self, request: Request) -> int:
        """Take a request and return its id at once."""

    def cancel(self, id: int) -> None:
        """End a request soon, with `Failed(id, Cancelled())`; one that has ended is left alone."""

    def events(self) -> Iterator[Event]:
        """All events as they come, until the runner is closed."""

    def close(self) -> None:
        """End everything and free it; may be called twice."""


@dataclass(frozen=True)
class Share:
    """What one of several that answer has done.

    Attributes:
        name: the address of a server, or the name of a GPU.
        answers: how many it has given.
        seconds: that one takes.
        at_once: requests that it gets at once.
        sent: bytes that were sent to it.
    """

    name: str
    answers: int
    seconds: float = 0.0
    at_once: int = 0
    sent: int = 0


def no_more(runner: Runner) -> None:
    """Tell a runner that no more requests will come, where it can make use of that."""
    tell = getattr(runner, "no_more", None)
    if tell is not None:
        tell()


def room_of(runner: Runner) -> int:
    """How many requests a runner wants to have, under way or waiting; 0 where it does not say."""
    return int(getattr(runner, "wants", 0))


def shares_of(runner: Runner) -> tuple[Share, ...]:
    """What each of the servers or GPUs behind a runner has done; nothing where there are no several."""
    return tuple(getattr(runner, "shares", ()))


def events_of(outbox: SimpleQueue[Event | None]) -> Iterator[Event]:
    """What a runner's threads put there, as it comes; None ends it, for every iterator there will be."""
    while True:
        try:
            event = outbox.get(timeout=0.2)  # an untimed wait hides Ctrl-C on Windows
        except Empty:
            continue
        if event is None:
            outbox.put(None)
            return
        yield event


def run(runner: Runner, requests: Iterable[Request], window: int = 16) -> Iterator[tuple[int, Event]]:
    """Submit requests, at most `window` ahead of their answers, and yield their events until the last has ended.

    A runner that wants more of them gets more.

    Each event comes with the number of its request, from 0 in the order they were given; -1 for the model's loading.
    The runner's events are taken: one caller at a time. Left early (an exception, a closed generator), it cancels
    what it had submitted.
    """
    source = enumerate(requests)
    numbers: dict[int, int] = {}
    more = True
    events = runner.events()
    try:
        while True:
            while more and len(numbers) < max(window, room_of(runner)):
                number, request = next(source, (-1, None))
                if request is None:
                    more = False
                else:
                    numbers[runner.submit(request)] = number
            if not numbers:
                return
            event = next(events, None)
            if event is None:
                return
            if event.id is None:
                yield -1, event
            elif event.id in numbers:
                ended = isinstance(event, Last)
                yield (numbers.pop(event.id) if ended else numbers[event.id]), event
    finally:
        for id in numbers:
            runner.cancel(id)


@dataclass(frozen=True)
class Card:
    """What is known of a model beside its files: data, not code.

    Attributes:
        about: up to three lines for a person.
        notice: one line for stderr after the model's first answer; empty for most.
        notice_daily: whether that line is shown only once a day, and not with every command.
        unsure: what the model answers when it does not know, word for word; empty where there is no such answer.
        unsure_hint: one line for stderr after that answer about a picture that is not a drawing: what to do.
        chat_template: a Jinja template that replaces the file's own, or None.
        stop: strings that end an answer, for models that have no end-of-turn token.
        prompts: instead of those of `tasks.PROMPTS`, by their names.
        think: the tags around what the model thinks before it answers.
        thinks: whether it is to think before it answers, without being told so.
        budget: the fewest and the most image tokens of a picture; zeros leave it to the projector.
        reading_budget: those where text is to be read; zeros for `budget`.
        licence: by its short name; empty where it is not known.
        boxes: how it writes boxes (tasks/boxes.py); empty where it cannot, or where that is not known.
    """

    about: tuple[str, ...] = ()
    notice: str = ""
    notice_daily: bool = False
    unsure: str = ""
    unsure_hint: str = ""
    chat_template: str | None = None
    stop: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    think: tuple[str, str] = THINK
    thinks: bool = False
    budget: tuple[int, int] = (0, 0)
    reading_budget: tuple[int, int] = (0, 0)
    licence: str = ""
    boxes: str = ""


@dataclass(frozen=True)
class Server:
    """A server that speaks OpenAI's API, and has a model that is asked there.

    Attributes:
        url: its address, without the "/v1" at the end.
        kind: what is known to run there: another `vlm serve`, llama-server, OpenAI's own; "strict" for what may refuse
            fields that OpenAI's API does not have, as services do; "other" for anything else.
    """

    url: str
    kind: Literal["vlm", "llama", "openai", "strict", "other"] = "other"


@dataclass(frozen=True)
class ModelFiles:
    """A language model's weights, its projector's, and what is known of the two; or the servers that have them.

    Attributes:
        name: what the user called it.
        model: the language model's GGUF file.
        projector: the projector's GGUF file, with the vision encoder in it.
        card: facts beside the files.
        encoder_layers: the vision encoder's depth, for progress; 0 when unknown.
        servers: that have the model, instead of files on this machine; the paths are then empty.
        away: addresses of more servers, which do not answer yet.
    """

    name: str
    model: Path
    projector: Path
    card: Card = Card()
    encoder_layers: int = 0
    servers: tuple[Server, ...] = ()
    away: tuple[str, ...] = ()
