from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.local.prefix import MIN_SHARED, Batch, common_length, plan_batches

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 9)), max_size=40
)


@given(ROWS, st.integers(1, 7), st.integers(1, 200), st.booleans(), st.booleans())
def test_plans_hold_every_row_once_and_share_only_what_is_common(
    rows: list[tuple[int, list[int], int]], size: int, tokens: int, share: bool, alone: bool
) -> None:
    prompts = [tuple([family] * 30 * family + own) for family, own, _ in rows]
    batches = plan_batches(
        prompts, [new for *_, new in rows], batch_size=size, batch_tokens=tokens, share=share, alone=alone
    )
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(rows)))
    for batch in batches:
        inside = [prompts[row] for row in batch.rows]
        assert len(inside) <= size
        assert len({prompt[: batch.shared] for prompt in inside}) == 1
        assert min(map(len, inside)) > batch.shared
        assert batch.shared == 0 or batch.shared >= MIN_SHARED
        padded = max(len(prompts[row]) - batch.shared + rows[row][2] for row in batch.rows) * len(inside)
        assert len(inside) == 1 or padded <= tokens
        assert share or batch.shared == 0
        assert not alone or len(set(inside)) == 1


def test_the_common_prefix_is_found_and_long_prompts_come_first() -> None:
    shared = tuple(range(100))
    plan = plan_batches([(*shared, 1), (*shared, 2, 3), (*shared, 2)], [4] * 3, batch_size=8, batch_tokens=999)
    assert plan == [Batch((1, 0, 2), 100)]


def test_families_with_long_prefixes_are_divided_though_all_begin_alike() -> None:
    start = tuple(range(40))
    families = [start + (100 + name,) * 500 for name in range(3)]
    prompts = [(*families[at % 3], at) for at in range(24)]
    plan = plan_batches(prompts, [8] * 24, batch_size=32, batch_tokens=99_999)
    assert sorted(batch.shared for batch in plan) == [540, 540, 540]


def test_a_little_more_sharing_does_not_divide_a_batch() -> None:
    prompts = [(*range(20), at // 2, *([at // 2] * 15), at) for at in range(20)]
    assert [batch.shared for batch in plan_batches(prompts, [8] * 20, batch_size=32, batch_tokens=9999)] == [20]


def test_samples_of_one_prompt_share_all_but_its_last_token() -> None:
    prompt = tuple(range(50))
    assert plan_batches([prompt] * 5, [8] * 5, batch_size=8, batch_tokens=9999) == [Batch((0, 1, 2, 3, 4), 49)]
    assert plan_batches([prompt], [8], batch_size=8, batch_tokens=9999) == [Batch((0,), 0)]
    assert plan_batches([prompt] * 3, [8] * 3, batch_size=8, batch_tokens=9999, alone=True)[0].shared == 0


def test_thousands_of_nested_prefixes_need_no_deep_stack() -> None:
    prompts = [tuple(range(length)) for length in range(1, 1500)]
    plan = plan_batches(prompts, [1] * len(prompts), batch_size=32, batch_tokens=10_000_000)
    assert sorted(row for batch in plan for row in batch.rows) == list(range(len(prompts)))


def test_nothing_to_plan() -> None:
    assert plan_batches([], [], batch_size=1, batch_tokens=1) == []
    assert common_length((), (1,)) == 0
