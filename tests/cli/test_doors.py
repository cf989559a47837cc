"""What becomes of a link, a device, a pipe, a folder that an option names: docs/reliability.md, cell by cell."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.program import SCENE, VLM, vlm
from tests.test_files import SPECIAL
from vlmcli import demo, files
from vlmcli.machine import speed

if not hasattr(os, "mkfifo"):
    pytest.skip("needs pipes with names", allow_module_level=True)

_HEAD, _, *ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "reliability.md")
    .read_text("utf-8")
    .split("## Links, devices and pipes")[1]
    .split("\n## ")[0]
    .splitlines()
    if line.startswith("|")
]
PLACES = {re.search(r"`([^` ]+)`", row[0])[1]: row[1:] for row in ROWS}
"""What the page says of each place: link to a file, link to nothing, folder, device or socket, pipe, exit code."""

COLUMNS = {
    "a folder": 2, "a socket": 3, "a device": 3, "a pipe": 4,
    "a broken link to nothing": 1, "a link that leads back to itself": 1,
}  # fmt: skip
TOML = b'description = "x"\nprompt = "what is this?"\n'
ASK = ("ask", "-m", "demo")
MODEL, PROJECTOR = demo.FILES.model, demo.FILES.projector
JINJA = b"{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{{ c['text'] }}{% endfor %}\n{% endfor %}"


def run(*words):
    """A command; `...` among its words stands for the path."""
    return lambda at, path: vlm(*(path if word is ... else word for word in words), cwd=at)


SAVED = json.dumps({"v": 1, "system": "", "turns": [], "pending": []}).encode()
"""A conversation in which nothing has been said yet."""


def chat(command, *words):
    return lambda at, path: vlm("chat", "-m", "demo", *words, input=f"{command} {path}\n", cwd=at)


def beside(*words):
    """A run over a folder with one picture."""

    def captioned(at, _):
        if not os.path.lexists(at / "pics" / "a.png"):
            shutil.copy(SCENE, at / "pics" / "a.png")
        return vlm(*ASK, "-q", "what?", "pics", *words, "--existing", "replace", cwd=at)

    return captioned


def configured(*words):
    """A command of a user whose own files are in the folder."""
    return lambda at, _: vlm("ask", *words, SCENE, cwd=at, env={"XDG_CONFIG_HOME": str(at)})


NEW = b"-"  # what is written, and need not be there

WAYS = {
    "PICTURES": ("it.png", Path(SCENE).read_bytes(), run(*ASK, ..., "what?")),
    "-m": ("it.gguf", MODEL.read_bytes(), run("ask", "-m", ..., "--mmproj", PROJECTOR, SCENE, "what?")),
    "--mmproj": ("it.gguf", PROJECTOR.read_bytes(), run("ask", "-m", MODEL, "--mmproj", ..., SCENE, "what?")),
    "--chat-template": ("it", JINJA, run(*ASK, "--chat-template", ..., SCENE, "what?")),
    "--questions": ("it", b"what?\n", run(*ASK, "--questions", ..., SCENE)),
    "--files-from": ("it", SCENE.encode() + b"\n", run(*ASK, "--files-from", ..., "what?")),
    "-t": ("vlm/templates/it.toml", TOML, configured("-m", "demo", "-t", "it")),
    "settings.toml": ("vlm/settings.toml", b'model = "demo"\n', configured("-q", "what?")),
    "--output": ("it.jsonl", NEW, run(*ASK, "--output", ..., SCENE, "what?")),
    "--journal": ("it.jsonl", NEW, run(*ASK, "--journal", ..., SCENE, "what?")),
    "--html": ("it.html", NEW, run("explain", "-m", "demo", "--html", ..., SCENE, "what?")),
    "/load": ("it.json", SAVED, chat("/load")),
    "/save": ("it.json", SAVED, chat("/save", SCENE)),
    "--sidecar": ("pics/a.txt", b"x\n", beside("--sidecar", "txt")),
    "--write-metadata": ("pics/a.png", Path(SCENE).read_bytes(), beside("--write-metadata")),
}  # fmt: skip
"""For each place of the page: how the file there is called, what is in a good one, and a command that names it."""


def test_the_page_and_these_tests_know_the_same_places():
    assert list(PLACES) == list(WAYS)


@pytest.mark.sample(3)
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("place", WAYS)
def test_what_is_no_file_does_what_the_page_says_and_stays(tmp_path, place, kind):
    words, make = SPECIAL[kind]
    name, _, run = WAYS[place]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    says = PLACES[place][COLUMNS[words]]
    if says == "read":
        pytest.skip("a pipe with a writer has a test of its own")
    begun = time.monotonic()
    done = run(tmp_path, path)
    assert time.monotonic() - begun < 8
    assert "Traceback" not in done.stderr
    if says.startswith("its "):  # pictures, or model; and there are none
        assert (done.returncode, "folder" in done.stderr) == (1, True)
        return
    assert says.split(";")[0] == "error"
    assert done.returncode == int(PLACES[place][-1]), done.stderr
    other = {
        "a broken link to nothing": "(?i)no such file|a link to nothing, which does not exist",
        "a link that leads back to itself": "Too many levels",
    }
    if place == "--write-metadata":
        other |= {"a device": "a link leads out of", "a folder": "in this folder"}
    assert words in done.stderr or re.search(other.get(words, words), done.stderr), done.stderr
    assert files.what(path) == words


@pytest.mark.parametrize("place", WAYS)
def test_a_link_to_a_file_does_what_the_page_says(tmp_path, place):
    name, good, run = WAYS[place]
    path = tmp_path / name
    real = path.parent / ".in" / f"it{path.suffix}"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"" if good == NEW else good)
    path.symlink_to(f".in/{real.name}")
    done = run(tmp_path, path)
    assert done.returncode == 0, done.stderr
    assert path.is_symlink()
    says = PLACES[place][0]
    assert says.split(",")[0] in ("read", "written")
    assert (real.read_bytes() != (b"" if good == NEW else good)) == says.startswith("written"), says


@pytest.mark.parametrize("place", [place for place, says in PLACES.items() if says[4] == "read"])
def test_a_pipe_is_read_where_the_page_says_so(tmp_path, place):
    name, good, run = WAYS[place]
    os.mkfifo(tmp_path / name)
    writer = threading.Thread(target=lambda: (tmp_path / name).write_bytes(good))
    writer.start()
    try:
        done = run(tmp_path, tmp_path / name)
    finally:
        writer.join()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("place", [place for place, says in PLACES.items() if says[4] == "read"])
def test_a_pipe_that_nobody_writes_to_is_an_error_in_time(tmp_path, place, monkeypatch):
    monkeypatch.setattr(files, "WAIT", 0.2)
    name, _, run = WAYS[place]
    os.mkfifo(tmp_path / name)
    begun = time.monotonic()
    done = run(tmp_path, tmp_path / name)
    assert time.monotonic() - begun < 8
    assert (done.returncode, "a pipe that no program writes to" in done.stderr) == (int(PLACES[place][-1]), True)


def test_a_shells_process_substitution_and_dev_stdin_work(tmp_path):
    bash = shutil.which("bash")
    if not bash:
        pytest.skip("needs bash")
    script = f"""
    set -e -o pipefail
    {VLM} ask -m demo --questions <(sleep 0.3; echo 'what is this?') {SCENE}
    echo {SCENE} | {VLM} caption -m demo --files-from /dev/stdin
    echo 'what is this?' > questions.txt
    {VLM} ask -m demo --questions /dev/stdin {SCENE} < questions.txt
    {VLM} caption -m demo {SCENE} --output /dev/stdout | cat && echo "not refused"
    """
    done = subprocess.run([bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.count("red circle")) == (2, 3), done.stderr
    assert "/dev/stdout: a pipe, not a regular file" in done.stderr


@pytest.mark.parametrize("option", ["--output", "--journal"])
@pytest.mark.parametrize("name", ["/dev/null", "/dev/full", "/dev/tty"])
def test_a_device_for_records_is_an_error_that_names_another_way(tmp_path, option, name):
    done = vlm("caption", "-m", "demo", SCENE, option, name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "use --json to write records to stdout" in done.stderr


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/tty"])
@pytest.mark.parametrize("place", [one for one in WAYS if not WAYS[one][0].count("/") and one != "/save"])
def test_no_option_reads_a_device(tmp_path, place, device):
    done = WAYS[place][2](tmp_path, Path(device))
    assert (done.returncode, "a device" in done.stderr) == (int(PLACES[place][-1]), True), done.stderr


BOUNDED = ["--chat-template", "-t", "settings.toml", "--questions", "--files-from", "/load", "PICTURES"]


@pytest.mark.parametrize("place", BOUNDED)
def test_a_file_of_a_terabyte_is_named_at_once(tmp_path, place):
    name, _, run = WAYS[place]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    with (tmp_path / name).open("wb") as sparse:
        sparse.truncate(1 << 40)
    done = run(tmp_path, tmp_path / name)
    assert done.returncode == int(PLACES[place][-1]), done.stderr
    assert re.search("more than", done.stderr), done.stderr


# --- the user's own files, which another program may have made ---


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_among_what_is_remembered_harms_no_command(tmp_path, state, kind):
    """The file of a command under way, the speed of this machine, and what was typed."""
    (state / "running").mkdir(parents=True)
    (state / "speed.json").unlink()
    for name in ("running/1.txt", f"running/{os.getpid()}.txt", "speed.json"):
        (state / Path(name).parent / Path(name).stem).mkdir(exist_ok=True)
        SPECIAL[kind][1](state / name)
    begun = time.monotonic()
    done = vlm("ask", "-m", "demo", SCENE, "what is this?", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert time.monotonic() - begun < 8
    assert speed.kept(state, "this machine") is None


def test_a_link_among_what_is_remembered_is_not_written_through(tmp_path, state):
    (state / "running").mkdir(parents=True)
    mine = tmp_path / "mine"
    mine.write_text("mine", "utf-8")
    (state / "running" / f"{os.getpid()}.txt").symlink_to(mine)
    assert vlm("ask", "-m", "demo", SCENE, "what is this?", cwd=tmp_path).returncode == 0
    assert mine.read_text("utf-8") == "mine"


# --- what is proposed ---


@pytest.mark.parametrize(
    "make",
    [
        lambda at: (at / "it.png").symlink_to("it.png"),
        lambda at: (at / "it.png").symlink_to("gone.png"),
        lambda at: [(at / "it.png").symlink_to("it2.png"), (at / "it2.png").symlink_to("it.png")],
        lambda at: (at / "its.png").symlink_to("its.png"),
        lambda at: (at / "its.png").symlink_to("gone"),
        lambda at: (at / "it.png").symlink_to("/nowhere/it.png"),
    ],
)
def test_nothing_that_cannot_be_read_is_proposed(tmp_path, make):
    make(tmp_path)
    done = vlm("ask", "-m", "demo", "it.png", "what?", cwd=tmp_path)
    assert (done.returncode, "did you mean" in done.stderr) == (1, False), done.stderr
    if (tmp_path / "it.png").is_symlink():
        assert "a link" in done.stderr
    shutil.copy(SCENE, tmp_path / "itt.png")
    if not (tmp_path / "it.png").is_symlink():
        assert "did you mean itt.png?" in vlm("ask", "-m", "demo", "it.png", "what?", cwd=tmp_path).stderr


def test_a_folder_that_leads_to_itself_is_gone_through_once(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "in").symlink_to(".")
    shutil.copy(SCENE, tmp_path / "pics" / "a.png")
    for word in ("pics", "pics/in/in/in"):
        done = vlm("caption", "-m", "demo", word, "--json", cwd=tmp_path)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
