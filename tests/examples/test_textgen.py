"""The training text of the reference model: reproducible, and disjoint from what the model is judged on."""

from __future__ import annotations

import json
import random
import re

import pytest

from examples.reference_model.textgen.documents import draw_document
from examples.reference_model.textgen.problems import KINDS, ROUTES, draw_problem, number_words, reason
from examples.reference_model.textgen.rewriting import RULES, House, draw_plain
from examples.reference_model.textgen.words import RESERVED, held_out, pseudo_word
from tests.support import ROOT


def text(seed: int, documents: int = 400) -> str:
    rng = random.Random(seed)
    return "".join(piece for _ in range(documents) for piece, _ in draw_document(rng))


def shipped(task: str, field: str) -> list[str]:
    rows = []
    for split in ("train", "dev", "test"):
        path = ROOT / "templates" / task / "data" / f"{split}.jsonl"
        rows += [json.loads(line)[field] for line in path.read_text(encoding="utf-8").splitlines()]
    return rows


def test_the_same_seed_writes_the_same_text() -> None:
    assert text(3, 50) == text(3, 50)
    assert text(3, 50) != text(4, 50)


def test_reserved_words_never_stand_in_the_training_text() -> None:
    words = set(re.findall(r"[a-z]+", text(1, 1500).casefold()))
    assert not words & RESERVED
    assert "question" in words


def test_label_and_product_names_of_the_domains_are_reserved() -> None:
    names = set(shipped("tickets", "target")) | {
        w
        for facts in shipped("products", "facts")
        for w in re.findall(r"([A-Z]\w+) (?:Account|Fund|Card|Loan|Plan|Deposit|Bond|Policy)", facts)
    }
    assert len(names) > 12
    assert {name.casefold() for name in names} <= RESERVED


@pytest.mark.parametrize(
    ("task", "field"), [("apples", "question"), ("tickets", "message"), ("tone", "message"), ("chinese", "sentence")]
)
def test_shipped_items_belong_to_the_eighth_that_training_never_sees(task: str, field: str) -> None:
    assert all(held_out(item) for item in shipped(task, field))


def test_training_problems_are_never_of_that_eighth() -> None:
    rng = random.Random(0)
    assert not any(held_out(draw_problem(rng, 1 + i % 5, 20).question) for i in range(500))
    assert all(held_out(draw_problem(rng, 1 + i % 5, 20, training=False).question) for i in range(50))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_the_steps_of_a_problem_are_right_and_in_its_text(steps: int) -> None:
    rng = random.Random(steps)
    for _ in range(100):
        problem = draw_problem(rng, steps, 50)
        assert len(problem.steps) == steps
        for step in problem.steps:
            value = {
                "+": step.left + step.right,
                "-": step.left - step.right,
                "*": step.left * step.right,
                "/": step.left // step.right,
            }
            assert value[step.sign] == step.result >= 0
        for route in ROUTES:
            assert str(problem.answer) in reason(rng, problem, route)


def test_numbers_in_words() -> None:
    assert [number_words(n) for n in (0, 13, 40, 99, 105, 320)] == [
        "zero",
        "thirteen",
        "forty",
        "ninety-nine",
        "one hundred and five",
        "three hundred and twenty",
    ]


def test_house_rules() -> None:
    plain = "I can't fix 3 of my lamps on Monday"
    assert House(frozenset()).rewrite(plain) == plain
    house = House(frozenset({"repair", "long", "plural", "small", "days", "sentence"}), opening="Hi!")
    assert house.rewrite(plain) == "Hi! We cannot repair three of our lamps on Mon."
    assert House(frozenset({"long", "plural"})).rewrite("I'll go") == "we will go"
    assert House(frozenset({"large", "store"})).rewrite(plain) == plain  # rules that the message does not meet
    assert House(frozenset({"initials", "sentence"})).rewrite("wait for Rosa") == "Wait for R."


def test_every_rule_changes_some_message() -> None:
    rng = random.Random(3)
    messages = [draw_plain(rng) for _ in range(2000)]
    for rule in RULES:
        house = House(frozenset({rule}))
        assert any(house.rewrite(one) != one for one in messages), rule


@pytest.mark.parametrize("kind", list(KINDS))
def test_terms_in_any_order_give_the_same_answer_by_other_sums(kind: str) -> None:
    rng = random.Random(11)
    orders = []
    for _ in range(100):
        problem = draw_problem(rng, 4, 50, kind=kind)
        steps = problem.shuffled(rng)
        assert len(steps) == 4 and steps[-1].result == problem.answer
        assert all(step.result >= 0 for step in steps)
        orders.append(steps != problem.steps)
    assert kind == "compare" or sum(orders) > 20


def test_invented_words_are_clean() -> None:
    rng = random.Random(5)
    assert not [w for w in (pseudo_word(rng) for _ in range(5000)) if re.search("shit|fuck|cunt|nig", w)]
