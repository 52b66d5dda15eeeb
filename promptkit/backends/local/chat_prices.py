"""What the operations of a chat template cost: each is paid for before it happens, by what it will read and make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from string import Formatter
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment, SandboxedFormatter, safe_range
from jinja2.utils import Namespace

from promptkit.errors import TemplateError
from promptkit.tasks.template_policy import current_budget, replaced_length, weigh

__all__ = [
    "DEEP_TESTS",
    "GLOBALS",
    "PaidFormat",
    "paid",
    "paid_format",
    "pay_deep",
    "pay_filter",
    "pay_method",
    "pay_operator",
    "per_item",
    "tojson",
]

DEEP_TESTS = {
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
    ">",
    "gt",
    "greaterthan",
    ">=",
    "ge",
}
DEEP_TESTS |= {"in", "lower", "upper"}
_SHALLOW_FILTERS = {
    "attr",
    "batch",
    "count",
    "d",
    "default",
    "first",
    "items",
    "last",
    "length",
    "list",
    "map",
    "reject",
}
_SHALLOW_FILTERS |= {"rejectattr", "reverse", "select", "selectattr", "slice"}
_SORTING = {"dictsort", "groupby", "max", "min", "sort", "unique"}
_SMALL = {"batch": 10_000, "indent": 1_000, "round": 300, "slice": 10_000, "tojson": 16}  # most of any whole number
_MAX_BITS = 4096
_MAX_INDENTED = 32
_PARENTHESIS = re.compile(r"[()]")
_SPEC = re.compile(r"[-+ #0-9.*]*")
_WIDE = re.compile(r"\d{4}|\*")
_TEXT_METHODS = {
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "index",
    "join",
    "ljust",
}
_TEXT_METHODS |= {"lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust"}
_TEXT_METHODS |= {"rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title"}
_TEXT_METHODS |= {"upper", "zfill", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric"}
_TEXT_METHODS |= {"isspace", "istitle", "isupper"}
_METHODS: tuple[tuple[type, set[str]], ...] = (
    (str, _TEXT_METHODS),
    (dict, {"copy", "get", "items", "keys", "values"}),
    (list, {"copy", "count", "index"}),
    (tuple, {"count", "index"}),
)


def pay_deep(*values: Any) -> None:
    """Pays for printing, copying or comparing values."""
    budget = current_budget()
    for value in values:
        budget.work(weigh(value, budget.steps))


def paid(result: Any) -> Any:
    """Pays for a result that is there, and returns it."""
    if isinstance(result, str):
        current_budget().handle(len(result))
    elif isinstance(result, list | tuple | dict):
        current_budget().work(1 + len(result))
    return result


def _whole(value: Any) -> int:
    return abs(value) if isinstance(value, int) else 0


def pay_operator(operator: str, left: Any, right: Any) -> None:
    """Pays for an arithmetic operation; one whose number would be huge is refused.

    Args:
        operator: As Jinja2 writes it.
        left: The left operand.
        right: The right operand.

    Raises:
        TemplateError: It costs too much.
    """
    budget = current_budget()
    if operator == "%" and isinstance(left, str):
        _pay_percent(left, right)
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() + right.bit_length()
        bits = left.bit_length() * min(_whole(right), _MAX_BITS + 1) if operator == "**" else bits
        if bits > _MAX_BITS:
            raise TemplateError(f"a number must have at most {_MAX_BITS} bits, got more")
    elif operator == "*":
        text, times = (left, right) if isinstance(right, int) else (right, left)
        if isinstance(text, str):
            budget.handle(len(text) * _whole(times))
        elif isinstance(text, list | tuple):
            budget.work(1 + len(text) * _whole(times))
    elif operator == "+":
        for value in (left, right):
            paid(value)


def _specs(text: str) -> Iterator[str]:
    """Yields flags, width and precision of every place of a format of the operator ``%``."""
    place = 0
    while (place := text.find("%", place) + 1) > 0:
        if text.startswith("(", place):  # a name, in which parentheses may stand in pairs
            depth = 1
            while depth and (found := _PARENTHESIS.search(text, place + 1)):
                place, depth = found.start(), depth + (1 if found.group() == "(" else -1)
            place += 1
        spec = _SPEC.match(text, place)
        if spec:
            yield spec.group()
            place = spec.end() + 1


def _pay_percent(text: str, values: Any) -> None:
    if any(map(_WIDE.search, _specs(text))):
        raise TemplateError("a format must have widths of at most 999, got a larger one")
    budget = current_budget()
    budget.handle(1000 * text.count("%") + len(text))
    budget.work((1 + text.count("%")) * weigh(values, budget.steps))


def pay_filter(name: str, values: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Pays for a filter.

    Args:
        name: Its name.
        values: The value that is filtered, and the arguments.
        named: Arguments by name.

    Raises:
        TemplateError: It costs too much.
    """
    budget, value = current_budget(), values[0] if values else ""
    budget.work(4 + len(values) + len(named))
    if name in _SHALLOW_FILTERS:
        paid(value)
    else:
        pay_deep(*[value] * (4 if name in _SORTING else 1))
    arguments = [*values[1:], *named.values()]
    times = len(value) if isinstance(value, list | tuple | dict) else 1  # the name of an attribute is read for each
    budget.work(times * sum(map(_read_once, arguments)))
    if name in _SMALL and any(_whole(argument) > _SMALL[name] for argument in arguments):
        raise TemplateError(f"the filter {name!r} must have numbers of at most {_SMALL[name]}, got a larger one")
    if name == "format":
        _pay_percent(str(value), arguments)
    elif name == "sum":
        budget.work((1 + weigh(value, budget.steps)) * (len(value) if isinstance(value, list | tuple) else 1))
    else:
        budget.handle(_growth(name, value, arguments))


def per_item(values: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    """Returns the price of each item of a filter that works while it is read: its arguments are read for each."""
    return 1 + sum(map(_read_once, (*values[1:], *named.values())))


def _read_once(argument: Any) -> int:
    """Prices an argument, which may be the name of an attribute of an attribute, or of several."""
    dots = argument.count(".") + argument.count(",") if isinstance(argument, str) else 0
    return dots + weigh(argument, current_budget().steps)


def _growth(name: str, value: Any, arguments: list[Any]) -> int:
    """Bounds the characters that a filter makes beyond those of its input."""
    parts = [part for one in arguments for part in (one if isinstance(one, list | tuple) else [one])]
    longest = max((len(part) for part in parts if isinstance(part, str)), default=0)
    number = max(map(_whole, parts), default=0)
    if name == "replace" and len(arguments) > 1:
        return replaced_length(str(value), str(arguments[0]), str(arguments[1]))
    if name == "join":
        return longest * len(value) if hasattr(value, "__len__") else 0
    if name == "indent":
        return (1 + len(str(value).splitlines())) * (longest + number + 4)
    if name == "wordwrap":  # a long word is cut line by line, and its rest copied
        width = next((one for one in arguments if type(one) is int and one > 0), 79)
        return longest * len(str(value)) + sum(len(word) ** 2 // width for word in str(value).split())
    if name == "striptags":  # every tag is cut out of a copy
        return len(str(value)) * str(value).count("<")
    if name == "tojson":
        if number and _deeper_than(value, _MAX_INDENTED):
            raise TemplateError(f"indented JSON must be at most {_MAX_INDENTED} deep, got more")
        return weigh(value, current_budget().steps) * (8 + longest + number * _MAX_INDENTED)
    return number if name == "center" else 0


def _deeper_than(value: Any, most: int) -> bool:
    layer = [value]
    for _ in range(most):
        layer = [
            part
            for one in layer
            if isinstance(one, list | tuple | dict)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(layer)


def pay_method(
    callee: Any, args: tuple[Any, ...], named: Mapping[str, Any], loops: tuple[type, ...]
) -> tuple[Any, ...]:
    """Pays for a method of a text, a mapping, a list, or a loop.

    Args:
        callee: What is called.
        args: Its arguments.
        named: Arguments by name.
        loops: Types of Jinja2 whose methods may be called.

    Returns:
        The arguments, as the method takes them.

    Raises:
        SecurityError: A template may not call this.
        TemplateError: It costs too much.
    """
    owner, name = getattr(callee, "__self__", None), getattr(callee, "__name__", "")
    known = any(isinstance(owner, kind) and name in names for kind, names in _METHODS)
    if not known and not (isinstance(owner, loops) and name in ("changed", "cycle", "next", "reset")):
        raise SecurityError(f"it must call methods of texts and mappings only, got {name or type(callee).__name__!r}")
    if isinstance(owner, str):
        args = (list(args[0]),) if name == "join" and args else args
        # Jinja2 passes variables of the loop along under names with underscores.
        _pay_text_method(owner, name, [*args, *(value for key, value in named.items() if not key.startswith("_"))])
    else:
        pay_deep(owner if isinstance(owner, list | tuple) else "", *args)
    return args


def _pay_text_method(text: str, name: str, args: list[Any]) -> None:
    budget = current_budget()
    pay_deep(text, *args)
    if name in ("center", "ljust", "rjust", "zfill"):
        budget.handle(sum(map(_whole, args)))
    elif name == "expandtabs":
        budget.handle(text.count("\t") * max(map(_whole, args), default=8))
    elif name == "join":
        budget.handle(len(text) * (len(args[0]) if args else 0))
    elif name == "replace" and len(args) > 1 and all(isinstance(part, str) for part in args[:2]):
        budget.handle(replaced_length(text, args[0], args[1]))


class _PaidFormatter(SandboxedFormatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        pay_deep(value)
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        if _WIDE.search(format_spec):
            raise TemplateError("a format must have widths of at most 999, got a larger one")
        pay_deep(value)
        return paid(super().format_field(value, format_spec))


class PaidFormat:
    """The method ``format`` or ``format_map`` of a text.

    Args:
        environment: Whose attributes a format may name.
        text: The format.
        by_map: Whether the values come as one mapping.
    """

    def __init__(self, environment: SandboxedEnvironment, text: str, by_map: bool) -> None:
        self._formatter: Formatter = _PaidFormatter(environment)
        self._text, self._by_map = text, by_map

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """Formats values."""
        if self._by_map:
            args, kwargs = (), dict(*args, **kwargs)
        current_budget().handle(len(self._text))
        return self._formatter.vformat(self._text, args, kwargs)


def paid_format(environment: SandboxedEnvironment, value: Any) -> Callable[..., str] | None:
    """Returns what replaces ``value``, if that is the method ``format`` or ``format_map`` of a text."""
    text, name = getattr(value, "__self__", None), getattr(value, "__name__", "")
    if not isinstance(text, str) or name not in ("format", "format_map"):
        return None
    return PaidFormat(environment, text, name == "format_map")


def tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Writes JSON without escaping HTML, as transformers does."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: Any) -> NoReturn:
    pay_deep(message)
    raise jinja2.TemplateError(str(message))


def _strftime_now(form: str) -> str:
    current_budget().handle(256 * len(form))
    return datetime.now().strftime(form)


class _Dict:
    """Replaces ``dict`` in templates, which shall not reach the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        pay_deep(*args)
        return dict(*args, **kwargs)


class _Namespace(Namespace):
    """A namespace that refuses private names."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *values = args
        attributes = dict(*values, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError(f"a namespace must have no names that start with an underscore, got {name!r}")


GLOBALS: dict[str, Any] = {
    "dict": _Dict(),
    "namespace": _Namespace,
    "raise_exception": _raise_exception,
    "range": safe_range,
    "strftime_now": _strftime_now,
}
