"""`vlm ask -t` and `vlm templates`: what is asked, what wins, and what is said of a file that is wrong."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.program import SCENE, vlm
from vlmcli.tasks import templates

SHIPPED = sorted(path.stem for path in Path(templates.__file__).parent.glob("*.toml"))
GOOD = 'description = "d"\nprompt = "p"\n'


@pytest.fixture
def own(tmp_path):
    """Write a template of the user's own, and run `vlm` where it is found."""
    folder = tmp_path / "vlm" / "templates"

    def run(*words, **files):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.toml").write_text(text, "utf-8")
        return vlm(*words, env={"XDG_CONFIG_HOME": str(tmp_path)})

    run.folder = folder
    return run


def asked(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_list_says_what_they_are_and_where_from(own):
    lines = own("templates").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[name, "built in"] for name in SHIPPED]
    assert len(SHIPPED) >= 8
    found = own("templates", tags='description = "mine\\tof\\nmine"\nprompt = "p"').stdout
    assert f"tags\t{own.folder / 'tags.toml'}\tmine of mine\n" in found
    assert len(found.splitlines()) == len(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_one_is_in_order(own, name):
    found = templates.find(name, own.folder)
    assert found.shipped
    assert set(found.slots) <= {"question", *found.defaults}
    assert len(found.description) <= 60  # so that the list fits a terminal


def test_a_template_is_asked(own):
    text = 'description = "d"\nprompt = " what is this? "\n'
    found = asked(own("ask", "-m", "demo", "-t", "mine", SCENE, "--json", mine=text))
    assert (found["question"], found["answer"]) == ("what is this?", "A red circle and a blue square.")


def test_braces_and_dollars_stay(own):
    text = "description = 'd'\nprompt = '''{\"a\": {\"b\": \"$thing\"}} costs $$5 ${thing}s'''\n"
    found = asked(own("ask", "-m", "demo", "-t", "mine", SCENE, "--param", "thing", "circle", "--json", mine=text))
    assert found["question"] == '{"a": {"b": "circle"}} costs $5 circles'
    asked_so = ("ask", "-m", "demo", "-t", "mine", SCENE, "--param", "thing=$other {x}", "--json")
    assert "$other {x}s" in asked(own(*asked_so))["question"]


def test_the_example_of_the_page_is_one(tmp_path):
    page = (ROOT / "docs" / "templates.md").read_text("utf-8")
    (tmp_path / "plant.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1], "utf-8")
    assert '{"latin": "…", "German": "…"}' in templates.read(tmp_path / "plant.toml").fill({})[0]
    assert [name for name in SHIPPED if f"`{name}`" not in page] == []


def test_the_last_word_and_each_q_fill_the_question(own):
    yes = ("ask", "-m", "demo", "-t", "yes-no", "--json", SCENE)
    assert asked(own(*yes, "Is there a star?"))["question"] == "Is there a star? Answer with yes or no alone."
    lines = own(*yes, "-q", "Is there a star?", "-q", "Is there a circle?").stdout.splitlines()
    assert ["star" in json.loads(line)["question"] for line in lines] == [True, False]


def test_a_default_is_used_unless_it_is_given(own):
    words = ("ask", "-m", "demo", "-t", "translate", SCENE, "--json")
    assert "into English." in asked(own(*words))["question"]
    assert "into German." in asked(own(*words, "--param", "language", "German"))["question"]


def test_each_and_together(own, tmp_path):
    words = ("ask", "-m", "demo", "-t", "mine", SCENE, SCENE, "--json")
    each = own(*words, mine=GOOD + "each = true")
    assert [json.loads(line)["sources"] for line in each.stdout.splitlines()] == [[SCENE], [SCENE]]
    assert asked(own(*words, "--together"))["sources"] == [SCENE, SCENE]
    assert asked(own(*words, mine=GOOD))["sources"] == [SCENE, SCENE]


def test_flags_win_over_the_template(own):
    text = 'description = "d"\nprompt = "what is this?"\nmax_tokens = 3\n'
    words = ("ask", "-m", "demo", "-t", "mine", SCENE, "--json")
    assert asked(own(*words, mine=text))["usage"]["answer_tokens"] == 3
    assert asked(own(*words, "--max-tokens", "2"))["usage"]["answer_tokens"] == 2
    assert asked(own(*words, "-o", "max_tokens", "4"))["usage"]["answer_tokens"] == 4


def test_the_system_text_reaches_the_model_unless_a_flag_has_one(own):
    words = ("ask", "-m", "demo", "-t", "mine", SCENE, "--json")
    bare = asked(own(*words, mine=GOOD))["usage"]["prompt_tokens"]
    told = asked(own(*words, mine=GOOD + 'system = "one two three four five"'))["usage"]["prompt_tokens"]
    assert told > bare
    assert asked(own(*words, "-s", "x"))["usage"]["prompt_tokens"] < told


def test_a_list_of_pictures_needs_no_word(own, tmp_path):
    (tmp_path / "list").write_text(f"{SCENE}\n")
    done = own("ask", "-m", "demo", "-t", "tags", "--files-from", str(tmp_path / "list"))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{SCENE}\t")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt = ", "not TOML"),
        ("\xff", "not TOML"),
        ("a = " + "[" * 100_000, "not TOML"),
        ('description = "d"', "prompt is missing"),
        ('description = "d"\nprompt = "  "', "prompt is missing"),
        ('prompt = "p"', "description is missing"),
        ('description = "d"\nprompt = 5', "prompt is not a string"),
        (GOOD + 'promt = "p"', "unknown key promt"),
        (GOOD + 'each = "yes"', "each is not true or false"),
        (GOOD + 'temperature = "hot"', "temperature is not a number"),
        (GOOD + "temperature = true", "temperature is not a number"),
        (GOOD + "max_tokens = 1.5", "max_tokens is not a whole number"),
        (GOOD + "top_p = 2", "top_p 2: out of range"),
        (GOOD + "temperature = nan", "temperature nan: out of range"),
        (GOOD + "defaults = 5", "defaults is not a table"),
        (GOOD + "[defaults]\nx = 5", "defaults.x is not a string"),
        (GOOD + '[defaults]\nx = "y"', "defaults.x fills no slot"),
        (GOOD + '[defaults]\nquestion = "y"', "defaults.question is never used"),
        (GOOD + "top_k = " + "9" * 5000, "not TOML"),
        ('description = "d"\nprompt = "costs $5"', "prompt has a $ without the name of a slot"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_key(own, text, says):
    own.folder.mkdir(parents=True)
    (own.folder / "mine.toml").write_bytes(text.encode("latin-1"))
    done = own("ask", "-m", "demo", "-t", "mine", SCENE)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{own.folder / 'mine.toml'}: {says}" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert "Traceback" not in done.stderr


def test_one_that_is_wrong_leaves_the_others_in_the_list(own):
    done = own("templates", mine="prompt = ")
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == len(SHIPPED)
    assert "mine.toml: not TOML" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-t", "tgas", SCENE], ["tgas: there is no such template", "did you mean tags? vlm templates lists them"]),
        (["-t", "../tags", SCENE], ["../tags: there is no such template"]),
        (["-t", "", SCENE], ["there is no such template"]),
        (["-t", "tags", SCENE, "-q", "x"], ["the template tags takes no question", "leave out x"]),
        (["-t", "tags"], ["no picture"]),
        (["-t", "tags", "--param", "x", "y", SCENE], ["no slot x", "its slots are: none"]),
        (["-t", "translate", "--param", "language=", SCENE], ["needs a value for language", "--param language=VALUE"]),
        (["-t", "translate", "--param", "language", SCENE], ["no picture"]),
        (["-t", "yes-no", SCENE], ["no question"]),
        (["-t", "yes-no", "--files-from", "list"], ["no question"]),
        (["--param", "x=y", SCENE, "?"], ["--param does nothing without a template", "-t NAME"]),
    ],
)
def test_errors_say_what_and_what_to_do(own, words, says):
    done = own("ask", "-m", "demo", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(one in done.stderr for one in says), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_template_that_is_no_file_is_not_waited_for(own):
    own.folder.mkdir(parents=True)
    os.mkfifo(own.folder / "fifo.toml")
    done = own("templates")
    assert done.returncode == 3
    assert f"{own.folder / 'fifo.toml'}: the template cannot be read (a pipe)" in done.stderr
    assert "alt-text" in done.stdout


def test_a_template_may_begin_with_a_mark_of_its_encoding(own):
    own.folder.mkdir(parents=True)
    (own.folder / "mine.toml").write_text(GOOD, "utf-8-sig")
    assert "mine" in own("templates").stdout


def test_a_system_text_with_the_question_takes_one_question(own):
    own.folder.mkdir(parents=True)
    (own.folder / "mine.toml").write_text('description = "d"\nprompt = "$question"\nsystem = "Say $question"\n')
    done = own("ask", "-m", "demo", "-t", "mine", SCENE, "-q", "what?", "-q", "where?")
    assert done.returncode == 2
    assert "the template mine takes one question at a time" in done.stderr


def test_a_template_of_a_megabyte_is_none(own):
    own.folder.mkdir(parents=True)
    (own.folder / "mine.toml").write_bytes(b"#" * ((1 << 20) + 1))
    done = own("ask", "-m", "demo", "-t", "mine", SCENE)
    assert done.returncode == 2
    assert "more than 1.0 MB" in done.stderr


def test_a_param_has_a_value(own):
    done = own("ask", "-m", "demo", "-t", "translate", SCENE, "--param=language")
    assert done.returncode == 2
    assert "--param language: the value is missing" in done.stderr


def test_show_prints_the_file_of_one(own):
    shipped = Path(templates.__file__).parent / "receipt.toml"
    assert own("templates", "show", "receipt").stdout == shipped.read_text("utf-8")
    done = own("templates", "show", "receipt", receipt="# mine\n" + GOOD)
    assert (done.stdout, done.stderr) == ("# mine\n" + GOOD.removesuffix("\n") + "\n", "")
    assert own("templates", "show", "broken", broken="prompt = ").stdout == "prompt = \n"


def test_list_lists_and_what_is_neither_says_what_to_do(own):
    assert own("templates", "list").stdout == own("templates").stdout
    for words, says in (
        (["show"], ["no template named", "vlm templates show NAME"]),
        (["show", "tags", "chart"], ["show takes one template", "vlm templates show tags"]),
        (["show", "tgas"], ["tgas: there is no such template", "tags? "]),
        (["tags"], ["but not tags\n", "to print this template: vlm templates show tags\n"]),
        (["tgas"], ["but not tgas\n", "did you mean: vlm templates show tags\n"]),
        (["shwo", "tags"], ["but not shwo\n", "did you mean: vlm templates show tags\n"]),
        (["lsit"], ["but not lsit\n", "did you mean: vlm templates list\n"]),
        (["nonsense"], ["takes list, or show and a name, but not nonsense\n", "vlm templates lists"]),
        (["list", "tags"], ["vlm templates list takes no argument\n", "vlm templates show NAME"]),
        (["show", "../secret"], ["../secret: there is no such template"]),
    ):
        done = own("templates", *words)
        assert (done.returncode, done.stdout) == (2, "")
        for text in says:
            assert text in done.stderr
