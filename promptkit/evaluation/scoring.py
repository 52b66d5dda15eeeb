"""Scoring a predictor: per-example scores, a mean with an interval for every metric, and what it cost."""

from __future__ import annotations

import json
import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from promptkit.data import check_examples
from promptkit.data.groups import Group, Grouping, find_groups
from promptkit.errors import DataError, SettingError, error_message, one_of
from promptkit.metrics import MetricLike, get_metric
from promptkit.statistics import Interval, mean_interval
from promptkit.types import Example, JSONObject, Prediction, Progress, Usage

if TYPE_CHECKING:
    from promptkit.adapters.base import Predictor

__all__ = ["Cost", "Report", "evaluate"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the predictions of a report cost.

    Attributes:
        usage: Sums of calls, prompt, cached and generated tokens, and wall-clock seconds.
        seconds_median: Median of the seconds per request; in a batch each request bears an equal share.
        seconds_p95: 95th percentile of the same.
        prompt_tokens_per_item: Mean prompt tokens per example.
        generated_tokens_per_item: Mean generated tokens per example.
    """

    usage: Usage
    seconds_median: float
    seconds_p95: float
    prompt_tokens_per_item: float
    generated_tokens_per_item: float

    @staticmethod
    def of(usages: Sequence[Usage]) -> Cost:
        """Adds up usages, one per example; there is at least one."""
        total = sum(usages, Usage())
        seconds = sorted(usage.seconds for usage in usages)
        count = len(usages)
        return Cost(
            total,
            stats.median(seconds),
            seconds[min(count - 1, int(0.95 * count))],
            total.prompt_tokens / count,
            total.generated_tokens / count,
        )


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
        task: The name of the task.
        metrics: Mean and interval by metric (``statistics.mean_interval``).
        scores: Per-example scores by metric, in the order of the examples; failures score 0 and are counted apart.
        rows: One record an example: id, fields, targets, answer, text, the scores, tokens, seconds and error; also
            its group, where examples were grouped.
        cost: What it cost.
        items: Number of examples.
        answered: Examples for which an answer could be read.
        unanswered: Examples whose text held no readable answer; they score 0.
        failed: Examples for which the model failed or the prompt did not fit; they score 0.
        confidence: Confidence of the intervals, such as 0.95.
        seed: Seed of the predictions, and of the bootstrap of a metric without bounds.
        groups: Number of groups of dependent examples, each one observation to the intervals; 0 if every example is.
        notes: What should be known of the examples, such as repeated ids or equal inputs; one sentence each.
    """

    task: str
    metrics: Mapping[str, Interval]
    scores: Mapping[str, tuple[float, ...]]
    rows: tuple[JSONObject, ...]
    cost: Cost
    items: int
    answered: int
    unanswered: int
    failed: int
    confidence: float = 0.95
    seed: int = 0
    groups: int = 0
    notes: tuple[str, ...] = ()

    def __getitem__(self, metric: str) -> Interval:
        """Returns mean and interval of a metric of this report."""
        if metric not in self.metrics:
            raise SettingError(error_message("metric", of="report", expected=one_of(self.metrics), got=metric))
        return self.metrics[metric]

    def __str__(self) -> str:
        """Returns the report as a small table."""
        counts = f"{self.answered} answered, {self.unanswered} without answer, {self.failed} failed"
        grouped = f" in {self.groups} groups" if self.groups else ""
        head = f"{self.task}: {self.items} examples{grouped}, {counts}"
        width = max(len(name) for name in self.metrics)
        percent = f"{self.confidence * 100:g} %"
        lines = [
            f"  {name:<{width}}  {value.mean:6.3f}  [{value.low:.3f}, {value.high:.3f}] {percent}"
            for name, value in self.metrics.items()
        ]
        usage = self.cost.usage
        cost = (
            f"  cost: {self.cost.prompt_tokens_per_item:.0f} prompt + {self.cost.generated_tokens_per_item:.1f} "
            f"generated tokens and {self.cost.seconds_median * 1000:.0f} ms per item, {usage.seconds:.1f} s in all"
        )
        return "\n".join([head, *lines, cost, *(f"  note: {note}" for note in self.notes)])

    def to_dict(self) -> JSONObject:
        """Returns everything as plain JSON data."""
        return asdict(self)

    def to_json(self, indent: int | None = None) -> str:
        """Returns everything as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)


def evaluate(
    predictor: Predictor,
    examples: Sequence[Example],
    metrics: Sequence[MetricLike] | None = None,
    *,
    group: Group | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 10_000,
    progress: Progress | None = None,
) -> Report:
    """Scores a predictor on examples.

    Intervals are those of ``statistics.mean_interval``: Clopper and Pearson's for right/wrong scores, Gaffke's for
    graded ones. Examples that belong together are taken as one observation: those of one ``group``, or of one
    ``Example.group``, or without either of one repeated id.

    Args:
        predictor: Anything with ``task`` and ``predict``.
        examples: Examples with targets; the predictor sees their queries only.
        metrics: Metrics by name, or functions of an answer and a target that give a score in [0, 1] and are reported
            by their names; by default those that the task shows.
        group: Which examples belong together, such as several questions on one document: the name of a field, ``"id"``
            or ``"group"`` (``Example.group``); a mapping from id to group; or one label per example.
        seed: Seed of the predictions, and of the bootstrap of a metric without bounds.
        confidence: Confidence of the intervals, in (0, 1).
        resamples: Number of bootstrap resamples, for a metric without bounds.
        progress: Called with (done, all) examples.

    Returns:
        The report.

    Raises:
        DataError: There are no examples.
        MetricError: A metric is unknown or cannot see anything in a target; raised before any prediction is made.
        SettingError: ``group`` names no field, or not a group for each example; raised before any prediction, too.

    Example:
        >>> import promptkit as pk
        >>> data, task = pk.load_examples("apples"), pk.load_task("apples")
        >>> backend = pk.ScriptedBackend(lambda request, index: " The answer is 5.")
        >>> predictor = pk.FewShot(task, shots=0).fit(data.train, backend)
        >>> pk.evaluate(predictor, data.test[:20], ["exact_match"])["exact_match"].n
        20
    """
    if isinstance(predictor, type) or not callable(getattr(predictor, "predict", None)):
        got = predictor if predictor is None or isinstance(predictor, str) else type(predictor).__name__
        expected = "something with predict, as adapter.fit(train, backend) and load(folder, backend) return"
        raise SettingError(error_message("predictor", of="evaluate", expected=expected, got=got))
    wanted = list(dict.fromkeys(metrics if metrics is not None else predictor.task.metrics))
    if isinstance(metrics, str) or not wanted:
        expected = "a list of metric names or functions"
        raise SettingError(error_message("metrics", of="evaluate", expected=expected, got=metrics))
    check_examples(examples, of="evaluate")
    if not len(examples):
        raise DataError(error_message("examples", of="evaluate", expected="at least one", got=list(examples)))
    scorers = {scorer.name: scorer for scorer in map(get_metric, wanted)}
    if len(scorers) < len(wanted):
        names = [get_metric(one).name for one in wanted]
        raise SettingError(error_message("metrics", of="evaluate", expected="of different names", got=names))
    for example in examples:
        # A target in which a metric sees nothing is an error of the data, and is found before the model is paid.
        for scorer in scorers.values():
            scorer.score(example.target, example.targets)
    queries = [example.query for example in examples]
    owners = [example.group for example in examples]
    grouping = find_groups([q.id for q in queries], [q.fields for q in queries], owners, group, of="evaluate")
    predictions = predictor.predict(queries, seed=seed, on_error="record", progress=progress)
    scores = {
        name: tuple(scorer.score(p.answer, e.targets) for p, e in zip(predictions, examples, strict=True))
        for name, scorer in scorers.items()
    }
    failed = sum(prediction.error is not None for prediction in predictions)
    answered = sum(prediction.answer is not None for prediction in predictions)
    return Report(
        task=predictor.task.name,
        metrics={
            name: mean_interval(found, groups=grouping.labels, confidence=confidence, resamples=resamples, seed=seed)
            for name, found in scores.items()
        },
        scores=scores,
        rows=tuple(_row(e, p, scores, i, grouping) for i, (e, p) in enumerate(zip(examples, predictions, strict=True))),
        cost=Cost.of([prediction.usage for prediction in predictions]),
        items=len(examples),
        answered=answered,
        unanswered=len(examples) - answered - failed,
        failed=failed,
        confidence=confidence,
        seed=seed,
        groups=grouping.count,
        notes=grouping.notes,
    )


def _row(
    example: Example, prediction: Prediction, scores: Mapping[str, Sequence[float]], place: int, grouping: Grouping
) -> dict[str, Any]:
    return {
        "id": example.id or prediction.id,
        **grouping.record(place),
        "fields": dict(example.query.fields),
        "targets": list(example.targets),
        "answer": prediction.answer,
        "text": prediction.text,
        **{name: values[place] for name, values in scores.items()},
        "agreement": prediction.agreement,
        "samples_used": prediction.samples_used,
        "abstained": prediction.abstained,
        "tie": prediction.tie,
        "shots": prediction.shots,
        "dropped_shots": prediction.dropped_shots,
        "prompt_tokens": prediction.usage.prompt_tokens,
        "generated_tokens": prediction.usage.generated_tokens,
        "seconds": prediction.usage.seconds,
        "error": prediction.error,
    }
