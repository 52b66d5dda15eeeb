"""What cannot work is refused here, before a model is touched."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from promptkit.errors import DataError, MissingExtraError, SettingError, error_message
from promptkit.training.config import LoraSpec, Pair, SoftSpec, TrainingConfig

if TYPE_CHECKING:
    from promptkit.backends.local.backend import LocalBackend

__all__ = ["bfloat16_is_real", "check_run", "is_memory_error", "uses_bfloat16"]

_TRACKERS = {"mlflow": "mlflow-skinny"}
"""The package to install for a tracker, where it has another name than its module."""


def bfloat16_is_real(device: torch.device) -> bool:
    """Tells whether a device computes in bfloat16, or would only round to it on the way."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    cpu: Any = torch.cpu  # the queries have no public names yet
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(cpu, name)()) for name in names if hasattr(cpu, name))


def uses_bfloat16(spec: TrainingConfig, device: torch.device) -> bool:
    """Tells whether training computes in bfloat16 by autocast.

    Args:
        spec: The settings.
        device: Where the model is.

    Raises:
        SettingError: bfloat16 was asked for and this machine would only pretend.
    """
    real = spec.precision != "float32" and bfloat16_is_real(device)
    if spec.precision == "bfloat16" and not real:
        hint = f"this {device.type} would only emulate it, which is slower than float32"
        raise SettingError(
            error_message("precision", of="TrainingConfig", expected="'float32' or 'auto'", got="bfloat16", hint=hint)
        )
    return real


def check_run(
    backend: LocalBackend,
    pairs: Sequence[Pair],
    spec: TrainingConfig,
    *,
    lora: LoraSpec | None,
    soft: SoftSpec | None,
    seed: object,
) -> None:
    """Checks what can be checked without computing anything.

    Args:
        backend: The model's backend.
        pairs: What is to be learned from.
        spec: How to train.
        lora: The low-rank change to learn, or ``None``.
        soft: The vectors to learn, or ``None``.
        seed: Seed of the run.

    Raises:
        SettingError: There is nothing to learn, or a setting cannot work on this model and machine.
        DataError: There are no pairs.
        MissingExtraError: A package that ``report_to`` or LoRA needs is not installed.
    """
    if lora is None and soft is None:
        raise SettingError("train: lora or soft must be given, got neither; there is nothing to learn")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise SettingError(error_message("seed", of="train", expected="an integer", got=seed))
    if not pairs:
        raise DataError(error_message("pairs", of="train", expected="at least one pair", got=0))
    if backend.model.dtype == torch.float16:
        hint = "float16 loses small gradients; load the model in bfloat16 or float32"
        expected = "'float32' or 'bfloat16' to train"
        raise SettingError(error_message("dtype", of="LocalBackend", expected=expected, got="float16", hint=hint))
    if soft is not None and soft.tokens >= backend.context_window:
        expected = f"below the context window of {backend.context_window}"
        raise SettingError(error_message("tokens", of="SoftSpec", expected=expected, got=soft.tokens))
    uses_bfloat16(spec, backend.model.device)
    if lora is not None:
        _need("peft", "pip install 'peft>=0.19'")
    if spec.report_to != "none":
        _need(spec.report_to, f"pip install {_TRACKERS.get(spec.report_to, spec.report_to)}")


def _need(package: str, command: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"training: package {package!r} must be installed, got none; {command}")


def is_memory_error(error: BaseException) -> bool:
    """Tells whether an error says that memory was short, in any of torch's ways."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
