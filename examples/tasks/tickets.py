"""Support messages to a fictional firm, routed to the firm's own team names."""

from __future__ import annotations

import random
from collections.abc import Iterator

from textgen.messages import draw_message
from textgen.words import held_out

TEAMS = {
    "Harbor": "delivery", "Quarry": "refund", "Lantern": "password", "Meadow": "damage", "Compass": "hours", "Anchor": "career",
}  # fmt: skip
OPENINGS = ("", "", "customer {k}: ", "ticket {k}: ", "case {k}, ", "from {n} ({k}): ")
CLOSINGS = (
    "",
    " my number is {k}",
    " (client {k})",
    ", reference {k}",
    " as in my mail of {d} May",
    " after {d} days of waiting",
)
NAMES = "Tom Ann Ben Mia Leo Eva Max Zoe Sam Ida Mark Lucy Paul Rosa Carl Nina Omar Sara Hugo Olga".split()


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields messages for ever, each with a number in it, the teams in turn."""
    while True:
        for team, topic in TEAMS.items():
            while True:
                opening, closing = rng.choice(OPENINGS), rng.choice(CLOSINGS)
                text = opening + draw_message(rng, topic) + closing
                text = text.format(k=rng.randint(1000, 9999), n=rng.choice(NAMES), d=rng.randint(2, 29))
                if opening + closing and held_out(text):
                    break
            yield {"message": text, "target": team}
