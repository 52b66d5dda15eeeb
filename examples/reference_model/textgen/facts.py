"""Invented products with their facts, and questions about them."""

from __future__ import annotations

import random

from .layout import Item
from .words import CATEGORIES, NAMES, held_out, pseudo_word

KINDS = "account fund card loan plan deposit bond policy".split()
ASK = {
    "fee": ("What is the fee of {p}?", "How much is the fee for {p}?", "Which fee does {p} have?"),
    "term": ("How long does {p} run?", "What is the term of {p}?"),
    "minimum": ("What is the minimum for {p}?", "How much do I need at least for {p}?"),
    "risk": ("How risky is {p}?", "What is the risk of {p}?"),
    "currency": ("In which currency is {p}?", "What is the currency of {p}?"),
    "region": ("Where is {p} offered?", "In which country can I get {p}?"),
    "contact": ("Who is the contact for {p}?", "Whom do I call about {p}?"),
    "since": ("Since when is {p} offered?", "In which year did {p} start?"),
}
TELL = {
    "fee": "The fee of {p} is {v}.", "term": "{p} runs {v}.", "minimum": "The minimum for {p} is {v}.", "risk": "The risk of {p} is {v}.",
    "currency": "{p} is held in {v}.", "region": "{p} is offered in {v}.", "contact": "The contact for {p} is {v}.", "since": "{p} is offered since {v}.",
}  # fmt: skip
SAY = {
    "fee": "The fee is {v}.", "term": "It runs {v}.", "minimum": "You need at least {v}.", "risk": "The risk is {v}.", "currency": "It is held in {v}.",
    "region": "It is offered in {v}.", "contact": "Please call {v}.", "since": "It started in {v}.",
}  # fmt: skip


def draw_product(rng: random.Random) -> tuple[str, dict[str, str]]:
    """Invents a product and some of its facts."""
    name = f"{pseudo_word(rng, rng.choice((2, 2, 3))).capitalize()} {rng.choice(KINDS).capitalize()}"
    values = {
        "fee": f"{rng.randint(1, 9)} percent" if rng.random() < 0.5 else f"{rng.randint(2, 60)} dollars", "term": f"{rng.randint(2, 30)} {rng.choice(('years', 'months'))}",
        "minimum": f"{rng.randint(1, 90) * 100} {rng.choice(('dollars', 'euros', 'pounds'))}", "risk": rng.choice(("low", "medium", "high", "very low", "very high")),
        "currency": rng.choice(("dollars", "euros", "pounds", "yen", "francs", "crowns")), "region": rng.choice(CATEGORIES["country"]),
        "contact": rng.choice(NAMES), "since": str(rng.randint(1950, 2024)),
    }  # fmt: skip
    kept = rng.sample(list(values), rng.randint(2, 5))
    return name, {key: values[key] for key in kept}


def sheet(rng: random.Random, products: list[tuple[str, dict[str, str]]], style: int) -> str:
    """Writes the facts of products as a list, as a line each, or as sentences."""
    if style == 0:
        return "\n".join(f"{name}: " + ", ".join(f"{k} {v}" for k, v in facts.items()) for name, facts in products)
    if style == 1:
        return "\n".join(name + "\n" + "\n".join(f"- {k}: {v}" for k, v in facts.items()) for name, facts in products)
    told = [TELL[k].format(p=name, v=v) for name, facts in products for k, v in facts.items()]
    rng.shuffle(told)
    return " ".join(told)


def fact_items(rng: random.Random, count: int) -> tuple[list[Item], str]:
    """Writes questions either about one sheet that heads the document, or each with a sheet of its own."""
    style, short, shared = rng.randrange(3), rng.random() < 0.6, rng.random() < 0.4
    mark = rng.choice(("\nQuestion: ", "\n", " ", "\nQ: ")) if style < 2 else rng.choice(("\nQuestion: ", " ", "\n"))
    many = rng.randint(1, 3)
    common = [draw_product(rng) for _ in range(rng.randint(2, 4))]
    items = []
    while len(items) < count:
        products = common if shared else [draw_product(rng) for _ in range(many)]
        name, facts = rng.choice(products)
        key = rng.choice(list(facts))
        question = rng.choice(ASK[key]).format(p=name)
        if held_out(question):
            continue
        text = question if shared else sheet(rng, products, style) + mark + question
        items.append(Item(text, facts[key] if short else SAY[key].format(v=facts[key])))
    return items, sheet(rng, common, style) if shared else ""
