"""A Jinja2 sandbox for chat templates, in which every operation is paid for from the rendering's budget.

A chat template comes with a model, so it is third-party code. It renders as transformers renders it, byte for byte, but
cannot run long or fill the memory: code that is generated for it pays per block, loop step, filter, call, operator and
output (``promptkit.tasks.template_policy``), constants are not computed while compiling, and only what chat templates
use is offered. What is left out of Jinja2: including other templates, blocks, autoescaping, ``lipsum``, and the filters
``pprint``, ``random``, ``urlize`` and ``xmlattr``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, pass_context

from promptkit.backends.local import chat_prices as prices
from promptkit.errors import TemplateError
from promptkit.tasks.template_policy import CHARS_PER_STEP, current_budget

__all__ = ["ChatSandbox"]

_STEPS = " steps"  # a filter that no template can name
_LEFT_OUT = ("pprint", "random", "urlize", "xmlattr")
_REFUSED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.EvalContextModifier)
_MAX_NODES = 10_000
_MAX_DEPTH = 150


class _Steps:
    """An iterable whose every step is paid for."""

    def __init__(self, inner: Any, price: int = 1) -> None:
        self._inner, self._price = inner, price

    def __iter__(self) -> Iterator[Any]:
        work = current_budget().work
        for item in self._inner:
            work(self._price)
            yield item

    def __len__(self) -> int:
        return len(self._inner)

    def __bool__(self) -> bool:
        return bool(self._inner)


def _price(node: nodes.Node) -> int:
    """Counts what runs when a node runs once, without the bodies inside it, which pay for themselves."""
    if isinstance(node, nodes.TemplateData):
        return 1 + len(node.data) // CHARS_PER_STEP
    parts: list[nodes.Node] = [part for part in node.iter_child_nodes() if isinstance(part, nodes.Expr | nodes.Helper)]
    if isinstance(node, nodes.If):
        parts += node.elif_
    return 1 + sum(map(_price, parts))


class _PaidCode(CodeGenerator):
    """Generates code that pays for what Jinja2 would otherwise do without asking its environment."""

    def blockvisit(self, nodes_: Iterable[nodes.Node], frame: Frame) -> None:
        body = list(nodes_)
        self.writeline(f"environment.work({1 + sum(map(_price, body))})")
        super().blockvisit(body, frame)

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        written = sum(len(part.data) for part in node.nodes if isinstance(part, nodes.TemplateData))
        if written:
            self.writeline(f"environment.write({written})")
        super().visit_Output(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.part(")
        self.visit(node.node, frame)
        self.write(", slice(")
        for end in (node.arg.start, node.arg.stop, node.arg.step):
            self.visit(end, frame) if end is not None else self.write("None")
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        self.write("(")
        self._compared(node.expr, frame)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._compared(operand.expr, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for item in node.items:
            self._compared(item.key, frame)  # it is hashed
            self.write(": ")
            self.visit(item.value, frame)
            self.write(", ")
        self.write("}")

    def _compared(self, node: nodes.Expr, frame: Frame) -> None:
        self.write("environment.compared(")
        self.visit(node, frame)
        self.write(")")


class _Generation(Extension):
    """``{% generation %}``, by which a template marks what the assistant says; it changes nothing here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


@pass_context
def _finalize(_context: Context, value: Any) -> str:
    """Pays for what an expression puts into the output; asks for the context, so that no constant is computed."""
    if not isinstance(value, str):
        prices.pay_deep(value)
    text = value if isinstance(value, str) else str(value)
    current_budget().handle(len(text))
    current_budget().write(len(text))
    return text


class ChatSandbox(ImmutableSandboxedEnvironment):
    """The environment of one chat template, with the names that transformers gives to chat templates.

    Example:
        >>> from promptkit.tasks.template_policy import rendering
        >>> with rendering():
        ...     ChatSandbox().compiled("{% for m in messages %}{{ m.content }}{% endfor %}").render(messages=[])
        ''
    """

    code_generator_class = _PaidCode
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, loopcontrols],
            finalize=_finalize,
            optimized=False,
            cache_size=0,
        )
        filters = {name: call for name, call in self.filters.items() if name not in _LEFT_OUT}
        filters["tojson"] = prices.tojson
        self.filters = {name: _paid_filter(name, call) for name, call in filters.items()}
        self.filters[_STEPS] = _Steps
        tests: dict[str, Any] = dict(self.tests)
        self.tests = tests | {name: _paid(tests[name]) for name in prices.DEEP_TESTS}
        del self.globals["lipsum"]
        self.globals.update(prices.GLOBALS)

    def compiled(self, source: str) -> jinja2.Template:
        """Compiles a chat template.

        Args:
            source: Its text.

        Returns:
            The template.

        Raises:
            TemplateError: It is too large, or includes other templates.
            jinja2.TemplateError: It is not Jinja2.
        """
        tree = self.parse(source)
        count, depth, layer = 0, 0, list[nodes.Node]([tree])
        while layer and count <= _MAX_NODES and depth <= _MAX_DEPTH:
            count, depth = count + len(layer), depth + 1
            layer = [child for node in layer for child in node.iter_child_nodes()]
        if count > _MAX_NODES or depth > _MAX_DEPTH:
            raise TemplateError(f"it must have at most {_MAX_NODES:,} syntax nodes, {_MAX_DEPTH} deep, got more")
        for refused in tree.find_all(_REFUSED):
            raise TemplateError(f"line {refused.lineno}: {type(refused).__name__} is refused: it must stand alone")
        for loop in tree.find_all(nodes.For):
            price = nodes.Const(1 + (_price(loop.test) if loop.test else 0))
            loop.iter = nodes.Filter(loop.iter, _STEPS, [price], [], None, None, lineno=loop.lineno, environment=self)
        return self.from_string(tree)

    def work(self, steps: int) -> None:
        """Pays for a block; generated code calls it."""
        current_budget().work(steps)

    def write(self, chars: int) -> None:
        """Pays for the template's own text; generated code calls it."""
        current_budget().write(chars)

    def joined(self, parts: tuple[Any, ...]) -> str:
        """Joins parts by ``~``; generated code calls it."""
        texts = []
        for part in parts:
            if not isinstance(part, str):
                prices.pay_deep(part)
            texts.append(str(part))
            current_budget().handle(len(texts[-1]))
        return "".join(texts)

    def part(self, value: Any, where: slice) -> Any:
        """Takes a slice; generated code calls it."""
        return prices.paid(value[where])

    def compared(self, value: Any) -> Any:
        """Pays for a comparison; generated code calls it."""
        if isinstance(value, str):
            current_budget().work(len(value) >> 8)
        else:
            prices.pay_deep(value)
        return value

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Subscribes; pays for a key that is hashed, and printed where there is no such item."""
        if not isinstance(argument, str | int):
            prices.pay_deep(argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Does an arithmetic operation that is paid for."""
        prices.pay_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Replaces ``str.format`` by one that is paid for."""
        return prices.paid_format(self, value)

    def call(self, context: Context, callee: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls what chat templates may call: macros, methods of texts and mappings, and the few given functions."""
        current_budget().work(4 + len(args) + len(kwargs))
        if isinstance(callee, LoopContext):  # of a recursive loop
            args = (_Steps(args[0]), *args[1:]) if args else args
        elif not isinstance(callee, Macro | Joiner | jinja2.Undefined | prices.PaidFormat) and all(
            callee is not given for given in self.globals.values()
        ):
            args = prices.pay_method(callee, args, kwargs, (LoopContext, Cycler))
        return prices.paid(context.call(callee, *args, **kwargs))


def _paid_filter(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    first = int(getattr(call, "jinja_pass_arg", None) is not None)

    @wraps(call)  # keeps the mark by which Jinja2 passes the environment
    def paid(*args: Any, **kwargs: Any) -> Any:
        values = tuple(list(value) if isinstance(value, Iterator | _Steps) else value for value in args[first:])
        prices.pay_filter(name, values, kwargs)
        result = call(*args[:first], *values, **kwargs)
        return _Steps(result, prices.per_item(values, kwargs)) if isinstance(result, Iterator) else prices.paid(result)

    return paid


def _paid(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def paid(*args: Any) -> Any:
        prices.pay_deep(*args)
        return call(*args)

    return paid
