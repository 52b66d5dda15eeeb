"""Data: files and objects -> checked examples in three splits, with the leakage between them.

sources.py   what a source is, and its tables of raw rows
rows.py      files and objects -> raw rows, whatever their state
csv_rows.py  the same for CSV
check.py     judges every cell; tells all bad rows at once
splits.py    Split, Data, and the division of one table into three
leakage.py   exact, normalised and near-duplicates between splits
near.py      what makes two texts near-duplicates
frames.py    which beginnings of sentences are frames of an open slot
fold.py      texts as they look: letters and digits that look alike are made equal
choices.py   multiple-choice questions, whatever the order of their options
examples.py  what functions that take examples accept
chance.py    how far two texts agree by chance
groups.py    which examples belong together
item.py      an item in the forms in which it is compared
load.py      load_examples, which puts these together
"""

from __future__ import annotations

from promptkit.data.examples import check_examples
from promptkit.data.groups import Group, Grouping, find_groups
from promptkit.data.leakage import Leakage, Match, Overlap, measure_leakage
from promptkit.data.load import DataWarning, load_examples
from promptkit.data.splits import Data, Split, divide

__all__ = [
    "Data",
    "DataWarning",
    "Group",
    "Grouping",
    "Leakage",
    "Match",
    "Overlap",
    "Split",
    "check_examples",
    "divide",
    "find_groups",
    "load_examples",
    "measure_leakage",
]
