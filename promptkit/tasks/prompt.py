"""Renders prompts: solved items first, the question last (Brown et al. 2020, arXiv 2005.14165).

A completion prompt is ``[instruction, separator,] item, separator, item, separator, question``, where an item
is question and answer. The separator contains a blank line and the texts between separators never do: blank
lines in fields are folded to one newline. So no text, however it imitates the layout, changes the number of
items. In a chat prompt the roles separate the turns, and texts stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from promptkit.errors import DataError, SettingError, TemplateError, error_message, one_of
from promptkit.tasks.task import Task
from promptkit.tasks.template import NEWLINES, Template, fold_blank_lines
from promptkit.types import Ask, Example, Message, Prompt, Query

__all__ = ["Form", "render", "render_answer"]

Form = Literal["completion", "chat"]
"""For a model that continues text, or for one that answers messages."""


def render(
    task: Task,
    query: Query,
    demos: Sequence[Example] = (),
    *,
    ask: Ask = "direct",
    form: Form = "completion",
    instruction: int | str | None = 0,
) -> Prompt:
    """Renders a prompt. Equal arguments give equal bytes.

    Args:
        task: The task.
        query: The question.
        demos: Worked examples, in the order in which the model reads them.
        ask: The way of asking.
        form: For a completion model or a chat model.
        instruction: Which of the task's instructions to give, any other text, or ``None`` for no
            instruction.

    Returns:
        The prompt, in the wanted form.

    Raises:
        DataError: A field or a rationale is missing or is no text; says which item.
        SettingError: There is no such instruction or form.
        TaskError: The task cannot be asked this way.
        TemplateError: The texts are longer than a template takes.

    Example:
        >>> from promptkit.tasks.task import load_task
        >>> query = Query({"question": "Jane has 2 apples. How many has she?"})
        >>> render(load_task("apples"), query, instruction=None).text.endswith("Answer:")
        True
    """
    template = task.template(ask)
    told = _instruction(task, template, instruction)
    if form == "chat":
        messages = [Message("system", told)] if told.strip() else []
        for demo in demos:
            messages.append(Message("user", _question(task, template, demo.query, fold=False)))
            messages.append(Message("assistant", _answer(task, template, demo, fold=False).strip()))
        return Prompt(messages=(*messages, Message("user", _question(task, template, query, fold=False))))
    if form != "completion":
        raise SettingError(error_message("form", of="render", expected=one_of(["completion", "chat"]), got=form))
    parts = [_fold(told)] if told.strip() else []
    parts += [
        _question(task, template, demo.query, fold=True) + _answer(task, template, demo, fold=True) for demo in demos
    ]
    return Prompt(text=task.separator.join([*parts, _question(task, template, query, fold=True)]))


def render_answer(task: Task, example: Example, *, ask: Ask = "direct", form: Form = "completion") -> str:
    """Renders what a model should write after the question; training learns exactly this.

    Args:
        task: The task.
        example: The example; its preferred target is shown.
        ask: The way of asking.
        form: For a completion model or a chat model.

    Returns:
        The continuation of ``render(task, example.query, ...)``, byte for byte what a demonstration shows.

    Raises:
        DataError: A field or the rationale is missing.
        TaskError: The task cannot be asked this way.
    """
    answer = _answer(task, task.template(ask), example, fold=form == "completion")
    return answer.strip() if form == "chat" else answer


def _instruction(task: Task, template: Template, instruction: int | str | None) -> str:
    if isinstance(instruction, str):
        return template.instruction(instruction)
    if instruction is None or (instruction == 0 and not task.instructions):
        return ""
    if type(instruction) is not int or not 0 <= instruction < len(task.instructions):
        expected = f"a text, None, or one of 0 to {len(task.instructions) - 1} (task {task.name!r})"
        raise SettingError(error_message("instruction", of="render", expected=expected, got=instruction))
    return template.instruction(task.instructions[instruction])


def _fold(text: str) -> str:
    return fold_blank_lines(text).strip(NEWLINES)


def _fields(task: Task, query: Query, fold: bool) -> dict[str, str]:
    """Takes the task's fields out of a query; anything else in the query never reaches a template."""
    fields = {}
    for name in task.fields:
        text = query.fields.get(name)
        if not isinstance(text, str):
            of = f"query {query.id!r}" if query.id else "query"
            raise DataError(error_message(f"field {name!r}", of=of, expected="given, as text", got=text))
        fields[name] = _fold(text) if fold else text
    return fields


def _question(task: Task, template: Template, query: Query, *, fold: bool) -> str:
    question = template.question(_fields(task, query, fold))
    # Folded again as a whole: an empty field may leave two line breaks of the template side by side.
    question = fold_blank_lines(question).lstrip(NEWLINES) if fold else question
    if not question.strip():
        of = f"query {query.id!r}" if query.id else "query"
        raise DataError(error_message("question", of=of, expected="a text that is not blank", got=question))
    return question


def _answer(task: Task, template: Template, example: Example, *, fold: bool) -> str:
    fields = _fields(task, example.query, fold)
    target, rationale = example.target, example.rationale
    if fold:
        target, rationale = _fold(target), None if rationale is None else _fold(rationale)
    try:
        answer = template.answer(fields, target, rationale)
    except TemplateError as error:
        if rationale is None and "rationale" in template.shows["answer"]:
            hint = "give a rationale, or ask 'direct'"
            raise DataError(
                error_message("rationale", of=f"example {example.id!r}", expected="given", got=None, hint=hint)
            ) from error
        raise
    if not fold:
        return answer
    answer = fold_blank_lines(answer).rstrip(NEWLINES)
    ends_line = _question(task, template, example.query, fold=True)[-1] in NEWLINES
    return answer.lstrip(NEWLINES) if ends_line else answer
