"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (Lin 2004), with the numbers of rouge-score at a fraction of its cost.

Overlaps are counted on sorted lists and dictionaries, the longest common subsequence comes from rapidfuzz, and the
union of subsequences that ROUGE-Lsum needs is traced on integers, one per column of the table, instead of a list of
lists (see ``overlap``). Every figure is bit for bit that of rouge-score 0.1.2, ties of the trace included;
``benchmarks/rouge_speed.py`` measures and checks it.

Where the variants differ: ``rouge-score`` lower-cases, keeps letters and digits, and counts every occurrence;
``textbook`` is what the package *rouge* prints: text split at spaces, case and punctuation kept, sentences split at
full stops, and each different n-gram counted once. Neither is wrong; they must not be compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Literal, NamedTuple

from promptkit.errors import MetricError, SettingError, error_message, one_of
from promptkit.metrics.overlap import lcs_length, shared_items, shared_pairs, union_lcs
from promptkit.metrics.tokenize import Tokenizer, get_tokenizer, unicode_tokens

__all__ = ["ROUGE_KINDS", "RougeScore", "rouge"]

ROUGE_KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
Variant = Literal["rouge-score", "textbook"]
_KNOWN = frozenset(ROUGE_KINDS)
_VARIANTS = ("rouge-score", "textbook")


class RougeScore(NamedTuple):
    """One ROUGE figure.

    Attributes:
        precision: Share of the prediction that is in the reference.
        recall: Share of the reference that is in the prediction.
        f1: Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


_new = tuple.__new__  # half the cost of calling the class, which shows on short texts
_ZERO = RougeScore(0.0, 0.0, 0.0)


def rouge(
    prediction: str,
    reference: str | Sequence[str],
    *,
    variant: Variant = "rouge-score",
    tokenizer: str | Tokenizer = "unicode",
    stemmer: bool = False,
    kinds: Sequence[str] = ROUGE_KINDS,
) -> dict[str, RougeScore]:
    """Scores a prediction against one reference, or against several of which the best counts for each figure.

    Args:
        prediction: The text to score.
        reference: The text it should resemble, or several such texts. For ROUGE-Lsum line breaks separate sentences.
        variant: ``"rouge-score"``, or ``"textbook"`` for the figures of the package *rouge*, which has one ROUGE-L,
            over sentences; both ``rougeL`` and ``rougeLsum`` give it. Tokenizer and stemmer do not apply to it.
        tokenizer: ``"unicode"`` sees every script and equals rouge-score on ASCII text; ``"rouge-score"`` equals it on
            every text, and so sees nothing but a to z and 0 to 9; or a function from text to tokens.
        stemmer: Whether English words are cut to their Porter stem.
        kinds: Which figures to compute.

    Returns:
        The figures by name. An empty reference (or white space) scores 0, as in rouge-score.

    Raises:
        MetricError: A reference has text but no token that the metric can see, so that a 0 would say nothing.
        SettingError: A setting is unknown, or there is no reference.

    Example:
        >>> rouge("the cat sat", "the cat sat down")["rouge1"].recall
        0.75
        >>> rouge("你好世界", "你好世界")["rouge2"].f1
        1.0
    """
    if kinds is not ROUGE_KINDS and not _KNOWN.issuperset(kinds):
        raise SettingError(
            error_message("kinds", of="rouge", expected=f"among {', '.join(ROUGE_KINDS)}", got=tuple(kinds))
        )
    split = unicode_tokens if tokenizer == "unicode" and not stemmer else get_tokenizer(tokenizer, stemmer=stemmer)
    if isinstance(reference, str) and variant == "rouge-score":
        return _pair(prediction, reference, split, kinds)
    if variant not in _VARIANTS:
        raise SettingError(error_message("variant", of="rouge", expected=one_of(_VARIANTS), got=variant))
    pairs = [
        _textbook_pair(prediction, text, kinds) if variant == "textbook" else _pair(prediction, text, split, kinds)
        for text in ([reference] if isinstance(reference, str) else reference)
    ]
    if not pairs:
        raise SettingError(error_message("reference", of="rouge", expected="a text or at least one", got=reference))
    return {kind: max((pair[kind] for pair in pairs), key=lambda figure: figure.f1) for kind in kinds}


def _pair(prediction: str, reference: str, split: Tokenizer, kinds: Sequence[str]) -> dict[str, RougeScore]:
    """Scores one prediction against one reference as rouge-score does."""
    want = split(reference)
    if not want:
        if reference.strip():
            raise MetricError(_unseen(reference))
        return dict.fromkeys(kinds, _ZERO)
    have = split(prediction)
    size, wanted = len(have), len(want)
    figures: dict[str, RougeScore] = {}
    for kind in kinds:
        if kind == "rouge1":
            figures[kind] = _figure(shared_items(have, want), size, wanted)
        elif kind == "rouge2":
            figures[kind] = _figure(shared_pairs(have, want), size - 1, wanted - 1)
        elif kind == "rougeL":
            figures[kind] = _figure(lcs_length(have, want), size, wanted)
        elif "\n" in prediction or "\n" in reference:
            figures[kind] = _summary(prediction, reference, split)
        else:  # of one sentence each, the union of subsequences is the subsequence
            figures[kind] = figures.get("rougeL") or _figure(lcs_length(have, want), size, wanted)
    return figures


def _summary(prediction: str, reference: str, split: Tokenizer) -> RougeScore:
    """Computes ROUGE-Lsum of texts of several lines, in which no token counts more often than both texts have it."""
    had = [split(line) for line in prediction.split("\n")]
    wanted = [split(line) for line in reference.split("\n")]
    have = list(chain.from_iterable(had))
    return _figure(shared_items(union_lcs(wanted, had), have), len(have), sum(map(len, wanted)))


def _figure(hits: int, have: int, want: int) -> RougeScore:
    """Turns counts into precision, recall and F1."""
    if not hits:
        return _ZERO
    precision, recall = hits / have, hits / want
    return _new(RougeScore, (precision, recall, 2 * precision * recall / (precision + recall)))


def _textbook_pair(prediction: str, reference: str, kinds: Sequence[str]) -> dict[str, RougeScore]:
    """Scores one prediction against one reference as the package *rouge* does: sets of words, full stops cut.

    That package walks its table with rows and columns in the other roles, hence the order in ``union_lcs``.
    """
    wanted, had = _sentences(reference), _sentences(prediction)
    want, have = list(chain.from_iterable(wanted)), list(chain.from_iterable(had))
    if not want:
        if reference.strip():
            raise MetricError(_unseen(reference))
        return dict.fromkeys(kinds, _ZERO)
    figures: dict[str, RougeScore] = {}
    for kind in kinds:
        if kind == "rouge2":
            have_set, want_set = set(pairwise(have)), set(pairwise(want))
            figures[kind] = _figure(len(have_set & want_set), len(have_set), len(want_set))
        else:
            shared = set(have) & set(want) if kind == "rouge1" else set(union_lcs(had, wanted))
            figures[kind] = _figure(len(shared), len(set(have)), len(set(want)))
    return figures


def _sentences(text: str) -> list[list[str]]:
    """Splits a text at full stops into sentences, and these at white space into words.

    Example:
        >>> _sentences("One two. Three,")
        [['One', 'two'], ['Three,']]
    """
    return [words for sentence in text.split(".") if (words := sentence.split())]


def _unseen(reference: str) -> str:
    """Words the refusal of a reference without tokens."""
    expected = "a text with at least one token that the metric can see"
    hint = "use tokenizer='unicode' for other scripts than a to z; signs and emoji are never seen"
    return error_message("reference", of="rouge", expected=expected, got=reference, hint=hint)
