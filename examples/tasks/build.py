"""Writes the data of the shipped tasks: train, dev and test of each, without leakage between them.

Run ``python examples/tasks/build.py``; it writes ``templates/<task>/data/{train,dev,test}.jsonl``. The same seed
writes the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reference_model"))

import apples
import chinese
import notation
import products
import tickets
import tone

from promptkit.data import measure_leakage
from promptkit.types import Example, Query

Rows = Callable[[random.Random], Iterator[dict[str, object]]]
TASKS: dict[str, Rows] = {
    "apples": apples.rows, "tickets": tickets.rows, "products": products.rows, "notation": notation.rows, "tone": tone.rows,
    "chinese": chinese.rows,
}  # fmt: skip
SIZES = {"test": 400, "dev": 200, "train": 600}


def _example(row: dict[str, object]) -> Example:
    fields = {name: str(value) for name, value in row.items() if name not in ("target", "rationale")}
    return Example(Query(fields), (str(row["target"]),))


def build(rows: Rows, seed: int) -> dict[str, list[dict[str, object]]]:
    """Draws the splits of a task.

    Args:
        rows: Source of rows.
        seed: Seed of the rows.

    Returns:
        Rows by split. No row repeats, and no row of one split is an exact, normalised or near-duplicate of a row of another.
    """
    source = rows(random.Random(seed))
    seen: set[str] = set()
    splits: dict[str, list[dict[str, object]]] = {}
    while True:
        for name, size in SIZES.items():
            kept = splits.setdefault(name, [])
            while len(kept) < size:
                row = next(source)
                key = _example(row).query.key
                if key not in seen:
                    seen.add(key)
                    kept.append(row)
        copies = _copies(splits)
        if not any(copies.values()):
            return splits
        for name, places in copies.items():
            splits[name] = [row for place, row in enumerate(splits[name]) if place not in places]


def _copies(splits: dict[str, list[dict[str, object]]]) -> dict[str, set[int]]:
    """Returns the places of rows of train that stand in dev or test, and of dev that stand in test."""
    measured = measure_leakage(**{name: [_example(row) for row in rows] for name, rows in splits.items()})
    places: dict[str, set[int]] = {"train": set(), "dev": set()}
    for overlap in measured.overlaps:
        places[overlap.inside] |= {match.clone for match in overlap.matches}
    return places


def write(folder: Path, splits: dict[str, list[dict[str, object]]]) -> None:
    """Writes splits as JSONL with ids such as ``test-001``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = [json.dumps({"id": f"{name}-{i:03d}", **row}, ensure_ascii=False) for i, row in enumerate(rows, 1)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "templates")
    parser.add_argument("--only", nargs="*", choices=list(TASKS), default=list(TASKS))
    args = parser.parse_args()
    for name in args.only:
        splits = build(TASKS[name], seed=2026)
        write(args.out / name / "data", splits)
        print(name, {split: len(rows) for split, rows in splits.items()})


if __name__ == "__main__":
    main()
