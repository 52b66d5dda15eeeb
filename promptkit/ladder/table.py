"""A record as plain text, good enough that nobody needs anything else."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from promptkit.evaluation.notebook import html_table
from promptkit.ladder.record import Record, Trial

__all__ = ["html", "table"]

_HEAD = (
    "", "rung", "dev score", "interval", "n", "against", "gain", "interval", "n", "p / level", "verdict",
    "tokens in + out", "ms", "fit s",
)  # fmt: skip
_RIGHT = {2, 4, 6, 8, 11, 12, 13}


def table(record: Record) -> str:
    """Shows a record: the answer, the rungs with their tests and costs, the reasons, and the small print.

    Args:
        record: The record.

    Returns:
        Lines of text.
    """
    rows = [_row(trial, record) for trial in record.trials]
    reasons = [f"  {one.rung}: {one.verdict.replace('_', ' ')}; {one.reason}" for one in record.trials]
    return "\n".join([record.answer, "", *_grid(_HEAD, rows), "", *reasons, "", *_small_print(record)])


def html(record: Record) -> str:
    """Shows a record in a notebook: the answer, and the rungs as a table that needs nothing else."""
    rows = [_row(trial, record) for trial in record.trials]
    return html_table(record.answer, _HEAD, rows, [f"{one.rung}: {one.reason}" for one in record.trials])


def _row(one: Trial, record: Record) -> list[str]:
    won = record.decision is not None and record.decision.winner == one.rung and one.judged
    name = one.rung if one.number == 1 else f"{one.rung}, try {one.number}"
    cells = [">" if won else "", name]
    score, test = one.score, one.test
    cells += [f"{score.mean:.3f}", f"[{score.low:.3f}, {score.high:.3f}]", str(score.n)] if score else ["-", "", ""]
    if test is not None:
        cells += [test.against, f"{test.difference:+.3f}", f"[{test.low:+.3f}, {test.high:+.3f}]", str(test.items)]
        cells.append(_p(test.p_value, test.alpha))
    else:
        cells += [""] * 5
    cells.append(one.verdict.replace("_", " "))
    if one.cost is not None:
        tokens = f"{one.cost.prompt_tokens_per_item:.0f} + {one.cost.generated_tokens_per_item:.1f}"
        cells += [tokens, f"{1000 * one.cost.seconds_median:.0f}"]
    else:
        cells += ["", ""]
    return [*cells, f"{one.fit.seconds:.1f}" if one.fit else ""]


def _p(value: float, alpha: float) -> str:
    shown = f"{value:.4f}" if value >= 0.0001 else "< .0001"
    return f"{shown} / {alpha:.4f}"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(_width(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = [_line(head, widths), "-" * (sum(widths) + 2 * len(widths) - 2)]
    return [*lines, *(_line(row, widths) for row in rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - _width(cell))
        parts.append(space + cell if place in _RIGHT else cell + space)
    return "  ".join(parts).rstrip()


def _width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _small_print(record: Record) -> list[str]:
    data, settings = record.data, record.settings
    leaks = ", ".join(f"{x.split} in {x.inside} {x.exact}/{x.normalised}/{x.near}" for x in data.leakage)
    crossed = f", {data.folds} folds over train and dev" if data.folds else ""
    lines = [
        f"{record.task.name} on {record.model.name}, by {record.task.metric}; a rung must show a gain, and one above "
        f"{settings.margin:g}; all decisions together hold with {100 * settings.confidence:g} % confidence",
        f"judged on up to {data.judged} items{crossed}; {data.tuning} of {data.train.items} training items set aside "
        "for choices of fits",
    ]
    if data.detectable is not None:
        lines.append(f"minimum detectable gain: {data.detectable:.3f} (80 % power, 20 % discordant items)")
    lines.append(f"leakage, exact/normalised/near: {leaks}" + ("; climbed by force" if data.forced else ""))
    lines += record.notes
    if record.extended:
        lines.append(f"continued with: {'; '.join(record.extended)}")
    if record.test is not None:
        lines += _test_lines(record)
    spent = f"{record.seconds:.1f} s, {record.calls} calls, {record.prompt_tokens} prompt and "
    spent += f"{record.generated_tokens} generated tokens in all"
    lines.append(
        spent + (f"; resumed {record.resumed} time{'s' if record.resumed != 1 else ''}" if record.resumed else "")
    )
    return lines


def _test_lines(record: Record) -> list[str]:
    test = record.test
    assert test is not None
    reads = "; ".join(f"{one.purpose}" for one in test.reads)
    scored = sum(one.scored for one in test.reads)
    count = f"test labels scored {scored} time{'s' if scored != 1 else ''}; test was read for: {reads or 'nothing'}"
    if test.cut_off:
        count += f"; begun again after a crash {test.cut_off} times"
    if test.score is None:
        return [f"not scored on test: {test.error}" if test.error else "not scored on test", count]
    line = f"test: {test.score} on {test.score.n} items, {test.answered} answered, "
    line += f"{test.unanswered} without answer, {test.failed} failed"
    if test.optimism is not None:
        line += f"; dev minus test {test.optimism:+.3f} [{test.optimism_low:+.3f}, {test.optimism_high:+.3f}]"
    return [line, count]
