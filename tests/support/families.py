"""What is held of every family of projectors, on its small pair: each check asserts.

`tests/engine/test_families.py` runs them, and `python -m tests.families` writes what came of them into
docs/families.md.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests import golden
from tests.support.engines import ask, noise, opened, outcomes, small_files
from tests.support.upstream import gap, where_they_part, without_specials
from vlmcli.bench import families, pairs
from vlmcli.engine import Engine, native, stages
from vlmcli.errors import Cancelled
from vlmcli.machine import fit
from vlmcli.models import gguf
from vlmcli.pictures import images
from vlmcli.placement import Caching, Fit, Machine
from vlmcli.runners.worker import Worker
from vlmcli.values import THINK, Answer, Done, Failed, ModelFiles

NAMES = (*pairs.SMALL, *families.PAIRS)
"""The pairs: of all projector types, and more than one of those that go with very different language models."""
QUESTIONS = golden.QUESTIONS
SIZES = (noise(1, (90, 70)), noise(2, (1100, 640)))
"""A small picture, and one that is cut into tiles where a family does that."""
TIE = 0.1
"""How close two best logits are that may change places by rounding, as a part of the logits' deviation. 0.02 is what
was seen."""
ROUNDING = 0.2 if golden.BF16 else 0.1
"""How far all logits may be off by rounding, as such a part. 0.06 is what was seen, with 400 rows in the cache and two
threads; 0.14 on a CPU that multiplies bfloat16."""
GOLDEN = golden.known()
GOLDEN_NINE = json.loads((golden.FILE.parent / "golden.json").read_text("utf-8"))
WIDE = "AVX512" in native.versions()["features"]
"""Whether this CPU computes as the one on which the nine's answers were written down; others round differently."""
TIE_NINE = 0.05
"""Two best logits of them that are closer may change places by rounding (0.0012 is what was seen)."""
GREEDY = 6
"""Tokens of an answer where only the same answer again is asked for."""


def files_of(name: str, folder: Path) -> ModelFiles:
    """A pair's files, written into a folder."""
    return small_files(pairs.small(folder) if name in pairs.SMALL else families.write(folder, [name]), name)


@contextmanager
def tapped(files, **fit):
    """An engine, and each request's logits."""
    logits = defaultdict(list)

    def tap(id, step, row):
        logits[id].append(row.copy())

    with opened(files, tap=tap, **{"n_ctx": 8192, **fit}) as engine:
        yield engine, logits


def asked(engine, picture, *questions):
    """Answers to questions about a picture."""
    found = engine.run(ask(question, picture) for question in questions)
    for answer in found:
        assert isinstance(answer, Answer), answer
    return found


def parts_at_a_tie(one, two):
    """Whether two answers part where rounding may decide: in other batches llama.cpp sums in another order."""
    for a, b in zip(one, two, strict=False):
        if np.argmax(a) != np.argmax(b):
            return gap(a) < TIE * a.std() and np.abs(a - b).max() < ROUNDING * a.std()
    return False


# --- What is held ---


def equals_upstream(files, folder):
    """Its answers are those of upstream's tool."""
    if files.name in pairs.SMALL:
        _nine_equal_upstream(files)
        return
    pictures = {size: images.load(golden.picture(size, folder)) for size in golden.SIZES}
    cases = golden.cases(families.PAIRS[files.name]().together)
    with tapped(files) as (engine, logits):
        # The tool lets a model think where its template has a switch. It writes no NULs, and no tag that the template
        # has opened.
        requests = [replace(ask(question, *map(pictures.get, some)), think=True) for _, some, question in cases]
        answers = engine.run(requests)
        model = engine.loaded.model
        for id, ((called, _, _), answer) in enumerate(zip(cases, answers, strict=True)):
            assert isinstance(answer, Answer), answer
            said = without_specials(model, bytes.fromhex(GOLDEN[files.name][called]))
            if _is_upstreams(answer, said):
                continue
            # Beside other requests, sums are made in another order. The tool is asked alone.
            with tapped(files) as (lonely, rows):
                (alone,) = lonely.run([requests[id]])
                ((_, ours),) = rows.items()
            assert alone.text == answer.text or parts_at_a_tie(ours, logits[id]), (called, answer.text, alone.text)
            if not _is_upstreams(alone, said):
                row = where_they_part(model, ours, said)
                assert gap(row) < TIE * row.std(), (called, alone.text, said)


def _is_upstreams(answer, said):
    """Whether an answer is that of the tool, without its special tokens."""
    text = answer.text.strip().removeprefix(THINK[0]).replace("\0", "").strip()
    return text == said.decode("utf-8", "replace").strip()


def _nine_equal_upstream(files):
    picture = images.load(golden.FILE.parent / "golden.png")
    with tapped(files, n_ctx=4096, threads=2) as (engine, logits):
        questions = list(GOLDEN_NINE[files.name])
        answers = engine.run(ask(question, picture) for question in questions)
        for id, (question, answer) in enumerate(zip(questions, answers, strict=True)):
            said = without_specials(engine.model, bytes.fromhex(GOLDEN_NINE[files.name][question]["hex"]))
            if answer.text.strip() != said.decode("utf-8", "replace").strip():
                assert not WIDE, question
                assert gap(where_they_part(engine.model, logits[id], said)) < TIE_NINE, question


def reuses(files, folder):
    """What was kept of a picture and a prefix changes no answer."""
    for picture in SIZES:
        with tapped(files) as (engine, logits):
            first, second = asked(engine, picture, *QUESTIONS)
            (again,) = asked(engine, picture, QUESTIONS[0])
            firsts, seconds, agains = (logits[id] for id in sorted(logits))
        with tapped(files) as (engine, logits):
            (alone,) = asked(engine, picture, QUESTIONS[1])
            (alones,) = logits.values()
        assert again.usage.reused_tokens > 0
        assert alone.usage.reused_tokens == 0
        assert again.text == first.text or parts_at_a_tie(firsts, agains)
        assert second.text == alone.text or parts_at_a_tie(seconds, alones)


LONG = "and what else is there to be seen in it, on the left and on the right? " * 6
STATELESS = {"deepseek4v"}
"""Pairs whose state llama.cpp cannot write down; their pictures' rows are kept all the same."""


def remembers(files, folder):
    """Another process answers from what the first has kept, and every logit is the same, bit for bit.

    No pixel is read then, and the projector is not even loaded: once from the state of the prompt's beginning, once
    from the pictures' rows, after another question.
    """
    colds, cold = [], None
    for seconds, first in ((0.0, LONG), (1e9, QUESTIONS[0])):
        caching = Caching(folder / f"{files.name}-{seconds}", seconds=seconds)
        with tapped(files, caching=caching) as (engine, logits):
            (answer,) = asked_about(engine, SIZES, first)
            if cold is None:
                cold, (colds,) = answer, logits.values()
        with tapped(files, caching=caching, ready=False) as (engine, logits):
            (again,) = asked_about(engine, [replace(one, load=_unreadable) for one in SIZES], LONG)
            (agains,) = logits.values()
            assert not engine.loaded.lazy.is_loaded
        assert again.usage.encoded == 0
        if not seconds and files.name not in STATELESS:
            assert again.usage.restored_tokens >= again.usage.picture_tokens, again.usage
        else:
            assert again.usage.restored_tokens == 0
            assert again.usage.remembered
        assert len(agains) == len(colds)
        assert all(np.array_equal(one, other) for one, other in zip(colds, agains, strict=True))
        assert again.text == cold.text


def asked_about(engine, pictures, question):
    """An answer to a question about several pictures."""
    found = engine.run([ask(question, *pictures, tokens=2 * GREEDY)])
    assert isinstance(found[0], Answer), found
    return found


def _unreadable():
    raise AssertionError("pixels that are known are read again")


def cancels(files, folder):
    """A request that is cancelled inside the encoder ends there, and the next one is answered as ever."""
    request = ask(QUESTIONS[0], SIZES[1], tokens=GREEDY)
    whole, _, expected = encoded(files, request, cancel=False)
    part, error, again = encoded(files, request, cancel=True)
    assert isinstance(error, Cancelled)
    assert 0 < part < whole, (part, whole)
    assert again.text == expected.text


def encoded(files, request, cancel):
    """Nodes of the encoder's graph that were computed for a request, cancelled inside it if so told; what came of it,
    and of the same request after it.
    """
    nodes, ids = [], []
    on_node = native.Projector._on_node

    def watching(self, tensor, ask, data):
        if ask and ids:
            nodes.append(tensor)
            if cancel and len(nodes) == 2:
                engine.cancel(ids[0])
        return on_node(self, tensor, ask, data)

    native.Projector._on_node = watching
    try:
        with opened(files, n_ctx=8192) as engine:
            ids.append(engine.submit(request))
            event = next(event for event in engine.events() if isinstance(event, Done | Failed))
            count = len(nodes)
            if cancel:
                assert engine.vision.encodes == 0
            (after,) = engine.run([request])
            return count, getattr(event, "error", None), after
    finally:
        native.Projector._on_node = on_node


def explains(files, folder):
    """The way of its prompt is complete, and `vlm show` says the same of a picture's tiles and tokens."""
    recorder = stages.Recorder(files)
    with opened(files, observer=recorder, n_ctx=8192) as engine:
        (answer,) = engine.run([ask(QUESTIONS[0], SIZES[1], tokens=GREEDY)])
        assert isinstance(answer, Answer), answer
        prompt = recorder.prompt(engine.model)
        steps = recorder.answer_steps(engine.model)
    assert steps
    assert sum(part.rows for part in prompt) == answer.usage.prompt_tokens
    seen = [part for part in prompt if isinstance(part, stages.PictureRows)]
    assert sum(part.rows for part in seen) == answer.usage.picture_tokens
    for part in seen:
        assert part.tiles
        assert all(len(tile.pixels) == tile.size[0] * tile.size[1] * 3 for tile in part.tiles)
    with stages.looking(files) as look:
        shown = look(SIZES[1])
    for one, other in zip(shown, seen, strict=True):
        assert abs(one.rows - other.rows) <= PADDED.get(files.name, 0)
    assert [t.pixels for part in shown for t in part.tiles] == [t.pixels for part in seen for t in part.tiles]


PADDED = {"deepseek4v": 3}
"""At most so many rows are put before a picture, by what is before it in the prompt: its model sees blocks of four
(mtmd.cpp)."""

UNLIKE = {
    **dict.fromkeys(
        ("qwen25vl", "step3vl-step35", "gemma4uv", "pixtral-mistral3"),
        "its feed-forward layers are twice as wide as its rows, where models' are four times as wide",
    ),
    "yasa2": "ConvNeXt has convolutions where a transformer is reckoned with",
    "gemma3nv": "MobileNet has convolutions where a transformer is reckoned with",
    "deepseekocr2": "the log is of the smaller of its two pictures",
    "gemma4v-e2b": "a width of 1536 with feed-forward layers of 32, which no model has",
    "granite4_vision": "what layers get besides is most of this small pair",
    "dots_ocr": "its header names no size of a picture: one larger than the test's is reckoned with",
    "dots3note_v": "it chooses what it attends to",
    "deepseek4v": "it chooses what it attends to",
    "glm5v": "it chooses what it attends to",
    "kimik25-glm-dsa": "it chooses what it attends to",
    "minimax_m3": "it chooses what it attends to",
}  # fmt: skip
"""Pairs so small, or so much alike no other, that the sum is off by more than a tenth, and why; the cache never is."""


def fits(files, folder):
    """Its memory is estimated within 10 % of what llama.cpp says that it takes, and the cache within 3 %."""
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    chosen = fit.fit(model, Machine(2, 0), ctx=4096, threads=1, projector=projector)
    with logged() as lines, Engine(files, chosen) as engine:
        side = projector.number("vision.image_size") or 224
        asked(engine, noise(1, (side, side)), QUESTIONS[0])
    said = defaultdict(float)
    for line in lines:
        found = re.search(r"(KV|RS|compute|\w+ state) buffer size =\s*([\d.]+) MiB", line)
        if found:
            said["compute" if found[1] == "compute" else "cache"] += float(found[2]) * (1 << 20)
    needed = fit.needs(model, projector, chosen)
    assert abs(needed.cache / said["cache"] - 1) < 0.03, (needed.cache, said["cache"])
    if files.name not in UNLIKE:
        weights = needed.weights + needed.projector
        estimate, whole = needed.total - fit.PROCESS, weights + sum(said.values())
        assert abs(estimate / whole - 1) < 0.1, (str(needed), dict(said))


@contextmanager
def logged():
    """What llama.cpp logs meanwhile, a line each."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = native.library.log
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def works_in_a_worker(files, folder):
    """The engine in a process of its own answers the same."""
    requests = [ask(question, picture, tokens=GREEDY) for picture in SIZES for question in QUESTIONS]
    with opened(files, n_ctx=8192) as engine:
        inside = engine.run(requests)
    with Worker(files, fit=Fit(n_ctx=8192, threads=2)) as worker:
        outside = outcomes(worker, requests)
    assert [answer.text for answer in outside] == [answer.text for answer in inside]


WORDS = ("a", "a dog", "dog", "dog house", "The end", "zebra", "do")
"""Choices of one token and of many, which begin alike, and are one another's beginnings."""
ROUNDED = 0.1
"""How far a choice's logprob may be off where other choices are decoded in the same batch; 0.027 is what was seen."""


def chooses(files, folder):
    """Choices that are compared together have the likelihood that each has alone, and that its tokens have one by one.

    They cost one prefill of the picture.
    """
    request = ask(QUESTIONS[0], SIZES[0], tokens=1)
    together = replace(request, choices=tuple((word,) for word in WORDS))
    with tapped(files, choices=True) as (engine, logits):
        (answer,) = engine.run([together])
        assert isinstance(answer, Answer), answer
        found = [score.logprob for score in answer.scores]
        for word, logprob in zip(WORDS, found, strict=True):
            (alone,) = engine.run([replace(request, choices=((word,),))])
            assert alone.usage.picture_tokens <= alone.usage.reused_tokens
            assert abs(alone.scores[0].logprob - logprob) < ROUNDED, word
        engine.run([request])
        ((first,),) = logits.values()
        planned = engine.loaded.planner.plan(together)
        way = planned.choices.ways[WORDS.index("dog house")][0]
        one_by_one = _decoded(engine.loaded.context, planned.plan.positions, way, engine.loaded.model.end_tokens)
        assert abs(_logprobs(first)[way[0]] + one_by_one - found[WORDS.index("dog house")]) < ROUNDED


def _decoded(context, position, way, ends):
    """The logprob of all but the first of these tokens, and of an end behind them, decoded one after the other."""
    seq = next(seq for seq in range(context.n_seq) if context.last_position(seq) == position - 1)
    total, one = 0.0, np.ones(1, np.int32)
    for number, token in enumerate(way):
        context.decode_tokens(token * one, (position + number) * one, seq * one, one.astype(np.bool_))
        next_ones = [way[number + 1]] if number + 1 < len(way) else list(ends)
        total += np.logaddexp.reduce(_logprobs(context.logits(0))[next_ones])
    return total


def _logprobs(logits):
    values = logits.astype(np.float64)
    return values - np.logaddexp.reduce(values)


CHECKS: dict[str, Callable[[ModelFiles, Path], None]] = {
    "equal to upstream": equals_upstream, "reuse": reuses, "restore": remembers, "choices": chooses,
    "cancel": cancels,
    "explain": explains, "memory": fits, "worker": works_in_a_worker,
}  # fmt: skip
