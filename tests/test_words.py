"""What a person reads is plain English: spelled right, in one style, without sentences that nobody would say."""

import re
import subprocess
import sys

import pytest

from tests import words
from tests.support import ROOT
from tests.words import ERROR, HELP, HINT, LOG, UI

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "cli.md"]
PAGES += [file for file in sorted((ROOT / "vlmcli" / "server" / "page").iterdir()) if file.suffix in (".html", ".js")]
"""What is read beside the program's own texts; docs/cli.md is its help again."""
MESSAGES = (ERROR, HINT, UI, LOG)

SAID_ONCE = (
    "Say what a model is, or a picture and what is seen of it",
    "Say which model is asked without -m, or set it",
    "Look at what vlm needs, and say how to mend what is broken",
    "List the models that are here, and what other programs have brought that can be used",
    "Read models again, and compare what is there with what was published",
    "Show a question's way through the model, stage by stage",
    "The last word is the question, where there is no -q or -t",
    "Of folders, patterns and lists only names like this",
    "One JSON object a line",
    "Give a picture up after so long, and go on",
    "a few are asked to know",
    "A sidecar that is there: not ask about that picture, or write with it",
    "A text that is there: not ask about that picture, or write with it",
    "Repeat a drawn answer",
    "no model is named",
    "check that it opens elsewhere",
    "with a text not asked about",
    "to be asked",
    "has a name that is asked for",
    "the page is written",
    "--json is of models, and these are pictures",
    "all is as the model's makers have it",
    "What cannot kill it",
    "at most half a one, which the next run cuts off",
)
"""Sentences that stood in help, messages and pages until they were read aloud. Better ones have taken their place."""

ODD = {
    r"\bone a (line|core|page)\b|\b(object|column|question|name)s? a (line|question|core)\b": "per line, per core",
    r"(?<!`)\bmend(s|ed|ing)?\b": "fix, repair",
    r"\b(brought|brings?)\b": "download",
    r"\b(is|are|was|were) not (all )?there\b|\bnot there (yet|within)\b": "does not exist, is missing",
    r"(?<!click )(?<!from )(?<!used )\b(is|are) here\b|\bwhat is here\b": "is downloaded",
    r"\blast word\b|\ball words are\b": "the last argument",
    r"\bto be asked\b|\bnot asked about\b|\basked about one by one\b|\bnames? that (is|are) asked for\b": "skip",
    r"\bgo(es)? on (where|from|with)\b|\band go on\b": "continue, resume",
    r"\bonce more\b|\banew\b": "again, retrying",
    r"\bopens? elsewhere\b": "the file may be damaged",
    r"\bleads? nowhere\b|\bin a ring\b": "a broken link",
    r"\bspoilt\b": "damaged",
    r"(?<!there )(?<!There )\b(is|are) no (?!longer|more|better|different|need|less|larger|smaller)": "is not a",
    r"\bno name of\b|\bno path of\b|\bno (JSON|TOML|XMP|UTF-8)\b": "not a name of, not JSON",
    r"\b(read|written|changed|taken|known) here\b": "supported",
    r"\bbeforehand\b": "before, system prompt",
    r"\bafter so long\b|\bat so many\b": "after this many seconds",
    r"\bgives? it (more|one)\b": "use a larger …",
    r"\bin the place of\b": "instead of",
    r"\btakes? nothing\b": "takes no arguments",
    r"\blook at both\b": "compare the two",
    r"\bof (its|their|his) own\b": "its own …",
    r"\bmore than there is\b|\bwhat (is|was) asked\b": "",
    r"\bsays (what suits|how)\b": "lists",
    r"\bget (it|the (picture|file)) again\b": "copy or download it again",
    r"\bmake room\b": "free some disk space",
    r"\b(what|nothing) came\b|\bcame (instead|on stdin)\b": "the download, stdin is empty",
    r"\bwants? to be\b|\bhas trouble\b": "must, reports an error",
    r"\btell?s the model\b|\b(model|it) is told\b": "system prompt",
    r"^… ": "a fragment",
}
"""Patterns of English that only its writer understands, and what is usual."""

NAMES = {"Ctrl-C", "Ctrl-D", "EXIF", "Exif", "GBNF", "Jinja", "Markdown", "PDFium", "Pillow", "Python", "YCbCr"}
"""What a message may begin with though it has a capital, beside what is all capitals."""

LONGEST = 100
"""Columns of a message without what is filled in."""


def everything():
    """Each text with where it stands: those of the program, and the pages' lines."""
    for one in words.texts():
        yield one.place, " ".join(one.text.split())
    for page in PAGES:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            yield f"{page.relative_to(ROOT)}:{number}", line


def those(pattern):
    """The texts in which a pattern is found."""
    return [f"{place}: {text}" for place, text in everything() if re.search(pattern, text)]


def messages(*kinds):
    return [one for one in words.messages() if one.kind in kinds]


def test_the_list_has_what_a_person_meets():
    texts = [one.text for one in words.texts()]
    assert any(text.startswith("Usage: vlm ask ") for text in texts)  # help
    for said in ("there is no such file", "the answer is empty", "Pillow does not recognise it", "MedGemma is not"):
        assert any(said in text for text in texts), said
    assert len(words.messages()) > 1000


def test_every_word_is_spelled_right(tmp_path):
    said = tmp_path / "texts.txt"
    said.write_text("\n".join(f"{one.place}: {one.text}" for one in words.texts()), "utf-8")
    command = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml"), str(said)]
    done = subprocess.run([*command, *map(str, PAGES)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("sentence", SAID_ONCE)
def test_a_sentence_that_was_replaced_does_not_come_back(sentence):
    assert those(f"(?i){re.escape(sentence)}") == []


@pytest.mark.parametrize("pattern", ODD)
def test_nothing_is_said_in_odd_english(pattern):
    found = those(pattern)
    assert not found, "\n".join([f"better: {ODD[pattern]}", *found])


def test_a_message_is_a_line_without_a_capital_and_a_full_stop():
    for one in messages(*MESSAGES):
        first = one.text.split("\n")[0].strip()
        assert not re.search(r"(?<!\.)\.$", first), f"{one.place}: {first}"
        word = re.match(r"[A-Za-z][\w-]*", first)
        if word and word[0][0].isupper() and word[0] not in NAMES:
            assert not re.fullmatch(r"[A-Z][a-z'-]+", word[0]), f"{one.place}: {first}"


@pytest.mark.parametrize("columns", [60, 80])
def test_help_fits_the_terminal_and_nothing_is_cut_off(columns):
    for name, page in words.pages(columns).items():
        wrong = [line for line in page.splitlines() if len(line) > columns or re.search(r"[a-z]\.\.\.$|…$", line)]
        assert wrong == [], name


def test_an_option_s_help_is_a_sentence():
    for one in messages(HELP):
        assert re.match(r"[A-Z0-9]|-|llama|vlm", one.text), f"{one.place}: {one.text}"
        assert one.text.rstrip().endswith((".", "?")), f"{one.place}: {one.text}"


def test_a_message_fits_a_line():
    for one in messages(ERROR, HINT):
        length = len(one.text.replace(words.HOLE, ""))
        assert length <= LONGEST, f"{one.place}: {length} columns: {one.text}"
