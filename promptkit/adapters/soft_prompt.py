"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691), prefix tuning and P-tuning: learned vectors before the text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from promptkit.adapters.base import Predictor
from promptkit.adapters.few_shot import FewShot
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.settings import settings
from promptkit.adapters.tuning import Soft, Tuning, fit_weights
from promptkit.backends import Backend
from promptkit.errors import SettingError, error_message
from promptkit.registry import find, register
from promptkit.tasks.task import Task
from promptkit.training import TrainProgress, TrainSpec
from promptkit.training.config import Precision, ReportTo, SoftKind
from promptkit.training.initialization import Init
from promptkit.types import Example, Queries

__all__ = ["SoftPrompt"]

RATES: dict[SoftKind, float] = {"prompt": 0.05, "prefix": 0.05, "ptuning": 0.003}
"""Learning rate of each kind where none is given: vectors need a far higher one than matrices."""


@register("strategy", "soft_prompt", own_kind="soft_kind")
@settings
class SoftPrompt:
    """Vectors that stand before every prompt and are learned; the model stays frozen. Cheap to keep and to send.

    Three kinds: ``prompt`` learns input embeddings (Lester et al. 2021); ``prefix`` keys and values of every layer (Li
    and Liang 2021, arXiv 2101.00190); ``ptuning`` input embeddings through a small network, which is folded away when
    training ends (Liu et al. 2021, arXiv 2103.10385). Unlike PEFT's own generation, the vectors stand right before the
    text in every row of a padded batch, so an answer does not depend on its neighbours.

    Attributes:
        task: What is to be done.
        tokens: Number of vectors, which take as many places of the context window.
        kind: ``prompt``, ``prefix`` or ``ptuning``; ``soft_kind`` in settings files, whose ``kind`` is the strategy.
        init: Starting point: ``domain`` the tokens that the task uses more than general text does (weighted log-odds);
            ``random``; ``vocabulary`` frequent tokens; ``text`` those of ``init_text``; ``prompt`` those right before
            the question in a few-shot prompt, the teacher's or the best of several on dev.
        init_text: The text of ``init="text"``: no begin or end token is added, it is cut at the end if it is too
            long, and begins again if it is too short.
        shots: Number of demonstrations in every prompt, in training too; never the question itself.
        select: How they are chosen, as in ``FewShot``.
        reasoned: Ask for reasoning that ends in the answer; training examples need rationales, or a teacher.
        instruction: Which instruction heads the prompt, as in ``FewShot``.
        form: ``completion``, ``chat``, or ``auto`` for what the model prefers.
        max_new_tokens: Limit of generated tokens; by default the task's.
        epochs: Times that every example is seen.
        learning_rate: Highest learning rate; by default that of the kind.
        batch_size: Examples in a forward pass.
        accumulate: Forward passes that make one step.
        patience: Epochs without a better loss on dev after which training stops; ``None`` never stops.
        max_minutes: Wall-clock limit of training, at most 1e6, or ``None``.
        precision: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the machine has it.
        report_to: Where curves are sent: ``none``, ``tensorboard``, ``wandb`` or ``mlflow``.

    Example:
        >>> from promptkit import SoftPrompt, load_task
        >>> SoftPrompt(load_task("tone"), tokens=10).init
        'domain'
    """

    task: Task
    tokens: Annotated[int, Field(ge=1, le=1000, strict=True)] = 20
    kind: SoftKind = "prompt"
    init: Init = "domain"
    init_text: str | None = None
    shots: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    select: str = "balanced"
    reasoned: bool = False
    instruction: int | str | None = 0
    form: Literal["auto", "completion", "chat"] = "auto"
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    epochs: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 8
    learning_rate: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=4096, strict=True)] = 8
    accumulate: Annotated[int, Field(ge=1, le=4096, strict=True)] = 1
    patience: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = 3
    max_minutes: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    precision: Precision = "auto"
    report_to: ReportTo = "none"

    def __post_init__(self) -> None:
        """Checks names, and settings that only make sense together."""
        find("selector", self.select, of="SoftPrompt", which="select")
        if (self.init == "text") != bool(self.init_text):
            expected = "a text with init='text'" if self.init == "text" else "given with init='text' only"
            raise SettingError(error_message("init_text", of="SoftPrompt", expected=expected, got=self.init_text))

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
        """Learns the vectors.

        Args:
            examples: Training examples; a split named "test" is refused.
            backend: The model, a ``LocalBackend``, also behind a ``CachedBackend``; it is not changed.
            dev: Examples on which the best step is chosen, none of them among the training examples. Without any
                the last step is taken.
            seed: Seed of starting point, order and demonstrations.
            teacher: A fitted predictor of the same task. With ``init="prompt"`` its prompt is the start; with
                ``unlabelled`` its answers become targets; with ``reasoned`` its reasonings become rationales.
            unlabelled: Queries that the teacher answers; where it abstains they are left out, and counted in
                ``notes["examples"]``.
            checkpoint: Folder for checkpoints; a training that was cut off goes on from the newest one in it.
            progress: Called after every step with (step, steps, loss, seconds left).

        Returns:
            The predictor, with the vectors in ``soft_prompt`` and the course of training in ``training``.

        Raises:
            UnsupportedError: The backend has no model to train.
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
        asks = FewShot(
            self.task,
            shots=self.shots,
            select=self.select,
            ask="reasoned" if self.reasoned else "direct",
            instruction=self.instruction,
            form=self.form,
            max_new_tokens=self.max_new_tokens,
        )
        rate = self.learning_rate or RATES[self.kind]
        train = TrainSpec(
            epochs=self.epochs,
            # The network of P-tuning is made of matrices, and learns at their rate.
            learning_rate=rate if self.kind == "ptuning" else 1.0,
            soft_learning_rate=rate,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            patience=self.patience,
            max_minutes=self.max_minutes,
            precision=self.precision,
            report_to=self.report_to,
        )
        soft = Soft(self.kind, self.tokens, self.init, self.init_text)
        return Tuning("SoftPrompt", "soft_prompt", asks, train, soft=soft)
