"""Chat templates, ours and published ones, against the record that `python -m tests.templates` keeps of them."""

from dataclasses import replace

import pytest

from tests.support.engines import ask, noise, opened, small_files
from tests.templates import __main__ as command
from tests.templates import record, sources
from tests.templates.conversations import CONVERSATIONS
from tests.templates.rendering import Template
from vlmcli.bench import families
from vlmcli.values import Answer, Card

RECORD = record.read()
OWN = sources.own()
LINE = (
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ '<image>\n' if part.type == 'image' else part.text }}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize("name", OWN)
def test_our_templates_write_what_is_recorded_and_what_jinja_writes(name):
    template = Template(OWN[name])
    ours = {one: template.ours(conversation) for one, conversation in CONVERSATIONS.items()}
    assert not [text for text in ours.values() if text.startswith("error: ")]
    assert {one: template.by_jinja(conversation) for one, conversation in CONVERSATIONS.items()} == ours
    assert command.compared(OWN[name], ours, RECORD.get(name)) == "as recorded", (
        "if this is meant: python -m tests.templates DIR --server llama-server"
    )


def test_each_difference_from_llama_cpp_is_explained():
    published = {name: entry for name, entry in RECORD.items() if name.endswith(".jinja")}
    assert len([name for name, entry in published.items() if entry["pictures"]]) >= 18
    assert len([name for name, entry in published.items() if not entry["pictures"]]) >= 50
    assert set(RECORD) - set(published) == set(OWN)
    for name, entry in RECORD.items():
        assert list(entry["renderings"]) == list(CONVERSATIONS), name
        for conversation, found in entry["renderings"].items():
            if isinstance(found, list):
                ours, theirs, reason = found
                assert ours != theirs
                assert reason in record.REASONS
                assert reason == record.why(name, conversation)
    refused = {
        (name, conversation)
        for name, entry in published.items()
        for conversation, found in entry["renderings"].items()
        if record.ours(found) == record.digest("error: it fails")
    }
    one = "fireworks-ai-llama-3-firefunction-v2.jinja"
    assert {conversation for name, conversation in refused if name != one} == {"two questions"}, "which vlm never asks"
    assert {conversation for name, conversation in refused if name == one} == set(CONVERSATIONS)


def test_the_reasons_are_those_that_occur():
    found = {one[2] for entry in RECORD.values() for one in entry["renderings"].values() if isinstance(one, list)}
    assert found == set(record.REASONS) == {key for _, _, key in record.WHY}
    assert set(record.TOLD) < found


def test_the_command_notices_another_template_and_another_rendering(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "published" / "below"
    folder.mkdir(parents=True)
    file = folder / "a.jinja"
    file.write_text(PLAIN, "utf-8")
    words = [str(folder.parent), "--only", "a.jinja"]
    monkeypatch.setattr(record, "FILE", tmp_path / "templates.json")

    def said(code):
        assert command.main(words) == code
        return capsys.readouterr().out.splitlines()[0]

    assert said(1).endswith(" new")
    hashes = {one: record.digest(Template(PLAIN).ours(turns)) for one, turns in CONVERSATIONS.items()}
    record.write({"a.jinja": record.entry(PLAIN, False, hashes)})
    assert said(0).endswith(" as recorded")
    record.write({"a.jinja": record.entry(PLAIN, False, {**hashes, "system": hashes["words"]})})
    assert said(1).endswith(" changed: system")
    file.write_text(PLAIN.replace("<", "«"), "utf-8")
    assert said(1).endswith(" another template")
    assert command.main([str(tmp_path / "none")]) == 2


def answer(files, template, question):
    with opened(replace(files, card=Card(chat_template=template))) as engine:
        (outcome,) = engine.run([ask(question, noise(1))])
    assert isinstance(outcome, Answer), outcome
    return outcome.usage.prompt_tokens, outcome.text


def test_what_a_template_writes_behind_a_picture_reaches_the_model(small):
    files = small_files(small, "llava")
    with_line = answer(files, LINE, "what is this?")
    assert with_line == answer(files, PLAIN, "\nwhat is this?")
    assert with_line[0] == answer(files, PLAIN, "what is this?")[0] + 1


@pytest.mark.parametrize("name", ["deepseekocr", "granite4_vision"])
def test_a_line_that_libmtmd_ends_is_not_ended_twice(tmp_path, name):
    files = small_files(families.write(tmp_path, [name]), name)
    assert answer(files, LINE, "what is this?") == answer(files, PLAIN, "what is this?")
