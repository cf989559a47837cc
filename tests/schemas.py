"""Random JSON Schemas, and folders of them: each is followed or refused by name, and every answer that ends is valid.

    python -m tests.schemas                      # 500 random ones, on the demo model and on a pair of random weights
    python -m tests.schemas --count 50 --seed 7
    python -m tests.schemas --folder SUITE       # all .json files below it: a schema, or JSON-Schema-Test-Suite's lists

`tests/engine/test_guided.py` does the same with fewer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import jsonschema

from tests.support.engines import ask, noise, opened, small_files
from vlmcli import demo
from vlmcli.bench import pairs
from vlmcli.engine import guided
from vlmcli.errors import RequestError, UsageError, VlmError
from vlmcli.tasks import extract, schema
from vlmcli.values import Answer, Sampling

HOT = Sampling(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=1)
TOKENS = 160


def random_schema(rng, depth=0):
    """A schema with keywords that OpenAI's strict mode takes, and some that it does not."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const"]
    kinds += ["object", "array", "anyOf", "object"] * (depth < 3)
    kind = rng.choice(kinds)
    if kind == "object":
        names = rng.sample(["a", "shop", "date", "total sum", 'q"uote', "größe", "items"], rng.randint(1, 4))
        found = {"type": "object", "properties": {name: random_schema(rng, depth + 1) for name in names}}
        if rng.random() < 0.8:
            found |= {"required": rng.sample(names, rng.randint(0, len(names)))}
        if rng.random() < 0.8:
            found |= {"additionalProperties": rng.choice([False, False, True, {"type": "integer"}])}
        return found
    if kind == "array":
        found = {"type": "array", "items": random_schema(rng, depth + 1), "maxItems": rng.randint(0, 3)}
        return found | ({"minItems": rng.randint(0, found["maxItems"])} if rng.random() < 0.5 else {})
    if kind == "anyOf":
        return {"anyOf": [random_schema(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    if kind == "enum":
        return {"enum": rng.sample(["a", "b\n", 1, 2.5, None, True, "ü", [], {"x": 1}], rng.randint(1, 4))}
    if kind == "const":
        return {"const": rng.choice(["x", 3, None, {"a": [1, "2"]}])}
    if kind == "string":
        more = [
            {}, {"maxLength": rng.randint(0, 6)}, {"minLength": 2, "maxLength": 4}, {"pattern": "^[a-c]{1,3}$"},
            {"format": rng.choice(["date", "time", "date-time", "email", "uuid", "ipv4", "hostname", "uri", "color"])},
            {"pattern": "^(?!x)"},
        ]  # fmt: skip
        return {"type": rng.choice(["string", ["string", "null"]]), **rng.choice(more)}
    if kind in ("integer", "number"):
        more = [{}, {"minimum": -3, "maximum": 12}, {"exclusiveMinimum": 0}, {"multipleOf": 5}, {"maximum": 1e9}]
        return {"type": kind, **rng.choice(more)}
    return {"type": kind} | ({"not": {}} if rng.random() < 0.05 else {})


def followed(engine, picture, one):
    """What comes of a schema: "valid", "cut off" or "refused: …". Raises AssertionError for an answer that is wrong."""
    text = json.dumps(one)
    try:
        schema.check(one, "schema")
        guided.schema_grammar(text)
    except (RequestError, UsageError) as error:
        assert error.message.strip(), one
        return f"refused: {error.message.partition(':')[2].strip()[:40]}"
    request = ask("Read this.", picture, tokens=TOKENS, sampling=HOT, schema=text)
    (answer,) = engine.run([request])
    if isinstance(answer, VlmError):
        assert isinstance(answer, RequestError), (one, answer)
        return f"refused while answering: {answer.message[:40]}"
    assert isinstance(answer, Answer)
    if answer.finish_reason == "length":
        return "cut off"
    try:
        extract.checked(answer.text, text, answer.finish_reason, answer.usage.answer_tokens)
    except RequestError as error:
        raise AssertionError(f"{text}\n{answer.text!r}\n{error}") from error
    return "valid"


def of_folder(folder):
    """The schemas of all files: whole files, or what is under `schema` in lists of groups."""
    for path in sorted(folder.rglob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
        except ValueError:
            continue
        for group in content if isinstance(content, list) else [content]:
            found = group.get("schema", group) if isinstance(group, dict) else group
            if isinstance(found, dict):
                yield found


def main():
    """Print how many schemas were followed, and why the others were refused."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    rng = Random(options.seed)
    found = list(of_folder(options.folder)) if options.folder else [random_schema(rng) for _ in range(options.count)]
    with tempfile.TemporaryDirectory() as folder:
        weights = small_files(pairs.small(Path(folder)), "qwen2vl")
        for files in (demo.FILES, weights):
            counts, wrong = Counter(), []
            with opened(files, threads=2) as engine:
                picture = noise(1, (90, 70))
                for one in found:
                    try:
                        counts[followed(engine, picture, one)] += 1
                    except (AssertionError, jsonschema.SchemaError) as error:
                        wrong.append(error)
            print(f"{files.name}: {len(found)} schemas; {len(wrong)} wrong")
            for what, count in counts.most_common(15):
                print(f"  {count:5} {what}")
            for error in wrong[:5]:
                print(error)


if __name__ == "__main__":
    main()
