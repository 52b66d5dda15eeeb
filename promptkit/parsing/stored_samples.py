"""Votes over many questions whose samples are stored: one row a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptkit.errors import DataError
from promptkit.parsing.parser import AnswerParser, ParserSpec
from promptkit.parsing.stop_rules import StopRule
from promptkit.parsing.voting import Sample, Tie, Vote, vote

__all__ = ["VoteSummary", "vote_rows"]

_SHOWN = 10


@dataclass(frozen=True)
class VoteSummary:
    """The votes over a table of stored samples.

    Attributes:
        votes: The outcome of each row, in order.
        scores: 1.0 for each row whose answer is the gold one, else 0.0; empty where no gold answers were given.
    """

    votes: tuple[Vote, ...]
    scores: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; ``None`` where no gold answers were given."""
        return sum(self.scores) / len(self.scores) if self.scores else None

    @property
    def samples_used(self) -> float:
        """The mean number of samples looked at."""
        return sum(one.samples_used for one in self.votes) / len(self.votes)

    @property
    def samples_saved(self) -> float:
        """The mean number of samples that were given and not looked at."""
        return sum(one.samples_saved for one in self.votes) / len(self.votes)

    @property
    def unreadable(self) -> float:
        """The share of the samples looked at that could not be read."""
        used = sum(one.samples_used for one in self.votes)
        return sum(one.abstained for one in self.votes) / used if used else 0.0

    @property
    def ties(self) -> int:
        """Rows in which several answers had the most votes."""
        return sum(one.tie for one in self.votes)

    @property
    def unanswered(self) -> int:
        """Rows in which no sample could be read."""
        return sum(one.answer is None for one in self.votes)


def vote_rows(
    rows: Iterable[Mapping[str, object]],
    *,
    parser: AnswerParser | None = None,
    samples: str = "samples",
    gold: str | None = None,
    rule: str = "majority",
    stop: StopRule | Mapping[str, Any] | str | None = None,
    tie: Tie = "stable",
    near: float | None = None,
) -> VoteSummary:
    """Lets the stored samples of every row vote, and compares the winners with gold answers.

    Args:
        rows: One mapping per question. Its samples are a list of texts, or of mappings with ``text`` and perhaps
            ``finish`` and ``mean_logprob``, in the order in which they were drawn.
        parser: How answers are read; by default each whole text is the answer.
        samples: The name of the column of samples.
        gold: The name of the column of gold answers, each an answer or a list of accepted ones; ``None`` for none.
        rule: How votes are counted (see ``vote``).
        stop: A stop rule to replay (see ``vote``).
        tie: How ties are resolved (see ``vote``).
        near: Overlap from which two reasonings are one path (see ``vote``).

    Returns:
        The votes and scores.

    Raises:
        DataError: There are no rows, or rows cannot be used; names them, counted from 1, before any vote.
        SettingError: A setting is unknown, or a ``weighted`` vote lacks a log-probability.

    Example:
        >>> rows = [{"samples": ["5", "5", "6"], "gold": "5"}, {"samples": ["7", "8", "8"], "gold": "7"}]
        >>> summary = vote_rows(rows, gold="gold")
        >>> summary.accuracy, summary.samples_used, summary.ties
        (0.5, 3.0, 0)
    """
    parser = parser or AnswerParser(ParserSpec(kind="text"))
    drawn: list[list[Sample]] = []
    accepted: list[set[str]] = []
    faults: list[str] = []
    number = 0
    for number, row in enumerate(rows, 1):
        try:
            drawn.append(_samples(row, samples))
            accepted.append(_gold(row, gold, parser) if gold is not None else set())
        except DataError as error:
            faults.append(f"row {number}: {error}")
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{len(faults)} of {number} rows cannot be voted on: {'; '.join(faults[:_SHOWN])}{more}")
    if not drawn:
        raise DataError("vote_rows: rows must be at least 1, got 0")
    votes = tuple(vote(texts, parser=parser, rule=rule, stop=stop, tie=tie, near=near) for texts in drawn)
    if gold is None:
        return VoteSummary(votes)
    return VoteSummary(votes, tuple(float(one.answer in known) for one, known in zip(votes, accepted, strict=True)))


def _samples(row: Mapping[str, object], name: str) -> list[Sample]:
    """Returns the samples of a row."""
    found = row.get(name)
    if not isinstance(found, list):
        raise DataError(f"{name!r} must be a list of samples, got {_kind(found)}")
    return [_sample(item, f"sample {index} of {name!r}") for index, item in enumerate(found)]


def _sample(item: object, which: str) -> Sample:
    """Returns one sample, given as a text or as an object."""
    if isinstance(item, str):
        return Sample(item)
    text = item.get("text") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(text, str):
        raise DataError(f"{which} must be a text, or an object with a text 'text', got {_kind(item)}")
    mean = item.get("mean_logprob")
    try:
        # A file's numbers arrive as the texts that stand in it.
        return Sample(text, str(item.get("finish", "stop")), None if mean is None else float(str(mean)))
    except ValueError:
        raise DataError(f"'mean_logprob' of {which} must be a number, got {mean!r}") from None


def _gold(row: Mapping[str, object], name: str, parser: AnswerParser) -> set[str]:
    """Returns the accepted answers of a row in the form in which answers are compared."""
    found = row.get(name)
    texts: Sequence[object] = found if isinstance(found, list) and found else [found]
    known = (str, int, float)
    canonical = [parser.canonical(str(text)) if isinstance(text, known) else None for text in texts]
    if None in canonical:
        raise DataError(f"{name!r} must be an answer that the parser knows, or a list of such, got {str(found)[:80]!r}")
    return {answer for answer in canonical if answer is not None}


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
