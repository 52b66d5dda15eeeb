"""When enough samples of a question have been drawn.

A stop rule sees the answers in the order of the samples. Unreadable samples (``None``) count together as one outcome:
they stand against the leading answer, and a question whose samples are nearly all unreadable is given up. That
outcome ends the sampling only; it never wins a vote.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from promptkit.errors import SettingError, error_message
from promptkit.registry import find, name_of, register

__all__ = ["BetaStop", "StopRule", "WindowStop", "lead_probability", "stop_rule", "stop_settings"]


class StopRule(Protocol):
    """Decides after how many samples to stop."""

    def stops_at(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int | None:
        """Returns the number of samples after which sampling ends, or ``None`` if it goes on.

        Args:
            answers: The answers so far, in the order of the samples; ``None`` for an unreadable one.
            counted: Which samples have a vote; all if ``None``. (Under ``distinct`` a repeated path has none.)

        Returns:
            A number from 1 to ``len(answers)``, the same whatever else has been drawn behind it; or ``None``.
        """
        ...

    def fewest_more(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int:
        """Returns how many more samples are wanted at least, if all of them agree, before sampling can end.

        Who draws no more than that at a time never draws a sample behind the stop.

        Args:
            answers: The answers so far, after which sampling goes on.
            counted: As for ``stops_at``.

        Returns:
            A number of at least 1.
        """
        ...


@lru_cache(maxsize=65_536)
def lead_probability(leading: int, second: int) -> float:
    """Returns the probability that the leading answer is the more probable of the two.

    With a uniform prior the share of the leading answer among the two has the posterior Beta(a + 1, b + 1). Its mass
    above one half is a binomial tail, because both parameters are whole: sum of C(n, j) for j <= a, over 2^n, with
    n = a + b + 1. Integers make it exact up to the last rounding.

    Args:
        leading: Votes of the leading answer, a.
        second: Votes of the runner-up, b.

    Returns:
        A probability.

    Example:
        >>> lead_probability(4, 0)
        0.96875
    """
    throws = leading + second + 1
    below = term = 1
    for hits in range(second):  # the shorter tail, which is equal by symmetry
        term = term * (throws - hits) // (hits + 1)
        below += term
    whole = 1 << throws
    return (whole - below) / whole


@register("stop_rule", "beta")
@dataclass(frozen=True, slots=True)
class BetaStop:
    """Stops when the leading answer is ahead of the second with enough certainty, checked after every sample.

    Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860), Beta rule.

    Attributes:
        threshold: The certainty that is enough, above .5 and below 1.
    """

    threshold: float = 0.95

    def __post_init__(self) -> None:
        """Checks the threshold."""
        given: object = self.threshold
        if not isinstance(given, float) or not 0.5 < given < 1:
            expected = "a number above 0.5 and below 1"
            raise SettingError(error_message("threshold", of="BetaStop", expected=expected, got=self.threshold))

    def stops_at(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int | None:
        """Returns the number of samples after which the leader is certain enough (see ``StopRule``).

        Example:
            >>> BetaStop(0.95).stops_at(["5", "5", "5", "5", "6"])
            4
        """
        votes: dict[str | None, int] = {}
        for index, answer in enumerate(answers):
            if counted is None or counted[index]:
                votes[answer] = votes.get(answer, 0) + 1
                first, second = [*sorted(votes.values(), reverse=True), 0][:2]
                if lead_probability(first, second) >= self.threshold:
                    return index + 1
        return None

    def fewest_more(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int:
        """Returns how many more votes the leader needs, if it gets all of them (see ``StopRule``).

        Example:
            >>> BetaStop(0.95).fewest_more([]), BetaStop(0.95).fewest_more(["5", "5", "6"])
            (4, 4)
        """
        votes = Counter(a for i, a in enumerate(answers) if counted is None or counted[i])
        first, second = [*sorted(votes.values(), reverse=True), 0, 0][:2]
        return next(more for more in itertools.count(1) if lead_probability(first + more, second) >= self.threshold)


@register("stop_rule", "window")
@dataclass(frozen=True, slots=True)
class WindowStop:
    """Stops when all samples of one window agree; windows follow each other and do not overlap.

    Early-Stopping Self-Consistency (Li et al. 2024, arXiv 2401.10480).

    Attributes:
        size: Samples in a window, 2 to 10,000.
    """

    size: int = 5

    def __post_init__(self) -> None:
        """Checks the size."""
        if type(self.size) is not int or not 2 <= self.size <= 10_000:
            expected = "an integer of 2 to 10,000"
            raise SettingError(error_message("size", of="WindowStop", expected=expected, got=self.size))

    def stops_at(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int | None:
        """Returns the end of the first window that agrees (see ``StopRule``); ``counted`` does not matter to it.

        Example:
            >>> WindowStop(3).stops_at(["5", "6", "5", "5", "5", "5"])
            6
        """
        for start in range(0, len(answers) - self.size + 1, self.size):
            if len(set(answers[start : start + self.size])) == 1:
                return start + self.size
        return None

    def fewest_more(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int:
        """Returns how many samples are missing to the end of the window (see ``StopRule``).

        Example:
            >>> WindowStop(5).fewest_more([]), WindowStop(5).fewest_more(["5", "6"])
            (5, 3)
        """
        return self.size - len(answers) % self.size


def stop_rule(rule: StopRule | Mapping[str, Any] | str | None) -> StopRule | None:
    """Returns a stop rule by name or by its settings, or the given one.

    Args:
        rule: A registered name such as ``"beta"`` for the rule with its defaults; its settings with its name as
            ``kind``; a rule; ``"none"`` or ``None``.

    Returns:
        The rule, or ``None`` for none.

    Raises:
        SettingError: The name or a setting is unknown, or a value is out of range.

    Example:
        >>> stop_rule("beta")
        BetaStop(threshold=0.95)
        >>> stop_rule({"kind": "window", "size": 3})
        WindowStop(size=3)
    """
    if rule is None or rule == "none":
        return None
    if not isinstance(rule, str | Mapping):
        return rule
    settings = {} if isinstance(rule, str) else dict(rule)
    kind = rule if isinstance(rule, str) else settings.pop("kind", None)
    which = "stop" if isinstance(rule, str) else "kind of stop"
    cls = find("stop_rule", kind, of="vote", which=which, also=("none",)).value
    try:
        made: StopRule = cls(**settings)
    except TypeError as error:
        raise SettingError(f"vote: stop rule {kind!r} does not take {settings}: {error}") from None
    return made


def stop_settings(rule: StopRule) -> dict[str, Any]:
    """Returns a stop rule as plain data, from which ``stop_rule`` makes an equal one.

    Args:
        rule: A rule of a registered class.

    Returns:
        Its settings, with its name as ``kind``.

    Raises:
        SettingError: Its class is not registered, or is no dataclass.

    Example:
        >>> stop_settings(BetaStop(0.9))
        {'kind': 'beta', 'threshold': 0.9}
    """
    kind = name_of("stop_rule", type(rule))
    if kind is None or not dataclasses.is_dataclass(rule) or isinstance(rule, type):
        expected = "a name, or of a dataclass registered as a stop rule"
        hint = 'decorate the class with promptkit.register("stop_rule", NAME)'
        raise SettingError(error_message("stop", of="vote", expected=expected, got=rule, hint=hint))
    return {"kind": kind, **dataclasses.asdict(rule)}
