"""Rewriting messages by house rules, told by a header, by examples, or by both."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .layout import Item
from .problems import number_words
from .words import NAMES, THINGS, held_out, pseudo_word

FORMAL = {
    "get": "receive", "buy": "purchase", "help": "assist", "ask": "enquire", "need": "require", "tell": "inform", "show": "present",
    "start": "commence", "end": "conclude", "send": "dispatch", "fix": "repair", "keep": "retain", "check": "verify", "give": "provide",
    "choose": "select", "use": "employ", "want": "desire", "think": "believe", "try": "attempt", "bring": "deliver",
}  # fmt: skip
VERBS = tuple(FORMAL)
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
# Rules that exchange words: name, how a header says it, and the words. A house has each of them or has it not.
WORD_RULES: dict[str, tuple[str, dict[str, str]]] = {
    "letters": ("letters", {word: FORMAL[word] for word in ("tell", "ask", "send", "show", "think")}),
    "trade": ("trade", {word: FORMAL[word] for word in ("buy", "get", "want", "choose", "need")}),
    "repair": ("repair", {word: FORMAL[word] for word in ("fix", "check", "try", "help", "use")}),
    "store": ("store", {word: FORMAL[word] for word in ("keep", "give", "bring", "start", "end")}),
    "long": ("long forms", LONG),
    "plural": ("say we", PLURAL),
    "days": ("short days", DAYS),
    "ampersand": ("join", {"and": "&"}),
    "several": ("several", {"some": "several"}),
    "final": ("final", {"last": "final"}),
    "present": ("present day", {"today": "this day"}),
    "prior": ("prior", {"before": "prior to"}),
    "company": ("company", {"with": "along with"}),
    "please": ("beg", {"please": "kindly"}),
    "moment": ("moment", {"time": "the moment"}),
}
NUMBER_RULES = {"small": "spell small", "large": "spell large"}
AROUND_RULES = {"sentence": "sentences", "polite": "polite", "initials": "initials", "articles": "no articles"}

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
    """The rules of a house: names out of ``RULES``, and texts of its own before and after."""

    rules: frozenset[str]
    opening: str = ""
    closing: str = ""

    def rewrite(self, text: str) -> str:
        """Applies the rules to one message, word by word and then around it."""
        body = " ".join(filter(None, map(self._word, text.split())))
        if "polite" in self.rules:
            body = "note: " + body
        if "sentence" in self.rules:
            body = body[0].upper() + body[1:] + "." * (not body.endswith("."))
        return " ".join(part for part in (self.opening, body, self.closing) if part)

    def _word(self, word: str) -> str:
        if {"long", "plural"} <= self.rules and word in LONG_PLURAL:
            return LONG_PLURAL[word]
        for rule, (_, words) in reversed(WORD_RULES.items()):
            if rule in self.rules and word in words:
                return words[word]
        if word.isdigit():
            return number_words(int(word)) if ("small" if int(word) < 20 else "large") in self.rules else word
        if "initials" in self.rules and word in NAMES:
            return word[0] + "."
        return "" if "articles" in self.rules and word == "the" else word


RULES = (*WORD_RULES, *NUMBER_RULES, *AROUND_RULES)
SAID = {name: said for name, (said, _) in WORD_RULES.items()} | NUMBER_RULES | AROUND_RULES


def draw_house(rng: random.Random) -> House:
    """Draws a house; a share of the rules, drawn too, is on."""
    share = rng.choice((0.15, 0.3, 0.5, 0.5, 0.7))
    rules = frozenset(name for name in RULES if rng.random() < share)
    texts = ("Hello,", "Dear team,", "Good day.", "Hi!", "Hey", pseudo_word(rng).capitalize() + ":", pseudo_word(rng).upper())  # fmt: skip
    ends = ("Thanks.", "Best wishes.", "Bye!", "Over.", "Yours.", f"- {rng.choice(NAMES)}", f"({pseudo_word(rng)})", pseudo_word(rng).capitalize() + ".")  # fmt: skip
    opening = rng.choice(texts) if rng.random() < 0.25 else ""
    return House(rules, opening, rng.choice(ends) if rng.random() < 0.25 else "")


def describe(rng: random.Random, house: House) -> str:
    """Says the rules of a house in words, in random order."""
    said = [SAID[name] for name in RULES if name in house.rules]
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
            v=rng.choice(VERBS),
            n=rng.choice(NAMES),
            t=rng.choice(THINGS),
            d=rng.randint(2, 40),
            w=rng.choice(list(DAYS)),
        )
        if held_out(text) is not training:
            return text


def rewrite_items(rng: random.Random, most: int = 12) -> tuple[list[Item], str]:
    """Writes the items of one document, and in most of them a header that tells the rules.

    Without a header the rules can only be seen in the items, and a few items show only a few of them.
    """
    house, told = draw_house(rng), rng.random() < 0.85
    items = []
    for _ in range(rng.randint(1, 5) if told else rng.randint(2, most)):
        text = draw_plain(rng)
        items.append(Item(text, house.rewrite(text)))
    return items, describe(rng, house) if told else ""
