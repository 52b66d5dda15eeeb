"""The cost limit of one template rendering, shared by task templates and by the chat templates of models.

A budget counts steps and output characters instead of seconds, so a rendering succeeds or fails alike on every machine.
Time and memory are bounded because every operation is paid for before it runs, by what it reads and makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.utils import Namespace

from promptkit.errors import TemplateError

__all__ = ["MAX_CHARS", "MAX_STEPS", "Budget", "current_budget", "rendering", "replaced_length", "weigh"]

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
        steps: Steps; one stands for an operation, or for 16 characters of work.

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
