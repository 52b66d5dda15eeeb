"""Measures how often the printed intervals and verdicts are right, by simulation, beside what they replaced.

Tables of: coverage of 95 % intervals of a mean and of a paired difference, and of means by group; false wins of two
equally good arms (A/A); false "equivalent"; and how often a difference of the size of ``minimum_detectable`` is found.

    python benchmarks/interval_coverage.py [REPETITIONS [TABLE ...]]

Tables are means, differences, groups, wins, equivalence and power; by default all of them, 1,000 times each. With 1,000
repetitions the standard error of a coverage of .95 is .007. The figures of
docs/explanation/intervals.md come from here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from promptkit.statistics import (
    bootstrap_mean,
    compare_pairs,
    decide,
    difference_interval,
    mean_interval,
    minimum_detectable,
)

Scores = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Scores]

SIZES = (20, 50, 200)
RATES = (0.01, 0.03, 0.5, 0.97, 0.99)


def rate(share: float) -> Draw:
    """Right/wrong scores."""
    return lambda generator, n: (generator.random(n) < share).astype(float)


def mixed(share: float, rare: Draw, usual: Draw) -> Draw:
    """Scores of which a share is drawn in another way."""
    return lambda generator, n: np.where(generator.random(n) < share, rare(generator, n), usual(generator, n))


def beta(a: float, b: float) -> Draw:
    """Graded scores of one hump, or of a U where both are below 1."""
    return lambda generator, n: generator.beta(a, b, n)


def constant(value: float) -> Draw:
    """Equal scores."""
    return lambda generator, n: np.full(n, value)


GRADED: dict[str, tuple[Draw, float]] = {
    "90 % zeros, else Beta(2, 2)": (mixed(0.1, beta(2, 2), constant(0.0)), 0.05),
    "90 % ones, else Beta(2, 2)": (mixed(0.1, beta(2, 2), constant(1.0)), 0.95),
    "97 % zeros, else uniform": (mixed(0.03, beta(1, 1), constant(0.0)), 0.015),
    "U: Beta(.3, .3)": (beta(0.3, 0.3), 0.5),
    "U, skewed: Beta(.1, .9)": (beta(0.1, 0.9), 0.1),
    "rare big: 2 % ones, else Beta(2, 18)": (mixed(0.02, constant(1.0), beta(2, 18)), 0.118),
    "rare big: 2 % ones, else .1": (mixed(0.02, constant(1.0), constant(0.1)), 0.118),
    "hump: Beta(2, 3)": (beta(2, 3), 0.4),
    "ties: 0, .5, 1": (lambda generator, n: generator.choice([0.0, 0.5, 1.0], n, p=[0.3, 0.3, 0.4]), 0.55),
}

DIFFERENCES: dict[str, tuple[Draw, float]] = {
    "right/wrong, 3 % gains": (rate(0.03), 0.03),
    "right/wrong, 3 % gains, 1 % losses": (
        lambda generator, n: generator.choice([1.0, -1.0, 0.0], n, p=[0.03, 0.01, 0.96]),
        0.02,
    ),
    "right/wrong, 15 % gains, 5 % losses": (
        lambda generator, n: generator.choice([1.0, -1.0, 0.0], n, p=[0.15, 0.05, 0.8]),
        0.1,
    ),
    "graded, 2 % gains of 1, else 0": (mixed(0.02, constant(1.0), constant(0.0)), 0.02),
    "graded, 5 % gains of .8, else noise": (
        mixed(0.05, constant(0.8), lambda generator, n: 0.04 * generator.random(n) - 0.02),
        0.04,
    ),
    "graded, hump": (lambda generator, n: generator.beta(2, 3, n) - generator.beta(2, 3, n), 0.0),
}


def in_groups(generator: np.random.Generator, groups: int, mean: float, *, binary: bool) -> tuple[Scores, list[int]]:
    """Scores of groups of one to nine items that share most of what makes them easy."""
    sizes = generator.integers(1, 10, groups)
    shared = generator.beta(0.5 * mean, 0.5 * (1 - mean), groups)
    labels = np.repeat(np.arange(groups), sizes)
    scores = (generator.random(labels.size) < shared[labels]).astype(float) if binary else shared[labels]
    return scores, labels.tolist()


def coverage(draw: Draw, truth: float, n: int, runs: int, *, paired: bool = False) -> tuple[float, float, float]:
    """Coverage and mean width of today's interval, and the coverage of a percentile bootstrap of fewer runs."""
    generator = np.random.default_rng(n)
    hits, old, width = 0, 0, 0.0
    for run in range(runs):
        scores = draw(generator, n)
        found = difference_interval(scores) if paired else mean_interval(scores.tolist())
        hits += found.low <= truth <= found.high
        width += found.high - found.low
        if run < runs // 4:
            plain = bootstrap_mean(scores.tolist(), resamples=1000, seed=run)
            old += plain.low <= truth <= plain.high
    return hits / runs, width / runs, old / (runs // 4)


def coverage_by_group(groups: int, mean: float, runs: int, *, binary: bool) -> tuple[float, float]:
    """Coverage with the groups, and as if every item stood for itself."""
    generator = np.random.default_rng(groups)
    hits = [0, 0]
    for _ in range(runs):
        scores, labels = in_groups(generator, groups, mean, binary=binary)
        for place, known in enumerate((labels, None)):
            found = mean_interval(scores.tolist(), groups=known)
            hits[place] += found.low <= mean <= found.high
    return hits[0] / runs, hits[1] / runs


def seeds_of_items(generator: np.random.Generator, seeds: int, items: int) -> tuple[Scores, Scores, list[int]]:
    """Two equally good arms whose seeds answer an item alike in 19 of 20 cases."""
    arms = []
    for _ in range(2):
        known = np.repeat(generator.random(items) < 0.6, seeds)
        arms.append(np.where(generator.random(known.size) < 0.05, ~known, known).astype(float))
    return arms[0], arms[1], np.repeat(np.arange(items), seeds).tolist()


def questions_on_documents(
    generator: np.random.Generator, each: int, documents: int
) -> tuple[Scores, Scores, list[int]]:
    """Two equally good arms with graded scores, each of which has documents that suit it."""
    labels = np.repeat(np.arange(documents), each)
    hard = generator.normal(size=documents)[labels]
    arms = [
        1 / (1 + np.exp(-(hard + generator.normal(size=documents)[labels] + 0.7 * generator.normal(size=labels.size))))
        for _ in range(2)
    ]
    return arms[0], arms[1], labels.tolist()


def false_wins(
    draw: Callable[[np.random.Generator], tuple[Scores, Scores, list[int]]], runs: int
) -> tuple[float, float]:
    """Share of A/A comparisons with a verdict: with the groups, and without."""
    generator = np.random.default_rng(7)
    wins = [0, 0]
    for run in range(runs):
        a, b, labels = draw(generator)
        for place, known in enumerate((labels, None)):
            found = compare_pairs(a.tolist(), b.tolist(), groups=known, resamples=1000, seed=run)
            wins[place] += decide([found])[0][1] != "undecided"
    return wins[0] / runs, wins[1] / runs


def false_equivalent(n: int, share: float, size: float, margin: float, runs: int) -> float:
    """Share of "equivalent" where the second arm gains just the margin, in rare big steps."""
    generator = np.random.default_rng(n)
    found = 0
    for run in range(runs):
        base = generator.uniform(0, 1 - size, n)
        noise = generator.normal(0, 0.01, n)
        second = np.clip(base + np.where(generator.random(n) < share, size, noise), 0, 1)
        one = compare_pairs(base.tolist(), second.tolist(), margin=margin, resamples=500, seed=run)
        found += decide([one])[0][1] == "equivalent"
    return found / runs


def power_of(n: int, discordance: float, runs: int) -> tuple[float, float]:
    """What ``minimum_detectable`` says of right/wrong scores, and how often a true difference of it is found."""
    least = minimum_detectable(n, discordance=discordance)
    share = max(discordance, least)
    generator = np.random.default_rng(n)
    gains = (share + least) / 2
    found = 0
    for gain, loss, _ in generator.multinomial(n, [gains, share - gains, 1 - share], runs):
        second = np.repeat([1.0, 0.0, 1.0], [gain, loss, n - gain - loss])
        first = np.repeat([0.0, 1.0, 1.0], [gain, loss, n - gain - loss])
        found += decide([compare_pairs(first.tolist(), second.tolist())])[0][1] == "better"
    return least, found / runs


def graded_power_of(n: int, sd: float, runs: int) -> tuple[float, float]:
    """The same of graded scores, whose differences are normal."""
    least = minimum_detectable(n, sd=sd)
    generator = np.random.default_rng(n)
    found = 0
    for run in range(runs):
        differences = generator.normal(least, sd, n)
        one = compare_pairs([0.0] * n, differences.tolist(), resamples=1000, seed=run)
        found += decide([one])[0][1] == "better"
    return least, found / runs


def print_means(runs: int) -> None:
    """Coverage of the interval of a mean."""
    print(f"95 % intervals of a mean\n{'scores':40}{'n':>5}{'coverage':>10}{'width':>8}{'bootstrap':>11}")
    for name, (draw, truth) in {
        **{f"right/wrong, rate {share}": (rate(share), share) for share in RATES},
        **GRADED,
    }.items():
        for n in SIZES:
            found = coverage(draw, truth, n, runs)
            print(f"{name:40}{n:5}{found[0]:10.3f}{found[1]:8.3f}{found[2]:11.3f}", flush=True)


def print_differences(runs: int) -> None:
    """Coverage of the interval of a paired difference."""
    print(f"95 % intervals of a paired difference\n{'scores':40}{'n':>5}{'coverage':>10}{'width':>8}{'bootstrap':>11}")
    for name, (draw, truth) in DIFFERENCES.items():
        for n in SIZES:
            found = coverage(draw, truth, n, runs, paired=True)
            print(f"{name:40}{n:5}{found[0]:10.3f}{found[1]:8.3f}{found[2]:11.3f}", flush=True)


def print_groups(runs: int) -> None:
    """Coverage by group."""
    print(f"95 % intervals of a mean by groups of 1 to 9 items\n{'scores':40}{'groups':>7}{'grouped':>10}{'not':>8}")
    for binary in (True, False):
        for mean in (0.03, 0.5, 0.97):
            for groups in SIZES:
                by_group, blind = coverage_by_group(groups, mean, runs, binary=binary)
                name = f"{'right/wrong' if binary else 'graded'}, mean {mean}"
                print(f"{name:40}{groups:7}{by_group:10.3f}{blind:8.3f}", flush=True)


def print_wins(runs: int) -> None:
    """False wins."""
    print(f"false wins of equally good arms\n{'items':47}{'grouped':>10}{'not':>8}")
    for each, items in ((5, 100), (10, 20), (3, 30)):
        wins = false_wins(lambda g, s=each, i=items: seeds_of_items(g, s, i), runs)  # type: ignore[misc]
        print(f"{f'{each} seeds of {items} items, right/wrong':47}{wins[0]:10.3f}{wins[1]:8.3f}", flush=True)
        wins = false_wins(lambda g, s=each, i=items: questions_on_documents(g, s, i), runs)  # type: ignore[misc]
        print(f"{f'{each} questions on {items} documents, graded':47}{wins[0]:10.3f}{wins[1]:8.3f}", flush=True)


def print_equivalence(runs: int) -> None:
    """False equivalence."""
    print(f"false equivalent: true gain equals the margin\n{'gains':30}{'margin':>8}{'n':>5}{'share':>8}")
    for share, size in ((0.05, 1.0), (0.1, 0.5), (0.02, 0.9)):
        for n in (50, 100, 200):
            margin = share * size
            found = false_equivalent(n, share, size, margin, runs)
            print(f"{f'{share:.0%} of {size:g}':30}{margin:8.3f}{n:5}{found:8.3f}", flush=True)


def print_power(runs: int) -> None:
    """Power."""
    print(f"how often a difference of minimum_detectable is found\n{'scores':30}{'n':>5}{'least':>8}{'found':>8}")
    for n in (*SIZES, 1000):
        for discordance in (0.05, 0.2, 0.5):
            least, found = power_of(n, discordance, runs)
            print(f"{f'right/wrong, {discordance:.0%} differ':30}{n:5}{least:8.3f}{found:8.3f}", flush=True)
        least, found = graded_power_of(n, 0.2, runs)
        print(f"{'graded, sd .2':30}{n:5}{least:8.3f}{found:8.3f}", flush=True)


TABLES: dict[str, Callable[[int], None]] = {
    "means": print_means,
    "differences": print_differences,
    "groups": print_groups,
    "wins": print_wins,
    "equivalence": print_equivalence,
    "power": print_power,
}


def main(runs: int, names: Sequence[str]) -> None:
    """Prints tables."""
    for name in names or TABLES:
        print(f"{runs:,} repetitions (percentile bootstrap: {runs // 4:,})")
        TABLES[name](runs)
        print()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:])
