"""Compiles a task's Jinja2 template, which a stranger may have written, into three harmless functions.

A template defines the macros ``question(item)`` and ``answer(item)``, and may define ``instruction(text)``.
``promptkit.tasks.template_policy`` lists what else it may contain. Behind that list stands Jinja's immutable sandbox as
a second lock, with empty globals, no attributes but an item's fields, and no calls. A third is a budget
(``promptkit.tasks.template_policy``), from which every filter and every character of the output is paid; constants are
not computed while compiling, where no rendering would pay for them.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptkit.errors import MissingExtraError, TemplateError
from promptkit.tasks.template_policy import (
    MAX_CHARS,
    Budget,
    check_tree,
    current_budget,
    literal_delimiters,
    rendering,
    replaced_length,
)

__all__ = ["MAX_CHARS", "MAX_SOURCE", "NEWLINES", "Template", "compile_template", "fold_blank_lines"]

MAX_SOURCE = 16_000
"""Longest template source, in characters."""

NEWLINES = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Every character at which a line may end, as in ``str.splitlines``."""
_BLANK_LINES = re.compile(rf"[{NEWLINES}](?:[^\S{NEWLINES}]*[{NEWLINES}])+")


def fold_blank_lines(text: str) -> str:
    r"""Replaces each run of line ends, and the white space between them, by one newline.

    Folded text cannot contain the blank line by which the items of a completion prompt are separated.

    Args:
        text: Any text.

    Returns:
        The text without blank lines; unchanged if it has none.

    Example:
        >>> fold_blank_lines("5.\n \u2028\nQuestion: 1 + 1?")
        '5.\nQuestion: 1 + 1?'
    """
    return _BLANK_LINES.sub("\n", text)


def _require_jinja(version: str) -> None:
    """Refuses Jinja2 releases whose sandbox can be left through ``|attr`` (CVE-2025-27516)."""
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < (3, 1, 6):
        raise MissingExtraError(
            f"jinja2 must be at least 3.1.6, got {version}: older sandboxes can be escaped from; "
            "run: pip install -U 'jinja2>=3.1.6'"
        )


_require_jinja(importlib.metadata.version("jinja2"))


@jinja2.pass_context
def _finalize(_context: jinja2.runtime.Context, value: Any) -> str:
    """Checks what an expression puts into the output: text, within the budget.

    Jinja computes no constant of an output while compiling where this function wants the context.
    """
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises, and names what is missing
    if not isinstance(value, str):
        raise TemplateError(f"an expression must give text, got {value!r}; compare only inside {{% if %}}")
    current_budget().write(len(value))
    return value


def _replace(value: str, old: str, new: str) -> str:
    # Refused before the text exists: a chain of doublings would otherwise fill the memory.
    size = replaced_length(value, old, new)
    if size > MAX_CHARS:
        raise TemplateError(f"the filter 'replace' must give at most {MAX_CHARS:,} characters, got more")
    current_budget().handle(len(value) + size)
    return value.replace(old, new)


def _paid(change: Callable[[str], str]) -> Callable[[str], str]:
    def filtered(value: str) -> str:
        current_budget().handle(2 * len(value))
        return change(value)

    return filtered


_FILTERS: dict[str, Callable[..., str]] = {
    "lower": _paid(lambda value: value.lower()),
    "replace": _replace,
    "trim": _paid(lambda value: value.strip()),
    "upper": _paid(lambda value: value.upper()),
}


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox in which only an item has attributes, namely its fields, and nothing can be called."""

    def __init__(self) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
            finalize=_finalize,
            loader=None,
            cache_size=0,
            optimized=False,
        )
        self.globals.clear()
        self.filters = dict(_FILTERS)
        self.tests = {"defined": self.tests["defined"]}

    def getattr(self, obj: Any, attribute: str) -> Any:
        # Jinja asks for Python attributes first, so that a field named "items" would give the method of dict.
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return self.undefined(f"item.{attribute} has no value here", obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self.unsafe_undefined(obj, str(argument))

    def is_safe_callable(self, obj: Any) -> bool:
        return False


_sandbox = _Sandbox()


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. It holds no state, so threads may share it.

    Attributes:
        name: What messages call it.
        delimiters: Literal texts that mark the parts of an item, such as ``"Question:"``; a text that
            imitates
            the layout would contain one of them.
        shows: The attributes of ``item`` that each macro uses.
    """

    name: str
    delimiters: tuple[str, ...]
    shows: Mapping[str, frozenset[str]]
    _macros: Mapping[str, Any]

    def question(self, fields: Mapping[str, str]) -> str:
        """Renders the question part of an item.

        Args:
            fields: The input texts by field name.

        Returns:
            The text, byte-exact.

        Raises:
            TemplateError: A field is missing, or the texts are too long.
        """
        return self._render("question", dict(fields), fields.values())

    def answer(self, fields: Mapping[str, str], target: str, rationale: str | None = None) -> str:
        """Renders the answer part of an item.

        Args:
            fields: The input texts by field name.
            target: The answer.
            rationale: The reasoning; ``None`` leaves ``item.rationale`` undefined.

        Returns:
            The text, byte-exact.

        Raises:
            TemplateError: Something that the template shows is missing, or the texts are too long.
        """
        item = {**fields, "target": target}
        if rationale is not None:
            item["rationale"] = rationale
        return self._render("answer", item, item.values())

    def instruction(self, text: str) -> str:
        """Renders the instruction; a template without that macro gives the text itself.

        Args:
            text: The instruction as the task lists it.

        Returns:
            The text, byte-exact.

        Raises:
            TemplateError: The text is too long.
        """
        return self._render("instruction", text, (text,)) if "instruction" in self._macros else text

    def _render(self, macro: str, argument: object, texts: Iterable[object]) -> str:
        try:
            size = 0
            for text in texts:
                if not isinstance(text, str):
                    raise TemplateError(f"a field must be text, got {text!r:.80}")
                size += len(text)
            Budget().write(size)
            with rendering():
                text = str(self._macros[macro](argument))
            Budget().write(len(text))  # with the template's own text
            return text
        except TemplateError as error:
            raise TemplateError(f"{self.name}: {error}") from None
        except (jinja2.TemplateError, AttributeError, TypeError) as error:
            raise TemplateError(f"{self.name}: the macro {macro!r} cannot be rendered: {error}") from None


@lru_cache(maxsize=256)
def compile_template(source: str, fields: tuple[str, ...], name: str = "template") -> Template:
    r"""Checks and compiles a template.

    Args:
        source: The text of the template.
        fields: The input fields that an item has.
        name: What messages call it, for example ``"apples/direct.jinja"``.

    Returns:
        The template; equal arguments give the same object.

    Raises:
        TemplateError: The source is too long, is not Jinja2, lacks a macro or uses what is not allowed.

    Example:
        >>> source = "{% macro question(item) %}Q: {{ item.q }}\nA:{% endmacro %}"
        >>> source += "{% macro answer(item) %} {{ item.target }}{% endmacro %}"
        >>> template = compile_template(source, ("q",))
        >>> template.question({"q": "{{ 1 }}?"}) + template.answer({"q": ""}, "one")
        'Q: {{ 1 }}?\nA: one'
    """
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"{name}: must have at most {MAX_SOURCE:,} characters, got {len(source):,}")
    try:
        tree = _sandbox.parse(source)
        macros = check_tree(tree, fields)
        shows = {macro: frozenset(node.attr for node in body.find_all(nodes.Getattr)) for macro, body in macros.items()}
        delimiters = literal_delimiters(macros)
        with rendering():
            module = _sandbox.from_string(tree).make_module()
    except TemplateError as error:
        raise TemplateError(f"{name}: {error}") from None
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{name}: line {error.lineno}: {error.message}") from None
    except (jinja2.TemplateError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise TemplateError(f"{name}: cannot be compiled: {type(error).__name__}: {error!s:.200}") from None
    return Template(name, delimiters, shows, {macro: getattr(module, macro) for macro in macros})
