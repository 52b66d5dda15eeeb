"""Chain of thought (Wei et al. 2022) with self-consistency voting (Wang et al. 2022, arXiv 2203.11171)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from promptkit.adapters.bootstrap import bootstrap_rationales
from promptkit.adapters.few_shot import FewShot, find_select
from promptkit.adapters.plan import MAX_NEW_TOKENS, MAX_SAMPLES, MAX_SHOTS, Aggregation, Plan, Stop
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.voting import needs_logprobs
from promptkit.backends import Backend
from promptkit.backends.base import check_logprobs
from promptkit.data import check_examples
from promptkit.errors import SettingError, error_message
from promptkit.parsing import Tie
from promptkit.records import settings
from promptkit.registry import find, register
from promptkit.tasks.task import Task
from promptkit.types import Example, JSONObject

__all__ = ["ChainOfThought"]


@register("strategy", "chain_of_thought")
@settings
class ChainOfThought:
    """Demonstrations that show reasoning, several sampled paths, and a vote over their answers.

    Attributes:
        task: What is to be done; it has a reasoning template.
        shots: Number of demonstrations with rationales.
        samples: Paths sampled per question at most, 1 to 10,000; 1 with ``temperature=0`` is plain chain of thought.
        temperature: Divisor of the logits; above 0 where there are several samples.
        top_p: Nucleus share of sampling.
        vote: ``majority``, ``distinct`` (a path counts once however often its reasoning recurs), ``weighted`` (by
            mean token log-probability) or another registered aggregator.
        stop: ``none`` or ``None``, ``beta`` (Adaptive-Consistency), ``window`` (early-stopping self-consistency),
            another registered rule, or a rule itself.
        tie: ``stable`` does not depend on the order of samples; ``first`` is the first seen, as in the papers.
        near: Overlap from which two reasonings are one path; ``None`` for equal texts only.
        min_agreement: Least share of all samples, abstentions included, that must agree; below it no answer is given.
        show_reasoning: Whether predictions carry what was generated; if not, they hold answers and votes only.
        select: How demonstrations are chosen, as in ``FewShot``.
        instruction: Which instruction heads the prompt, as in ``FewShot``.
        form: ``completion``, ``chat`` or ``auto``.
        max_new_tokens: Limit of generated tokens per path; by default the task's.
        bootstrap: Let the model reason over training questions that have no rationale, and keep rationales that end in
            the right target (STaR, Zelikman et al. 2022). The notes of the predictor count them.
        bootstrap_items: Number of training questions over which the model reasons, at most a million.
        trials: Number of sets that ``searched`` tries.
        search_items: Number of dev examples on which it tries them.

    Example:
        >>> from promptkit import ChainOfThought, ScriptedBackend, load_examples, load_task
        >>> paths = [" 2 + 3 = 5. The answer is 5.", " 2 * 3 = 6. The answer is 6.", " 3 + 2 = 5. The answer is 5."]
        >>> adapter = ChainOfThought(load_task("apples"), shots=2, samples=3)
        >>> predictor = adapter.fit(load_examples("apples").train, ScriptedBackend(paths))
        >>> prediction = predictor.predict([{"question": "Ann has 2 pears and finds 3. How many has she?"}])[0]
        >>> prediction.answer, dict(prediction.votes), round(prediction.agreement, 2)
        ('5', {'5': 2, '6': 1}, 0.67)
    """

    task: Task
    shots: Annotated[int, Field(ge=0, le=MAX_SHOTS, strict=True)] = 4
    samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES, strict=True)] = 20
    temperature: Annotated[float, Field(ge=0.0, le=10.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    vote: str = "majority"
    stop: Stop = "none"
    tie: Tie = "stable"
    near: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    min_agreement: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    show_reasoning: bool = True
    select: str = "balanced"
    instruction: int | str | None = 0
    form: Literal["auto", "completion", "chat"] = "auto"
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] | None = None
    bootstrap: bool = False
    bootstrap_items: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    trials: Annotated[int, Field(ge=1, le=1000)] = 6
    search_items: Annotated[int, Field(ge=1, le=1_000_000)] = 50

    def __post_init__(self) -> None:
        """Checks names, and settings that only make sense together."""
        find("aggregator", self.vote, of="ChainOfThought", which="vote")
        find_select(self.select, of="ChainOfThought")
        if self.samples > 1 and self.temperature == 0:
            raise SettingError(
                error_message(
                    "temperature", of="ChainOfThought", expected=f"above 0 for {self.samples} samples",
                    got=self.temperature, hint="greedy samples are all the same; set samples=1 for one greedy path",
                )
            )  # fmt: skip

    def fit(
        self, examples: Sequence[Example], backend: Backend, *, dev: Sequence[Example] | None = None, seed: int = 0
    ) -> PlanPredictor:
        """Chooses the demonstrations; writes their rationales first, if asked to.

        Args:
            examples: Training examples; a split named "test" is refused.
            backend: The model that will answer.
            dev: Examples on which ``searched`` scores its trials.
            seed: Seed of the choice and of bootstrapping.

        Returns:
            The predictor.

        Raises:
            DataError: There are fewer examples with rationales than shots, bootstrapped ones included.
            TaskError: The task has no reasoning template.
            SettingError: A setting does not fit the task.
            UnsupportedError: The votes need log-probabilities, and the backend gives none.
        """
        check_examples(examples, of="ChainOfThought.fit")
        check_examples(dev if dev is not None else (), of="ChainOfThought.fit", which="dev")
        if needs_logprobs(self.vote, of="ChainOfThought"):
            check_logprobs(backend, of="ChainOfThought")
        notes: JSONObject = {}
        if self.bootstrap:
            found = bootstrap_rationales(self._few_shot(0), examples, backend, items=self.bootstrap_items, seed=seed)
            examples, notes = found.examples, {"bootstrap": found.notes}
        fitted = self._few_shot(self.shots).fit(examples, backend, dev=dev, seed=seed)
        how = Aggregation(
            rule=self.vote,
            tie=self.tie,
            near=self.near,
            stop=self.stop,
            min_agreement=self.min_agreement,
            show_reasoning=self.show_reasoning,
        )
        update = {
            "kind": "chain_of_thought",
            "samples": self.samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "aggregate": how,
        }
        plan: Plan = fitted.plan.model_copy(update=update)
        return PlanPredictor(plan, self.task, backend, {**fitted.notes, **notes})

    def _few_shot(self, shots: int) -> FewShot:
        """The same demonstrations, asked greedily and once."""
        return FewShot(
            self.task,
            shots=shots,
            select=self.select,
            ask="reasoned",
            instruction=self.instruction,
            form=self.form,
            max_new_tokens=self.max_new_tokens,
            trials=self.trials,
            search_items=self.search_items,
        )
