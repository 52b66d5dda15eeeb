"""Measures the CPU time of ``import promptkit`` and ``promptkit --help`` against ``import numpy``.

Each statement runs in a fresh interpreter, in alternation so that both meet the same machine; an interpreter that
imports nothing is subtracted. Prints the medians and the ratios.

Example:
    python benchmarks/import_cost.py --runs 15
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys

STATEMENTS = {
    "nothing": "pass",
    "import numpy": "import numpy",
    "import promptkit": "import promptkit",
    "promptkit --help": "import sys; sys.argv = ['promptkit', '--help']; from promptkit.cli import main; main()",
}


def cpu_seconds(statement: str) -> float:
    """Runs a statement in a fresh interpreter.

    Args:
        statement: Python source.

    Returns:
        User and system seconds of the process.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(runs: int) -> dict[str, float]:
    """Measures every statement ``runs`` times in alternation, after one round that warms the caches.

    Args:
        runs: Rounds that count.

    Returns:
        The median CPU seconds by statement.
    """
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for number in range(runs + 1):
        for name, statement in STATEMENTS.items():
            seconds = cpu_seconds(statement)
            if number:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="rounds that count (default: 15)")
    medians = measure(parser.parse_args().runs)
    base = medians["nothing"]
    numpy = medians["import numpy"] - base
    print(f"{'statement':<20}{'CPU ms above a bare interpreter':>34}{'ratio to numpy':>18}")
    for name in STATEMENTS:
        if name != "nothing":
            extra = medians[name] - base
            print(f"{name:<20}{1000 * extra:>34.1f}{extra / numpy:>18.2f}")


if __name__ == "__main__":
    main()
