"""Does the ladder stop where an exhaustive run would? Prints its choice beside the best one, task by task.

For each task and seed the ladder climbs the default rungs without a target. Then every rung is fitted (those that
the ladder fitted are loaded, the others get the same hand-downs) and scored on the whole test split. The right choice
is the cheapest rung whose mean on test is not below the best by more than the margin. Runs are kept in a folder, so
that a run that was cut off goes on, and tasks can be done one at a time. Without arguments it does one task with
one seed; ``--all`` does all tasks with three, which takes hours on two cores.

Example:
    python benchmarks/ladder_choices.py --folder runs/choices --task tone --task apples --seed 0 --seed 1
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import promptkit as pk
from promptkit.ladder.cross_fitting import FitSplit, make_pool
from promptkit.ladder.rungs import Prior, Rung, make_rungs


@dataclass(frozen=True)
class Row:
    """One rung of one climb.

    Attributes:
        rung: Its name.
        mean: Its mean on the whole test split, or ``None`` if it does not apply or failed.
        low: Lower end of the interval.
        high: Upper end.
        verdict: What the ladder made of it.
        seconds: Seconds of its fit and of the test.
    """

    rung: str
    mean: float | None
    low: float
    high: float
    verdict: str
    seconds: float


def right_choice(rows: Sequence[Row], margin: float) -> str | None:
    """Returns the cheapest rung that is not below the best by more than the margin.

    Args:
        rows: The rungs from cheap to dear.
        margin: What does not matter.

    Returns:
        Its name, or ``None`` if no rung has a score.
    """
    known = [(row.rung, row.mean) for row in rows if row.mean is not None]
    best = max((mean for _, mean in known), default=0.0)
    return next((name for name, mean in known if mean >= best - margin - 1e-12), None)


def exhaust(
    task: pk.Task, data: pk.Data, backend: pk.Backend, result: pk.ClimbResult, *, seed: int, items: int | None
) -> list[Row]:
    """Fits every rung and scores it on the test split.

    Args:
        task: The task.
        data: The data.
        backend: The model.
        result: The climb, with its folder.
        seed: Its seed.
        items: Number of test items, or ``None`` for all.

    Returns:
        One row per rung, from cheap to dear.
    """
    fit_split = make_pool(data.train, data.dev, seed=seed).fit_split
    rows: list[Row] = []
    prompt: pk.PlanPredictor | None = None
    for rung in make_rungs("default", task, data.train):
        trial, started = result.record[rung.name], time.perf_counter()
        fit = trial.fit
        try:
            if fit is not None and fit.artifact and result.folder is not None:
                predictor: pk.Predictor = pk.load(result.folder / fit.artifact, backend)
            else:
                predictor = _fit(rung, fit_split, backend, result, prompt, seed)
            found = pk.evaluate(predictor, data.test[:items], [task.metric], seed=seed)[task.metric]
            mean, low, high = found.mean, found.low, found.high
        except pk.PromptkitError as error:
            print(f"  {rung.name}: {error!s:.150}")
            rows.append(Row(rung.name, None, 0.0, 0.0, trial.verdict, time.perf_counter() - started))
            continue
        if rung.name == "few-shot" and isinstance(predictor, pk.PlanPredictor):
            prompt = predictor
        seconds = time.perf_counter() - started + (fit.seconds if fit is not None else 0.0)
        rows.append(Row(rung.name, mean, low, high, trial.verdict, seconds))
    return rows


def _fit(
    rung: Rung,
    fit_split: FitSplit,
    backend: pk.Backend,
    result: pk.ClimbResult,
    prompt: pk.PlanPredictor | None,
    seed: int,
) -> pk.Predictor:
    """Fits a rung that the ladder never tried, with what the ladder would have handed down."""
    if rung.left_out:
        raise pk.UnsupportedError(rung.left_out)
    decision = result.record.decision
    kept = decision.winner if decision is not None and decision.winner is not None else ""
    ready = rung.ready(Prior(kept, result.winner, prompt))
    keys = {example.query.key for example in ready.first}
    train = [*ready.first, *(example for example in fit_split.train if example.query.key not in keys)]
    return ready.adapter.fit(pk.Split("train", train), backend, dev=fit_split.tuning, seed=seed, **ready.options)


def run(task_name: str, seed: int, args: argparse.Namespace, backend: pk.Backend) -> bool:
    """Runs and prints one task with one seed.

    Args:
        task_name: The task.
        seed: The seed.
        args: The options.
        backend: The model.

    Returns:
        Whether the ladder chose right.
    """
    folder = Path(args.folder) / f"{task_name}-{seed}"
    task, data = pk.load_task(task_name), pk.load_examples(task_name)
    result = pk.climb(task, data, backend, seed=seed, margin=args.margin, folder=folder / "climb")
    kept = folder / "exhaustive.json"
    if kept.exists():
        rows = [Row(**row) for row in json.loads(kept.read_text(encoding="utf-8"))]
    else:
        rows = exhaust(task, data, backend, result, seed=seed, items=args.items)
        kept.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    decision = result.record.decision
    choice, best = decision.winner if decision is not None else None, right_choice(rows, args.margin)
    for row in rows:
        score = "     -" if row.mean is None else f"{row.mean:6.3f}  [{row.low:.3f}, {row.high:.3f}]"
        marks = ("ladder " if row.rung == choice else "") + ("exhaustive" if row.rung == best else "")
        print(f"{task_name:<10}{seed:>3}  {row.rung:<30}{score:<26}{row.verdict:<11}{row.seconds:8.1f} s  {marks}")
    print(f"{task_name:<10}{seed:>3}  {'right' if choice == best else 'WRONG'}\n", flush=True)
    return choice == best


def main() -> None:
    """Prints one table per task and seed, and the count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="all tasks with the seeds 0, 1 and 2")
    parser.add_argument("--task", action="append", help="a task; repeat it for more (default: chinese)")
    parser.add_argument("--seed", action="append", type=int, help="a seed; repeat it for more (default: 0)")
    parser.add_argument("--margin", type=float, default=0.02, help="what does not matter (default: 0.02)")
    parser.add_argument("--items", type=int, help="test items of the exhaustive run (default: all)")
    parser.add_argument("--model", default="reference")
    parser.add_argument("--folder", default="runs/ladder_choices", help="where runs are kept and continued")
    args = parser.parse_args()
    backend = pk.LocalBackend(args.model)
    tasks = args.task or (pk.list_tasks() if args.all else ["chinese"])
    pairs = [(task_name, seed) for task_name in tasks for seed in args.seed or ((0, 1, 2) if args.all else (0,))]
    right = sum(run(task_name, seed, args, backend) for task_name, seed in pairs)
    print(f"{right} of {len(pairs)} climbs end at the rung that the exhaustive run calls right")


if __name__ == "__main__":
    main()
