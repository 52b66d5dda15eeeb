"""One training run: steps, evaluations, the best state, and going on from where an earlier process stopped."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from promptkit.backends.local.machine import count_cpus
from promptkit.backends.local.threads import using_threads
from promptkit.errors import ArtifactError, TrainingError, TrainingStopped
from promptkit.training.checkpoints import Checkpoints, State, pack_curve, unpack_curve
from promptkit.training.config import TrainingConfig, TrainProgress
from promptkit.training.dataset import Item, order
from promptkit.training.graceful_stop import End
from promptkit.training.learner import Learner
from promptkit.training.log import Stopped, TrainingLog, thin
from promptkit.training.trackers import Tracker

__all__ = ["Run", "draw_seed", "rate"]


def draw_seed(*parts: object) -> int:
    """Makes a seed for torch from anything, so that each step's dropout depends on (seed, step) alone.

    Example:
        >>> draw_seed(0, 1) == draw_seed(0, 1), draw_seed(0, 1) == draw_seed(1, 0)
        (True, False)
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "little")


def rate(spec: TrainingConfig, step: int, steps: int) -> float:
    """Computes the share of the peak learning rate that a step uses.

    Args:
        spec: Warm-up and schedule.
        step: Number of the step, from 1.
        steps: Steps of the run.

    Returns:
        A number in (0, 1].

    Example:
        >>> spec = TrainingConfig(warmup=0.5, schedule="linear")
        >>> [rate(spec, step, 4) for step in (1, 2, 3, 4)]
        [0.5, 1.0, 1.0, 0.5]
    """
    warm = math.ceil(spec.warmup * steps)
    if step <= warm:
        return step / warm
    done = (step - warm - 1) / (steps - warm)
    if spec.schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1 - done if spec.schedule == "linear" else 1.0


@dataclass(frozen=True, slots=True)
class _Best:
    """The state that would be kept if the run ended now."""

    step: int
    loss: float
    tensors: Mapping[str, Tensor]


class Run:
    """A training run that can be saved after any step.

    Args:
        learner: What is trained.
        items: What is learned from.
        dev: Items on which the best step is chosen; empty to keep the last.
        spec: How to train.
        seed: Seed of order and dropout.
        steps: Optimiser steps of the whole run.
        store: Where checkpoints go, or ``None``.
        tracker: Where curves go.
    """

    def __init__(
        self,
        learner: Learner,
        items: Sequence[Item],
        dev: Sequence[Item],
        spec: TrainingConfig,
        seed: int,
        steps: int,
        store: Checkpoints | None,
        tracker: Tracker,
    ) -> None:
        self._learner, self._items, self._dev, self._spec = learner, items, dev, spec
        self._seed, self._steps, self._store, self._tracker = seed, steps, store, tracker
        groups = [
            {"params": list(group.parameters.values()), "weight_decay": group.decay, "eps": group.eps}
            for group in learner.groups
        ]
        self._optimizer = torch.optim.AdamW(groups, fused=True)
        self._per_epoch = steps // spec.epochs
        self._planned: tuple[int, list[list[int]]] = (-1, [])
        self._step = self._tokens = self._bad = 0
        self._seconds = self._training_seconds = 0.0
        self._losses: list[tuple[int, float]] = []
        self._dev_losses: list[tuple[int, float]] = []
        self._best: _Best | None = None
        self._finished: Stopped | None = None
        self._threads: int | None = None  # with which an earlier process computed: others would round otherwise

    def go(self, end: End, progress: TrainProgress | None) -> TrainingLog:
        """Trains to the end of the run.

        Args:
            end: Set when the process was asked to stop.
            progress: Called after every step.

        Returns:
            What happened; the learner then holds the state that is kept.

        Raises:
            TrainingError: A loss or gradient was no number.
            TrainingStopped: The process was asked to stop.
        """
        if self._store is not None:
            self._resume(self._store)
        with using_threads(self._threads):
            return self._go(end, progress)

    def _go(self, end: End, progress: TrainProgress | None) -> TrainingLog:
        started = time.monotonic() - self._seconds
        if self._step == 0 and self._dev:
            self._evaluate()
        while self._finished is None:
            loss = self._make_step()
            self._seconds = time.monotonic() - started
            if progress is not None:
                progress(self._step, self._steps, loss, self._seconds_left())
            self._evaluate_if_due()
            self._finished = self._reason_to_stop()
            if self._finished is None and end.is_set():
                self._stop_gracefully(end)
            if self._store is not None and (self._finished or self._step % self._spec.checkpoint_every == 0):
                self._save(self._store)
        self._keep_best()
        self._seconds = time.monotonic() - started
        return self._log(self._finished)

    def _make_step(self) -> float:
        step, learner = self._step + 1, self._learner
        began = time.monotonic()
        share = rate(self._spec, step, self._steps)
        for group, own in zip(self._optimizer.param_groups, learner.groups, strict=True):
            group["lr"] = own.rate * share
        torch.manual_seed(draw_seed(self._seed, step))
        items = self._items_of(step)
        loss = learner.gradients(items)
        norm = float(torch.nn.utils.clip_grad_norm_(learner.parameters.values(), self._spec.clip))
        self._check_finite(step, loss=loss, gradient=norm)
        self._optimizer.step()
        if learner.change is not None:
            learner.change.after_step(step)
        self._optimizer.zero_grad(set_to_none=True)
        self._step = step
        self._tokens += sum(item.length for item in items)
        self._training_seconds += time.monotonic() - began
        self._losses.append((step, loss))
        self._tracker.log({"loss": loss, "gradient_norm": norm, "learning_rate_share": share}, step)
        return loss

    def _items_of(self, step: int) -> list[Item]:
        epoch, place = divmod(step - 1, self._per_epoch)
        if self._planned[0] != epoch:
            per_step = self._spec.batch_size * self._spec.accumulate
            self._planned = (epoch, order(self._items, per_step, self._seed, epoch))
        return [self._items[number] for number in self._planned[1][place]]

    def _check_finite(self, step: int, **values: float) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                rates = ", ".join(f"{group['lr']:.3g}" for group in self._optimizer.param_groups)
                kept = " checkpoints from before are kept;" if self._store is not None else ""
                raise TrainingError(
                    f"train: the {name} must be finite, got {value} at step {step} of {self._steps} with a learning "
                    f"rate of {rates}; nothing of this run is returned;{kept} use a lower learning rate or a longer "
                    "warmup, and precision='float32' if it was another"
                )

    def _evaluate_if_due(self) -> None:
        due = self._step % (self._spec.eval_every or self._per_epoch) == 0 or self._step == self._steps
        if self._dev and due:
            self._evaluate()

    def _evaluate(self) -> None:
        loss = self._learner.loss(self._dev)
        self._check_finite(self._step, **{"dev loss": loss})
        self._dev_losses.append((self._step, loss))
        self._tracker.log({"dev_loss": loss}, self._step)
        change = self._learner.change
        if change is not None and not change.settled(self._step):
            return
        if self._best is None or loss < self._best.loss:
            now = {name: each.detach().clone() for name, each in self._learner.parameters.items()}
            self._best, self._bad = _Best(self._step, loss, now), 0
        else:
            self._bad += 1

    def _reason_to_stop(self) -> Stopped | None:
        if self._step >= self._steps:
            return "epochs"
        if self._spec.patience is not None and self._bad >= self._spec.patience:
            return "patience"
        limit = self._spec.max_minutes
        return "max_minutes" if limit is not None and self._seconds >= 60 * limit else None

    def _stop_gracefully(self, end: End) -> None:
        advice = "give train a checkpoint folder to be able to go on from where it was stopped"
        if self._store is not None:
            self._save(self._store)
            advice = "a checkpoint was saved; run the same again with the same checkpoint folder to go on from there"
        message = f"train: stopped ({end.by.upper()}) after step {self._step} of {self._steps}; {advice}"
        raise TrainingStopped(message, self._log(end.by))

    def _seconds_left(self) -> float:
        left = self._seconds / self._step * (self._steps - self._step)
        limit = self._spec.max_minutes
        return left if limit is None else max(0.0, min(left, 60 * limit - self._seconds))

    def _keep_best(self) -> None:
        """Leaves in the learner the state that is kept: the best on dev, or the last."""
        change = self._learner.change
        if change is not None and not change.settled(self._step):
            # A run that was cut short before ranks were given up: do it now, as they are what was asked for.
            change.settle(self._step)
            self._best = None
        elif self._best is not None:
            if self._dev_losses[-1][0] != self._step:
                self._evaluate()
            with torch.no_grad():
                for name, parameter in self._learner.parameters.items():
                    parameter.copy_(self._best.tensors[name])
        sizes = [float(parameter.detach().norm()) for parameter in self._learner.parameters.values()]
        self._check_finite(self._step, **{"size of the weights": max(sizes)})

    def _log(self, stopped: Stopped) -> TrainingLog:
        return TrainingLog(
            loss=thin(self._losses),
            dev=thin(self._dev_losses),
            best_step=self._step if self._best is None else self._best.step,
            steps=self._step,
            epochs=self._step / self._per_epoch,
            seconds=self._seconds,
            tokens=self._tokens,
            tokens_per_second=self._tokens / max(self._training_seconds, 1e-9),
            trainable_parameters=self._learner.trainable,
            total_parameters=self._learner.total,
            stopped=stopped,
        )

    def _save(self, store: Checkpoints) -> None:
        learner = self._learner
        tensors: dict[str, Tensor] = {f"now/{name}": parameter for name, parameter in learner.parameters.items()}
        for name, parameter in learner.parameters.items():
            tensors |= {f"adam/{part}/{name}": each for part, each in self._optimizer.state[parameter].items()}
        if learner.change is not None:
            tensors |= {f"ranks/{name}": each for name, each in learner.change.state().items()}
        numbers: dict[str, Any] = {
            "step": self._step,
            "tokens": self._tokens,
            "bad": self._bad,
            "seconds": self._seconds,
            "training_seconds": self._training_seconds,
            # A run that time cut short goes on when it is given more.
            "finished": None if self._finished == "max_minutes" else self._finished,
            "best": None,
            "threads": torch.get_num_threads() if learner.device.type == "cpu" else None,
        }
        if self._best is not None:
            numbers["best"] = [self._best.step, self._best.loss]
            tensors |= {f"best/{name}": each for name, each in self._best.tensors.items()}
        tensors |= {"curve/loss": pack_curve(self._losses), "curve/dev": pack_curve(self._dev_losses)}
        store.save(self._step, State(numbers, tensors))

    def _resume(self, store: Checkpoints) -> None:
        state = store.newest()
        if state is None:
            return
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in ("now", "adam", "ranks", "best", "curve")}
        for key, tensor in state.tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        learner, numbers = self._learner, state.numbers
        _check_same(learner, parts["now"])
        device = learner.device
        with torch.no_grad():
            for name, parameter in learner.parameters.items():
                parameter.copy_(parts["now"][name])
        for key, tensor in parts["adam"].items():
            part, _, name = key.partition("/")
            self._optimizer.state[learner.parameters[name]][part] = tensor.to(device)
        if learner.change is not None:
            learner.change.load_state(parts["ranks"])
        self._step, self._tokens, self._bad = numbers["step"], numbers["tokens"], numbers["bad"]
        self._seconds, self._training_seconds = numbers["seconds"], numbers["training_seconds"]
        self._finished = numbers["finished"]
        threads = numbers.get("threads")  # none in checkpoints of earlier versions
        self._threads = threads if threads is not None and threads <= count_cpus().usable else None
        self._losses = unpack_curve(parts["curve"]["loss"])
        self._dev_losses = unpack_curve(parts["curve"]["dev"])
        if numbers["best"] is not None:
            step, loss = numbers["best"]
            self._best = _Best(step, loss, {name: each.to(device) for name, each in parts["best"].items()})


def _check_same(learner: Learner, saved: Mapping[str, Tensor]) -> None:
    wanted = {name: tuple(parameter.shape) for name, parameter in learner.parameters.items()}
    if wanted != {name: tuple(tensor.shape) for name, tensor in saved.items()}:
        raise ArtifactError(
            "train: the newest checkpoint holds other parameters than this version of promptkit and PEFT trains; "
            "delete the checkpoint folder, or name another"
        )
