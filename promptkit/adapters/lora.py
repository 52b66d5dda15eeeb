"""LoRA (Hu et al. 2021, arXiv 2106.09685) and its family: learned low-rank changes of linear layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated

from pydantic import Field

from promptkit.adapters.base import Predictor
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.tuning import Soft, Tuning, WeightSettings, fit_weights
from promptkit.backends import Backend
from promptkit.records import part_of, settings
from promptkit.registry import find, register
from promptkit.tasks.task import Task
from promptkit.training import LoraSpec, TrainingConfig, TrainProgress
from promptkit.training.config import RATES
from promptkit.types import Example, Queries

__all__ = ["LoRA"]


@register("strategy", "lora")
@settings
class LoRA(LoraSpec, WeightSettings):
    """Low-rank changes of a frozen model's linear layers. The most expensive rung: it teaches what no prompt can say.

    The model is never changed: every request names its weights, so base, soft prompts and several LoRAs answer side by
    side. Variants: ``lora``; ``rslora`` (scale alpha / sqrt(rank), Kalajdzievski 2023, arXiv 2312.03732); ``dora``
    (direction and size apart, Liu et al. 2024, arXiv 2402.09353); ``adalora`` (ranks given to the layers that need
    them, Zhang et al. 2023, arXiv 2303.10512), for which ``rank`` is the target and training starts at 1.5 times it.

    Attributes:
        task: What is to be done.
        soft_prompt: Number of vectors before the text that are learned together with the changes, starting from the
            task's own tokens; ``None`` for none.
        soft_learning_rate: Peak learning rate of those vectors, in (0, 100] (see ``SoftPrompt``).

    Example:
        >>> from promptkit import LoRA, load_task
        >>> LoRA(load_task("notation"), targets=["q_proj", "v_proj"]).targets
        ('q_proj', 'v_proj')
    """

    task: Task
    _: KW_ONLY
    soft_prompt: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    soft_learning_rate: Annotated[float, Field(gt=0.0, le=100.0)] = RATES["prompt"]

    def __post_init__(self) -> None:
        """Checks names, and settings that only make sense together."""
        find("selector", self.select, of="LoRA", which="select")
        LoraSpec.__post_init__(self)

    def fit(
        self,
        examples: Sequence[Example],
        backend: Backend,
        *,
        dev: Sequence[Example] | None = None,
        seed: int = 0,
        teacher: Predictor | None = None,
        unlabelled: Queries | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: TrainProgress | None = None,
    ) -> PlanPredictor:
        """Learns the changes.

        Args:
            examples: Training examples; a split named "test" is refused.
            backend: The model, a ``LocalBackend``, also behind a ``CachedBackend``; it is not changed.
            dev: Examples on which the best step is chosen, none of them among the training examples. Without any
                the last step is taken.
            seed: Seed of first weights, order and demonstrations.
            teacher: A fitted predictor of the same task: with ``unlabelled`` its answers, voted if it votes, become
                targets; with ``reasoned`` its reasonings become rationales, where they ended in the right answer.
            unlabelled: Queries that the teacher answers; where it abstains they are left out, and counted in
                ``notes["examples"]``.
            checkpoint: Folder for checkpoints; a training that was cut off goes on from the newest one in it.
            progress: Called after every step with (step, steps, loss, seconds left).

        Returns:
            The predictor, with the changes in ``lora`` and the course of training in ``training``.

        Raises:
            UnsupportedError: The backend has no model to train, or the change would not be trained as planned on this
                architecture, or could not be used; nothing was trained.
            SettingError: Settings do not fit each other, the task or the model.
            DataError: There is nothing to train on.
            LeakageError: Dev items are among the training items.
        """
        return fit_weights(
            self.tuning(),
            examples,
            backend,
            dev=dev,
            seed=seed,
            teacher=teacher,
            unlabelled=unlabelled,
            checkpoint=checkpoint,
            progress=progress,
        )

    def tuning(self) -> Tuning:
        """Returns the settings as what is to be trained, and how."""
        soft = None
        if self.soft_prompt is not None:
            soft = Soft("prompt", self.soft_prompt, "domain", learning_rate=self.soft_learning_rate)
        train = part_of(self, TrainingConfig)
        return Tuning("LoRA", "lora", self.asks(self.task), train, lora=part_of(self, LoraSpec), soft=soft)
