"""What two lists of tokens share: items, pairs of neighbours, and longest common subsequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from rapidfuzz.distance import LCSseq

__all__ = ["lcs_length", "shared_items", "shared_pairs", "union_lcs"]

_SHORT = 10_000  # tokens of one list times tokens of the other, up to which sorting beats counting

lcs_length = LCSseq.similarity


def shared_items(one: Sequence[str], other: Sequence[str]) -> int:
    """Counts the items of two lists, each as often as both have it.

    Example:
        >>> shared_items(["a", "b", "a"], ["a", "a", "c"])
        2
    """
    if len(one) * len(other) > _SHORT:
        return (Counter(one) & Counter(other)).total()
    return lcs_length(sorted(one), sorted(other))  # of sorted lists the subsequence is the intersection


def shared_pairs(one: Sequence[str], other: Sequence[str]) -> int:
    """Counts the pairs of neighbours of two lists, each as often as both have it.

    Example:
        >>> shared_pairs(["a", "b", "a", "b"], ["a", "b", "c", "b", "a"])
        2
    """
    left: dict[tuple[str, str], int] = {}
    count = left.get
    for pair in pairwise(one):
        left[pair] = count(pair, 0) + 1
    shared = 0
    for pair in filter(left.__contains__, pairwise(other)):
        if left[pair]:
            left[pair] -= 1
            shared += 1
    return shared


def union_lcs(reference: Sequence[Sequence[str]], candidate: Sequence[Sequence[str]]) -> list[str]:
    """Returns the reference tokens that a longest common subsequence with any candidate sentence covers.

    Section 3.2 of Lin (2004). Of several longest subsequences of one pair the one counts that rouge-score finds when
    it walks its table back from the end, which decides the union; so the walk is repeated exactly, on bit vectors
    (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"): after column j, bit i of ``steps`` is 0 where the
    table grows from row i to row i + 1.

    Args:
        reference: Sentences as lists of tokens.
        candidate: Sentences as lists of tokens.

    Returns:
        The covered tokens, sentence by sentence, a token as often as it is covered.

    Example:
        >>> union_lcs([["w1", "w2", "w3", "w4", "w5"]], [["w1", "w2", "w6"], ["w1", "w3", "w8", "w5"]])
        ['w1', 'w2', 'w3', 'w5']
    """
    vocabularies = [set(sentence) for sentence in candidate]
    covered: list[str] = []
    for sentence in reference:
        rows: dict[str, int] = {}
        bit = 1
        for token in sentence:
            rows[token] = rows.get(token, 0) | bit
            bit <<= 1
        known = set(rows)
        union = 0
        for tokens, vocabulary in zip(candidate, vocabularies, strict=True):
            shared = known & vocabulary
            if len(shared) == 1 and not (row := rows[min(shared)]) & (row - 1):
                union |= row  # one token with one position: there is no other subsequence
            elif shared:
                union |= _walk(rows, tokens, bit - 1)
        covered += [token for index, token in enumerate(sentence) if union >> index & 1]
    return covered


def _walk(rows: dict[str, int], tokens: Sequence[str], full: int) -> int:
    """Returns the reference positions, as bits, of the subsequence that the walk back through the table finds.

    At a cell whose tokens match the walk takes the match; else it goes one column back if the table grows at this
    row, and one row up if it does not. So in each column it ends at the highest row, not above the current one, that
    matches or grows. Columns whose token is not in the sentence differ from their left neighbour in nothing, so a
    run of them is one column without matches.
    """
    steps = full
    columns: list[tuple[int, int]] = []
    gap = True
    for token in tokens:
        row = rows.get(token)
        if row is None:
            if not gap:
                columns.append((0, ~steps))
                gap = True
        else:
            hit = steps & row
            steps = ((steps + hit) | (steps - hit)) & full
            columns.append((row, ~steps))
            gap = False
    union = 0
    below = full  # the rows that the walk has not passed
    for row, grows in reversed(columns):
        place = (row | grows) & below
        if not place:
            break
        top = 1 << (place.bit_length() - 1)
        if row & top:
            union |= top
            below = top - 1
        else:
            below = top | (top - 1)
    return union
