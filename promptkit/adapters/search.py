"""Searching for demonstrations: many sets and all instructions are tried on dev, and the best is kept."""

from __future__ import annotations

from collections.abc import Sequence

from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.backends import Backend
from promptkit.errors import DataError, explain
from promptkit.metrics import get_metric
from promptkit.selection import select
from promptkit.task import Task
from promptkit.types import Example, Usage

__all__ = ["mean_score", "search_demonstrations"]


def search_demonstrations(
    plan: Plan,
    task: Task,
    backend: Backend,
    pool: Sequence[Example],
    dev: Sequence[Example] | None,
    *,
    trials: int,
    items: int,
) -> PlanPredictor:
    """Tries sets of demonstrations on dev examples and keeps the best.

    Set number i is drawn balanced over labels with a seed of its own and headed by instruction number i modulo their
    number, so both are searched at once (random search, which is hard to beat here: Perez et al. 2021, arXiv
    2105.11447, also warns that few dev examples choose badly; use 50 or more).

    Args:
        plan: The plan without demonstrations.
        task: The task; its main metric is the score.
        backend: The model.
        pool: Training examples.
        dev: Examples on which sets are scored; none of them may stand in the pool.
        trials: Number of sets, 1 or more.
        items: Number of dev examples used, the first ones.

    Returns:
        The predictor of the best set, the earliest among equals. Its notes hold every trial with its score, and what
        the search cost.

    Raises:
        DataError: There are no dev examples.
    """
    if not dev:
        raise DataError(
            explain("dev", of="FewShot(select='searched')", must="given to fit, with at least one example", got=dev,
                    do="pass dev=data.dev, or choose another way of selecting")
        )  # fmt: skip
    judged = list(dev)[:items]
    texts: Sequence[str | None] = task.instructions or (plan.instruction,)
    best: tuple[float, Plan] | None = None
    notes: list[dict[str, object]] = []
    spent = Usage()
    for trial in range(trials):
        demos = select("balanced", pool, plan.shots, seed=plan.seed * 1_000_003 + trial, labels=task.labels or None)
        update = {"demos": tuple(demos), "instruction": texts[trial % len(texts)]}
        candidate = plan.model_copy(update=update)
        score, usage = mean_score(PlanPredictor(candidate, task, backend), judged)
        spent += usage
        notes.append(
            {"trial": trial, "instruction": candidate.instruction, "demos": [d.id for d in demos], "score": score}
        )
        if best is None or score > best[0]:
            best = (score, candidate)
    assert best is not None
    search = {
        "metric": task.metric,
        "items": len(judged),
        "best_score": best[0],
        "prompt_tokens": spent.prompt_tokens,
        "generated_tokens": spent.generated_tokens,
        "seconds": spent.seconds,
        "trials": notes,
    }
    return PlanPredictor(best[1], task, backend, {"search": search})


def mean_score(predictor: PlanPredictor, examples: Sequence[Example]) -> tuple[float, Usage]:
    """Returns the mean of the task's main metric over examples, failures counted 0, and what it cost.

    Args:
        predictor: The predictor to judge.
        examples: Examples with targets; at least one.

    Returns:
        The mean in [0, 1] and the usage.
    """
    metric = get_metric(predictor.task.metric)
    predictions = predictor.predict([example.query for example in examples], on_error="record")
    total, usage = 0.0, Usage()
    for prediction, example in zip(predictions, examples, strict=True):
        total += metric.score(prediction.answer, example.targets)
        usage += prediction.usage
    return total / len(examples), usage
