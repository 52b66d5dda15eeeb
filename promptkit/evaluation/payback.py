"""``break_even``: after how many requests a more expensive training is repaid by cheaper answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from promptkit.errors import DataError, SettingError, error_message
from promptkit.evaluation.arms import load_reports, read_cost
from promptkit.evaluation.scoring import Cost, Report, evaluate
from promptkit.types import Example, JSONObject

__all__ = ["BreakEven", "Payback", "Price", "break_even"]

Unit = Literal["tokens", "seconds", "money"]

TRAINING_WEIGHT = 3
"""Work of a trained token in tokens read: forward 2, backward 4 operations per parameter (Kaplan et al. 2020)."""

_SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Price:
    """What is paid, in any one currency; what is not paid for is 0.

    Attributes:
        per_million_prompt_tokens: For tokens that are read.
        per_million_generated_tokens: For tokens that are written.
        per_million_cached_tokens: For prompt tokens that were in the cache; ``None`` for the price of the others.
        per_million_training_tokens: For tokens that are trained on, where training is paid by the token.
        per_hour: For the machine, answering as well as training.

    Raises:
        SettingError: A price is not a number of at least 0.
    """

    per_million_prompt_tokens: float = 0.0
    per_million_generated_tokens: float = 0.0
    per_million_cached_tokens: float | None = None
    per_million_training_tokens: float = 0.0
    per_hour: float = 0.0

    def __post_init__(self) -> None:
        """Checks the figures."""
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise SettingError(error_message(name, of="Price", expected="a number of at least 0", got=value))


@dataclass(frozen=True, slots=True)
class Payback:
    """The sum in one unit.

    Attributes:
        unit: ``tokens``, ``seconds`` or ``money``.
        training: Training of the second minus that of the first.
        first: Cost of one request to the first.
        second: Cost of one request to the second.
        requests: Requests until the training is repaid: 0 if the second costs no more to train and no more to ask,
            infinite if it is never repaid.
    """

    unit: Unit
    training: float
    first: float
    second: float

    @property
    def saved(self) -> float:
        """What one request to the second saves."""
        return self.first - self.second

    @property
    def requests(self) -> float:
        """Requests until the training is repaid; see the class."""
        if self.training <= 0 and self.saved >= 0:
            return 0
        if self.saved <= 0:
            return math.inf
        return math.ceil(self.training / self.saved * (1 - 1e-12))  # 8 / .04 is a hair above 200

    def __str__(self) -> str:
        """Says it in one line."""
        sums = f"training {self.training:,.4g} {self.unit}, per request {self.first:,.4g} against {self.second:,.4g}"
        if self.requests == 0:
            return f"from the first request on ({sums})"
        if math.isinf(self.requests):
            what = "a request costs as much" if not self.saved else "a request costs more"
            return f"never repaid: {what} ({sums})"
        return f"repaid after {self.requests:,.0f} requests ({sums})"


@dataclass(frozen=True)
class BreakEven:
    """When the second of two pays back what its training cost more.

    Attributes:
        by: The sums by unit: tokens and seconds, as far as it is known what the training took, and with a price money.
        unit: Which of them is the answer: money if there is a price, else seconds if they are known.
        assumptions: Everything that the figures rest on.
    """

    by: Mapping[Unit, Payback]
    unit: Unit
    assumptions: tuple[str, ...]

    @property
    def requests(self) -> float:
        """Requests until training is repaid, in ``unit``; infinite if never."""
        return self.by[self.unit].requests

    @property
    def never(self) -> bool:
        """Whether training is never repaid."""
        return math.isinf(self.requests)

    def __str__(self) -> str:
        """Returns the sums and the assumptions as lines."""
        sums = [f"in {unit}: {sum_}" for unit, sum_ in self.by.items()]
        return "\n".join([*sums, "assuming that", *(f"- {one}" for one in self.assumptions)])

    def to_dict(self) -> JSONObject:
        """Returns everything as plain JSON data; ``requests`` is ``None`` for never."""
        by = {
            unit: asdict(one) | {"saved": one.saved, "requests": None if math.isinf(one.requests) else one.requests}
            for unit, one in self.by.items()
        }
        return {"unit": self.unit, "never": self.never, "by": by, "assumptions": list(self.assumptions)}


def break_even(
    first: Any,
    second: Any,
    examples: Sequence[Example] | None = None,
    *,
    price: Price | None = None,
    training_seconds: float | None = None,
    training_tokens: float | None = None,
    seed: int = 0,
) -> BreakEven:
    """Tells after how many requests the training of the second of two is repaid by its cheaper answers.

    A tuned model needs no demonstrations, so its prompts are shorter; what that saves per request pays for the
    training. Costs per request are means that were measured: those of reports, or of predictors asked here.

    Args:
        first: What answers now: a predictor, a report, or a saved report as data or path.
        second: What was trained.
        examples: What predictors are asked, to measure them; by default 20 test items of the task's own data.
        price: Turns tokens and hours into money.
        training_seconds: What the training of the second took more than that of the first; by default what the
            predictors' training logs say.
        training_tokens: How many tokens it trained on more.
        seed: Seed of the predictions.

    Returns:
        The sums in tokens, seconds and money, with their assumptions.

    Raises:
        DataError: A report tells no cost, or there is nothing to ask a predictor.
        SettingError: A figure is out of range.

    Example:
        >>> from promptkit.types import Usage
        >>> shots = {"cost": Cost.of([Usage(calls=1, prompt_tokens=500, generated_tokens=10, seconds=0.10)])}
        >>> tuned = {"cost": Cost.of([Usage(calls=1, prompt_tokens=50, generated_tokens=10, seconds=0.06)])}
        >>> found = break_even(shots, tuned, training_seconds=8, training_tokens=60_000)
        >>> found.requests, found.by["tokens"].requests
        (200, 400)
    """
    for name, value in (("training_seconds", training_seconds), ("training_tokens", training_tokens)):
        if value is not None and not 0 <= value < math.inf:
            raise SettingError(error_message(name, of="break_even", expected="a number of at least 0", got=value))
    costs = [_measured(name, arm, examples, seed) for name, arm in (("first", first), ("second", second))]
    seconds = _trained("seconds", training_seconds, first, second)
    tokens = _trained("tokens", training_tokens, first, second)
    untrained = seconds is None and tokens is None
    by: dict[Unit, Payback] = {}
    if tokens is not None or untrained:
        by["tokens"] = Payback("tokens", TRAINING_WEIGHT * (tokens or 0.0), *(_tokens(cost) for cost in costs))
    if seconds is not None or untrained:
        by["seconds"] = Payback("seconds", seconds or 0.0, *(_seconds(cost) for cost in costs))
    if price is not None:
        paid = (seconds or 0.0) / 3600 * price.per_hour + (tokens or 0.0) / 1e6 * price.per_million_training_tokens
        by["money"] = Payback("money", paid, *(_money(cost, price) for cost in costs))
    return BreakEven(by, list(by)[-1], _assumptions(costs, price, seconds, tokens))


def _measured(name: str, arm: Any, examples: Sequence[Example] | None, seed: int) -> Cost:
    if callable(getattr(arm, "predict", None)):
        asked = examples if examples is not None else _own_examples(arm)
        return evaluate(arm, asked, ["answered"], seed=seed, resamples=100).cost
    data = arm
    if not isinstance(arm, Report | Mapping):
        reports = load_reports(arm)
        if len(reports) != 1:
            expected = "a file of one report"
            raise DataError(error_message(name, of="break_even", expected=expected, got=sorted(reports)))
        data = next(iter(reports.values()))
    cost = read_cost(data.cost if isinstance(data, Report) else data.get("cost"))
    if cost is None or not cost.usage.calls:
        expected = "a predictor, or a report with measured costs"
        raise DataError(error_message(name, of="break_even", expected=expected, got=type(arm).__name__))
    return cost


def _own_examples(predictor: Any) -> Sequence[Example]:
    from promptkit.data import load_examples  # Rarely needed, and it reads files.
    from promptkit.errors import PromptkitError
    from promptkit.tasks.task import examples_source

    try:
        return list(islice(load_examples(examples_source(predictor.task), on_leakage="ignore").test, _SAMPLE))
    except PromptkitError:
        expected = "examples with which predictors are measured"
        hint = f"pass some, as data.test[:20]; task {predictor.task.name!r} brings no data of its own"
        raise DataError(error_message("examples", of="break_even", expected=expected, got=None, hint=hint)) from None


def _trained(what: str, given: float | None, first: Any, second: Any) -> float | None:
    """What training took: as given, or by the logs; ``None`` where nothing tells."""
    if given is not None:
        return float(given)
    logs = [getattr(arm, "training", None) for arm in (first, second)]
    if logs == [None, None]:
        return None
    before, after = (0.0 if log is None else float(getattr(log, what)) for log in logs)
    return after - before


def _items(cost: Cost) -> float:
    """Requests that a cost is the sum of: usages add up, and the means say over how many items."""
    per_item = cost.prompt_tokens_per_item
    return cost.usage.prompt_tokens / per_item if per_item else float(cost.usage.calls)


def _tokens(cost: Cost) -> float:
    return cost.prompt_tokens_per_item + cost.generated_tokens_per_item


def _seconds(cost: Cost) -> float:
    return cost.usage.seconds / _items(cost)


def _money(cost: Cost, price: Price) -> float:
    cached = cost.usage.cached_tokens / _items(cost)
    cached_price = price.per_million_cached_tokens
    read = (cost.prompt_tokens_per_item - cached) * price.per_million_prompt_tokens + cached * (
        price.per_million_prompt_tokens if cached_price is None else cached_price
    )
    written = cost.generated_tokens_per_item * price.per_million_generated_tokens
    return (read + written) / 1e6 + _seconds(cost) / 3600 * price.per_hour


def _assumptions(
    costs: Sequence[Cost], price: Price | None, seconds: float | None, tokens: float | None
) -> tuple[str, ...]:
    items = [f"{_items(cost):.0f}" for cost in costs]
    said = [f"requests are like the {items[0]} and {items[1]} items that were measured, in length and in batches"]
    if seconds is None and tokens is None:
        said.append("nothing was trained: there is no training log, and training_seconds was not given")
    else:
        said.append("the training is done once, and its data, labels and failed tries cost nothing")
    if tokens is not None:
        weighs = f"a trained token weighs {TRAINING_WEIGHT}"
        said.append(f"prompt and generated tokens weigh the same, cached ones in full, and {weighs} (in tokens)")
    if seconds is not None:
        said.append("training and answering ran on machines of the same worth (in seconds)")
    if price is not None:
        facts = ", ".join(f"{key} {value:g}" for key, value in asdict(price).items() if value)
        said.append(f"prices stay: {facts or 'everything is free'} (in money)")
        unknown = [name for name, known in (("seconds", seconds), ("tokens", tokens)) if known is None]
        if len(unknown) == 1:
            said.append(f"the {unknown[0]} of the training are not known and cost nothing (in money)")
    return tuple(said)
