"""Metrics by name, for evaluations: an answer that may be missing, against one or several accepted targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptkit.errors import MetricError, error_message, one_of
from promptkit.metrics.rouge import ROUGE_KINDS, rouge
from promptkit.metrics.text import answered, exact_match, numeric_match, numeric_match_comma, token_f1

__all__ = ["Metric", "get_metric", "list_metrics"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by name.

    Attributes:
        name: Its name in settings and reports.
        pair: Scores one answer against one target, from 0 to 1.
    """

    name: str
    pair: Callable[[str, str], float]

    def score(self, answer: str | None, targets: Sequence[str]) -> float:
        """Scores an answer against the target that it meets best.

        Args:
            answer: What was read from the completion, or ``None`` for no answer, which scores 0.
            targets: The accepted answers, at least one.

        Returns:
            A number from 0 to 1.

        Raises:
            MetricError: There is no target, or the metric sees nothing in one of them.

        Example:
            >>> get_metric("numeric_match").score("1,000", ["999", "1000.0"])
            1.0
        """
        texts = [targets] if isinstance(targets, str) else targets
        if not texts:
            raise MetricError(
                error_message("targets", of=self.name, expected="at least one accepted answer", got=targets)
            )
        best = max(self.pair("" if answer is None else answer, text) for text in texts)
        return 0.0 if answer is None else best


def _rouge(kind: str) -> Callable[[str, str], float]:
    """Returns the F1 of one ROUGE figure. ROUGE-2 of a one-token target is 0, as in rouge-score: it has no pair."""

    def pair(answer: str, target: str) -> float:
        if not target.strip():
            expected = "a text with at least one letter or digit"
            hint = "correct the data or choose another metric"
            raise MetricError(error_message("target", of=kind, expected=expected, got=target, hint=hint))
        return rouge(answer, target, kinds=(kind,))[kind].f1

    return pair


_METRICS = {
    "exact_match": exact_match,
    "token_f1": token_f1,
    "numeric_match": numeric_match,
    "numeric_match_comma": numeric_match_comma,
    **{kind: _rouge(kind) for kind in ROUGE_KINDS},
    "answered": answered,
}


def get_metric(name: str) -> Metric:
    """Returns a metric by name.

    Args:
        name: One of ``list_metrics()``.

    Returns:
        The metric.

    Raises:
        MetricError: There is no such metric.

    Example:
        >>> get_metric("rougeL").score("the cat", ["the cat sat", "a dog"])
        0.8
    """
    if name not in _METRICS:
        raise MetricError(error_message("metric", of="promptkit", expected=one_of(_METRICS), got=name))
    return Metric(name, _METRICS[name])


def list_metrics() -> list[str]:
    """Returns the names of all metrics.

    Example:
        >>> list_metrics()[:3]
        ['exact_match', 'token_f1', 'numeric_match']
    """
    return list(_METRICS)
