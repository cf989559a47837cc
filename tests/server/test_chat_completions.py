"""OpenAI's own client against a live server: answers about drawn scenes, streams, forms, likelihoods and errors."""

import asyncio
import base64
import io
import json
import time

import openai
import pytest
from PIL import Image

from tests.server.live import QUESTION, SCENE, asked, message, one_shape, png, serving, uri

ANSWER = "A red circle and a blue square."


@pytest.fixture(scope="module")
def live():
    with serving("--max-body", 8) as server:
        yield server


@pytest.fixture(scope="module")
def client(live):
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(client, *parts, **more):
    return client.chat.completions.create(**asked(*(parts or (SCENE, QUESTION)), **more))


def said(answer):
    return answer.choices[0].message.content


def streamed(client, *parts, **more):
    return list(ask(client, *parts, stream=True, **more))


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# --- Answers ---


@pytest.mark.parametrize("number", range(6))
def test_answers_about_drawn_scenes_are_right(client, number):
    image, name = one_shape(number)
    answer = ask(client, png(image), QUESTION)
    assert name in said(answer)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "demo"


def test_usage_adds_up(client):
    used = ask(client).usage
    assert used.total_tokens == used.prompt_tokens + used.completion_tokens
    assert used.prompt_tokens_details.image_tokens == 64
    assert used.completion_tokens == 8


@pytest.mark.parametrize("more", [{}, {"temperature": 0.9, "seed": 3}, {"max_tokens": 3}, {"stop": [" blue"]}])
def test_a_stream_says_what_an_answer_says(client, more):
    whole, chunks = ask(client, **more), streamed(client, **more)
    assert text_of(chunks) == said(whole)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_its_usage_only_if_that_is_wished(client):
    chunks = streamed(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 8
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.choices for chunk in streamed(client))


def test_a_seed_repeats_an_answer(client):
    wishes = {"temperature": 5.0, "top_p": 1.0, "extra_body": {"top_k": 0, "min_p": 0}, "max_tokens": 8}
    first, second = (said(ask(client, seed=7, **wishes)) for _ in range(2))
    assert first == second
    assert len({said(ask(client, seed=seed, **wishes)) for seed in range(4)}) > 1


def test_stop_strings_are_not_in_the_answer(client):
    answer = ask(client, stop=["nothing", " and"])
    assert said(answer) == "A red circle"
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_cut_answer_says_so(client, field):
    answer = client.chat.completions.create(model="demo", messages=[message(SCENE, QUESTION)], **{field: 2})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


def test_the_first_of_the_likeliest_tokens_is_the_one_that_was_picked(client):
    answer = ask(client, logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == ANSWER
    assert all(token.top_logprobs[0].token == token.token for token in tokens)
    assert all(len(token.top_logprobs) == 3 for token in tokens)
    assert all(token.logprob <= 0 for token in tokens)
    assert bytes(tokens[0].bytes).decode() == tokens[0].token


@pytest.mark.parametrize("more", [{}, {"stop": [" square"]}])
def test_a_stream_has_the_same_likelihoods(client, more):
    whole = ask(client, logprobs=True, top_logprobs=2, **more).choices[0].logprobs.content
    chunks = streamed(client, logprobs=True, top_logprobs=2, **more)
    pieces = [one for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    assert [one.token for one in pieces] == [one.token for one in whole]
    assert [one.logprob for one in pieces] == pytest.approx([one.logprob for one in whole], abs=0.01)


def test_logprobs_alone_names_no_others(client):
    assert all(token.top_logprobs == [] for token in ask(client, logprobs=True).choices[0].logprobs.content)
    assert ask(client).choices[0].logprobs is None


COLOURS = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}


def test_an_answer_follows_a_schema(client):
    form = {"type": "json_schema", "json_schema": {"name": "seen", "strict": True, "schema": COLOURS}}
    answer = json.loads(said(ask(client, response_format=form)))
    assert set(answer) == {"colour", "count"}
    assert answer["colour"] in ("red", "green")
    assert json.loads(text_of(streamed(client, response_format=form))) == answer


def test_an_answer_is_some_object(client):
    assert isinstance(json.loads(said(ask(client, response_format={"type": "json_object"}, max_tokens=200))), dict)


# --- Pictures ---


def test_several_pictures_are_all_seen(client):
    first, second = (png(one_shape(number)[0]) for number in (1, 2))
    question = "Do both pictures show the same?"
    different, same = ask(client, first, second, question), ask(client, first, first, question)
    assert different.usage.prompt_tokens_details.image_tokens == 128
    assert [said(different)[:2], same.usage.prompt_tokens_details.image_tokens] == ["No", 128]
    apart = [message(first), {"role": "assistant", "content": "A shape."}, message(second, QUESTION)]
    answer = client.chat.completions.create(model="demo", messages=apart, max_tokens=2)
    assert answer.usage.prompt_tokens_details.image_tokens == 128


def test_the_picture_of_a_former_turn_is_seen(client):
    turns = [message(SCENE, QUESTION), {"role": "assistant", "content": ANSWER}, message("Is there a red circle?")]
    assert said(client.chat.completions.create(model="demo", messages=turns, max_tokens=8)).startswith("Yes")


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_come_before(client, role):
    turns = [{"role": role, "content": "Answer."}, message(SCENE, QUESTION)]
    answer = client.chat.completions.create(model="demo", messages=turns, max_tokens=20)
    assert answer.usage.prompt_tokens > ask(client).usage.prompt_tokens


KINDS = {"WebP": "WEBP", "AVIF": "AVIF", "GIF": "GIF", "BMP": "BMP", "TIFF": "TIFF", "JPEG": "JPEG"}


@pytest.mark.parametrize("kind", [*KINDS, "HEIC"])
def test_formats(client, kind):
    image, name = one_shape(1)
    file = heic(image) if kind == "HEIC" else png(image.convert("RGB"), KINDS[kind])
    assert name in said(ask(client, uri(file, f"image/{kind.lower()}"), QUESTION))


def heic(image):
    pillow_heif = pytest.importorskip("pillow_heif")
    heif, kept = pillow_heif.from_pillow(image.convert("RGB")), io.BytesIO()
    try:
        heif.save(kept, quality=90)
    except Exception as error:  # built without an encoder
        pytest.skip(str(error))
    return kept.getvalue()


def test_a_turned_picture_is_seen_upright(client):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image = Image.new("RGB", (200, 200), "white")
    image.paste("red", (60, 20, 140, 100))  # at the top
    turned = png(image.rotate(180), "JPEG", exif=exif, quality=95)
    question = "Is the red square at the top or at the bottom?"
    assert said(ask(client, uri(turned, "image/jpeg"), question)) == said(ask(client, png(image), question))


def picture_as(value, question=QUESTION, **more):
    content = [{"type": "image_url", "image_url": value} | more, {"type": "text", "text": question}]
    return {"model": "demo", "max_tokens": 20, "messages": [{"role": "user", "content": content}]}


BARE = base64.b64encode(SCENE).decode()


@pytest.mark.parametrize(
    "value",
    [
        uri(SCENE), {"url": uri(SCENE)}, BARE, {"url": BARE}, {"url": uri(SCENE), "detail": "high"},
        {"url": uri(SCENE), "detail": "low"}, {"url": "\n".join(BARE[at : at + 76] for at in range(0, len(BARE), 76))},
        {"url": base64.urlsafe_b64encode(SCENE).decode()}, {"url": f"DATA:image/PNG;base64,{BARE}"},
        {"url": f"data:;base64,{BARE}"}, {"url": f"data:image/jpeg;base64,{BARE}"},
    ],
    ids=["bare-uri", "uri", "bare-base64", "base64", "high", "low", "lines", "urlsafe", "capitals", "no-type", "wrong"],
)  # fmt: skip
def test_spellings_of_a_picture(live, value):
    status, body, _ = live.post(picture_as(value))
    assert status == 200, body
    assert json.loads(body)["choices"][0]["message"]["content"] == ANSWER


def test_low_detail_scales_a_picture_down(live):
    bodies = [picture_as({"url": uri(png(Image.new("RGB", (1500, 900), "red"))), "detail": one}) | {"vlm": {}}
              for one in ("low", "high")]  # fmt: skip
    sizes = [json.loads(live.post(body)[1])["vlm"]["seen"][0]["size"] for body in bodies]
    assert sizes == [[512, 307], [1500, 900]]


# --- Errors ---


def refused(live, status, param, body, **more):
    """The message of an error, which has this status and names this field."""
    found, answer, headers = live.post(body | more if isinstance(body, dict) else body)
    assert found == status, answer
    assert headers["content-type"] == "application/json"
    error = json.loads(answer)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    for telltale in ("Traceback", "/home", "/tmp", "/usr", " at 0x", ".py"):
        assert telltale not in error["message"]
    return error["message"]


URL = "messages[0].content[0].image_url.url"
BAD = {
    "bad base64": "data:image/png;base64,!!!!", "no base64": "data:image/png;base64", "empty": " ",
    "truncated": uri(SCENE[: len(SCENE) // 2]), "a text": uri(b"hello, this is no picture at all"),
    "a word": "holiday.png", "a file": "file:///etc/passwd", "a path": "/etc/passwd", "an address": "http://a.b/c.png",
    "no file": "data:image/png;base64,", "svg": uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    "a huge one": uri(png(Image.new("L", (20000, 9000)))),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_picture_that_cannot_be_read_is_an_error_and_never_left_out(live, what):
    assert refused(live, 400, URL, picture_as({"url": BAD[what]}))


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("n", 2, "n"), ("tools", [{"type": "function", "function": {"name": "f"}}], "tools"),
        ("audio", {"voice": "alloy"}, "audio"), ("modalities", ["text", "audio"], "modalities"),
        ("logit_bias", {"5": 1}, "logit_bias"), ("frequency_penalty", 9, "frequency_penalty"),
        ("temperature", "hot", "temperature"), ("temperature", -1, "temperature"), ("top_p", 2, "top_p"),
        ("max_tokens", "many", "max_tokens"), ("max_tokens", 1.5, "max_tokens"), ("max_tokens", True, "max_tokens"),
        ("seed", "x", "seed"), ("stream", "yes", "stream"), ("stop", 5, "stop"), ("stop", ["a"] * 17, "stop"),
        ("stop", ["a" * 1001], "stop"), ("logprobs", 3, "logprobs"), ("top_logprobs", 3, "top_logprobs"),
        ("top_logprobs", 21, "top_logprobs"), ("response_format", "json", "response_format"),
        ("response_format", {"type": "xml"}, "response_format.type"),
        ("response_format", {"type": "json_schema"}, "response_format.json_schema"),
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}},
         "response_format.json_schema.schema"),
        ("stream_options", 1, "stream_options"), ("model", 5, "model"), ("messages", [], "messages"),
        ("messages", "hello", "messages"), ("messages", ["hello"], "messages[0]"),
        ("messages", [{"role": "pirate", "content": "x"}], "messages[0].role"),
        ("messages", [{"role": "tool", "content": "x"}], "messages[0].role"),
        ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
        ("messages", [{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}],
         "messages[0].content[0].image_url.url"),
        ("messages", [message(SCENE, "x", role="system")], "messages[0].content"),
        ("seed", 10**4000, "seed"), ("vlm", {"regex": "("}, "vlm.regex"),
        ("vlm", {"regex": "ab?" * 1_000_000}, "vlm.regex"), ("vlm", {"grammar": "root"}, "vlm.grammar"),
        ("reasoning_effort", 3, "reasoning_effort"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(live, field, value, param):
    assert refused(live, 400, param, asked(SCENE, QUESTION) | {field: value})


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"5", b"null", b'{"model": NaN}', b"\xff\xfe", b'{"model": "\xed\xa0\x80"}', b'{"a": "\\ud800"}',
     b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000],
    ids=["empty", "cut", "list", "number", "null", "nan", "utf16", "half", "half-escaped", "deep", "nested"],
)  # fmt: skip
def test_what_is_no_object_of_json(live, body):
    assert refused(live, 400, None, body) or True


def test_an_unknown_model_is_404_and_those_there_are_named(live, client):
    assert "demo" in refused(live, 404, "model", asked(SCENE, QUESTION, model="gpt-9"))
    with pytest.raises(openai.NotFoundError):
        ask(client, model="gpt-9")
    assert len(refused(live, 404, "model", asked(SCENE, QUESTION, model="x" * 10**6))) < 2000


def test_a_question_without_a_picture_is_refused(live):
    assert "picture" in refused(live, 400, "messages", asked("Hello!"))


def test_too_much_of_it(live, client):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, uri(bytes(9 * 10**6)), QUESTION)
    assert caught.value.status_code == 413
    assert "17" in refused(live, 400, "messages[0].content[16].image_url.url", asked(*[SCENE] * 17, QUESTION))
    assert refused(live, 400, "messages", asked(SCENE, "word " * 5000))


def test_an_empty_list_of_tools_asks_for_nothing(live):
    turns = [
        message(SCENE, QUESTION),
        {"role": "assistant", "content": "A circle.", "tool_calls": []},
        message("Sure?"),
    ]
    nothing = {"n": 1, "tools": [], "frequency_penalty": 0, "user": "me", "store": False, "no such field": 1}
    assert live.post({"messages": turns, "max_tokens": 4} | nothing)[0] == 200


def test_models_are_listed_and_embeddings_refused(client):
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "vlm"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    with pytest.raises(openai.APIStatusError) as caught:
        client.embeddings.create(model="demo", input="x")
    assert caught.value.status_code == 501


# --- Many at once, and those that leave ---


def test_sixteen_at_once_get_each_its_own_answer(live):
    asked_about = [one_shape(number) for number in range(16)]

    async def one(client, number):
        image, name = asked_about[number]
        if number % 2:
            stream = await client.chat.completions.create(**asked(png(image), QUESTION, stream=True))
            return name, text_of([chunk async for chunk in stream])
        return name, said(await client.chat.completions.create(**asked(png(image), QUESTION)))

    async def everyone():
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(16)))

    found = asyncio.run(everyone())
    assert [answer for name, answer in found if name not in answer] == []


ENDLESS = {"vlm": {"regex": "[a-z ]{4000}"}, "max_tokens": 4000}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_cancelled(live, stream):
    before = live.metric('vlm_tokens_total{kind="answer"}')
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0, timeout=0.6) as client:
        body = asked(SCENE, QUESTION, stream=stream) | {"max_tokens": 4000}
        extra = {"extra_body": {"vlm": ENDLESS["vlm"]}}
        if stream:
            answer = client.chat.completions.create(**body, **extra)
            assert next(iter(answer)).choices[0].delta.role == "assistant"
            assert live.metric("vlm_requests_under_way") == 1
            answer.close()
        else:
            with pytest.raises(openai.APITimeoutError):
                client.chat.completions.create(**body, **extra)
    began = time.monotonic()
    live.idle()
    assert time.monotonic() - began < 5
    assert live.metric('vlm_tokens_total{kind="answer"}') == before  # it was not finished
    assert live.post(asked(SCENE, QUESTION))[0] == 200
