"""What the documents say is what the command does."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.map import PACKAGE, drawn
from tests.support import ROOT
from vlmcli.cli.app import VERBS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)


def sessions():
    """Each `$ command` of a console block, and the lines after it."""
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield pytest.param(command, output, id=f"{page.name}: {command}")


@pytest.mark.parametrize(("command", "output"), list(sessions()))
def test_a_session_in_the_docs_prints_what_it_shows(command, output):
    assert command.startswith("vlm ")
    command = command.replace("vlm ", f"'{Path(sys.executable).with_name('vlm')}' ", 1)
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == output
    assert done.returncode == 0


def test_every_verb_and_option_is_documented():
    assert [verb for verb in VERBS if f"vlm {verb}" not in TEXT] == []
    source = (ROOT / "vlmcli" / "cli" / "options.py").read_text("utf-8")
    short = {"--question", "--model", "--system", "--option", "--verbose", "--null"}  # documented by their letters
    options = set(re.findall(r'"(--[a-z-]+)"', source)) - short
    assert len(options) > 8
    assert sorted(option for option in options if option not in TEXT) == []


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_files_that_the_docs_name_are_there():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]:
        for name in re.findall(
            r"\b((?:vlmcli|tests|docs)/[\w/.-]+\.(?:py|toml|md|json|png|svg))\b", page.read_text("utf-8")
        ):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_the_map_in_the_docs_is_the_map_and_the_way_of_a_question_names_each_file_once():
    page = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    assert f"```text\n{drawn()}\n```" in page
    files = re.findall(r"`([a-z_/]+\.py)`", page.partition("## One question, file by file")[2])
    assert len(files) == len(set(files)) > 40
    assert [name for name in files if not (PACKAGE / name).is_file()] == []


def test_exit_codes_and_environment_are_documented():
    from vlmcli.errors import Exit

    for code in Exit:
        assert f"| {int(code)} |" in (ROOT / "docs" / "output.md").read_text("utf-8")
    for variable in ("VLM_MODEL", "VLM_DEBUG", "VLM_CTX", "VLM_THREADS", "VLM_GPU_LAYERS"):
        assert variable in TEXT


def test_the_page_of_commands_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("cli_page", ROOT / "docs" / "cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == module.page()
