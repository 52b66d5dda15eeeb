"""Metrics by name, for evaluations: an answer that may be missing, against one or several accepted targets.

A metric is a function of an answer and one accepted target that gives a score in [0, 1]. That range is part of what a
metric is: the intervals and the tests of a climb hold for scores of it, so a score outside is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptkit.errors import MetricError, error_message
from promptkit.metrics.rouge import ROUGE_KINDS, rouge
from promptkit.metrics.text import answered, exact_match, numeric_match, numeric_match_comma, token_f1
from promptkit.registry import find, name_of, register, registered_names

__all__ = ["Metric", "MetricLike", "get_metric", "list_metrics"]

Pair = Callable[[str, str], float]
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by name.

    Attributes:
        name: Its name in settings and reports.
        pair: Scores one answer against one target, in [0, 1].
    """

    name: str
    pair: Pair

    def score(self, answer: str | None, targets: Sequence[str]) -> float:
        """Scores an answer against the target that it meets best.

        Args:
            answer: What was read from the completion, or ``None`` for no answer, which scores 0.
            targets: The accepted answers, at least one.

        Returns:
            A number from 0 to 1.

        Raises:
            MetricError: There is no target, the metric sees nothing in one of them, or a score is not in [0, 1].

        Example:
            >>> get_metric("numeric_match").score("1,000", ["999", "1000.0"])
            1.0
        """
        texts = [targets] if isinstance(targets, str) else targets
        if not texts:
            raise MetricError(
                error_message("targets", of=self.name, expected="at least one accepted answer", got=targets)
            )
        best = max(self._checked(self.pair("" if answer is None else answer, text)) for text in texts)
        return 0.0 if answer is None else best

    def _checked(self, score: object) -> float:
        """Returns a score of ``pair``, which may be anybody's, if it is one."""
        try:
            number = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not -_ROUNDING <= number <= 1 + _ROUNDING:
            hint = "divide it by its range; intervals and tests are those of scores in [0, 1]"
            raise MetricError(error_message("a score", of=self.name, expected="in [0, 1]", got=score, hint=hint))
        return min(max(number, 0.0), 1.0)


MetricLike = str | Pair | Metric
"""A metric by name, as a function or as itself."""


def _rouge(kind: str) -> Callable[[str, str], float]:
    """Returns the F1 of one ROUGE figure. ROUGE-2 of a one-token target is 0, as in rouge-score: it has no pair."""

    def pair(answer: str, target: str) -> float:
        if not target.strip():
            expected = "a text with at least one letter or digit"
            hint = "correct the data or choose another metric"
            raise MetricError(error_message("target", of=kind, expected=expected, got=target, hint=hint))
        return rouge(answer, target, kinds=(kind,))[kind].f1

    pair.__doc__ = f"F1 of {kind.replace('rouge', 'ROUGE-')} (Lin 2004), as the package rouge-score gives it."
    return pair


for _name, _pair in {
    "exact_match": exact_match,
    "token_f1": token_f1,
    "numeric_match": numeric_match,
    "numeric_match_comma": numeric_match_comma,
    **{kind: _rouge(kind) for kind in ROUGE_KINDS},
    "answered": answered,
}.items():
    register("metric", _name)(_pair)


def get_metric(metric: MetricLike) -> Metric:
    """Returns a metric by name, or makes one of a function.

    Args:
        metric: One of ``list_metrics()``; or a function of an answer and a target that gives a score in [0, 1], which
            reports call by its name.

    Returns:
        The metric.

    Raises:
        MetricError: There is no such metric, or a function has no name of its own.

    Example:
        >>> get_metric("rougeL").score("the cat", ["the cat sat", "a dog"])
        0.8
        >>> def first_letter(answer, target):
        ...     return float(answer[:1] == target[:1])
        >>> get_metric(first_letter).name
        'first_letter'
    """
    if isinstance(metric, Metric):
        return metric
    if not callable(metric):
        return Metric(metric, find("metric", metric, of="promptkit", error=MetricError).value)
    known = name_of("metric", metric)
    name = known or str(getattr(metric, "__name__", ""))
    if not name.isidentifier():
        expected = "a name, or a function that has one"
        hint = "write it with def, or register it under a name"
        raise MetricError(error_message("metric", of="promptkit", expected=expected, got=metric, hint=hint))
    if known is None and name in registered_names("metric"):
        hint = "give the function another name"
        expected = "of a name that no registered metric has"
        raise MetricError(error_message("metric", of="promptkit", expected=expected, got=name, hint=hint))
    return Metric(name, metric)


def list_metrics() -> list[str]:
    """Returns the names of all registered metrics.

    Example:
        >>> list_metrics()[:3]
        ['exact_match', 'token_f1', 'numeric_match']
    """
    return registered_names("metric")
