from __future__ import annotations

import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from promptkit.data import measure_leakage
from promptkit.types import Example, Query


def example(text: str, target: str = "x") -> Example:
    return Example(Query({"question": text}), (target,))


def rows(start: int, count: int) -> list[Example]:
    words = "amber birch cedar delta ember fjord grove heath inlet jetty knoll ledge marsh north ocean plain".split()
    found = []
    for number in range(start, start + count):
        draw = random.Random(number)
        found.append(example(f"What does the {' '.join(draw.sample(words, 6))} report say, “{number:x}-{number}”?"))
    return found


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


NORMALISED: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "white space": lambda text: "  " + text.replace(" ", " \t\n") + "\u3000",
    "full width": full_width,
    "decomposed": lambda text: unicodedata.normalize("NFKD", text),
    "no punctuation": lambda text: text.replace("?", "").replace(",", ""),
    "more punctuation": lambda text: text.replace(" report", ", report") + "!?…",
    "other quotes": lambda text: text.replace("“", '"').replace("”", "'"),
}


@pytest.mark.parametrize("planted", [1, 5, 50])
def test_every_exact_copy_is_found(planted: int) -> None:
    train, test = rows(0, 500), rows(500, 200)
    test[:planted] = train[100 : 100 + planted]
    found = measure_leakage(train, test=test).overlap("test", "train")
    assert [(match.row, match.original) for match in found.matches] == [(n, 100 + n) for n in range(planted)]
    assert (found.exact, found.normalised, found.near) == (planted, 0, 0)


@pytest.mark.parametrize("planted", [1, 5, 50])
@pytest.mark.parametrize("change", NORMALISED)
def test_every_normalised_copy_is_found(change: str, planted: int) -> None:
    train, test = rows(0, 500), rows(500, 200)
    texts = [row.query.fields["question"] + (" é" if change == "decomposed" else "") for row in train]
    train = [example(text) for text in texts]
    test[:planted] = [example(NORMALISED[change](text)) for text in texts[100 : 100 + planted]]
    found = measure_leakage(train, test=test).overlap("test", "train")
    assert [(match.row, match.original) for match in found.matches] == [(n, 100 + n) for n in range(planted)]
    assert (found.exact, found.normalised, found.near) == (0, planted, 0)


def test_a_clean_set_has_none() -> None:
    leakage = measure_leakage(rows(0, 500), rows(500, 100), rows(600, 200))
    assert not leakage and dict(leakage.repeats) == {"train": 0, "dev": 0, "test": 0}


def test_every_pair_of_splits_is_compared() -> None:
    train, dev, test = rows(0, 30), rows(30, 30), rows(60, 30)
    leakage = measure_leakage(train, [train[0], *dev], [train[1], dev[2], *test])
    figures = {(one.split, one.inside): one.exact for one in leakage.overlaps}
    assert figures == {("dev", "train"): 1, ("test", "train"): 1, ("test", "dev"): 1}
    assert leakage
    with pytest.raises(KeyError):
        leakage.overlap("train", "test")


def test_an_exact_copy_counts_whatever_its_target() -> None:
    found = measure_leakage([example("Same question?", "a")], test=[example("Same question?", "b")])
    assert found.overlap("test", "train").exact == 1


def test_field_names_count() -> None:
    one, two = Example(Query({"a": "red", "b": "blue"}), ("x",)), Example(Query({"a": "blue", "b": "red"}), ("x",))
    assert not measure_leakage([one], test=[two])
    assert measure_leakage([one], test=[one])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("What is 3 - 5?", "What is 3 5?"),
        ("Add -5 mg", "Add 5 mg"),
        ("It costs 3.5", "It costs 35"),
        ("Take 1/2 cup", "Take 12 cup"),
        ("a * b", "a / b"),
        ("a + b", "a - b"),
        ("50% of it", "50 of it"),
        ("x < y", "x > y"),
    ],
)
def test_signs_that_carry_meaning_are_no_punctuation(one: str, two: str) -> None:
    assert not measure_leakage([example(one)], test=[example(two)])
    assert measure_leakage([example(one)], test=[example(one + " !")])  # the twin: a sign that carries none


def test_without_punctuation_a_copy_needs_the_same_target() -> None:
    # Where punctuation decides about the answer, it is no ornament.
    assert not measure_leakage([example("[a; b]", "square")], test=[example("(a; b)", "round")])
    assert measure_leakage([example("[a; b]", "list")], test=[example("(a; b)", "LIST.")])


def test_repeats_within_a_split_are_counted_and_are_no_leak() -> None:
    leakage = measure_leakage(["a b", "A  b", "a b", "c"], test=["d", "d"])
    assert not leakage and dict(leakage.repeats) == {"train": 2, "dev": 0, "test": 1}


def test_lone_surrogates_and_odd_texts_do_no_harm() -> None:
    odd = ["\ud800", "\x00", "", " ", "\u202e", "e\u0301" * 50, "👩‍👩‍👧"]
    assert measure_leakage(odd, test=odd).overlap("test", "train").exact == len(odd)


def test_the_table() -> None:
    leakage = measure_leakage(["One two three.", "x"], test=["one two three", "x"])
    assert str(leakage).splitlines() == [
        "leakage            exact  normalised    near",
        "dev in train           0           0       0",
        "test in train          1           1       0",
        "test in dev            0           0       0",
    ]


# --- real data ---------------------------------------------------------------------------------------------------

real = pytest.mark.skipif("PROMPTKIT_REAL_DATA" not in os.environ, reason="PROMPTKIT_REAL_DATA names no folder")


def lines(name: str) -> list[str]:
    path = Path(os.environ["PROMPTKIT_REAL_DATA"]) / "domain" / name
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


@real
def test_the_figures_of_the_finance_domain() -> None:
    """6 test lines stand in train, 11 train and 5 test lines are repeats; one more pair differs in a few words."""
    leakage = measure_leakage(lines("proxima_train.txt"), test=lines("proxima_test.txt"))
    found = leakage.overlap("test", "train")
    assert (found.exact, found.normalised, found.near) == (1, 5, 0)  # the others differ in blanks at the end
    assert dict(leakage.repeats) == {"train": 11, "dev": 0, "test": 5}
