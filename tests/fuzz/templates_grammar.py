"""Makes hostile chat templates: all that Jinja has, in the shapes that grow."""

from __future__ import annotations

import random
from collections.abc import Callable

from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from vlmcli.engine import template_values
from vlmcli.engine.template_sandbox import Sandbox
from vlmcli.models.chat_templates import CHAT_TEMPLATES

METHODS = sorted({name for kind in (str, list, dict, tuple, int) for name in dir(kind) if not name.startswith("__")})
ALLOWED_METHODS = sorted({name for kind in template_values.METHODS.values() for name in kind} | {"format"})
METHODS = [*METHODS, *ALLOWED_METHODS * 9]
ALLOWED_FILTERS = sorted(Sandbox().filters)
FILTER_NAMES = [*sorted(FILTERS), "from_json", "nonsense", *ALLOWED_FILTERS * 9]
NUMBERS = [
    "0",
    "1",
    "2",
    "-1",
    "7",
    "100",
    "999",
    "1000",
    "99999",
    "100000",
    "1000000",
    "999999999",
    "10**18",
    "-999999999",
    "1.5",
    "1e308",
    "0xffffffffffffffff",
]
TEXTS = ["''", "'a'", "' '", "'ab'", "'%s'", "'%999999999d'", "'%(a)s'", "'{}'", "'{:>999999999}'", "'{0.__class__}'"]
TEXTS += ["'\\n'", "'\\u0149'", "'\U0001f600'", "'<&>'", "'\\x00'", "'9'", "'a,b,c'", "'b' ~ 'a' * 9999", "'\\ud800'"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~"]
COMPARISONS = ["==", "!=", "<", ">", "<=", ">=", "in", "not in"]
STATEMENTS: list[Callable[[random.Random, str, str], str]] = [
    lambda r, e, b: f"{{% set ns.x = {e} %}}{b}",
    lambda r, e, b: f"{{% for i in range({r.choice((3, 12, 40, 99, 999, 99999))}) %}}{b}{{% endfor %}}",
    lambda r, e, b: f"{{% for i in {e} %}}{b}{{{{ loop.{r.choice(LOOP)} }}}}{{% else %}}-{{% endfor %}}",
    lambda r, e, b: f"{{% for i in {e} recursive %}}{b}{{{{ loop({e}) }}}}{{% endfor %}}",
    lambda r, e, b: f"{{% for i in {e} if {condition(r)} %}}{{{{ i }}}}{b}{{% endfor %}}",
    lambda r, e, b: f"{{% set y %}}{b}{{{{ {e} }}}}{b}{{% endset %}}{{% set ns.x = y ~ y %}}{{{{ y }}}}",
    lambda r, e, b: f"{{% set y | {r.choice(FILTER_NAMES)} %}}{b}{{% endset %}}{{{{ y }}}}",
    lambda r, e, b: (
        f"{{% macro f(n) %}}{b}{{{{ {r.choice(('f(n)', 'f(n) ~ f(n)', 'n', 'caller()'))} }}}}{{% endmacro %}}"
        f"{{{{ f({e}) }}}}"
    ),
    lambda r, e, b: (
        f"{{% macro g() %}}{{{{ caller() }}}}{{{{ caller() }}}}{{% endmacro %}}"
        f"{{% call g() %}}{b}{{% call g() %}}{b}{{% endcall %}}{{% endcall %}}"
    ),
    lambda r, e, b: f"{{% filter {r.choice(FILTER_NAMES)} %}}{b}{{{{ {e} }}}}{{% endfilter %}}",
    lambda r, e, b: f"{{% if {condition(r)} %}}{b}{{% elif {e} %}}{b}{{% endif %}}",
    lambda r, e, b: f"{{% with y = {e} %}}{b}{{{{ y }}}}{{% endwith %}}",
    lambda r, e, b: f"{{% autoescape true %}}{b}{{% endautoescape %}}" if r.random() < 0.2 else f"{b}{{{{ {e} }}}}",
    lambda r, e, b: f"{{% generation %}}{b}{{{{ {e} }}}}{{% endgeneration %}}",
    lambda r, e, b: f"{{% {r.choice(('include', 'extends'))} {e} %}}" if r.random() < 0.2 else f"{b}{{{{ {e} }}}}",
    lambda r, e, b: f"{{{{ {e} }}}}{b}",
]
LOOP = [
    "index",
    "length",
    "revindex",
    "last",
    "previtem",
    "nextitem",
    "cycle('a')",
    "changed(ns.x)",
    "depth",
    "__class__",
    "_iterable",
]
GROWING = [
    "ns.x ~ ns.x",
    "ns.x + ns.x",
    "ns.x * 9",
    "ns.x * ns.x",
    "ns.x ** 3",
    "[ns.x, ns.x]",
    "(ns.x, ns.x)",
    "[ns.x] * 99",
    "{'a': ns.x, 'b': ns.x}",
    "[ns.x, ns.x] | join(ns.x)",
    "[ns.x, ns.x] | string",
    "[ns.x, ns.x] | tojson",
    "[ns.x, ns.x] | tojson(indent=9)",
    "{'a': ns.x, 'b': ns.x} | tojson(sort_keys=true)",
    "ns.x | string | replace('a', ns.x | string)",
    "ns.x | string | replace('', 'ab')",
    "(ns.x | string).replace('', ns.x | string)",
    "(ns.x | string).join([ns.x | string] * 9)",
    "(ns.x | string).split('a')",
    "(ns.x | string) | list",
    "'%s%s' % (ns.x, ns.x)",
    "'%(a)s%(a)r' % {'a': ns.x}",
    "'%s%s' | format(ns.x, ns.x)",
    "'{0}{0!r}{0:>9}'.format(ns.x)",
    "ns.x | string | indent(99, true, true)",
    "ns.x | string | upper",
    "(ns.x | string).center(999999)",
    "(ns.x | string).encode()",
    "(ns.x | string).translate({97: 'a' * 99})",
    "(ns.x | string).expandtabs(99999)",
    "ns.x | map('string') | list",
    "ns.x | map(attribute='a')",
    "ns.x | map('upper')",
    "[ns.x, ns.x] | sum(start=[])",
    "[ns.x, ns.x] | sort",
    "[ns.x, ns.x] | unique | list",
    "[ns.x] | map('string') | join",
    "dict(a=ns.x, b=ns.x)",
    "dict([('a', ns.x)])",
    "ns.x | batch(2) | list",
    "ns.x | slice(9) | list",
    "ns.x | e | e",
    "ns.x | e + ns.x | string",
    "(ns.x | urlencode if ns.x else ns.x)",
    "(ns.x | urlize if ns.x else ns.x)",
    "(ns.x | wordwrap(1) if ns.x else ns.x)",
    "(ns.x | xmlattr if ns.x else ns.x)",
    "(ns.x | pprint if ns.x else ns.x)",
    "(ns.x | groupby('a') if ns.x else ns.x)",
    "ns.x == ns.x",
    "[ns.x] == [ns.x]",
    "ns.x in [ns.x, ns.x]",
    "{ns.x: ns.x}",
    "[ns.x] | dictsort",
    "namespace(a=ns.x)",
    "ns",
    "cycler(ns.x, ns.x)",
    "ns.x.items()",
    "ns.x | items",
    "ns.x[::-1]",
    "ns.x | reverse",
    "ns.x | int(base=36)",
    "(ns.x | string) * 99 | int",
    "ns.x | round(-99999999)",
    "ns.x | string | wordcount",
    "ns.x | string | title",
    "strftime_now(ns.x | string)",
    "strftime_now('%9999999d')",
    "raise_exception(ns.x | string)",
    "ns.x is odd",
    "'%99999999s' % nothing",
    "ns.x | round(9, 'ceil')",
    "'{:９９９９９９９９}'.format(ns.x | string)",
    "ns.x is divisibleby 3",
    "(ns.x | attr('__class__') if ns.x else ns.x)",
    "(ns.x | string).rfind('ab' ~ (ns.x | string))",
    "(ns.x | string).strip('b' ~ (ns.x | string))",
    "lipsum(n=999)",
]
SEEDS = [
    "'a'",
    "'ab' * 1000",
    "'é' * 999",
    "'a ' * 50000",
    "[]",
    "[1]",
    "{}",
    "{'a': 1}",
    "12345678901234567890",
    "7",
    "1.5",
    "()",
]
SEEDS += [
    "range(99999) | list",
    "range(99999)",
    "none",
    "messages",
    "[[]]",
    "'\\n' * 99999",
    "'a' * 999999",
    "[''] * 99999",
]


NESTINGS = [("(", ")"), ("[", "]"), ("{'a':", "}"), ("-", ""), ("not ", ""), ("'a'~", ""), ("a.b+", ""), ("a[", "]")]
NESTINGS += [("a if b else ", ""), ("1 < ", ""), ("9", ""), ("1_", ""), ("a.", "a"), ("a and ", "b"), ("f(", ")")]
NESTINGS += [("[],", ""), ("9.9e", ""), ("a|upper|", "upper")]
PIECES = ["{{", "}}", "{%", "%}", "{#", "#}", "'", '"', "|", "(", ")", "[", "é", "end", "endfor", "1", "a", ".", "-"]
PIECES += ["\\", "raw", "*", "**", "{", "ﬁ", "_", " ", "\n", "if ", "for ", "in ", "set ", "macro ", "\u2028", "\0"]


def condition(r: random.Random) -> str:
    """Something that is true or false."""
    shape = r.randrange(3)
    if shape == 0:
        return f"{expression(r, 1)} {r.choice(COMPARISONS)} {expression(r, 1)}"
    if shape == 1:
        return f"{expression(r, 1)} is {r.choice(sorted(TESTS))}{r.choice(('', '', '(ns.x)'))}"
    return f"not {expression(r, 1)} and {expression(r, 1)} < {expression(r, 0)} < ns.x"


def expression(r: random.Random, depth: int) -> str:
    """Something with a value."""
    if depth <= 0 or r.random() < 0.15:
        return r.choice((r.choice(NUMBERS), r.choice(TEXTS), "ns.x", "messages", "messages[0].content", "i", "n", "y"))
    shape, inner = r.randrange(12), expression(r, depth - 1)
    if shape <= 1:
        return f"({inner} {r.choice(OPERATORS)} {expression(r, depth - 1)})"
    if shape <= 3:
        arguments = ", ".join(expression(r, depth - 2) for _ in range(r.choice((0, 0, 1, 1, 2, 3))))
        return f"({inner} | {r.choice(FILTER_NAMES)}({arguments}))"
    if shape <= 5:
        arguments = ", ".join(expression(r, depth - 2) for _ in range(r.choice((0, 1, 1, 2))))
        return f"({inner}).{r.choice(METHODS)}({arguments})"
    if shape == 6:
        return f"[{inner}, {expression(r, depth - 1)}]"
    if shape == 7:
        return f"{{{expression(r, depth - 2)}: {inner}}}"
    if shape == 8:
        return f"({inner})[{expression(r, 0)}:{expression(r, 0)}:{r.choice(('', '-1', '2'))}]"
    if shape == 9:
        return f"({inner} if {condition(r)} else {expression(r, depth - 1)})"
    if shape == 10:
        return f"{r.choice(('range', 'dict', 'namespace', 'cycler', 'joiner', 'strftime_now'))}({inner})"
    return r.choice(GROWING)


def _growth(r: random.Random) -> str:
    """A value that is made larger again and again."""
    steps = "".join(f"{{% set ns.x = {r.choice(GROWING)} %}}" for _ in range(r.choice((1, 1, 1, 2, 3))))
    times = r.choice((3, 10, 40, 200, 2000, 99999))
    end = r.choice(["{{ ns.x }}", "{{ ns.x | length }}", "{{ ns.x | tojson }}", "{{ [ns.x] == [ns.x] }}", "", "x"])
    extra = f"{{{{ {r.choice(GROWING)} }}}}" if r.random() < 0.5 else ""
    start = f"{{% set ns = namespace(x={r.choice(SEEDS)}) %}}"
    end += r.choice(("", "{{ messages[-1].content }}"))
    return f"{start}{{% for i in range({times}) %}}{steps}{{% endfor %}}{extra}{end}"


def _program(r: random.Random) -> str:
    """Statements inside statements."""
    body = r.choice(("x", "{{ ns.x }}", f"{{{{ {expression(r, 3)} }}}}"))
    for _ in range(r.choice((1, 2, 4, 6))):
        body = r.choice(STATEMENTS)(r, expression(r, r.choice((1, 2, 3))), body)
        if len(body) > 100_000:
            break
    return f"{{% set ns = namespace(x={r.choice(SEEDS)}) %}}{body}{{{{ messages[0].content }}}}"


def _large(r: random.Random) -> str:
    """Much source, or deep."""
    times = r.choice((30, 99, 101, 300, 3000, 30_000, 300_000))
    opening, closing = r.choice(NESTINGS)
    inside = opening * times + r.choice(("1", "x", "")) + closing * times
    tag, end = r.choice([("{% if a %}", "{% endif %}"), ("{% for a in b %}", "{% endfor %}"), ("{% set a = 1 %}", "")])
    tag, end = r.choice(
        [(tag, end), ("{{ a }}", ""), ("{% macro f() %}", "{% endmacro %}"), ("{% raw %}", ""), ("{#", "#}")]
    )
    whole = r.choice(
        (tag * times + "x" + end * times, f"{{{{ {inside} }}}}", "{%" + " " * times, "{{ '" + "\\" * times)
    )
    return f"{whole}{{{{ messages }}}}"


def _mutated(r: random.Random) -> str:
    """A template that was published, with pieces exchanged."""
    text = r.choice(sorted(template for template, _ in CHAT_TEMPLATES.values()))
    for _ in range(r.choice((1, 3, 9))):
        at = r.randrange(len(text))
        piece = r.choice(
            (f"{{{{ {expression(r, 2)} }}}}", r.choice(GROWING), "{%", "%}", "}}", "'", "", "\0", "\ud800")
        )
        text = text[:at] + piece + text[at + r.choice((0, 0, 3)) :]
    return text


def _rubbish(r: random.Random) -> str:
    """Any characters."""
    return "".join(r.choice(PIECES) for _ in range(r.choice((5, 50, 500, 5000))))


def template(r: random.Random) -> str:
    """A hostile template."""
    kinds = [_growth, _program, _large, _mutated, _rubbish]
    return r.choices(kinds, (10, 7, 2, 2, 1))[0](r)
