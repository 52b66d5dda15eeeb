"""A rung during the climb: fitted when needed, and judged block by block."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from promptkit.adapters import Predictor
from promptkit.ladder.facts import FitFacts, ItemResult
from promptkit.ladder.fitting import RunContext, RungError, fit_once
from promptkit.ladder.journal import JournalError
from promptkit.ladder.journaled_backend import OutOfTime
from promptkit.ladder.memory import peak_memory
from promptkit.ladder.rungs import Ready, Rung
from promptkit.metrics import get_metric
from promptkit.types import Example, JSONObject, Prediction

__all__ = ["Candidate", "item_result"]

PROBE = 4
"""Items that are answered first if time is limited and the pace of a rung is unknown."""
SLICE = 0.1
"""Share of the remaining time that is judged at once if time is limited."""


@dataclass
class Candidate:
    """One trial of a rung.

    Attributes:
        work: The run context.
        rung: The rung.
        place: Its place on the ladder.
        number: Number of the trial.
        ready: Makes the rung ready for a fold, or with ``None`` for its own predictor.
        results: Its answers to the first items of the pool.
        fit: What fitting cost, folds included; ``None`` before.
        peak: Highest memory of the process so far.
    """

    work: RunContext
    rung: Rung
    place: int
    number: int
    ready: Callable[[int | None], Ready]
    results: list[ItemResult] = field(default_factory=list)
    fit: FitFacts | None = None
    peak: int = 0
    _predictors: dict[int | None, Predictor] = field(default_factory=dict)
    _walls: list[float] = field(default_factory=list)
    _paid: set[int | None] = field(default_factory=set)

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
        return [one.score for one in self.results]

    @property
    def fits(self) -> int:
        """Number of fits that are done, in this session or before."""
        return len(self._paid)

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
            folds = self.work.pool.fold_splits
            fit_split = self.work.pool.fit_split if fold is None else folds[fold]
            label = f"{self.name}: fitting" + ("" if fold is None else f" fold {fold + 1} of {len(folds)}")
            fitted = fit_once(self.work, self._key(fold), label, fit_split, lambda: self.ready(fold))
            self._predictors[fold] = fitted.predictor
            self._pay(fold, fitted.facts, fitted.peak)
        return self._predictors[fold]

    def _key(self, fold: int | None) -> str:
        return f"{self.place}-{_slug(self.name)}-{self.number}" + ("" if fold is None else f"-fold{fold}")

    def _pay(self, fold: int | None, facts: FitFacts, peak: int) -> None:
        """Adds what a fit cost, once."""
        if fold not in self._paid:
            self._paid.add(fold)
            self.fit = _sum(self.fit, facts)
            self.peak = max(self.peak, peak)

    def _pay_earlier(self, fold: int | None) -> None:
        """Adds what the fit of a fold cost in an earlier session, whose answers are kept so that nothing loads it."""
        kept = self.work.journal.get(f"fit:{self._key(fold)}")
        if fold not in self._paid and kept is not None and "facts" in kept:
            _ = self.predictor  # whose cost comes first
            self._pay(fold, FitFacts.model_validate(kept["facts"]), kept["peak"])

    @property
    def pace(self) -> float | None:
        """Wall-clock seconds per item so far; ``None`` before the first."""
        return sum(self._walls) / len(self._walls) if self._walls else None

    def judge(self, items: int, left: Callable[[], float | None] = lambda: None) -> bool:
        """Answers the next items of the pool, up to a number, as far as there is time.

        Args:
            items: Number of items that are answered afterwards; at most ``limit``.
            left: Tells the seconds that judging may still take; ``None`` for no limit.

        Returns:
            Whether all of them were answered.

        Raises:
            RungError: A fit or the predictor fails as a whole, or on every new item: then nothing is said about the
                rung. Failures of single items are results.
        """
        start = len(self.results)
        if items <= start:
            return True
        where, journal = f"{self.place}:{self.number}", self.work.journal
        cut = journal.get(f"cut:{where}:{items}") or {}
        # The same budget ends at the same item when the climb is played again.
        most = cut["items"] if cut.get("budget") == self.work.budget else items
        while len(self.results) < most:
            kept = journal.get(f"answer:{where}:{len(self.results)}")
            if kept is not None:
                self._take(kept)
                self._pay_earlier(self.results[-1].fold)
                continue
            try:
                self._judge_some(where, most, left())
            except OutOfTime:
                most = len(self.results)
                journal.put(f"cut:{where}:{items}", {"items": most, "budget": self.work.budget})
        new = self.results[start:]
        if new and all(one.error is not None for one in new):
            del self.results[start:], self._walls[start:]
            raise RungError(f"no item could be answered: {new[0].error}", transient=True)
        return len(self.results) >= items

    def _judge_some(self, where: str, most: int, left: float | None) -> None:
        """Answers the next items, as many at once as a small part of the time allows."""
        start, journal = len(self.results), self.work.journal
        failed = journal.get(f"failed:{where}:{start}")
        if failed is not None:
            raise RungError(**failed)
        size = most - start
        if left is not None:
            self._fit_fold(self.work.pool.folds[start])  # a fit says nothing about the pace of answers
            size = min(size, PROBE if self.pace is None else max(1, int(SLICE * left / max(self.pace, 1e-6))))
        began = time.monotonic()
        try:
            with self.work.backend.until(left):
                found = self._answer(start, start + size)
        except RungError as error:
            journal.put(f"failed:{where}:{start}", error.to_json())
            raise
        peak, wall = peak_memory(), (time.monotonic() - began) / size
        kept = [{"result": one.model_dump(mode="json"), "peak": peak, "wall": wall} for one in found]
        journal.put_all({f"answer:{where}:{start + at}": one for at, one in enumerate(kept)})
        for one in kept:
            self._take(one)

    def _fit_fold(self, fold: int | None) -> Predictor:
        """Without time to fit a fold, what the rung's own predictor answered stays."""
        try:
            return self.predictor_of(fold)
        except RungError as error:
            if error.no_time:
                raise OutOfTime from None
            raise

    def _take(self, kept: JSONObject) -> None:
        self.results.append(ItemResult.model_validate(kept["result"]))
        self.peak = max(self.peak, kept["peak"])
        self._walls.append(kept["wall"])

    def _answer(self, start: int, stop: int) -> list[ItemResult]:
        work, pool = self.work, self.work.pool
        found: dict[int, ItemResult] = {}
        for fold in dict.fromkeys(pool.folds[start:stop]):
            mine = [place for place in range(start, stop) if pool.folds[place] == fold]
            predictor = self._fit_fold(fold)
            show = _shifted(work.show(f"{self.name}: judging"), start + len(found), self.limit)
            queries = [pool.examples[place].query for place in mine]
            try:
                predictions = predictor.predict(queries, seed=work.seed, on_error="record", progress=show)
                for place, prediction in zip(mine, predictions, strict=True):
                    found[place] = item_result(
                        pool.keys[place], pool.examples[place], prediction, work.metric, pool.folds[place]
                    )
            except (JournalError, OutOfTime):
                raise
            except Exception as error:  # third-party code may raise anything: the rung fails, not the climb
                raise RungError.of(error) from error
        return [found[place] for place in range(start, stop)]


def item_result(key: str, example: Example, prediction: Prediction, metric: str, fold: int | None = None) -> ItemResult:
    """Scores a prediction; a failed or unreadable answer scores 0, for every rung alike.

    Args:
        key: Key of the item.
        example: The item.
        prediction: What was answered.
        metric: The metric that decides.
        fold: The fold whose fit answered.

    Returns:
        The result.
    """
    usage = prediction.usage
    return ItemResult(
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
