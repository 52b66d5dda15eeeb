"""A selector: demonstrations as long as the question, because long problems are solved in another way."""

from collections.abc import Sequence

import promptkit as pk


@pk.register("selector", "as_long", per_query=True)
def as_long(
    index: pk.LexicalIndex,
    places: list[int],
    k: int,
    *,
    query: pk.Query | None,
    seed: int,
    labels: Sequence[str] | None,
) -> list[int]:
    """Takes the examples whose length is most like that of each query."""
    wanted = _length(query) if query else 0
    return sorted(places, key=lambda place: abs(_length(index.examples[place].query) - wanted))[:k][::-1]


def _length(query: pk.Query) -> int:
    return sum(map(len, query.fields.values()))
