"""Planning: what a number of items can show, and how many would settle what is open."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from promptkit.errors import SettingError, error_message
from promptkit.statistics.quantiles import binomial_cdf, normal_quantile, student_quantile
from promptkit.statistics.resampling import Scores
from promptkit.statistics.significance import is_binary

__all__ = ["items_needed", "mcnemar_power", "minimum_detectable", "reach"]

_HALVINGS = 20
"""Halvings of an interval of differences: to a millionth."""
_NODES = 100
"""Half of the most numbers of discordant items that are summed over."""
_MANY = 100_000
"""Items from which on the first guess is as good as an exact sum."""


def minimum_detectable(
    items: int,
    *,
    discordance: float | None = None,
    sd: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
    arms: int = 1,
) -> float:
    """Returns the smallest true difference that a paired comparison of so many items finds with this power.

    To be asked before a run: a difference that matters but cannot be found calls for more items, not for a run.

    For scores of 0 and 1 it is the difference at which the exact McNemar test has this power, over all outcomes by
    their chances; for others ``(t_a + t_b) sd / sqrt(n)``, with quantiles of t, for the sign-flip test. With several
    arms the level is that of Holm's first step. Arms that differ by x differ on at least that share of the items, so
    where x comes out above the discordance, the discordance is taken to be x.

    Args:
        items: Number of items that both arms answer.
        discordance: For scores of 0 and 1: the share of items on which the arms are expected to differ in being
            right, in (0, 1]. Two arms that are right on 70 % with no relation differ on 42 %; .1 to .3 is common.
        sd: For other scores: the expected standard deviation of the differences.
        confidence: 1 minus the two-sided level of the test.
        power: Chance of finding the difference if it is there.
        arms: Number of arms that are compared with the baseline.

    Returns:
        The difference; infinite if even items that all differ one way would not suffice, or if ``sd`` is 0.

    Raises:
        SettingError: A setting is out of range, or not exactly one of ``discordance`` and ``sd`` is given.

    Example:
        >>> round(minimum_detectable(300, discordance=0.2), 3)
        0.074
        >>> round(minimum_detectable(300, sd=0.25), 3)
        0.041
    """
    of = "minimum_detectable"
    if (discordance is None) == (sd is None):
        expected = "given, exactly one of them"
        raise SettingError(error_message("discordance or sd", of=of, expected=expected, got=(discordance, sd)))
    if discordance is not None and not 0 <= discordance <= 1:
        raise SettingError(error_message("discordance", of=of, expected="a share from 0 to 1", got=discordance))
    if sd is not None and not (0 <= sd < math.inf):
        raise SettingError(error_message("sd", of=of, expected="a number of at least 0", got=sd))
    if items < 1 or arms < 1:
        raise SettingError(error_message("items and arms", of=of, expected="at least 1", got=(items, arms)))
    level = (1 - confidence) / arms
    _check(of, level, power)
    if sd is not None:
        return reach(items, sd, confidence=confidence, power=power, arms=arms) if sd else math.inf
    assert discordance is not None
    share = discordance
    if mcnemar_power(items, 1.0, 1.0, level) < power:
        return math.inf
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = mcnemar_power(items, max(share, middle), middle, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def reach(
    items: int, sd: float, *, edge: float = 0.0, confidence: float = 0.95, power: float = 0.8, arms: int = 1
) -> float:
    """Returns how far from the value tested a true mean difference must lie to be found with this power.

    Args:
        items: Number of items, or of groups of items.
        sd: Standard deviation of the differences.
        edge: For the bounded test of a margin (``bounded_above``): the distance from the margin to the bound at which
            that test adds an observation. 0 for sign flips.
        confidence: 1 minus the two-sided level of the test.
        power: Chance of finding the difference.
        arms: Number of arms that are compared with the baseline.

    Returns:
        The distance; infinite with fewer than two items.
    """
    if items < 2:
        return math.inf
    level = (1 - confidence) / arms
    t_level, t_power = student_quantile(1 - level / 2, items - 1), student_quantile(power, items - 1)
    found = t_power * sd / math.sqrt(items)
    if not edge:
        return found + t_level * sd / math.sqrt(items)
    z_level = normal_quantile(1 - level / 2)
    return found + edge / (items + 1) + z_level * math.sqrt((sd**2 + edge**2 / (items + 1)) / (items + 2))


def mcnemar_power(items: int, discordance: float, difference: float, level: float) -> float:
    """Returns the chance that the exact McNemar test finds a gain, summed over all outcomes.

    Args:
        items: Number of items.
        discordance: Share of items on which the arms differ in being right, in (0, 1].
        difference: Share of gains minus share of losses, from 0 to ``discordance``.
        level: Two-sided level of the test.

    Returns:
        A chance in [0, 1]. Numbers of discordant items that are further than six standard deviations from what is
        expected are left out, and of more than 200 others every so many.

    Example:
        >>> round(mcnemar_power(100, 0.2, 0.2, 0.05), 3)
        1.0
    """
    centre, spread = items * discordance, math.sqrt(items * discordance * (1 - discordance))
    first, last = max(0, math.floor(centre - 6 * spread)), min(items, math.ceil(centre + 6 * spread))
    stride = 2 * ((last - first) // (2 * _NODES)) + 1  # odd: critical values depend on the parity
    differing = np.arange(first, last + 1, stride, dtype=np.float64)
    chances = _binomial_shares(differing, items, discordance)
    critical = _critical(first, last, stride, level)
    losses = binomial_cdf(critical, differing, np.array([(1 - difference / discordance) / 2]))
    return float(chances @ losses)


def _binomial_shares(k: Scores, n: int, share: float) -> Scores:
    """Chances of k hits in n throws, relative to each other."""
    if share >= 1:
        return np.asarray(k == n, dtype=np.float64)
    logs = np.array([-math.lgamma(one + 1) - math.lgamma(n - one + 1) for one in k.tolist()])
    logs += k * math.log(share) + (n - k) * math.log1p(-share)
    shares: Scores = np.exp(logs - logs.max())
    return shares / float(shares.sum())


@lru_cache(maxsize=64)
def _critical(first: int, last: int, stride: int, level: float) -> Scores:
    """Most losses with which the exact McNemar test still finds a gain; -1 where none is few enough."""
    differing = np.arange(first, last + 1, stride, dtype=np.float64)
    guess = np.floor((differing - normal_quantile(1 - level / 2) * np.sqrt(differing)) / 2)
    found = np.full(differing.size, -1.0)
    for step in range(-4, 3):
        losses = guess + step
        fits = (losses >= 0) & (2 * binomial_cdf(losses, differing, np.array([0.5])) <= level)
        found = np.where(fits, losses, found)
    return found


def items_needed(
    differences: Scores,
    *,
    margin: float = 0.0,
    confidence: float = 0.95,
    power: float = 0.8,
    arms: int = 1,
    bounded: bool = True,
    exact: bool = True,
) -> float:
    """Returns how many items, those seen included, would settle a comparison if what was seen is the truth.

    A difference beyond the margin is settled by a test against the margin, one within it by a test of equivalence,
    and either takes longer the nearer it lies to the margin. What was seen is itself uncertain, so this is a plan
    and no promise: the truth is often smaller than a difference that looked large.

    Args:
        differences: ``[n]`` paired differences, or one value per group.
        margin: The smallest difference that matters, at least 0.
        confidence: 1 minus the level of the test.
        power: Chance that so many items settle it.
        arms: Number of arms that are compared with the baseline.
        bounded: Whether differences lie between -1 and 1 by nature, as those of scores from 0 to 1 do.
        exact: Whether differences of -1, 0 and 1 are tested by McNemar's test and Tango's, as single items are.

    Returns:
        A whole number of items, or infinity: the difference seen lies on the margin (with margin 0: it is 0), or
        nothing differs.

    Raises:
        SettingError: A setting is out of range.

    Example:
        >>> import numpy as np
        >>> items_needed(np.array([1.0] * 9 + [-1.0] * 6 + [0.0] * 85))
        1362
        >>> items_needed(np.array([1.0, -1.0, 0.0]))
        inf
    """
    level = (1 - confidence) / arms
    _check("items_needed", level, power)
    mean = abs(math.fsum(differences)) / differences.size
    distance, variance = abs(mean - margin), max(math.fsum(differences**2) / differences.size - mean**2, 0.0)
    changed = float((differences != 0).mean())
    if distance < 1e-12 or not changed:
        return math.inf
    within, binary, sd = mean < margin, exact and is_binary(differences), math.sqrt(variance)
    if within:
        # Equivalence has two sides that can fail, and each must hold for the whole to have this power.
        level, power = min(2 * level, 0.999), (1 + power) / 2
    z_sum = normal_quantile(1 - level / 2) + normal_quantile(power)
    start = max(2, math.ceil((z_sum / distance) ** 2 * variance))
    if binary and not margin:
        changed = max(changed, mean)
        return _smallest(lambda n: mcnemar_power(n, changed, mean, level) >= power, start)
    if binary:
        # Without a single differing item, chance must be a poor explanation of that (see ``above``).
        floor = math.log(level / 2) / math.log1p(-margin) if within and margin < 1 else 0.0
        needed = max(start, floor, 0 if within else math.log2(2 / level) / changed)
        return math.ceil(needed)
    edge = (1 - margin if within else 1 + margin) if margin and bounded else 0.0

    def enough(n: int) -> bool:
        # So few items that no pattern of signs is rare enough can settle nothing.
        rare = within or n * changed >= math.log2(2 / level)
        return rare and reach(n, sd, edge=edge, confidence=1 - level, power=power) <= distance

    return _smallest(enough, start)


def _smallest(enough: Callable[[int], bool], start: int) -> float:
    """The smallest number from which on something is enough, searched near a first guess."""
    if start > _MANY:
        return start
    low, high = 1, start
    while not enough(high):
        low, high = high, math.ceil(1.3 * high) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check(of: str, level: float, power: float) -> None:
    if not 0 < level < 1:
        raise SettingError(error_message("confidence", of=of, expected="between 0 and 1", got=1 - level))
    if not 0.5 <= power < 1:
        raise SettingError(error_message("power", of=of, expected="from 0.5 to below 1", got=power))
