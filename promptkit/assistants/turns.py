"""From a question in a conversation to the predictor that answers it: head, demonstrations, earlier turns, question.

Earlier turns stand behind the demonstrations as solved items of the same form, so they are rendered by the same rules:
no text of a user can end its turn or open another. Where all of them do not fit the context window, the oldest go
first, as a whole; demonstrations go only where the question does not fit beside them without any turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from promptkit.adapters import PlanPredictor
from promptkit.adapters.base import parse_queries
from promptkit.errors import DataError, error_message
from promptkit.tasks import render
from promptkit.tasks.task import Task
from promptkit.types import Example, Query

__all__ = ["Composed", "as_query", "compose", "head"]


@dataclass(frozen=True, slots=True)
class Composed:
    """A predictor for one question of a conversation.

    Attributes:
        predictor: Plays the same plan with head, demonstrations and turns filled in.
        kept: Turns in the prompt, the oldest first.
        dropped_shots: Demonstrations that did not even fit beside the question and the task's own instruction.
    """

    predictor: PlanPredictor
    kept: tuple[Example, ...]
    dropped_shots: int


def as_query(task: Task, question: str | Mapping[str, str], given: Mapping[str, str]) -> Query:
    """Makes a query from what a user said.

    Args:
        task: The task, which lists the fields.
        question: A text for the one field that is not given, or texts by field.
        given: Fields that were said before, once for the whole conversation.

    Returns:
        The query.

    Raises:
        DataError: A text cannot tell which field it is for, or fields are missing, unknown or blank.

    Example:
        >>> from promptkit import load_task
        >>> as_query(load_task("products"), "What is the fee?", {"facts": "Halden: fee 5 euros"}).fields["question"]
        'What is the fee?'
    """
    said: object = question
    if isinstance(said, Mapping):
        fields = {**given, **question} if isinstance(question, Mapping) else {}
    elif isinstance(said, str) and isinstance(question, str):
        free = [field for field in task.fields if field not in given]
        if len(free) != 1:
            expected = f"a mapping with the fields {', '.join(free)}" if free else "a mapping, as every field is given"
            hint = "or give all fields but one for the whole conversation, as chat(given={...})"
            raise DataError(
                error_message("question", of=f"assistant of {task.name!r}", expected=expected, got=question, hint=hint)
            )
        fields = {**given, free[0]: question}
    else:
        expected = "a text, or a mapping from fields to texts"
        raise DataError(error_message("question", of=f"assistant of {task.name!r}", expected=expected, got=question))
    return replace(parse_queries(task, [fields])[0], id="question")


def head(instruction: str | None, tone: str, terms: Mapping[str, str]) -> str | None:
    """Puts together what heads a prompt: instruction, tone and the terms that occur, each on lines of its own.

    Example:
        >>> print(head("Answer.", "Be brief.", {"NAV": "net asset value"}))
        Answer.
        Be brief.
        NAV: net asset value
    """
    lines = [instruction or "", tone, *(f"{term}: {meaning}" for term, meaning in terms.items())]
    return "\n".join(line for line in lines if line.strip()) or None


def compose(predictor: PlanPredictor, query: Query, turns: Sequence[Example], told: str | None) -> Composed:
    """Fits as many of the newest turns as possible between demonstrations and question.

    Args:
        predictor: The fitted predictor.
        query: The question.
        turns: Answered turns, the oldest first.
        told: What heads the prompt.

    Returns:
        The predictor for this question.

    Raises:
        ContextLengthError: The question alone does not fit the window.
    """
    asked = predictor.ask(query)
    plan, demos = predictor.plan, asked.demos
    soft = predictor.soft_prompt.tokens if predictor.soft_prompt else 0
    room = predictor.backend.context_window - plan.max_new_tokens - soft

    def misses(dropped: int) -> bool:
        items = [*demos, *turns[dropped:]]
        prompt = render(predictor.task, query, items, ask=plan.ask, form=plan.form, instruction=told)
        return predictor.backend.count_tokens(prompt) > room

    dropped = 0
    if turns and misses(0):
        # The fewest turns whose loss makes the rest fit; if none are few enough, demonstrations go next.
        dropped = bisect_left(range(1, len(turns)), True, key=lambda count: not misses(count)) + 1
    kept = tuple(turns[dropped:])
    filled = plan.model_copy(
        update={"instruction": told, "per_query": None, "demos": (*demos, *kept), "shots": len(demos) + len(kept)}
    )
    return Composed(replace(predictor, plan=filled), kept, asked.dropped)
