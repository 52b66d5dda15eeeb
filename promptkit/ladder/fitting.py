"""Fitting a rung once: finished fits are loaded from the journal and the run folder, also after an interruption."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptkit.adapters import PlanPredictor, Predictor, load
from promptkit.data import Split
from promptkit.errors import ArtifactError, BackendError, ContextLengthError, TrainingStopped, UnsupportedError
from promptkit.ladder.cross_fitting import FitSplit, Pool
from promptkit.ladder.facts import FitFacts
from promptkit.ladder.journal import Journal, JournalError
from promptkit.ladder.journaled_backend import JournaledBackend, OutOfTime
from promptkit.ladder.memory import peak_memory, start_measuring
from promptkit.ladder.rungs import Ready
from promptkit.types import JSONObject

__all__ = ["ClimbProgress", "Fitted", "RunContext", "RungError", "fit_once"]

OVERRUN = 1.25
"""How far a fit may overrun its seconds before it is cut off."""

ClimbProgress = Callable[[str, int, int, float | None], None]
"""Called as ``progress(what, done, total, seconds_left)``: what goes on, for example "few-shot: judging", finished and
all steps of it, and the seconds that are left of the budget (``None`` without a limit)."""


class RungError(Exception):
    """A rung could not be fitted or judged.

    Attributes:
        transient: Whether trying again may help: the model failed, and not the data or a setting.
        unsupported: Whether it can never work with this model.
        no_time: Whether it would not fit into the time that is left.
    """

    def __init__(self, text: str, *, transient: bool = False, unsupported: bool = False, no_time: bool = False) -> None:
        super().__init__(text)
        self.transient = transient
        self.unsupported = unsupported
        self.no_time = no_time

    def to_json(self) -> JSONObject:
        """Returns the arguments that make it again, as plain data."""
        return {
            "text": str(self),
            "transient": self.transient,
            "unsupported": self.unsupported,
            "no_time": self.no_time,
        }

    @staticmethod
    def of(error: Exception) -> RungError:
        """Turns an error of an adapter or predictor into an error of its rung."""
        if isinstance(error, RungError):
            return error
        unsupported = isinstance(error, UnsupportedError)
        settled = unsupported or isinstance(error, ContextLengthError)
        transient = isinstance(error, BackendError | OSError) and not settled
        return RungError(f"{type(error).__name__}: {error}"[:2000], transient=transient, unsupported=unsupported)


@dataclass(frozen=True)
class RunContext:
    """What every rung works with.

    Attributes:
        backend: The model, behind the journal.
        journal: What is finished.
        pool: The judged items and the training data of each fit.
        metric: The metric that decides.
        seed: Seed of everything.
        folder: The run folder, or ``None``.
        progress: Called while work goes on.
        seconds_left: Tells what is left of the budget.
        budget: The limits of the climb as plain data, which mark decisions that were made for lack of time.
    """

    backend: JournaledBackend
    journal: Journal
    pool: Pool
    metric: str
    seed: int
    folder: Path | None
    progress: ClimbProgress | None
    seconds_left: Callable[[], float | None]
    budget: list[float | int | None] = field(default_factory=list)

    def show(self, what: str) -> Callable[..., None] | None:
        """Returns a progress function for one piece of work; what it is called with beyond two numbers is dropped."""
        progress = self.progress
        if progress is None:
            return None
        return lambda done, total, *_: progress(what, done, total, self.seconds_left())


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted predictor, what it cost, and the highest memory of the process until then."""

    predictor: Predictor
    facts: FitFacts
    peak: int


def fit_once(work: RunContext, key: str, label: str, fit_split: FitSplit, ready: Callable[[], Ready]) -> Fitted:
    """Fits, or loads what was fitted before the climb was cut off.

    Args:
        work: What it works with.
        key: Name of the fit, unique in the climb; also of its folder.
        label: What people are shown.
        fit_split: Examples to learn from, and those for choices of the fit.
        ready: Makes the rung ready; called only if something has to be fitted.

    Returns:
        The fitted predictor.

    Raises:
        RungError: The fit fails, or failed before the climb was cut off.
    """
    kept = work.journal.get(f"fit:{key}")
    if kept is not None and "error" in kept and kept["error"].get("no_time") and kept.get("budget") != work.budget:
        kept = None  # there may be time for it now
    if kept is not None and "error" in kept:
        raise RungError(**kept["error"])
    if kept is not None and (predictor := _loaded(work, kept["facts"]["artifact"])) is not None:
        return Fitted(predictor, FitFacts.model_validate(kept["facts"]), kept["peak"])
    try:
        # Of a fit that is journaled but cannot be loaded, every call comes out of the journal.
        fitted = _fit(work, key, label, fit_split, ready)
    except (JournalError, TrainingStopped):  # the climb is to stop here; it can be resumed
        raise
    except Exception as error:  # third-party code may raise anything: the rung fails, not the climb
        found = RungError.of(error)
        work.journal.put(f"fit:{key}", {"error": found.to_json(), "budget": work.budget})
        raise found from error
    if kept is None:
        work.journal.put(f"fit:{key}", {"facts": fitted.facts.model_dump(mode="json"), "peak": fitted.peak})
        return fitted
    return Fitted(fitted.predictor, FitFacts.model_validate(kept["facts"]), kept["peak"])


def _fit(work: RunContext, key: str, label: str, fit_split: FitSplit, make: Callable[[], Ready]) -> Fitted:
    show = work.show(label)
    if show is not None:
        show(0, 1)
    start_measuring()
    before, started = work.backend.spent, time.perf_counter()
    ready = make()
    takes = inspect.signature(ready.adapter.fit).parameters
    options: dict[str, Any] = dict(ready.options)
    if "checkpoint" in takes and work.folder is not None:
        options["checkpoint"] = work.folder / "checkpoints" / key
    if "progress" in takes:
        options["progress"] = show
    first = {example.query.key for example in ready.first}
    examples = Split("train", (*ready.first, *(one for one in fit_split.train if one.query.key not in first)))
    try:
        with work.backend.until(ready.seconds, grace=OVERRUN):
            predictor = ready.adapter.fit(examples, work.backend, dev=fit_split.tuning, seed=work.seed, **options)
    except OutOfTime:
        text = f"fitting did not fit into its share of the budget, {ready.seconds or 0:.2g} s"
        raise RungError(text, no_time=True) from None
    seconds = time.perf_counter() - started
    if isinstance(predictor, PlanPredictor):
        predictor = dataclasses.replace(predictor, notes=_finite(dict(predictor.notes)))
    artifact, size = _save(predictor, work.folder, key)
    spent = work.backend.spent - before
    training = getattr(predictor, "training", None)
    notes = {name: value for name, value in getattr(predictor, "notes", {}).items() if name != "training"}
    facts = FitFacts(
        seconds=seconds,
        calls=spent.calls,
        prompt_tokens=spent.prompt_tokens,
        generated_tokens=spent.generated_tokens,
        training=None if training is None else _finite(training.to_json()),
        training_tokens=getattr(training, "tokens", 0),
        trainable_parameters=getattr(training, "trainable_parameters", 0),
        artifact=artifact,
        artifact_bytes=size,
        examples=len(fit_split.train),
        tuning=len(fit_split.tuning),
        notes=_finite(notes),
    )
    return Fitted(predictor, facts, peak_memory())


def _finite(value: Any) -> Any:
    """Plain JSON data in which numbers that are not finite, which no JSON can hold, are texts."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _save(predictor: Predictor, folder: Path | None, key: str) -> tuple[str, int]:
    """Saves a predictor into the run folder, or for its size alone; returns its relative place and bytes.

    A third-party class is not kept: ``load`` cannot rebuild it, so it is fitted again.
    """
    own = type(predictor) is PlanPredictor
    try:
        if folder is not None and own:
            name = f"fits/{key}"
            predictor.save(folder / name)
            return name, _size(folder / name)
        with tempfile.TemporaryDirectory() as aside:
            predictor.save(Path(aside) / "predictor")
            return "", _size(Path(aside) / "predictor")
    except ArtifactError as error:
        if not own and not isinstance(error.__cause__, OSError):
            return "", 0
        # A disk error must not count as a failure of the rung.
        raise JournalError(str(error)) from error


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _loaded(work: RunContext, artifact: str) -> Predictor | None:
    if not artifact or work.folder is None or not re.fullmatch(r"fits/[\w.-]+", artifact):
        return None
    try:
        return load(work.folder / artifact, work.backend)
    except ArtifactError:
        return None  # a third-party predictor, or a folder that was modified: it is fitted again
