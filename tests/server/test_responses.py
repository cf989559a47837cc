"""OpenAI's Responses with OpenAI's own client: shapes, events, and what is refused."""

import json

import pytest

from tests.server.conftest import ANSWER, QUESTION, openai
from tests.support.waiting import until
from vlmcli.server import responses
from vlmcli.server.body import Body
from vlmcli.server.wrong import Wrong
from vlmcli.values import THINK, Delta

SHAPES = {
    "type": "object",
    "properties": {"shape": {"enum": ["circle", "square"]}, "sure": {"type": "boolean"}},
    "required": ["shape", "sure"],
    "additionalProperties": False,
}


@pytest.fixture
def asked(data_uri):
    """A message with the scene."""

    def made(text=QUESTION, **more):
        image = {"type": "input_image", "image_url": data_uri, **more}
        return [{"role": "user", "content": [{"type": "input_text", "text": text}, image]}]

    return made


def test_an_answer_is_right_and_has_the_clients_shape(client, asked):
    response = client.responses.create(model="demo", input=asked())
    assert response.output_text == ANSWER
    assert (response.status, response.object, response.model) == ("completed", "response", "demo")
    (message,) = response.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    used = response.usage
    assert used.total_tokens == used.input_tokens + used.output_tokens
    assert used.input_tokens_details.image_tokens == 64
    assert (response.error, response.incomplete_details) == (None, None)


def test_instructions_and_wishes_come_back(client, asked):
    response = client.responses.create(
        model="demo", input=asked("What color is the circle?"), instructions="Answer shortly.", temperature=0,
        max_output_tokens=50, metadata={"album": "7"}, store=True, truncation="auto", service_tier="auto",
    )  # fmt: skip
    assert response.output_text == "The circle is red."
    assert response.instructions == "Answer shortly."
    assert (response.max_output_tokens, response.temperature, response.metadata) == (50, 0, {"album": "7"})
    assert response.store is False  # nothing is kept, whatever a client wishes


def test_a_conversation_is_sent_back_item_by_item(client, asked):
    first = client.responses.create(model="demo", input=asked())
    turns = [*asked(), *first.output, {"role": "user", "content": "What color is the square?"}]
    assert client.responses.create(model="demo", input=turns).output_text == "The square is blue."


@pytest.mark.parametrize("detail", ["auto", "low", "high", "original"])
def test_every_detail_is_taken(client, asked, detail):
    assert client.responses.create(model="demo", input=asked(detail=detail)).output_text == ANSWER


def test_a_picture_may_be_an_object_as_in_chat_completions(server, asked, data_uri):
    body = {"input": asked(image_url={"url": data_uri, "detail": "low"})}
    content = server.post("/v1/responses", body).json()["output"][0]["content"]
    assert content == [{"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}]


def test_a_schema_holds(client, asked):
    form = {"type": "json_schema", "name": "shape", "schema": SHAPES, "strict": True}
    response = client.responses.create(model="demo", input=asked(), text={"format": form})
    value = json.loads(response.output_text)
    assert set(value) == {"shape", "sure"}
    assert value["shape"] in ("circle", "square")
    assert response.text.format.name == "shape"


def test_any_object_is_one(client, asked):
    response = client.responses.create(model="demo", input=asked(), text={"format": {"type": "json_object"}})
    assert isinstance(json.loads(response.output_text), dict)


def test_a_cut_answer_is_incomplete(client, asked):
    response = client.responses.create(model="demo", input=asked(), max_output_tokens=2)
    assert response.output_text == "A red"
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output[0].status == "incomplete"


def test_likelihoods_are_told_where_they_are_wished(client, asked):
    wished = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    response = client.responses.create(model="demo", input=asked(), **wished)
    tokens = response.output[0].content[0].logprobs
    assert "".join(token.token for token in tokens) == ANSWER
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
    streamed = []
    for event in client.responses.create(model="demo", input=asked(), stream=True, **wished):
        if event.type == "response.output_text.delta":
            streamed += event.logprobs
    assert [one.logprob for one in streamed] == pytest.approx([one.logprob for one in tokens], abs=1e-4)


# --- events ---


def test_events_come_in_openais_order_and_are_numbered(client, asked):
    events = list(client.responses.create(model="demo", input=asked(), stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert deltas > 2
    assert kinds == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-4].text == events[-3].part.text == events[-2].item.content[0].text == ANSWER
    assert events[-1].response.output_text == ANSWER
    assert events[-1].response.usage.output_tokens > 0
    assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1


def test_the_clients_own_reader_of_streams_agrees(client, asked):
    with client.responses.stream(model="demo", input=asked()) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == ANSWER


def test_a_cut_stream_ends_as_incomplete(client, asked):
    events = list(client.responses.create(model="demo", input=asked(), stream=True, max_output_tokens=2))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"
    assert events[-2].item.status == "incomplete"


def test_each_event_has_its_name_and_there_is_no_done(server, asked):
    text = server.post("/v1/responses", {"input": asked(), "stream": True}).text
    assert "[DONE]" not in text
    for event in text.strip().split("\n\n"):
        name, data = event.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"


# --- what is refused ---


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"temperature": -1}, "temperature"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": 3}}}}, "text.format.schema"),
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]},
            "input[0].content[0].file_id",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client, asked, wrong, param):
    body = {"model": "demo", "input": asked()} | wrong
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body=body, cast_to=object)
    assert caught.value.param == param
    assert param.split(".")[0].split("[")[0] in caught.value.message


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "picture",
    ["data:image/png;base64,AAAA", "data:image/png;base64,!!!!", "https://127.0.0.1/x.png", "file:///etc/passwd", " "],
)
def test_no_answer_comes_without_the_picture(client, picture, stream):
    content = [{"type": "input_image", "image_url": picture}, {"type": "input_text", "text": QUESTION}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="demo", input=[{"role": "user", "content": content}], stream=stream)
    assert caught.value.param == "input[0].content[0].image_url"


def test_a_question_without_a_picture_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="no picture") as caught:
        client.responses.create(model="demo", input="Who are you?")
    assert (caught.value.param, caught.value.code) == ("input", "no_picture")


def test_an_unknown_model_is_404(client, asked):
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="gpt-9", input=asked())
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


def test_half_a_letter_is_no_failure_of_the_server(server, asked):
    for body in ({"input": asked("\ud800")}, {"input": asked(), "instructions": "\udfff", "stream": True}):
        answer = server.post("/v1/responses", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


# --- thinking: the demo model does not think, but it writes what it is told to ---

THOUGHT = {"regex": "<think>\\nIt is round\\.\\n</think>\\n\\nA circle\\."}


def test_thoughts_are_an_item_before_the_answer(client, asked):
    response = client.responses.create(model="demo", input=asked(), extra_body={"vlm": THOUGHT})
    thought, message = response.output
    assert (thought.type, thought.status, thought.content[0].text) == ("reasoning", "completed", "It is round.")
    assert message.content[0].text == response.output_text == "A circle."


def test_thoughts_have_their_own_events(client, asked):
    events = list(client.responses.create(model="demo", input=asked(), stream=True, extra_body={"vlm": THOUGHT}))
    kinds = [kind for number, kind in enumerate(one.type for one in events) if kind != events[number - 1].type]
    assert kinds == [
        "response.created", "response.in_progress",
        "response.output_item.added", "response.content_part.added", "response.reasoning_text.delta",
        "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
        "response.output_item.added", "response.content_part.added", "response.output_text.delta",
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    thought = "".join(one.delta for one in events if one.type == "response.reasoning_text.delta")
    answer = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    assert (thought.strip(), answer) == ("It is round.", "A circle.")
    places = {one.output_index for one in events if one.type == "response.output_text.delta"}
    assert places == {1}
    assert [item.type for item in events[-1].response.output] == ["reasoning", "message"]
    assert events[-1].response.output_text == "A circle."


def test_an_answer_that_is_cut_in_its_thoughts_has_no_text(client, asked):
    wished = {"max_output_tokens": 12, "extra_body": {"vlm": THOUGHT}}
    response = client.responses.create(model="demo", input=asked(), **wished)
    assert (response.status, response.output_text) == ("incomplete", "")
    assert [(item.type, item.status) for item in response.output] == [("reasoning", "incomplete")]
    *_, last = client.responses.create(model="demo", input=asked(), stream=True, **wished)
    assert (last.type, last.response.output[0].status) == ("response.incomplete", "incomplete")


def test_what_goes_wrong_in_a_stream_is_told_by_its_own_events():
    asked = responses.read(Body({"input": "x", "stream": True}))
    events = responses.Events(responses.Reply(Body({}), asked, "demo", THINK))
    wrong = Wrong("it broke", "ask again", status=504)
    told = [*events.first(), *events.more(Delta(1, "A red")), *events.failed(wrong)]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    error, failed = told[-2:]
    assert (error["type"], error["message"]) == ("error", "it broke. Ask again.")
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"]["code"] == "server_error"
    kinds = openai.types.responses
    assert kinds.ResponseErrorEvent.model_validate(error).code == "invalid_value"
    assert kinds.ResponseFailedEvent.model_validate(failed).response.error.message == error["message"]


def test_a_client_that_leaves_is_not_answered_any_more(client, server, asked):
    endless = {"regex": "(red ){3000}"}
    stream = client.responses.create(model="demo", input=asked(), stream=True, extra_body={"vlm": endless})
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    assert server.counted("vlm_requests_under_way") == 1
    stream.close()
    until(lambda: server.counted("vlm_requests_under_way") == 0)
