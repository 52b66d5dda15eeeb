"""A climb as one YAML file: task, data, model, rungs, target and budget.

Example file::

    task: tickets                 # a shipped task, or a folder
    model: reference              # a folder, a name on the Hugging Face Hub, or one at base_url
    cache: answers.sqlite         # answers are kept here, and taken from here
    plugins: [my_metric.py]       # run first; it may register metrics, strategies and more
    target: {exact_match: 0.9}
    budget: {minutes: 10}
    folder: runs/tickets
    rungs:                        # or leave it out for the default ladder
      - zero-shot
      - {name: nearest, kind: few_shot, shots: 8, select: nearest}
      - lora

Paths are relative to the folder of the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptkit.adapters import adapter_from_settings
from promptkit.backends import Backend
from promptkit.data import load_examples
from promptkit.data.load import data_settings, read_renamed
from promptkit.errors import DataError, SettingError, TaskError, error_message, one_of, opens
from promptkit.ladder import Budget, ClimbResult, Rung, climb
from promptkit.ladder.fitting import ClimbProgress
from promptkit.ladder.rule import DecisionRule
from promptkit.registry import load_plugin
from promptkit.tasks.loading import is_path, read_mapping, resolve_name
from promptkit.tasks.task import Task, load_task
from promptkit.types import JSONObject, Query

__all__ = ["BudgetConfig", "ClimbConfig", "read_config"]

MAX_BYTES = 1_000_000
"""Largest file that is read."""


class BudgetConfig(BaseModel):
    """What a climb may spend (see ``promptkit.Budget``).

    Attributes:
        minutes: Budget in minutes, all sessions of a continued climb together.
        tokens: Budget in prompt and generated tokens.
        calls: Budget in requests to the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float | None = None
    tokens: int | None = None
    calls: int | None = None


class ClimbConfig(DecisionRule):
    """Everything about a climb (see ``promptkit.climb``). Frozen, and unknown names are refused.

    Attributes:
        task: A shipped task by name, or the path of a folder.
        data: Examples: a file or folder; by default those of the task.
        columns: The column of a field, target or id that has another name in the data.
        delimiter: What separates the cells of .csv and .tsv files; by default what the task says, or a comma.
        encoding: Encoding of the files; by default what the task says, or UTF-8.
        model: ``reference``, a folder, a name on the Hugging Face Hub, or what the server at ``base_url`` calls it.
        base_url: Address of an OpenAI-compatible server, such as ``http://localhost:8000/v1``; by default the model is
            on this machine, which rungs that learn weights need.
        api_key_env: Name of the environment variable with the server's API key, never the key itself.
        cache: An SQLite file in which answers are kept and from which they are taken (see ``promptkit.CachedBackend``).
        backend: The registered backend that runs the model; by default openai with ``base_url``, and local without.
        plugins: Python files that register strategies, metrics and other pieces (see ``promptkit.load_plugin``).
        target: What is good enough: a metric with a score, such as exact_match=0.9 (in a file ``{exact_match: 0.9}``),
            or a score of the task's metric. The climb ends where it is reached.
        budget: What may be spent.
        rungs: ``default``, or from cheap to expensive some of zero-shot, few-shot, voting, soft-prompt and lora; in a
            file also settings of a strategy with its ``kind`` and perhaps a ``name``.
        seed: Seed of everything.
        folder: The folder in which the run is kept; of several tasks each in a folder of its name.
        unlabelled: A file of questions without answers, to learn from.
        group: The field that dependent items share, such as a document with several questions.
        allow_leakage: Climb all the same where items of one split stand in another.
        test_items: Score the winner on the first so many test items only.
        folds: Folds of cross-fitting, 0 for none, or ``auto``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(min_length=1)
    data: str = ""
    columns: dict[str, str] = Field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    model: str = Field(default="reference", min_length=1)
    base_url: str = ""
    api_key_env: str = ""
    cache: str = ""
    backend: str = ""
    plugins: tuple[str, ...] = ()
    target: float | dict[str, float] | None = None
    budget: BudgetConfig = BudgetConfig()
    rungs: Literal["default"] | tuple[str | JSONObject, ...] = "default"
    seed: int = 0
    folder: str = ""
    unlabelled: str = ""
    group: str = ""
    allow_leakage: bool = False
    test_items: int | None = Field(default=None, ge=0)
    folds: int | Literal["auto"] = "auto"

    def load_plugins(self) -> None:
        """Runs the files of ``plugins`` that were not run yet; ``climb`` does so, too.

        Raises:
            SettingError: One cannot be loaded.
        """
        for path in self.plugins:
            load_plugin(path)

    def climb(self, backend: Backend, *, resume: bool = False, progress: ClimbProgress | None = None) -> ClimbResult:
        """Climbs.

        Args:
            backend: The model that ``model``, ``base_url``, ``api_key_env`` and ``cache`` say, already opened.
            resume: Whether to go on with what the run folder holds.
            progress: Called while work goes on.

        Returns:
            The outcome.

        Raises:
            PromptkitError: As ``promptkit.climb``, and whatever is wrong with task and data.
        """
        self.load_plugins()
        task = load_task(self.task)
        # A climb is stricter than loading: it also refuses dev items that stand in train.
        leakage: Literal["warn", "auto"] = "warn" if self.allow_leakage else "auto"
        how: dict[str, Any] = {"columns": self.columns, "delimiter": self.delimiter, "encoding": self.encoding}
        data = load_examples(self.data or self.task, task=task, on_leakage=leakage, **how)
        if self.test_items is not None:
            data = replace(data, test=data.test[: self.test_items])
        return climb(
            task,
            data,
            backend,
            target={task.metric: self.target} if isinstance(self.target, float) else self.target or None,
            budget=Budget(**self.budget.model_dump()),
            seed=self.seed,
            rungs="default" if self.rungs == "default" else [_rung(task, one) for one in self.rungs],
            folder=self.folder or None,
            resume=resume,
            unlabelled=_queries(self, task) if self.unlabelled else None,
            group=self.group or None,
            on_leakage="force" if self.allow_leakage else "fail",
            folds=self.folds,
            **self.model_dump(include=set(DecisionRule.model_fields)),
            progress=progress,
        )


@opens(SettingError, of="read_config", others=True)
def read_config(path: str | os.PathLike[str], **changes: Any) -> ClimbConfig:
    """Reads a climb from a YAML file.

    Args:
        path: The file, or "" for none: then ``changes`` say everything.
        changes: Values that replace those of the file; a mapping is merged into that of the file.

    Returns:
        The settings; paths in the file are taken from its folder.

    Raises:
        SettingError: The file is missing, is no YAML mapping, or a value is unknown or of the wrong kind.

    Example:
        >>> read_config("", task="apples", budget={"minutes": 10}).budget.minutes
        10.0
    """
    label, values = "climb", dict[str, Any]()
    if os.fspath(path):
        file = Path(path)
        label = file.name
        values = _from_folder(_read(file), file.parent)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
        values[name] = {**values[name], **value} if both else value
    try:
        return ClimbConfig.model_validate(values)
    except ValidationError as error:
        raise _as_setting_error(error, label) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise SettingError(
                error_message("size", of=file.name, expected=f"at most {MAX_BYTES} bytes", got=file.stat().st_size)
            )
        return read_mapping(file.read_text(encoding="utf-8"), file.name)
    except OSError as error:
        raise SettingError(f"{file.name} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SettingError(f"{file.name} must be UTF-8, got byte {error.object[error.start]:#04x}") from None
    except TaskError as error:
        raise SettingError(str(error)) from None


def _from_folder(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Turns relative paths of a file into paths from here; names of tasks and models stay as they are."""
    found = dict(values)
    for name in ("folder", "unlabelled", "cache"):
        if isinstance(found.get(name), str) and found[name]:
            found[name] = str(folder / found[name])
    if isinstance(found.get("plugins"), list):
        found["plugins"] = [str(folder / path) if isinstance(path, str) else path for path in found["plugins"]]
    task, data, model = (values[n] if isinstance(values.get(n), str) else "" for n in ("task", "data", "model"))
    if task and not _is_shipped(task, folder) and (folder / task).is_dir():
        found["task"] = _as_path(folder / task)
    if data and not _is_shipped(data, folder):
        found["data"] = _as_path(folder / data)
    if model not in ("", "reference") and not values.get("base_url") and (folder / model).is_dir():
        found["model"] = str(folder / model)
    return found


def _as_path(path: Path) -> str:
    """Writes a path so that it is not the bare name of a shipped task: ./tickets, where ``str`` gives tickets."""
    return str(path) if is_path(str(path)) else os.path.join(os.curdir, path)


def _is_shipped(source: str, folder: Path) -> bool:
    """Whether a value in a file is the bare name of a shipped task; refuses one that the file's folder has too."""
    try:
        return not is_path(source) and resolve_name(source, of="climb", folder=folder) is not None
    except TaskError as error:
        raise SettingError(str(error)) from None


def _as_setting_error(error: ValidationError, label: str) -> SettingError:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = BudgetConfig.model_fields if where.startswith("budget.") else ClimbConfig.model_fields
        return SettingError(error_message("a key", of=label, expected=one_of(known), got=where))
    if fault["type"] == "missing":
        return SettingError(f"{label}: {where} is missing")
    return SettingError(
        error_message(where, of=label, expected=fault["msg"].removeprefix("Input should be "), got=fault["input"])
    )


def _rung(task: Task, value: str | JSONObject) -> str | tuple[str, Any] | Rung:
    if isinstance(value, str):
        return value
    rest = dict(value)
    name = rest.pop("name", "")
    if not isinstance(name, str):
        raise SettingError(error_message("name", of="a rung", expected="a text", got=name))
    return name, adapter_from_settings(task, rest)


def _queries(config: ClimbConfig, task: Task) -> list[Query]:
    """Reads questions; columns that are no field of the task, such as a target, are left out."""
    source, queries, faults = Path(config.unlabelled), [], []
    given = data_settings(config.columns, config.delimiter, config.encoding, of="unlabelled")
    for row in read_renamed(source, task, given):
        fields = {field: row.values.get(field) for field in task.fields}
        texts = {field: text for field, text in fields.items() if isinstance(text, str)}
        if row.fault or len(texts) < len(fields):
            faults.append(f"row {row.number}: {row.fault or 'a field is missing'}")
        else:
            queries.append(Query(texts, str(row.values.get("id") or f"row-{row.number}")))
    if faults:
        raise DataError(f"{source.name}: {len(faults)} rows cannot be used: {'; '.join(faults[:10])}")
    return queries
