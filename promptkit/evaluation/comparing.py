"""``compare``: arms on the same items, with paired tests, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, get_args

from promptkit.data.groups import Group
from promptkit.errors import DataError, SettingError, error_message, one_of
from promptkit.evaluation.arms import Failures, Scored, Source, align, group_items, read_arms
from promptkit.evaluation.comparison import Arm, Comparison, Difference
from promptkit.metrics import MetricLike
from promptkit.statistics import Groups, IntervalMethod, compare_pairs, decide, mean_interval, paired_differences
from promptkit.statistics.paired import detectable, still_needed
from promptkit.types import Example, Progress

__all__ = ["compare"]

_POWER = 0.8


def compare(
    arms: Mapping[str, Source],
    examples: Sequence[Example] | None = None,
    *,
    metric: MetricLike | None = None,
    baseline: str | None = None,
    pairs: Literal["baseline", "all"] = "baseline",
    margin: float = 0.0,
    group: Group | None = None,
    confidence: float = 0.95,
    failures: Failures = "zero",
    method: IntervalMethod = "auto",
    resamples: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compares arms on the same items: differences with intervals, paired tests, verdicts and costs.

    Every predictor answers the same queries with the same seed. The test is exact McNemar where all scores are 0 or 1
    and sign-flip permutation otherwise, with Holm's correction over all differences tested; ``compare_pairs`` and
    ``difference_interval`` say more. Intervals are not widened for the number of arms.

    Items must be independent of each other, or grouped: with ``group``, a group is one observation to every test and
    interval, as by default the items of one ``Example.group`` or of one repeated id are. Where items that are not
    grouped look dependent, ``Comparison.notes`` says so.

    A margin is the smallest difference that matters. With it, ``better`` and ``worse`` mean by more than the margin,
    and ``equivalent`` means that the difference is surely smaller than it; without, nothing can be equivalent.

    This is a test of a number of items that was fixed beforehand. To look while items come in, use
    ``statistics.Sequential``.

    Args:
        arms: Two or more arms by name: predictors; reports, or saved ones as data or path; or lists with one score
            per item, ``None`` for a failed one.
        examples: What predictors are scored on; left out where no arm is a predictor.
        metric: A metric, by name or as a function; by default that of the task, or the first of the reports.
        baseline: With which arm the others are compared; by default the first.
        pairs: Compare the others with the baseline, or all with each other.
        margin: The smallest difference that matters, at least 0.
        group: Which items belong together, such as several questions on one document or several seeds of one item: the
            name of a field, ``"id"`` or ``"group"``; a mapping from id to group; or one label per item.
        confidence: Confidence of the intervals, and 1 minus the level of the verdicts.
        failures: Failed items score 0 in the arm that failed (``zero``), or are left out for every arm (``exclude``).
        method: How the interval of a difference is found.
        resamples: Bootstrap resamples and drawn sign patterns.
        seed: Seed of predictions, resamples and sign patterns.
        progress: Called with (done, all) predictions.

    Returns:
        The comparison; ``table`` is its text.

    Raises:
        DataError: Arms are not of the same items (ids, questions, targets), scores are unusable, or reports were
            grouped in different ways.
        SettingError: There are fewer than two arms, or a setting is out of range.

    Example:
        >>> c = compare({"few-shot": [0.0] * 40 + [1.0] * 60, "cot": [0.0] * 20 + [1.0] * 80}, baseline="few-shot")
        >>> c["cot"].difference, c["cot"].verdict, c["cot"].items_to_decide
        (0.2, 'better', 0)
        >>> c["few-shot", "cot"].verdict
        'worse'
    """
    names = list(arms) if isinstance(arms, Mapping) else []
    _check(arms, names, baseline, pairs, margin, confidence, failures)
    first = baseline if baseline is not None else names[0]
    order = [first, *[name for name in names if name != first]]
    metric, scored = read_arms(
        {name: arms[name] for name in order}, examples, metric=metric, group=group, seed=seed, progress=progress
    )
    aligned = align(scored)
    grouping = group_items(aligned, group)
    kept = _kept(aligned, failures)
    labels = None if grouping.labels is None else [grouping.labels[place] for place in kept]
    found = {
        arm.name: _arm(arm, part, labels, confidence, resamples, seed)
        for arm, part in ((arm, arm.take(kept)) for arm in aligned)
    }
    chosen = [(b, a) for a, b in combinations(order, 2)] if pairs == "all" else [(name, first) for name in order[1:]]
    differences = _differences(found, chosen, labels, margin, confidence, method, resamples, seed)
    return Comparison(
        metric=metric,
        baseline=first,
        items=len(kept),
        excluded=len(aligned[0].scores) - len(kept),
        failures=failures,
        arms={name: found[name] for name in names},
        differences=differences,
        margin=margin,
        confidence=confidence,
        seed=seed,
        groups=len(set(labels)) if labels is not None else 0,
        notes=grouping.notes,
        reports={arm.name: arm.report for arm in scored if arm.report is not None},
    )


def _check(
    arms: object, names: list[str], baseline: object, pairs: object, margin: float, confidence: float, failures: object
) -> None:
    if len(names) < 2:
        got = names if isinstance(arms, Mapping) else arms
        raise SettingError(
            error_message("arms", of="compare", expected="a mapping of at least two names to arms", got=got)
        )
    if baseline is not None and baseline not in names:
        raise SettingError(error_message("baseline", of="compare", expected=one_of(names), got=baseline))
    for name, value, known in (("pairs", pairs, ("baseline", "all")), ("failures", failures, get_args(Failures))):
        if value not in known:
            raise SettingError(error_message(name, of="compare", expected=one_of(known), got=value))
    if not 0 <= margin < float("inf"):
        raise SettingError(error_message("margin", of="compare", expected="a number of at least 0", got=margin))
    if not 0 < confidence < 1:
        raise SettingError(error_message("confidence", of="compare", expected="between 0 and 1", got=confidence))


def _kept(arms: Sequence[Scored], failures: Failures) -> list[int]:
    """Places of the items that count, the same for every arm."""
    total = len(arms[0].scores)
    lost = {place for arm in arms for place in range(total) if arm.failed[place]} if failures == "exclude" else set()
    kept = [place for place in range(total) if place not in lost]
    if len(kept) < 2:
        expected = "at least two on which no arm failed" if lost else "at least two"
        raise DataError(error_message("items", of="compare", expected=expected, got=len(kept)))
    return kept


def _arm(whole: Scored, kept: Scored, groups: Groups, confidence: float, resamples: int, seed: int) -> Arm:
    interval = mean_interval(kept.scores, groups=groups, confidence=confidence, resamples=resamples, seed=seed)
    return Arm(
        name=whole.name,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        items=interval.n,
        failed=sum(whole.failed),
        unanswered=sum(whole.unanswered) if whole.unanswered else None,
        cost=whole.cost,
        scores=kept.scores,
    )


def _differences(
    arms: Mapping[str, Arm],
    chosen: Sequence[tuple[str, str]],
    groups: Groups,
    margin: float,
    confidence: float,
    method: IntervalMethod,
    resamples: int,
    seed: int,
) -> tuple[Difference, ...]:
    found = [
        compare_pairs(
            arms[base].scores,
            arms[name].scores,
            groups=groups,
            margin=margin,
            confidence=confidence,
            method=method,
            resamples=resamples,
            seed=seed,
        )
        for name, base in chosen
    ]
    decided = decide(found, confidence)
    # What is decided stays so in Holm's order, so the level is shared by those that are open.
    still_open = max(1, sum(verdict == "undecided" for _, verdict in decided))
    out = []
    for (name, base), one, (adjusted, verdict) in zip(chosen, found, decided, strict=True):
        first, second = arms[base].scores, arms[name].scores
        changes = paired_differences(first, second)
        bounded = min(*first, *second) >= 0 and max(*first, *second) <= 1
        facts = {key: getattr(one, key) for key in one.__slots__ if key != "n"}
        out.append(
            Difference(
                arm=name,
                baseline=base,
                **facts,
                p_adjusted=adjusted,
                verdict=verdict,
                items_to_decide=still_needed(
                    changes,
                    verdict,
                    groups=groups,
                    bounded=bounded,
                    margin=margin,
                    confidence=confidence,
                    power=_POWER,
                    arms=still_open,
                ),
                minimum_detectable=detectable(
                    changes,
                    groups=groups,
                    bounded=bounded,
                    margin=margin,
                    confidence=confidence,
                    power=_POWER,
                    arms=len(chosen),
                ),
            )
        )
    return tuple(out)
