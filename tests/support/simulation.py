"""Rungs of known quality on a task of sums: a scripted model that is right as often as its instruction says."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import promptkit as pk
from promptkit.tasks.task import build_task

SUM = re.compile(r"Sum: (\d+) \+ (\d+)\nAnswer:$")
QUALITY = re.compile(r"Quality ([\d.]+)(?: of (\w+))?\.")

TASK = build_task(
    {
        "name": "sums",
        "fields": ["sum"],
        "instructions": ["Quality 0.3."],
        "parsers": {"direct": {"kind": "number"}, "reasoned": {"kind": "marked", "marker": "So", "then": "number"}},
        "templates": {
            "direct": "{% macro question(item) %}Sum: {{ item.sum }}\nAnswer:{% endmacro %}"
            "{% macro answer(item) %} {{ item.target }}{% endmacro %}",
            "reasoned": "{% macro question(item) %}Sum: {{ item.sum }}\nAnswer:{% endmacro %}"
            "{% macro answer(item) %} {{ item.rationale }} So {{ item.target }}{% endmacro %}",
        },
        "metric": "exact_match",
    },
    of="sums",
)


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def answer(request: pk.Request, index: int) -> str:
    """Right with the chance that the instruction names; rungs of one quality err on the same items, unless named."""
    text = request.prompt.text or ""
    found, asked = QUALITY.search(text), SUM.search(text)
    assert found is not None and asked is not None, text
    total = int(asked[1]) + int(asked[2])
    right = chance(asked[0], found[2] or "") < float(found[1])
    return f" {total if right else total + 1}"


def examples(n: int, start: int = 0, seed: int = 0, split: str = "train") -> list[pk.Example]:
    """Sums that differ from each other, shuffled."""
    pairs = [(a, b) for a in range(100) for b in range(100)]
    random.Random(seed).shuffle(pairs)
    return [
        pk.Example(pk.Query({"sum": f"{a} + {b}"}, f"{split}-{place}"), (str(a + b),), f"{a} and {b}.")
        for place, (a, b) in enumerate(pairs[start : start + n])
    ]


def make_data(train: int = 40, dev: int = 200, test: int = 200, seed: int = 0) -> pk.Data:
    """Three splits that share nothing."""
    rows = examples(train + dev + test, seed=seed)
    parts = {"train": rows[:train], "dev": rows[train : train + dev], "test": rows[train + dev :]}
    # Near-duplicates are not looked for here: sums look alike to a measure of words, and it takes seconds.
    nothing = pk.Leakage(
        tuple(_overlap(*pair) for pair in [("dev", "train"), ("test", "train"), ("test", "dev")]),
        dict.fromkeys(parts, 0),
    )
    return pk.Data(**{name: pk.Split(name, part) for name, part in parts.items()}, name="sums", leakage=nothing)


def _overlap(split: str, inside: str) -> Any:
    from promptkit.data.leakage import Overlap

    return Overlap(split, inside)


def rung(quality: float, name: str = "", shots: int = 0) -> tuple[str, pk.FewShot]:
    """A rung that is right with a chance."""
    of = f" of {name}" if name else ""
    adapter = pk.FewShot(TASK, shots=shots, instruction=f"Quality {quality}{of}.", max_new_tokens=8)
    return name or f"q{quality}", adapter


def rungs(*qualities: float) -> Sequence[tuple[str, pk.FewShot]]:
    """Rungs that err on items of their own."""
    return [rung(quality, f"r{place}") for place, quality in enumerate(qualities)]


def model(**options: Any) -> pk.ScriptedBackend:
    """The scripted model."""
    return pk.ScriptedBackend(answer, name="sums", **options)


class Cut(BaseException):
    """What a kill looks like from inside: nobody catches it."""


def cut_after(calls: int) -> pk.ScriptedBackend:
    """A model that is cut off in the middle of a call."""
    left = [calls]

    def script(request: pk.Request, index: int) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise Cut
        return answer(request, index)

    return pk.ScriptedBackend(script, name="sums")


def climb(*qualities: float, data: pk.Data | None = None, backend: Any = None, **options: Any) -> pk.ClimbResult:
    """Climbs rungs of the named qualities."""
    found = data if data is not None else make_data()
    return pk.climb(TASK, found, backend or model(), **{"rungs": rungs(*qualities), **options})


def verdicts(result: pk.ClimbResult) -> list[str]:
    """The verdict of each trial."""
    return [trial.verdict for trial in result.record.trials]


def copy_without(folder: Path, name: str, target: Path) -> None:
    """Copies the journal of a run folder up to and without the first line with a text."""
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if name.encode() in line)
    target.mkdir()
    (target / "journal.jsonl").write_bytes(b"".join(lines[:place]))
