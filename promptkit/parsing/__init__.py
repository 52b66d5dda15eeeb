"""From completions to answers: parsers, number spellings, votes and stop rules."""

from promptkit.parsing.numbers import normalize_number
from promptkit.parsing.parser import AnswerParser, ParserSpec
from promptkit.parsing.stop_rules import BetaStop, StopRule, WindowStop, stop_rule
from promptkit.parsing.stored_samples import VoteSummary, vote_rows
from promptkit.parsing.voting import Rule, Sample, Tie, Vote, vote

__all__ = [
    "AnswerParser",
    "BetaStop",
    "ParserSpec",
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
