"""`vlm chat`, on a terminal whose screen is looked at, and piped."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from random import Random

import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.program import piped
from vlmcli import demo
from vlmcli.demo import scenes
from vlmcli.demo.training import judging, questions

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals here", allow_module_level=True)

import termios

from tests.support.terminal import ALT_ENTER, CTRL_C, CTRL_D, CTRL_G, TAB, UP, VLM, Terminal

SCENE = ROOT / "docs" / "images" / "scene.png"
ANSWER = "A red circle and a blue square."
ATTACHED = "[picture 1: my scene.png 640×480 → 64 tokens]"


def test_a_session(talk, home):
    assert talk.line(f"'{home}/my scene.png'") == ATTACHED
    assert talk.line("what is this?") == ANSWER
    assert talk.line("What color is the circle?") == "The circle is red."
    assert talk.line("/undo") == "took back: What color is the circle?"
    assert talk.line("/regen")
    assert "nonsense: there is no such model" in talk.line("/model nonsense")
    assert talk.line("/model") == "demo"
    assert " ".join(talk.line("/save talk.json").split()).endswith("talk.json: saved 1 turn")
    assert talk.line("/clear") == "started a new conversation"
    assert "there is no picture to talk about yet" in talk.line("what is this?")
    said = talk.line("/load talk.json")
    assert ATTACHED in said
    assert " ".join(said.split()).endswith("talk.json: loaded 1 turn")
    assert talk.line("What color is the square?") == "The square is blue."
    talk.type(CTRL_D)
    assert talk.end() == 0
    saved = json.loads((home / "talk.json").read_text("utf-8"))
    (turn,) = saved["turns"]
    assert turn["question"] == "what is this?"
    assert turn["pictures"][0]["place"] == str(home / "my scene.png")
    assert len(turn["pictures"][0]["sha256"]) == 64


@pytest.mark.parametrize(
    "line",
    [
        "my\\ scene.png what is this?",
        '"my scene.png" what is this?',
        "what is this? {home}/my\\ scene.png",
        "what is this? file://{home}/my%20scene.png",
        "/image my scene.png",
    ],
)
def test_a_picture_is_attached_however_it_is_dropped(talk, home, line):
    shown = talk.line(line.replace("{home}", str(home)))
    assert ATTACHED in shown
    if "what is this?" in line:
        assert shown.endswith(ANSWER)


def test_a_dropped_file_that_is_not_there_is_said_and_the_line_kept(talk, home):
    talk.type("what is /nowhere/cat.png then?\r")
    talk.wait(r"/nowhere/cat.png: there is no such file")
    talk.wait(r"\nedit the line below, or clear it with Ctrl-C\n>>> what is /nowhere/cat.png then\?\Z")
    talk.type(CTRL_C)
    talk.wait(r">>> a question, or drop a picture here\Z")


def test_keys(talk, home):
    talk.line("/image my scene.png")
    talk.type("what is")
    talk.type(ALT_ENTER)
    talk.type("this?")
    talk.wait(r"\.\.\. this\?")
    talk.line("")
    talk.type(UP)
    talk.wait(r">>> what is\n\.\.\. this\?\Z")
    talk.type(CTRL_C)
    talk.wait(r">>> a question")
    assert "to leave, press" not in talk.text
    talk.type(CTRL_C)
    talk.wait(r">>>\nto leave, press Ctrl-D or type /exit\n>>> a question")
    talk.type('"""one\r')
    talk.wait(r"\.\.\.")
    assert talk.line('two"""')
    talk.type("/mo" + TAB)
    talk.wait(r">>> /model\Z")
    talk.type(" de" + TAB)
    talk.wait(r">>> /model demo\Z")
    assert talk.line("") == "demo continues the conversation"
    talk.type("exit\r")
    assert talk.end() == 0
    history = (home / "state" / "vlm" / "chat-history").read_text("utf-8")
    assert "+/model demo" in history
    with Terminal("chat", "-m", "demo", cwd=home) as again:
        again.wait(r">>> a question")
        again.type(UP + UP)
        again.wait(r">>> /model demo\Z")


def test_the_editor(home):
    editor = home / "editor"
    editor.write_text("#!/bin/sh\nprintf 'what is this?' > \"$1\"\n", "utf-8")
    editor.chmod(0o755)
    with Terminal("chat", "-m", "demo", "my scene.png", cwd=home, VISUAL=str(editor)) as talk:
        talk.wait(r">>> a question")
        talk.type(CTRL_G)
        talk.wait(r">>> what is this\?")
        assert talk.line("").endswith(ANSWER)
        talk.type("/edit\r")
        talk.wait(r">>> what is this\?\Z")


def test_commands_that_are_wrong_say_what_to_do(talk):
    for line, says in (
        ("/imgae a.png", "/imgae: no such command\n     did you mean /image"),
        ("/zzzzz", "/help lists the commands"),
        ("/nope", "/nope: no such command\n     /help lists the commands"),
        ("/sys hello", "did you mean /system?"),
        ("/quit", "did you mean /exit?"),
        ("/drop", "/drop takes a picture's number"),
        ("/drop 3", "there is no picture 3"),
        ("/image", "/image takes a path or an address"),
        ("/image nothing.png", "nothing.png: there is no such file"),
        ("/regen", "there is no question to take back"),
        ("/set temperature hot", "vlm: temperature hot: not a number"),
        ("/set temperature 101", "vlm: temperature 101: out of range"),
        ("/set nonsense 3", "there is no sampling option nonsense"),
        ("/set nonsense", "there is no sampling option nonsense"),
        ("/detail wide", "not low, high, or a number of pixels of at least 16"),
        ("/save", "/save takes one file"),
        ("/save talk.pdf", "there is no answer to save"),
        ("/copy", "there is no answer to copy"),
        ("/load nothing.json", "cannot be read"),
        ("/load 'my scene.png'", "name a file written by /save"),
        ("/undo now", "/undo takes no argument"),
        ("/stats", "there was no answer yet"),
    ):
        assert " ".join(says.split()) in " ".join(talk.line(line).split()), line  # long lines are wrapped


def test_more_pictures_and_what_they_take(talk, home):
    scenes.draw(scenes.make(Random(5), size=(300, 200))).save(home / "b.png")
    talk.line("/image 'my scene.png' b.png")
    assert "[picture 2: b.png 300×200 → 64 tokens]  attached to the next question" in talk.line("/images")
    assert talk.line("/drop 2").startswith("removed [picture 2: b.png")
    talk.line("what is this?")
    assert re.search(r"\d+ of 4,096 tokens \(\d%\), 64 of them for pictures", talk.line("/tokens"))
    assert "64 of pictures" in talk.line("/stats")
    assert talk.line("/detail low") == "new pictures are scaled down to 512 pixels"
    assert "[picture 3: b.png 300×200" in talk.line("b.png")
    assert talk.line("/set temperature 0.5") == "sampling: temperature 0.5"
    for _ in range(2):
        assert talk.line("/set temperature") == "sampling: defaults"
    assert talk.line("/system be brief") == "be brief"
    assert talk.line("//is a text?")
    assert len(talk.line("/help").splitlines()) > 15
    assert talk.line("/save talk.md").endswith("talk.md: saved 2 turns")
    assert "neither Markdown nor JSON" in talk.line("/save talk.pdf")
    assert "its folder does not exist" in talk.line("/save /nowhere/talk.json")
    text = (home / "talk.md").read_text("utf-8")
    assert re.search(
        r"!\[picture 1\]\(<.*/my scene.png>\)\n\npicture 1: my scene.png, 640×480, sha256 [0-9a-f]{64}", text
    )
    assert "## what is this?" in text
    assert ANSWER in text


def test_the_clipboard(home):
    for name, script in (
        ("wl-paste", f'if [ "$1" = --list-types ]; then echo image/png; else exec cat "{home}/my scene.png"; fi'),
        ("wl-copy", f'exec cat > "{home}/copied"'),
    ):
        program = home / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        program.chmod(0o755)
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with Terminal("chat", "-m", "demo", cwd=home, PATH=path, WAYLAND_DISPLAY="wayland-0") as talk:
        talk.wait(r">>> a question")
        assert talk.line("/paste") == "[picture 1: clipboard.png 640×480 → 64 tokens]"
        assert talk.line("what is this?").endswith(ANSWER)
        assert talk.line("/copy") == "copied the answer to the clipboard"
        assert (home / "copied").read_text("utf-8") == ANSWER
        (home / "bin" / "wl-paste").write_text("#!/bin/sh\necho text/plain\n", "utf-8")
        assert "there is no picture in the clipboard" in talk.line("/paste")


def test_a_thumbnail_where_the_terminal_can_show_one(home):
    for words, shown in (((), True), (("--no-thumbnails",), False)):
        with Terminal("chat", "-m", "demo", "my scene.png", *words, cwd=home, TERM="xterm-kitty") as talk:
            talk.wait(r">>> a question")
            assert (b"\x1b_G" in talk.raw) == shown


def test_a_picture_is_looked_at_while_somebody_types(home, slow):
    words = ("chat", "-m", slow, "my scene.png", "--max-tokens", "4", "--stats", "--no-cache")
    with Terminal(*words, cwd=home, columns=200) as talk:
        talk.wait(r">>> a question")
        said = talk.line("what is this?")
        pictures = int(re.search(r"\((\d+) of pictures\)", said)[1])
        known = re.search(r"known from earlier questions: (\d+) of \d+ prompt tokens; nothing encoded", said)
        assert int(known[1]) >= pictures > 500
        assert "encode " not in said.partition("first token")[2]


def test_ctrl_c_in_an_answer_and_in_an_encode_leaves_the_conversation(home, slow):
    with Terminal("chat", "-m", slow, "my scene.png", "--max-tokens", "4000", "--no-cache", cwd=home) as talk:
        talk.wait(r">>> a question")
        talk.type("what is this?\r")
        talk.wait(r"looking at the picture")
        talk.type(CTRL_C)
        talk.wait(r"stopped; the pictures stay attached\n>>> a question")
        talk.type("what is that?\r")
        talk.wait(lambda shown: len(shown.partition("what is that?")[2]) > 60 and "looking" not in shown[-40:])
        talk.type(CTRL_C)
        talk.wait(r"\nstopped\n>>> a question")
        assert "0 of them" not in talk.line("/tokens")
        assert "took back: what is that?" in talk.line("/undo")
        talk.type(CTRL_D)
        assert talk.end() == 0


def test_what_is_oldest_is_forgotten_aloud_when_the_context_is_full(home):
    with Terminal("chat", "-m", "demo", "--ctx", "256", "my scene.png", cwd=home, columns=100) as talk:
        talk.wait(r">>> a question")
        said = [talk.line("what is this?") for _ in range(8)]
        assert "the context is full; forgot “what is this?” and its answer" in said[-1]
        assert all(ANSWER in one for one in said)
        assert talk.line("What color is the circle?").endswith("The circle is red.")
        long = talk.line("so " * 300)
        assert "the question and its pictures take" in long
        assert "the context has 256" in long
        assert talk.line("What color is the square?").endswith("The square is blue.")


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(talk, home):
    shutil.copy(demo.FILES.model, home / "words.gguf")
    content = demo.FILES.projector.read_bytes()
    (home / "mmproj-eyes.gguf").write_bytes(content[: len(content) // 2])
    talk.line("/image 'my scene.png'")
    assert "mmproj-eyes.gguf" in talk.line("/model ./words.gguf")
    assert talk.line("what is this?").endswith(ANSWER)
    (home / "mmproj-eyes.gguf").write_bytes(content)
    assert "continues the conversation" in talk.line("/model ./words.gguf")
    assert talk.line("What color is the circle?").endswith("The circle is red.")


def test_a_picture_that_kills_llama_cpp_costs_one_answer(home):
    with Image.open(SCENE) as image:
        image.convert("L").save(home / "bad.png")
    with Terminal("chat", "-m", "demo", "bad.png", cwd=home, columns=100, fault="segfault bad.png") as talk:
        talk.wait(r">>> a question")
        assert "llama.cpp crashed on it" in talk.line("what is this?").replace("\n", " ")
        talk.line("/drop 1")
        assert talk.line("'my scene.png' what is this?").endswith(ANSWER)


@pytest.mark.parametrize(("columns", "env"), [(60, {}), (200, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})])
def test_it_reads_well_on_any_terminal(home, columns, env):
    with Terminal("chat", "-m", "demo", "my scene.png", cwd=home, columns=columns, **env) as talk:
        talk.wait(r">>>")
        assert talk.line("What color is the circle?").endswith("The circle is red.")
        if "NO_COLOR" in env:
            assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7]|4[0-7])m", talk.raw)
        if env.get("TERM") == "dumb":
            assert b"\x1b" not in talk.raw
        talk.type(CTRL_D)
        assert talk.end() == 0


def test_piped_lines_are_one_conversation_and_stdout_has_answers_only(home):
    done = piped(home, "what is this?\n\nWhat color is the circle?\n", "my scene.png")
    assert done.stdout == f"{ANSWER}\nThe circle is red.\n"
    done = piped(home, 'my\\ scene.png\n"""what\nis this?"""\nquit\nwhat?\n')
    assert done.stdout == f"{ANSWER}\n"
    done = piped(home, "/image nothing.png\nwhat is this?\n", "my scene.png", code=3)
    assert done.stdout == f"{ANSWER}\n"
    done = piped(home, "what is this?\n", code=1)
    assert (done.stdout, "no picture to talk about" in done.stderr) == ("", True)
    done = piped(home, "", "-o", "temperature=hot", code=2)
    assert "not a number" in done.stderr


def test_follow_ups_are_answered_from_the_picture(home):
    """Fifty held-out scenes, in wordings that were not trained on: two turns about each, piped."""
    lines, wanted, number = [], [], 0
    while len(wanted) < 50:
        rng = Random(f"chat {number}")
        number += 1
        scene = scenes.make(rng, size=(640, 480))
        turns = questions.follow_up(rng, scene, True)
        if turns is None:
            continue
        scenes.draw(scene).save(home / f"{number}.jpg", quality=90)
        lines += ["/clear", f"/image {number}.jpg", turns[0].question, turns[1].question]
        wanted.append(turns[1])
    done = piped(home, "\n".join(lines) + "\n")
    answers = done.stdout.splitlines()
    assert len(answers) == 100
    right = sum(judging.is_right(item, answer) for item, answer in zip(wanted, answers[1::2], strict=True))
    print(f"{right} of 50 follow-ups are right")
    assert right >= 45


def test_the_state_may_be_unwritable(home):
    shutil.rmtree(home / "state")
    (home / "state").write_text("a file", "utf-8")
    with Terminal("chat", "-m", "demo", "my scene.png", cwd=home) as talk:
        talk.wait(r">>> a question")
        assert talk.line("what is this?").startswith(ANSWER)


def test_nobody_reads_the_answers_any_more(home):
    command = (
        f"yes 'what is this?' | head -200 | '{VLM}' chat -m demo 'my scene.png' | head -1; echo ${{PIPESTATUS[2]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=home, timeout=120, check=False, env=os.environ
    )
    assert done.stdout == f"{ANSWER}\n141\n"


def test_the_picture_in_the_docs_is_what_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    page = ROOT / "docs" / "images" / "chat.py"
    spec = importlib.util.spec_from_file_location("chat_svg", page)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    there, now = page.with_suffix(".svg").read_text("utf-8"), module.drawn()
    assert re.findall(r">([^<]*)</text>", now) == re.findall(r">([^<]*)</text>", there)


def test_a_question_about_a_picture_that_cannot_be_read_is_not_asked(home):
    (home / "broken.png").write_bytes(SCENE.read_bytes()[:60])
    done = piped(home, "what is this?\nbroken.png what is this?\n", "my scene.png", code=3)
    assert (done.stdout, "broken.png" in done.stderr) == (f"{ANSWER}\n", True)
    with Terminal("chat", "-m", "demo", "my scene.png", cwd=home) as talk:
        talk.wait(r">>> a question")
        talk.type("broken.png what is this?\r")
        talk.wait(r">>> broken.png what is this\?\Z")


def test_an_answer_given_anew_is_kept_also_when_the_context_is_full(home):
    shutil.copy(SCENE, home / "p.png")
    lines = [
        "'my scene.png' what is this?",
        "what is this?",
        f"/system {'look at it well ' * 20}",
        "/regen",
        "/save r.json",
    ]
    done = piped(home, "\n".join(lines) + "\n", "--ctx", "256")
    assert "the context is full; forgot" in done.stderr
    turns = json.loads((home / "r.json").read_text("utf-8"))["turns"]
    assert turns[-1]["answer"] == done.stdout.splitlines()[-1]
    assert len(turns) < 3


def test_an_answer_that_is_not_given_leaves_the_conversation_as_it_was(home, slow):
    with Terminal("chat", "-m", slow, "my scene.png", "--ctx", "1400", "-o", "max_tokens=20", cwd=home) as talk:
        talk.wait(r">>> a question")
        talk.line("what is this?")
        Image.open(SCENE).convert("L").save(home / "gray.png")
        talk.line("gray.png and this?")
        talk.line("/system " + "look at it well " * 10)
        talk.type("/regen\r")
        talk.wait(r"/regen\n")
        talk.type(CTRL_C)
        talk.wait(r"stopped[^\n]*\n>>> a question")
        assert "picture 2" in talk.line("/images")
        assert " ".join(talk.line("/save r.json").split()).endswith("saved 2 turns")


def test_ctrl_c_twice_in_a_change_of_models_leaves_the_old_one(talk, home, slow):
    talk.line("'my scene.png'")
    talk.type(f"/model {slow}\r")
    talk.wait(lambda _: termios.tcgetattr(talk._parent)[3] & termios.ICANON)  # the line has been taken
    for _ in range(2):
        talk.type(CTRL_C)
        time.sleep(0.12)
    talk.wait(r"stopped\n(?:>>>\nto leave, [^\n]*\n)*>>> a question")
    time.sleep(0.5)
    talk.type("what is this?\r")
    talk.wait(ANSWER)


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a\0b.json", "/dev/zero", "pipe"])
def test_names_that_are_none_end_nothing(home, name):
    os.mkfifo(home / "pipe")
    lines = [f"/image {name}", f"/save {name}.json", f"/load {name}", "what is this?"]
    done = piped(home, "\n".join(lines) + "\n", "my scene.png", code=3)
    assert done.stdout == f"{ANSWER}\n"


@pytest.mark.parametrize(
    "place", ["/tmp/a\\u0000b.png", "/tmp/\\ud800.png", "/dev/zero", "ftp://127.0.0.1/a.png", "a.png"]
)
def test_a_saved_conversation_with_places_that_are_none_is_loaded_without_them(home, place):
    picture = f'{{"number": 1, "name": "a.png", "place": "{place}", "sha256": "00"}}'
    (home / "h.json").write_text(
        '{"v": 1, "system": "", "turns": [{"question": "?", "pictures": ['
        + picture
        + '], "answer": "!"}], "pending": []}',
        "utf-8",
    )
    done = piped(home, "/load h.json\n'my scene.png' what is this?\n", code=3)
    assert done.stdout == f"{ANSWER}\n"


def test_a_frame_is_saved_and_loaded_as_one(home):
    frames = [scenes.draw(scenes.make(Random(seed), size=(300, 200))) for seed in (5, 6, 7)]
    frames[0].save(home / "three.gif", save_all=True, append_images=frames[1:])
    lines = ["three.gif#2", "what is this?", "/save g.json", "/load g.json", "what is this?"]
    done = piped(home, "\n".join(lines) + "\n")
    first, second = done.stdout.splitlines()
    assert first == second
    assert json.loads((home / "g.json").read_text("utf-8"))["turns"][0]["pictures"][0]["place"].endswith("three.gif#2")


def test_what_is_saved_is_never_a_picture_or_something_else(home):
    shutil.copy(SCENE, home / "pic.json")
    (home / "notes.md").write_text("my notes", "utf-8")
    lines = ["/image pic.json", "what is this?", "/save pic.json", "/save notes.md", "/save own.md", "/save own.md"]
    done = piped(home, "\n".join(lines) + "\n", code=3)
    assert done.stderr.count("own.md: saved 1 turn\n") == 2
    assert (home / "pic.json").read_bytes() == SCENE.read_bytes()
    assert (home / "notes.md").read_text("utf-8") == "my notes"


def test_a_picture_that_has_changed_since_it_was_saved_is_told_of(home):
    shutil.copy(SCENE, home / "p.png")
    piped(home, "what is this?\n/save p.json\n", "p.png")
    Image.open(SCENE).convert("L").save(home / "p.png")
    assert "the file has changed since it was saved" in piped(home, "/load p.json\n").stderr


def test_numbers_stay_what_they_were_when_a_conversation_is_loaded(home):
    Image.open(SCENE).convert("L").save(home / "gray.png")
    piped(home, "/drop 1\nwhat is this?\n/save p.json\n", "gray.png", "my scene.png")
    assert "[picture 2: my scene.png" in piped(home, "/load p.json\n/images\n").stderr


def test_a_piped_text_without_an_end_is_read_soon(home):
    text = "\ufeff/images\n" + '"""' + "so it goes\n" * 20_000
    done = piped(home, text, "my scene.png", code=1)
    assert "picture 1" in done.stderr
    assert "tokens, and the context has" in done.stderr


def test_a_history_that_is_no_file_is_done_without(home):
    (home / "state" / "vlm" / "chat-history").mkdir(parents=True)
    with Terminal("chat", "-m", "demo", "my scene.png", cwd=home) as talk:
        talk.wait(r">>> a question")
        assert talk.line("what is this?").endswith(ANSWER)


def test_a_terminal_is_left_as_it_was_found(talk):
    was = termios.tcgetattr(talk._parent)  # raw, while something is typed
    talk.process.terminate()
    assert talk.end() == -signal.SIGTERM
    now = termios.tcgetattr(talk._parent)
    assert not was[3] & termios.ECHO
    assert now[3] & termios.ECHO
    assert now[3] & termios.ICANON


def test_an_editor_that_is_no_command_is_not_started(home):
    with Terminal("chat", "-m", "demo", "my scene.png", cwd=home, VISUAL="vi '") as talk:
        talk.wait(r">>> a question")
        talk.type("what is this?" + CTRL_G)
        assert talk.line("").endswith(ANSWER)


def test_tokens_are_counted_anew_for_another_model(talk, slow):
    talk.line("'my scene.png'")
    talk.line(f"/model {slow}")
    assert "576 tokens" in talk.line("/images")


@pytest.mark.parametrize("word", ["help", "HELP", "?"])
def test_a_bare_word_for_help_is_help(home, word):
    done = piped(home, f"{word}\n", "my scene.png")
    assert done.stdout == ""
    assert "/image PATH|URL…" in done.stderr
    assert "show this list" in done.stderr


@pytest.mark.parametrize("word", ["exit", "quit", "Quit", "bye", "exit()", ":q", "/exit", "/bye"])
def test_a_bare_word_for_leaving_leaves(home, word):
    done = piped(home, f"{word}\nwhat is this?\n", "my scene.png")
    assert (done.stdout, "vlm:" in done.stderr) == ("", False)


@pytest.mark.parametrize(
    ("words", "line", "saved"),
    [
        ((), "/save talk.md", False),
        ((), "/save talk.json", False),
        (("my scene.png",), "/save talk.md", False),
        (("my scene.png",), "/save talk.json", True),
    ],
)
@pytest.mark.parametrize("asked", ["", "what is this?\n/undo\n"])
def test_nothing_is_not_saved(home, words, line, saved, asked):
    asked = asked if words else ""
    done = piped(home, f"{asked}{line}\n", *words, code=0 if saved else 3 if asked else 1)
    assert ("there is no answer to save\n     ask something first" in done.stderr) != saved
    assert ("ask something first; a .json file keeps the picture without one\n" in done.stderr) == (
        bool(words) and not saved
    )
    assert (home / line.split()[1]).exists() == saved
    assert ("talk.json: saved 1 picture and no answers" in done.stderr) == saved


def test_tab_goes_into_folders_and_through_names_with_spaces(talk, home):
    (home / "pics of us").mkdir()
    shutil.copy(SCENE, home / "pics of us" / "red and blue.png")
    (home / "pics of us" / "notes.txt").write_text("", "utf-8")
    talk.type("what is in pi" + TAB)
    talk.wait(r">>> what is in pics\\ of\\ us/\Z")
    talk.type(TAB)
    talk.wait(r"us/red\\ and\\ blue\.png\Z")
    assert talk.line("").endswith(ANSWER)
    talk.type('"my sc' + TAB)
    talk.wait(r'>>> "my scene\.png"\Z')
    talk.type(CTRL_C)
    talk.wait(r">>> a question")
    talk.type("/image pics of us/r" + TAB)
    talk.wait(r">>> /image pics of us/red and blue\.png\Z")
