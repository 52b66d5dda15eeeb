"""Evidence: arms compared on the same items, and when a training is repaid."""

from __future__ import annotations

from promptkit.comparison.arms import load_reports
from promptkit.comparison.payback import BreakEven, Payback, Price, break_even
from promptkit.comparison.result import Arm, Comparison, Difference
from promptkit.comparison.run import compare

__all__ = [
    "Arm",
    "BreakEven",
    "Comparison",
    "Difference",
    "Payback",
    "Price",
    "break_even",
    "compare",
    "load_reports",
]
