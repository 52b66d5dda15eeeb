"""Judging and learning never meet: pools, what is set aside, folds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from simulation import climb, examples, make_data, rung, verdicts

import promptkit as pk
from promptkit.ladder.cross_fitting import Pool, make_pool


def split(name: str, numbers: list[int]) -> pk.Split:
    return pk.Split(
        name, [pk.Example(pk.Query({"sum": f"item {n}"}, f"{name}-{i}"), (str(n),)) for i, n in enumerate(numbers)]
    )


def keys(found: pk.Split) -> set[str]:
    return {example.query.key for example in found}


def check(pool: Pool, train: pk.Split, dev: pk.Split) -> None:
    """Nothing that judges teaches, whichever fit answers it."""
    assert not keys(pool.fit_split.train) & keys(pool.fit_split.tuning)
    assert sorted(pool.keys[: pool.own]) == sorted(f"dev/{place}" for place in range(len(dev)))
    for key, example, fold in zip(pool.keys, pool.examples, pool.folds, strict=True):
        name, place = key.split("/")
        assert {"dev": dev, "train": train}[name][int(place)] is example
        fit_split = pool.fit_split if fold is None else pool.fold_splits[fold]
        if fold is not None:
            assert example.query.key not in keys(fit_split.train) | keys(fit_split.tuning)
    for fit_split in (pool.fit_split, *pool.fold_splits):
        assert not keys(fit_split.train) & keys(fit_split.tuning)


@given(
    st.lists(st.integers(0, 30), max_size=60),
    st.lists(st.integers(100, 130), min_size=1, max_size=30),
    st.sampled_from([0, 2, 5, "auto"]),
    st.integers(0, 5),
)
def test_no_fit_sees_an_item_that_it_is_judged_on(train: list[int], dev: list[int], folds: int, seed: int) -> None:
    parts = split("train", train), split("dev", dev)
    if isinstance(folds, int) and folds > max(2, len(train)):
        folds = 0
    pool = make_pool(*parts, folds=folds, seed=seed)
    check(pool, *parts)
    if pool.fold_splits:
        assert len(pool) == len(train) + len(dev)


def test_the_order_depends_on_content_and_seed_and_not_on_the_file() -> None:
    rows = split("dev", list(range(50)))
    turned = pk.Split("dev", rows.examples[::-1])
    nothing = pk.Split("train")
    one, other = (make_pool(nothing, found, seed=1).examples for found in (rows, turned))
    assert one == other
    assert one != make_pool(nothing, rows, seed=2).examples
    assert one != rows.examples


def test_a_quarter_of_train_is_set_aside_and_at_most_a_hundred() -> None:
    dev = split("dev", [10**6])
    sizes = [len(make_pool(split("train", list(range(n))), dev, folds=0).fit_split.tuning) for n in (0, 3, 4, 40, 1000)]
    assert sizes == [0, 0, 1, 10, 100]


def test_small_dev_sets_are_stretched_and_large_ones_are_not() -> None:
    train = split("train", list(range(200, 300)))
    small, large = (make_pool(train, split("dev", list(range(n)))) for n in (99, 100))
    assert (len(small), len(small.fold_splits)) == (199, 5)
    assert (len(large), len(large.fold_splits)) == (100, 0)


def test_cross_fitting_finds_a_gain_that_dev_alone_cannot_show() -> None:
    data = make_data(train=300, dev=25, test=50)
    alone = climb(0.5, 0.75, data=data, folds=0)
    stretched = climb(0.5, 0.75, data=data)
    assert verdicts(alone) == ["first", "undecided"] and verdicts(stretched) == ["first", "kept"]
    trial = stretched.record["r1"]
    assert trial.fit is not None and trial.fit.folds == 5
    assert {outcome.fold for outcome in trial.results} == {None, 0, 1, 2, 3, 4}
    assert stretched.record.data.judged == 325 and "5 folds over train and dev" in str(stretched)


class Parrot:
    """A rung that knows what it was fitted on by heart, and nothing else."""

    def fit(self, examples, backend, *, dev=None, seed=0):  # type: ignore[no-untyped-def]
        known = {one.query.key: one.target for one in (*examples, *(dev or ()))}
        plain = rung(0.0)[1].fit(examples, backend)

        class Recite:
            task = plain.task

            def predict(self, queries, *, seed=0, on_error="raise", progress=None):  # type: ignore[no-untyped-def]
                return [pk.Prediction(query.id, known.get(query.key)) for query in queries]

            def save(self, folder):  # type: ignore[no-untyped-def]
                plain.save(folder)

        return Recite()


def test_learning_by_heart_earns_nothing() -> None:
    result = climb(rungs=[rung(0.2), ("parrot", Parrot())], data=make_data(train=100, dev=30, test=20))
    assert verdicts(result) == ["first", "lost"]
    score = result.record["parrot"].score
    assert score is not None and score.mean == 0.0


def test_the_parrot_would_have_been_kept_if_it_were_judged_on_what_it_learned() -> None:
    rows = examples(100)
    parrot = Parrot().fit(rows, pk.ScriptedBackend())
    answers = parrot.predict([one.query for one in rows])
    assert all(answer.answer == one.target for answer, one in zip(answers, rows, strict=True))
