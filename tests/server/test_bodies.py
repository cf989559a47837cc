"""What other programs send, answered in the shape that they read. The bodies are written after the programs' sources.

PhotoPrism: internal/ai/vision; Karakeep: packages/shared/inference.ts; Frigate: frigate/genai; Home Assistant's LLM
Vision: custom_components/llmvision/providers.py; paperless-gpt: ocr/llm_provider.go, by langchaingo.
"""

import json

import pytest

from tests.server.conftest import ANSWER


@pytest.mark.parametrize(
    ("name", "text"),
    [("photoprism-ollama-caption", ANSWER), ("frigate-generate", ANSWER)],
)
def test_generate(server, recorded, name, text):
    answer = server.post("/api/generate", recorded(name)).json()
    assert (answer["response"].strip(), answer["done"], answer["done_reason"]) == (text, True, "stop")
    assert answer["eval_count"] > 0
    assert answer["total_duration"] > answer["eval_duration"] > 0


def test_photoprism_reads_labels_of_a_schema(server, recorded):
    answer = server.post("/api/generate", recorded("photoprism-ollama-labels")).json()
    for label in json.loads(answer["response"])["labels"]:
        assert label["name"] in ("circle", "square")
    assert answer["model"] == "demo:latest"


def test_photoprism_reads_the_first_text_of_a_response(server, recorded):
    answer = server.post("/v1/responses", recorded("photoprism-responses")).json()
    assert "red circle and a blue square" in answer["output"][0]["content"][0]["text"]
    assert answer["error"] is None
    labels = server.post("/v1/responses", recorded("photoprism-responses-labels")).json()
    assert set(json.loads(labels["output"][0]["content"][0]["text"])["labels"]) <= {"circle", "square"}


def test_open_webui_reads_lines(server, recorded):
    answer = server.post("/api/chat", recorded("open-webui-chat"))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *lines, last = map(json.loads, answer.text.splitlines())
    assert "".join(line["message"]["content"] for line in lines) == "The square is blue."
    assert not any(line["done"] for line in lines)
    assert last["done"] is True
    assert last["prompt_eval_count"] > 64


@pytest.mark.parametrize(
    ("name", "text"),
    [("llm-vision-chat", "Both images."), ("paperless-gpt-chat", "There is no text.")],
)
def test_chat(server, recorded, name, text):
    answer = server.post("/api/chat", recorded(name)).json()
    assert answer["message"] == {"role": "assistant", "content": text}


@pytest.mark.parametrize(("name", "text"), [("llm-vision-openai", "The circle is red."), ("frigate-llamacpp", ANSWER)])
def test_chat_completions(server, recorded, name, text):
    answer = server.post("/v1/chat/completions", recorded(name)).json()
    assert answer["choices"][0]["message"]["content"] == text
    assert answer["usage"]["total_tokens"] > 64


def test_karakeep_adds_up_lines_and_tokens(server, recorded):
    lines = [json.loads(line) for line in server.post("/api/generate", recorded("karakeep-generate")).text.splitlines()]
    assert set(json.loads("".join(line["response"] for line in lines))["tags"]) <= {"circle", "square"}
    assert sum(line.get("eval_count", 0) + line.get("prompt_eval_count", 0) for line in lines) > 64
    answer = server.post("/v1/chat/completions", recorded("karakeep-openai")).json()
    assert set(json.loads(answer["choices"][0]["message"]["content"])["tags"]) <= {"circle", "square"}


def test_frigate_and_open_webui_look_before_they_ask(server):
    shown = server.post("/api/show", {"model": "demo"}).json()
    assert "vision" in shown["capabilities"]
    assert server.get("/api/version").json()["version"].count(".") == 2
    names = [model["name"] for model in server.get("/api/tags").json()["models"]]
    assert names == ["demo:latest"]
    assert server.get("/v1/models").json()["data"][0]["architecture"]["input_modalities"] == ["text", "image"]
