"""What a template may do gives what Jinja gives; whatever grows is stopped before it has grown; Python stays shut."""

import json
import subprocess
import sys
import time

import jinja2.sandbox
import pytest
from PIL import Image

from tests.support.program import vlm
from vlmcli.engine import chat_template, template_meter
from vlmcli.engine.chat_template import ChatTemplate
from vlmcli.engine.template_sandbox import Sandbox
from vlmcli.errors import TemplateError
from vlmcli.values import Message

HELLO = [Message("user", ("hello",))]
MESSAGES = [
    {"role": "user", "content": "Hi <b>there</b>\n & 'you' "},
    {"role": "assistant", "content": [{"type": "text", "text": "é😀"}, {"type": "image"}], "n": 3},
]


def sandboxed(source, **names):
    sandbox = Sandbox()
    with sandbox.meter.limited(10):
        sandbox.load(source)
        return sandbox.run(messages=MESSAGES, **names)


def refused(source):
    """What is said of a template that must not run."""
    with pytest.raises(TemplateError) as caught:
        ChatTemplate(source, owner="m.gguf").render(HELLO)
    assert caught.value.message.startswith("m.gguf's chat template ")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    assert "--chat-template" in caught.value.hint
    return caught.value.message


EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 5 // 6 % 7 ** 2
-1 ** 2
2 ** -1
7 // -2
-7 % 3
1.5 * 2
'a' * 3
3 * [1, 2]
(1,) + (2,)
'a' + 'b'
'a' ~ 1 ~ none ~ [1, 'x']
'%s is %d and %5.2f%%' % ('a', 3, 2.5)
'%(a)s' % {'a': 1}
'%r' % 'é'
1 < 2 < 3
1 < 3 < 2
3 == 3 != 4
'a' in 'abc'
1 not in [2]
'role' in messages[0]
2 in range(3)
{} == {}
[1, 2, 3][::-1]
'abc'[1:]
messages[-1:][0].role
(1, 2, 3)[:2]
range(9)[2:4]
'abc'[-1]
'abc'[9]
[1][9]
messages[0].role
messages[0]['role']
messages[0].nothing
messages[0]['nothing']
none.x is defined
messages[1].get('n')
messages[1].get('m', 7)
messages[1].keys() | list
messages[1].items() | length
' a b '.strip()
'xax'.strip('x')
'a,b'.split(',')
' a  b '.split()
'a b c'.rsplit(' ', 1)
'a\nb'.splitlines()
'abc'.replace('b', 'xx')
'aaa'.replace('a', 'b', 1)
'abc'.startswith(('a', 'b'))
'abc'.endswith('c')
'abc'.find('c')
'aB'.upper()
'aB'.lower()
'a b'.title()
'aB'.swapcase()
'ab'.center(6, '-')
'7'.zfill(3)
', '.join(['a', 'b'])
'{} {0}'.format(1) if false else '{} {!r:>6} {x[role]} {y:04d}'.format(1, 'a', x=messages[0], y=7)
[3, 1, 2] | sort
['b', 'A'] | sort
['b', 'A'] | sort(true, true)
messages | map(attribute='role') | list
[1, 2] | sum
['a', 'B', 'b'] | unique | list
[1, 5] | max
['b', 'a'] | min
{'b': 1, 'a': 2} | dictsort
{'a': 1} | items | list
messages | selectattr('role', 'equalto', 'user') | list | length
[1, 2, 3] | select('odd') | list
[0, 1] | reject | list
messages | rejectattr('n', 'defined') | map(attribute='content') | first
['a', 'b'] | map('upper') | join('-')
(messages | selectattr('x')) and 1
[1, 2, 3] | batch(2, 0) | list
[1, 2, 3] | slice(2) | list
'ab' | reverse
[1, 2] | reverse | list
messages[0].content | e
(messages[0].content | safe) + '<'
'a<' | forceescape
('<' | e) ~ '<'
messages[0].content | trim | length
'12' | int
'x' | int(5)
'ff' | int(base=16)
'1.5' | float
2.567 | round(1)
42.4 | round(0, 'floor')
-3 | abs
7 | string ~ 1
'a\nb' | indent(2, true)
'hello world' | title
'a b c' | wordcount
'aab' | replace('a', 'x', 1)
5 | replace(5, 6)
none | default('d', true)
[1, [2, {'a': (3,)}]]
{'a': none, 1: true}
range(3)
1e308
10 ** 30
'a' if false
[1, 2] | first
[1, 2] | last
[] | first
1 is odd
2 is even
9 is divisibleby 3
'a' is string
1 is number
{} is mapping
[] is sequence
{} is sequence
nothing is sequence
'a' is lower
'A' is upper
1 is in [1]
1 is eq 1
2 is gt 1
'trim' is filter
'odd' is test
none is none
true is boolean
f is callable
messages is iterable
5 is iterable
nothing is defined
nothing is undefined
1 is sameas 1
1.5 is float
range is callable
dict(a=1)
dict({'a': 1}, b=2)
dict([('a', 1)])
namespace(a=1).a
range(5) | list
joiner('|')()
cycler(1, 2).next()
namespace(self=1, meter=2, given=3, name=4).self
'{form} {meter} {self} {item}'.format(form=1, meter=2, self=3, item=4)
dict(self=1, meter=2)
"""


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_a_template_gets_what_jinja_gives(expression):
    plain = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, optimized=False)
    source = f"{{{{ {expression} }}}}"
    try:
        expected = plain.from_string(source).render(messages=MESSAGES)
    except Exception as error:
        with pytest.raises(type(error)):
            sandboxed(source)
    else:
        assert sandboxed(source) == expected


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% for a in [1, 2, 3] if a != 2 %}{{ loop.index }}{{ a }}{{ loop.cycle('x', 'y') }}{% endfor %}", "11x23y"),
        ("{% for a in [1, 1, 2] %}{{ loop.changed(a) }}{{ loop.previtem }}{% else %}no{% endfor %}", "TrueFalse1True1"),
        (
            "{% macro f(a, b=2) %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{% call f(1) %}c{% endcall %}",
            "12c",
        ),
        ("{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(*[1], **{'a': 2}) }}", "(1,){'a': 2}"),
        ("{% set x %}a{{ 1 }}{% endset %}{{ x }}{% set y | upper %}b{% endset %}{{ y }}", "a1B"),
        ("{% filter upper %}a{{ 'b' }}{% endfilter %}{% with a = 1 %}{{ a }}{% endwith %}", "AB1"),
        ("{% for a in [[1, [2]]] recursive %}{{ loop(a) if a is sequence else a }}{% endfor %}", "12"),
        ("{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% break %}{% endfor %}{{ loop is defined }}", "x1False"),
        ("{% generation %}a{% endgeneration %}{% raw %}{{ b }}{% endraw %}{# c #}", "a{{ b }}"),
        (
            "{{ messages[1] | tojson }}",
            '{"role": "assistant", "content": [{"type": "text", "text": "é😀"}, {"type": "image"}], "n": 3}',
        ),
        ("{{ {'b': 1, 'a': '<'} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":"<","b":1}'),
        ("{{ {'a': 'é'} | tojson(indent=2, ensure_ascii=true) }}", '{\n  "a": "\\u00e9"\n}'),
        ("{{ strftime_now('%Y') > '2024' }}{{ strftime_now('%-d %b %Y') | length > 8 }}", "TrueTrue"),
    ],
)
def test_statements_work(source, written):
    assert sandboxed(source) == written


GROW = "{% set ns = namespace(x=%s) %}{% for i in range(%s) %}{% set ns.x = %s %}{% endfor %}%s"


def grow(start, step, times=60, end="{{ ns.x | length }}"):
    return GROW.replace("%s", "{}").replace("{%", "{{%").replace("%}", "%}}").format(start, times, step, end)


@pytest.mark.parametrize(
    "source",
    [
        grow("'ab'", "ns.x ~ ns.x"),
        grow("'ab'", "ns.x + ns.x"),
        grow("'ab'", "ns.x * 9"),
        grow("'ab'", "ns.x.replace('a', ns.x)"),
        grow("'ab'", "ns.x | replace('', 'xyz')"),
        grow("'ab'", "[ns.x, ns.x] | join"),
        grow("'ab'", "ns.x.join(['', ns.x, ''])"),
        grow("'ab'", "'%s%s' % (ns.x, ns.x)"),
        grow("'ab'", "'%(a)s%(a)s' % {'a': ns.x}"),
        grow("'ab'", "'%s%s' | format(ns.x, ns.x)"),
        grow("'ab'", "'{0}{0}'.format(ns.x)"),
        grow("'ab'", "('a<' | e) ~ ns.x | e"),
        grow("'a\\n'", "ns.x | indent(99, true, true)"),
        grow("'ab'", "ns.x.translate({97: 'a' * 99})"),
        grow("'\\t'", "ns.x.expandtabs(99999)"),
        grow("[1]", "ns.x + ns.x"),
        grow("[1]", "ns.x * 9"),
        grow("[1]", "[ns.x, ns.x] | sum(start=[])"),
        grow("'ab' * 999", "ns.x | list | join(ns.x)"),
        grow("1", "[ns.x, ns.x]", end="{{ ns.x }}"),
        grow("1", "[ns.x, ns.x]", end="{{ ns.x | tojson }}"),
        grow("1", "[ns.x, ns.x]", end="{{ ns.x == [ns.x[0] * 1, ns.x[1] * 1] }}"),
        grow("1", "[ns.x, ns.x]", end="{{ {}[ns.x] }}{{ {ns.x: 1} }}"),
        grow("1", "{'a': ns.x, 'b': ns.x}", end="{{ ns.x ~ '' }}"),
        grow("()", "(ns.x,)", 3000, "{{ {ns.x: 1} }}"),
        grow("()", "(ns.x,)", 3000, "{{ [ns.x, ns.x] | unique | list }}"),
        grow("[]", "[ns.x]", 3000, "{{ ns.x | tojson }}"),
        grow("[]", "[ns.x]", 3000, "{{ [ns.x] == [[ns.x]] }}"),
        grow("[]", "['a' * 99999, ns.x]", 99999, "x"),
        grow("12345678901234567890", "ns.x * ns.x"),
        grow("3", "ns.x ** 99"),
        grow("7", "ns.x + ns.x", 99999),
        grow("[1] | map('string')", "ns.x | map('string')", 3000, "x{{ raise_exception('far') }}"),
        "{{ '%999999999d' % 1 }}",
        "{{ '%(a(b))999999999d' % {'a(b)': 1} }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '%999999999s' % nothing }}",
        "{{ '%999999999s' | format(nothing) }}",
        "{{ 'ab' | round(9, 'ceil') }}",
        "{{ [1] | round(8, 'floor') }}",
        "{{ '{:９９９９９９９９９}'.format('a') }}",
        "{{ '{:٩٩٩٩٩٩٩٩٩}'.format(1) }}",
        "{{ '%.999999999f' % 1 }}",
        "{{ '{:>999999999}'.format('a') }}",
        "{{ '{:{}}'.format('a', 999999999) }}",
        "{{ '%999999999d' is odd }}",
        "{{ '%999999999d' is divisibleby 1 }}",
        "{{ ['%999999999d'] | select('even') | list }}",
        "{{ 'a'.center(999999999) }}",
        "{{ '1'.zfill(999999999) }}",
        "{{ 9 ** 9999 }}",
        "{{ 5 | round(-999999999) }}",
        "{{ ('9' * 999999) | int }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ 0x" + "f" * 5000 + " }}",
        "{{ strftime_now('%999999999d') }}",
        "{{ dict([[2305843009213693951 * 1, 1]]) }}",
        "{{ ('a' * 999999).rfind('ab' ~ 'a' * 499999) }}",
        "{{ ('a' * 999999).strip('b' * 499999 ~ 'a') }}",
        "{{ ('a ' * 499999).split() | length }}",
        "{{ ('a' * 999999) | list | length }}",
        "{{ [1, 2] | tojson(indent=999999999) }}",
        "{{ [[1] * 999] * 99 | tojson(indent=99999) }}",
        "{{ [1] | batch(999999999, 0) | list }}",
        "{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
        "{% set x %}{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}{% endset %}{{ x | length }}",
        "{% macro f() %}{% for a in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endmacro %}{{ f() | length }}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ raise_exception('far ' * 99999) }}",
        "{% if a %}" * 5000 + "{% endif %}" * 5000,
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "a + " * 5000 + "1 }}",
        "{{ a }}" * 8000,
        "x" * 300_000 + "{{ messages }}",
    ],
)
def test_a_bomb_is_refused_before_it_goes_off(source):
    started, before = time.thread_time(), template_meter._resident()
    refused(source)
    assert time.thread_time() - started < 3
    assert template_meter._resident() - before < 300 << 20


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (grow("'ab'", "ns.x ~ ns.x"), "makes a text of more than 1,000,000 characters"),
        (grow("[1]", "ns.x + ns.x"), "makes a list of more than 100,000 elements"),
        ("{{ 9 ** 9999 }}", "makes a number of more than 4,096 bits"),
        ("{{ '%999999999d' % 1 }}", "pads to more than 1,000 characters"),
        ("{{ 'a'.translate({}) }}", "translate"),
        ("{{ 'a' | urlize }}", "No filter named 'urlize'"),
        ("{% include 'a' %}", "{% include %} is not allowed"),
        ("{% autoescape true %}{% endautoescape %}", "{% autoescape %} is not allowed"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply, or calls itself"),
    ],
)
def test_it_is_said_what_a_bomb_does(source, said):
    assert said in refused(source)


def test_time_ends_also_where_nothing_is_called(monkeypatch):
    monkeypatch.setattr(chat_template, "READING_SECONDS", 0.3)
    loops = "{% set r = range(99999) %}" + "{% for a in r %}" * 4 + "{% endfor %}" * 4
    assert "runs for more than 0.3 s" in refused(loops)
    lazily = "{% for a in range(99999) if range(99999) | select('odd') | list | length < 1 %}{% endfor %}"
    assert "runs for more than 0.3 s" in refused(lazily)


def test_a_debugger_gets_its_trace_back_and_the_time_is_bounded_all_the_same(monkeypatch):
    monkeypatch.setattr(chat_template, "READING_SECONDS", 0.3)

    def debugger(frame, event, argument):
        return debugger

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        with pytest.raises(TemplateError):
            ChatTemplate("{% set r = range(99999) %}" + "{% for a in r %}" * 4 + "{% endfor %}" * 4)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is debugger


def test_what_is_made_in_all_is_bounded():
    many = "{% for i in range(9999) %}{% set x = 'é' * 99999 %}{% endfor %}{{ messages[0].content }}"
    assert "makes more than 268 MB" in refused(many)


def test_a_question_is_not_multiplied():
    source = "{% for i in range(3000) %}{{ messages[-1].content }}{% endfor %}"
    with pytest.raises(TemplateError, match="repeats the question too often"):
        ChatTemplate(source).render([Message("user", ("word " * 1000,))])


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__",
        "''['__class__']",
        "''|attr('__class__')",
        "[''] | map(attribute='__class__') | list",
        "[''] | map(attribute='__class__.__mro__.1') | list",
        "['']|selectattr('__class__')|list",
        "'{0.__class__.__mro__}'.format(1)",
        "'{0[__class__]}'.format(1)",
        "'{x.__init__.__globals__}'.format(x=namespace)",
        "('{0.__class__}' | safe).format(1)",
        "'{a.__class__}'.format_map({'a': 1})",
        "['{0.__class__}'] | map('format', 1) | list if false else '{0.__class__}'.format(range)",
        "''.format.__self__.__class__",
        "range.__init__",
        "range.call.func.__globals__",
        "namespace.__init__.__globals__",
        "cycler.__init__.__globals__",
        "joiner.call.__globals__",
        "lipsum.__globals__",
        "raise_exception.call.func.__globals__",
        "self.__init__",
        "self._TemplateReference__context",
        "namespace(a=1)._Namespace__attrs",
        "namespace(_a=1)._a",
        "messages.append(1)",
        "messages[0].update({})",
        "messages[0].pop('role')",
        "{'class': 1} | xmlattr",
        "{'a b': 1} | xmlattr",
        "dict.mro()",
        "().__class__.mro()",
        "(1).real",
        "'a'.encode().decode",
        "context.environment",
        "(messages | map('upper')).gi_frame",
        "messages.__len__()",
        "environment",
    ],
)
def test_python_is_out_of_reach(expression):
    """Jinja's known ways out: format (CVE-2016-10745, CVE-2019-10906, CVE-2024-56326), attr (CVE-2025-27516), xmlattr
    (CVE-2024-22195, CVE-2024-34064).
    """
    with pytest.raises((Exception, template_meter.Exceeded)):
        assert sandboxed(f"{{{{ {expression} }}}}") == ""
        assert sandboxed(f"{{{{ ({expression}).x.y }}}}") == ""


def test_what_a_macro_hides_is_out_of_reach():
    for name in ("_func", "_environment", "__call__", "__init__"):
        with pytest.raises(jinja2.exceptions.SecurityError):
            sandboxed(f"{{% macro f() %}}{{% endmacro %}}{{{{ f.{name} }}}}x{{{{ f.{name}() }}}}")
    for name in ("_iterable", "_iterator", "__class__", "_recurse"):
        with pytest.raises(jinja2.exceptions.SecurityError):
            sandboxed(f"{{% for a in [1] %}}{{{{ loop.{name}.x }}}}{{% endfor %}}")


def test_no_warning_of_pythons_reaches_anybody():
    source = "{{ '\\\\d' }}{{ 1 is sameas 1 }}{{ 'a' 'b' }}{{ messages[0].content }}{{ 5[0] }}{{ (1)(2) if false }}"
    code = f"from vlmcli.engine.chat_template import ChatTemplate\nChatTemplate({source!r})"
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=False)
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "--in-process", "p", "hi"],
        ["ask", "p", "hi"],
        ["ask", "p/1.png", "--json", "hi"],
        ["explain", "p/1.png", "hi"],
    ],
)
def test_the_command_says_that_it_is_the_template(words, tmp_path):
    """In this process, and from the one that answers about folders; and the error is of a kind that is documented."""
    (tmp_path / "p").mkdir()
    for n in range(3):
        Image.new("RGB", (64, 48 + n), "red").save(tmp_path / "p" / f"{n}.png")
    (tmp_path / "t.jinja").write_text("{{ '%999999999d' % 1 }}{{ messages[0].content }}")
    done = vlm(*words[:1], "-m", "demo", "--chat-template", "t.jinja", *words[1:], cwd=tmp_path)
    assert done.returncode == 1
    assert "chat template pads to more than 1,000 characters" in done.stderr
    assert "--chat-template" in done.stderr
    assert "Traceback" not in done.stderr
    if "--json" in words:
        assert json.loads(done.stdout)["error"]["type"] == "TemplateError"
