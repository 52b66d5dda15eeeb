"""Arms of a comparison: predictors, reports, saved reports or plain scores, brought to the same items."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from promptkit.data.groups import Group, Grouping, find_groups
from promptkit.errors import DataError, SettingError, error_message, one_of, opens
from promptkit.evaluation.scoring import Cost, Report, evaluate
from promptkit.metrics import MetricLike, get_metric
from promptkit.types import Example, Progress, Usage

if TYPE_CHECKING:
    from promptkit.adapters import Predictor

__all__ = [
    "Failures",
    "Scored",
    "Source",
    "align",
    "group_items",
    "load_reports",
    "read_arms",
    "read_cost",
    "saved_report",
]

Source: TypeAlias = "Predictor | Report | Mapping[str, Any] | str | os.PathLike[str] | Sequence[float | None]"
"""What an arm can be: a predictor, a report, a saved one as JSON data or path, or one score per item."""

Failures = Literal["zero", "exclude"]
"""What a failed item counts: 0 for the arm that failed, or nothing for every arm. The same rule for all arms."""

_SHOWN = 3


@dataclass(frozen=True)
class Scored:
    """An arm with its scores.

    Attributes:
        name: The name of the arm.
        scores: One score per item; a failed item has 0.
        failed: Which items failed.
        unanswered: Which items had no readable answer; empty where that is not known.
        items: What identifies each item: id, fields and targets; empty for plain scores.
        fields: The input fields of each item; empty for plain scores.
        groups: The group of each item, "" for one on its own; empty for plain scores.
        cost: What it cost, where that was measured.
        report: The report, if the arm was evaluated or given as one.
    """

    name: str
    scores: tuple[float, ...]
    failed: tuple[bool, ...]
    unanswered: tuple[bool, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    fields: tuple[Mapping[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    cost: Cost | None = None
    report: Report | None = None

    def take(self, places: Sequence[int]) -> Scored:
        """Returns the arm with these items, in this order."""

        def chosen(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[place] for place in places) if values else ()

        return Scored(
            self.name,
            chosen(self.scores),
            chosen(self.failed),
            chosen(self.unanswered),
            chosen(self.items),
            chosen(self.fields),
            chosen(self.groups),
            self.cost,
            self.report,
        )


@opens(DataError, of="load_reports")
def load_reports(path: str | os.PathLike[str]) -> dict[str, Mapping[str, Any]]:
    """Reads saved reports: that of ``Report.to_json``, or the list that ``promptkit eval --json`` prints.

    Args:
        path: A JSON file.

    Returns:
        Reports by the name of their strategy, or if there is none, of the file.

    Raises:
        DataError: The file is missing or holds no reports.
    """
    file = Path(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: is no JSON: {error}") from None
    found = data if isinstance(data, list) else [data]
    if not found or not all(isinstance(one, dict) and "rows" in one for one in found):
        expected = "a report, or a list of reports"
        hint = "write one with report.to_json() or promptkit eval --json"
        raise DataError(error_message("content", of=str(file), expected=expected, got=type(data).__name__, hint=hint))
    if len(found) == 1:
        return {str(found[0].get("strategy") or file.name.removesuffix(".json")): found[0]}
    reports: dict[str, Mapping[str, Any]] = {}
    several = len({one.get("task") for one in found}) > 1
    for place, one in enumerate(found, 1):
        name = str(one.get("strategy") or f"report {place}")
        name = f"{one.get('task')}: {name}" if several else name
        reports[name if name not in reports else f"{name} ({place})"] = one
    return reports


def read_arms(
    arms: Mapping[str, Source],
    examples: Sequence[Example] | None,
    *,
    metric: MetricLike | None,
    group: Group | None = None,
    seed: int,
    progress: Progress | None = None,
) -> tuple[str, list[Scored]]:
    """Turns arms into scores; all settings are checked before a model is called.

    Args:
        arms: Arms by name.
        examples: What predictors answer; each gets the same queries and seed.
        metric: The metric, by name or as a function; by default that of the predictors' task, or the first of the
            reports.
        group: Which examples belong together, for the reports of predictors.
        seed: Seed of the predictions.
        progress: Called with (done, all) predictions of all predictors.

    Returns:
        The metric, and the arms in order.

    Raises:
        DataError: An arm is none of these, or scores or reports are unusable.
        SettingError: Examples are missing, or a report lacks the metric.
    """
    known = {name: _opened(name, arm) for name, arm in arms.items()}
    running = {name: arm for name, arm in known.items() if _predicts(arm)}
    listed = {name for name, arm in known.items() if not _predicts(arm) and not isinstance(arm, Report | Mapping)}
    if listed and len(listed) < len(known):
        expected = "lists of scores for every arm or for none, because a plain score does not say of which item it is"
        raise DataError(error_message("arms", of="compare", expected=expected, got=sorted(listed)))
    if bool(running) != (examples is not None):
        expected = "the examples to score where an arm is a predictor, and left out otherwise"
        raise SettingError(
            error_message("examples", of="compare", expected=expected, got=None if examples is None else "examples")
        )
    chosen = metric or next((arm.task.metric for arm in running.values()), None)
    if chosen is None:
        name = "score" if listed else _first_metric(next(iter(known.values())))
    else:
        # Reports of other programs may have metrics that nothing here computes.
        name = chosen if isinstance(chosen, str) else get_metric(chosen).name
    ready = {key: _scored(key, arm, name) for key, arm in known.items() if key not in running}
    for place, (key, predictor) in enumerate(running.items()):
        assert examples is not None
        bar = _part(progress, place, len(running))
        report = evaluate(predictor, examples, [chosen or name], group=group, seed=seed, progress=bar)
        ready[key] = _scored(key, report, name)
    return name, [ready[key] for key in known]


def _predicts(arm: Any) -> bool:
    return callable(getattr(arm, "predict", None))


def _opened(name: str, arm: Any) -> Any:
    if isinstance(arm, str | os.PathLike):
        reports = load_reports(arm)
        if len(reports) > 1:
            expected = "a file of one report"
            hint = "pass load_reports(path), which names each, as the arms"
            raise DataError(
                error_message(f"arm {name!r}", of="compare", expected=expected, got=sorted(reports), hint=hint)
            )
        return next(iter(reports.values()))
    return arm


def _part(progress: Progress | None, place: int, parts: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total: progress(place * total + done, parts * total)


def _first_metric(report: Report | Mapping[str, Any]) -> str:
    scores = report.scores if isinstance(report, Report) else report.get("scores")
    return next(iter(scores), "") if isinstance(scores, Mapping) else ""


def _scored(name: str, arm: Any, metric: str) -> Scored:
    if isinstance(arm, Report | Mapping):
        return _of_report(name, arm, metric)
    expected = "a predictor, a report, a saved report, or a list with a finite score per item (None for a failed one)"
    try:
        values = [None if one is None else float(one) for one in arm]
    except (TypeError, ValueError):
        raise DataError(error_message(f"arm {name!r}", of="compare", expected=expected, got=arm)) from None
    bad = [one for one in values if one is not None and not math.isfinite(one)]
    if bad:
        raise DataError(error_message(f"arm {name!r}", of="compare", expected=expected, got=bad[0]))
    return Scored(name, tuple(one or 0.0 for one in values), tuple(one is None for one in values))


def saved_report(name: str, report: Report | Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a report as JSON data with rows that can be used, or says what is wrong with it.

    Args:
        name: What to call it in messages.
        report: A report, or the data of a saved one.

    Returns:
        Its data; ``rows`` is a list of mappings with ids.

    Raises:
        DataError: Rows are missing or malformed.
    """
    data = vars(report) if isinstance(report, Report) else report
    rows = data.get("rows")
    if not isinstance(rows, list | tuple) or not rows or not all(isinstance(row, Mapping) for row in rows):
        expected = "a list of at least one row"
        raise DataError(error_message("rows", of=f"report {name!r}", expected=expected, got=rows))
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("id"), str):
            raise DataError(
                error_message(f"id of row {number}", of=f"report {name!r}", expected="a text", got=row.get("id"))
            )
    return data


def _of_report(name: str, report: Report | Mapping[str, Any], metric: str) -> Scored:
    data = saved_report(name, report)
    rows, scores = data["rows"], data.get("scores")
    if not isinstance(scores, Mapping) or metric not in scores:
        known = one_of(scores) if isinstance(scores, Mapping) and scores else "in the report"
        raise SettingError(error_message("metric", of=f"report {name!r}", expected=known, got=metric))
    values = scores[metric]
    usable = isinstance(values, list | tuple) and len(values) == len(rows)
    if not usable or not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
        expected = f"{len(rows)} finite numbers, one per row"
        raise DataError(error_message(f"scores of {metric!r}", of=f"report {name!r}", expected=expected, got=values))
    failed = tuple(row.get("error") is not None for row in rows)
    return Scored(
        name=name,
        scores=tuple(0.0 if lost else float(one) for one, lost in zip(values, failed, strict=True)),
        failed=failed,
        unanswered=tuple(row.get("answer") is None and not lost for row, lost in zip(rows, failed, strict=True)),
        items=tuple((row["id"], _content(row)) for row in rows),
        fields=tuple(_fields(row) for row in rows),
        groups=tuple(str(row.get("group") or "") for row in rows),
        cost=read_cost(data.get("cost")),
        report=report if isinstance(report, Report) else None,
    )


def _content(row: Mapping[str, Any]) -> str:
    return json.dumps([row.get("fields"), row.get("targets")], sort_keys=True, default=list)


def _fields(row: Mapping[str, Any]) -> dict[str, str]:
    fields = row.get("fields")
    return {str(name): str(text) for name, text in fields.items()} if isinstance(fields, Mapping) else {}


def group_items(arms: Sequence[Scored], group: Group | None) -> Grouping:
    """Tells which items of aligned arms belong together (``find_groups``).

    Args:
        arms: The arms, all of the same items in the same order.
        group: What the caller says.

    Returns:
        The groups, and notes.

    Raises:
        DataError: Reports were grouped in different ways, and the caller does not say in which.
        SettingError: ``group`` does not fit the items.
    """
    items = len(arms[0].scores)
    known = next((arm.fields for arm in arms if arm.fields), ({},) * items)
    ids = next(([name for name, _ in arm.items] for arm in arms if arm.items), [""] * items)
    grouped = {arm.groups: arm.name for arm in arms if any(arm.groups)}
    if len(grouped) > 1 and group is None:
        names = " and ".join(map(repr, grouped.values()))
        raise DataError(f"compare: reports {names} were grouped in different ways; say by group= which one counts")
    own = next(iter(grouped), ("",) * items)
    return find_groups(ids, known, own, group, of="compare")


def read_cost(data: Any) -> Cost | None:
    """Returns the cost of a report, or of the data of a saved one; ``None`` where it tells none."""
    if isinstance(data, Cost):
        return data
    try:
        usage = Usage(**data["usage"])
        rest = {key: float(value) for key, value in data.items() if key != "usage"}
        cost = Cost(usage=usage, **rest)
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    figures = [getattr(usage, name) for name in usage.__slots__]
    return cost if all(isinstance(value, int | float) and value >= 0 for value in figures) else None


def align(arms: Sequence[Scored]) -> list[Scored]:
    """Brings arms to the items of the first, by id, and makes sure that they are the same items.

    Args:
        arms: At least one arm.

    Returns:
        The arms, every one in the order of the first.

    Raises:
        DataError: Numbers, ids, questions or targets differ, or ids repeat.
    """
    first = arms[0]
    out = [first]
    for arm in arms[1:]:
        if len(arm.scores) != len(first.scores) and not arm.items:
            got = f"{len(first.scores)} in {first.name!r} and {len(arm.scores)} in {arm.name!r}"
            raise DataError(f"compare: scores must be of the same items in the same order, got {got}")
        out.append(arm if arm.items == first.items else arm.take(_places(first, arm)))
    return out


def _places(first: Scored, arm: Scored) -> list[int]:
    both = f"{first.name!r} and {arm.name!r}"
    for one in (first, arm):
        repeated = _repeated([item for item, _ in one.items])
        if repeated:
            raise DataError(
                f"compare: report {one.name!r} has several rows with the id {_some(repeated)}, so rows cannot be "
                "matched by id; give every report the same order of rows, or every row its own id"
            )
    here, there = {item for item, _ in first.items}, {item for item, _ in arm.items}
    if here != there:
        parts = [
            f"only {name!r} has {len(ids)} items such as {_some(sorted(ids))}"
            for name, ids in ((first.name, here - there), (arm.name, there - here))
            if ids
        ]
        raise DataError(f"compare: reports {both} are not of the same items: {'; '.join(parts)}")
    content = dict(first.items)
    changed = [item for item, said in arm.items if content[item] != said]
    if changed:
        raise DataError(
            f"compare: reports {both} differ in the question or the targets of {len(changed)} items such as "
            f"{_some(changed)}; score both arms on the same data"
        )
    places = {item: place for place, (item, _) in enumerate(arm.items)}
    return [places[item] for item, _ in first.items]


def _repeated(ids: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    again = [one for one in ids if one in seen or seen.add(one)]  # type: ignore[func-returns-value]
    return list(dict.fromkeys(again))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(repr(one) for one in ids[:_SHOWN])
