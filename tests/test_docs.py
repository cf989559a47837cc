"""What the documents say is what the command does."""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tests.map import PACKAGE, drawn
from tests.support import ROOT
from vlmcli import installing, settings
from vlmcli.cli import daily
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
def test_a_session_in_the_docs_prints_what_it_shows(command, output, tmp_path):
    """All that a user sees; "vlm: " begins what is on stderr, which has the demo's notice on the first day only."""
    assert command.startswith("vlm ")
    command = command.replace("vlm ", f"'{Path(sys.executable).with_name('vlm')}' ", 1)
    said = [line for line in output.splitlines(keepends=True) if line.startswith("vlm: ")]
    answers = [line for line in output.splitlines(keepends=True) if not line.startswith("vlm: ")]
    env = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    if not any("demo model sees" in line for line in said):
        daily.remember(tmp_path / "vlm")
    done = subprocess.run(command, shell=True, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "".join(answers)
    busy = re.compile(r"^vlm: (looking at the picture|loading the model|reading|answering)( +[0-9]+%)?\n", re.MULTILINE)
    assert busy.sub("", done.stderr) == "".join(said)  # what takes long is told of
    assert done.returncode == 0


def python_pages():
    return [page for page in PAGES if "```python\nfrom vlmcli import" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", python_pages(), ids=lambda page: page.name)
def test_python_in_the_docs_prints_what_it_shows(page):
    """All blocks of a page are one program; what is printed stands in the comment behind `print(...)`."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    shown = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(shown) == code.count("print(") > 0
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (shown, "")


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


def anchors(page):
    """What `#…` of a link to a page may be: its headings, as GitHub writes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


def test_links_to_a_part_of_a_page_lead_to_its_heading():
    found = 0
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]:
        for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
            assert anchor in anchors(page.parent / link if link else page), f"{page.name} links to {link}#{anchor}"
            found += 1
    assert found > 20


def test_a_page_begins_with_what_it_is_for_and_shows_it_on_the_first_screen():
    """A sentence below the title, and an example (a block, a picture or a table) within the first 40 lines."""
    for page in PAGES:
        lines = page.read_text("utf-8").splitlines()
        assert lines[0].startswith("# "), page.name
        assert re.match(r"[A-Z`].*", lines[2]), page.name
        assert any(re.match(r"```|!\[|\| ", line) for line in lines[:40]), page.name


def test_the_readme_leads_with_ready_made_wheels():
    text = (ROOT / "README.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if "pip install" in line]
    assert "--extra-index-url https://abetlen.github.io/llama-cpp-python/whl/" in lines[0]
    assert f"llama-cpp-python=={installing.VERSION}" in text
    assert "pip install '.[dev]' && pytest" in lines


def test_each_setting_is_documented_and_the_example_is_one(tmp_path):
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|[^|]*\|([^|]*)\|", page, re.MULTILINE))
    assert set(rows) == {one.name for one in fields(settings.Settings)} - {"yes", "debug", "sources"}
    for name in set(rows) - {"mmproj"}:
        assert f"`VLM_{name.upper()}`" in rows[name], name
    (tmp_path / "settings.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1], "utf-8")
    loaded = settings.load(environment={}, file=tmp_path / "settings.toml")
    assert (loaded.model, loaded.system, loaded.max_tokens) == (
        "qwen3.5-0.8b", "Answer in one short sentence.", 200,
    )  # fmt: skip


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
