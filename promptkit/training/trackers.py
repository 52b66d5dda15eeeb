"""Sends the curves of a run to TensorBoard, Weights & Biases or MLflow, whichever ``report_to`` names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from promptkit.training.config import TrainingConfig
from promptkit.types import JSONObject

__all__ = ["Tracker", "open_tracker"]

_PROJECT = "promptkit"


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where numbers go.

    Attributes:
        log: Called with values by name and the optimiser step.
        close: Called once, when the run ends in whatever way.
    """

    log: Callable[[Mapping[str, float], int], None]
    close: Callable[[], None]


def open_tracker(spec: TrainingConfig, settings: JSONObject) -> Tracker:
    """Opens the tracker that ``spec.report_to`` names.

    Args:
        spec: The settings of the run.
        settings: What the tracker shows as the settings: plain values.

    Returns:
        The tracker; for "none" one that does nothing.

    Example:
        >>> open_tracker(TrainingConfig(), {}).log({"loss": 1.0}, 1)
    """
    if spec.report_to == "tensorboard":
        return _tensorboard(spec, settings)
    if spec.report_to == "wandb":
        return _wandb(settings)
    if spec.report_to == "mlflow":
        return _mlflow(settings)
    return Tracker(lambda values, step: None, lambda: None)


def _tensorboard(spec: TrainingConfig, settings: JSONObject) -> Tracker:
    writer: Any = importlib.import_module("torch.utils.tensorboard").SummaryWriter(spec.report_folder)
    writer.add_text("settings", "\n".join(f"    {name}: {value}" for name, value in sorted(settings.items())), 0)

    def log(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Tracker(log, writer.close)


def _wandb(settings: JSONObject) -> Tracker:
    run: Any = importlib.import_module("wandb").init(project=_PROJECT, config=settings)
    return Tracker(lambda values, step: run.log(dict(values), step=step), run.finish)


def _mlflow(settings: JSONObject) -> Tracker:
    mlflow: Any = importlib.import_module("mlflow")
    mlflow.start_run()
    mlflow.log_params(settings)
    return Tracker(lambda values, step: mlflow.log_metrics(dict(values), step=step), mlflow.end_run)
