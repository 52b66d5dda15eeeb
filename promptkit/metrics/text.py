"""Metrics that compare an answer with targets: exact match, token F1, numeric match, answered."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from promptkit.errors import MetricError, explain
from promptkit.metrics.tokenize import get_tokenizer
from promptkit.readout import normalize_number

__all__ = ["answered", "exact_match", "fold", "numeric_match", "token_f1"]


def fold(text: str) -> str:
    """Returns a text in Unicode normal form NFKC with runs of white space as one space; case and signs are kept.

    Example:
        >>> fold(" １２  mg ")
        '12 mg'
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def exact_match(answer: str | None, targets: Sequence[str]) -> float:
    """Returns 1.0 if the answer equals a target after ``fold``, else 0.0.

    Args:
        answer: What was read, or ``None``.
        targets: Accepted answers.

    Returns:
        1.0 or 0.0.

    Raises:
        MetricError: A target says nothing.

    Example:
        >>> exact_match("-5  mg", ["-5 mg"]), exact_match("5 mg", ["-5 mg"])
        (1.0, 0.0)
    """
    folded = [fold(target) for target in targets]
    if not all(folded):
        raise MetricError(explain("target", of="exact_match", must="a text that says something", got=list(targets)))
    return float(answer is not None and fold(answer) in folded)


def token_f1(answer: str | None, targets: Sequence[str]) -> float:
    """Returns the harmonic mean of token precision and recall (Rajpurkar et al. 2016, SQuAD), the best over targets.

    Unlike SQuAD's script, articles count, and tokens are those of the Unicode tokenizer of ROUGE.

    Args:
        answer: What was read, or ``None``.
        targets: Accepted answers.

    Returns:
        A value in [0, 1].

    Raises:
        MetricError: A target has no token that the metric can see.

    Example:
        >>> round(token_f1("the red house", ["a red house"]), 3)
        0.667
    """
    split = get_tokenizer("unicode", stemmer=False)
    wanted = [Counter(split(target)) for target in targets]
    if not all(wanted):
        raise MetricError(explain("target", of="token_f1", must="a text with at least one token", got=list(targets)))
    had = Counter(split(answer or ""))
    best = 0.0
    for want in wanted:
        shared = (had & want).total()
        best = max(best, 2 * shared / (had.total() + want.total()))
    return best


def numeric_match(answer: str | None, targets: Sequence[str]) -> float:
    """Returns 1.0 if the answer is the number of a target, in whatever spelling, else 0.0.

    Args:
        answer: What was read, or ``None``.
        targets: Accepted answers; each must be a number.

    Returns:
        1.0 or 0.0.

    Raises:
        MetricError: A target is no number.

    Example:
        >>> numeric_match("1,000.0", ["1000"])
        1.0
    """
    wanted = [normalize_number(target) for target in targets]
    if None in wanted:
        must, do = "a number", "choose exact_match for answers that are not numbers"
        raise MetricError(explain("target", of="numeric_match", must=must, got=list(targets), do=do))
    had = normalize_number(answer) if answer is not None else None
    return float(had is not None and had in wanted)


def answered(answer: str | None, targets: Sequence[str]) -> float:
    """Returns 1.0 if an answer could be read, right or wrong, else 0.0.

    Args:
        answer: What was read, or ``None``.
        targets: Not looked at.

    Returns:
        1.0 or 0.0.
    """
    return float(answer is not None)
