"""Overlaps against their definitions and against the functions of rouge-score."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.metrics.overlap import lcs_length, shared_items, shared_pairs, union_lcs

scorer = pytest.importorskip("rouge_score.rouge_scorer")

TOKENS = st.lists(st.sampled_from("abcdefg"), max_size=14)
SENTENCES = st.lists(TOKENS, max_size=5)


@pytest.mark.parametrize("times", [1, 40])
@given(one=TOKENS, other=TOKENS)
def test_shared_items_and_pairs(times: int, one: list[str], other: list[str]) -> None:
    one, other = one * times, other * times
    assert shared_items(one, other) == (Counter(one) & Counter(other)).total()
    assert shared_pairs(one, other) == (Counter(pairwise(one)) & Counter(pairwise(other))).total()


@given(TOKENS, TOKENS)
def test_lcs_length(one: list[str], other: list[str]) -> None:
    assert lcs_length(one, other) == scorer._lcs_table(one, other)[-1][-1]


@given(SENTENCES, SENTENCES)
def test_the_union_picks_the_same_subsequences(reference: list[list[str]], candidate: list[list[str]]) -> None:
    expected = [token for sentence in reference for token in scorer._union_lcs(sentence, candidate)]
    assert union_lcs(reference, candidate) == expected
