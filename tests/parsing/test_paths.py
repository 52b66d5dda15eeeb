"""Distinct reasoning paths."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import SettingError
from promptkit.parsing.paths import fresh_paths, group_paths

PATHS = st.lists(st.tuples(st.sampled_from("56"), st.text("ab ", max_size=12)), max_size=12)


def test_equal_words_are_one_path_whatever_case_and_space() -> None:
    paths = [("5", "Two plus\nthree"), ("5", "two  plus three"), ("5", "three plus two"), ("6", "two plus three")]
    assert group_paths(paths) == [0, 0, 2, 3]


def test_near_copies_are_one_path_from_the_threshold_on() -> None:
    paths = [
        ("5", "first we add two and three, then we are done"),
        ("5", "first we add two and three, then we're done"),
    ]
    assert group_paths(paths) == [0, 1]
    assert group_paths(paths, 0.7) == [0, 0]
    assert group_paths(paths, 0.99) == [0, 1]


def test_likeness_is_closed_into_groups() -> None:
    chain = [("5", "abcdefghijklmnop"), ("5", "abcdefghijklmnop" + "qrst"), ("5", "abcdefghijklmnop" + "qrstuvwx")]
    assert group_paths([chain[0], chain[2]], 0.7) == [0, 1]
    assert group_paths(chain, 0.7) == [0, 0, 0]


@given(PATHS, st.sampled_from([None, 0.3, 0.6, 1.0]), st.randoms())
def test_the_number_of_groups_does_not_depend_on_the_order(
    paths: list[tuple[str, str]], near: float | None, rng: random.Random
) -> None:
    shuffled = rng.sample(paths, len(paths))
    assert len(set(group_paths(paths, near))) == len(set(group_paths(shuffled, near)))


@given(PATHS, PATHS, st.sampled_from([None, 0.3, 0.6]))
def test_freshness_is_settled_when_a_sample_arrives(
    paths: list[tuple[str, str]], more: list[tuple[str, str]], near: float | None
) -> None:
    fresh = fresh_paths(paths, near)
    assert fresh_paths(paths + more, near)[: len(paths)] == fresh
    assert sum(fresh) >= len(set(group_paths(paths, near)))
    if near is None:
        assert sum(fresh) == len(set(group_paths(paths)))


@pytest.mark.parametrize("near", [0, -1, 1.5, True, "0.5"])
def test_a_threshold_out_of_range_is_refused(near: float) -> None:
    with pytest.raises(SettingError, match="vote: near must be a number above 0, at most 1, or None, got"):
        group_paths([], near)
