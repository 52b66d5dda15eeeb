"""Copies in disguise among questions that nobody wrote for this project, and clean questions beside them."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from promptkit.data import measure_leakage
from promptkit.types import Example, Query

pytestmark = pytest.mark.skipif("PROMPTKIT_REAL_DATA" not in os.environ, reason="PROMPTKIT_REAL_DATA names no folder")

LETTERS = "ABCDE"


def read(name: str) -> list[dict[str, Any]]:
    with gzip.open(Path(os.environ["PROMPTKIT_REAL_DATA"]) / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@cache
def gsm8k(split: str) -> list[tuple[str, str]]:
    rows = read(f"cot-samples/gsm8k_{split}.jsonl.gz")
    return [(row["question"], row["answer"].split("####")[1].strip()) for row in rows]


def example(text: str, target: str) -> Example:
    return Example(Query({"question": text}), (target,))


def count(train: list[Example], planted: list[Example], clean: list[Example]) -> tuple[int, int]:
    """How many planted copies are found, and how many clean items are called copies."""
    matches = measure_leakage(train, test=[*planted, *clean]).overlap("test", "train").matches
    found = sum(match.row < len(planted) for match in matches)
    return found, len(matches) - found


def check(name: str, planted: int, found: int, wrong: int, *, least: float) -> None:
    print(f"{name}: {found} of {planted} found, {wrong} clean items called copies")
    assert found >= least * planted and wrong == 0


# --- options -------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[str, list[str]], str]] = {
    "lines": lambda question, options: "\n".join([question, *map("{}) {}".format, LETTERS, options)]),
    "inline": lambda question, options: " ".join([question, *map("({}) {}".format, LETTERS, options)]),
    "dots": lambda question, options: "\n".join([question, "Options:", *map("{}. {}".format, LETTERS, options)]),
    "commas": lambda question, options: f"{question} Choices: {', '.join(map('{}) {}'.format, LETTERS, options))}",
}


@pytest.mark.parametrize("form", FORMS)
def test_reordered_options_of_aqua(form: str) -> None:
    rows = read("cot-samples/pot_aqua_sc30.jsonl.gz")
    draw, items, copies = random.Random(1), [], []
    for row in rows:
        options, gold = [option.split(")", 1)[1].strip() for option in row["options"]], LETTERS.index(row["gold"])
        items.append(example(FORMS[form](row["question"], options), row["gold"]))
        order = [0, 1, 2, 3, 4]
        while order.index(gold) == gold:
            draw.shuffle(order)
        turned = [options[at] for at in order]
        copies.append(example(FORMS[form](row["question"], turned), LETTERS[order.index(gold)]))
    found, wrong = count(items[:153], copies[:153], items[153:])
    check(f"options as {form}", 153, found, wrong, least=0.95)


# --- letters, digits, sentences --------------------------------------------------------------------------------------

ALPHABETS = {
    "Cyrillic": str.maketrans("aceopxyijsABCEHKMOPTX", "асеорхуіјѕАВСЕНКМОРТХ"),
    "Greek": str.maketrans("aoviukABEZHIKMNOPTYX", "αονιυκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"),
    "full width": {code: code + 0xFEE0 for code in [*range(65, 91), *range(97, 123)]},
    "mathematical": {97 + n: 0x1D41A + n for n in range(26)},
}
DIGITS = {"Arabic": 0x660, "Persian": 0x6F0, "Devanagari": 0x966, "Thai": 0xE50, "mathematical": 0x1D7CE}


def disguised(change: Callable[[str], str], kept: Callable[[str], bool] = bool) -> tuple[int, int, int]:
    train = gsm8k("train")[:1500]
    planted = [example(change(text), target) for text, target in train if kept(text)][:273]
    found, wrong = count([example(*row) for row in train], planted, [example(*row) for row in gsm8k("test")[:400]])
    return len(planted), found, wrong


@pytest.mark.parametrize("share", [0.05, 0.5, 1])
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_look_alike_letters(alphabet: str, share: float) -> None:
    draw, table = random.Random(1), ALPHABETS[alphabet]

    def change(text: str) -> str:
        return "".join(char.translate(table) if draw.random() < share else char for char in text)

    check(f"{alphabet} letters, {share:.0%}", *disguised(change), least=0.95)


@pytest.mark.parametrize("script", DIGITS)
def test_digits_of_other_scripts(script: str) -> None:
    def change(text: str) -> str:
        return re.sub("[0-9]", lambda digit: chr(DIGITS[script] + int(digit.group())), text)

    check(f"{script} digits", *disguised(change, lambda text: any(map(str.isdigit, text))), least=1)


@pytest.mark.parametrize("edited", [False, True])
def test_reordered_sentences(edited: bool) -> None:
    draw = random.Random(3)

    def sentences(text: str) -> list[str]:
        return re.split(r"(?<=[.?!])\s+", text.strip())

    def change(text: str) -> str:
        parts = sentences(text)
        order = list(parts)
        while order == parts:
            draw.shuffle(order)
        words = " ".join(order).split(" ")
        if edited:
            words[draw.choice([at for at, word in enumerate(words) if word.isalpha() and len(word) > 3])] = "zorple"
        return " ".join(words)

    check(
        f"sentences in another order{', one word changed' * edited}",
        *disguised(change, lambda text: len(set(sentences(text))) > 2),
        least=0.9,
    )


# --- clean -----------------------------------------------------------------------------------------------------------


def test_questions_of_gsm8k_are_no_copies_of_each_other() -> None:
    train, test = ([example(*row) for row in gsm8k(split)] for split in ("train", "test"))
    assert count(train, [], test) == (0, 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_short_questions_about_another_thing_are_no_copies(seed: int) -> None:
    rows = {
        row["question"].casefold(): example(row["question"], row["qtype"]) for row in read("domain/medquad_qa.jsonl.gz")
    }
    items = list(rows.values())
    random.Random(seed).shuffle(items)
    _, called = count(items[422:], [], items[:422])
    print(f"MedQuAD, question to type: {called} of 422 called near")
    assert called <= 0.02 * 422
