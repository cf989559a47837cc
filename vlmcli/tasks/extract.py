"""Fields of a picture as JSON by a schema: what is asked, and what an answer is worth. Pure.

The engine lets the model write nothing but JSON by the schema (`engine.guided`); here the answer is checked again with
jsonschema, and one that was cut off is an error, never a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import jsonschema
from referencing.exceptions import Unresolvable

from vlmcli.errors import RequestError, VlmError
from vlmcli.tasks import schema as schemas
from vlmcli.tasks.ask import PARTS, prompt
from vlmcli.tasks.thinking import split
from vlmcli.values import THINK, Answer, Message, Picture, Request, Result, Sampling


@dataclass(frozen=True)
class Extract:
    """Fields to be read from a picture, or from several taken together.

    Attributes:
        schema: JSON Schema, as text.
        instructions: what else the model is told; empty for nothing.
        system: what it is told before.
        prompts: the model's own words, by their names in `ask.PROMPTS`.
        sampling, max_tokens, think, detail, parts: as `Ask`'s.
    """

    schema: str
    instructions: str = ""
    system: str = ""
    prompts: tuple[tuple[str, str], ...] = ()
    sampling: Sampling = Sampling()
    max_tokens: int = 512
    think: tuple[str, str] = THINK
    detail: int = 0
    parts: bool = False

    streams: ClassVar[bool] = False
    count: ClassVar[int] = 1
    chooses: ClassVar[bool] = False

    @property
    def question(self) -> str:
        """The instructions, or the names of the fields."""
        return self.instructions or ", ".join(schemas.fields(_loaded(self.schema))) or "JSON"

    @property
    def columns(self) -> list[str]:
        """One for each field of a flat object; else one for all."""
        return schemas.fields(_loaded(self.schema)) or [self.question]

    def cells(self, record: Mapping[str, Any]) -> dict[str, str]:
        """A field's value by its name: text as it is, lists joined by "; ", nothing for null."""
        value = record.get("fields")
        if isinstance(value, Mapping):
            return {name: cell(value.get(name)) for name in self.columns}
        return {self.columns[0]: cell(value)}

    def requests(self, pictures: Sequence[Picture]) -> list[Request]:
        """One, whose answer follows the schema."""
        text = prompt("extract", dict(self.prompts), schema=self.schema, fields=self.question)
        if self.instructions:
            text = f"{self.instructions}\n\n{text}"
        if self.parts and len(pictures) > 1:
            text = f"{PARTS}\n\n{text}"
        turns = [Message("user", (*pictures, text))]
        if self.system:
            turns.insert(0, Message("system", (self.system,)))
        return [Request(tuple(turns), self.sampling, self.max_tokens, stream=False, schema=self.schema)]

    def result(self, sources: Sequence[str], outcome: Answer | VlmError, model: str) -> Result:
        """What was read. An answer that was cut off, or is not by the schema, is an error."""
        if isinstance(outcome, Answer):
            _, text = split(outcome.text, self.think)
            try:
                fields = checked(text, self.schema, outcome.finish_reason, outcome.usage.answer_tokens)
            except RequestError as error:
                outcome = RequestError(f"{' '.join(sources)}: {error.message}", error.hint)
            else:
                line = json.dumps(fields, ensure_ascii=False)
                return Result(tuple(sources), self.question, model, text=line, answer=outcome, fields=(fields,))
        return Result(tuple(sources), self.question, model, error=outcome)

    def only_thought(self, result: Result) -> None:
        """A model that extracts does not think."""


def checked(text: str, schema: str, ended: str, tokens: int) -> Any:
    """The value that an answer is. Raises RequestError where it was cut off, or is not by the schema."""
    if ended == "length":
        raise RequestError(
            f"the JSON is cut off after {tokens} tokens",
            "allow more with --max-tokens; if it stays so, the picture may not have these fields",
        )
    try:
        value = json.loads(text)
        _validator(schema).validate(value)
    except (Unresolvable, RecursionError) as error:
        raise RequestError(f"the schema cannot be checked ({error})", "leave out references to other files") from None
    except ValueError as error:
        raise RequestError(f"the answer is not JSON ({error})", "please report this") from None
    except jsonschema.ValidationError as error:
        where = error.json_path
        raise RequestError(
            f"the answer does not follow the schema ({where}: {error.message[:200]})",
            "the model's grammar covers less than jsonschema; simplify the schema",
        ) from None
    return value


@lru_cache(maxsize=8)
def _validator(schema: str) -> Any:
    loaded = _loaded(schema)
    kind = jsonschema.validators.validator_for(loaded, jsonschema.Draft202012Validator)
    return kind(loaded, format_checker=kind.FORMAT_CHECKER)


@lru_cache(maxsize=8)
def _loaded(schema: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(schema)
    return value


def cell(value: Any) -> str:
    """A field's value for a table: text as it is, lists joined by "; ", nothing for null, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return "; ".join(map(cell, value))
    return json.dumps(value, ensure_ascii=False)
