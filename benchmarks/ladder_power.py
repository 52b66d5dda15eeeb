"""Power and false keeps of the ladder's test, beside exact McNemar.

A rung that gains is kept by ``promptkit.ladder.sequential_test.SequentialTest`` at the level of the first of four tests
(.0125, a default ladder of five rungs), with blocks of 20 items and the default margin of .02. Exact McNemar waits for
all items, tests one comparison at the two-sided level .05, and has no margin.

The false-keep rate is that of whole climbs of five rungs among which nothing differs (A/A): the share of climbs in
which any rung is kept. ``--groups`` of items share their luck; ``naive`` is a counterexample: a one-sided
McNemar test of level .05 after every block of every rung.

    python benchmarks/ladder_power.py [--runs 1000] [--climbs 2000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from promptkit.ladder.sequential_test import SequentialTest, SharedLevel
from promptkit.statistics import mcnemar

BLOCK, MARGIN, LEVEL, TESTS = 20, 0.02, 0.05, 4
Scores = npt.NDArray[np.float64]


def fight(kept: Scores, other: Scores, alpha: float, groups: Sequence[str] = (), margin: float = MARGIN) -> bool:
    """Judges a rung block by block.

    Args:
        kept: Scores of the kept rung.
        other: Scores of the rung.
        alpha: Level of the test.
        groups: The group of each item.
        margin: The margin.

    Returns:
        Whether it is kept.
    """
    test = SequentialTest(margin=margin, alpha=alpha, confidence=1 - LEVEL, planned=len(kept))
    for start in range(0, len(kept), BLOCK):
        part = slice(start, start + BLOCK)
        found = test.add(kept[part].tolist(), other[part].tolist(), groups[part])
        if found is not None:
            return found == "won"
    return False


def pair(rng: np.random.Generator, gain: float, discordance: float, n: int) -> tuple[Scores, Scores]:
    """Draws scores of two rungs that differ on a share of items and by a gain."""
    luck = rng.random(n)
    ups = (discordance + gain) / 2
    kept = np.where(luck < ups, 0.0, np.where(luck < discordance, 1.0, (rng.random(n) < 0.5).astype(float)))
    other = np.where(luck < ups, 1.0, np.where(luck < discordance, 0.0, kept))
    return kept, other


def power(gain: float, discordance: float, n: int, runs: int, seed: int = 0) -> tuple[float, float]:
    """Returns the power of the ladder's test and of exact McNemar."""
    rng = np.random.default_rng(seed)
    ours = fixed = 0
    for _ in range(runs):
        kept, other = pair(rng, gain, discordance, n)
        ours += fight(kept, other, LEVEL / TESTS)
        gains, losses = int((other > kept).sum()), int((other < kept).sum())
        fixed += gains > losses and mcnemar(gains, losses) <= LEVEL
    return ours / runs, fixed / runs


def equal_rungs(
    rng: np.random.Generator, n: int, rate: float, group: int, *, first: float = 0.0
) -> tuple[list[Scores], list[str]]:
    """Draws scores of five rungs of one quality (the first one worse by ``first``).

    Args:
        rng: The generator.
        n: Number of items.
        rate: The quality.
        group: Items per group; within one, rungs are right or wrong together.
        first: By how much the first rung is worse.

    Returns:
        Scores by rung, and the group of each item.
    """
    units = -(-n // group)
    hard = rng.random(units)  # how hard a unit is for all rungs, with which half of the luck is shared
    scores = []
    for place in range(TESTS + 1):
        luck = np.where(rng.random(units) < 0.5, hard, rng.random(units))
        right = luck < rate - (first if place == 0 else 0.0)
        scores.append(np.repeat(right, group)[:n].astype(float))
    return scores, [f"g{at // group}" for at in range(n)] if group > 1 else []


def false_keep(scores: list[Scores], groups: list[str], true_gain: bool) -> bool:
    """Climbs as the ladder does; tells whether a rung without a gain was kept."""
    level = SharedLevel(LEVEL, TESTS)
    kept = 0
    for place in range(1, len(scores)):
        won = fight(scores[kept], scores[place], level.next, groups)
        level.settle(won=won)
        if won and not (true_gain and kept == 0):
            return True
        kept = place if won else kept
    return False


def naive(scores: list[Scores], groups: list[str], true_gain: bool) -> bool:
    """Counterexample: an ordinary test after every block of every rung."""
    for other in scores[1:]:
        for stop in range(BLOCK, len(other) + 1, BLOCK):
            gains = int((other[:stop] > scores[0][:stop]).sum())
            losses = int((other[:stop] < scores[0][:stop]).sum())
            if gains > losses and mcnemar(gains, losses) / 2 <= LEVEL:
                return True
    return False


Climb = Callable[[list[Scores], list[str], bool], bool]


def false_keeps(climb: Climb, climbs: int, n: int, rate: float, *, group: int = 1, first: float = 0.0) -> float:
    """Returns the share of climbs in which a rung without a gain is kept."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(climbs):
        scores, groups = equal_rungs(rng, n, rate, group, first=first)
        wrong += climb(scores, groups, first > 0)
    return wrong / climbs


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="runs for each power")
    parser.add_argument("--climbs", type=int, default=2000, help="climbs for each false-keep rate")
    args = parser.parse_args()
    print(f"power, {args.runs} runs: ladder / exact McNemar")
    for discordance in (0.2, 0.3):
        for gain in (0.03, 0.05, 0.10, 0.15):
            cells = [
                "{:.2f} / {:.2f}".format(*power(gain, discordance, n, args.runs))
                for n in (100, 200, 400, 500, 1000, 2000)
            ]
            print(f"discordant {discordance:.2f}, gain {gain:.2f}:", "  ".join(cells), flush=True)
    print(f"false keeps of five equal rungs, {args.climbs} climbs")
    for n, rate, group, first in (
        (100, 0.5, 1, 0.0), (200, 0.5, 1, 0.0), (200, 0.9, 1, 0.0), (400, 0.5, 1, 0.0),
        (400, 0.5, 5, 0.0), (400, 0.8, 10, 0.0), (200, 0.6, 1, 0.12),
    ):  # fmt: skip
        rate_found = false_keeps(false_keep, args.climbs, n, rate, group=group, first=first)
        print(f"n {n}, rate {rate}, {group} items a group, first rung worse by {first}: {rate_found:.4f}", flush=True)
    print(f"naive peeking, n 200: {false_keeps(naive, args.climbs, 200, 0.5):.4f}")


if __name__ == "__main__":
    main()
