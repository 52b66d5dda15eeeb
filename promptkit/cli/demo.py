"""``promptkit demo``: how far prompting gets on every shipped domain."""

from __future__ import annotations

from typing import Annotated

import typer

from promptkit.cli.options import Json, Model, Seed, Select, Traceback, parse_shots
from promptkit.cli.reports import describe, print_reports
from promptkit.cli.show import Bar

__all__ = ["demo"]


def demo(
    items: Annotated[int, typer.Option("--items", min=1, help="Test items per domain.")] = 100,
    shots: Annotated[
        list[str], typer.Option("--shots", metavar="N[,N...]", help="Numbers of demonstrations to compare.")
    ] = ["0,4,8"],  # noqa: B006 - typer copies it
    domain: Annotated[
        list[str], typer.Option("--domain", metavar="TASK", help="A domain; repeat it for more. Default: all.")
    ] = [],  # noqa: B006 - typer copies it
    select: Select = "balanced",
    model: Model = "reference",
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Evaluate every shipped domain with zero, four and eight demonstrations, and print the table."""
    import promptkit as pk

    numbers = parse_shots(shots)
    sources = domain or pk.list_tasks()
    tasks = [pk.load_task(source) for source in sources]
    data = {task.name: pk.load_examples(source) for task, source in zip(tasks, sources, strict=True)}
    backend = pk.LocalBackend(model)
    total = len(numbers) * sum(len(data[task.name].test[:items]) for task in tasks)
    reports: dict[tuple[str, str], pk.Report] = {}
    with Bar("evaluating") as bar:
        for task in tasks:
            found = data[task.name]
            for n in numbers:
                bar.title(f"{task.name}: {describe(n)}")
                predictor = pk.FewShot(task, shots=n, select=select).fit(found.train, backend, dev=found.dev, seed=seed)
                progress = bar.part(sum(report.items for report in reports.values()), total)
                reports[task.name, describe(n)] = pk.evaluate(
                    predictor, found.test[:items], [task.metric], seed=seed, progress=progress
                )
    print_reports(reports, model=model, json=json)
