"""The questions of a task, from which a router learns what belongs to it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptkit.data import Data
from promptkit.data.rows import read_file
from promptkit.errors import DataError, TaskError, error_message
from promptkit.tasks.loading import task_folder
from promptkit.tasks.task import Task, list_tasks, load_task
from promptkit.types import Example

__all__ = ["Questions", "joined", "shipped_questions"]


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions of a task as plain texts, without their answers.

    Attributes:
        train: What a new question is compared with.
        dev: On which the threshold is set; none of them is in ``train``.
    """

    train: tuple[str, ...]
    dev: tuple[str, ...]

    @classmethod
    def of(cls, data: Data) -> Questions:
        """Takes the questions of the training and the dev split; the test split is not looked at.

        Args:
            data: The task's examples.

        Returns:
            The questions.

        Raises:
            DataError: The data have no dev split to set a threshold on, or nothing to compare with.
        """
        train = tuple(dict.fromkeys(_texts(data.train)))
        known = set(train)
        dev = tuple(text for text in dict.fromkeys(_texts(data.dev)) if text not in known)
        if not train or not dev:
            expected = "data with a training and a dev split, neither empty"
            raise DataError(error_message("data", of="Questions", expected=expected, got=(len(train), len(dev))))
        return cls(train, dev)


def _texts(examples: Sequence[Example]) -> list[str]:
    return [joined(example.query.fields) for example in examples]


def joined(fields: Mapping[str, str]) -> str:
    """Writes the fields of a query below each other, in order."""
    return "\n".join(fields.values())


def shipped_questions(task: Task) -> Questions | None:
    """Returns the questions of a shipped task, or ``None`` for any other task, whatever its name."""
    try:
        shipped = task.name in list_tasks() and load_task(task_folder(task.name)).fields == task.fields
        return _shipped(task.name, task.fields) if shipped else None
    except (DataError, TaskError):
        return None


@functools.lru_cache(maxsize=32)
def _shipped(name: str, fields: tuple[str, ...]) -> Questions:
    """Reads the files as they are: ``load_examples`` would measure leakage, which is done where they are made."""
    folder = task_folder(name) / "data"
    train, dev = (
        tuple("\n".join(str(row.values[field]) for field in fields) for row in read_file(folder / f"{split}.jsonl"))
        for split in ("train", "dev")
    )
    return Questions(train, dev)
