"""The report: a decision record as one HTML file that needs nothing else, and asks for nothing.

page.py      from the record to the file; page/ holds its template, style and script
arms.py      what was judged, its costs and the frontier
items.py     answers to the same items side by side
payback.py   when the training of one rung is repaid against another
charts.py    where marks stand; scales.py the axes
text.py      figures for people, and texts in which nothing is hidden
"""

from __future__ import annotations

from promptkit.html.page import render_report, write_report

__all__ = ["render_report", "write_report"]
