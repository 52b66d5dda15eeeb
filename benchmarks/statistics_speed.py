"""Measures the bootstrap against scipy's, on the same paired differences, and asserts that the intervals agree.

Both are run in turns (A B A B ...). The table shows CPU seconds, the median over the rounds, and the median of the
ratios of each round. The target of an absolute time is 0.1 CPU seconds for 10,000 resamples of 1,000 items.

Run ``python benchmarks/statistics_speed.py``; ``--rounds`` sets their number, ``--check`` makes a missed target fail.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")  # CPU seconds and not the scheduler are compared

import numpy as np
import numpy.typing as npt
from scipy import stats

from promptkit.statistics import Sequential, compare_pairs, difference_interval, sign_flip

ITEMS, RESAMPLES, TARGET = 1_000, 10_000, 0.1


def cpu_seconds(work: Callable[[], object]) -> float:
    """Returns the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def make_scores(kind: str, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns scores of two arms on the same items: right or wrong, or anything from 0 to 1."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(size=ITEMS)
    first, second = (1 / (1 + np.exp(-(hard + skill + 0.7 * generator.normal(size=ITEMS)))) for skill in (0.0, 0.2))
    if kind == "continuous":
        return first, second
    return (generator.random(ITEMS) < first).astype(float), (generator.random(ITEMS) < second).astype(float)


def bootstrap(differences: npt.NDArray[np.float64], method: str) -> tuple[float, float]:
    """Returns scipy's interval, by the same resamples in number."""
    found = stats.bootstrap((differences,), np.mean, n_resamples=RESAMPLES, method=method, batch=100, rng=1)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def measure(theirs: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Returns the median CPU seconds of both, and the median ratio."""
    pairs = [(cpu_seconds(theirs), cpu_seconds(ours)) for _ in range(rounds)]
    slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
    return slow, fast, statistics.median(first / max(second, 1e-9) for first, second in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns 1 if a target is missed and ``--check`` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of A B, at least 3")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(arguments)
    rounds, missed = max(3, options.rounds), 0
    print(f"{ITEMS:,} paired items, {RESAMPLES:,} resamples, CPU seconds")
    print(f"{'work':44}{'scipy':>10}{'promptkit':>12}{'ratio':>9}{'target':>9}")
    for kind in ("right or wrong", "continuous"):
        first, second = make_scores(kind)
        changes = second - first
        for method, name in (("percentile", "percentile"), ("BCa", "bca")):
            theirs = bootstrap(changes, method)
            ours = difference_interval(changes, method=name, resamples=RESAMPLES)  # type: ignore[arg-type]
            error = 0.08 * (theirs[1] - theirs[0])  # quantiles of 10,000 resamples are that sure
            assert abs(ours.low - theirs[0]) < error and abs(ours.high - theirs[1]) < error, (ours, theirs)
            slow, fast, ratio = measure(
                lambda changes=changes, method=method: bootstrap(changes, method),  # type: ignore[misc]
                lambda changes=changes, name=name: difference_interval(changes, method=name),  # type: ignore[misc]
                rounds,
            )
            missed += fast >= TARGET
            print(f"{f'bootstrap, {name}, {kind}':44}{slow:10.3f}{fast:12.4f}{ratio:8.0f}x{TARGET:9.1f}")
    for line, work in _others(first, second):
        seconds = statistics.median(cpu_seconds(work) for _ in range(rounds))
        print(f"{line:44}{'-':>10}{seconds:12.4f}")
    return int(bool(missed) and options.check)


def _others(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> list[tuple[str, Callable[[], object]]]:
    a, b = first.tolist(), second.tolist()
    return [
        ("sign flips, 10,000 patterns, continuous", lambda: sign_flip(second - first)),
        ("compare_pairs with a margin, continuous", lambda: compare_pairs(a, b, margin=0.02)),
        ("Sequential, 1,000 items", lambda: Sequential().add_all(zip(a, b, strict=True))),
    ]


if __name__ == "__main__":
    sys.exit(main())
