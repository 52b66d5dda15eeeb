"""Makes the folder of a new task: small, complete, and ready to run before its first line is changed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from promptkit.errors import TaskError, error_message, opens
from promptkit.tasks.loading import check_name

__all__ = ["new_task"]

_DOMAIN = """\
# What stays fixed while strategies are compared. The name of the task is the name of this folder.
description: Names the capital of a country. Say here in one sentence what your task does.

# Ways to say what is wanted; the first is the default.
instructions:
  - Name the capital of the country.

# The input fields of a question: columns of the data, and item.<field> in the templates.
fields: [question]

# How an answer is read from what a model wrote. Other kinds: marked, number, label, choice, regex, json, text.
# Numbers have a decimal point; {kind: number, decimal: ","} takes 0,75 and 1.234,5 (metric: numeric_match_comma).
parsers:
  direct: {kind: line}

# The main metric, and what else tables show.
metric: exact_match
metrics: [exact_match, rougeL]

# Limit of generated tokens.
max_new_tokens: {direct: 16}
"""

_DIRECT = """\
{% macro question(item) %}Question: {{ item.question }}
Answer:{% endmacro %}
{% macro answer(item) %} {{ item.target }}{% endmacro %}
"""

_CAPITALS = {
    "train": {
        "Austria": "Vienna",
        "Brazil": "Brasilia",
        "Canada": "Ottawa",
        "Egypt": "Cairo",
        "France": "Paris",
        "Ghana": "Accra",
        "India": "New Delhi",
        "Japan": "Tokyo",
        "Kenya": "Nairobi",
        "Mexico": "Mexico City",
        "Norway": "Oslo",
        "Spain": "Madrid",
    },
    "dev": {"Chile": "Santiago", "Greece": "Athens", "Nepal": "Kathmandu", "Portugal": "Lisbon"},
    "test": {"Cuba": "Havana", "Finland": "Helsinki", "Ireland": "Dublin", "Peru": "Lima", "Senegal": "Dakar"},
}


@opens(TaskError, of="new_task", which="folder", place=1)
def new_task(name: str, folder: str | os.PathLike[str] = ".") -> Path:
    """Makes a task folder with settings, a template and tiny data for training, choice and test.

    The folder appears complete or not at all, and an existing one is never touched.

    Args:
        name: What the task is called: letters, digits, ``.``, ``_`` and ``-``.
        folder: Where the folder is made.

    Returns:
        The path of the new folder, which ``load_task`` and ``load_examples`` take.

    Raises:
        TaskError: The name is not allowed, something of that name exists, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from promptkit.tasks.task import load_task
        >>> load_task(new_task("capitals", tempfile.mkdtemp())).fields
        ('question',)
    """
    check_name(name)
    parent = Path(folder)
    target = parent / name
    if os.path.lexists(target):
        hint = "choose another name or another place"
        raise TaskError(
            error_message("name", of="new task", expected="a name that is not taken", got=str(target), hint=hint)
        )
    try:
        # Made beside its final place, so that the last step is one rename on one file system.
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    except OSError as error:
        raise TaskError(f"{parent}: the folder of the task cannot be made: {error.strerror}") from None
    try:
        inside = draft / name
        for path, text in _files().items():
            (inside / path).parent.mkdir(parents=True, exist_ok=True)
            (inside / path).write_text(text, encoding="utf-8", newline="\n")
        inside.rename(target)
    except OSError as error:
        raise TaskError(f"{target}: the folder of the task cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _files() -> dict[str, str]:
    """Returns the text of every file by its path in the folder."""
    files = {"task.yaml": _DOMAIN, "direct.jinja": _DIRECT}
    for split, capitals in _CAPITALS.items():
        files[f"data/{split}.jsonl"] = _rows(split, capitals.items())
    return files


def _rows(split: str, pairs: Iterable[tuple[str, str]]) -> str:
    rows = (
        {"id": f"{split}-{number}", "question": f"What is the capital of {country}?", "target": capital}
        for number, (country, capital) in enumerate(pairs, 1)
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
