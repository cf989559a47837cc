"""vlm models --check: the catalogue against what a Hub publishes now."""

import json
from dataclasses import replace

import pytest

from tests.support.hub import Hub
from tests.support.program import vlm
from vlmcli.models import catalogue

PAIR = {"A-Q8_0.gguf": b"x" * 2000, "mmproj-A-f16.gguf": b"y" * 1000}


@pytest.fixture
def hub(tmp_path):
    with Hub() as server:
        yield server


@pytest.fixture
def rows(monkeypatch):
    """A catalogue of three rows."""
    one = replace(catalogue.find("smolvlm2-500m"), shape="", repository="o/one", name="one")
    found = (one, replace(one, name="two", repository="o/two"), replace(one, name="three", repository="o/three"))
    monkeypatch.setattr(catalogue, "entries", lambda: found)
    return found


def check(hub, *words):
    return vlm("models", "--check", *words, env={"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None})


def test_where_all_is_as_it_says_nothing_is_wrong(hub, rows):
    for row in rows:
        hub.add(row.repository, PAIR)
    done = check(hub)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("vlm: 3 of 3 models are as the list says\n")
    told = [json.loads(line) for line in check(hub, "--json").stdout.splitlines()]
    assert [(one["name"], one["wrong"], one["size"]) for one in told] == [
        (row.name, [], 3000) for row in rows
    ]  # fmt: skip


def test_what_is_wrong_is_said_of_each(hub, rows):
    hub.add("o/one", {"A-Q4_K_M.gguf": b"x", "mmproj-A-f16.gguf": b"y"}, licence="mit", gated=True)
    hub.add("o/two", {"A-Q8_0.gguf": b"x"})
    done = check(hub)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "one: the licence is mit, not apache-2.0", "one: it is gated now", "one: Q8_0 is missing; Q4_K_M is published",
    ]  # fmt: skip
    assert lines[3].startswith("two: o/two")
    assert lines[4].startswith("three: ")
    assert len(lines) == 5
    assert done.stderr.endswith("vlm: 0 of 3 models are as the list says\n")


def test_a_size_that_the_dimensions_do_not_come_to_is_wrong(hub, monkeypatch):
    row = catalogue.find("smolvlm2-500m")
    monkeypatch.setattr(catalogue, "entries", lambda: (row,))
    hub.add(row.repository, PAIR)
    said = check(hub).stdout
    assert (
        "smolvlm2-500m: the model has 2,000 bytes, and its dimensions come to " in said or "the model has 2 kB" in said
    )
    assert said.count("its dimensions come to") == 2


def test_a_hub_that_cannot_be_asked_is_one_error(hub, rows):
    done = vlm("models", "--check", env={"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("vlm: ") == 1
    assert "HF_HUB_OFFLINE" in done.stderr


def test_it_measures_nothing(hub):
    done = check(hub, "--measure")
    assert (done.returncode, done.stderr) == (2, "vlm: --check measures nothing\n     leave out --measure\n")
