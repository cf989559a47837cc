"""Anthropic's messages with Anthropic's own client: answers about drawn scenes, events, tokens, and what is refused."""

import base64
import json
import re

import pytest

from tests.server.conftest import ANSWER, QUESTION
from tests.server.live import one_shape, png
from tests.support.waiting import until
from vlmcli.later import Later
from vlmcli.server import anthropic as messages
from vlmcli.server.body import Body
from vlmcli.server.wrong import Wrong
from vlmcli.values import THINK, Delta

anthropic = Later("anthropic")  # seconds, for each process that collects


@pytest.fixture(scope="module")
def friend(server):
    """Anthropic's client."""
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60) as found:
        yield found


def image(data, kind="image/png"):
    """A block with a picture: bytes, or base64."""
    data = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def text(words):
    """A block with a text."""
    return {"type": "text", "text": words}


def user(*blocks):
    """A user's turn."""
    return {"role": "user", "content": list(blocks)}


@pytest.fixture
def scene(encoded):
    """A block with the scene of a red circle and a blue square."""
    return image(encoded)


@pytest.fixture
def asked(scene):
    """What is sent to ask about the scene."""

    def made(question=QUESTION, **more):
        return {"model": "demo", "max_tokens": 60, "messages": [user(scene, text(question))]} | more

    return made


def test_an_answer_is_right_and_has_the_clients_shape(friend, asked):
    message = friend.messages.create(**asked())
    (block,) = message.content
    assert (block.type, block.text) == ("text", ANSWER)
    assert (message.type, message.role, message.model) == ("message", "assistant", "demo")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.id.startswith("msg-")
    assert message.usage.input_tokens > 64
    assert message.usage.output_tokens > 5


@pytest.mark.parametrize("number", range(3))
def test_drawn_shapes_are_recognized(friend, number):
    drawn, name = one_shape(number)
    turn = user(image(png(drawn)), text(QUESTION))
    assert name in friend.messages.create(model="demo", max_tokens=60, messages=[turn]).content[0].text.lower()


def test_a_system_is_a_text_or_blocks_and_what_is_no_wish_is_ignored(friend, asked):
    cached = {"type": "text", "text": "Answer shortly.", "cache_control": {"type": "ephemeral"}}
    question = "What color is the circle?"
    for system in ("Answer shortly.", [cached], [text("Answer"), text("shortly.")]):
        message = friend.messages.create(
            **asked(question), system=system, metadata={"user_id": "7"}, tools=[], service_tier="auto",
            extra_body={"temperature": 0, "top_p": 0.9, "top_k": 5, "unheard_of": [1]}, extra_query={"beta": "true"},
        )  # fmt: skip
        assert message.content[0].text == "The circle is red."


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_several_pictures_are_seen_in_their_order(friend, numbers):
    (first, one), (second, two) = map(one_shape, numbers)
    pictures = [image(png(first)), image(png(second))]
    for question, answer in (("What is in the first picture?", one), ("What is in the second picture?", two)):
        message = friend.messages.create(model="demo", max_tokens=30, messages=[user(*pictures, text(question))])
        assert message.content[0].text == f"A {answer}."


def test_a_conversation_goes_on(friend, asked):
    first = friend.messages.create(**asked())
    turns = [
        *asked()["messages"],
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": "What color is the square?"},
    ]
    assert friend.messages.create(**asked(messages=turns)).content[0].text == "The square is blue."


# --- agents ---


def call(**given):
    """An assistant's turn that has called a tool."""
    return {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "I must look.", "signature": "x"}, text("I look."),
        {"type": "tool_use", "id": "toolu_1", "name": "screenshot", "input": given},
    ]}  # fmt: skip


def result(*blocks, **more):
    """The block of what the tool has given."""
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": list(blocks)} | more


def test_a_picture_in_a_tools_result_is_seen(friend, asked, scene):
    turns = [user(text("Look.")), call(page=1), user(result(scene), text("What color is the circle?"))]
    assert friend.messages.create(**asked(messages=turns)).content[0].text == "The circle is red."


def test_what_tools_have_said_is_shown_in_order():
    given = [
        user(text("Look.")), call(page=1), user(result(text("Page 1:"), image("AAAA")), text("Well?")),
        call(), user(result(text("no page"), is_error=True), result(content="done"), text("And now?")),
    ]  # fmt: skip
    turns = messages.read(Body({"max_tokens": 9, "messages": given})).turns
    assert [turn.role for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[1].content == ('I look.\n\n[screenshot {"page": 1}]',)
    before, picture, after = turns[2].content
    assert (before, after) == ("Page 1:", "Well?")
    assert picture.param == "messages[2].content[0].content[1].source.data"
    assert turns[4].content == ("Error:\n\nno page\n\ndone\n\nAnd now?",)


TOOL = {"name": "screenshot", "input_schema": {"type": "object"}}


def test_tools_that_may_not_be_called_do_no_harm(friend, asked):
    message = friend.messages.create(**asked(), tools=[TOOL], tool_choice={"type": "none"})
    assert message.content[0].text == ANSWER


# --- ends ---


def test_a_cut_answer_says_so(friend, asked):
    message = friend.messages.create(**asked(max_tokens=2))
    assert (message.content[0].text, message.stop_reason) == ("A red", "max_tokens")
    assert message.usage.output_tokens == 2


@pytest.mark.parametrize("stream", [False, True])
def test_the_sequence_that_ended_an_answer_is_told(friend, asked, stream):
    wished = asked(stop_sequences=["nothing", " and", "square"])
    if stream:
        with friend.messages.stream(**wished) as events:
            message = events.get_final_message()
    else:
        message = friend.messages.create(**wished)
    assert message.content[0].text == "A red circle"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " and")


def test_a_schema_holds(friend, asked):
    schema = {
        "type": "object", "properties": {"shape": {"enum": ["circle", "square"]}}, "required": ["shape"],
        "additionalProperties": False,
    }  # fmt: skip
    message = friend.messages.create(**asked(), output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(message.content[0].text)["shape"] in ("circle", "square")


# --- tokens ---


def test_counted_tokens_are_those_of_the_answer_and_nothing_is_answered(friend, server, scene):
    drawn, _ = one_shape(2801)
    turns = [user(text("Look.")), call(page=1), user(result(image(png(drawn))), scene, text(QUESTION))]
    done = ('vlm_tokens_total{kind="answer"}', 'vlm_pictures_total{how="encoded"}')
    before = [server.counted(name) for name in done]
    counted = friend.messages.count_tokens(model="demo", messages=turns, system="Answer shortly.").input_tokens
    assert [server.counted(name) for name in done] == before
    wished = {"model": "demo", "max_tokens": 5, "messages": turns, "system": "Answer shortly."}
    assert friend.messages.create(**wished).usage.input_tokens == counted > 128
    assert all(server.counted(name) > one for name, one in zip(done, before, strict=True))
    events = list(friend.messages.create(**wished, stream=True))
    assert events[0].message.usage.input_tokens == counted
    assert events[-2].usage.input_tokens == counted


# --- events ---


def test_events_come_in_anthropics_order(server, asked):
    lines = server.post("/v1/messages", asked(stream=True)).text.strip().split("\n\n")
    events = []
    for line in lines:
        name, data = line.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    kinds = [event["type"] for event in events]
    deltas = kinds.count("content_block_delta")
    assert deltas > 2
    assert kinds == [
        "message_start", "ping", "content_block_start", *["content_block_delta"] * deltas, "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert "".join(one["delta"]["text"] for one in events if one["type"] == "content_block_delta") == ANSWER
    assert events[0]["message"]["content"] == []
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] > 5


def test_the_clients_own_reader_of_streams_agrees(friend, asked):
    with friend.messages.stream(**asked()) as stream:
        assert "".join(stream.text_stream) == ANSWER
        message = stream.get_final_message()
    whole = friend.messages.create(**asked())
    assert (message.content[0].text, message.stop_reason) == (ANSWER, "end_turn")
    assert message.usage.output_tokens == whole.usage.output_tokens


THOUGHT = {"vlm": {"regex": "<think>\\nIt is round\\.\\n</think>\\n\\nA circle\\."}}
"""The demo model does not think, but it writes what it is told to."""


def test_thoughts_are_a_block_before_the_answer(friend, asked):
    wished = asked(thinking={"type": "enabled", "budget_tokens": 1024}, extra_body=THOUGHT)
    thought, answer = friend.messages.create(**wished).content
    assert (thought.type, thought.thinking) == ("thinking", "It is round.")
    assert (answer.type, answer.text) == ("text", "A circle.")
    with friend.messages.stream(**wished) as stream:
        kinds = [event.delta.type for event in stream if event.type == "content_block_delta"]
        streamed = stream.get_final_message().content
    assert set(kinds[: kinds.index("text_delta")]) == {"thinking_delta"}
    assert set(kinds[kinds.index("text_delta") :]) == {"text_delta"}
    assert [block.type for block in streamed] == ["thinking", "text"]
    assert (streamed[0].thinking.strip(), streamed[1].text) == ("It is round.", "A circle.")


@pytest.mark.parametrize(("kind", "is_told"), [("enabled", True), ("adaptive", False), ("disabled", False)])
def test_a_model_is_told_to_think_where_that_is_wished(kind, is_told):
    body = {"max_tokens": 9, "thinking": {"type": kind}, "messages": [{"role": "user", "content": "x"}]}
    assert messages.read(Body(body)).request.think is is_told


def test_what_goes_wrong_in_a_stream_is_an_event():
    asked = messages.read(Body({"max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "stream": True}))
    events = messages.Events(asked, "demo", THINK)
    told = [*events.first(7), *events.more(Delta(1, "A red")), *events.failed(Wrong("it broke", "wait", status=503))]
    assert told[0]["message"]["usage"]["input_tokens"] == 7
    assert told[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "it broke. Wait."}}


def test_a_client_that_leaves_is_not_answered_any_more(friend, server, asked):
    stream = friend.messages.create(
        **asked(max_tokens=5000), stream=True, extra_body={"vlm": {"regex": "(red ){3000}"}}
    )
    for event in stream:
        if event.type == "content_block_delta":
            break
    assert server.counted("vlm_requests_under_way") == 1
    stream.close()
    until(lambda: server.counted("vlm_requests_under_way") == 0)


# --- what is refused ---


def content(*blocks, role="user"):
    """A body's messages with these blocks."""
    return {"messages": [{"role": role, "content": list(blocks)}]}


BLOCK = "messages[0].content[0]"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, "tools"),
        ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [TOOL]}, "tool_choice.type"),
        ({"container": "c"}, "container"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "A"}]}, "messages"),
        ({"system": [image("AAAA")]}, "system[0].type"),
        (content(image("AAAA"), role="assistant"), f"{BLOCK}.type"),
        (content({"type": "document", "source": {}}), f"{BLOCK}.type"),
        (content(result({"type": "document"})), f"{BLOCK}.content[0].type"),
        (content({"type": "image"}), f"{BLOCK}.source"),
        (content({"type": "image", "source": {"type": "file", "file_id": "f"}}), f"{BLOCK}.source.type"),
        (content(image("")), f"{BLOCK}.source.data"),
        (content(image("!!!!")), f"{BLOCK}.source.data"),
        (content(image("AAAA" * 9)), f"{BLOCK}.source.data"),
        (content(image("https://127.0.0.1/x.png")), f"{BLOCK}.source.data"),
        (content(result(image("AAAA" * 9))), f"{BLOCK}.content[0].source.data"),
        (content({"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}), f"{BLOCK}.source.url"),
        (content({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}), f"{BLOCK}.source.url"),
        (content(text("Who are you?")), "messages"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(friend, asked, wrong, field, path):
    with pytest.raises(anthropic.BadRequestError) as caught:
        friend.post(path, body=asked() | wrong, cast_to=object)
    assert caught.value.body["type"] == "error"
    error = caught.value.body["error"]
    assert error["type"] == "invalid_request_error"
    assert re.match(rf"{re.escape(field)}[: ]", error["message"]), error["message"]


@pytest.mark.parametrize("value", [None, 0, -1, "many"])
def test_max_tokens_must_be_there(server, asked, value):
    answer = server.post("/v1/messages", asked(max_tokens=value))
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    assert answer.json()["error"]["message"].startswith("max_tokens ")


def test_errors_are_the_clients_own(friend, server, asked):
    with pytest.raises(anthropic.NotFoundError) as caught:
        friend.messages.create(**asked(model="claude-9"))
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert "demo" in caught.value.body["error"]["message"]
    for path in ("/v1/messages/batches", "/v1/messages/"):
        answer = server.post(path, {})
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    wrong = server.get("/v1/messages")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
    wrong = server.get("/v1/messages", headers={"host": "evil.example"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (403, "permission_error")


def test_a_key_and_limits(start, asked):
    found = start("--api-key", "secret", "--queue", "1", "--max-body", "1")
    for words in ({"api_key": "secret"}, {"auth_token": "secret"}):
        with anthropic.Anthropic(base_url=found.url, max_retries=0, timeout=60, **words) as client:
            assert client.messages.create(**asked()).content[0].text == ANSWER
            with pytest.raises(anthropic.RequestTooLargeError) as large:
                client.messages.create(**asked("x" * 2_000_000))
            assert large.value.body["error"]["type"] == "request_too_large"
            endless = {"max_tokens": 5000, "extra_body": {"vlm": {"regex": "(red ){3000}"}}}
            with client.messages.create(**asked(**endless), stream=True) as stream:
                next(iter(stream))
                with pytest.raises(anthropic.RateLimitError) as busy:
                    client.messages.create(**asked())
            assert busy.value.body["error"]["type"] == "rate_limit_error"
            assert 1 <= int(busy.value.response.headers["retry-after"]) <= 60
    with anthropic.Anthropic(base_url=found.url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(**asked())
        assert caught.value.body["error"]["type"] == "authentication_error"
