"""What chance makes of two texts: the evidence that one was made from the other.

Two stories are weighed against each other. In one, a text was written like all the others: each word follows the word
before it as often as it does elsewhere (a bigram model with Witten-Bell smoothing, both texts left out of its counts).
In the other, it was made from the second text: each word was kept or, with probability ``EDIT``, changed into any word.
The evidence is the logarithm of how much likelier the second story is. What a frame says anyway is worth nothing, and a
value that few others have is worth much. A word that nobody else uses is worth much where all others say one of ten
words, and little where each of them says something else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

__all__ = ["Chance", "Step"]

EDIT = 0.02
"""Probability of a changed word in the story of a copy. Low, so that a copy of many changes must keep much besides."""

LONGEST = 200
"""Most words that are compared. They say enough, and the time of a comparison grows with their square."""

Step = tuple[str, str]
"""The text before a word, its numbers masked, and the word."""


class Chance:
    """How often words follow each other in a set of texts.

    Args:
        texts: The steps of each text.

    Example:
        >>> def steps(text):
        ...     words = text.split()
        ...     return list(zip(["", *words], [*words, ""]))
        >>> texts = ["my phone broke", "my card broke", "my phone rang", "a red fox sang", "the red fox sang"]
        >>> chance = Chance(map(steps, texts))
        >>> frame = chance.evidence(steps("my phone broke"), steps("my card broke"))
        >>> copy = chance.evidence(steps("a red fox sang"), steps("the red fox sang"))
        >>> frame < copy
        True
    """

    def __init__(self, texts: Iterable[Sequence[Step]]) -> None:
        self._steps = Counter(step for text in texts for step in text)
        self._befores, self._followers, self._words = Counter[str](), Counter[str](), Counter[str]()
        for (before, word), count in self._steps.items():
            self._befores[before] += count
            self._followers[before] += 1
            self._words[word] += count
        self._total = self._words.total() + len(self._words)
        once = sum(count == 1 for count in self._words.values())
        self._unseen = (1 + once) / max(1, self._total * len(self._words))

    def evidence(self, one: Sequence[Step], other: Sequence[Step]) -> float:
        """Returns the evidence, in nats, that one of two texts was made from the other, whichever."""
        one, other = one[:LONGEST], other[:LONGEST]
        return max(self._made_from(one, other), self._made_from(other, one))

    def _made_from(self, copy: Sequence[Step], source: Sequence[Step]) -> float:
        before, after = ([word for _, word in text] for text in (source, copy))
        evidence, seen, any_word = 0.0, set[str](), math.log(max(1, len(self._words)))
        for kind, i, j, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if kind == "equal":
                # What a text repeats is a surprise only once.
                kept = {step[1]: step for step in reversed(copy[start:end]) if step[1] not in seen}
                evidence += math.fsum(self._surprise(step, left_out=2) for step in kept.values())
                seen.update(kept)
            else:
                evidence += math.log(EDIT) * max(j - i, end - start)
                evidence += math.fsum(self._surprise(step, left_out=1) - any_word for step in copy[start:end])
        return evidence

    def _surprise(self, step: Step, left_out: int) -> float:
        """Returns the negative logarithm of how probable a word is at its place, as far as other texts tell."""
        before, word = step
        others = self._words[word] - left_out
        alone = others / self._total if others > 0 else self._unseen
        count, times = max(0, self._steps[step] - left_out), max(0, self._befores[before] - left_out)
        followers = max(1, self._followers[before] - (count == 0))
        return -math.log((count + followers * alone) / (times + followers))
