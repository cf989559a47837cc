"""Answers by a schema or a regular expression, on the real engine: they follow it, whatever the model would say."""

import json
import re
from pathlib import Path
from random import Random

import jsonschema
import numpy as np
import pytest

from tests.schemas import HOT, followed, random_schema
from tests.support.engines import ask, noise, opened, small_files
from vlmcli import demo
from vlmcli.bench.pairs import SMALL
from vlmcli.engine.guided import Guides, regex_grammar, schema_grammar
from vlmcli.engine.vocabulary import Vocabulary, kept, read
from vlmcli.errors import RequestError
from vlmcli.memo import kept_in
from vlmcli.values import Answer

RECEIPT = {
    "type": "object",
    "properties": {"shop": {"type": ["string", "null"], "maxLength": 8}, "total": {"type": "integer", "maximum": 99}},
    "required": ["shop", "total"],
    "additionalProperties": False,
}


def guides_of(vocabulary):
    """Guides over a vocabulary of a test's own."""
    guides = Guides(Path("none"))
    guides.learn(lambda: vocabulary)
    return guides


@pytest.mark.parametrize("name", ["demo", *SMALL])
def test_random_weights_write_what_the_schema_says(small, name):
    files = demo.FILES if name == "demo" else small_files(small, name)
    with opened(files) as engine:
        requests = [ask("x?", noise(1, (90, 70)), tokens=120, sampling=HOT, schema=json.dumps(RECEIPT))] * 3
        for answer in engine.run(requests):
            assert isinstance(answer, Answer), answer
            assert answer.finish_reason == "stop"
            jsonschema.validate(json.loads(answer.text), RECEIPT)


@pytest.mark.parametrize("seed", range(24))
def test_random_schemas_are_followed_or_refused(demo_engine, seed):
    rng = Random(seed)
    for _ in range(2):
        followed(demo_engine, noise(1, (90, 70)), random_schema(rng))


def test_a_regular_expression_is_matched_whole(demo_engine, scene):
    for pattern in (r"[A-Z]{3}-\d{2,4}", r"(ja|nein)!?", r"[äöü]{2}€"):
        (answer,) = demo_engine.run([ask("What is this?", scene, sampling=HOT, regex=pattern)])
        assert isinstance(answer, Answer), answer
        assert re.fullmatch(pattern, answer.text), answer.text


def test_forms_of_all_kinds_run_together(demo_engine, scene):
    question = "What is this?"
    found = demo_engine.run(
        [
            ask(question, scene),
            ask(question, scene, schema=json.dumps(RECEIPT), tokens=80),
            ask(question, scene, regex="[0-9]+!"),
            ask(question, scene, grammar='root ::= "yes" | "no"'),
        ]
    )
    assert found[0].text == "A red circle and a blue square."
    jsonschema.validate(json.loads(found[1].text), RECEIPT)
    assert found[3].text in ("yes", "no")


@pytest.mark.parametrize("text", ["{", "(", '{"type": "strin"}', '{"not": {}}', '{"if": {}, "then": {}}'])
def test_what_is_not_supported_is_that_requests_error(demo_engine, scene, text):
    kind = {"regex": text} if text == "(" else {"schema": text}
    wrong, right = demo_engine.run([ask("What is this?", scene, **kind), ask("What is this?", scene)])
    assert isinstance(wrong, RequestError), wrong
    assert right.text == "A red circle and a blue square."


def walk(guides, vocabulary, make, text, rng, most=80):
    """Take random tokens; the mask and `allows` must say the same of all that the mask has."""
    follower, written = guides.follower(make, text), b""
    pieces = vocabulary.pieces
    for _ in range(most):
        mask = follower.mask()
        allowed = np.flatnonzero(mask)
        for token in rng.sample(allowed.tolist(), min(8, len(allowed))):
            assert follower.allows(token)
        for token in rng.sample(range(len(pieces)), 8):
            assert mask[token] <= follower.allows(token)
        token = int(rng.choice(allowed))
        if token in vocabulary.ends:
            return written
        follower.take(token)
        written += pieces[token]
        if follower.ended:
            return written
    return None


def test_the_mask_lets_through_what_ends_well():
    """Over a vocabulary of bytes and of pieces that cross the grammar's borders."""
    pieces = [bytes([byte]) for byte in range(256)] + [b'{"', b'": ', b', "', b'"}', b"tru", b"null", "ü".encode(), b""]
    vocabulary = Vocabulary.of([*pieces, b""], [len(pieces)])
    guides, rng, ended = guides_of(vocabulary), Random(3), 0
    for _ in range(30):
        written = walk(guides, vocabulary, schema_grammar, json.dumps(RECEIPT), rng)
        if written is not None:
            jsonschema.validate(json.loads(written), RECEIPT)
            ended += 1
    assert ended > 20
    for _ in range(10):
        assert re.fullmatch(rb"a{2,4}(b|c)", walk(guides, vocabulary, regex_grammar, "a{2,4}(b|c)", rng))


def test_a_special_token_is_never_written():
    vocabulary = Vocabulary.of([b"a", b"", b"b", b""], [3])
    follower = guides_of(vocabulary).follower(regex_grammar, ".{2}")
    assert not follower.allows(1)
    assert follower.mask().tolist() == [True, False, True, False]


def test_a_vocabulary_is_kept_from_one_engine_to_the_next(tmp_path):
    request = ask("x?", noise(1, (90, 70)), schema=json.dumps(RECEIPT), tokens=80)
    with kept_in(tmp_path / "kept"):
        assert kept(demo.FILES.model) is None
        with opened(demo.FILES) as engine:
            (answer,) = engine.run([request])
            model = engine.model
            pieces = [model.piece(token) for token in range(model.n_vocab)]
            known = kept(demo.FILES.model)
            assert known == Vocabulary.of(pieces, list(model.end_tokens)) == read(model)
        assert kept(demo.FILES.projector) is None
        with opened(demo.FILES, ready=False) as engine:  # it begins before the model is loaded
            (again,) = engine.run([request])
            assert again.text == answer.text
    assert kept(demo.FILES.model) is None


def test_masks_are_the_same_before_and_after_slices_are_made(demo_engine, scene):
    """The first request has a tokenizer without slices, later ones have one with them."""
    request = ask("What is this?", scene, sampling=HOT, schema=json.dumps(RECEIPT), tokens=80)
    answers = [demo_engine.run([request])[0].text for _ in range(6)]
    assert len(set(answers)) == 1
