"""``promptkit compare``: saved predictors or saved reports on the same items, with paired tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from promptkit.cli.options import Json, ModelOptions, ScoredOptions, Seed, Traceback, with_records
from promptkit.cli.reports import count_errors, end_with
from promptkit.cli.show import Bar, print_json, say

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["compare"]


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How arms are compared (see ``promptkit.compare``)."""

    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="NAME", help="What the others are compared with. Default: the first."),
    ] = None
    metric: Annotated[str | None, typer.Option("--metric", metavar="NAME", help="The metric. Default: the task's.")] = (
        None
    )
    pairs: Annotated[
        Literal["baseline", "all"], typer.Option("--pairs", help="Others with the baseline, or all with each other.")
    ] = "baseline"
    margin: Annotated[
        float, typer.Option("--margin", min=0, metavar="X", help="The smallest difference that matters, as 0.02.")
    ] = 0.0
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="X", help="Confidence of intervals and verdicts.")
    ] = 0.95
    failures: Annotated[
        Literal["zero", "exclude"],
        typer.Option("--failures", help="Failed items score 0, or are left out for every arm."),
    ] = "zero"


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """What is told of costs."""

    break_even: Annotated[
        bool, typer.Option("--break-even", help="Tell after how many requests the training of an arm is repaid.")
    ] = False
    price_prompt: Annotated[
        float, typer.Option("--price-prompt", min=0, metavar="X", help="Price of a million prompt tokens.")
    ] = 0.0
    price_generated: Annotated[
        float, typer.Option("--price-generated", min=0, metavar="X", help="Price of a million generated tokens.")
    ] = 0.0
    price_hour: Annotated[
        float, typer.Option("--price-hour", min=0, metavar="X", help="Price of an hour of the machine.")
    ] = 0.0

    @property
    def price(self) -> pk.Price | None:
        """The price, where any was given."""
        import promptkit as pk

        prices = {
            "per_million_prompt_tokens": self.price_prompt,
            "per_million_generated_tokens": self.price_generated,
            "per_hour": self.price_hour,
        }
        return pk.Price(**prices) if any(prices.values()) else None


@with_records
def compare(
    *,
    arms: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]PATH...",
            help="Folders of saved predictors, or files written by eval --json; a file may hold several reports.",
        ),
    ],
    how: ComparisonOptions,
    data: ScoredOptions,
    model: ModelOptions,
    costs: CostOptions,
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Compare saved predictors or reports on the same items: better, worse, equivalent or undecided.

    Differences are paired, with intervals and Holm-corrected tests; costs stand beside them.

        promptkit eval apples --shots 0,4 --json > reports.json

        promptkit compare reports.json --baseline zero-shot --margin 0.02

    Exit codes: 0 all went well; 1 an error, or every request failed; 2 a wrong option; 3 more than a tenth of the
    requests of one arm failed.
    """
    import promptkit as pk
    from promptkit.tasks.task import examples_source

    known = _open(arms, model.open)
    running = [one for one in known.values() if not isinstance(one, Mapping)]
    examples = None
    if running:
        task = running[0].task
        _, examples = data.load(task, "" if data.data else str(examples_source(task)))
    given: dict[str, Any] = asdict(how)
    with Bar("comparing") as bar:
        found = pk.compare(
            known,
            examples,
            group=None if running else data.group or None,  # examples that were loaded carry their groups
            **given,
            seed=seed,
            progress=bar,
        )
    asked = {name: found.reports[name] for name, one in known.items() if not isinstance(one, Mapping)}
    sums = _paybacks(found, known, costs.price) if costs.break_even else {}
    if json:
        more: dict[str, Any] = {"break_even": {k: v.to_dict() for k, v in sums.items()}} if sums else {}
        more |= {"errors": {name: count_errors(report) for name, report in asked.items()}} if asked else {}
        print_json({**found.to_dict(), **more})
    else:
        say(found.table)
        for name, one in sums.items():
            say(f"\n{name} instead of {found.baseline}\n{one}")
    end_with(asked)


def _open(texts: list[str], make: Callable[[], pk.Backend]) -> dict[str, Any]:
    """Opens reports and saved predictors, by name; a model is loaded where there is a predictor, once."""
    import promptkit as pk
    from promptkit.evaluation import load_reports

    paths = [_split(text) for text in texts]
    missing = [path for _, path in paths if not Path(path).exists()]
    if missing:
        raise pk.DataError(f"{missing[0]}: no such file or folder; give saved predictors or files of eval --json")
    saved = any(Path(path).is_dir() for _, path in paths)
    backend = make() if saved else None
    known: dict[str, Any] = {}
    for name, path in paths:
        if backend is not None and Path(path).is_dir():
            found: dict[str, Any] = {name or Path(path).resolve().name: pk.load(path, backend)}
        else:
            found = dict(load_reports(path))
            if name and len(found) > 1:
                must = f"left out for {path}, whose {len(found)} reports have names"
                raise typer.BadParameter(f"NAME must be {must}, got {name!r}", param_hint="[NAME=]PATH")
            found = {name: next(iter(found.values()))} if name else found
        for key, one in found.items():
            if key in known:
                must = "different for every arm; put NAME= before a path"
                raise typer.BadParameter(f"names must be {must}, got {key!r} twice", param_hint="[NAME=]PATH")
            known[key] = one
    return known


def _split(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    return ("", text) if not equals or Path(text).exists() else (name, path)


def _paybacks(found: pk.Comparison, known: dict[str, Any], price: pk.Price | None) -> dict[str, pk.BreakEven]:
    import promptkit as pk

    first = found.baseline

    def more(name: str, what: str) -> float | None:
        """What an arm's training took beyond that of the baseline, or ``None`` where nothing tells."""
        logs = [getattr(known[one], "training", None) for one in (first, name)]
        if logs == [None, None]:
            return None
        before, after = (0.0 if log is None else float(getattr(log, what)) for log in logs)
        return max(0.0, after - before)

    def measured(name: str) -> Any:
        return found.reports.get(name, known[name])

    return {
        name: pk.break_even(
            measured(first),
            measured(name),
            price=price,
            training_seconds=more(name, "seconds"),
            training_tokens=more(name, "tokens"),
        )
        for name in found.arms
        if name != first
    }
