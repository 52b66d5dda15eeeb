"""Metrics on short answers: exact match, token F1, numeric match, answered.

Each takes one answer and one target and gives a number from 0 to 1. A target in which a metric sees nothing is an
error, because every answer would score 0 against it and the mean would be silently wrong.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

from promptkit.errors import MetricError, error_message
from promptkit.metrics.tokenize import unicode_tokens
from promptkit.parsing import normalize_number

__all__ = ["answered", "exact_match", "numeric_match", "numeric_match_comma", "token_f1"]


def exact_match(answer: str, target: str) -> float:
    """Tells whether two texts are equal after Unicode NFKC and folding of white space; case and punctuation count.

    Args:
        answer: What was answered.
        target: What should have been answered.

    Returns:
        1.0 or 0.0.

    Raises:
        MetricError: The target is empty.

    Example:
        >>> exact_match("New  York", "New York"), exact_match("new york", "New York")
        (1.0, 0.0)
    """
    wanted = _folded(target)
    if not wanted:
        raise _blind("exact_match", "a text that is not empty", target)
    return float(_folded(answer) == wanted)


def token_f1(answer: str, target: str) -> float:
    """Returns the harmonic mean of token precision and recall, each token counted as often as both texts have it.

    As in SQuAD (Rajpurkar et al. 2016), but on the Unicode tokens of the ROUGE metrics, so every script is seen, and
    with articles kept, because they are words of one language only.

    Args:
        answer: What was answered.
        target: What should have been answered.

    Returns:
        F1 from 0 to 1.

    Raises:
        MetricError: The target has no letter or digit.

    Example:
        >>> token_f1("the red apple", "a red apple")
        0.6666666666666666
    """
    want = unicode_tokens(target)
    if not want:
        raise _blind("token_f1", "a text with at least one letter or digit", target)
    have = unicode_tokens(answer)
    shared = (Counter(have) & Counter(want)).total()
    return 2 * shared / (len(have) + len(want))


def numeric_match(answer: str, target: str) -> float:
    """Tells whether two texts hold the same number, whatever its spelling (see ``normalize_number``).

    Args:
        answer: What was answered; a text without exactly one number matches nothing.
        target: What should have been answered.

    Returns:
        1.0 or 0.0.

    Raises:
        MetricError: The target does not hold exactly one number.

    Example:
        >>> numeric_match("$1,000.00", "1000"), numeric_match("-5", "5")
        (1.0, 0.0)
    """
    return _same_number(answer, target, "numeric_match", ".")


def numeric_match_comma(answer: str, target: str) -> float:
    """Tells whether two texts hold the same number, where the comma is the decimal sign, as in ``1.234,56``.

    Args:
        answer: What was answered; a text without exactly one number matches nothing.
        target: What should have been answered.

    Returns:
        1.0 or 0.0.

    Raises:
        MetricError: The target does not hold exactly one number.

    Example:
        >>> numeric_match_comma("1.000,50 €", "1000,5"), numeric_match_comma("0,75", "75")
        (1.0, 0.0)
    """
    return _same_number(answer, target, "numeric_match_comma", ",")


def answered(answer: str, target: str) -> float:
    """Returns 1.0: there is an answer, right or wrong.

    Args:
        answer: What was answered.
        target: Not looked at.

    Returns:
        1.0; of a missing answer every metric is 0.
    """
    return 1.0


def _same_number(answer: str, target: str, metric: str, decimal: str) -> float:
    """Compares the only numbers of two texts."""
    wanted = normalize_number(target, decimal)
    if wanted is None:
        raise _blind(metric, "a text with exactly one number", target)
    return float(normalize_number(answer, decimal) == wanted)


def _folded(text: str) -> str:
    """Folds compatibility forms and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _blind(metric: str, expected: str, target: str) -> MetricError:
    """Words the refusal of a target."""
    hint = "correct the data or choose another metric"
    return MetricError(error_message("target", of=metric, expected=expected, got=target, hint=hint))
