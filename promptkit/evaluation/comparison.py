"""The outcome of a comparison: arms with intervals and costs, differences with tests and verdicts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from pydantic import Field, field_serializer

from promptkit.errors import SettingError, error_message, one_of
from promptkit.evaluation.arms import Failures
from promptkit.evaluation.notebook import html_table
from promptkit.evaluation.scoring import Cost, Report
from promptkit.records import FrozenRecord
from promptkit.statistics import Interval, Verdict
from promptkit.types import JSONObject

__all__ = ["Arm", "Comparison", "Difference"]


class Arm(FrozenRecord):
    """One arm of a comparison.

    Attributes:
        name: Its name.
        score: Mean score of the items that count, with its interval (``statistics.mean_interval``).
        failed: Items on which the model failed or the prompt did not fit, counted before any are left out.
        unanswered: Items without a readable answer, which score 0; ``None`` where that is not known.
        cost: What its predictions cost; ``None`` where that was not measured.
        scores: Score per item, as it counts.
    """

    name: str
    score: Interval
    failed: int
    unanswered: int | None
    cost: Cost | None
    scores: tuple[float, ...] = Field(repr=False)


class Difference(FrozenRecord):
    """How an arm differs from another on the same items.

    Attributes:
        arm: The arm.
        baseline: What it is compared with.
        difference: Mean of its scores minus those of the baseline.
        low: Lower end of the interval of the difference.
        high: Upper end.
        p_value: Two-sided p-value of "no difference", or with a margin, "none beyond the margin".
        p_adjusted: The same with Holm's correction over all differences tested.
        p_equivalent: p-value of "a difference at least as large as the margin"; ``None`` without a margin.
        verdict: ``better`` or ``worse`` (by more than the margin), ``equivalent`` (surely within it) or ``undecided``.
        test: The test that gave ``p_value``.
        gains: Items on which the arm scores higher.
        losses: Items on which the baseline scores higher.
        effect_size: Cohen's d_z, the mean difference in standard deviations of the differences.
        odds_ratio: For scores of 0 and 1, the odds that an item on which they differ is a gain; else ``None``.
        items_to_decide: How many more items would settle it with a chance of .8 if the difference seen is the true
            one: 0 if it is decided, infinite if no number would.
        minimum_detectable: The smallest true difference (beyond the margin) that these items find with a chance of .8,
            given how much they vary; infinite if that cannot be told.
    """

    arm: str
    baseline: str
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    p_equivalent: float | None
    verdict: Verdict
    test: str
    gains: int
    losses: int
    effect_size: float
    odds_ratio: float | None
    items_to_decide: int | float
    minimum_detectable: float

    @field_serializer(
        "low", "high", "effect_size", "odds_ratio", "items_to_decide", "minimum_detectable", when_used="json"
    )
    def _to_json(self, value: float | None) -> float | None:
        return _finite(value)

    def turned(self) -> Difference:
        """Returns the same difference, seen from the other arm."""
        verdicts: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        return Difference(
            **{
                **vars(self),
                "arm": self.baseline,
                "baseline": self.arm,
                "difference": -self.difference,
                "low": -self.high,
                "high": -self.low,
                "verdict": verdicts.get(self.verdict, self.verdict),
                "gains": self.losses,
                "losses": self.gains,
                "effect_size": -self.effect_size,
                "odds_ratio": None if self.odds_ratio is None else 1 / self.odds_ratio,
            }
        )


class Comparison(FrozenRecord):
    """Arms compared on the same items.

    Attributes:
        metric: What was scored.
        baseline: The arm with which the others are compared.
        items: Number of items that count.
        excluded: Items left out for every arm because one arm failed on them.
        failures: What a failed item counts: ``zero``, or ``exclude`` (nothing, for every arm).
        arms: The arms by name.
        differences: Every difference that was tested.
        margin: The smallest difference that matters.
        confidence: Confidence of the intervals, and 1 minus the level of the verdicts.
        seed: Seed of predictions, resamples and drawn sign patterns.
        groups: Number of groups of dependent items, each one observation to tests and intervals; 0 if every item is.
        notes: What should be known of the items, such as repeated ids or equal inputs; one sentence each.
        reports: The reports of arms that were evaluated or given as such.
    """

    metric: str
    baseline: str
    items: int
    excluded: int
    failures: Failures
    arms: Mapping[str, Arm]
    differences: tuple[Difference, ...]
    margin: float
    confidence: float
    seed: int
    groups: int = 0
    notes: tuple[str, ...] = ()
    reports: Mapping[str, Report] = Field(default_factory=dict, exclude=True)

    def __getitem__(self, key: str | tuple[str, str]) -> Difference:
        """Returns the difference of an arm from the baseline, or of the first of two arms from the second.

        Raises:
            SettingError: The two were not compared.
        """
        arm, other = (key, self.baseline) if isinstance(key, str) else key
        for one in self.differences:
            if (one.arm, one.baseline) == (arm, other):
                return one
            if (one.arm, one.baseline) == (other, arm):
                return one.turned()
        known = [one.arm if one.baseline == self.baseline else (one.arm, one.baseline) for one in self.differences]
        expected = one_of(known)  # type: ignore[arg-type]
        hint = "compare all of them with pairs='all'" if {arm, other} <= set(self.arms) else ""
        raise SettingError(error_message("arm", of="comparison", expected=expected, got=key, hint=hint))

    def __str__(self) -> str:
        """Returns the table."""
        return self.table

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Shows the comparison in a notebook."""
        from promptkit.evaluation.table import table_cells  # It reads what this module defines.

        return html_table(*table_cells(self))

    @property
    def table(self) -> str:
        """Everything as plain text: a table, and a sentence for each difference."""
        from promptkit.evaluation.table import write_table  # It reads what this module defines.

        return write_table(self)

    @property
    def minimum_detectable(self) -> float:
        """The smallest true difference that these items find in every comparison with a chance of .8."""
        return max(one.minimum_detectable for one in self.differences)

    def to_dict(self) -> JSONObject:
        """Returns everything but the reports as plain JSON data; what is infinite is ``None``."""
        return self.model_dump(mode="json") | {"minimum_detectable": _finite(self.minimum_detectable)}

    def to_json(self, indent: int | None = None) -> str:
        """Returns everything but the reports as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent, allow_nan=False)


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value
