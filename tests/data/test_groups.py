from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import DataError, SettingError, load_examples
from promptkit.data import DataWarning, divide, find_groups
from promptkit.types import Example, Query


def rows(documents: int = 20, questions: int = 4) -> list[dict[str, object]]:
    return [
        {"question": f"question {q} on {d}", "target": f"{q}", "document": f"d{d}"}
        for d in range(documents)
        for q in range(questions)
    ]


def test_a_column_becomes_the_group_and_is_no_field() -> None:
    data = load_examples(rows(), group="document", on_leakage="ignore")
    example = data.train[0]
    assert example.group.startswith("d")
    assert dict(example.query.fields).keys() == {"question"}
    assert load_examples(rows(), on_leakage="ignore").train[0].group == ""


def test_a_field_can_be_the_group() -> None:
    data = load_examples(rows(), group="document", fields=["document", "question"], on_leakage="ignore")
    assert data.train[0].group == data.train[0].query.fields["document"]
    renamed = load_examples(
        rows(), group="text", fields=["text", "question"], columns={"text": "document"}, on_leakage="ignore"
    )
    assert renamed.train[0].group == renamed.train[0].query.fields["text"]


def test_a_division_keeps_groups_together_and_the_twin_without_groups_tears_them() -> None:
    def torn(**settings: str) -> int:
        data = load_examples(rows(), on_leakage="ignore", **settings)  # type: ignore[arg-type]
        where = [{one.query.fields["question"].split()[-1] for one in split} for split in data]
        return len(where[0] & where[1] | where[0] & where[2] | where[1] & where[2])

    assert torn(group="document") == 0
    assert torn() > 5


@given(
    st.lists(st.tuples(st.integers(0, 15), st.sampled_from(["", "a", "b", "c", "d", "e"])), min_size=20),
    st.integers(0, 9),
)
def test_what_is_equal_or_of_one_group_is_never_divided(pairs: list[tuple[int, str]], seed: int) -> None:
    examples = [
        Example(Query({"q": f"text {text}"}, str(i)), ("x",), None, group) for i, (text, group) in enumerate(pairs)
    ]
    try:
        parts = divide(examples, seed=seed)
    except DataError:
        return  # too few blocks for three splits
    assert sorted(one.id for part in parts.values() for one in part) == sorted(one.id for one in examples)
    for trait in (lambda one: one.group, lambda one: one.query.key):
        seen = [{trait(one) for one in part} - {""} for part in parts.values()]
        assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]


def test_groups_in_several_given_splits_are_warned_of() -> None:
    table = rows()
    with pytest.warns(DataWarning, match="1 groups have items in several splits, such as 'd0'"):
        load_examples({"train": table[:2], "test": table[2:]}, group="document", on_leakage="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_examples({"train": table[:4], "test": table[40:44]}, group="document")


def test_an_unknown_or_unusable_group_is_named() -> None:
    with pytest.raises(DataError, match="group must be one of 'question', 'target', 'document', got 'doc'"):
        load_examples(rows(), group="doc")
    table = [{**row, "document": ["d"]} for row in rows()]
    with pytest.raises(DataError, match="document must be text or a number"):
        load_examples(table, group="document")


def test_a_row_without_a_group_belongs_to_nothing() -> None:
    table = [{**row, "document": "" if place % 2 else "d"} for place, row in enumerate(rows())]
    examples = [one for split in load_examples(table, group="document", on_leakage="ignore") for one in split]
    labels = find_groups([one.id for one in examples], [{}] * 80, [one.group for one in examples]).labels
    assert labels is not None
    assert len(set(labels)) == 41


def test_a_group_is_part_of_the_fingerprint_and_none_leaves_it_as_it_was() -> None:
    plain = load_examples(rows(), on_leakage="ignore", split=(0, 0, 1)).test
    grouped = load_examples(rows(), on_leakage="ignore", split=(0, 0, 1), group="document").test
    assert plain.fingerprint != grouped.fingerprint


IDS = ["1", "2", "3"]
FIELDS = [{"q": "a"}, {"q": "b"}, {"q": "c"}]


def test_what_the_caller_says_counts_first() -> None:
    own = ["x", "x", "y"]
    assert find_groups(IDS, FIELDS, own).labels == ("x", "x", "y")
    assert find_groups(IDS, FIELDS, own, "q").labels == ("a", "b", "c")
    assert find_groups(IDS, FIELDS, own, {"1": "k", "2": "l", "3": "l"}).labels == ("k", "l", "l")
    assert find_groups(IDS, FIELDS, own, [1, 1, 2]).labels == ("1", "1", "2")
    assert find_groups(IDS, FIELDS, own, "group").labels == ("x", "x", "y")
    assert find_groups(IDS, FIELDS, [""] * 3, "id").labels == ("1", "2", "3")


@pytest.mark.parametrize("group", ["document", "group", {"1": "a"}, [1, 2], 3])
def test_a_group_that_is_none_is_refused(group: object) -> None:
    with pytest.raises(SettingError, match="evaluate: group must be"):
        find_groups(IDS, FIELDS, [""] * 3, group, of="evaluate")  # type: ignore[arg-type]


def test_repeated_ids_are_grouped_and_said() -> None:
    found = find_groups(["1", "2", "1"], FIELDS, [""] * 3)
    assert found.labels == ("1", "2", "1")
    assert found.notes == ("1 ids stand on several rows, such as '1': rows of one id are taken as one observation",)


def test_equal_inputs_and_long_fields_are_said_and_short_labels_are_not() -> None:
    document = "A long document. " * 10
    shared = [{"context": document * (1 + i // 3), "q": str(i)} for i in range(5)]
    found = find_groups(list("12345"), shared, [""] * 5)
    assert found.labels is None
    assert found.notes == (
        "5 of 5 items share their 'context' with another; if their answers depend on each other, name what they share "
        "by group= (--group), such as group='context'",
    )
    twice = [{"q": "a"}, {"q": "A "}, {"q": "b"}, {"q": "c"}]
    assert "2 of 4 items have the same input as another" in find_groups(list("1234"), twice, [""] * 4).notes[0]
    assert "all 4 items have the same input" in find_groups(list("1234"), [{"q": "a"}] * 4, [""] * 4).notes[0]
    same = [{"context": document, "q": str(i)} for i in range(4)]
    assert "all 4 items have the same 'context'" in find_groups(list("1234"), same, [""] * 4).notes[0]
    assert find_groups(list("123"), [{"topic": "sports", "q": str(i)} for i in range(3)], [""] * 3).notes == ()
