"""A fitted predictor as one folder, and back.

A folder holds a plan, a task, notes and learned weights, and ``load`` builds a ``PlanPredictor`` of them. What that
would not bring back, such as a predictor that does more with the answers of another one, is refused when it is saved.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.artifacts import Stored, load_folder, save_folder
from promptkit.backends import Backend
from promptkit.backends.base import check_backend, unwrap
from promptkit.errors import ArtifactError, PromptkitError, error_message
from promptkit.registry import Group, registered_names
from promptkit.tasks.task import Task, build_task
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
        ArtifactError: The folder cannot be written, or ``load`` would build something else from it.
    """
    _check_not_for_another(predictor, folder)
    files, meta = predictor_files(predictor)
    save_folder(folder, files, kind=KIND, meta=meta)


def predictor_files(predictor: PlanPredictor) -> tuple[dict[str, bytes | str], JSONObject]:
    """Returns what a saved predictor consists of, for artifacts that hold one among other things.

    Args:
        predictor: The predictor.

    Returns:
        Content by file name, and facts for the manifest; ``read_predictor`` needs both.

    Raises:
        ArtifactError: The predictor is of another class, or ``read_predictor`` would build another one from the files.
    """
    kind = type(predictor)
    if kind is not PlanPredictor:
        raise ArtifactError(_not_rebuilt(kind.__name__))
    try:
        files: dict[str, bytes | str] = {
            "task.json": predictor.task.model_dump_json(indent=1),
            "plan.json": predictor.plan.model_dump_json(indent=1, exclude={"demos"}),
            # A line each, because a pool from which demonstrations are chosen per query may be large.
            "demos.jsonl": b"".join(_EXAMPLE.dump_json(demo) + b"\n" for demo in predictor.plan.demos),
            "notes.json": json.dumps(predictor.notes, ensure_ascii=False, indent=1),
        }
    except (TypeError, ValueError) as error:  # a lone surrogate in a text, or an object in the notes
        raise ArtifactError(f"save: plan, task and notes must be values that JSON holds: {error!s:.200}") from None
    _check_rebuilt(predictor, files)
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
        ArtifactError: The folder is damaged, was changed, comes from a newer version or belongs to another model, or
            its plan names an aggregator, stop rule or selector that is not registered.

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
            error_message(
                "model", of=str(folder), expected=f"{saved.meta.get('model')!r} with fingerprint {fingerprint}",
                got=f"{backend.name} with {backend.fingerprint()}",
                hint="load the model with which it was fitted" + ("; its weights fit no other" if learned else other),
            )
        )  # fmt: skip
    plan, task, notes = _read_parts(saved.files, str(folder))
    return PlanPredictor(plan, task, backend, notes, **_read_weights(saved, backend, PurePath(folder).name))


def _read_parts(files: Mapping[str, bytes | str], folder: str) -> tuple[Plan, Task, JSONObject]:
    """Reads everything but weights: types as they are in the files, and every number within its bounds."""
    name = "task.json"
    try:
        task = build_task(json.loads(files[name]), of=name)
        name = "demos.jsonl"
        lines = files[name]
        # bytes.splitlines knows line feeds alone; a text may hold others, which JSON does not escape
        rows = (lines.encode() if isinstance(lines, str) else lines).splitlines()
        demos = tuple(map(_read_demo, rows))
        name = "plan.json"
        _check_registered(json.loads(files[name]), folder)
        plan = Plan.model_validate_json(files[name], strict=True).model_copy(update={"demos": demos})
        _check_plan(plan, task)
        name = "notes.json"
        notes = json.loads(files[name])
        _check_notes(notes)
    except ArtifactError:
        raise
    except KeyError as error:
        raise ArtifactError(error_message(str(error), of=folder, expected="there", got="nothing")) from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        reason = f"{where}: {fault['msg']}, got {fault['input']!r:.80}"
        raise ArtifactError(f"{folder}: {name} cannot be used: {reason}; save the predictor again") from None
    except (PromptkitError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ArtifactError(f"{folder}: {name} cannot be used: {reason}; save the predictor again") from None
    return plan, task, notes


def _check_registered(values: Any, folder: str) -> None:
    """Says of a plan with a piece that is not registered what is missing, which is not in the folder."""
    if not isinstance(values, dict):
        return
    aggregate = values.get("aggregate")
    how: JSONObject = aggregate if isinstance(aggregate, dict) else {}
    stop = how.get("stop")
    named: tuple[tuple[Group, object], ...] = (
        ("aggregator", how.get("rule")),
        ("stop_rule", stop.get("kind") if isinstance(stop, dict) else stop),
        ("selector", values.get("per_query")),
    )
    for group, name in named:
        if isinstance(name, str) and name != "none" and name not in registered_names(group):
            raise ArtifactError(
                f"{folder}: plan.json cannot be used: its {group.replace('_', ' ')} {name!r} is not registered; load "
                "the plugin that registers it first (promptkit.load_plugin, or --plugin FILE), or install its package"
            )


def _read_demo(line: bytes) -> Example:
    demo = _EXAMPLE.validate_json(line, strict=True)
    if not demo.targets:
        raise ValueError("a demonstration must have a target")
    return demo


def _check_plan(plan: Plan, task: Task) -> None:
    """Checks what a plan and its task must have in common."""
    task.template(plan.ask)
    if plan.answer_by == "likelihood" and not task.labels:
        raise ValueError("answer_by must be 'generation' for a task without labels")


def _check_notes(notes: object) -> None:
    if not isinstance(notes, dict):
        raise ValueError("notes must be an object")
    if notes.get("training") is not None:
        from promptkit.training.log import TrainingLog

        if not isinstance(notes["training"], dict):
            raise ValueError("training must be an object")
        TrainingLog.from_json(notes["training"])


def _check_rebuilt(predictor: PlanPredictor, files: Mapping[str, bytes | str]) -> None:
    """Checks that loading would give an equal plan for an equal task."""
    plan, task, _ = _read_parts(files, "save")
    for name, mine, again in (("plan", predictor.plan, plan), ("task", predictor.task, task)):
        if type(mine) is not type(again) or mine != again:
            expected = (
                f"of class {type(again).__name__} with values that a file can hold, so that load gives an equal one"
            )
            raise ArtifactError(error_message(name, of="save", expected=expected, got=type(mine).__name__))


def _not_rebuilt(name: str) -> str:
    return (
        f"{name}: a predictor must be one that promptkit.load builds again, got one of a class of its own, in whose "
        "place load would give a plain PlanPredictor with other answers; say what is special in the plan or the task "
        "(instruction, parser, aggregate) and let fit return that PlanPredictor, or save it in a format of its own"
    )


def _check_not_for_another(predictor: PlanPredictor, folder: str | os.PathLike[str]) -> None:
    """Refuses to save for another predictor that hands its own ``save`` on to the one it asks.

    Nothing of such a predictor would be in the folder, and its answers would be lost without a word. It is found among
    the callers: a ``save`` of an object that predicts, for the same folder. (A folder inside of that one is the
    other predictor's own format, which ``load`` does not take for a predictor.)
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "save":
            names, rest, keywords, values = inspect.getargvalues(frame)
            owner: Any = values.get(names[0]) if names else None
            given = [values.get(name) for name in names[1:]]
            given += [*(values[rest] if rest else ()), *(values[keywords].values() if keywords else ())]
            same = any(_is_path(value, folder) for value in given)
            if same and owner is not predictor and callable(getattr(owner, "predict", None)):
                raise ArtifactError(_not_rebuilt(type(owner).__name__))
        frame = frame.f_back


def _is_path(value: object, folder: str | os.PathLike[str]) -> bool:
    return isinstance(value, str | os.PathLike) and os.path.abspath(value) == os.path.abspath(folder)


def _weight_files(name: str, weights: Weights) -> dict[str, bytes | str]:
    """Names PEFT's two files after the slot that they fill, because a predictor may have both."""
    from promptkit.artifacts.weights import weights_to_files

    files = weights_to_files(weights)
    return {f"{name}.json": files[CONFIG], f"{name}.safetensors": files[TENSORS]}


def _read_weights(saved: Stored, backend: Backend, of: str) -> dict[str, Weights]:
    """Reads exactly the weights that the manifest promises, and lets the model check that they fit."""
    there = {name for name in WEIGHTS if any(f"{name}{ending}" in saved.files for ending in (".json", ".safetensors"))}
    promised = saved.meta.get("weights", [])
    if promised != [name for name in WEIGHTS if name in there]:
        raise ArtifactError(
            error_message("weights", of=of, expected=f"those of its manifest, {promised}", got=sorted(there))
        )
    if not promised:
        return {}
    from promptkit.artifacts.weights import weights_from_files

    check = _checker(backend, of)
    found = {}
    for name in promised:
        try:
            files = {CONFIG: saved.files[f"{name}.json"], TENSORS: saved.files[f"{name}.safetensors"]}
        except KeyError as error:
            raise ArtifactError(error_message(str(error), of=of, expected="there", got="nothing")) from None
        found[name] = weights_from_files(files, base=backend.fingerprint(), label=f"{of}: {name}")
        if (found[name].kind == "lora") != (name == "lora"):
            raise ArtifactError(error_message(name, of=of, expected=f"weights for {name}", got=found[name].kind))
        check(found[name])
    return found


def _checker(backend: Backend, of: str) -> Callable[[Weights], None]:
    """Returns what tells whether learned weights fit a model; only a local model can, also behind a cache."""
    check: Callable[[Weights], None] | None = getattr(unwrap(backend), "check_weights", None)
    if check is None:
        expected = "a LocalBackend, since there are learned weights"
        raise ArtifactError(error_message("backend", of=of, expected=expected, got=backend.name))
    return check
