"""Completion in shells, through the variables that their scripts set, and in bash itself."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.program import VLM, own_environment, vlm
from vlmcli import demo
from vlmcli.cli import app
from vlmcli.models import catalogue


def completed(shell, *words, env=None):
    """What a shell is told may come next; the last word is the one that is being typed."""
    line = ["vlm", *words]
    if shell == "bash":
        protocol = {"COMP_WORDS": "\n".join(line), "COMP_CWORD": str(len(line) - 1)}
    else:
        protocol = {"_TYPER_COMPLETE_ARGS": " ".join(line), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = vlm(env={"_VLM_COMPLETE": f"complete_{shell}", **protocol, **(env or {})})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with one downloaded model, and a template of one's own."""
    snapshot = tmp_path / "hub" / "hub" / "models--me--mine" / "snapshots" / "a"
    snapshot.mkdir(parents=True)
    for file in (demo.FILES.model, demo.FILES.projector):
        (snapshot / file.name).symlink_to(file)
    templates = tmp_path / "config" / "vlm" / "templates"
    templates.mkdir(parents=True)
    (templates / "mine.toml").write_text("")
    (templates / "$(touch x).toml").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


CATALOGUE = sorted(entry.name for entry in catalogue.entries())


def test_commands():
    assert set(completed("bash", "")) == {name for names in app.GROUPS.values() for name in names} | {"help"}
    assert completed("bash", "des") == ["describe"]
    assert completed("bash", "--v") == ["--version"]
    assert completed("bash", "help", "temp") == ["templates"]
    assert completed("bash", "cache", "") == ["clear"]
    assert completed("bash", "cache", "clear", "") == []
    assert "--older-than" in completed("bash", "cache", "clear", "--")


@pytest.mark.parametrize("option", ["-m", "--model"])
def test_models(machine, option):
    found = completed("bash", "ask", option, "")
    assert found[0] == "demo"
    assert set(CATALOGUE) < set(found)
    assert [name for name in found if name not in {*CATALOGUE, "demo"}] == ["me/mine:demo"]
    assert completed("bash", "ask", "photo.jpg", option, "dem") == ["demo"]
    assert completed("bash", "ask", option, "./dem") == []  # a file
    assert completed("bash", "chat", option, "me/") == ["me/mine:demo"]


def test_bash_parts_words_at_colons(machine):
    assert completed("bash", "ask", "-m", "me/mine", ":") == ["demo"]
    assert completed("bash", "ask", "-m", "me/mine", ":", "de") == ["demo"]
    assert completed("bash", "ask", "-m", "me/mine:de") == ["me/mine:demo"]  # where it is told not to
    assert completed("bash", "ask", "-m", "me/mine", ":", "demo", "--det") == ["--detail"]


def test_models_that_are_arguments(machine):
    assert completed("bash", "rm", "") == ["me/mine:demo"]
    assert "demo" not in completed("bash", "pull", "")
    assert completed("bash", "pull", "smolvlm2-5") == ["smolvlm2-500m"]
    assert completed("bash", "default", "de") == ["demo"]
    assert completed("bash", "show", "nowhere.p") == []


def test_templates(machine):
    shipped = {line.partition("\t")[0] for line in vlm("templates").stdout.splitlines()} - {"mine"}
    assert set(completed("bash", "ask", "-t", "")) == shipped | {"mine"}
    assert completed("bash", "ask", "--template", "mi") == ["mine"]
    assert completed("bash", "templates", "") == ["list", "show"]
    assert completed("bash", "templates", "show", "mi") == ["mine"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--detail", ""), ["low", "high", "parts"]),
        (("--format", ""), ["text", "jsonl", "csv", "tsv"]),
        (("--format", "c"), ["csv"]),
        (("--format=c",), ["--format=csv"]),
        (("--format", "=", "c"), ["csv"]),
        (("--format", "="), ["text", "jsonl", "csv", "tsv"]),
        (("--existing", "r"), ["replace"]),
        (("--sidecar", ""), ["txt", "xmp"]),
        (("--chat-template", "vi"), ["vicuna"]),
        (("--jou",), ["--journal"]),
        (("--in-", ), ["--in-place", "--in-process"]),
        (("--output", ""), []),
        (("--files-from", "li"), []),
        (("",), []),
        (("photo",), []),
        (("photo.jpg", "-q", "what"), []),
        (("--json", ""), []),
        (("--", "--jou"), []),
        (("--", "-m", "de"), []),
        (("'what is", ""), []),
    ],
)  # fmt: skip
def test_values_of_options_and_files_elsewhere(words, found):
    assert sorted(completed("bash", "ask", *words)) == sorted(found)


@pytest.mark.parametrize("words", [("nonsense", ""), ("nonsense", "-m", "")])
def test_an_unknown_command_has_nothing_to_complete(words):
    assert completed("bash", *words) == []


def test_zsh_is_given_code_without_anything_that_it_would_run(machine):
    text = "\n".join(completed("zsh", "ask", "-m", "me/"))
    assert text == '_arguments \'*: :(("me/mine\\\\:demo":"downloaded"))\''
    assert completed("zsh", "ask", "") == ["_files"]
    text = "\n".join(completed("zsh", "ask", "-t", ""))
    assert '"mine"' in text
    assert "touch" not in text
    for words in (("",), ("ask", "-"), ("ask", "-m", "")):
        text = "\n".join(completed("zsh", *words))
        assert text.count("'") == 2
        assert "$" not in text
        assert "`" not in text


def test_fish_is_told_whether_there_is_something(machine):
    assert completed("fish", "ask", "-m", "me/") == ["me/mine:demo\tdownloaded"]
    for words, code in (("vlm ask -m dem", 0), ("vlm ask ", 1), ("vlm ask photo", 1), ("vlm ", 0)):
        wanted = {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "is-args"}
        done = vlm(env={"_VLM_COMPLETE": "complete_fish", **wanted})
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_broken_settings_are_not_told_of_here(machine):
    (machine / "config" / "vlm" / "settings.toml").write_text("[[[")
    assert completed("bash", "ask", "-m", "dem") == ["demo"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_printed_and_installed(tmp_path, shell):
    env = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = vlm("--show-completion", shell, env=env)
    assert (shown.returncode, "_VLM_COMPLETE=complete_" in shown.stdout) == (0, True)
    done = vlm("--install-completion", shell, env=env)
    assert done.returncode == 0, done.stderr
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(shown.stdout.strip() in text for text in written)


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_bash_itself_completes(machine):
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = vlm("--show-completion", "bash", env=env).stdout
    line = f"""{script}
COMP_WORDS=(vlm ask photo.jpg -m dem); COMP_CWORD=4
_vlm_completion '{VLM}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=own_environment(), check=False)
    assert (done.stdout, done.stderr) == ("demo\n", "")


def test_nothing_heavy_is_imported():
    code = (
        "import os, sys, json; os.environ.update(json.loads(sys.argv[1]));"
        "from vlmcli.cli.app import main; main([]);"
        "heavy = {'numpy', 'llama_cpp', 'PIL', 'rich', 'jinja2', 'gguf', 'httpx2', 'httpcore2'};"
        "sys.exit(', '.join(sorted(heavy & {name.split('.')[0] for name in sys.modules})) or 0)"
    )
    for words in ("vlm ", "vlm ask -m ", "vlm ask -t ", "vlm ask --det", "vlm chat -m "):
        for shell in ("zsh", "fish"):
            env = {"_VLM_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words}
            done = subprocess.run(
                [sys.executable, "-c", code, json.dumps(env)], capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr.strip()) == (0, ""), words
