"""Everything that is said about two arms that answered the same items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptkit.errors import SettingError, explain
from promptkit.statistics.intervals import IntervalMethod, check_scores, difference_interval
from promptkit.statistics.power import items_needed, minimum_detectable
from promptkit.statistics.resampling import Scores
from promptkit.statistics.significance import above, holm, is_binary, mcnemar, sign_flip

__all__ = ["Paired", "Verdict", "compare_pairs", "decide", "detectable", "still_needed"]

Verdict = Literal["better", "worse", "equivalent", "undecided"]
"""What a comparison found: beyond the margin up or down, surely within it, or nothing yet."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The paired comparison of two arms, second minus first.

    Attributes:
        n: Number of items.
        difference: Mean difference.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_value: Two-sided p-value of "no difference", or with a margin, of "no difference beyond the margin".
        p_equivalent: p-value of "a difference at least as large as the margin" (TOST); ``None`` without a margin.
        test: The test that gave ``p_value``.
        gains: Items on which the second arm scores higher.
        losses: Items on which the first arm scores higher.
        effect_size: Cohen's d_z: mean difference by standard deviation of the differences; 0 if nothing differs,
            infinite if all items differ alike.
        odds_ratio: For scores of 0 and 1: the odds that a differing item is a gain, (gains + 1/2) / (losses + 1/2);
            else ``None``.
    """

    n: int
    difference: float
    low: float
    high: float
    p_value: float
    p_equivalent: float | None
    test: str
    gains: int
    losses: int
    effect_size: float
    odds_ratio: float | None


def compare_pairs(
    first: Sequence[float],
    second: Sequence[float],
    *,
    margin: float = 0.0,
    confidence: float = 0.95,
    method: IntervalMethod = "auto",
    resamples: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Compares two arms on per-item scores of the same items.

    The p-value is that of the exact McNemar test where all scores are 0 or 1, and of the sign-flip permutation test
    otherwise. With a margin it is twice the smaller of two one-sided tests against the margin (``above``), and
    equivalence is tested by two one-sided tests from outside (TOST; Schuirmann 1987).

    The interval and the p-value answer the same question by different means, so at the very border one may exclude 0
    where the other does not: the exact test never errs more often than it says, the interval covers as often.

    Args:
        first: Scores of the first arm (the baseline), one per item.
        second: Scores of the second arm on the same items in the same order.
        margin: The smallest difference that matters, at least 0.
        confidence: Confidence of the interval.
        method: How the interval is found, see ``difference_interval``.
        resamples: Bootstrap resamples and drawn sign patterns.
        seed: Seed of both.

    Returns:
        Difference, interval, tests and effect sizes.

    Raises:
        SettingError: Scores are not numbers, not equally many, fewer than two, or a setting is out of range.

    Example:
        >>> found = compare_pairs([0.0] * 40 + [1.0] * 60, [0.0] * 20 + [1.0] * 80)
        >>> found.difference, found.gains, found.losses, round(found.p_value, 7), found.test
        (0.2, 20, 0, 1.9e-06, 'exact McNemar')
    """
    a = check_scores(first, "compare_pairs", confidence, resamples)
    b = check_scores(second, "compare_pairs", confidence, resamples)
    if a.size != b.size or a.size < 2:
        must = "of the same items, at least two"
        raise SettingError(explain("scores", of="compare_pairs", must=must, got=f"{a.size} and {b.size} items"))
    if not 0 <= margin < math.inf:
        raise SettingError(explain("margin", of="compare_pairs", must="a number of at least 0", got=margin))
    differences = b - a
    interval = difference_interval(differences, confidence=confidence, method=method, resamples=resamples, seed=seed)
    gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
    binary = is_binary(differences)
    p_value, p_equivalent, test = _test(differences, margin, resamples, seed)
    return Paired(
        n=int(differences.size),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        p_equivalent=p_equivalent,
        test=test,
        gains=gains,
        losses=losses,
        effect_size=_effect_size(differences),
        odds_ratio=(gains + 0.5) / (losses + 0.5) if binary else None,
    )


def _test(differences: Scores, margin: float, resamples: int, seed: int) -> tuple[float, float | None, str]:
    binary = is_binary(differences)
    if not margin:
        if binary:
            return mcnemar(int((differences > 0).sum()), int((differences < 0).sum())), None, "exact McNemar"
        return sign_flip(differences, resamples=resamples, seed=seed), None, "sign flips"

    def beyond(values: Scores, null: float) -> float:
        return above(values, null, resamples=resamples, seed=seed)

    p_value = min(1.0, 2 * min(beyond(differences, margin), beyond(-differences, margin)))
    p_equivalent = max(beyond(differences, -margin), beyond(-differences, -margin))
    return p_value, p_equivalent, "score test of the margin" if binary else "sign flips against the margin"


def _effect_size(differences: Scores) -> float:
    # Exact sums, so that the order of the items does not show in the last digit.
    mean = math.fsum(differences) / differences.size
    spread = math.sqrt(math.fsum((differences - mean) ** 2) / (differences.size - 1))
    if spread <= 1e-12 * abs(mean):
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / spread


def decide(found: Sequence[Paired], confidence: float = 0.95) -> list[tuple[float, Verdict]]:
    """Says what several comparisons found, with Holm's correction over them.

    Claims of a difference are corrected together, and so are claims of equivalence: the chance of any false one among
    its kind is at most 1 - confidence.

    Args:
        found: The comparisons.
        confidence: 1 minus the level of the claims.

    Returns:
        The adjusted p-value of a difference, and the verdict, of each comparison in order.

    Example:
        >>> one = compare_pairs([0.0] * 40 + [1.0] * 60, [0.0] * 20 + [1.0] * 80)
        >>> [verdict for _, verdict in decide([one])]
        ['better']
    """
    level = 1 - confidence
    adjusted = holm([one.p_value for one in found])
    same = holm([1.0 if one.p_equivalent is None else one.p_equivalent for one in found])
    verdicts: list[tuple[float, Verdict]] = []
    for one, p_value, p_equivalent in zip(found, adjusted, same, strict=True):
        verdict: Verdict = "undecided"
        if p_value <= level:
            verdict = "better" if one.difference > 0 else "worse"
        elif one.p_equivalent is not None and p_equivalent <= level:
            verdict = "equivalent"
        verdicts.append((p_value, verdict))
    return verdicts


def detectable(differences: Scores, *, confidence: float, power: float, arms: int) -> float:
    """Returns the smallest true difference that so many items find with this power, given how much they vary.

    Args:
        differences: ``[n]`` paired differences, from which discordance or standard deviation is taken.
        confidence: 1 minus the level of the test.
        power: Chance of finding the difference.
        arms: Number of arms that are compared.

    Returns:
        The difference; infinite if all items differ alike, so that nothing is known of how much they vary.
    """
    if is_binary(differences):
        share = float((differences != 0).mean())
        return minimum_detectable(differences.size, discordance=share, confidence=confidence, power=power, arms=arms)
    spread = float(differences.std(ddof=1))
    return minimum_detectable(differences.size, sd=spread, confidence=confidence, power=power, arms=arms)


def still_needed(
    differences: Scores, verdict: Verdict, *, margin: float, confidence: float, power: float, arms: int
) -> float:
    """Returns how many more items would decide a comparison at the difference seen.

    Args:
        differences: ``[n]`` paired differences.
        verdict: What they have shown.
        margin: The smallest difference that matters.
        confidence: 1 minus the level of the test.
        power: Chance that so many items decide.
        arms: Number of arms that are compared.

    Returns:
        0 if it is decided; else at least 1, or infinity (see ``items_needed``).
    """
    if verdict != "undecided":
        return 0
    needed = items_needed(differences, margin=margin, confidence=confidence, power=power, arms=arms)
    return max(1, needed - differences.size)
