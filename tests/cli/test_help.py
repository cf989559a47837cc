"""The help pages, at every width and for every command, and what is said of options that are typed wrong."""

import re
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.program import SCENE, vlm
from tests.support.terminal import Terminal
from vlmcli.cli import help
from vlmcli.cli.app import GROUPS, VERBS, function_of, root_page
from vlmcli.cli.parameters import parameters

LISTED = [name for names in GROUPS.values() for name in names]
LIBRARY = re.compile(
    r"Value error|Input should|Invalid value|valid integer|valid float|Missing (argument|option|parameter|command)"
    r"|No such (option|command)|unexpected extra|requires an argument|<list|<str|\[default|\[required|range\.|x<=|x>="
    r"|not one of|Traceback|Try '"
)
"""Words of Typer, click and pydantic."""


def pages(width, *, short):
    """The help of `vlm` and of every command, by name."""
    return {"vlm": root_page(width, short=short)} | {
        name: help.page(f"vlm {name}", function_of(name), width, short=short) for name in VERBS
    }


# ---------------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("width", [60, 80, 100])
def test_pages_are_as_wide_as_the_terminal_and_no_word_is_lost(width):
    for short in (False, True):
        for name, text in pages(width, short=short).items():
            lines = text.splitlines()
            assert [line for line in lines if len(line) > width] == [], name
            assert not any(line.endswith(" ") or "…" in line or "..." in line.rstrip()[-3:] for line in lines[3:]), name
    words = " ".join(root_page(width).split())
    assert [entry.summary for name, entry in VERBS.items() if name in LISTED and entry.summary not in words] == []


@pytest.mark.parametrize("name", VERBS)
def test_every_option_is_on_the_whole_page_with_all_of_its_help(name):
    text = " ".join(help.page(f"vlm {name}", function_of(name), 80).split())
    for one in parameters(function_of(name)):
        assert all(typed in text for typed in (*one.names, *one.negative))
        assert one.help in text
        assert not one.names or one.help, f"{name} {one.long} has no help"
    assert not LIBRARY.search(text)


@pytest.mark.parametrize(("columns", "least", "most"), [(60, 50, 60), (140, 90, 100)])
def test_the_page_is_as_wide_as_the_terminal_up_to_100_columns(columns, least, most):
    with Terminal("ask", "--help", columns=columns, rows=200) as terminal:
        assert terminal.end() == 0
        assert least < max(len(line) for line in terminal.text.splitlines()) <= most


def test_a_page_is_never_wider_than_100_columns_nor_narrower_than_40():
    function = function_of("ask")
    assert help.page("vlm ask", function, 300) == help.page("vlm ask", function, 100)
    assert help.page("vlm ask", function, 10) == help.page("vlm ask", function, 40)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_short_page_fits_a_screen(width):
    lengths = {name: len(text.splitlines()) for name, text in pages(width, short=True).items()}
    assert lengths.pop("vlm") <= (44 if width == 60 else 36)  # where the summaries are wrapped
    assert {name: length for name, length in lengths.items() if length > 30} == {}


def test_the_short_page_has_the_usage_two_examples_and_the_way_to_the_rest():
    text = vlm("ask", "-h").stdout
    assert text.startswith("Usage: vlm ask [OPTIONS] PICTURES... QUESTION\n")
    assert text.count("\n  vlm ask ") == 2
    assert text.endswith("`vlm ask --help` shows all options.\n")
    assert "--unordered" not in text
    assert "--unordered" in vlm("ask", "--help").stdout


@pytest.mark.parametrize(("name", "options"), [
    ("serve", ("-m, --models A,B", "--host ADDRESS", "--port N", "--api-key KEY", "--background")),
    ("mcp", ("-m, --model MODEL", "--allow DIR")),
])  # fmt: skip
def test_the_short_page_has_what_a_server_is_started_with(name, options):
    text = vlm(name, "-h").stdout
    assert [one for one in options if f" {one} " not in text] == []


def test_the_options_of_ask_are_in_groups():
    text = help.page("vlm ask", function_of("ask"), 80)
    titles = re.findall(r"^(\w[\w ]+):$", text, re.MULTILINE)
    assert titles == ["Arguments", "Question", "Pictures", "Model", "Output", "Folder runs", "Engine", "Examples"]
    assert re.findall(r"^\w[\w ]+:\n +(\S+)", text, re.MULTILINE)[1:7] == [
        "-q,", "--files-from", "-m,", "--json", "--output", "--ctx",
    ]  # fmt: skip


@pytest.mark.parametrize("name", VERBS)
def test_an_option_of_a_long_page_is_in_one_of_the_groups(name):
    options = [one.key for one in parameters(function_of(name)) if one.names]
    grouped = " ".join(help.GROUPS.values()).split()
    assert len(grouped) == len(set(grouped))
    assert len(options) <= help.FEW or set(options) <= set(grouped)


def test_the_commands_are_in_the_order_of_their_use():
    text = vlm("--help").stdout
    assert re.findall(r"^  ([a-z]+)  +[A-Z]", text, re.MULTILINE) == [
        "ask", "caption", "describe", "ocr", "match", "classify", "decide", "extract", "detect", "point", "chat",
        "serve", "mcp", "models", "pull", "ls", "default", "rm", "verify",
        "show", "explain", "templates", "cache", "doctor",
    ]  # fmt: skip
    assert len(GROUPS) == 3


@pytest.mark.parametrize("name", VERBS)
def test_a_summary_is_the_docstrings_first_sentence_and_short(name):
    summary = VERBS[name].summary
    assert help.paragraphs(function_of(name))[0] == summary
    assert summary.endswith(".")
    assert len(summary.split()) <= (13 if name == "show" else 10)
    assert len(f"  {'templates':9}  {summary}") <= 80
    assert f"  {name}" not in root_page(80) or summary in root_page(80)


@pytest.mark.parametrize("name", VERBS)
def test_every_command_has_an_example_that_begins_with_it(name):
    examples = [text for text in help.paragraphs(function_of(name)) if text.startswith("vlm")]
    assert examples
    assert all(text.startswith(f"vlm {name}") for text in examples)


# --------------------------------------------------------------------------------------------------- ways to the help


def test_vlm_alone_and_its_ways_to_help():
    alone = vlm()
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == vlm("help").stdout == vlm("--help").stdout == root_page(80)
    assert vlm("-h").stdout == root_page(80, short=True)


@pytest.mark.parametrize("name", VERBS)
def test_help_of_a_command(name):
    done = vlm("help", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == vlm(name, "--help").stdout == help.page(f"vlm {name}", function_of(name), 80)


def test_help_of_a_command_that_is_none():
    done = vlm("help", "nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown command nonsense" in done.stderr


def test_version():
    done = vlm("version")
    assert done.returncode == 0
    assert done.stdout.startswith("vlm ")
    assert "llama.cpp" in done.stdout
    assert vlm("--version").stdout == vlm("-V").stdout == done.stdout


def test_a_command_without_arguments_shows_its_short_help():
    for name in ("ask", "caption", "pull"):
        done = vlm(name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == help.page(f"vlm {name}", function_of(name), 80, short=True)


def test_help_comes_before_what_is_wrong():
    assert vlm("ask", "--threads", "x", "--help").returncode == 0


def test_help_imports_no_command_nor_the_printer():
    """It has to start at once: in less than 1.8 times what `import typer` takes."""
    code = (
        "import sys; from vlmcli.cli.app import main; main(['--help']); main(['-h']); main([]);"
        "slow = {'vlmcli.engine', 'vlmcli.batch', 'vlmcli.pictures', 'vlmcli.cli.verbs', 'vlmcli.terminal.ui',"
        " 'vlmcli.values', 'pydantic', 'secrets', 'json', 'asyncio'};"
        "found = slow & {*sys.modules}; sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------------------------- what is said of errors


def wrong():
    """A wrong value for every option of every command that cannot have any value, and options without theirs."""
    for name in VERBS:
        for one in parameters(function_of(name)):
            for typed in one.names:
                if one.kind is bool:
                    if typed.startswith("--"):
                        yield name, [f"{typed}=x"], f"{typed} does not take a value"
                    continue
                yield name, [typed], f"{typed} needs a value"
                if one.kind in (int, float):
                    what = "a whole number" if one.kind is int else "a number"
                    values = ["x", "1_0", "0x1", "", "nan", "1e", "١"] + (
                        ["1.5", "1e1"] if one.kind is int else ["inf"]
                    )
                    yield from ((name, [typed, value], f"{one.long} {value}: not {what}") for value in values[:7])
                    yield name, [typed, values[-1]], f"{one.long} {values[-1]}: not {what}"
                    if one.low is not None:
                        yield name, [typed, f"{one.low - 1:g}"], f"{one.long} {one.low - 1:g}: out of range"
                    if one.high is not None:
                        over = f"{one.high + 1:.0f}"
                        yield name, [typed, over], f"{one.long} {over}: out of range"
                elif one.choices:
                    yield name, [typed, "x"], f"{one.long} x: not a known value"
                    yield name, [typed, one.choices[0].upper()], "not a known value"
        yield name, ["--nonsense"], "unknown option --nonsense"
        yield name, ["-Z"], "unknown option -Z"


@pytest.mark.parametrize("name", VERBS)
def test_no_librarys_words_in_what_is_said_of_a_wrong_option(name):
    for verb, words, says in wrong():
        if verb != name:
            continue
        before = [SCENE, "what is this?"] if name in ("ask", "explain") else []
        done = vlm(name, *before, *words)
        assert (done.returncode, done.stdout) == (2, ""), words
        first, *hints = done.stderr.splitlines()
        assert first == f"vlm: {first.removeprefix('vlm: ')}"
        assert says in first, words
        assert len(hints) == 1, words
        assert hints[0].strip(), words
        assert not LIBRARY.search(done.stderr), words


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["ask", "--threads", "x", SCENE, "?"], "--threads x: not a whole number", "give a whole number from 1 to 512"),
        (["ask", "--timeout", "0", SCENE, "?"], "--timeout 0: out of range", "give a number from 0.1 to 1000000"),
        (["ask", "--temperature", "-1", SCENE, "?"], "--temperature -1: out of range", "give a number, 0 or more"),
        (["ask", "--temperature", "101", SCENE, "?"], "--temperature 101: out of range", "give a number from 0 to 100"),
        (["chat", "--temperature", "101", SCENE], "--temperature 101: out of range", "give a number from 0 to 100"),
        (
            ["ask", "-o", "temperature=101", SCENE, "?"],
            "-o temperature=101: out of range",
            "give a number from 0 to 100",
        ),
        (["chat", "-o", "top_p=2", SCENE], "-o top_p=2: out of range", "give a number above 0, up to 1"),
        (["ask", "-o", "top_p=x", SCENE, "?"], "-o top_p=x: not a number", "for example top_p=0.9"),
        (["ask", "--format", "pdf", SCENE, "?"], "--format pdf: not a known value", "use text, jsonl, csv or tsv"),
        (["ask", "--nonsense"], "unknown option --nonsense", "vlm ask --help lists the options"),
        (["--nonsense"], "unknown option --nonsense", "vlm --help lists the commands"),
        (["nonsense"], "unknown command nonsense", "vlm --help lists the commands"),
        (["pull", "--json"], "vlm pull needs an argument", "for example: vlm pull qwen3.5-0.8b"),
        (["ls", "models"], "vlm ls does not take the argument models", "vlm ls -h shows how to use it"),
        (["default", "a", "b"], "vlm default does not take the argument b", "vlm default -h shows how to use it"),
    ],
)
def test_errors_of_the_command_line(words, says, hint):
    done = vlm(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"vlm: {says}\n     {hint}\n"
