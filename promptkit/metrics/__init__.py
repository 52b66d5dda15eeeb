"""What an answer is worth: ROUGE, exact match, token F1, numeric match."""

from promptkit.metrics.registry import Metric, MetricLike, get_metric, list_metrics
from promptkit.metrics.rouge import ROUGE_KINDS, RougeScore, rouge
from promptkit.metrics.tokenize import Tokenizer, get_tokenizer, rouge_score_tokens, unicode_tokens

__all__ = [
    "ROUGE_KINDS",
    "Metric",
    "MetricLike",
    "RougeScore",
    "Tokenizer",
    "get_metric",
    "get_tokenizer",
    "list_metrics",
    "rouge",
    "rouge_score_tokens",
    "unicode_tokens",
]
