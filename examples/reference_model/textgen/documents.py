"""Whole documents: a family, a style, several items; plain or as a chat."""

from __future__ import annotations

import random

from .chinese import chinese_items
from .facts import fact_items
from .labels import label_items
from .layout import Item, Layout, Piece, draw_answer_form, draw_layout
from .problems import ROUTES, Problem, draw_problem, number_words, reason
from .rewriting import rewrite_items
from .transforms import transform_items
from .words import NAMES, THINGS, VERBS

INSTRUCTIONS = {
    "problems": ("Solve the problem.", "Answer the questions.", "Word problems.", "Think, then answer.", "Count."),
    "labels": ("Sort the texts.", "Choose the label.", "Which class is it?", "Classify.", "Name the kind."),
    "transforms": ("Do the same.", "Continue the pattern.", "Follow the examples.", "Change the text."),
    "facts": ("Answer from the facts.", "Answer the question about the product.", "Read, then answer."),
    "rewriting": ("Rewrite the message.", "Put it in house style."),
    "chinese": ("回答。", "看一看，说一说。"),
}
WEIGHTS = {
    "problems": 0.49,
    "labels": 0.18,
    "transforms": 0.15,
    "facts": 0.03,
    "rewriting": 0.12,
    "chinese": 0.025,
    "prose": 0.005,
}
LEARN_QUESTIONS = 0.3  # Share of documents in which the questions are learnt too, not only the answers.


def draw_document(rng: random.Random) -> list[Piece]:
    """Writes one document as pieces of text, each marked as to be learnt or only read."""
    family = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if family == "prose":
        return [(prose(rng), True)]
    header = ""
    multiline = False
    if family == "problems":
        items, multiline = problem_items(rng)
    elif family == "labels":
        items = label_items(rng, rng.randint(6, 28))
    elif family == "transforms":
        items = transform_items(rng, rng.randint(4, 16))
    elif family == "facts":
        items, header = fact_items(rng, rng.randint(3, 7))
        multiline = True
    elif family == "rewriting":
        items, header = rewrite_items(rng)
    else:
        items = chinese_items(rng, rng.randint(4, 14))
    if rng.random() < 0.3:
        header = rng.choice(INSTRUCTIONS[family]) + ("\n" + header if header else "")
    if rng.random() < 0.08:
        pieces = chat(items, header)
    else:
        pieces = draw_layout(rng, multiline=multiline).pieces(items, header)
    if rng.random() < LEARN_QUESTIONS:
        return [(text, True) for text, _ in pieces]
    return pieces


def chat(items: list[Item], system: str) -> list[Piece]:
    """Lays out a document as a conversation with control tokens."""
    out: list[Piece] = [(f"<|im_start|>system\n{system}<|im_end|>\n", False)] if system else []
    for item in items:
        out.append((f"<|im_start|>user\n{item.question}<|im_end|>\n<|im_start|>assistant\n", False))
        out.append((f"{item.answer}<|im_end|>\n", True))
    return out


def problem_items(rng: random.Random) -> tuple[list[Item], bool]:
    """Writes word problems answered in one style; also tells whether answers may hold line breaks."""
    high = rng.choice((10, 20, 20, 20, 30, 50, 100, 150))
    kind = rng.random()
    left, right = draw_answer_form(rng)
    if kind < 0.64:
        low, top = rng.choice(((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (1, 5)))
        words = rng.random() < 0.1
        problems = [draw_problem(rng, rng.randint(low, top), high) for _ in range(rng.randint(5, 14))]
        return [
            Item(p.question, left + (number_words(p.answer) if words else str(p.answer)) + right) for p in problems
        ], False
    low, top = rng.choice(((1, 2), (1, 4), (2, 4), (2, 5), (3, 5), (1, 5)))
    problems = [draw_problem(rng, rng.randint(low, top), high) for _ in range(rng.randint(3, 9))]
    if kind < 0.65:
        return [Item(p.question, "") for p in problems], False
    routes = [rng.choice(ROUTES)] if rng.random() < 0.55 else rng.sample(ROUTES, rng.randint(2, 4))
    gap = rng.choice((" ", " ", " ", "\n"))
    shuffled = rng.random() < 0.6
    return [
        Item(p.question, reasoned_answer(reason(rng, p, rng.choice(routes), shuffled=shuffled), p, gap, left, right))
        for p in problems
    ], True


def reasoned_answer(reasoning: str, problem: Problem, gap: str, left: str, right: str) -> str:
    """Writes reasoning and the final answer after it."""
    return reasoning.rstrip("\n") + ("\n" if reasoning.endswith("\n") else gap) + left + str(problem.answer) + right


def prose(rng: random.Random) -> str:
    """Writes a little story of simple sentences."""
    out = []
    for _ in range(rng.randint(5, 25)):
        name, other = rng.sample(NAMES, 2)
        out.append(
            rng.choice(
                (
                    f"{name} {rng.choice(VERBS)}.",
                    f"{name} has {rng.randint(2, 99)} {rng.choice(THINGS)}.",
                    f"{name} and {other} like {rng.choice(THINGS)}.",
                    f"Then {name} meets {other}.",
                )
            )
        )
    return " ".join(out) + "\n"


__all__ = ["Layout", "draw_document", "problem_items"]
