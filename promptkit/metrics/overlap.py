"""What two lists of tokens share: items, pairs of neighbours, and longest common subsequences.

The lists are first spelled as strings, one character a token. Most tokens of a reference do not occur in the
prediction; they all become NUL, which no token of the prediction is, so they drop out of every search at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, repeat

from rapidfuzz.distance import LCSseq

from promptkit.errors import MetricError, explain

__all__ = ["lcs_length", "shared_items", "shared_pairs", "spell", "union_lcs"]

_CHARACTERS = range(1, 0x110000)
_LONG = 2_000  # tokens from which hashing every item is faster than searching for the shared ones

lcs_length = LCSseq.similarity


def spell(have: Sequence[str], want: Sequence[str]) -> tuple[str, str]:
    """Spells two lists of tokens as strings of one character a token.

    Args:
        have: Tokens of the prediction.
        want: Tokens of the reference.

    Returns:
        Two strings in which equal characters are equal tokens; tokens that only ``want`` has are NUL.

    Raises:
        MetricError: The prediction has more tokens than there are characters.

    Example:
        >>> spell(["a", "b", "a"], ["b", "c"])
        ('\\x03\\x02\\x03', '\\x02\\x00')
    """
    if len(have) >= len(_CHARACTERS):
        must = f"a text of fewer than {len(_CHARACTERS):,} tokens"
        raise MetricError(explain("prediction", of="rouge", must=must, got=f"{len(have):,} tokens"))
    spelling = dict(zip(have, map(chr, _CHARACTERS), strict=False))
    return "".join(map(spelling.__getitem__, have)), "".join(map(spelling.get, want, repeat("\0")))


def shared_items(have: str, want: str) -> int:
    """Counts the tokens of two spelled lists that both have, each as often as both have it.

    Example:
        >>> shared_items(*spell(["a", "b", "a"], ["a", "a", "c"]))
        2
    """
    known = want.replace("\0", "")
    if len(set(known)) == len(known):
        return len(known)
    if len(have) > _LONG:
        return (Counter(have) & Counter(known)).total()
    return lcs_length(sorted(have), sorted(known))  # of sorted lists the subsequence is the intersection


def shared_pairs(have: str, want: str) -> int:
    """Counts the pairs of neighbours of two spelled lists that both have, each as often as both have it.

    Example:
        >>> shared_pairs(*spell(["a", "b", "a", "b"], ["a", "b", "c", "b", "a"]))
        2
    """
    pairs = [run[start : start + 2] for run in want.split("\0") if len(run) > 1 for start in range(len(run) - 1)]
    if len(have) > _LONG:
        return (Counter(map("".join, pairwise(have))) & Counter(pairs)).total()
    if len(set(pairs)) == len(pairs):
        return sum(pair in have for pair in pairs)
    return sum(min(count, _times(have, pair)) for pair, count in Counter(pairs).items())


def _times(have: str, pair: str) -> int:
    """Counts a pair; ``str.count`` would miss the second of two that overlap, as in "aaa"."""
    first, second = pair
    return have.count(pair) if first != second else sum(one == other == first for one, other in pairwise(have))


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
                union |= row  # one token that stands in one place: there is no other subsequence
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
