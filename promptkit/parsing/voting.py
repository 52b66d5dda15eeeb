"""Self-consistency: many samples of one question, one answer (Wang et al. 2022, arXiv 2203.11171).

A sample that cannot be read abstains. It never votes, but it counts in the agreement, which is a share of *all*
samples. Nothing is stripped from answers before they are compared beyond what the parser's canonical form says.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from promptkit.errors import SettingError, error_message, one_of
from promptkit.parsing.parser import AnswerParser, ParserSpec
from promptkit.parsing.paths import fresh_paths, group_paths
from promptkit.parsing.stop_rules import StopRule, stop_rule
from promptkit.registry import Registered, find, register
from promptkit.types import Completion

__all__ = ["ReadSample", "Sample", "Tie", "Vote", "vote"]

_NUMBER = re.compile(r"-?[0-9]+(?:[.,][0-9]+|/0*[1-9][0-9]*)?")
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
class ReadSample:
    """One readable sample of a question, as aggregators see it.

    Attributes:
        answer: What was read from it.
        path: Number of its reasoning path: equal numbers mean equal reasonings (see ``group_paths``).
        mean_logprob: Mean log-probability of its tokens, or ``None`` where the model does not tell.
        reasoning: The text before the answer, or "".
        text: The generated text.
        index: Its place among all samples of the question, unreadable ones included.
    """

    answer: str
    path: int
    mean_logprob: float | None
    reasoning: str
    text: str
    index: int


@dataclass(frozen=True, slots=True)
class Vote:
    """The outcome of a vote.

    Attributes:
        answer: The winner, or ``None`` if no sample could be read, or the aggregator scores none.
        votes: Votes, or other scores of the aggregator, by answer, most first; equals in the order of the tie rule.
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
    rule: str = "majority",
    stop: StopRule | Mapping[str, Any] | str | None = None,
    tie: Tie = "stable",
    near: float | None = None,
) -> Vote:
    """Reads samples of one question and lets them vote.

    Rules are registered aggregators (``promptkit.register``): ``majority`` counts samples; ``distinct`` counts
    different reasoning paths, each once however often it recurs; ``weighted`` adds up exp(mean token log-probability)
    of the samples, the length-normalised sequence probability of the paper. The answer of the highest score wins.

    Ties: ``"first"`` takes the tied answer that was seen first. ``"stable"`` does not depend on the order of the
    samples: of the tied answers the one with more samples wins, then the one with more distinct paths, then the
    smaller one (numbers by value, before texts by code point).

    Args:
        samples: Texts, ``Sample`` records, ``(text, finish, mean log-probability)`` or completions, in the order in
            which they were drawn.
        parser: How answers are read; by default each whole text is the answer.
        rule: The name of the aggregator.
        stop: A stop rule to replay, as itself, by name or by settings: samples behind the one at which it stops are
            not looked at.
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
    counting = find("aggregator", rule, of="vote", which="rule")
    if tie not in get_args(Tie):
        raise SettingError(error_message("tie", of="vote", expected=one_of(get_args(Tie)), got=tie))
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
        # Where a repeated path has no vote, it adds no certainty about the winner.
        once = counting.options.get("once_per_path", False)
        repeated = {path[0] for path, new in zip(paths, fresh, strict=True) if once and not new}
        counted = [index not in repeated for index in range(used)]
        stops = resolved.stops_at(readings, counted)
        more = 0 if stops else resolved.fewest_more(readings, counted)
        used = stops or used
    paths = [path for path in paths if path[0] < used]
    groups = group_paths([path[1:] for path in paths], near)
    read = [
        ReadSample(answer, group, records[index].mean_logprob, reasonings[index], records[index].text, index)
        for (index, answer, _), group in zip(paths, groups, strict=True)
    ]
    outcome = _count(read, counting, tie, tuple(readings[:used]))
    return replace(outcome, samples_saved=len(records) - used, stopped=stops is not None, more_needed=more)


def _count(samples: Sequence[ReadSample], rule: Registered, tie: Tie, readings: tuple[str | None, ...]) -> Vote:
    """Scores the answers and names the winner."""
    by_answer: dict[str, list[ReadSample]] = {}
    for sample in samples:
        by_answer.setdefault(sample.answer, []).append(sample)  # keeps the order in which answers were first seen
    used, abstained = len(readings), readings.count(None)
    paths = {answer: len({sample.path for sample in cast}) for answer, cast in by_answer.items()}
    score = _scores(samples, rule) if samples else {}
    order = [answer for answer in by_answer if answer in score]
    if not order:
        return Vote(None, distinct_paths=sum(paths.values()), samples_used=used, abstained=abstained, readings=readings)
    if tie == "stable":
        order.sort(key=_rank)
        order.sort(key=lambda answer: (len(by_answer[answer]), paths[answer]), reverse=True)
    order.sort(key=score.__getitem__, reverse=True)  # stable, so the tie rule orders equal votes
    winner = order[0]
    first_texts = {sample.path: sample.reasoning for sample in reversed(by_answer[winner])}
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


def _scores(samples: Sequence[ReadSample], rule: Registered) -> dict[str, float]:
    """Asks an aggregator, which may be anybody's, for the score of each answer."""
    found = rule.value(tuple(samples))
    answers = {sample.answer for sample in samples}
    if not isinstance(found, Mapping) or not answers.issuperset(found):
        expected = "a mapping from answers of the samples to scores"
        raise SettingError(error_message("scores", of=f"aggregator {rule.name!r}", expected=expected, got=found))
    for answer, score in found.items():
        if isinstance(score, bool) or not isinstance(score, Real) or not math.isfinite(score):
            name, expected = f"score of {answer!r}", "a finite number"
            raise SettingError(error_message(name, of=f"aggregator {rule.name!r}", expected=expected, got=score))
    return dict(found)


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


@register("aggregator", "majority")
def _majority(samples: Sequence[ReadSample]) -> Mapping[str, float]:
    """Counts samples."""
    return Counter(sample.answer for sample in samples)


@register("aggregator", "distinct", once_per_path=True)
def _distinct(samples: Sequence[ReadSample]) -> Mapping[str, float]:
    """Counts different reasoning paths, each once however often it recurs."""
    return Counter(answer for answer, _ in {(sample.answer, sample.path) for sample in samples})


@register("aggregator", "weighted", logprobs=True)
def _weighted(samples: Sequence[ReadSample]) -> Mapping[str, float]:
    """Adds up exp(mean token log-probability), the length-normalised probability of each sample."""
    weights: dict[str, list[float]] = {}
    for sample in samples:
        mean = sample.mean_logprob
        if mean is None or math.isnan(mean):
            expected = "the mean token log-probability of every readable sample, for rule 'weighted'"
            hint = "give (text, finish, mean) records, or use rule 'majority'"
            which = f"mean_logprob of sample {sample.index}"
            raise SettingError(error_message(which, of="vote", expected=expected, got=mean, hint=hint))
        weights.setdefault(sample.answer, []).append(math.exp(min(mean, 0.0)))
    # fsum rounds once, so the sum does not depend on the order of the samples
    return {answer: math.fsum(found) for answer, found in weights.items()}


def _rank(answer: str) -> tuple[bool, Fraction, str]:
    """Returns the sort key of canonical answers: numbers by value, then texts by code point."""
    # Only the canonical form: Fraction would also take 1e999999999 and spell it out.
    number = Fraction(answer.replace(",", ".")) if len(answer) < 400 and _NUMBER.fullmatch(answer) else None
    return (number is None, Fraction(0) if number is None else number, answer)
