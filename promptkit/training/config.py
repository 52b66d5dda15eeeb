"""What is trained and how: the records that go into ``train`` and come out of it. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from promptkit.artifacts.peft_config import MAX_RANK
from promptkit.errors import SettingError, error_message, one_of
from promptkit.training.log import TrainingLog
from promptkit.types import Prompt, Weights

__all__ = [
    "LoraSpec",
    "LoraVariant",
    "Pair",
    "Precision",
    "ReportTo",
    "Schedule",
    "SoftKind",
    "SoftSpec",
    "TrainProgress",
    "TrainSpec",
    "Trained",
]

LoraVariant = Literal["lora", "rslora", "dora", "adalora"]
"""Members of the LoRA family: Hu et al. 2021 (arXiv 2106.09685), rank-stabilised (Kalajdzievski 2023, 2312.03732),
weight-decomposed (Liu et al. 2024, 2402.09353), adaptive budget (Zhang et al. 2023, 2303.10512)."""

SoftKind = Literal["prompt", "prefix", "ptuning"]
"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691), prefix tuning (Li and Liang 2021, 2101.00190), P-tuning (Liu et
al. 2021, 2103.10385)."""

Precision = Literal["float32", "bfloat16", "auto"]
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


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """A low-rank change to be learned.

    Attributes:
        rank: Rank of each matrix, 1 to 4,096. For "adalora" the average rank after training.
        alpha: Scale, at most 1e6: the change is multiplied by alpha / rank (by alpha / sqrt(rank) for "rslora").
        dropout: Dropout on the input of the change, in [0, 1).
        targets: "all-linear" for every linear layer but the output head, "attention" for those of attention, or names.
        variant: The member of the family.
        init_rank: Rank at which "adalora" starts; by default 1.5 times ``rank``, as in its paper. ``None`` otherwise.
        orthogonality: Weight of the orthogonality loss of "adalora".
        init: "default" (the change starts at 0) or "loftq" (it starts at the error of a 4-bit base; needs CUDA).
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    variant: LoraVariant = "lora"
    init_rank: int | None = None
    orthogonality: float = 0.5
    init: Literal["default", "loftq"] = "default"

    def __post_init__(self) -> None:
        """Checks every value that can be checked without a model."""
        of = "LoraSpec"
        _whole(self.rank, "rank", of, 1)
        _number(self.alpha, "alpha", of, low=0.0, high=1e6, open_low=True)
        _number(self.dropout, "dropout", of, low=0.0, high=1.0, open_high=True)
        _number(self.orthogonality, "orthogonality", of, low=0.0)
        _choice(self.variant, "variant", of, get_args(LoraVariant))
        _choice(self.init, "init", of, ("default", "loftq"))
        targets: object = self.targets
        named = isinstance(targets, tuple) and targets and all(isinstance(name, str) and name for name in targets)
        if targets not in ("all-linear", "attention") and not named:
            expected = "'all-linear', 'attention' or a tuple of names of linear layers"
            raise SettingError(error_message("targets", of=of, expected=expected, got=targets))
        if self.variant != "adalora":
            if self.init_rank is not None:
                hint = "only 'adalora' starts at another rank"
                raise SettingError(error_message("init_rank", of=of, expected="None", got=self.init_rank, hint=hint))
        elif self.init_rank is not None:
            _whole(self.init_rank, "init_rank", of, 1)
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


@dataclass(frozen=True, slots=True, eq=False)
class SoftSpec:
    """Vectors before the text to be learned.

    Attributes:
        kind: "prompt" and "ptuning" learn input embeddings, the latter through a small network that is folded away
            when training ends; "prefix" learns keys and values of every layer.
        tokens: Places before the text, at least 1.
        start: First vectors, float32 ``[tokens, hidden]``, or for a prefix ``[tokens, layers * 2 * width]``. ``None``
            for ``start_text_ids``, or random vectors at the scale of the model's own.
        start_text_ids: As many tokens, whose embeddings, or for a prefix whose keys and values, are the start.
    """

    kind: SoftKind = "prompt"
    tokens: int = 20
    start: npt.NDArray[np.float32] | None = None
    start_text_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Checks every value that can be checked without a model."""
        of = "SoftSpec"
        _choice(self.kind, "kind", of, get_args(SoftKind))
        _whole(self.tokens, "tokens", of, 1)
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


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """How to train.

    Attributes:
        epochs: Times that every pair is seen, at least 1.
        learning_rate: Peak learning rate of LoRA and of P-tuning's network, in (0, 1].
        soft_learning_rate: Peak learning rate of vectors before the text, in (0, 100]. It is in units of the spread
            (standard deviation) of the model's own embeddings, or of its keys and values, so that one value suits
            models of any scale: 0.05 moves a number by up to a twentieth of that spread per step.
        batch_size: Pairs in a forward pass, at least 1.
        accumulate: Forward passes of ``batch_size`` pairs that make one optimiser step, at least 1. Every answer token
            of a step weighs the same, however its pairs are cut into passes.
        batch_tokens: Most padded tokens of a forward pass; longer batches are cut, which changes no result.
        patience: Evaluations on the dev pairs without a new best after which training stops; ``None`` never stops.
        eval_every: Optimiser steps between evaluations; ``None`` evaluates after every epoch.
        max_minutes: Wall-clock limit, or ``None``.
        precision: Arithmetic (see ``Precision``); refused where the machine would only pretend.
        schedule: What the learning rates do after the warm-up.
        warmup: Share of all steps over which the learning rates rise from 0, in [0, 1).
        weight_decay: AdamW's decay of LoRA's matrices; vectors before the text have none.
        clip: Largest norm of the gradient of a step.
        checkpoint_every: Optimiser steps between checkpoints, where a folder for them is given.
        report_to: Where curves are sent.
        report_folder: Folder of the curves of "tensorboard".
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    soft_learning_rate: float = 0.05
    batch_size: int = 16
    accumulate: int = 1
    batch_tokens: int = 8192
    patience: int | None = 3
    eval_every: int | None = None
    max_minutes: float | None = None
    precision: Precision = "float32"
    schedule: Schedule = "cosine"
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpoint_every: int = 50
    report_to: ReportTo = "none"
    report_folder: str = "runs"

    def __post_init__(self) -> None:
        """Checks every value that can be checked without a model."""
        of = "TrainSpec"
        for name in ("epochs", "batch_size", "accumulate", "batch_tokens", "checkpoint_every"):
            _whole(getattr(self, name), name, of, 1)
        for name in ("patience", "eval_every"):
            if getattr(self, name) is not None:
                _whole(getattr(self, name), name, of, 1)
        _number(self.learning_rate, "learning_rate", of, low=0.0, high=1.0, open_low=True)
        _number(self.soft_learning_rate, "soft_learning_rate", of, low=0.0, high=100.0, open_low=True)
        _number(self.warmup, "warmup", of, low=0.0, high=1.0, open_high=True)
        _number(self.weight_decay, "weight_decay", of, low=0.0)
        _number(self.clip, "clip", of, low=0.0, open_low=True)
        if self.max_minutes is not None:
            _number(self.max_minutes, "max_minutes", of, low=0.0, open_low=True)
        if self.precision == "float16":  # type: ignore[comparison-overlap]  # callers without a type checker
            hint = "float16 loses small gradients, and on a CPU it would silently be computed in float32"
            raise SettingError(
                error_message("precision", of=of, expected="'float32' or 'bfloat16'", got="float16", hint=hint)
            )
        _choice(self.precision, "precision", of, get_args(Precision))
        _choice(self.schedule, "schedule", of, get_args(Schedule))
        _choice(self.report_to, "report_to", of, get_args(ReportTo))


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


def _whole(value: object, name: str, of: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(error_message(name, of=of, expected=f"an integer of at least {least}", got=value))


def _number(
    value: object,
    name: str,
    of: str,
    *,
    low: float,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if good and isinstance(value, int | float):
        good = (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not good:
        bounds = f"{'above' if open_low else 'at least'} {low:g}"
        if high < math.inf:
            bounds += f" and {'below' if open_high else 'at most'} {high:g}"
        raise SettingError(error_message(name, of=of, expected=f"a number {bounds}", got=value))


def _choice(value: object, name: str, of: str, among: Sequence[str]) -> None:
    if value not in among:
        raise SettingError(error_message(name, of=of, expected=one_of(among), got=value))
