"""Whole data sets, unloaded sources and rows in place of examples: a typed error says what to pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import promptkit as pk
from promptkit.adapters.training_set import check_apart

ROW = {"question": "What is 1 + 1?", "target": "2"}
DATA = pk.load_examples([{"question": f"What is {n} + 1?", "target": n + 1} for n in range(20)])


class Frame:
    columns = ("question", "target")


WRONG: list[tuple[object, str]] = [
    (DATA, "got 'Data'; pass one of its splits: data.train, data.dev or data.test"),
    ({"train": [ROW]}, "got 'dict'; load it first"),
    ("rows.csv", "got 'str'; load it first"),
    (Frame(), "got 'Frame'; load it first"),
    ([ROW], "got a dict at place 0; make examples of rows: load_examples"),
    ([DATA.train[0], ROW], "got a dict at place 1"),
    ([pk.Query({"question": "What is 1 + 1?"})], "got a Query at place 0; a Query has no answer"),
    ((example for example in DATA.train), "got 'generator'; make a list of it"),
    (7, "got 'int'"),
]


def take(name: str) -> Callable[[Any], object]:
    task, backend = pk.load_task("apples"), pk.ScriptedBackend(["2"])
    predictor = pk.FewShot(task, shots=0).fit([], backend)
    calls: dict[str, Callable[[Any], object]] = {
        "FewShot.fit": lambda one: pk.FewShot(task, shots=1).fit(one, backend),
        "FewShot.fit: dev": lambda one: pk.FewShot(task, shots=1).fit(DATA.train, backend, dev=one),
        "ChainOfThought.fit": lambda one: pk.ChainOfThought(task, bootstrap=True).fit(one, backend),
        "learned weights": lambda one: check_apart(one, None, of="LoRA"),
        "learned weights: dev": lambda one: check_apart(DATA.train, one, of="LoRA"),
        "evaluate": lambda one: pk.evaluate(predictor, one),
        "compare": lambda one: pk.compare({"a": predictor, "b": predictor}, one),
        "select": lambda one: pk.select("first", one, 1),
        "measure_leakage": lambda one: pk.measure_leakage(one),
    }
    return calls[name]


@pytest.mark.parametrize(
    ("given", "message"), WRONG, ids=[type(given).__name__ + message[:12] for given, message in WRONG]
)
@pytest.mark.parametrize(
    "name",
    [
        "FewShot.fit",
        "FewShot.fit: dev",
        "ChainOfThought.fit",
        "learned weights",
        "learned weights: dev",
        "evaluate",
        "compare",
        "select",
        "measure_leakage",
    ],
)
def test_what_is_no_sequence_of_examples_is_refused(name: str, given: object, message: str) -> None:
    with pytest.raises(pk.DataError) as caught:
        take(name)(given)
    assert "must be a sequence of Example, such as data.train" in str(caught.value) and message in str(caught.value)


def test_examples_are_accepted_in_every_form() -> None:
    """The twin: splits, slices, lists and tuples of examples."""
    for given in (DATA.train, DATA.train[:3], list(DATA.train), tuple(DATA.train)):
        for name in ("FewShot.fit", "FewShot.fit: dev", "evaluate", "select", "measure_leakage"):
            take(name)(given)
