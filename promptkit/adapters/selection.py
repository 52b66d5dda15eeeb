"""Choosing demonstrations: which worked examples stand in a prompt, and in which order.

Every method is a registered selector (``promptkit.register``). It is deterministic by seed, never takes the query
itself (by content, ``Query.key``), and never takes two examples of equal content. The pool is a training split: a
split named "test" is refused.

========  ================================================================  ===================================
method    takes                                                             order
========  ================================================================  ===================================
first     the first k of the pool                                           as in the pool
random    k by a hash of seed and content; a larger k extends a smaller     by that hash
balanced  as many of each target as possible, drawn as in ``random``        targets take turns
nearest   the k most like the query (TF-IDF cosine of words)                most like it last, next to the question
diverse   k like the query and unlike each other (maximal marginal          most like it last
          relevance, Carbonell & Goldstein 1998); without a query, k that
          stand for the pool and are unlike each other
========  ================================================================  ===================================
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from promptkit.data import Split, check_examples
from promptkit.errors import DataError, SettingError, error_message
from promptkit.registry import find, register
from promptkit.types import Example, Query

__all__ = ["LexicalIndex", "select", "tokens"]

RELEVANCE = 0.5
"""Weight of likeness to the query against unlikeness to what is chosen, in ``diverse`` (lambda of the paper)."""

Scores = npt.NDArray[np.float64]

_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_RUNS = re.compile(rf"([{_CJK}]+)|((?:(?![{_CJK}])\w)+)")


def tokens(text: str) -> list[str]:
    """Splits a text into what is compared: words, and in Chinese, Japanese and Korean pairs of characters.

    Args:
        text: Any text; it is normalised (NFKC) and case-folded.

    Returns:
        The tokens in order. A lone character of these scripts is a token by itself.

    Example:
        >>> tokens("Two apples, 三个苹果")
        ['two', 'apples', '三个', '个苹', '苹果']
    """
    found: list[str] = []
    for run, word in _RUNS.findall(unicodedata.normalize("NFKC", text).casefold()):
        if word:
            found.append(word)
        else:
            found.extend([a + b for a, b in pairwise(run)] or [run])
    return found


class LexicalIndex:
    """The different examples of a pool, prepared for looking up the most alike ones.

    Build it once per pool and pass it to ``select`` in place of the examples; a look-up then costs the length of the
    query's posting lists. Likeness is the cosine of TF-IDF vectors, ``(1 + log tf) * log(1 + n / df)`` (Salton &
    Buckley 1988), over the tokens of all fields.

    Attributes:
        examples: The examples without repeats of content, in the order of the pool.
        keys: Their content keys.

    Raises:
        DataError: If the pool is a split named "test".

    Example:
        >>> pool = [Example(Query({"q": text}), ("x",)) for text in ("red apples", "green pears", "red cars")]
        >>> LexicalIndex(pool).similarity({"q": "green apples"}).round(2).tolist()
        [0.59, 0.5, 0.0]
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        check_examples(examples, of="select")
        _refuse_test(examples)
        distinct: dict[str, Example] = {}
        for example in examples:
            distinct.setdefault(example.query.key, example)
        self.examples = tuple(distinct.values())
        self.keys = tuple(distinct)
        self._vectors: list[dict[str, float]] | None = None
        self._order: tuple[int, list[int]] | None = None

    def __len__(self) -> int:
        """The number of different examples."""
        return len(self.examples)

    def shuffled(self, seed: int) -> list[int]:
        """Orders the places of the examples by a hash of seed and content.

        The order is the same on every machine and for every order of the pool. The last one is kept, because many
        queries ask for the same.

        Args:
            seed: Which order.

        Returns:
            The places.
        """
        order = self._order
        if order is None or order[0] != seed:
            order = seed, sorted(range(len(self)), key=lambda place: _draw(seed, self.keys[place]))
            self._order = order
        return order[1]

    def _prepare(self) -> list[dict[str, float]]:
        """Builds vectors and posting lists, at the first look-up: methods that need none do not pay."""
        if self._vectors is None:
            counts = [_count(example.query.fields) for example in self.examples]
            shares = Counter(token for count in counts for token in count)
            self._idf = {token: math.log(1 + len(counts) / n) for token, n in shares.items()}
            vectors = [self._vector(count) for count in counts]
            postings: dict[str, tuple[list[int], list[float]]] = {}
            for place, vector in enumerate(vectors):
                for token, weight in vector.items():
                    places, weights = postings.setdefault(token, ([], []))
                    places.append(place)
                    weights.append(weight)
            self._postings = {
                token: (np.array(places, dtype=np.int64), np.array(weights))
                for token, (places, weights) in postings.items()
            }
            self._vectors = vectors
        return self._vectors

    def _vector(self, count: Mapping[str, int]) -> dict[str, float]:
        weights = {t: (1 + math.log(n)) * self._idf[t] for t, n in count.items() if t in self._idf}
        # A token that the pool lacks still makes the query longer, as if one more example had it.
        unknown = sum(n for t, n in count.items() if t not in self._idf)
        norm = math.hypot(*weights.values(), *([math.log(1 + len(self.examples))] * min(unknown, 1000)))
        return {token: weight / norm for token, weight in weights.items()} if norm else {}

    def _scores(self, vector: Mapping[str, float]) -> Scores:
        scores = np.zeros(len(self.examples))
        for token in sorted(vector):  # a fixed order, so that sums round alike
            places, weights = self._postings[token]
            scores[places] += weights * vector[token]
        return scores

    def similarity(self, fields: Mapping[str, str]) -> Scores:
        """Returns the likeness of a query to each example, from 0 to 1.

        Args:
            fields: The input fields of the query.

        Returns:
            One number for each of ``examples``.
        """
        self._prepare()
        return self._scores(self._vector(_count(fields)))

    def between(self, place: int) -> Scores:
        """Returns the likeness of one example of the index to each."""
        return self._scores(self._prepare()[place])

    def centrality(self) -> Scores:
        """Returns how well each example stands for the pool: its likeness to the mean of all."""
        mean: dict[str, float] = {}
        for vector in self._prepare():
            for token, weight in vector.items():
                mean[token] = mean.get(token, 0.0) + weight
        norm = math.hypot(*mean.values())
        return self._scores({token: weight / norm for token, weight in mean.items()} if norm else {})


def _count(fields: Mapping[str, str]) -> Counter[str]:
    return Counter(token for name in sorted(fields) for token in tokens(fields[name]))


def _refuse_test(examples: object) -> None:
    if isinstance(examples, Split) and examples.name == "test":
        hint = "choose demonstrations from data.train, or the test score means nothing"
        raise DataError(error_message("examples", of="select", expected="no test items", got=examples, hint=hint))


def select(
    method: str,
    examples: Sequence[Example] | LexicalIndex,
    k: int,
    *,
    query: Query | Mapping[str, str] | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
) -> list[Example]:
    """Chooses k demonstrations from a pool.

    A selector of your own is a function ``(index, places, k, *, query, seed, labels)``. It gets a ``LexicalIndex``, the
    places in ``index.examples`` that it may choose from, in an order drawn by the seed, and the other arguments as they
    are here; it gives k of the places in the order in which the prompt shows them.

    Args:
        method: The name of a selector; see the table of this module.
        examples: The pool, or a ``LexicalIndex`` of it where many queries share one pool.
        k: How many; 0 gives none.
        query: What will be asked. ``nearest`` needs it; for every method it is kept out of the choice.
        seed: Which choice; any integer. For ``nearest`` and ``diverse`` it only decides between equals.
        labels: Targets to balance over; by default all of the pool. If k is smaller than their number, the seed says
            which of them get an example.

    Returns:
        k different examples in the order in which the prompt shows them.

    Raises:
        DataError: If the pool is a split named "test".
        SettingError: If the method is unknown, k is negative or exceeds the pool, ``nearest`` has no query, or a
            selector gives other than k different places of those that it may choose from.

    Example:
        >>> pool = [Example(Query({"q": f"{word} pie"}), ("x",)) for word in ("apple", "pear", "meat")]
        >>> [example.query.fields["q"] for example in select("nearest", pool, 2, query={"q": "meat and apple"})]
        ['apple pie', 'meat pie']
    """
    selector = find("selector", method, of="select", which="method")
    if isinstance(k, bool) or not isinstance(k, int) or k < 0:
        raise SettingError(error_message("k", of="select", expected="an integer of at least 0", got=k))
    if isinstance(query, Mapping):
        query = Query(query)
    index = examples if isinstance(examples, LexicalIndex) else LexicalIndex(examples)
    banned = query.key if query else ""
    places = [place for place in index.shuffled(seed) if index.keys[place] != banned]
    if len(places) < k:
        expected = f"at most {len(places)}, the number of different examples in the pool that are not the query"
        raise SettingError(
            error_message("k", of="select", expected=expected, got=k, hint="ask for fewer or give more examples")
        )
    chosen = list(selector.value(index, places, k, query=query, seed=seed, labels=labels))
    if len(chosen) != k or len(set(chosen)) < k or not set(places).issuperset(chosen):
        expected = f"{k} different ones of the {len(places)} that it was given"
        raise SettingError(error_message("places", of=f"selector {method!r}", expected=expected, got=chosen))
    return [index.examples[place] for place in chosen]


def _draw(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}:{text}".encode("utf-8", "surrogatepass")).digest()


@register("selector", "first")
def _first(
    index: LexicalIndex,
    places: list[int],
    k: int,
    *,
    query: Query | None,
    seed: int,
    labels: Sequence[str] | None,
) -> list[int]:
    """Takes the first examples of the pool."""
    return sorted(places)[:k]


@register("selector", "random")
def _random(
    index: LexicalIndex,
    places: list[int],
    k: int,
    *,
    query: Query | None,
    seed: int,
    labels: Sequence[str] | None,
) -> list[int]:
    """Draws examples by a hash of seed and content."""
    return places[:k]


@register("selector", "balanced")
def _balanced(
    index: LexicalIndex,
    places: list[int],
    k: int,
    *,
    query: Query | None,
    seed: int,
    labels: Sequence[str] | None,
) -> list[int]:
    """Draws as many examples of each target as possible."""
    groups: dict[str, list[int]] = {}
    for place in places:
        groups.setdefault(index.examples[place].target, []).append(place)
    wanted = sorted(groups if labels is None else {label for label in labels if label in groups})
    wanted.sort(key=lambda label: _draw(seed, label))
    size = sum(len(groups[label]) for label in wanted)
    if size < k:
        expected = f"at most {size}, the number of examples with one of the labels"
        raise SettingError(error_message("k", of="select", expected=expected, got=k))
    turns = [(turn, at, place) for at, label in enumerate(wanted) for turn, place in enumerate(groups[label])]
    return [place for _, _, place in sorted(turns)[:k]]


@register("selector", "nearest", per_query=True)
def _nearest(
    index: LexicalIndex,
    places: list[int],
    k: int,
    *,
    query: Query | None,
    seed: int,
    labels: Sequence[str] | None,
) -> list[int]:
    """Takes the examples most like each query (TF-IDF cosine)."""
    if query is None:
        raise SettingError(error_message("query", of="select", expected="given for method 'nearest'", got=None))
    scores = index.similarity(query.fields)[np.array(places, dtype=np.int64)]
    best = np.argsort(-scores, kind="stable")[:k]  # stable: the seed's order decides between equals
    return [places[at] for at in best[::-1]]


@register("selector", "diverse", per_query=True)
def _diverse(
    index: LexicalIndex,
    places: list[int],
    k: int,
    *,
    query: Query | None,
    seed: int,
    labels: Sequence[str] | None,
) -> list[int]:
    """Takes examples like each query and unlike each other (maximal marginal relevance).

    Again and again the example of largest L * relevance - (1 - L) * redundancy.
    """
    if not k:
        return []
    order = np.array(places)
    relevance = (index.similarity(query.fields) if query else index.centrality())[order]
    redundancy = np.zeros(len(order))
    free = np.ones(len(order), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < k:
        gain = np.where(free, RELEVANCE * relevance - (1 - RELEVANCE) * redundancy, -np.inf)
        best = int(np.argmax(gain))  # the first of equals, in the seed's order
        free[best] = False
        chosen.append(best)
        redundancy = np.maximum(redundancy, index.between(places[best])[order])
    return [places[at] for at in sorted(chosen, key=lambda at: (relevance[at], -at))]
