"""A conversation with a model: what is asked, what is shown of the answer, and what goes when the context is full.

Does not know lines, keys or commands: `command` and `slash` call it. Turns and pictures are `chat.conversation`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from vlmcli.batch.course import count
from vlmcli.chat import transcript
from vlmcli.chat.conversation import Attached, Conversation
from vlmcli.cli import daily
from vlmcli.cli.flags import sampling_of
from vlmcli.errors import Cancelled, ContextFull, NativeError, UsageError, VlmError
from vlmcli.machine import tiling
from vlmcli.models import gguf
from vlmcli.pictures import drawings, sources
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.known import Known
from vlmcli.pictures.sources import Source
from vlmcli.settings import Settings
from vlmcli.tasks.thinking import Thinking, split
from vlmcli.terminal import stats
from vlmcli.terminal.streams import uninterrupted
from vlmcli.terminal.ui import Ui
from vlmcli.values import (
    Answer,
    Delta,
    Done,
    Event,
    Failed,
    Last,
    Measured,
    ModelFiles,
    Picture,
    Progress,
    Request,
    Runner,
    Sampling,
)

MOST = 32
"""Pictures that are attached at once."""
ANEW = 0.7
"""The temperature at which an answer is given anew, where the likeliest one has been given."""


@runtime_checkable
class Loading(Protocol):
    """A runner that can be waited for."""

    def ready(self) -> None:
        """Wait until the model is loaded; raises what kept it from that."""


Opening = Callable[[ModelFiles, Settings], AbstractContextManager[Runner]]


@dataclass
class Wishes:
    """What the user has decided about answers.

    Attributes:
        sampling: options as `-o` takes them, by name.
        stats: say tokens and times after each answer.
        think: let the model think before it answers, and show it.
        side: pixels to which a picture's longer side is scaled down; 0 for none.
        thumbnails: show pictures where the terminal can.
        allow_local_urls: fetch from addresses of this machine and network, too.
        known: files of pictures that were read before; None reads all.
    """

    sampling: dict[str, str] = field(default_factory=dict)
    stats: bool = False
    think: bool = False
    side: int = 0
    thumbnails: bool = True
    allow_local_urls: bool = False
    known: Known | None = None

    def chosen(self) -> tuple[Sampling, int]:
        """The options as a Sampling, and how many tokens at most. Raises UsageError."""
        return sampling_of([f"{name}={value}" for name, value in self.sampling.items()])


class Talk:
    """One conversation, its model, and its runner. Use it as a context manager."""

    def __init__(
        self, ui: Ui, files: ModelFiles, settings: Settings, opening: Opening, wishes: Wishes, *, typed: bool = True
    ) -> None:
        """Begin a conversation; its runner starts to load the model at once.

        Args:
            ui: where it is shown.
            files: the model.
            settings: where it goes.
            opening: makes a runner of the two.
            wishes: about answers.
            typed: whether somebody types; then Ctrl-C ends an answer, else everything.
        """
        self.ui, self.files, self.settings, self.wishes, self.typed = ui, files, settings, wishes, typed
        self.conversation = Conversation()
        self.last: Answer | None = None
        self.default = ""
        """What stands in the next line, to be edited."""
        self.answered, self.failed = 0, 0
        self.on_attached: Callable[[Attached], None] = lambda _: None
        self._warming = -1  # the request that looks at pictures beforehand; -1 for none
        self._opening = opening
        self._stack = ExitStack()
        self._runner = self._stack.enter_context(opening(files, settings))

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tell(self, text: str) -> None:
        """A line about the conversation; stdout has answers only."""
        self.ui.say(text, prefix="")

    # ------------------------------------------------------------------------------------------ pictures

    def attach(self, words: Sequence[str]) -> list[str]:
        """Attach the pictures that words name to the next question. Each that cannot be read is said; the rest stay.

        Returns the words with a picture that could not be read. Raises UsageError for too many.
        """
        failed: dict[str, None] = {}
        left_out = LeftOut()
        found: list[tuple[str, Source]] = []
        for word in words:
            try:
                allow, known = self.wishes.allow_local_urls, self.wishes.known
                found += ((word, source) for source in sources.find([word], (), allow, left_out, known))
            except VlmError as error:
                self.fail(error)
                failed[word] = None
        if len(found) > MOST:
            raise UsageError(
                f"{len(found)} pictures at once, and a conversation takes {MOST}",
                "for a folder, use vlm caption FOLDER",
            )
        if left_out.files:
            self.tell(str(left_out))
        for word, source in found:
            try:
                self.attach_one(source)
            except VlmError as error:
                self.fail(error)
                failed[word] = None
        self.warm()
        return list(failed)

    def attach_one(self, source: Source, number: int = 0) -> Attached:
        """Attach one picture, by this number if it is free. Raises SourceError."""
        picture = source.load(self.wishes.side, self.wishes.known)
        self.ui.notices(picture.notices)
        place = source.name if source.name.lower().startswith(("http://", "https://")) else ""
        hashed = ""
        if isinstance(source.file, Path):
            place = f"{source.file.absolute()}{f'#{source.frame}' if source.frame else ''}"
            hashed = transcript.sha256(source.file)
        attached = self.conversation.attach(picture, place, self._tokens(picture), hashed, number)
        self.tell(str(attached))
        self.on_attached(attached)
        return attached

    def _tokens(self, picture: Picture) -> int | None:
        if self.files.servers:
            return None
        return tiling.picture_tokens(gguf.read(self.files.projector), *picture.size, self.files.card.budget)

    def warm(self) -> None:
        """Let the model look at what is attached while somebody types; the question's prompt goes on from there.

        Whatever comes of it is not shown: what is wrong will be again when the question is asked.
        """
        if self.typed and self.conversation.pending and not self.files.servers:  # there, it costs others' time
            self._runner.cancel(self._warming)
            self._warming = self._runner.submit(replace(self._request("?", Sampling(), 1), stream=False))

    def fail(self, error: VlmError) -> None:
        """Show an error; the conversation goes on."""
        self.ui.error(error)
        self.failed += 1

    # ------------------------------------------------------------------------------------------ questions

    def ask(self, question: str, *, anew: bool = False) -> bool:
        """Ask, and show the answer as it comes. Ctrl-C ends it, and what has come of it stays.

        Args:
            question: the text.
            anew: draw another answer than the likeliest, if that is what was given.

        Returns whether there is an answer. Without one, and when it raises VlmError, the conversation is as it was.
        """
        talk = self.conversation
        kept = list(talk.turns), list(talk.pending)
        answered = False
        try:
            answered = self._ask(question, anew)
        finally:
            if not answered:
                talk.turns, talk.pending = kept
        return answered

    def _ask(self, question: str, anew: bool) -> bool:
        sampling, limit = self.wishes.chosen()
        if anew and not sampling.temperature:
            sampling = replace(sampling, temperature=ANEW)
        try:
            text, outcome = self._answer(self._fitting(question, sampling, limit))
        except KeyboardInterrupt:
            if not self.typed:
                raise
            text, outcome = "", Cancelled()
        if isinstance(outcome, VlmError) and not isinstance(outcome, Cancelled):
            if isinstance(outcome, NativeError):
                self.tell("/drop N removes a picture from the conversation")
            raise outcome
        thought, said = split(text, self.files.card.think)
        if isinstance(outcome, Cancelled) and not said:
            self.tell("stopped; the pictures stay attached")
            return False
        self.conversation.answered(question, said)
        self.answered += 1
        if isinstance(outcome, Cancelled):
            self.tell("stopped")
            return True
        self.last = outcome
        daily.tell(self.ui, self.files.card)
        unsure = bool(self.files.card.unsure) and said == self.files.card.unsure
        if unsure and not all(drawings.is_drawn(one.picture) for one in self.conversation.pictures):
            self.ui.notice(self.files.card.unsure_hint)
        if not said:
            self.tell("the answer is empty" + (": the model only thought" if thought else ""))
        elif outcome.finish_reason == "length":
            self.tell(
                f"the answer was cut off after {count(outcome.usage.answer_tokens, 'token')};"
                " for longer answers, /set max_tokens NUMBER"
            )
        if self.wishes.stats:
            self.ui.figures(stats.of_answer(outcome))
        return True

    def measured(self, question: str = "?") -> Measured | None:
        """How much of the context the conversation takes with one more question; None while it has no picture."""
        if not self.conversation.pictures:
            return None
        return self._measure(self._request(question, *self.wishes.chosen()))

    def _request(self, question: str, sampling: Sampling, limit: int) -> Request:
        request = self.conversation.request(question, sampling, limit)
        return replace(request, think=self.wishes.think or self.files.card.thinks)

    def _fitting(self, question: str, sampling: Sampling, limit: int) -> Request:
        """The request, once the oldest turns have gone that it has no room for, as far as that is known."""
        talk = self.conversation
        if self.files.servers:
            return self._request(question, sampling, limit)
        gone = []
        while True:
            request = self._request(question, sampling, limit)
            found = self._measure(request)
            room = found.n_ctx - found.rows
            if room >= min(limit, found.n_ctx // 4):
                break
            went = talk.shorten(question)
            if not went and room > 0:
                break
            if not went:
                raise ContextFull(
                    f"the question and its pictures take {found.rows} tokens, and the context has {found.n_ctx}",
                    "remove a picture with /drop N, or start again with a larger context: vlm chat --ctx N",
                )
            gone.append(went)
        for went in gone:
            self.tell(f"the context is full; forgot {went}")
        return request

    def _measure(self, request: Request) -> Measured:
        for event in self._events(replace(request, measure=True)):
            if isinstance(event, Measured):
                return event
            if isinstance(event, Failed):
                raise event.error
            self.ui.progress(event)
        raise Cancelled("the engine was closed")

    def _answer(self, request: Request) -> tuple[str, Answer | VlmError]:
        """Show an answer while it comes. Returns its text, and how it ended."""
        thinking, text = Thinking(self.files.card.think), ""
        outcome: Answer | VlmError = Cancelled("the engine was closed")
        try:
            for event in self._events(request):
                if isinstance(event, Delta):
                    text += event.text
                    self._show(thinking, *thinking.feed(event.text))
                elif isinstance(event, Done):
                    outcome = event.answer
                elif isinstance(event, Failed):
                    outcome = event.error
                elif isinstance(event, Progress) and event.stage == "encode":
                    self.ui.status(_looking(len(request.pictures), event.done))
                else:
                    self.ui.progress(event)
        except KeyboardInterrupt:
            if not self.typed:
                raise
            outcome = Cancelled()
        self._show(thinking, *thinking.finish())
        if self.ui.streaming:
            self.ui.end_stream()
        return text, outcome

    def _show(self, thinking: Thinking, thought: str, text: str) -> None:
        if self.wishes.think:
            self.ui.stream(thought, plain=True)
        elif thinking.inside:
            self.ui.thinking()
        self.ui.stream(text)

    def _events(self, request: Request) -> Iterator[Event]:
        """A request's events, those of the model's loading, and the progress of looking at its pictures beforehand.

        One that is left early is cancelled.
        """
        id = self._runner.submit(request)
        try:
            for event in self._runner.events():
                if event.id in (None, id) or (event.id == self._warming and isinstance(event, Progress)):
                    yield event
                if event.id == id and isinstance(event, Last):
                    return
        finally:
            self._runner.cancel(id)

    # ------------------------------------------------------------------------------------------ the model

    def change(self, files: ModelFiles, settings: Settings) -> None:
        """Go on with another model. Raises what keeps it from being loaded, with the old one as it was."""
        try:
            self._stack.close()  # there may not be room for both
            self._runner = runner = self._stack.enter_context(self._opening(files, settings))
            self.ui.status("loading the model")
            if isinstance(runner, Loading):
                runner.ready()
        except (VlmError, KeyboardInterrupt):
            with uninterrupted():
                self._stack.close()
                self._runner = self._stack.enter_context(self._opening(self.files, self.settings))
            raise
        self.files, self.settings, self._warming = files, settings, -1
        self.conversation.recount(self._tokens)


def _looking(count: int, done: float) -> str:
    """What the encoder is at, of so many pictures."""
    if count == 1:
        return f"looking at the picture {done:4.0%}"
    return f"looking at picture {min(count, int(done * count) + 1)} of {count} {done:4.0%}"
