"""The filters, tests and functions that a chat template may use; any other is unknown to it.

Each measures with the `Meter` what it is going to make. What Jinja computes lazily is computed at once here, so that
it is measured where it is made; it is still an iterator: true, without a length, and read once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import jinja2
from jinja2 import filters as jinjas
from jinja2.exceptions import SecurityError
from jinja2.tests import TESTS
from jinja2.utils import Cycler, Joiner, Namespace
from markupsafe import Markup, escape

from vlmcli.engine import template_values as values
from vlmcli.engine.template_meter import MAX_ITEMS, NUMBERS, Exceeded, Meter

MAX_DIGITS = 1000  # that are read as a number
MAX_NAME = 1000  # characters of an attribute's name, or of a form of dates
MAX_WORDS = 100_000  # characters of a text that is cut into words
JSON_GROWTH = 12  # characters that JSON makes of one, at most: \ud83d\ude00

Function = Callable[..., Any]


def _iterator(meter: Meter, found: Iterable[Any]) -> Iterator[Any]:
    return iter(meter.listed(found))


def _short_names(arguments: Iterable[Any], named: dict[str, Any]) -> None:
    for one in (*arguments, named.get("attribute")):
        if isinstance(one, str) and len(one) > MAX_NAME:
            raise Exceeded(f"names an attribute of more than {MAX_NAME:,} characters")


def _from_context(meter: Meter, name: str) -> Function:
    """Jinja's map, select and their kin, which call other filters and tests."""
    original = jinjas.FILTERS[name]

    @jinja2.pass_context
    def filter_(context: Any, found: Any, *arguments: Any, **named: Any) -> Iterator[Any]:
        _short_names(arguments[:1], named)
        return _iterator(meter, original(context, found, *arguments, **named))

    return filter_


def _comparing(meter: Meter, name: str) -> Function:
    """Jinja's sort, min, max and dictsort, which compare everything with everything."""
    original = jinjas.FILTERS[name]

    @jinja2.pass_environment
    def filter_(environment: Any, found: Any, *arguments: Any, **named: Any) -> Any:
        _short_names(arguments, named)
        attribute = named.get("attribute", arguments[-1] if arguments else "")
        parts = attribute.count(",") + 1 if isinstance(attribute, str) else 1
        whole = found if isinstance(found, dict) else meter.listed(found)
        characters, count, _ = meter.weigh(whole)
        meter.spend(parts * (4 * characters + 80 * count))
        if name == "dictsort":
            return original(whole, *arguments, **named)
        return original(environment, whole, *arguments, **named)

    return filter_


def _unique(meter: Meter) -> Function:
    @jinja2.pass_environment
    def unique(environment: Any, found: Any, case_sensitive: bool = False, attribute: Any = None) -> Iterator[Any]:
        _short_names((attribute,), {})
        of = jinjas.make_attrgetter(environment, attribute, None if case_sensitive else jinjas.ignore_case)
        seen = {}
        for one in meter.listed(found):
            key = meter.key(of(one))
            if isinstance(key, str):
                meter.text(2 * len(key), key)
            if key not in seen:
                seen[key] = one
        return iter(list(seen.values()))

    return unique


def _sum(meter: Meter) -> Function:
    @jinja2.pass_environment
    def sum_(environment: Any, found: Any, attribute: Any = None, start: Any = 0) -> Any:
        _short_names((attribute,), {})
        if isinstance(start, str):
            raise TypeError("a sum begins with a number")
        of = jinjas.make_attrgetter(environment, attribute)
        for one in meter.listed(found):
            start = values.binary(meter, "+", start, of(one))
        return start

    return sum_


def _join(meter: Meter) -> Function:
    @jinja2.pass_environment
    def join(environment: Any, found: Any, d: Any = "", attribute: Any = None) -> str:
        _short_names((attribute,), {})
        of = jinjas.make_attrgetter(environment, attribute)
        texts = [meter.written(of(one)) for one in meter.listed(found)]
        return values.joined(meter, texts, meter.written(d))

    return join


def _text(meter: Meter, value: Any) -> str:
    """A text as it is, anything else as it is written."""
    return value if isinstance(value, str) else meter.written(value)


def _tojson(
    meter: Meter,
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers writes it for chat templates, without what Jinja escapes for HTML."""
    characters, count, depth = meter.weigh(value)
    step = indent if isinstance(indent, int) else len(indent or "")
    if isinstance(step, int) and step > MAX_WORDS:
        raise Exceeded(f"indents by more than {MAX_WORDS:,} characters")
    between = max(len(one) for one in separators) if separators else 2
    meter.text(JSON_GROWTH * (characters + count) + count * (2 * between + (depth + 1) * max(step, 0) + 1))
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _indent(meter: Meter, value: Any, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    text = _text(meter, value)
    by = len(width) if isinstance(width, str) else width
    lines = len(text) if len(text) <= MAX_NAME else sum(map(text.count, values.LINE_ENDS))
    meter.items(lines, 64)
    lines = len(text.splitlines()) + 1
    meter.text(2 + len(text) + lines * (max(by, 0) + 1))
    return jinjas.do_indent(text, width, first, blank)


def _batch(meter: Meter, found: Any, linecount: int, fill_with: Any = None) -> Iterator[Any]:
    meter.items(linecount)
    return _iterator(meter, jinjas.do_batch(meter.listed(found), linecount, fill_with))


def _slice(meter: Meter, found: Any, slices: int, fill_with: Any = None) -> Iterator[Any]:
    meter.items(slices, 100)
    return _iterator(meter, jinjas.sync_do_slice(meter.listed(found), slices, fill_with))


def _reverse(meter: Meter, found: Any) -> Any:
    if isinstance(found, str):
        return values.sliced(meter, found, None, None, -1)
    return iter(meter.listed(found)[::-1])


def _few_digits(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_DIGITS:
        raise Exceeded(f"reads a number of more than {MAX_DIGITS:,} digits")
    return value


def _int(meter: Meter, value: Any, default: Any = 0, base: int = 10) -> Any:
    return meter.number(jinjas.do_int(_few_digits(value), default, base))


def _round(meter: Meter, value: Any, precision: int = 0, method: Any = "common") -> Any:
    if not isinstance(value, NUMBERS):  # Jinja multiplies it
        raise TypeError(f"a {type(value).__name__} cannot be rounded")
    if isinstance(precision, int) and abs(precision) > 300:
        raise Exceeded("rounds to more than 300 digits")
    return jinjas.do_round(value, precision, method)


def _escape(meter: Meter, value: Any) -> Markup:
    text = _text(meter, value)
    meter.text(values.ESCAPED * len(text), text)
    return escape(text)


def _words(meter: Meter, name: str) -> Function:
    original = jinjas.FILTERS[name]

    def filter_(value: Any) -> Any:
        text = _text(meter, value)
        if len(text) > MAX_WORDS:
            raise Exceeded(f"splits a text of more than {MAX_WORDS:,} characters into words")
        meter.spend(64 * len(text))
        return original(text)

    return filter_


def _of_text(meter: Meter, name: str) -> Function:
    """A filter that is a method of texts."""
    method = values.METHODS[str][name]
    return lambda value, *arguments: method(meter, _text(meter, value), *arguments)


def filters(meter: Meter) -> dict[str, Function]:
    """Every filter by its name."""
    found: dict[str, Function] = {
        "abs": lambda value: meter.number(abs(value)),
        "batch": partial(_batch, meter),
        "count": len,
        "default": jinjas.do_default,
        "first": jinjas.FILTERS["first"],
        "float": lambda value, default=0.0: jinjas.do_float(_few_digits(value), default),
        "format": lambda value, *given, **named: values.percent(meter, _text(meter, value), named or given),
        "indent": partial(_indent, meter),
        "int": partial(_int, meter),
        "items": lambda value: _iterator(meter, jinjas.do_items(value)),
        "join": _join(meter),
        "last": jinjas.FILTERS["last"],
        "list": meter.listed,
        "replace": lambda value, old, new, count=None: values.replaced(
            meter, meter.written(value), meter.written(old), meter.written(new), -1 if count is None else count
        ),
        "reverse": partial(_reverse, meter),
        "round": partial(_round, meter),
        "safe": lambda value: Markup(meter.written(value)),
        "escape": partial(_escape, meter),
        "forceescape": lambda value: _escape(meter, meter.written(value)),
        "slice": partial(_slice, meter),
        "string": partial(_text, meter),
        "sum": _sum(meter),
        "tojson": partial(_tojson, meter),
        "trim": lambda value, chars=None: values.METHODS[str]["strip"](meter, _text(meter, value), chars),
        "unique": _unique(meter),
    }
    found |= {name: _of_text(meter, name) for name in ("capitalize", "lower", "upper")}
    found |= {name: _words(meter, name) for name in ("title", "wordcount")}
    found |= {name: _comparing(meter, name) for name in ("dictsort", "max", "min", "sort")}
    found |= {name: _from_context(meter, name) for name in ("map", "select", "selectattr", "reject", "rejectattr")}
    return found | {"d": found["default"], "e": found["escape"], "length": len}


def tests(meter: Meter) -> dict[str, Function]:
    """Every test by its name."""
    names = {"==": "eq", "!=": "ne", "<": "lt", "<=": "lteq", ">": "gt", ">=": "gteq", "in": "in"}
    names |= {"equalto": "eq", "lessthan": "lt", "greaterthan": "gt", "le": "lteq", "ge": "gteq"}
    names |= {name: name for name in ("eq", "ne", "lt", "gt")}

    def known(what: str) -> Function:
        @jinja2.pass_environment
        def test(environment: Any, name: Any) -> bool:
            return isinstance(name, str) and name in getattr(environment, what)

        return test

    found: dict[str, Any] = dict(TESTS)
    return found | {
        "divisibleby": lambda value, by: values.binary(meter, "%", value, by) == 0,
        "odd": lambda value: values.binary(meter, "%", value, 2) == 1,
        "even": lambda value: values.binary(meter, "%", value, 2) == 0,
        "lower": lambda value: meter.written(value).islower(),
        "upper": lambda value: meter.written(value).isupper(),
        "filter": known("filters"),
        "test": known("tests"),
        "sequence": lambda value: isinstance(value, str | list | tuple | dict | range | jinja2.Undefined),
        **{name: partial(values.compare, meter, how) for name, how in names.items() if how != "in"},
        "in": lambda value, box: values.contains(meter, value, box),
    }


def _raise(meter: Meter, message: Any = "") -> None:
    raise jinja2.TemplateError(meter.written(message))


def _today(meter: Meter, form: Any) -> str:
    text = meter.written(form)
    if len(text) > MAX_NAME or not re.fullmatch(r"(?:[^%]|%[-EO]?[A-Za-z%])*", text):
        raise SecurityError("it uses a date format that is not allowed")
    return datetime.now().strftime(text)


def _dict(meter: Meter, /, *given: Any, **named: Any) -> dict[Any, Any]:
    """`dict(…)`, made pair by pair, so that it can be stopped."""
    found: dict[Any, Any] = {}
    if len(given) > 1:
        raise TypeError("dict takes one value")
    for one in given:
        for pair in one.items() if isinstance(one, dict) else meter.listed(one):
            key, value = pair
            found[meter.key(key)] = value
    found |= named
    meter.items(len(found), 100)
    return found


def _range(meter: Meter, *bounds: Any) -> range:
    found = range(*bounds)
    if len(found) > MAX_ITEMS:
        raise Exceeded(f"counts to more than {MAX_ITEMS:,}")
    return found


def functions(meter: Meter) -> dict[str, Function]:
    """Every function by its name."""
    return {
        "cycler": lambda *items: Cycler(*items),
        "dict": partial(_dict, meter),
        "joiner": lambda sep=", ": Joiner(sep),
        "namespace": lambda *given, **named: Namespace(_dict(meter, *given, **named)),
        "raise_exception": partial(_raise, meter),
        "range": partial(_range, meter),
        "strftime_now": partial(_today, meter),
    }
