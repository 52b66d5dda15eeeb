"""Threads: few-shot evaluation and LoRA training of the reference model on one thread, on all, and as chosen.

The 5.3M model scores test items of ``tone`` with eight demonstrations, and learns a LoRA from its training rows. Each
runs on one thread, on as many as affinity and CPU quota allow (at least two), and with the number that the backend
chooses by itself. The three take turns; medians of wall and CPU seconds and their ratios to one thread are printed.
Where all cores are free, several threads may win; where they are not, threads spin while they wait for each other.

Exits with 1 if answers depend on the number of threads, or if the choice costs more than 1.3 times the better of one
thread and all in wall seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import promptkit as pk
from promptkit.backends.local.machine import count_cpus
from promptkit.training import LoraSpec, Pair, TrainingConfig, train
from promptkit.types import Prompt

LIMIT = 1.3
SHOTS = 8


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Returns wall seconds, CPU seconds of all threads, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def few_shot(backend: pk.LocalBackend, items: int) -> list[str]:
    """Scores test items and returns the generated texts."""
    task, data = pk.load_task("tone"), pk.load_examples("tone")
    predictor = pk.FewShot(task, shots=SHOTS).fit(data.train, backend, seed=0)
    report = pk.evaluate(predictor, data.test[:items], [task.metric], seed=0)
    return [str(row["text"]) for row in report.rows]


def learn(backend: pk.LocalBackend, rows: int) -> float:
    """Learns a LoRA for one epoch and returns its last loss."""
    examples = pk.load_examples("tone").train[:rows]
    pairs = [Pair(Prompt(text=str(one.query.fields["message"])), f" {one.targets[0]}") for one in examples]
    trained = train(
        backend, pairs, (), TrainingConfig(epochs=1, precision="float32"), lora=LoraSpec(), soft=None, seed=0
    )
    return trained.log.loss[-1][1]


def compare(
    name: str, sides: dict[str, pk.LocalBackend], work: Callable[[Any], Any], repeats: int
) -> tuple[float, Any]:
    """Lets the sides take turns and prints their medians.

    Returns:
        How many times the wall seconds of the better fixed number the choice took, and the results of all sides.
    """
    seconds: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    results: dict[str, Any] = {}
    for turn in range(repeats + 1):
        for side in sides if turn % 2 else reversed(sides):
            wall, cpu, results[side] = timed(lambda side=side: work(sides[side]))  # type: ignore[misc]
            if turn:  # the first turn of each warms caches
                seconds[side].append((wall, cpu))
    walls, cpus = (
        {side: statistics.median(pair[at] for pair in pairs) for side, pairs in seconds.items()} for at in (0, 1)
    )
    first, *others, choice = sides
    for side in sides:
        shares = f"{walls[side] / walls[first]:8.2f}x {cpus[side] / cpus[first]:8.2f}x"
        print(f"{name:<12} {side:<22} {walls[side]:9.2f} {cpus[side]:9.2f} {shares}", flush=True)
    return walls[choice] / min(walls[side] for side in (first, *others)), list(results.values())


def main() -> int:
    """Runs both comparisons.

    Returns:
        0 if answers were equal and the choice was good, else 1.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--items", type=int, default=40, help="test items of the evaluation")
    parser.add_argument("--rows", type=int, default=64, help="training rows of the LoRA")
    options = parser.parse_args()
    most = max(2, count_cpus().usable)
    chosen = pk.LocalBackend("reference")
    print(f"CPUs: {count_cpus()}")
    print(f"chosen: {chosen.threads.threads} ({chosen.threads.reason})")
    sides = {
        "1 thread": pk.LocalBackend("reference", threads=1),
        f"{most} threads": pk.LocalBackend("reference", threads=most),
        f"chosen: {chosen.threads.threads}": chosen,
    }
    print(f"{'medians':<12} {'':<22} {'wall':>9} {'CPU':>9} {'wall':>9} {'CPU':>9}")
    cost, texts = compare("few-shot", sides, lambda backend: few_shot(backend, options.items), options.repeats)
    equal = all(found == texts[0] for found in texts)
    print(f"  generated texts {'equal' if equal else 'DIFFER'}; the choice took {cost:.2f} times the better one")
    train_cost, losses = compare("LoRA", sides, lambda backend: learn(backend, options.rows), options.repeats)
    print(
        f"  last losses {min(losses):.4f} to {max(losses):.4f}; the choice took {train_cost:.2f} times the better one"
    )
    return 0 if equal and max(cost, train_cost) <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
