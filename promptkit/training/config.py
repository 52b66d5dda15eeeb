"""What is trained and how: the records that go into ``train`` and come out of it. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from promptkit.artifacts.peft_config import MAX_RANK
from promptkit.errors import SettingError, error_message
from promptkit.records import settings
from promptkit.training.log import TrainingLog
from promptkit.types import Prompt, Weights

__all__ = [
    "RATES",
    "LoraSpec",
    "LoraVariant",
    "Pair",
    "Precision",
    "ReportTo",
    "Schedule",
    "SoftKind",
    "SoftSpec",
    "TrainProgress",
    "Trained",
    "TrainingConfig",
]

LoraVariant = Literal["lora", "rslora", "dora", "adalora"]
"""Members of the LoRA family: Hu et al. 2021 (arXiv 2106.09685), rank-stabilised (Kalajdzievski 2023, 2312.03732),
weight-decomposed (Liu et al. 2024, 2402.09353), adaptive budget (Zhang et al. 2023, 2303.10512)."""

SoftKind = Literal["prompt", "prefix", "ptuning"]
"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691), prefix tuning (Li and Liang 2021, 2101.00190), P-tuning (Liu et
al. 2021, 2103.10385)."""

RATES: dict[SoftKind, float] = {"prompt": 0.05, "prefix": 0.05, "ptuning": 0.003}
"""Learning rate of each kind of vectors where none is given: vectors need a far higher one than matrices."""

Name = Annotated[str, Field(min_length=1)]
"""Name of a layer."""


def _no_float16(value: object) -> object:
    if value == "float16":
        raise ValueError(
            "'float32', 'bfloat16' or 'auto' (float16 loses small gradients, and a CPU would compute it in float32)"
        )
    return value


Precision = Annotated[Literal["float32", "bfloat16", "auto"], BeforeValidator(_no_float16)]
"""Arithmetic beside what the base model is in: float32 as it is, bfloat16 by autocast, or bfloat16 where it is real."""

Schedule = Literal["cosine", "linear", "constant"]
"""What the learning rate does after its warm-up: fall to 0 along a cosine or a line, or stay."""

ReportTo = Literal["none", "tensorboard", "wandb", "mlflow"]
"""Where curves are sent while training."""

TrainProgress = Callable[[int, int, float, float], None]
"""Called after every optimiser step as ``progress(step, total_steps, loss, seconds_left)``."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One text to learn from.

    Attributes:
        prompt: What the model reads, as it will be asked.
        answer: What it is to write, separator and ending included, so that tokens equal those of generation.
        end: Whether the model's end token follows the answer. An answer that a stop text ends needs none; a chat turn
            or an answer of an encoder-decoder does.
    """

    prompt: Prompt
    answer: str
    end: bool = False


@settings
class LoraSpec:
    """A low-rank change to be learned.

    The change of a weight W is W + s * B A, where A is [rank, inputs], B [outputs, rank] and s the scale: alpha / rank,
    or alpha / sqrt(rank) for "rslora". B starts at 0, so training starts at the base model.

    Attributes:
        rank: Rank of each change, 1 to 4,096. For ``adalora`` the average rank after training.
        alpha: Scale: a change is multiplied by alpha / rank; at most 1e6.
        dropout: Dropout on the input of the changes while training, in [0, 1).
        targets: ``all-linear`` for every linear layer but the output head, ``attention`` for those of attention,
            or names such as ``["q_proj", "v_proj"]``; never patterns. Experts that a mixture-of-experts model keeps as
            one stacked parameter are no linear layers: ``all-linear`` leaves them as they are, warns, and names them
            in ``notes["left_out"]``.
        variant: ``lora``, ``rslora``, ``dora`` or ``adalora``.
        init_rank: Rank at which ``adalora`` starts; by default 1.5 times ``rank``, as in its paper. ``None`` otherwise.
        orthogonality: Weight of the orthogonality loss of ``adalora``.
        learning_rate: Peak learning rate of the changes, in (0, 1]. The default was chosen on the shipped tasks with
            the reference model (5.3M parameters); models of billions of parameters take 1e-4 to 2e-4 (Dettmers et al.
            2023, arXiv 2305.14314).
    """

    _: KW_ONLY
    rank: Annotated[int, Field(ge=1, le=MAX_RANK, strict=True)] = 8
    alpha: Annotated[float, Field(gt=0.0, le=1e6)] = 16.0
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    targets: Literal["all-linear", "attention"] | Annotated[tuple[Name, ...], Field(min_length=1)] = "all-linear"
    variant: LoraVariant = "lora"
    init_rank: Annotated[int, Field(ge=1, strict=True)] | None = None
    orthogonality: Annotated[float, Field(ge=0.0, le=1e6)] = 0.5
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 3e-3

    def __post_init__(self) -> None:
        """Checks settings that only make sense together."""
        of = type(self).__name__
        if self.variant != "adalora" and self.init_rank is not None:
            hint = "only 'adalora' starts at another rank"
            raise SettingError(error_message("init_rank", of=of, expected="None", got=self.init_rank, hint=hint))
        if self.start_rank > MAX_RANK:
            expected = f"small enough to start at a rank of at most {MAX_RANK:,}"
            raise SettingError(error_message("rank", of=of, expected=expected, got=self.start_rank))
        if self.variant == "adalora" and self.start_rank <= self.rank:
            expected = f"above the target rank {self.rank}, as adalora gives ranks up and never gains any"
            raise SettingError(error_message("init_rank", of=of, expected=expected, got=self.init_rank))

    @property
    def start_rank(self) -> int:
        """Rank of each matrix when training starts: 1.5 times the target for "adalora"."""
        if self.variant != "adalora":
            return self.rank
        return round(1.5 * self.rank) if self.init_rank is None else self.init_rank


@settings
class SoftSpec:
    """Vectors before the text to be learned.

    Attributes:
        kind: "prompt" and "ptuning" learn input embeddings, the latter through a small network that is folded away
            when training ends; "prefix" learns keys and values of every layer.
        tokens: Places before the text, at least 1.
        start: First vectors, float32 ``[tokens, hidden]``, or for a prefix ``[tokens, layers * 2 * width]``. ``None``
            for ``start_text_ids``, or random vectors at the scale of the model's own.
        start_text_ids: As many tokens, whose embeddings, or for a prefix whose keys and values, are the start.
        learning_rate: Peak learning rate, in (0, 100]; by default that of the kind in ``RATES``. It is in units of the
            spread (standard deviation) of the model's own embeddings, or of its keys and values, so that one value
            suits models of any scale: 0.05 moves a number by up to a twentieth of that spread per step. That of
            "ptuning" is for the matrices of its network, at most 1.
    """

    kind: SoftKind = "prompt"
    tokens: Annotated[int, Field(ge=1, strict=True)] = 20
    start: Any = None
    start_text_ids: tuple[int, ...] | None = None
    learning_rate: Annotated[float, Field(gt=0.0, le=100.0)] | None = None

    def __post_init__(self) -> None:
        """Checks settings that only make sense together."""
        of = "SoftSpec"
        if self.start is not None and self.start_text_ids is not None:
            raise SettingError(
                error_message("start_text_ids", of=of, expected="None where start is given", got=self.start_text_ids)
            )
        if self.start_text_ids is not None and len(self.start_text_ids) != self.tokens:
            expected = f"{self.tokens} tokens, as many as tokens says"
            raise SettingError(error_message("start_text_ids", of=of, expected=expected, got=len(self.start_text_ids)))
        if self.start is not None:
            shape = np.shape(self.start)
            if len(shape) != 2 or shape[0] != self.tokens:
                raise SettingError(
                    error_message("start", of=of, expected=f"an array [{self.tokens}, width]", got=shape)
                )
            if not np.isfinite(self.start).all():
                raise SettingError(error_message("start", of=of, expected="finite", got="nan or inf"))
        if self.kind == "ptuning" and self.rate > 1.0:
            expected = "at most 1 for ptuning, whose network is made of matrices"
            raise SettingError(error_message("learning_rate", of=of, expected=expected, got=self.rate))

    @property
    def rate(self) -> float:
        """Peak learning rate: the one that was given, or that of the kind."""
        return RATES[self.kind] if self.learning_rate is None else self.learning_rate


@settings
class TrainingConfig:
    """How weights are trained, whatever they are. Every strategy with learned weights has these settings too.

    The defaults were chosen with the reference model (5.3M parameters) on the shipped tasks, with 600
    training examples each.

    Attributes:
        epochs: Times that every example is seen.
        batch_size: Examples in a forward pass.
        accumulate: Forward passes that make one step. Every answer token of a step weighs the same, however its
            examples are cut into passes.
        batch_tokens: Most padded tokens of a forward pass; longer batches are cut, which changes no result.
        patience: Evaluations without a better loss on dev after which training stops; ``None`` never stops.
        eval_every: Steps between evaluations on dev; ``None`` evaluates after every epoch.
        max_minutes: Wall-clock limit of training, at most 1e6, or ``None``.
        precision: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the machine has it.
        schedule: What the learning rates do after the warm-up: fall to 0 along a ``cosine`` or a line (``linear``), or
            stay ``constant``.
        warmup: Share of all steps over which the learning rates rise from 0, in [0, 1).
        weight_decay: AdamW's decay of LoRA's matrices; vectors before the text have none.
        clip: Largest norm of the gradient of a step.
        checkpoint_every: Steps between checkpoints, where ``fit`` is given a folder for them.
        report_to: Where curves are sent: ``none``, ``tensorboard``, ``wandb`` or ``mlflow``.
        report_folder: Folder of the curves of ``tensorboard``.
    """

    _: KW_ONLY
    epochs: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 8
    batch_size: Annotated[int, Field(ge=1, le=4096, strict=True)] = 8
    accumulate: Annotated[int, Field(ge=1, le=4096, strict=True)] = 1
    batch_tokens: Annotated[int, Field(ge=1, le=100_000_000, strict=True)] = 8192
    patience: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = 3
    eval_every: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    max_minutes: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    precision: Precision = "auto"
    schedule: Schedule = "cosine"
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.06
    weight_decay: Annotated[float, Field(ge=0.0, le=1e6)] = 0.01
    clip: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    checkpoint_every: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 50
    report_to: ReportTo = "none"
    report_folder: str = "runs"


@dataclass(frozen=True, slots=True)
class Trained:
    """What training ends in.

    Attributes:
        lora: The learned change, or ``None`` where none was wanted.
        soft_prompt: The learned vectors, or ``None``.
        log: What happened.
        left_out: Experts and linear layers that ``targets="all-linear"`` did not reach, one line for each name.
    """

    lora: Weights | None
    soft_prompt: Weights | None
    log: TrainingLog
    left_out: tuple[str, ...] = ()
