"""``promptkit tasks`` and ``promptkit new``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from promptkit.cli.options import Json, Traceback
from promptkit.cli.show import print_json, print_table, say

__all__ = ["new", "tasks"]


def tasks(json: Json = False, traceback: Traceback = False) -> None:
    """List the shipped tasks with their sizes."""
    import promptkit as pk
    from promptkit.tasks.loading import task_folder

    found: list[dict[str, Any]] = []
    for name in pk.list_tasks():
        folder = task_folder(name)
        task, data = pk.load_task(folder), pk.load_examples(folder, on_leakage="ignore")
        found.append(
            {
                "name": name,
                "description": task.description,
                "asks": list(task.templates),
                "metric": task.metric,
                **{split: len(rows) for split, rows in data.splits.items()},
            }
        )
    if json:
        print_json(found)
        return
    sizes = ("train", "dev", "test")
    print_table(
        ["task", *sizes, "asks", "metric", "description"],
        [
            [
                row["name"],
                *(str(row[size]) for size in sizes),
                ", ".join(row["asks"]),
                row["metric"],
                row["description"],
            ]
            for row in found
        ],
        numbers=sizes,
    )


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the task is called.")],
    folder: Annotated[str, typer.Option("--folder", metavar="FOLDER", help="Where its folder is made.")] = ".",
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Make the folder of a new task, with settings, a template and tiny data to replace."""
    import promptkit as pk

    made = pk.new_task(name, folder)
    files = sorted(file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file())
    path = _as_path(made)
    if json:
        print_json({"name": name, "folder": path, "files": files})
        return
    say(f"{path}: {', '.join(files)}")
    say(f"Next: put your own rows and settings there, then run  promptkit eval {shlex.quote(path)}")


def _as_path(folder: Path) -> str:
    """Writes a folder so that no command takes it for the name of a shipped task, or for an option."""
    text = folder.as_posix()
    return text if folder.is_absolute() or text.startswith("../") else f"./{text}"
