"""The contract of an adapter: settings in the constructor, data into ``fit``, and a predictor that sees no target."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from promptkit.backends import Backend
from promptkit.errors import DataError, error_message
from promptkit.tasks.task import Task
from promptkit.types import Example, Prediction, Progress, Queries, Query

__all__ = ["Adapter", "OnError", "Predictor", "parse_queries", "seconds_left"]

OnError = Literal["raise", "record"]
"""What happens to a query that fails: the error is raised, or kept in ``Prediction.error``."""


@runtime_checkable
class Predictor(Protocol):
    """Answers queries. A prediction never depends on the other queries of the call."""

    @property
    def task(self) -> Task:
        """The task that is done."""
        ...

    def predict(
        self, queries: Queries, *, seed: int = 0, on_error: OnError = "raise", progress: Progress | None = None
    ) -> list[Prediction]:
        """Returns one prediction per query, in order."""
        ...

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the predictor as one folder that ``promptkit.load`` reads."""
        ...


class Adapter(Protocol):
    """A recipe that turns examples and a backend into a predictor. Plain, frozen settings."""

    def fit(
        self, examples: Sequence[Example], backend: Backend, *, dev: Sequence[Example] | None = None, seed: int = 0
    ) -> Predictor:
        """Fits to training examples; changes neither the adapter nor the backend."""
        ...


def seconds_left(backend: Backend) -> float | None:
    """Tells in how many seconds work on a backend should end; a climb with a budget of minutes sets it.

    Args:
        backend: The backend.

    Returns:
        What its method ``seconds_left`` says; ``None`` for one without, and without a deadline.
    """
    ask = getattr(backend, "seconds_left", None)
    return None if ask is None else ask()


def parse_queries(task: Task, queries: Queries) -> list[Query]:
    """Checks queries against the fields of a task, and numbers those without an id.

    Args:
        task: The task, which lists the fields.
        queries: Queries, or mappings from field to text.

    Returns:
        Queries whose fields are exactly the task's, in the task's order.

    Raises:
        DataError: Fields are missing or unknown, or a value is not a text; every bad query is named.

    Example:
        >>> from promptkit import load_task
        >>> parse_queries(load_task("apples"), [{"question": "1 apple and 1 apple?"}])[0].id
        'query-1'
    """
    if isinstance(queries, (str, Mapping, Query)):
        raise DataError(
            error_message("queries", of="predict", expected="a list of queries", got=queries, hint="put it into a list")
        )
    out: list[Query] = []
    bad: list[str] = []
    for number, item in enumerate(queries, 1):
        fields, name = (item.fields, item.id) if isinstance(item, Query) else (item, "")
        reason = _fault(task, fields)
        if reason:
            bad.append(f"query {number}: {reason}")
        else:
            out.append(Query({field: fields[field] for field in task.fields}, name or f"query-{number}"))
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise DataError(
            f"{len(bad)} of {len(queries)} queries do not fit task {task.name!r}: " + "; ".join(bad[:5]) + more
        )
    return out


def _fault(task: Task, fields: object) -> str | None:
    if isinstance(fields, Example):
        return "is an Example, which holds the answer; pass example.query"
    if not isinstance(fields, Mapping):
        return f"must be a mapping of fields, got {type(fields).__name__}"
    missing = [field for field in task.fields if field not in fields]
    unknown = [str(field) for field in fields if field not in task.fields]
    if missing or unknown:
        return "; ".join(
            [f"lacks field {name!r}" for name in missing] + [f"has unknown field {name!r}" for name in unknown]
        )
    for field in task.fields:
        value = fields[field]
        if not isinstance(value, str):
            return f"field {field!r} must be a text, got {type(value).__name__}"
    if all(not fields[field].strip() for field in task.fields):
        return "says nothing: every field is empty"
    return None
