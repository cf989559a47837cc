"""What a chat template may do with values: operators, comparisons, and the methods of texts, lists and dicts.

Each measures with the `Meter` what it is going to make. A method that is not listed here is not to be had; the list is
longer than what 128 published templates use (`get`, `split`, `strip` and its kin, `items`, `startswith`, `endswith`,
`replace`, `capitalize`).
"""

from __future__ import annotations

import operator
import re
import string
from _string import formatter_field_name_split  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined
from markupsafe import Markup

from vlmcli.engine.template_meter import MAX_BITS, MAX_ITEMS, MAX_TEXT, NUMBERS, SCALARS, VIEWS, Exceeded, Meter

MAX_WIDTH = 1000  # to which a format pads
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
ESCAPED = 6  # characters that escaping makes of one, at most, and one more

Method = Callable[..., Any]

_CONVERSION = re.compile(r"[#0\- +]*([0-9]+|\*)?(?:\.([0-9]+|\*)?)?")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def binary(meter: Meter, sign: str, left: Any, right: Any) -> Any:
    """`left sign right`, for + - * / // % and **."""
    if sign == "%" and isinstance(left, str):
        return percent(meter, left, right)
    if isinstance(left, Undefined) or isinstance(right, Undefined):
        return _OPERATORS.get(sign, operator.pow)(left, right)  # which raises
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        return _power(meter, left, right) if sign == "**" else meter.number(_OPERATORS[sign](left, right))
    if sign == "+":
        _measure_sum(meter, left, right)
        return left + right
    if sign == "*":
        sequence, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(sequence, str) and isinstance(times, int):
            meter.text(len(sequence) * max(times, 0), sequence)
        elif isinstance(sequence, list | tuple) and isinstance(times, int):
            meter.items(len(sequence) * max(times, 0))
        return left * right
    raise TypeError(f"unsupported operand types for {sign}: {type(left).__name__} and {type(right).__name__}")


def _measure_sum(meter: Meter, left: Any, right: Any) -> None:
    if isinstance(left, str) and isinstance(right, str):
        size = len(left) + len(right)
        meter.text(size if type(left) is type(right) is str else ESCAPED * size, left, right)
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        meter.items(len(left) + len(right))


def _power(meter: Meter, base: Any, exponent: Any) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and exponent > 0 and base.bit_length() * exponent > MAX_BITS:
        raise Exceeded(f"makes a number of more than {MAX_BITS:,} bits")
    return base**exponent


def compare(meter: Meter, how: str, left: Any, right: Any) -> Any:
    """`left how right`, where `how` is Jinja's name of a comparison."""
    if how in ("in", "notin"):
        return contains(meter, left, right) is (how == "in")
    if type(left) not in SCALARS and type(right) not in SCALARS:
        meter.weigh(left)
        meter.weigh(right)
    return _COMPARISONS[how](left, right)


def contains(meter: Meter, item: Any, box: Any) -> bool:
    """`item in box`."""
    kind = type(box)
    if kind in (dict, VIEWS[0]):
        return meter.key(item) in box
    if isinstance(box, str | range | Undefined):
        if type(item) not in SCALARS:
            meter.weigh(item)
        return item in box
    values = box if kind in (list, tuple) else meter.listed(box)
    meter.weigh(values)
    meter.weigh(item)
    return item in values


def concatenated(meter: Meter, values: Iterable[Any]) -> str:
    """`a ~ b ~ c`."""
    return joined(meter, [meter.written(value) for value in values])


def joined(meter: Meter, texts: Sequence[str], between: str = "") -> str:
    """Texts, one after the other."""
    meter.text(sum(map(len, texts)) + len(between) * len(texts), between, *texts)
    return between.join(texts)


def sliced(meter: Meter, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """`value[start:stop:step]`."""
    if isinstance(value, str):
        meter.text(len(value), value)
    elif isinstance(value, list | tuple):
        meter.items(len(value))
    return value[start:stop:step]


def percent(meter: Meter, form: str, values: Any) -> str:
    """`form % values`, as printf pads and writes them."""
    if type(form) is not str:
        raise SecurityError("% is not allowed after text marked as safe")
    count, width, at = 0, 0, form.find("%") + 1
    while at:
        if form.startswith("(", at):  # a name, in which parentheses may be nested
            open_ = 1
            while open_ and at + 1 < len(form):
                at += 1
                open_ += {"(": 1, ")": -1}.get(form[at], 0)
            at += 1
        spec = _CONVERSION.match(form, at)
        assert spec is not None  # it matches nothing, too
        if "*" in spec.group():
            raise SecurityError("a format must not take its width from a value")
        width = max([width, *(_width(number) for number in spec.groups() if number)])
        count, at = count + 1, form.find("%", spec.end() + 1) + 1
    each = _size(meter, values) if isinstance(values, tuple) else count * _size(meter, values)
    meter.text(len(form) + count * (width + 400) + each)  # %f writes 309 digits of the largest number
    written: str = form % values
    return written


def _width(digits: str) -> int:
    """A width or a precision. Raises Exceeded."""
    if len(digits.lstrip("0")) > 4 or int(digits) > MAX_WIDTH:
        raise Exceeded(f"pads to more than {MAX_WIDTH:,} characters")
    return int(digits)


def _size(meter: Meter, value: object) -> int:
    """How many characters a value takes at most in a format."""
    characters, count, _ = meter.weigh(value, True)
    return 10 * characters + 8 * count


class _Formatter(string.Formatter):
    """`str.format`, where attributes and items are those a template may have, and nothing is padded far."""

    def __init__(self, meter: Meter, attribute: Method, item: Method) -> None:
        self._meter, self._attribute, self._item = meter, attribute, item
        self._size = 0

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        first, rest = formatter_field_name_split(field_name)
        value = self.get_value(first, args, kwargs)
        for is_attribute, name in rest:
            value = (self._attribute if is_attribute else self._item)(value, name)
        return value, first

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion is None:
            return value
        self._meter.text(_size(self._meter, value))
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        for digits in re.findall(r"\d+", format_spec):  # of any script, as in C
            _width(digits)
        if isinstance(value, NUMBERS) or (isinstance(value, str) and format_spec):
            result = format(value if isinstance(value, NUMBERS) else str(value), format_spec)
        elif format_spec:
            raise TypeError(f"unsupported format for a {type(value).__name__}")
        else:
            result = self._meter.written(value)
        self._size += len(result)
        if self._size > MAX_TEXT:
            raise Exceeded(f"makes a text of more than {MAX_TEXT:,} characters")
        self._meter.text(len(result), result)
        return result


def formatted(meter: Meter, attribute: Method, item: Method, form: str, /, *values: Any, **named: Any) -> str:
    """`form.format(*values, **named)`, looking names up through the functions given."""
    if type(form) is not str:
        raise SecurityError("text marked as safe has no format")
    return _Formatter(meter, attribute, item).vformat(form, values, named)


def _scanning(name: str) -> Method:
    """A method of texts that makes nothing, or a part of the text."""

    def method(meter: Meter, text: str, *arguments: Any, **named: Any) -> Any:
        meter.text(len(text), text)
        for one in arguments:
            meter.weigh(one)
            if name[0] == "r" or name.endswith("strip"):  # backwards, and in sets of characters, C looks naively
                meter.scan(text, one)
        return getattr(text, name)(*arguments, **named)

    return method


def _cased(name: str) -> Method:
    """A method of texts that makes at most three characters out of one."""

    def method(meter: Meter, text: str) -> Any:
        meter.text(len(text) if text.isascii() else 3 * len(text), text)
        return getattr(text, name)()

    return method


def _padded(name: str) -> Method:
    """A method of texts that pads."""

    def method(meter: Meter, text: str, width: int, *fill: str) -> Any:
        meter.text(max(len(text), width), text, *fill)
        return getattr(text, name)(width, *fill)

    return method


def replaced(meter: Meter, text: str, old: str, new: str, count: int = -1) -> str:
    """`text.replace(old, new, count)`."""
    if isinstance(old, str) and isinstance(new, str):
        times = text.count(old) if count < 0 else min(text.count(old), count)
        size = len(text) + times * max(len(new) - len(old), 0)
        plain = type(text) is type(new) is str
        meter.text(size if plain else ESCAPED * (len(text) + times * len(new)), text, new)
    return text.replace(old, new, count)


def _split(name: str) -> Method:
    def method(meter: Meter, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
        if name == "rsplit":
            meter.scan(text, sep)
        most = maxsplit if 0 <= maxsplit < MAX_ITEMS else MAX_ITEMS
        meter.text(len(text), text)
        parts: list[str] = getattr(text, name)(sep, most)
        meter.items(len(parts), 64)
        return parts

    return method


def splitlines(meter: Meter, text: str, keepends: bool = False) -> list[str]:
    """`text.splitlines(keepends)`."""
    meter.text(len(text), text)
    meter.items(sum(map(text.count, LINE_ENDS)) if len(text) > MAX_WIDTH else len(text), 64)
    return text.splitlines(keepends)


def _join(meter: Meter, text: str, values: Iterable[Any]) -> str:
    texts = meter.listed(values)
    size = sum(len(one) for one in texts if isinstance(one, str)) + len(text) * len(texts)
    plain = type(text) is str
    meter.text(size if plain else ESCAPED * size)
    return text.join(texts)


def _found(name: str) -> Method:
    """A method of lists and tuples that compares each element with a value."""

    def method(meter: Meter, values: Any, sought: Any, *rest: Any) -> Any:
        meter.weigh(values)
        meter.weigh(sought)
        return getattr(values, name)(sought, *rest)

    return method


def _copy(meter: Meter, values: Any) -> Any:
    meter.items(len(values), 100 if isinstance(values, dict) else 8)
    return values.copy()


def _get(meter: Meter, values: dict[Any, Any], key: Any, *default: Any) -> Any:
    return values.get(meter.key(key), *default)


def _view(name: str) -> Method:
    return lambda meter, values: getattr(values, name)()


_SCANNING = (
    "count endswith find index isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable"
    " isspace istitle isupper lstrip partition removeprefix removesuffix rfind rindex rpartition rstrip startswith"
    " strip"
)
_TEXT: dict[str, Method] = {
    **{name: _scanning(name) for name in _SCANNING.split()},
    **{name: _cased(name) for name in ("capitalize", "casefold", "lower", "swapcase", "title", "upper")},
    **{name: _padded(name) for name in ("center", "ljust", "rjust", "zfill")},
    **{name: _split(name) for name in ("split", "rsplit")},
    "splitlines": splitlines,
    "replace": replaced,
    "join": _join,
}
METHODS: dict[type, dict[str, Method]] = {
    str: _TEXT,
    Markup: _TEXT,
    list: {"index": _found("index"), "count": _found("count"), "copy": _copy},
    tuple: {"index": _found("index"), "count": _found("count")},
    dict: {"get": _get, "copy": _copy, **{name: _view(name) for name in ("items", "keys", "values")}},
}
"""Of each type the methods that a template may call: each takes a Meter, the value, and the arguments."""
