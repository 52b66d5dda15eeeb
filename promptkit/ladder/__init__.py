"""The ladder: tries adaptations from cheap to expensive, keeps those that a paired test shows to pay, and records why.

record.py              the decision record; facts.py its parts; writing.py fills it, reading.py loads it
climbing.py            ``climb`` itself; loop.py the rules by which it goes on or stops
recorder.py            keeps the record while the climb runs
sequential_test.py     the test of a rung against the kept one; bounds.py whether the kept one is good enough
working.py             whether the winner is of any use
rungs.py               what is tried, and the prior that each rung gets from those below
cross_fitting.py       which items are for judging and which for fitting
fitting.py             fits a rung once; candidate.py a fitted rung and its answers
journal.py             finished work, on disk; journaled_backend.py the model behind it
held_out.py            the test split, scored once
budget.py              what may be spent
setup.py               checks before a climb, and the run folder
table.py               the record as text
"""

from promptkit.ladder.budget import Budget
from promptkit.ladder.climbing import ClimbResult, climb
from promptkit.ladder.reading import load_record
from promptkit.ladder.record import Record
from promptkit.ladder.rungs import Prior, Ready, Rung

__all__ = ["Budget", "ClimbResult", "Prior", "Ready", "Record", "Rung", "climb", "load_record"]
