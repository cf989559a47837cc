"""An answer on a terminal: what is Markdown is rendered, nothing is lost, and everything else is as it was."""

import contextlib
import io
import os
import re
import struct
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.program import ANSWER, SCENE, VLM

fcntl = pytest.importorskip("fcntl", reason="POSIX terminals")
pty = pytest.importorskip("pty", reason="POSIX terminals")
termios = pytest.importorskip("termios", reason="POSIX terminals")

from vlmcli.terminal.markdown import Piece, Pieces  # noqa: E402
from vlmcli.terminal.rendered import Rendered  # noqa: E402
from vlmcli.terminal.ui import Ui  # noqa: E402

TEXT = """# A red circle

It shows **a red circle** and a *blue square* on `white`, snake_case, 3 * 4, by a sign that says <EXIT>.

- first
- a second item that is **so long** that it has to be wrapped at the width of the terminal, behind its mark
  1. nested

```python
def f(x):

    return x
```

| shape | colour |
|---|---|
| circle | **red** |
| square | blue |
> quoted
---
Some "c\\"d" &amp; <b>html</b> [a link](https://example.org/x_y) 这是**猫**吗
* * *
~~~
unfinished **code"""

KINDS = [
    ("heading", "# A red circle"), ("item", "- first"),
    ("item", next(line for line in TEXT.split("\n") if line.startswith("- a second"))),
    ("item", "  1. nested"), ("code", "```python\ndef f(x):\n\n    return x\n```"),
    ("table", "| shape | colour |\n|---|---|\n| circle | **red** |\n| square | blue |"),
    ("quote", "> quoted"), ("rule", "---"), ("rule", "* * *"), ("code", "~~~\nunfinished **code"),
]  # fmt: skip


def cut(text, sizes):
    """The pieces of a text that comes in parts of these sizes, over and over."""
    pieces, found, at, turn = Pieces(), [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += pieces.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    found += pieces.finish()
    assert "".join(piece.text for piece in found) == text
    return found


@pytest.mark.parametrize("sizes", [(1,), (2,), (3, 1), (7,), (10_000,)])
def test_blocks_are_the_same_however_the_text_comes(sizes):
    blocks = [(piece.kind, piece.text) for piece in cut(TEXT, sizes) if piece.kind not in ("text", "marked")]
    assert blocks == KINDS


LINES = [
    "a ",
    "b_c ",
    "**x y** ",
    "*z",
    "` q `",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "# ",
    "```",
    "~~~",
    "|",
    "| a |",
    "---",
    "> ",
    "_",
    "\t",
    "猫",
]


@given(st.lists(st.sampled_from(LINES), max_size=14), st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_nothing_is_lost_and_blocks_do_not_depend_on_the_cuts(words, sizes):
    text = "".join(words)

    def blocks(found):
        return [piece for piece in found if piece.kind not in ("text", "marked")]

    assert blocks(cut(text, sizes)) == blocks(cut(text, (len(text) + 1,)))


def test_what_is_plain_comes_at_once():
    pieces = Pieces()
    assert list(pieces.feed("A red ")) == [Piece("text", "A red ")]
    assert list(pieces.feed("circle and **a")) == [Piece("text", "circle and ")]
    assert list(pieces.feed(" blue** square")) == [Piece("marked", "**a blue** ")]
    assert list(pieces.finish()) == [Piece("text", "square")]


def test_scripts_without_spaces_and_endless_words_do_not_wait():
    pieces = Pieces()
    assert list(pieces.feed("这是")) == [Piece("text", "这是")]
    assert list(pieces.feed("**猫**。")) == [Piece("marked", "**猫**。")]
    assert list(Pieces().feed("a" * 81)) == [Piece("text", "a" * 81)]


@pytest.mark.parametrize(
    "text", ["3.", "- ", "-5", "1984. A year.", "#1", "*", "| ", "+49 30", "```", "a | b", "_", "...", "3. "]
)
def test_short_answers_are_text(text):
    assert {piece.kind for piece in cut(text, (1,))} <= {"text", "marked", "code", "table"}
    assert "".join(shown(text)).replace("\r\n", "\n") == text.strip() + "\n"


# ---------------------------------------------------------------------------------------------- on a terminal


def read_all(parent):
    seen = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(parent)
    return seen.decode()


def terminal(width):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    return parent, child


@contextlib.contextmanager
def screen(width=80, markdown=True):
    """A Ui on a terminal, and a list that has all the terminal was sent, afterwards."""
    parent, child = terminal(width)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(read_all(parent)))
    reader.start()
    try:
        with os.fdopen(child, "w", encoding="utf-8") as stdout, Ui(stdout, io.StringIO(), markdown=markdown) as ui:
            yield ui, seen
    finally:
        reader.join()


def shown(text, sizes=(4,), width=80, markdown=True, plain=False):
    """What a terminal of this width is sent for an answer that comes in parts of these sizes."""
    with screen(width, markdown) as (ui, seen):
        at, turn = 0, 0
        while at < len(text):
            ui.stream(text[at : at + sizes[turn % len(sizes)]], plain=plain)
            at, turn = at + sizes[turn % len(sizes)], turn + 1
        ui.end_stream()
    return seen[0]


def bare(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n")


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    """A terminal with colours, whatever these tests run in."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def even(text):
    """Releases of rich draw tables with other lines and gaps."""
    return re.sub("[━─]+", "─", re.sub(" +", " ", text))


RENDERED = """A red circle

It shows a red circle and a blue square on white, snake_case, 3 * 4, by a sign that says <EXIT>.

• first
• a second item that is so long that it has to be wrapped at the width of the
  terminal, behind its mark
  1. nested

    def f(x):

        return x

 shape    colour
 ──────────────
 circle   red
 square   blue
│ quoted
RULE
Some "c\\"d" &amp; <b>html</b> a link (https://example.org/x_y) 这是猫吗
RULE
    unfinished **code
""".replace("RULE", "─" * 80)


@pytest.mark.parametrize("sizes", [(1,), (4,), (9, 2), (10_000,)])
def test_it_is_rendered_the_same_however_it_comes(sizes):
    seen = shown(TEXT, sizes)
    assert even(bare(seen)) == even(RENDERED)
    assert "\x1b[1ma red circle\x1b[0m" in seen
    assert "\x1b[1;4mA red circle" in seen
    assert "\x1b[3mblue square\x1b[0m" in seen


@pytest.mark.parametrize("width", [20, 40, 80, 160])
def test_at_any_width_no_block_is_wider_and_nothing_is_lost(width):
    seen = bare(shown(TEXT, width=width))
    lines = [line for line in seen.split("\n") if not line.startswith(("It shows", "Some"))]
    assert max(map(len, lines)) <= width
    gone = re.sub(r"python|\W|_", "", TEXT)
    assert sorted(re.sub(r"\W|_", "", seen)) == sorted(gone)


@pytest.mark.parametrize(
    "table",
    [
        "| a |\n", "| a | b |\n| c | d |", "| a |\n|---|\n| b | lost? |",
        "| " + " | ".join("abcdefghijklmnopqrstuvwxyz") + " |\n" + "|-" * 26 + "|",
    ],
)  # fmt: skip
def test_a_table_that_would_lose_something_is_shown_as_it_is(table):
    assert sorted(re.sub(r"\W", "", bare(shown(table, width=20)))) == sorted(re.sub(r"\W", "", table))


def test_colours_go_with_no_color_and_all_codes_with_a_dumb_terminal(monkeypatch):
    assert re.search(r"\x1b\[(3[0-7]|9[0-7])m", shown(TEXT))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(3[0-7]|4[0-7]|9[0-7])m", shown(TEXT))
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown(TEXT)


def test_a_models_control_codes_stay_out():
    assert "\x1b[2J" not in shown("**a \x1b[2J b**\n- \x1b[2J\n```\n\x1b[2J\n```")
    assert "\x1b]8" not in shown("[a](http://x \x1b]8;;http://y\x1b\\)")


def test_what_has_come_is_shown_when_it_is_interrupted():
    with pytest.raises(KeyboardInterrupt), screen() as (ui, seen):
        ui.stream("one **two\n```\nthree")
        raise KeyboardInterrupt
    assert bare(seen[0]) == "one **two\n    three"


def test_plain_is_what_was_written():
    for options in ({"markdown": False}, {"plain": True}):
        assert shown(TEXT, **options).replace("\r\n", "\n") == TEXT + "\n"


def run(words, env=None):
    """What `vlm` sends to a terminal, with stderr elsewhere, and its exit code."""
    parent, child = terminal(80)
    with subprocess.Popen([VLM, *words], stdin=child, stdout=child, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(child)
        seen = read_all(parent)
    return seen, process.returncode


def test_a_one_line_answer_is_exactly_as_it_was():
    words = ["ask", "-m", "demo", SCENE, "what is this?"]
    for more in ([], ["--plain"]):
        assert run([*words, *more]) == (ANSWER.replace("\n", "\r\n"), 0)


LOADED = """
import sys
from vlmcli.terminal.ui import Ui
with Ui(markdown=True) as ui:
    ui.stream(sys.argv[1])
    ui.end_stream()
sys.stderr.write(str("rich" in sys.modules))
"""


@pytest.mark.parametrize(("text", "loaded"), [("A red circle.\nA cat.", "False"), ("**A** cat", "True")])
def test_the_library_is_loaded_for_marks_only(text, loaded):
    parent, child = terminal(80)
    with subprocess.Popen([sys.executable, "-c", LOADED, text], stdout=child, stderr=subprocess.PIPE) as process:
        os.close(child)
        read_all(parent)
        assert process.stderr.read().decode() == loaded


def test_piped_it_is_never_rendered():
    done = subprocess.run([sys.executable, "-c", LOADED, TEXT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (TEXT + "\n", "False")


@given(st.text(alphabet="a\n\r\x0b\x0c\x1b\x85 -*1.`|#>", max_size=40))
def test_characters_a_terminal_obeys_lose_nothing_else(text):
    pieces = Pieces()
    shown = [*pieces.feed(text), *pieces.finish()]
    assert "".join(piece.text for piece in shown) == text
    rendered = Rendered(io.StringIO())
    for piece in shown:
        if piece.kind != "text":
            rendered(Piece(piece.kind, re.sub(r"[\r\x0b\x0c\x1b\x85]", "\ufffd", piece.text)))
