"""Builds the parts of the record: trials, costs, the test, and the answer in one sentence."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np

from promptkit.adapters import PlanPredictor, Predictor
from promptkit.errors import PromptkitError
from promptkit.evaluation.scoring import Report
from promptkit.ladder.candidate import Candidate
from promptkit.ladder.cross_fitting import Pool
from promptkit.ladder.facts import Bounds, CostFacts, Item, ItemResult, PairedTest, PromptSample
from promptkit.ladder.loop import RunningTrial
from promptkit.ladder.record import Decision, TestFacts, TestRead, Trial
from promptkit.ladder.sequential_test import SequentialTest, labels
from promptkit.statistics import Interval, mean_interval
from promptkit.types import Example

__all__ = ["answer", "as_trial", "item", "machine", "score_test", "versions"]

PROMPTS = 2
"""Prompts per trial that the record holds as they were sent."""
_METHOD = "exact, for bounded scores"
LIBRARIES = ("numpy", "torch", "transformers", "peft", "tokenizers", "pydantic")


def as_trial(trial: RunningTrial, confidence: float, pool: Pool) -> Trial:
    """Builds the record of one trial.

    Args:
        trial: The trial.
        confidence: Confidence of intervals.
        pool: The judged items.

    Returns:
        The part of the record.
    """
    candidate = trial.candidate
    plain = Trial(
        rung=trial.name,
        place=trial.place,
        number=trial.number,
        kind=str(trial.settings.get("kind", trial.rung.plan.get("kind", ""))),
        settings=trial.settings or trial.rung.plan,
        verdict=trial.verdict,
        reason=trial.reason,
        prior=trial.prior,
    )
    if candidate is None or not candidate.results:
        return plain if candidate is None else plain.model_copy(update={"fit": candidate.fit})
    results = candidate.results
    facts: dict[str, object] = {
        "detail": _detail(candidate.predictor),
        "score": _bounds(
            mean_interval(candidate.scores, groups=labels(pool.groups[: len(results)]), confidence=confidence),
            confidence,
        ),
        "cost": _cost(results, candidate.peak),
        "fit": candidate.fit,
        "answered": sum(one.answer is not None for one in results),
        "unanswered": sum(one.answer is None and one.error is None for one in results),
        "failed": sum(one.error is not None for one in results),
        "prompts": _prompts(candidate, pool),
        "results": tuple(results),
    }
    if trial.bounds is not None:
        facts |= {"lower_bound": trial.bounds.low, "upper_bound": trial.bounds.high}
    if trial.test is not None and trial.test.analyses:
        facts["test"] = _test(trial.test, trial.against)
    return plain.model_copy(update=facts)


def _detail(predictor: Predictor) -> str:
    if not isinstance(predictor, PlanPredictor):
        return type(predictor).__name__
    plan, parts = predictor.plan, []
    if predictor.soft_prompt is not None:
        parts.append(f"{predictor.soft_prompt.tokens} vectors")
    if predictor.lora is not None:
        parts.append(f"rank {predictor.lora.config.get('r', '?')}")
    parts += [f"{plan.shots} shot{'s' if plan.shots > 1 else ''}"] if plan.shots else []
    parts += ["reasoned"] if plan.ask == "reasoned" else []
    parts += [f"up to {plan.samples} samples"] if plan.samples > 1 else []
    return ", ".join(parts)


def _bounds(found: Interval, confidence: float) -> Bounds:
    return Bounds(mean=found.mean, low=found.low, high=found.high, n=found.n, confidence=confidence, method=_METHOD)


def _cost(results: Sequence[ItemResult], peak: int) -> CostFacts:
    n = len(results)
    seconds = sorted(one.seconds for one in results)
    prompt = sum(one.prompt_tokens for one in results)
    generated = sum(one.generated_tokens for one in results)
    return CostFacts(
        items=n,
        calls=sum(one.calls for one in results),
        prompt_tokens=prompt,
        cached_tokens=sum(one.cached_tokens for one in results),
        generated_tokens=generated,
        prompt_tokens_per_item=prompt / n,
        generated_tokens_per_item=generated / n,
        seconds=sum(seconds),
        seconds_median=statistics.median(seconds),
        seconds_p95=seconds[min(n - 1, int(0.95 * n))],
        peak_memory_bytes=peak,
    )


def _test(test: SequentialTest, against: str) -> PairedTest:
    values = np.asarray(test.differences)
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    low, high = test.interval
    return PairedTest(
        against=against,
        items=test.items,
        planned=test.planned,
        margin=test.margin,
        difference=test.difference,
        low=low,
        high=high,
        p_value=test.p_value,
        alpha=test.alpha,
        p_margin=test.p_margin,
        effect=test.difference / spread if spread else None,
        better=int((values > 0).sum()),
        worse=int((values < 0).sum()),
        equal=int((values == 0).sum()),
        analyses=tuple(test.analyses),
        method=test.method,
    )


def _prompts(candidate: Candidate, pool: Pool) -> tuple[PromptSample, ...]:
    """Renders some prompts again, which gives what was sent: rendering has no chance in it."""
    predictor = candidate.predictor
    if not isinstance(predictor, PlanPredictor):
        return ()
    weights = [f"{found.kind} of {found.tokens} tokens" for found in [predictor.soft_prompt] if found is not None]
    weights += [found.kind for found in [predictor.lora] if found is not None]
    found = []
    for key, example in list(zip(pool.keys, pool.examples, strict=True))[: min(PROMPTS, len(candidate.results))]:
        try:
            prompt = predictor.ask(example.query).prompt
        except PromptkitError:
            continue  # its result says why
        messages = tuple({"role": one.role, "content": one.content} for one in prompt.messages)
        found.append(PromptSample(item=key, text=prompt.text, messages=messages, weights=" and ".join(weights)))
    return tuple(found)


def item(example: Example, split: str) -> Item:
    """Builds the record of an item."""
    return Item(id=example.id, split=split, fields=dict(example.query.fields), targets=example.targets)


def score_test(
    report: Report,
    examples: Sequence[Example],
    metric: str,
    dev: Sequence[float],
    groups: Sequence[str],
    reads: tuple[TestRead, ...],
    cut_off: int,
) -> TestFacts:
    """Builds the record of the winner on the test split, with the optimism of dev.

    The interval of the optimism is that of a difference of two independent means, put together from the intervals of
    both (Newcombe 1998, Statistics in Medicine 17:873, method 10).

    Args:
        report: The evaluation on the test split.
        examples: The test split.
        metric: The metric that decided.
        dev: The winner's scores on the judged items.
        groups: The group of each of them; "" for none.
        reads: Every reading of the test split.
        cut_off: Readings that a crash cut off.

    Returns:
        The part of the record.
    """
    results = tuple(_test_result(place, row, metric) for place, row in enumerate(report.rows))
    confidence, usage = report.confidence, report.cost.usage
    on_dev = mean_interval(dev, groups=labels(groups), confidence=confidence)
    own = labels([example.group for example in examples])
    on_test = mean_interval(report.scores[metric], groups=own, confidence=confidence)
    optimism = on_dev.mean - on_test.mean
    return TestFacts(
        reads=reads,
        cut_off=cut_off,
        score=_bounds(on_test, confidence),
        metrics={name: _bounds(found, confidence) for name, found in report.metrics.items()},
        dev_mean=on_dev.mean,
        optimism=optimism,
        optimism_low=optimism - math.hypot(on_dev.mean - on_dev.low, on_test.high - on_test.mean),
        optimism_high=optimism + math.hypot(on_dev.high - on_dev.mean, on_test.mean - on_test.low),
        cost=_cost(results, 0).model_copy(update={"calls": usage.calls, "cached_tokens": usage.cached_tokens}),
        answered=report.answered,
        unanswered=report.unanswered,
        failed=report.failed,
        items={f"test/{place}": item(example, "test") for place, example in enumerate(examples)},
        results=results,
    )


def _test_result(place: int, row: Mapping[str, object], metric: str) -> ItemResult:
    names = ("answer", "text", "error", "agreement", "prompt_tokens", "generated_tokens", "seconds")
    values = {name: row[name] for name in names}
    return ItemResult.model_validate(
        {"item": f"test/{place}", "score": row[metric], "samples": row["samples_used"], **values}
    )


def answer(
    decision: Decision,
    trials: Sequence[Trial],
    test: TestFacts | None,
    target: float | None,
    margin: float,
    metric: str,
    trouble: str = "",
) -> str:
    """Says the decision in one sentence.

    Args:
        decision: What was decided.
        trials: Every trial.
        test: The winner on test.
        target: The target, or ``None``.
        margin: The margin.
        metric: The metric that decided.
        trouble: Why the winner is of no use, or "".

    Returns:
        A sentence.
    """
    if decision.winner is None:
        return f"No answer: {decision.reason}."
    won = next(one for one in reversed(trials) if one.rung == decision.winner)
    name = won.rung if not won.detail or won.detail in won.rung else f"{won.rung} ({won.detail})"
    if test is not None and test.score is not None:
        found, where = test.score, "test"
    else:
        assert won.score is not None
        found, where = won.score, "dev"
    score = f"{metric} {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] on {found.n} {where} items"
    if trouble:
        return f"Nothing works yet. The best of what was tried is {name}, {score}: {trouble}."
    tried = sum(one.test is not None for one in trials)
    missed = "" if target is None else f"; the target of {target:g} was not shown to be reached"
    if decision.stopped == "target":
        return f"{name} is enough: {score}; the target of {target:g} is reached."
    if decision.stopped == "ceiling":
        return f"{name} is enough: {score}; no more expensive rung could be shown to gain more than {margin:g}{missed}."
    if decision.stopped == "budget":
        return f"{name} is the best within the budget: {score}{missed}."
    if len(trials) == 1:
        return f"{name} is the only rung: {score}{missed}."
    if won.verdict == "first":
        none = f"none of {tried} more expensive rungs gains more than {margin:g}"
        return f"No gain: {name} stays, since {none}: {score}{missed}."
    return f"{name} pays, and no more expensive rung gains more than {margin:g} over it: {score}{missed}."


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that decide what is computed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Returns system and processor, without the name of the host."""
    return " ".join(part for part in (platform.system(), platform.machine(), platform.processor()) if part)
