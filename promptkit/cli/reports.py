"""Reports side by side, as a table or as JSON, and the exit code for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from promptkit.cli.failures import distinct, exit_code, tell_failures
from promptkit.cli.show import print_json, print_table, say

if TYPE_CHECKING:
    from promptkit.evaluation.scoring import Report

__all__ = ["count_errors", "describe", "end_with", "print_reports"]

_COLUMNS = ["task", "strategy", "metric", "mean", "95 % interval", "answered", "prompt", "generated", "seconds"]
_NUMBERS = ["mean", "answered", "prompt", "generated", "seconds"]
_TITLE = "{model}: {items} items each{groups}; prompt and generated tokens are means per item, seconds are sums"


def describe(shots: int, ask: str = "direct", samples: int = 1, stop: str = "none") -> str:
    """Names a way of prompting.

    Args:
        shots: Number of demonstrations.
        ask: How questions are asked.
        samples: Paths that vote; several are always reasoned.
        stop: The stop rule of the vote.

    Returns:
        A name for people.

    Example:
        >>> describe(0), describe(1), describe(4, "reasoned")
        ('zero-shot', '1 shot', '4 shots reasoned')
        >>> describe(4, samples=20, stop="beta")
        '4 shots reasoned, vote of 20 (beta)'
    """
    name = f"{shots} shot{'s' if shots > 1 else ''}" if shots else "zero-shot"
    if ask == "reasoned" or samples > 1:
        name += " reasoned"
    if samples > 1:
        name += f", vote of {samples}" + (f" ({stop})" if stop != "none" else "")
    return name


def print_reports(reports: Mapping[tuple[str, str], Report], *, model: str, json: bool) -> None:
    """Prints reports side by side.

    Args:
        reports: At least one report, by (task, strategy).
        model: The model's name.
        json: Whether to print JSON, per-example rows included, instead of a table.
    """
    if json:
        print_json([_record(*names, report, model) for names, report in reports.items()])
        return
    rows: list[list[str]] = []
    before = ""
    for (task, strategy), report in reports.items():
        for line, row in enumerate(_lines(report)):
            rows.append([task if task != before else "", strategy if not line else "", *row])
            before = task
    counts = sorted({report.items for report in reports.values()})
    items = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    grouped = sorted({report.groups for report in reports.values() if report.groups})
    groups = f" in {' to '.join(map(str, dict.fromkeys((grouped[0], grouped[-1]))))} groups" if grouped else ""
    print_table(_COLUMNS, rows, numbers=_NUMBERS, title=_TITLE.format(model=model, items=items, groups=groups))
    for note in dict.fromkeys(note for report in reports.values() for note in report.notes):
        say(f"note: {note}")


def end_with(reports: Mapping[str, Report]) -> None:
    """Tells of requests that failed, and ends the command with the code for them (see ``failures``).

    Args:
        reports: Reports of what was asked, by name; none if nothing was.

    Raises:
        typer.Exit: Too many failed.
    """
    for name, report in reports.items():
        tell_failures(name, _errors(report), report.items)
    code = exit_code([(report.failed, report.items) for report in reports.values()])
    if code:
        raise typer.Exit(code)


def count_errors(report: Report) -> list[dict[str, Any]]:
    """Counts the distinct errors of a report, as plain JSON data."""
    return [{"error": text, "count": count} for text, count in distinct(_errors(report))]


def _errors(report: Report) -> list[str]:
    return [str(row["error"]) for row in report.rows if row["error"] is not None]


def _lines(report: Report) -> list[list[str]]:
    """One line per metric; answers and costs stand on the first."""
    cost = report.cost
    facts = [
        f"{report.answered}/{report.items}" + (f" ({report.failed} failed)" if report.failed else ""),
        f"{cost.prompt_tokens_per_item:.0f}",
        f"{cost.generated_tokens_per_item:.1f}",
        f"{cost.usage.seconds:.1f}",
    ]
    return [
        [name, f"{value.mean:.3f}", f"[{value.low:.3f}, {value.high:.3f}]", *(facts if not line else [""] * len(facts))]
        for line, (name, value) in enumerate(report.metrics.items())
    ]


def _record(task: str, strategy: str, report: Report, model: str) -> dict[str, Any]:
    named = {"task": task, "strategy": strategy, "model": model}
    return {**named, **report.to_dict(), "errors": count_errors(report)}
