"""Checkpoints of a training run: each saved whole or not at all, and believed only after its hashes are checked.

Layout::

    folder/
      step-00000050/    an artifact (see ``promptkit.artifacts.store``) with state.json and tensors.safetensors
      step-00000100/

The newest two are kept. One that was cut off by a kill, or damaged later, is passed over with a warning, and removed
when the next one is whole.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from promptkit.artifacts import load_folder, parse_json, save_folder
from promptkit.errors import ArtifactError, SettingError, check_path, error_message, opens
from promptkit.types import JSONObject

__all__ = ["Checkpoints", "State", "pack_curve", "unpack_curve"]

_KIND = "training checkpoint"
_ENTRY = re.compile(r"step-\d{8}")
_KEPT = 2


@dataclass(frozen=True, slots=True)
class State:
    """The state of a run.

    Attributes:
        numbers: Plain JSON values.
        tensors: Tensors by name, on the CPU.
    """

    numbers: JSONObject
    tensors: Mapping[str, Tensor]


class Checkpoints:
    """The checkpoints of one run in a folder.

    Args:
        folder: A new or empty folder, or one with checkpoints.
        run: What the run is: fingerprints of its base, data and settings by name. Others' checkpoints are neither
            used nor overwritten.

    Raises:
        ArtifactError: The folder holds something else.
    """

    def __init__(self, folder: Path, run: Mapping[str, str]) -> None:
        self._folder = folder
        self._run = dict(run)
        self._broken: list[Path] = []
        self._check()

    @opens(ArtifactError, of="train: checkpoint", others=True)
    def _check(self) -> None:
        folder = check_path(self._folder, "checkpoint", of="train", error=ArtifactError)
        if folder.exists():
            if not folder.is_dir():
                raise ArtifactError(error_message("checkpoint", of="train", expected="a folder", got=folder.name))
            strange = sorted(entry.name for entry in folder.iterdir() if not _ENTRY.fullmatch(entry.name))
            if strange:
                expected = "a new or empty folder, or one with checkpoints alone"
                raise ArtifactError(error_message("checkpoint", of="train", expected=expected, got=strange[0]))

    def save(self, step: int, state: State) -> None:
        """Saves the state of the run; afterwards the newest two checkpoints are kept.

        Args:
            step: Optimiser steps so far.
            state: The state of the run.

        Raises:
            ArtifactError: The disk refuses; earlier checkpoints are whole.
        """
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in state.tensors.items()}
        files: dict[str, bytes | str] = {
            "state.json": json.dumps(state.numbers, allow_nan=False),
            "tensors.safetensors": save(tensors, {"format": "pt"}),
        }
        target = self._folder / f"step-{step:08d}"
        if target in self._broken:  # what is left of it may be anything, into which no artifact is saved
            shutil.rmtree(target, ignore_errors=True)
        save_folder(target, files, kind=_KIND, meta={"run": self._run})
        broken, self._broken = {entry for entry in self._broken if entry != target}, []
        whole = [entry for entry in self._entries() if entry not in broken]
        for old in [*broken, *whole[_KEPT:]]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> State | None:
        """Loads the newest checkpoint that is whole.

        Returns:
            Where the run stood, or ``None`` if there is no checkpoint.

        Raises:
            SettingError: The checkpoints are of another run; says what differs.
        """
        for entry in self._entries():
            try:
                stored = load_folder(entry, kind=_KIND)
                numbers: Any = parse_json(stored.files["state.json"], f"{entry.name}: state.json")
                tensors = load(stored.files["tensors.safetensors"])
            except (ArtifactError, KeyError) as error:
                warnings.warn(f"checkpoint {entry.name} was passed over: {error}", stacklevel=2)
                self._broken.append(entry)
                continue
            self._check_run(stored.meta.get("run"))
            return State(numbers, tensors)
        return None

    def _entries(self) -> list[Path]:
        if not self._folder.exists():
            return []
        return sorted((entry for entry in self._folder.iterdir() if _ENTRY.fullmatch(entry.name)), reverse=True)

    def _check_run(self, found: Any) -> None:
        other = [name for name, value in self._run.items() if not isinstance(found, dict) or found.get(name) != value]
        if other:
            raise SettingError(
                f"train: checkpoint folder {self._folder.name!r} must be of this run, got one with another "
                f"{' and '.join(other)}; name another folder, or delete this one"
            )


def pack_curve(points: list[tuple[int, float]]) -> Tensor:
    """Writes a curve as a tensor, since long ones outgrow JSON documents.

    Args:
        points: Pairs of step and loss.

    Returns:
        float64 ``[points, 2]``.
    """
    return torch.tensor(points, dtype=torch.float64).reshape(-1, 2)


def unpack_curve(tensor: Tensor) -> list[tuple[int, float]]:
    """Reads what ``pack_curve`` wrote."""
    return [(int(step), loss) for step, loss in tensor.tolist()]
