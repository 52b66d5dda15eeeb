"""A fitted predictor as one folder, and back."""

from __future__ import annotations

import json
import os
from pathlib import PurePath

from pydantic import TypeAdapter, ValidationError

from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.artifact import load_folder, save_folder
from promptkit.backends import Backend
from promptkit.errors import ArtifactError, TaskError, explain
from promptkit.task import build_task
from promptkit.types import Example, JSONObject

__all__ = ["load", "save_predictor"]

KIND = "predictor"
_EXAMPLE = TypeAdapter(Example)


def save_predictor(predictor: PlanPredictor, folder: str | os.PathLike[str]) -> None:
    """Writes a predictor: task with templates, plan with demonstrations, notes, and the model's fingerprint.

    Args:
        predictor: The predictor.
        folder: Where to write.

    Raises:
        ArtifactError: The folder cannot be written.
    """
    files: dict[str, bytes | str] = {
        "task.json": predictor.task.model_dump_json(indent=1),
        "plan.json": predictor.plan.model_dump_json(indent=1, exclude={"demos"}),
        # A line each, because a pool from which demonstrations are chosen per query may be large.
        "demos.jsonl": b"".join(_EXAMPLE.dump_json(demo) + b"\n" for demo in predictor.plan.demos),
        "notes.json": json.dumps(predictor.notes, ensure_ascii=False, indent=1),
    }
    backend = predictor.backend
    # Of a model given as a folder only the last name is kept: where it lies is nobody else's business.
    meta: JSONObject = {"model": PurePath(backend.name).name, "model_fingerprint": backend.fingerprint()}
    save_folder(folder, files, kind=KIND, meta=meta)


def load(folder: str | os.PathLike[str], backend: Backend, *, same_model: bool = True) -> PlanPredictor:
    """Reads a saved predictor.

    Args:
        folder: A folder written by ``save``.
        backend: The model that will answer; a saved folder never chooses it.
        same_model: Refuse a backend whose fingerprint differs from the one with which the predictor was fitted. Turn
            it off to play the same prompts on another model.

    Returns:
        A predictor that answers as the saved one.

    Raises:
        ArtifactError: The folder is damaged, was changed, comes from a newer version or belongs to another model.

    Example:
        >>> import tempfile, promptkit as pk
        >>> backend = pk.ScriptedBackend(lambda request, index: " The answer is 5.")
        >>> task = pk.load_task("apples")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pk.FewShot(task, shots=0).fit([], backend).save(folder + "/mine")
        ...     pk.load(folder + "/mine", backend).plan.shots
        0
    """
    saved = load_folder(folder, kind=KIND)
    fingerprint = saved.meta.get("model_fingerprint")
    if same_model and fingerprint != backend.fingerprint():
        raise ArtifactError(
            explain(
                "model", of=str(folder), must=f"{saved.meta.get('model')!r} with fingerprint {fingerprint}",
                got=f"{backend.name} with {backend.fingerprint()}",
                do="load the model with which it was fitted, or pass same_model=False to play its prompts on this one",
            )
        )  # fmt: skip
    name = "task.json"
    try:
        task = build_task(json.loads(saved.files["task.json"]), of=name)
        name = "demos.jsonl"
        demos = tuple(_EXAMPLE.validate_json(line) for line in saved.files[name].splitlines())
        name = "plan.json"
        plan = Plan.model_validate_json(saved.files[name]).model_copy(update={"demos": demos})
        name = "notes.json"
        notes = json.loads(saved.files["notes.json"])
    except KeyError as error:
        raise ArtifactError(explain(str(error), of=str(folder), must="there", got="nothing")) from None
    except (TaskError, ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{folder}: {name} cannot be used: {reason}; save the predictor again") from None
    return PlanPredictor(plan, task, backend, notes)
