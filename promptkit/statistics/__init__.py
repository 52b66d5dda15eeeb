"""Statistics of scores: intervals, paired tests, planning, and a comparison that may be looked at all the time.

intervals.py     the interval of a mean, and of a paired difference
bounded.py       limits and tests for bounded scores of any distribution
groups.py        dependent items: sums by group
paired.py        everything that is said about two arms
significance.py  paired tests and Holm's correction
power.py         what a number of items can show
sequential.py    a comparison that may be looked at after every item
quantiles.py     distributions
resampling.py    means of bootstrap resamples

numpy does the work; scipy is the oracle of the tests.
"""

from __future__ import annotations

from promptkit.statistics.groups import Groups
from promptkit.statistics.intervals import (
    Interval,
    IntervalMethod,
    bootstrap_mean,
    difference_interval,
    mean_interval,
)
from promptkit.statistics.paired import Paired, Verdict, compare_pairs, decide, paired_differences
from promptkit.statistics.power import items_needed, minimum_detectable
from promptkit.statistics.sequential import Sequential
from promptkit.statistics.significance import above, holm, mcnemar, score_z, sign_flip

__all__ = [
    "Groups",
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
    "paired_differences",
    "score_z",
    "sign_flip",
]
