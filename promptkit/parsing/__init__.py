"""From completions to answers: parsers, number spellings, votes and stop rules."""

from promptkit.parsing.numbers import normalize_number
from promptkit.parsing.parser import AnswerParser, ParserSpec
from promptkit.parsing.stop_rules import BetaStop, StopRule, WindowStop, stop_rule, stop_settings
from promptkit.parsing.stored_samples import VoteSummary, vote_rows
from promptkit.parsing.voting import ReadSample, Sample, Tie, Vote, vote

__all__ = [
    "AnswerParser",
    "BetaStop",
    "ParserSpec",
    "ReadSample",
    "Sample",
    "StopRule",
    "Tie",
    "Vote",
    "VoteSummary",
    "WindowStop",
    "normalize_number",
    "stop_rule",
    "stop_settings",
    "vote",
    "vote_rows",
]
