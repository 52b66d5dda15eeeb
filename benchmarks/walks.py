"""Counts what a reader passes who follows one question to its answer, or one small climb to its record.

Every function of promptkit counts once, however often it is called: in all threads, with properties and methods,
without comprehensions and lambdas. All modules are imported before, so that nothing counts that runs at import only.
Prints for every walk the number of functions and the number of files that they are in. The numbers depend on the code
alone, so a change that makes a walk longer shows.

- *a question, scripted*: ``predict`` of a fitted ``FewShot`` with one query, on a ``ScriptedBackend``;
- *a question, local*: the same on the reference model;
- *a climb*: ``climb`` over two rungs, zero-shot and few-shot, on a ``ScriptedBackend``.

Example:
    python benchmarks/walks.py --list
"""

from __future__ import annotations

import argparse
import functools
import importlib
import pkgutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import promptkit as pk

ROOT = str(Path(pk.__file__).parent)
GOALS = {"a question, scripted": "60 functions in 12 files", "a climb": "150 functions"}


def import_all() -> None:
    """Imports every module, so that no import is part of a walk."""
    for module in pkgutil.walk_packages(pk.__path__, "promptkit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def walk(action: Callable[[], object]) -> list[tuple[str, str]]:
    """Runs something and returns the functions of promptkit that it passed.

    Args:
        action: What to run.

    Returns:
        File, relative to the package, and qualified name of each function, in the order of the first calls.
    """
    passed: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            passed.setdefault(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [
        (str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname)
        for code in passed
        if code.co_filename.startswith(ROOT) and not code.co_name.startswith("<")
    ]


def walks() -> dict[str, list[tuple[str, str]]]:
    """Takes all walks."""
    task, data = pk.load_task("tone"), pk.load_examples("tone")
    words = [" positive", " negative"]
    question = data.test[0].query
    found = {}
    backends: dict[str, pk.Backend] = {"scripted": pk.ScriptedBackend(words), "local": pk.LocalBackend()}
    for name, backend in backends.items():
        predictor = pk.FewShot(task, shots=4).fit(data.train, backend)
        found[f"a question, {name}"] = walk(functools.partial(predictor.predict, [question]))
    small = pk.Data(train=data.train[:40], dev=data.dev[:40], test=data.test[:40], name="tone", leakage=data.leakage)
    rungs = ["zero-shot", "few-shot"]
    found["a climb"] = walk(lambda: pk.climb(task, small, pk.ScriptedBackend(words), rungs=rungs))
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="also list the functions, by file")
    options = parser.parse_args()
    import_all()
    print(f"{'walk':<24}{'functions':>10}{'files':>8}   goal")
    for name, passed in walks().items():
        print(f"{name:<24}{len(passed):>10}{len({file for file, _ in passed}):>8}   {GOALS.get(name, '')}".rstrip())
        if options.list:
            for file in sorted({file for file, _ in passed}):
                print(f"    {file}: {', '.join(function for where, function in passed if where == file)}")


if __name__ == "__main__":
    main()
