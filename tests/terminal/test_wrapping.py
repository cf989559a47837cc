"""What is told on a terminal is broken between words; what goes to a pipe, and what is to be copied, is not."""

import sys

import pytest

from tests.support.program import vlm
from vlmcli.tasks import templates
from vlmcli.terminal.live import cells
from vlmcli.terminal.wrapping import wrapped

TEXT = "vlm: 1 answered, in 2 s; skipped 1 file that vlm cannot read as a picture (1 .txt)"


@pytest.mark.parametrize("columns", range(16, 90))
def test_lines_are_broken_at_spaces_and_nothing_is_lost(columns):
    lines = wrapped(TEXT, columns, 5).split("\n")
    assert all(cells(line) <= columns for line in lines)
    assert all(line.startswith("     ") and line[5] != " " for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == TEXT


def test_wide_letters_take_two_columns():
    assert wrapped("写真 写真 写真", 10) == "写真 写真\n写真"


def test_without_columns_it_is_one_line():
    assert wrapped(TEXT, 0, 5) == TEXT


def test_what_is_to_be_copied_stays_whole():
    command = 'vlm ask "a long name.png" "what is to be seen in this picture?"'
    assert wrapped(f"     did you mean: {command}", 40, 5) == f"     did you mean:\n     {command}"
    path = "/home/ada/" + "x" * 60 + ".png"
    assert wrapped(f"vlm: {path}: there is no such file", 40, 5) == f"vlm: {path}:\n     there is no such file"
    assert wrapped("     one two three `vlm ls` lists them", 26, 5) == "     one two three\n     `vlm ls` lists them"


def test_the_indent_of_the_first_line_is_no_line_of_its_own():
    assert wrapped("     " + "x" * 30, 20, 5) == "     " + "x" * 30


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
def test_errors_and_summaries_wrap_on_a_terminal_alone(tmp_path):
    from tests.support import ROOT
    from tests.support.terminal import Terminal

    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes((ROOT / "docs" / "images" / "scene.png").read_bytes())
    (tmp_path / "pics" / "notes.txt").write_text("", "utf-8")
    with Terminal("caption", "-m", "demo", "pics", "--quiet-please", cwd=tmp_path, columns=40) as terminal:
        terminal.wait("options")
        assert terminal.end() == 2
        assert terminal.text == "vlm: unknown option --quiet-please\n     vlm caption --help lists the\n     options"
    words = ("caption", "-m", "demo", "pics")
    with Terminal(*words, cwd=tmp_path, columns=60, XDG_STATE_HOME=str(tmp_path)) as terminal:
        shown = terminal.wait(r"cannot read photographs")
        assert terminal.end() == 0
    assert "vlm: skipped 1 file that vlm cannot read as a picture (1\n     .txt)\n" in shown
    assert shown.endswith(
        "vlm: the demo model sees only drawn shapes and short words;\n     it cannot read photographs"
    )
    assert "vlm: skipped 1 file that vlm cannot read as a picture (1 .txt)\n" in vlm(*words, cwd=tmp_path).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
def test_a_row_wraps_its_last_field(tmp_path):
    from tests.support.terminal import Terminal

    with Terminal("templates", columns=60, cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path)) as terminal:
        terminal.wait("yes-no .*\n.*alone")
        assert terminal.end() == 0
        lines = terminal.text.splitlines()
    for name in templates.names(tmp_path):
        text = templates.read(templates.SHIPPED / f"{name}.toml").description
        assert f"{name} built in {text}" in " ".join(terminal.text.split())
    indent = lines[0].index("built in") + len("built in  ")
    assert all(line.startswith(" " * indent) or line[0] != " " for line in lines)
    assert any(line.startswith(" " * indent) for line in lines)
