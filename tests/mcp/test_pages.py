"""docs/agents.md and the skill file: what they tell people and agents to type is what there is."""

import json
import re
import shlex
import shutil
import sys

import pytest

from tests.support import ROOT
from tests.support.program import SCENE, vlm
from vlmcli.cli.app import VERBS, command
from vlmcli.mcp import calls, tools, wire
from vlmcli.mcp.service import AT_ONCE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = (ROOT / "docs" / "agents.md").read_text("utf-8")
SKILL = (ROOT / "docs" / "skill" / "SKILL.md").read_text("utf-8")


def servers():
    """The command of each configuration on the page, as words."""
    for kind, block in re.findall(r"```(json|toml)\n(.*?)```", PAGE, re.DOTALL):
        content = json.loads(block) if kind == "json" else tomllib.loads(block)
        ((_, named),) = content.items()
        one = named["vlm"]
        yield one["command"] if isinstance(one["command"], list) else [one["command"], *one["args"]]
    for line in re.findall(r"\b(?:claude|codex) mcp add vlm -- (vlm [^`\n]*)", PAGE):
        yield shlex.split(line)


def test_each_configuration_starts_a_server_with_options_that_it_has():
    found = list(servers())
    assert len(found) == 7
    options = {name for one in command("mcp").params for name in one.opts}
    for name, verb, *words in found:
        assert (name, verb) == ("vlm", "mcp")
        assert words
        assert {word for word in words if word.startswith("-")} <= options


def test_the_table_of_tools_has_them_with_their_arguments():
    for tool in tools.TOOLS:
        (row,) = re.findall(rf"^\| `{tool['name']}` \|([^|]*)\|", PAGE, re.MULTILINE)
        named = set(re.findall(r"`([a-z_]+)`", row)) - {"short", "normal", "long", "plain", "markdown"}
        assert named == set(tool["inputSchema"]["properties"]) - {"region", "max_tokens"}
        assert tool["name"] in calls._READERS


def test_the_numbers_on_the_page_are_those_of_the_code():
    usual = tools.DEFAULTS
    assert (usual["ask_image"], usual["describe_image"], usual["compare_images"]) == (300, 300, 300)
    assert (usual["read_text"], usual["locate"]) == (1024, 1024)
    assert "300 tokens at most for sentences, 1,024 for text and boxes" in PAGE
    assert f"(2 to {tools.MOST_PICTURES})" in PAGE
    assert f"(up to {tools.MOST_QUESTIONS})" in PAGE
    assert f"at most {wire.MOST / 1e6:.0f} MB" in PAGE
    assert f"{AT_ONCE} calls run at once" in PAGE
    assert 5_500 < len(json.dumps(tools.TOOLS)) + len(tools.INSTRUCTIONS) < 6_500
    assert "about 6,000 characters" in PAGE


def test_the_skill_has_the_head_that_agents_read():
    head, text = re.fullmatch(r"---\n(.*?)\n---\n\n(# .*)", SKILL, re.DOTALL).groups()
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert list(fields) == ["name", "description"]
    assert re.fullmatch(r"[a-z-]{1,64}", fields["name"])
    assert "Use it when" in fields["description"]
    assert len(fields["description"]) <= 1024
    assert len(text.splitlines()) < 100


def lines_of_the_skill():
    """The commands in it, but for the one that downloads."""
    return [line for line in dict.fromkeys(re.findall(r"`(vlm [^`]+)`", SKILL)) if " pull " not in line]


@pytest.mark.parametrize("line", [line for line in lines_of_the_skill() if re.search(r"\.(png|jpg)", line)])
def test_the_commands_of_the_skill_run(line, tmp_path):
    for name in ("shot.png", "before.png", "after.png", "receipt.jpg", "photo.jpg"):
        shutil.copy(SCENE, tmp_path / name)
    done = vlm(*shlex.split(line)[1:], env={"VLM_MODEL": "demo"}, cwd=tmp_path)
    verb = shlex.split(line)[1]
    if verb == "match":  # all are listed, and none has a dog
        assert [float(row.split("\t")[1]) < 0.5 for row in done.stdout.splitlines()] == [True, True]
    elif verb != "extract":  # the demo model knows no receipts
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert done.returncode != 2, done.stderr


def test_the_skill_names_only_what_there_is():
    assert len(lines_of_the_skill()) >= 8
    for line in lines_of_the_skill():
        verb = shlex.split(line)[1]
        assert verb in (*VERBS, "--version"), line
    for tool in re.findall(r"`([a-z]+_[a-z]+)`", SKILL):
        assert tool in {one["name"] for one in tools.TOOLS}
