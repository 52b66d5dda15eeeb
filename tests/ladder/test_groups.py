"""Items that belong together are one observation of a climb, and no fold cuts a group."""

from __future__ import annotations

import dataclasses

import pytest

import promptkit as pk
from promptkit.ladder.cross_fitting import make_pool
from tests.support.simulation import climb, make_data, rung


def grouped(data: pk.Data, size: int) -> pk.Data:
    """The same data, ``size`` items a document, in an order that mixes documents."""
    parts = {}
    for name, split in data.splits.items():
        count = max(1, len(split) // size)
        parts[name] = pk.Split(
            name, [dataclasses.replace(one, group=f"{name}-doc{at % count}") for at, one in enumerate(split)]
        )
    return dataclasses.replace(data, **parts)


def test_groups_stay_together_in_order_folds_and_what_is_set_aside() -> None:
    data = grouped(make_data(train=60, dev=40, test=4), 5)
    pool = make_pool(data.train, data.dev, folds=4)
    starts = [at for at in range(len(pool)) if at == 0 or pool.groups[at] != pool.groups[at - 1]]
    assert len(starts) == len(set(pool.groups)) == 8 + 12
    for fold in range(4):
        inside = {group for group, number in zip(pool.groups, pool.folds, strict=True) if number == fold}
        pseudo_labelled = {f"train/{one.group}" for part in vars_of(pool, fold) for one in part}
        assert inside and not inside & pseudo_labelled
    assert not {one.group for one in pool.fit_split.train} & {one.group for one in pool.fit_split.tuning}


def vars_of(pool, fold: int):  # type: ignore[no-untyped-def]
    fit_split = pool.fold_splits[fold]
    return fit_split.train, fit_split.tuning


def lucky(request: pk.Request, index: int) -> str:
    """Rung r1 is right on four of eight documents more than r0: all items of a document go together."""
    text = request.prompt.text or ""
    asked = text.rpartition("Sum: ")[2]
    total = sum(map(int, asked.removesuffix("\nAnswer:").split(" + ")))
    right = PLACES[asked.removesuffix("\nAnswer:")] % 8 in ((0, 1, 2, 3, 7) if "of r1" in text else (7,))
    return f" {total if right else total + 1}"


PLACES: dict[str, int] = {}


def test_luck_with_four_documents_is_no_gain_of_thirty_two_items() -> None:
    data = make_data(train=8, dev=64, test=16)
    PLACES.update({one.query.fields["sum"]: at for split in data for at, one in enumerate(split)})
    ladder = [rung(0.3, "r0"), rung(0.6, "r1")]
    plain = climb(rungs=ladder, data=data, backend=pk.ScriptedBackend(lucky, name="sums"), folds=0).record
    together = climb(
        rungs=ladder, data=grouped(data, 8), backend=pk.ScriptedBackend(lucky, name="sums"), folds=0
    ).record
    assert plain["r1"].test is not None and together["r1"].test is not None
    assert plain["r1"].test.p_value < 0.05 < together["r1"].test.p_value
    assert plain["r1"].verdict == "kept" and together["r1"].verdict != "kept"
    assert together["r1"].score is not None and plain["r1"].score is not None
    assert together["r1"].score.high - together["r1"].score.low > plain["r1"].score.high - plain["r1"].score.low
    assert any("items of 8 groups belong together" in note for note in together.notes)
    assert not any("belong together" in note for note in plain.notes)


def test_a_field_or_a_mapping_names_the_groups() -> None:
    data = make_data(train=8, dev=20, test=10)
    by_id = {one.id: f"g{at % 4}" for split in data for at, one in enumerate(split)}
    record = climb(0.5, data=data, group=by_id, folds=0).record
    assert any("items of 4 groups belong together" in note for note in record.notes)
    assert not any("belong together" in note for note in climb(0.5, data=data, group="sum", folds=0).record.notes)
    with pytest.raises(pk.SettingError, match="climb: group must be one of 'id', 'sum', got 'document'"):
        climb(0.5, data=data, group="document")
    with pytest.raises(pk.SettingError, match="climb: group must be a field, 'id', or a mapping from id, got 3"):
        climb(0.5, data=data, group=3)


def test_repeated_ids_are_one_item_and_it_is_said() -> None:
    data = make_data(train=8, dev=30, test=10)
    dev = pk.Split(
        "dev", [pk.Example(pk.Query(one.query.fields, f"d{at // 3}"), one.targets) for at, one in enumerate(data.dev)]
    )
    record = climb(0.3, 0.9, data=dataclasses.replace(data, dev=dev), folds=0).record
    assert any("rows of one id are taken as one observation" in note for note in record.notes)
