"""Scores with intervals and costs, paired comparisons on the same items, and when a training is repaid."""

from promptkit.evaluation.arms import load_reports
from promptkit.evaluation.comparing import compare
from promptkit.evaluation.comparison import Comparison, Difference
from promptkit.evaluation.payback import BreakEven, Payback, Price, break_even
from promptkit.evaluation.scoring import Cost, Report, evaluate

__all__ = [
    "BreakEven",
    "Comparison",
    "Cost",
    "Difference",
    "Payback",
    "Price",
    "Report",
    "break_even",
    "compare",
    "evaluate",
    "load_reports",
]
