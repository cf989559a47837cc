"""Jinja's sandbox, in which a template may do only what is listed, and everything it makes is counted first.

Jinja compiles a template to Python. Here its code generator writes a call of the environment wherever the code would
make, compare or look up a value; what such a call may do, and how much of it, is in `template_values` (operators,
methods), `template_filters` (filters, tests, functions) and `template_meter` (bounds). So a template can neither reach
Python nor fill the memory nor run on: there is no operation left whose size is not known beforehand.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jinja2.ext
import jinja2.sandbox
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.utils import Cycler, Joiner, Namespace

from vlmcli.engine import template_filters, template_values
from vlmcli.engine.template_meter import CODE, MAX_BITS, Exceeded, Meter

MAX_SOURCE = 200_000  # characters; the largest of 128 published templates has 20,000
MAX_COMPILED = 600_000  # characters of Python; theirs 60,000
MAX_WRITTEN = 250_000  # characters of a prompt, without users' texts; it is tokenised afterwards, a second for 300,000

_MISSING = object()
_LOOP = frozenset(
    ["index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem"]
)
_BOUND = {LoopContext: frozenset({"cycle", "changed"}), Cycler: frozenset({"next", "reset"})}
_PARTS = (
    "Template Output TemplateData Const Name NSRef Tuple List Dict Pair Keyword For If Macro CallBlock FilterBlock With"
    " Assign AssignBlock Break Continue CondExpr Filter Test Call Getattr Getitem Slice Concat Compare Operand Add Sub"
    " Mul Div FloorDiv Mod Pow And Or Not Neg Pos"
)
"""Names of Jinja's classes for what a template may consist of: no other template, no block of one, no escaping."""
_ALLOWED = frozenset(_PARTS.split())
_TAGS = {"scope": "autoescape", "fromimport": "from"}


class _Allowed:
    """Something a template may call."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self.call = name, call

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        return self.call(*arguments, **named)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}` marks what to train on; here it is only its content."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Generator(CodeGenerator):
    """Writes a call of the environment for everything that makes or reads a value."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData | nodes.Const):  # Jinja would compute it while compiling
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("environment.written(")

    def _call(self, name: str, frame: Frame, *arguments: nodes.Node | None) -> None:
        self.write(f"environment.{name}(")
        for argument in arguments:
            if argument is None:
                self.write("None")
            else:
                self.visit(argument, frame)
            self.write(", ")
        self.write(")")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """`a < b < c`, as Python evaluates it: b once, and c only where a < b."""
        self.write("(")
        left: nodes.Expr | str = node.expr
        for place, operand in enumerate(node.ops):
            self.write(f"{'and ' if place else ''}environment.compare({operand.op!r}, ")
            if isinstance(left, str):
                self.write(left)
            else:
                self.visit(left, frame)
            self.write(", ")
            last = operand is node.ops[-1]
            if not last:
                left = self.temporary_identifier()
                self.write(f"({left} := ")
            self.visit(operand.expr, frame)
            self.write(") " if last else ")) ")
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self._call("concatenated", frame, *node.nodes)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._display("listed", super().visit_List, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        if node.ctx == "load":
            self._display("listed", super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def _display(self, name: str, visit: Callable[[Any, Frame], None], node: nodes.Node, frame: Frame) -> None:
        self.write(f"environment.{name}(")
        visit(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("environment.paired((")
        for pair in node.items:
            self.write("(")
            self.visit(pair.key, frame)
            self.write(", ")
            self.visit(pair.value, frame)
            self.write("), ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            self._call("sliced", frame, node.node, node.arg.start, node.arg.stop, node.arg.step)
        else:
            self._call("getitem", frame, node.node, node.arg)


class Sandbox(jinja2.sandbox.SandboxedEnvironment):
    """Compiles one template and runs it.

    Attributes:
        meter: counts what the template makes; `meter.limited` bounds its time.
    """

    code_generator_class = _Generator
    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self, **values: str) -> None:
        """Make a sandbox for one template.

        Args:
            values: what the template finds under these names.
        """
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[jinja2.ext.loopcontrols, _Generation],
            autoescape=False,
            optimized=False,  # or constant expressions are computed while compiling
        )
        self.meter = Meter()
        self.filters = dict(template_filters.filters(self.meter))
        self.tests = dict(template_filters.tests(self.meter))
        functions = template_filters.functions(self.meter).items()
        self.globals = {**{name: _Allowed(name, function) for name, function in functions}, **values}

    # What is compiled

    def load(self, source: str) -> None:
        """Compile a template. Raises Exceeded, and whatever its mistakes make Jinja raise."""
        if len(source) > MAX_SOURCE:
            raise Exceeded(f"has more than {MAX_SOURCE:,} characters")
        if re.search(r"[0-9][0-9_]{999}", source):  # Python before 3.11 takes a time that grows with its square
            raise Exceeded("has a number of more than 1,000 digits")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of the template's own mistakes
            self._template = self.from_string(source)

    def _generate(self, source: nodes.Template, *arguments: Any, **named: Any) -> str:
        for node in (source, *source.find_all(nodes.Node)):
            if type(node).__name__ not in _ALLOWED:
                name = type(node).__name__.lower()
                raise SecurityError(f"{{% {_TAGS.get(name, name)} %}} is not allowed")
            if isinstance(node, nodes.Const) and isinstance(node.value, int) and node.value.bit_length() > MAX_BITS:
                raise Exceeded(f"has a number of more than {MAX_BITS:,} bits")
        code = super()._generate(source, *arguments, **named)
        if len(code) > MAX_COMPILED:
            raise Exceeded("has too many instructions")
        return code

    def _compile(self, source: str, filename: str) -> Any:
        return super()._compile(source, CODE)

    def run(self, **variables: Any) -> str:
        """What the template writes. Raises Exceeded, and whatever its mistakes make Jinja and Python raise."""
        self.meter.begin()
        pieces: list[str] = []
        size = 0
        for piece in self._template.generate(**variables):
            size += len(piece)
            if size > MAX_WRITTEN:
                raise Exceeded(f"writes more than {MAX_WRITTEN:,} characters")
            pieces.append(piece)
        return "".join(pieces)

    # What compiled templates call

    def concat(self, texts: Iterable[str]) -> str:
        """What a macro, a block that is captured, or a filter's block has written."""
        return template_values.joined(self.meter, list(texts))

    def written(self, value: Any) -> str:
        """`{{ value }}`."""
        return self.meter.written(value)

    def concatenated(self, *values: Any) -> str:
        """`a ~ b`."""
        return template_values.concatenated(self.meter, values)

    def compare(self, how: str, left: Any, right: Any) -> Any:
        """`left < right` and its kin."""
        return template_values.compare(self.meter, how, left, right)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`left + right` and its kin."""
        return template_values.binary(self.meter, operator, left, right)

    def listed(self, values: Sequence[Any]) -> Sequence[Any]:
        """`[a, b]` and `(a, b)`."""
        self.meter.items(len(values), 8)
        return values

    def paired(self, pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
        """`{a: b}`."""
        self.meter.items(len(pairs), 200)
        return {self.meter.key(key): value for key, value in pairs}

    def sliced(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """`value[start:stop:step]`."""
        return template_values.sliced(self.meter, value, start, stop, step)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: an attribute, or else an item."""
        found = self._attribute(obj, attribute)
        if found is _MISSING and type(obj) is dict:
            found = obj.get(attribute, _MISSING)
        return self.undefined(obj=obj, name=attribute) if found is _MISSING else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: an item, or else an attribute."""
        kind, found = type(obj), _MISSING
        if kind is dict:
            found = obj.get(self.meter.key(argument), _MISSING) if not isinstance(argument, list | dict) else _MISSING
        elif isinstance(obj, Undefined):
            return obj[argument]
        elif isinstance(argument, int) and isinstance(obj, str | list | tuple | range):
            try:
                found = obj[argument]
            except IndexError:
                found = _MISSING
        if found is _MISSING and isinstance(argument, str):
            found = self._attribute(obj, argument)
        if found is _MISSING:
            name: Any = argument if isinstance(argument, str | int) else type(argument).__name__  # not what is in it
            return self.undefined(obj=obj, name=name)
        return found

    def _attribute(self, obj: Any, name: str) -> Any:
        """An attribute or method that a template may have; an undefined value that says why not; or _MISSING."""
        kind = type(obj)
        methods = template_values.METHODS.get(kind)
        if methods is not None and name in methods:
            return _Allowed(name, partial(methods[name], self.meter, obj))
        if name == "format" and isinstance(obj, str):
            return _Allowed(name, partial(template_values.formatted, self.meter, self.getattr, self.getitem, obj))
        if kind is Namespace and not name.startswith("_"):
            return getattr(obj, name, _MISSING)
        if isinstance(obj, Undefined):
            return getattr(obj, name, _MISSING)  # which raises, but for what Python itself asks for
        if (kind is LoopContext and name in _LOOP) or name in _BOUND.get(kind, ()):
            return getattr(obj, name)
        if kind is Cycler and name == "current":
            return obj.current
        if hasattr(obj, name):
            return self.unsafe_undefined(obj, name)
        return _MISSING

    def call(self, context: Any, obj: Any, /, *arguments: Any, **named: Any) -> Any:
        """`obj(…)`."""
        kind = type(obj)
        self.meter.items(len(arguments) + len(named))
        if kind is _Allowed:
            named.pop("_loop_vars", None)
            named.pop("_block_vars", None)
            return obj(*arguments, **named)
        owner = type(getattr(obj, "__self__", None))
        if kind in (Macro, LoopContext, Joiner) or owner in _BOUND:
            if owner is LoopContext:
                self.meter.weigh(arguments)  # loop.changed compares them
            return context.call(obj, *arguments, **named)
        if isinstance(obj, Undefined):
            return obj()  # which raises
        raise SecurityError(f"calling a {kind.__name__} is not allowed")
