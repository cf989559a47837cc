"""GBNF as an automaton: what it allows, what it refuses, and that nothing in it is without a bound."""

import random
import re
import time

import numpy as np
import pytest

from vlmcli.engine import grammar
from vlmcli.engine.grammar import Automaton, Follower, Grammars, Pieces
from vlmcli.errors import RequestError

WORDS = [
    "a",
    "b",
    "ab",
    "ba",
    "yes",
    "no",
    "ye",
    "s",
    " ",
    '"',
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "1",
    "23",
    "\n",
    "ä",
    "€€",
]
PIECES = Pieces([word.encode() for word in WORDS] + [b"\xe2", b"\x82\xac", b"\xf0\x9f", b"", b"", b"end"], [25, 26])
EXAMPLE = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


def matches(text, answer):
    """Whether an answer, whole, follows a grammar."""
    automaton = Automaton(text)
    after = automaton.feed(automaton.start, b"", answer.encode("utf-8", "surrogateescape"))
    return after is not None and not after[1] and automaton.may_end(after[0])


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ('root ::= "yes" | "no"', ["yes", "no"], ["", "ye", "yesno", "maybe"]),
        ("root ::= [a-c]+", ["a", "abcabc"], ["", "d", "abd"]),
        ("root ::= [^a-c]*", ["", "xyz€"], ["xa"]),
        ("root ::= [-a] [a-]", ["-a", "a-"], ["b-"]),
        (r'root ::= "\x41\u00e4\U0001F600\t\n\\\"\]" [\]]', ['Aä😀\t\n\\"]]'], ["A"]),
        ('root ::= "a"{2}', ["aa"], ["a", "aaa"]),
        ('root ::= "a"{2,}', ["aa", "aaaaa"], ["a"]),
        ('root ::= "a"{1,3}', ["a", "aa", "aaa"], ["", "aaaa"]),
        ('root ::= "a"{0}', [""], ["a"]),
        ('root ::= ("ab" | "c"){0,2} "d"?', ["", "abc", "ccd", "d"], ["abab" + "c", "dd"]),
        ('root ::= "ab"+', ["ab", "abab"], ["aba"]),
        ('root ::= ("a"?)*', ["", "aaa"], ["b"]),
        ('root ::= x y # and so on\n# more\nx ::= "a" |\n\n "b"\ny ::= (\n "c"\n )', ["ac", "bc"], ["a", "c"]),
        ('root ::= "(" root ")" | ""', ["", "(())"], ["(()"]),
        ("root ::= .", ["a", "\n", "😀"], ["", "ab"]),
        ('root ::= "a" rest\r\nrest ::= "b"\r\n', ["ab"], ["a"]),
        ('root ::= ""', [""], ["a"]),
        (EXAMPLE, ['{"a": [1, -2.5e+3, {}], "b": "\\u00ff"}', "{}"], ["[1]", '{"a"}', '{"a": "\n"}', '{"a": [1 2]}']),
    ],
)
def test_what_a_grammar_means(text, yes, no):
    assert [matches(text, answer) for answer in yes] == [True] * len(yes)
    assert [matches(text, answer) for answer in no] == [False] * len(no)


WRONG = {
    "": "no rule named root",
    'x ::= "a"': "no rule named root",
    "root ::= x": "uses 'x', which has no rule",
    'root "a"': "line 1 of the grammar: expected ::= at",
    'root ::= "a"\nb = "c"': "line 2 of the grammar: expected ::= at",
    'root ::= "a': "is not closed",
    "root ::= [a": "is not closed",
    "root ::= (": "expected ) at the end",
    'root ::= "a" )': "unexpected ')'",
    "root ::= *": "nothing to repeat",
    "root ::= [z-a]": "the range from 'z' to 'a' runs backwards",
    "root ::= []": "an empty set",
    "root ::= [^]": "an empty set",
    r'root ::= "\q"': r"unknown escape \q",
    r'root ::= "\x4"': "needs 2 hexadecimal digits",
    r'root ::= "\UFFFFFFFF"': "is not a character",
    'root ::= "a"{': "expected a number at the end",
    'root ::= "a"{2,1}': "the repetition from 2 to 1 runs backwards",
    'root ::= "a"{2 3}': "expected } at",
    'root ::= "a"\nroot ::= "b"': "already a rule 'root'",
    "root ::= <think>": "tokens (<…>) are not supported",
    'root ::= root "a" | "b"': "rule 'root' begins with itself",
    'root ::= a\na ::= b a "x" | "y"\nb ::= c\nc ::= "" | "z"': "rule 'a' begins with itself",
    'root ::= (root "a")*': "begins with itself",
    'root ::= "a"\0': "not text",
    'root ::= "\udcff"': "not text",
    "root ::= " + "(" * 200_000 + '"a"' + ")" * 200_000: "characters",
    "root ::= " + "(" * 51 + '"a"' + ")" * 51: "nested more than 50 deep",
    'root ::= "a"{0,100000}': "more than 2000 repetitions",
    'root ::= "a"{99999999999999999999999999}': "more than 2000 repetitions",
    'root ::= (("a"{1,2000}) "b"){1,2000} ("c"{9}){2000}{2000}': "more than 50000 items",
    'root ::= ("a"?){2000} "b"': "too ambiguous",
}


@pytest.mark.parametrize(("text", "says"), WRONG.items(), ids=range(len(WRONG)))
def test_a_wrong_grammar_is_refused_in_one_line(text, says):
    start = time.monotonic()
    with pytest.raises(RequestError) as caught:
        Automaton(text)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200
    assert caught.value.hint
    assert time.monotonic() - start < 5


LARGE = {
    "a long chain of rules": "root ::= r0\n" + "\n".join(f"r{n} ::= r{n + 1}" for n in range(4000)) + '\nr4000 ::= "x"',
    "rules of two equal alternatives": "\n".join(f"r{n} ::= r{n + 1} | r{n + 1}" for n in range(200))
    + '\nr200 ::= "x"\nroot ::= r0',
    "rules that may be empty, last one first": "root ::= r0 x\n"
    + "\n".join(f"r{n} ::= r{n + 1}" for n in range(4000))
    + '\nr4000 ::= ""\nx ::= "x"',
    "many comments": "#" * 30_000 + "\n" * 30_000 + 'root ::= "x"',
    "many alternatives": "root ::= " + " | ".join(f'"{n}"' for n in range(240)) + ' | "x"',
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_what_overflows_or_hangs_llama_cpps_parser_is_read(text):
    start = time.monotonic()
    assert matches(text, "x")
    assert not matches(text, "y")
    assert time.monotonic() - start < 5


def test_what_has_two_to_the_nth_readings_ends():
    """After n letters there are 2**n stacks: the automaton stops following at its limit."""
    text = 'root ::= "a" root "b" | "a" root "c" | "a"'
    assert matches(text, "aab")
    start = time.monotonic()
    assert not matches(text, "a" * 40)
    assert time.monotonic() - start < 5


def test_how_deep_an_answer_may_be_has_an_end():
    text = 'root ::= "[" root "]" | "x"'
    assert matches(text, "[" * 500 + "x" + "]" * 500)
    assert not matches(text, "[" * 5000 + "x" + "]" * 5000)


GRAMMARS = [
    'root ::= "yes" | "no"',
    "root ::= [ab]+",
    EXAMPLE,
    "root ::= .{3}",
    'root ::= "€" | "😀"+',
    "root ::= [^a]+",
]


@pytest.mark.parametrize("text", GRAMMARS, ids=range(len(GRAMMARS)))
def test_the_mask_is_what_each_token_says_alone(text):
    """Along random walks, tokens that begin alike are looked at together; alone, each says the same."""
    automaton, rng = Automaton(text), random.Random(0)
    for _ in range(30):
        follower = Follower(automaton, PIECES)
        written = b""
        for _ in range(12):
            alone = [follower.allows(token) for token in range(len(PIECES.pieces))]
            if not any(alone):
                with pytest.raises(RequestError, match="cannot write"):
                    follower.mask()
                break
            assert follower.mask().tolist() == alone
            token = rng.choice(np.flatnonzero(alone).tolist())
            if token in (25, 26):
                assert matches(text, written.decode())
                break
            written += PIECES.pieces[token]
            follower.take(token)
            if follower.ended:
                assert matches(text, written.decode())
                break


def test_a_character_in_parts():
    euro = Follower(Automaton('root ::= "€"'), PIECES)
    names = [PIECES.pieces[token] for token in np.flatnonzero(euro.mask())]
    assert names == [b"\xe2"]
    euro.take(21)
    assert [PIECES.pieces[token] for token in np.flatnonzero(euro.mask())] == [b"\x82\xac"]
    assert not euro.ended
    euro.take(22)
    assert euro.ended
    assert np.flatnonzero(euro.mask()).tolist() == [25, 26]


@pytest.mark.parametrize("first", [b"\xc3", b"\xe0", b"\xe2\x82", b"\xed", b"\xf0", b"\xf0\x9f", b"\xf4"])
def test_what_a_part_of_a_character_can_become(first):
    low, high = grammar._completions(first)
    became = [
        code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000 and chr(code).encode().startswith(first)
    ]
    assert low <= became[0]
    assert became[-1] <= high
    assert not re.search("[^\ud800-\udfff]", "".join(chr(code) for code in {low, high} - {became[0], became[-1]}))


def test_a_token_that_was_not_allowed_is_an_error_and_no_crash():
    follower = Follower(Automaton('root ::= "yes"'), PIECES)
    with pytest.raises(RequestError, match="does not allow"):
        follower.take(0)
    assert follower.allows(4)


def test_an_automaton_is_kept_for_the_next_answer_until_it_is_large(monkeypatch):
    made = []
    monkeypatch.setattr(grammar, "Automaton", lambda text: made.append(text) or Automaton(text))
    grammars = Grammars(lambda: PIECES)
    texts = [f'root ::= "{n}"' for n in range(grammar.KEPT_AUTOMATA + 1)]
    grammars.follower(texts[0])
    grammars.follower(texts[0])
    assert made == texts[:1]
    for text in texts[1:]:
        grammars.follower(text)
    grammars.follower(texts[0])
    assert made == [*texts, texts[0]]
    monkeypatch.setattr(grammar, "MAX_KEPT", 0)
    with pytest.raises(RequestError, match="too ambiguous"):
        grammars.follower(texts[0])


def test_an_automaton_stops_before_it_fills_the_memory(monkeypatch):
    """A grammar in which every answer is a state of its own."""
    monkeypatch.setattr(grammar, "MAX_KEPT", 20_000)
    automaton = Automaton('root ::= "a" root "x" | "b" root "y" | "c"')
    with pytest.raises(RequestError, match="too ambiguous"):
        for number in range(1000):
            automaton.feed(automaton.start, b"", bin(number)[2:].replace("0", "a").replace("1", "b").encode() * 5)
