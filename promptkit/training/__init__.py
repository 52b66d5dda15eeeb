"""Training of weights beside a frozen model: soft prompts, prefixes, LoRA and its family, or both together.

``spec`` and ``log`` hold the records that go in and come out; they need no torch. ``train`` is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptkit.training.config import LoraSpec, Pair, SoftSpec, Trained, TrainingConfig, TrainProgress
from promptkit.training.log import TrainingLog

if TYPE_CHECKING:
    from promptkit.training.loop import train

__all__ = ["LoraSpec", "Pair", "SoftSpec", "TrainProgress", "Trained", "TrainingConfig", "TrainingLog", "train"]


def __getattr__(name: str) -> Any:
    """Loads ``train`` when it is first asked for."""
    if name == "train":
        from promptkit.training.loop import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
