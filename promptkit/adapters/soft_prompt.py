"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691), prefix tuning and P-tuning: learned vectors before the text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from promptkit.adapters.base import Predictor
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.tuning import Soft, Tuning, WeightSettings, fit_weights
from promptkit.backends import Backend
from promptkit.errors import SettingError, error_message
from promptkit.records import part_of, settings
from promptkit.registry import find, register
from promptkit.tasks.task import Task
from promptkit.training import TrainingConfig, TrainProgress
from promptkit.training.config import SoftKind
from promptkit.training.initialization import Init
from promptkit.types import Example, Queries

__all__ = ["SoftPrompt"]


@register("strategy", "soft_prompt", own_kind="soft_kind")
@settings
class SoftPrompt(WeightSettings):
    """Vectors that stand before every prompt and are learned; the model stays frozen. Cheap to keep and to send.

    Three kinds: ``prompt`` learns input embeddings (Lester et al. 2021); ``prefix`` keys and values of every layer (Li
    and Liang 2021, arXiv 2101.00190); ``ptuning`` input embeddings through a small network, which is folded away when
    training ends (Liu et al. 2021, arXiv 2103.10385). Unlike PEFT's own generation, the vectors stand right before the
    text in every row of a padded batch, so an answer does not depend on its neighbours.

    Attributes:
        task: What is to be done.
        tokens: Number of vectors, which take as many places of the context window.
        kind: ``prompt``, ``prefix`` or ``ptuning``; called ``soft_kind`` in settings files and on the command line.
        init: Starting point: ``domain`` the tokens that the task uses more than general text does (weighted log-odds);
            ``random``; ``vocabulary`` frequent tokens; ``text`` those of ``init_text``; ``prompt`` those right before
            the question in a few-shot prompt, the teacher's or the best of several on dev.
        init_text: The text of ``init="text"``: no begin or end token is added, it is cut at the end if it is too
            long, and begins again if it is too short.
        learning_rate: Peak learning rate, in units of the spread of the model's own embeddings (or keys and values), so
            that one value suits models of any scale; by default 0.05, and 0.003 for ``ptuning``, whose network learns
            at the rate of matrices. Both were chosen on the shipped tasks with the reference model.

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
    learning_rate: Annotated[float, Field(gt=0.0, le=100.0)] | None = None

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
        soft = Soft(self.kind, self.tokens, self.init, self.init_text, self.learning_rate)
        return Tuning("SoftPrompt", "soft_prompt", self.asks(self.task), part_of(self, TrainingConfig), soft=soft)
