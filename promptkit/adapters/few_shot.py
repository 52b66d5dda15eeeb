"""Few-shot prompting (Brown et al. 2020, arXiv 2005.14165): solved questions first, the new question last."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Annotated, Literal

from pydantic import Field

from promptkit.adapters.plan import MAX_NEW_TOKENS, MAX_SEED, MAX_SHOTS, Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.search import search_demonstrations
from promptkit.adapters.selection import select
from promptkit.backends import Backend
from promptkit.backends.base import check_backend
from promptkit.data import check_examples
from promptkit.errors import DataError, SettingError, error_message
from promptkit.records import settings
from promptkit.registry import Registered, find, register
from promptkit.tasks.task import Task
from promptkit.types import Ask, Example

__all__ = ["FewShot", "choose_form", "choose_instruction", "find_select"]


@register("strategy", "few_shot")
@settings
class FewShot:
    """A prompt with worked examples, and one greedy answer. The cheapest rung.

    Attributes:
        task: What is to be done.
        shots: Number of demonstrations, 0 to 1,000. Fewer stand in the prompt where the context window is too small.
        select: How they are chosen: ``first``, ``random``, ``balanced`` over labels, ``nearest`` to each question
            (lexical), ``diverse`` for each question (maximal marginal relevance), another registered selector, or
            ``searched``: several sets are tried on dev, and the one that scores best is kept.
        ask: ``direct`` or, where the task has a reasoning template and data with rationales, ``reasoned``.
        instruction: Which of the task's instructions heads the prompt, by number; or a text of your own; or
            ``None``. ``searched`` tries all of the task's instructions instead.
        form: ``completion``, ``chat``, or ``auto`` for what the model prefers.
        answer_by: ``generation``, or ``likelihood`` for label tasks: the most likely label wins, and always one does.
        max_new_tokens: Limit of generated tokens; by default the task's.
        trials: Number of sets that ``searched`` tries, 1 to 1,000.
        search_items: Number of dev examples on which ``searched`` tries them, the first ones of dev; at most a million.

    Example:
        >>> from promptkit import FewShot, ScriptedBackend, load_examples, load_task
        >>> data, task = load_examples("apples"), load_task("apples")
        >>> backend = ScriptedBackend(lambda request, index: " The answer is 5.")
        >>> predictor = FewShot(task, shots=2).fit(data.train, backend)
        >>> predictor.predict([{"question": "Ann has 2 pears and finds 3. How many pears does Ann have?"}])[0].answer
        '5'
    """

    task: Task
    shots: Annotated[int, Field(ge=0, le=MAX_SHOTS, strict=True)] = 4
    select: str = "balanced"
    ask: Ask = "direct"
    instruction: int | str | None = 0
    form: Literal["auto", "completion", "chat"] = "auto"
    answer_by: Literal["generation", "likelihood"] = "generation"
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] | None = None
    trials: Annotated[int, Field(ge=1, le=1000)] = 12
    search_items: Annotated[int, Field(ge=1, le=1_000_000)] = 50

    def __post_init__(self) -> None:
        """Checks the name of the selector."""
        find_select(self.select, of="FewShot")

    def fit(
        self, examples: Sequence[Example], backend: Backend, *, dev: Sequence[Example] | None = None, seed: int = 0
    ) -> PlanPredictor:
        """Chooses the demonstrations.

        Args:
            examples: Training examples; a split named "test" is refused.
            backend: The model that will answer.
            dev: Examples on which ``searched`` scores its trials; other choices do not need it.
            seed: Seed of the choice.

        Returns:
            The predictor.

        Raises:
            DataError: There are fewer usable examples than shots, or a rationale is missing.
            SettingError: A setting does not fit the task or the backend.
        """
        check_examples(examples, of="FewShot.fit")
        check_examples(dev if dev is not None else (), of="FewShot.fit", which="dev")
        check_backend(backend, of="fit")
        if self.answer_by == "likelihood" and not self.task.labels:
            raise SettingError(
                error_message(
                    "answer_by", of="FewShot", expected="'generation' for a task without labels", got=self.answer_by,
                    hint=f"list labels in the task.yaml of {self.task.name!r}, or generate",
                )
            )  # fmt: skip
        if isinstance(seed, bool) or not isinstance(seed, Integral) or abs(seed) > MAX_SEED:
            raise SettingError(error_message("seed", of="fit", expected="an integer below 2**63 in size", got=seed))
        pool = usable_examples(self.task, examples, self.ask, self.shots)
        plan = Plan(
            kind="few_shot",
            ask=self.ask,
            answer_by=self.answer_by,
            form=choose_form(self.form, backend),
            instruction=choose_instruction(self.task, self.instruction),
            shots=self.shots,
            max_new_tokens=self.max_new_tokens or self.task.max_new_tokens[self.ask],
            seed=seed,
        )
        if self.shots == 0:
            return PlanPredictor(plan, self.task, backend)
        if self.select == "searched":
            return search_demonstrations(
                plan, self.task, backend, pool, dev, trials=self.trials, items=self.search_items
            )
        selector = find_select(self.select, of="FewShot")
        if selector is not None and selector.options.get("per_query"):
            plan = plan.model_copy(update={"per_query": self.select, "demos": tuple(pool)})
        else:
            labels = self.task.labels or None
            demos = select(self.select, pool, self.shots, seed=seed, labels=labels)
            plan = plan.model_copy(update={"demos": tuple(demos)})
        return PlanPredictor(plan, self.task, backend)


def find_select(name: str, of: str) -> Registered | None:
    """Finds a way of choosing demonstrations.

    Args:
        name: The name of a selector, or ``searched``.
        of: Whose setting it is, for messages.

    Returns:
        The selector; ``None`` for ``searched``.

    Raises:
        SettingError: The name is unknown.
    """
    return None if name == "searched" else find("selector", name, of=of, which="select", also=("searched",))


def usable_examples(task: Task, examples: Sequence[Example], ask: Ask, shots: int) -> Sequence[Example]:
    """Returns the examples that can be demonstrations for a way of asking.

    Args:
        task: The task.
        examples: Training examples; a split named "test" is refused by ``select``.
        ask: With ``reasoned`` only examples with a rationale are usable.
        shots: Number wanted.

    Returns:
        The examples themselves where all are usable, so that a split keeps its name.

    Raises:
        DataError: Fewer are usable than wanted.
    """
    task.template(ask)
    if ask == "direct" or shots == 0:
        return examples
    if getattr(examples, "name", None) == "test":
        select("first", examples, 0)
    with_reasons = [example for example in examples if example.rationale]
    if len(with_reasons) < shots:
        raise DataError(
            error_message(
                "rationales", of=f"task {task.name!r}", expected=f"there for at least {shots} training examples",
                got=len(with_reasons), hint="add rationales, bootstrap them with ChainOfThought, or ask directly",
            )
        )  # fmt: skip
    return with_reasons


def choose_form(form: Literal["auto", "completion", "chat"], backend: Backend) -> Literal["completion", "chat"]:
    """Settles the form of prompts: ``auto`` is what the backend prefers.

    Args:
        form: The wish.
        backend: The model.

    Returns:
        The form.
    """
    if form == "auto":
        return "chat" if backend.chat else "completion"
    return form


def choose_instruction(task: Task, instruction: int | str | None) -> str | None:
    """Settles the text that heads every prompt.

    Args:
        task: The task with its instructions.
        instruction: A number of the list, a text, or ``None`` for no instruction.

    Returns:
        The text, or ``None``; also where the task lists no instruction and number 0 is asked for.

    Raises:
        SettingError: There is no instruction of that number.
    """
    if not isinstance(instruction, int):
        return instruction
    if instruction == 0 and not task.instructions:
        return None
    if not 0 <= instruction < len(task.instructions):
        expected = f"one of 0 to {len(task.instructions) - 1}, a text or None"
        raise SettingError(error_message("instruction", of=f"task {task.name!r}", expected=expected, got=instruction))
    return task.instructions[instruction]
