"""``promptkit climb``: from examples and a model to the cheapest adaptation that is good enough."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from promptkit.cli.models import open_model
from promptkit.cli.options import AllowLeakage, ApiKeyEnv, BaseUrl, Json, Traceback
from promptkit.cli.show import Bar, print_json, printable

__all__ = ["climb"]

_MISSED, _NOTHING = 3, 1
_INTERRUPTED = 143  # what a shell reports of a process that SIGTERM ended


def climb(
    task: Annotated[
        str, typer.Argument(metavar="[TASK]", help="A shipped domain by name, or the path of a folder.")
    ] = "",
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="A YAML file with any of these settings; options win.")
    ] = "",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="'reference', a folder, or a name on the Hugging Face Hub."),
    ] = None,
    base_url: BaseUrl = "",
    api_key_env: ApiKeyEnv = "",
    data: Annotated[
        str | None, typer.Option("--data", metavar="SOURCE", help="Examples: a file or folder; by default the task's.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="METRIC=X", help="What is good enough, as exact_match=0.9.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Budget in minutes.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", help="Budget in prompt and generated tokens.")] = None,
    calls: Annotated[int | None, typer.Option("--calls", help="Budget in requests to the model.")] = None,
    rungs: Annotated[
        str | None,
        typer.Option("--rungs", metavar="NAME[,NAME...]", help="Some of zero-shot,few-shot,voting,soft-prompt,lora."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", metavar="X", help="Gain that a dearer rung must exceed. Default: 0.02.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", metavar="X", help="Of all decisions together. Default: 0.95.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option("--folder", metavar="FOLDER", help="Where the run is kept, and can be continued from.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the climb in the folder.")] = False,
    unlabelled: Annotated[
        str | None, typer.Option("--unlabelled", metavar="FILE", help="Questions without answers, to learn from.")
    ] = None,
    test_items: Annotated[
        int | None, typer.Option("--test-items", min=0, help="Score the winner on the first so many test items only.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", metavar="N", help="Folds of cross-fitting, 0 for none. Default: auto.")
    ] = None,
    allow_leakage: AllowLeakage = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything.")] = None,
    report: Annotated[
        str, typer.Option("--report", metavar="FILE", help="Also write the record as one HTML file.")
    ] = "",
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Climb from cheap to dear adaptations until one is good enough, and say why.

    Exit codes: 0 the target is reached, or there was none; 3 it is not reached; 1 an error; 2 a wrong option.

        promptkit climb tickets --target exact_match=0.9 --minutes 10 --folder runs/tickets
        promptkit climb tickets --target exact_match=0.9 --minutes 10 --folder runs/tickets --resume
    """
    import promptkit as pk
    from promptkit.config import read_config

    if not task and not config:
        raise typer.BadParameter("must be given, or --config with a file that has one", param_hint="TASK")
    given = {
        "task": task or None, "model": model, "data": data, "margin": margin, "confidence": confidence, "seed": seed,
        "folder": folder, "unlabelled": unlabelled, "on_leakage": "force" if allow_leakage else None,
        "test_items": test_items,
        "target": _target(target), "rungs": _split(rungs), "folds": _folds(folds),
        "budget": {k: v for k, v in {"minutes": minutes, "tokens": tokens, "calls": calls}.items() if v is not None},
    }  # fmt: skip
    settings = read_config(config, **{name: value for name, value in given.items() if value is not None})
    if resume and not settings.folder:
        raise typer.BadParameter("needs --folder, where the climb is kept", param_hint="--resume")
    pk.load_task(settings.task)  # a wrong name ends here, before a model is loaded
    backend = open_model(settings.model, base_url, api_key_env)
    with Bar(settings.task) as bar:
        try:
            result = settings.climb(backend, resume=resume, progress=_show(bar))
        except pk.TrainingStopped as stopped:
            print(f"stopped: {printable(str(stopped))}; go on with --resume", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None
    record = result.record
    if report:
        result.report(report)
    if json:
        print_json(record.model_dump(mode="json"))
    else:
        print(printable(str(result)))
    if record.decision is None or record.decision.winner is None:
        raise typer.Exit(_NOTHING)
    if record.decision.reached is False:
        raise typer.Exit(_MISSED)


def _target(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    name, _, value = text.partition("=")
    try:
        return {name.strip(): float(value)}
    except ValueError:
        message = f"must be METRIC=X, as exact_match=0.9, got {text!r}"
        raise typer.BadParameter(message, param_hint="--target") from None


def _split(text: str | None) -> Any:
    if text is None or text.strip() == "default":
        return text and "default"
    return [part.strip() for part in text.split(",") if part.strip()]


def _folds(text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return text and "auto"  # type: ignore[return-value]
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"must be a whole number or auto, got {text!r}", param_hint="--folds")
    return int(text)


def _show(bar: Bar) -> Any:
    """Returns a ``progress`` function of a climb: what goes on, and the time that is left of the budget."""

    def progress(what: str, done: int, total: int, left: float | None) -> None:
        rest = "" if left is None else f", {int(left) // 60}:{int(left) % 60:02} left"
        bar.title(what + rest)
        bar(done, total)

    return progress
