"""Reports examples whose texts imitate the layout of the prompt, which makes them doubtful demonstrations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from promptkit.tasks.task import Task
from promptkit.tasks.template import NEWLINES, fold_blank_lines
from promptkit.types import Example

__all__ = ["lint"]


def lint(task: Task, examples: Sequence[Example]) -> list[str]:
    """Finds texts that contain what marks the parts of a prompt.

    Rendering keeps the number of items right whatever a text contains; but a model may still be led astray by
    a question that holds "Answer: 5", and a stop text in a target ends every answer too early. Braces of
    Jinja are plain data and are not reported.

    Args:
        task: The task whose templates, parsers and stop texts are looked for.
        examples: The examples, usually the training split.

    Returns:
        One line for each finding: example, part, what was found and what it means. Empty if there is none.

    Example:
        >>> from promptkit.tasks.task import load_task
        >>> from promptkit.types import Query
        >>> lint(load_task("apples"), [Example(Query({"question": "One and one?"}, "a"), ("2",))])
        []
    """
    patterns = [(mark, _pattern(mark)) for mark in _marks(task)]
    found = []
    for index, example in enumerate(examples):
        name = example.id or f"number {index}"
        for part, text in _parts(task, example):
            plain = _plain(text)
            for mark, pattern in patterns:
                if pattern.search(plain):
                    found.append(f"{name}: {part} contains {mark!r}, which marks a part of the prompt")
            if fold_blank_lines(text).strip(NEWLINES) != text.strip(NEWLINES):
                found.append(f"{name}: {part} contains a blank line, which a completion prompt folds")
            for stop in task.stop:
                if stop.strip(NEWLINES) and stop in text:
                    found.append(f"{name}: {part} contains the stop text {stop!r}")
    return found


def _marks(task: Task) -> list[str]:
    """Collects the delimiters of every template and the markers of every parser."""
    marks: list[str] = []
    for ask in task.templates:
        marks += task.template(ask).delimiters
        marks += task.parsers[ask].markers
    return list(dict.fromkeys(mark for mark in marks if mark.strip()))


def _parts(task: Task, example: Example) -> Iterator[tuple[str, str]]:
    for field in task.fields:
        yield field, example.query.fields.get(field, "")
    for target in example.targets:
        yield "target", target
    if example.rationale is not None:
        yield "rationale", example.rationale


def _plain(text: str) -> str:
    """Brings texts that look alike to one form: compatible characters, case, white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _pattern(mark: str) -> re.Pattern[str]:
    """Looks for a mark, not inside longer Latin words: "A:" is no part of "DNA:"."""
    plain = _plain(mark)
    before = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", plain) else ""
    after = r"(?![a-z0-9])" if re.search(r"[a-z0-9]$", plain) else ""
    return re.compile(before + re.escape(plain) + after)
