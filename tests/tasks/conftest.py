from __future__ import annotations

import pytest

from promptkit.tasks.task import Task, build_task
from promptkit.types import Example, Query

DIRECT = (
    "{% macro question(item) %}Question: {{ item.question }}\nAnswer:{% endmacro %}"
    "{% macro answer(item) %} The answer is {{ item.target }}.{% endmacro %}"
)
MARKED = {"kind": "marked", "marker": "The answer is", "then": "number"}


@pytest.fixture
def apples() -> Task:
    values = {
        "name": "apples",
        "instructions": ["Solve the problem.", "Work\n\nit out."],
        "fields": ["question"],
        "parsers": {"direct": MARKED, "reasoned": MARKED},
        "templates": {"direct": DIRECT, "reasoned": DIRECT.replace(" The answer", " {{ item.rationale }} The answer")},
    }
    return build_task(values, of="apples")


@pytest.fixture
def notes() -> Task:
    """Two fields, line breaks of the template right beside fields, a field that may be empty."""
    template = (
        "{% macro question(item) %}{{ item.text }}\n{{ item.hint }}\nNote:\n{% endmacro %}"
        "{% macro answer(item) %}{{ item.target }}{% endmacro %}"
        "{% macro instruction(text) %}Task: {{ text }}{% endmacro %}"
    )
    values = {
        "name": "notes",
        "instructions": ["Shorten."],
        "fields": ["text", "hint"],
        "parsers": {"direct": {"kind": "line"}},
        "templates": {"direct": template},
        "separator": "\n\n###\n\n",
    }
    return build_task(values, of="notes")


def example(question: str, target: str, rationale: str | None = None, id: str = "") -> Example:
    return Example(Query({"question": question}, id), (target,), rationale)
