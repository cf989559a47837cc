"""The paths of the server as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1), for programs.

The schemas say which bodies are well formed. Such a body may still be refused by what is in it: a picture that cannot
be read, a model that is not served. Paths that are always refused are left out. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlmcli.server import anthropic, chat
from vlmcli.tasks import questions

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ANYTHING: Schema = {}
ROLES = sorted(chat.ROLES)
LARGE = 1 << 31


def _whole(low: int, high: int = LARGE) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _number(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


def _list(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    found: Schema = {"type": "array", "items": items, "minItems": least}
    return found if most is None else found | {"maxItems": most}


def _object(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """An object that may have other fields; null is as good as nothing where a field is not required."""
    each = {name: one if name in required else _optional(one) for name, one in properties.items()}
    found: Schema = {"type": "object", "properties": each}
    return found | {"required": list(required)} if required else found


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def _of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _only(*values: object) -> Schema:
    return {"enum": list(values)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


FLAG: Schema = {"type": "boolean"}
FULL_TEXT: Schema = {"type": "string", "minLength": 1, "pattern": r"\S"}
STOP = _of(TEXT, _list(TEXT, 0, chat.STOPS))
SAMPLING: dict[str, Schema] = {
    "temperature": _number(0, 100), "top_k": _whole(0, 1 << 20), "top_p": _number(0, 1), "min_p": _number(0, 1),
    "repeat_penalty": _number(0.01, 100), "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
}  # fmt: skip
TOKENS = _whole(-1)
DETAIL = _only("auto", "low", "high", "original")
PICTURE = _of(FULL_TEXT, _object({"url": FULL_TEXT, "detail": DETAIL}, ["url"]))
OWN = _object({"regex": TEXT, "grammar": TEXT, "end_loops": FLAG, "think": FLAG, "whole": FLAG})
KEEP_ALIVE = _of({"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]{1,9}(h|m|s|ms)?$"})
BASE64 = _list(FULL_TEXT)


def _schemas() -> dict[str, Schema]:
    return {**_openai(), **_decisions(), **_anthropic(), **_ollama(), **_answers()}


def _openai() -> dict[str, Schema]:
    text = _object({"type": _only("text", "input_text", "output_text"), "text": TEXT}, ["type"])
    image = _object({"type": _only("image_url", "input_image"), "image_url": PICTURE, "detail": DETAIL},
                    ["type", "image_url"])  # fmt: skip
    content = _of(TEXT, _list(text))
    parts = _of(TEXT, _list(_of(text, image)))
    schema = _of({"type": "object"}, FLAG)
    form = _of(
        _object({"type": _only("text", "json_object")}, ["type"]),
        _object({"type": _only("json_schema"), "json_schema": _object({"name": TEXT, "schema": schema}, ["schema"])},
                ["type", "json_schema"]),
    )  # fmt: skip
    flat = _of(
        _object({"type": _only("text", "json_object")}, ["type"]),
        _object({"type": _only("json_schema"), "name": TEXT, "schema": schema}, ["type", "schema"]),
    )
    users = _object({"role": _only("user"), "content": parts}, ["role"])
    others = _object({"role": _only(*(role for role in ROLES if role != "user")), "content": content}, ["role"])
    message, typed = _of(users, others), _only("message")
    item = _of(*(one | {"properties": one["properties"] | {"type": _optional(typed)}} for one in (users, others)))
    shared = {"model": TEXT, "stream": FLAG, "top_logprobs": _whole(0, 20), "vlm": OWN, **SAMPLING}
    return {
        "Message": message,
        "Item": item,
        "ChatCompletion": _object(
            shared
            | {
                "messages": _list(_ref("Message"), 1), "max_tokens": TOKENS, "max_completion_tokens": TOKENS,
                "stop": STOP, "logprobs": FLAG, "response_format": form, "reasoning_effort": TEXT, "n": _only(1),
                "stream_options": _object({"include_usage": FLAG}),
            },
            ["messages"],
        ),
        "Response": _object(
            shared
            | {
                "input": _of(TEXT, _list(_ref("Item"), 1)), "instructions": TEXT, "max_output_tokens": TOKENS,
                "text": _object({"format": flat}), "reasoning": _object({"effort": TEXT}),
                "include": _list(TEXT, 0, 64), "truncation": _only("auto", "disabled"), "store": FLAG,
            },
            ["input"],
        ),
    }  # fmt: skip


def _decisions() -> dict[str, Schema]:
    most = questions.OPTIONS["choice"][3]
    value = _object({"value": _of(FULL_TEXT, FLAG), "description": TEXT}, ["value"])
    level = _object({"label": FULL_TEXT, "description": TEXT}, ["label"])
    head = {"name": TEXT, "instructions": FULL_TEXT}
    each = _of(
        _object(head | {"type": _only("predicate")}, ["type", "instructions"]),
        _object(
            head | {"type": _only("choice"), "choices": _list(value, 2, most)}, ["type", "instructions", "choices"]
        ),
        _object(head | {"type": _only("score"), "levels": _list(level, 2, most)}, ["type", "instructions", "levels"]),
    )
    described = {"type": "object", "additionalProperties": _optional(TEXT), "minProperties": 2, "maxProperties": most}
    told = _of(FULL_TEXT, {"type": "object", "minProperties": 1}, _list(ANYTHING, 1))
    meanings = _object({"true": TEXT, "false": TEXT})
    one = _of(
        _object({"type": _only("noul"), "instructions": told, "criteria": meanings}, ["type", "instructions"]),
        _object({"type": _only("choice"), "instructions": told, "criteria": described},
                ["type", "instructions", "criteria"]),
        _object({"type": _only("score"), "instructions": told, "criteria": _list(FULL_TEXT, 2, 10)},
                ["type", "instructions", "criteria"]),
    )  # fmt: skip
    named = {"type": "object", "additionalProperties": one, "minProperties": 1, "maxProperties": questions.MOST}
    return {
        "Decision": _object(
            {"model": TEXT, "input": _of(TEXT, _list(_ref("Item"), 1)), "questions": _list(each, 1, questions.MOST)},
            ["input", "questions"],
        ),
        "SystemOne": _object(
            {"model": TEXT, "state": told, "questions": named, "images": BASE64, "keep_alive": KEEP_ALIVE},
            ["state", "questions"],
        ),
        "Detect": _object({"model": TEXT, "what": FULL_TEXT, "image": FULL_TEXT, "points": FLAG}, ["what", "image"]),
    }


def _anthropic() -> dict[str, Schema]:
    text = _object({"type": _only("text"), "text": TEXT}, ["type"])
    thought = _object({"type": _only(*anthropic.KEPT_APART)}, ["type"])
    source = _of(
        _object({"type": _only("base64"), "media_type": TEXT, "data": FULL_TEXT}, ["type", "data"]),
        _object({"type": _only("url"), "url": FULL_TEXT}, ["type", "url"]),
    )
    image = _object({"type": _only("image"), "source": source}, ["type", "source"])
    shown = _of(TEXT, _list(_of(text, image, thought)))
    result = _object({"type": _only("tool_result"), "content": shown, "is_error": FLAG}, ["type"])
    call = _object({"type": _only("tool_use"), "name": TEXT, "input": {"type": "object"}}, ["type"])
    each = (
        ("user", _of(text, image, result, thought)),
        ("assistant", _of(text, call, thought)),
        ("system", _of(text, thought)),
    )
    turns = [_object({"role": _only(role), "content": _of(TEXT, _list(block))}, ["role"]) for role, block in each]
    form = _object({"type": _only("json_schema"), "schema": _of({"type": "object"}, FLAG)}, ["type", "schema"])
    counted = {
        "model": TEXT, "messages": _list(_of(*turns), 1), "system": _of(TEXT, _list(_of(text, thought))),
        "stream": FLAG, "stop_sequences": STOP, "thinking": _object({"type": _only(*anthropic.THINKING)}, ["type"]),
        "tools": _list(ANYTHING), "tool_choice": _object({"type": _only("none", "auto")}, ["type"]),
        "output_config": _object({"format": form}), "vlm": OWN, **SAMPLING,
    }  # fmt: skip
    return {
        "Messages": _object(counted | {"max_tokens": _whole(1)}, ["messages", "max_tokens"]),
        "CountTokens": _object(counted, ["messages"]),
    }


def _ollama() -> dict[str, Schema]:
    options = _object({**SAMPLING, "num_predict": _whole(-2), "stop": STOP})
    shared = {
        "model": FULL_TEXT, "stream": FLAG, "format": _of(_only("", "json"), {"type": "object"}), "options": options,
        "keep_alive": KEEP_ALIVE, "think": _of(FLAG, TEXT), "logprobs": FLAG, "top_logprobs": _whole(0, 20),
    }  # fmt: skip
    users = _object({"role": _only("user"), "content": TEXT, "images": BASE64}, ["role"])
    others = _object({"role": _only(*(role for role in ROLES if role != "user")), "content": TEXT}, ["role"])
    named = _object({"model": FULL_TEXT}, ["model"])
    return {
        "OllamaChat": _object(shared | {"messages": _list(_of(users, others))}, ["model"]),
        "OllamaGenerate": _object(shared | {"prompt": TEXT, "system": TEXT, "images": BASE64}, ["model"]),
        "OllamaShow": named,
        "OllamaPull": named | {"properties": named["properties"] | {"stream": _optional(FLAG)}},
    }


def _answers() -> dict[str, Schema]:
    error = _object({"message": TEXT, "type": TEXT, "code": TEXT, "param": TEXT}, ["message", "type", "code"])
    return {
        "Error": _object({"error": error}, ["error"]),
        "AnthropicError": _object(
            {"type": _only("error"), "error": _object({"type": TEXT, "message": TEXT}, ["type", "message"])},
            ["type", "error"],
        ),
        "OllamaError": _object({"error": TEXT}, ["error"]),
        "Object": {"type": "object"},
    }


def _post(summary: str, body: str, streams: str, error: str) -> Schema:
    content = {"application/json": {"schema": _ref("Object")}}
    if streams:
        content[streams] = {"schema": TEXT}
    refused = {"description": "What is wrong.", "content": {"application/json": {"schema": _ref(error)}}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}},
            "responses": {
                "200": {"description": "The answer.", "content": content},
                **dict.fromkeys(_REFUSED, refused),
            },
        }
    }


_REFUSED = ("400", "401", "403", "404", "408", "413", "429", "503", "504")


def _get(
    summary: str, kind: str = "application/json", error: str = "Error", parameters: Sequence[Schema] = ()
) -> Schema:
    schema = _ref("Object") if kind == "application/json" else TEXT
    refused = {"description": "What is wrong.", "content": {"application/json": {"schema": _ref(error)}}}
    found: Schema = {
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": {kind: {"schema": schema}}},
            **dict.fromkeys(("401", "403", "404"), refused),
        },
    }
    return {"get": found | ({"parameters": list(parameters)} if parameters else {})}


def document(version: str) -> Schema:
    """The document of a server of some version of vlm."""
    sse, lines = "text/event-stream", "application/x-ndjson"
    model = {"name": "name", "in": "path", "required": True, "schema": FULL_TEXT}
    return {
        "openapi": "3.1.0",
        "info": {"title": "vlm serve", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "security": [{}, {"key": []}],
        "paths": {
            "/health": _get("Whether new requests are taken."),
            "/metrics": _get("Counters for Prometheus.", "text/plain"),
            "/props": _get("What clients of llama-server look for."),
            "/openapi.json": _get("This document."),
            "/v1/models": _get("The models that are served."),
            "/v1/models/{name}": _get("One model.", parameters=[model]),
            "/v1/chat/completions": _post("Answer a conversation.", "ChatCompletion", sse, "Error"),
            "/v1/responses": _post("Answer a conversation.", "Response", sse, "Error"),
            "/v1/decisions": _post("Decide typed questions.", "Decision", "", "Error"),
            "/v1/systemone": _post("Decide typed questions.", "SystemOne", "", "Error"),
            "/v1/messages": _post("Answer a conversation.", "Messages", sse, "AnthropicError"),
            "/v1/messages/count_tokens": _post(
                "Count the tokens of a conversation.", "CountTokens", "", "AnthropicError"
            ),
            "/vlm/detect": _post("Find things in a picture.", "Detect", "", "Error"),
            "/api/version": _get("The version of Ollama whose protocol this is.", error="OllamaError"),
            "/api/tags": _get("The models that are served.", error="OllamaError"),
            "/api/ps": _get("The models that are loaded.", error="OllamaError"),
            "/api/show": _post("One model.", "OllamaShow", "", "OllamaError"),
            "/api/chat": _post("Answer a conversation.", "OllamaChat", lines, "OllamaError"),
            "/api/generate": _post("Answer a prompt.", "OllamaGenerate", lines, "OllamaError"),
            "/api/pull": _post("Download a model.", "OllamaPull", lines, "OllamaError"),
        },
        "components": {"schemas": _schemas(), "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }
