"""OpenAI's Decisions with OpenAI's own client, and the System One format with Ollama's."""

import pytest

from tests.server.conftest import openai
from vlmcli import demo
from vlmcli.records import calibrations, journal
from vlmcli.settings import config_folder
from vlmcli.tasks.calibration import NONE, Scaling

COLOR = {
    "type": "choice", "name": "color", "instructions": "What color is the circle?", "form": "The circle is {}.",
    "choices": [{"value": "red"}, {"value": "blue"}, {"value": "green"}],
}  # fmt: skip
RED = {"type": "predicate", "name": "red", "instructions": "Is there a red circle?"}
STAR = {"type": "predicate", "instructions": "Is there a green star?"}


@pytest.fixture
def about(data_uri):
    """A message with the scene, and other parts before."""

    def made(*parts):
        return [{"role": "user", "content": [*parts, {"type": "input_image", "image_url": data_uri, "detail": "low"}]}]

    return made


def test_answers_are_right_and_in_order(client, about):
    decision = client.decisions.create(model="demo", input=about(), questions=[RED, STAR, COLOR])
    red, star, color = decision.answers
    assert (red.type, red.name) == ("predicate", "red")
    assert red.probability > 0.9 > 0.1 > star.probability
    assert star.name is None
    assert (color.type, color.choice, color.name) == ("choice", "red", "color")
    assert [one.value for one in color.probabilities] == ["red", "blue", "green"]
    assert color.confidence == max(one.probability for one in color.probabilities) > 0.9
    assert sum(one.probability for one in color.probabilities) == pytest.approx(1, abs=1e-5)
    used = decision.usage
    assert used.input_tokens == used.total_tokens > 3 * 64
    assert used.output_tokens == used.output_tokens_details.reasoning_tokens == 0


def test_a_value_may_be_true_or_false(client, about):
    asked = {"type": "choice", "instructions": "Is there a circle?", "choices": [{"value": True}, {"value": False}]}
    (answer,) = client.decisions.create(model="demo", input=about(), questions=[asked]).answers
    assert answer.choice is True
    assert [one.value for one in answer.probabilities] == [True, False]


def test_a_score_is_the_mean_of_its_levels(client, about):
    levels = [{"label": str(number), "description": f"{number} of them"} for number in range(4)]
    asked = {"type": "score", "instructions": "How many shapes are there?", "form": "There are {} shapes."}
    (answer,) = client.decisions.create(model="demo", input=about(), questions=[asked | {"levels": levels}]).answers
    assert answer.type == "score"
    assert answer.score == pytest.approx(sum(one.value * one.probability for one in answer.probabilities), abs=1e-4)
    assert [(one.value, one.label) for one in answer.probabilities] == [(n, str(n)) for n in range(4)]
    assert round(answer.score) == 2


def test_what_the_model_would_not_answer_is_a_refusal_beside_the_other_answers(client, about):
    asked = {"type": "choice", "name": "odd", "instructions": "What color is the circle?",
             "choices": [{"value": "qqqqqqqq"}, {"value": "zzzzzzzz"}]}  # fmt: skip
    odd, red = client.decisions.create(model="demo", input=about(), questions=[asked, RED]).answers
    assert (odd.type, odd.name) == ("refusal", "odd")
    assert red.probability > 0.9


def test_the_picture_is_encoded_once_for_all_questions(server, about):
    shifted = about({"type": "input_text", "text": "Look."})
    before = server.counted('vlm_pictures_total{how="encoded"}')
    questions = [RED | {"name": f"q{number}"} for number in range(12)]
    assert server.post("/v1/decisions", {"input": shifted, "questions": questions}).status_code == 200
    assert server.counted('vlm_pictures_total{how="encoded"}') - before <= 1


def test_text_and_json_beside_the_picture_are_read(client, about):
    parts = {"type": "input_text", "text": "From the album:"}, {"type": "input_json", "data": {"album": "shapes"}}
    turns = [{"role": "developer", "content": "Be strict."}, *about(*parts)]
    (answer,) = client.decisions.create(model="demo", input=turns, questions=[RED]).answers
    assert 0 <= answer.probability <= 1


def test_calibrations_are_those_of_the_command_line(server, about):
    def asked(question):
        return server.post("/v1/decisions", {"input": about(), "questions": [question]}).json()

    assert asked(RED)["calibrated"] is False
    known = NONE.with_("predicate", Scaling(temperature=50.0, samples=100))
    path = calibrations.write(config_folder(), journal.model_id(demo.FILES), known)
    try:
        answer = asked(RED)
        assert answer["calibrated"] is True
        assert 0.5 < answer["answers"][0]["probability"] < 0.7
        assert asked(COLOR)["calibrated"] is False
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"questions": []}, "questions"),
        ({"questions": [RED] * 401}, "questions"),
        ({"questions": [RED, 3]}, "questions[1]"),
        ({"questions": [RED | {"type": "box"}]}, "questions[0]"),
        ({"questions": [{"type": "predicate"}]}, "questions[0]"),
        ({"questions": [COLOR | {"choices": [{"value": "red"}]}]}, "questions[0]"),
        ({"questions": [COLOR | {"choices": [{"value": "red"}, {"value": "red"}]}]}, "questions[0]"),
        ({"questions": [RED | {"instructions": [{"type": "input_image", "image_url": "x"}]}]}, "questions[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].type"),
        ({"input": 3}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,x"}]}]},
            "input[0].content[0].image_url",
        ),
    ],
)
def test_what_is_wrong_is_named(client, about, wrong, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/decisions", body={"input": about(), "questions": [RED]} | wrong, cast_to=object)
    assert caught.value.param == param


def test_text_alone_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="no picture"):
        client.decisions.create(model="demo", input="a red circle", questions=[RED])


def test_system_one_answers_by_name(server, encoded):
    questions = {
        "red": {"type": "noul", "instructions": "Is there a red circle?", "criteria": {"true": "a circle is red"}},
        "circle": {"type": "choice", "instructions": "Is there a circle?", "criteria": {"yes": None, "no": "none"}},
    }
    body = {"model": "demo", "state": {"album": "shapes"}, "images": [encoded], "questions": questions}
    answer = server.post("/v1/systemone", body).json()
    assert answer["answers"]["red"]["noul"] > 0.5
    assert answer["answers"]["circle"]["choice"] == "yes"
    assert sum(answer["answers"]["circle"]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["usage"] == {"input_tokens": answer["usage"]["input_tokens"], "output_tokens": 0}


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"questions": {}}, "questions"),
        ({"questions": {"a": {"type": "box", "instructions": "x"}}}, "questions.a.type"),
        ({"questions": {"a": {"type": "choice", "instructions": "x"}}}, "questions.a.criteria"),
        ({"questions": {"a": {"type": "noul"}}}, "questions.a.instructions"),
        ({"state": ""}, "state"),
        ({"images": ["####"]}, "images[0]"),
        ({"keep_alive": "soon"}, "keep_alive"),
    ],
)
def test_what_is_wrong_with_system_one_is_named(server, encoded, wrong, param):
    questions = {"a": {"type": "noul", "instructions": "Is there a red circle?"}}
    answer = server.post("/v1/systemone", {"state": "x", "images": [encoded], "questions": questions} | wrong)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
