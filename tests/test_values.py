"""Settings, records, errors, and the helper that runs requests."""

import json
import pickle
import re

import pytest

from tests.support.fakes import ScriptedRunner
from vlmcli import errors, settings
from vlmcli.errors import Exit, SourceError, UsageError, VlmError
from vlmcli.records import lines
from vlmcli.tasks.ask import Ask
from vlmcli.values import Answer, Done, Failed, Request, Result, Timings, Usage, run

ANSWER = Answer("a\tb\nc\\", "stop", Usage(64, 77, 0, 3), Timings(load=0.123456), "demo")


def all_errors(base=VlmError):
    """Those of vlmcli.errors. What a server tells its clients is another class, with any status."""
    own = [one for one in base.__subclasses__() if one.__module__ == errors.__name__]
    return {base}.union(*(all_errors(one) for one in own))


def test_every_error_has_its_row_in_the_tree():
    for kind in all_errors():
        row = next(line for line in errors.__doc__.splitlines() if f" {kind.__name__} " in f" {line} ")
        numbers = [int(word) for word in row.split() if word.isdigit()]
        assert numbers[:2] == [kind.exit_code, kind.http_status]


def test_errors_survive_a_pipe():
    for kind in all_errors():
        error = pickle.loads(pickle.dumps(kind("what", "do this")))
        assert (type(error), error.message, error.hint, str(error)) == (kind, "what", "do this", "what: do this")


def test_flags_before_environment_before_defaults():
    loaded = settings.load({"model": "a", "ctx": None}, {"VLM_MODEL": "b", "VLM_CTX": "512", "VLM_DEBUG": "0"})
    assert (loaded.model, loaded.ctx, loaded.threads, loaded.debug) == ("a", 512, 0, False)
    assert loaded.sources == {"model": "--model", "ctx": "VLM_CTX", "debug": "VLM_DEBUG"}
    for wrong in ({"VLM_THREADS": "two"}, {"VLM_THREADS": "100000"}, {"VLM_CTX": "-5"}, {"VLM_CTX": "4294967808"}):
        with pytest.raises(UsageError, match="=".join(next(iter(wrong.items())))):
            settings.load({}, wrong)
    assert settings.debugging({"VLM_DEBUG": "1", "VLM_CTX": "abc"})
    assert not settings.debugging({})


def test_the_file_goes_before_the_defaults_only(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('model = "a.gguf"\nmmproj = "b.gguf"\nctx = 1024\n')
    loaded = settings.load({}, {"VLM_CTX": "512"}, file)
    assert (loaded.model, loaded.mmproj, loaded.ctx) == ("a.gguf", "b.gguf", 512)
    assert loaded.sources == {"model": str(file), "mmproj": str(file), "ctx": "VLM_CTX"}
    for flags, environment in (({"model": "demo"}, {}), ({}, {"VLM_MODEL": "demo"})):
        other = settings.load(flags, environment, file)
        assert (other.model, other.mmproj) == ("demo", "")  # the projector was the other model's
    assert settings.load({"mmproj": "c.gguf"}, {}, file).mmproj == "c.gguf"


@pytest.mark.parametrize(
    ("text", "said"),
    [("model = 1", "model is not a string"), ("ctx = true", "ctx is not a whole number"), ("ctx = 5", "out of range"),
     ("modle = 'x'", "there is no setting modle"), ("model = ", "not TOML$"),
     ("\nmodel = x\n", r"not TOML \(line 2, column 9\)$"), ("a = 1\na = 2\n", r"not TOML \(line 2, column 6\)$"),
     ("\xff\xfe", r"not TOML \(not UTF-8 text\)$"), ("a = " + "[" * 100_000, "not TOML$")],
)  # fmt: skip
def test_a_wrong_file_of_settings_is_named(tmp_path, text, said):
    file = tmp_path / "settings.toml"
    file.write_text(text, "latin-1")
    with pytest.raises(UsageError) as caught:
        settings.load({}, {}, file)
    assert re.search(said, caught.value.message)
    assert str(file) in caught.value.message
    assert "codec" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("model = demo", 'put the value in quotes: model = "demo"'),
        ("ctx = 512\nmodel = C:\\models\\a b.gguf\n", 'put the value in quotes: model = "C:\\\\models\\\\a b.gguf"'),
        ("ctx = many", "correct that line, or remove it"),
        ("model = ", "correct the file, or remove it"),
        ("model = 1", "set model to text in quotes, or remove that line"),
        ("ctx = '512'", "set ctx to digits without quotes, or remove that line"),
        ("\xff\xfe", "save it as UTF-8, or remove it"),
    ],
)
def test_the_hint_for_a_wrong_file_of_settings_says_what_to_write(tmp_path, text, hint):
    file = tmp_path / "settings.toml"
    file.write_text(text, "latin-1")
    with pytest.raises(UsageError) as caught:
        settings.load({}, {}, file)
    assert caught.value.hint == hint
    if "quotes: " in hint:
        file.write_text(re.sub(r"model = .*", lambda _: hint.partition(": ")[2], text), "utf-8")
        assert settings.load({}, {}, file).model == text.partition("model = ")[2].strip()


def test_the_default_is_written_beside_the_other_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = settings.remember_model('folder with "quotes" and \u00e9')
    assert settings.load({}, {}).model == 'folder with "quotes" and \u00e9'
    file.write_text("# mine\nctx = 1024\n" + file.read_text("utf-8"), "utf-8")
    settings.remember_model("x.gguf", "y.gguf")
    loaded = settings.load({}, {})
    assert (loaded.model, loaded.mmproj, loaded.ctx) == ("x.gguf", "y.gguf", 1024)
    settings.remember_model("")
    assert (settings.load({}, {}).model, settings.load({}, {}).mmproj) == ("", "")
    assert "# mine" in file.read_text("utf-8")
    assert [path.name for path in file.parent.iterdir()] == ["settings.toml"]


def test_a_line_is_one_line_and_can_be_read_back():
    result = Result(("a\tb.png",), "q", "demo", text="one\ntwo\\n\r", answer=ANSWER)
    assert lines.line(result, ("a\tb.png", "q")) == "a\\tb.png\tq\tone\\ntwo\\\\n\\r"
    assert lines.escape("caf\udce9.png") == "caf\\xe9.png"


def test_a_record_says_everything():
    result = Ask("q").result(["x\udcff.png"], ANSWER, "demo")
    line = lines.json_line(result)
    line.encode("utf-8")
    assert json.loads(line) == {
        "v": 1,
        "sources": ["x\udcff.png"],
        "question": "q",
        "model": "demo",
        "answer": "a\tb\nc\\",
        "finish_reason": "stop",
        "usage": {"picture_tokens": 64, "prompt_tokens": 77, "reused_tokens": 0, "answer_tokens": 3}
        | dict.fromkeys(("restored_tokens", "encoded", "remembered", "from_disk"), 0),
        "timings": {"load": 0.1235, "picture": 0.0, "encode": 0.0, "prefill": 0.0, "generate": 0.0}
        | dict.fromkeys(("start", "restore", "other", "wait"), 0.0),
    }
    failed = lines.record(Ask("q").result(["x"], SourceError("what", "do"), "demo"))
    assert failed["error"] == {"type": "SourceError", "message": "what", "hint": "do"}
    assert "answer" not in failed


def test_run_keeps_a_window_and_yields_every_outcome():
    runner = ScriptedRunner(["one two", SourceError("gone"), "three"])
    taken = []

    def requests():
        for n in range(3):
            taken.append(n)
            yield Request(())

    events = run(runner, requests(), window=1)
    number, first = next((number, event) for number, event in events if isinstance(event, Done))
    assert (number, first.answer.text, taken) == (0, " one two", [0])
    rest = [(number, type(event)) for number, event in events if isinstance(event, Done | Failed)]
    assert rest == [(1, Failed), (2, Done)]
    assert runner.cancelled == []


def test_a_generator_left_early_cancels_what_is_open():
    runner = ScriptedRunner(["a", "b", "c"])
    events = run(runner, [Request(())] * 3)
    next(events)
    events.close()
    assert sorted(runner.cancelled) == [0, 1, 2]


def test_exit_codes_are_the_documented_ones():
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0, "FAILED": 1, "USAGE": 2, "SOME_FAILED": 3, "NATIVE": 70, "INTERRUPTED": 130, "PIPE_CLOSED": 141,
    }  # fmt: skip
