"""A conversation's turns on the nine small pairs: what was computed for one is not computed again for the next."""

from itertools import pairwise

import pytest

from tests.support.engines import noise, opened, small_files
from vlmcli.bench.pairs import SMALL
from vlmcli.chat.conversation import Conversation
from vlmcli.values import Answer, Sampling

QUESTIONS = ("what is this?", "and what is on the left of it?", "why?")


def talk(engine, conversation, question):
    """Ask as `vlm chat` does. Returns the answer."""
    (outcome,) = engine.run([conversation.request(question, Sampling(), 12)])
    assert isinstance(outcome, Answer), outcome
    conversation.answered(question, outcome.text)
    return outcome


@pytest.mark.parametrize("name", SMALL)
def test_the_next_turn_begins_where_the_last_one_ended(small, name):
    files = small_files(small, name)
    conversation = Conversation("be brief")
    conversation.attach(noise(1))
    with opened(files, n_ctx=8192) as engine:
        answers = [talk(engine, conversation, question) for question in QUESTIONS]
    for before, after in pairwise(answers):
        share = after.usage.reused_tokens / before.usage.prompt_tokens
        print(f"{name}: {share:.1%} of {before.usage.prompt_tokens} tokens")
        assert share >= 0.95
    again = Conversation("be brief")
    again.attach(noise(1))
    for question, answer in zip(QUESTIONS, answers, strict=True):
        with opened(files, n_ctx=8192) as engine:
            fresh = talk(engine, again, question)
        assert fresh.usage.reused_tokens == 0
        assert fresh.text == answer.text
