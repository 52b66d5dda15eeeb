"""False claims of whole comparisons, counted in simulation."""

from __future__ import annotations

import numpy as np
import pytest

import promptkit as pk
from promptkit.statistics import compare_pairs, decide


def family(generator: np.random.Generator, arms: int, items: int, kind: str) -> list[list[float]]:
    """Scores of equally good arms on the same items, which are easy or hard for all of them."""
    hard = generator.normal(size=items)
    chances = 1 / (1 + np.exp(-(hard + 0.7 * generator.normal(size=(arms, items)))))
    if kind == "binary":
        return (generator.random((arms, items)) < chances).astype(float).tolist()
    return chances.tolist()


def false_claims(runs: int, arms: int, items: int, kind: str, seed: int) -> tuple[float, float]:
    """Share of families with a false claim: with Holm's correction, and without."""
    generator = np.random.default_rng(seed)
    corrected = plain = 0
    for run in range(runs):
        base, *others = family(generator, arms, items, kind)
        found = [compare_pairs(base, other, resamples=600, seed=run) for other in others]
        corrected += any(verdict != "undecided" for _, verdict in decide(found))
        plain += any(one.p_value <= 0.05 for one in found)
    return corrected / runs, plain / runs


def test_ten_identical_arms_and_the_twin_without_correction() -> None:
    corrected, plain = false_claims(120, 10, 100, "binary", seed=0)
    assert corrected <= 0.065 < 0.1 < plain


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["binary", "rouge-like"])
def test_ten_identical_arms_in_long_simulation(kind: str) -> None:
    corrected, plain = false_claims(2000 if kind == "binary" else 800, 10, 200, kind, seed=1)
    print(f"{kind}: Holm {corrected:.4f}, uncorrected {plain:.4f}")
    assert corrected <= 0.065
    assert plain > 0.12


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_arms_that_differ_by_the_margin_are_seldom_called_equivalent_or_better() -> None:
    generator = np.random.default_rng(2)
    verdicts = []
    for run in range(600):
        base, other = np.array(family(generator, 2, 300, "binary"))
        # Some answers of one arm are turned right, as many as the margin says on average.
        wrong = np.flatnonzero(other == 0)
        other[wrong[generator.random(wrong.size) < 0.05 * 300 / wrong.size]] = 1.0
        verdicts.append(pk.compare({"a": base.tolist(), "b": other.tolist()}, margin=0.05, seed=run)["b"].verdict)
    assert np.mean([verdict == "equivalent" for verdict in verdicts]) <= 0.065
    assert np.mean([verdict == "better" for verdict in verdicts]) <= 0.065
    assert "worse" not in verdicts
