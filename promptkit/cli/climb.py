"""``promptkit climb``: from examples and a model to the cheapest adaptation that is good enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptkit.cli import interrupts
from promptkit.cli.models import open_model
from promptkit.cli.options import Json, Traceback
from promptkit.cli.settings_options import given_settings
from promptkit.cli.show import Bar, print_json, print_table, say

if TYPE_CHECKING:
    import promptkit as pk
    from promptkit.config import ClimbConfig

__all__ = ["climb"]

_MISSED, _NOTHING = 3, 1
_COLUMNS = ("task", "stopped at", "metric", "test", "tokens in + out", "fits s", "all s")


def climb(
    ctx: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK]...", help="Shipped tasks by name, or paths of folders; each has its climb."),
    ] = None,
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="A YAML file with any of these settings; options win.")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Continue what the folder holds.")] = False,
    report: Annotated[
        str,
        typer.Option(
            "--report", metavar="FILE", help="Also write the record as HTML; of several tasks each in this folder."
        ),
    ] = "",
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Climb from cheap to expensive adaptations until one is good enough, and say why.

    Exit codes: 0 the target is reached, or there was none; 3 it is not reached; 1 an error; 2 a wrong option.

        promptkit climb tickets --target exact_match=0.9 --minutes 10 --folder runs/tickets
        promptkit climb tickets --target exact_match=0.9 --minutes 10 --folder runs/tickets --resume
        promptkit climb chinese apples tone --target 0.85 --folder runs --report runs
    """
    import promptkit as pk

    if not tasks and not config:
        raise typer.BadParameter("must be given, or --config with a file that has one", param_hint="TASK")
    names = [pk.load_task(task).name for task in tasks or ()]  # a wrong name ends here, before a model is loaded
    if len(set(names)) < len(names):
        raise typer.BadParameter(f"must have different names, got {', '.join(names)}", param_hint="TASK")
    plans = [_settings(task, config, len(names) > 1, given_settings(ctx)) for task in tasks or ("",)]
    first = plans[0]
    if resume and not first.folder:
        raise typer.BadParameter("needs --folder, where the climb is kept", param_hint="--resume")
    for option, value in (("--data", first.data), ("--unlabelled", first.unlabelled)):
        if value and len(plans) > 1:
            raise typer.BadParameter("is of one task only; climb them one by one", param_hint=option)
    opened = open_model(first.model, first.base_url, first.api_key_env, first.cache, first.backend)
    pages = [Path(report) / f"{name}.html" for name in names] if len(names) > 1 else [Path(report)]
    several, records = len(plans) > 1, []
    for settings, page in zip(plans, pages, strict=True):
        result = _climb(settings, opened, resume)
        if report:
            page.parent.mkdir(parents=True, exist_ok=True)
            result.report(page)
        if not json:
            say(str(result), end="\n\n" if several else "\n", at_once=True)
        records.append(result.record)
    _end(records, pages if report else [], json=json)


def _climb(settings: ClimbConfig, backend: pk.Backend, resume: bool) -> pk.ClimbResult:
    """One climb with its progress; a training that was told to end ends the climb."""
    import promptkit as pk

    interrupts.running("climb", {"folder": settings.folder, "cache": settings.cache, "resume": resume})
    try:
        with Bar(settings.task) as bar:
            return settings.climb(backend, resume=resume, progress=_show(bar))
    except pk.TrainingStopped as stopped:
        interrupts.training_stopped(getattr(getattr(stopped, "log", None), "stopped", ""))
        raise KeyboardInterrupt from None


def _settings(task: str, config: str, several: bool, given: dict[str, Any]) -> ClimbConfig:
    """The settings of one climb: those of the file, under those of the options."""
    import promptkit as pk
    from promptkit.config import BudgetConfig, read_config

    changes = {name: value for name, value in given.items() if value is not None}
    changes["budget"] = {name: changes.pop(name) for name in BudgetConfig.model_fields if name in changes}
    found = read_config(config, **(changes | ({"task": task} if task else {})))
    found.load_plugins()
    if several and found.folder:
        found = found.model_copy(update={"folder": str(Path(found.folder) / pk.load_task(found.task).name)})
    return found


def _end(records: list[pk.Record], pages: list[Path], *, json: bool) -> None:
    """Prints what is said of all climbs together, and exits with the worst outcome."""
    from json import loads as parse

    if json:
        found = [parse(record.to_json()) for record in records]
        print_json(found if len(found) > 1 else found[0])
    elif len(records) > 1:
        print_table(_COLUMNS, [_row(record) for record in records], numbers=_COLUMNS[3:])
        reasons = [f"{one.task.name}: {_reason(one)}" for one in records]
        say("\n".join(["", *reasons, "", *(f"{page} is written" for page in pages)]))
    decisions = [record.decision for record in records]
    if any(decision is None or decision.winner is None for decision in decisions):
        raise typer.Exit(_NOTHING)
    if any(decision is not None and decision.reached is False for decision in decisions):
        raise typer.Exit(_MISSED)


def _reason(record: pk.Record) -> str:
    """Why the climb stopped, or that nothing works yet."""
    if record.trouble or record.decision is None:
        return record.answer
    return record.decision.reason


def _row(record: pk.Record) -> list[str]:
    """One climb: where it stopped, what that is worth on test, and what it costs."""
    won, test = record.winner, record.test
    score = test.score if test is not None else None
    cost = test.cost if test is not None else None
    return [
        record.task.name,
        won.rung if won else "-",
        record.task.metric,
        f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]" if score else "-",
        f"{cost.prompt_tokens_per_item:.0f} + {cost.generated_tokens_per_item:.1f}" if cost else "-",
        f"{sum(one.fit.seconds for one in record.trials if one.fit):.0f}",
        f"{record.seconds:.0f}",
    ]


def _show(bar: Bar) -> Any:
    """Returns a ``progress`` function of a climb: what goes on, and the time that is left of the budget."""

    def progress(what: str, done: int, total: int, left: float | None) -> None:
        rest = "" if left is None else f", {int(left) // 60}:{int(left) % 60:02} left"
        bar.title(what + rest)
        bar(done, total)

    return progress
