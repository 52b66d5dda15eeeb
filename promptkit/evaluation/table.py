"""A comparison as plain text, good to read without anything else."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptkit.evaluation.comparison import Arm, Comparison, Difference

__all__ = ["table_cells", "write_table"]

_NUMBERS = {"mean", "n", "difference", "p", "Holm p", "prompt", "generated", "ms", "failed"}
_COST = (9, 10, 11)


def write_table(found: Comparison) -> str:
    """Writes a comparison: what was compared, a row per arm, a sentence per difference, and what is to be known.

    Args:
        found: The comparison.

    Returns:
        Lines of plain text.
    """
    head, columns, rows, notes = table_cells(found)
    sentences = len(found.differences)
    return "\n".join([head, "", *_set([columns, *rows]), "", *notes[:sentences], "", *notes[sentences:]])


def table_cells(found: Comparison) -> tuple[str, list[str], list[list[str]], list[str]]:
    """Returns what a table of a comparison shows: a caption, names of columns, rows, and notes.

    The notes are a sentence for every difference, and then what is to be known.
    """
    percent = f"{found.confidence * 100:g} % interval"
    others = [one for one in found.differences if one.baseline == found.baseline]
    beyond = f" by more than {found.margin:g}" if found.margin else ""
    grouped = f" in {found.groups} groups" if found.groups else ""
    head = (
        f"{found.metric} on {found.items} items{grouped}, paired; differences from {_clean(found.baseline)!r}{beyond}"
    )
    columns = ["arm", "mean", percent, "n", "difference", percent, "p", "Holm p", "verdict"]
    columns += ["prompt", "generated", "ms", "failed"]
    by_arm = {one.arm: one for one in others}
    rows = [
        [_clean(name), *_score(arm), *_difference(by_arm.get(name)), *_cost(arm)] for name, arm in found.arms.items()
    ]
    # Columns of cost are left out where no arm has a measured cost.
    used = [place for place in range(len(columns)) if place not in _COST or any(row[place] for row in rows)]
    sentences = [_sentence(one, found) for one in found.differences]
    chosen = [[row[place] for place in used] for row in [columns, *rows]]
    return head, chosen[0], chosen[1:], [*sentences, *_notes(found)]


def _score(arm: Arm) -> list[str]:
    score = arm.score
    return [f"{score.mean:.3f}", f"[{score.low:.3f}, {score.high:.3f}]", str(score.n)]


def _difference(one: Difference | None) -> list[str]:
    if one is None:
        return ["baseline", "", "", "", ""]
    interval = f"[{one.low:+.3f}, {one.high:+.3f}]"
    return [f"{one.difference:+.3f}", interval, _p(one.p_value), _p(one.p_adjusted), one.verdict]


def _cost(arm: Arm) -> list[str]:
    failed = str(arm.failed)
    if arm.cost is None:
        return ["", "", "", failed]
    cost = arm.cost
    per_item = [f"{cost.prompt_tokens_per_item:.0f}", f"{cost.generated_tokens_per_item:.1f}"]
    return [*per_item, f"{cost.seconds_median * 1000:.1f}", failed]


def _sentence(one: Difference, found: Comparison) -> str:
    arm, baseline = _clean(one.arm), _clean(one.baseline)
    interval = f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}], Holm p {_p(one.p_adjusted)}"
    counts = f"{one.gains} items gained, {one.losses} lost"
    beyond = f" by more than {found.margin:g}" if found.margin else ""
    if one.verdict in ("better", "worse"):
        return f"{arm} is {one.verdict} than {baseline}{beyond}: {interval}; {counts}, d_z {one.effect_size:+.2f}."
    if one.verdict == "equivalent":
        assert one.p_equivalent is not None
        sure = f"differences of {found.margin:g} are ruled out (TOST p {_p(one.p_equivalent)})"
        return f"{arm} is as good as {baseline}: {interval}; {sure}."
    if math.isinf(one.items_to_decide):
        more = "no number of items would settle it at the difference seen"
    else:
        more = f"about {one.items_to_decide:,.0f} more items would settle it at the difference seen (power .8)"
    if found.margin and (one.low > 0 or one.high < 0):
        counts += f"; a difference, but perhaps not by more than {found.margin:g}"
    return f"{arm} against {baseline} is undecided: {interval}; {counts}; {more}."


def _notes(found: Comparison) -> list[str]:
    tests = " and ".join(sorted({one.test for one in found.differences}))
    count = len(found.differences)
    over = f"Holm over {count} differences" if count > 1 else "one difference"
    least = found.minimum_detectable
    beyond = " beyond the margin" if found.margin else ""
    can = (
        "what differences these items find is not known, because they all differ alike"
        if math.isinf(least)
        else f"these items find differences of {least:.3f} or more{beyond} (power .8)"
    )
    failures = (
        f"{found.excluded} items on which an arm failed are left out for every arm"
        if found.failures == "exclude"
        else "failed items score 0, in every arm alike"
    )
    cost = "prompt, generated: mean tokens per item; ms: median per item; "
    measured = any(arm.cost is not None for arm in found.arms.values())
    known = [f"note: {_clean(note)}." for note in found.notes]
    return [f"{tests}; {over}; {can}.", *known, f"{cost if measured else ''}{failures}."]


def _p(value: float) -> str:
    return "<.0001" if value < 0.0001 else f"{value:.4f}"


def _clean(name: str) -> str:
    """A name without control characters, which could break the lines or steer a terminal."""
    return "".join(char if unicodedata.category(char)[0] != "C" else "�" for char in name)


def _set(rows: Sequence[Sequence[str]]) -> list[str]:
    """Sets cells into columns, numbers to the right; wide East Asian characters count two."""
    widths = [max(_width(row[place]) for row in rows) for place in range(len(rows[0]))]
    right = [name in _NUMBERS for name in rows[0]]
    lines = []
    for row in rows:
        cells = []
        for cell, width, to_right in zip(row, widths, right, strict=True):
            room = " " * (width - _width(cell))
            cells.append(room + cell if to_right else cell + room)
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * max(map(_width, lines)), *lines[1:]]


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)
