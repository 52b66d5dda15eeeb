"""Scores of answers: ROUGE, exact match, token F1, numeric match."""

from promptkit.metrics.registry import METRICS, Metric, get_metric
from promptkit.metrics.rouge import RougeScore, rouge

__all__ = ["METRICS", "Metric", "RougeScore", "get_metric", "rouge"]
