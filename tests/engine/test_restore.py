"""What one process has kept, another answers from: beside other requests, in a conversation, in a worker."""

from dataclasses import replace

import pytest

from tests.support.engines import ask, noise, opened, small_files, texts
from tests.support.families import parts_at_a_tie, tapped
from vlmcli.placement import Caching, Fit
from vlmcli.runners.worker import Worker
from vlmcli.values import Answer, Message, Request

QUESTIONS = ("what is this?", "which colour has it?", "is it large or small?")
NAMES = ("llava", "qwen2vl", "gemma3", "lfm2vl")
"""One that can be rolled back, M-RoPE, a sliding window, a recurrent state."""


def unread(picture):
    """The picture, whose pixels cannot be read."""

    def load():
        raise AssertionError("pixels that are known are read again")

    return replace(picture, load=load)


@pytest.fixture
def caching(tmp_path):
    return Caching(tmp_path / "cache", seconds=0.0)


@pytest.fixture(params=NAMES)
def files(request, small):
    return small_files(small, request.param)


def answers(files, requests, caching=None, **fit):
    with opened(files, caching=caching, ready=False, **fit) as engine:
        found = engine.run(requests)
    assert all(isinstance(one, Answer) for one in found), found
    return found


def same_answers(files, requests, caching, *, reads=False, **fit):
    """The answers from what was kept: they are those without it, but for ties, as the batches are others.

    Args:
        files: the pair.
        requests: what is asked.
        caching: where results are kept.
        reads: whether there are pictures that must be read.
        fit: of both engines.
    """
    fit = {"n_ctx": 4096, **fit}
    with tapped(files, **fit) as (engine, logits):
        colds = list(zip(engine.run(requests), [logits[id] for id in sorted(logits)], strict=True))
    with tapped(files, caching=caching, ready=False, **fit) as (engine, logits):
        found = engine.run(requests if reads else [replace_pictures(one) for one in requests])
        for (cold, before), one, after in zip(colds, found, [logits[id] for id in sorted(logits)], strict=True):
            assert one.text == cold.text or parts_at_a_tie(before, after)
    return found


def test_several_requests_are_answered_from_it_together(files, caching):
    pictures = [noise(seed) for seed in range(3)]
    asked = [ask(question, picture) for picture in pictures for question in QUESTIONS]
    answers(files, [ask("say something", picture) for picture in pictures], caching)
    found = same_answers(files, asked, caching)
    assert sum(one.usage.encoded for one in found) == 0
    assert sum(one.usage.restored_tokens > 0 for one in found) == len(pictures)  # the others fork what is in the cache


def replace_pictures(request):
    turns = tuple(
        replace(turn, content=tuple(part if isinstance(part, str) else unread(part) for part in turn.content))
        for turn in request.messages
    )
    return replace(request, messages=turns)


def test_known_and_new_pictures_are_answered_beside_each_other(files, caching):
    known, new = noise(1), noise(2)
    answers(files, [ask(QUESTIONS[0], known)], caching)
    asked = [ask(QUESTIONS[1], new), ask(QUESTIONS[1], known), ask(QUESTIONS[2], known, new), ask(QUESTIONS[0], new)]
    found = same_answers(files, asked, caching, reads=True)
    assert found[1].usage.restored_tokens > 0
    assert found[2].usage.restored_tokens == 0  # both pictures together are another beginning


def test_a_conversation_goes_on_in_another_process(files, caching):
    picture = noise(1)
    first, second = (Message("user", (picture, QUESTIONS[0])), Message("user", (QUESTIONS[1],)))
    (said,) = answers(files, [Request((first,), max_tokens=8, continues=True)], caching)
    later = Request((first, Message("assistant", (said.text.strip() or "yes",)), second), max_tokens=8)
    (found,) = same_answers(files, [later], caching)
    assert found.usage.encoded == 0
    assert found.usage.restored_tokens > 0


def test_the_worker_keeps_and_finds_it(small, caching):
    files, picture = small_files(small, "llava"), noise(1)
    fit = Fit(n_ctx=1024, threads=1)
    found = []
    for question in QUESTIONS[:2]:
        with Worker(files, fit=fit, caching=caching) as worker:
            runs = [event.answer for event in run_one(worker, ask(question, picture))]
        found += runs
    assert [one.usage.encoded for one in found] == [1, 0]
    assert found[1].usage.restored_tokens > 0
    assert texts(found) == texts(answers(files, [ask(question, picture) for question in QUESTIONS[:2]], n_ctx=1024))


def run_one(runner, request):
    id = runner.submit(request)
    for event in runner.events():
        if event.id == id and hasattr(event, "answer"):
            yield event
            return


def test_the_disk_has_what_the_kv_cache_gives_up(small, caching):
    """A large picture whose state is kept leaves its cells to the next one; without a cache, it stays where it is."""
    files, large = small_files(small, "qwen2vl"), [noise(seed, (672, 672)) for seed in range(2)]
    asked = [ask(QUESTIONS[0], large[0]), ask(QUESTIONS[0], large[1]), ask(QUESTIONS[1], large[0])]
    found = {}
    for kept in (caching, None):
        with opened(files, caching=kept, n_gpu_layers=0, ready=False) as engine:
            found[kept] = [engine.run([one])[0] for one in asked]
    restored, stayed = (found[kept][2].usage for kept in (caching, None))
    assert restored.picture_tokens > 512  # more than half of what is a crowd
    assert restored.restored_tokens >= restored.picture_tokens
    assert (stayed.restored_tokens, stayed.reused_tokens >= stayed.picture_tokens) == (0, True)
    assert texts(found[caching]) == texts(found[None])


def test_what_took_no_time_is_kept_without_its_state(small, tmp_path):
    files, picture = small_files(small, "llava"), noise(1)
    caching = Caching(tmp_path, seconds=3600.0)
    answers(files, [ask(QUESTIONS[0], picture)], caching)
    (found,) = answers(files, [ask(QUESTIONS[1], unread(picture))], caching)
    assert found.usage.restored_tokens == 0
    assert (found.usage.encoded, found.usage.remembered) == (0, 1)


def test_a_state_that_is_too_large_is_not_kept(small, tmp_path):
    files, picture = small_files(small, "llava"), noise(1)
    answers(files, [ask(QUESTIONS[0], picture)], Caching(tmp_path, seconds=0.0, prefix=1000))
    (found,) = answers(files, [ask(QUESTIONS[1], unread(picture))], Caching(tmp_path, seconds=0.0))
    assert found.usage.restored_tokens == 0
    assert found.usage.remembered == 1


def test_nothing_is_kept_or_found_without_a_cache(small, tmp_path):
    files, picture = small_files(small, "llava"), noise(1)
    (found,) = answers(files, [ask(QUESTIONS[0], picture)])
    assert (found.usage.restored_tokens, found.usage.remembered) == (0, 0)
    assert not list(tmp_path.iterdir())
