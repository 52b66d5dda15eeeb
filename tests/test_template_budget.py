from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import TemplateError
from promptkit.template_budget import Budget, current_budget, rendering, replaced_length, weigh

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@given(st.text("ab"), st.text("ab", max_size=2), st.text("abc", max_size=5), st.integers(-1, 5))
def test_the_length_of_a_replacement_is_never_underestimated(text: str, old: str, new: str, count: int) -> None:
    bound = replaced_length(text, old, new, count)
    assert len(text.replace(old, new, count)) <= bound
    if len(new) >= len(old):
        assert len(text.replace(old, new, count)) == bound


@given(VALUES)
def test_a_weight_bounds_what_is_printed(value: object) -> None:
    assert len(repr(value)) <= 200 * weigh(value, 10**9)


def test_measuring_ends_where_it_was_told_to() -> None:
    nest: list[object] = [1]
    for _ in range(200):
        nest = [nest, nest, nest]
    assert 1000 < weigh(nest, 1000) < 1100


def test_budgets_do_not_mix() -> None:
    with rendering(Budget(steps=10)) as outer:
        with rendering() as inner:
            current_budget().work(1000)
        assert current_budget() is outer and inner is not outer
        with pytest.raises(TemplateError, match="bounded amount of work"):
            current_budget().handle(16 * 11)
