"""The OpenAPI document: it is well formed, has every path, and says which bodies are."""

import jsonschema
import pytest

from tests.server.conftest import BODIES
from vlmcli.server import openapi
from vlmcli.server.app import application
from vlmcli.server.figures import Figures
from vlmcli.server.paths_ollama import CANNOT
from vlmcli.server.service import Limits, Service

REFUSED = {"/v1/embeddings", *(f"/api/{path}" for path in CANNOT)}
ASKED = {"generate": "/api/generate", "labels": "/api/generate", "caption": "/api/generate", "chat": "/api/chat"}


@pytest.fixture(scope="module")
def document():
    """The document."""
    return openapi.document("1.0")


def schema(document, path):
    """The schema of a path's body."""
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return body | {"components": document["components"]}


def test_it_is_served_and_its_schemas_are_schemas(server, document):
    served = server.get("/openapi.json").json()
    assert served["openapi"] == "3.1.0"
    assert served["paths"] == document["paths"]
    for one in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(one)


def test_it_has_every_path_but_those_that_are_always_refused(document):
    routes = {
        (route.path.replace(":path", ""), method)
        for route in application(Service(None, None, Limits(), Figures())).routes
        for method in route.methods - {"HEAD"}
    }
    named = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert {one for one in routes if one[0] not in REFUSED} == named


@pytest.mark.parametrize("body", sorted(path.stem for path in BODIES.glob("*.json")))
def test_what_programs_send_is_well_formed(document, recorded, body):
    if "responses" in body:
        path = "/v1/responses"
    elif body.endswith(("-openai", "-llamacpp")):
        path = "/v1/chat/completions"
    else:
        path = ASKED[body.rpartition("-")[2]]
    jsonschema.validate(recorded(body), schema(document, path))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {}),
        ("/v1/responses", {"input": 3}),
        ("/v1/responses", {"input": "x", "temperature": "hot"}),
        ("/v1/responses", {"input": "x", "text": {"format": {"type": "xml"}}}),
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"messages": [{"role": "tool"}]}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "x"}]}]},
        ),
        ("/v1/decisions", {"input": "x", "questions": []}),
        ("/v1/decisions", {"input": "x", "questions": [{"type": "choice", "instructions": "x", "choices": []}]}),
        ("/v1/systemone", {"state": "x", "questions": {"a": {"type": "box", "instructions": "x"}}}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/messages", {"max_tokens": 9, "messages": []}),
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "tool", "content": "x"}]}),
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "document"}]}]}),
        (
            "/v1/messages/count_tokens",
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
        ),
        ("/api/chat", {"messages": []}),
        ("/api/chat", {"model": "demo", "messages": [{"role": "system", "images": ["x"]}, {"role": "tool"}]}),
        ("/api/generate", {"model": "demo", "keep_alive": "soon"}),
        ("/api/generate", {"model": "demo", "format": 3}),
        ("/api/show", {}),
        ("/api/pull", {"model": ""}),
    ],
)
def test_what_is_not_well_formed_is_refused_by_both(server, document, path, body):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema(document, path))
    assert server.post(path, body).status_code == 400
