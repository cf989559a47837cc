"""Every hint that names an option or a command is followed in the situation that prints it, and helps.

Each case makes its inputs in an empty folder, types a command, and says what the error and its hint are. Then the hint
is typed: either the command it ends with, or the same command with what the hint names.
"""

import ast
import functools
import http.server
import os
import re
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from tests.support import ROOT, pdfs
from tests.support.engines import small_files
from tests.support.hints import follow, message_and_hint
from tests.support.place import here, two_of
from tests.support.program import SCENE, vlm
from vlmcli import demo
from vlmcli.bench import mutants
from vlmcli.cli import app
from vlmcli.cli.parameters import parameters

ASK = ("ask", "-m", "demo")
QUESTION = "what is this?"


@dataclass(frozen=True)
class Case:
    """A hint, and how it is followed.

    Attributes:
        typed: the command.
        error: what the message has.
        hint: what the hint has.
        then: the command that follows the hint; nothing where the hint has the whole command.
        stands: for words of the hint's command: MODEL, FILE …
        make: makes the inputs in the folder.
        input: on stdin.
        answer: what the second command says on stdout or stderr.
        env: of both.
    """

    typed: tuple
    error: str
    hint: str
    then: tuple = ()
    stands: dict = field(default_factory=dict)
    make: object = None
    input: bytes = b""
    answer: str = ""
    env: dict = field(default_factory=dict)


def scene(*names):
    def make(folder):
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(SCENE, folder / name)

    return make


def file(name, data):
    def make(folder):
        shutil.copy(SCENE, folder / "a.png")
        (folder / name).write_bytes(data)

    return make


def own_template(folder):
    shutil.copy(SCENE, folder / "a.png")
    (folder / "config" / "vlm" / "templates").mkdir(parents=True)
    (folder / "config" / "vlm" / "templates" / "own.toml").write_text(
        'description = "x"\nprompt = "is there a $shape?"'
    )


def frames(folder):
    one, other = Image.new("RGB", (64, 48), "white"), Image.new("RGB", (64, 48), "red")
    one.save(folder / "a.gif", save_all=True, append_images=[other])
    one.save(folder / "a.tif", save_all=True, append_images=[other])


def pages():
    """A PDF of two pages."""
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 200]>>"
    return pdfs.written({1: "<</Type/Catalog/Pages 2 0 R>>", 2: "<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>", 3: page,
                         4: page})  # fmt: skip


def pair(*projectors):
    """The demo's files, its projector under these names."""

    def make(folder):
        shutil.copy(SCENE, folder / "a.png")
        shutil.copy(demo.FILES.model, folder / "words.gguf")
        for name in projectors:
            shutil.copy(demo.FILES.projector, folder / name)

    return make


MANY = tuple(f"{number}.png" for number in range(12))
A = scene("a.png")
AGAIN = (*ASK, "a.png", QUESTION)
CASES = {
    # the question
    "no question": Case(
        ("ask", "a.png"),
        "no question",
        'vlm ask a.png "what is this?"',
        make=A,
        env={"VLM_MODEL": "demo"},
        answer="circle",
    ),
    "no words": Case(
        (*ASK, "a.png", "-q", ""), "the question is empty", '"what is this?"', (*ASK, "a.png", "-q", QUESTION), make=A
    ),
    "no picture": Case(
        (*ASK, QUESTION),
        "no picture",
        'vlm ask PICTURE "what is this?"',
        stands={"PICTURE": "a.png"},
        make=A,
        env={"VLM_MODEL": "demo"},
    ),
    "the question first": Case(
        (*ASK, QUESTION, "a.png"), "a.png: the last argument", "put the question last", AGAIN, make=A
    ),
    "the question first, -q": Case(
        (*ASK, QUESTION, "a.png"), "a.png: the last argument", '-q "…"', (*ASK, "-q", QUESTION, "a.png"), make=A
    ),
    "several lines on stdin": Case(
        (*ASK, "a.png"), "several lines", "-q -", (*ASK, "a.png", "-q", "-"), input=b"what is\nthis?\n", make=A
    ),
    "a name on stdin": Case(
        (*ASK, "a.png"),
        "the name of a file",
        "--files-from -",
        (*ASK, "--files-from", "-", QUESTION),
        input=b"a.png\n",
        make=A,
    ),
    # templates
    "--param alone": Case(
        (*ASK, "--param", "a=b", "a.png", QUESTION), "--param", "-t NAME", (*ASK, "-t", "tags", "a.png"), make=A
    ),
    "--param without a value": Case(
        (*ASK, "-t", "translate", "a.png", "--param", "language"),
        "the value is missing",
        "write --param language=VALUE",
        (*ASK, "-t", "translate", "--param", "language=German", "a.png"),
        make=A,
    ),
    "a slot": Case(
        (*ASK, "-t", "own", "a.png"),
        "needs a value for shape",
        "add --param shape=VALUE",
        (*ASK, "-t", "own", "--param", "shape=circle", "a.png"),
        make=own_template,
    ),
    "no place for a question": Case(
        (*ASK, "-t", "tags", "-q", QUESTION, "a.png"),
        "takes no question",
        'leave out "what is this?"',
        (*ASK, "-t", "tags", "a.png"),
        make=A,
    ),
    "unknown template": Case(
        (*ASK, "-t", "tgas", "a.png"),
        "tgas: there is no such template",
        "did you mean tags?",
        (*ASK, "-t", "tags", "a.png"),
        make=A,
    ),
    "lists templates": Case(
        (*ASK, "-t", "none", "a.png"),
        "there is no such template",
        "vlm templates lists them",
        ("templates",),
        answer="tags",
        make=A,
    ),
    "templates NAME": Case(("templates", "tags"), "but not tags", "vlm templates show tags", answer="prompt"),
    "templates show": Case(
        ("templates", "show"), "", "vlm templates show NAME", stands={"NAME": "tags"}, answer="prompt"
    ),
    # lists and folders
    "-0 alone": Case(
        (*ASK, "-0", "a.png", QUESTION),
        "-0",
        "--files-from FILE -0",
        (*ASK, "--files-from", "l", "-0", QUESTION),
        make=file("l", b"a.png\0"),
        answer="circle",
    ),
    "NULs": Case(
        (*ASK, "--files-from", "my l", QUESTION),
        "its names end with NULs",
        'add -0: --files-from "my l" -0',
        (*ASK, "--files-from", "my l", "-0", QUESTION),
        make=file("my l", b"a.png\0"),
        answer="circle",
    ),
    "a text": Case(
        (*ASK, "l.txt", QUESTION),
        "l.txt: a text file",
        "--files-from l.txt",
        (*ASK, "--files-from", "l.txt", QUESTION),
        make=file("l.txt", b"a.png\n"),
        answer="circle",
    ),
    "--include": Case(
        (*ASK, "--include", "*.png", "a.png", QUESTION),
        "--include does nothing",
        "name the folder",
        (*ASK, "--include", "*.png", ".", QUESTION),
        make=A,
        answer="circle",
    ),
    "too many": Case(
        (*ASK, *MANY, QUESTION),
        "about 12 pictures",
        "add --each",
        (*ASK, "--each", *MANY, QUESTION),
        make=scene(*MANY),
        answer="circle",
    ),
    "--each and --together": Case(
        (*ASK, "--each", "--together", "a.png", QUESTION),
        "cannot be used together",
        "leave out --each or --together",
        (*ASK, "--each", "a.png", QUESTION),
        make=A,
        answer="circle",
    ),
    # pages and frames
    "a frame": Case(
        (*ASK, "a.gif", QUESTION), "to ask about the second: a.gif#2", "", (*ASK, "a.gif#2", QUESTION), make=frames
    ),
    "no such frame": Case(
        (*ASK, "a.gif#3", QUESTION), "no number 3", "from 1 to 2", (*ASK, "a.gif#2", QUESTION), make=frames
    ),
    "no such page": Case(
        (*ASK, "a.tif#3", QUESTION), "no number 3", "from 1 to 2", (*ASK, "a.tif#2", QUESTION), make=frames
    ),
    "one page": Case(
        ("explain", "-m", "demo", "a.pdf", QUESTION),
        "cannot take 2 pictures",
        "a.pdf#1",
        ("explain", "-m", "demo", "a.pdf#1", QUESTION),
        make=file("a.pdf", pages()),
    ),
    "one page of stdin": Case(
        ("explain", "-m", "demo", "-", QUESTION),
        "cannot take 2 pictures",
        "-#1",
        ("explain", "-m", "demo", "-#1", QUESTION),
        input=pages(),
    ),
    "the next page of stdin": Case((*ASK, "-", QUESTION), "", "", (*ASK, "-#2", QUESTION), input=pages()),
    # names
    "nearest": Case(
        (*ASK, "A.PNG", QUESTION), "there is no such file", "did you mean a.png?", AGAIN, make=A, answer="circle"
    ),
    # models
    "unknown model": Case(
        ("ask", "-m", "dmeo", "a.png", QUESTION),
        "there is no such model",
        "did you mean -m demo?",
        AGAIN,
        make=A,
        answer="circle",
    ),
    "lists models": Case(
        ("ask", "-m", "nothing-like-it", "a.png", QUESTION),
        "there is no such model",
        "`vlm ls`",
        ("ls",),
        make=A,
        answer="demo",
    ),
    "nearest file": Case(
        ("ask", "-m", "word.gguf", "a.png", QUESTION),
        "there is no such file",
        "did you mean -m words.gguf?",
        ("ask", "-m", "words.gguf", "a.png", QUESTION),
        make=pair("mmproj-words.gguf"),
        answer="circle",
    ),
    "exchanged": Case(
        ("ask", "-m", "mmproj-a.gguf", "--mmproj", "words.gguf", "a.png", QUESTION),
        "not a language model",
        "--mmproj, and the model as -m",
        ("ask", "--mmproj", "mmproj-a.gguf", "-m", "words.gguf", "a.png", QUESTION),
        make=pair("mmproj-a.gguf"),
        answer="circle",
    ),
    "several projectors": Case(
        ("ask", "-m", "words.gguf", "a.png", QUESTION),
        "several projectors",
        "--mmproj FILE",
        ("ask", "-m", "words.gguf", "--mmproj", "mmproj-b.gguf", "a.png", QUESTION),
        make=pair("mmproj-a.gguf", "mmproj-b.gguf"),
        answer="circle",
    ),
    "no projector": Case(
        ("ask", "-m", "words.gguf", "a.png", QUESTION),
        "no projector",
        "--mmproj FILE",
        ("ask", "-m", "words.gguf", "--mmproj", "eyes/e.gguf", "a.png", QUESTION),
        make=lambda folder: [(folder / "eyes").mkdir(), pair("eyes/e.gguf")(folder)],
        answer="circle",
    ),
    "the demo's projector": Case(
        (*ASK, "--mmproj", "x.gguf", "a.png", QUESTION), "demo", "leave out --mmproj", AGAIN, make=A, answer="circle"
    ),
    "pull demo": Case(("pull", "demo"), "demo: part of vlm", "vlm ask -m demo", (*ASK, "a.png", QUESTION), make=A),
    "rm demo": Case(("rm", "demo"), "part of vlm", "vlm ls lists them", ("ls",), answer="demo"),
    "rm": Case(("rm", "-y"), "no model", "vlm ls lists them", ("ls",), answer="demo"),
    "default": Case(
        ("default", "--mmproj", "x.gguf"),
        "--mmproj needs a model",
        "vlm default MODEL --mmproj FILE",
        stands={"MODEL": "words.gguf", "FILE": "mmproj-b.gguf"},
        make=pair("mmproj-b.gguf"),
    ),
    "new architecture": Case(
        (*ASK[:2], "new.gguf", "--mmproj", "new.gguf", "a.png", QUESTION),
        "new.gguf",
        "",
        ("models",),
        make=file("new.gguf", b"GGUF"),
    ),
    # the answer, and where it goes
    "sidecars that are one": Case(
        ("caption", "-m", "demo", "--sidecar", "txt", "a.png", "a.jpg"),
        "would both go into",
        "--sidecar-name full",
        ("caption", "-m", "demo", "--sidecar", "txt", "--sidecar-name", "full", "a.png", "a.jpg"),
        make=scene("a.png", "a.jpg"),
    ),
    "a sidecar of two": Case(
        (*ASK, "--sidecar", "txt", "a.png", "b.png", QUESTION),
        "several pictures",
        "--each",
        (*ASK, "--sidecar", "txt", "--each", "a.png", "b.png", QUESTION),
        make=scene("a.png", "b.png"),
    ),
    "a sidecar that is no text": Case(
        ("caption", "-m", "demo", "--sidecar", "txt", "--existing", "append", "a.png"),
        "not UTF-8",
        "--existing replace",
        ("caption", "-m", "demo", "--sidecar", "txt", "--existing", "replace", "a.png"),
        make=file("a.txt", b"\xff\xfe\xff"),
    ),
    "--existing alone": Case(
        ("caption", "-m", "demo", "--existing", "replace", "a.png"),
        "--existing does nothing",
        "--sidecar txt",
        ("caption", "-m", "demo", "--existing", "replace", "--sidecar", "txt", "a.png"),
        make=A,
    ),
    "--keywords of a sentence": Case(
        (*ASK, "--sidecar", "xmp", "--keywords", "a.png", QUESTION),
        "not keywords",
        "-t tags",
        (*ASK, "--sidecar", "xmp", "--keywords", "-t", "tags", "a.png"),
        make=A,
    ),
    "metadata of a GIF": Case(
        ("caption", "-m", "demo", "--write-metadata", "a.gif"),
        "cannot hold XMP",
        "--sidecar xmp",
        ("caption", "-m", "demo", "--sidecar", "xmp", "a.gif"),
        make=frames,
    ),
    "metadata of a page": Case(
        ("caption", "-m", "demo", "--write-metadata", "a.tif"),
        "one page of a file",
        "--sidecar xmp",
        ("caption", "-m", "demo", "--sidecar", "xmp", "a.tif"),
        make=frames,
    ),
    "--preview alone": Case(
        ("show", "demo", "--preview", "p.png"),
        "--preview needs a picture",
        "vlm show PICTURE --preview FILE.png",
        stands={"PICTURE": "a.png", "FILE.png": "p.png"},
        make=A,
        env={"VLM_MODEL": "demo"},
    ),
    "--timeout": Case(
        (*ASK, "--timeout", "0.1", "big.png", QUESTION),
        "no answer within 0.1 s",
        "--timeout",
        (*ASK, "--timeout", "60", "big.png", QUESTION),
        make=lambda folder: Image.linear_gradient("L").resize((9000, 9000)).save(folder / "big.png", compress_level=1),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_hint_helps(tmp_path, kind):
    case = CASES[kind]
    if case.make:
        case.make(tmp_path)
    (tmp_path / "config").mkdir(exist_ok=True)
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "VLM_MODEL": None, **case.env}
    done = vlm(*case.typed, env=env, cwd=tmp_path, input=case.input)
    said = done.stderr + done.stdout
    if case.hint:
        message, hint = message_and_hint(done)
        assert done.returncode != 0
        assert case.error in message and case.hint in hint, done.stderr
    assert case.error in said
    if case.then:
        then = vlm(*case.then, env=env, cwd=tmp_path, input=case.input)
    else:
        then = follow(done, env=env, cwd=tmp_path, **case.stands)
    assert then.returncode == 0, then.stderr
    assert case.answer in (then.stdout + then.stderr).lower()


def test_a_model_without_a_chat_template_is_given_one_as_the_hint_says(small, tmp_path):
    files = small_files(small, "llava")
    model = mutants.read(files.model.read_bytes())
    model.keys = [one for one in model.keys if one[0] != b"tokenizer.chat_template"]
    (tmp_path / "words.gguf").write_bytes(mutants.write(model))
    words = ("ask", "-m", tmp_path / "words.gguf", "--mmproj", files.projector, "--max-tokens", "2", SCENE, QUESTION)
    message, hint = message_and_hint(vlm(*words))
    assert "has no chat template" in message and "--chat-template vicuna" in hint
    assert vlm(*words, "--chat-template", "vicuna").returncode == 0


def test_a_question_that_is_too_long_is_given_the_context_of_the_hint():
    words = (*ASK, SCENE, "is it red? " * 150)
    message, hint = message_and_hint(vlm(*words, "--ctx", "256"))
    assert "256" in message
    done = vlm(*words, "--ctx", re.search(r"--ctx (\d+)", hint)[1])
    assert (done.returncode, done.stderr.count("context")) == (0, 0)


def test_an_address_of_this_machine_is_allowed_as_the_hint_says(tmp_path):
    scene("a.png")(tmp_path)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.png"
        assert "--allow-local-urls" in message_and_hint(vlm(*ASK, address, QUESTION))[1]
        done = vlm(*ASK, "--allow-local-urls", address, QUESTION)
        server.shutdown()
    assert (done.returncode, "circle" in done.stdout) == (0, True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_from_stdin_as_the_hint_says(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert '"-"' in message_and_hint(vlm(*ASK, "a.png", QUESTION, cwd=tmp_path))[1]
    assert "circle" in vlm(*ASK, "-", QUESTION, input=Path(SCENE).read_bytes()).stdout


# ---------------------------------------------------------------------------------------------- models that are here


def test_a_model_that_is_not_here_is_downloaded_as_the_hint_says(place):
    done = place.vlm("ask", "-m", "smolvlm2-500m", SCENE, QUESTION)
    assert "not downloaded yet" in message_and_hint(done)[0]
    assert message_and_hint(done)[1].startswith("vlm pull smolvlm2-500m")
    assert follow(done, env=place.environment()).returncode == 0
    assert here(place) != []


def test_the_name_of_a_model_here_that_is_nearly_right(place):
    two_of(place, "o/two-GGUF", "Q4_K_M")
    done = place.vlm("ask", "-m", "o/two-GGFU:Q4_K_M", SCENE, QUESTION)
    assert message_and_hint(done)[1].endswith("did you mean -m o/two-GGUF:Q4_K_M?")
    assert place.vlm("ask", "-m", "o/two-GGUF:Q4_K_M", SCENE, QUESTION).returncode == 0
    done = place.vlm("rm", "-y", "o/two-GGFU:Q4_K_M")
    assert message_and_hint(done)[1].startswith("did you mean o/two-GGUF:Q4_K_M?")
    refused = place.vlm("rm", "o/two-GGUF:Q4_K_M")
    assert "add -y" in message_and_hint(refused)[1]
    assert place.vlm("rm", "-y", "o/two-GGUF:Q4_K_M").returncode == 0
    assert here(place) == []


def test_a_damaged_model_is_downloaded_again_as_the_hint_says(place):
    assert place.vlm("pull", "-y", "smolvlm2-500m").returncode == 0
    (name,) = here(place)
    blob = max(place.cache.rglob("blobs/*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(bytes(blob.stat().st_size))
    done = place.vlm("verify", name)
    assert "vlm rm MODEL, then vlm pull MODEL" in message_and_hint(done)[1]
    assert place.vlm("rm", name, "-y").returncode == 0
    assert place.vlm("pull", name, "-y").returncode == 0
    assert place.vlm("verify", name).returncode == 0


def test_a_model_that_was_cut_off_is_downloaded_again_as_the_hint_says(place):
    assert place.vlm("pull", "-y", "smolvlm2-500m").returncode == 0
    (name,) = here(place)
    blob = max(place.cache.rglob("blobs/*"), key=lambda path: path.stat().st_size)
    with blob.open("r+b") as file:
        file.truncate(blob.stat().st_size // 2)
    done = place.vlm("ask", "-m", name, SCENE, QUESTION)
    assert done.returncode == 1
    assert "download" in message_and_hint(done)[1] and "again" in message_and_hint(done)[1]
    assert place.vlm("rm", name, "-y").returncode == 0
    assert place.vlm("pull", name, "-y").returncode == 0
    assert place.vlm("ask", "-m", name, SCENE, QUESTION).returncode == 0


def test_without_a_default_the_hint_sets_one(place):
    done = place.vlm("default")
    assert message_and_hint(done)[1].startswith("set one: vlm default MODEL")
    assert place.vlm("default", "demo").returncode == 0
    assert place.vlm("default").stdout.strip().startswith("demo")


# ---------------------------------------------------------------------------------------------- all hints in the code

NOT_OURS = {
    "-print0", "-frames", "-i", "-o", "-l", "-c", "--upgrade", "--extra-index-url", "--reinstall", "-U", "-D",
    "--num-cpus",
}  # fmt: skip
"""Options of other programs that hints name: find, ffmpeg, rsvg-convert, ls, pip, uv, ray."""


def hints():
    """Place and text of each hint in the code: second arguments of errors, with what is filled in as "…"."""
    for path in sorted((ROOT / "vlmcli").rglob("*.py")):
        if {"bench", "training"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and len(node.args) >= 2 and "Error" in ast.unparse(node.func):
                parts = [one for one in ast.walk(node.args[1]) if isinstance(one, ast.Constant)]
                text = " ".join(str(one.value) for one in parts if isinstance(one.value, str))
                if text.strip():
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def test_every_command_and_option_that_a_hint_names_is_there():
    declared = [one for verb in app.VERBS for one in parameters(app.function_of(verb))]
    taken = {"-h", "--help", "--version"}.union(*((*one.names, *one.negative) for one in declared))
    seen = 0
    for place, text in hints():
        for verb in re.findall(r"\bvlm ([a-z]+)", text):
            if verb not in ("cannot", "reads", "can", "is", "knows", "takes", "should", "works", "the", "may", "does"):
                seen += 1
                assert verb in app.VERBS, f"{place}: {text}"
        for option in re.findall(r"(?<![\w-])(--?[a-zA-Z0][\w-]*)", text):
            if option not in NOT_OURS:
                seen += 1
                assert option in taken, f"{place}: {text}"
    assert seen > 60
