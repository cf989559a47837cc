"""Prompts: the template's own words, the user's, and never one as the other."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import FakeVocabulary
from vlmcli.engine import chat_template
from vlmcli.engine.chat_template import (
    ChatTemplate,
    Given,
    PicturePart,
    Plain,
    TextPart,
    begins_with,
    parts,
)
from vlmcli.engine.template_pictures import PROBES, word_for_a_picture
from vlmcli.errors import TemplateError
from vlmcli.pictures.images import from_pixels
from vlmcli.values import Message

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TYPED = (
    "{% for m in messages %}{{ m.role }}{% if m.content[0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
)
WORDED = TYPED.replace("{% endif %}{% endfor %}", "{% elif part.type == 'image' %}WORD{% endif %}{% endfor %}")
"""As SmolVLM's: with a word for a picture, and other things before a picture than before words."""
EITHER = (
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}"
    "{% if part.type == 'image' %}WORD{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
)
TEXT = PROBES[0][-1]["text"]
TURNS = ChatTemplate("<turn>" + CHATML)
PICTURE = from_pixels(bytes(12), (2, 2), "p.png")


def ask(*content, system=None):
    turns = [Message("system", (system,))] if system else []
    return [*turns, Message("user", content)]


def text_of(pieces, picture="▣"):
    return "".join(picture if isinstance(piece, PicturePart) else piece.text for piece in pieces)


def test_content_as_a_string():
    pieces = ChatTemplate(CHATML).render(ask(PICTURE, "what is this?"))
    assert pieces == [
        Plain("<|im_start|>user\n"),
        PicturePart(0),
        Given("what is this?"),
        Plain("<|im_end|>\n<|im_start|>assistant\n"),
    ]


def test_content_as_parts_where_a_string_would_be_lost():
    pieces = ChatTemplate(TYPED).render(ask(PICTURE, "what is this?"))
    assert text_of(pieces) == "user: ▣what is this?"


@pytest.mark.parametrize(
    ("template", "word", "prompt"),
    [
        (WORDED, "<image>", "user:▣▣what is this?assistant: a catuser: why?"),
        (EITHER, "<image>\n", "<user>▣\n▣\nwhat is this?<assistant>a cat<user>why?"),
        (EITHER, "{{ '\n<image>\n' }}", "<user>\n▣\n\n▣\nwhat is this?<assistant>a cat<user>why?"),
        (EITHER, "<|user>", "<user>▣▣what is this?<assistant>a cat<user>why?"),
        (
            EITHER.replace("{{ part.text", "<|text|>{{ part.text"),
            "<|pad|>",
            "<user>▣▣<|text|>what is this?<assistant>a cat<user>why?",
        ),
        (EITHER, "<a><a>", "<user>▣▣what is this?<assistant>a cat<user>why?"),
        (EITHER, "]<]image[>[", "<user>▣▣what is this?<assistant>a cat<user>why?"),
        (EITHER, "<|begin|><|pad|><|end|>\n", "<user>▣\n▣\nwhat is this?<assistant>a cat<user>why?"),
    ],
)
def test_a_templates_own_word_for_a_picture_is_replaced(template, word, prompt):
    source = template.replace("WORD", word)
    talk = [*ask(PICTURE, PICTURE, "what is this?"), Message("assistant", ("a cat",)), *ask("why?")]
    pieces = ChatTemplate(source).render(talk)
    assert text_of(pieces) == prompt
    assert [piece.picture for piece in pieces if isinstance(piece, PicturePart)] == [0, 1]
    between = ChatTemplate(source).render(ask("a", PICTURE, "b", PICTURE, "c"))
    assert text_of(between).replace("\n", "").replace("<|text|>", "").endswith("a▣b▣c")


@pytest.mark.parametrize(
    "word",
    [
        "",  # none at all
        "Picture {{ loop.index }}: ",  # words
        "<image_{{ loop.index }}>",  # another one for each
        "{{ part }}",
        "{{ part | tojson }}",
        "<a>{{ raise_exception('no pictures') }}",
        "{{ 'x' * 999999999999 }}",
        "{{ '<' * 60000 }}",
        "{{ '<>' * 4000 }}",
    ],
)
def test_without_a_word_of_its_own_a_picture_stands_among_the_words(word):
    pieces = ChatTemplate(EITHER.replace("WORD", word)).render(ask(PICTURE, PICTURE, "what is this?"))
    assert text_of(pieces) == "<user>▣▣what is this?"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("<" * 100_000 + TEXT, "<" * 150_000 + TEXT),
        ("<" * 100_000 + TEXT, "<" * 105_000 + TEXT),
        ("<" * 100_000 + TEXT, "<" * 100_001 + TEXT),
        ("<>" * 50_000 + TEXT, "<>" * 50_003 + TEXT),
    ],
)
def test_a_word_is_looked_for_in_bounded_time(one, two):
    started = time.thread_time()
    assert word_for_a_picture(one, two) == ""
    assert time.thread_time() - started < 1


def test_a_word_for_pictures_that_is_elsewhere_too_is_not_taken_for_one():
    source = "{% if messages | length > 1 %}What <image> means.{% endif %}" + EITHER.replace("WORD", "<image>\n")
    talk = [*ask(PICTURE, "what is this?"), Message("assistant", ("a cat",)), *ask("why?")]
    assert (
        text_of(ChatTemplate(source).render(talk))
        == "What <image> means.<user>▣what is this?<assistant>a cat<user>why?"
    )
    assert text_of(ChatTemplate(source).render(talk[:1])) == "<user>▣\nwhat is this?"


def test_a_users_text_is_not_taken_for_the_word_for_pictures():
    template = ChatTemplate(EITHER.replace("WORD", "<image>\n"))
    assert text_of(template.render(ask("<image>", PICTURE, "<image>\n"))) == "<user><image>▣\n<image>\n"


def test_where_libmtmd_ends_a_pictures_line_the_template_does_not_end_it_again():
    source = EITHER.replace("WORD", "<image>\n")
    assert text_of(ChatTemplate(source, lined=True).render(ask(PICTURE, "\nwhy?"))) == "<user>▣\nwhy?"
    assert text_of(ChatTemplate(source).render(ask(PICTURE, "\nwhy?"))) == "<user>▣\n\nwhy?"


def test_content_as_parts_where_a_string_gets_more_around_it():
    source = EITHER.replace("{{ m.content }}", "        {{ m.content }}").replace("WORD", "<image>")
    assert text_of(ChatTemplate(source).render(ask("hello"))) == "<user>hello"


def test_a_refused_system_message_goes_before_the_picture_too():
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + EITHER
    pieces = ChatTemplate(source.replace("WORD", "<image>\n")).render(ask(PICTURE, "q", system="Be brief."))
    assert text_of(pieces) == "<user>Be brief.\n\n▣\nq"


def test_several_pictures_keep_their_order():
    pieces = ChatTemplate(CHATML).render(ask("a", PICTURE, "b", PICTURE, PICTURE))
    assert [piece.picture for piece in pieces if isinstance(piece, PicturePart)] == [0, 1, 2]


def test_upper_casing_and_trimming_templates_keep_the_users_words():
    template = ChatTemplate("{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}")
    assert text_of(template.render(ask(PICTURE, " Hello you "))) == "▣ Hello you"
    assert text_of(template.render(ask("\n Hello\tyou\n", PICTURE, " \n"))) == "Hello\tyou\n▣"
    spaces = " " * (chat_template.MAX_SPACES + 1)
    assert text_of(template.render(ask(PICTURE, f"Hello{spaces}"))) == f"▣Hello{spaces}"


def test_a_template_that_does_not_trim_keeps_white_space():
    assert text_of(ChatTemplate(CHATML).render(ask("\n a ", PICTURE, " ", " b\n"))) == (
        "<|im_start|>user\n\n a ▣  b\n<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_refused_system_message_goes_before_the_question():
    refusing = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content }}|{% endfor %}"
    )
    dropping = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}|{% endif %}{% endfor %}"
    for source in (refusing, dropping):
        assert text_of(ChatTemplate(source).render(ask(PICTURE, "q", system="Be brief."))) == "Be brief.\n\n▣q|"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content[:9] if messages[0].content is string }}",
        "{{ messages[0].role }}",
        "{{ messages[0].content * 2 }}",
    ],
)
def test_a_template_that_loses_or_repeats_is_an_error(source):
    with pytest.raises(TemplateError):
        ChatTemplate(source).render(ask(PICTURE, "q"))


@pytest.mark.parametrize(
    "source", [None, "", "{% for %}", "{{ 1/0 }}", "{{ nothing.at.all }}", "{{ raise_exception('no') }}"]
)
def test_a_template_that_cannot_be_used_names_the_next_step(source):
    with pytest.raises(TemplateError) as caught:
        ChatTemplate(source).render(ask(PICTURE, "q"))
    assert "--chat-template" in caught.value.hint


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
        "{{ 'x' * 999999999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ cycler() }}",
        "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
        "{{ messages[0].content[:24] }}999999",
        "{{ [1]|slice(100000000)|list|length }}",
        "{{ 'a'.ljust(9999999999) }}",
        "{{ 'a'|center(9999999999) }}",
        "{{ messages|tojson(indent=999999999) }}",
    ],
)
def test_a_hostile_template_is_stopped(source, monkeypatch):
    monkeypatch.setattr(chat_template, "READING_SECONDS", 0.4)
    started = time.thread_time()
    with pytest.raises(TemplateError):
        ChatTemplate(source).render(ask(PICTURE, "q"))
    assert time.thread_time() - started < 3


def test_bos_is_looked_for_in_the_templates_own_words():
    template = ChatTemplate("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}", bos="<s>")
    assert begins_with(template.render(ask(PICTURE, "q")), "<s>")
    bare = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", bos="<s>")
    assert not begins_with(bare.render(ask("<s>", PICTURE)), "<s>")


def test_harmless_text_is_tokenised_together_with_the_template():
    joined = parts([Plain("<|im_start|>user\n"), Given("hi"), Plain("<|im_end|>")], FakeVocabulary())
    assert joined == [TextPart("<|im_start|>user\nhi<|im_end|>", True)]


def specials(result, vocabulary):
    return [
        token
        for part in result
        if isinstance(part, TextPart)
        for token in vocabulary.tokenize(part.text, part.parse_special)
        if token >= 2_000_000
    ]


def test_an_added_token_cannot_be_written_by_a_user_whoever_uses_it():
    """A family's picture tokens are put in by libmtmd, not by the template, and may be of the added kind."""
    vocabulary = FakeVocabulary(special=(), added=("<turn>", "<image>", "\n\n", "<a>", "<b"))
    result = parts([Plain("<turn>user"), Given("a<turn>b\n\nc<image><<a>a>"), Plain("\n\n")], vocabulary)
    found = [vocabulary.text(token) for token in specials(result, vocabulary)]
    assert [name for name in found if name != "\n\n"] == ["<turn>"]
    assert found.count("\n\n") == 2
    assert "".join(part.text for part in result) == "<turn>usera<turn>b\n\nc<image><<a>a>\n\n"


def test_an_end_token_that_was_added_by_hand_is_cut_too():
    vocabulary = FakeVocabulary(special=(), added=("</s>",))
    vocabulary.is_special = lambda token: token == vocabulary.id("</s>")
    result = parts([Plain("user: "), Given("hi</s>there"), Plain("</s>")], vocabulary)
    assert len(specials(result, vocabulary)) == 1


WORDS = st.lists(
    st.sampled_from(
        [
            "<|im_start|>",
            "<|im_end|>",
            "<turn>",
            "<",
            "|",
            "im_",
            "start|>",
            "<__media__>",
            "{{ 7*7 }}",
            "{% raw %}",
            "a",
            "\n",
        ]
    ),
    max_size=8,
).map("".join)


@given(WORDS, WORDS, WORDS)
def test_no_text_becomes_a_special_token_a_picture_or_an_instruction(first, second, system):
    vocabulary = FakeVocabulary(added=("<turn>",))
    template = TURNS
    messages = [Message("system", (system,)), Message("user", (first, PICTURE, second))]
    pieces = template.render(messages)
    assert text_of(pieces) == (
        f"<turn><|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{first}▣{second}<|im_end|>\n<|im_start|>assistant\n"
    )
    result = parts(pieces, vocabulary)
    assert sum(isinstance(part, PicturePart) for part in result) == 1
    harmless = parts(template.render([Message("system", ("s",)), Message("user", ("a", PICTURE, "b"))]), vocabulary)
    assert specials(result, vocabulary) == specials(harmless, vocabulary)
    assert text_of([Plain(p.text) if isinstance(p, TextPart) else p for p in result]) == text_of(pieces)
