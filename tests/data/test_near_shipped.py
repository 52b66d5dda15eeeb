"""Near-duplicates planted into the shipped tasks, whose items are written from frames and differ in a few words anyway."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from promptkit.data import Data, load_examples, measure_leakage
from promptkit.data.item import Item
from promptkit.types import Example, Query

TASKS = ["apples", "chinese", "notation", "products", "tickets", "tone"]
NEW = [a + b for a in "bal cer dim fol gut hav lem nor pul rik".split() for b in ("or", "an", "isk", "um", "ett")]
NEW_SIGNS = [chr(code) for code in range(0x4F00, 0x4F00 + 50)]


@cache
def task(name: str) -> Data:
    return load_examples(name)


def change(example: Example, draw: random.Random, words: int) -> Example:
    """Changes words, or Chinese characters, but no number: with another number it is another question."""
    fields = dict(example.query.fields)
    name = max(fields, key=lambda name: len(fields[name]))
    parts = re.findall(r"\s+|[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", fields[name])
    free = [at for at, part in enumerate(parts) if Item(part).size and not Item(part).numbers]
    for at in draw.sample(free, words):
        parts[at] = draw.choice(NEW_SIGNS if "\u4e00" <= parts[at] <= "\u9fff" else NEW)
    return Example(Query({**fields, name: "".join(parts)}), example.targets)


@pytest.mark.parametrize("planted", [1, 5, 50])
@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("name", TASKS)
def test_copies_are_found_and_nothing_else(name: str, words: int, planted: int) -> None:
    data, draw = task(name), random.Random(f"{words} {planted}")
    train, test = list(data.train)[:500], list(data.test)
    test[:planted] = [change(train[row * 7], draw, words) for row in range(planted)]
    found = {match.row: match for match in measure_leakage(train, test=test).overlap("test", "train").matches}
    assert found.keys() <= set(range(planted))
    assert len(found) >= 0.95 * planted
    assert sum(match.clone == 7 * row for row, match in found.items()) >= 0.9 * planted


@pytest.mark.parametrize("name", TASKS)
def test_within_train_no_item_is_a_copy_of_another(name: str) -> None:
    """A clean set that nobody has sifted: items of train against items of train."""
    rows = list(task(name).train)
    found = measure_leakage(rows[:300], test=rows[300:]).overlap("test", "train")
    assert (found.exact, found.normalised, found.near) == (0, 0, 0)
