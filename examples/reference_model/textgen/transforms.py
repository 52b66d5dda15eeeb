"""Copying, extracting, wrapping, looking up: what is done to a text is told by the examples alone."""

from __future__ import annotations

import random
from collections.abc import Callable

from .layout import Item
from .words import CATEGORIES, NAMES, NOUNS, THINGS, any_word, pseudo_word

WRAPS = (("[", "]"), ("<", ">"), ("(", ")"), ("{", "}"), ('"', '"'), ("'", "'"), ("*", "*"), ("**", "**"), ("--", "--"), ("_", "_"),
         ("<b>", "</b>"), ("/", "/"), ("| ", " |"), ("~", "~"), ("<<", ">>"), ("=", "="), ("begin ", " end"), ("# ", ""), ("", "!"),
         ("", "?"), ("", "."), ("say ", ""), ("$", "$"), ("^", ""), ("re: ", ""), ("", ";"), ("(( ", " ))"), (":", ":"))  # fmt: skip

Make = Callable[[random.Random], Item]


def _words(rng: random.Random, low: int = 2, high: int = 6) -> list[str]:
    words = [any_word(rng) for _ in range(rng.randint(low, high))]
    return words if len(set(words)) == len(words) else _words(rng, low, high)


def list_operation(rng: random.Random) -> Make:
    """Draws an operation on a list of words."""
    low = rng.randint(2, 4)
    high = low + rng.randint(0, 3)
    glue = rng.choice((" ", " ", ", ", " / ", "-", "; ", " + "))
    out = rng.choice((glue, glue, " ", ", ", "-", "|", ""))
    position = rng.randrange(3)
    extra = rng.choice((pseudo_word(rng), rng.choice(NOUNS), str(rng.randint(1, 99))))
    operations: list[Callable[[list[str]], list[str]]] = [
        lambda w: w, lambda w: w[:1], lambda w: w[-1:], lambda w: w[::-1], lambda w: w[1:], lambda w: w[:-1],
        lambda w: [w[min(position, len(w) - 1)]], lambda w: [*w, extra], lambda w: [extra, *w], lambda w: w + w[:1],
        lambda w: [w[-1], *w[1:-1], w[0]] if len(w) > 1 else w, lambda w: [x.upper() for x in w], lambda w: [x.capitalize() for x in w],
        lambda w: [w[0].upper(), *w[1:]], lambda w: [w[0], w[0]], lambda w: [str(len(w))], lambda w: [w[0], w[-1]], lambda w: w[1:] + w[:1],
        lambda w: [max(w, key=len)], lambda w: w,
    ]  # fmt: skip
    operation = rng.choice(operations)

    def make(r: random.Random) -> Item:
        words = _words(r, low, high)
        return Item(glue.join(words), out.join(operation(words)))

    return make


def wrap_operation(rng: random.Random) -> Make:
    """Draws a pair of marks to put around a text."""
    left, right = rng.choice(WRAPS)
    if rng.random() < 0.35:
        word = pseudo_word(rng)
        left, right = rng.choice(
            (
                (f"{word} ", ""),
                ("", f" {word}"),
                (f"<{word}>", f"</{word}>"),
                (f"{word}(", ")"),
                (f"{word.upper()}: ", ""),
            )
        )
    low = rng.randint(1, 3)

    def make(r: random.Random) -> Item:
        text = " ".join(_words(r, low, low + 3))
        return Item(text, left + text + right)

    return make


def lookup_operation(rng: random.Random) -> Make:
    """Draws a small table in each question, and asks for one of its values."""
    colon, gap = rng.choice(((": ", "; "), ("=", " "), (" is ", ", "), (" - ", "; "), (":", " "), (" -> ", ", ")))
    ask = rng.choice((" | ", "\n", " ? ", "; find "))
    low = rng.randint(2, 4)
    keys: Callable[[random.Random], str] = rng.choice(
        (lambda r: r.choice(NAMES), lambda r: pseudo_word(r), lambda r: r.choice(NOUNS))
    )
    values: Callable[[random.Random], str] = rng.choice(
        (
            lambda r: str(r.randint(1, 99)),
            lambda r: r.choice(NOUNS),
            lambda r: pseudo_word(r),
            lambda r: r.choice(CATEGORIES["city"]),
            lambda r: r.choice(CATEGORIES["color"]),
        )
    )

    def make(r: random.Random) -> Item:
        count = r.randint(low, low + 2)
        table: dict[str, str] = {}
        while len(table) < count:
            table[keys(r)] = values(r)
        wanted = r.choice(list(table))
        return Item(gap.join(k + colon + v for k, v in table.items()) + ask + wanted, table[wanted])

    return make


FACTS = (
    "{name} bought {number} {thing} in {city} on {day}.", "On {day} {name} sold {number} {thing} in {city}.", "{name} from {city} has {number} {thing} since {day}.",
    "In {city}, {name} lost {number} {thing} last {day}.", "{number} {thing} were sent to {name} in {city} on {day}.", "{name} will bring {number} {thing} to {city} next {day}.",
    "Last {day} we met {name} in {city} with {number} {thing}.", "{name} ({city}) ordered {number} {thing} for {day}.", "Please send {number} {thing} to {name}, {city}, by {day}.",
    "{city}: {name} counted {number} {thing} on {day}.", "The {number} {thing} of {name} left {city} on {day}.",
)  # fmt: skip
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def draw_fact(rng: random.Random) -> tuple[str, dict[str, str]]:
    """Writes a sentence with a person, a place, a number, a thing and a day in it."""
    values = {
        "name": rng.choice(NAMES),
        "city": rng.choice(CATEGORIES["city"]),
        "number": str(rng.randint(2, 99)),
        "thing": rng.choice(THINGS),
        "day": rng.choice(DAYS),
    }
    return rng.choice(FACTS).format(**values), values


def extract_operation(rng: random.Random) -> Make:
    """Draws which part of a sentence is wanted, and the form in which it is wanted."""
    parts = ["name", "city", "number", "thing", "day"]
    form = rng.choice(
        ("{0}", "{0}", "{0}", "{0}, {1}", "{0} / {1}", "{1}: {0}", "{0} ({1})", "{0}={1}", "{0}|{1}|{2}", "{2}, {0}")
    )
    chosen = rng.sample(parts, 3)

    def make(r: random.Random) -> Item:
        text, values = draw_fact(r)
        return Item(text, form.format(*(values[part] for part in chosen)))

    return make


def replace_operation(rng: random.Random) -> Make:
    """Draws a small change made inside a text: a word for another, a sign for another, a word left out."""
    old, new = rng.sample(NOUNS, 2)
    kind = rng.randrange(5)

    def make(r: random.Random) -> Item:
        words = [w for w in _words(r, 3, 5) if w not in (old, new)]
        if kind == 0:
            words.insert(r.randint(0, len(words)), old)
            return Item(" ".join(words), " ".join(new if w == old else w for w in words))
        if kind == 1:
            words.insert(r.randint(0, len(words)), old)
            return Item(" ".join(words), " ".join(w for w in words if w != old))
        if kind == 2:
            return Item(", ".join(words), "; ".join(words))
        if kind == 3:
            number = r.randint(1, 98)
            return Item(" ".join([str(number), *words[:2]]), " ".join([str(number + 1), *words[:2]]))
        return Item(" ".join(words), " ".join([words[0], new, *words[1:]]))

    return make


OPERATIONS: tuple[tuple[float, Callable[[random.Random], Make]], ...] = (
    (0.26, list_operation), (0.42, wrap_operation), (0.68, lookup_operation), (0.88, extract_operation), (1.0, replace_operation),
)  # fmt: skip


def transform_items(rng: random.Random, count: int) -> list[Item]:
    """Writes the items of one document: one operation, many texts."""
    kind = rng.random()
    make = next(draw for limit, draw in OPERATIONS if kind < limit)(rng)
    return [make(rng) for _ in range(count)]
