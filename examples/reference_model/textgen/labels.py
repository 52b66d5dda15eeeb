"""Sorting texts into classes whose names are drawn anew for every document."""

from __future__ import annotations

import random
from collections.abc import Callable

from .layout import Item
from .messages import TOPICS, draw_message
from .words import (
    ADJECTIVES,
    CATEGORIES,
    CATEGORY_NAMES,
    LABEL_WORDS,
    NAMES,
    NOUNS,
    THINGS,
    VERBS,
    held_out,
    pseudo_word,
)

FRAMES = (
    "I saw {a} {w} yesterday", "{n} likes the {w}", "the {w} was {j}", "{n} asked about {a} {w}", "this is {a} {j} {w}",
    "we talked about the {w}", "{n} thought of {a} {w}", "look at the {w}", "my {w} is {j}", "nobody knew the {j} {w}",
    "{n} and {m} found {a} {w}", "there was {a} {w} in the picture", "{w}", "{w}", "the word {w}", "{j} {w}",
)  # fmt: skip

GOOD = "great wonderful lovely excellent perfect brilliant pleasant superb delightful amazing fantastic charming splendid".split()
BAD = "awful terrible horrible dreadful poor nasty disgusting boring useless broken ugly dull miserable".split()
OPINIONS = (
    "the {t} was {o}", "what {a} {o} {t}", "I think the {t} is {o}", "{n} said it was {o}", "a really {o} {t}",
    "the {t} and the {u} were {o}", "honestly, {o}", "my {t} turned out {o}", "we had {a} {o} time", "it is {o}, says {n}",
    "the {t} looks {o} to me", "this {t} is so {o}",
)  # fmt: skip
OBJECTS = (
    "film book meal hotel phone service song game trip room concert show lesson story garden cake camera chair".split()
)

Source = Callable[[random.Random, str], str]


def article(word: str) -> str:
    """Returns "an" before a vowel letter, else "a"."""
    return "an" if word[0].lower() in "aeiou" else "a"


def word_in_frame(rng: random.Random, category: str) -> str:
    """A sentence that holds a word of the category."""
    word = rng.choice(CATEGORIES[category])
    frame = rng.choice(FRAMES)
    name, other = rng.sample(NAMES, 2)
    adjective = rng.choice(ADJECTIVES)
    first = frame.split("{a} ", 1)[-1]
    return frame.format(w=word, n=name, m=other, j=adjective, a=article(adjective if first.startswith("{j}") else word))


def opinion(rng: random.Random, mood: str) -> str:
    """A sentence of praise or blame."""
    word = rng.choice(GOOD if mood == "good" else BAD)
    thing, other = rng.sample(OBJECTS, 2)
    return rng.choice(OPINIONS).format(t=thing, u=other, o=word, a=article(word), n=rng.choice(NAMES))


def surface(rng: random.Random, kind: str) -> str:
    """A text whose class shows in its form."""
    name, thing, verb, adjective = rng.choice(NAMES), rng.choice(THINGS), rng.choice(VERBS), rng.choice(ADJECTIVES)
    number = rng.randint(2, 99)
    texts = {
        "question": (f"does {name} have {number} {thing}?", f"where are the {adjective} {thing}?", f"who {verb}?"),
        "statement": (f"{name} has {number} {thing}.", f"the {thing} are {adjective}.", f"{name} {verb}."),
        "command": (f"bring {number} {thing}!", f"give the {thing} to {name}!", f"count the {adjective} {thing}!"),
        "small": (str(rng.randint(1, 9)),), "middle": (str(rng.randint(10, 99)),), "large": (str(rng.randint(100, 999)),),
        "capital": (adjective.upper() + " " + rng.choice(NOUNS).upper(), rng.choice(NOUNS).upper()),
        "plain": (adjective + " " + rng.choice(NOUNS), rng.choice(NOUNS)),
        "number": (str(number), f"{number} {thing}"), "name": (name, f"{name} and {rng.choice(NAMES)}"),
        "past": (f"{name} lost the {thing} yesterday.", f"last week {name} sold {thing}.", f"{name} had {thing} before."),
        "future": (f"{name} will buy {thing} tomorrow.", f"next week {name} will sell {thing}.", f"{name} will have {thing} soon."),
    }  # fmt: skip
    return rng.choice(texts[kind])


SURFACES = [["question", "statement"], ["question", "statement", "command"], ["small", "large"], ["small", "middle", "large"],
            ["capital", "plain"], ["number", "name"], ["past", "future"], ["number", "name", "capital"]]  # fmt: skip


def draw_classes(rng: random.Random, most: int = 6) -> tuple[Source, list[str]]:
    """Draws what is to be told apart: a source of texts and two to ``most`` classes."""
    kind = rng.random()
    if kind < 0.45:
        return word_in_frame, rng.sample(CATEGORY_NAMES[:22], rng.randint(2, min(most, 6)))
    if kind < 0.57:
        return opinion, ["good", "bad"]
    if kind < 0.85:
        return draw_message, rng.sample(list(TOPICS), rng.randint(2, most))
    return surface, rng.choice(SURFACES)


def draw_label_names(rng: random.Random, classes: list[str]) -> list[str]:
    """Draws names for the classes: their true names, invented or borrowed ones, letters, numbers or codes."""
    kind = rng.random()
    count = len(classes)
    if kind < 0.25:
        # True names teach which words belong together; the others teach to take names from the examples.
        names = list(classes)
    elif kind < 0.55:
        names = [pseudo_word(rng) for _ in classes]
    elif kind < 0.64:
        names = rng.sample(LABEL_WORDS, count)
    elif kind < 0.78:
        names = rng.sample(NOUNS + ADJECTIVES + VERBS, count)
    elif kind < 0.83:
        names = rng.sample([chr(65 + i) for i in range(26)], count)
    elif kind < 0.86:
        names = [str(n) for n in rng.sample(range(10) if rng.random() < 0.5 else range(10, 100), count)]
    elif kind < 0.91:
        names = [rng.choice("ABCDEFGHKLMNPQRSTX") + str(n) for n in rng.sample(range(1, 100), count)]
    else:
        names = [rng.choice(ADJECTIVES) + rng.choice((" ", "-", "_")) + word for word in rng.sample(NOUNS, count)]
    if len(set(names)) < count:  # two words of two lists may be equal
        return draw_label_names(rng, classes)
    case = rng.random()
    return [n.capitalize() if case < 0.3 else n.upper() if case < 0.42 else n for n in names]


def label_items(rng: random.Random, count: int, *, training: bool = True) -> list[Item]:
    """Writes the items of one document; classes come in random order, each about equally often."""
    source, classes = draw_classes(rng)
    names = draw_label_names(rng, classes)
    quoted = rng.random() < 0.15
    items: list[Item] = []
    order: list[int] = []
    while len(items) < count:
        if not order:
            order = list(range(len(classes)))
            if rng.random() < 0.5:
                order += [rng.randrange(len(classes)) for _ in classes]
            rng.shuffle(order)
        index = order.pop()
        text = draw_text(rng, source, classes[index], training=training)
        items.append(Item(f'"{text}"' if quoted else text, names[index]))
    return items


def draw_text(rng: random.Random, source: Source, name: str, *, training: bool = True) -> str:
    """Draws a text of a class; texts of four words or more respect the held-out eighth."""
    while True:
        text = source(rng, name)
        if len(text.split()) < 4 or held_out(text) is not training:
            return text
