"""Self-consistency: many samples of one question, one answer (Wang et al. 2022, arXiv 2203.11171).

A sample that cannot be read abstains. It never votes, but it counts in the agreement, which is a share of *all*
samples. Nothing is stripped from answers before they are compared beyond what the parser's canonical form says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, NamedTuple

from promptkit.errors import SettingError, error_message, one_of
from promptkit.parsing.parser import AnswerParser, ParserSpec
from promptkit.parsing.paths import fresh_paths, group_paths
from promptkit.parsing.stop_rules import StopRule, stop_rule
from promptkit.types import Completion

__all__ = ["Rule", "Sample", "Tie", "Vote", "vote"]

_NUMBER = re.compile(r"-?[0-9]+(?:[.,][0-9]+|/0*[1-9][0-9]*)?")
Rule = Literal["majority", "distinct", "weighted"]
Tie = Literal["stable", "first"]


class Sample(NamedTuple):
    """One stored sample.

    Attributes:
        text: The generated text.
        finish: Why it ended (see ``Completion.finish``).
        mean_logprob: Mean log-probability of its tokens, needed by ``weighted`` votes.
    """

    text: str
    finish: str = "stop"
    mean_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """The outcome of a vote.

    Attributes:
        answer: The winner, or ``None`` if no sample could be read.
        votes: Votes by answer, most first; equal votes in the order of the tie rule.
        agreement: Share of all samples used whose answer is the winner, abstentions included in the whole.
        distinct_paths: Number of different reasoning paths among the readable samples.
        tie: Whether several answers had the most votes.
        samples_used: Samples looked at before the stop rule ended the sampling.
        abstained: Samples among them that could not be read.
        reasonings: The different reasoning texts that led to the winner, in the order of the samples.
        readings: What was read from each sample used; ``None`` for an abstention.
        samples_saved: Samples given but not looked at.
        stopped: Whether the stop rule was satisfied, be it by the last sample given.
        more_needed: Where it was not: how many more samples it needs at least before it can be; else 0.
    """

    answer: str | None
    votes: Mapping[str, float] = field(default_factory=dict)
    agreement: float = 0.0
    distinct_paths: int = 0
    tie: bool = False
    samples_used: int = 0
    abstained: int = 0
    reasonings: tuple[str, ...] = ()
    readings: tuple[str | None, ...] = ()
    samples_saved: int = 0
    stopped: bool = False
    more_needed: int = 0


def vote(
    samples: Iterable[str | Sample | tuple[str, str, float | None] | Completion],
    *,
    parser: AnswerParser | None = None,
    rule: Rule = "majority",
    stop: StopRule | str | None = None,
    tie: Tie = "stable",
    near: float | None = None,
) -> Vote:
    """Reads samples of one question and lets them vote.

    Rules: ``majority`` counts samples; ``distinct`` counts different reasoning paths, each once however often it
    recurs; ``weighted`` adds up exp(mean token log-probability) of the samples, the length-normalised sequence
    probability of the paper.

    Ties: ``"first"`` takes the tied answer that was seen first. ``"stable"`` does not depend on the order of the
    samples: of the tied answers the one with more samples wins, then the one with more distinct paths, then the
    smaller one (numbers by value, before texts by code point).

    Args:
        samples: Texts, ``Sample`` records, ``(text, finish, mean log-probability)`` or completions, in the order in
            which they were drawn.
        parser: How answers are read; by default each whole text is the answer.
        rule: How votes are counted.
        stop: A stop rule to replay: samples behind the one at which it stops are not looked at.
        tie: How ties are resolved.
        near: Overlap from which two reasonings are one path (see ``group_paths``); ``None`` for equal texts only.

    Returns:
        The vote.

    Raises:
        SettingError: A setting is unknown, samples are one text instead of several, or a ``weighted`` vote lacks a
            log-probability.

    Example:
        >>> parser = AnswerParser(ParserSpec(kind="marked", marker="The answer is", then="number"))
        >>> paths = ["2 + 3 = 5", "3 + 3 = 6", "3 + 2 = 5", "3 + 3 = 6"]
        >>> texts = [f"{path}. The answer is {path[-1]}." for path in paths]
        >>> vote(texts, parser=parser).tie, vote(texts, parser=parser, rule="distinct").answer
        (True, '5')
    """
    _check(rule, tie)
    if isinstance(samples, str | bytes | Mapping) or not isinstance(samples, Iterable):
        raise SettingError(
            error_message("samples", of="vote", expected="a list of texts or samples of one question", got=samples)
        )
    parser = parser or AnswerParser(ParserSpec(kind="text"))
    records = [_record(sample) for sample in samples]
    readings = [parser.read(record.text, finish=record.finish) for record in records]
    reasonings = [parser.reasoning(record.text) for record in records]
    paths = [
        (index, reading, reasonings[index] or records[index].text)
        for index, reading in enumerate(readings)
        if reading is not None
    ]
    fresh = fresh_paths([path[1:] for path in paths], near)  # checks the threshold, whatever the rule
    used, stops, more = len(records), None, 0
    resolved = stop_rule(stop)
    if resolved is not None:
        # Under "distinct" a repeated path has no vote, so it adds no certainty about the winner.
        repeated = {path[0] for path, new in zip(paths, fresh, strict=True) if not new and rule == "distinct"}
        counted = [index not in repeated for index in range(used)]
        stops = resolved.stops_at(readings, counted)
        more = 0 if stops else resolved.fewest_more(readings, counted)
        used = stops or used
    paths = [path for path in paths if path[0] < used]
    groups = group_paths([path[1:] for path in paths], near)
    ballots = [
        _Ballot(answer, group, _weight(records[index], index, rule), reasonings[index])
        for (index, answer, _), group in zip(paths, groups, strict=True)
    ]
    outcome = _count(ballots, rule, tie, tuple(readings[:used]))
    return replace(outcome, samples_saved=len(records) - used, stopped=stops is not None, more_needed=more)


class _Ballot(NamedTuple):
    """One readable sample: its answer, the first ballot on its path, its weight and its reasoning."""

    answer: str
    path: int
    weight: float
    reasoning: str


def _count(ballots: Sequence[_Ballot], rule: Rule, tie: Tie, readings: tuple[str | None, ...]) -> Vote:
    """Counts the ballots and names the winner."""
    by_answer: dict[str, list[_Ballot]] = {}
    for ballot in ballots:
        by_answer.setdefault(ballot.answer, []).append(ballot)  # keeps the order in which answers were first seen
    used, abstained = len(readings), readings.count(None)
    if not by_answer:
        return Vote(None, samples_used=used, abstained=abstained, readings=readings)
    paths = {answer: len({ballot.path for ballot in cast}) for answer, cast in by_answer.items()}
    score: dict[str, float]
    if rule == "majority":
        score = {answer: len(cast) for answer, cast in by_answer.items()}
    elif rule == "distinct":
        score = dict(paths)
    else:  # fsum rounds once, so the sum does not depend on the order of the samples
        score = {answer: math.fsum(ballot.weight for ballot in cast) for answer, cast in by_answer.items()}
    order = list(by_answer)
    if tie == "stable":
        order.sort(key=_rank)
        order.sort(key=lambda answer: (len(by_answer[answer]), paths[answer]), reverse=True)
    order.sort(key=score.__getitem__, reverse=True)  # stable, so the tie rule orders equal votes
    winner = order[0]
    first_texts = {ballot.path: ballot.reasoning for ballot in reversed(by_answer[winner])}
    kept = sorted(path for path in first_texts if first_texts[path])
    return Vote(
        answer=winner,
        votes=MappingProxyType({answer: score[answer] for answer in order}),
        agreement=len(by_answer[winner]) / used,
        distinct_paths=sum(paths.values()),
        tie=sum(score[answer] == score[winner] for answer in order) > 1,
        samples_used=used,
        abstained=abstained,
        reasonings=tuple(first_texts[path] for path in kept),
        readings=readings,
    )


def _record(sample: object) -> Sample:
    """Brings a sample of any form into one."""
    if isinstance(sample, str):
        return Sample(sample)
    if isinstance(sample, Completion):
        mean = None if sample.logprob is None or not sample.tokens else sample.logprob / sample.tokens
        return Sample(sample.text, sample.finish, mean)
    if isinstance(sample, tuple) and 1 <= len(sample) <= 3 and isinstance(sample[0], str):
        return Sample(*sample)
    expected = "texts, (text, finish, mean log-probability) records or completions"
    raise SettingError(error_message("samples", of="vote", expected=expected, got=sample))


def _weight(record: Sample, index: int, rule: Rule) -> float:
    """Returns the weight of a readable sample."""
    if rule != "weighted":
        return 1.0
    mean = record.mean_logprob
    if mean is None or math.isnan(mean):
        expected = "the mean token log-probability of every readable sample, for rule 'weighted'"
        hint = "give (text, finish, mean) records, or use rule 'majority'"
        raise SettingError(
            error_message(f"mean_logprob of sample {index}", of="vote", expected=expected, got=mean, hint=hint)
        )
    return math.exp(min(mean, 0.0))


def _rank(answer: str) -> tuple[bool, Fraction, str]:
    """Returns the sort key of canonical answers: numbers by value, then texts by code point."""
    # Only the canonical form: Fraction would also take 1e999999999 and spell it out.
    number = Fraction(answer.replace(",", ".")) if len(answer) < 400 and _NUMBER.fullmatch(answer) else None
    return (number is None, Fraction(0) if number is None else number, answer)


def _check(rule: str, tie: str) -> None:
    """Refuses unknown names."""
    for name, got, known in (
        ("rule", rule, ("majority", "distinct", "weighted")),
        ("tie", tie, ("stable", "first")),
    ):
        if got not in known:
            raise SettingError(error_message(name, of="vote", expected=one_of(known), got=got))
