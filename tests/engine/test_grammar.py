"""Answers that follow a grammar, on the real engine, beside llama.cpp's own grammars, and after hostile ones."""

import ctypes
import json
import random
import time

import numpy as np
import pytest

from tests.support.engines import Tap, ask, noise, opened, small_files
from vlmcli import demo
from vlmcli.bench.pairs import SMALL
from vlmcli.engine import native
from vlmcli.engine.grammar import Automaton, Follower, Pieces
from vlmcli.errors import RequestError
from vlmcli.values import Answer, Sampling

JSON = r"""
root   ::= "{" ws pair ("," ws pair)* "}"
pair   ::= string ":" ws value ws
value  ::= string | number | "[" ws (value ws ("," ws value ws)*)? "]" | "true" | "false" | "null"
string ::= "\"" [a-z ]{1,12} "\""
number ::= "-"? [1-9] [0-9]{0,3}
ws     ::= " "?
"""
HOT = Sampling(temperature=3.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)
QUESTION, RIGHT = "What is this?", "A red circle and a blue square."


def one(engine, *arguments, **options):
    (outcome,) = engine.run([ask(*arguments, **options)])
    return outcome


def test_an_answer_is_one_of_two(demo_engine, scene):
    grammar = 'root ::= "yes" | "no"'
    answers = [
        one(demo_engine, question, scene, grammar=grammar)
        for question in ("Is there a red circle?", "Is there a green star?", QUESTION)
    ]
    assert [answer.text for answer in answers[:2]] == ["yes", "no"]
    assert answers[2].text in ("yes", "no")
    assert {answer.finish_reason for answer in answers} == {"stop"}


def test_a_grammar_that_is_met_changes_nothing(demo_engine, scene):
    free = one(demo_engine, QUESTION, scene)
    held = one(demo_engine, QUESTION, scene, grammar="root ::= .+")
    assert (held.text, held.finish_reason, held.usage.answer_tokens) == (RIGHT, "stop", free.usage.answer_tokens)


def test_what_is_left_open_the_model_fills_in(demo_engine, scene):
    answer = one(demo_engine, QUESTION, scene, grammar='root ::= "It is a red " [a-z]+ " and a " [a-z]+ " square."')
    assert answer.text == "It is a red circle and a blue square."
    boxes = one(demo_engine, "List the shapes as JSON.", scene, tokens=300, grammar=JSON)
    assert boxes.finish_reason == "stop"
    assert json.loads(boxes.text)


@pytest.mark.parametrize("sampling", [Sampling(), HOT, Sampling(repeat_penalty=3.0), Sampling(temperature=1.0, seed=3)])
@pytest.mark.parametrize("name", ["llava", "qwen25vl", "lfm2vl"])
def test_random_weights_write_json(small, name, sampling):
    """The models know nothing, and all samplers are in the way: what is finished can be read."""
    with opened(small_files(small, name)) as engine:
        requests = [ask("JSON, please", noise(n), tokens=120, grammar=JSON, sampling=sampling) for n in range(4)]
        outcomes = engine.run(requests)
    for outcome in outcomes:
        assert isinstance(outcome, Answer), outcome
        if outcome.finish_reason == "stop":
            assert json.loads(outcome.text)
        automaton = Automaton(JSON)
        assert automaton.feed(automaton.start, b"", outcome.text.encode()) is not None
    if sampling == HOT:
        assert "stop" in {outcome.finish_reason for outcome in outcomes}


def test_requests_with_and_without_run_together(demo_engine, scene):
    grammars = ["", 'root ::= "yes" | "no"', "", "root ::= [A-Z]{3}", 'root ::= "yes" | "no"']
    outcomes = demo_engine.run(ask("Is there a red circle?", scene, grammar=grammar) for grammar in grammars)
    assert [outcome.text for outcome in outcomes[:3]] == ["Yes.", "yes", "Yes."]
    assert len(outcomes[3].text) == 3
    assert outcomes[3].text.isupper()
    assert outcomes[4].text == "yes"


def test_the_end_of_the_grammar_is_the_end(demo_engine, scene):
    """After its last character there is no other token than the end: it is not even asked for."""
    picks = []
    demo_engine.observer = Tap(lambda id, number, logits: picks.append(number))
    try:
        answer = one(demo_engine, QUESTION, scene, grammar='root ::= "A red"')
    finally:
        demo_engine.observer = None
    assert (answer.text, answer.finish_reason) == ("A red", "stop")
    assert len(picks) == answer.usage.answer_tokens
    empty = one(demo_engine, QUESTION, scene, grammar='root ::= ""')
    assert (empty.text, empty.finish_reason, empty.usage.answer_tokens) == ("", "stop", 0)


def test_a_grammar_without_end_is_cut(demo_engine, scene):
    answer = one(demo_engine, QUESTION, scene, tokens=30, grammar='root ::= "ab" root')
    assert (answer.finish_reason, answer.usage.answer_tokens) == ("length", 30)
    assert answer.text.startswith("ababab")


def test_characters_of_several_tokens(demo_engine, scene):
    answer = one(demo_engine, QUESTION, scene, grammar='root ::= "😀€ä" [☀-☺]{2}')
    assert answer.text.startswith("😀€ä")
    assert len(answer.text) == 5
    assert all("☀" <= char <= "☺" for char in answer.text[3:])


HOSTILE = {
    "no root": 'x ::= "a"',
    "no rules": "# nothing",
    "not GBNF": '{"type": "object"}',
    "a rule that is not there": "root ::= x",
    "left recursion": 'root ::= root "a" | "b"',
    "left recursion behind a rule that may be empty": 'root ::= a\na ::= b a "x" | "y"\nb ::= c\nc ::= "" | "z"',
    "groups in groups": "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
    "a very long text": 'root ::= "' + "a" * 1_000_000 + '"',
    "a hundred thousand repetitions": 'root ::= "a"{0,100000}',
    "a number of many digits": 'root ::= "a"{' + "9" * 1000 + "}",
    "repetitions of repetitions": 'root ::= "abcdefgh"{2000}{2000}{2000}',
    "NUL": 'root ::= "a"\0',
    "not UTF-8": 'root ::= "\udcff"',
    "a token": "root ::= <|im_end|>",
    "an open literal": 'root ::= "a',
    "what may be empty, many times": 'root ::= ("a"?){2000} "b"',
    "a character that is none": r'root ::= "\U7FFFFFFF"',
    "many readings": 'root ::= "[" (' + " | ".join(f'"a" x{n}' for n in range(300)) + ")\n"
    + "\n".join(f'x{n} ::= "{n}"' for n in range(300)),
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_grammar_is_that_requests_error(demo_engine, scene, text):
    start = time.monotonic()
    good, bad, other = demo_engine.run(
        [ask(QUESTION, scene), ask(QUESTION, scene, grammar=text), ask("What color is the circle?", scene)]
    )
    assert isinstance(bad, RequestError), bad
    assert bad.message
    assert bad.hint
    assert "\n" not in bad.message
    assert (good.text, other.text) == (RIGHT, "The circle is red.")
    assert time.monotonic() - start < 10


SLOW = {
    "two to the n readings": 'root ::= "a" root "b" | "a" root "c" | "a"',
    "two to the n rules": "root ::= r0\n" + "\n".join(f"r{n} ::= r{n + 1} | r{n + 1}" for n in range(60))
    + '\nr60 ::= [a-z]+',
    "as deep as can be": 'root ::= "[" root "]" | "[" root | "["',
    "a long chain": "root ::= r0\n" + "\n".join(f"r{n} ::= r{n + 1}" for n in range(4000)) + "\nr4000 ::= [a-z]+",
}  # fmt: skip


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_a_grammar_that_would_take_for_ever_does_not(demo_engine, scene, text):
    start = time.monotonic()
    outcome = one(demo_engine, QUESTION, scene, tokens=100, grammar=text)
    assert isinstance(outcome, Answer | RequestError)
    assert one(demo_engine, QUESTION, scene).text == RIGHT
    assert time.monotonic() - start < 20


def test_a_vocabulary_that_cannot_write_it(small):
    """The smallest SentencePiece vocabulary has all bytes; one with a token less has a character less."""
    with opened(small_files(small, "llava")) as engine:
        engine.loaded.grammars.follower('root ::= "x"')
        pieces = engine.loaded.grammars.pieces
        pieces.pieces[pieces.odd[0]] = b""
        kept = list(pieces.odd[1:])
        pieces.odd[:] = []
        outcome = one(engine, "?", noise(1), grammar='root ::= "ä"')
        assert isinstance(outcome, RequestError)
        assert "cannot write" in outcome.message
        pieces.odd[:] = kept
        assert isinstance(one(engine, "?", noise(1), grammar='root ::= "x"'), Answer)


def llamas_mask(sampler, n_vocab):
    """What llama.cpp's own sampler leaves of a vocabulary."""
    llama = native.library.llama
    tokens = np.zeros(n_vocab, native.sampler.TOKEN_DATA)
    tokens["id"] = np.arange(n_vocab)
    array = llama.llama_token_data_array()
    array.data = tokens.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
    array.size, array.selected, array.sorted = n_vocab, -1, False
    llama.llama_sampler_apply(sampler, ctypes.byref(array))
    return np.isfinite(tokens["logit"])


def broken(text):
    """Whether bytes are not the beginning of UTF-8 text."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason != "unexpected end of data"
    return False


@pytest.mark.parametrize("name", ["demo", *SMALL])
def test_the_mask_is_llama_cpps(small, name):
    """Along random walks through good grammars; but for what is no text: special tokens and bytes that are not UTF-8.

    llama.cpp would let a special token be written by its name, and takes 0xF5 to 0xFF for beginnings of characters.
    """
    path = demo.FILES.model if name == "demo" else small / f"{name}.gguf"
    llama, rng = native.library.llama, random.Random(0)
    with native.Model(path, 0, lambda done: None, native.AbortFlag()) as model:
        tokens = range(model.n_vocab)
        pieces = Pieces([model.piece(token) for token in tokens], filter(model.ends, tokens))
        vocabulary = llama.llama_model_get_vocab(model.pointer)
        for text in (JSON, 'root ::= "yes" | "no" "!"*', "root ::= [^a-y]{2,5} .+", 'root ::= "€" | ("ä" "😀"?)+'):
            automaton = Automaton(text)
            for _ in range(6):
                sampler = llama.llama_sampler_init_grammar(vocabulary, text.encode(), b"root")
                follower = Follower(automaton, pieces)
                written = b""
                for _ in range(15):
                    mine, theirs = follower.mask(), llamas_mask(sampler, model.n_vocab)
                    for token in np.flatnonzero(mine != theirs):
                        assert theirs[token]
                        assert not pieces.pieces[token] or broken(written + pieces.pieces[token])
                    token = int(rng.choice(np.flatnonzero(mine)))
                    if model.ends(token):
                        break
                    follower.take(token)
                    written += pieces.pieces[token]
                    llama.llama_sampler_accept(sampler, token)
                llama.llama_sampler_free(sampler)
