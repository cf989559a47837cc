"""The installed `vlm`, as a person or a script meets it: words in; stdout, stderr and an exit code out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.program import ANSWER, SCENE, VLM, vlm


def test_the_bare_answer_and_nothing_else():
    done = vlm("ask", "-m", "demo", SCENE, "what is this?")
    assert (done.stdout, done.stderr, done.returncode) == (ANSWER, "", 0)


def test_several_questions_make_lines():
    done = vlm("ask", "-m", "demo", SCENE, "-q", "what is this?", "-q", "What color is the circle?")
    assert done.stdout == f"{SCENE}\twhat is this?\t{ANSWER}{SCENE}\tWhat color is the circle?\tThe circle is red.\n"
    assert done.returncode == 0


@pytest.mark.parametrize("where", ["--in-process", "--worker"])
def test_an_error_of_a_question_is_said_of_each_and_of_a_picture_once(tmp_path, where):
    long = ["what is left? " * 2000, "what is right? " * 2000]  # the same message for both
    done = vlm("ask", "-m", "demo", SCENE, "-q", long[0], "-q", long[1], where)
    assert done.stderr.count("and the context has 4096") == 2
    path = tmp_path / "cut.png"
    path.write_bytes(Path(SCENE).read_bytes()[:200])
    done = vlm("ask", "-m", "demo", path, "-q", "what is left?", "-q", "what is right?", where)
    assert done.stderr.count("cut.png: ") == 1


def test_one_answer_about_a_folder_together_is_bare(tmp_path):
    for name in ("a.png", "b.png"):
        shutil.copy(SCENE, tmp_path / name)
    typed = vlm("ask", "-m", "demo", "a.png", "b.png", "what is in the second image?", cwd=tmp_path)
    assert typed.stdout.count("\n") == 1
    for names in (["."], ["*.png"]):
        done = vlm("ask", "-m", "demo", *names, "--together", "what is in the second image?", cwd=tmp_path)
        assert (done.stdout, done.returncode) == (typed.stdout, 0)
    records = vlm(
        "ask", "-m", "demo", "*.png", "--together", "what is this?", "--json", cwd=tmp_path
    ).stdout.splitlines()
    assert [json.loads(line)["sources"] for line in records] == [["a.png", "b.png"]]


def test_several_pictures_are_asked_about_together(tmp_path):
    other = tmp_path / "empty.png"
    Image.new("RGB", (320, 240), (255, 255, 255)).save(other)
    done = vlm("ask", "-m", "demo", SCENE, str(other), "Which image has a red circle?", "--json")
    record = json.loads(done.stdout)
    assert record["sources"] == [SCENE, str(other)]
    assert record["usage"]["picture_tokens"] == 128
    assert record["answer"] == "The first image."


def test_json_is_one_object_a_line():
    done = vlm(
        "ask", "-m", "demo", SCENE, "-q", "What color is the circle?", "-q", "What color is the square?", "--json"
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["answer"] for record in records] == ["The circle is red.", "The square is blue."]
    assert records[1]["usage"]["reused_tokens"] >= 64


def test_a_phone_picture_is_turned_upright(tmp_path):
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(SCENE).rotate(90, expand=True).save(path, exif=exif, quality=92)
    done = vlm("ask", "-m", "demo", str(path), "What is on the right?")
    assert done.stdout == "A blue square.\n"


def test_sampling_options_in_both_spellings():
    hot = ["-o", "temperature", "5", "-o", "top_k=0", "-o", "top_p", "1", "-o", "min_p", "0", "--seed", "7"]
    one, two = (vlm("ask", "-m", "demo", *hot, SCENE, "what is this?") for _ in range(2))
    assert one.stdout == two.stdout != ANSWER
    assert one.returncode == 0


def test_an_answer_that_is_cut_says_so():
    done = vlm("ask", "-m", "demo", "--max-tokens", "3", SCENE, "what is this?")
    assert done.stdout == "A red circle\n"
    assert "cut off after 3 tokens" in done.stderr


def test_stats_go_to_stderr():
    done = vlm("ask", "-m", "demo", "--stats", SCENE, "what is this?")
    assert done.stdout == ANSWER
    assert "64 of pictures" in done.stderr


def test_the_default_model_is_in_the_environment():
    assert vlm("ask", SCENE, "what is this?", env={"VLM_MODEL": "demo"}).stdout == ANSWER


def test_a_model_in_a_folder(tmp_path):
    from vlmcli import demo

    for file in (demo.FILES.model, demo.FILES.projector):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    done = vlm("ask", "-m", str(tmp_path), SCENE, "what is this?")
    assert (done.stdout, done.stderr) == (ANSWER, "")
    pair = ("-m", str(tmp_path / "demo.gguf"), "--mmproj", str(tmp_path / "mmproj-demo.gguf"))
    assert vlm("ask", *pair, SCENE, "what is this?").stdout == ANSWER
    shown = vlm("show", str(tmp_path)).stdout
    assert "llama" in shown
    assert "mlp" in shown


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["ask", SCENE, "what is this?"], 1, "no model chosen"),
        (["ask", "-m", "demo", SCENE], 2, "no question"),
        (["ask", "-m", "demo", "what is this?"], 2, "no picture"),
        (["ask", "-m", "demo", SCENE, SCENE], 2, "-q"),
        (["ask", "-m", "demo", SCENE, "  "], 2, "the question is empty"),
        (["ask", "-m", "demo", "none.png", "what is this?"], 1, "none.png: there is no such file\n"),
        (["ask", "-m", "demo", "none/", "what is this?"], 1, "none/: there is no such folder\n"),
        (["ask", "-m", "demo", "~/none", "what is this?"], 1, "~/none: there is no such file or folder\n"),
        (["ask", "-m", "demo", __file__, "what is this?"], 1, "not a picture"),
        (["ask", "-m", "nowhere", SCENE, "what is this?"], 1, "nowhere"),
        (["ask", "-m", __file__, SCENE, "what is this?"], 1, "not a GGUF file"),
        (["ask", "-m", "demo", "-o", "heat", "1", SCENE, "?"], 2, "heat"),
        (["ask", "-m", "demo", "-o", "top_p", "much", SCENE, "?"], 2, "not a number"),
        (["ask", "-m", "demo", "-o", "top_p", "2", SCENE, "?"], 2, "top_p"),
        (["ask", "-m", "demo", "--max-tokens", "0", SCENE, "?"], 2, "--max-tokens"),
        (["ask", "-m", "demo", "-o", "max_tokens", "0", SCENE, "?"], 2, "max_tokens"),
        (["ask", "-m", "demo", "-o", "seed", "1.5", SCENE, "?"], 2, "whole number"),
        (["ask", "-m", "x" * 5000, SCENE, "?"], 1, "no such model"),
        (["ask", "-m", "demo", "--nonsense", SCENE, "?"], 2, "--nonsense"),
        (["ask", "-m", "demo", "--ctx", "256", SCENE, "word " * 300], 1, "--ctx"),
        (["nonsense"], 2, "nonsense"),
        (["show", "nowhere"], 1, "nowhere"),
    ],
)
def test_errors_say_what_and_what_to_do(words, code, says):
    done = vlm(*words)
    assert done.returncode == code
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "the machine is busy" not in line]
    assert len(lines) <= 3


def test_some_failed_is_an_exit_code_of_its_own():
    done = vlm(
        "ask", "-m", "demo", "--ctx", "256", SCENE, "-q", "word " * 300, "-q", "What color is the circle?", "--json"
    )
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["error"]["type"] == "ContextFull"
    assert second["answer"] == "The circle is red."
    assert done.returncode == 3


def test_the_failing_question_may_be_any_of_them():
    asked = ["-q", "What color is the circle?", "-q", "word " * 300, "-q", "What color is the square?"]
    done = vlm("ask", "-m", "demo", "--ctx", "256", SCENE, *asked, "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record.get("answer") for record in records] == ["The circle is red.", None, "The square is blue."]
    assert done.returncode == 3


@pytest.mark.parametrize("env", [{"VLM_CTX": "abc"}, {"VLM_CTX": "10"}, {"VLM_THREADS": "100000"}])
def test_the_environment_has_the_options_bounds(env):
    done = vlm("ask", "-m", "demo", SCENE, "what is this?", env=env)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"'{VLM}' ask -m demo '{SCENE}' 'what is this?' >&-", 1),
        (f"'{VLM}' ask -m demo '{SCENE}' 'what is this?' 2>&-", 0),
        (f"'{VLM}' --help >/dev/full", 1),
        (f"'{VLM}' ask -m demo '~nosuchuser/a.png' 'what is this?'", 1),
    ],
)
def test_odd_shells(line, code):
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_json_has_an_object_for_an_error_too():
    done = vlm("ask", "-m", "demo", "none.png", "what is this?", "--json")
    record = json.loads(done.stdout)
    assert (record["sources"], record["error"]["type"], done.returncode) == (["none.png"], "SourceError", 1)


def test_sources_are_as_they_were_named():
    folder = Path(SCENE).parent
    done = vlm("ask", "-m", "demo", ".//scene.png", "what is this?", "--json", cwd=folder)
    assert json.loads(done.stdout)["sources"] == [".//scene.png"]


def test_no_words_at_all_is_help():
    done = vlm()  # as `vlm help`: somebody looks around
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 5
    done = vlm("ask")  # a command that is not complete, maybe of a script with an empty variable
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) > 5


def test_debug_shows_the_traceback():
    done = vlm("ask", "-m", "demo", "none.png", "?", env={"VLM_DEBUG": "1"})
    assert "Traceback" in done.stderr
    assert done.returncode == 1


def test_verbose_twice_shows_the_native_log():
    assert "llama" in vlm("ask", "-vv", "-m", "demo", SCENE, "what is this?").stderr
    assert vlm("ask", "-v", "-m", "demo", SCENE, "what is this?").stdout == ANSWER


def test_version_names_the_library_and_what_it_can_use():
    done = vlm("--version")
    assert done.returncode == 0
    assert "llama-cpp-python 0.3.36" in done.stdout
    assert "cpu " in done.stdout


def test_show_demo_says_what_it_is_in_three_lines_and_then_what_it_says_of_any_model():
    lines = vlm("show", "demo").stdout.splitlines()
    assert "cannot read photographs" in lines[2]
    names = ("model", "projector", "context", "a picture", "memory", "licence", "template", "files")
    assert [line[2:12].strip() for line in lines[3:]] == [*names, ""]
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    documented = re.search(r"```text\n\$ vlm show demo\n(.*?)```", page, re.DOTALL)[1].splitlines()
    assert len(documented) == len(lines)
    for shown, written in zip(lines, documented, strict=True):
        if "…" in written:
            assert shown.endswith(written.partition("…")[2])
        elif "memory" in written:  # which depends on the machine
            assert re.fullmatch(r"  memory     [0-9.]+ MB here: context 4096 of 4096, [0-9]+ threads?", shown)
        else:
            assert shown == written


def test_nothing_piped_has_control_codes():
    for env in ({}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        done = vlm("ask", "-m", "demo", SCENE, "what is this?", env=env)
        assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_that_goes_away_is_silence():
    with subprocess.Popen(
        [VLM, "ask", "-m", "demo", SCENE, "what is this?"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read().decode() == ""
        assert process.wait(60) == 141


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_head_gets_its_line_of_many_and_the_rest_is_silence(tmp_path):
    shutil.copy(SCENE, tmp_path / "a 00.png")
    for number in range(1, 40):  # all different, or one answer would be that of all, and there before head has gone
        with Image.open(SCENE) as scene:
            scene.resize((300 + number, 300)).save(tmp_path / f"a {number:02}.png")
    line = f'"{VLM}" ask -m demo "{tmp_path}" "what is this?" | head -1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{tmp_path}/a 00.png\t{ANSWER}141\n"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [VLM, "ask", "-m", "demo", SCENE, "what is this?"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "the answer cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("after", [0.03, 0.08, 0.15, 0.6, 1.5])
def test_ctrl_c_ends_it_at_once(slow, after):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and theirs, ignore it
    command = [VLM, "ask", "-m", slow, "--max-tokens", "4000", SCENE, "what is this?"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(after)  # importing, loading, encoding
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        try:
            _, stderr = process.communicate(timeout=2)
        except subprocess.TimeoutExpired as error:  # lost by Python itself, which looks at the script before it runs it
            assert b"Failed checking if argv[0] is an import path entry" in (error.stderr or b"")
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - sent < 2
    if "Traceback" in stderr:  # before a line of ours has run, Python's own start-up was interrupted
        assert f"vlmcli{os.sep}" not in stderr
    else:
        assert process.returncode in (130, -signal.SIGINT)  # shells show both as 130


def test_a_failed_assertion_in_c_is_an_exit_code_and_names_the_model(tmp_path):
    """A projector whose matrix does not fit its encoder aborts the process inside ggml, were it not refused before."""
    import numpy as np

    from vlmcli.bench.pair_maker import EncoderShape, ModelShape, PairMaker

    make = PairMaker(tmp_path, np.random.default_rng(0).standard_normal)
    make.model("llava", ModelShape(bpe="", specials=["<image>"]))
    tensors = make.mlp(64, 96, 64, 0.2, ("mm.0", "mm.2"))
    make.projector("llava", EncoderShape("mlp", tensors=tensors), 64)
    question = ["ask", "-m", str(tmp_path), SCENE, "what is this?"]
    unchecked = (
        "import sys; from vlmcli.models import pairing; pairing.check = pairing.check_projector_of = lambda *_: None;"
        "from vlmcli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", unchecked, *question], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 70)
    assert "llama.cpp crashed on" in done.stderr
    assert "llava.gguf" in done.stderr
    done = vlm(*question)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "mmproj-llava.gguf: tensor mm.0.weight is 96x64, not 64x64" in done.stderr


def test_two_at_once():
    command = [VLM, "ask", "-m", "demo", SCENE, "what is this?"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == [ANSWER, ANSWER]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_on_a_terminal_the_live_line_goes_before_the_answer_comes(slow):
    import pty

    parent, child = pty.openpty()
    command = [VLM, "ask", "-m", slow, "--max-tokens", "2", "--no-cache", SCENE, "what is this?"]
    with subprocess.Popen(command, stdout=child, stderr=child, stdin=child) as process:
        os.close(child)
        seen = b""
        while True:
            try:
                piece = os.read(parent, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    os.close(parent)
    assert process.returncode == 0
    before, after = seen.rsplit(b"\x1b[?25h", 1)  # the cursor is shown again
    assert b"looking at the picture" in before
    assert b"\x1b[?25l" in before
    _, answer = after.split(b"\x1b[2K", 1)  # and the line is gone
    assert b"\x1b" not in answer
    answer, notice = answer.decode().strip().splitlines()
    assert len(answer.split()) == 2
    assert "cut off after 2 tokens" in notice


@pytest.mark.skipif(sys.platform == "win32", reason="names are bytes on POSIX")
def test_a_name_that_is_not_utf8_comes_back_as_it_was(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9 \t\n.png"
    try:
        Path(os.fsdecode(name)).write_bytes(Path(SCENE).read_bytes())
    except OSError:
        pytest.skip("this file system wants UTF-8")
    done = subprocess.run(
        [VLM, "ask", "-m", "demo", name, "-q", "what is this?", "--json"], capture_output=True, check=True
    )
    assert os.fsencode(json.loads(done.stdout)["sources"][0]) == name
    asked = ["-q", "what is this?", "-q", "What color is the circle?"]
    lines = subprocess.run([VLM, "ask", "-m", "demo", name, *asked], capture_output=True, check=True)
    assert lines.stdout.count(b"\n") == 2
    assert b"caf\\xe9 \\t\\n.png\t" in lines.stdout
