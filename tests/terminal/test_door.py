"""The door of text to a terminal: what it lets through, what it shows, and that nobody goes round it."""

import ast
import io
import json
import logging
import re
import subprocess
import sys

import pytest
from PIL import Image

from tests.map import PACKAGE
from tests.support.evil import EVIL, GOOD, MARK, NAME, PIECES, arrived, as_token, on, reworded, title_after, trespassers
from tests.support.faulty import environment
from tests.support.program import SCENE, run
from tests.support.terminal import TAB, Terminal
from vlmcli import demo
from vlmcli.terminal import clipboard, door, thumbnails
from vlmcli.terminal.ui import Ui

BIDI = [chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]


# ------------------------------------------------------------------------------------------------- letters


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_what_a_terminal_obeys_is_shown_as_json_escapes_it(piece):
    shown = door.visible(f"a{piece}b")
    assert not trespassers(shown.encode(), codes=False)
    assert json.loads(f'"{re.sub(chr(92) * 2 + "(?!u)", chr(92) * 4, shown)}"') == f"a{piece}b"
    assert door.visible(shown) == shown


def test_all_controls_and_what_reorders_are_shown():
    for letter in [*map(chr, range(32)), *map(chr, range(127, 160)), *BIDI, "\u2028", "\u2029"]:
        kept = letter in "\t\n"
        assert door.visible(letter) == (letter if kept else f"\\u{ord(letter):04x}")
    assert door.visible("a\r\nb") == "a\nb"
    assert door.visible("a\rb") == "a\\u000db"
    assert door.one_line("a\nb\u2028c") == "a b\\u2028c"


def test_languages_marks_and_emoji_stay_as_they_are():
    assert door.visible(GOOD) == GOOD
    assert door.visible("\u05d0\u05d1 a\u0300 \U0001f1e9\U0001f1ea") == "\u05d0\u05d1 a\u0300 \U0001f1e9\U0001f1ea"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_letter_that_a_terminal_cannot_write_is_escaped(encoding):
    text = "a \xe9 \u05d0 \U0001f469 \udcff"
    shown = door.written_in(door.visible(text), encoding)
    shown.encode(encoding)
    assert json.loads(f'"{shown}"') == text


def test_codes_of_ours_pass_and_others_do_not():
    pixels = bytes(range(48)) * 4
    asked = [thumbnails.shown(pixels, (8, 8), protocol, 4, 4) for protocol in ("kitty", "iterm2", "sixel")]
    for codes in [*asked, clipboard.osc52(EVIL)]:
        assert door.with_requests(codes) == codes
        assert "\x1b" not in door.with_codes(codes)
    drawn = "\r\x1b[2K\x1b[1A\x1b[?25l\x1b[?25h\x1b[1;38;5;12ma\x1b[0m"
    assert door.with_codes(drawn) == drawn
    others = {*PIECES.values(), "\x1b]52;c;?\x07", "\x1b[6n", "\x1b[?1049h", "\x1b]0;a\x07"}
    for piece in others - {PIECES["colour"], PIECES["return"], PIECES["screen"]}:
        assert not trespassers(door.with_codes(piece).encode(), codes=False)
    for piece in others - {PIECES["clipboard"]}:
        assert not trespassers(door.with_requests(piece).encode(), codes=False)


# ------------------------------------------------------------------------------------------------- streams


def test_whatever_prints_while_a_command_runs_is_cleaned(monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with door.guarded():
        print(EVIL)
        print(EVIL, file=sys.stderr)
        sys.stderr.writelines([EVIL])
        handler = door.log_handler()
        handler.handle(logging.LogRecord(EVIL, logging.ERROR, "", 1, "one\nvlm: two %s", (EVIL,), None))
        for name in ("buffer", "detach", "reconfigure"):  # ways round
            assert not hasattr(sys.stderr, name)
        with pytest.raises(TypeError):
            sys.stderr.write(EVIL.encode())
        assert Ui().stderr is err
        assert Ui().stdout is out
    assert (sys.stdout, sys.stderr) == (out, err)
    assert not trespassers(out.getvalue().encode(), codes=False)
    assert not trespassers(err.getvalue().encode(), codes=False)
    assert "\nvlm: two" not in err.getvalue()
    assert err.getvalue().count(f"{MARK}_\\u001b]52") == 4  # a log record has two
    assert out.getvalue().count(f"{MARK}_\\u001b]52") == 1


def test_data_on_a_pipe_stays_as_it_is(tmp_path):
    Image.open(SCENE).save(tmp_path / f"{NAME}.png")
    words = ["ask", "-m", "demo", "--in-process", tmp_path, "what is this?", "--json"]
    piped, _, _ = on("pipe", words, cwd=tmp_path)
    _, shown, _ = on("tty", words, cwd=tmp_path)
    line = next(one for one in shown.decode().splitlines()[::-1] if '"v": 1' in one)
    before, after = json.loads(piped), json.loads(line[line.index('{"v"') :])
    assert before["sources"] == after["sources"] == [f"{tmp_path}/{NAME}.png"]
    assert "\u202e".encode() in piped
    assert not trespassers(shown)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_letters_gets_no_error(tmp_path, encoding):
    Image.open(SCENE).save(tmp_path / f"{NAME}\u05d0\udcff.png")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True) for _ in range(2)]
    for stream in streams:
        stream.isatty = lambda: True
    words = ["ask", "-m", "demo", "--in-process", str(tmp_path), str(tmp_path / "none\u05d0.png"), "what is this?"]
    assert run(words, (io.StringIO(), *streams), {"TERM": "dumb"}) == 3
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    assert "\\u05d0" in out
    assert "none\\u05d0.png" in err
    assert not trespassers(out.encode(), codes=False)
    assert not trespassers(err.encode())


def test_a_fault_of_the_programs_own_is_cleaned_too():
    """Python's own traceback comes after the command, and from threads; warnings come at any time."""
    code = (
        "import threading, warnings; from vlmcli.cli import app; from vlmcli import __main__;"
        f"evil = {EVIL!r};"
        "fail = lambda *_: (_ for _ in ()).throw(ValueError(evil));"
        "app.main = lambda **_: (warnings.warn(evil), threading.Thread(target=fail).start(), fail());"
        "__main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"ValueError: EVIL_\\u001b") == 2
    assert done.stderr.count(b"UserWarning: EVIL_\\u001b") == 1
    assert not trespassers(done.stderr, codes=False)
    assert arrived(done.stderr)


# ------------------------------------------------------------------------------------------------- whole terminals


def test_a_conversation(tmp_path, state):
    def edit(key, text):
        return "Ġ" + as_token(EVIL) if (key, text) == ("tokenizer.ggml.tokens", "Ġred") else text

    (tmp_path / "evil").mkdir()
    reworded(demo.FILES.model, tmp_path / "evil" / "m.gguf", edit)
    reworded(demo.FILES.projector, tmp_path / "evil" / "mmproj-m.gguf", lambda _, text: text)
    Image.open(SCENE).save(tmp_path / f"{NAME}one.png")
    Image.open(SCENE).save(tmp_path / f"{NAME}two.png")
    (tmp_path / "broken.png").write_bytes(EVIL.encode())
    with Terminal("chat", "-m", "evil", f"{NAME}one.png", cwd=tmp_path, columns=200) as talk:
        talk.wait(">>>")
        assert MARK in talk.line("what is this?")
        talk.type(f"/image ./{MARK}{TAB}")
        talk.wait(r">>> /image \S+\\u202e")  # what the names begin with, and a menu
        talk.type(f"{TAB}{TAB}\r")
        talk.wait(lambda shown: shown.count(">>>") > 2)
        pasted = EVIL.replace("\r", "").replace("\x1b", "")
        talk.type(f"\x1b[200~{pasted}\x1b[201~")
        talk.wait(r"\\u202e")
        talk.type("\x03")
        talk.line("/image broken.png")
        talk.line(f"/load {MARK}")
        talk.line("/images")
        talk.line("/undo")
        talk.type("exit\r")
        assert talk.end() == 0
        assert not trespassers(talk.raw, also="\x08")  # prompt_toolkit's way to the left
        assert arrived(talk.raw)
        assert not title_after(talk.raw)


# ------------------------------------------------------------------------------------------------- nobody goes round

WAYS_ROUND = {
    "": {"print", "input", "StreamHandler", "Console", "print_exc", "print_exception", "print_stack", "secho"},
    "sys": {"stdout", "stderr", "__stdout__", "__stderr__", "excepthook"},
    "os": {"system", "popen", "dup2", "posix_spawn"},
    "logging": {"StreamHandler", "basicConfig", "lastResort"},
    "traceback": {"print_exc", "print_exception", "print_stack", "print_tb"},
    "typer": {"echo", "secho", "confirm", "prompt"},
}
"""By which something may be printed: names, and those of modules."""

MAY = {
    "terminal/door.py": "it is the door",
    "terminal/ui.py": "the printer: it writes what the door has cleaned",
    "terminal/rendered.py": "its Console only captures",
    "terminal/streams.py": "it asks what the streams are, and how wide",
    "cli/app.py": "it flushes what has been written",
    "__main__.py": "standard streams that are closed",
    "mcp/service.py": "the protocol has stdin for itself: whoever else reads from it finds nothing",
    "runners/child.py": "a process whose standard error is a pipe to `runners.process`",
    "cluster/driver.py": "a process whose streams are pipes",
    "runners/gpus.py": "the same",
    "pictures/codec_child.py": "a process whose streams are pipes, and who reads them",
    "pictures/pdf_child.py": "a process whose streams are pipes",
}
"""Modules that may, and why."""


def ways_in(tree):
    """Those that a module has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in WAYS_ROUND[""]:
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in WAYS_ROUND.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in WAYS_ROUND.get(node.module, ()))


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(("bench/", "demo/training/")):  # programs of their own, for who works on this one
            yield name, ast.parse(path.read_text("utf-8"))


def test_nobody_prints_but_through_the_door():
    found = {name: set(ways_in(tree)) for name, tree in modules()}
    assert {name: ways for name, ways in found.items() if ways and name not in MAY} == {}, "print by terminal.ui"
    assert [name for name in MAY if not found[name]] == [], "these need not be in MAY"


def calls_of_write(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("write", "writelines"):
            yield ast.unparse(node.func), [ast.unparse(one) for one in node.args[:1]]


def test_streams_are_written_to_in_few_places():
    """By `Ui.stdout`, which is behind the door, and by `os.write(2, ...)`."""
    found = {name: list(calls_of_write(tree)) for name, tree in modules()}
    way = re.compile(r"std(out|err)(\.buffer)?\.write")
    assert {name for name, calls in found.items() if any(way.search(to) for to, _ in calls)} == {
        "terminal/ui.py", "pictures/codec_child.py", "pictures/pdf_child.py", "runners/gpus.py",
    }  # fmt: skip
    assert {name for name, calls in found.items() if any(first in (["1"], ["2"]) for _, first in calls)} == {
        "terminal/door.py", "runners/child.py",
    }  # fmt: skip


def test_processes_do_not_inherit_the_terminal():
    """Whatever is started has its output read, or thrown away."""
    seen = 0
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.Popen", "subprocess.run"):
                given = {one.arg for one in node.keywords}
                assert {"stdout", "stderr"} <= given or "capture_output" in given, name
                seen += 1
    assert seen >= 4
