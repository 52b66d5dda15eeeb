"""Rewriting messages by house rules, told by a header, by examples, or by both."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from .layout import Item
from .problems import number_words
from .words import NAMES, THINGS, held_out, pseudo_word

FORMAL = {
    "get": "receive", "buy": "purchase", "help": "assist", "ask": "enquire", "need": "require", "tell": "inform", "show": "present",
    "start": "commence", "end": "conclude", "send": "dispatch", "fix": "repair", "keep": "retain", "check": "verify", "give": "provide",
    "choose": "select", "use": "employ", "want": "desire", "think": "believe", "try": "attempt", "bring": "deliver",
}  # fmt: skip
LONG = {
    "can't": "cannot", "don't": "do not", "won't": "will not", "I'll": "I will", "I'm": "I am", "it's": "it is", "we'll": "we will",
    "isn't": "is not", "didn't": "did not", "they're": "they are",
}  # fmt: skip
PLURAL = {"I": "we", "my": "our", "me": "us", "I'll": "we'll", "I'm": "we're", "mine": "ours"}
LONG_PLURAL = {"I'll": "we will", "I'm": "we are"}
DAYS = {
    "Monday": "Mon",
    "Tuesday": "Tue",
    "Wednesday": "Wed",
    "Thursday": "Thu",
    "Friday": "Fri",
    "Saturday": "Sat",
    "Sunday": "Sun",
}

SUBJECTS = ("I can't {v} {o}", "I'll {v} {o}", "we'll {v} {o}", "they {v} {o}", "don't {v} {o}", "I {v} {o}", "I didn't {v} {o}", "please {v} {o}",
            "you can {v} {o}", "{n} won't {v} {o}", "I'm here to {v} {o}", "it's time to {v} {o}", "we {v} {o}", "{n} and I {v} {o}")  # fmt: skip
OBJECTS = (
    "the {t}",
    "my {t}",
    "{d} {t}",
    "{d} {t}",
    "the {t} of {n}",
    "some {t}",
    "{n} and me",
    "{d} of my {t}",
    "the last {d} {t}",
)
TIMES = ("", "", "", " today", " on {w}", " on {w}", " before {w}", " with {n}", " at {d}")


@dataclass(frozen=True)
class House:
    """Which rules a house has; each is off, on, or a text of its own."""

    formal: bool = False
    long: bool = False
    plural: bool = False
    spelled: bool = False
    short_days: bool = False
    sentence_case: bool = False
    polite: bool = False
    opening: str = ""
    closing: str = ""

    def rewrite(self, text: str) -> str:
        """Applies the rules to one message, word by word and then around it."""
        out = []
        for word in text.split():
            if self.long and self.plural and word in LONG_PLURAL:
                word = LONG_PLURAL[word]
            elif self.plural and word in PLURAL:
                word = PLURAL[word]
            elif self.long and word in LONG:
                word = LONG[word]
            elif self.formal and word in FORMAL:
                word = FORMAL[word]
            elif self.spelled and word.isdigit():
                word = number_words(int(word))
            elif self.short_days and word in DAYS:
                word = DAYS[word]
            out.append(word)
        body = " ".join(out)
        if self.polite and not body.startswith("please"):
            body = "kindly note: " + body
        if self.sentence_case:
            body = body[0].upper() + body[1:] + "."
        return " ".join(part for part in (self.opening, body, self.closing) if part)


SAID = {
    "formal": ("formal words", "use formal words"), "long": ("no short forms", "long forms"), "plural": ("we instead of I", "say we"),
    "spelled": ("numbers in words", "spell numbers"), "short_days": ("short days", "days in three letters"),
    "sentence_case": ("full sentences", "capital and full stop"), "polite": ("polite", "be polite"),
}  # fmt: skip


def draw_house(rng: random.Random) -> House:
    """Draws a house; each rule is on in about four of ten."""
    on = {f.name: rng.random() < 0.4 for f in fields(House) if f.type == "bool"}
    texts = (
        "Hello,",
        "Dear team,",
        "Good day.",
        "Hi!",
        "Note:",
        "Hey",
        pseudo_word(rng).capitalize() + ":",
        pseudo_word(rng).upper(),
    )
    ends = (
        "Thanks.",
        "Best wishes.",
        "Bye!",
        "Over.",
        "Yours.",
        f"- {rng.choice(NAMES)}",
        f"({pseudo_word(rng)})",
        pseudo_word(rng).capitalize() + ".",
    )
    return House(
        **on,
        opening=rng.choice(texts) if rng.random() < 0.35 else "",
        closing=rng.choice(ends) if rng.random() < 0.35 else "",
    )


def describe(rng: random.Random, house: House) -> str:
    """Says the rules of a house in words, in random order."""
    said = [rng.choice(SAID[name]) for name in SAID if getattr(house, name)]
    if house.opening:
        said.append(f"begin with {house.opening}")
    if house.closing:
        said.append(f"end with {house.closing}")
    rng.shuffle(said)
    return rng.choice(("Rewrite: ", "House rules: ", "Style: ")) + ("; ".join(said) or "as it is")


def draw_plain(rng: random.Random, *, training: bool = True) -> str:
    """Writes one plain message."""
    while True:
        text = rng.choice(SUBJECTS) + rng.choice(TIMES)
        text = text.replace("{o}", rng.choice(OBJECTS)).format(
            v=rng.choice(list(FORMAL)),
            n=rng.choice(NAMES),
            t=rng.choice(THINGS),
            d=rng.randint(2, 40),
            w=rng.choice(list(DAYS)),
        )
        if held_out(text) is not training:
            return text


def rewrite_items(rng: random.Random, count: int) -> tuple[list[Item], str]:
    """Writes the items of one document and, in six of ten, a header that tells the rules."""
    house = draw_house(rng)
    items = []
    for _ in range(count):
        text = draw_plain(rng)
        items.append(Item(text, house.rewrite(text)))
    return items, describe(rng, house) if rng.random() < 0.6 else ""
