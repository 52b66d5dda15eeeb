"""Transport orders of a fictional warehouse, rewritten into its own notation of many small rules."""

from __future__ import annotations

import random
from collections.abc import Iterator

ACTIONS = {"move": "M", "fetch": "F", "return": "R", "count": "C"}
UNITS = {"boxes": "bx", "bags": "bg", "crates": "k7", "jars": "jr", "pallets": "pt"}
GOODS = {
    "lemons": "L1",
    "apples": "A4",
    "stones": "S9",
    "books": "B2",
    "lamps": "Q5",
    "ropes": "R3",
    "nails": "N8",
    "flowers": "W6",
    "cups": "U7",
    "coats": "T0",
}
PLACES = {
    "Oslo": "os",
    "Lima": "xm",
    "Rome": "qr",
    "Cairo": "ca",
    "Paris": "zp",
    "Tokyo": "tk",
    "Delhi": "hd",
    "Vienna": "vw",
}
DAYS = {"Monday": "1", "Tuesday": "2", "Wednesday": "3", "Thursday": "4", "Friday": "5", "Saturday": "6", "Sunday": "7"}


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields orders for ever.

    Rules: action letter, number, unit code, slash, goods code; places in angle brackets with ``>`` between them; day as
    ``@`` and digit, ``@0`` where none is named; ``!`` for urgent, ``~`` for fragile goods, in this order.
    """
    while True:
        action, unit, goods = rng.choice(list(ACTIONS)), rng.choice(list(UNITS)), rng.choice(list(GOODS))
        number = rng.randint(2, 60)
        start, end = rng.sample(list(PLACES), 2)
        day = rng.choice([*DAYS, None, None])
        urgent, fragile = rng.random() < 0.3, rng.random() < 0.3
        text = f"{'urgent: ' if urgent else ''}{action} {number} {unit} of {'fragile ' if fragile else ''}{goods} from {start} to {end}"
        text += f" on {day}" if day else ""
        code = f"{ACTIONS[action]}{number}{UNITS[unit]}/{GOODS[goods]} <{PLACES[start]}>{PLACES[end]}> @{DAYS[day] if day else '0'}"
        yield {"order": text, "target": code + "!" * urgent + "~" * fragile}
