"""Ollama's protocol with Ollama's own client, and what its clients find at its port."""

import base64
import json
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.server.conftest import ANSWER, QUESTION, free_port, httpx2, ollama
from tests.support.hub import Hub
from tests.support.place import REPOSITORY, SIZE, publish
from tests.support.program import SCENE, vlm
from vlmcli.server.body import Body
from vlmcli.server.ollama import Reply, read_chat
from vlmcli.values import THINK, Answer, Delta, Timings, Usage

SCHEMA = {
    "type": "object",
    "properties": {"shape": {"enum": ["circle", "square"]}},
    "required": ["shape"],
    "additionalProperties": False,
}


@pytest.fixture
def chat(old_friend):
    """Asks about the scene."""

    def asked(text=QUESTION, images=(SCENE,), **more):
        messages = [{"role": "user", "content": text, "images": list(images)}]
        return old_friend.chat(model=more.pop("model", "demo"), messages=messages, **more)

    return asked


# --- answers ---


@pytest.mark.parametrize("model", ["demo", "demo:latest"])
def test_chat_answers_by_a_name_with_and_without_a_tag(chat, model):
    answer = chat(model=model)
    assert (answer.message.role, answer.message.content) == ("assistant", ANSWER)
    assert (answer.model, answer.done, answer.done_reason) == (model, True, "stop")
    assert answer.message.thinking is None


def test_figures_are_counted_in_tokens_and_nanoseconds(chat):
    began = time.monotonic()
    answer = chat("What color is the circle?")
    took = (time.monotonic() - began) * 1e9
    assert answer.prompt_eval_count > 64
    assert answer.eval_count == 5
    assert 0 < answer.eval_duration < answer.total_duration < took
    assert 0 <= answer.load_duration <= answer.total_duration
    assert 0 < answer.prompt_eval_duration <= answer.total_duration
    age = datetime.now(timezone.utc) - datetime.fromisoformat(answer.created_at.replace("Z", "+00:00"))
    assert abs(age.total_seconds()) < 60


def test_a_picture_may_be_bytes_a_path_or_base64(chat):
    data = Path(SCENE).read_bytes()
    for image in (data, Path(SCENE), base64.b64encode(data).decode()):
        assert chat(images=[image]).message.content == ANSWER


def test_a_conversation_remembers_its_picture(old_friend):
    turns = [
        {"role": "system", "content": "Answer shortly."},
        {"role": "user", "content": QUESTION, "images": [SCENE]},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "What color is the square?"},
    ]
    assert old_friend.chat(model="demo", messages=turns).message.content == "The square is blue."


def test_chat_streams_lines(chat):
    *lines, last = list(chat(stream=True))
    assert len(lines) > 2
    assert "".join(line.message.content for line in lines) == ANSWER
    assert not any(line.done for line in lines)
    assert (last.done, last.done_reason, last.message.content) == (True, "stop", "")
    assert last.eval_count == 8


def test_streaming_is_the_default(server, encoded):
    answer = server.post("/api/generate", {"model": "demo", "prompt": QUESTION, "images": [encoded]})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(line["response"] for line in lines) == ANSWER
    assert "context" not in lines[-1]


def test_generate_answers_and_streams(old_friend):
    assert old_friend.generate("demo", QUESTION, images=[SCENE]).response == ANSWER
    lines = list(old_friend.generate("demo", QUESTION, images=[SCENE], stream=True, system="Be brief."))
    assert "".join(line.response for line in lines) == ANSWER
    assert lines[-1].done_reason == "stop"


@pytest.mark.parametrize("form", [SCHEMA, "json"])
def test_a_format_holds(chat, form):
    value = json.loads(chat(format=form).message.content)
    assert isinstance(value, dict)
    assert form == "json" or value["shape"] in ("circle", "square")


def test_options_are_obeyed(chat):
    cut = chat(options={"num_predict": 2})
    assert (cut.message.content, cut.done_reason, cut.eval_count) == ("A red", "length", 2)
    assert chat(options={"stop": [" and"]}).message.content == "A red circle"
    hot = {"temperature": 3.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 5, "num_predict": 16}
    first, second = (chat(options=hot).message.content for _ in range(2))
    assert first == second != ANSWER
    assert chat(options={"num_ctx": 512, "num_gpu": 1, "num_thread": 3, "low_vram": True}).message.content == ANSWER


def test_penalties_change_what_is_repeated(chat):
    plain = chat(format="json", options={"num_predict": 40}).message.content
    less = chat(format="json", options={"num_predict": 40, "presence_penalty": 2, "frequency_penalty": 2})
    assert plain != less.message.content


@pytest.mark.parametrize("think", [True, False, "low"])
def test_a_model_that_does_not_think_answers_all_the_same(chat, think):
    assert chat(think=think).message.content == ANSWER


def test_likelihoods_are_told(chat):
    whole = chat(logprobs=True, top_logprobs=2)
    assert "".join(one.token for one in whole.logprobs) == ANSWER
    assert all(one.logprob <= 0 and len(one.top_logprobs) == 2 for one in whole.logprobs)
    streamed = [one for line in chat(logprobs=True, stream=True) for one in line.logprobs or ()]
    assert [one.token for one in streamed] == [one.token for one in whole.logprobs]


# --- models ---


def test_models_are_listed_and_shown(old_friend):
    (model,) = old_friend.list().models
    assert model.model == "demo:latest"
    assert model.details.format == "gguf"
    assert (model.details.family, model.details.parameter_size) == ("llama", "2.19M")
    assert model.details.quantization_level == "F16"
    assert model.size > 7e6
    assert len(model.digest) == 64
    shown = old_friend.show("demo")
    assert shown.capabilities == ["completion", "vision"]
    assert shown.details == model.details
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 4096
    assert "assistant" in shown.template
    assert "/" not in shown.modelfile  # no path of this machine


def test_an_empty_prompt_loads_a_model_and_its_time_frees_it(old_friend):
    assert old_friend.chat("demo", messages=[], keep_alive=0).done_reason == "unload"
    assert old_friend.ps().models == []
    assert old_friend.generate("demo", keep_alive="1h30m").done_reason == "load"
    (model,) = old_friend.ps().models
    assert 5300 < (model.expires_at - datetime.now(timezone.utc)).total_seconds() <= 5400
    assert old_friend.chat("demo", messages=[], keep_alive=-1).done_reason == "load"
    (model,) = old_friend.ps().models
    assert model.expires_at.year > datetime.now(timezone.utc).year + 50
    assert old_friend.generate("demo", QUESTION, images=[SCENE], keep_alive=0).response == ANSWER
    for _ in range(200):
        if not old_friend.ps().models:
            break
        time.sleep(0.05)
    assert old_friend.ps().models == []
    assert old_friend.generate("demo", keep_alive="5m").done_reason == "load"


@pytest.mark.parametrize("value", ["soon", "5 m", True, [], "1e9"])
def test_a_time_that_is_none_is_refused(server, value):
    answer = server.post("/api/generate", {"model": "demo", "keep_alive": value})
    assert answer.status_code == 400
    assert "keep_alive" in answer.json()["error"]


# --- its port ---


def test_its_port_says_what_clients_look_for_and_the_other_does_not(server):
    assert httpx2.get(server.ollama).text == "Ollama is running"
    assert httpx2.head(server.ollama).status_code == 200
    assert server.get("/").text != "Ollama is running"
    assert httpx2.get(f"{server.ollama}/v1/models").json() == server.get("/v1/models").json()


def test_a_port_that_is_taken_is_said(server):
    port = server.ollama.rpartition(":")[2]
    done = vlm("serve", "--models", "demo", "--port", "0", "--ollama", "--ollama-port", port)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "stop Ollama, or choose another --ollama-port" in done.stderr


# --- what is refused ---


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"raw": True}, "raw"),
        ({"suffix": "x"}, "suffix"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"context": [1, 2]}, "context"),
        ({"options": {"mirostat": 2}}, "options.mirostat"),
        ({"options": {"repeat_penalty": 1.1, "repeat_last_n": 8}}, "options.repeat_last_n"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": 3}, "options"),
        ({"format": "xml"}, "format"),
        ({"format": {"type": 7}}, "format"),
        ({"images": [3]}, "images[0]"),
        ({"images": "x"}, "images"),
        ({"prompt": " "}, "prompt"),
        ({"top_logprobs": 30}, "top_logprobs"),
        ({"model": ""}, "model"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(server, encoded, wrong, named):
    body = {"model": "demo", "prompt": QUESTION, "images": [encoded]} | wrong
    answer = server.post("/api/generate", body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"].startswith(f"{named} ")


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        ({"role": "tool", "content": "x"}, "messages[1].role"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}, "messages[1].tool_calls"),
        ({"role": "system", "content": "x", "images": ["aGVsbG8gd29ybGQhISE="]}, "messages[1].images"),
    ],
)
def test_turns_that_cannot_be_are_refused_by_name(server, encoded, turn, named):
    turns = [{"role": "user", "content": QUESTION, "images": [encoded]}, turn]
    answer = server.post("/api/chat", {"model": "demo", "messages": turns})
    assert (answer.status_code, answer.json()["error"].split()[0]) == (400, named)


def test_tools_are_refused(chat):
    tool = {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"type": "object"}}}
    with pytest.raises(ollama.ResponseError, match="tools is not supported") as caught:
        chat(tools=[tool])
    assert caught.value.status_code == 400


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("image", ["AAAAAAAAAAAAAAAAAAAAAAAA", "https://127.0.0.1/x.png", "short"])
def test_no_answer_comes_without_the_picture(server, image, stream):
    answer = server.post("/api/generate", {"model": "demo", "prompt": "x", "images": [image], "stream": stream})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("picture 1: ")


def test_a_question_without_a_picture_is_refused(old_friend):
    with pytest.raises(ollama.ResponseError, match="no picture") as caught:
        old_friend.generate("demo", "Who are you?")
    assert caught.value.status_code == 400


def test_an_unknown_model_is_404(chat, old_friend):
    for asked in (lambda: chat(model="llava"), lambda: old_friend.show("llava"), lambda: chat(model="x", stream=True)):
        with pytest.raises(ollama.ResponseError, match="not served") as caught:
            list(asked())
        assert caught.value.status_code == 404


def test_what_a_chat_model_has_not_is_501_by_name(old_friend):
    for asked in (
        lambda: old_friend.embed("demo", "x"), lambda: old_friend.embeddings("demo", "x"),
        lambda: old_friend.copy("demo", "other"), lambda: old_friend.delete("demo"),
        lambda: old_friend.create("other", from_="demo"), lambda: old_friend.push("demo"),
    ):  # fmt: skip
        with pytest.raises(ollama.ResponseError, match=r"/api/\w+ is not supported") as caught:
            asked()
        assert caught.value.status_code == 501


# --- downloads ---


def test_nothing_is_downloaded_unless_the_owner_says_so(old_friend):
    with pytest.raises(ollama.ResponseError, match="--allow-pull") as caught:
        old_friend.pull("qwen3.5-0.8b")
    assert caught.value.status_code == 403


def test_a_model_is_downloaded_where_the_owner_says_so(start, tmp_path):
    with Hub() as hub:
        publish(hub, REPOSITORY)
        here = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub")}
        server = start("--allow-pull", "--ollama", "--ollama-port", free_port(), env=here)
        client = ollama.Client(server.ollama)
        lines = list(client.pull("smolvlm2-500m", stream=True))
        assert (lines[0].status, lines[-1].status) == ("pulling manifest", "success")
        ends = {line.digest: (line.completed, line.total) for line in lines if line.total}
        assert len(ends) == 2
        assert all(completed == total for completed, total in ends.values())
        assert sum(total for _, total in ends.values()) == SIZE
        assert {model.model for model in client.list().models} == {"demo:latest", "smolvlm2-500m:latest"}
        assert client.generate("smolvlm2-500m", QUESTION, images=[SCENE]).response == ANSWER
        assert client.pull("smolvlm2-500m:latest").status == "success"
        for name in ("smolvlm3", "someone/nothing"):
            with pytest.raises(ollama.ResponseError) as caught:
                client.pull(name)
            assert name in caught.value.error


# --- thoughts: as no model of the tests thinks, what it would write is given to what makes lines of it ---


def test_thoughts_are_apart_from_the_answer():
    asked = read_chat(Body({"model": "demo", "messages": [{"role": "user", "content": "x"}]}))
    reply = Reply(asked, THINK, is_chat=True)
    text = "<think>\nIt is round.\n</think>\n\nA circle."
    lines = [line for letter in text for line in reply.more(Delta(1, letter))]
    answer = Answer(text, "stop", Usage(prompt_tokens=70, answer_tokens=9), Timings(generate=0.5), "demo")
    lines += reply.last(answer)
    assert "".join(line["message"].get("thinking", "") for line in lines).strip() == "It is round."
    assert "".join(line["message"]["content"] for line in lines) == "A circle."
    assert (lines[-1]["eval_count"], lines[-1]["eval_duration"]) == (9, 500_000_000)
    whole = Reply(asked, THINK, is_chat=True).whole(answer)["message"]
    assert whole == {"role": "assistant", "content": "A circle.", "thinking": "It is round."}
