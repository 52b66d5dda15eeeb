"""Measures ROUGE against rouge-score, side by side in one run, and asserts that every figure is identical.

Both score the same pairs of texts in turns (A B A B ...), so a change of the machine's speed meets both. The table
shows CPU seconds a pair, the median over the rounds, and the median of the ratios of each round.

Run ``python benchmarks/rouge_speed.py``; ``--rounds`` sets their number, ``--check`` makes a missed target fail.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from rouge_score.rouge_scorer import RougeScorer

from promptkit.metrics.rouge import rouge

Pair = tuple[str, str]
KINDS = ("rouge1", "rouge2", "rougeL")
CASES = (
    # name, words, words in a line (0: one line), figures, pairs, target
    ("short, 1/2/L", 20, 0, KINDS, 200, 12.0),
    ("short, 1/2/L/Lsum", 20, 0, (*KINDS, "rougeLsum"), 200, 12.0),
    ("400 words, 1/2/L", 400, 0, KINDS, 6, 60.0),
    ("400 words, 1/2/L/Lsum", 400, 0, (*KINDS, "rougeLsum"), 6, 60.0),
    ("400 words in 20 lines, 1/2/L/Lsum", 400, 20, (*KINDS, "rougeLsum"), 6, 0.0),
)


def make_pairs(words: int, line: int, pairs: int, seed: int = 0) -> list[Pair]:
    """Writes pairs of texts whose word frequencies fall like 1/rank, a third of the words shared in order."""
    rng = random.Random(seed)
    letters = "etaoinshrdlu"
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(3000)]
    weights = [1 / (rank + 2) for rank in range(len(vocabulary))]

    def text(model: Sequence[str]) -> list[str]:
        drawn = rng.choices(vocabulary, weights, k=words)
        return [old if rng.random() < 0.33 else new for old, new in zip(model or drawn, drawn, strict=True)]

    def spell(tokens: Sequence[str]) -> str:
        size = line or len(tokens)
        lines = [" ".join(tokens[start : start + size]) for start in range(0, len(tokens), size)]
        return "\n".join(row.capitalize() + "." for row in lines)

    drawn = []
    for _ in range(pairs):
        reference = text(())
        drawn.append((spell(text(reference)), spell(reference)))
    return drawn


def cpu_seconds(work: Callable[[], object]) -> float:
    """Returns the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(pairs: Sequence[Pair], kinds: Sequence[str], rounds: int) -> tuple[float, float, float]:
    """Returns the median CPU seconds a pair of rouge-score and of promptkit, and the median ratio."""
    scorer = RougeScorer(list(kinds))
    for prediction, reference in pairs:
        theirs, ours = scorer.score(reference, prediction), rouge(prediction, reference, kinds=kinds)
        assert {kind: tuple(figure) for kind, figure in theirs.items()} == {kind: tuple(ours[kind]) for kind in kinds}
    repeats = 20 if len(pairs[0][0]) < 1000 else 10  # ours is too fast for the clock if called once

    def score_theirs() -> None:
        for prediction, reference in pairs:
            scorer.score(reference, prediction)

    def score_ours() -> None:
        for _ in range(repeats):
            for prediction, reference in pairs:
                rouge(prediction, reference, kinds=kinds)

    seconds = []
    for _ in range(rounds):
        slow, fast = cpu_seconds(score_theirs), cpu_seconds(score_ours)
        seconds.append((slow / len(pairs), fast / len(pairs) / repeats))
    slow, fast = (statistics.median(column) for column in zip(*seconds, strict=True))
    return slow, fast, statistics.median(first / second for first, second in seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns 1 if a target is missed and ``--check`` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of A B, at least 5")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(arguments)
    missed = 0
    print(f"{'texts, figures':36}{'rouge-score ms':>16}{'promptkit ms':>14}{'ratio':>8}{'target':>8}")
    for name, words, line, kinds, pairs, target in CASES:
        slow, fast, ratio = measure(make_pairs(words, line, pairs), kinds, max(5, options.rounds))
        missed += ratio < target
        goal = f"{target:.0f}x" if target else "-"
        print(f"{name:36}{slow * 1e3:16.4f}{fast * 1e3:14.4f}{ratio:7.1f}x{goal:>8}")
    return int(bool(missed) and options.check)


if __name__ == "__main__":
    sys.exit(main())
