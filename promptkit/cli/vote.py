"""``promptkit vote``: self-consistency on a file of stored samples."""

from __future__ import annotations

import json as text_json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptkit.cli.inputs import read_rows
from promptkit.cli.options import GroupBy, Json, Stop, Traceback, check_name
from promptkit.cli.show import print_json, print_table, say

if TYPE_CHECKING:
    import promptkit as pk
    from promptkit.data.groups import Grouping
    from promptkit.statistics import Interval

__all__ = ["vote"]


def vote(
    source: Annotated[str, typer.Argument(metavar="FILE", help="Rows with samples: a file, or - for standard input.")],
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            metavar="NAME",
            callback=check_name("aggregator"),
            help="By samples (majority), different paths (distinct), their probability (weighted), or by a plugin.",
        ),
    ] = "majority",
    stop: Stop = "none",
    tie: Annotated[
        Literal["stable", "first"], typer.Option("--tie", help="By a rule without regard to order, or the first seen.")
    ] = "stable",
    near: Annotated[
        float | None, typer.Option("--near", help="Overlap from which two reasonings are one path. Default: equal.")
    ] = None,
    samples_field: Annotated[
        str, typer.Option("--samples-field", metavar="COLUMN", help="The column of samples, a list of texts.")
    ] = "samples",
    gold_field: Annotated[
        str, typer.Option("--gold-field", metavar="COLUMN", help="The column of right answers; none by default.")
    ] = "",
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="Read answers as this task reads its reasoned ones.")
    ] = "",
    parser: Annotated[
        str, typer.Option("--parser", metavar="JSON", help='How answers are read, such as \'{"kind": "number"}\'.')
    ] = "",
    group: GroupBy = "",
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Let stored samples vote, and print accuracy and samples used.

    A row is a JSON object with a list of samples, one row a question. No model is loaded. Without --task or --parser
    each whole sample is the answer.

        promptkit vote samples.jsonl --task apples --rule distinct --stop beta --gold-field target
    """
    import promptkit as pk
    from promptkit.statistics import mean_interval

    if task and parser:
        raise typer.BadParameter("give either this or --task", param_hint="--parser")
    known = pk.load_task(task) if task else None
    how = known.parser("reasoned" if "reasoned" in known.templates else "direct") if known else _parser(parser)
    rows = read_rows(source)
    grouping = _grouping(rows, group)
    summary = pk.vote_rows(
        rows,
        parser=how,
        samples=samples_field,
        gold=gold_field or None,
        rule=rule,
        stop=stop,
        tie=tie,
        near=near,
    )
    figures = {
        "questions": len(summary.votes),
        "accuracy": summary.accuracy,
        "samples_used": summary.samples_used,
        "samples_saved": summary.samples_saved,
        "unreadable": summary.unreadable,
        "unanswered": summary.unanswered,
        "ties": summary.ties,
    }
    interval = mean_interval(summary.scores, groups=grouping.labels) if summary.scores else None
    if json:
        ends = {} if interval is None else {"accuracy_low": interval.low, "accuracy_high": interval.high}
        items = {"groups": grouping.count, "notes": list(grouping.notes)}
        print_json({**figures, **ends, **items, "rows": [_record(one) for one in summary.votes]})
        return
    shown = {**figures, "unreadable": f"{summary.unreadable:.1%}", "accuracy": _accuracy(interval)}
    shown |= {"samples_used": f"{summary.samples_used:.2f}", "samples_saved": f"{summary.samples_saved:.2f}"}
    columns = [name.replace("_", " ") for name in shown]
    print_table(columns, [[str(value) for value in shown.values()]], numbers=columns)
    for note in grouping.notes:
        say(f"note: {note}")


def _parser(text: str) -> pk.AnswerParser | None:
    import promptkit as pk

    if not text:
        return None
    try:
        return pk.AnswerParser(text_json.loads(text))
    except ValueError as error:
        if isinstance(error, pk.TaskError):
            raise
        raise typer.BadParameter(f"must be a JSON object, got {text!r}: {error}", param_hint="--parser") from None


def _grouping(rows: Sequence[Mapping[str, object]], group: str) -> Grouping:
    """Which questions belong together: by a column, or those of one id."""
    import promptkit as pk
    from promptkit.data.groups import find_groups

    if group and not any(group in row for row in rows):
        columns = sorted({name for row in rows for name in row})
        raise pk.DataError(f"--group must name a column, one of {', '.join(map(repr, columns))}, got {group!r}")
    own = ["" if row.get(group) is None else str(row[group]) for row in rows]
    return find_groups([str(row.get("id") or "") for row in rows], [{}] * len(rows), own)


def _accuracy(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _record(outcome: pk.Vote) -> dict[str, object]:
    return {
        "answer": outcome.answer,
        "votes": dict(outcome.votes),
        "agreement": outcome.agreement,
        "distinct_paths": outcome.distinct_paths,
        "tie": outcome.tie,
        "samples_used": outcome.samples_used,
        "abstained": outcome.abstained,
    }
