"""JSON Schemas as users write them: a file, JSON, or a short list of fields. Pure.

The short form is that of `llm` (https://llm.datasette.io/en/stable/schemas.html, its concise syntax):

    shop, date, total float, items list of str: what was bought

Fields are separated by commas, or one a line; a type may follow a name (str, int, float, bool, list of one of them),
and a description may follow a colon. Unlike there, every field but a list may be null: a picture may not show it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from vlmcli.amounts import size
from vlmcli.errors import UsageError

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
LARGEST = 256_000
"""Bytes of a schema."""
DEEPEST = 40
"""How deep a schema may be nested; each level is one of the reader's in C or Rust."""
MOST_REFERENCES = 500
_FIELD = re.compile(r"(?P<name>[^\s:]+)(?:\s+(?P<list>list)(?:\s+of)?)?(?:\s+(?P<type>\w+))?\s*(?::\s*(?P<about>.*))?")


def read(text: str, where: str) -> dict[str, Any]:
    """A schema from JSON, or from a list of fields. Raises UsageError.

    Args:
        text: of a file, or of an option.
        where: what it is called in errors.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise UsageError(f"{where}: larger than {size(LARGEST)}", "use a smaller schema")
    if not text.lstrip().startswith(("{", "[")):
        return short(text, where)
    try:
        schema = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: invalid JSON ({error})", "correct the schema") from None
    if not isinstance(schema, dict):
        raise UsageError(f"{where}: a schema is an object, and this is a list", 'begin with {"type": "object"')
    check(schema, where)
    return schema


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def short(text: str, where: str) -> dict[str, Any]:
    """A schema from a list of fields. Raises UsageError."""
    properties: dict[str, Any] = {}
    for part in re.split(r"\n" if "\n" in text.strip() else ",", text):
        field = part.strip()
        if not field:
            continue
        found = _FIELD.fullmatch(field)
        kind = (found["type"] or "str") if found else ""
        if found is None or kind not in TYPES:
            raise UsageError(
                f"{where}: {field[:60]!r} is not a field",
                f"write a name and a type: {', '.join(TYPES)} or list of them",
            )
        name = found["name"]
        if name in properties:
            raise UsageError(f"{where}: the field {name} is there twice", "leave one of them out")
        one: dict[str, Any] = {"type": [TYPES[kind], "null"]}
        if found["list"]:
            one = {"type": "array", "items": {"type": TYPES[kind]}}
        if found["about"]:
            one["description"] = found["about"].strip()
        properties[name] = one
    if not properties:
        raise UsageError(f"{where}: the schema has no fields", "for example: --schema 'shop, date, total float'")
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def several(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a list of what a schema describes, as `llm --schema-multi` has it."""
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    item = {key: value for key, value in schema.items() if key not in definitions}
    items = {"type": "array", "items": item}
    return {
        "type": "object", "properties": {"items": items}, "required": ["items"], "additionalProperties": False,
        **definitions,
    }  # fmt: skip


def check(schema: Mapping[str, Any], where: str) -> None:
    """Raise UsageError for a schema that is none, is nested too deeply or refers too much to be given to a compiler.

    So are patterns that the engine could follow (Rust's syntax), but the answer could not be checked by (Python's).
    """
    references = 0
    for depth, value in _walk(schema):
        if depth > DEEPEST:
            raise UsageError(f"{where}: nested more than {DEEPEST} levels deep", "use a flatter schema")
        if isinstance(value, Mapping):
            references += "$ref" in value
            _check_patterns(value, where)
    if references > MOST_REFERENCES:
        raise UsageError(f"{where}: {references} references; {MOST_REFERENCES} are allowed", "use a smaller schema")
    try:
        jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as error:
        at = error.json_path.removeprefix("$.")
        raise UsageError(f"{where}: not a JSON Schema ({at}: {error.message[:200]})", "correct the schema") from None
    definitions = schema.get("$defs")
    named = {"#": schema}
    if isinstance(definitions, Mapping):
        named |= {f"#/$defs/{name}": one for name, one in definitions.items() if isinstance(one, Mapping)}
    leads = {name: one["$ref"] for name, one in named.items() if isinstance(one.get("$ref"), str)}
    for start in leads:
        one, steps = start, 0
        while one in leads and steps <= DEEPEST:
            one, steps = leads[one], steps + 1
        if one in leads:
            raise UsageError(f"{where}: {start} refers to itself", "describe it, instead of referring to it")


def _check_patterns(value: Mapping[str, Any], where: str) -> None:
    """Raise UsageError where an object of a schema has a regular expression that Python does not read."""
    named = value.get("patternProperties")
    found = [value.get("pattern"), *(named if isinstance(named, Mapping) else ())]
    for pattern in found:
        if not isinstance(pattern, str):
            continue
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(
                f"{where}: the pattern {pattern[:60]!r} is not supported ({error})", "use another"
            ) from None


def _walk(schema: Any) -> Iterator[tuple[int, Any]]:
    """All values in a schema, and how deep they are; nothing below what is too deep."""
    todo = [(0, schema)]
    while todo:
        depth, value = todo.pop()
        yield depth, value
        if depth > DEEPEST:
            continue
        if isinstance(value, Mapping):
            todo += [(depth + 1, one) for one in value.values()]
        elif isinstance(value, list):
            todo += [(depth + 1, one) for one in value]


def fields(schema: Mapping[str, Any]) -> list[str]:
    """The names of an object's fields, for the columns of a table; none where the schema is of something else."""
    properties = schema.get("properties")
    return [str(name) for name in properties] if isinstance(properties, Mapping) else []
