"""A rung on its way through the climb: fitted, and answering block by block as far as anybody needs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from promptkit.adapters import Predictor
from promptkit.ladder.facts import FitFacts, Outcome
from promptkit.ladder.fitting import RungError, Workshop, fit_once
from promptkit.ladder.journal import JournalError
from promptkit.ladder.memory import peak_memory
from promptkit.ladder.rungs import Ready, Rung
from promptkit.metrics import get_metric
from promptkit.types import Example, Prediction

__all__ = ["Contender", "outcome"]


@dataclass
class Contender:
    """One try of a rung.

    Attributes:
        work: What it works with.
        rung: The rung.
        place: Its place on the ladder.
        number: Number of the try.
        ready: Makes the rung ready for a fold, or with ``None`` for its own predictor.
        outcomes: Its answers to the first items of the pool.
        fit: What fitting cost, folds included; ``None`` before.
        peak: Highest memory of the process so far.
    """

    work: Workshop
    rung: Rung
    place: int
    number: int
    ready: Callable[[int | None], Ready]
    outcomes: list[Outcome] = field(default_factory=list)
    fit: FitFacts | None = None
    peak: int = 0
    _predictors: dict[int | None, Predictor] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the rung."""
        return self.rung.name

    @property
    def predictor(self) -> Predictor:
        """The rung's own predictor, fitted on first use."""
        return self.predictor_of(None)

    @property
    def scores(self) -> list[float]:
        """Scores of the first items of the pool."""
        return [one.score for one in self.outcomes]

    @property
    def limit(self) -> int:
        """Number of items that it can be judged on: dev, and with cross-fitting train, unless it learned weights."""
        own = self.predictor
        learned = getattr(own, "soft_prompt", None) is not None or getattr(own, "lora", None) is not None
        return self.work.pool.own if learned else len(self.work.pool)

    def predictor_of(self, fold: int | None) -> Predictor:
        """Returns the predictor that answers the items of a fold, fitted on first use.

        Args:
            fold: The fold, or ``None`` for the rung's own predictor.

        Returns:
            The predictor, on the journaled backend.

        Raises:
            RungError: The fit fails, or failed before the climb was cut off.
        """
        if fold not in self._predictors:
            folds = self.work.pool.fold_lessons
            lesson = self.work.pool.lesson if fold is None else folds[fold]
            key = f"{self.place}-{_slug(self.name)}-{self.number}" + ("" if fold is None else f"-fold{fold}")
            label = f"{self.name}: fitting" + ("" if fold is None else f" fold {fold + 1} of {len(folds)}")
            fitted = fit_once(self.work, key, label, lesson, lambda: self.ready(fold))
            self._predictors[fold] = fitted.predictor
            self.fit = _sum(self.fit, fitted.facts)
            self.peak = max(self.peak, fitted.peak)
        return self._predictors[fold]

    def judge(self, items: int) -> None:
        """Answers the next items of the pool, up to a number.

        Args:
            items: Number of items that are answered afterwards; at most ``limit``.

        Raises:
            RungError: A fit or the predictor fails as a whole, or on every item of a block: then nothing is said about
                the rung. Failures of single items are outcomes.
        """
        start = len(self.outcomes)
        if items <= start:
            return
        key = f"answers:{self.place}:{self.number}:{start}:{items}"
        kept = self.work.journal.get(key)
        if kept is None:
            try:
                answers = [one.model_dump(mode="json") for one in self._answer(start, items)]
                kept = {"outcomes": answers, "peak": peak_memory()}
            except RungError as error:
                kept = {"error": error.to_json()}
            self.work.journal.put(key, kept)
        if "error" in kept:
            raise RungError(**kept["error"])
        self.outcomes += [Outcome.model_validate(one) for one in kept["outcomes"]]
        self.peak = max(self.peak, kept["peak"])

    def _answer(self, start: int, stop: int) -> list[Outcome]:
        work, pool = self.work, self.work.pool
        found: dict[int, Outcome] = {}
        for fold in dict.fromkeys(pool.folds[start:stop]):
            mine = [place for place in range(start, stop) if pool.folds[place] == fold]
            predictor = self.predictor_of(fold)
            show = _shifted(work.show(f"{self.name}: judging"), start + len(found), self.limit)
            queries = [pool.examples[place].query for place in mine]
            try:
                predictions = predictor.predict(queries, seed=work.seed, on_error="record", progress=show)
                for place, prediction in zip(mine, predictions, strict=True):
                    found[place] = outcome(
                        pool.keys[place], pool.examples[place], prediction, work.metric, pool.folds[place]
                    )
            except JournalError:
                raise
            except Exception as error:  # whatever a stranger's predictor raises costs its rung, not the climb
                raise RungError.of(error) from error
        outcomes = [found[place] for place in range(start, stop)]
        if all(one.error is not None for one in outcomes):
            raise RungError(f"no item could be answered: {outcomes[0].error}", transient=True)
        return outcomes


def outcome(key: str, example: Example, prediction: Prediction, metric: str, fold: int | None = None) -> Outcome:
    """Scores a prediction; a failed or unreadable answer scores 0, for every rung alike.

    Args:
        key: Key of the item.
        example: The item.
        prediction: What was answered.
        metric: The metric that decides.
        fold: The fold whose fit answered.

    Returns:
        The outcome.
    """
    usage = prediction.usage
    return Outcome(
        item=key,
        score=get_metric(metric).score(prediction.answer, example.targets),
        answer=prediction.answer,
        text=prediction.text,
        error=prediction.error,
        agreement=prediction.agreement,
        samples=prediction.samples_used,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        generated_tokens=usage.generated_tokens,
        calls=usage.calls,
        seconds=usage.seconds,
        fold=fold,
    )


def _shifted(show: Callable[..., None] | None, before: int, total: int) -> Callable[[int, int], None] | None:
    return None if show is None else lambda done, _: show(before + done, total)


def _sum(before: FitFacts | None, more: FitFacts) -> FitFacts:
    """Adds the cost of a fold's fit to that of the rung's own, which comes first."""
    if before is None:
        return more
    return before.model_copy(
        update={
            "seconds": before.seconds + more.seconds,
            "calls": before.calls + more.calls,
            "prompt_tokens": before.prompt_tokens + more.prompt_tokens,
            "generated_tokens": before.generated_tokens + more.generated_tokens,
            "folds": before.folds + 1,
        }
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30] or "rung"
