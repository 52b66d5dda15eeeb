"""Planning: what a number of items can show, and how many would settle what is open."""

from __future__ import annotations

import math

from promptkit.errors import SettingError, explain
from promptkit.statistics.quantiles import normal_quantile
from promptkit.statistics.resampling import Scores
from promptkit.statistics.significance import is_binary

__all__ = ["items_needed", "minimum_detectable"]


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

    For scores of 0 and 1, with discordance d, the difference x solves
    ``n x^2 = (z_a sqrt(d) + z_b sqrt(d - x^2))^2`` (Connor 1987, Biometrics 43:207); for others it is
    ``(z_a + z_b) sd / sqrt(n)``. With several arms the level is that of Holm's first step. Arms that differ by x differ
    on at least that share of the items, so where x comes out above d, d is taken to be x.

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
        0.072
        >>> round(minimum_detectable(300, sd=0.25), 3)
        0.04
    """
    of = "minimum_detectable"
    if (discordance is None) == (sd is None):
        must = "given, exactly one of them"
        raise SettingError(explain("discordance or sd", of=of, must=must, got=(discordance, sd)))
    if discordance is not None and not 0 <= discordance <= 1:
        raise SettingError(explain("discordance", of=of, must="a share from 0 to 1", got=discordance))
    if sd is not None and not (0 <= sd < math.inf):
        raise SettingError(explain("sd", of=of, must="a number of at least 0", got=sd))
    if items < 1 or arms < 1:
        raise SettingError(explain("items and arms", of=of, must="at least 1", got=(items, arms)))
    z_level, z_power = _quantiles(of, (1 - confidence) / arms, power)
    if sd is not None:
        return (z_level + z_power) * sd / math.sqrt(items) if sd else math.inf
    assert discordance is not None
    room = items + z_power**2 - z_level**2
    if room < 0:
        return math.inf
    found = math.sqrt(discordance) * (z_level * math.sqrt(items) + z_power * math.sqrt(room)) / (items + z_power**2)
    if 0 < found <= discordance:
        return found
    # n x = (z_a + z_b sqrt(1 - x))^2: the right side falls as x grows, so halving finds the only root.
    low, high = discordance, 1.0
    if items < z_level**2:
        return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        enough = items * middle >= (z_level + z_power * math.sqrt(1 - middle)) ** 2
        low, high = (low, middle) if enough else (middle, high)
    return high


def items_needed(
    differences: Scores, *, margin: float = 0.0, confidence: float = 0.95, power: float = 0.8, arms: int = 1
) -> float:
    """Returns how many items, those seen included, would settle a comparison if what was seen is the truth.

    A difference beyond the margin is settled by a test against the margin, one within it by a test of equivalence,
    and either takes longer the nearer it lies to the margin. What was seen is itself uncertain, so this is a plan
    and no promise: the truth is often smaller than a difference that looked large.

    Args:
        differences: ``[n]`` paired differences.
        margin: The smallest difference that matters, at least 0.
        confidence: 1 minus the level of the test.
        power: Chance that so many items settle it.
        arms: Number of arms that are compared with the baseline.

    Returns:
        A whole number of items, or infinity: the difference seen lies on the margin (with margin 0: it is 0), or
        nothing differs.

    Raises:
        SettingError: A setting is out of range.

    Example:
        >>> import numpy as np
        >>> items_needed(np.array([1.0] * 9 + [-1.0] * 6 + [0.0] * 85))
        1340
        >>> items_needed(np.array([1.0, -1.0, 0.0]))
        inf
    """
    mean = abs(float(differences.mean()))
    distance, variance = abs(mean - margin), float((differences**2).mean()) - mean**2
    changed = float((differences != 0).mean())
    if distance < 1e-12 or not changed:
        return math.inf
    within = mean < margin
    # Equivalence has two sides that can fail, and each must hold for the whole to have this power.
    z_level, z_power = _quantiles(
        "items_needed", min((1 - confidence) / arms * (2 if within else 1), 0.999), (1 + power) / 2 if within else power
    )
    if within or margin or not is_binary(differences):
        needed = ((z_level + z_power) / distance) ** 2 * max(variance, 0.0)
    else:
        # Under the hypothesis the variance is the discordance; exact tests jump, which costs about 1 / difference.
        spread = z_level * math.sqrt(changed) + z_power * math.sqrt(max(variance, 0.0))
        needed = (spread / distance) ** 2 + 1 / distance
    # So few items that no pattern of signs is rare enough can settle nothing.
    rare = math.ceil(math.log2(2 * arms / (1 - confidence))) / changed
    return math.ceil(max(needed, rare))


def _quantiles(of: str, level: float, power: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise SettingError(explain("confidence", of=of, must="between 0 and 1", got=1 - level))
    if not 0.5 <= power < 1:
        raise SettingError(explain("power", of=of, must="from 0.5 to below 1", got=power))
    return normal_quantile(1 - level / 2), normal_quantile(power)
