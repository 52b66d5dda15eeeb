"""Says what a template may contain and what it may cost.

The template may come from a third party. The list leaves no way to reach an object, to loop or to multiply:
literal text, ``item.<field>``, ``if``/``elif``/``else`` with comparisons, and a few filters. There are no
calls, loops, assignments, imports, subscripts and no arithmetic, so the work of one rendering is linear in
the source and in the texts that go in. A syntax tree is checked against the list before any code exists.

The budget of one rendering is shared with the chat templates of models (``promptkit.backends.local.chat_template``),
which may loop and call. It counts steps and output characters instead of seconds, so a rendering succeeds or fails
alike on every machine. Time and memory are bounded because every operation is paid for before it runs, by what it reads
and makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.utils import Namespace

from promptkit.errors import TemplateError, one_of

__all__ = [
    "CHARS_PER_STEP",
    "FILTER_ARGUMENTS",
    "MAX_CHARS",
    "MAX_NODES",
    "MAX_STEPS",
    "Budget",
    "check_tree",
    "current_budget",
    "literal_delimiters",
    "rendering",
    "replaced_length",
    "weigh",
]

MAX_NODES = 200
"""Most syntax nodes in one template; the shipped ones have about 20."""

FILTER_ARGUMENTS = {"lower": 0, "replace": 2, "trim": 0, "upper": 0}
"""The filters that a template may use, and how many texts each takes."""

_PARAMETERS = {"question": "item", "answer": "item", "instruction": "text"}
_EXTRA_ATTRIBUTES = {"question": (), "answer": ("target", "rationale")}
_PLAIN_NODES = (
    nodes.And,
    nodes.Compare,
    nodes.CondExpr,
    nodes.If,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Output,
    nodes.TemplateData,
)


def check_tree(tree: nodes.Template, fields: Sequence[str]) -> dict[str, nodes.Macro]:
    """Checks a whole syntax tree.

    Args:
        tree: The parsed template.
        fields: The input fields that an item has.

    Returns:
        The macros by name: question, answer and perhaps instruction.

    Raises:
        TemplateError: A macro is missing or something is not on the list; says the line.
    """
    macros: dict[str, nodes.Macro] = {}
    count = 0
    for node in tree.body:
        if _is_blank(node):
            continue
        if not isinstance(node, nodes.Macro):
            raise _refusal(node, "only macros may stand at the top of a template")
        parameter = _PARAMETERS.get(node.name)
        if parameter is None or node.name in macros:
            raise TemplateError(
                f"line {node.lineno}: a macro must be {one_of(_PARAMETERS)}, each once, got {node.name!r}"
            )
        if [argument.name for argument in node.args] != [parameter] or node.defaults:
            raise TemplateError(f"line {node.lineno}: the macro must be written as {node.name}({parameter})")
        macros[node.name] = node
        count += _check_macro(node, fields, MAX_NODES - count)
    for name in _EXTRA_ATTRIBUTES:
        if name not in macros:
            raise TemplateError(f"the macro {name}(item) is missing; add {{% macro {name}(item) %}}...{{% endmacro %}}")
    return macros


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


def _check_macro(macro: nodes.Macro, fields: Sequence[str], allowed: int) -> int:
    """Checks one macro and returns its size, without recursion: nesting must not exhaust the stack."""
    parameter = _PARAMETERS[macro.name]
    extra = _EXTRA_ATTRIBUTES.get(macro.name)
    attributes = () if extra is None else (*fields, *extra)
    stack: list[nodes.Node] = list(macro.body)
    count = 0
    while stack:
        node = stack.pop()
        count += 1
        if isinstance(node, nodes.Getattr):
            _check_attribute(node, parameter, attributes)
        elif isinstance(node, nodes.Filter):
            stack.append(_checked_filter(node))
            count += len(node.args)
        elif isinstance(node, nodes.Test):
            if node.name != "defined" or not isinstance(node.node, nodes.Getattr):
                raise _refusal(node, "the only test is 'item.<field> is defined'")
            stack.append(node.node)
        elif isinstance(node, nodes.Name):
            if attributes or node.name != parameter:
                raise _refusal(node, f"the name {node.name!r} cannot be shown; use item.<field>")
        elif isinstance(node, nodes.Const):
            if not isinstance(node.value, str):
                raise _refusal(node, "a constant must be text in quotes")
        elif type(node) in _PLAIN_NODES:
            stack.extend(node.iter_child_nodes())
        else:
            raise _refusal(node, "it is not on the list of what a template may use")
        if count > allowed:
            raise TemplateError(f"a template must have at most {MAX_NODES} syntax nodes, got more; simplify it")
    return count


def _check_attribute(node: nodes.Getattr, parameter: str, attributes: tuple[str, ...]) -> None:
    if not (isinstance(node.node, nodes.Name) and node.node.name == parameter and attributes):
        raise _refusal(node, "the only attributes are those of item, as in item.<field>")
    if node.attr not in attributes:
        known = one_of(f"item.{name}" for name in attributes)
        hint = "; a question must not show its answer" if node.attr in ("target", "rationale") else ""
        raise TemplateError(f"line {node.lineno}: item.{node.attr} must be {known}{hint}")


def _checked_filter(node: nodes.Filter) -> nodes.Node:
    """Checks a filter and returns what it is applied to."""
    if node.name not in FILTER_ARGUMENTS:
        known = one_of(FILTER_ARGUMENTS)
        raise TemplateError(f"line {node.lineno}: a filter must be {known}, got {node.name!r}")
    wanted = FILTER_ARGUMENTS[node.name]
    plain = all(isinstance(part, nodes.Const) and isinstance(part.value, str) for part in node.args)
    more = node.kwargs or node.dyn_args or node.dyn_kwargs
    if len(node.args) != wanted or not plain or more or node.node is None:
        raise TemplateError(f"line {node.lineno}: the filter {node.name!r} takes {wanted} texts in quotes")
    return node.node


def _refusal(node: nodes.Node, why: str) -> TemplateError:
    return TemplateError(f"line {node.lineno}: {type(node).__name__} is refused: {why}")


def literal_delimiters(macros: Mapping[str, nodes.Macro]) -> tuple[str, ...]:
    """Finds the literal texts that open a line of an item or close its question.

    Args:
        macros: The macros of a checked template.

    Returns:
        Texts such as ``"Question:"``, each of at least two characters, in order, without repeats.
    """
    found: list[str] = []
    for name in _EXTRA_ATTRIBUTES:
        parts = list(_literals(macros[name].body))
        opens_line = True
        for part in parts:
            lines = [""] if part is None else part.split("\n")
            for index, line in enumerate(lines):
                opens_line = opens_line or index > 0
                if opens_line and line.strip():
                    found.append(line.strip())
                    opens_line = False
            opens_line = opens_line and part is not None
        if name == "question" and parts and parts[-1] is not None:
            found.append(parts[-1].split("\n")[-1].strip())
    return tuple(dict.fromkeys(text for text in found if len(text) >= 2))


def _literals(body: Sequence[nodes.Node]) -> Iterator[str | None]:
    """Yields the literal texts of a macro in order, and ``None`` in place of a value."""
    for node in body:
        if isinstance(node, nodes.TemplateData):
            yield node.data
        elif isinstance(node, nodes.Output | nodes.If):
            yield from _literals(list(node.iter_child_nodes(exclude=("test",))))
        else:
            yield None


MAX_CHARS = 1_000_000
"""Most characters that go into one rendering of a task template, and most that come out of any rendering."""
MAX_STEPS = 500_000
"""Steps that one rendering may take, beside an allowance in proportion to its input."""
_MAX_DEPTH = 100  # of values in values, which Python prints, compares and hashes by recursion
CHARS_PER_STEP = 16
"""Characters that are read, copied or made for the price of one step."""


class Budget:
    """Counts the steps and the output characters that a rendering has left.

    Args:
        chars: Output characters.
        steps: Steps; one for each operation, or for 16 characters of work.

    Example:
        >>> budget = Budget(chars=10)
        >>> budget.write(8)
        >>> budget.write(8)
        Traceback (most recent call last):
        ...
        promptkit.errors.TemplateError: a rendering must take and give at most 10 characters, got more
    """

    def __init__(self, chars: int = MAX_CHARS, steps: int = MAX_STEPS) -> None:
        self._limit = chars
        self._chars = chars
        self.steps = steps

    def write(self, chars: int) -> None:
        """Pays for characters of the output."""
        self._chars -= chars
        if self._chars < 0:
            raise TemplateError(f"a rendering must take and give at most {self._limit:,} characters, got more")

    def work(self, steps: int) -> None:
        """Pays for steps."""
        self.steps -= steps
        if self.steps < 0:
            raise TemplateError("a rendering must do a bounded amount of work, got more; shorten its loops and texts")

    def handle(self, chars: int) -> None:
        """Pays for reading or making text, before it happens."""
        self.work(1 + chars // CHARS_PER_STEP)


_current: ContextVar[Budget] = ContextVar("promptkit_template_budget")


def current_budget() -> Budget:
    """Returns the budget of the rendering that runs in this context."""
    return _current.get()


@contextmanager
def rendering(budget: Budget | None = None) -> Iterator[Budget]:
    """Makes a budget the current one while a template is compiled or rendered.

    Args:
        budget: The budget; by default a new one.

    Yields:
        The budget.
    """
    budget = budget or Budget()
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def replaced_length(text: str, old: str, new: str, count: int = -1) -> int:
    """Returns an upper bound of the length of ``text.replace(old, new, count)``, without making it.

    Example:
        >>> replaced_length("abab", "b", "ccc"), len("abab".replace("b", "ccc"))
        (8, 8)
    """
    times = text.count(old)
    times = min(times, count) if count >= 0 else times
    return len(text) + times * max(0, len(new) - len(old))


def weigh(value: Any, most: int) -> int:
    """Measures a value as deep as printing, comparing or copying it would go.

    A part that is referred to twice counts twice, as it is printed twice: nested lists can be exponentially longer
    in print than in memory.

    Args:
        value: Any value that a template can make.
        most: Where measuring ends.

    Returns:
        Its steps, or some number above ``most``, also where values are nested more than 100 deep.

    Example:
        >>> weigh({"role": "user", "content": "x" * 1600}, 1000)
        105
        >>> nested = [1]
        >>> for _ in range(100):
        ...     nested = [nested, nested]
        >>> weigh(nested, 1000) > 1000
        True
    """
    total, stack = 0, [(value, 0)]
    while stack and total <= most:
        part, depth = stack.pop()
        total += 1
        inside: Iterable[Any] = ()
        if isinstance(part, str | bytes):
            total += len(part) // CHARS_PER_STEP
        elif isinstance(part, bool):
            continue
        elif isinstance(part, int):
            total += part.bit_length() // 64
        elif isinstance(part, Mapping):
            inside = [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | AbstractSet):
            inside = part
        elif isinstance(part, range):
            total += len(part)
        else:
            inside = [part._Namespace__attrs] if isinstance(part, Namespace) else ()  # which it prints
        if inside and depth >= _MAX_DEPTH:
            return most + 1
        stack += [(one, depth + 1) for one in inside]
    return total
