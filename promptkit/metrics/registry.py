"""Metrics by name: each scores an answer against targets, from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from promptkit.errors import MetricError, explain, one_of
from promptkit.metrics.rouge import ROUGE_KINDS, rouge
from promptkit.metrics.text import answered, exact_match, numeric_match, token_f1

__all__ = ["METRICS", "Metric", "get_metric"]

Scorer = Callable[[str | None, Sequence[str]], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A named score of one answer.

    Attributes:
        name: Its name in tables and settings.
        score: Called with the answer (or ``None``) and the accepted answers; returns a value in [0, 1], the best over
            the accepted answers. Raises ``MetricError`` if it cannot see anything in one of them.
    """

    name: str
    score: Scorer


def _rouge_f1(kind: str, answer: str | None, targets: Sequence[str]) -> float:
    if not targets or any(not target.strip() for target in targets):
        raise MetricError(explain("target", of=kind, must="a text that says something", got=list(targets)))
    return rouge(answer or "", list(targets), kinds=(kind,))[kind].f1


METRICS: dict[str, Scorer] = {
    "exact_match": exact_match,
    "numeric_match": numeric_match,
    "token_f1": token_f1,
    **{kind: partial(_rouge_f1, kind) for kind in ROUGE_KINDS},
    "answered": answered,
}
"""Every metric by name; the ROUGE kinds give F1."""


def get_metric(name: str) -> Metric:
    """Returns a metric by name.

    Args:
        name: One of ``METRICS``.

    Returns:
        The metric.

    Raises:
        MetricError: The name is unknown.

    Example:
        >>> get_metric("rougeL").score("the cat", ["the cat sat", "a dog"])
        0.8
    """
    if name not in METRICS:
        raise MetricError(explain("metric", of="promptkit", must=one_of(METRICS), got=name))
    return Metric(name, METRICS[name])
