"""Everything that is said about two arms that answered the same items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from promptkit.errors import SettingError, error_message
from promptkit.statistics.groups import Clusters, Groups, group_codes
from promptkit.statistics.intervals import IntervalMethod, check_scores, difference_interval
from promptkit.statistics.power import items_needed, minimum_detectable, reach
from promptkit.statistics.resampling import Scores
from promptkit.statistics.significance import above, holm, is_binary, mcnemar, sign_flip

__all__ = ["Paired", "Verdict", "compare_pairs", "decide", "detectable", "paired_differences", "still_needed"]

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
"""Differences up to this share of the larger score, or up to this, are rounding; see ``paired_differences``."""

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


def paired_differences(first: Sequence[float] | Scores, second: Sequence[float] | Scores) -> Scores:
    """Returns the second scores minus the first, with rounding noise taken for 0.

    The mean of the same numbers in another order differs in its last digits, and on many items in one direction; a
    test of signs would call that a proof. So a difference of at most a millionth of the larger score (what float32
    can show of a mean), or of at most 1e-9, is none.

    Args:
        first: Scores of the first arm, one per item.
        second: Scores of the second arm on the same items.

    Returns:
        ``[n]`` differences.

    Example:
        >>> paired_differences([0.1 + 0.2, 0.5], [0.3, 0.75]).tolist()
        [0.0, 0.25]
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    differences = b - a
    noise = np.maximum(_RELATIVE * np.maximum(np.abs(a), np.abs(b)), _ABSOLUTE)
    return np.where(np.abs(differences) <= noise, 0.0, differences)


def compare_pairs(
    first: Sequence[float],
    second: Sequence[float],
    *,
    groups: Groups = None,
    margin: float = 0.0,
    confidence: float = 0.95,
    method: IntervalMethod = "auto",
    resamples: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Compares two arms on per-item scores of the same items.

    The p-value is that of the exact McNemar test where all scores are 0 or 1, and of the sign-flip permutation test
    otherwise, or by groups. With a margin it is twice the smaller of two one-sided tests against the margin
    (``above``), and equivalence is tested by two one-sided tests from outside (TOST; Schuirmann 1987).

    The interval and the p-value answer the same question by different means, so at the very border one may exclude 0
    where the other does not: the exact test never errs more often than it says, the interval covers as often. With
    the arms exchanged the outcome is the same with its signs changed. Scores in [0, 1] are taken for bounded by it.
    Rounding noise is no difference (``paired_differences``).

    Args:
        first: Scores of the first arm (the baseline), one per item.
        second: Scores of the second arm on the same items in the same order.
        groups: The group of each item, where items are dependent: several questions on one document, several seeds of
            one item. A group then is one observation.
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
        expected = "of the same items, at least two"
        raise SettingError(
            error_message("scores", of="compare_pairs", expected=expected, got=f"{a.size} and {b.size} items")
        )
    if not 0 <= margin < math.inf:
        raise SettingError(error_message("margin", of="compare_pairs", expected="a number of at least 0", got=margin))
    codes = group_codes(groups, a.size, "compare_pairs")
    differences = paired_differences(a, b)
    bounds = (-1.0, 1.0) if min(a.min(), b.min()) >= 0 and max(a.max(), b.max()) <= 1 else None
    known = None if codes is None else codes.tolist()
    interval = difference_interval(
        differences,
        groups=known,
        confidence=confidence,
        method=method,
        bounds=bounds,
        resamples=resamples,
        seed=seed,
    )
    gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
    p_value, p_equivalent, test = _test(differences, margin, known, bounds, resamples, seed)
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
        odds_ratio=(gains + 0.5) / (losses + 0.5) if is_binary(differences) else None,
    )


def _test(
    differences: Scores, margin: float, groups: Groups, bounds: tuple[float, float] | None, resamples: int, seed: int
) -> tuple[float, float | None, str]:
    binary = is_binary(differences) and groups is None
    by_group = "" if groups is None else " by group"
    if not margin:
        if binary:
            return mcnemar(int((differences > 0).sum()), int((differences < 0).sum())), None, "exact McNemar"
        p_value = sign_flip(differences, groups=groups, resamples=resamples, seed=seed)
        return p_value, None, f"sign flips{by_group}"

    def beyond(values: Scores, null: float) -> float:
        return above(values, null, groups=groups, bounds=bounds, resamples=resamples, seed=seed)

    p_value = min(1.0, 2 * min(beyond(differences, margin), beyond(-differences, margin)))
    p_equivalent = max(beyond(differences, -margin), beyond(-differences, -margin))
    if binary:
        return p_value, p_equivalent, "score test of the margin"
    kind = "sign flips against the margin" if bounds is None else "bounded test of the margin"
    return p_value, p_equivalent, f"{kind}{by_group}"


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


def detectable(
    differences: Scores,
    *,
    groups: Groups = None,
    bounded: bool = True,
    margin: float = 0.0,
    confidence: float,
    power: float,
    arms: int,
) -> float:
    """Returns the smallest true difference that so many items find with this power, given how much they vary.

    Args:
        differences: ``[n]`` paired differences, from which discordance or standard deviation is taken.
        groups: The group of each item, where items are dependent.
        bounded: Whether differences lie between -1 and 1 by nature.
        margin: The smallest difference that matters; with one, what is returned is the distance beyond it.
        confidence: 1 minus the level of the test.
        power: Chance of finding the difference.
        arms: Number of arms that are compared.

    Returns:
        The difference; infinite if all items differ alike, so that nothing is known of how much they vary.
    """
    codes = group_codes(groups, differences.size, "detectable")
    if codes is None and is_binary(differences):
        share = float((differences != 0).mean())
        return minimum_detectable(differences.size, discordance=share, confidence=confidence, power=power, arms=arms)
    values = Clusters.of(differences, codes).values()
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    edge = 1 + margin if margin and bounded else 0.0
    if spread <= _ABSOLUTE:
        return math.inf
    return reach(values.size, spread, edge=edge, confidence=confidence, power=power, arms=arms)


def still_needed(
    differences: Scores,
    verdict: Verdict,
    *,
    groups: Groups = None,
    bounded: bool = True,
    margin: float,
    confidence: float,
    power: float,
    arms: int,
) -> float:
    """Returns how many more items would decide a comparison at the difference seen.

    Args:
        differences: ``[n]`` paired differences.
        verdict: What they have shown.
        groups: The group of each item, where items are dependent; further items then come in groups of that size.
        bounded: Whether differences lie between -1 and 1 by nature.
        margin: The smallest difference that matters.
        confidence: 1 minus the level of the test.
        power: Chance that so many items decide.
        arms: Number of arms that are compared.

    Returns:
        0 if it is decided; else at least 1, or infinity (see ``items_needed``).
    """
    if verdict != "undecided":
        return 0
    codes = group_codes(groups, differences.size, "still_needed")
    values = Clusters.of(differences, codes).values() if codes is not None else differences
    needed = items_needed(
        values, margin=margin, confidence=confidence, power=power, arms=arms, bounded=bounded, exact=codes is None
    )
    if math.isinf(needed):
        return needed
    return max(1, math.ceil(needed * differences.size / values.size) - differences.size)
