"""Plain messages rewritten in the house style of the fictional firm Veltrano."""

from __future__ import annotations

import random
from collections.abc import Iterator

from textgen.rewriting import House, draw_plain

HOUSE = House(
    frozenset(
        "letters repair long days final prior moment please several large sentence initials".split(),
    )
)


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields messages for ever."""
    while True:
        text = draw_plain(rng, training=False)
        yield {"message": text, "target": HOUSE.rewrite(text)}
