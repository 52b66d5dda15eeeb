"""How a document is laid out: what stands before a question, before and after an answer, between items."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .words import pseudo_word

# A piece of a document: its text, and whether it is answer (always learnt) or question (learnt in some documents).
Piece = tuple[str, bool]


@dataclass(frozen=True)
class Item:
    """One question and its answer, without any layout."""

    question: str
    answer: str


@dataclass(frozen=True)
class Layout:
    """The style of a document: item = head + question + tail + before + answer + after."""

    head: str
    tail: str
    before: str
    after: str
    separator: str

    def pieces(self, items: Sequence[Item], instruction: str = "") -> list[Piece]:
        """Lays out a document; the separator after an answer is part of what is learnt."""
        out: list[Piece] = [(instruction + self.separator, False)] if instruction else []
        for item in items:
            out.append((self.head + item.question + self.tail, False))
            out.append((self.before + item.answer + self.after + self.separator, True))
        return out


HEADS = [
    "Question: ",
    "Q: ",
    "Problem: ",
    "Input: ",
    "Text: ",
    "Task: ",
    "Item: ",
    "",
    "",
    "",
    "* ",
    "- ",
    "> ",
    "In: ",
]
TAILS = [
    "\nAnswer:",
    "\nA:",
    "\nSolution:",
    "\nOutput:",
    "\nResult:",
    "\nOut:",
    " ->",
    " =>",
    "\n=>",
    "\n",
    " |",
    " =",
    ":",
    "\nReply:",
]
SEPARATORS = ["\n\n", "\n\n", "\n\n", "\n", "\n---\n", "\n###\n", "\n\n\n", "\n==\n"]


def word_label(rng: random.Random) -> str:
    """Returns a heading that could be anything: a known one, or an invented word."""
    word = (
        pseudo_word(rng)
        if rng.random() < 0.5
        else rng.choice(
            (
                "Message",
                "Sentence",
                "Line",
                "Case",
                "Entry",
                "Note",
                "Record",
                "Words",
                "Example",
                "Review",
                "Request",
                "Given",
                "List",
                "Mail",
                "Query",
            )
        )
    )
    return rng.choice((word, word.capitalize(), word.upper()))


def draw_layout(rng: random.Random, *, multiline: bool = False) -> Layout:
    """Draws a style. With ``multiline`` questions or answers may hold line breaks, so items need a wider separator."""
    head = rng.choice(HEADS) if rng.random() < 0.7 else word_label(rng) + rng.choice((": ", ":\n", " - "))
    tail = rng.choice(TAILS) if rng.random() < 0.7 else "\n" + word_label(rng) + rng.choice((":", " =", " -"))
    before = "" if tail.endswith("\n") else " "
    separator = rng.choice(SEPARATORS)
    if separator == "\n" and (multiline or "\n" in head + tail) and rng.random() < 0.8:
        separator = "\n\n"
    if rng.random() < 0.4:
        separator = "\n\n"
    return Layout(head, tail, before, "", separator)


ANSWER_FORMS = [
    ("The answer is ", "."), ("So the answer is ", "."), ("Answer: ", ""),
    ("", ""), ("", ""), ("", "."), ("It is ", "."), ("= ", ""), ("#### ", ""), ("[", "]"), ("(", ")"), ("<", ">"),
    ("Therefore: ", "."), ("Final answer: ", ""), ("Result = ", ""), ("That makes ", "."), ("ANSWER ", "!"), ("**", "**"),
    ("We get ", "."), ("In total ", "."), ("It must be ", "."), ("answer=", ""), ("\"", "\""), ("Total: ", ";"),
]  # fmt: skip


def draw_answer_form(rng: random.Random) -> tuple[str, str]:
    """Draws what stands around a final answer; one in five uses an invented word."""
    if rng.random() < 0.8:
        return rng.choice(ANSWER_FORMS)
    word = pseudo_word(rng)
    word = rng.choice((word, word.capitalize(), word.upper()))
    return rng.choice(
        ((word + ": ", ""), (word + " is ", "."), (word + " = ", ""), (word + "(", ")"), (f"<{word}>", f"</{word}>"))
    )
