from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.data import Data, Split, divide
from promptkit.errors import DataError, SettingError
from promptkit.types import Example, Query


def example(text: str, target: str = "x", id: str = "") -> Example:
    return Example(Query({"question": text}, id), (target,))


def test_a_split_is_an_immutable_sequence() -> None:
    split = Split("test", [example("a"), example("b"), example("a")])
    assert list(split) == [split[0], split[1], split[2]]
    assert len(split) == 3 and split[-1] == example("a") and example("b") in split
    assert split.index(example("b")) == 1 and split.count(example("a")) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        split.name = "train"  # type: ignore[misc]
    with pytest.raises(TypeError):
        split[0] = example("c")  # type: ignore[index]


def test_a_split_does_not_follow_changes_of_the_list_it_was_made_of() -> None:
    rows = [example("a")]
    split = Split("train", rows)
    rows.append(example("b"))
    assert len(split) == 1


@given(st.slices(5))
def test_every_slice_keeps_the_name(part: slice) -> None:
    rows = [example(str(n)) for n in range(5)]
    split = Split("test", rows)[part]
    assert isinstance(split, Split) and split.name == "test" and list(split) == rows[part]


def test_the_fingerprint_covers_everything_an_example_says_and_the_order() -> None:
    base = Example(Query({"a": "1", "b": "2"}, "id"), ("x", "y"), "why")
    others = [
        Example(Query({"a": "1", "b": "3"}, "id"), ("x", "y"), "why"),
        Example(Query({"a": "2", "b": "1"}, "id"), ("x", "y"), "why"),
        Example(Query({"a": "1", "b": "2"}, "other"), ("x", "y"), "why"),
        Example(Query({"a": "1", "b": "2"}, "id"), ("y", "x"), "why"),
        Example(Query({"a": "1", "b": "2"}, "id"), ("x", "y"), None),
    ]
    prints = [Split("train", [base, other]).fingerprint for other in others]
    prints += [Split("train", [other, base]).fingerprint for other in others]
    prints += [Split("train", [base]).fingerprint, Split("train").fingerprint]
    assert len(set(prints)) == len(prints)
    same = Example(Query({"b": "2", "a": "1"}, "id"), ("x", "y"), "why")  # the order of fields says nothing
    assert Split("dev", [same]).fingerprint == Split("train", [base]).fingerprint


def test_the_fingerprint_is_the_same_on_every_machine() -> None:
    assert Split("train", [example("三个苹果?", "3", "a-1")]).fingerprint == "fe5ebd9bc9533d55"


def test_equality_needs_name_and_content() -> None:
    rows = [example("a")]
    assert Split("train", rows) == Split("train", rows) and hash(Split("train", rows)) == hash(Split("train", rows))
    assert Split("train", rows) != Split("test", rows)
    assert Split("train", rows) != rows


texts = st.lists(st.text("abAB ", min_size=1, max_size=3).filter(str.strip), min_size=6, max_size=40)


@given(texts, st.integers())
def test_dividing_loses_nothing_and_keeps_equal_items_together(found: list[str], seed: int) -> None:
    rows = [example(text, id=str(n)) for n, text in enumerate(found)]
    if len({row.query.key for row in rows}) < 3:
        return
    parts = divide(rows, seed=seed)
    assert sorted((row.id for part in parts.values() for row in part), key=int) == [row.id for row in rows]
    keys = [{row.query.key for row in part} for part in parts.values()]
    assert all(keys) and not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


@given(st.permutations(range(30)), st.integers(0, 5))
def test_dividing_does_not_depend_on_the_order_of_rows(order: list[int], seed: int) -> None:
    rows = [example(f"item {n}") for n in range(30)]
    one, two = divide(rows, seed=seed), divide([rows[n] for n in order], seed=seed)
    assert {k: {e.query.key for e in v} for k, v in one.items()} == {
        k: {e.query.key for e in v} for k, v in two.items()
    }


def test_dividing_keeps_the_order_of_rows_and_follows_the_shares() -> None:
    rows = [example(f"item {n}", id=str(n)) for n in range(1000)]
    parts = divide(rows, (0.7, 0.1, 0.2))
    assert [len(part) for part in parts.values()] == [700, 100, 200]
    for part in parts.values():
        assert [int(row.id) for row in part] == sorted(int(row.id) for row in part)
    assert divide(rows, (0.7, 0.1, 0.2), seed=1)["test"] != parts["test"]


def test_a_new_row_moves_few_of_the_old_ones() -> None:
    rows = [example(f"item {n}") for n in range(400)]
    before = {row.query.key for row in divide(rows)["test"]}
    after = {row.query.key for row in divide([example("new"), *rows])["test"]}
    assert len(before - after) <= 2


@pytest.mark.parametrize(
    ("shares", "sizes"), [((0, 0, 1), [0, 0, 7]), ((1, 0, 0), [7, 0, 0]), ((0.5, 0, 0.5), [3, 0, 4])]
)
def test_a_split_without_a_share_stays_empty(shares: tuple[float, ...], sizes: list[int]) -> None:
    assert [len(part) for part in divide([example(str(n)) for n in range(7)], shares).values()] == sizes


def test_too_few_different_items_are_refused() -> None:
    rows = [example("same"), example(" SAME "), example("other")]
    with pytest.raises(DataError, match="my.csv: rows must be at least 3 different items to fill 3 splits, got 2"):
        divide(rows, name="my.csv")
    assert [len(part) for part in divide(rows, (0, 0, 1)).values()] == [0, 0, 3]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.5, 0.5), (-0.5, 0.5, 1), (float("nan"), 0, 1), 3, "abc", None])
def test_wrong_shares_are_refused(shares: object) -> None:
    with pytest.raises(SettingError, match="split must be three shares of at least 0 that sum to 1"):
        divide([example(str(n)) for n in range(9)], shares)  # type: ignore[arg-type]


def test_data_measures_leakage_and_prints_a_table() -> None:
    train = Split("train", [example("Two red apples?"), example("two red  apples?"), example("b")])
    data = Data(train, Split("dev"), Split("test", [example("two red apples?")]), name="fruit", rejected=2)
    assert [split.name for split in data] == ["train", "dev", "test"]
    assert dict(data.splits) == {"train": data.train, "dev": data.dev, "test": data.test}
    assert str(data) == "\n".join(
        [
            "fruit: 4 examples, 2 bad rows left out",
            "split               rows     repeats",
            "train                  3           1",
            "dev                    0           0",
            "test                   1           0",
            "leakage            exact  normalised    near",
            "dev in train           0           0       0",
            "test in train          0           1       0",
            "test in dev            0           0       0",
        ]
    )
