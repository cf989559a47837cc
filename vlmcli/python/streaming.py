"""An answer that is read while it is written."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from vlmcli.batch.run import Fragment, Outcome, Step
from vlmcli.errors import Cancelled
from vlmcli.tasks.thinking import Thinking
from vlmcli.values import Result


class Stream(Iterator[str]):
    """The pieces of an answer, without what the model thinks before. Together they are the text of `result`.

    Left early, it has to be closed, which `with` does, or the model goes on until nobody holds the stream any more.
    """

    def __init__(self, steps: Generator[Step, None, None], think: tuple[str, str]) -> None:
        """Ask nothing yet.

        Args:
            steps: of the question's run.
            think: the tags around what the model thinks.
        """
        self._steps, self._thinking = steps, Thinking(think)
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._space, self._has_begun = "", False

    def __next__(self) -> str:
        """The next piece, never empty. Raises VlmError where there is no answer."""
        while self._result is None:
            if self._error is not None:
                raise self._error
            step = self._step()
            if isinstance(step, Outcome):
                self._result = step.result
                if step.result.error is not None:
                    self._result, self._error = None, step.result.error
                    raise step.result.error
                _, text = self._thinking.finish()
            elif isinstance(step, Fragment):
                _, text = self._thinking.feed(step.text)
            else:
                continue
            if piece := self._trimmed(text):
                return piece
        raise StopIteration

    def _step(self) -> Step:
        try:
            return next(self._steps)
        except StopIteration:
            self._error = Cancelled("the model was closed")
            raise self._error from None
        except BaseException as error:
            self._error = error
            raise

    def _trimmed(self, text: str) -> str:
        """A piece without white space before the answer; that behind it is held back until more comes."""
        text = self._space + text
        if not self._has_begun:
            text = text.lstrip()
        piece = text.rstrip()
        self._space = text[len(piece) :]
        self._has_begun |= bool(piece)
        return piece

    @property
    def result(self) -> Result:
        """The whole answer; waits for it. Raises VlmError where there is none."""
        for _ in self:
            pass
        assert self._result is not None
        return self._result

    def close(self) -> None:
        """Cancel what has not been read."""
        self._steps.close()
        if self._result is None and self._error is None:
            self._error = Cancelled("the stream was closed")

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
