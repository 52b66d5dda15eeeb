"""``promptkit predict`` and ``promptkit eval``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptkit.cli.failures import FAILED, NOTHING, tell_failures
from promptkit.cli.inputs import read_queries
from promptkit.cli.options import (
    Adapter,
    DataOptions,
    Json,
    ModelOptions,
    PromptOptions,
    ScoredOptions,
    Seed,
    TaskName,
    Traceback,
    parse_shots,
    with_records,
)
from promptkit.cli.reports import describe, end_with, print_reports
from promptkit.cli.show import Bar, print_json, print_table

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["choose_adapter", "evaluate", "predict"]


@with_records
def predict(
    *,
    task: TaskName,
    source: Annotated[
        str, typer.Option("--input", "-i", metavar="FILE", help="Questions: a file, or - for standard input.")
    ] = "-",
    shots: Annotated[int, typer.Option("--shots", min=0, help="Number of demonstrations.")] = 4,
    prompt: PromptOptions,
    data: DataOptions,
    adapter: Adapter = "",
    model: ModelOptions,
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Answer questions.

    A question is a JSON object with the fields of the task; for a task of one field a plain line will do:

        echo "Jane has 2 apples. She bought 3 more. How many apples does Jane have now?" | promptkit predict apples

    Exit codes: 0 all went well; 1 an error, or every request failed; 2 a wrong option; 3 a request failed.
    """
    import promptkit as pk

    known = pk.load_task(task)
    how = data.reading
    queries = read_queries(source, known, **how)
    predictor = _load(known, adapter, model.open()) if adapter else None
    if predictor is None:
        fitted = choose_adapter(known, shots, **asdict(prompt))
        # Nothing is scored here, so leakage between splits is worth a warning only.
        own = how if data.data else {}  # without --data, the options tell of the questions alone
        examples = pk.load_examples(data.data or task, task=known, on_leakage="warn", **own) if shots else None
        predictor = _fit(fitted, examples, model.open(), seed)
    with Bar("answering") as bar:
        predictions = predictor.predict(queries, seed=seed, on_error="record", progress=bar)
    if json:
        print_json([_record(prediction) for prediction in predictions], lines=True)
    else:
        rows = [[one.id, one.answer or f"no answer: {one.error or one.text.strip()}"] for one in predictions]
        print_table(["id", "answer"], rows)
    failed = [one for one in predictions if one.error is not None]
    if failed:
        tell_failures(f"{known.name}, first {failed[0].id!r}", [str(one.error) for one in failed], len(predictions))
        raise typer.Exit(NOTHING if len(failed) == len(predictions) else FAILED)


@with_records
def evaluate(
    *,
    task: TaskName,
    shots: Annotated[
        list[str], typer.Option("--shots", metavar="N[,N...]", help="Numbers of demonstrations to compare, as 0,4,8.")
    ] = ["4"],  # noqa: B006 - typer copies it
    prompt: PromptOptions,
    metric: Annotated[
        list[str], typer.Option("--metric", metavar="NAME", help="A metric; repeat it for more. Default: the task's.")
    ] = [],  # noqa: B006 - typer copies it
    data: ScoredOptions,
    adapter: Adapter = "",
    model: ModelOptions,
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Score few-shot prompting, chain of thought or a saved predictor, with intervals and costs.

    Requests that failed are told on standard error; answers that could not be read are no failures.

    Exit codes: 0 all went well; 1 an error, or every request failed; 2 a wrong option; 3 more than a tenth of the
    requests of one strategy failed.
    """
    import promptkit as pk

    numbers = parse_shots(shots)
    known = pk.load_task(task)
    for name in metric:
        pk.get_metric(name)  # a wrong name ends here, before a model is loaded
    examples, chosen = data.load(known, task)
    if adapter:
        named = {f"saved in {adapter}": _load(known, adapter, model.open())}
    else:
        adapters = {
            describe(n, prompt.ask, prompt.samples, prompt.stop): choose_adapter(known, n, **asdict(prompt))
            for n in numbers
        }
        opened = model.open()
        named = {name: _fit(one, examples, opened, seed) for name, one in adapters.items()}
    reports = {}
    for name, predictor in named.items():
        with Bar(f"{known.name}: {name}") as bar:
            reports[known.name, name] = pk.evaluate(predictor, chosen, metric or None, seed=seed, progress=bar)
    print_reports(reports, model=model.model, json=json)
    end_with({name: report for (_, name), report in reports.items()})


def choose_adapter(
    task: pk.Task,
    shots: int,
    select: Any,
    ask: Any = "direct",
    samples: int = 1,
    vote: Any = "majority",
    stop: Any = "none",
    answer_by: Any = "generation",
) -> pk.FewShot | pk.ChainOfThought:
    """Makes few-shot prompting, or where samples are to vote, chain of thought.

    Args:
        task: The task.
        shots: Number of demonstrations.
        select: How they are chosen.
        ask: How questions are asked; several samples are always reasoned.
        samples: Paths per question.
        vote: How they vote.
        stop: When they are enough.
        answer_by: By generated text or by likelihood.

    Returns:
        The adapter.

    Raises:
        typer.BadParameter: Samples are to vote, and answers are to be chosen by likelihood.
    """
    import promptkit as pk

    if samples == 1:
        return pk.FewShot(task, shots=shots, select=select, ask=ask, answer_by=answer_by)
    if answer_by == "likelihood":
        raise typer.BadParameter("must be 1 with --answer-by likelihood, which samples nothing", param_hint="--samples")
    return pk.ChainOfThought(task, shots=shots, select=select, samples=samples, vote=vote, stop=stop)


def _fit(adapter: pk.FewShot | pk.ChainOfThought, data: pk.Data | None, backend: pk.Backend, seed: int) -> pk.Predictor:
    return adapter.fit(data.train if data else (), backend, dev=data.dev if data else None, seed=seed)


def _load(task: pk.Task, folder: str, backend: pk.Backend) -> pk.Predictor:
    import promptkit as pk

    predictor = pk.load(folder, backend)
    own = predictor.task
    if own.name != task.name:
        raise pk.SettingError(f"{folder}: was fitted for task {own.name!r}, not for {task.name!r}")
    if (own.fields, own.labels) != (task.fields, task.labels):
        do = "give the folder of its own task"
        raise pk.SettingError(f"{folder}: was fitted for another task of the name {task.name!r}; {do}")
    return predictor


def _record(prediction: pk.Prediction) -> dict[str, object]:
    usage = prediction.usage
    return {
        "id": prediction.id,
        "answer": prediction.answer,
        "text": prediction.text,
        "error": prediction.error,
        "agreement": prediction.agreement,
        "votes": dict(prediction.votes),
        "tie": prediction.tie,
        "samples_used": prediction.samples_used,
        "shots": prediction.shots,
        "dropped_shots": prediction.dropped_shots,
        "prompt_tokens": usage.prompt_tokens,
        "generated_tokens": usage.generated_tokens,
        "seconds": usage.seconds,
    }
