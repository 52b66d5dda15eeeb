"""Chinese sentences from which the place and the thing are to be extracted."""

from __future__ import annotations

import random
from collections.abc import Iterator

from textgen.chinese import event


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields sentences for ever."""
    while True:
        text, values = event(rng, training=False)
        yield {"sentence": text, "target": f"{values['p']}：{values['t']}"}
