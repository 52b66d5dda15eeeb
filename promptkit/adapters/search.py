"""Searching for demonstrations: many sets and all instructions are tried on dev, and the best is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence

from promptkit.adapters.base import seconds_left
from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.selection import select
from promptkit.backends import Backend
from promptkit.errors import DataError, error_message
from promptkit.metrics import get_metric
from promptkit.tasks.task import Task
from promptkit.types import Example, JSONObject, Usage

__all__ = ["mean_score", "search_demonstrations"]

PROBE = 4
"""Questions whose time tells the pace of the model."""
FEWEST = 10
"""Fewest examples on which sets are compared, if there are as many."""


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
    2105.11447, also warns that few dev examples choose badly; use 50 or more). Where the backend has a deadline, the
    first questions tell the pace; if not all fits, fewer sets are tried on fewer examples, and if not even two sets
    fit, none is.

    Args:
        plan: The plan without demonstrations.
        task: The task; its main metric is the score.
        backend: The model.
        pool: Training examples.
        dev: Examples on which sets are scored; none of them may stand in the pool.
        trials: Number of sets, 1 or more.
        items: Number of dev examples used, the first ones.

    Returns:
        The predictor of the best set, the earliest among equals. Its notes hold every trial with its score, what
        the search cost, and under ``cut`` what was left out for want of time.

    Raises:
        DataError: There are no dev examples.
    """
    if not dev:
        raise DataError(
            error_message(
                "dev",
                of="FewShot(select='searched')",
                expected="given to fit, with at least one example",
                got=dev,
                hint="pass dev=data.dev, or choose another way of selecting",
            )
        )
    judged = list(dev)[:items]
    texts: Sequence[str | None] = task.instructions or (plan.instruction,)

    def candidate(trial: int) -> Plan:
        demos = select("balanced", pool, plan.shots, seed=plan.seed * 1_000_003 + trial, labels=task.labels or None)
        return plan.model_copy(update={"demos": tuple(demos), "instruction": texts[trial % len(texts)]})

    started, seconds = time.monotonic(), seconds_left(backend)
    wanted = (trials, len(judged))
    if seconds is not None:
        mean_score(PlanPredictor(candidate(0), task, backend), judged[:PROBE])
        pace = (time.monotonic() - started) / min(PROBE, len(judged))
        trials, judged = _affordable(trials, judged, (seconds - pace * PROBE) / max(pace, 1e-9))
    best: tuple[float, Plan] | None = None
    notes: list[dict[str, object]] = []
    spent = Usage()
    for trial in range(trials):
        tried = candidate(trial)
        began = time.monotonic()
        score, usage = mean_score(PlanPredictor(tried, task, backend), judged)
        spent += usage
        notes.append({"trial": trial, "instruction": tried.instruction, "demos": [d.id for d in tried.demos],
                      "score": score})  # fmt: skip
        if best is None or score > best[0]:
            best = (score, tried)
        now = time.monotonic()
        if seconds is not None and now - started + (now - began) > seconds:
            break  # another set would not fit
    if best is None:
        note: JSONObject = {
            "trials": [],
            "cut": f"no sets were compared: {seconds:.2g} s are too few, the first is taken",
        }
        return PlanPredictor(candidate(0), task, backend, {"search": note})
    search: JSONObject = {
        "metric": task.metric,
        "items": len(judged),
        "best_score": best[0],
        "prompt_tokens": spent.prompt_tokens,
        "generated_tokens": spent.generated_tokens,
        "seconds": spent.seconds,
        "trials": notes,
    }
    if (len(notes), len(judged)) != wanted:
        search["cut"] = (
            f"{len(notes)} of {wanted[0]} sets were tried on {len(judged)} of {wanted[1]} examples, in the "
            f"{seconds:.2g} s there were"
        )
    return PlanPredictor(best[1], task, backend, {"search": search})


def _affordable(trials: int, judged: list[Example], questions: float) -> tuple[int, list[Example]]:
    """Returns how many sets are tried on which examples, so that no more than a number of questions are asked.

    Sets and examples are given up in equal proportion, down to ``FEWEST`` examples: on fewer the best of several sets
    is the luckiest.
    """
    if questions >= trials * len(judged):
        return trials, judged
    share = max(0.0, questions / (trials * len(judged))) ** 0.5
    items = min(len(judged), max(FEWEST, int(share * len(judged))))
    sets = min(trials, int(questions / items))
    return (sets, judged[:items]) if sets > 1 else (0, judged)


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
