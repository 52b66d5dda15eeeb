"""A fitted predictor as one folder, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import PurePath

from pydantic import TypeAdapter, ValidationError

from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.artifact import Stored, load_folder, save_folder
from promptkit.backends import Backend
from promptkit.backends.base import check_backend, innermost
from promptkit.errors import ArtifactError, TaskError, explain
from promptkit.task import build_task
from promptkit.types import Example, JSONObject, Weights

__all__ = ["load", "predictor_files", "read_predictor", "save_predictor"]

KIND = "predictor"
WEIGHTS = ("soft_prompt", "lora")
"""The slots of a predictor that hold learned weights."""
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_EXAMPLE = TypeAdapter(Example)


def save_predictor(predictor: PlanPredictor, folder: str | os.PathLike[str]) -> None:
    """Writes a predictor: task with templates, plan with demonstrations, notes, weights, and the model's fingerprint.

    Args:
        predictor: The predictor.
        folder: Where to write.

    Raises:
        ArtifactError: The folder cannot be written.
    """
    files, meta = predictor_files(predictor)
    save_folder(folder, files, kind=KIND, meta=meta)


def predictor_files(predictor: PlanPredictor) -> tuple[dict[str, bytes | str], JSONObject]:
    """Returns what a saved predictor consists of, for artifacts that hold one among other things.

    Args:
        predictor: The predictor.

    Returns:
        Content by file name, and facts for the manifest; ``read_predictor`` needs both.
    """
    files: dict[str, bytes | str] = {
        "task.json": predictor.task.model_dump_json(indent=1),
        "plan.json": predictor.plan.model_dump_json(indent=1, exclude={"demos"}),
        # A line each, because a pool from which demonstrations are chosen per query may be large.
        "demos.jsonl": b"".join(_EXAMPLE.dump_json(demo) + b"\n" for demo in predictor.plan.demos),
        "notes.json": json.dumps(predictor.notes, ensure_ascii=False, indent=1),
    }
    kinds = [name for name in WEIGHTS if getattr(predictor, name) is not None]
    for name in kinds:
        files.update(_weight_files(name, getattr(predictor, name)))
    backend = predictor.backend
    # Of a model given as a folder only the last name is kept: where it lies is nobody else's business.
    meta: JSONObject = {"model": PurePath(backend.name).name, "model_fingerprint": backend.fingerprint()}
    if kinds:
        meta["weights"] = kinds
    return files, meta


def load(folder: str | os.PathLike[str], backend: Backend, *, same_model: bool = True) -> PlanPredictor:
    """Reads a saved predictor.

    Args:
        folder: A folder written by ``save``.
        backend: The model that will answer; a saved folder never chooses it.
        same_model: Refuse a backend whose fingerprint differs from the one with which the predictor was fitted. Turn
            it off to play the same prompts on another model; learned weights fit no other model and are refused.

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
    check_backend(backend, of="load")
    return read_predictor(load_folder(folder, kind=KIND), backend, str(folder), same_model=same_model)


def read_predictor(saved: Stored, backend: Backend, folder: str, *, same_model: bool = True) -> PlanPredictor:
    """Builds the predictor that an artifact holds, perhaps among other files.

    Args:
        saved: The artifact.
        backend: The model that will answer.
        folder: Where it lay, for messages.
        same_model: As in ``load``.

    Returns:
        The predictor.

    Raises:
        ArtifactError: As in ``load``.
    """
    fingerprint = saved.meta.get("model_fingerprint")
    learned = bool(saved.meta.get("weights"))
    if learned:
        _checker(backend, PurePath(folder).name)  # a server would be asked for its fingerprint in vain
    if (same_model or learned) and fingerprint != backend.fingerprint():
        other = ", or pass same_model=False to play its prompts on this one"
        raise ArtifactError(
            explain(
                "model", of=str(folder), must=f"{saved.meta.get('model')!r} with fingerprint {fingerprint}",
                got=f"{backend.name} with {backend.fingerprint()}",
                do="load the model with which it was fitted" + ("; its weights fit no other" if learned else other),
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
    return PlanPredictor(plan, task, backend, notes, **_read_weights(saved, backend, PurePath(folder).name))


def _weight_files(name: str, weights: Weights) -> dict[str, bytes | str]:
    """Names PEFT's two files after the slot that they fill, because a predictor may have both."""
    from promptkit.artifact.weights import weights_to_files

    files = weights_to_files(weights)
    return {f"{name}.json": files[CONFIG], f"{name}.safetensors": files[TENSORS]}


def _read_weights(saved: Stored, backend: Backend, of: str) -> dict[str, Weights]:
    """Reads exactly the weights that the manifest promises, and lets the model check that they fit."""
    there = {name for name in WEIGHTS if any(f"{name}{ending}" in saved.files for ending in (".json", ".safetensors"))}
    promised = saved.meta.get("weights", [])
    if promised != [name for name in WEIGHTS if name in there]:
        raise ArtifactError(explain("weights", of=of, must=f"those of its manifest, {promised}", got=sorted(there)))
    if not promised:
        return {}
    from promptkit.artifact.weights import weights_from_files

    check = _checker(backend, of)
    found = {}
    for name in promised:
        try:
            files = {CONFIG: saved.files[f"{name}.json"], TENSORS: saved.files[f"{name}.safetensors"]}
        except KeyError as error:
            raise ArtifactError(explain(str(error), of=of, must="there", got="nothing")) from None
        found[name] = weights_from_files(files, base=backend.fingerprint(), label=f"{of}: {name}")
        if (found[name].kind == "lora") != (name == "lora"):
            raise ArtifactError(explain(name, of=of, must=f"weights for {name}", got=found[name].kind))
        check(found[name])
    return found


def _checker(backend: Backend, of: str) -> Callable[[Weights], None]:
    """Returns what tells whether learned weights fit a model; only a local model can, also behind a cache."""
    check: Callable[[Weights], None] | None = getattr(innermost(backend), "check_weights", None)
    if check is None:
        must = "a LocalBackend, since there are learned weights"
        raise ArtifactError(explain("backend", of=of, must=must, got=backend.name))
    return check
