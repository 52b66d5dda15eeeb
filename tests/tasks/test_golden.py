"""The rendered prompt of every shipped task, byte for byte.

After a wanted change, rewrite the pinned texts with ``python -m tests.tasks.test_golden`` and read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptkit.tasks import lint, render, render_answer
from promptkit.tasks.task import list_tasks, load_task, templates_root
from promptkit.types import Example, Query

GOLDEN = Path(__file__).parent / "golden"
RULE = "\n" + "=" * 20 + "\n"


def examples(name: str, split: str) -> list[Example]:
    fields = load_task(name).fields
    text = (templates_root() / name / "data" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [
        Example(Query({field: row[field] for field in fields}, row["id"]), (row["target"],), row.get("rationale"))
        for row in map(json.loads, text.splitlines())
    ]


def shown(name: str) -> str:
    """Both forms of a two-shot prompt, for every way of asking, and what the model should write next."""
    task = load_task(name)
    demos, example = examples(name, "train")[:2], examples(name, "dev")[0]
    parts = []
    for ask in task.templates:
        chat = render(task, example.query, demos, ask=ask, form="chat")
        parts.append(
            render(task, example.query, demos, ask=ask).text + "|" + render_answer(task, example, ask=ask) + "|"
        )
        parts += [f"<{message.role}>{message.content}|" for message in chat.messages]
        parts.append("<next>" + render_answer(task, example, ask=ask, form="chat") + "|")
    return RULE.join(parts) + "\n"


@pytest.mark.parametrize("name", list_tasks())
def test_the_prompt_of_a_shipped_domain(name):
    assert shown(name) == (GOLDEN / f"{name}.txt").read_bytes().decode("utf-8")


@pytest.mark.parametrize("name", list_tasks())
def test_shipped_demonstrations_imitate_no_layout(name):
    assert lint(load_task(name), examples(name, "train")) == []


def test_every_pinned_text_has_its_domain():
    assert sorted(path.stem for path in GOLDEN.iterdir()) == list_tasks()


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for task in list_tasks():
        (GOLDEN / f"{task}.txt").write_bytes(shown(task).encode("utf-8"))
