"""The ladder: climbs from cheap to dear adaptations, keeps what a paired test says pays, and writes down why.

record.py     the decision record; facts.py its parts; reading.py reads it from its file
climbing.py   ``climb`` itself; ascent.py the rules by which it goes on or stops
looks.py      the test of a rung against the kept one; bounds.py whether the kept one is good enough
working.py    whether the winner is of any use
rungs.py      what is tried, and what each rung takes over from those below
pool.py       which items judge and which teach; cross-fitting
fitting.py    fits, judging.py answers, each finished one kept
journal.py    what is finished, on disk; journaled.py the model behind it
sealed.py     the test split, opened once
budget.py     what may be spent
table.py      the record as text
"""

from promptkit.ladder.budget import Budget
from promptkit.ladder.climbing import ClimbResult, climb
from promptkit.ladder.reading import load_record
from promptkit.ladder.record import Record
from promptkit.ladder.rungs import Prior, Ready, Rung

__all__ = ["Budget", "ClimbResult", "Prior", "Ready", "Record", "Rung", "climb", "load_record"]
