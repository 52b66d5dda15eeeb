"""Few-shot prompts, soft prompts and LoRA on the same held-out items, over several seeds: ``make demo-weights``.

For each task the best few-shot prompt (over numbers and ways of choosing demonstrations) and the best kind of soft
prompt are chosen on dev and then scored on test. Differences are paired: both sides answer the same items. Then the
starting points of soft prompts are compared with a random start, over their own seeds. Intervals of means are
those of ``statistics.mean_interval``; those of differences draw seeds as well as items. An hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import promptkit as pk
from promptkit.statistics import difference_interval, mean_interval

KINDS = ("prompt", "prefix", "ptuning")
STARTS = ("domain", "prompt")
SHOTS = (4, 8, 16)


def scores(predictor: pk.Predictor, examples: list[pk.Example], metric: str) -> list[float]:
    """Scores each example."""
    return list(pk.evaluate(predictor, examples, [metric]).scores[metric])


class Table:
    """Fits and scores on one task, and prints a line for each strategy."""

    def __init__(self, name: str, backend: pk.LocalBackend, args: argparse.Namespace) -> None:
        self.task, data = pk.load_task(name), pk.load_examples(name)
        self.backend, self.limits = backend, {"epochs": args.epochs} if args.epochs else {}
        self.train, self.dev, self.test = data.train[: args.train], data.dev[: args.dev], data.test[: args.items]
        self.seeds, self.starts = args.seeds, args.starts
        self.rows: list[dict[str, object]] = []
        print(f"\n{name}: {len(self.test)} test items, {self.task.metric}; chosen on {len(self.dev)} dev items")
        print(f"{'strategy':<34}{'test':>7}  {'95 % interval':<16}{'per seed':<22}{'dev':>7}{'fit s':>8}")

    def fit(self, adapter: pk.Adapter, seeds: int) -> tuple[list[pk.Predictor], float]:
        """Fits once for each seed, and tells the seconds of the longest fit."""
        found, longest = [], 0.0
        for seed in range(seeds):
            began = time.perf_counter()
            found.append(adapter.fit(self.train, self.backend, dev=self.dev, seed=seed))
            longest = max(longest, time.perf_counter() - began)
        return found, longest

    def on_dev(self, predictors: list[pk.Predictor]) -> float:
        """The mean score on dev over seeds."""
        return float(np.mean([scores(one, self.dev, self.task.metric) for one in predictors]))

    def line(self, name: str, predictors: list[pk.Predictor], dev: float, seconds: float) -> np.ndarray:
        """Scores on test and prints a line; returns ``[seeds, items]``."""
        found = np.array([scores(one, self.test, self.task.metric) for one in predictors])
        whole = mean_interval(found.mean(0).tolist())
        per_seed = " ".join(f"{value:.3f}" for value in found.mean(1))
        interval = f"[{whole.low:.3f}, {whole.high:.3f}]"
        print(f"{name:<34}{whole.mean:7.3f}  {interval:<16}{per_seed:<22}{dev:7.3f}{seconds:8.1f}", flush=True)
        self.rows.append(
            {"task": self.task.name, "strategy": name, "mean": whole.mean, "low": whole.low, "high": whole.high,
             "per_seed": found.mean(1).tolist(), "dev": dev, "fit_seconds": seconds}
        )  # fmt: skip
        return found

    def difference(self, name: str, better: np.ndarray, worse: np.ndarray) -> None:
        """Prints a paired difference; seeds are drawn again as well as items."""
        gap = better - worse
        rng = np.random.default_rng(0)
        seeds, items = gap.shape
        draws = [
            gap[np.ix_(rng.integers(seeds, size=seeds), rng.integers(items, size=items))].mean() for _ in range(4000)
        ]
        low, high = np.quantile(draws, [0.025, 0.975])
        # Resamples hold no more than the sample; where (almost) no item differs, that is not all there may be.
        over_items = difference_interval(gap.mean(0))
        low, high = min(low, over_items.low), max(high, over_items.high)
        print(f"  {name:<44}{gap.mean():+7.3f}  [{low:+.3f}, {high:+.3f}]", flush=True)
        self.rows.append({"task": self.task.name, "difference": name, "mean": gap.mean(), "low": low, "high": high})

    def few_shot(self) -> np.ndarray:
        """The best few-shot prompt of several."""
        ways = [(0, "first"), *((k, how) for how in ("balanced", "nearest") for k in SHOTS), (8, "searched")]
        tried = []
        for shots, how in ways:
            if shots > len(self.train) // 2:
                continue
            # Which are nearest to a question does not depend on the seed.
            predictors, seconds = self.fit(pk.FewShot(self.task, shots=shots, select=how), self.count(how))
            tried.append((self.on_dev(predictors), f"few-shot: {shots} {how}", predictors, seconds))
        dev, name, predictors, seconds = max(tried, key=lambda row: row[0])
        found = self.line(name, predictors, dev, seconds)
        return np.repeat(found, self.seeds // len(found), axis=0)

    def count(self, how: str) -> int:
        """Seeds that a way of choosing depends on."""
        return 1 if how in ("first", "nearest") else self.seeds

    def compare_strategies(self) -> None:
        """Few-shot, every kind of soft prompt, and LoRA."""
        few = self.few_shot()
        soft: list[tuple[float, str, np.ndarray]] = []
        for kind in KINDS:
            predictors, seconds = self.fit(pk.SoftPrompt(self.task, kind=kind, **self.limits), self.seeds)
            dev = self.on_dev(predictors)
            soft.append((dev, kind, self.line(f"soft prompt: {kind}", predictors, dev, seconds)))
        predictors, seconds = self.fit(pk.LoRA(self.task, **self.limits), self.seeds)
        lora = self.line("LoRA", predictors, self.on_dev(predictors), seconds)
        _, kind, best = max(soft, key=lambda row: row[0])
        self.difference(f"soft prompt ({kind}, best on dev) - few-shot", best, few)
        self.difference(f"LoRA - soft prompt ({kind}, best on dev)", lora, best)
        self.difference("LoRA - few-shot", lora, few)

    def compare_starts(self) -> None:
        """Starting points against a random one: after the usual training, and after a single epoch."""
        for when, limits in (("", self.limits), (", one epoch", {"epochs": 1})):
            found = {}
            for init in ("random", *STARTS):
                predictors, seconds = self.fit(pk.SoftPrompt(self.task, init=init, **limits), self.starts)
                name = f"soft prompt: init={init}{when}"
                found[init] = self.line(name, predictors, self.on_dev(predictors), seconds)
            for init in STARTS:
                name = f"init={init} - init=random{when}, {self.starts} seeds"
                self.difference(name, found[init], found["random"])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append", help="A task; repeat it for more. Default: tone and notation.")
    parser.add_argument("--items", type=int, default=400, help="Test items.")
    parser.add_argument("--train", type=int, default=600, help="Training items.")
    parser.add_argument("--dev", type=int, default=200, help="Dev items.")
    parser.add_argument("--seeds", type=int, default=3, help="Seeds of each strategy.")
    parser.add_argument("--starts", type=int, default=5, help="Seeds of each start, on the first task; 0: none.")
    parser.add_argument("--epochs", type=int, default=None, help="Epochs instead of the defaults.")
    parser.add_argument("--model", default="reference")
    parser.add_argument("--json", default="", help="A file for all figures.")
    args = parser.parse_args()
    backend, rows = pk.LocalBackend(args.model), []
    for name in args.task or ("tone", "notation"):
        table = Table(name, backend, args)
        table.compare_strategies()
        if args.starts and name == (args.task or ["tone"])[0]:
            table.compare_starts()
        rows += table.rows
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
