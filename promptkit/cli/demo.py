"""``promptkit demo``: how far prompting, reasoning and voting get on every shipped task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from promptkit.cli.options import Json, ModelOptions, Seed, Select, Traceback, parse_shots, with_records
from promptkit.cli.reports import describe, end_with, print_reports
from promptkit.cli.run import choose_adapter
from promptkit.cli.show import Bar

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["demo"]

_REASONED_SHOTS = 4


@with_records
def demo(
    *,
    items: Annotated[int, typer.Option("--items", min=1, help="Test items per task.")] = 100,
    shots: Annotated[
        list[str], typer.Option("--shots", metavar="N[,N...]", help="Numbers of demonstrations to compare.")
    ] = ["0,4,8"],  # noqa: B006 - typer copies it
    task_name: Annotated[
        list[str], typer.Option("--task", metavar="TASK", help="A task; repeat it for more. Default: all.")
    ] = [],  # noqa: B006 - typer copies it
    samples: Annotated[
        int,
        typer.Option("--samples", min=0, help="Reasoned paths that vote, in tasks that reason; 0 for no reasoning."),
    ] = 20,
    select: Select = "balanced",
    model: ModelOptions,
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Evaluate every shipped task with zero, four and eight demonstrations, and print the table.

    Where a task has a reasoning template, four reasoned demonstrations follow: greedy, and with a vote.

    Exit codes: 0 all went well; 1 an error, or every request failed; 2 a wrong option; 3 more than a tenth of the
    requests of one line failed.
    """
    import promptkit as pk
    from promptkit.tasks.loading import task_folder

    numbers = parse_shots(shots)
    sources = task_name or [str(task_folder(name)) for name in pk.list_tasks()]
    tasks = [pk.load_task(source) for source in sources]
    data = {task.name: pk.load_examples(source) for task, source in zip(tasks, sources, strict=True)}
    backend = model.open()
    rungs = {task.name: _rungs(task, numbers, samples) for task in tasks}
    total = sum(len(rungs[task.name]) * len(data[task.name].test[:items]) for task in tasks)
    reports: dict[tuple[str, str], pk.Report] = {}
    with Bar("evaluating") as bar:
        for task in tasks:
            found = data[task.name]
            for n, ask, paths, stop in rungs[task.name]:
                name = describe(n, ask, paths, stop)
                bar.title(f"{task.name}: {name}")
                adapter = choose_adapter(task, n, select, ask, paths, stop=stop)
                predictor = adapter.fit(found.train, backend, dev=found.dev, seed=seed)
                progress = bar.part(sum(report.items for report in reports.values()), total)
                reports[task.name, name] = pk.evaluate(
                    predictor, found.test[:items], [task.metric], seed=seed, progress=progress
                )
    print_reports(reports, model=model.model, json=json)
    end_with({f"{task_name}, {name}": report for (task_name, name), report in reports.items()})


def _rungs(task: pk.Task, shots: list[int], samples: int) -> list[tuple[int, str, int, str]]:
    """Lists the ways of prompting for a task: demonstrations, how to ask, paths and when they are enough."""
    rungs = [(n, "direct", 1, "none") for n in shots]
    if "reasoned" in task.templates and samples:
        rungs.append((_REASONED_SHOTS, "reasoned", 1, "none"))
        rungs += [(_REASONED_SHOTS, "reasoned", samples, "beta")] if samples > 1 else []
    return rungs
