"""LoRA (Hu et al. 2021, arXiv 2106.09685) and its family: learned low-rank changes of linear layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from promptkit.adapters.base import Predictor
from promptkit.adapters.few_shot import FewShot
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.settings import settings
from promptkit.adapters.soft_prompt import RATES
from promptkit.adapters.tuning import Soft, Tuning, fit_weights
from promptkit.backends import Backend
from promptkit.registry import find, register
from promptkit.tasks.task import Task
from promptkit.training import LoraSpec, TrainProgress, TrainSpec
from promptkit.training.config import LoraVariant, Precision, ReportTo
from promptkit.types import Example, Queries

__all__ = ["LoRA"]


@register("strategy", "lora")
@settings
class LoRA:
    """Low-rank changes of a frozen model's linear layers. The most expensive rung: it teaches what no prompt can say.

    A linear layer ``y = W x`` becomes ``y = W x + (alpha / rank) B A x``: ``W`` (out, in) stays as it is, ``A`` (rank,
    in) and ``B`` (out, rank) are learned, and ``B`` starts at zero, so that training starts from the base model.

    The model is never changed: every request names its weights, so base, soft prompts and several LoRAs answer side by
    side. Variants: ``lora``; ``rslora`` (scale alpha / sqrt(rank), Kalajdzievski 2023, arXiv 2312.03732); ``dora``
    (direction and size apart, Liu et al. 2024, arXiv 2402.09353); ``adalora`` (ranks given to the layers that need
    them, Zhang et al. 2023, arXiv 2303.10512), for which ``rank`` is the target and training starts at 1.5 times it.

    Attributes:
        task: What is to be done.
        rank: Rank of each change.
        alpha: Scale: a change is multiplied by alpha / rank; at most 1e6.
        dropout: Dropout on the input of the changes while training.
        targets: ``all-linear`` for every linear layer but the output head, ``attention`` for those of attention,
            or names such as ``["q_proj", "v_proj"]``; never patterns. Experts that a mixture-of-experts model keeps as
            one stacked parameter are no linear layers: ``all-linear`` leaves them as they are, warns, and names them
            in ``notes["left_out"]``.
        variant: ``lora``, ``rslora``, ``dora`` or ``adalora``.
        soft_prompt: Number of vectors before the text that are learned together with the changes, starting from the
            task's own tokens; ``None`` for none.
        shots: Number of demonstrations in every prompt, in training too; never the question itself.
        select: How they are chosen, as in ``FewShot``.
        reasoned: Ask for reasoning that ends in the answer; training examples need rationales, or a teacher.
        instruction: Which instruction heads the prompt, as in ``FewShot``.
        form: ``completion``, ``chat``, or ``auto`` for what the model prefers.
        max_new_tokens: Limit of generated tokens; by default the task's.
        epochs: Times that every example is seen.
        learning_rate: Highest learning rate of the changes.
        soft_learning_rate: Highest learning rate of the vectors.
        batch_size: Examples in a forward pass.
        accumulate: Forward passes that make one step.
        patience: Epochs without a better loss on dev after which training stops; ``None`` never stops.
        max_minutes: Wall-clock limit of training, at most 1e6, or ``None``.
        precision: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the machine has it.
        report_to: Where curves are sent: ``none``, ``tensorboard``, ``wandb`` or ``mlflow``.

    Example:
        >>> from promptkit import LoRA, load_task
        >>> LoRA(load_task("notation"), targets=["q_proj", "v_proj"]).targets
        ('q_proj', 'v_proj')
    """

    task: Task
    rank: Annotated[int, Field(ge=1, le=4096, strict=True)] = 8
    alpha: Annotated[float, Field(gt=0.0, le=1e6)] = 16.0
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    variant: LoraVariant = "lora"
    soft_prompt: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    shots: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    select: str = "balanced"
    reasoned: bool = False
    instruction: int | str | None = 0
    form: Literal["auto", "completion", "chat"] = "auto"
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    epochs: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 8
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 3e-3
    soft_learning_rate: Annotated[float, Field(gt=0.0, le=100.0)] = RATES["prompt"]
    batch_size: Annotated[int, Field(ge=1, le=4096, strict=True)] = 8
    accumulate: Annotated[int, Field(ge=1, le=4096, strict=True)] = 1
    patience: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = 3
    max_minutes: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    precision: Precision = "auto"
    report_to: ReportTo = "none"

    def __post_init__(self) -> None:
        """Checks names, and settings that only make sense together."""
        find("selector", self.select, of="LoRA", which="select")
        self.lora_spec()

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

    def lora_spec(self) -> LoraSpec:
        """Returns the settings of the changes themselves."""
        return LoraSpec(
            rank=self.rank, alpha=self.alpha, dropout=self.dropout, targets=self.targets, variant=self.variant
        )

    def tuning(self) -> Tuning:
        """Returns the settings as what is to be trained, and how."""
        asks = FewShot(
            self.task,
            shots=self.shots,
            select=self.select,
            ask="reasoned" if self.reasoned else "direct",
            instruction=self.instruction,
            form=self.form,
            max_new_tokens=self.max_new_tokens,
        )
        train = TrainSpec(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            soft_learning_rate=self.soft_learning_rate,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            patience=self.patience,
            max_minutes=self.max_minutes,
            precision=self.precision,
            report_to=self.report_to,
        )
        soft = Soft("prompt", self.soft_prompt, "domain") if self.soft_prompt is not None else None
        return Tuning("LoRA", "lora", asks, train, lora=self.lora_spec(), soft=soft)
