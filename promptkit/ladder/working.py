"""Whether the best rung works at all: a winner is only the best of what was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from promptkit.ladder.facts import Item, ItemResult
from promptkit.metrics import get_metric

__all__ = ["best_constant", "why_nothing_works"]

MOST = 0.5
"""Share of items without an answer above which nothing works."""
CONSTANTS = 20
"""Targets that are tried as the answer to every item, the most frequent ones."""
_SHOWN = 60


def why_nothing_works(results: Sequence[ItemResult], items: Mapping[str, Item], metric: str) -> str:
    """Tells why the answers of a rung are of no use, if they are not.

    They are not where more than half of the items have no answer, because none could be read or the model failed; and
    where the mean score is 0, or not above what one constant answer to every item scores. A data set in which one
    constant answer is right everywhere says nothing about the latter.

    Args:
        results: What the rung answered; at least one.
        items: The items by key.
        metric: The metric that decides.

    Returns:
        The reasons in one clause, or "" for a rung that works.
    """
    n = len(results)
    failed = [one for one in results if one.error is not None]
    unread = [one for one in results if one.error is None and one.answer is None]
    mean = sum(one.score for one in results) / n
    said: list[str] = []
    if len(failed) + len(unread) > MOST * n:
        if unread:
            text = " ".join(unread[0].text.split())
            shown = f"such as {text[:_SHOWN]!r}" if text else "as the model wrote nothing"
            said.append(
                f"{len(unread)} of {n} answers could not be read ({shown}): they have another form than the task"
            )
        if failed:
            said.append(f"the model failed on {len(failed)} of {n} items ({failed[0].error!s:.120})")
    constant, score = best_constant([items[one.item].targets for one in results], metric)
    if not mean:
        said.append("no answer is right")
    elif mean <= score + 1e-12 and score < 1:
        said.append(f"always answering {constant[:_SHOWN]!r} would score {score:.3f}")
    return "; ".join(said)


def best_constant(targets: Sequence[tuple[str, ...]], metric: str) -> tuple[str, float]:
    """Finds the one answer to every item that scores best, among the most frequent targets.

    Args:
        targets: Accepted answers of each item; at least one item.
        metric: The metric.

    Returns:
        The answer and its mean score.

    Example:
        >>> best_constant([("yes",), ("no",), ("yes",), ("yes", "sure")], "exact_match")
        ('yes', 0.75)
    """
    scorer = get_metric(metric)
    frequent = [target for target, _ in Counter(one[0] for one in targets).most_common(CONSTANTS)]
    means = [sum(scorer.score(answer, one) for one in targets) / len(targets) for answer in frequent]
    best = max(range(len(frequent)), key=means.__getitem__)
    return frequent[best], means[best]
