"""Statistics of scores: intervals, paired tests, planning, and a comparison that may be looked at all the time.

numpy does the work; scipy is the oracle of the tests.
"""

from __future__ import annotations

from promptkit.statistics.intervals import (
    Interval,
    IntervalMethod,
    bootstrap_mean,
    difference_interval,
    mean_interval,
)
from promptkit.statistics.paired import Paired, Verdict, compare_pairs, decide
from promptkit.statistics.power import items_needed, minimum_detectable
from promptkit.statistics.sequential import Sequential
from promptkit.statistics.significance import above, holm, mcnemar, score_z, sign_flip

__all__ = [
    "Interval",
    "IntervalMethod",
    "Paired",
    "Sequential",
    "Verdict",
    "above",
    "bootstrap_mean",
    "compare_pairs",
    "decide",
    "difference_interval",
    "holm",
    "items_needed",
    "mcnemar",
    "mean_interval",
    "minimum_detectable",
    "score_z",
    "sign_flip",
]
