"""Data: files and objects -> checked examples in three splits, with the leakage between them.

rows.py      reads a source into raw rows, whatever their state
check.py     judges every cell; tells all bad rows at once
splits.py    Split, Data, and the division of one table into three
leakage.py   exact, normalised and near copies between splits
near.py      what makes two texts near copies
chance.py    how far two texts agree by chance
groups.py    which examples belong together
item.py      an item in the forms in which it is compared
load.py      load_examples, which puts these together
"""

from __future__ import annotations

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
    "divide",
    "find_groups",
    "load_examples",
    "measure_leakage",
]
