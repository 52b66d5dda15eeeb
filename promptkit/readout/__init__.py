"""From completions to answers: readers, number spellings, votes and stop rules."""

from promptkit.readout.numbers import normalize_number
from promptkit.readout.reader import Reader, ReaderSpec
from promptkit.readout.rows import VoteSummary, vote_rows
from promptkit.readout.stopping import BetaStop, StopRule, WindowStop, stop_rule
from promptkit.readout.vote import Rule, Sample, Tie, Vote, vote

__all__ = [
    "BetaStop",
    "Reader",
    "ReaderSpec",
    "Rule",
    "Sample",
    "StopRule",
    "Tie",
    "Vote",
    "VoteSummary",
    "WindowStop",
    "normalize_number",
    "stop_rule",
    "vote",
    "vote_rows",
]
