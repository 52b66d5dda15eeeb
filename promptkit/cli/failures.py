"""Requests that failed: the first distinct errors with their counts, and the exit codes for them.

An answer that came and could not be read is no failure: it is the model's, and is counted as unanswered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from promptkit.cli.show import say_error

__all__ = ["FAILED", "NOTHING", "distinct", "exit_code", "tell_failures"]

NOTHING, FAILED = 1, 3
_SHARE = 0.1
_SHOWN = 3
# Errors that differ only in numbers (of a request, of tokens, of seconds) or in quoted texts are one error.
_VARIABLE = re.compile(r"\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"")


def distinct(errors: Iterable[str]) -> list[tuple[str, int]]:
    """Counts errors that say the same but for numbers and quoted texts.

    Args:
        errors: Messages in order.

    Returns:
        The first message of each sort with the number of its sort, in order of appearance.

    Example:
        >>> distinct(["no answer within 30.1 s", "HTTP 401", "no answer within 30.2 s"])
        [('no answer within 30.1 s', 2), ('HTTP 401', 1)]
    """
    found: dict[str, tuple[str, int]] = {}
    for error in errors:
        sort = _VARIABLE.sub("#", error)
        first, count = found.get(sort, (error, 0))
        found[sort] = (first, count + 1)
    return list(found.values())


def tell_failures(name: str, errors: Sequence[str], items: int) -> None:
    """Prints on standard error how many requests failed, and why; nothing where none did.

    Args:
        name: What was asked, such as the name of a strategy.
        errors: One message per item that failed.
        items: How many there were.
    """
    if not errors:
        return
    kinds = distinct(errors)
    say_error(f"error: {name}: {len(errors)} of {items} questions could not be answered")
    for text, count in kinds[:_SHOWN]:
        say_error(f"  {count} x {text}")
    if len(kinds) > _SHOWN:
        rest = sum(count for _, count in kinds[_SHOWN:])
        say_error(f"  {rest} x other errors; --json shows each")


def exit_code(counts: Sequence[tuple[int, int]]) -> int:
    """Decides with which code a command ends.

    Args:
        counts: For each strategy that was asked, how many items failed, and how many there were (at least 1).

    Returns:
        ``NOTHING`` if every item of every strategy failed, ``FAILED`` if more than a tenth of one strategy's did, or 0.

    Example:
        >>> exit_code([(0, 10), (2, 10)]), exit_code([(10, 10)]), exit_code([(1, 10)])
        (3, 1, 0)
    """
    if counts and all(failed == items for failed, items in counts):
        return NOTHING
    return FAILED if any(failed > _SHARE * items for failed, items in counts) else 0
