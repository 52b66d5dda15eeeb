"""``promptkit fit``: fits any strategy and saves the predictor."""

from __future__ import annotations

import inspect
import json as text_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptkit.cli import interrupts
from promptkit.cli.inputs import read_queries
from promptkit.cli.options import DataOptions, Json, ModelOptions, Seed, TaskName, Traceback, check_name, with_records
from promptkit.cli.settings_options import given_settings
from promptkit.cli.show import Bar, print_json, print_table, say, say_error

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["fit"]


@with_records
def fit(
    *,
    ctx: typer.Context,
    task: TaskName,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            metavar="NAME",
            callback=check_name("strategy"),
            help="A prompt (few_shot), reasoning with a vote (chain_of_thought), vectors (soft_prompt), weights "
            "(lora), or one of a plugin.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="Where the predictor is saved.")],
    setting: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting with a JSON value, as patience=null; repeat it.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    teacher: Annotated[
        str, typer.Option("--teacher", metavar="FOLDER", help="A saved predictor whose answers or prompt are used.")
    ] = "",
    unlabelled: Annotated[
        str, typer.Option("--unlabelled", metavar="FILE", help="Questions that the teacher answers for training.")
    ] = "",
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="FOLDER", help="Where a training that is cut off goes on from.")
    ] = "",
    data: DataOptions,
    model: ModelOptions,
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Fit a strategy on the training split, and save the predictor.

    The commands predict and eval take it with --adapter. Ctrl-C (or SIGTERM) ends a training after the step at hand,
    with a checkpoint where --checkpoint names a folder; the same command then goes on from there. A second Ctrl-C ends
    it at once.

        promptkit fit tone --strategy soft_prompt --tokens 20 --out my-prompt
        promptkit eval tone --adapter my-prompt
    """
    import promptkit as pk
    from promptkit.adapters import adapter_from_settings, adapter_settings

    given = {name: value for name, value in given_settings(ctx).items() if value is not None}
    settings = given | _parse_settings(setting)
    known = pk.load_task(task)
    adapter = adapter_from_settings(known, {"kind": strategy, **settings})
    learned = {"teacher", "unlabelled", "checkpoint", "progress"} <= set(inspect.signature(adapter.fit).parameters)
    if not learned and (teacher or unlabelled or checkpoint):
        raise typer.BadParameter("--teacher, --unlabelled and --checkpoint need a strategy that learns from a teacher")
    _check_folder(out)
    # Nothing is scored on test here, so leakage between splits is worth a warning only.
    how = data.reading
    examples = pk.load_examples(data.data or task, task=known, on_leakage="warn", **how)
    queries = read_queries(unlabelled, known, **how) if unlabelled else None
    opened = model.open()
    extra: dict[str, Any] = {}
    with Bar(f"{known.name}: {strategy}") as bar:
        if learned:
            extra = {
                "teacher": pk.load(teacher, opened) if teacher else None,
                "unlabelled": queries,
                "checkpoint": checkpoint or None,
                "progress": _show_loss(bar, known.name),
            }
        try:
            predictor = adapter.fit(examples.train, opened, dev=examples.dev, seed=seed, **extra)
        except pk.TrainingStopped as stopped:
            say_error(f"stopped: {stopped}")
            interrupts.training_stopped(getattr(stopped.log, "stopped", ""), told=True)
            raise typer.Exit(interrupts.code()) from None
    predictor.save(out)
    _report(predictor, adapter_settings(adapter), out, json)


def _parse_settings(texts: list[str]) -> dict[str, Any]:
    """Reads ``NAME=VALUE``; a value that is not JSON is a text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"must be NAME=VALUE, got {text!r}", param_hint="--set")
        try:
            found[name.strip()] = text_json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def _check_folder(out: str) -> None:
    """Refuses a folder that cannot be saved to before anything is paid for."""
    from promptkit.artifacts.manifest import check_listing

    if Path(out).exists():
        check_listing(Path(out))


def _show_loss(bar: Bar, name: str) -> Any:
    """Returns a ``progress`` function of training that shows loss and time left."""

    def show(step: int, steps: int, loss: float, seconds_left: float) -> None:
        minutes, seconds = divmod(round(seconds_left), 60)
        bar.title(f"{name}: loss {loss:.3f}, {minutes}:{seconds:02d} left")
        bar(step, steps)

    return show


def _report(predictor: pk.PlanPredictor, settings: dict[str, Any], out: str, json: bool) -> None:
    training = predictor.training
    if json:
        print_json({"folder": out, "settings": settings, "notes": predictor.notes})
        return
    say(f"{out}: {settings['kind']} for {predictor.task.name}, {predictor.plan.shots} shots")
    if training is None:
        return
    figures = {
        "steps": f"{training.steps}",
        "best step": f"{training.best_step}",
        "loss": f"{training.loss[-1][1]:.4f}",
        "dev loss": f"{min(loss for _, loss in training.dev):.4f}" if training.dev else "-",
        "trainable": f"{training.trainable_parameters:,}",
        "of": f"{training.total_parameters:,}",
        "tokens/s": f"{training.tokens_per_second:,.0f}",
        "seconds": f"{training.seconds:.1f}",
        "stopped by": training.stopped,
    }
    print_table(list(figures), [list(figures.values())], numbers=list(figures)[:-1])
